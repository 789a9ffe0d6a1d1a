package main

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

const (
	functionDir = payloadDir + "/function"
	contract    = "contract.json"
)

// typescriptPart is the Edge Function. Its end-to-end tests, which start a Deno
// for each case, are not run.
type typescriptPart struct {
	file string // the only file that is changed, or empty
}

func (p typescriptPart) name() string { return cmp.Or(p.file, "typescript") }

func (p typescriptPart) measure(ctx context.Context, o *options) (*result, error) {
	dir := filepath.Join(o.dir, path.Base(p.name()))
	baseline := filepath.Join(dir, "baseline")
	if err := copyFunction(o.root, baseline); err != nil {
		return nil, err
	}
	lines, err := p.coverage(ctx, o, baseline)
	if err != nil {
		return nil, err
	}
	files, err := filepath.Glob(filepath.Join(o.root, functionDir, "*.ts"))
	if err != nil {
		return nil, err
	}
	sources := map[string][]byte{}
	var all []mutant
	for _, file := range append(files, filepath.Join(o.root, functionDir, contract)) {
		name := path.Join(functionDir, filepath.Base(file))
		source, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		list := typescriptMutants
		if path.Base(name) == contract {
			list = contractMutants
		}
		mutants, err := list(name, source)
		if err != nil {
			return nil, err
		}
		sources[name] = source
		if p.file == "" || p.file == name {
			all = append(all, mutants...)
		}
	}
	all = slices.DeleteFunc(all, func(m mutant) bool { return path.Base(m.file) != contract && !lines[path.Base(m.file)][m.line] })
	r := &result{part: p.name(), candidates: len(all)}
	all, r.skipped = o.skips.filter(all)
	chosen := sample(all, o.sample, o.seed, p.name())

	limit, err := p.trial(o, baseline).baseline(ctx)
	if err != nil {
		return nil, err
	}
	r.outcomes, err = tryAll(ctx, chosen, o.parallel, limit, func(i int, m mutant) (trial, error) {
		root := filepath.Join(dir, strconv.Itoa(i))
		if err := copyFunction(o.root, root); err != nil {
			return trial{}, err
		}
		file := filepath.Join(root, filepath.FromSlash(m.file))
		return p.trial(o, root), os.WriteFile(file, m.apply(sources[m.file]), 0o600)
	})
	return r, err
}

// trial runs the unit tests of the function below a root.
func (typescriptPart) trial(o *options, root string, more ...string) trial {
	args := append([]string{
		o.deno, "test", "--no-check", "--quiet", "--no-remote", "--fail-fast", "--v8-flags=--max-old-space-size=1024",
		"--allow-read", "--allow-write", "--allow-env", "--allow-net=127.0.0.1,nothing.invalid", "--allow-run",
		"--ignore=" + functionDir + "/_tests/e2e_test.ts",
	}, more...)
	return trial{dir: root, env: []string{"NO_COLOR=1"}, args: append(args, functionDir+"/_tests")}
}

// coverage returns, for each file, the lines that the tests run.
func (p typescriptPart) coverage(ctx context.Context, o *options, root string) (map[string]map[int]bool, error) {
	profile := filepath.Join(root, "coverage")
	t := p.trial(o, root, "--coverage="+profile, "--coverage-raw-data-only")
	if _, err := t.baseline(ctx); err != nil {
		return nil, err
	}
	report, err := command(ctx, root, o.deno, "coverage", "--lcov", profile)
	if err != nil {
		return nil, err
	}
	return readLCOV(report)
}

// readLCOV reads which lines of which files were run. Files are named by their
// base names.
func readLCOV(report []byte) (map[string]map[int]bool, error) {
	lines := map[string]map[int]bool{}
	var file string
	for text := range bytes.Lines(report) {
		text := strings.TrimSpace(string(text))
		if name, ok := strings.CutPrefix(text, "SF:"); ok {
			file = path.Base(name)
			lines[file] = map[int]bool{}
		}
		if data, ok := strings.CutPrefix(text, "DA:"); ok {
			var line, count int
			if _, err := fmt.Sscanf(data, "%d,%d", &line, &count); err != nil {
				return nil, fmt.Errorf("the coverage report has the line %q: %w", text, err)
			}
			lines[file][line] = count > 0
		}
	}
	return lines, nil
}

// copyFunction makes a tree in which the function is a copy that may be changed,
// and all else that its tests may read is linked to.
func copyFunction(root, to string) error {
	from := root
	for _, name := range strings.Split(functionDir, "/") {
		if err := os.MkdirAll(to, 0o700); err != nil {
			return err
		}
		entries, err := os.ReadDir(from)
		if err != nil {
			return err
		}
		for _, entry := range entries {
			if entry.Name() == name {
				continue
			}
			if err := os.Symlink(filepath.Join(from, entry.Name()), filepath.Join(to, entry.Name())); err != nil {
				return err
			}
		}
		from, to = filepath.Join(from, name), filepath.Join(to, name)
	}
	return os.CopyFS(to, os.DirFS(from))
}
