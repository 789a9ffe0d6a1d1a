package facts

// RoleParameter is a configuration parameter that is set for a role, for all roles
// in the database, or for both.
type RoleParameter struct {
	Role     string `json:"role"` // empty for all
	Database bool   `json:"database"`
	Name     string `json:"name"`
	Value    string `json:"value"`
}

// Effective is the value of a parameter in a new session of a role in this
// database, where server and set are what the parts parameters and role_parameters
// say. It is empty where the reading role cannot see it.
func Effective(server map[string]string, set []RoleParameter, name, role string) string {
	value, rank := server[name], -1
	for _, s := range set {
		if s.Name != name || s.Role != "" && s.Role != role {
			continue
		}
		own := 0
		if s.Role != "" {
			own += 2
		}
		if s.Database {
			own++
		}
		if own > rank {
			value, rank = s.Value, own
		}
	}
	return value
}
