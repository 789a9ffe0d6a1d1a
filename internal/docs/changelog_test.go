package docs_test

import (
	"os"
	osexec "os/exec" // exec is a helper of this package
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/hashicorp/go-version"
)

// TestChangelog proves that the changelog is what its readers expect: one section for each
// version, the newest first, of which only the first may have no date, with its lines
// under the headings of the four groups.
func TestChangelog(t *testing.T) {
	t.Parallel()
	text := example(t, projectRef, "docs", "guides", "changelog.md")
	sections := strings.Split(text, "\n## ")[1:]
	heading := regexp.MustCompile(`^(\d+\.\d+\.\d+) \((unreleased|\d{4}-\d\d-\d\d)\)$`)
	var newer *version.Version
	for i, section := range sections {
		title, body, _ := strings.Cut(section, "\n")
		match := heading.FindStringSubmatch(title)
		if match == nil || match[2] == "unreleased" && i > 0 {
			t.Errorf("the section %q is not of a version and its date", title)
			continue
		}
		this := version.Must(version.NewVersion(match[1]))
		if newer != nil && !this.LessThan(newer) {
			t.Errorf("%s stands below %s", this, newer)
		}
		newer = this
		groups := strings.Split(body, "\n### ")[1:]
		if len(groups) == 0 {
			t.Errorf("%s has no groups", this)
		}
		for _, group := range groups {
			name, lines, _ := strings.Cut(group, "\n")
			if !slices.Contains([]string{"Upgrading", "New", "Changed", "Fixed", "Security"}, name) {
				t.Errorf("%s has the group %q", this, name)
			}
			for line := range strings.Lines(strings.TrimSpace(lines)) {
				if line = strings.TrimSpace(line); !strings.HasPrefix(line, "- ") || !strings.HasSuffix(line, ".") {
					t.Errorf("%s: a line of %s is not a sentence of a list: %s", this, name, line)
				}
			}
		}
	}
	if newer == nil {
		t.Error("the changelog has no version")
	}
}

// TestReleaseNotes proves that "make changelog" makes the notes on a release of its section
// of the changelog, with links that work outside the registry, and refuses a release whose
// section is missing or has no date.
func TestReleaseNotes(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "docs", "guides"), 0o700); err != nil {
		t.Fatal(err)
	}
	const changelog = "---\npage_title: \"Changelog\"\n---\n\n# Changelog\n\nAll versions.\n\n## 1.1.0 (unreleased)\n\n### New\n\n- Later.\n\n" +
		"## 1.0.1 (2026-12-24)\n\n### Fixed\n\n- This: see [Drift](drift), [here](last-night#can-it-be-restored) and [there](../resources/auto_backup).\n\n## 1.0.0 (2026-12-01)\n\nFirst.\n"
	if err := os.WriteFile(filepath.Join(dir, "docs", "guides", "changelog.md"), []byte(changelog), 0o600); err != nil {
		t.Fatal(err)
	}
	makefile, err := filepath.Abs(filepath.Join(root, "GNUmakefile"))
	if err != nil {
		t.Fatal(err)
	}
	const pages = "https://registry.terraform.io/providers/aimindset/aimindset/1.0.1/docs/"
	for number, notes := range map[string]string{
		"":      "",
		"1.0.0": "\nFirst.\n",
		"1.0.1": "\n### Fixed\n\n- This: see [Drift](" + pages + "guides/drift), [here](" + pages + "guides/last-night#can-it-be-restored) and [there](" + pages + "resources/auto_backup).\n\n",
		"1.1.0": "refused", "1.0": "refused", "2.0.0": "refused",
	} {
		bin := t.TempDir()
		make := osexec.CommandContext(t.Context(), "make", "-f", makefile, "changelog", "BIN="+bin, "VERSION="+number)
		make.Dir = dir
		out, err := make.CombinedOutput()
		if (err != nil) != (notes == "refused") || err != nil && !strings.Contains(string(out), `"## `+number+` (YYYY-MM-DD)"`) {
			t.Errorf("%s: %v\n%s", number, err, out)
		}
		written, err := os.ReadFile(filepath.Join(bin, "RELEASE.md"))
		if wanted := notes != "" && notes != "refused"; (err == nil) != wanted || wanted && string(written) != notes {
			t.Errorf("%s: the notes are %v\n%s", number, err, written)
		}
		if file, err := os.ReadFile(filepath.Join(bin, "CHANGELOG.md")); err != nil || !strings.HasPrefix(string(file), "# Changelog\n\nAll versions.\n") || strings.Contains(string(file), "](drift)") {
			t.Errorf("%s: the changelog is %v\n%s", number, err, file)
		}
	}
}
