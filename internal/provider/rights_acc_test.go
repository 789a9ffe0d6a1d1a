package provider_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/aimindset/terraform-provider-aimindset/internal/stack"
)

// forbid makes the Management API refuse the requests that a scoped token
// without a permission may not make: those of the given methods whose paths have the
// given end.
func (p *project) forbid(refused func(method, path string) bool) {
	p.t.Helper()
	p.InterceptAPI(func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if refused(r.Method, r.URL.Path) {
				w.Header().Set("Content-Type", "application/json")
				w.WriteHeader(http.StatusForbidden)
				_, _ = w.Write([]byte(`{"message":"Your account does not have the necessary privileges to access this endpoint."}`))
				return
			}
			next.ServeHTTP(w, r)
		})
	})
	p.t.Cleanup(func() { p.InterceptAPI(nil) })
}

// everything is what of the project an apply and a destroy change, as one text.
func (p *project) everything() string {
	p.t.Helper()
	installed := ""
	if p.value("select to_regclass('auto_backup.settings')") != "" {
		installed = p.value("select jsonb_build_array((select jsonb_agg(to_jsonb(s)) from auto_backup.settings s), (select jsonb_agg(to_jsonb(l)) from auto_backup.leases l))")
	}
	traces := p.traces("auto-backup")
	slices.Sort(traces)
	return strings.Join([]string{
		strings.Join(traces, ","), installed,
		p.value("select jsonb_agg(to_jsonb(j) order by j.jobid) from cron.job j"),
		p.value("select jsonb_agg(to_jsonb(s) order by s.name) from vault.secrets s"),
		p.value("select jsonb_agg(pg_get_constraintdef(c.oid) order by c.conname) from pg_constraint c where c.conrelid = 'public.backup_logs'::regclass"),
		p.value("select jsonb_agg(e.extname order by e.extname) from pg_extension e"),
	}, "\n")
}

// TestRightsFirst proves that a create, an update and a destroy for which the token
// or the database role lacks a right are refused before anything is changed, and
// that the error names the permission as Supabase's dashboard does.
func TestRightsFirst(t *testing.T) {
	t.Parallel()
	p := start(t, stack.Options{})
	c := newCLI(t, required+p.configAs(p.AccessToken, p.DatabaseURL, ""))
	writes := func(method string) bool { return method != http.MethodGet }
	cases := []struct {
		what string
		// token and database are those of the provider block.
		token, database string
		// refused are the requests that the token may not make; nil refuses none.
		refused func(method, path string) bool
		// before is what is done in the database, after undoes it.
		before, after string
		says          []string
	}{
		{
			what:  "a token that may only read, beside a database URL that may write",
			token: p.ReadOnlyAccessToken, database: p.DatabaseURL,
			says: []string{"Edge Functions", "Edge Function Secrets", "Read-write"},
		},
		{
			what: "a token that may only read", token: p.ReadOnlyAccessToken,
			says: []string{"Database", "Read-write"},
		},
		{
			what: "a token that may not write secrets", token: p.AccessToken,
			refused: func(method, path string) bool { return writes(method) && strings.HasSuffix(path, "/secrets") },
			says:    []string{"Edge Function Secrets", "Read-write"},
		},
		{
			what: "a token that may not write functions", token: p.AccessToken,
			refused: func(method, path string) bool { return writes(method) && strings.Contains(path, "/functions") },
			says:    []string{"Edge Functions", "Read-write"},
		},
		{
			what: "a database role that may only read", token: p.AccessToken, database: p.ReadOnlyDatabaseURL,
			says: []string{"supabase_read_only_user", "database_url"},
		},
		{
			what: "a token that may not read the API keys", token: p.AccessToken,
			refused: func(_, path string) bool { return strings.HasSuffix(path, "/api-keys") },
			says:    []string{"API Keys", "Read"},
		},
		{
			what: "a database role that may not create roles", token: p.AccessToken, database: p.DatabaseURL,
			before: "alter role postgres nocreaterole", after: "alter role postgres createrole",
			says: []string{"auto_backup_agent", "alter role postgres createrole"},
		},
	}
	refuse := func(operation, arguments, verb string) {
		t.Helper()
		before := p.everything()
		for _, test := range cases {
			if operation != "create" && (strings.Contains(test.what, "API keys") || test.before != "") {
				continue // the watchdog's key and the role of the database are set up once
			}
			c.configure(required + p.configAs(test.token, test.database, arguments))
			if test.refused != nil {
				p.forbid(test.refused)
			}
			if test.before != "" {
				p.sql(test.before)
			}
			out := c.run(1, verb, "-auto-approve", "-no-color")
			if test.after != "" {
				p.sql(test.after)
			}
			p.InterceptAPI(nil)
			c.says(out, append(test.says, "nothing was changed")...)
			if after := p.everything(); after != before {
				t.Errorf("%s: %s was refused and left\n%s\nafter\n%s\nsaying\n%s", test.what, operation, after, before, out)
			}
		}
	}
	refuse("create", "", "apply")
	c.configure(required + p.configAs(p.AccessToken, p.DatabaseURL, `secrets = { REPORT_KEY = "first" }`))
	c.run(0, "apply", "-auto-approve", "-no-color")
	refuse("update", `
		alert = { source = "Other" }
		secrets = { REPORT_KEY = "second" }`, "apply")
	refuse("destroy", "", "destroy")
	c.configure(required + p.configAs(p.AccessToken, p.DatabaseURL, ""))
	c.run(0, "destroy", "-auto-approve", "-no-color")
	if left := p.traces("auto-backup"); len(left) > 0 {
		t.Errorf("the permitted destroy left %v", left)
	}
}
