package docs_test

import (
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/aimindset/terraform-provider-aimindset/internal/stack/engine"
)

var writeSupport = flag.Bool("support.write", false, "write the tables of versions into the guides instead of comparing them")

// support is support.json: with which versions of what the provider is used, and what
// says so.
type support struct {
	Parts []struct {
		// Name is the part, and Claim the name by which the documentation has its
		// versions.
		Name, Claim string
		Versions    []supported
	}
}

// supported is a version, or several.
type supported struct {
	Version string
	// How is one of hows, and What says more.
	How, What string
	Runs      []engine.Run
}

// hows are the ways in which a version can be backed. Those that are true have to name
// what runs.
var hows = map[string]bool{"every change": true, "checked by a plan": true, "built, not run": true, "by hand, not in CI": false, "not run": false}

func readSupport(t *testing.T) *support {
	t.Helper()
	text, err := os.ReadFile("support.json")
	if err != nil {
		t.Fatal(err)
	}
	var s support
	if err := json.Unmarshal(text, &s); err != nil {
		t.Fatal(err)
	}
	return &s
}

// readFeatures returns what not every supported Terraform and OpenTofu has.
func readFeatures(t *testing.T) []engine.Feature {
	t.Helper()
	features, err := engine.Features()
	if err != nil {
		t.Fatal(err)
	}
	return features
}

// TestSupportIsBacked proves that everything which backs a row of the support matrix is
// in the repository, and that no row is said to be run without naming it.
func TestSupportIsBacked(t *testing.T) {
	t.Parallel()
	s, features := readSupport(t), readFeatures(t)
	if len(s.Parts) < 10 || len(features) < 5 {
		t.Fatalf("there are %d parts and %d features", len(s.Parts), len(features))
	}
	runs := map[string][]engine.Run{}
	for _, part := range s.Parts {
		for _, v := range part.Versions {
			name := part.Name + " " + v.Version
			needed, known := hows[v.How]
			if !known {
				t.Errorf("%s is backed %q, which is none of %q", name, v.How, slices.Sorted(maps.Keys(hows)))
			}
			if needed && len(v.Runs) == 0 {
				t.Errorf("%s is said to be run, %s, and nothing says by what", name, v.How)
			}
			runs[name] = v.Runs
		}
	}
	for _, f := range features {
		if len(f.Runs) == 0 {
			t.Errorf("nothing runs the feature %s", f.Key)
		}
		runs[f.Key] = f.Runs
	}
	for name, list := range runs {
		for _, r := range list {
			text, err := os.ReadFile(filepath.Join(root, r.File))
			if err != nil || !strings.Contains(string(text), r.Text) {
				t.Errorf("%s is backed by %q in %s, which is not there (%v)", name, r.Text, r.File, err)
			}
		}
	}
}

// supportTables are the tables that are generated, by guide, and then by the name of
// their marks.
var supportTables = map[string]map[string]func(t *testing.T) string{
	"support.md":  {"versions": versionTable, "features": featureTable},
	"opentofu.md": {"features": featureTable},
}

// TestSupportTables proves that the tables of versions in the guides say what
// support.json and package engine say.
func TestSupportTables(t *testing.T) {
	t.Parallel()
	sources := map[string]string{"versions": "internal/docs/support.json", "features": "internal/stack/engine/features.json"}
	for guide, tables := range supportTables {
		path := filepath.Join(root, "docs", "guides", guide)
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		wanted := string(text)
		for name, table := range tables {
			begin := "<!-- " + name + " of " + sources[name] + ": written by \"make generate\" -->\n"
			end := "<!-- end of " + name + " -->\n"
			before, rest, begins := strings.Cut(wanted, begin)
			_, after, ends := strings.Cut(rest, end)
			if !begins || !ends {
				t.Fatalf("%s has no marks of the table %s", guide, name)
			}
			wanted = before + begin + "\n" + table(t) + "\n" + end + after
		}
		switch {
		case wanted == string(text):
		case *writeSupport:
			if err := os.WriteFile(path, []byte(wanted), 0o644); err != nil {
				t.Fatal(err)
			}
		default:
			t.Errorf("docs/guides/%s does not say what %s say: run \"make generate\"", guide, slices.Sorted(maps.Values(sources)))
		}
	}
}

func versionTable(t *testing.T) string {
	t.Helper()
	s := readSupport(t)
	var table strings.Builder
	table.WriteString("| | version | tested | with | by |\n|---|---|---|---|---|\n")
	for _, part := range s.Parts {
		name := part.Name
		for _, v := range part.Versions {
			fmt.Fprintf(&table, "| %s | %s | %s | %s | %s |\n", name, v.Version, v.How, v.What, shownRuns(v.Runs))
			name = ""
		}
	}
	return table.String()
}

func featureTable(t *testing.T) string {
	t.Helper()
	var table strings.Builder
	table.WriteString("| | Terraform | OpenTofu | tested by |\n|---|---|---|---|\n")
	for _, f := range readFeatures(t) {
		fmt.Fprintf(&table, "| %s | %s | %s | %s |\n", f.Name, f.From(false), f.From(true), shownRuns(f.Runs))
	}
	return table.String()
}

var testFunction = regexp.MustCompile(`^func (Test\w*)`)

// shownRuns names what backs a row, each once: tests by their name, everything else by
// its file.
func shownRuns(runs []engine.Run) string {
	var shown []string
	for _, r := range runs {
		name := "`" + strings.TrimPrefix(strings.TrimPrefix(r.File, ".github/workflows/"), "internal/") + "`"
		if test := testFunction.FindStringSubmatch(r.Text); test != nil {
			name = "`" + filepath.Base(filepath.Dir(r.File)) + "." + test[1] + "`"
		}
		if !slices.Contains(shown, name) {
			shown = append(shown, name)
		}
	}
	return strings.Join(shown, ", ")
}

// versionClaim is a product's name with a version behind it, as in "Terraform 1.12 and
// newer" or "Terraform v1.12.0". A number alone, as in "PostgreSQL 17", is one too.
var versionClaim = regexp.MustCompile("(?i)\\b(Terraform|OpenTofu|PostgreSQL|pg_cron|pg_net|(?:supabase_)?vault|Deno|CLI|Node\\.js|Go|versitygw|Docker setup)[` *]+v?(\\d+(?:\\.\\d+)+|\\d\\d)\\b")

// sinceClaim is one with words between, as in "OpenTofu can since 1.9".
var sinceClaim = regexp.MustCompile(`(?i)\b(Terraform|OpenTofu|PostgreSQL|pg_cron|pg_net|Deno|CLI)\b[^.|\n]{1,40} (?:since|from) (\d+\.\d+)\b`)

// TestVersionClaims proves that every version of Terraform, OpenTofu, PostgreSQL, an
// extension, Deno and the rest that the documentation names is in support.json, that
// every configuration asks for the oldest Terraform in it.
func TestVersionClaims(t *testing.T) {
	t.Parallel()
	s := readSupport(t)
	known := map[string]map[string]bool{}
	claim := func(product, version string) {
		if known[product] == nil {
			known[product] = map[string]bool{}
		}
		known[product][version] = true
	}
	number := regexp.MustCompile(`\d+(\.\d+)*`)
	for _, part := range s.Parts {
		for _, v := range part.Versions {
			for _, version := range number.FindAllString(v.Version, -1) {
				claim(strings.ToLower(part.Claim), version)
			}
		}
	}
	for _, f := range readFeatures(t) {
		claim("terraform", f.Terraform)
		claim("opentofu", f.OpenTofu)
	}
	names := func(product, version string) bool {
		product = strings.TrimPrefix(strings.ToLower(product), "supabase_")
		if known[product][version] {
			return true
		}
		// tfplugindocs writes v1.12.0; and of import by ID, which is older than all that
		// is supported, v1.5.0.
		short, exact := strings.CutSuffix(version, ".0")
		return exact && (known[product][short] || product == "terraform" && short == "1.5")
	}
	seen, required := 0, 0
	for _, path := range documentation(t) {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, found := range append(versionClaim.FindAllStringSubmatch(string(text), -1), sinceClaim.FindAllStringSubmatch(string(text), -1)...) {
			seen++
			if !names(found[1], found[2]) {
				t.Errorf("%s says %q, and internal/docs/support.json does not have that version", path, found[0])
			}
		}
		for _, found := range regexp.MustCompile(`required_version\s*=\s*"([^"]*)"`).FindAllStringSubmatch(string(text), -1) {
			required++
			if version, ok := strings.CutPrefix(found[1], ">= "); !ok || !known["terraform"][version] {
				t.Errorf("%s requires Terraform %q, and internal/docs/support.json does not have that version", path, found[1])
			}
		}
	}
	if seen < 30 || required < 20 {
		t.Errorf("there are only %d versions and %d required versions in the documentation", seen, required)
	}
}

// documentation lists what users and contributors read.
func documentation(t *testing.T) []string {
	t.Helper()
	paths := []string{filepath.Join(root, "README.md"), filepath.Join(root, ".github", "CONTRIBUTING.md")}
	for _, pattern := range []string{"docs/*.md", "docs/*/*.md", "examples/*/*.tf", "examples/*/*/*.tf", "examples/*/*/*.hcl"} {
		found, err := filepath.Glob(filepath.Join(root, filepath.FromSlash(pattern)))
		if err != nil || len(found) == 0 {
			t.Fatalf("%s: %d files, %v", pattern, len(found), err)
		}
		paths = append(paths, found...)
	}
	return paths
}
