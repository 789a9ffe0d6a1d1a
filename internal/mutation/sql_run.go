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
)

const (
	payloadDir  = "internal/payload"
	sqlDir      = payloadDir + "/sql/functions"
	sqlEmbedded = "\nvar sqlFiles embed.FS\n"
	// sqlSource lets the environment replace one of the embedded files.
	sqlSource = `package payload

import (
	"embed"
	"os"
)

type mutationFS struct{ embed.FS }

func (f mutationFS) ReadFile(name string) ([]byte, error) {
	if file := os.Getenv("` + activeEnv + `_FILE"); file != "" && name == os.Getenv("` + activeEnv + `_NAME") {
		return os.ReadFile(file)
	}
	return f.FS.ReadFile(name)
}

var sqlFiles = mutationFS{embeddedSQL}
`
	// sqlTests are those that run the functions in a database, and moreTests
	// those that the functions of an installation need besides.
	sqlTests  = "^(TestDispatcherSQL|TestSQL.*)$"
	moreTests = "^(TestDispatcherSQL|TestSQL.*|TestUnschedule|TestConverge)$"
)

// installing are the functions that an installation runs, not a backup.
var installing = []string{"catalog.sql", "drift.sql", "unschedule.sql"}

// sqlPart are the SQL functions that the provider installs. Which of their lines
// a test reaches is not known, so all of them count.
type sqlPart struct {
	file string // the only file that is changed, or empty
}

func (p sqlPart) name() string { return cmp.Or(p.file, "sql") }

func (p sqlPart) measure(ctx context.Context, o *options) (*result, error) {
	files, err := filepath.Glob(filepath.Join(o.root, sqlDir, "*.sql"))
	if err != nil {
		return nil, err
	}
	for _, name := range installing {
		if !slices.Contains(files, filepath.Join(o.root, sqlDir, name)) {
			return nil, fmt.Errorf("%s has no %s, which the list of the installing functions names", sqlDir, name)
		}
	}
	sources := map[string][]byte{}
	var all []mutant
	for _, file := range files {
		name := path.Join(sqlDir, filepath.Base(file))
		source, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		mutants, err := sqlMutants(name, source)
		if err != nil {
			return nil, err
		}
		sources[name] = source
		if p.file == "" || p.file == name {
			all = append(all, mutants...)
		}
	}
	r := &result{part: p.name(), candidates: len(all)}
	all, r.skipped = o.skips.filter(all)
	chosen := sample(all, o.sample, o.seed, p.name())

	dir := filepath.Join(o.dir, path.Base(p.name()))
	if err := os.Mkdir(dir, 0o700); err != nil {
		return nil, err
	}
	binary, err := p.compile(ctx, o, dir)
	if err != nil {
		return nil, err
	}
	t := trial{
		dir:  filepath.Join(o.root, payloadDir),
		args: []string{binary, "-test.failfast", "-test.count=1", "-test.run=" + moreTests},
	}
	limit, err := t.baseline(ctx)
	if err != nil {
		return nil, err
	}
	r.outcomes, err = tryAll(ctx, chosen, o.parallel, limit, func(i int, m mutant) (trial, error) {
		t := t
		if !slices.Contains(installing, path.Base(m.file)) {
			t.args = append(t.args[:len(t.args)-1:len(t.args)-1], "-test.run="+sqlTests)
		}
		file := filepath.Join(dir, strconv.Itoa(i)+".sql")
		t.env = []string{activeEnv + "_FILE=" + file, activeEnv + "_NAME=sql/functions/" + path.Base(m.file)}
		return t, os.WriteFile(file, m.apply(sources[m.file]), 0o600)
	})
	return r, err
}

// compile builds the tests of the payload so that they read one SQL file from
// where the environment says.
func (sqlPart) compile(ctx context.Context, o *options, dir string) (string, error) {
	original := filepath.Join(o.root, payloadDir, "payload.go")
	text, err := os.ReadFile(original)
	if err != nil {
		return "", err
	}
	if bytes.Count(text, []byte(sqlEmbedded)) != 1 {
		return "", fmt.Errorf("%s does not declare the embedded SQL by the line %q", original, sqlEmbedded)
	}
	text = bytes.Replace(text, []byte(sqlEmbedded), []byte("\nvar embeddedSQL embed.FS\n"), 1)
	replace := map[string]string{
		original: filepath.Join(dir, "payload.go"),
		filepath.Join(o.root, payloadDir, activeFile): filepath.Join(dir, activeFile),
	}
	if err := os.WriteFile(filepath.Join(dir, "payload.go"), text, 0o600); err != nil {
		return "", err
	}
	if err := os.WriteFile(filepath.Join(dir, activeFile), []byte(sqlSource), 0o600); err != nil {
		return "", err
	}
	return compileTests(ctx, o, dir, "./"+payloadDir, replace)
}
