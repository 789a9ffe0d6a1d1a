package codes

import (
	"fmt"
	"go/ast"
	"go/parser"
	gotoken "go/token"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// readGo finds the codes that a package of the provider gives: what it puts into
// a field Code, and what it hands over as a parameter named code. place is where
// they arise; empty for the registry of checks, where each check says so itself.
func readGo(directory, place string, found origins) error {
	names, err := filepath.Glob(filepath.Join(directory, "*.go"))
	if err != nil {
		return err
	}
	sources := map[string]string{}
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		text, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		sources[filepath.Base(name)] = string(text)
	}
	if len(sources) == 0 {
		return fmt.Errorf("%s has no sources", directory)
	}
	return readPackage(sources, place, found)
}

// goReader reads the files of one package.
type goReader struct {
	place string
	found origins
	// takers are the functions with a parameter named code, by its position.
	takers map[string]int
	// constants are the package's constants that are texts.
	constants map[string]string
	err       error
}

func readPackage(sources map[string]string, place string, found origins) error {
	r := &goReader{place: place, found: found, takers: map[string]int{}, constants: map[string]string{}}
	fileSet := gotoken.NewFileSet()
	var files []*ast.File
	for name, text := range sources {
		file, err := parser.ParseFile(fileSet, name, text, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		files = append(files, file)
		ast.Inspect(file, r.declares)
	}
	for _, file := range files {
		ast.Inspect(file, func(node ast.Node) bool {
			if err := r.gives(node); err != nil && r.err == nil {
				r.err = fmt.Errorf("%s: %w", fileSet.Position(node.Pos()), err)
			}
			return true
		})
	}
	return r.err
}

// declares notes constants, and functions that are given a code.
func (r *goReader) declares(node ast.Node) bool {
	switch n := node.(type) {
	case *ast.ValueSpec:
		for i, name := range n.Names {
			if i < len(n.Values) {
				if text, ok := literal(n.Values[i]); ok {
					r.constants[name.Name] = text
				}
			}
		}
	case *ast.FuncDecl:
		position := 0
		for _, field := range n.Type.Params.List {
			for _, name := range field.Names {
				if name.Name == "code" {
					r.takers[n.Name.Name] = position
				}
				position++
			}
		}
	}
	return true
}

// gives finds the codes that a node gives.
func (r *goReader) gives(node ast.Node) error {
	switch n := node.(type) {
	case *ast.CallExpr:
		name := ""
		switch callee := n.Fun.(type) {
		case *ast.Ident:
			name = callee.Name
		case *ast.SelectorExpr:
			name = callee.Sel.Name
		}
		if position, ok := r.takers[name]; ok && position < len(n.Args) {
			return r.codesOf(n.Args[position], r.place)
		}
	case *ast.CompositeLit:
		fields := map[string]ast.Expr{}
		for _, element := range n.Elts {
			if pair, ok := element.(*ast.KeyValueExpr); ok {
				if key, ok := pair.Key.(*ast.Ident); ok {
					fields[key.Name] = pair.Value
				}
			}
		}
		code, ok := fields["Code"]
		if !ok {
			return nil
		}
		if r.place != "" {
			return r.codesOf(code, r.place)
		}
		places := 0
		for field, place := range map[string]string{"Planning": Plan, "Asked": Status} {
			if _, ok := fields[field]; ok {
				places++
				if err := r.codesOf(code, place); err != nil {
					return err
				}
			}
		}
		if places == 0 {
			return fmt.Errorf("a code is given neither to a plan nor to a status")
		}
	case *ast.AssignStmt:
		for i, left := range n.Lhs {
			if field, ok := left.(*ast.SelectorExpr); ok && field.Sel.Name == "Code" && len(n.Rhs) == len(n.Lhs) {
				if err := r.codesOf(n.Rhs[i], r.place); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// codesOf notes every code that an expression can be. An expression that is
// neither a code nor one that was given already is an error.
func (r *goReader) codesOf(expression ast.Expr, place string) error {
	if text, ok := literal(expression); ok {
		return r.note(text, place)
	}
	switch e := expression.(type) {
	case *ast.Ident:
		if text, ok := r.constants[e.Name]; ok {
			return r.note(text, place)
		}
		if e.Name == "code" {
			return nil // a parameter
		}
	case *ast.SelectorExpr:
		if e.Sel.Name == "Code" {
			return nil
		}
	case *ast.CallExpr:
		if callee, ok := e.Fun.(*ast.SelectorExpr); ok && callee.Sel.Name == "Or" {
			for _, one := range e.Args {
				if err := r.codesOf(one, place); err != nil {
					return err
				}
			}
			return nil
		}
	}
	return fmt.Errorf("a code is not a literal")
}

func (r *goReader) note(code, place string) error {
	switch {
	case code == "":
		return nil // not a problem
	case place == "":
		return fmt.Errorf("the code %s is given outside a check", code)
	}
	r.found.add(code, place)
	return nil
}

func literal(expression ast.Expr) (string, bool) {
	basic, ok := expression.(*ast.BasicLit)
	if !ok || basic.Kind != gotoken.STRING {
		return "", false
	}
	text, err := strconv.Unquote(basic.Value)
	return text, err == nil
}

// TestReadGo proves that a code is found wherever Go gives one, with its place,
// that one which is handed on is none, and that what is neither is said.
func TestReadGo(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ place, source, want string }{
		{Status, `var x = Problem{Code: "a", Message: "b"}`, "a status"},
		{Status, `func (s S) add(n int, code, text string) { use(Finding{Code: code}) }; func f(s S) { s.add(1, "c", "d") }`, "c status"},
		{Plan, `func add(code string) {}; func f() { add(cmp.Or(last.Code, "e")); add(special) }; const special = "g"`, "e plan, g plan"},
		{Plan, `func f() { x.Code, x.Severity = "h", 2 }`, "h plan"},
		{Status, `func f() { x.Code = c.Code; _ = codes.Lookup("no", ""); if x.Code == "no" { y.Message = "no" } }`, ""},
		{Status, `const none = ""; func add(code string) {}; func f() { add(none) }`, ""},
		{"", `var list = []Check{{Code: "i", Planning: Error}, {Code: "j", Asked: Late}, {Code: "k", Planning: Error, Asked: Late}}`, "i plan, j status, k plan, k status"},
		{"", `func f() { x.Code = c.Code }`, ""},
		{"", `var x = Finding{Code: "l"}`, "a code is given neither to a plan nor to a status"},
		{"", `func f() { x.Code = "m" }`, "the code m is given outside a check"},
		{Status, `func f() { x.Code = codeOf(y) }`, "a code is not a literal"},
		{Status, `func add(code string) {}; func f(kind string) { add(kind) }`, "a code is not a literal"},
	} {
		got := readAll(func(_, text string, found origins) error {
			return readPackage(map[string]string{"x.go": strings.Replace(text, "x ", "package x; ", 1)}, c.place, found)
		}, "", c.source)
		if got != c.want && !strings.HasSuffix(got, ": "+c.want) {
			t.Errorf("%s\ngives %s, want %s", c.source, got, c.want)
		}
	}
}

// TestGoPackages proves that the list of packages that give codes is complete:
// no other package of the provider has a type with a field Code that it fills
// with a literal.
func TestGoPackages(t *testing.T) {
	t.Parallel()
	directories, err := filepath.Glob("../*")
	if err != nil {
		t.Fatal(err)
	}
	for _, directory := range directories {
		if _, known := goPackages[directory]; known || !slices.Contains([]string{"../backup", "../facts", "../history", "../install", "../provider"}, directory) {
			continue
		}
		found := origins{}
		if err := readGo(directory, Status, found); err != nil && !strings.HasSuffix(err.Error(), "a code is not a literal") {
			t.Fatal(err)
		}
		for code := range found {
			if _, ok := All()[code]; ok {
				t.Errorf("%s gives the code %s; add it to goPackages", directory, code)
			}
		}
	}
}
