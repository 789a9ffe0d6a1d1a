package docs_test

import (
	"strings"
	"testing"

	"github.com/aimindset/terraform-provider-aimindset/internal/stack"
)

// notificationSecrets are what the example of notifications asks its user for, by the
// names of the variables. Nobody listens at the addresses.
var notificationSecrets = map[string]string{
	"heartbeat_url": "http://127.0.0.1:9/ping/canary-of-the-heartbeat", "slack_url": "http://127.0.0.1:9/services/canary-of-slack",
	"pager_url": "http://127.0.0.1:9/canary-of-the-pager", "pager_secret": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
}

// notifications sets the variables of the example.
func notifications(*testing.T, *user, ...*stack.Stack) (env []string) {
	for name, value := range notificationSecrets {
		env = append(env, "TF_VAR_"+name+"="+value)
	}
	return env
}

// notified proves that the settings name the channels of the example, that the vault has
// their secrets, and that a backup is made although no message arrives.
func notified(t *testing.T, u *user, s *stack.Stack) {
	t.Helper()
	const settings = `select jsonb_build_object('heartbeat', document -> 'heartbeat', 'webhooks', document -> 'webhooks') = '{
		"heartbeat": {"form": "healthchecks", "language": "en"},
		"webhooks": {
			"team": {"form": "slack", "events": ["drill", "failed", "fidelity", "offsite", "overdue", "recovered"], "language": "en", "signed": false},
			"pager": {"form": "generic", "events": ["failed", "overdue", "recovered"], "language": "en", "signed": true}
		}
	}'::jsonb from auto_backup.settings`
	if got := value(t, s, settings); got != "true" {
		t.Errorf("the settings are %s", value(t, s, "select document from auto_backup.settings"))
	}
	const vault = `select string_agg(name || ' ' || decrypted_secret, ', ' order by name collate "C") from vault.decrypted_secrets where name ~ '/(heartbeat|webhook)'`
	want := "auto-backup/heartbeat " + notificationSecrets["heartbeat_url"] + ", auto-backup/webhook-secret/pager " + notificationSecrets["pager_secret"] +
		", auto-backup/webhook/pager " + notificationSecrets["pager_url"] + ", auto-backup/webhook/team " + notificationSecrets["slack_url"]
	if got := value(t, s, vault); got != want {
		t.Errorf("the vault has %s", got)
	}
	backUp(t, s, "succeeded")
	for name, secret := range notificationSecrets {
		if out := u.run(0, "cat terraform.tfstate"); strings.Contains(out, secret) {
			t.Errorf("the state has %s", name)
		}
	}
}
