package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"go/importer"
	"go/token"
	"go/types"
	"io"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// goPart is the Go code of one package, measured by the package's own tests.
type goPart struct {
	dir  string // relative to the repository
	skip string // tests that are not run
}

func (g goPart) name() string { return g.dir }

func (g goPart) measure(ctx context.Context, o *options) (*result, error) {
	p, err := g.load(ctx, o)
	if err != nil {
		return nil, err
	}
	sites, err := p.sites()
	if err != nil {
		return nil, err
	}
	dir := filepath.Join(o.dir, strings.ReplaceAll(g.dir, "/", "_"))
	if err := os.Mkdir(dir, 0o700); err != nil {
		return nil, err
	}
	profile, err := g.profile(ctx, o, dir)
	if err != nil {
		return nil, err
	}
	sites = slices.DeleteFunc(sites, func(s goSite) bool { return !profile.covers(p, s) })
	r := &result{part: g.name(), candidates: len(sites)}

	// Mutants that do not compile are known only when they are tried.
	var chosen []goSite
	for _, i := range shuffle(len(sites), o.seed, g.name()) {
		if o.sample > 0 && len(chosen) == o.sample {
			break
		}
		_, skipped := o.skips.filter([]mutant{sites[i].mutant})
		switch {
		case !p.compiles(sites[i]):
			r.candidates--
		case skipped != nil:
			r.skipped = append(r.skipped, skipped...)
		default:
			chosen = append(chosen, sites[i])
		}
	}
	if len(chosen) == 0 {
		return r, nil
	}
	binary, err := g.compile(ctx, o, dir, p, chosen)
	if err != nil {
		return nil, err
	}
	t := trial{
		dir: filepath.Join(o.root, filepath.FromSlash(g.dir)), env: []string{activeEnv + "=-1"},
		args: []string{binary, "-test.failfast", "-test.count=1"},
	}
	if g.skip != "" {
		t.args = append(t.args, "-test.skip="+g.skip)
	}
	limit, err := t.baseline(ctx)
	if err != nil {
		return nil, err
	}
	mutants := make([]mutant, 0, len(chosen))
	for _, s := range chosen {
		mutants = append(mutants, s.mutant)
	}
	r.outcomes, err = tryAll(ctx, mutants, o.parallel, limit, func(i int, _ mutant) (trial, error) {
		t := t
		t.env = []string{activeEnv + "=" + strconv.Itoa(i)}
		return t, nil
	})
	return r, err
}

// covers reports whether a test has run the statement of a mutant.
func (c covered) covers(p *goPackage, s goSite) bool {
	for _, f := range p.files {
		if f.name == s.file {
			file := p.fset.File(f.syntax.Pos())
			at := file.Position(token.Pos(file.Base() + s.start))
			return c.has(path.Base(f.name), at.Line, at.Column)
		}
	}
	return false
}

// load parses the package, with all that it imports as the compiler exports it.
func (g goPart) load(ctx context.Context, o *options) (*goPackage, error) {
	// os and strconv are what activeText imports.
	out, err := command(ctx, o.root, "go", "list", "-export", "-deps", "-json=ImportPath,Dir,GoFiles,Export,DepOnly,Standard", "./"+g.dir, "os", "strconv")
	if err != nil {
		return nil, err
	}
	type listed struct {
		ImportPath, Dir, Export string
		GoFiles                 []string
		DepOnly, Standard       bool
	}
	exports := map[string]string{}
	var own listed
	for decoder := json.NewDecoder(bytes.NewReader(out)); ; {
		var next listed
		if err := decoder.Decode(&next); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return nil, fmt.Errorf("read go list: %w", err)
		}
		exports[next.ImportPath] = next.Export
		if !next.DepOnly && !next.Standard {
			own = next
		}
	}
	var names []string
	for _, name := range own.GoFiles {
		names = append(names, filepath.Join(own.Dir, name))
	}
	if len(names) == 0 {
		return nil, fmt.Errorf("%s has no Go files besides tests", g.dir)
	}
	return loadGo(o.root, own.ImportPath, names, exportImporter(exports))
}

// exportImporter reads packages from the files that the compiler exported.
func exportImporter(exports map[string]string) types.Importer {
	return importer.ForCompiler(token.NewFileSet(), "gc", func(path string) (io.ReadCloser, error) {
		file := exports[path]
		if file == "" {
			return nil, fmt.Errorf("go list exported nothing for %s", path)
		}
		return os.Open(file)
	})
}

// profile runs the tests once with the coverage measured.
func (g goPart) profile(ctx context.Context, o *options, dir string) (covered, error) {
	file := filepath.Join(dir, "cover.out")
	args := []string{"test", "-count=1", "-coverprofile=" + file}
	if g.skip != "" {
		args = append(args, "-skip="+g.skip)
	}
	if _, err := command(ctx, o.root, "go", append(args, "./"+g.dir)...); err != nil {
		return nil, err
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	return readProfile(text)
}

// compile builds the package's tests with all chosen mutants. A mutant's number
// is its place in the list.
func (g goPart) compile(ctx context.Context, o *options, dir string, p *goPackage, chosen []goSite) (string, error) {
	replace := map[string]string{}
	put := func(path string, text []byte) error {
		file := filepath.Join(dir, filepath.Base(path))
		replace[path] = file
		return os.WriteFile(file, text, 0o600)
	}
	for _, f := range p.files {
		sites := map[int]goSite{}
		for i, s := range chosen {
			if s.file == f.name {
				sites[i] = s
			}
		}
		if len(sites) > 0 {
			if err := put(f.path, renderGo(f.source, sites)); err != nil {
				return "", err
			}
		}
	}
	if err := put(filepath.Join(filepath.Dir(p.files[0].path), activeFile), []byte(p.active())); err != nil {
		return "", err
	}
	return compileTests(ctx, o, dir, "./"+g.dir, replace)
}

// compileTests builds the tests of a package with files replaced, and returns
// the program's path.
func compileTests(ctx context.Context, o *options, dir, pkg string, replace map[string]string) (string, error) {
	text, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		return "", err
	}
	overlay := filepath.Join(dir, "overlay.json")
	if err := os.WriteFile(overlay, text, 0o600); err != nil {
		return "", err
	}
	binary := filepath.Join(dir, "mutants.test")
	_, err = command(ctx, o.root, "go", "test", "-c", "-vet=off", "-overlay", overlay, "-o", binary, pkg)
	return binary, err
}
