package provider_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/hashicorp/terraform-plugin-go/tfprotov6"
	"github.com/hashicorp/terraform-plugin-go/tftypes"

	"github.com/aimindset/terraform-provider-aimindset/internal/stack"
)

// changes returns the attributes that a saved plan changes in place, sorted, and
// "import" when it imports.
func (c *cli) changes(plan string) []string {
	c.t.Helper()
	var shown struct {
		Changes []struct {
			Change struct {
				Actions       []string
				Before, After map[string]any
				Unknown       map[string]any `json:"after_unknown"`
				Importing     *struct{ ID string }
			}
		} `json:"resource_changes"`
	}
	if err := json.Unmarshal([]byte(c.run(0, "show", "-json", plan)), &shown); err != nil {
		c.t.Fatal(err)
	}
	if len(shown.Changes) != 1 {
		c.t.Fatalf("the plan has %d changes", len(shown.Changes))
	}
	change := shown.Changes[0].Change
	var names []string
	for name := range change.Before {
		if change.Unknown[name] == true || fmt.Sprint(change.Before[name]) != fmt.Sprint(change.After[name]) {
			names = append(names, name)
		}
	}
	if change.Importing != nil {
		names = append(names, "import")
	}
	slices.Sort(names)
	return append(change.Actions, names...)
}

// unchanged notes what an apply writes to a project, and returns a function
// that complains when something of it has changed.
func (p *project) unchanged() func() {
	p.t.Helper()
	const database = `
		select jsonb_build_object(
			'jobs', (select jsonb_agg(to_jsonb(j) order by j.jobid) from cron.job j),
			'settings', (select jsonb_agg(to_jsonb(s) - 'completed_at' order by s.backup) from auto_backup.settings s),
			'vault', (select jsonb_agg(jsonb_build_object(v.name, v.updated_at) order by v.name) from vault.secrets v)
		)`
	read := func() string {
		functions, err := p.client().ListFunctions(p.t.Context(), p.ProjectRef)
		if err != nil {
			p.t.Fatal(err)
		}
		secrets, err := p.client().ListSecrets(p.t.Context(), p.ProjectRef)
		if err != nil {
			p.t.Fatal(err)
		}
		return fmt.Sprint(p.value(database), functions, secrets)
	}
	before := read()
	return func() {
		p.t.Helper()
		if after := read(); after != before {
			p.t.Errorf("the project was\n%s\nand is\n%s", before, after)
		}
	}
}

// forgetState takes the backup out of the state, and leaves it in the project.
func (c *cli) forgetState() {
	c.t.Helper()
	c.run(0, "state", "rm", address)
}

// TestImport proves that a backup comes into a state by "terraform import" and
// by an import block, that the plan after it shows what will change and nothing
// else, and that the apply of what only the state lacked writes nothing.
func TestImport(t *testing.T) {
	t.Parallel()
	p := start(t, stack.Options{})
	id := p.ProjectRef + "/auto-backup"
	block := func(arguments string) string {
		return required + `resource "aimindset_auto_backup" "this" {` + "\n" + arguments + "\n}\n"
	}
	full := `
		timezone     = "Europe/Lisbon"
		schedules    = { daily = { cron = "0 3 * * *" }, weekly = { cron = "30 4 * * sun", timezone = "UTC", enabled = false } }
		secrets      = { SOME_KEY = "some value", OTHER_KEY = "other value" }
		retry        = { attempts = 2, delay = "15m" }
		alert        = { overdue_after = "30h", source = "Cópia da noite" }
		rotate_token = "2026-11"`
	c := newCLI(t, block(full), p.Environ()...)
	c.run(0, "apply", "-auto-approve", "-no-color")
	c.forgetState()
	unchanged := p.unchanged()

	c.run(0, "import", "-no-color", address, id)
	c.run(0, "plan", "-detailed-exitcode", "-no-color")
	unchanged()

	// What a project cannot know shows, at its own attribute, and is written
	// nowhere but to the state.
	c.forgetState()
	c.configure(block(full+`
		verify         = "backup"
		adopt_existing = true
		timeouts       = { create = "7m" }`) + fmt.Sprintf("import {\n  to = %s\n  id = %q\n}\n", address, id))
	c.run(2, "plan", "-detailed-exitcode", "-no-color", "-out=plan.bin")
	if got := strings.Join(c.changes("plan.bin"), " "); got != "update adopt_existing import timeouts verified verify" {
		t.Errorf("after an import, the plan is: %s", got)
	}
	c.run(0, "apply", "-no-color", "plan.bin")
	c.run(0, "plan", "-detailed-exitcode", "-no-color")
	unchanged()

	// A difference shows together with the import.
	c.forgetState()
	c.configure(block(strings.Replace(full, "some value", "new value", 1)) + fmt.Sprintf("import {\n  to = %s\n  id = %q\n}\n", address, id))
	c.run(2, "plan", "-detailed-exitcode", "-no-color", "-out=plan.bin")
	if got := strings.Join(c.changes("plan.bin"), " "); got != "update import secret_fingerprints verified" {
		t.Errorf("after an import with another secret, the plan is: %s", got)
	}
	c.run(0, "apply", "-no-color", "plan.bin")
	c.run(0, "plan", "-detailed-exitcode", "-no-color")
}

// TestImportOwnSource proves that an own function comes in by an import: the
// directory is what the project cannot know, and an import map, which the
// platform does not return, is the one file that shows.
func TestImportOwnSource(t *testing.T) {
	t.Parallel()
	p := start(t, stack.Options{})
	dir := t.TempDir()
	for name, text := range map[string]string{
		"index.ts":     `import { answer } from "@answer"; ` + answering("answer"),
		"signature.ts": signatureModule(t),
		"a.ts":         `export const answer = { success: true };`, "deno.json": `{ "imports": { "@answer": "./a.ts" } }`,
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	c := newCLI(t, required+fmt.Sprintf("resource \"aimindset_auto_backup\" \"this\" {\nfunction = { source_dir = %q }\n}\n", dir), p.Environ()...)
	c.run(0, "apply", "-auto-approve", "-no-color")
	c.forgetState()
	c.run(0, "import", "-no-color", address, p.ProjectRef+"/auto-backup")
	c.run(2, "plan", "-detailed-exitcode", "-no-color", "-out=plan.bin")
	if got := strings.Join(c.changes("plan.bin"), " "); got != "update function source_hash verified" {
		t.Errorf("after an import, the plan is: %s", got)
	}
	c.run(0, "apply", "-no-color", "plan.bin")
	c.run(0, "plan", "-detailed-exitcode", "-no-color")
}

// TestImportRefused proves that an import of what is not there, or of what the
// provider did not make, fails with what to do, and that an ID of another form
// is answered with the form.
func TestImportRefused(t *testing.T) {
	t.Parallel()
	p := start(t, stack.Options{LegacyJobs: true})
	c := newCLI(t, required+`
		resource "aimindset_auto_backup" "this" {
			name   = "night-backup"
			verify = "none"
		}
		resource "aimindset_auto_backup" "other" {}`, p.Environ()...)
	other := "aimindset_auto_backup.other"
	c.says(c.run(1, "import", "-no-color", other, p.ProjectRef+"/auto-backup"),
		"Project "+p.ProjectRef+" has no backup auto-backup that this provider has installed", "none is installed", "adopt_existing")
	c.run(0, "apply", "-auto-approve", "-no-color", "-target="+address)
	c.says(c.run(1, "import", "-no-color", other, p.ProjectRef+"/auto-backup"),
		"Project "+p.ProjectRef+" has no backup auto-backup", "installed are: night-backup")
	for _, id := range []string{"auto-backup", "Short/auto-backup", p.ProjectRef + "/", p.ProjectRef + "/Auto Backup", p.ProjectRef + "/auto-backup/daily"} {
		c.says(c.run(1, "import", "-no-color", other, id), "Invalid import ID", "abcdefghijklmnopqrst/auto-backup")
	}
	c.run(1, "import", "-no-color", other, strings.Repeat("z", 20)+"/auto-backup")
}

// TestImportByIdentity proves over Terraform's own protocol, since the import
// by identity is younger than the Terraform of these tests, that it reads the
// same state as one by ID, and that the plan after it changes nothing.
func TestImportByIdentity(t *testing.T) {
	t.Parallel()
	p := start(t, stack.Options{})
	c := newCLI(t, required+`resource "aimindset_auto_backup" "this" {
		secrets = { SOME_KEY = "some value" }
	}`, p.Environ()...)
	c.run(0, "apply", "-auto-approve", "-no-color")
	server := configured(t, p)
	kind, identityKind := kinds(t, server)
	identity := func(ref, name string) *tfprotov6.ResourceIdentityData {
		return &tfprotov6.ResourceIdentityData{IdentityData: dynamic(t, identityKind, map[string]any{"project_ref": ref, "name": name})}
	}
	state := imported(t, server, identity(p.ProjectRef, "auto-backup"), kind)

	config := withNulls(kind, map[string]any{"secrets": map[string]any{"SOME_KEY": "some value"}, "project_ref": p.ProjectRef})
	prior, err := tfprotov6.NewDynamicValue(kind, state)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := server.PlanResourceChange(t.Context(), &tfprotov6.PlanResourceChangeRequest{
		TypeName: "aimindset_auto_backup", Config: dynamic(t, kind, config.(map[string]any)), PriorState: &prior, ProposedNewState: &prior,
	})
	if err != nil || len(answer.Diagnostics) > 0 {
		t.Fatalf("plan: %+v, %v", answer, err)
	}
	planned, err := answer.PlannedState.Unmarshal(kind)
	if err != nil {
		t.Fatal(err)
	}
	if differences, _ := state.Diff(planned); len(differences) > 0 {
		t.Errorf("the plan changes %v", differences)
	}
	var attributes map[string]tftypes.Value
	if err := state.As(&attributes); err != nil {
		t.Fatal(err)
	}
	if names := slices.Sorted(maps.Keys(attributes)); !slices.Contains(names, "source_hash") || attributes["source_hash"].IsNull() {
		t.Errorf("the import has read %v", attributes)
	}

	for what, c := range map[string]struct{ ref, name, says string }{
		"no such backup": {p.ProjectRef, "night-backup", "has no backup night-backup"},
		"no reference":   {"Short", "auto-backup", "20 lower-case letters"},
		"no name":        {p.ProjectRef, "", "lower-case letters"},
	} {
		refused, err := server.ImportResourceState(t.Context(), &tfprotov6.ImportResourceStateRequest{TypeName: "aimindset_auto_backup", Identity: identity(c.ref, c.name)})
		if err != nil || len(refused.Diagnostics) != 1 || !strings.Contains(refused.Diagnostics[0].Detail, c.says) {
			t.Errorf("%s: got %+v, %v", what, refused, err)
		}
	}
}
