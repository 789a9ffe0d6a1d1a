package provider_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/aimindset/terraform-provider-aimindset/internal/stack"
)

// vaultHolds fails the test unless the vault has this secret with this value and the
// backup's ownership marker; an empty value is one that is not there.
func (p *project) vaultHolds(name, value string) {
	p.t.Helper()
	want := ""
	if value != "" {
		want = value + " managed by terraform-provider-aimindset, backup auto-backup"
	}
	if got := p.value("select coalesce((select v.decrypted_secret || ' ' || v.description from vault.decrypted_secrets v where v.name = $1), '')", name); got != want {
		p.t.Errorf("the vault secret %s is %q instead of %q", name, got, want)
	}
}

// TestChannelsArguments proves the life of the arguments `heartbeat` and `webhooks`, but for
// the messages: their URLs and signing secrets are in the vault with the backup's ownership
// marker and nowhere else, the settings have the rest, and plans say what changes without
// them; both follow the configuration, also where only a write-only value has changed; a
// vault secret of others is neither overwritten nor removed; and what the configuration no
// longer has leaves the vault, as all does with the backup; an imported backup has both as
// the project does, with an empty plan. What is changed outside Terraform has rows in
// TestDriftMatrix.
func TestChannelsArguments(t *testing.T) {
	t.Parallel()
	p := start(t, stack.Options{Articles: 20, RateLimit: -1})
	const (
		beat, ops, signature, chat = "auto-backup/heartbeat", "auto-backup/webhook/ops", "auto-backup/webhook-secret/ops", "auto-backup/webhook/chat"

		ping, hook, slack = "https://hc-ping.com/canary-1", "https://hooks.acme.example/canary-2", "https://hooks.slack.com/services/canary-3"
		signing           = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
	)
	config := func(arguments string) string { return required + p.config("verify = \"none\"\n"+arguments) }
	const heartbeat = `heartbeat = { url = "` + ping + `" }`
	both := func(url, more string) string {
		return heartbeat + `
			webhooks = { ops = { url = "` + url + `", form = "generic", signing_secret = "` + signing + `", events = ["failed", "recovered"] } ` + more + ` }`
	}
	const settings = `select jsonb_build_object('heartbeat', document -> 'heartbeat', 'webhooks', document -> 'webhooks') from auto_backup.settings`
	has := func(want string) {
		t.Helper()
		if got := p.value(`select (` + settings + `) = '` + want + `'::jsonb`); got != "true" {
			t.Errorf("the settings are %s", p.value(settings))
		}
	}
	create := func(name string) string { return "select vault.create_secret('of-others', '" + name + "', 'theirs')" }

	// A vault secret of others has the name of a new one.
	p.asPostgres(create(ops))
	p.asPostgres(create("auto-backup/webhook/theirs"))
	c := newCLI(t, config(both(hook, "")))
	c.says(c.run(1, "plan", "-no-color"), "Objects with the backup's names exist", "the vault secret "+ops)
	c.configure(config(both(hook, "") + "\nadopt_existing = true"))
	c.says(c.run(0, "plan", "-no-color"), "the vault secret "+ops+" gets the configured value, and is removed with the backup")
	p.asPostgres("delete from vault.secrets where name = '" + ops + "'")

	c.configure(config(both(hook, "")))
	settled := func() {
		t.Helper()
		c.run(0, "plan", "-detailed-exitcode", "-no-color")
	}
	// apply applies a plan that changes these attributes, and reads like a golden file, of
	// which the plan has at most so many lines.
	apply := func(changes, golden string, limit int) {
		t.Helper()
		said := c.run(2, "plan", "-detailed-exitcode", "-no-color", "-out=plan.bin")
		p.golden("channels-"+golden, said, limit)
		if got := strings.Join(c.changes("plan.bin"), " "); changes != "" && got != changes {
			t.Errorf("the plan changes %s", got)
		}
		c.run(0, "apply", "-no-color", "plan.bin")
		settled()
	}
	c.Env = append(c.Env, "TF_IN_AUTOMATION=1")
	apply("", "create", 70)
	p.vaultHolds(beat, ping)
	p.vaultHolds(ops, hook)
	p.vaultHolds(signature, signing)
	has(`{"heartbeat": {"form": "healthchecks", "language": "pt-BR"}, "webhooks": {"ops": {"form": "generic", "events": ["failed", "recovered"], "language": "pt-BR", "signed": true}}}`)

	// What is changed in the configuration: a URL alone, then the rest.
	c.configure(config(both(hook+"-moved", "")))
	apply("update secret_fingerprints", "url", 15)
	p.vaultHolds(ops, hook+"-moved")
	p.asPostgres(create(chat))
	c.configure(config(both(hook, `, chat = { url = "`+slack+`", form = "slack", language = "en" }`)))
	c.says(c.run(1, "plan", "-no-color"), "Objects with the backup's names exist", "the vault secret "+chat)
	p.asPostgres("delete from vault.secrets where name = '" + chat + "'")
	apply("update secret_fingerprints webhooks", "added", 35)
	p.vaultHolds(ops, hook)
	p.vaultHolds(chat, slack)
	has(`{"heartbeat": {"form": "healthchecks", "language": "pt-BR"}, "webhooks": {
		"ops": {"form": "generic", "events": ["failed", "recovered"], "language": "pt-BR", "signed": true},
		"chat": {"form": "slack", "events": ["drill", "failed", "fidelity", "offsite", "overdue", "recovered"], "language": "en", "signed": false}}}`)

	// An import, which compares the values in the vault with those of the configuration.
	c.forgetState()
	all := both(hook, `, chat = { url = "`+slack+`", form = "slack", language = "en" }`)
	c.configure(config(all) + fmt.Sprintf("\nimport {\n to = aimindset_auto_backup.this\n id = \"%s/auto-backup\"\n}\n", p.ProjectRef))
	c.run(0, "plan", "-no-color", "-out=plan.bin")
	if got := strings.Join(c.changes("plan.bin"), " "); got != "update import verified verify" {
		t.Errorf("the import changes %s", got)
	}
	c.run(0, "apply", "-no-color", "plan.bin")
	settled()

	// What is taken out of the configuration, one by one.
	c.configure(config(strings.Replace(both(hook, ""), `signing_secret = "`+signing+`",`, "", 1)))
	apply("update secret_fingerprints webhooks", "fewer", 35)
	p.vaultHolds(chat, "")
	p.vaultHolds(signature, "")
	has(`{"heartbeat": {"form": "healthchecks", "language": "pt-BR"}, "webhooks": {"ops": {"form": "generic", "events": ["failed", "recovered"], "language": "pt-BR", "signed": false}}}`)
	c.configure(config(""))
	apply("update heartbeat secret_fingerprints webhooks", "removed", 35)
	p.vaultHolds(beat, "")
	p.vaultHolds(ops, "")
	has(`{"heartbeat": null, "webhooks": null}`)

	// All of it goes with the backup, and nothing of others.
	c.configure(config(both(hook, "")))
	c.run(0, "apply", "-auto-approve", "-no-color")
	c.run(0, "destroy", "-auto-approve", "-no-color")
	if got := p.value("select coalesce(string_agg(concat_ws(' ', name, description), ', '), '') from vault.secrets where name like 'auto-backup/%'"); got != "auto-backup/webhook/theirs theirs" {
		t.Errorf("after the destroy the vault has %s", got)
	}
}

// TestUnknownChannels proves that a URL and a signing secret which are known only when they
// are applied are checked then, before anything is changed, and that a signing secret which
// turns out to be null is none.
func TestUnknownChannels(t *testing.T) {
	t.Parallel()
	p := start(t, stack.Options{Articles: 20, RateLimit: -1})
	config := func(url, signing string) string {
		return required + fmt.Sprintf("resource \"terraform_data\" \"this\" {\n input = { url = %s, secret = %s }\n triggers_replace = [%[1]s, %[2]s]\n}\n", url, signing) + p.config(`
			verify    = "none"
			heartbeat = { url = terraform_data.this.output.url }
			webhooks  = { ops = { url = "https://hooks.acme.example/canary-2", form = "generic", signing_secret = terraform_data.this.output.secret } }`)
	}
	c := newCLI(t, config(`"https://hc-ping.com/canary-1/start"`, "null"))
	c.says(c.run(1, "apply", "-auto-approve", "-no-color"), "Invalid heartbeat", "`heartbeat.url`: The URL ends in /start")
	if got := p.value("select to_regclass('auto_backup.settings') is null"); got != "true" {
		t.Error("an apply that is refused has installed something")
	}
	c.configure(config("null", "null"))
	c.says(c.run(1, "apply", "-auto-approve", "-no-color"), "Missing Configuration for Required Attribute", "`heartbeat.url`")
	c.configure(config(`"https://hc-ping.com/canary-1"`, "null"))
	c.run(0, "apply", "-auto-approve", "-no-color")
	c.run(0, "plan", "-detailed-exitcode", "-no-color")
	p.vaultHolds("auto-backup/heartbeat", "https://hc-ping.com/canary-1")
	p.vaultHolds("auto-backup/webhook-secret/ops", "")
	const signing = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
	c.configure(config(`"https://hc-ping.com/canary-3"`, `"`+signing+`"`))
	c.run(0, "apply", "-auto-approve", "-no-color")
	c.run(0, "plan", "-detailed-exitcode", "-no-color")
	p.vaultHolds("auto-backup/heartbeat", "https://hc-ping.com/canary-3")
	p.vaultHolds("auto-backup/webhook-secret/ops", signing)
	c.run(0, "destroy", "-auto-approve", "-no-color")
}
