package main

import (
	"bytes"
	"cmp"
	"fmt"
	"go/ast"
	"go/constant"
	"go/parser"
	"go/token"
	"go/types"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// goSite is a mutant of Go code with what is needed to compile it beside others.
type goSite struct {
	mutant
	// typ is the type of a changed expression, as its file writes it; empty for
	// a changed statement.
	typ string
}

// goFile is one source file of a package.
type goFile struct {
	path   string // absolute
	name   string // relative to the repository, with slashes
	source []byte
	syntax *ast.File
}

// goPackage is a package whose code can be changed.
type goPackage struct {
	path     string
	files    []*goFile
	fset     *token.FileSet
	importer types.Importer
}

// activeFile declares the variable that chooses a mutant.
const (
	activeFile = "mutation_active.go"
	activeEnv  = "MUTATION"
	activeText = `

import (
	mutationOS "os"
	mutationStrconv "strconv"
)

var mutationActive = func() int {
	n, err := mutationStrconv.Atoi(mutationOS.Getenv("` + activeEnv + `"))
	if err != nil {
		return -1
	}
	return n
}()
`
)

// loadGo parses the named files of a package.
func loadGo(root, path string, names []string, importer types.Importer) (*goPackage, error) {
	p := &goPackage{path: path, fset: token.NewFileSet(), importer: importer}
	for _, name := range names {
		source, err := os.ReadFile(name)
		if err != nil {
			return nil, err
		}
		syntax, err := parser.ParseFile(p.fset, name, source, parser.SkipObjectResolution)
		if err != nil {
			return nil, err
		}
		relative, err := filepath.Rel(root, name)
		if err != nil {
			return nil, err
		}
		p.files = append(p.files, &goFile{path: name, name: filepath.ToSlash(relative), source: source, syntax: syntax})
	}
	return p, nil
}

// active is the file that has to be compiled with every mutant.
func (p *goPackage) active() string {
	return "package " + p.files[0].syntax.Name.Name + activeText
}

// sites lists every possible mutant, in the order of the source.
func (p *goPackage) sites() ([]goSite, error) {
	info := &types.Info{Types: map[ast.Expr]types.TypeAndValue{}, Uses: map[*ast.Ident]types.Object{}}
	active, err := parser.ParseFile(p.fset, activeFile, p.active(), parser.SkipObjectResolution)
	if err != nil {
		return nil, err
	}
	config := types.Config{Importer: p.importer}
	pkg, err := config.Check(p.path, p.fset, append(p.syntaxes(), active), info)
	if err != nil {
		return nil, err
	}
	var sites []goSite
	for _, f := range p.files {
		v := &goVisitor{file: f, fset: p.fset, info: info, pkg: pkg}
		for _, decl := range f.syntax.Decls {
			// What a package-level variable holds is not in a coverage profile.
			if function, ok := decl.(*ast.FuncDecl); ok && function.Body != nil {
				v.walk(function)
			}
		}
		slices.SortStableFunc(v.sites, func(a, b goSite) int { return cmp.Compare(a.start, b.start) })
		sites = append(sites, v.sites...)
	}
	return sites, nil
}

func (p *goPackage) syntaxes() []*ast.File {
	var all []*ast.File
	for _, f := range p.files {
		all = append(all, f.syntax)
	}
	return all
}

// compiles reports whether the package with this mutant passes the type checker.
func (p *goPackage) compiles(s goSite) bool {
	var all []*ast.File
	for _, f := range p.files {
		if f.name != s.file {
			all = append(all, f.syntax)
			continue
		}
		syntax, err := parser.ParseFile(p.fset, f.path, renderGo(f.source, map[int]goSite{1: s}), parser.SkipObjectResolution)
		if err != nil {
			return false
		}
		all = append(all, syntax)
	}
	active, err := parser.ParseFile(p.fset, activeFile, p.active(), parser.SkipObjectResolution)
	if err != nil {
		return false
	}
	config := types.Config{Importer: p.importer}
	_, err = config.Check(p.path, p.fset, append(all, active), nil)
	return err == nil
}

// renderGo puts mutants, by their numbers, into the source of their file. A
// changed expression becomes a function that returns either form; a changed
// statement is put under a condition.
func renderGo(source []byte, sites map[int]goSite) []byte {
	numbers := make([]int, 0, len(sites))
	for n := range sites {
		numbers = append(numbers, n)
	}
	slices.SortFunc(numbers, func(a, b int) int {
		// The outer one first.
		return cmp.Or(cmp.Compare(sites[a].start, sites[b].start), cmp.Compare(sites[b].end, sites[a].end), cmp.Compare(a, b))
	})
	var render func(start, end int) []byte
	render = func(start, end int) []byte {
		var out []byte
		for len(numbers) > 0 && sites[numbers[0]].start < end {
			first := sites[numbers[0]]
			out = append(out, source[start:first.start]...)
			var same []int
			for len(numbers) > 0 && sites[numbers[0]].start == first.start && sites[numbers[0]].end == first.end {
				same, numbers = append(same, numbers[0]), numbers[1:]
			}
			inner := render(first.start, first.end)
			if first.typ != "" {
				out = fmt.Appendf(out, "func() %s { ", first.typ)
			}
			for _, n := range same {
				switch s := sites[n]; {
				case s.typ != "":
					out = fmt.Appendf(out, "if mutationActive == %d { return %s }; ", n, s.new)
				case s.new == "":
					out = fmt.Appendf(out, "if mutationActive == %d {} else { ", n)
					inner = append(inner, " }"...)
				case strings.HasPrefix(s.new, "return "):
					out = fmt.Appendf(out, "if mutationActive == %d { %s }; ", n, s.new)
				default:
					out = fmt.Appendf(out, "if mutationActive == %d { %s } else { ", n, s.new)
					inner = append(inner, " }"...)
				}
			}
			if first.typ != "" {
				out = append(out, "return "...)
				inner = append(inner, " }()"...)
			}
			out = append(out, inner...)
			start = first.end
		}
		return append(out, source[start:end]...)
	}
	return render(0, len(source))
}

// goVisitor finds the mutants of one file.
type goVisitor struct {
	file  *goFile
	fset  *token.FileSet
	info  *types.Info
	pkg   *types.Package
	sites []goSite
	stack []ast.Node // the node that is visited and those around it
	// results are the result types of the functions around a statement.
	results []*ast.FieldList
}

func (v *goVisitor) walk(node ast.Node) {
	ast.Inspect(node, func(n ast.Node) bool {
		if n == nil {
			switch v.stack[len(v.stack)-1].(type) {
			case *ast.FuncDecl, *ast.FuncLit:
				v.results = v.results[:len(v.results)-1]
			}
			v.stack = v.stack[:len(v.stack)-1]
			return true
		}
		switch n := n.(type) {
		case *ast.GenDecl:
			if n.Tok == token.CONST || n.Tok == token.TYPE || n.Tok == token.IMPORT {
				return false
			}
		case ast.Expr:
			// A type has nothing to change, and a constant is seen as a whole.
			if tv, ok := v.info.Types[n]; ok && tv.IsType() {
				if _, literal := n.(*ast.FuncLit); !literal {
					return false
				}
			}
		}
		v.stack = append(v.stack, n)
		switch n := n.(type) {
		case *ast.FuncDecl:
			v.results = append(v.results, n.Type.Results)
		case *ast.FuncLit:
			v.results = append(v.results, n.Type.Results)
		case *ast.BinaryExpr:
			v.binary(n)
		case *ast.UnaryExpr:
			if n.Op == token.NOT {
				v.expression(n, v.text(n.X))
			}
		case *ast.BasicLit:
			v.literal(n)
		case *ast.Ident:
			v.identifier(n)
		case *ast.IfStmt:
			v.condition(n.Cond)
		case ast.Stmt:
			v.statement(n)
		}
		return true
	})
}

func (v *goVisitor) text(n ast.Node) string {
	return string(v.file.source[v.offset(n.Pos()):v.offset(n.End())])
}

func (v *goVisitor) offset(p token.Pos) int { return v.fset.Position(p).Offset }

// expression adds a mutant that replaces an expression.
func (v *goVisitor) expression(n ast.Expr, replacement string) {
	t := types.Default(v.info.TypeOf(n))
	typ := types.TypeString(t, func(p *types.Package) string {
		if p == v.pkg {
			return ""
		}
		for _, spec := range v.file.syntax.Imports {
			path, err := strconv.Unquote(spec.Path.Value)
			if err == nil && path == p.Path() {
				if spec.Name != nil {
					return spec.Name.Name
				}
				return p.Name()
			}
		}
		return p.Path() // which does not compile
	})
	v.sites = append(v.sites, goSite{newMutant(v.file.name, v.file.source, v.offset(n.Pos()), v.offset(n.End()), replacement), typ})
}

// replaceStatement adds a mutant that replaces a statement, or removes it.
func (v *goVisitor) replaceStatement(n ast.Stmt, replacement string) {
	switch v.stack[len(v.stack)-2].(type) {
	case *ast.BlockStmt, *ast.CaseClause, *ast.CommClause:
		v.sites = append(v.sites, goSite{newMutant(v.file.name, v.file.source, v.offset(n.Pos()), v.offset(n.End()), replacement), ""})
	}
}

// operators are what may replace an operator.
var operators = map[token.Token][]token.Token{
	token.EQL: {token.NEQ}, token.NEQ: {token.EQL},
	token.LSS: {token.LEQ, token.GEQ}, token.LEQ: {token.LSS, token.GTR},
	token.GTR: {token.GEQ, token.LEQ}, token.GEQ: {token.GTR, token.LSS},
	token.LAND: {token.LOR}, token.LOR: {token.LAND},
	token.ADD: {token.SUB}, token.SUB: {token.ADD}, token.MUL: {token.QUO}, token.QUO: {token.MUL}, token.REM: {token.MUL},
	token.AND: {token.OR}, token.OR: {token.AND}, token.SHL: {token.SHR}, token.SHR: {token.SHL},
}

func (v *goVisitor) binary(n *ast.BinaryExpr) {
	if v.constant(n) {
		return
	}
	replacements := operators[n.Op]
	switch parent := v.stack[len(v.stack)-2].(type) {
	case *ast.IfStmt:
		// The whole condition becomes true and false; of the other mutants only
		// those at the boundary say more.
		if parent.Cond == n && n.Op != token.LAND && n.Op != token.LOR {
			replacements = replacements[:len(replacements)-1]
		}
	case *ast.ForStmt:
		// The loop that never begins says little.
		if parent.Cond == n && n.Op != token.LAND && n.Op != token.LOR {
			replacements = replacements[:len(replacements)-1]
		}
	}
	if basic, ok := v.info.TypeOf(n.X).Underlying().(*types.Basic); ok && basic.Info()&types.IsString != 0 && n.Op == token.ADD {
		return
	}
	at := v.offset(n.OpPos) - v.offset(n.Pos())
	text := v.text(n)
	for _, op := range replacements {
		v.expression(n, text[:at]+op.String()+text[at+len(n.Op.String()):])
	}
}

// constant reports whether the value of an expression is known when compiling.
func (v *goVisitor) constant(n ast.Expr) bool { return v.info.Types[n].Value != nil }

func (v *goVisitor) condition(n ast.Expr) {
	if v.constant(n) {
		return
	}
	v.expression(n, "true")
	v.expression(n, "false")
}

func (v *goVisitor) literal(n *ast.BasicLit) {
	if n.Kind != token.INT || v.wait() {
		return
	}
	value, ok := constant.Int64Val(constant.MakeFromLiteral(n.Value, n.Kind, 0))
	if ok {
		v.expression(n, strconv.FormatInt(value+1, 10))
	}
}

// wait reports whether the visited number is part of a duration: no test should
// tell a time limit of 30 seconds from one of 31.
func (v *goVisitor) wait() bool {
	for i := len(v.stack) - 1; i >= 0; i-- {
		expression, ok := v.stack[i].(ast.Expr)
		if !ok {
			return false
		}
		if _, call := expression.(*ast.CallExpr); call {
			return false
		}
		if t := v.info.TypeOf(expression); t != nil && t.String() == "time.Duration" {
			return true
		}
	}
	return false
}

func (v *goVisitor) identifier(n *ast.Ident) {
	object := v.info.Uses[n]
	if object == nil || object.Parent() != types.Universe {
		return
	}
	switch n.Name {
	case "true":
		v.expression(n, "false")
	case "false":
		v.expression(n, "true")
	}
}

func (v *goVisitor) statement(n ast.Stmt) {
	switch n := n.(type) {
	case *ast.ExprStmt:
		if call, ok := n.X.(*ast.CallExpr); ok {
			if f, ok := call.Fun.(*ast.Ident); ok && f.Name == "panic" {
				return // for what cannot happen
			}
			v.replaceStatement(n, "")
		}
	case *ast.AssignStmt:
		if n.Tok != token.DEFINE && !v.blank(n) {
			v.replaceStatement(n, "")
		}
	case *ast.IncDecStmt:
		if n.Tok == token.INC {
			v.replaceStatement(n, v.text(n.X)+"--")
		} else {
			v.replaceStatement(n, v.text(n.X)+"++")
		}
	case *ast.ReturnStmt:
		v.returned(n)
	}
}

// blank reports whether an assignment keeps nothing.
func (v *goVisitor) blank(n *ast.AssignStmt) bool {
	for _, left := range n.Lhs {
		if name, ok := left.(*ast.Ident); !ok || name.Name != "_" {
			return false
		}
	}
	return true
}

// returned adds the mutant that swallows an error.
func (v *goVisitor) returned(n *ast.ReturnStmt) {
	fields := v.results[len(v.results)-1]
	if fields.NumFields() == 0 || fields.NumFields() != len(n.Results) {
		return
	}
	last := n.Results[len(n.Results)-1]
	if t := v.info.TypeOf(fields.List[len(fields.List)-1].Type); t == nil || t.String() != "error" || v.info.Types[last].IsNil() {
		return
	}
	start := v.offset(n.Pos())
	text := v.text(n)
	v.replaceStatement(n, text[:v.offset(last.Pos())-start]+"nil"+text[v.offset(last.End())-start:])
}

// covered are the parts of files that a test has run, from a coverage profile.
type covered map[string][]block

type block struct{ startLine, startColumn, endLine, endColumn, count int }

// readProfile reads a coverage profile. Files are named by their base names: a
// profile of one package has each of them once.
func readProfile(text []byte) (covered, error) {
	blocks := covered{}
	for line := range bytes.Lines(text) {
		line := strings.TrimSpace(string(line))
		if line == "" || strings.HasPrefix(line, "mode:") {
			continue
		}
		colon := strings.LastIndexByte(line, ':')
		var b block
		var statements int
		if colon < 0 {
			return nil, fmt.Errorf("the coverage profile has the line %q", line)
		}
		if _, err := fmt.Sscanf(line[colon+1:], "%d.%d,%d.%d %d %d", &b.startLine, &b.startColumn, &b.endLine, &b.endColumn, &statements, &b.count); err != nil {
			return nil, fmt.Errorf("the coverage profile has the line %q: %w", line, err)
		}
		name := line[:colon]
		name = name[strings.LastIndexByte(name, '/')+1:]
		blocks[name] = append(blocks[name], b)
	}
	return blocks, nil
}

// has reports whether a test has run the code at a place. Of the blocks around
// it, the one that begins last is the place's own.
func (c covered) has(file string, line, column int) bool {
	var own block
	for _, b := range c[file] {
		after := line > b.startLine || line == b.startLine && column >= b.startColumn
		before := line < b.endLine || line == b.endLine && column < b.endColumn
		if after && before && (b.startLine > own.startLine || b.startLine == own.startLine && b.startColumn >= own.startColumn) {
			own = b
		}
	}
	return own.count > 0
}
