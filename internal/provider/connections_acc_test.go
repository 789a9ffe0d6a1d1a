package provider_test

import (
	"net/url"
	"regexp"
	"testing"

	"github.com/hashicorp/terraform-plugin-testing/helper/resource"

	"github.com/aimindset/terraform-provider-aimindset/internal/stack"
)

// TestDirectHostOutOfReach proves that a plan which cannot reach a project's own
// database server, as from a machine without IPv6, names the connection string
// of that project's session pooler, which the Management API knows, and not the
// password.
func TestDirectHostOutOfReach(t *testing.T) {
	t.Parallel()
	p := start(t, stack.Options{Articles: 1})
	database := url.URL{
		Scheme: "postgresql", User: url.UserPassword("postgres", "canary"), Host: "db." + p.ProjectRef + ".supabase.co:5432", Path: "/postgres",
	}
	told := `(?s)IPv6.*The\s+session\s+pooler\s+of\s+this\s+project\s+is\s+postgresql://postgres\.` + p.ProjectRef +
		`:\[YOUR-PASSWORD\]@aws-0-sa-east-1\.pooler\.supabase\.com:5432/postgres`
	takeSteps(t, resource.TestCase{
		ProtoV6ProviderFactories: factories,
		Steps: []resource.TestStep{
			{Config: p.configAs(p.AccessToken, database.String(), ""), PlanOnly: true, ExpectError: regexp.MustCompile(told)},
		},
		ErrorCheck: func(err error) error {
			if err != nil && regexp.MustCompile("canary").MatchString(err.Error()) {
				t.Error("the password is shown")
			}
			return err
		},
	})
}

// TestPoolerTransport proves that a backup is installed, found unchanged and
// removed through a real pooler in transaction mode.
func TestPoolerTransport(t *testing.T) {
	t.Parallel()
	p := start(t, stack.Options{Articles: 1})
	pooler, err := p.StartPooler(t.Context(), stack.TransactionMode, 2)
	if err != nil {
		t.Fatal(err)
	}
	config := p.configAs(p.AccessToken, pooler.DatabaseURL, nightly)
	takeSteps(t, resource.TestCase{
		ProtoV6ProviderFactories: factories,
		Steps: []resource.TestStep{
			{Config: config},
			{Config: config, ConfigPlanChecks: empty()},
			{Config: p.configAs(p.AccessToken, pooler.DatabaseURL, nightly+"\nrotate_token = \"once\"")},
		},
	})
	if left := p.traces("auto-backup"); len(left) > 0 {
		t.Errorf("destroy left %v", left)
	}
}
