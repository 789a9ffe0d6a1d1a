package docs_test

import (
	"encoding/json"
	osexec "os/exec" // exec is a helper of this package
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// entry is an object of a vulnerability database.
type entry map[string]any

// made is a made-up vulnerability: of a whole module or, with a package and symbols, of these.
type made struct {
	module, pkg string
	symbols     []string
}

// vulnerable writes a database of vulnerabilities as govulncheck reads it, and returns the
// arguments with which "make vulnerabilities" uses it.
func vulnerable(t *testing.T, all map[string]made) string {
	t.Helper()
	const when = "2026-01-01T00:00:00Z"
	u := &user{t: t, dir: t.TempDir()}
	store := func(name string, content any) {
		t.Helper()
		text, err := json.Marshal(content)
		if err != nil {
			t.Fatal(err)
		}
		u.write(name, string(text))
	}
	var vulns, modules []entry
	for id, one := range all {
		vulns = append(vulns, entry{"id": id, "modified": when})
		modules = append(modules, entry{"path": one.module, "vulns": []entry{{"id": id, "modified": when}}})
		imports := entry{}
		if one.pkg != "" {
			imports["imports"] = []entry{{"path": one.pkg, "symbols": one.symbols}}
		}
		store(filepath.Join("ID", id+".json"), entry{
			"schema_version": "1.3.1", "id": id, "modified": when, "published": when, "summary": "made up", "details": "made up", "database_specific": entry{"url": "https://example.com/" + id},
			"affected": []entry{{
				"package":            entry{"name": one.module, "ecosystem": "Go"},
				"ranges":             []entry{{"type": "SEMVER", "events": []entry{{"introduced": "0"}}}},
				"ecosystem_specific": imports,
			}},
		})
	}
	store("index/db.json", entry{"modified": when})
	store("index/vulns.json", vulns)
	store("index/modules.json", modules)
	return "-db file://" + u.dir
}

// vulnerabilities runs "make vulnerabilities".
func vulnerabilities(t *testing.T, args ...string) (out string, failed bool) {
	t.Helper()
	make := osexec.CommandContext(t.Context(), "make", append([]string{"-C", root, "vulnerabilities"}, args...)...)
	text, err := make.CombinedOutput()
	return string(text), err != nil
}

// TestVulnerabilities proves that "make vulnerabilities" looks at the provider and at
// every module below it, and fails if there is a vulnerability in any of them. Its
// database is one with a made-up vulnerability in a dependency of each module. To be
// quick, it looks at what is imported and not at what is called.
func TestVulnerabilities(t *testing.T) {
	t.Parallel()
	dependencies := map[string]made{
		"GO-2026-9001": {module: "github.com/hashicorp/terraform-plugin-framework"},
		"GO-2026-9002": {module: "github.com/versity/versitygw"},
		"GO-2026-9003": {module: "github.com/prometheus/common"},
	}
	files, err := osexec.CommandContext(t.Context(), "git", "-C", root, "ls-files", "go.mod", "*/go.mod").Output()
	if err != nil {
		t.Fatal(err)
	}
	places := strings.Fields(string(files))
	if len(places) != len(dependencies) {
		t.Fatalf("the modules are %q: give each a vulnerability above", places)
	}
	out, failed := vulnerabilities(t, "GOVULNCHECK_FLAGS=-scan package "+vulnerable(t, dependencies))
	if !failed {
		t.Error("a vulnerability does not fail it")
	}
	for id := range dependencies {
		if !strings.Contains(out, ": "+id+"\n") {
			t.Errorf("it does not find %s:\n%s", id, out)
		}
	}
	_, found, _ := strings.Cut(out, "make vulnerabilities: there are vulnerabilities in")
	for _, place := range places {
		module := "."
		if dir := filepath.Dir(place); dir != "." {
			module = "./" + dir
		}
		if !slices.Contains(strings.Fields(found), module) {
			t.Errorf("it does not say that %s has one: %s", module, found)
		}
	}
}

// TestVulnerableSymbols proves that "make vulnerabilities", as a release runs it, tells a
// vulnerable function that the code calls from one of the same package that it does not: it
// names the caller of the one and fails, and the other does not fail it. It looks at a
// package that imports little, because a look at calls reads all that is imported.
func TestVulnerableSymbols(t *testing.T) {
	t.Parallel()
	const module, pkg = "stdlib", "net/netip"
	for what, c := range map[string]struct {
		symbol string
		fails  bool
	}{"called": {"Addr.IsPrivate", true}, "not called": {"Addr.IsMulticast", false}} {
		out, failed := vulnerabilities(t, "MODULES=.", "PACKAGES=./internal/host",
			"GOVULNCHECK_FLAGS="+vulnerable(t, map[string]made{"GO-2026-9004": {module, pkg, []string{c.symbol}}}))
		if failed != c.fails || strings.Contains(out, "GO-2026-9004\n") != c.fails || strings.Contains(out, "host.Private calls netip."+c.symbol) != c.fails {
			t.Errorf("%s: failed: %t\n%s", what, failed, out)
		}
	}
}

// TestVulnerabilitiesUnknown proves that "make vulnerabilities" fails if it cannot read the
// database, and then says what was tried, why it failed and what to do.
func TestVulnerabilitiesUnknown(t *testing.T) {
	t.Parallel()
	if out, failed := vulnerabilities(t, "MODULES="); failed { // this one installs the program
		t.Fatal(out)
	}
	out, failed := vulnerabilities(t, "MODULES=.", "PACKAGES=./internal/zone", "HTTPS_PROXY=http://127.0.0.1:1")
	if !failed || strings.Contains(out, "there are vulnerabilities") {
		t.Errorf("failed: %t\n%s", failed, out)
	}
	for _, text := range []string{`Get "https://vuln.go.dev/`, "connection refused", "could not check .", `run "make vulndb"`} {
		if !strings.Contains(out, text) {
			t.Errorf("it does not say %q:\n%s", text, out)
		}
	}
}
