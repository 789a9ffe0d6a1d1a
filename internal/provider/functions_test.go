package provider_test

import (
	"regexp"
	"testing"

	"github.com/hashicorp/terraform-plugin-testing/helper/resource"
	"github.com/hashicorp/terraform-plugin-testing/knownvalue"
	"github.com/hashicorp/terraform-plugin-testing/plancheck"
	"github.com/hashicorp/terraform-plugin-testing/statecheck"
)

// TestFunctions proves the provider functions through the real Terraform,
// without any provider configuration: their results at plan, which are the
// same at apply, at a zone without changes and around both changes of a clock;
// and that a wrong argument is named.
func TestFunctions(t *testing.T) {
	t.Parallel()
	needFeature(t, "check")
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
		// Of each of the last two days one, by the zone's midnight, and the newest two.
		`retained_backups(["2026-11-22T02:00:00Z", "2026-11-23T02:00:00Z", "2026-11-23T04:00:00Z", "2026-11-23T12:00:00+00:00"], { keep_last = 2, daily = 2 }, "America/Sao_Paulo")`: texts("2026-11-23T02:00:00Z", "2026-11-23T04:00:00Z", "2026-11-23T12:00:00+00:00"),
		// The night of 29 March 2026 has 23 hours in Berlin.
		`retained_backups(["2026-03-29T22:30:00Z", "2026-03-29T21:30:00Z", "2026-03-28T22:59:00Z"], { keep_last = 0, daily = 3 }, "Europe/Berlin")`: texts("2026-03-28T22:59:00Z", "2026-03-29T21:30:00Z", "2026-03-29T22:30:00Z"),
		`retained_backups(["2026-11-23T02:00:00Z", "2026-11-22T23:00:00-03:00", "2026-11-21T02:00:00Z"], { keep_last = 1, weekly = null }, "UTC")`:  texts("2026-11-23T02:00:00Z"),
		`retained_backups([for d in range(1, 10) : "2026-11-0${d}T06:00:00Z"], {}, "UTC")[0]`:                                                       knownvalue.StringExact("2026-11-03T06:00:00Z"),
		`retained_backups([], { yearly = 3 }, "UTC")`: texts(),
		`retained_backups(["2026-01-01T06:00:00Z", "2026-01-05T06:00:00Z"], { keep_last = 0, daily = 0, weekly = 9, monthly = 0, yearly = 0 }, "UTC")`: texts("2026-01-01T06:00:00Z", "2026-01-05T06:00:00Z"),
	} {
		t.Run(call, func(t *testing.T) {
			t.Parallel()
			takeSteps(t, resource.TestCase{
				ProtoV6ProviderFactories: factories,
				Steps: []resource.TestStep{{
					Config: required + `output "result" { value = provider::aimindset::` + call + ` }`,
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
		// RFC 3339 has years of four digits, and offsets without the seconds of local mean time.
		`next_runs("0 3 * * *", "UTC", "9999-12-30T12:00:00Z", 2)`:               `"after"[^"]*after\s+the\s+year\s+9999`,
		`next_runs("0 3 * * *", "America/Sao_Paulo", "1900-01-01T12:00:00Z", 1)`: `"after"[^"]*offset\s+of\s+America/Sao_Paulo\s+has\s+seconds`,
		`retained_backups(["yesterday"], {}, "UTC")`:                             `"times"[^"]*Element\s+0,\s+"yesterday",\s+is\s+not\s+a\s+time\s+in\s+RFC\s+3339`,
		`retained_backups(["2026-11-23T12:00:00Z", null], {}, "UTC")`:            `"times"[^"]*Element\s+1,\s+<null>`,
		`retained_backups(null, {}, "UTC")`:                                      `"times"\s+parameter:\s+argument\s+must\s+not\s+be\s+null`,
		`retained_backups([], { hourly = 3 }, "UTC")`:                            `"policy"[^"]*"hourly"\s+is\s+not\s+a\s+number\s+of\s+a\s+retention;\s+these\s+are\s+daily,`,
		`retained_backups([], { daily = 1.5 }, "UTC")`:                           `"policy"[^"]*"daily"\s+is\s+1\.5,\s+which\s+is\s+not\s+a\s+whole\s+number`,
		`retained_backups([], { daily = -1 }, "UTC")`:                            `"policy"[^"]*"daily"\s+is\s+-1,`,
		`retained_backups([], {}, "BRT")`:                                        `"timezone"[^"]*(.|\s)*America/Sao_Paulo`,
	} {
		t.Run(call, func(t *testing.T) {
			t.Parallel()
			takeSteps(t, resource.TestCase{
				ProtoV6ProviderFactories: factories,
				Steps: []resource.TestStep{{
					Config:      required + `output "result" { value = provider::aimindset::` + call + ` }`,
					ExpectError: regexp.MustCompile(says),
				}},
			})
		})
	}
}

// TestRetainedLater proves that a plan knows the result of retained_backups only once it
// knows its arguments, and that an apply then does.
func TestRetainedLater(t *testing.T) {
	t.Parallel()
	needTerraform(t)
	takeSteps(t, resource.TestCase{
		ProtoV6ProviderFactories: factories,
		Steps: []resource.TestStep{{
			Config: required + `
				resource "terraform_data" "made" { input = "2026-11-23T06:00:00Z" }
				output "result" { value = provider::aimindset::retained_backups([terraform_data.made.output, "2026-11-22T06:00:00Z"], { keep_last = 1 }, "UTC") }`,
			ConfigPlanChecks: resource.ConfigPlanChecks{
				PreApply: []plancheck.PlanCheck{plancheck.ExpectUnknownOutputValue("result")},
			},
			ConfigStateChecks: []statecheck.StateCheck{statecheck.ExpectKnownOutputValue("result", knownvalue.ListExact([]knownvalue.Check{knownvalue.StringExact("2026-11-23T06:00:00Z")}))},
		}},
	})
}
