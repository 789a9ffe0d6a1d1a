package notify_test

import (
	"encoding/base64"
	"slices"
	"strings"
	"testing"

	"github.com/aimindset/terraform-provider-aimindset/internal/notify"
)

// complains reports whether an error is the expected one: none for "", else one with the
// text.
func complains(err error, want string) bool {
	if want == "" {
		return err == nil
	}
	return err != nil && strings.Contains(err.Error(), want)
}

// TestValidateURL proves which texts are URLs of a channel, and that no error quotes one.
func TestValidateURL(t *testing.T) {
	t.Parallel()
	const canary = "c4n4ry"
	for text, want := range map[string]string{
		"https://hc-ping.com/c4n4ry": "", "https://hc-ping.com/c4n4ry?create=1&rid=": "", "https://[2001:db8::1]:8443/c4n4ry": "",
		"http://127.0.0.1:8000/ping/c4n4ry": "", "http://healthchecks:8000/ping/c4n4ry": "", "http://10.0.0.7/c4n4ry": "", "https://c4n4ry.example": "",
		"": "empty", "https://x/" + strings.Repeat("c4n4ry", 400): "the limit is 2000", "https://x/" + strings.Repeat("a", 1990): "",
		" https://x/c4n4ry": "trimspace", "https://x/c4n4ry\n": "trimspace", "https://x/c4n4ry a": "percent-encode", "https://x/c4n4ry\x00": "percent-encode", "https://x/c4n4ry\u00e7": "percent-encode",
		"https://x/%zzc4n4ry": "cannot be read", "://c4n4ry": "cannot be read", "c4n4ry": "not an https URL", "ftp://c4n4ry/x": "not an https URL", "https:c4n4ry": "not an https URL", "https:///c4n4ry": "not an https URL", "https://:443/c4n4ry": "not an https URL",
		"https://c4n4ry:c4n4ry@x.example/": "user name", "https://c4n4ry@x.example/": "user name", "https://x/a#c4n4ry": "fragment", "https://x/c4n4ry#": "fragment",
		"http://hc-ping.com/c4n4ry": "write https://", "http://8.8.8.8/c4n4ry": "write https://",
	} {
		err := notify.ValidateURL(text)
		if !complains(err, want) {
			t.Errorf("%.60q: %v instead of %q", text, err, want)
		}
		if err != nil && strings.Contains(err.Error(), canary) {
			t.Errorf("the error quotes the URL: %v", err)
		}
	}
}

// TestCheckURL proves that a URL which its form does not fit is refused, with the form that
// it needs where that is known, and without quoting it.
func TestCheckURL(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ channel, form, url, want string }{
		{"heartbeat", notify.Healthchecks, "https://hc-ping.com/c4n4ry", ""},
		{"heartbeat", notify.Healthchecks, "https://hc-ping.com/c4n4ry/start", "/start"},
		{"heartbeat", notify.Healthchecks, "https://hc-ping.com/c4n4ry/fail?rid=1", "/fail"},
		{"heartbeat", notify.Plain, "https://monitor.example/c4n4ry/fail", ""},
		{"heartbeat", notify.Plain, "https://hc-ping.com/c4n4ry", ""},
		{"heartbeat", notify.Sentry, "https://HC-ping.com/c4n4ry", `write form = "healthchecks"`},
		{"heartbeat", notify.Healthchecks, "https://o1.ingest.sentry.io/api/1/cron/backup/c4n4ry/", `write form = "sentry"`},
		{"heartbeat", notify.Healthchecks, "https://cronitor.link/p/c4n4ry/backup", `write form = "cronitor"`},
		{"heartbeat", notify.Healthchecks, "https://nothc-ping.com.example/c4n4ry", ""},
		{"heartbeat", notify.Sentry, "https://o1.ingest.sentry.io/api/1/cron/backup/c4n4ry/", ""},
		{"heartbeat", notify.Sentry, "https://o1.ingest.sentry.io/api/1/cron/backup/c4n4ry/?status=ok", "parameter status"},
		{"heartbeat", notify.Sentry, "https://o1.ingest.sentry.io/api/1/envelope/c4n4ry", "/cron/"},
		{"heartbeat", notify.Cronitor, "https://cronitor.link/p/c4n4ry/backup", ""},
		{"heartbeat", notify.Cronitor, "https://cronitor.link/p/c4n4ry/backup?state=run", "parameter state"},
		{"heartbeat", notify.Cronitor, "https://x.example/%zz", ""},
		{"webhook", notify.Slack, "https://hooks.slack.com/services/c4n4ry", ""},
		{"webhook", notify.Slack, "https://mattermost.example/hooks/c4n4ry", ""},
		{"webhook", notify.Discord, "https://hooks.slack.com/services/c4n4ry", `write form = "slack"`},
		{"webhook", notify.Generic, "https://HOOKS.slack.com/services/c4n4ry", `write form = "slack"`},
		{"webhook", notify.Discord, "https://discord.com/api/webhooks/1/c4n4ry", ""},
		{"webhook", notify.Slack, "https://discord.com/api/webhooks/1/c4n4ry/slack", ""},
		{"webhook", notify.Discord, "https://discord.com/api/webhooks/1/c4n4ry/slack", `write form = "slack"`},
		{"webhook", notify.Slack, "https://ptb.discord.com/api/webhooks/1/c4n4ry", `write form = "discord"`},
		{"webhook", notify.Generic, "https://acme.webhook.office.com/webhookb2/c4n4ry", `write form = "teams"`},
		{"webhook", notify.Teams, "https://prod-01.westeurope.logic.azure.com:443/workflows/c4n4ry?sig=x", ""},
		{"webhook", notify.Generic, "https://prod-01.westeurope.logic.azure.com:443/workflows/c4n4ry?sig=x", ""},
		{"webhook", notify.Slack, "https://nothooks.slack.com.example/c4n4ry", ""},
		{"webhook", notify.Slack, "https://x.example/%zz", ""},
	} {
		var err error
		if test.channel == "heartbeat" {
			err = notify.Heartbeat{Form: test.form}.CheckURL(test.url)
		} else {
			err = notify.Webhook{Form: test.form}.CheckURL(test.url)
		}
		if !complains(err, test.want) {
			t.Errorf("%s %s %s: %v instead of %q", test.channel, test.form, test.url, err, test.want)
		}
		if err != nil && strings.Contains(err.Error(), "c4n4ry") {
			t.Errorf("the error quotes the URL: %v", err)
		}
	}
}

// TestValidateSigningSecret proves which texts are signing secrets of Standard Webhooks,
// and that no error quotes one.
func TestValidateSigningSecret(t *testing.T) {
	t.Parallel()
	of := func(n int) string {
		return "whsec_" + base64.StdEncoding.EncodeToString([]byte(strings.Repeat("k", n)))
	}
	for text, want := range map[string]string{
		of(24): "", of(32): "", of(64): "", of(23): "23 bytes", of(65): "65 bytes", "whsec_": "0 bytes",
		"": "begins with whsec_", "c4n4ry": "begins with whsec_", strings.ToUpper(of(32)): "begins with whsec_",
		"whsec_c4n4ry!!": "not base64", strings.TrimRight(of(32), "="): "not base64", of(32) + "\n": "not base64", of(32)[:20] + "\n" + of(32)[20:]: "not base64", " " + of(32): "begins with",
		"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw": "",
	} {
		err := notify.ValidateSigningSecret(text)
		if !complains(err, want) {
			t.Errorf("%q: %v instead of %q", text, err, want)
		}
		if err != nil && (strings.Contains(err.Error(), "c4n4ry") || len(text) > 10 && strings.Contains(err.Error(), text[6:])) {
			t.Errorf("the error quotes the secret: %v", err)
		}
	}
}

// TestKeys proves that the key of a webhook has the form of a destination's.
func TestKeys(t *testing.T) {
	t.Parallel()
	for key, want := range map[string]string{
		"ops": "", "on_call2": "", strings.Repeat("a", 20): "", strings.Repeat("a", 21): "the limit is 20",
		"": "lower-case", "Ops": "lower-case", "2ops": "lower-case", "on-call": "lower-case", "a/b": "lower-case",
	} {
		if err := notify.ValidateKey(key); !complains(err, want) {
			t.Errorf("%q: %v instead of %q", key, err, want)
		}
	}
	if got := notify.WebhookChannel("ops"); got != "webhook/ops" {
		t.Errorf("the channel is %q", got)
	}
}

// TestLists proves that the events are sorted, as settings have them, and that each list
// has the default first where it has one.
func TestLists(t *testing.T) {
	t.Parallel()
	if events := notify.Events(); !slices.IsSorted(events) || len(events) != 6 {
		t.Errorf("the events are %v", events)
	}
	if notify.HeartbeatForms()[0] != notify.Healthchecks || notify.Languages()[0] != notify.Portuguese || len(notify.WebhookForms()) != 4 {
		t.Errorf("the lists are %v, %v, %v", notify.HeartbeatForms(), notify.Languages(), notify.WebhookForms())
	}
}
