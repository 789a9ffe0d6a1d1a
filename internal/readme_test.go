package internal_test

import (
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var (
	packageRow  = regexp.MustCompile("(?m)^\\| ((?:`[a-z]+`(?:, )?)+) \\|")
	packageName = regexp.MustCompile("[a-z]+")
)

// TestReadmeNamesEveryPackage proves that the table of packages in README.md has
// every directory beside it, and no other.
func TestReadmeNamesEveryPackage(t *testing.T) {
	t.Parallel()
	var documented []string
	for _, row := range packageRow.FindAllStringSubmatch(readme(t), -1) {
		documented = append(documented, packageName.FindAllString(row[1], -1)...)
	}
	entries, err := os.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	for _, entry := range entries {
		if entry.IsDir() {
			found = append(found, entry.Name())
		}
	}
	for _, name := range found {
		if !slices.Contains(documented, name) {
			t.Errorf("README.md does not have the package %s", name)
		}
	}
	for _, name := range documented {
		if !slices.Contains(found, name) {
			t.Errorf("README.md has the package %s, which does not exist", name)
		}
	}
}

// TestReadmeDrawsTheImports proves that the picture in README.md is what the list
// of imports says: each of its arrows is in the list, and each import in the list
// is an arrow of the picture or follows from several.
func TestReadmeDrawsTheImports(t *testing.T) {
	t.Parallel()
	_, picture, _ := strings.Cut(readme(t), "flowchart TD\n")
	picture, _, _ = strings.Cut(picture, "```")
	arrows, drawn := map[string][]string{}, packageName.FindAllString(picture, -1)
	for line := range strings.Lines(picture) {
		from, to, _ := strings.Cut(line, "-->")
		for _, name := range packageName.FindAllString(from, -1) {
			arrows[name] = append(arrows[name], packageName.FindAllString(to, -1)...)
		}
	}
	if len(arrows) == 0 {
		t.Fatal("README.md has no picture")
	}
	for from, targets := range arrows {
		for _, to := range targets {
			if !slices.Contains(allowed["internal/"+from], "internal/"+to) {
				t.Errorf("README.md has the arrow %s --> %s, and the list of imports does not", from, to)
			}
		}
	}
	for _, from := range slices.Sorted(maps.Keys(allowed)) {
		from, inside := strings.CutPrefix(from, "internal/")
		if !slices.Contains(drawn, from) || !inside {
			continue // a program, or a package for tests
		}
		reached := reach(arrows, from)
		for _, to := range allowed["internal/"+from] {
			to = strings.TrimPrefix(to, "internal/")
			if !strings.Contains(to, "/") && !reached[to] {
				t.Errorf("the picture in README.md does not show that %s imports %s", from, to)
			}
		}
	}
}

// reach returns what can be reached from a package by one arrow or more.
func reach(arrows map[string][]string, from string) map[string]bool {
	reached := map[string]bool{}
	next := arrows[from]
	for len(next) > 0 {
		name := next[0]
		next = next[1:]
		if !reached[name] {
			reached[name] = true
			next = append(next, arrows[name]...)
		}
	}
	return reached
}

func readme(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestReadmeQuotesAPlan proves that the plan in the repository's README.md is what
// Terraform prints.
func TestReadmeQuotesAPlan(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	plan, err := os.ReadFile("provider/testdata/plans/drift-job-rescheduled.txt")
	if err != nil {
		t.Fatal(err)
	}
	_, quoted, found := strings.Cut(string(page), "```text\n  ~ resource")
	quoted, _, _ = strings.Cut(quoted, "```")
	if !found || !strings.Contains(string(plan), "  ~ resource"+quoted) {
		t.Errorf("README.md quotes this plan, which no test has seen:\n  ~ resource%s", quoted)
	}
}
