package internal_test

import (
	"bytes"
	"fmt"
	"go/format"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/aimindset/terraform-provider-aimindset/internal/stack"
)

// An edit is a part of a change: text that is put before an anchor in a file.
type edit struct {
	file, anchor, text string
}

// changes are what is done most often to this repository, each with the files
// that somebody has to edit for it. An entry of codes.json is one of a new
// code, whoever gives that.
var changes = []struct {
	what  string
	most  int
	edits []edit
	tests []edit // rows of tables
}{
	{
		what: "a failure code", most: 2,
		edits: []edit{
			code("backup_partial", "function", "The SQL function copied a part of the tables only", "Fix the SQL function. Then run a backup manually.",
				"a função de backup copiou só uma parte das tabelas", "corrija a função de backup no banco e execute um backup manual pelo painel"),
			{"internal/payload/function/run.ts", `import contract from "./contract.json"`, "import codes from \"./codes.json\" with { type: \"json\" };\n"},
			{"internal/payload/function/run.ts", `    if (body.success !== true)`, "    if (body.partial === true) throw new Failure(\"backup_partial\", codes.backup_partial.reason);\n"},
		},
	},
	{
		what: "a check of something that is not asked yet, beside its code", most: 2,
		edits: []edit{
			{"internal/facts/parts/parameters.sql", `'max_worker_processes'`, "'max_connections', "},
			{"internal/checks/server.go", "\t{\n\t\tCode: \"server_old\"", `	{
		Code: "connections_few", Theme: Server, Planning: Warning,
		Facts: []facts.Part{"parameters"},
		Find: func(s *Subject) []Finding {
			if s.Parameters["max_connections"] != "5" {
				return nil
			}
			return one(About(theDatabase, "allows five connections"))
		},
	},
`},
		},
		tests: []edit{
			{"internal/checks/examples_test.go", "\t\t\"database_read_only\": {\n", "\t\t\"connections_few\": {\n{what: \"five\", change: parameter(\"max_connections\", \"5\"), says: \"allows five connections\"},\n{what: \"six\", change: parameter(\"max_connections\", \"6\")},\n},\n"},
		},
	},
	{
		what: "the check's code", most: 1,
		edits: []edit{
			code("connections_few", "plan", "The database allows few connections", "Raise `max_connections`.",
				"o banco permite poucas conexões", "aumente o max_connections do banco"),
		},
	},
	{
		what: "a computed attribute", most: 2,
		edits: []edit{
			{"internal/provider/auto_backup_computed.go", "\t\t\"source_hash\": {\n", `		"function_slug": {
			schema:  schema.StringAttribute{Computed: true, MarkdownDescription: "Slug of the Edge Function."},
			field:   func(m *autoBackupModel) any { return &m.FunctionSlug },
			planned: func(p planning, _ *diag.Diagnostics) attr.Value { return types.StringValue(p.id.Name.Slug()) },
		},
`},
			{"internal/provider/auto_backup_model.go", "\tFunctionURL ", "\tFunctionSlug types.String `tfsdk:\"function_slug\"`\n"},
		},
	},
}

const codesFile = "internal/codes/codes.json"

// code is a new entry of codes.json.
func code(name, arises, meaning, remedy, reason, advice string) edit {
	return edit{codesFile, name, fmt.Sprintf(`  %q: {
    "meaning": %q,
    "remedy": %q,
    "reason": %q,
    "advice": %q,
    "condition": "failing",
    "arises": [
      %q
    ]
  },
`, name, meaning, remedy, reason, advice, arises)}
}

// generated are the files that "make generate" writes for these changes, and which
// nobody edits.
var generated = []string{"docs/guides/last-night.md", "docs/guides/falhas.md", "docs/guides/backup-da-noite.md", "docs/guides/troubleshooting.md"}

// TestBudgetOfChange proves by doing it, in a copy of the repository, that what is
// done most often takes edits of two files, and of a table in a test for a check:
// with them, everything builds, the quick tests pass, the guides' tables and the
// schema can be generated, and nothing else has changed.
func TestBudgetOfChange(t *testing.T) {
	t.Parallel()
	deno, err := stack.Deno()
	if err != nil {
		t.Fatal(err)
	}
	clone := t.TempDir()
	if err := copyRepository(clone, ".."); err != nil {
		t.Fatal(err)
	}
	edited := map[string]bool{}
	for _, change := range changes {
		files := map[string]bool{}
		for _, e := range change.edits {
			files[e.file] = true
		}
		if len(files) > change.most {
			t.Errorf("%s takes edits of %d files, %d are granted: %v", change.what, len(files), change.most, slices.Sorted(maps.Keys(files)))
		}
		for _, e := range slices.Concat(change.edits, change.tests) {
			edited[e.file] = true
			if err := e.apply(clone); err != nil {
				t.Fatalf("%s: %v", change.what, err)
			}
		}
	}

	run := func(dir, name string, args ...string) string {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), name, args...)
		cmd.Dir = filepath.Join(clone, dir)
		// What is built is kept for the next time, when the directory is another.
		cmd.Env = append(os.Environ(), "GOFLAGS="+strings.TrimSpace(os.Getenv("GOFLAGS")+" -trimpath"), "GOWORK=off", "NO_COLOR=1")
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%s: %v\n%s", strings.Join(append([]string{name}, args...), " "), err, out)
		}
		return string(out)
	}
	run(".", "go", "list", "-export", "./...") // compiles, and links nothing
	run(".", "go", "test", "-count=1", "-run", "^TestGuides$", "./internal/codes", "-guides.write")
	run(".", "go", "test", "./internal/codes", "./internal/checks", "./internal/preflight", "./internal/health", "./internal/backup")
	run(".", "go", "test", "-run", "^(TestParse|TestParts|TestBuild)$", "./internal/facts")
	run(".", "go", "test", "-run", "^(TestComputedAttributes|TestApplyUsesPlannedSchedules|TestConfigure|TestResolve)$", "./internal/provider")
	run(".", "go", "test", "-run", "^(TestFailureGuideIsComplete|TestGuidesAreLinked)$", "./internal/docs")
	run(".", "go", "test", "-run", "^(TestImportArrows|TestSizes)$", "./internal")
	run("internal/payload/function", deno, "check", "--quiet", "index.ts")
	if schema := run(".", "go", "run", "./internal/provider/cmd/schema", "-address", "aimindset"); !strings.Contains(schema, `"function_slug"`) {
		t.Error("the schema, of which the reference page is made, lacks the new attribute")
	}

	differing, err := differences("..", clone)
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range differing {
		if !edited[file] && !slices.Contains(generated, file) {
			t.Errorf("%s has changed, too", file)
		}
	}
}

// apply makes an edit in a repository.
func (e edit) apply(root string) error {
	path := filepath.Join(root, filepath.FromSlash(e.file))
	before, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	at := strings.Index(string(before), e.anchor)
	if e.file == codesFile {
		at = placeOf(e.anchor, string(before))
	}
	if at < 0 {
		return fmt.Errorf("%s has no %q any more: choose another place for this edit", e.file, e.anchor)
	}
	after := []byte(string(before[:at]) + e.text + string(before[at:]))
	if filepath.Ext(path) == ".go" {
		if after, err = format.Source(after); err != nil {
			return fmt.Errorf("%s: %w", e.file, err)
		}
	}
	return os.WriteFile(path, after, 0o600)
}

// placeOf is where a key of codes.json belongs, whose keys are sorted.
func placeOf(key, text string) int {
	for _, found := range regexp.MustCompile(`(?m)^  "([^"]+)": \{$`).FindAllStringSubmatchIndex(text, -1) {
		if text[found[2]:found[3]] > key {
			return found[0]
		}
	}
	return -1
}

// ours reports whether a file or directory belongs to the repository's content.
func ours(entry fs.DirEntry) bool {
	switch entry.Name() {
	case ".git", "bin", "dist", "node_modules":
		return false
	}
	return true
}

// copyRepository copies the repository's files and links.
func copyRepository(to, from string) error {
	return filepath.WalkDir(from, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		target := filepath.Join(to, name)
		switch {
		case name == ".":
			return nil
		case !ours(entry) && entry.IsDir():
			return fs.SkipDir
		case !ours(entry):
			return nil
		case entry.IsDir():
			return os.MkdirAll(target, 0o700)
		case entry.Type()&fs.ModeSymlink != 0:
			link, err := os.Readlink(path)
			if err != nil {
				return err
			}
			return os.Symlink(link, target)
		case !entry.Type().IsRegular():
			return nil
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		return os.WriteFile(target, content, 0o600)
	})
}

// differences lists the files that are not the same in two repositories.
func differences(one, other string) ([]string, error) {
	var files []string
	for _, way := range [][2]string{{one, other}, {other, one}} {
		err := filepath.WalkDir(way[0], func(path string, entry fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			if path != way[0] && !ours(entry) {
				if entry.IsDir() {
					return fs.SkipDir
				}
				return nil
			}
			if !entry.Type().IsRegular() {
				return nil
			}
			name, err := filepath.Rel(way[0], path)
			if err != nil {
				return err
			}
			left, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			right, err := os.ReadFile(filepath.Join(way[1], name))
			if err != nil && !os.IsNotExist(err) {
				return err
			}
			if err != nil || !bytes.Equal(left, right) {
				files = append(files, filepath.ToSlash(name))
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	slices.Sort(files)
	return slices.Compact(files), nil
}
