package provider_test

import (
	"context"
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/hashicorp/terraform-plugin-testing/helper/resource"
	"github.com/hashicorp/terraform-plugin-testing/knownvalue"
	"github.com/hashicorp/terraform-plugin-testing/plancheck"
	"github.com/hashicorp/terraform-plugin-testing/statecheck"

	"github.com/aimindset/terraform-provider-aimindset/internal/stack"
)

// hides checks that neither the plan nor the state before or after it has a text.
type hides string

func (text hides) CheckPlan(_ context.Context, req plancheck.CheckPlanRequest, resp *plancheck.CheckPlanResponse) {
	resp.Error = text.in("plan", req.Plan)
}

func (text hides) CheckState(_ context.Context, req statecheck.CheckStateRequest, resp *statecheck.CheckStateResponse) {
	resp.Error = text.in("state", req.State)
}

func (text hides) in(what string, value any) error {
	shown, err := json.Marshal(value)
	if err == nil && strings.Contains(string(shown), string(text)) {
		err = fmt.Errorf("the %s shows %q", what, text)
	}
	return err
}

// TestDrillHidesValues proves that a value in the text columns of the tables that are
// backed up is in no plan and no status after a restore drill that fails on its rows.
func TestDrillHidesValues(t *testing.T) {
	t.Parallel()
	const value = "KANARIE-7f3a"
	everyTransport(t, stack.Options{Articles: 20}, func(t *testing.T, p *project) {
		config := p.config(`verify = "backup"`) + `
			data "aimindset_auto_backup_status" "this" { depends_on = [aimindset_auto_backup.this] }`
		checked := resource.ConfigPlanChecks{PreApply: []plancheck.PlanCheck{hides(value)}, PostApplyPostRefresh: []plancheck.PlanCheck{hides(value)}}
		takeSteps(t, resource.TestCase{
			ProtoV6ProviderFactories: factories,
			Steps: []resource.TestStep{
				{
					PreConfig: func() {
						p.sql(`update public.comments set content = '` + value + `', user_name = '` + value + `'`)
						p.sql(`update public.articles set title = '` + value + `', content = '` + value + `', excerpt = '` + value + `', image_url = '` + value + `', tags = '` + value + `'`)
						p.sql(`update public.feedbacks set content = '` + value + `', user_id = '` + value + `'`)
					},
					Config: config, ConfigPlanChecks: checked, ConfigStateChecks: []statecheck.StateCheck{hides(value)},
				},
				{
					PreConfig: func() {
						p.sql(`alter table public.comments add constraint short check (length(content) < 5) not valid`)
						p.sql(`alter table public.articles alter title type varchar(3) using 'x'`)
						p.asPostgres(`do $do$ begin perform auto_backup.drill('auto-backup', 'manual'); end $do$`)
					},
					Config: config, ConfigPlanChecks: checked,
					ConfigStateChecks: []statecheck.StateCheck{
						hides(value), shows(text("failed"), "drill", "state"),
						shows(knownvalue.StringRegexp(regexp.MustCompile(`public\.articles: title \(20\), public\.comments: short \(6\)`)), "drill", "error"),
					},
				},
			},
		})
	}, managementAPI)
}
