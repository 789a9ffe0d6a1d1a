package provider_test

import (
	"errors"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"github.com/hashicorp/terraform-plugin-testing/helper/resource"
	"github.com/hashicorp/terraform-plugin-testing/knownvalue"
	"github.com/hashicorp/terraform-plugin-testing/plancheck"
	"github.com/hashicorp/terraform-plugin-testing/statecheck"
	"github.com/hashicorp/terraform-plugin-testing/tfjsonpath"

	"github.com/aimindset/terraform-provider-aimindset/internal/backup"
	"github.com/aimindset/terraform-provider-aimindset/internal/install"
	"github.com/aimindset/terraform-provider-aimindset/internal/postgres"
	"github.com/aimindset/terraform-provider-aimindset/internal/stack"
	"github.com/aimindset/terraform-provider-aimindset/internal/supabase"
)

// callAt changes where the database calls the function.
func callAt(url string) func(*project) {
	return func(p *project) {
		p.sql("update auto_backup.settings set document = jsonb_set(document, '{function,url}', to_jsonb($1::text))", url)
	}
}

func callRight(p *project) { callAt(p.ProjectURL + "/functions/v1/auto-backup")(p) }

// answerInstead has something else answer in the place of the function.
func answerInstead(status int, contentType, code, body string) func(*project) {
	return func(p *project) {
		p.InterceptProject(func(next http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path != "/functions/v1/auto-backup" {
					next.ServeHTTP(w, r)
					return
				}
				w.Header().Set("Content-Type", contentType)
				if code != "" {
					w.Header().Set("sb-error-code", code)
				}
				w.WriteHeader(status)
				_, _ = w.Write([]byte(body))
			})
		})
	}
}

func answerAgain(p *project) { p.InterceptProject(nil) }

func (p *project) verifyJWT(on bool) {
	p.t.Helper()
	if _, err := p.client().UpdateFunction(p.t.Context(), p.ProjectRef, "auto-backup", supabase.FunctionUpdate{VerifyJWT: &on}); err != nil {
		p.t.Fatal(err)
	}
}

// brokenChains are the links of the chain that can break, and what a verification
// says of each. run says that only a whole backup shows it.
var brokenChains = []struct {
	name            string
	breaks, repairs func(*project)
	do, undo        string
	run             bool
	says            []string
}{
	{
		name: "no request: the token is missing in the vault", do: "update vault.secrets set name = 'elsewhere' where name = 'auto-backup/token'", undo: "update vault.secrets set name = 'auto-backup/token' where name = 'elsewhere'",
		says: []string{"the database could not make the request", `vault secret "auto-backup/token" is missing`},
	},
	{
		name: "pg_net's worker is down", breaks: func(p *project) { p.StopNetWorker() },
		repairs: func(p *project) {
			if err := p.StartNetWorker(p.t.Context()); err != nil {
				p.t.Fatal(err)
			}
		},
		says: []string{"pg_net's worker is not running", "select net.worker_restart()"},
	},
	{
		name: "the host has no address", breaks: callAt("http://nowhere.invalid/functions/v1/auto-backup"), repairs: callRight,
		says: []string{"cannot find the host of the function's address (DNS)", "project_url"},
	},
	{
		name: "nothing listens", breaks: callAt("http://127.0.0.1:9/functions/v1/auto-backup"), repairs: callRight,
		says: []string{"nothing listens at the function's address"},
	},
	{
		name: "the function has another token", breaks: func(p *project) { p.overwriteSecret("AUTO_BACKUP_TOKEN", strings.Repeat("x", 43)) },
		repairs: (*project).restoreToken,
		says:    []string{"the function refused the signature of the request", "have different tokens", "rotate_token", "HTTP 401"},
	},
	{
		name: "the function has no token", breaks: func(p *project) {
			if err := p.client().DeleteSecrets(p.t.Context(), p.ProjectRef, []string{"AUTO_BACKUP_TOKEN"}); err != nil {
				p.t.Fatal(err)
			}
		},
		repairs: (*project).restoreToken,
		says:    []string{"the function has no token", "HTTP 503"},
	},
	{
		name: "the platform wants a JWT, and the vault has no key", breaks: func(p *project) { p.verifyJWT(true) }, repairs: func(p *project) { p.verifyJWT(false) },
		do: "update vault.secrets set name = 'elsewhere' where name = 'auto-backup/alert-key'", undo: "update vault.secrets set name = 'auto-backup/alert-key' where name = 'elsewhere'",
		says: []string{"verify_jwt is on", "HTTP 401 UNAUTHORIZED_NO_AUTH_HEADER"},
	},
	{
		name: "the function is not there", breaks: func(p *project) { callAt(p.ProjectURL + "/functions/v1/gone")(p) }, repairs: callRight,
		says: []string{"no function answers at its address", "HTTP 404 NOT_FOUND"},
	},
	{
		name: "the function does not start", breaks: func(p *project) { p.BreakFunction("auto-backup", true) }, repairs: func(p *project) { p.BreakFunction("auto-backup", false) },
		says: []string{"the function does not start", "HTTP 503 BOOT_ERROR"},
	},
	{
		name: "the function was stopped at a limit", breaks: answerInstead(546, "application/json", "WORKER_LIMIT", `{"code":"WORKER_LIMIT","message":"Function failed due to not having enough compute resources"}`), repairs: answerAgain,
		says: []string{"the function exceeded one of the platform's limits", "HTTP 546 WORKER_LIMIT", "compute resources"},
	},
	{
		name: "the project is restricted", breaks: answerInstead(402, "application/json", "", `{"message":"Service for this project is restricted"}`), repairs: answerAgain,
		says: []string{"the platform has restricted the project", "HTTP 402"},
	},
	{
		name: "a web site answers", breaks: answerInstead(200, "text/html", "", "<html>Welcome</html>"), repairs: answerAgain,
		says: []string{"something other than the backup function answered", "no JSON"},
	},
	{
		name: "a function without the probe answers", breaks: answerInstead(200, "application/json", "", `{"ok":true}`), repairs: answerAgain,
		says: []string{`without "success": true`, "source_dir"},
	},
	{
		name: "a table of the log is closed", do: "revoke select on public.backup_logs from service_role", undo: "grant select on public.backup_logs to service_role",
		says: []string{"the function runs, but cannot read the table public.backup_logs", "42501", "grant select, insert, update on public.backup_logs to service_role"},
	},
	{
		name: "the backup reports a failure", run: true, do: "alter table public.articles rename column excerpt to summary", undo: "alter table public.articles rename column summary to excerpt",
		says: []string{"failed with backup_failed", "the SQL function reported that the backup failed", "excerpt"},
	},
	{
		name: "the backup fails with an SQLSTATE", run: true, do: "revoke execute on function public.backup_all_data() from public, service_role", undo: "grant execute on function public.backup_all_data() to public, service_role",
		says: []string{"failed with rpc_http", "42501", "permission denied for function backup_all_data"},
	},
	{
		name: "the SQL function is missing", run: true, do: "alter function public.backup_all_data() rename to backup_everything; notify pgrst, 'reload schema'", undo: "alter function public.backup_everything() rename to backup_all_data; notify pgrst, 'reload schema'",
		says: []string{"failed with rpc_http", "finds no SQL function of this name", "PGRST202"},
	},
	{
		name: "the log refuses the run", run: true, do: narrow, undo: widened,
		says: []string{"failed with log_rejected", "a CHECK constraint refused a row", "backup_logs", "23514"},
	},
	{
		name: "nobody could be told either", run: true, do: "alter table public.articles rename column excerpt to summary", undo: "alter table public.articles rename column summary to excerpt",
		breaks: func(p *project) { p.status("alert-processor", "REMOVED") }, repairs: func(p *project) { p.status("alert-processor", "ACTIVE") },
		says: []string{"failed with backup_failed", "The alert about it was not delivered either", "alert-processor"},
	},
}

// restoreToken sets the function's token to the vault's again.
func (p *project) restoreToken() {
	p.t.Helper()
	p.overwriteSecret("AUTO_BACKUP_TOKEN", p.value("select decrypted_secret from vault.decrypted_secrets where name = 'auto-backup/token'"))
}

// TestVerificationSaysWhy proves that a verification which fails says which link of the chain
// broke and what to do, and never merely that time ran out; and that it
// succeeds when nothing is broken.
func TestVerificationSaysWhy(t *testing.T) {
	t.Parallel()
	p := start(t, stack.Options{Articles: 20, RateLimit: -1})
	p.install()
	s := install.NewService(p.ProjectRef, p.client(), postgres.OverAPI(supabase.ProjectSQL{Client: p.client(), Ref: p.ProjectRef}))
	id := backup.ID{ProjectRef: p.ProjectRef, Name: backup.DefaultName}
	verify := func(wholeBackup bool) error { return s.Verify(t.Context(), id, wholeBackup) }
	if err := verify(true); err != nil {
		t.Fatalf("nothing is broken: %v", err)
	}
	p.verifyJWT(true)
	if err := verify(false); err != nil {
		t.Errorf("the gateway wants a key, which the vault has: %v", err)
	}
	p.verifyJWT(false)
	// A run that began before may not know what was applied since.
	p.holdBackupsUntil(1)
	p.asPostgres("do $$ begin perform auto_backup.start('auto-backup', 'daily', 'schedule', now(), 1); end $$")
	if err := verify(true); err != nil {
		t.Errorf("while another run was under way: %v", err)
	}
	if got := p.value("select string_agg(trigger || ' ' || state, ', ' order by requested_at) from auto_backup.runs"); got != "manual succeeded, schedule succeeded, manual succeeded" {
		t.Errorf("while another run was under way, it was content with the runs %s", got)
	}

	for _, c := range brokenChains {
		t.Run(c.name, func(t *testing.T) {
			p := &project{Stack: p.Stack, t: t}
			defer p.change(c.undo, c.repairs)
			p.change(c.do, c.breaks)
			err := verify(c.run)
			if !errors.Is(err, install.ErrNotVerified) {
				t.Fatalf("got %v", err)
			}
			for _, text := range c.says {
				if !strings.Contains(err.Error(), text) {
					t.Errorf("it does not say %q: %v", text, err)
				}
			}
		})
	}
	if err := verify(true); err != nil {
		t.Errorf("everything is repaired: %v", err)
	}
}

// TestVerificationIsRepeated proves that a verification which failed is not forgotten: the
// apply fails with the reason and with what to do about the taint, the state
// says so, the next plan is an update in place that proves again, and it keeps
// the installation with its history.
func TestVerificationIsRepeated(t *testing.T) {
	t.Parallel()
	p := start(t, stack.Options{Articles: 20})
	config := required + `resource "aimindset_auto_backup" "this" {}`
	c := newCLI(t, config, p.Environ()...)
	boots := answerInstead(http.StatusServiceUnavailable, "application/json", "BOOT_ERROR", `{"code":"BOOT_ERROR","message":"Function failed to start"}`)
	boots(p)
	output := c.run(1, "apply", "-auto-approve", "-no-color")
	c.says(output, "The backup is installed but does not work", "the function does not start", "HTTP 503 BOOT_ERROR", "terraform untaint aimindset_auto_backup.<name>", "removes the backup and installs it again")
	installed := p.value("select created_at from auto_backup.settings")

	answerAgain(p)
	c.run(0, "untaint", "aimindset_auto_backup.this")
	c.says(c.run(2, "plan", "-detailed-exitcode", "-no-color"), `verified = "failed" -> "probe"`, "0 to add, 1 to change, 0 to destroy")
	c.run(0, "apply", "-auto-approve", "-no-color")
	c.run(0, "plan", "-detailed-exitcode", "-no-color")
	if got := p.value("select created_at from auto_backup.settings"); got != installed {
		t.Errorf("the installation was made at %s, and then again at %s", installed, got)
	}

	// An update that cannot be verified is not forgotten either.
	boots(p)
	c.configure(required + `resource "aimindset_auto_backup" "this" { retry = { attempts = 2 } }`)
	output = c.run(1, "apply", "-auto-approve", "-no-color")
	c.says(output, "the function does not start", "apply again, which verifies it again")
	c.silent(output, "untaint")
	answerAgain(p)
	c.says(c.run(2, "plan", "-detailed-exitcode", "-no-color"), "1 to change")
	c.run(0, "apply", "-auto-approve", "-no-color")
	c.run(0, "plan", "-detailed-exitcode", "-no-color")
}

// TestRepairIsNotHeldUp proves which changes of an installed backup a preflight
// stops: none that repairs something while the SQL function cannot work, but one
// that names a function which does not exist, and any while nothing can be
// written. A plan that changes nothing is not checked at all.
func TestRepairIsNotHeldUp(t *testing.T) {
	t.Parallel()
	p := start(t, stack.Options{Articles: 20})
	takeSteps(t, resource.TestCase{
		ProtoV6ProviderFactories: factories,
		Steps: []resource.TestStep{
			{
				Config:            p.config(""),
				ConfigStateChecks: []statecheck.StateCheck{statecheck.ExpectKnownValue(address, tfjsonpath.New("verified"), knownvalue.StringExact("probe"))},
			},
			{
				// Nothing differs: no error, though no backup can succeed.
				PreConfig: func() {
					p.sql("alter table public.articles_backup rename to x; alter table public.app_logs_backup rename to y")
				},
				Config:           p.config(""),
				ConfigPlanChecks: empty(),
			},
			{
				PreConfig:        func() { p.asPostgres("select cron.unschedule('auto-backup-daily')") },
				Config:           p.config(""),
				ConfigPlanChecks: action(plancheck.ResourceActionUpdate),
			},
			{
				Config:      p.config(`function = { rpc = "backup_nothing" }`),
				ExpectError: regexp.MustCompile(`(?s)backup_nothing\s+does\s+not\s+exist`),
			},
			{
				PreConfig:   func() { p.change("alter database postgres set default_transaction_read_only = on", nil) },
				Config:      p.config(`retry = { attempts = 3 }`),
				ExpectError: regexp.MustCompile(`read-only\s+mode`),
			},
			{
				PreConfig: func() { p.change("alter database postgres reset default_transaction_read_only", nil) },
				Config:    p.config(`retry = { attempts = 3 }`), ConfigPlanChecks: action(plancheck.ResourceActionUpdate),
			},
		},
	})
}
