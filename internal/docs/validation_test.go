package docs_test

import (
	"regexp"
	"strings"
	"testing"

	"github.com/aimindset/terraform-provider-aimindset/internal/stack"
)

// continuousValidation proves that the check of the example passes while backups
// are made, and says the status in one sentence when one was not, in the ordinary
// plan and in one that only refreshes, which is what a health assessment makes;
// and that neither plan changes anything because of the check.
func continuousValidation(t *testing.T, u *user, s *stack.Stack) {
	const unchanged = "Plan: 0 to add, 0 to change, 0 to destroy."
	failed := regexp.MustCompile(`Check block assertion failed.*Backup auto-backup of project \S+ is failing: .*feedbacks`)
	if out := u.run(0, "terraform apply -input=false -auto-approve -no-color"); strings.Contains(out, "Check block") {
		t.Errorf("before the first night the check fails: %s", out)
	}
	look := func(want bool) {
		t.Helper()
		plan := u.run(0, "terraform plan -input=false -no-color")
		if !strings.Contains(plan, unchanged) || !strings.Contains(plan, "config will be reloaded to verify a check block") {
			t.Errorf("the plan is\n%s", plan)
		}
		refresh := u.run(0, "terraform plan -refresh-only -input=false -no-color")
		if !strings.Contains(refresh, "No changes. Your infrastructure still matches the configuration.") {
			t.Errorf("a plan that only refreshes is\n%s", refresh)
		}
		for _, out := range []string{plan, refresh} {
			if got := failed.MatchString(unwrapped(out)); got != want || strings.Contains(out, "Warning") != want {
				t.Errorf("the check fails: %v, in\n%s", got, out)
			}
		}
	}
	backUp(t, s, "succeeded")
	look(false)
	exec(t, s, "alter table public.feedbacks rename to feedbacks_old")
	backUp(t, s, "failed")
	look(true)
	exec(t, s, "alter table public.feedbacks_old rename to feedbacks")
	backUp(t, s, "succeeded")
	look(false)
	u.run(0, "terraform destroy -input=false -auto-approve")
	if got := jobs(t, s); got != "none" {
		t.Errorf("destroy left the jobs %s", got)
	}
}
