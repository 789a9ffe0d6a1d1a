package provider_test

import (
	"testing"

	"github.com/hashicorp/terraform-plugin-testing/helper/resource"
	"github.com/hashicorp/terraform-plugin-testing/knownvalue"
	"github.com/hashicorp/terraform-plugin-testing/statecheck"

	"github.com/aimindset/terraform-provider-aimindset/internal/stack"
)

// TestStatusOfChannels proves on a real project, read with the token and the role that may
// only read, what a status says of a heartbeat that lost a ping, of a webhook without its
// URL and of one whose URL the vault cannot decrypt, each with its problem; that backups
// are healthy all the same; and that a URL which was set again ends the first problem.
func TestStatusOfChannels(t *testing.T) {
	t.Parallel()
	p := start(t, stack.Options{Articles: 5})
	p.install()
	p.backUp("succeeded")
	p.sql(`update auto_backup.settings set document = document || '{"heartbeat": {"form": "healthchecks", "language": "en"}, "webhooks": {
		"lost": {"form": "slack", "events": ["failed"], "language": "en", "signed": false}, "odd": {"form": "generic", "events": ["drill", "failed"], "language": "en", "signed": false}}}'`)
	p.sql(`select vault.create_secret('https://monitor.test/c4n4ry', 'auto-backup/heartbeat'), vault.create_secret('https://odd.test/c4n4ry', 'auto-backup/webhook/odd')`)
	p.sql(`update vault.secrets set secret = 'AAAA' where name = 'auto-backup/webhook/odd'`)
	p.sql(`insert into auto_backup.notices (backup, channel, event, run_id, happened_at, state, attempts, next_at, http_status, error, finished_at)
		select r.backup, 'heartbeat', v.event, r.run_id, r.requested_at, v.state, v.attempts, now(), v.status, v.error, clock_timestamp()
		from auto_backup.runs r, (values (1, 'start', 'delivered', 1, 200, null), (2, 'success', 'not_delivered', 3, 404, 'HTTP 404')) as v (n, event, state, attempts, status, error)
		order by v.n`)
	null := knownvalue.Null()
	takeSteps(t, resource.TestCase{
		ProtoV6ProviderFactories: factories,
		Steps: []resource.TestStep{
			{
				Config: p.statusConfig(""),
				ConfigStateChecks: []statecheck.StateCheck{
					shows(knownvalue.Bool(true), "healthy"),
					shows(text("healthchecks"), "heartbeat", "form"), shows(text("failing"), "heartbeat", "state"), shows(text("present"), "heartbeat", "secret"),
					shows(knownvalue.Int64Exact(1), "heartbeat", "losses"), shows(text("success"), "heartbeat", "last", "event"), shows(text("not_delivered"), "heartbeat", "last", "state"),
					shows(knownvalue.Int64Exact(404), "heartbeat", "last", "http_status"), shows(text("start"), "heartbeat", "last_delivered", "event"),
					shows(text("slack"), "webhooks", "lost", "form"), shows(text("failing"), "webhooks", "lost", "state"), shows(text("missing"), "webhooks", "lost", "secret"), shows(null, "webhooks", "lost", "last"),
					shows(text("failing"), "webhooks", "odd", "state"), shows(text("unreadable"), "webhooks", "odd", "secret"),
					shows(knownvalue.ListExact([]knownvalue.Check{text("drill"), text("failed")}), "webhooks", "odd", "events"),
					shows(knownvalue.ListPartial(map[int]knownvalue.Check{
						0: knownvalue.ObjectPartial(map[string]knownvalue.Check{"code": text("channel_secret_missing"), "severity": text("warning")}),
						1: knownvalue.ObjectPartial(map[string]knownvalue.Check{"code": text("channel_secret_unreadable"), "severity": text("warning")}),
						2: knownvalue.ObjectPartial(map[string]knownvalue.Check{"code": text("heartbeat_undelivered"), "severity": text("warning")}),
					}), "problems"),
				},
			},
			{
				PreConfig: func() {
					p.sql(`select vault.update_secret(id, 'https://monitor.test/other') from vault.secrets where name = 'auto-backup/heartbeat'`)
				},
				Config: p.statusConfig(""),
				ConfigStateChecks: []statecheck.StateCheck{
					shows(text("unused"), "heartbeat", "state"), shows(text("not_delivered"), "heartbeat", "last", "state"), shows(text("failing"), "webhooks", "lost", "state"),
				},
			},
		},
	})
}
