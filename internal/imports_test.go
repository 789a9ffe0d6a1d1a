// Package internal_test checks the house as a whole.
package internal_test

import (
	"encoding/json"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/aimindset/terraform-provider-aimindset"

// allowed says what each package may import of this module. Packages that
// only tests and the demo use stand in none of the lists.
var allowed = map[string][]string{
	"":                             {"internal/provider"},
	"internal/provider":            {"internal/backup", "internal/health", "internal/install", "internal/payload", "internal/postgres", "internal/preflight", "internal/schedule", "internal/selfhosted", "internal/supabase"},
	"internal/provider/cmd/schema": {"internal/provider"},
	"internal/install":             {"internal/backup", "internal/install/queries", "internal/payload", "internal/postgres", "internal/supabase"},
	"internal/install/queries":     {},
	"internal/health":              {"internal/backup", "internal/facts", "internal/payload", "internal/postgres", "internal/schedule", "internal/supabase"},
	"internal/preflight":           {"internal/backup", "internal/facts", "internal/plsql", "internal/postgres", "internal/supabase"},
	"internal/plsql":               {},
	"internal/codes":               {},
	"internal/facts":               {"internal/postgres", "internal/supabase"},
	"internal/backup":              {"internal/payload", "internal/schedule"},
	"internal/schedule":            {},
	"internal/payload":             {},
	"internal/selfhosted":          {"internal/payload", "internal/supabase"},
	"internal/supabase":            {},
	"internal/postgres":            {},
	"internal/stack":               {"internal/payload"},
	"internal/stack/cmd/stack":     {"internal/stack"},
	"internal/stack/cmd/demo":      {"internal/stack", "internal/supabase"},
	"internal/stack/cmd/install":   {"internal/stack"},
	"internal/fleet":               {"internal/stack"},
	"internal/fleet/cmd/bench":     {"internal/fleet", "internal/stack"},
}

// TestImportArrows proves that every package imports only what the house
// allows it to, that Terraform's libraries are imported by its face alone, and
// that no package is missing from the list.
func TestImportArrows(t *testing.T) {
	t.Parallel()
	out, err := exec.CommandContext(t.Context(), "go", "list", "-json=ImportPath,Imports,GoFiles", module+"/...").Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	seen := 0
	decoder := json.NewDecoder(strings.NewReader(string(out)))
	for decoder.More() {
		var pkg struct {
			ImportPath string
			Imports    []string
			GoFiles    []string
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
			t.Errorf("package %q has no place in the house; add it to the list with what it may import", name)
			continue
		}
		for _, imported := range pkg.Imports {
			if inner, ok := strings.CutPrefix(imported, module+"/"); ok && !slices.Contains(may, inner) {
				t.Errorf("%s imports %s, which the house does not allow", name, inner)
			}
			if strings.HasPrefix(imported, "github.com/hashicorp/terraform-plugin-") && !strings.HasPrefix(name, "internal/provider") && name != "" {
				t.Errorf("%s imports %s; only package provider speaks Terraform", name, imported)
			}
		}
	}
	if seen != len(allowed) {
		t.Errorf("%d packages were found, the list has %d; take out what is gone", seen, len(allowed))
	}
}
