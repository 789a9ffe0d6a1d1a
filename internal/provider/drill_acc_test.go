package provider_test

import (
	"fmt"
	"regexp"
	"testing"

	"github.com/hashicorp/terraform-plugin-testing/helper/resource"
	"github.com/hashicorp/terraform-plugin-testing/knownvalue"
	"github.com/hashicorp/terraform-plugin-testing/plancheck"
	"github.com/hashicorp/terraform-plugin-testing/statecheck"
	"github.com/hashicorp/terraform-plugin-testing/terraform"
	"github.com/hashicorp/terraform-plugin-testing/tfjsonpath"

	"github.com/aimindset/terraform-provider-aimindset/internal/stack"
)

// TestDrill proves the whole life of a restore drill: every backup has one, which knows
// the tables and columns from the text of the SQL function, and finds in a real backup
// exactly what that loses; a changed argument is applied, a change outside Terraform is
// named and repaired, an import reads it back, also the tables that are named, a
// retention needs it, and a drill that is switched off has an inactive job.
func TestDrill(t *testing.T) {
	t.Parallel()
	everyTransport(t, stack.Options{Articles: 20}, func(t *testing.T, p *project) {
		const (
			name = "aimindset_auto_backup.this"
			job  = `select coalesce(max(schedule || ' ' || active || ' ' || command), 'none') from cron.job where jobname = 'auto-backup-drill'`
			lost = `select coalesce(string_agg(concat_ws(' ', t.value ->> 'table', c.value ->> 'name', c.value ->> 'rows', c.value ->> 'reason'), ', ' order by t.place, c.place), '')
				from (select * from auto_backup.drills order by drill_id desc limit 1) d
				cross join jsonb_array_elements(d.tables) with ordinality as t (value, place)
				cross join jsonb_array_elements(t.value -> 'columns_lost') with ordinality as c (value, place)
				where t.value ->> 'table' = 'public.comments'`
			state = `select state || coalesce(' ' || code || ' ' || error, '') from auto_backup.drills order by drill_id desc limit 1`
		)
		is := func(query, want string) resource.TestCheckFunc {
			return func(*terraform.State) error {
				if got := p.value(query); got != want {
					return fmt.Errorf("%s: %q, want %q", query, got, want)
				}
				return nil
			}
		}
		does := func(statement string) resource.TestCheckFunc {
			return func(*terraform.State) error { p.asPostgres(statement); return nil }
		}
		expected := func() string {
			return p.value(`select format('public.comments parent_id %s not_copied, public.comments likes %s not_copied', count(parent_id), count(*) filter (where likes <> 0)) from public.comments`)
		}
		drill := does(`do $do$ begin perform auto_backup.drill('auto-backup', 'manual'); end $do$`)
		takeSteps(t, resource.TestCase{
			ProtoV6ProviderFactories: factories,
			Steps: []resource.TestStep{
				{Config: p.config(`drill = { tables = { articles = "public.backup_articles" } }`), ExpectError: regexp.MustCompile(`"articles"\s+is\s+not\s+a\s+table\s+with\s+its\s+schema`)},
				{Config: p.config(`drill = { require_columns = ["comments.likes"] }`), ExpectError: regexp.MustCompile(`"comments.likes" is not a column with its\s+schema\s+and\s+table`)},
				{Config: p.config(`
					drill     = { enabled = false }
					retention = {}`), ExpectError: regexp.MustCompile(`Old\s+backups\s+are\s+removed\s+only\s+after\s+a\s+drill`)},
				{Config: p.config(`drill = { timeout = "10ms" }`), ExpectError: regexp.MustCompile(`"10ms"\s+is\s+not\s+between\s+one\s+second\s+and\s+one\s+hour`)},
				{
					Config: p.config(`verify = "backup"`),
					ConfigPlanChecks: resource.ConfigPlanChecks{PreApply: []plancheck.PlanCheck{
						plancheck.ExpectKnownValue(name, tfjsonpath.New("cron_utc").AtMapKey("drill"), knownvalue.StringExact("30 7 * * 0")),
					}},
					Check: resource.ComposeTestCheckFunc(
						is(job, "30 7 * * 0 true set statement_timeout = '120s'; select auto_backup.drill('auto-backup')"),
						drill, is(state, "successful"),
						func(*terraform.State) error { return is(lost, expected())(nil) },
					),
				},
				{ResourceName: name, ImportState: true, ImportStateVerify: true, ImportStateVerifyIgnore: []string{"verify", "verified"}},
				{
					Config: p.config(`
						verify = "backup"
						drill  = {}`),
					ConfigPlanChecks: resource.ConfigPlanChecks{PreApply: []plancheck.PlanCheck{plancheck.ExpectEmptyPlan()}},
				},
				{
					Config: p.config(`drill = { cron = "0 5 * * *", timezone = "UTC", timeout = "3m", require_columns = ["public.comments.likes"], tables = { "public.comments" = "public.backup_comments", "public.articles" = "public.backup_articles" } }`),
					Check: resource.ComposeTestCheckFunc(
						is(job, "0 5 * * * true set statement_timeout = '180s'; select auto_backup.drill('auto-backup')"),
						drill,
						func(*terraform.State) error {
							return is(state, "failed drill_column_lost public.comments: likes ("+p.value("select count(*) filter (where likes <> 0) from public.comments")+")")(nil)
						},
					),
				},
				{ResourceName: name, ImportState: true, ImportStateVerify: true, ImportStateVerifyIgnore: []string{"verify", "verified"}},
				{
					PreConfig: func() {
						p.asPostgres(`select cron.unschedule('auto-backup-drill')`)
						p.sql(`update auto_backup.settings set document = jsonb_set(document, '{drill,max_rows}', '7')`)
					},
					Config: p.config(`
						drill     = { cron = "0 5 * * *", timezone = "UTC", timeout = "180s", require_columns = ["public.comments.likes"] }
						retention = { keep_last = 3, weekly = 8 }`),
					ConfigPlanChecks: resource.ConfigPlanChecks{PreApply: []plancheck.PlanCheck{
						plancheck.ExpectResourceAction(name, plancheck.ResourceActionUpdate),
					}},
					Check: resource.ComposeTestCheckFunc(
						is(job, "0 5 * * * true set statement_timeout = '180s'; select auto_backup.drill('auto-backup')"),
						is(`select document #>> '{drill,max_rows}' from auto_backup.settings`, "100000"),
						is(`select jsonb_array_length(document #> '{drill,tables}') from auto_backup.settings`, "3"),
						is(`select command from cron.job where jobname = 'auto-backup-retention'`, "set statement_timeout = '60s'; select auto_backup.retain('auto-backup')"),
						is(`select r ->> 'skipped' from auto_backup.retain('auto-backup') r`, "the latest restore drill was not successful"),
					),
				},
				{ResourceName: name, ImportState: true, ImportStateVerify: true, ImportStateVerifyIgnore: []string{"verify", "verified"}},
				{
					Config: p.config(`drill = { enabled = false }`),
					Check: resource.ComposeTestCheckFunc(
						is(job, "30 7 * * 0 false set statement_timeout = '120s'; select auto_backup.drill('auto-backup')"),
						is(`select count(*) from cron.job where jobname = 'auto-backup-retention'`, "0"),
						drill, is(state, "successful"), // a person may still ask for one
					),
				},
				{ResourceName: name, ImportState: true, ImportStateVerify: true, ImportStateVerifyIgnore: []string{"verify", "verified"}},
				{
					Config: p.config(""),
					Check:  is(job, "30 7 * * 0 true set statement_timeout = '120s'; select auto_backup.drill('auto-backup')"),
					ConfigStateChecks: []statecheck.StateCheck{
						statecheck.ExpectKnownValue(name, tfjsonpath.New("drill").AtMapKey("enabled"), knownvalue.Bool(true)),
					},
				},
			},
		})
	})
}

// TestDrillWithoutTables proves that a backup whose SQL function does not show what it
// copies is installed all the same: the plan that installs it says once that no drill
// takes place, later plans are silent, the status says it without calling the backup
// unhealthy for it, and naming the tables is enough.
func TestDrillWithoutTables(t *testing.T) {
	t.Parallel()
	p := start(t, stack.Options{Articles: 2})
	p.sql(fake("broken()", "json", `begin execute format('insert into %I select 1', 'x'); return json_build_object('success', true, 'backup_id', gen_random_uuid()); end`))
	config := func(arguments string) string {
		return required + `
			resource "aimindset_auto_backup" "this" {
				verify   = "none"
				function = { rpc = "broken" }
				` + arguments + `
			}
			data "aimindset_auto_backup_status" "this" {
				depends_on = [aimindset_auto_backup.this]
			}
			output "problems" {
				value = [for p in data.aimindset_auto_backup_status.this.problems : "${p.code} ${p.severity}" if startswith(p.code, "drill_")]
			}`
	}
	const untold = "does not show which tables it copies, so no restore drill takes place"
	c := newCLI(t, config(""), p.Environ()...)
	c.says(c.run(0, "plan", "-no-color"), untold)
	c.says(c.run(0, "apply", "-auto-approve", "-no-color"), "drill_no_tables warning")
	for _, arguments := range []string{"", `retry = { attempts = 2 }`, `drill = { enabled = false }`} {
		c.configure(config(arguments))
		c.silent(c.run(0, "plan", "-no-color"), untold)
	}
	c.configure(config(`drill = { tables = { "public.articles" = "public.backup_articles" } }`))
	out := c.run(0, "apply", "-auto-approve", "-no-color")
	c.silent(out, untold)
	if got := p.value("select document #>> '{drill,tables,0,copy,1}' from auto_backup.settings"); got != "backup_articles" {
		t.Errorf("the drill restores from %q", got)
	}
	c.silent(c.run(0, "output", "-no-color", "problems"), "drill_no_tables")
	c.run(0, "plan", "-detailed-exitcode", "-no-color")
}
