package docs_test

import (
	"encoding/json"
	osexec "os/exec" // exec is a helper of this package
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestVulnerabilities proves that "make vulnerabilities" looks at the provider and at
// every module below it, and fails if there is a vulnerability in any of them. Its
// database is one with a made-up vulnerability in a dependency of each module. To be
// quick, it looks at what is imported and not at what is called.
func TestVulnerabilities(t *testing.T) {
	t.Parallel()
	u := &user{t: t, dir: t.TempDir()}
	type entry map[string]any
	const when = "2026-01-01T00:00:00Z"
	dependencies := map[string]string{
		"GO-2026-9001": "github.com/hashicorp/terraform-plugin-framework", "GO-2026-9002": "github.com/versity/versitygw", "GO-2026-9003": "github.com/prometheus/common",
	}
	store := func(name string, content any) {
		t.Helper()
		text, err := json.Marshal(content)
		if err != nil {
			t.Fatal(err)
		}
		u.write(name, string(text))
	}
	var modules, all []entry
	for id, dependency := range dependencies {
		all = append(all, entry{"id": id, "modified": when})
		modules = append(modules, entry{"path": dependency, "vulns": []entry{{"id": id, "modified": when}}})
		store(filepath.Join("ID", id+".json"), entry{
			"schema_version": "1.3.1", "id": id, "modified": when, "published": when, "summary": "made up", "details": "made up", "database_specific": entry{"url": "https://example.com/" + id},
			"affected": []entry{{
				"package":            entry{"name": dependency, "ecosystem": "Go"},
				"ranges":             []entry{{"type": "SEMVER", "events": []entry{{"introduced": "0"}}}},
				"ecosystem_specific": entry{},
			}},
		})
	}
	store("index/db.json", entry{"modified": when})
	store("index/vulns.json", all)
	store("index/modules.json", modules)

	files, err := osexec.CommandContext(t.Context(), "git", "-C", root, "ls-files", "go.mod", "*/go.mod").Output()
	if err != nil {
		t.Fatal(err)
	}
	places := strings.Fields(string(files))
	if len(places) != len(dependencies) {
		t.Fatalf("the modules are %q: give each a vulnerability above", places)
	}
	make := osexec.CommandContext(t.Context(), "make", "-C", root, "vulnerabilities", "GOVULNCHECK_FLAGS=-scan package -db file://"+u.dir)
	out, err := make.CombinedOutput()
	if err == nil {
		t.Error("a vulnerability does not fail it")
	}
	for id := range dependencies {
		if !strings.Contains(string(out), ": "+id+"\n") {
			t.Errorf("it does not find %s:\n%s", id, out)
		}
	}
	_, failed, _ := strings.Cut(string(out), "make vulnerabilities: failed for")
	for _, place := range places {
		module := "."
		if dir := filepath.Dir(place); dir != "." {
			module = "./" + dir
		}
		if !slices.Contains(strings.Fields(failed), module) {
			t.Errorf("it does not say that %s failed: %s", module, failed)
		}
	}
}
