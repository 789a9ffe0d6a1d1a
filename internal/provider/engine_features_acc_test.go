package provider_test

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/aimindset/terraform-provider-aimindset/internal/stack"
	"github.com/aimindset/terraform-provider-aimindset/internal/stack/engine"
)

// probes try each feature of package engine's table in an empty directory, with nothing
// of a project.
var probes = map[string]struct {
	file, text string
	args       []string
	// lacking is what an engine without the feature says.
	lacking string
}{
	"write_only": {text: `
		variable "pass" {
			type      = string
			ephemeral = true
		}
		resource "aimindset_auto_backup" "this" { secrets = { PASS = var.pass } }`},
	"check": {text: `
		import {
			to = aimindset_auto_backup.this
			id = "abcdefghijklmnopqrst/auto-backup"
		}
		moved {
			from = aimindset_auto_backup.that
			to   = aimindset_auto_backup.this
		}
		removed {
			from = aimindset_auto_backup.other
			lifecycle { destroy = false }
		}
		resource "aimindset_auto_backup" "this" {}
		check "schedule" {
			assert {
				condition     = aimindset_auto_backup.this.name == provider::aimindset::cron_utc("0 3 * * *", "UTC")
				error_message = "no"
			}
		}`},
	"identity": {text: `
		import {
			to       = aimindset_auto_backup.this
			identity = { project_ref = "abcdefghijklmnopqrst", name = "auto-backup" }
		}
		resource "aimindset_auto_backup" "this" {}`, lacking: `identity`},
	"provider_for_each": {text: `
		locals { projects = { one = "abcdefghijklmnopqrst" } }
		provider "aimindset" {
			for_each    = local.projects
			alias       = "of"
			project_ref = each.value
		}
		resource "aimindset_auto_backup" "this" {
			for_each = local.projects
			provider = aimindset.of[each.key]
		}`, lacking: `for_each`},
	"encryption": {text: encryption + `
		resource "aimindset_auto_backup" "this" {}`, lacking: `encryption`},
	"actions": {text: `
		action "aimindset_auto_backup_run" "now" {}`, lacking: `action`},
	"query": {file: "backups.tfquery.hcl", text: `
		list "aimindset_auto_backup" "all" { provider = aimindset }`, args: []string{"validate", "-query", "-no-color"}, lacking: `-query`},
	"deferral": {text: `output "one" { value = 1 }`, args: []string{"plan", "-allow-deferral", "-no-color"}, lacking: `allow-deferral`},
}

// TestEngineFeatures proves that the table of what each Terraform and OpenTofu has is
// true of the one at hand: what it is said to have is accepted, and what not is refused.
// Terraform's alpha releases have the experiments, and its other releases do not. The
// test's log shows the table.
func TestEngineFeatures(t *testing.T) {
	t.Parallel()
	needTerraform(t)
	e, err := engines.Engine()
	if err != nil {
		t.Fatal(err)
	}
	features, err := engine.Features()
	if err != nil {
		t.Fatal(err)
	}
	if len(features) != len(probes) {
		t.Errorf("there are %d features and %d probes", len(features), len(probes))
	}
	if stage := e.Version.Prerelease(); stage != "dev" && strings.HasPrefix(stage, "alpha") != e.Experiments && !e.OpenTofu {
		t.Errorf("%s: experiments %t", e, e.Experiments)
	}
	for _, f := range features {
		probe, ok := probes[f.Key]
		if !ok {
			t.Errorf("nothing tries the feature %s", f.Key)
			continue
		}
		has := e.Has(f)
		t.Logf("%s: %s: %t (Terraform: %s, OpenTofu: %s)", e, f.Name, has, f.From(false), f.From(true))
		config, args := required+probe.text, probe.args
		if probe.file != "" {
			config = required + `provider "aimindset" {}`
		}
		if args == nil {
			args = []string{"validate", "-no-color"}
		}
		c := newCLI(t, config)
		if probe.file != "" {
			if err := os.WriteFile(filepath.Join(c.Dir, probe.file), []byte(probe.text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if has {
			c.run(0, args...)
		} else if out := c.run(1, args...); probe.lacking == "" || !strings.Contains(out, probe.lacking) {
			t.Errorf("%s refuses %s without a word of %q:\n%s", e, f.Key, probe.lacking, out)
		}
	}
}

// TestIdentityImport proves with the engine itself that a backup is imported by its
// identity, with the configuration that the engine generates, and that the plan after
// it is empty; and that an identity of which nothing is there says so.
func TestIdentityImport(t *testing.T) {
	needFeature(t, "identity")
	t.Parallel()
	p := start(t, stack.Options{Articles: 1})
	newCLI(t, required+`resource "aimindset_auto_backup" "this" { schedules = { nightly = { cron = "30 4 * * *" } } }`, p.Environ()...).run(0, applyNow...)
	block := func(name, more string) string {
		return required + fmt.Sprintf(`
			import {
				to       = aimindset_auto_backup.this
				identity = { project_ref = %q, name = %q }
				%s
			}`, p.ProjectRef, name, more)
	}
	// Terraform has to be told where the provider of a resource is that is not there yet.
	const fromHere = "provider = aimindset"
	generate := []string{"plan", "-no-color", "-generate-config-out=generated.tf"}
	c := newCLI(t, block("other-backup", fromHere), p.Environ()...)
	c.says(c.run(1, generate...), "has no backup other-backup")
	c.configure(block("auto-backup", fromHere))
	c.says(c.run(0, generate...), "1 to import, 0 to add, 0 to change, 0 to destroy")
	c.configure(block("auto-backup", ""))
	c.says(c.run(0, applyNow...), "1 imported, 0 added, 0 changed, 0 destroyed")
	c.run(0, "plan", "-detailed-exitcode", "-no-color")
	c.run(0, destroyNow...)
	if left := p.traces("auto-backup"); len(left) > 0 {
		t.Errorf("the destroy left %v", left)
	}
}

// TestQuery proves with Terraform itself that a query lists each backup with its
// identity, and that the configuration which it generates imports them and then plans
// empty.
func TestQuery(t *testing.T) {
	needFeature(t, "query")
	t.Parallel()
	p := start(t, stack.Options{Articles: 1})
	newCLI(t, required+`
		resource "aimindset_auto_backup" "this" { verify = "none" }
		resource "aimindset_auto_backup" "weekly" {
			name      = "weekly-backup"
			timezone  = "Europe/Lisbon"
			schedules = { sunday = { cron = "0 5 * * sun", enabled = false } }
			verify    = "none"
		}`, p.Environ()...).run(0, applyNow...)
	c := newCLI(t, required+`provider "aimindset" {}`, p.Environ()...)
	query, err := os.ReadFile("../../examples/list-resources/aimindset_auto_backup/list-resource.tfquery.hcl")
	if err != nil {
		t.Fatal(err)
	}
	shop := strings.Index(string(query), `list "aimindset_auto_backup" "shop"`)
	if shop < 0 {
		t.Fatalf("the example is\n%s", query)
	}
	if err := os.WriteFile(filepath.Join(c.Dir, "backups.tfquery.hcl"), query[:shop], 0o600); err != nil {
		t.Fatal(err)
	}
	out := c.run(0, "query", "-no-color", "-generate-config-out=backups.tf")
	for _, name := range []string{"auto-backup", "weekly-backup"} {
		if !regexp.MustCompile(`aimindset_auto_backup\.all\s+name=` + name + `,project_ref=` + p.ProjectRef + `\s`).MatchString(out) {
			t.Errorf("the query does not list %s:\n%s", name, out)
		}
	}
	c.says(c.run(0, "plan", "-no-color"), "2 to import, 0 to add, 0 to change, 0 to destroy")
	c.run(0, applyNow...)
	c.run(0, "plan", "-detailed-exitcode", "-no-color")
	c.run(0, destroyNow...)
	for _, name := range []string{"auto-backup", "weekly-backup"} {
		if left := p.traces(name); len(left) > 0 {
			t.Errorf("the destroy left %v", left)
		}
	}
}

// encryption is OpenTofu's encryption of states and saved plans.
const encryption = `
	variable "passphrase" {
		type    = string
		default = "a passphrase that is long enough"
	}
	terraform {
		encryption {
			key_provider "pbkdf2" "this" { passphrase = var.passphrase }
			method "aes_gcm" "this" { keys = key_provider.pbkdf2.this }
			state {
				method   = method.aes_gcm.this
				enforced = true
			}
			plan {
				method   = method.aes_gcm.this
				enforced = true
			}
		}
	}`

// TestStateEncryption proves with OpenTofu itself that a backup lives with an encrypted
// state and encrypted plans: neither file says anything in plain text, a saved plan
// applies, what the provider keeps in the state for itself is read back, drift is seen
// and repaired, and another passphrase is refused.
func TestStateEncryption(t *testing.T) {
	needFeature(t, "encryption")
	t.Parallel()
	p := start(t, stack.Options{Articles: 1})
	c := newCLI(t, required+encryption+`
		resource "aimindset_auto_backup" "this" {
			secrets = { EXTRA = "value-of-the-secret" }
			verify  = "none"
		}`, p.Environ()...)
	encrypted := func(file, plain string) {
		t.Helper()
		text, err := os.ReadFile(filepath.Join(c.Dir, file))
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(string(text), `"encrypted_data"`) || strings.HasPrefix(string(text), plain) || strings.Contains(string(text), p.ProjectRef) {
			t.Errorf("%s is not encrypted: %.200s", file, text)
		}
	}
	c.run(2, "plan", "-detailed-exitcode", "-no-color", "-out=plan.bin")
	encrypted("plan.bin", "PK")
	c.run(0, "apply", "-no-color", "plan.bin")
	encrypted("terraform.tfstate", `{"version"`)
	c.run(0, "plan", "-detailed-exitcode", "-no-color")
	c.says(c.run(0, "show", "-no-color"), p.ProjectRef)

	p.asPostgres("select cron.unschedule('auto-backup-watchdog')")
	p.overwriteSecret("EXTRA", "of-others")
	c.says(c.run(2, "plan", "-detailed-exitcode", "-no-color"), "auto-backup-watchdog", "EXTRA")
	c.run(0, applyNow...)
	c.run(0, "plan", "-detailed-exitcode", "-no-color")
	c.says(c.run(1, "plan", "-no-color", "-var=passphrase=another one that is long enough"), "decrypt")
	c.run(0, destroyNow...)
	if left := p.traces("auto-backup"); len(left) > 0 {
		t.Errorf("the destroy left %v", left)
	}
}

// TestDeferral proves with Terraform itself, where it has the experiment, that a plan
// with -allow-deferral waits with the backup and its status while the provider's
// configuration is not known, instead of failing, and that the next one goes on.
func TestDeferral(t *testing.T) {
	needFeature(t, "deferral")
	t.Parallel()
	p := start(t, stack.Options{Articles: 1})
	c := newCLI(t, required+fmt.Sprintf(`
		resource "terraform_data" "account" { input = %q }
		provider "aimindset" {
			access_token = terraform_data.account.output
			project_ref  = %q
			api_url      = %q
			project_url  = %q
		}
		resource "aimindset_auto_backup" "this" { verify = "none" }
		data "aimindset_auto_backup_status" "this" {}`, p.AccessToken, p.ProjectRef, p.APIURL, p.ProjectURL))
	deferring := slices.Concat(applyNow, []string{"-allow-deferral"})
	c.says(c.run(0, "plan", "-no-color", "-allow-deferral", "-out=plan.bin"), "1 to add, 0 to change, 0 to destroy")
	c.says(c.run(0, "show", "-json", "plan.bin"), `"reason":"provider_config_unknown"`, `"address":"aimindset_auto_backup.this"`)
	c.run(0, deferring...)
	if left := p.traces("auto-backup"); len(left) > 0 {
		t.Errorf("a deferred apply made %v", left)
	}
	c.says(c.run(0, deferring...), "1 added, 0 changed, 0 destroyed")
	c.run(0, "plan", "-detailed-exitcode", "-no-color")

	// What is there is not read either, and stays.
	again := "-replace=terraform_data.account"
	c.says(c.run(1, "plan", "-no-color", again), "terraform apply -target=")
	c.says(c.run(0, slices.Concat(deferring, []string{again})...), "1 added, 0 changed, 1 destroyed")
	c.run(0, "plan", "-detailed-exitcode", "-no-color")
	c.run(0, destroyNow...)
	if left := p.traces("auto-backup"); len(left) > 0 {
		t.Errorf("the destroy left %v", left)
	}
}
