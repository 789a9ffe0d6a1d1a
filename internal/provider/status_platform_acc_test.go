package provider_test

import (
	"regexp"
	"testing"
	"time"

	"github.com/hashicorp/terraform-plugin-testing/helper/resource"
	"github.com/hashicorp/terraform-plugin-testing/knownvalue"
	"github.com/hashicorp/terraform-plugin-testing/statecheck"

	"github.com/aimindset/terraform-provider-aimindset/internal/stack"
)

// TestPlatformBackups proves what the status says of the backups that Supabase itself
// has: their kind and the newest one, a warning that leaves the backup healthy where
// there are none, and the missing permission where the token may not read them.
func TestPlatformBackups(t *testing.T) {
	t.Parallel()
	p := start(t, stack.Options{Articles: 1})
	p.install()
	p.backUp("succeeded")
	today := time.Now().UTC().Truncate(24 * time.Hour)
	newest := text(today.Add(-20 * time.Hour).Format(time.RFC3339))
	const problems = "problems"
	look := func(backups stack.PlatformBackups, checks ...statecheck.StateCheck) resource.TestStep {
		return resource.TestStep{
			PreConfig: func() { p.SetPlatformBackups(backups) }, Config: p.statusConfig(""),
			ConfigStateChecks: append(checks, shows(knownvalue.Bool(true), "healthy")),
		}
	}
	null, none := knownvalue.Null(), knownvalue.ListSizeExact(0)
	takeSteps(t, resource.TestCase{
		ProtoV6ProviderFactories: factories,
		Steps: []resource.TestStep{
			look(stack.DailyBackups, shows(none, problems), shows(text("physical"), "platform_backups", "kind"), shows(newest, "platform_backups", "newest_at"),
				shows(knownvalue.Bool(false), "platform_backups", "pitr"), shows(text("sa-east-1"), "platform_backups", "region"), shows(null, "platform_backups", "reason")),
			look(stack.DumpedBackups, shows(none, problems), shows(text("logical"), "platform_backups", "kind"), shows(newest, "platform_backups", "newest_at")),
			look(stack.PITRBackups, shows(none, problems), shows(text("physical"), "platform_backups", "kind"), shows(newest, "platform_backups", "newest_at"),
				shows(knownvalue.Bool(true), "platform_backups", "pitr")),
			look(stack.NoBackups, shows(text("none"), "platform_backups", "kind"), shows(null, "platform_backups", "newest_at"),
				shows(knownvalue.ListSizeExact(1), problems), shows(text("no_platform_backups"), problems, 0, "code"), shows(text("warning"), problems, 0, "severity")),
			look(stack.ForbiddenBackups, shows(none, problems), shows(null, "platform_backups", "kind"), shows(null, "platform_backups", "newest_at"),
				shows(null, "platform_backups", "pitr"), shows(null, "platform_backups", "region"),
				shows(knownvalue.StringRegexp(regexp.MustCompile(`HTTP 403: .*Backups: Read \(backups_read`)), "platform_backups", "reason")),
		},
	})
}
