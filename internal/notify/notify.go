// Package notify is the model of the channels that tell of a backup outside its project:
// the heartbeat and the webhooks, and what makes one valid. It reads and sends nothing.
package notify

import (
	"encoding/base64"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/aimindset/terraform-provider-aimindset/internal/host"
	"github.com/aimindset/terraform-provider-aimindset/internal/text"
)

// Heartbeat is the service that hears of each run and misses one that is not made. It is
// part of the settings in the database, which have no secret: its URL is in the vault.
type Heartbeat struct {
	// Form is one of HeartbeatForms.
	Form string `json:"form"`
	// Language is that of the texts, one of Languages.
	Language string `json:"language"`
}

// Webhook is an address that gets a message about each of its events. Its URL and its
// signing secret are in the vault.
type Webhook struct {
	// Form is one of WebhookForms.
	Form string `json:"form"`
	// Events are those of Events that are sent, sorted; there is at least one.
	Events []string `json:"events"`
	// Language is that of the messages, one of Languages.
	Language string `json:"language"`
	// Signed says that the vault has a secret with which the messages are signed.
	Signed bool `json:"signed"`
}

// The forms of a heartbeat.
const (
	Healthchecks = "healthchecks"
	Sentry       = "sentry"
	Cronitor     = "cronitor"
	Plain        = "plain"
)

// The forms of a webhook.
const (
	Slack   = "slack"
	Discord = "discord"
	Teams   = "teams"
	// Generic are JSON documents, which can be signed as Standard Webhooks are.
	Generic = "generic"
)

// Languages of the texts.
const (
	// Portuguese is the language of the alert e-mails, and the default.
	Portuguese = "pt-BR"
	English    = "en"
)

// HeartbeatChannel is the name of the heartbeat among the channels.
const HeartbeatChannel = "heartbeat"

// WebhookChannel is the name of a webhook among the channels.
func WebhookChannel(key string) string { return "webhook/" + key }

// HeartbeatForms are the forms of a heartbeat.
func HeartbeatForms() []string { return []string{Healthchecks, Sentry, Cronitor, Plain} }

// WebhookForms are the forms of a webhook.
func WebhookForms() []string { return []string{Slack, Discord, Teams, Generic} }

// Languages are the languages of the texts.
func Languages() []string { return []string{Portuguese, English} }

// Events are the events of a webhook, sorted: a restore drill that failed, a run that
// failed, values or rows that a backup does not keep, an off-site copy that failed, a
// backup that is overdue, and the end of an incident.
func Events() []string {
	return []string{"drill", "failed", "fidelity", "offsite", "overdue", "recovered"}
}

// keyPattern is the form of a webhook's key.
var keyPattern = text.Pattern(`^[a-z][a-z0-9_]*$`)

// ValidateKey says why the key of a webhook cannot be used.
func ValidateKey(key string) error {
	const maxLength = 20
	switch {
	case len(key) > maxLength:
		return fmt.Errorf("the key %q has %d characters, the limit is %d, because it becomes part of secret names; choose a shorter key", key, len(key), maxLength)
	case !keyPattern().MatchString(key):
		return fmt.Errorf("the key %q becomes part of secret names; use lower-case letters, digits and underscores, beginning with a letter, for example \"ops\"", key)
	}
	return nil
}

// ValidateURL says why a text is not the URL of a channel. No error quotes the text, since
// whoever has the URL can send in the project's name.
func ValidateURL(text string) error {
	const (
		maxLength = 2000
		example   = "copy it again from the service that gave it, beginning with https://"
	)
	u, err := url.Parse(text)
	switch {
	case text == "":
		return errors.New("the URL is empty; " + example)
	case len(text) > maxLength:
		return fmt.Errorf("the URL has %d characters, the limit is %d; ask the service for a shorter one", len(text), maxLength)
	case strings.TrimSpace(text) != text:
		return errors.New("the URL has a space or a line break at its beginning or end; remove it, for example with `trimspace`")
	case strings.ContainsFunc(text, func(c rune) bool { return c <= ' ' || c >= 0x7f }):
		return errors.New("the URL has a character that no URL may have as it is, such as a space, a control character or an accented letter; percent-encode it")
	case err != nil:
		// The error could contain the text.
		return errors.New("the URL cannot be read; " + example)
	case u.Scheme != "https" && u.Scheme != "http" || u.Hostname() == "" || u.Opaque != "":
		return errors.New("the URL is not an https URL with a host; " + example)
	case u.User != nil:
		return errors.New("the URL contains a user name or a password before its host, which a request of the database would not send; use a URL whose path or query has the secret")
	case strings.Contains(text, "#"):
		return errors.New("the URL has a fragment, which no request sends; remove everything from the \"#\" on")
	case u.Scheme == "http" && !host.Private(u.Hostname()):
		return errors.New("the URL is not encrypted on its way, and it is a secret; write https://. Only addresses of a private network or of the machine itself may be http")
	}
	return nil
}

// parsed is a valid URL; of another text, for which ValidateURL has an error, it is empty.
func parsed(text string) *url.URL {
	u, err := url.Parse(text)
	if err != nil {
		return &url.URL{}
	}
	return u
}

// under reports whether a URL is one of a domain.
func under(u *url.URL, domain string) bool {
	name := strings.ToLower(u.Hostname())
	return name == domain || strings.HasSuffix(name, "."+domain)
}

// CheckURL says why the valid URL of a heartbeat does not fit its form: the service at a
// known host would not understand what is added to it.
func (h Heartbeat) CheckURL(text string) error {
	u := parsed(text)
	for _, known := range []struct{ domain, service, form string }{
		{"hc-ping.com", "Healthchecks.io", Healthchecks}, {"sentry.io", "Sentry", Sentry}, {"cronitor.link", "Cronitor", Cronitor},
	} {
		if under(u, known.domain) && h.Form != known.form && h.Form != Plain {
			return fmt.Errorf("the URL is one of %s, which does not understand pings in the form %q; write form = %q", known.service, h.Form, known.form)
		}
	}
	last := u.Path[strings.LastIndex(u.Path, "/")+1:]
	added := map[string][]string{Sentry: {"status", "check_in_id"}, Cronitor: {"state", "series"}}[h.Form]
	switch {
	case h.Form == Healthchecks && slices.Contains([]string{"start", "fail", "log"}, last):
		return fmt.Errorf("the URL ends in /%s, which is added for each kind of ping; remove it", last)
	case h.Form == Sentry && !strings.Contains(u.Path, "/cron/"):
		return errors.New("the URL is not that of a Sentry monitor, whose path contains /cron/; copy it from the monitor's instructions for HTTP")
	}
	for _, name := range added {
		if u.Query().Has(name) {
			return fmt.Errorf("the URL has the parameter %s, which is added for each kind of ping; remove it", name)
		}
	}
	return nil
}

// CheckURL says why the valid URL of a webhook does not fit its form: the service at a
// known host would refuse every message.
func (w Webhook) CheckURL(text string) error {
	u := parsed(text)
	service, form := "", ""
	switch {
	case under(u, "hooks.slack.com"):
		service, form = "Slack", Slack
	case (under(u, "discord.com") || under(u, "discordapp.com")) && strings.HasSuffix(u.Path, "/slack"):
		service, form = "Discord for messages in the form of Slack", Slack
	case under(u, "discord.com") || under(u, "discordapp.com"):
		service, form = "Discord", Discord
	case under(u, "webhook.office.com"):
		service, form = "Microsoft Teams", Teams
	}
	if form != "" && form != w.Form {
		return fmt.Errorf("the URL is one of %s, which would refuse messages in the form %q; write form = %q", service, w.Form, form)
	}
	return nil
}

// ValidateSigningSecret says why a text is not a signing secret of Standard Webhooks. No
// error quotes the text.
func ValidateSigningSecret(text string) error {
	const (
		prefix      = "whsec_"
		least, most = 24, 64 // bytes, as Standard Webhooks says
		example     = "make one with: echo \"whsec_$(openssl rand -base64 32)\""
	)
	encoded, prefixed := strings.CutPrefix(text, prefix)
	// The decoder ignores line breaks, and the database would not.
	key, err := base64.StdEncoding.Strict().DecodeString(encoded)
	switch {
	case !prefixed:
		return errors.New("a signing secret begins with " + prefix + "; " + example)
	case err != nil || strings.ContainsAny(encoded, "\r\n"):
		return errors.New("what follows " + prefix + " in the signing secret is not base64 with its padding; " + example)
	case len(key) < least || len(key) > most:
		return fmt.Errorf("the signing secret has %d bytes; Standard Webhooks asks for %d to %d; %s", len(key), least, most, example)
	}
	return nil
}
