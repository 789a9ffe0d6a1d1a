// Package internal_test checks what the packages import of each other.
package internal_test

import (
	"encoding/json"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/aimindset/terraform-provider-aimindset"

// allowed lists what each package may import from this module. No package of
// the provider imports one that exists for tests or the demo only.
var allowed = map[string][]string{
	"":                             {"internal/provider"},
	"internal/provider":            {"internal/backup", "internal/checks", "internal/codes", "internal/drill", "internal/facts", "internal/fingerprint", "internal/health", "internal/history", "internal/install", "internal/notify", "internal/offsite", "internal/offsite/bucket", "internal/offsite/cms", "internal/offsite/restore", "internal/payload", "internal/postgres", "internal/postgres/identity", "internal/preflight", "internal/report", "internal/retention", "internal/schedule", "internal/selfhosted", "internal/source", "internal/supabase", "internal/text", "internal/zone"},
	"internal/provider/cmd/schema": {"internal/provider"},
	"internal/install":             {"internal/backup", "internal/codes", "internal/drill", "internal/facts", "internal/history", "internal/install/queries", "internal/payload", "internal/postgres", "internal/schedule", "internal/source", "internal/supabase", "internal/supabase/guard", "internal/supabase/redact", "internal/text"},
	"internal/install/queries":     {},
	"internal/health":              {"internal/backup", "internal/checks", "internal/codes", "internal/drill", "internal/facts", "internal/history", "internal/notify", "internal/offsite", "internal/payload", "internal/plsql", "internal/schedule", "internal/supabase", "internal/text"},
	"internal/report":              {"internal/checks", "internal/codes", "internal/facts", "internal/health", "internal/history", "internal/notify", "internal/offsite", "internal/text"},
	"internal/preflight":           {"internal/backup", "internal/checks", "internal/codes", "internal/drill", "internal/facts", "internal/offsite", "internal/plsql", "internal/schedule", "internal/supabase", "internal/text"},
	"internal/checks":              {"internal/backup", "internal/codes", "internal/drill", "internal/facts", "internal/history", "internal/notify", "internal/offsite", "internal/payload", "internal/schedule", "internal/supabase", "internal/text", "internal/zone"},
	"internal/plsql":               {},
	"internal/codes":               {},
	"internal/history":             {},
	"internal/facts":               {"internal/backup", "internal/history", "internal/notify", "internal/offsite", "internal/postgres", "internal/supabase", "internal/text"},
	"internal/backup":              {"internal/drill", "internal/notify", "internal/offsite", "internal/payload", "internal/retention", "internal/schedule", "internal/source", "internal/text", "internal/zone"},
	"internal/drill":               {"internal/plsql"},
	"internal/offsite":             {"internal/drill", "internal/host", "internal/text"},
	"internal/notify":              {"internal/host", "internal/text"},
	"internal/host":                {},
	"internal/fingerprint":         {},
	"internal/retention":           {},
	"internal/schedule":            {"internal/text", "internal/zone"},
	"internal/zone":                {"internal/text"},
	"internal/payload":             {"internal/codes", "internal/source", "internal/text"},
	"internal/source":              {"internal/text"},
	"internal/selfhosted":          {"internal/payload", "internal/source", "internal/supabase", "internal/text"},
	"internal/supabase":            {"internal/supabase/guard", "internal/supabase/ratelimit", "internal/supabase/redact", "internal/supabase/sqlfailure", "internal/text"},
	"internal/supabase/guard":      {},
	"internal/supabase/ratelimit":  {},
	"internal/supabase/redact":     {"internal/text"},
	"internal/supabase/sqlfailure": {"internal/text"},
	"internal/postgres":            {"internal/postgres/inline", "internal/text"},
	"internal/postgres/identity":   {"internal/postgres"},
	"internal/postgres/inline":     {},
	"internal/offsite/manifest":    {"internal/text"},
	"internal/offsite/cms":         {"internal/text"},
	"internal/offsite/bucket":      {"internal/offsite/manifest", "internal/text"},
	"internal/offsite/restore":     {"internal/offsite/bucket", "internal/offsite/cms", "internal/offsite/manifest", "internal/postgres", "internal/text"},
	"internal/offsite/offsitetest": {"internal/offsite/cms", "internal/offsite/manifest"},
	"internal/text":                {},
	"internal/stack":               {"internal/payload"},
	"internal/stack/cmd/stack":     {"internal/stack"},
	"internal/stack/engine":        {"internal/stack"},
	"internal/stack/cmd/demo":      {"internal/stack", "internal/supabase"},
	"internal/stack/cmd/install":   {"internal/stack"},
	"internal/stack/cmd/slow":      {},
	"internal/mutation":            {},
	"internal/fleet":               {"internal/install/queries", "internal/postgres", "internal/stack", "internal/supabase"},
	"internal/fleet/cmd/bench":     {"internal/fleet", "internal/stack"},
}

// alone are the packages whose tests need Go and nothing else: no PostgreSQL, no
// Deno and no Terraform, which package stack finds or starts.
var alone = []string{
	"internal/backup", "internal/checks", "internal/codes", "internal/drill", "internal/fingerprint", "internal/health", "internal/history", "internal/host", "internal/notify",
	"internal/offsite", "internal/offsite/bucket", "internal/offsite/manifest", "internal/plsql", "internal/preflight", "internal/report", "internal/retention", "internal/source", "internal/text", "internal/zone",
}

// TestImportArrows proves that every package imports only what the list allows,
// that only package provider imports Terraform's libraries, that the tests of
// those which need Go alone start no program, and that the list is complete.
func TestImportArrows(t *testing.T) {
	t.Parallel()
	out, err := exec.CommandContext(t.Context(), "go", "list", "-json=ImportPath,Imports,TestImports,XTestImports,GoFiles", module+"/...").Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	seen := 0
	decoder := json.NewDecoder(strings.NewReader(string(out)))
	for decoder.More() {
		var pkg struct {
			ImportPath                         string
			Imports, TestImports, XTestImports []string
			GoFiles                            []string
		}
		if err := decoder.Decode(&pkg); err != nil {
			t.Fatalf("read go list: %v", err)
		}
		if len(pkg.GoFiles) == 0 {
			continue // tests only
		}
		seen++
		name := strings.TrimPrefix(strings.TrimPrefix(pkg.ImportPath, module), "/")
		may, known := allowed[name]
		if !known {
			t.Errorf("package %q is not in the list; add it with what it may import", name)
			continue
		}
		for _, imported := range pkg.Imports {
			if inner, ok := strings.CutPrefix(imported, module+"/"); ok && !slices.Contains(may, inner) {
				t.Errorf("%s imports %s, which the list does not allow", name, inner)
			}
			if strings.HasPrefix(imported, "github.com/hashicorp/terraform-plugin-") && !strings.HasPrefix(name, "internal/provider") && name != "" {
				t.Errorf("%s imports %s; only package provider may", name, imported)
			}
		}
		tests := slices.Concat(pkg.TestImports, pkg.XTestImports)
		if slices.Contains(alone, name) && slices.Contains(tests, module+"/internal/stack") {
			t.Errorf("the tests of %s import internal/stack, and so may need PostgreSQL, Deno or Terraform", name)
		}
	}
	if seen != len(allowed) {
		t.Errorf("there are %d packages, the list has %d; remove those that no longer exist", seen, len(allowed))
	}
}
