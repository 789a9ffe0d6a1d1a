package provider_test

import (
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/hashicorp/terraform-plugin-testing/helper/resource"
	"github.com/hashicorp/terraform-plugin-testing/plancheck"

	"github.com/aimindset/terraform-provider-aimindset/internal/stack"
)

// required is the part of a configuration that names the provider's source.
const required = `
	terraform {
	  required_providers {
	    aimindset = { source = "aimindset/aimindset" }
	  }
	}
	`

// forget loses the state, as an apply does that dies before it could write it.
func (c *cli) forget() {
	c.t.Helper()
	if err := os.Remove(filepath.Join(c.dir, "terraform.tfstate")); err != nil {
		c.t.Fatal(err)
	}
}

// TestLostState proves that one apply converges after another one died before
// it could save its state, in the middle or at its very end, and says what it
// takes over; and that a backup which works for longer is refused together with
// the block that imports it, because a state that knows it must be somewhere.
func TestLostState(t *testing.T) {
	t.Parallel()
	p := start(t, stack.Options{})
	c := newCLI(t, required+`resource "aimindset_auto_backup" "this" {}`, p.Environ()...)
	const takenOver = "An interrupted apply is continued"
	c.run(0, "apply", "-auto-approve", "-no-color")

	c.forget()
	if out := c.run(0, "apply", "-auto-approve", "-no-color"); !strings.Contains(out, takenOver) || !strings.Contains(out, "finished only") {
		t.Errorf("a finished installation is taken over without a word:\n%s", out)
	}
	c.run(0, "plan", "-detailed-exitcode", "-no-color")

	c.forget()
	p.sql("update auto_backup.settings set completed_at = now() - interval '2 hours'")
	if out := c.run(1, "apply", "-auto-approve", "-no-color"); !strings.Contains(out, "Backup exists already") || !strings.Contains(out, p.ProjectRef+"/auto-backup") {
		t.Errorf("an old installation is not refused with an import block:\n%s", out)
	}

	p.asPostgres("select cron.unschedule('auto-backup-daily')")
	p.sql("update auto_backup.settings set completed_at = null, created_at = now() - interval '2 days'")
	if out := c.run(0, "apply", "-auto-approve", "-no-color"); !strings.Contains(out, takenOver) || !strings.Contains(out, "begun and not finished") {
		t.Errorf("an unfinished installation is taken over without a word:\n%s", out)
	}
	c.run(0, "plan", "-detailed-exitcode", "-no-color")
	if got := p.value("select string_agg(jobname, ',' order by jobname) from cron.job where jobname like 'auto-backup-%'"); got != "auto-backup-daily,auto-backup-watchdog" {
		t.Errorf("the jobs are %s", got)
	}
	if got := p.value("select completed_at is not null from auto_backup.settings"); got != "true" {
		t.Error("the installation does not count as finished")
	}
}

// TestFailedRotation proves that a rotation which failed before the token was
// replaced is planned again, and done by the next apply.
func TestFailedRotation(t *testing.T) {
	t.Parallel()
	p := start(t, stack.Options{})
	refuse := func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Method == http.MethodPost && strings.HasSuffix(r.URL.Path, "/secrets") {
				w.WriteHeader(http.StatusForbidden)
				return
			}
			next.ServeHTTP(w, r)
		})
	}
	const token = "select id || encode(sha256(convert_to(decrypted_secret, 'UTF8')), 'hex') from vault.decrypted_secrets where name = 'auto-backup/token'"
	var before string
	resource.UnitTest(t, resource.TestCase{
		ProtoV6ProviderFactories: factories,
		Steps: []resource.TestStep{
			{Config: p.config("")},
			{
				PreConfig: func() {
					before = p.value(token)
					p.InterceptAPI(refuse)
				},
				Config:      p.config(`rotate_token = "now"`),
				ExpectError: regexp.MustCompile("403"),
			},
			{
				PreConfig:        func() { p.InterceptAPI(nil) },
				Config:           p.config(`rotate_token = "now"`),
				ConfigPlanChecks: action(plancheck.ResourceActionUpdate),
			},
			{
				PreConfig: func() {
					if after := p.value(token); after == before || before == "" {
						t.Error("the token was not replaced")
					}
				},
				Config:           p.config(`rotate_token = "now"`),
				ConfigPlanChecks: empty(),
			},
		},
	})
}
