package provider_test

import (
	"regexp"
	"testing"

	"github.com/hashicorp/terraform-plugin-testing/helper/resource"
	"github.com/hashicorp/terraform-plugin-testing/knownvalue"
	"github.com/hashicorp/terraform-plugin-testing/plancheck"
	"github.com/hashicorp/terraform-plugin-testing/statecheck"
)

// TestFunctions proves both provider functions through the real Terraform,
// without any provider configuration: their results at plan, which are the
// same at apply, at a zone without changes and around both changes of a clock.
func TestFunctions(t *testing.T) {
	t.Parallel()
	needTerraform(t)
	texts := func(values ...string) knownvalue.Check {
		checks := make([]knownvalue.Check, len(values))
		for i, value := range values {
			checks[i] = knownvalue.StringExact(value)
		}
		return knownvalue.ListExact(checks)
	}
	for call, want := range map[string]knownvalue.Check{
		`cron_utc("0 3 * * *", "America/Sao_Paulo")`:                             knownvalue.StringExact("0 6 * * *"),
		`cron_utc("30 22 * * 5", "America/Sao_Paulo")`:                           knownvalue.StringExact("30 1 * * 6"),
		`cron_utc("@daily", "UTC")`:                                              knownvalue.StringExact("0 0 * * *"),
		`cron_utc("0 3 * * *", "Asia/Kathmandu")`:                                knownvalue.StringExact("15 21 * * *"),
		`next_runs("0 3 * * *", "America/Sao_Paulo", "2026-11-23T12:00:00Z", 2)`: texts("2026-11-24T03:00:00-03:00", "2026-11-25T03:00:00-03:00"),
		// 02:30 does not exist on 29 March 2026 in Berlin: it runs at 03:00.
		`next_runs("30 2 * * *", "Europe/Berlin", "2026-03-28T12:00:00Z", 2)`: texts("2026-03-29T03:00:00+02:00", "2026-03-30T02:30:00+02:00"),
		// 02:30 comes twice on 25 October 2026 in Berlin: it runs at the first one.
		`next_runs("30 2 * * *", "Europe/Berlin", "2026-10-24T12:00:00Z", 2)`: texts("2026-10-25T02:30:00+02:00", "2026-10-26T02:30:00+01:00"),
	} {
		t.Run(call, func(t *testing.T) {
			t.Parallel()
			resource.UnitTest(t, resource.TestCase{
				ProtoV6ProviderFactories: factories,
				Steps: []resource.TestStep{{
					Config: `output "result" { value = provider::aimindset::` + call + ` }`,
					ConfigPlanChecks: resource.ConfigPlanChecks{
						PreApply: []plancheck.PlanCheck{plancheck.ExpectKnownOutputValue("result", want)},
					},
					ConfigStateChecks: []statecheck.StateCheck{statecheck.ExpectKnownOutputValue("result", want)},
				}},
			})
		})
	}
	for call, says := range map[string]string{
		`cron_utc("0 0 3 * * *", "UTC")`:                           `five`,
		`cron_utc("0 3 * * *", "BRT")`:                             `America/Sao_Paulo`,
		`next_runs("0 3 * * *", "UTC", "yesterday", 1)`:            `RFC\s+3339`,
		`next_runs("0 3 * * *", "UTC", "2026-11-23T12:00:00Z", 0)`: `between\s+1\s+and\s+1000`,
	} {
		t.Run(call, func(t *testing.T) {
			t.Parallel()
			resource.UnitTest(t, resource.TestCase{
				ProtoV6ProviderFactories: factories,
				Steps: []resource.TestStep{{
					Config:      `output "result" { value = provider::aimindset::` + call + ` }`,
					ExpectError: regexp.MustCompile(says),
				}},
			})
		})
	}
}
