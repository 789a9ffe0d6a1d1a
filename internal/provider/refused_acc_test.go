package provider_test

import (
	"strings"
	"testing"

	"github.com/hashicorp/terraform-plugin-testing/helper/resource"
	"github.com/hashicorp/terraform-plugin-testing/plancheck"
	"github.com/hashicorp/terraform-plugin-testing/terraform"

	"github.com/aimindset/terraform-provider-aimindset/internal/stack"
)

// refusals returns the errors in the log of the database, with the lines that explain
// them.
func (p *project) refusals() []string {
	p.t.Helper()
	log, err := p.DatabaseLog()
	if err != nil {
		p.t.Fatal(err)
	}
	var found []string
	for line := range strings.SplitSeq(log, "\n") {
		switch {
		case strings.Contains(line, " ERROR:  "), strings.Contains(line, " FATAL:  "), strings.Contains(line, " PANIC:  "):
			found = append(found, line)
		case len(found) > 0 && (strings.Contains(line, " STATEMENT:  ") || strings.Contains(line, " CONTEXT:  ")):
			found[len(found)-1] += "\n" + line
		}
	}
	return found
}

// TestNoRefusedStatements proves that the database refuses none of the provider's
// statements in the whole life of a backup, so that the user's log has no error in it:
// two backups are created, planned, rotated and removed, first one of them and then the
// last, with which the schema goes.
func TestNoRefusedStatements(t *testing.T) {
	t.Parallel()
	everyTransport(t, stack.Options{Articles: 1}, func(t *testing.T, p *project) {
		other := "\n" + `resource "aimindset_auto_backup" "other" {
			name      = "other"
			schedules = { noon = { cron = "0 12 * * *" } }
		}`
		both := p.config(nightly) + other
		takeSteps(t, resource.TestCase{
			ProtoV6ProviderFactories: factories,
			Steps: []resource.TestStep{
				{Config: both, ConfigPlanChecks: action(plancheck.ResourceActionCreate)},
				{Config: both, ConfigPlanChecks: empty()},
				{Config: p.config(nightly+"\nrotate_token = \"once\"") + other, ConfigPlanChecks: action(plancheck.ResourceActionUpdate)},
				{
					Config:           p.config(nightly + "\nrotate_token = \"once\""),
					ConfigPlanChecks: action(plancheck.ResourceActionNoop),
					Check: func(*terraform.State) error {
						if left := p.value("select string_agg(l.backup, ', ') from auto_backup.leases l"); left != "" {
							p.t.Errorf("there are leases of %s", left)
						}
						return nil
					},
				},
			},
			CheckDestroy: func(*terraform.State) error {
				if left := p.traces("auto-backup"); len(left) > 0 {
					p.t.Errorf("destroy left %v", left)
				}
				return nil
			},
		})
		if refused := p.refusals(); len(refused) > 0 {
			t.Errorf("the database refused %d statements:\n%s", len(refused), strings.Join(refused, "\n"))
		}
		// The log would have shown one.
		if _, err := p.Admin().Exec(t.Context(), "select 1 / 0"); err == nil || len(p.refusals()) != 1 {
			t.Errorf("of a statement that fails (%v), the log has %q", err, p.refusals())
		}
	})
}
