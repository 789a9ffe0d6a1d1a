package checks

import (
	"slices"
	"strings"

	"github.com/aimindset/terraform-provider-aimindset/internal/backup"
	"github.com/aimindset/terraform-provider-aimindset/internal/facts"
)

// server are the checks of the database as a whole, its roles and the connection.
var server = []Check{
	{
		Code: "database_read_only", Theme: Server, Planning: Error, Asked: SchedulerDown,
		Facts: []facts.Part{"server", "parameters", "role_parameters"},
		Find: func(s *Subject) []Finding {
			f := About(theDatabase, "is in read-only mode (default_transaction_read_only is on for role postgres), so neither an installation nor a backup nor its log can be written")
			switch {
			case s.Server.InRecovery:
				f = About(theDatabase, "is a standby in recovery: nothing can be written, and pg_cron starts no job").
					With("Use the primary's address, or end the recovery of this server.")
			case !isOn(s.Effective("default_transaction_read_only", backup.JobOwner)):
				return nil
			}
			f.Writes = true
			return one(f)
		},
	},
	{
		Code: "server_old", Theme: Server, Planning: Warning,
		Facts: []facts.Part{"server"},
		Find: func(s *Subject) []Finding {
			const oldest = 150_000 // that the installed SQL is tested with
			if s.Server.Version >= oldest {
				return nil
			}
			return one(About(theDatabase, "is PostgreSQL %d, and the installed SQL is tested with PostgreSQL %d and newer", s.Server.Version/10_000, oldest/10_000))
		},
	},
	{
		Code: "role_missing", Theme: Server, Planning: Error, Asked: Failing,
		Facts: []facts.Part{"roles"},
		Find: func(s *Subject) (found []Finding) {
			if _, ok := s.Roles[backup.JobOwner]; !ok {
				found = append(found, About("The role postgres", "does not exist, and all jobs have to belong to it").
					With("Run `create role postgres login createrole createdb bypassrls`."))
			}
			if _, ok := s.Roles[serviceRole]; !ok {
				found = append(found, About("The role service_role", "does not exist, and the Edge Function works with its rights").
					With("Run `create role service_role nologin bypassrls; grant service_role to authenticator`."))
			}
			return found
		},
	},
	{
		Code: "connection_role", Theme: Server, Planning: Error,
		Facts: []facts.Part{"server"},
		Find: func(s *Subject) []Finding {
			if !s.Server.Writer || s.Server.User == backup.JobOwner {
				return nil
			}
			return one(About("The connection to the database", "is made as role %s, and pg_cron would treat its jobs as separate from postgres's", s.Server.User))
		},
	},
	{
		Code: "schema_closed", Theme: Server, Planning: Error,
		Facts: []facts.Part{"own_schema", "roles", "server"},
		Find: func(s *Subject) []Finding {
			owner, ok := s.Roles[backup.JobOwner]
			switch {
			case !ok:
			case s.OwnSchema != nil && !s.OwnSchema.Owned:
				return one(About("The schema auto_backup", "belongs to role %s, so the dispatcher cannot be installed there", s.OwnSchema.Owner).
					With("Run `alter schema auto_backup owner to postgres`, or rename the schema if it is something else."))
			case s.OwnSchema == nil && !owner.CreatesSchemas:
				return one(About("The role postgres", "may not create a schema, so the dispatcher cannot be installed").
					With("Run `grant create on database %s to postgres`.", QuoteIdent(s.Server.Database)))
			}
			return nil
		},
	},
}

const (
	theDatabase = "The database"
	// serviceRole is the role with whose rights the Edge Function works.
	serviceRole = "service_role"
)

// isOn reports whether a value of a configuration parameter is true, as
// PostgreSQL reads it: a word may be shortened.
func isOn(value string) bool {
	value = strings.ToLower(strings.TrimSpace(value))
	shortens := func(word string) bool { return value != "" && value == word[:min(len(value), len(word))] }
	return value == "1" || value == "on" || shortens("true") || shortens("yes")
}

// QuoteIdent writes a name as SQL does.
func QuoteIdent(name string) string {
	plain := name != "" && !slices.ContainsFunc([]byte(name), func(c byte) bool {
		return c != '_' && (c < 'a' || c > 'z') && (c < '0' || c > '9')
	})
	if plain && (name[0] < '0' || name[0] > '9') {
		return name
	}
	return `"` + strings.ReplaceAll(name, `"`, `""`) + `"`
}
