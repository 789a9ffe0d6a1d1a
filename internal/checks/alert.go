package checks

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	"github.com/aimindset/terraform-provider-aimindset/internal/backup"
	"github.com/aimindset/terraform-provider-aimindset/internal/facts"
	"github.com/aimindset/terraform-provider-aimindset/internal/notify"
	"github.com/aimindset/terraform-provider-aimindset/internal/text"
)

const (
	// subscriptions is the table from which AIMindset's alert function takes its
	// addresses.
	subscriptions = "alert_subscriptions"
	// mailKey is the secret without which AIMindset's alert function counts mails
	// as sent that it only wrote into its log.
	mailKey = "RESEND_API_KEY"
)

// alert are the checks whether anybody would learn of a failure, and did: by e-mail, from
// the heartbeat and from the webhooks.
var alert = []Check{
	{
		Code: "alert_function_missing", Theme: Alert, Planning: Warning, Asked: Healthy,
		Find: func(s *Subject) []Finding {
			a := s.Spec.Settings.Alert
			if !a.Enabled || s.EdgeFunction(a.Function) != nil {
				return nil
			}
			return one(About("The Edge Function "+a.Function, "is not deployed, so nobody would be told of a failed backup").At(atAlertFunction))
		},
	},
	{
		Code: "alert_function_status", Theme: Alert, Planning: Warning, Asked: Healthy,
		Find: func(s *Subject) []Finding {
			a := s.Spec.Settings.Alert
			f := s.EdgeFunction(a.Function)
			if !a.Enabled || f == nil || f.Status == backup.StatusActive {
				return nil
			}
			return one(About("The Edge Function "+a.Function, "has the status %s instead of %s, so it may send no alert", f.Status, backup.StatusActive).At(atAlertFunction))
		},
	},
	{
		Code: "alert_key_missing", Theme: Alert, Asked: Healthy,
		Facts: []facts.Part{"vault"},
		Find: func(s *Subject) []Finding {
			_, there := s.Vault[s.ID.Name.VaultAlertKey()]
			if !s.Spec.Settings.NeedsKey() || s.Vault == nil || there {
				return nil
			}
			return one(s.aboutKey("The vault", "lacks the secret %s", s.ID.Name.VaultAlertKey()))
		},
	},
	{
		Code: "alert_key_unreadable", Theme: Alert, Asked: Healthy,
		Facts: []facts.Part{"vault", "key_digest"},
		Find: func(s *Subject) []Finding {
			if !s.Spec.Settings.NeedsKey() || !s.State.AlertKey.Undecryptable {
				return nil
			}
			return one(s.aboutKey("The vault", "cannot decrypt the secret %s, as after a restore into another project", s.ID.Name.VaultAlertKey()))
		},
	},
	{
		Code: "alert_key_mismatch", Theme: Alert, Asked: Healthy,
		Facts: []facts.Part{"vault", "key_digest"},
		Find: func(s *Subject) []Finding {
			problem := s.State.AlertKeyProblem()
			if !s.Spec.Settings.NeedsKey() || s.State.AlertKey.Undecryptable || problem == "" {
				return nil
			}
			return one(s.aboutKey("The vault's secret "+s.ID.Name.VaultAlertKey(), "%s", problem))
		},
	},
	{
		Code: "no_subscribers", Theme: Alert, Planning: Warning, Asked: Healthy,
		Facts: []facts.Part{"tables", "subscribers"},
		Find: func(s *Subject) []Finding {
			name := s.Spec.Settings.Alert.Function
			if !s.defaultAlert() {
				return nil
			}
			const object, at = "The table public." + subscriptions, atAlertFunction
			switch table, ok := s.Tables[subscriptions]; {
			case !ok:
				return one(About(object, "does not exist, and %s takes its addresses from there", name).At(at).
					With("Run `create table public.alert_subscriptions (id bigserial primary key, email text unique not null, created_at timestamptz default now(), is_active boolean default true)`, and add an address."))
			case s.Subscribers != nil && *s.Subscribers == 0:
				return one(About(object, "is empty, so %s sends its alerts to nobody and responds as if all were well", name).At(at).
					With("Run `insert into public.alert_subscriptions (email) values ('<address>')`."))
			case !strings.Contains(table.Rights[serviceRole], "S"):
				return one(About(object, "may not be read by service_role, so %s finds no address", name).At(at).
					With("Run `grant select on public.alert_subscriptions to service_role`."))
			}
			return nil
		},
	},
	{
		Code: "alert_mail_key", Theme: Alert, Planning: Warning, Asked: Healthy,
		Find: func(s *Subject) []Finding {
			// A self-hosted runtime may have more in its environment than is listed.
			if _, ok := s.Secrets[mailKey]; ok || !s.defaultAlert() || s.ID.ProjectRef == backup.SelfHostedRef {
				return nil
			}
			return one(About("The function secret "+mailKey, "is not set, and without it %s counts e-mails as sent that it only writes into its log", s.Spec.Settings.Alert.Function).At(atAlertFunction))
		},
	},
	{
		Code: "alert_not_delivered", Theme: Alert, Asked: Healthy,
		Facts: []facts.Part{"incident"},
		Find: func(s *Subject) []Finding {
			i := s.Incident
			if !s.Spec.Settings.Alert.Enabled || i == nil || i.AlertState != "not_delivered" {
				return nil
			}
			why := strings.TrimSuffix(text.Line(cmp.Or(i.AlertError, "the reason is not known")), ".")
			return one(About("The alert about the incident of "+text.Time(i.OpenedAt), "was not delivered to every subscriber: %s", why))
		},
	},
	{
		Code: "channel_secret_missing", Theme: Alert, Asked: Healthy,
		Facts: []facts.Part{"channel_secrets", "channel_digests"},
		Find:  func(s *Subject) []Finding { return s.channelSecrets(notify.SecretMissing, "lacks the secret %s") },
	},
	{
		Code: "channel_secret_unreadable", Theme: Alert, Asked: Healthy,
		Facts: []facts.Part{"channel_secrets", "channel_digests"},
		Find: func(s *Subject) []Finding {
			return s.channelSecrets(notify.SecretUnreadable, "cannot decrypt the secret %s, as after a restore into another project")
		},
	},
	{
		Code: "heartbeat_undelivered", Theme: Alert, Asked: Healthy,
		Facts: []facts.Part{"channels", "channel_secrets"},
		Find: func(s *Subject) []Finding {
			if s.Spec.Settings.Heartbeat == nil {
				return nil
			}
			return s.undelivered(notify.HeartbeatChannel, s.ID.Name.VaultHeartbeat(), "The heartbeat", "ping")
		},
	},
	{
		Code: "webhook_undelivered", Theme: Alert, Asked: Healthy,
		Facts: []facts.Part{"channels", "channel_secrets"},
		Find: func(s *Subject) (found []Finding) {
			for _, key := range slices.Sorted(maps.Keys(s.Spec.Settings.Webhooks)) {
				found = append(found, s.undelivered(notify.WebhookChannel(key), s.ID.Name.VaultWebhook(key), "The webhook "+key, "message")...)
			}
			return found
		},
	},
}

// aboutKey returns a finding about the public key in the vault. Without a valid one the
// watchdog's alerts may be refused, and also every request for a backup if the function
// asks for the key.
func (s *Subject) aboutKey(object, format string, args ...any) Finding {
	if s.Spec.Settings.Function.SendKey {
		f := About(object, format+", so the function may refuse every request", args...)
		f.Condition = Failing
		return f
	}
	return About(object, format+", so the watchdog may not be able to send alerts itself", args...)
}

// defaultAlert reports whether alerts are sent by AIMindset's own function, of
// which is known how it finds its addresses, and whether it is there.
func (s *Subject) defaultAlert() bool {
	a := s.Spec.Settings.Alert
	return a.Enabled && a.Function == backup.DefaultAlertFunction && s.EdgeFunction(a.Function) != nil
}
