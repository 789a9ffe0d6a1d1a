package docs_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/aimindset/terraform-provider-aimindset/internal/stack"
)

// tasks are the examples of the resource's page, in its order but for the one with two
// projects.
var tasks = []string{"resource.tf", "production.tf", "schedules.tf", "function.tf", "notify.tf", "drill.tf", "retention.tf", "offsite.tf", "adopt.tf"}

// isTask says whether a snippet is one of tasks, or the one with two projects.
func isTask(snippet string) bool {
	name, ok := strings.CutPrefix(snippet, "resources/aimindset_auto_backup/")
	return ok && (name == "alias.tf" || slices.Contains(tasks, name))
}

// TestTasks proves that a reader can go from any example of the resource's page to the
// next one: each applies over the one before and then plans empty, none replaces the
// backup, and the one for production cannot be destroyed.
func TestTasks(t *testing.T) {
	t.Parallel()
	s := start(t, stack.Options{})
	u := newUser(t, s.Environ()...)
	for _, name := range []string{"first", "second"} {
		u.run(0, "openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:3072 -out "+name+".key.pem && openssl pkey -in "+name+".key.pem -pubout -out "+name+".pub.pem")
	}
	u.env = append(u.env, `TF_VAR_bucket_key={ id = "an-id", secret = "a-secret" }`, "TF_VAR_ping_url=https://ping.example/an-id", "TF_VAR_slack_url=https://slack.example/a-hook")
	for i, name := range tasks {
		u.write("main.tf", task(t, s, name))
		if i == 0 {
			u.run(0, "terraform init -input=false")
		}
		out := u.run(0, "terraform apply -input=false -auto-approve -no-color")
		if want := ", 0 destroyed."; !strings.Contains(out, want) {
			t.Errorf("after the example before, %s prints\n%s", name, out)
		}
		u.run(0, "terraform plan -input=false -detailed-exitcode")
		if name != "production.tf" {
			continue
		}
		if out := u.run(1, "terraform destroy -input=false -auto-approve -no-color"); !strings.Contains(unwrapped(out), "prevent_destroy set") {
			t.Errorf("the example for production can be destroyed:\n%s", out)
		}
		if got := value(t, s, "select state from auto_backup.history order by requested_at desc limit 1"); got != "succeeded" {
			t.Errorf("the backup at the end of the apply: %s", got)
		}
	}
	u.run(0, "terraform destroy -input=false -auto-approve")
	if got := jobs(t, s); got != "none" {
		t.Errorf("the jobs %s are left", got)
	}
}

// TestTwoProjects proves that the blocks of the example with an alias serve one project
// each, with its own token, and that the status is that of the second one.
func TestTwoProjects(t *testing.T) {
	t.Parallel()
	one, two := start(t, stack.Options{Articles: 1}), start(t, stack.Options{Articles: 1})
	address := account(t, one, two)
	u := newUser(t, append(one.Environ(),
		"SUPABASE_ACCESS_TOKEN="+accountToken, "SUPABASE_API_URL="+address, "SUPABASE_PROJECT_URL="+address+"/project/{ref}",
		"TF_VAR_shop_token="+accountToken)...)
	text := strings.ReplaceAll(task(t, one, "alias.tf"), "zyxwvutsrqponmlkjihg", two.ProjectRef)
	u.write("main.tf", text)
	u.run(0, "terraform init -input=false && terraform apply -input=false -auto-approve")
	u.run(0, "terraform plan -input=false -detailed-exitcode")
	for s, zone := range map[*stack.Stack]string{one: "America/Sao_Paulo", two: "Europe/Lisbon"} {
		if got := value(t, s, "select document #>> '{timezone}' from auto_backup.settings"); got != zone {
			t.Errorf("project %s has the time zone %s", s.ProjectRef, got)
		}
	}
	if out := u.run(0, "terraform output -raw shop"); !strings.Contains(out, two.ProjectRef) {
		t.Errorf("the status is that of another project: %s", out)
	}
	u.run(0, "terraform destroy -input=false -auto-approve")
}

// task is an example of the resource's page as a reader would try it here: with the
// provider of this build, which has no version yet, and without a bucket.
func task(t *testing.T, s *stack.Stack, name string) string {
	t.Helper()
	text := example(t, s.ProjectRef, "examples", "resources", "aimindset_auto_backup", name)
	text = strings.Replace(text, `version = "~> 1.0"`, `version = ">= 0.0.1-0"`, 1)
	text = strings.Replace(text, "  offsite = {\n", "  verify = \"none\"\n\n  offsite = {\n", 1)
	if !strings.Contains(text, "required_providers") {
		text = requiredProviders + text
	}
	return text
}
