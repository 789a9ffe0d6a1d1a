package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
)

const (
	guide = "../../../../docs/guides/costs.md"
	kept  = "testdata/figures.json"
)

// TestGuide proves that the guide is what the bench writes of the figures that are kept
// beside it, and that it names the machine, the date and the commit.
func TestGuide(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	page, figures := filepath.Join(dir, "costs.md"), filepath.Join(dir, "figures.json")
	if err := writeGuide(kept, page, figures); err != nil {
		t.Fatal(err)
	}
	for mine, theirs := range map[string]string{page: guide, figures: kept} {
		written, err := os.ReadFile(mine)
		if err != nil {
			t.Fatal(err)
		}
		if stands, err := os.ReadFile(theirs); err != nil || string(stands) != string(written) {
			t.Errorf("%s is not what the bench writes of %s (%v); \"make bench\" writes both", theirs, kept, err)
		}
	}
	f := readFigures(t)
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{f.Machine.Processor, f.Machine.Commit[:12], f.Machine.Date[:4], fmt.Sprintf("%d cores", f.Machine.Cores)} {
		if !strings.Contains(string(text), want) {
			t.Errorf("the guide does not say %q", want)
		}
	}
}

func readFigures(t *testing.T) Figures {
	t.Helper()
	text, err := os.ReadFile(kept)
	if err != nil {
		t.Fatal(err)
	}
	var f Figures
	if err := json.Unmarshal(text, &f); err != nil {
		t.Fatal(err)
	}
	return f
}

// TestGuideSaysWhatIsMissing proves that the guide says what was not measured, which limits
// were not kept, and where the official provider was left out and the machine was busy; and
// that it is not written without the machine, the date and the commit.
func TestGuideSaysWhatIsMissing(t *testing.T) {
	t.Parallel()
	for what, spoil := range map[string]func(*Figures){
		"Start of the provider to its handshake":     func(f *Figures) { f.Start = Figure{} },
		"200 backups in 200 projects, slow API":      func(f *Figures) { f.Plans = slices.DeleteFunc(f.Plans, func(p Plan) bool { return p.Slow }) },
		"50 new backups in one project":              func(f *Figures) { f.Apply = Applied{} },
		"first applies of many projects":             func(f *Figures) { f.Projects = nil },
		"looks at all projects":                      func(f *Figures) { f.Glances = nil },
		"A drill of 1,000,000 rows in one table":     func(f *Figures) { delete(f.Micro, "Drill/1,000,000 rows") },
		"A day of the watchdog":                      func(f *Figures) { delete(f.Micro, "IdleDayCPU") },
		"A backup of 100 MB, on the platform's Deno": func(f *Figures) { delete(f.Micro, "Copy/100 MB, the platform's Deno") },
	} {
		f := readFigures(t)
		spoil(&f)
		text, err := f.guide()
		if err != nil {
			t.Fatal(err)
		}
		if _, missing, said := strings.Cut(text, "Not measured this time, and left out below: "); !said || !strings.Contains(strings.Split(missing, "\n")[0], what) {
			t.Errorf("without %s, the guide says %q", what, missing)
		}
	}
	missed := readFigures(t)
	missed.Missed = []string{"one is 2.00, the limit is 1.00", "another is 3.00, the limit is 2.00"}
	if text, err := missed.guide(); err != nil || !strings.Contains(text, "these were not kept: one is 2.00, the limit is 1.00; another is 3.00") {
		t.Errorf("of missed limits: %v", err)
	}
	missed.Missed = nil
	if text, err := missed.guide(); err != nil || strings.Contains(text, "not kept:") {
		t.Errorf("of limits that are kept: %v", err)
	}
	if _, err := (&Figures{}).guide(); err == nil {
		t.Error("a guide names no machine")
	}
	f := readFigures(t)
	f.Machine.Load = 20 * float64(f.Machine.Cores)
	if text, err := f.guide(); err != nil || !strings.Contains(text, "did other work meanwhile") {
		t.Errorf("of a busy machine: %v", err)
	}
	f = readFigures(t)
	f.Machine.Official = ""
	if text, err := f.guide(); err != nil || strings.Contains(text, "The official one") || !strings.Contains(text, "has not been measured") {
		t.Errorf("without the official provider: %v", err)
	}
}

// within are figures just within their limits.
func within() Figures {
	plan := func(backups int, wall, before, nothing, peak float64) Plan {
		return Plan{Run: Run{Backups: backups, Projects: min(backups, mostProjects), Wall: Figure{Provider: wall, Before: before, Nothing: nothing}, Peak: Figure{Provider: peak}}}
	}
	projects := func(n int, wall float64) Run {
		return Run{Backups: n, Projects: n, Wall: Figure{Provider: wall}, Requests: Figure{Provider: 11 * float64(n)}, Statements: Figure{Provider: 12 * float64(n)}}
	}
	return Figures{
		Start:    Figure{Provider: 1.15, Nothing: 1},
		Plans:    []Plan{plan(1, 1.05, 0, 1, 1000), plan(200, 1.5, 0, 1, 2000), plan(1000, 0.7, 1, 9, 1000+999*50)},
		Apply:    Applied{Run: Run{Backups: applied, Wall: Figure{Provider: 6000}, Requests: Figure{Provider: 210}, Statements: Figure{Provider: 160}}},
		Projects: []Run{projects(50, 100), projects(200, 4*130)},
		Glances:  []Plan{{Run: Run{Projects: 20, Peak: Figure{Provider: 100}}}, {Run: Run{Projects: 200, Peak: Figure{Provider: 100 + 180*50}}}},
	}
}

// TestLimits proves that each limit is kept up to itself and missed above it, that nothing
// is judged that was not measured, and that a slow plan is not mixed up with a fast one.
func TestLimits(t *testing.T) {
	t.Parallel()
	f := within()
	f.Plans = append([]Plan{{Run: Run{Backups: 1, Wall: Figure{Provider: 9, Nothing: 1}}, Slow: true}}, f.Plans...)
	if f.judge(); len(f.Missed) > 0 {
		t.Errorf("missed: %v", f.Missed)
	}
	f = Figures{}
	if f.judge(); len(f.Missed) > 0 {
		t.Errorf("nothing was measured, and missed are %v", f.Missed)
	}
	for what, exceed := range map[string]func(*Figures){
		"handshake":                  func(f *Figures) { f.Start.Provider = 1.16 },
		"plan of one backup":         func(f *Figures) { f.Plans[0].Wall.Provider = 1.06 },
		"plan of 200 backups":        func(f *Figures) { f.Plans[1].Wall.Provider = 1.51 },
		"plan of 1,000 backups":      func(f *Figures) { f.Plans[2].Wall.Provider = 0.71 },
		"further backup":             func(f *Figures) { f.Plans[2].Peak.Provider += 1000 },
		"time in seconds":            func(f *Figures) { f.Apply.Wall.Provider = 6010 },
		"number of its requests":     func(f *Figures) { f.Apply.Requests.Provider++ },
		"number of its statements":   func(f *Figures) { f.Apply.Statements.Provider++ },
		"200 new projects to those":  func(f *Figures) { f.Projects[1].Wall.Provider = 4 * 131 },
		"200 new projects take":      func(f *Figures) { f.Projects[1].Requests.Provider++ },
		"further project that is":    func(f *Figures) { f.Glances[1].Peak.Provider += 1000 },
		"12.00 statements each, and": func(f *Figures) { f.Projects[0].Statements.Provider++ },
	} {
		f := within()
		exceed(&f)
		if f.judge(); len(f.Missed) != 1 || !strings.Contains(f.Missed[0], what) {
			t.Errorf("%s: missed are %q", what, f.Missed)
		}
	}
}

// TestMicro proves that the output of Go benchmarks is read with all its units, and which
// of them is the time.
func TestMicro(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "bench.txt")
	const output = `goos: linux
BenchmarkDispatcherSQL/watch,_idle,_new_session-2         	     200	  12000000 ns/op	         9.100 p50-ms	        11.20 p95-ms
BenchmarkIdleDayCPU-2  	       1	5000000000 ns/op	      1500 cpu-ms	      2048 wal-KiB
BenchmarkNext/0_3_*_*_*-2   	  100000	     11500 ns/op
PASS
`
	if err := os.WriteFile(file, []byte(output), 0o600); err != nil {
		t.Fatal(err)
	}
	got, err := readMicro(file)
	want := map[string]map[string]float64{
		"DispatcherSQL/watch, idle, new session": {"ns/op": 12e6, "p50-ms": 9.1, "p95-ms": 11.2},
		"IdleDayCPU":                             {"ns/op": 5e9, "cpu-ms": 1500, "wal-KiB": 2048},
		"Next/0 3 * * *":                         {"ns/op": 11500},
	}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%v %v", got, err)
	}
	for name, ms := range map[string]float64{"DispatcherSQL/watch, idle, new session": 9.1, "IdleDayCPU": 1500, "Next/0 3 * * *": 0.0115} {
		if took(got[name]) != ms {
			t.Errorf("%s took %v ms", name, took(got[name]))
		}
	}
}

// TestTable proves that the table shows the provider's figures beside the others', and how
// they compare.
func TestTable(t *testing.T) {
	t.Parallel()
	f := Figures{
		Start:       Figure{Provider: 10, Before: 20, Nothing: 8, Official: 9},
		Apply:       Applied{Run: Run{Backups: 50, Wall: Figure{Provider: 5000, Before: 10000}, Requests: Figure{Provider: 208, Before: 546}}},
		Micro:       map[string]map[string]float64{"Retain": {"best-ms": 250, "wal-KiB": 64}, "DispatcherSQL/dispatch": {"p50-ms": 2, "ns/op": 9e9}},
		MicroBefore: map[string]map[string]float64{"DispatcherSQL/dispatch": {"p50-ms": 3}},
	}
	for _, want := range []string{
		"| Start to handshake | 20.0 ms | 10.0 ms | 8.0 ms | 9.0 ms | 0.50 | 1.25 |\n",
		"| Apply of 50 new backups in one project: time | 10000.0 ms | 5000.0 ms | | | 0.50 | |\n",
		"| Apply of 50 new backups in one project: API requests | 546 | 208 | | | 0.38 | |\n",
		"| Retain | | 250 ms | 64 KiB |\n",
		"| DispatcherSQL/dispatch | 3.0 ms | 2.0 ms | |\n",
	} {
		if got := strings.ReplaceAll(f.table(), "|  |", "| |"); !strings.Contains(strings.ReplaceAll(got, "|  |", "| |"), want) {
			t.Errorf("%q is not in\n%s", want, f.table())
		}
	}
}
