package provider_test

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/hashicorp/terraform-plugin-testing/helper/resource"

	"github.com/aimindset/terraform-provider-aimindset/internal/stack"
)

// TestEnvironmentDatabase proves that the environment's database and gateway serve
// only the provider block of the environment's project: the block of another
// project, in the same configuration, installs its backup in its own database, and
// both verifications reach their own functions.
func TestEnvironmentDatabase(t *testing.T) {
	t.Parallel()
	one, two := start(t, stack.Options{Articles: 1}), start(t, stack.Options{Articles: 1})
	c := newCLI(t, required+fmt.Sprintf(`
		provider "aimindset" {}

		provider "aimindset" {
			alias        = "two"
			access_token = %q
			project_ref  = %q
			api_url      = %q
			project_url  = %q
		}

		resource "aimindset_auto_backup" "one" {}

		resource "aimindset_auto_backup" "two" {
			provider = aimindset.two
			name     = "second-backup"
		}`, two.AccessToken, two.ProjectRef, two.APIURL, two.ProjectURL), one.EnvironWithDatabase()...)
	c.run(0, "apply", "-auto-approve", "-no-color")
	for p, want := range map[*project]string{one: "auto-backup", two: "second-backup"} {
		if got := p.value("select string_agg(backup, ', ') from auto_backup.settings"); got != want {
			t.Errorf("project %s has the backups %q, want %q", p.ProjectRef, got, want)
		}
	}
	c.run(0, "plan", "-detailed-exitcode", "-no-color")
}

// TestWrongDatabase proves that a database URL which names no project is compared
// with the project's database before anything is written, and at an import: an
// address and a pooler that lead to another project are refused, the error names
// both, and neither project is changed.
func TestWrongDatabase(t *testing.T) {
	t.Parallel()
	one, two := start(t, stack.Options{Articles: 1}), start(t, stack.Options{Articles: 1})
	pooler, err := one.StartPooler(t.Context(), stack.TransactionMode, 2)
	if err != nil {
		t.Fatal(err)
	}
	for kind, url := range map[string]string{"address": one.DatabaseURL, "pooler": pooler.DatabaseURL} {
		t.Run(kind, func(t *testing.T) {
			refused := regexp.MustCompile(`(?s)[Tt]he\s+database\s+behind\s+.database_url.\s+\(host\s+127\.0\.0\.1:\d+,.*is\s+not\s+the\s+one\s+of\s+project\s+` + two.ProjectRef)
			resource.UnitTest(t, resource.TestCase{
				ProtoV6ProviderFactories: factories,
				Steps: []resource.TestStep{{
					Config: two.configAs(two.AccessToken, url, nightly), ExpectError: refused,
				}},
			})
			for _, p := range []*project{one, two} {
				if left := p.traces("auto-backup"); len(left) > 0 {
					t.Errorf("project %s was changed: %v", p.ProjectRef, left)
				}
			}
			resource.UnitTest(t, resource.TestCase{
				ProtoV6ProviderFactories: factories,
				Steps: []resource.TestStep{{
					Config: two.configAs(two.AccessToken, url, nightly), ResourceName: "aimindset_auto_backup.this",
					ImportState: true, ImportStateId: two.ProjectRef + "/auto-backup", ExpectError: refused,
				}},
			})
		})
	}
}

// TestVariableOfAnotherProject proves that no environment variable alone replaces a
// backup, forgets it or counts as its removal: with each variable that is set to
// another project's value, a plan, an apply and a destroy are refused by an error that
// names the variable, the state keeps the backup, and neither project is changed. The
// gateway's URL is no part of a backup's identity, and a change of it is an update in
// place.
func TestVariableOfAnotherProject(t *testing.T) {
	t.Parallel()
	one, two := start(t, stack.Options{Articles: 1}), start(t, stack.Options{Articles: 1})
	config := required + `resource "aimindset_auto_backup" "this" { verify = "none" }`
	c := newCLI(t, config, one.Environ()...)
	c.run(0, applyNow...)
	// The other project has a backup of the same name, as projects usually do.
	newCLI(t, config, two.Environ()...).run(0, applyNow...)
	before := map[*project][]string{one: one.traces("auto-backup"), two: two.traces("auto-backup")}

	for variable, value := range map[string]string{
		"SUPABASE_PROJECT_REF":  two.ProjectRef,
		"SUPABASE_DB_URL":       two.DatabaseURL,
		"SUPABASE_API_URL":      two.APIURL,
		"SUPABASE_ACCESS_TOKEN": "sbp_" + strings.Repeat("0", 40),
	} {
		for _, command := range [][]string{planOnly, {"apply", "-refresh-only", "-auto-approve", "-no-color"}, applyNow, destroyNow} {
			if variable == "SUPABASE_PROJECT_REF" && command[0] != "plan" && slices.Contains(command, "-refresh-only") {
				continue // reads the state's project and plans nothing
			}
			out := c.runWith([]string{variable + "=" + value}, 1, command...)
			if !strings.Contains(strings.Join(strings.Fields(out), " "), variable) {
				t.Errorf("%s, %s: the error does not name the variable:\n%s", variable, command, out)
			}
		}
		if out := c.run(0, "state", "list"); !strings.Contains(out, address) {
			t.Errorf("%s: the state has lost the backup", variable)
		}
	}
	for p, want := range before {
		if got := p.traces("auto-backup"); !slices.Equal(got, want) {
			t.Errorf("project %s was changed: %v, and had %v", p.ProjectRef, got, want)
		}
	}
	c.run(0, "plan", "-detailed-exitcode", "-no-color")

	out := c.runWith([]string{"SUPABASE_PROJECT_URL=" + two.ProjectURL}, 0, planOnly...)
	if !strings.Contains(out, "0 to add, 1 to change, 0 to destroy") || !strings.Contains(out, "function_url") {
		t.Errorf("with another gateway the plan is\n%s", out)
	}
}
