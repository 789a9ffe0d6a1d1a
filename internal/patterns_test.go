package internal_test

import (
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// TestPatterns proves that no package of the provider compiles a regular expression before
// main, which Terraform would wait for each time it starts the provider, and that those
// which text.Pattern compiles later are valid.
func TestPatterns(t *testing.T) {
	t.Parallel()
	out, err := exec.CommandContext(t.Context(), "go", "list", "-deps", "-json=ImportPath,Dir,GoFiles", module).Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	found := 0
	for decoder := json.NewDecoder(strings.NewReader(string(out))); decoder.More(); {
		var pkg struct {
			ImportPath, Dir string
			GoFiles         []string
		}
		if err := decoder.Decode(&pkg); err != nil {
			t.Fatalf("read go list: %v", err)
		}
		if !strings.HasPrefix(pkg.ImportPath, module) {
			continue
		}
		for _, name := range pkg.GoFiles {
			files := token.NewFileSet()
			file, err := parser.ParseFile(files, filepath.Join(pkg.Dir, name), nil, parser.SkipObjectResolution)
			if err != nil {
				t.Fatal(err)
			}
			for _, declaration := range file.Decls {
				if variables, ok := declaration.(*ast.GenDecl); ok {
					found += patterns(t, files, variables)
				}
			}
		}
	}
	if found < 20 {
		t.Errorf("%d patterns were found, so the test shows nothing", found)
	}
}

// patterns checks the regular expressions of a declaration at package level, and returns how
// many text.Pattern will compile.
func patterns(t *testing.T, files *token.FileSet, declaration *ast.GenDecl) (found int) {
	t.Helper()
	ast.Inspect(declaration, func(n ast.Node) bool {
		if _, later := n.(*ast.FuncLit); later {
			return false
		}
		call, ok := n.(*ast.CallExpr)
		if !ok {
			return true
		}
		function, ok := call.Fun.(*ast.SelectorExpr)
		if !ok {
			return true
		}
		pkg, ok := function.X.(*ast.Ident)
		switch {
		case !ok:
		case pkg.Name == "regexp":
			t.Errorf("%s compiles a regular expression before main: use text.Pattern", files.Position(call.Pos()))
		case pkg.Name == "text" && function.Sel.Name == "Pattern":
			found++
			literal, ok := call.Args[0].(*ast.BasicLit)
			if !ok {
				t.Errorf("%s: the expression is not a literal, so this test cannot check it", files.Position(call.Pos()))
				break
			}
			expression, err := strconv.Unquote(literal.Value)
			if err == nil {
				_, err = regexp.Compile(expression)
			}
			if err != nil {
				t.Errorf("%s: %v", files.Position(call.Pos()), err)
			}
		}
		return true
	})
	return found
}
