package checks

import (
	"testing"
	"time"

	"github.com/aimindset/terraform-provider-aimindset/internal/notify"
)

// heard is a project with a heartbeat and a signed webhook that took everything, unless
// change says otherwise.
func heard(change func(*Subject)) func(*Subject) {
	return func(s *Subject) {
		s.Spec.Settings.Heartbeat = &notify.Heartbeat{Form: notify.Healthchecks, Language: notify.Portuguese}
		s.Spec.Settings.Webhooks = map[string]notify.Webhook{"ops": {Form: notify.Generic, Events: notify.Events(), Signed: true}}
		s.ChannelSecrets, s.ChannelDigests = map[string]time.Time{}, map[string]string{}
		for _, name := range s.Spec.Settings.ChannelSecrets(s.ID.Name) {
			s.ChannelSecrets[name], s.ChannelDigests[name] = s.Now.AddDate(0, -1, 0), "d"
		}
		arrived := func(event string) notify.Notices {
			n := &notify.Notice{Event: event, HappenedAt: now.Add(-9 * time.Hour), State: notify.NoticeDelivered, Attempts: 1, FinishedAt: now.Add(-8 * time.Hour), HTTPStatus: 200}
			return notify.Notices{Last: n, Delivered: n}
		}
		s.Channels = map[string]notify.Notices{"heartbeat": arrived("success"), "webhook/ops": arrived("failed")}
		if change != nil {
			change(s)
		}
	}
}

// lost has messages to a channel given up since one arrived.
func lost(channel, event string, losses, status int64, why string) func(*Subject) {
	return heard(func(s *Subject) {
		n := s.Channels[channel]
		n.Last = &notify.Notice{Event: event, HappenedAt: now.Add(-3 * time.Hour), State: notify.NoticeLost, Attempts: 8, FinishedAt: now.Add(-time.Hour), HTTPStatus: status, Error: why}
		n.Lost, n.Losses = n.Last, losses
		s.Channels[channel] = n
	})
}

// tried has the newest message to a channel tried again and again.
func tried(channel, event string, attempts int64) func(*Subject) {
	return heard(func(s *Subject) {
		n := s.Channels[channel]
		n.Last = &notify.Notice{Event: event, HappenedAt: now.Add(-time.Hour), State: notify.NoticeWaiting, Attempts: attempts, NextAt: now.Add(time.Minute), HTTPStatus: 500}
		s.Channels[channel] = n
	})
}

func undeliveredPings() []example {
	return []example{
		{what: "given up", change: lost("heartbeat", "success", 1, 404, "not found\n"), says: `The heartbeat did not take the ping "success" of 2026-11-23T09:00:00Z in 8 attempts (HTTP 404, not found).`, remedy: "`heartbeat.url`"},
		{what: "several", change: lost("heartbeat", "start", 3, 0, "timed out"), says: `has not taken 3 pings since the last one that arrived, the newest of them, the ping "start" of 2026-11-23T09:00:00Z, in 8 attempts (timed out).`},
		{what: "redirected", change: lost("heartbeat", "fail", 1, 301, ""), says: "(HTTP 301).", remedy: "Set the URL to which the service redirects"},
		{what: "redirected, and answered there", change: lost("heartbeat", "fail", 1, 200, "the receiver has redirected the request"), says: "(HTTP 200, the receiver has redirected the request).", remedy: "Set the URL to which the service redirects"},
		{what: "again and again", change: tried("heartbeat", "success", 3), says: `has not taken the ping "success" of 2026-11-23T11:00:00Z in several attempts, and there will be another one (HTTP 500).`},
		{what: "twice", change: tried("heartbeat", "success", 2)},
		{what: "taken", change: heard(nil)},
		{what: "the webhook's", change: lost("webhook/ops", "failed", 1, 404, "")},
		{what: "with another URL", change: all(lost("heartbeat", "success", 1, 404, ""), func(s *Subject) { s.ChannelSecrets["auto-backup/heartbeat"] = now })},
		{what: "no heartbeat any more", change: all(lost("heartbeat", "success", 1, 404, ""), func(s *Subject) { s.Spec.Settings.Heartbeat = nil })},
		{what: "not to be read", change: heard(func(s *Subject) { s.Channels = nil })},
	}
}

func undeliveredMessages() []example {
	return []example{
		{what: "given up", change: lost("webhook/ops", "drill", 1, 410, ""), says: `The webhook ops did not take the message "drill" of 2026-11-23T09:00:00Z in 8 attempts (HTTP 410).`, remedy: "`url`"},
		{what: "redirected", change: lost("webhook/ops", "drill", 2, 308, ""), says: "has not taken 2 messages", remedy: "Set the URL to which the service redirects"},
		{what: "the time before the URL is known", change: all(lost("webhook/ops", "drill", 1, 0, ""), func(s *Subject) { s.ChannelSecrets = nil }), says: "in 8 attempts."},
		{what: "the heartbeat's", change: lost("heartbeat", "success", 1, 404, "")},
		{what: "no such webhook any more", change: all(lost("webhook/ops", "drill", 1, 404, ""), func(s *Subject) { s.Spec.Settings.Webhooks = nil })},
		{what: "never one", change: heard(func(s *Subject) { s.Channels["webhook/ops"] = notify.Notices{} })},
	}
}

func missingSecrets() []example {
	without := func(name string) func(*Subject) {
		return heard(func(s *Subject) {
			delete(s.ChannelSecrets, name)
			delete(s.ChannelDigests, name)
		})
	}
	return []example{
		{what: "the heartbeat's", change: without("auto-backup/heartbeat"), says: "The vault lacks the secret auto-backup/heartbeat, so the heartbeat is silent.", remedy: "terraform apply"},
		{what: "a webhook's", change: without("auto-backup/webhook/ops"), says: "lacks the secret auto-backup/webhook/ops, so the webhook ops gets no messages."},
		{what: "a signing secret", change: without("auto-backup/webhook-secret/ops"), says: "lacks the secret auto-backup/webhook-secret/ops, so the webhook ops"},
		{what: "a signing secret that is not needed", change: all(without("auto-backup/webhook-secret/ops"), func(s *Subject) {
			s.Spec.Settings.Webhooks = map[string]notify.Webhook{"ops": {Form: notify.Slack}}
		})},
		{what: "digests that could not be asked for", change: all(without("auto-backup/heartbeat"), func(s *Subject) { s.ChannelDigests = nil }), says: "lacks the secret auto-backup/heartbeat"},
		{what: "all there", change: heard(nil)},
		{what: "no channel", change: func(s *Subject) { s.ChannelSecrets = map[string]time.Time{} }},
		{what: "names that may not be read", change: heard(func(s *Subject) { s.ChannelSecrets = nil })},
		{what: "neither to be read", change: heard(func(s *Subject) { s.ChannelSecrets, s.ChannelDigests = nil, nil })},
	}
}

func unreadableSecrets() []example {
	return []example{
		{what: "the heartbeat's", change: heard(func(s *Subject) { s.ChannelDigests["auto-backup/heartbeat"] = "" }), says: "The vault cannot decrypt the secret auto-backup/heartbeat, as after a restore into another project, so the heartbeat is silent.", remedy: "terraform apply"},
		{what: "a signing secret", change: heard(func(s *Subject) { s.ChannelDigests["auto-backup/webhook-secret/ops"] = "" }), says: "cannot decrypt the secret auto-backup/webhook-secret/ops"},
		{what: "digests that could not be asked for", change: heard(func(s *Subject) { s.ChannelDigests = nil })},
		{what: "missing", change: heard(func(s *Subject) { s.ChannelDigests, s.ChannelSecrets = map[string]string{}, map[string]time.Time{} })},
	}
}

// TestChannelSecret proves what is known of a secret by its digest and by its name.
func TestChannelSecret(t *testing.T) {
	t.Parallel()
	const name = "auto-backup/heartbeat"
	there := map[string]time.Time{name: now}
	for what, c := range map[string]struct {
		names   map[string]time.Time
		digests map[string]string
		want    notify.SecretState
	}{
		"both":                {there, map[string]string{name: "d"}, notify.SecretPresent},
		"the digest alone":    {nil, map[string]string{name: "d"}, notify.SecretPresent},
		"the name alone":      {there, nil, notify.SecretPresent},
		"no digest":           {there, map[string]string{name: ""}, notify.SecretUnreadable},
		"neither, both asked": {map[string]time.Time{}, map[string]string{}, notify.SecretMissing},
		"nothing":             {nil, nil, notify.SecretUnknown},
		"no name to be read":  {nil, map[string]string{name: ""}, notify.SecretUnknown},
	} {
		s := healthy(t)
		s.ChannelSecrets, s.ChannelDigests = c.names, c.digests
		if got := s.ChannelSecret(name); got != c.want {
			t.Errorf("%s: it is %s instead of %s", what, got, c.want)
		}
	}
}
