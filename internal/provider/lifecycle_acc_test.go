package provider_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/aimindset/terraform-provider-aimindset/internal/stack"
)

const (
	// due are the active jobs that make a backup.
	due = "select coalesce(string_agg(jobname, ',' order by jobname), '') from cron.job where active and jobname like '%-daily'"

	createFirst = "lifecycle { create_before_destroy = true }"
)

// works proves that a backup is installed and makes a backup.
func (p *project) works(name string) {
	p.t.Helper()
	before := p.value("select count(*) from public.backup_logs where action_type = 'auto_backup' and success")
	p.asPostgres(fmt.Sprintf("do $$ begin perform auto_backup.start('%s', 'manual', 'manual', clock_timestamp(), 1); end $$", name))
	p.await("true", "select count(*) > $1::int from public.backup_logs where action_type = 'auto_backup' and success", before)
}

// countJobs has the database note, whenever a job is made or changed, how many
// jobs make a backup. It returns a function that reads what was noted. (pg_cron
// removes a job below the level at which triggers run.)
func (p *project) countJobs() func() string {
	p.t.Helper()
	p.sql(`
		create table public.job_counts (id serial, jobs int);
		create function public.count_jobs() returns trigger language plpgsql security definer as
			$$ begin insert into public.job_counts (jobs) select count(*) from cron.job where active and jobname like '%-daily'; return null; end $$;
		create trigger count_jobs after insert or update or delete on cron.job execute function public.count_jobs()`)
	return func() string {
		p.t.Helper()
		return p.value("select string_agg(distinct jobs::text, ',' order by jobs::text) from public.job_counts")
	}
}

// TestRename proves what another name means: a new backup. By default the old
// one goes first, and there are never two; with create_before_destroy there is
// one at every moment. Nothing of the old one stays.
func TestRename(t *testing.T) {
	t.Parallel()
	for lifecycle, counts := range map[string]string{"": "1", createFirst: "2"} {
		t.Run(lifecycle, func(t *testing.T) {
			t.Parallel()
			p := start(t, stack.Options{})
			config := func(name string) string {
				return required + fmt.Sprintf(`resource "aimindset_auto_backup" "this" {
					name = %q
					%s
				}`, name, lifecycle)
			}
			c := newCLI(t, config("auto-backup"), p.Environ()...)
			c.run(0, "apply", "-auto-approve", "-no-color")
			counted := p.countJobs()
			c.configure(config("night-backup"))
			c.says(c.run(0, "apply", "-auto-approve", "-no-color"), "1 added, 0 changed, 1 destroyed")
			c.run(0, "plan", "-detailed-exitcode", "-no-color")
			if got := p.value(due); got != "night-backup-daily" {
				t.Errorf("the active jobs are %s", got)
			}
			if got := counted(); got != counts {
				t.Errorf("when the new job came there were %s active jobs, not %s", got, counts)
			}
			for _, left := range p.traces("auto-backup") {
				if !strings.Contains(left, "NIGHT_BACKUP_TOKEN") && left != "schema auto_backup" {
					t.Errorf("the old backup left its %s", left)
				}
			}
			p.works("night-backup")
		})
	}
}

// TestReplacedByItself proves that a replacement under the same name never ends
// without a backup. One that works is not replaced, whatever the lifecycle
// says: the plan refuses and names the way out. What a failed creation has left
// is removed or taken over, and with create_before_destroy the removal of the
// old object leaves alone what the new one has taken over. The plan with -replace
// does not read the function's source again.
func TestReplacedByItself(t *testing.T) {
	t.Parallel()
	for _, lifecycle := range []string{"", createFirst} {
		t.Run(lifecycle, func(t *testing.T) {
			t.Parallel()
			p := start(t, stack.Options{})
			c := newCLI(t, required+`resource "aimindset_auto_backup" "this" {`+"\n"+lifecycle+"\n}", p.Environ()...)
			installed := func() {
				t.Helper()
				c.run(0, "plan", "-detailed-exitcode", "-no-color")
				if got := p.value(due); got != "auto-backup-daily" {
					t.Errorf("the active jobs are %q", got)
				}
				p.works("auto-backup")
			}

			// The creation fails at its proof, which taints the resource.
			p.BreakFunction("auto-backup", true)
			c.says(c.run(1, "apply", "-auto-approve", "-no-color"), "The backup is installed but does not work")
			p.BreakFunction("auto-backup", false)
			p.sql("update auto_backup.settings set created_at = now() - interval '2 days'")
			out := c.run(0, "apply", "-auto-approve", "-no-color")
			c.says(out, "A failed creation is repeated", "1 added, 0 changed, 1 destroyed")
			if lifecycle == createFirst {
				c.says(out, "An interrupted apply is continued", "Nothing was removed")
			}
			installed()

			calls := len(p.APICalls())
			c.says(c.run(1, "apply", "-auto-approve", "-no-color", "-replace="+address), "The backup cannot be replaced", "if you use -replace")
			for _, call := range p.APICalls()[calls:] {
				if strings.HasSuffix(call.Path, "/body") {
					t.Error("the plan of a replacement reads the source again, which the private state knows")
				}
			}
			installed()
			c.run(0, "taint", address)
			c.says(c.run(1, "apply", "-auto-approve", "-no-color"), "The backup cannot be replaced", `"terraform untaint"`)
			c.run(0, "untaint", address)
			installed()

			c.run(0, "destroy", "-auto-approve", "-no-color")
			if left := p.traces("auto-backup"); len(left) > 0 {
				t.Errorf("destroy left %v", left)
			}
		})
	}
}

// TestAddresses proves that a backup follows its address in the configuration
// without a change in the project: by a moved block, into count and for_each,
// and by "terraform state mv"; and that a move which Terraform was not told of
// is refused before it removes and makes one backup at the same time.
func TestAddresses(t *testing.T) {
	t.Parallel()
	p := start(t, stack.Options{})
	block := func(address, arguments string) string {
		return fmt.Sprintf("resource \"aimindset_auto_backup\" %q {\n%s\n}\n", address, arguments)
	}
	moved := func(from, to string) string {
		return fmt.Sprintf("moved {\nfrom = aimindset_auto_backup.%s\nto = aimindset_auto_backup.%s\n}\n", from, to)
	}
	c := newCLI(t, required+block("this", ""), p.Environ()...)
	c.run(0, "apply", "-auto-approve", "-no-color")
	before := p.value("select jsonb_agg(to_jsonb(j)) from cron.job j")
	follows := func(config string) {
		t.Helper()
		c.configure(required + config)
		c.says(c.run(0, "apply", "-auto-approve", "-no-color"), "0 added, 0 changed, 0 destroyed")
		c.run(0, "plan", "-detailed-exitcode", "-no-color")
	}
	follows(block("main", "") + moved("this", "main"))
	follows(block("main", "count = 1"))
	follows(block("main", `
		for_each = { auto-backup = "0 3 * * *" }
		name     = each.key`) + moved("main[0]", `main["auto-backup"]`))
	c.configure(required + block("other", ""))
	c.says(c.run(1, "plan", "-no-color"), "removed under one address and created under another", "moved {")
	c.run(0, "state", "mv", `aimindset_auto_backup.main["auto-backup"]`, "aimindset_auto_backup.other")
	c.run(0, "plan", "-detailed-exitcode", "-no-color")

	c.configure(required + block("other", "") + block("twin", ""))
	c.says(c.run(1, "plan", "-no-color"), "Two resources describe the same backup")
	if got := p.value("select jsonb_agg(to_jsonb(j)) from cron.job j"); got != before {
		t.Errorf("the jobs were\n%s\nand are\n%s", before, got)
	}
}

// TestForget proves that a backup which is taken out of the state goes on, and
// that it comes back by an import without a change in the project.
func TestForget(t *testing.T) {
	t.Parallel()
	p := start(t, stack.Options{})
	resource := required + `resource "aimindset_auto_backup" "this" {}` + "\n"
	c := newCLI(t, resource, p.Environ()...)
	c.run(0, "apply", "-auto-approve", "-no-color")
	c.configure(required + `removed {
		from = aimindset_auto_backup.this
		lifecycle { destroy = false }
	}`)
	c.says(c.run(0, "apply", "-auto-approve", "-no-color"), "0 added, 0 changed, 0 destroyed")
	p.works("auto-backup")

	c.configure(resource)
	c.says(c.run(1, "plan", "-no-color"), "The backup already exists", "import { to = aimindset_auto_backup.this")
	c.configure(resource + fmt.Sprintf("import {\n  to = aimindset_auto_backup.this\n  id = %q\n}\n", p.ProjectRef+"/auto-backup"))
	c.says(c.run(0, "apply", "-auto-approve", "-no-color"), "1 imported, 0 added, 0 changed, 0 destroyed")
	c.run(0, "plan", "-detailed-exitcode", "-no-color")
	p.works("auto-backup")
}

// TestTwoBackups proves that backups of different names share a project: one
// is made by -target without the other, neither is taken for a conflicting job of
// the other, removing one leaves the other, and removing both at the same time
// leaves nothing.
func TestTwoBackups(t *testing.T) {
	t.Parallel()
	p := start(t, stack.Options{})
	check := "select pg_get_constraintdef(oid) from pg_constraint where conname = 'backup_logs_action_type_check'"
	rule := p.value(check)
	block := func(name string) string {
		return fmt.Sprintf("resource \"aimindset_auto_backup\" %q {\nname = %q\n}\n", name, name)
	}
	// The name of one begins with that of the other.
	c := newCLI(t, required+block("auto")+block("auto-backup"), p.Environ()...)
	c.run(0, "apply", "-auto-approve", "-no-color", "-target=aimindset_auto_backup.auto")
	if got := p.value(due); got != "auto-daily" {
		t.Errorf("the active jobs are %s", got)
	}
	c.silent(c.run(0, "apply", "-auto-approve", "-no-color"), "makes the same backup")
	c.silent(c.run(0, "plan", "-detailed-exitcode", "-no-color"), "makes the same backup")
	p.works("auto")
	p.works("auto-backup")

	c.configure(required + block("auto"))
	c.says(c.run(0, "apply", "-auto-approve", "-no-color"), "0 added, 0 changed, 1 destroyed")
	c.run(0, "plan", "-detailed-exitcode", "-no-color")
	p.works("auto")

	c.configure(required + block("auto") + block("auto-backup"))
	c.run(0, "apply", "-auto-approve", "-no-color")
	c.run(0, "destroy", "-auto-approve", "-no-color")
	for _, name := range []string{"auto", "auto-backup"} {
		if left := p.traces(name); len(left) > 0 {
			t.Errorf("destroy left %v", left)
		}
	}
	if got := strings.TrimSuffix(p.value(check), " NOT VALID"); got != rule {
		t.Errorf("the CHECK of the log was %s and is %s", rule, got)
	}
}
