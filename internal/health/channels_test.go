package health

import (
	"slices"
	"testing"
	"time"

	"github.com/aimindset/terraform-provider-aimindset/internal/notify"
)

// TestHeard proves what a status says of the heartbeat and of each webhook: how its
// messages and its secrets are, that a channel without its secrets fails whatever became of
// the messages, and that of an installation without messages nothing is known.
func TestHeard(t *testing.T) {
	t.Parallel()
	arrived := &notify.Notice{Event: "success", HappenedAt: at("06:00"), State: notify.NoticeDelivered, FinishedAt: at("06:10"), HTTPStatus: 200}
	const url, hook, secret = "auto-backup/heartbeat", "auto-backup/webhook/ops", "auto-backup/webhook-secret/ops"
	for what, c := range map[string]struct {
		change          func(p *project)
		heartbeat, hook notify.State
		secret          notify.SecretState // of the webhook
	}{
		"sound":   {nil, notify.StateDelivered, notify.StateUnused, notify.SecretPresent},
		"no URL":  {func(p *project) { delete(p.own.ChannelSecrets, url) }, notify.StateFailing, notify.StateUnused, notify.SecretPresent},
		"no key":  {func(p *project) { delete(p.own.ChannelSecrets, secret) }, notify.StateDelivered, notify.StateFailing, notify.SecretMissing},
		"neither": {func(p *project) { delete(p.own.ChannelSecrets, hook); delete(p.own.ChannelSecrets, secret) }, notify.StateDelivered, notify.StateFailing, notify.SecretMissing},
		"an unreadable key": {func(p *project) {
			p.own.ChannelDigests = map[string]string{url: "d", hook: "d", secret: ""}
		}, notify.StateDelivered, notify.StateFailing, notify.SecretUnreadable},
		"a missing URL, an unreadable key": {func(p *project) {
			delete(p.own.ChannelSecrets, hook)
			p.own.ChannelDigests = map[string]string{url: "d", hook: "", secret: ""}
		}, notify.StateDelivered, notify.StateFailing, notify.SecretMissing},
		"a reader without rights": {func(p *project) { p.own.Channels, p.own.ChannelSecrets = nil, nil }, "", "", notify.SecretUnknown},
		"an older installation":   {func(p *project) { p.own.Channels = nil }, "", "", notify.SecretPresent},
	} {
		p := healthy(t)
		p.settings.Heartbeat = &notify.Heartbeat{Form: notify.Sentry}
		p.settings.Webhooks = map[string]notify.Webhook{"ops": {Form: notify.Generic, Events: []string{"failed"}, Signed: true}}
		p.own.ChannelSecrets = map[string]time.Time{url: at("01 06:00"), hook: at("01 06:00"), secret: at("01 06:00")}
		p.own.Channels = map[string]notify.Notices{"heartbeat": {Last: arrived, Delivered: arrived}, "webhook/ops": {}}
		if c.change != nil {
			c.change(p)
		}
		s := p.assess(t)
		heartbeat, webhook := s.Channels["heartbeat"], s.Channels["webhook/ops"]
		if len(s.Channels) != 2 || heartbeat.State != c.heartbeat || webhook.State != c.hook || webhook.Secret != c.secret {
			t.Errorf("%s: the channels are %+v", what, s.Channels)
		}
		if heartbeat.Form != notify.Sentry || heartbeat.Events != nil || webhook.Form != notify.Generic || !slices.Equal(webhook.Events, []string{"failed"}) || !s.Healthy() {
			t.Errorf("%s: the status is %+v", what, s)
		}
	}
	if s := healthy(t).assess(t); s.Channels != nil {
		t.Errorf("without a channel, they are %+v", s.Channels)
	}
}
