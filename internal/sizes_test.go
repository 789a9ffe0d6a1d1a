package internal_test

import (
	"bytes"
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"text/tabwriter"
)

// The limits of a package that the provider consists of: one that is larger is
// several packages in one, and takes a newcomer longer than an afternoon.
const (
	mostLines = 650 // of a file
	mostNames = 80  // at package level, exported or not
)

// The package provider has a set of files for each resource, data source, action and
// function; none of these is entered through another one. So its files are limited,
// and the number of their names is not.
const face = "provider"

// outside are the packages that exist for tests, the demo and the benchmark only.
var outside = []string{"stack", "failures", "attacks", "faults", "fleet", "docs", "mutation"}

var house = flag.Bool("house", false, "print the size of each package")

// size is what a package's size is measured by.
type size struct {
	lines, tests int
	// names are those at package level, without methods and tests.
	names   map[string]bool
	largest string
	most    int // the lines of the largest file
}

// TestSizes proves that no package is larger than its readers can take in.
func TestSizes(t *testing.T) {
	t.Parallel()
	sizes, err := measure(".")
	if err != nil {
		t.Fatal(err)
	}
	var text bytes.Buffer
	table := tabwriter.NewWriter(&text, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(table, "package\tlines\tnames\texported\ttest lines\tlargest file")
	var all size
	for _, pkg := range slices.Sorted(maps.Keys(sizes)) {
		s := sizes[pkg]
		exported := 0
		for name := range s.names {
			if token.IsExported(name) {
				exported++
			}
		}
		all.lines, all.tests = all.lines+s.lines, all.tests+s.tests
		_, _ = fmt.Fprintf(table, "%s\t%d\t%d\t%d\t%d\t%s %d\n", pkg, s.lines, len(s.names), exported, s.tests, s.largest, s.most)
		if s.most > mostLines {
			t.Errorf("%s/%s has %d lines; %d are the limit", pkg, s.largest, s.most, mostLines)
		}
		if len(s.names) > mostNames && pkg != face {
			t.Errorf("%s has %d names at package level; %d are the limit", pkg, len(s.names), mostNames)
		}
	}
	_, _ = fmt.Fprintf(table, "all\t%d\t\t\t%d\n", all.lines, all.tests)
	if err := table.Flush(); err != nil {
		t.Fatal(err)
	}
	if *house {
		fmt.Print(text.String())
	}
}

// TestHousePrints proves that "make house" prints the table.
func TestHousePrints(t *testing.T) {
	t.Parallel()
	command := exec.CommandContext(t.Context(), "make", "-C", "..", "house")
	if out, err := command.CombinedOutput(); err != nil || !strings.Contains(string(out), "\nprovider ") {
		t.Errorf("make house: %v, and prints\n%s", err, out)
	}
}

// measure measures the packages below a directory, by their paths in it, but for
// those outside, commands and test data.
func measure(root string) (map[string]*size, error) {
	sizes := map[string]*size{}
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() {
			if slices.Contains(outside, path) || slices.Contains([]string{"cmd", "testdata", "node_modules"}, entry.Name()) {
				return fs.SkipDir
			}
			return nil
		}
		pkg, file := filepath.Split(path)
		if pkg == "" || filepath.Ext(file) != ".go" {
			return nil
		}
		pkg = filepath.Clean(pkg)
		if sizes[pkg] == nil {
			sizes[pkg] = &size{names: map[string]bool{}}
		}
		return sizes[pkg].add(path)
	})
	return sizes, err
}

// add adds a file.
func (s *size) add(path string) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	lines := bytes.Count(text, []byte("\n"))
	if strings.HasSuffix(path, "_test.go") {
		s.tests += lines
		return nil
	}
	s.lines += lines
	if lines > s.most {
		s.largest, s.most = filepath.Base(path), lines
	}
	file, err := parser.ParseFile(token.NewFileSet(), path, text, parser.SkipObjectResolution)
	if err != nil {
		return err
	}
	for _, decl := range file.Decls {
		switch decl := decl.(type) {
		case *ast.FuncDecl:
			if decl.Recv == nil {
				s.name(decl.Name)
			}
		case *ast.GenDecl:
			for _, spec := range decl.Specs {
				switch spec := spec.(type) {
				case *ast.TypeSpec:
					s.name(spec.Name)
				case *ast.ValueSpec:
					s.name(spec.Names...)
				}
			}
		}
	}
	return nil
}

// name counts names. Files for different systems may declare the same one.
func (s *size) name(names ...*ast.Ident) {
	for _, name := range names {
		if name.Name != "_" && name.Name != "init" {
			s.names[name.Name] = true
		}
	}
}
