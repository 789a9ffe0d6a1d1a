package supabase

import (
	"errors"
	"net/http"
	"strings"
	"testing"
)

// TestImpossibleAnswers proves that a successful response which cannot be right is
// an error that says what came back, and never an empty list, a missing object or
// an object without a name: a plan would repair what is intact, and a destroy would
// leave what it has not seen.
func TestImpossibleAnswers(t *testing.T) {
	t.Parallel()
	lists := map[string]string{
		// What identifies an element, in an element that has everything else.
		"ListFunctions": `[{"id":"1","slug":"f","name":"n","status":"ACTIVE","version":1,"created_at":1,"updated_at":2}]`,
		"ListSecrets":   `[{"name":"A","value":"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"}]`,
		"APIKeys":       `[{"name":"anon","type":"legacy","api_key":"k"}]`,
		"Projects":      `[{"ref":"abcdefghijklmnopqrst","name":"n","status":"ACTIVE_HEALTHY"}]`,
		"SessionPooler": `[{"database_type":"PRIMARY","db_host":"h","db_user":"u","db_name":"d"}]`,
	}
	identifying := map[string][]string{
		"ListFunctions": {"id", "slug"}, "ListSecrets": {"name"}, "APIKeys": {"name"}, "Projects": {"ref"}, "SessionPooler": {"database_type"},
	}
	check := func(name, body, says string) {
		t.Helper()
		result, err := calls[name].run(t.Context(), newClient(t, roundTripper(func(r *http.Request) (*http.Response, error) { return answer(r, 200, body), nil })))
		if says == "" {
			if err != nil {
				t.Errorf("%s, %s: %v", name, body, err)
			}
			return
		}
		if !errors.Is(err, errUnexpectedResponse) || errors.Is(err, ErrNotFound) || !strings.Contains(err.Error(), says) || !strings.Contains(err.Error(), "`api_url`") {
			t.Errorf("%s, %s: %v, %v, want %q", name, body, result, err, says)
		}
	}
	for name, good := range lists {
		check(name, good, "")
		check(name, "null", "it is null")
		check(name, " null\n", "it is null")
		check(name, "[null]", "element 1 is null")
		check(name, "[{}]", `element 1 has no "`+identifying[name][0]+`"`)
		check(name, "{}", "it is a JSON object")
		for _, field := range identifying[name] {
			missing := strings.Replace(good, `"`+field+`":`, `"x":`, 1)
			check(name, good[:len(good)-1]+","+missing[1:], `element 2 has no "`+field+`"`)
		}
	}
	for _, name := range []string{"GetFunction", "UpdateFunction", "DeployFunction"} {
		check(name, `{"id":"1","slug":"f","status":"ACTIVE","version":1,"created_at":1,"updated_at":2,"ezbr_sha256":"x"}`, "")
		check(name, "null", "it is null")
		check(name, "{}", `it has no "id"`)
		check(name, `{"id":"1"}`, `it has no "slug"`)
		check(name, `{"id":"1","slug":"g"}`, "another function")
	}
	check("Project", `{"ref":"`+testRef+`"}`, "")
	check("Project", `{"id":"`+testRef+`"}`, "")
	check("Project", "null", "it is null")
	check("Project", "{}", `it has no "ref"`)
	check("Project", `{"ref":"tsrqponmlkjihgfedcba"}`, "another project")
	check("Backups", `{"pitr_enabled":false,"backups":[]}`, "")
	check("Backups", "null", "it is null")
	check("Backups", `{"pitr_enabled":false}`, `it has no "backups"`)
	check("Backups", `{"pitr_enabled":false,"backups":null}`, `it has no "backups"`)
	check("Backups", `{"backups":[]}`, `it has no "pitr_enabled"`)
	check("Backups", "[]", "it is a JSON array")
	for _, name := range []string{"Query", "Query, read-only"} {
		check(name, "[]", "")
		check(name, "null", "it is null")
	}
}
