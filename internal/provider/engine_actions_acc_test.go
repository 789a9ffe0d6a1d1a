package provider_test

import (
	"strings"
	"testing"

	"github.com/aimindset/terraform-provider-aimindset/internal/stack"
)

// migration is a configuration that backs up before a change, as the page of the action
// shows it.
const migration = required + `
	variable "revision" { default = "one" }
	resource "aimindset_auto_backup" "this" { verify = "none" }
	action "aimindset_auto_backup_run" "now" {
		config { name = aimindset_auto_backup.this.name }
	}
	resource "terraform_data" "migration" {
		input = var.revision
		lifecycle {
			action_trigger {
				events  = [before_update]
				actions = [action.aimindset_auto_backup_run.now]
			}
		}
	}
	output "revision" { value = terraform_data.migration.output }`

// invokeNow runs the action of migration by itself.
var invokeNow = append(applyNow, "-invoke=action.aimindset_auto_backup_run.now")

// migrated returns the revision that was last applied.
func (c *cli) migrated() string {
	c.t.Helper()
	return strings.TrimSpace(c.run(0, "output", "-raw", "revision"))
}

// TestActionInTerraform proves with Terraform itself that an action which is triggered
// before a change makes a backup first, that the change is not made if the backup
// fails, and that the action can be run by itself, with the exit code that a pipeline
// asks for.
func TestActionInTerraform(t *testing.T) {
	needFeature(t, "actions")
	t.Parallel()
	p := start(t, stack.Options{Articles: 1})
	c := newCLI(t, migration, p.Environ()...)
	runs := func(want string) {
		t.Helper()
		if got := p.value("select string_agg(trigger || ' ' || state, ', ' order by requested_at) from auto_backup.history"); got != want {
			t.Errorf("the runs are %q, want %q", got, want)
		}
	}
	c.run(0, applyNow...)
	runs("")
	c.says(c.run(0, append(applyNow, "-var=revision=two")...), "succeeded: backup id", "1 changed, 0 destroyed")
	runs("manual succeeded")

	p.sql("alter table public.articles rename to articles_old")
	c.says(c.run(1, append(applyNow, "-var=revision=three")...), "The backup failed", "articles")
	if got := c.migrated(); got != "two" {
		t.Errorf("after a failed backup the revision is %s", got)
	}
	c.says(c.run(1, invokeNow...), "The backup failed", "articles")
	runs("manual succeeded, manual failed, manual failed")

	p.sql("alter table public.articles_old rename to articles")
	c.says(c.run(0, invokeNow...), "succeeded: backup id")
	c.run(0, append(applyNow, "-var=revision=three")...)
	if got := c.migrated(); got != "three" {
		t.Errorf("after a backup the revision is %s", got)
	}
	runs("manual succeeded, manual failed, manual failed, manual succeeded, manual succeeded")
	c.run(0, destroyNow...)
}

// TestActionInterrupted proves with Terraform itself what Ctrl-C does while an action
// waits: Terraform ends with an error that says that the run continues and how to look
// at it, the change that the backup was to precede is not made, and the backup is.
func TestActionInterrupted(t *testing.T) {
	needFeature(t, "actions")
	t.Parallel()
	p := start(t, stack.Options{Articles: 1})
	c := newCLI(t, migration, p.Environ()...)
	c.run(0, applyNow...)
	for _, args := range [][]string{append(applyNow, "-var=revision=two"), invokeNow} {
		p.sql("delete from auto_backup.runs")
		release := p.holdBackups()
		terraform := c.begin(args...)
		p.await("true", "select bool_or(state = 'running') from auto_backup.history")
		run := p.value("select run_id from auto_backup.runs")
		if err := terraform.Interrupt(); err != nil {
			t.Fatal(err)
		}
		ended, err := terraform.Wait()
		if err != nil {
			t.Fatal(err)
		}
		if ended.Exit != 1 || strings.Contains(ended.Output, "Apply complete") {
			t.Errorf("Terraform ended with %d:\n%s", ended.Exit, ended.Output)
		}
		c.says(ended.Output, "Run "+run+" of backup "+p.ProjectRef+"/auto-backup is ", "continues in the project")
		release()
		p.await("succeeded", "select state from auto_backup.history where run_id = '"+run+"'")
		if got := c.migrated(); got != "one" {
			t.Errorf("after an interrupt the revision is %s", got)
		}
	}
	c.run(0, append(applyNow, "-var=revision=two")...)
}
