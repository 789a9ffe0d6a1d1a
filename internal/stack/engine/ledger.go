package engine

import (
	"context"
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
)

// Ledger knows the engine of a package's tests, and notes which of them have run with
// which feature. Its functions can be called by several tests at once.
type Ledger struct {
	dir  string // the package's, in the repository
	find func() (*Engine, error)

	mu    sync.Mutex
	ran   map[string]map[string]bool // by feature, then test
	asked bool
}

// NewLedger returns the ledger of the tests in a directory of the repository, as
// "internal/docs".
func NewLedger(dir string) *Ledger {
	return &Ledger{dir: dir, ran: map[string]map[string]bool{}, find: sync.OnceValues(func() (*Engine, error) { return Find(context.Background()) })}
}

// Engine returns the engine, which is looked for once.
func (l *Ledger) Engine() (*Engine, error) {
	l.mu.Lock()
	l.asked = true
	l.mu.Unlock()
	return l.find()
}

// Has says whether the engine has the feature with a key of the table, and notes that the
// test runs with it if so.
func (l *Ledger) Has(t testing.TB, key string) bool {
	t.Helper()
	feature, e := l.look(t, key)
	if !e.Has(feature) {
		return false
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ran[key] == nil {
		l.ran[key] = map[string]bool{}
	}
	name, _, _ := strings.Cut(t.Name(), "/")
	l.ran[key][name] = true
	return true
}

// Need skips the test if the engine does not have the feature with a key of the table.
func (l *Ledger) Need(t testing.TB, key string) {
	t.Helper()
	if !l.Has(t, key) {
		feature, e := l.look(t, key)
		t.Skipf("%s does not have %s; %s", e, feature.Name, feature.sources())
	}
}

func (l *Ledger) look(t testing.TB, key string) (Feature, *Engine) {
	t.Helper()
	e, err := l.Engine()
	if err != nil {
		t.Fatal(err)
	}
	features, err := Features()
	if err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(features, func(f Feature) bool { return f.Key == key })
	if i < 0 {
		t.Fatalf("features.json does not have the feature %q", key)
	}
	return features[i], e
}

// sources says which engines have the feature.
func (f Feature) sources() string {
	return fmt.Sprintf("Terraform: %s, OpenTofu: %s", f.From(false), f.From(true))
}

// Report says of each feature with which tests of the package it has run, or that the
// engine does not have it. It fails if the engine has a feature and a test of it that
// the table names has not run.
func (l *Ledger) Report() (string, error) {
	e, err := l.Engine()
	if err != nil {
		return "", err
	}
	features, err := Features()
	if err != nil {
		return "", err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	var report strings.Builder
	fmt.Fprintf(&report, "%s with %s\n", l.dir, e)
	var silent []string
	for _, f := range features {
		var tests, missing []string
		for _, r := range f.Runs {
			if name, ok := r.test(l.dir); ok {
				tests = append(tests, name)
				if !l.ran[f.Key][name] {
					missing = append(missing, name)
				}
			}
		}
		if len(tests) == 0 {
			continue
		}
		said := "run by " + strings.Join(tests, ", ")
		switch {
		case !e.Has(f):
			said = "not in this engine; " + f.sources()
		case len(missing) > 0:
			said = "NOT RUN by " + strings.Join(missing, ", ")
			silent = append(silent, f.Key)
		}
		fmt.Fprintf(&report, "  %-18s %s\n", f.Key, said)
	}
	if len(silent) > 0 {
		err = fmt.Errorf("%s has %s, and not every test of it has run", e, strings.Join(silent, ", "))
	}
	return report.String(), err
}

var reportTo = flag.String("engine.report", "", "file for a list of what the Terraform or OpenTofu at hand has, and which tests ran with it")

// End is for the end of TestMain, with the result of m.Run. It writes the report to the
// file that -engine.report names, and returns the process's exit code: that result, or a
// failure if all tests were to run and one was skipped that the engine has the feature
// for.
func (l *Ledger) End(result int) int {
	l.mu.Lock()
	asked := l.asked
	l.mu.Unlock()
	if !asked {
		return result
	}
	report, err := l.Report()
	if *reportTo != "" {
		if err := os.WriteFile(*reportTo, []byte(report), 0o600); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
	}
	if err != nil && result == 0 && whole() {
		fmt.Fprintf(os.Stderr, "%s\n%v\n", report, err)
		return 1
	}
	return result
}

// whole says whether all tests of the package were to run.
func whole() bool {
	for _, name := range []string{"test.run", "test.skip", "test.list", "test.fuzz", "test.bench"} {
		if f := flag.Lookup(name); f != nil && f.Value.String() != "" {
			return false
		}
	}
	return true
}
