package provider_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/aimindset/terraform-provider-aimindset/internal/stack"
)

// addFixture writes the state of the present schema, and what is installed with it, to
// testdata/upgrade.
var addFixture = flag.String("upgrade.add", "", "name of the release whose state and installation are written to testdata/upgrade")

const (
	// upgradeConfig sets every argument, so that the state holds all there is.
	upgradeConfig = `
		name           = "night-backup"
		timezone       = "Europe/Lisbon"
		schedules      = { daily = { cron = "0 3 * * *" }, weekly = { cron = "30 4 * * sun", timezone = "UTC", enabled = false } }
		function       = { rpc = "backup_all_data", verify_table = "backup_articles" }
		secrets        = { SOME_KEY = "some value" }
		alert          = { function = "alert-processor", source = "Falha no backup", overdue_after = "50h" }
		retry          = { attempts = 2, delay = "15m" }
		drill          = { cron = "30 5 * * sat", timezone = "UTC", timeout = "90s", max_rows = 5000, tables = { "public.articles" = "public.backup_articles" }, require_columns = ["public.articles.title"] }
		retention      = { keep_last = 3, daily = 4, weekly = 5, monthly = 6, yearly = 2 }
		heartbeat      = { url = "https://cronitor.link/p/key/backup", form = "cronitor", language = "en" }
		webhooks       = { ops = { url = "https://hooks.acme.example/backup", form = "generic", events = ["failed"], language = "en", signing_secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw" } }
		log_constraint = "extend"
		adopt_existing = false
		verify         = "none"
		rotate_token   = "1"
		timeouts       = { create = "9m", update = "8m", delete = "7m" }`

	// The fixtures' project, in whose place a test puts its own.
	fixtureRef, fixtureURL = "abcdefghijklmnopqrst", "https://abcdefghijklmnopqrst.supabase.co"
)

// applyUpgradeConfig installs the backup of these tests, and returns the directory, the
// file of its state, and what that contains.
func (p *project) applyUpgradeConfig() (c *cli, file string, state []byte) {
	p.t.Helper()
	c = newCLI(p.t, required+`resource "aimindset_auto_backup" "this" {`+upgradeConfig+"\n}", p.Environ()...)
	c.run(0, "apply", "-auto-approve", "-no-color")
	file = filepath.Join(c.Dir, "terraform.tfstate")
	state, err := os.ReadFile(file)
	if err != nil {
		p.t.Fatal(err)
	}
	p.noteState(state)
	return c, file, state
}

// TestUpgrade proves with the real Terraform that a state which any released
// schema has written is read by this one and plans nothing for the same
// project, as it is and without its computed attributes: those that a later
// release adds are filled by the refresh. The fingerprints of secrets, whose
// salts are in the fixture, must still say the same. Every schema version has
// a fixture, and that of the first release stays forever.
func TestUpgrade(t *testing.T) {
	t.Parallel()
	p := start(t, stack.Options{Articles: 1})
	c, file, present := p.applyUpgradeConfig()
	installed := readInstance(t, file)
	version, computed := presentSchema(t)
	fixtures, err := filepath.Glob(filepath.Join("testdata", "upgrade", "*.json"))
	if err != nil {
		t.Fatal(err)
	}
	versions := map[int64]bool{}
	for _, path := range fixtures {
		fixture := p.readFixture(path)
		versions[fixture.SchemaVersion] = true
		// What this release installs is in the project already.
		for _, name := range []string{"source_hash", "dispatcher_version"} {
			fixture.Attributes[name] = installed.Attributes[name]
		}
		for _, lacking := range [][]string{nil, computed} {
			for _, name := range lacking {
				delete(fixture.Attributes, name)
			}
			p.write(file, present, fixture)
			before := fixture.Attributes["secret_fingerprints"]
			c.says(c.run(0, "plan", "-detailed-exitcode", "-no-color"), "No changes.")
			c.run(0, "apply", "-auto-approve", "-no-color", "-refresh-only")
			if after := readInstance(t, file).Attributes["secret_fingerprints"]; before != nil && fmt.Sprint(after) != fmt.Sprint(before) {
				t.Errorf("%s: the fingerprints were %v and are %v", path, before, after)
			}
		}
	}
	if !versions[0] || !versions[version] {
		t.Errorf("the fixtures in testdata/upgrade have the schema versions %v, and need 0 and %d; run: go test ./internal/provider -run '^TestUpgrade' -upgrade.add <release>", versions, version)
	}
}

// presentSchema tells the present schema's version and its computed attributes.
func presentSchema(t *testing.T) (version int64, computed []string) {
	t.Helper()
	schema := schemasOf(t, newServer(t)).ResourceSchemas["aimindset_auto_backup"]
	for _, attribute := range schema.Block.Attributes {
		if attribute.Computed && !attribute.Optional {
			computed = append(computed, attribute.Name)
		}
	}
	return schema.Version, computed
}

// instance is what a state file holds of one resource.
type instance struct {
	SchemaVersion int64          `json:"schema_version"`
	Attributes    map[string]any `json:"attributes"`
}

// stateFile is a state file with one resource.
type stateFile struct {
	Version   int    `json:"version"`
	Terraform string `json:"terraform_version"`
	Serial    int    `json:"serial"`
	Lineage   string `json:"lineage"`
	Resources []struct {
		Mode      string     `json:"mode"`
		Type      string     `json:"type"`
		Name      string     `json:"name"`
		Provider  string     `json:"provider"`
		Instances []instance `json:"instances"`
	} `json:"resources"`
}

func readInstance(t *testing.T, path string) instance {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var file stateFile
	if err := json.Unmarshal(text, &file); err != nil {
		t.Fatal(err)
	}
	return file.Resources[0].Instances[0]
}

// write puts an instance in the place of the one in a state. What the provider
// keeps beside the attributes goes: the first release may not have known it.
func (p *project) write(path string, state []byte, held instance) {
	p.t.Helper()
	var file stateFile
	if err := json.Unmarshal(state, &file); err != nil {
		p.t.Fatal(err)
	}
	file.Resources[0].Instances = []instance{held}
	text, err := json.Marshal(file)
	if err != nil {
		p.t.Fatal(err)
	}
	if err := os.WriteFile(path, text, 0o600); err != nil {
		p.t.Fatal(err)
	}
}

var stateNoted sync.Once

// noteState keeps the state of the present schema, if that is wanted, in the first test
// that has one.
func (p *project) noteState(state []byte) {
	if *addFixture != "" {
		stateNoted.Do(func() { p.writeFixture(state, *addFixture) })
	}
}

// writeFixture keeps the state of the present schema.
func (p *project) writeFixture(state []byte, release string) {
	p.t.Helper()
	state = bytes.ReplaceAll(bytes.ReplaceAll(state, []byte(p.ProjectURL), []byte(fixtureURL)), []byte(p.ProjectRef), []byte(fixtureRef))
	var file stateFile
	if err := json.Unmarshal(state, &file); err != nil {
		p.t.Fatal(err)
	}
	held := file.Resources[0].Instances[0]
	text, err := json.MarshalIndent(held, "", "  ")
	if err != nil {
		p.t.Fatal(err)
	}
	name := filepath.Join("testdata", "upgrade", fmt.Sprintf("schema-%d-%s.json", held.SchemaVersion, release))
	if err := os.MkdirAll(filepath.Dir(name), 0o750); err != nil {
		p.t.Fatal(err)
	}
	if err := os.WriteFile(name, append(text, '\n'), 0o600); err != nil {
		p.t.Fatal(err)
	}
}
