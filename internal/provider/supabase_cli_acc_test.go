package provider_test

import (
	"errors"
	"flag"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aimindset/terraform-provider-aimindset/internal/stack"
)

var supabaseCLIUpdate = flag.Bool("supabase-cli.update", false, "write the table of the CLI's commands into "+supabaseCLIGuide)

const (
	supabaseCLIGuide = "../../docs/guides/supabase-cli.md"
	supabaseCLIBegin = "<!-- supabase cli: begin -->\n"
	supabaseCLIEnd   = "<!-- supabase cli: end -->\n"
)

// commands is a project with a backup, another one without, and checkouts of one
// application for both versions of the CLI.
type commands struct {
	*project
	terraform *cli
	without   *stack.Stack
	*stack.CLI
	version string
}

// command is a row of the table: what the CLI does, what the next plan says, and how a
// backup is kept safe from it. An empty drift means that the plan is empty.
type command struct {
	command, does, object, drift, keep string
	versions                           []string
	run                                func(c *commands)
}

// both are the versions with the same command; the others are of the current one only.
var (
	both    = []string{stack.CLI3, stack.CLI2}
	current = []string{stack.CLI3}
)

// supabase runs the CLI, which is to end well.
func (c *commands) supabase(args ...string) string {
	c.t.Helper()
	out, err := c.Run(c.t.Context(), args...)
	if err != nil {
		c.t.Fatalf("CLI %s: %v\n%s", c.version, err, out)
	}
	return out
}

// put writes a file of the checkout.
func (c *commands) put(name, text string) {
	c.t.Helper()
	if err := c.Write(name, text); err != nil {
		c.t.Fatal(err)
	}
}

// read reads a file of the checkout.
func (c *commands) read(name string) string {
	c.t.Helper()
	text, err := os.ReadFile(filepath.Join(c.Dir, filepath.FromSlash(name)))
	if err != nil {
		c.t.Fatal(err)
	}
	return string(text)
}

// drop removes a directory from the checkout.
func (c *commands) drop(name string) {
	c.t.Helper()
	if err := os.RemoveAll(filepath.Join(c.Dir, filepath.FromSlash(name))); err != nil {
		c.t.Fatal(err)
	}
}

const (
	checkedOutBackup = "supabase/functions/auto-backup"
	checkedOutIndex  = checkedOutBackup + "/index.ts"
	checkedOutConfig = "supabase/config.toml"
)

// pruning deploys a function of the application from a checkout without the backup, and
// gives the configuration of the functions back.
func (c *commands) pruning(settings string) {
	c.t.Helper()
	config := c.read(checkedOutConfig)
	c.put("supabase/functions/hello/index.ts", "Deno.serve(() => new Response());\n")
	c.put(checkedOutConfig, config+settings)
	c.supabase("functions", "deploy", "--use-api", "--prune", "--yes")
	c.put(checkedOutConfig, config)
}

var cliCommands = []command{
	{"`functions download auto-backup`, then `functions deploy auto-backup`", "deploys the same files again; `verify_jwt` stays off where `config.toml` does not name the function", "", "",
		"nothing to do", both, func(c *commands) {
			c.supabase("functions", "download", "auto-backup", "--use-api")
			c.supabase("functions", "deploy", "auto-backup", "--use-api", "--yes")
		}},
	{"`functions deploy` of a checkout with a changed `functions/auto-backup`", "deploys the change", "function file index.ts", "was changed",
		"keep `functions/auto-backup` out of the checkout; for code of your own see [Your own function](own-function)", current, func(c *commands) {
			c.put(checkedOutIndex, c.read(checkedOutIndex)+"// changed\n")
			c.supabase("functions", "deploy", "auto-backup", "--use-api", "--yes")
		}},
	{"`functions deploy` with `[functions.auto-backup] verify_jwt = true`", "turns the JWT check on: the database's first request is refused (401), and the watchdog repeats it with the keys", "Edge Function auto-backup", "demands a JWT",
		"`verify_jwt = false`, or do not name the function", current, func(c *commands) {
			config := c.read(checkedOutConfig)
			c.put(checkedOutConfig, config+"\n[functions.auto-backup]\nverify_jwt = true\n")
			c.supabase("functions", "deploy", "auto-backup", "--use-api", "--yes")
			c.put(checkedOutConfig, config)
		}},
	{"`functions deploy --prune` of a checkout without the function", "deletes `auto-backup`, and `alert-processor` if the checkout lacks it, too", "Edge Function auto-backup", "is not deployed",
		"the next row", both, func(c *commands) {
			c.drop(checkedOutBackup)
			c.pruning("")
		}},
	{"`functions deploy --prune` with `[functions.auto-backup] enabled = false` in `config.toml`", "keeps the function", "", "",
		"this is how", both, func(c *commands) {
			c.pruning("\n[functions.auto-backup]\nenabled = false\n")
			if list := c.supabase("functions", "list"); !strings.Contains(list, "auto-backup") {
				c.t.Errorf("CLI %s: the function is gone:\n%s", c.version, list)
			}
		}},
	{"`functions delete auto-backup`", "deletes the function", "Edge Function auto-backup", "is not deployed",
		"do not", current, func(c *commands) { c.supabase("functions", "delete", "auto-backup", "--yes") }},
	{"`secrets set` and `secrets unset` of other secrets", "leaves those of the backup as they are", "", "",
		"nothing to do", current, func(c *commands) {
			c.supabase("secrets", "set", "OF_THE_APPLICATION=1", "--yes")
			c.supabase("secrets", "unset", "OF_THE_APPLICATION", "--yes")
		}},
	{"`secrets set AUTO_BACKUP_TOKEN=…`", "replaces the invocation token: the function refuses the database's requests", "invocation token", "differs between the vault and the function's secrets",
		"keep the name out of the env file that `--env-file` names", current, func(c *commands) {
			c.supabase("secrets", "set", "AUTO_BACKUP_TOKEN=another", "--yes")
		}},
	{"`secrets unset AUTO_BACKUP_TOKEN`", "removes the invocation token", "invocation token", "is missing in the function's secrets",
		"do not", current, func(c *commands) { c.supabase("secrets", "unset", "AUTO_BACKUP_TOKEN", "--yes") }},
	{"`db query --remote` that changes a job", "changes it", "job auto-backup-daily", "is missing",
		"`--read-only` where a query is to change nothing", current, func(c *commands) {
			c.supabase("db", "query", "--remote", "--yes", "select cron.unschedule('auto-backup-daily')")
		}},
	{"`db push` of the application's own migrations", "runs them, and leaves the backup as it is", "", "",
		"nothing to do", current, func(c *commands) {
			c.put("supabase/migrations/20260101000000_first.sql", "create table public.of_the_application (id int primary key);\n")
			c.supabase("db", "push", "--remote="+c.DatabaseURL, "--yes")
		}},
	{"`db schema declarative generate`", "writes the jobs into `schemas/_cluster/misc.sql` and the schema into `schemas/auto_backup`, also with `--schema public`; the tables without their rows", "", "",
		"delete both from the directory", current, func(c *commands) {
			c.supabase("db", "schema", "declarative", "generate", "--experimental", "--schema", "public", "--remote="+c.DatabaseURL, "--yes")
			if jobs := c.read("supabase/schemas/_cluster/misc.sql"); strings.Count(jobs, "cron.schedule_in_database('auto-backup-") != 3 {
				c.t.Errorf("the directory has other jobs:\n%s", jobs)
			}
			if table := c.read("supabase/schemas/auto_backup/tables/settings.sql"); strings.Contains(strings.ToUpper(table), "INSERT INTO") {
				c.t.Errorf("the directory has rows:\n%s", table)
			}
		}},
	{"`db diff` between a database with the backup and one without, with `--schema public`", "fails: the role `auto_backup_agent` is missing", "", "",
		"leave `--schema` out, and remove from the result what is about the backup", current, func(c *commands) {
			out, err := c.Run(c.t.Context(), "db", "diff", "--schema", "public", "--from", c.without.DatabaseURL, "--to", c.DatabaseURL)
			if err == nil || !strings.Contains(out, "role:auto_backup_agent") {
				c.t.Errorf("%v:\n%s", err, out)
			}
		}},
	{"`db diff` from the project to a schema that omits the backup, then `db push` of the result", "unschedules the jobs and drops the grants, the policies, the schema and the role `auto_backup_agent`; the run history is lost", "dispatcher", "is not installed",
		"read every migration that the CLI has written before it is pushed, for `cron.unschedule` and `auto_backup`", current, func(c *commands) {
			migration := c.supabase("db", "diff", "--from", c.DatabaseURL, "--to", c.without.DatabaseURL)
			if at := strings.Index(migration, "SELECT cron.unschedule"); at >= 0 {
				migration = migration[at:]
			}
			c.put("supabase/migrations/20260102000000_omitted.sql", migration)
			c.supabase("db", "push", "--remote="+c.DatabaseURL, "--yes")
			if left := c.value("select count(*)::text from cron.job where jobname like 'auto-backup-%'"); left != "0" {
				c.t.Errorf("%s jobs are left", left)
			}
		}},
}

// TestSupabaseCLI proves what the real Supabase CLI does to a backup, what Terraform's
// next plan says about it, and that the next apply repairs it. The role with which the
// CLI logs in to the database is no drift.
func TestSupabaseCLI(t *testing.T) {
	t.Parallel()
	if !stack.HasCLI() {
		t.Skip("the CLI is installed on linux/amd64 only")
	}
	p := start(t, stack.Options{})
	without := start(t, stack.Options{})
	// A schedule that is not due while the test runs: a backup would be a row that the
	// migration without ours refuses.
	c := &commands{project: p, without: without.Stack, terraform: newCLI(t, fmt.Sprintf(required+`
		resource "aimindset_auto_backup" "this" {
		  schedules = { daily = { cron = "0 %d * * *", timezone = "UTC" } }
		  verify    = "none"
		}`, time.Now().UTC().Add(12*time.Hour).Hour()), p.Environ()...)}
	checkouts := map[string]*stack.CLI{}
	for _, version := range both {
		checkout, err := p.NewCLI(t.Context(), version, t.TempDir())
		if err != nil {
			t.Fatalf("CLI %s: %v", version, err)
		}
		checkouts[version] = checkout
	}
	c.terraform.run(0, applyNow...)
	for _, row := range cliCommands {
		for _, version := range row.versions {
			c.CLI, c.version = checkouts[version], version
			row.run(c)
			if t.Failed() {
				t.Fatalf("CLI %s: %s: does not hold", version, row.command)
			}
			if row.object == "" {
				c.terraform.run(0, "plan", "-detailed-exitcode", "-no-color")
				continue
			}
			plan := c.terraform.run(2, "plan", "-detailed-exitcode", "-no-color")
			c.terraform.says(plan, fmt.Sprintf("%q", row.object), row.drift)
			c.terraform.says(c.terraform.run(0, applyNow...), "0 added, 1 changed, 0 destroyed")
		}
	}
	// As the CLI does that knows no password of the database.
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost,
		p.APIURL+"/v1/projects/"+p.ProjectRef+"/cli/login-role", strings.NewReader(`{"read_only":false}`))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer "+p.AccessToken)
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	if err := response.Body.Close(); err != nil || response.StatusCode != http.StatusCreated {
		t.Fatalf("create the login role: status %d, %v", response.StatusCode, err)
	}
	c.terraform.run(0, "plan", "-detailed-exitcode", "-no-color")
}

// TestSupabaseCLIGuide proves that the guide has the table that TestSupabaseCLI tries.
func TestSupabaseCLIGuide(t *testing.T) {
	t.Parallel()
	guide, err := os.ReadFile(supabaseCLIGuide)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, found := strings.Cut(string(guide), supabaseCLIBegin)
	_, after, ended := strings.Cut(rest, supabaseCLIEnd)
	if !found || !ended {
		t.Fatal("the guide has no place for the table")
	}
	var table strings.Builder
	table.WriteString("| # | Command | CLI | What it does | The next plan | To keep the backup |\n|--:|---|---|---|---|---|\n")
	for i, row := range cliCommands {
		plan := "is empty"
		if row.object != "" {
			plan = strings.TrimSpace("**"+row.object+"** "+row.drift) + "; the apply repairs it in place"
		}
		fmt.Fprintf(&table, "| %d | %s | %s | %s | %s | %s |\n", i+1, row.command, strings.Join(row.versions, ", "), row.does, plan, row.keep)
	}
	want := before + supabaseCLIBegin + table.String() + supabaseCLIEnd + after
	if *supabaseCLIUpdate {
		err = os.WriteFile(supabaseCLIGuide, []byte(want), 0o600)
	} else if want != string(guide) {
		err = errors.New("the guide's table differs; run the test with -supabase-cli.update")
	}
	if err != nil {
		t.Error(err)
	}
}
