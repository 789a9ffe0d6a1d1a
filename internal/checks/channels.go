package checks

import (
	"fmt"
	"maps"
	"slices"

	"github.com/aimindset/terraform-provider-aimindset/internal/notify"
	"github.com/aimindset/terraform-provider-aimindset/internal/text"
)

// ChannelSecret says whether the vault has a secret of a channel, by its name there.
func (s *Subject) ChannelSecret(name string) notify.SecretState {
	digest := s.ChannelDigests[name]
	switch _, there := s.ChannelSecrets[name]; {
	case digest != "":
		return notify.SecretPresent
	case s.ChannelSecrets == nil:
		return notify.SecretUnknown
	case !there:
		return notify.SecretMissing
	case s.ChannelDigests != nil:
		return notify.SecretUnreadable
	}
	return notify.SecretPresent
}

// channelSecrets are the findings about the secrets of channels that are in a state.
func (s *Subject) channelSecrets(state notify.SecretState, says string) (found []Finding) {
	look := func(name, effect string) {
		if s.ChannelSecret(name) == state {
			found = append(found, About("The vault", says+", so %s", name, effect))
		}
	}
	settings, name := s.Spec.Settings, s.ID.Name
	if settings.Heartbeat != nil {
		look(name.VaultHeartbeat(), "the heartbeat is silent")
	}
	for _, key := range slices.Sorted(maps.Keys(settings.Webhooks)) {
		effect := "the webhook " + key + " gets no messages"
		look(name.VaultWebhook(key), effect)
		if settings.Webhooks[key].Signed {
			look(name.VaultWebhookSecret(key), effect)
		}
	}
	return found
}

// undelivered is the finding about a channel that does not take what is sent there, if it
// is one. secret is the name of the secret with its URL, and what the word for a message.
func (s *Subject) undelivered(channel, secret, object, what string) []Finding {
	notices := s.Channels[channel]
	failure := notices.Failure(s.ChannelSecrets[secret])
	if failure == nil {
		return nil
	}
	message := fmt.Sprintf("the %s %q of %s", what, text.Line(failure.Event), text.Time(failure.HappenedAt))
	attempts := fmt.Sprintf("%d attempts", failure.Attempts)
	if failure.Attempts == 1 {
		attempts = "1 attempt"
	}
	var f Finding
	switch {
	case failure.State == notify.NoticeWaiting, failure.State == notify.NoticeSent:
		f = About(object, "has not taken %s in several attempts, and there will be another one", message)
	case notices.Losses > 1:
		f = About(object, "has not taken %d %ss since the last one that arrived, the newest of them, %s, in %s", notices.Losses, what, message, attempts)
	default:
		f = About(object, "did not take %s in %s", message, attempts)
	}
	// The status is that of the last response. One that says success does not count where
	// pg_net has followed a redirect: it is that of the address to which this led.
	if failure.HTTPStatus >= 200 && failure.HTTPStatus < 400 {
		f = f.With("A message that is redirected may lose its content on the way. Set the URL to which the service redirects, and run `terraform apply`.")
	}
	return one(f.because(failure.HTTPStatus, failure.Error))
}
