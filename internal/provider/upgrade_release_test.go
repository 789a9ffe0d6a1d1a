package provider_test

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/aimindset/terraform-provider-aimindset/internal/payload"
)

// tagged is the release that is about to be built, which only "make releasable" knows.
var tagged = flag.String("upgrade.release", "", "the version that is tagged, which must be the changelog's newest one")

// TestReleaseIsNoted proves that a release that is about to be tagged has its fixtures:
// the changelog's newest version, from when its section has a date. When something that is
// installed has changed since, the next version's section is missing.
func TestReleaseIsNoted(t *testing.T) {
	t.Parallel()
	changelog, err := os.ReadFile(filepath.Join("..", "..", "docs", "guides", "changelog.md"))
	if err != nil {
		t.Fatal(err)
	}
	if lack := notNoted(string(changelog), *tagged, filepath.Join("testdata", "upgrade"), payload.LoadDispatcher().Version); lack != "" {
		t.Error(lack)
	}
}

// notNoted says what a release lacks whose SQL has the version installed: the changelog's
// newest one if that has a date, and in any case the one that is tagged. Fixtures are in the
// directory dir.
func notNoted(changelog, tagged, dir, installed string) string {
	newest := regexp.MustCompile(`(?m)^## (\S+) \((.*)\)$`).FindStringSubmatch(changelog)
	if newest == nil {
		return "the changelog has no version"
	}
	release := newest[1]
	if tagged != "" && tagged != release {
		return fmt.Sprintf("the tag is of %s, and the changelog's newest version is %s", tagged, release)
	}
	if newest[2] == "unreleased" {
		if tagged != "" {
			return fmt.Sprintf("the version %s has no date in the changelog", release)
		}
		return ""
	}
	const command = "go test ./internal/provider -run '^TestUpgrade' -upgrade.add "
	states, err := filepath.Glob(filepath.Join(dir, fmt.Sprintf("schema-*-%s.json", release)))
	if err != nil || len(states) != 1 {
		return fmt.Sprintf("of the version %s, %s has the states %q (%v): run: %s%s", release, dir, states, err, command, release)
	}
	var state instance
	text, err := os.ReadFile(states[0])
	if err == nil {
		err = json.Unmarshal(text, &state)
	}
	if err != nil {
		return fmt.Sprintf("%s: %v", states[0], err)
	}
	dump := filepath.Join(dir, "installed-"+release+".sql.gz")
	rows, err := unzipped(dump)
	if err != nil {
		return fmt.Sprintf("what the version %s installs: %v: run: %s%[1]s", release, err, command)
	}
	if written := state.Attributes["dispatcher_version"]; written != installed || !strings.Contains(rows, "'"+installed+"'") {
		return fmt.Sprintf("the fixtures of the version %s are of the SQL %v, and this is %s: begin the section of the next version in the changelog, or, if %[1]s is not tagged yet, run again: %[4]s%[1]s", release, written, installed, command)
	}
	return ""
}

// unzipped reads a file that gzip has packed.
func unzipped(path string) (string, error) {
	packed, err := os.ReadFile(path)
	if err != nil {
		return "", err
	}
	reader, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		return "", fmt.Errorf("%s: %w", path, err)
	}
	text, err := io.ReadAll(reader)
	if err != nil {
		return "", fmt.Errorf("%s: %w", path, err)
	}
	return string(text), nil
}

// TestNotNoted proves that a release without one of its fixtures, with those of other SQL,
// or with a tag that the changelog does not know, is refused, and that nothing is asked of
// a version that is not released.
func TestNotNoted(t *testing.T) {
	t.Parallel()
	const dated, undated = "# Changelog\n\n## 1.1.0 (2026-12-24)\n\n## 1.0.0 (2026-12-01)\n", "## 1.1.0 (unreleased)\n\n## 1.0.0 (2026-12-01)\n"
	for what, c := range map[string]struct{ changelog, tagged, state, dump, lack string }{
		"complete":               {dated, "1.1.0", "1+aa", "1+aa", ""},
		"complete, not tagged":   {dated, "", "1+aa", "1+aa", ""},
		"unreleased":             {undated, "", "", "", ""},
		"tagged, unreleased":     {undated, "1.1.0", "1+aa", "1+aa", "has no date"},
		"another tag":            {dated, "1.0.0", "1+aa", "1+aa", "the tag is of 1.0.0"},
		"no state":               {dated, "", "", "1+aa", "run: go test ./internal/provider -run '^TestUpgrade' -upgrade.add 1.1.0"},
		"no dump":                {dated, "", "1+aa", "", "run: go test ./internal/provider -run '^TestUpgrade' -upgrade.add 1.1.0"},
		"the state of other SQL": {dated, "", "1+ab", "1+aa", "are of the SQL 1+ab, and this is 1+aa"},
		"the dump of other SQL":  {dated, "", "1+aa", "1+ab", "run again: go test ./internal/provider -run '^TestUpgrade' -upgrade.add 1.1.0"},
		"no changelog":           {"", "1.1.0", "1+aa", "1+aa", "has no version"},
	} {
		dir := t.TempDir()
		if c.state != "" {
			store(t, filepath.Join(dir, "schema-2-1.1.0.json"), []byte(`{"schema_version": 2, "attributes": {"dispatcher_version": "`+c.state+`"}}`))
		}
		if c.dump != "" {
			var packed bytes.Buffer
			w := gzip.NewWriter(&packed)
			_, err := w.Write([]byte("INSERT INTO auto_backup.installation VALUES ('" + c.dump + "');\n"))
			if err == nil {
				err = w.Close()
			}
			if err != nil {
				t.Fatal(err)
			}
			store(t, filepath.Join(dir, "installed-1.1.0.sql.gz"), packed.Bytes())
		}
		if lack := notNoted(c.changelog, c.tagged, dir, "1+aa"); (lack == "") != (c.lack == "") || !strings.Contains(lack, c.lack) {
			t.Errorf("%s: %q, and not %q", what, lack, c.lack)
		}
	}
}

// store writes a file.
func store(t *testing.T, path string, content []byte) {
	t.Helper()
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
}
