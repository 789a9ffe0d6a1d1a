// Mutation measures how much of a fault the tests notice. It changes one
// operator, literal, condition or statement of covered code at a time, runs the
// tests, and counts the changes that make them fail.
//
//	go run ./internal/mutation [flags] [part ...]
//
// A part is a package directory such as ./internal/schedule, or "sql" for the
// functions in internal/payload/sql/functions, or "typescript" for the Edge
// Function, or one file of the latter two. Without arguments every part of the list below is measured. The
// sample is the same for the same source and the same seed.
//
// The working tree is never changed: Go is compiled with an overlay, all mutants
// of a package into one test binary, in which an environment variable chooses
// one; SQL is read from a file that an environment variable names; TypeScript is
// changed in a copy.
//
// The program exits with status 1 if a part kills less than -least percent of
// its mutants, and with status 2 if it could not measure.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"
)

// goParts are the measured packages, with those tests left out that only repeat
// on a real server, for a long time, what faster tests show.
var goParts = []goPart{
	{dir: "internal/backup"},
	{dir: "internal/checks"},
	{dir: "internal/codes"},
	{dir: "internal/facts", skip: "^(TestServer|TestInstalled|TestReadOnly|TestCronTimezone|TestProcesses|TestRunIDs)$"},
	{dir: "internal/health"},
	{dir: "internal/history"},
	{dir: "internal/payload", skip: "^(TestConverge.*|TestUnschedule|TestDispatcherSQL|TestSQL.*)$"},
	{dir: "internal/plsql"},
	{dir: "internal/preflight"},
	{dir: "internal/postgres", skip: "^TestRestart$"},
	{dir: "internal/schedule", skip: "^(TestPostgres|TestReplay|TestGenerated)$"},
	{dir: "internal/selfhosted"},
	{dir: "internal/source"},
	{dir: "internal/supabase", skip: "^TestAgainstTheStack$"},
	{dir: "internal/supabase/ratelimit"},
	{dir: "internal/supabase/redact"},
	{dir: "internal/text"},
}

// options are the command line.
type options struct {
	root     string // the repository
	deno     string
	seed     uint64
	sample   int
	parallel int
	least    int
	verbose  bool
	dir      string // for everything that is built
	skips    skipList
}

// part is something that can be measured.
type part interface {
	name() string
	// measure samples mutants and runs the tests against each.
	measure(ctx context.Context, o *options) (*result, error)
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	enough, err := run(ctx, os.Args[1:])
	stop()
	switch {
	case err != nil:
		fmt.Fprintln(os.Stderr, "mutation:", err)
		os.Exit(2)
	case !enough:
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) (enough bool, err error) {
	var o options
	flags := flag.NewFlagSet("mutation", flag.ContinueOnError)
	flags.Uint64Var(&o.seed, "seed", 1, "seed of the sample")
	flags.IntVar(&o.sample, "sample", 60, "mutants of each part; 0 takes all")
	flags.IntVar(&o.parallel, "parallel", runtime.NumCPU(), "mutants that are tested at the same time")
	flags.IntVar(&o.least, "least", 85, "percent of the mutants that each part must kill")
	flags.BoolVar(&o.verbose, "v", false, "print the killed mutants too, each with the test that failed")
	flags.StringVar(&o.deno, "deno", "internal/stack/deno/node_modules/deno/deno", "the deno program")
	if err := flags.Parse(args); err != nil {
		return false, err
	}
	if o.root, err = findRoot(); err != nil {
		return false, err
	}
	if !filepath.IsAbs(o.deno) {
		o.deno = filepath.Join(o.root, o.deno)
	}
	parts, err := chooseParts(flags.Args())
	if err != nil {
		return false, err
	}
	if o.skips, err = readSkips(skipFile, o.root); err != nil {
		return false, err
	}
	if o.dir, err = os.MkdirTemp("", "mutation-"); err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(o.dir)) }()

	var results []*result
	for _, p := range parts {
		begin := time.Now()
		r, err := p.measure(ctx, &o)
		if err != nil {
			return false, fmt.Errorf("%s: %w", p.name(), err)
		}
		r.took = time.Since(begin)
		r.printMutants(os.Stdout, o.verbose)
		results = append(results, r)
	}
	printTable(os.Stdout, results, o.least)
	return allAbove(results, o.least), nil
}

// chooseParts returns the named parts, or all of them.
func chooseParts(names []string) ([]part, error) {
	var all []part
	for _, p := range goParts {
		all = append(all, p)
	}
	all = append(all, sqlPart{}, typescriptPart{})
	if len(names) == 0 {
		return all, nil
	}
	var chosen []part
	for _, name := range names {
		name = strings.TrimPrefix(filepath.ToSlash(filepath.Clean(name)), "./")
		found := false
		for _, p := range all {
			if p.name() == name {
				chosen, found = append(chosen, p), true
			}
		}
		switch {
		case found:
		case path.Dir(name) == sqlDir:
			chosen, found = append(chosen, sqlPart{file: name}), true
		case path.Dir(name) == functionDir:
			chosen, found = append(chosen, typescriptPart{file: name}), true
		case strings.HasPrefix(name, "internal/"):
			chosen, found = append(chosen, goPart{dir: name}), true
		}
		if !found {
			return nil, fmt.Errorf("%q is not a part: name a directory below internal/, an SQL function's file, a file of the Edge Function, sql or typescript", name)
		}
	}
	return chosen, nil
}

// findRoot returns the directory of go.mod, at or above the current one.
func findRoot() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir, nil
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return "", errors.New("no go.mod here or above: run it inside the repository")
		}
		dir = parent
	}
}
