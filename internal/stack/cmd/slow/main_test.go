package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestRead proves that each test and package is read with its time, that what failed ones
// and the compiler have printed is handed on, what others have printed is not, and that
// anything but events is an error.
func TestRead(t *testing.T) {
	t.Parallel()
	const events = `
		{"Action":"build-output","ImportPath":"example.org/m/internal/b","Output":"b.go:1: no\n"}
		{"Action":"start","Package":"example.org/m/internal/a"}
		{"Action":"run","Package":"example.org/m/internal/a","Test":"TestOne"}
		{"Action":"output","Package":"example.org/m/internal/a","Test":"TestOne","Output":"quiet\n"}
		{"Action":"output","Package":"example.org/m/internal/a","Test":"TestTwo/sub","Output":"loud\n"}
		{"Action":"pass","Package":"example.org/m/internal/a","Test":"TestOne","Elapsed":1.5}
		{"Action":"fail","Package":"example.org/m/internal/a","Test":"TestTwo/sub","Elapsed":0.25}
		{"Action":"fail","Package":"example.org/m/internal/a","Test":"TestTwo","Elapsed":2}
		{"Action":"skip","Package":"example.org/m/internal/a","Test":"TestThree"}
		{"Action":"fail","Package":"example.org/m/internal/a","Elapsed":3.5}
		{"Action":"pass","Package":"example.org/m/internal/c","Elapsed":7}`
	var failures strings.Builder
	packages, tests, err := read(strings.NewReader(events), &failures)
	if err != nil || failures.String() != "b.go:1: no\nloud\n" {
		t.Errorf("handed on %q, %v", failures.String(), err)
	}
	var table strings.Builder
	if err := write(&table, packages, tests); err != nil {
		t.Fatal(err)
	}
	const want = `
seconds  package, of 2
7.0      internal/c
3.5      internal/a  FAILED

seconds  test, of 4
2.0      internal/a TestTwo  FAILED
1.5      internal/a TestOne
0.2      internal/a TestTwo/sub  FAILED
0.0      internal/a TestThree
`
	if table.String() != want {
		t.Errorf("the table is\n%s", table.String())
	}
	for _, broken := range []string{"ok internal/a 3.5s", `{"Action":`} {
		if _, _, err := read(strings.NewReader(broken), &failures); err == nil {
			t.Errorf("%s is read", broken)
		}
	}
}

// TestLongest proves that a table ends after its longest times.
func TestLongest(t *testing.T) {
	t.Parallel()
	var tests []took
	for i := range mostTests + 5 {
		tests = append(tests, took{pkg: "p", test: fmt.Sprintf("Test%d", i), action: "pass", seconds: float64(i)})
	}
	var table strings.Builder
	if err := write(&table, nil, tests); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(table.String(), "Test5\n") || strings.Contains(table.String(), "Test4\n") {
		t.Errorf("the table is\n%s", table.String())
	}
}

// TestRun proves that the tests of a real module are run, and that one that fails is the
// command's failure.
func TestRun(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"go.mod":       "module example.org/m\n\ngo 1.24\n",
		"good_test.go": "package m\n\nimport \"testing\"\n\nfunc TestGood(*testing.T) {}\n",
		"bad_test.go":  "package m\n\nimport \"testing\"\n\nfunc TestBad(t *testing.T) { t.Error(\"bad\") }\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	t.Chdir(dir)
	if err := run(t.Context(), []string{"-run", "TestGood"}); err != nil {
		t.Errorf("a module without a failure: %v", err)
	}
	if err := run(t.Context(), nil); err == nil || !strings.Contains(err.Error(), "go test") {
		t.Errorf("a failing test gives %v", err)
	}
}
