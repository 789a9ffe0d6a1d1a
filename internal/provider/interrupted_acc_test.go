package provider_test

import (
	"errors"
	"fmt"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/terraform-plugin-testing/helper/resource"
	"github.com/hashicorp/terraform-plugin-testing/plancheck"

	"github.com/aimindset/terraform-provider-aimindset/internal/payload"
	"github.com/aimindset/terraform-provider-aimindset/internal/stack"
)

// required is the part of a configuration that names the provider's source.
const required = `
	terraform {
	  required_providers {
	    aimindset = { source = "aimindset/aimindset" }
	  }
	}
	`

// forget loses the state, as an apply does that dies before it could write it.
func (c *cli) forget() {
	c.t.Helper()
	if err := c.Forget(); err != nil {
		c.t.Fatal(err)
	}
}

// TestLostState proves that a create continues an installation which was not
// finished, and says so; and that a finished one is refused, however young, with the
// block that imports it, unless it is to be adopted: another state may have it.
func TestLostState(t *testing.T) {
	t.Parallel()
	p := start(t, stack.Options{})
	resource := func(arguments string) string {
		return required + `resource "aimindset_auto_backup" "this" {` + "\n" + arguments + "\n}"
	}
	c := newCLI(t, resource(""), p.Environ()...)
	const image = "select jsonb_build_array((select jsonb_agg(to_jsonb(j) order by j.jobid) from cron.job j), (select jsonb_agg(to_jsonb(s)) from auto_backup.settings s))"
	c.run(0, "apply", "-auto-approve", "-no-color")

	before := p.value(image)
	c.forget()
	for _, command := range [][]string{{"plan", "-no-color"}, {"apply", "-auto-approve", "-no-color"}} {
		c.says(c.run(1, command...), "The backup already exists", p.ProjectRef+"/auto-backup", "adopt_existing", "another `name`")
	}
	if got := p.value(image); got != before {
		t.Errorf("the refused apply has changed\n%s\nto\n%s", before, got)
	}

	c.configure(resource("adopt_existing = true"))
	c.says(c.run(0, "apply", "-auto-approve", "-no-color"), "An installed backup is adopted", "1 added")
	c.run(0, "plan", "-detailed-exitcode", "-no-color")

	c.configure(resource(""))
	c.forget()
	p.asPostgres("select cron.unschedule('auto-backup-daily')")
	p.sql("update auto_backup.settings set completed_at = null, created_at = now() - interval '2 days'")
	c.says(c.run(0, "apply", "-auto-approve", "-no-color"), "An interrupted apply is continued", "its installation was not finished")
	c.run(0, "plan", "-detailed-exitcode", "-no-color")
	if got := p.value("select string_agg(jobname, ',' order by jobname) from cron.job where jobname like 'auto-backup-%'"); got != "auto-backup-daily,auto-backup-drill,auto-backup-watchdog" {
		t.Errorf("the jobs are %s", got)
	}
	if got := p.value("select completed_at is not null from auto_backup.settings"); got != "true" {
		t.Error("the installation does not count as finished")
	}
}

// TestSecondState proves that a second state with the same configuration, as that of
// "terraform test" in the directory of a live backup, neither takes the backup over
// nor removes it when it ends.
func TestSecondState(t *testing.T) {
	t.Parallel()
	p := start(t, stack.Options{})
	config := required + `resource "aimindset_auto_backup" "this" {}`
	first := newCLI(t, config, p.Environ()...)
	first.run(0, "apply", "-auto-approve", "-no-color")
	before := p.value("select jsonb_agg(to_jsonb(j) order by j.jobid) from cron.job j")

	second := newCLI(t, config, p.Environ()...)
	second.says(second.run(1, "apply", "-auto-approve", "-no-color"), "The backup already exists")
	second.run(0, "destroy", "-auto-approve", "-no-color")
	if err := os.WriteFile(filepath.Join(first.Dir, "backup.tftest.hcl"), []byte("run \"apply\" {\n  assert {\n    condition     = aimindset_auto_backup.this.name == \"auto-backup\"\n    error_message = \"no\"\n  }\n}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	first.says(first.run(1, "test", "-no-color"), "The backup already exists", "0 passed")

	if got := p.value("select jsonb_agg(to_jsonb(j) order by j.jobid) from cron.job j"); got != before {
		t.Errorf("the jobs were\n%s\nand are\n%s", before, got)
	}
	first.run(0, "plan", "-detailed-exitcode", "-no-color")
	p.works("auto-backup")
}

// TestFailedRotation proves that a rotation which failed before the token was
// replaced is planned again, and done by the next apply.
func TestFailedRotation(t *testing.T) {
	t.Parallel()
	p := start(t, stack.Options{})
	const token = "select id || encode(sha256(convert_to(decrypted_secret, 'UTF8')), 'hex') from vault.decrypted_secrets where name = 'auto-backup/token'"
	var before string
	takeSteps(t, resource.TestCase{
		ProtoV6ProviderFactories: factories,
		Steps: []resource.TestStep{
			{Config: p.config("")},
			{
				PreConfig: func() {
					before = p.value(token)
					p.InterceptAPI(refusing(http.MethodPost, "/secrets"))
				},
				Config:      p.config(`rotate_token = "now"`),
				ExpectError: regexp.MustCompile("400"),
			},
			{
				PreConfig:        func() { p.InterceptAPI(nil) },
				Config:           p.config(`rotate_token = "now"`),
				ConfigPlanChecks: action(plancheck.ResourceActionUpdate),
			},
			{
				PreConfig: func() {
					if after := p.value(token); after == before || before == "" {
						t.Error("the token was not replaced")
					}
				},
				Config:           p.config(`rotate_token = "now"`),
				ConfigPlanChecks: empty(),
			},
		},
	})
}

// faulty has calls of the project's Management API fail.
func (p *project) faulty() *stack.FaultyStack {
	p.t.Helper()
	f, err := p.Faulty()
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(f.Close)
	return f
}

// later ends the lease of an apply that died, as time does.
func (p *project) later() {
	p.t.Helper()
	p.sql("do $$ begin if to_regclass('auto_backup.leases') is not null then update auto_backup.leases set expires_at = now(); end if; end $$")
}

// TestKilledProvider proves with whole applies of Terraform, whose provider is
// killed in the middle of a create, an update and a destroy, that the next apply
// puts everything right whatever the state has missed, after an import where the
// installation was finished; and that the plan is empty then.
func TestKilledProvider(t *testing.T) {
	t.Parallel()
	p := start(t, stack.Options{})
	faulty := p.faulty()
	c := newCLI(t, required+`
		variable "cron" {
		  default = "0 3 * * *"
		}
		resource "aimindset_auto_backup" "this" {
		  schedules = { daily = { cron = var.cron } }
		  secrets   = { EXTRA = var.cron }
		  verify    = "none"
		}`, p.Environ()...)
	const query = "POST /v1/projects/{ref}/database/query"
	// The last statement of a create writes the jobs and releases the lease.
	faulty.Begin(nil, nil)
	c.run(0, "apply", "-auto-approve", "-no-color")
	calls, _, err := faulty.End()
	if err != nil {
		t.Fatal(err)
	}
	statements := 0
	for _, call := range calls {
		if call.Name == query {
			statements++
		}
	}
	c.run(0, "destroy", "-auto-approve", "-no-color")

	apply, destroy := []string{"apply", "-auto-approve", "-no-color"}, []string{"destroy", "-auto-approve", "-no-color"}
	other := slices.Concat(apply, []string{"-var=cron=30 2 * * *"})
	for _, step := range []struct {
		name string
		call stack.RemoteCall
		args []string
		// finished says that the installation is finished and the state lacks it.
		finished bool
	}{
		{"create at the function", stack.RemoteCall{Name: "POST /v1/projects/{ref}/functions/deploy", N: 1}, apply, false},
		{"update at the secrets", stack.RemoteCall{Name: "POST /v1/projects/{ref}/secrets", N: 1}, other, false},
		{"destroy at the function", stack.RemoteCall{Name: "DELETE /v1/projects/{ref}/functions/{function_slug}", N: 1}, destroy, false},
		{"create at the jobs", stack.RemoteCall{Name: query, N: statements}, apply, true},
		{"destroy at the end", stack.RemoteCall{Name: "DELETE /v1/projects/{ref}/secrets", N: 1}, destroy, false},
	} {
		var terraform *stack.TerraformProcess
		var failed error
		started := make(chan struct{})
		faulty.Begin(&stack.Trap{Call: step.call, Fault: stack.Kill, Act: func() {
			<-started
			failed = terraform.KillProvider()
		}}, nil)
		terraform = c.begin(step.args...)
		close(started)
		run, ended := terraform.Wait()
		_, sprung, err := faulty.End()
		if err := errors.Join(ended, err, failed); err != nil || !sprung || run.Exit != 1 {
			t.Fatalf("%s: the provider was not killed (%v); Terraform ended with %d:\n%s", step.name, err, run.Exit, run.Output)
		}
		p.later()
		if step.finished {
			c.says(c.run(1, step.args...), "The backup already exists")
			c.run(0, "import", "-no-color", address, p.ProjectRef+"/auto-backup")
		}
		c.run(0, step.args...)
		if step.args[0] == "destroy" {
			if left := p.traces("auto-backup"); len(left) > 0 {
				t.Errorf("%s: what is left is %v", step.name, left)
			}
			continue
		}
		c.run(0, slices.Concat([]string{"plan", "-detailed-exitcode", "-no-color"}, step.args[3:])...)
		if jobs := p.value("select string_agg(jobname || active, ',' order by jobname) from cron.job where jobname like 'auto-backup-%'"); jobs != "auto-backup-dailytrue,auto-backup-drilltrue,auto-backup-watchdogtrue" {
			t.Errorf("%s: the jobs are %s", step.name, jobs)
		}
	}
}

// TestInterrupt proves that Ctrl-C ends an update whose server does not answer,
// that the state knows what was done, and that the next apply goes on from there.
func TestInterrupt(t *testing.T) {
	t.Parallel()
	p := start(t, stack.Options{})
	faulty := p.faulty()
	c := newCLI(t, required+`
		variable "extra" {
		  default = "first"
		}
		resource "aimindset_auto_backup" "this" {
		  secrets = { EXTRA = var.extra }
		  alert   = { source = var.extra }
		  verify  = "none"
		}`, p.Environ()...)
	c.run(0, "apply", "-auto-approve", "-no-color")
	update := []string{"apply", "-auto-approve", "-no-color", "-var=extra=second"}
	var terraform *stack.TerraformProcess
	started := make(chan struct{})
	deploy := stack.RemoteCall{Name: "POST /v1/projects/{ref}/functions/deploy", N: 1}
	faulty.Begin(&stack.Trap{Call: deploy, Fault: stack.Hang, Act: func() {
		<-started
		faulty.Release()
		_ = terraform.Interrupt()
	}}, nil)
	terraform = c.begin(update...)
	close(started)
	run, ended := terraform.Wait()
	if _, sprung, err := faulty.End(); ended != nil || err != nil || !sprung {
		t.Fatalf("nothing hung: %v\n%s", errors.Join(ended, err), run.Output)
	}
	if run.Exit != 1 || !strings.Contains(run.Output, "was interrupted") {
		t.Errorf("Terraform ended with %d:\n%s", run.Exit, run.Output)
	}
	// The secret was set before the function, and the state knows it.
	if out := c.run(2, "plan", "-detailed-exitcode", "-no-color", "-var=extra=second"); strings.Contains(out, "secret_fingerprints") || !strings.Contains(out, "config.json") {
		t.Errorf("the plan after the interrupt is not what is missing:\n%s", out)
	}
	p.later()
	c.run(0, update...)
	c.run(0, "plan", "-detailed-exitcode", "-no-color", "-var=extra=second")
}

// TestRefreshEnds proves that a refresh and a plan whose server or database does
// not answer end when their time is over, and say what was waited for.
func TestRefreshEnds(t *testing.T) {
	t.Parallel()
	p := start(t, stack.Options{})
	faulty := p.faulty()
	environ := append(p.Environ(), "SUPABASE_DB_URL="+faulty.DatabaseURL)
	config := required + `
		resource "aimindset_auto_backup" "this" {
		  verify   = "none"
		  timeouts = { read = var.read }
		}
		variable "read" {
		  default = "2m"
		}`
	fresh, installed := newCLI(t, config, environ...), newCLI(t, config, environ...)
	const (
		functions = "GET /v1/projects/{ref}/functions"
		statement = "SQL"
	)
	hang := func(c *cli, call stack.RemoteCall, says ...string) {
		t.Helper()
		// A slow machine takes longer to get so far that something can hang.
		for read := 2 * time.Second; ; read *= 2 {
			granted := fmt.Sprintf("-var=read=%s", read)
			if c == installed {
				// A refresh takes the time from the state.
				c.run(0, "apply", "-auto-approve", "-no-color", granted)
			}
			faulty.Begin(&stack.Trap{Call: call, Fault: stack.Hang}, nil)
			began := time.Now()
			out := c.run(1, "plan", "-no-color", granted)
			took := time.Since(began)
			_, sprung, err := faulty.End()
			if err != nil {
				t.Fatalf("%s: %v", call, err)
			}
			if !sprung && read < time.Minute {
				continue
			}
			if !sprung || took < read {
				t.Errorf("%s: hung %t, and the plan, which has %s, took %s", call, sprung, read, took)
			}
			c.says(out, append(says, "The time granted by `timeouts`")...)
			return
		}
	}
	hang(fresh, stack.RemoteCall{Name: statement, N: 1}, "Cannot read the project")
	hang(fresh, stack.RemoteCall{Name: statement, N: 2}, "Cannot check the project")
	hang(installed, stack.RemoteCall{Name: statement, N: 1}, "Cannot read the backup")
	hang(installed, stack.RemoteCall{Name: functions, N: 1}, "Cannot read the backup")
	installed.run(0, "apply", "-auto-approve", "-no-color")
	installed.run(0, "plan", "-detailed-exitcode", "-no-color")
}

// refusing answers 400 to requests of one method and path, which ends with tail.
func refusing(method, tail string) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Method == method && strings.HasSuffix(r.URL.Path, tail) {
				w.WriteHeader(http.StatusBadRequest)
				return
			}
			next.ServeHTTP(w, r)
		})
	}
}

// TestFailedAdoption proves that an adoption which fails, half-way or at its
// proof, leaves the adopted job at work and nothing in the state, whose resource
// Terraform would remove before it creates it again; that it says so; and that the
// next apply goes on from there.
func TestFailedAdoption(t *testing.T) {
	t.Parallel()
	for what, fails := range map[string]struct {
		begin, end func(p *project)
		says       string
	}{
		"half-way": {
			func(p *project) { p.InterceptAPI(refusing(http.MethodPost, "/functions/deploy")) },
			func(p *project) { p.InterceptAPI(nil) },
			"Cannot install the backup",
		},
		"at its proof": {
			answerInstead(http.StatusServiceUnavailable, "application/json", "BOOT_ERROR", `{"code":"BOOT_ERROR","message":"Function failed to start"}`),
			answerAgain,
			"The backup is installed but does not work",
		},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			p := start(t, stack.Options{LegacyJobs: true})
			const job = "select jobid || ' ' || active from cron.job where jobname = 'auto-backup-daily'"
			before := p.value(job)
			c := newCLI(t, required+`resource "aimindset_auto_backup" "this" {
				adopt_existing = true
				schedules      = { daily = { cron = "0 3 * * *" }, secondary = { cron = "0 15 * * *" } }
				secrets        = { EXTRA = "value" }
			}`, p.Environ()...)
			c.run(0, "plan", "-out=plan.bin", "-no-color")
			fails.begin(p)
			c.says(c.run(1, "apply", "-no-color", "plan.bin"), fails.says, "Jobs of backup "+p.ProjectRef+"/auto-backup existed before this apply, so the state does not have it")
			if listed := c.run(0, "state", "list"); strings.TrimSpace(listed) != "" {
				t.Errorf("the state has %s", listed)
			}
			if after := p.value(job); after != before {
				t.Errorf("the adopted job was %s and is %s", before, after)
			}
			fails.end(p)
			out := c.run(0, "apply", "-auto-approve", "-no-color")
			c.says(out, "1 added, 0 changed, 0 destroyed")
			c.run(0, "plan", "-detailed-exitcode", "-no-color")
			if after := p.value(job); after != before {
				t.Errorf("the adopted job was %s and is %s", before, after)
			}
		})
	}
}

// TestClaimedSecrets proves that a state knows the secrets which an update has
// set before it failed, and the jobs that it was to remove, whoever has emptied the
// project's settings meanwhile: the next apply keeps what is wanted and removes what
// is not. If the settings are emptied before the update, it names what it keeps.
func TestClaimedSecrets(t *testing.T) {
	t.Parallel()
	p := start(t, stack.Options{})
	faulty := p.faulty()
	config := func(schedule, secrets string) string {
		return required + `resource "aimindset_auto_backup" "this" {
			schedules = { daily = { cron = "0 3 * * *" }, ` + schedule + ` = { cron = "0 4 * * 0" } }
			secrets   = {` + secrets + `}
			alert     = { source = "` + schedule + `" }
			verify    = "none"
		}`
	}
	c := newCLI(t, config("first", `KEPT = "first", FIRST = "value"`), p.Environ()...)
	c.run(0, "apply", "-auto-approve", "-no-color")
	c.configure(config("second", `KEPT = "second", SECOND = "value"`))
	faulty.Begin(&stack.Trap{Call: stack.RemoteCall{Name: "POST /v1/projects/{ref}/functions/deploy", N: 1}, Fault: stack.Interfere, Act: func() {
		p.sql("drop schema auto_backup cascade")
	}}, nil)
	c.run(1, "apply", "-auto-approve", "-no-color")
	if _, sprung, err := faulty.End(); err != nil || !sprung {
		t.Fatalf("nothing was dropped: %v", err)
	}
	c.run(0, "apply", "-auto-approve", "-no-color")
	c.run(0, "plan", "-detailed-exitcode", "-no-color")
	left := p.SecretDigests()
	if left["KEPT"] == "" || left["SECOND"] == "" || left["FIRST"] != "" {
		t.Errorf("the secrets are %v", slices.Sorted(maps.Keys(left)))
	}
	const jobs = "select string_agg(jobname, ' ' order by jobname) from cron.job where jobname like 'auto-backup-%'"
	if got := p.value(jobs); got != "auto-backup-daily auto-backup-drill auto-backup-second auto-backup-watchdog" {
		t.Errorf("the jobs are %s", got)
	}

	c.configure(config("third", `KEPT = "third"`))
	// The apply has planned, and asks for its rights.
	faulty.Begin(&stack.Trap{Call: stack.RemoteCall{Name: "POST /v1/projects/{ref}/secrets", N: 1}, Fault: stack.Interfere, Act: func() {
		p.sql("delete from auto_backup.settings")
	}}, nil)
	c.says(c.run(0, "apply", "-auto-approve", "-no-color"), "Secrets of others are kept in the project", "supabase secrets unset --project-ref "+p.ProjectRef+" SECOND")
	if _, sprung, err := faulty.End(); err != nil || !sprung {
		t.Fatalf("nothing was deleted: %v", err)
	}
	c.run(0, "plan", "-detailed-exitcode", "-no-color")
	if left := p.SecretDigests(); left["KEPT"] == "" || left["SECOND"] == "" {
		t.Errorf("the secrets are %v", slices.Sorted(maps.Keys(left)))
	}
	if got := p.value(jobs); got != "auto-backup-daily auto-backup-drill auto-backup-third auto-backup-watchdog" {
		t.Errorf("the jobs are %s", got)
	}
}

// TestGoneBackup proves that a state whose backup is not there any more, for
// example because a destroy died before it could say so, is refreshed: a plan
// creates the backup again, and a destroy has nothing to do, but for the schema where
// the destroy died just before that.
func TestGoneBackup(t *testing.T) {
	t.Parallel()
	p := start(t, stack.Options{})
	c := newCLI(t, required+`resource "aimindset_auto_backup" "this" { verify = "none" }`, p.Environ()...)
	c.run(0, "apply", "-auto-approve", "-no-color")
	file := filepath.Join(c.Dir, "terraform.tfstate")
	state, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	c.run(0, "destroy", "-auto-approve", "-no-color")
	if err := os.WriteFile(file, state, 0o600); err != nil {
		t.Fatal(err)
	}
	c.says(c.run(2, "plan", "-detailed-exitcode", "-no-color"), "1 to add, 0 to change, 0 to destroy")
	c.says(c.run(0, "destroy", "-auto-approve", "-no-color"), "0 destroyed")

	p.asPostgres(payload.LoadDispatcher().Install())
	if err := os.WriteFile(file, state, 0o600); err != nil {
		t.Fatal(err)
	}
	c.says(c.run(0, "destroy", "-auto-approve", "-no-color"), "1 destroyed")
	if left := p.traces("auto-backup"); len(left) > 0 {
		t.Errorf("what is left is %v", left)
	}
}

// TestRemovedMeanwhile proves that a function which somebody removes between the
// list and the read of its source is planned as missing.
func TestRemovedMeanwhile(t *testing.T) {
	t.Parallel()
	p := start(t, stack.Options{})
	c := newCLI(t, required+`resource "aimindset_auto_backup" "this" { verify = "none" }`, p.Environ()...)
	c.run(0, "apply", "-auto-approve", "-no-color")
	if err := p.DeployFunction(t.Context(), "auto-backup", map[string]string{"index.ts": "Deno.serve(() => new Response('other'));"}, true); err != nil {
		t.Fatal(err)
	}
	p.InterceptAPI(func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if strings.HasSuffix(r.URL.Path, "/functions/auto-backup/body") {
				p.RemoveFunction("auto-backup")
			}
			next.ServeHTTP(w, r)
		})
	})
	c.says(c.run(2, "plan", "-detailed-exitcode", "-no-color"), `"Edge Function auto-backup" = "is not deployed"`)
}

// TestFailedCreationWithoutSettings proves that what a failed creation has left
// starts again also when somebody has removed the settings, which say that it
// did not come to its end. Without them nothing but the state says whose the secret
// is, so that stays, and writing it takes the permission of the configuration.
func TestFailedCreationWithoutSettings(t *testing.T) {
	t.Parallel()
	p := start(t, stack.Options{})
	config := func(adopt string) string {
		return required + `resource "aimindset_auto_backup" "this" {
			secrets        = { EXTRA = "value" }
			verify         = "none"
			adopt_existing = ` + adopt + `
		}`
	}
	c := newCLI(t, config("false"), p.Environ()...)
	p.InterceptAPI(refusing(http.MethodPost, "/functions/deploy"))
	c.run(1, "apply", "-auto-approve", "-no-color")
	p.InterceptAPI(nil)
	p.sql("delete from auto_backup.settings")
	c.says(c.run(1, "apply", "-auto-approve", "-no-color"), "A failed creation is repeated", "the function secret EXTRA", "adopt_existing = true")
	c.configure(config("true"))
	c.says(c.run(0, "apply", "-auto-approve", "-no-color"), "1 added, 0 changed, 0 destroyed")
	c.run(0, "plan", "-detailed-exitcode", "-no-color")
}

// TestTwoMachines proves with two whole Terraforms, whose states know one
// backup, that two different configurations applied at once leave one of them as
// a whole, and that who was too late is told so.
func TestTwoMachines(t *testing.T) {
	t.Parallel()
	p := start(t, stack.Options{})
	config := required + `
		variable "who" {}
		resource "aimindset_auto_backup" "this" {
		  schedules = { daily = { cron = var.who == "one" ? "0 1 * * *" : "0 2 * * *" } }
		  secrets   = { (upper(var.who)) = "x" }
		  alert     = { source = var.who }
		  verify    = "none"
		}`
	one := newCLI(t, config, append(p.Environ(), "TF_VAR_who=one")...)
	two := newCLI(t, config, append(p.Environ(), "TF_VAR_who=two")...)
	one.run(0, "apply", "-auto-approve", "-no-color")
	state, err := os.ReadFile(filepath.Join(one.Dir, "terraform.tfstate"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(two.Dir, "terraform.tfstate"), state, 0o600); err != nil {
		t.Fatal(err)
	}
	two.run(0, "apply", "-auto-approve", "-no-color")
	for range 3 {
		// Also the one whose configuration is there has something to do.
		p.asPostgres("select cron.unschedule('auto-backup-watchdog')")
		runs := map[string]stack.TerraformRun{}
		working := map[string]*stack.TerraformProcess{
			"one": one.begin("apply", "-auto-approve", "-no-color"), "two": two.begin("apply", "-auto-approve", "-no-color"),
		}
		for who, terraform := range working {
			if runs[who], err = terraform.Wait(); err != nil {
				t.Fatal(err)
			}
		}
		won := p.value("select document -> 'alert' ->> 'source' from auto_backup.settings")
		for who, run := range runs {
			told := regexp.MustCompile(`changed\s+while\s+it\s+was\s+applied|may\s+no\s+longer\s+change|is\s+being\s+changed\s+by`).MatchString(run.Output)
			if run.Exit != 0 && (who == won || !told) {
				t.Errorf("%q ended with %d while the project is that of %q:\n%s", who, run.Exit, won, run.Output)
			}
		}
		cron := map[string]string{"one": "0 4 * * *", "two": "0 5 * * *"}[won]
		if got := p.value("select string_agg(schedule, ', ' order by jobname) from cron.job where jobname like 'auto-backup-%'"); got != cron+", 30 7 * * 0, */10 * * * *" {
			t.Errorf("the settings are those of %q, the jobs run at %s", won, got)
		}
		source := ""
		for file, content := range p.FunctionFiles("auto-backup") {
			if strings.HasSuffix(file, "config.json") {
				source = content
			}
		}
		if !strings.Contains(source, `"source": "`+won+`"`) {
			t.Errorf("the settings are those of %q, the function's are %s", won, source)
		}
		if got := p.value("select document -> 'secrets' from auto_backup.settings"); got != `["`+strings.ToUpper(won)+`"]` {
			t.Errorf("the settings are those of %q, the secrets are %s", won, got)
		}
	}
}
