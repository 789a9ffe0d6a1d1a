package provider_test

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aimindset/terraform-provider-aimindset/internal/stack"
)

// secret reads what the Management API tells of a function secret: the SHA-256
// of its value, or nothing.
func (p *project) secret(name string) string {
	p.t.Helper()
	secrets, err := p.client().ListSecrets(p.t.Context(), p.ProjectRef)
	if err != nil {
		p.t.Fatal(err)
	}
	for _, s := range secrets {
		if s.Name == name {
			return s.Digest
		}
	}
	return ""
}

// holds complains when a function secret has another value than the given one;
// an empty one means that there must be no such secret.
func (p *project) holds(name, value string) {
	p.t.Helper()
	want := ""
	if value != "" {
		sum := sha256.Sum256([]byte(value))
		want = hex.EncodeToString(sum[:])
	}
	if got := p.secret(name); got != want {
		p.t.Errorf("the secret %s has the digest %q, not that of %q", name, got, value)
	}
}

// TestSecrets proves the whole life of write-only secrets: values that nobody
// knows at the plan and ephemeral ones get through and end in an empty plan; a
// change on either side is planned at its name without any version attribute;
// a removed name goes from the project, one that was adopted stays with a
// warning, and secrets of others are never touched. No value is in the state.
func TestSecrets(t *testing.T) {
	needFeature(t, "write_only")
	t.Parallel()
	p := start(t, stack.Options{Articles: 1})
	p.overwriteSecret("OTHERS", "of-others")
	p.overwriteSecret("SHARED", "of-others")
	config := func(secrets string) string {
		return required + `
			variable "pass" {
			  type      = string
			  ephemeral = true
			}
			variable "seed" { type = string }
			resource "terraform_data" "made" { input = "value-from-${var.seed}" }
			resource "aimindset_auto_backup" "this" {
			  verify         = "none"
			  adopt_existing = true
			  secrets        = ` + secrets + `
			}`
	}
	c := newCLI(t, config(`{ MADE = terraform_data.made.output, PASS = var.pass, SHARED = "value-of-ours" }`),
		append(p.Environ(), "TF_VAR_pass=value-ephemeral", "TF_VAR_seed=first")...)
	c.trace()
	settled := func(env ...string) {
		t.Helper()
		c.runWith(env, 0, "plan", "-detailed-exitcode", "-no-color")
	}

	// Unknown at the plan, and ephemeral, through a saved plan.
	c.run(2, "plan", "-detailed-exitcode", "-no-color", "-out=plan.bin")
	c.run(0, "apply", "-no-color", "plan.bin")
	settled()
	p.holds("MADE", "value-from-first")
	p.holds("PASS", "value-ephemeral")
	p.holds("SHARED", "value-of-ours")

	// A new value of each kind: one that is unknown again, and an ephemeral one.
	second := []string{"TF_VAR_seed=second", "TF_VAR_pass=value-rotated"}
	c.runWith(second, 2, "plan", "-detailed-exitcode", "-no-color", "-out=plan.bin")
	c.runWith(second, 0, "apply", "-no-color", "plan.bin")
	settled(second...)
	p.holds("MADE", "value-from-second")
	p.holds("PASS", "value-rotated")

	// An ephemeral value that is another one at the apply than at the plan is
	// not written; Terraform itself stops there.
	p.overwriteSecret("MADE", "by-hand")
	c.runWith(second, 2, "plan", "-detailed-exitcode", "-no-color", "-out=plan.bin")
	c.says(c.runWith([]string{"TF_VAR_seed=second", "TF_VAR_pass=value-unplanned"}, 1, "apply", "-no-color", "plan.bin"), `.secret_fingerprints["PASS"]`)
	p.holds("PASS", "value-rotated")
	p.holds("MADE", "by-hand")

	// Drift from the other side, without a change of the configuration.
	if out := c.runWith(second, 2, "plan", "-detailed-exitcode", "-no-color"); !strings.Contains(out, `"secret MADE" = "has another value than the configured one"`) || strings.Contains(out, `PASS`) {
		t.Errorf("the plan does not name the secret that drifted alone:\n%s", out)
	}
	c.runWith(second, 0, "apply", "-auto-approve", "-no-color")
	settled(second...)
	p.holds("MADE", "value-from-second")

	// Names go: the own one from the project, the adopted one stays.
	c.configure(config(`{ PASS = var.pass }`))
	c.says(c.runWith(second, 0, "apply", "-auto-approve", "-no-color"), "Adopted secrets are kept in the project",
		"supabase secrets unset --project-ref "+p.ProjectRef+" SHARED")
	settled(second...)
	p.holds("MADE", "")
	p.holds("SHARED", "value-of-ours")
	p.holds("PASS", "value-rotated")

	// What was left to others is theirs: it takes leave again to write it.
	c.configure(strings.Replace(config(`{ PASS = var.pass, SHARED = "again" }`), "adopt_existing = true", "", 1))
	c.says(c.runWith(second, 1, "plan", "-no-color"), "the function secret SHARED")
	p.overwriteSecret("SHARED", "of-others")

	c.configure(config("{}"))
	c.runWith(second, 0, "apply", "-auto-approve", "-no-color")
	settled(second...)
	p.holds("PASS", "")

	c.runWith(second, 0, "destroy", "-auto-approve", "-no-color")
	p.holds("OTHERS", "of-others")
	p.holds("SHARED", "of-others")
	p.holds("AUTO_BACKUP_TOKEN", "")

	c.files()
	for where, text := range c.searched {
		for _, value := range []string{"value-ephemeral", "value-rotated", "value-unplanned"} {
			if strings.Contains(text, value) {
				t.Errorf("the value %q is in %s", value, where)
			}
		}
		if strings.HasSuffix(where, ".tfstate") && strings.Contains(text, "value-of-ours") {
			t.Errorf("a secret's value is in %s", where)
		}
	}
}

// TestForgedFingerprint proves that somebody who can edit the state, and nothing
// else, cannot have a secret of others deleted by adding its name to the
// fingerprints: what belongs to the backup, the project's settings say. The plan
// and the destroy say that the secret stays.
func TestForgedFingerprint(t *testing.T) {
	t.Parallel()
	p := start(t, stack.Options{Articles: 1})
	p.overwriteSecret("OTHERS", "of-others")
	c := newCLI(t, required+`
		resource "aimindset_auto_backup" "this" {
		  verify  = "none"
		  secrets = { OURS = "value-of-ours" }
		}`, p.Environ()...)
	c.run(0, "apply", "-auto-approve", "-no-color")
	forge := func() {
		t.Helper()
		file := filepath.Join(c.Dir, "terraform.tfstate")
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var state map[string]any
		if err := json.Unmarshal(text, &state); err != nil {
			t.Fatal(err)
		}
		attributes := state["resources"].([]any)[0].(map[string]any)["instances"].([]any)[0].(map[string]any)["attributes"].(map[string]any)
		fingerprints := attributes["secret_fingerprints"].(map[string]any)
		fingerprints["OTHERS"] = fingerprints["OURS"]
		if text, err = json.Marshal(state); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	forge()
	c.says(c.run(0, "apply", "-auto-approve", "-no-color"), "Secrets of others are kept in the project", "supabase secrets unset --project-ref "+p.ProjectRef+" OTHERS")
	p.holds("OTHERS", "of-others")
	c.run(0, "plan", "-detailed-exitcode", "-no-color")
	forge()
	c.says(c.run(0, "destroy", "-auto-approve", "-no-color"), "The state names the secrets OTHERS, and the settings of backup")
	p.holds("OTHERS", "of-others")
	p.holds("OURS", "")
}
