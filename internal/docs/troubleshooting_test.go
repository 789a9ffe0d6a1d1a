package docs_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestSymptoms proves that the messages which the troubleshooting guide quotes are those
// of the provider.
func TestSymptoms(t *testing.T) {
	t.Parallel()
	var source strings.Builder
	err := filepath.WalkDir(filepath.Join(root, "internal"), func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.Name() == "node_modules":
			return fs.SkipDir
		case entry.IsDir() || filepath.Ext(path) != ".go" || strings.HasSuffix(path, "_test.go"):
			return nil
		}
		text, err := os.ReadFile(path)
		source.Write(text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	seen := 0
	for line := range strings.Lines(example(t, projectRef, "docs", "guides", "troubleshooting.md")) {
		symptom, _, row := strings.Cut(strings.TrimPrefix(line, "| "), " | ")
		if !row || !strings.HasPrefix(line, "| ") {
			continue
		}
		for _, quoted := range regexp.MustCompile(`"([^"]+)"`).FindAllStringSubmatch(symptom, -1) {
			seen++
			if quoted[1] != "Restauração" && !strings.Contains(source.String(), quoted[1]) {
				t.Errorf("the guide quotes %q, which the provider never says", quoted[1])
			}
		}
	}
	if seen < 15 {
		t.Errorf("the guide quotes only %d messages", seen)
	}
}

// TestUnknownNames proves what the guides say of a name that the schema does not have:
// Terraform refuses it at the top of a block, and drops it without a word inside braces.
func TestUnknownNames(t *testing.T) {
	t.Parallel()
	u := newUser(t)
	with := func(argument string) {
		u.write("main.tf", `
			terraform {
			  required_providers {
			    aimindset = { source = "aimindset/aimindset" }
			  }
			}
			resource "aimindset_auto_backup" "this" {
			  `+argument+`
			}`)
	}
	with("retention = { keep_last = 7, montly = 12 }")
	u.run(0, "terraform init -input=false")
	if out := u.run(0, "terraform validate -no-color"); strings.Contains(out, "montly") {
		t.Errorf("Terraform says something of a name inside braces, so the guides are wrong:\n%s", out)
	}
	with(`montly = "12"`)
	if out := u.run(1, "terraform validate -no-color"); !strings.Contains(out, "Unsupported argument") {
		t.Errorf("of a name at the top, Terraform says\n%s", out)
	}
}
