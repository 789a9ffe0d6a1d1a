package provider_test

import (
	"testing"
	"time"

	"github.com/aimindset/terraform-provider-aimindset/internal/stack"
)

// TestKeysOfToday proves that a project without legacy keys, one whose legacy keys are
// deactivated after the apply, and one behind a gateway that accepts nothing but JWTs
// make backups, also if the gateway demands a key of the backup function; and that the
// watchdog's alert about a failure reaches a function that checks keys. What is refused
// the first way gets there in another one.
func TestKeysOfToday(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		options    stack.Options
		deactivate bool
		run        string // its state, and how many requests were refused
		alert      string // its state, how often it was sent, and whether that was refused
	}{
		"no legacy keys":          {options: stack.Options{NoLegacyKeys: true}, run: "succeeded 1", alert: "delivered 1 false"},
		"legacy keys deactivated": {deactivate: true, run: "succeeded 1", alert: "delivered 1 false"},
		"a gateway for JWTs":      {options: stack.Options{JWTGateway: true}, run: "succeeded 2", alert: "delivered 2 true"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c.options.Articles = 3
			p := start(t, c.options)
			const processor = `Deno.serve(() => Response.json({ success: true, emails_sent: 1, emails_failed: 0 }))`
			if err := p.DeployFunction(t.Context(), "alert-processor", map[string]string{"index.ts": processor}, true); err != nil {
				t.Fatal(err)
			}
			cli := newCLI(t, required+p.config(`verify = "backup"`))
			cli.run(0, "apply", "-auto-approve", "-no-color")
			if c.deactivate {
				p.DeactivateLegacyKeys()
			}
			watch := func() {
				p.asPostgres("do $$ begin perform auto_backup.watch('auto-backup'); end $$")
			}
			// The run that was requested last, by the real time.
			const (
				last     = " from auto_backup.runs r left join net._http_response n on n.id = r.request_id order by r.posted_at desc limit 1"
				answered = "select r.state = 'succeeded' or n.id is not null" + last
			)

			p.verifyJWT(true)
			p.tick("daily", 0)
			for range 3 {
				p.await("true", answered)
				watch()
			}
			// What the function writes last.
			p.await("2", "select count(*) from public.backup_logs where action_type = 'auto_backup' and success")
			watch()
			if got := p.value("select concat_ws(' ', r.state, cardinality(r.refused_ids))" + last); got != c.run {
				t.Errorf("the run is %q, want %q", got, c.run)
			}
			p.verifyJWT(false)

			// The function refuses the request, so only the watchdog can alert.
			p.asPostgres(`do $$ begin perform vault.update_secret(id, repeat('A', 43)) from vault.secrets where name = 'auto-backup/token'; end $$`)
			p.tick("daily", time.Hour)
			p.await("401", "select n.status_code"+last)
			for range 3 {
				watch()
				p.await("true", "select count(*) > 0 from auto_backup.incidents i left join net._http_response r on r.id = i.alert_request_id where i.alert_state <> 'sent' or r.id is not null")
			}
			if got := p.value("select concat_ws(' ', alert_state, alert_attempts, case when alert_refused_id is null then 'false' else 'true' end) from auto_backup.incidents"); got != c.alert {
				t.Errorf("the alert is %q, want %q", got, c.alert)
			}
			cli.run(0, "apply", "-auto-approve", "-no-color")
			cli.run(0, "plan", "-detailed-exitcode", "-no-color")
		})
	}
}
