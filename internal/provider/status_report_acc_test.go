package provider_test

import (
	"context"
	"fmt"
	"regexp"
	"testing"
	"time"

	"github.com/hashicorp/terraform-plugin-testing/helper/resource"
	"github.com/hashicorp/terraform-plugin-testing/knownvalue"
	"github.com/hashicorp/terraform-plugin-testing/plancheck"
	"github.com/hashicorp/terraform-plugin-testing/statecheck"

	"github.com/aimindset/terraform-provider-aimindset/internal/stack"
)

// output is one that has an attribute of the status as its value.
func output(name, attribute string) string {
	return fmt.Sprintf("\noutput %q {\n  value = %s.%s\n}\n", name, status, attribute)
}

// waits waits between an apply and the plan after it.
type waits func()

func (w waits) CheckState(context.Context, statecheck.CheckStateRequest, *statecheck.CheckStateResponse) {
	w()
}

// TestReportPlansEmpty proves that a configuration with the report, the picture, the
// summary and the nights as its outputs plans empty a minute later by the database's clock, for a backup
// that succeeded and for one that failed, and that one with an age does not; and what the
// report says, read with the token and the role that may only read.
func TestReportPlansEmpty(t *testing.T) {
	t.Parallel()
	p := start(t, stack.Options{Articles: 5})
	p.install()
	// Neither the next due time nor the end of the day comes during the test.
	far := (time.Now().UTC().Hour() + 24 - 3 + 12) % 24
	p.sql(`update auto_backup.settings set document = jsonb_set(jsonb_set(document, '{schedules,daily,hours}', jsonb_build_array($1::integer)),
		'{schedules,daily,cron}', to_jsonb(format('0 %s * * *', $1::integer)))`, far)
	p.await("true", `select (to_char(clock_timestamp() at time zone 'America/Sao_Paulo', 'HH24:MI') < '23:50')::text`)
	p.backUp("succeeded")

	later := func(interval string) func() {
		return func() {
			at := p.value("select clock_timestamp()::text")
			p.await("true", fmt.Sprintf("select (clock_timestamp() > '%s'::timestamptz + interval '%s')::text", at, interval))
		}
	}
	quiet := p.statusConfig("") + output("report", "report") + output("picture", "report_svg") + output("summary", "summary") + output("nights", "nights")
	aging := quiet + output("age", "last_success.age_seconds")
	empty := resource.ConfigPlanChecks{PreApply: []plancheck.PlanCheck{plancheck.ExpectEmptyPlan()}}
	says := func(expression string) statecheck.StateCheck {
		return shows(knownvalue.StringRegexp(regexp.MustCompile(expression)), "report")
	}
	takeSteps(t, resource.TestCase{
		ProtoV6ProviderFactories: factories,
		Steps: []resource.TestStep{
			{
				Config: quiet,
				ConfigStateChecks: []statecheck.StateCheck{
					shows(knownvalue.ListSizeExact(30), "nights"), shows(knownvalue.StringRegexp(regexp.MustCompile("^(made|pending)$")), "nights", 29, "outcome"), shows(text("none"), "nights", 0, "outcome"),
					says(`^✅ \*\*Backup auto-backup of project ` + p.ProjectRef + ` is healthy\.\*\*\n`), says(`\n- Last success: \S+ \S+ \(UTC-03:00\), took \d+ s, \d+ records\n`),
					shows(knownvalue.StringRegexp(regexp.MustCompile(`^<svg .*is healthy</title>`)), "report_svg"),
					shows(knownvalue.StringRegexp(regexp.MustCompile(`\naimindset_backup_healthy\{project="`+p.ProjectRef+`",backup="auto-backup"\} 1\n`)), "metrics"),
					says("\n- Next run: \\S+ \\S+ \\(UTC-03:00\\) `daily`\n"), says(`\n(\+ made|> under way or due later)\n`),
				},
			},
			{PreConfig: later("61 seconds"), Config: quiet, ConfigPlanChecks: empty},
			{Config: aging, ConfigStateChecks: []statecheck.StateCheck{waits(later("2 seconds"))}, ExpectNonEmptyPlan: true},
			{
				PreConfig: func() {
					p.sql("alter table public.feedbacks rename to feedbacks_old")
					p.backUp("failed")
				},
				Config: quiet,
				ConfigStateChecks: []statecheck.StateCheck{
					says(`^❌ `), says("1\\. \\*\\*error\\*\\* `backup_failed`: The backup due at \\S+ \\S+ \\(UTC-03:00\\) failed at attempt 1: the SQL function reported that the backup failed \\(“.*feedbacks.*”\\)"),
					says(`\n   \*What to do:\* `), shows(text("failed"), "nights", 29, "outcome"),
				},
			},
			{PreConfig: later("61 seconds"), Config: quiet, ConfigPlanChecks: empty},
		},
	})
}
