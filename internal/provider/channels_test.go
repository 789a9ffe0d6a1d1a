package provider_test

import (
	"encoding/base64"
	"fmt"
	"maps"
	"strings"
	"testing"
)

// TestBadChannels proves that a heartbeat and webhooks which cannot work are refused at
// the argument's own path, and that no complaint quotes a URL or a secret.
func TestBadChannels(t *testing.T) {
	t.Parallel()
	type object = map[string]any
	const (
		canary = "c4n4ry"
		ping   = "https://hc-ping.com/" + canary
	)
	signing := "whsec_" + base64.StdEncoding.EncodeToString([]byte(strings.Repeat(canary, 5)))
	heartbeat := func(arguments object) object {
		h := object{"url": ping}
		maps.Copy(h, arguments)
		return object{"heartbeat": h}
	}
	webhook := func(arguments object) object {
		w := object{"url": "https://hooks.acme.example/" + canary, "form": "generic"}
		maps.Copy(w, arguments)
		return w
	}
	one := func(arguments object) object { return object{"webhooks": object{"ops": webhook(arguments)}} }
	two := func(first, second object) object {
		return object{"webhooks": object{"a": webhook(first), "b": webhook(second)}}
	}
	many := object{}
	for i := range 11 {
		many[fmt.Sprintf("k%d", i)] = webhook(object{"url": fmt.Sprintf("https://hooks.acme.example/%d", i)})
	}
	both := one(object{"url": ping})
	both["heartbeat"] = heartbeat(nil)["heartbeat"]
	for what, c := range map[string]struct {
		config     object
		path, says string
	}{
		"heartbeat's URL":              {heartbeat(object{"url": canary}), "heartbeat.url", "not an https URL"},
		"heartbeat without encryption": {heartbeat(object{"url": "http://hc-ping.com/" + canary}), "heartbeat.url", "write https://"},
		"heartbeat's URL of a start":   {heartbeat(object{"url": ping + "/start"}), "heartbeat.url", "/start"},
		"heartbeat's form":             {heartbeat(object{"form": "pager"}), "heartbeat.form", `"healthchecks"`},
		"heartbeat's language":         {heartbeat(object{"language": "pt"}), "heartbeat.language", `"pt-BR"`},
		"URL of another form":          {heartbeat(object{"form": "sentry"}), "heartbeat.url", `write form = "healthchecks"`},
		"key":                          {object{"webhooks": object{"On-Call": webhook(nil)}}, `webhooks["On-Call"]`, "lower-case letters"},
		"too many":                     {object{"webhooks": many}, "webhooks", "at most 10"},
		"webhook's URL":                {one(object{"url": "https://" + canary + ":x@acme.example"}), `webhooks["ops"].url`, "user name"},
		"URL with a line break":        {one(object{"url": "https://acme.example/" + canary + "\n"}), `webhooks["ops"].url`, "trimspace"},
		"webhook's form":               {one(object{"form": "irc", "url": "https://discord.com/api/webhooks/1/" + canary}), `webhooks["ops"].form`, `"teams"`},
		"URL of Slack":                 {one(object{"url": "https://hooks.slack.com/services/" + canary}), `webhooks["ops"].url`, `write form = "slack"`},
		"unknown event":                {one(object{"events": []any{"success"}}), `webhooks["ops"].events`, `"recovered"`},
		"no event":                     {one(object{"events": []any{}}), `webhooks["ops"].events`, "at least 1"},
		"webhook's language":           {one(object{"language": "English"}), `webhooks["ops"].language`, `"en"`},
		"signing secret":               {one(object{"signing_secret": canary}), `webhooks["ops"].signing_secret`, "openssl rand"},
		"signing secret of Slack":      {one(object{"form": "slack", "signing_secret": signing}), `webhooks["ops"].signing_secret`, `write form = "generic"`},
		"heartbeat as webhook":         {both, `webhooks["ops"].url`, "URL of its own"},
		"the same twice":               {two(nil, nil), `webhooks["b"].url`, `drill, failed, fidelity, offsite, overdue, recovered would arrive twice`},
		"an event twice":               {two(object{"events": []any{"failed", "drill"}}, object{"events": []any{"failed", "recovered"}}), `webhooks["b"].url`, "about failed would arrive twice"},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			diags := validate(t, c.config)
			if len(diags) != 1 {
				t.Fatalf("got %d diagnostics: %s", len(diags), texts(diags))
			}
			// An element of a set is a step without a name.
			if got := strings.TrimSuffix(pathOf(diags[0].Attribute), "."); got != c.path {
				t.Errorf("the complaint is at %s, not at %s", got, c.path)
			}
			if !strings.Contains(diags[0].Detail, c.says) {
				t.Errorf("the complaint does not say %q: %s", c.says, diags[0].Detail)
			}
			if strings.Contains(texts(diags), canary) || strings.Contains(texts(diags), signing[6:]) {
				t.Errorf("the complaint quotes the URL or the secret: %s", texts(diags))
			}
		})
	}
	if said := texts(validateAlone(t, object{"webhooks": object{"ops": nil}})); !strings.Contains(said, "`webhooks[\"ops\"]`: The webhook is null. Leave its key out") {
		t.Errorf("a null webhook is refused with %s", said)
	}
	good := two(object{"events": []any{"failed"}, "signing_secret": signing}, object{"events": []any{"recovered"}, "language": "en"})
	good["heartbeat"] = heartbeat(nil)["heartbeat"]
	for what, config := range map[string]object{"the same URL for other events": good, "no webhook": {"webhooks": object{}}} {
		if diags := validate(t, config); len(diags) > 0 {
			t.Errorf("%s is refused: %s", what, texts(diags))
		}
	}
}
