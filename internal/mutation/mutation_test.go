package main

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// changes are what a reader sees of mutants.
func changes(mutants []mutant) []string {
	var all []string
	for _, m := range mutants {
		all = append(all, m.change)
	}
	return all
}

func wantChanges(t *testing.T, got []mutant, want ...string) {
	t.Helper()
	if !slices.Equal(changes(got), want) {
		t.Errorf("the mutants are\n  %s\nwant\n  %s", strings.Join(changes(got), "\n  "), strings.Join(want, "\n  "))
	}
}

// TestSQLMutants proves which changes are made of SQL: none of them in comments,
// texts, assignments and what names an exception.
func TestSQLMutants(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, body string
		want       []string
	}{
		{"nothing", "begin -- a = b\n /* c < d */ return 'a < b'; end", nil},
		{"comparison", "select a <= b", []string{"<= → <"}},
		{"guards", "select 1 from t where a = b and (c or d) limit 1", []string{
			"1 → 2", "a = b → true", "(c or d) → true", "= → <>", "and → or", "or → and",
		}},
		{"alternatives", "begin if a or b then c := 1; end if; end", []string{
			"a → false", "b → false", "a or b → false", "or → and", "c := 1 → null", "1 → 2",
		}},
		{"null and not", "select a is null, b is not null, not c, d is distinct from e, not exists (select)", []string{
			"is → is not", "is not → is", "not → (nothing)", "is → is not", "not → (nothing)",
		}},
		{"between has its own and", "select a between b and c", nil},
		{"words and intervals", "select 'failed', x = 'failed', y in ('sent', 'a text'), interval '5 minutes'", []string{
			"= → <>", "'failed' → 'mutant'", "'sent' → 'mutant'", "'5 minutes' → '10 minutes'",
		}},
		{"a value is no condition", "select case a when 'x' then 'y' else b end", []string{"'x' → 'mutant'", "'y' → 'mutant'"}},
		{"a condition", "select case when a then b end", []string{"a → true", "a → false"}},
		{"exceptions", "begin null; exception when others or data_exception then null; end", nil},
		{"statements", "begin update t set a = b where c = d; perform f(1); end", []string{
			"update t set a = b where c = d → null", "c = d → true", "= → <>", "perform f(1) → null", "1 → 2",
		}},
		{"locks", "begin perform pg_advisory_xact_lock(hashtextextended('a', 0)); end", []string{
			"perform pg_advisory_xact_lock(hashtextextended('a', 0)) → null",
		}},
		{"aggregates", "select max(a), greatest(b, c) from t order by d desc", []string{"max → min", "greatest → least", "desc → asc"}},
		{"other operators", "select a # 5, b #> c", []string{"5 → 6"}},
		{"large numbers", "select 2000, b + 1", []string{"2000 → 4000", "+ → -", "1 → 2"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			got, err := sqlMutants("f.sql", []byte("create function f() as $body$"+c.body+"$body$;"))
			if err != nil {
				t.Fatal(err)
			}
			wantChanges(t, got, c.want...)
		})
	}
	if _, err := sqlMutants("f.sql", []byte("select 1")); err == nil {
		t.Error("a file without a body is read")
	}
	if _, err := sqlMutants("f.sql", []byte("$body$ select ` $body$")); err == nil {
		t.Error("a sign that SQL does not have is read")
	}
}

// TestTypeScriptMutants proves which changes are made of TypeScript: none of
// them in comments, texts, types and imports.
func TestTypeScriptMutants(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, source string
		want         []string
	}{
		{"nothing", "// a === b\nimport { a } from \"./a.ts\";\ntype B = { c: true } | \"d\";\ninterface E { readonly f: 1 }\nconst g = `h < ${i}`;", nil},
		{"inside a template", "const g = `h ${i < 1 ? `${!j}` : k}`;", []string{"< → <=", "1 → 2", "! → (nothing)"}},
		{"condition", "if (a && b.c(d)) e();", []string{"a && b.c(d) → true", "a && b.c(d) → false", "&& → ||", "e() → (nothing)"}},
		{"words", `if (a === "b") { c = d + "e"; }`, []string{
			`a === "b" → true`, `a === "b" → false`, "=== → !==", `"b" → "mutant"`, `c = d + "e" → (nothing)`,
		}},
		{"types are not compared", "const a = new Map<string, number>();\nfunction f(g: { h: string; i: number }): Set<J> {}", nil},
		{"loop", "for (let i = 0; i < n; i++) a();", []string{"0 → 1", "< → <=", "a() → (nothing)"}},
		{"return", "function f() { return g; }\nfunction h() { return null; }", []string{"g → null"}},
		{"fields of a class", "class A {\n  #b = 1;\n  c() {\n    this.d = 2;\n  }\n}", []string{"1 → 2", "this.d = 2 → (nothing)", "2 → 3"}},
		{"anchors", "const a = /^b[/]$/i;\nconst c = 6 / 2;", []string{"/^b[/]$/i → /b[/]$/i", "/^b[/]$/i → /^b[/]/i", "6 → 7", "/ → *", "2 → 3"}},
		{"large numbers", "const a = 380_000;", []string{"380_000 → 760000"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			got, err := typescriptMutants("f.ts", []byte(c.source))
			if err != nil {
				t.Fatal(err)
			}
			wantChanges(t, got, c.want...)
		})
	}
	for _, broken := range []string{"`a", "`${a", "const a = /b", "\x01"} {
		if _, err := typescriptMutants("f.ts", []byte(broken)); err == nil {
			t.Errorf("%q is read", broken)
		}
	}
}

// TestContractMutants proves that the limits alone are changed.
func TestContractMutants(t *testing.T) {
	t.Parallel()
	got, err := contractMutants("contract.json", []byte(`{"status": 500, "limits": {"a": 10, "b": 2000}, "c": 3}`))
	if err != nil {
		t.Fatal(err)
	}
	wantChanges(t, got, "10 → 20", "2000 → 4000")
	if _, err := contractMutants("contract.json", []byte(`{}`)); err == nil {
		t.Error("a contract without limits is read")
	}
}

// TestGo measures a package whose tests notice some mutants and miss others. It
// proves that all of them together compile, that the environment chooses one,
// that code which no test runs is left alone, and that the working tree is not
// changed.
func TestGo(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	files := map[string]string{
		"go.mod": "module example.com/measured\n\ngo 1.26\n",
		"p/p.go": `// Package p is measured.
package p

import (
	"errors"
	"time"
)

// Kind has a type of its own.
type Kind bool

const limit = 3

func Of(n int) (Kind, error) {
	if n > limit && n < 100 {
		return true, nil
	}
	if n < 0 {
		return false, errors.New("negative")
	}
	var kind Kind = n == limit
	return kind, nil
}

func Wait() time.Duration { return 5 * time.Second }

func Untested(a, b int) bool { return a < b }
`,
		"p/p_test.go": `package p

import "testing"

func TestOf(t *testing.T) {
	for n, want := range map[int]Kind{2: false, 3: true, 4: true, 99: true} {
		if got, err := Of(n); got != want || err != nil {
			t.Errorf("%d: %t, %v", n, got, err)
		}
	}
	Of(-1)
	Wait()
}
`,
	}
	for name, text := range files {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(root, name)), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(root, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	o := &options{root: root, dir: t.TempDir(), seed: 1, parallel: 2, skips: skipList{
		{File: "p/p.go", Line: "var kind Kind = n == limit", Why: "an example"},
	}}
	r, err := goPart{dir: "p"}.measure(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	fates := map[fate][]string{}
	for _, outcome := range r.outcomes {
		fates[outcome.fate] = append(fates[outcome.fate], outcome.String())
		slices.Sort(fates[outcome.fate])
	}
	for f, want := range map[fate][]string{
		killed: {
			"p/p.go:15: n > limit && n < 100 → false",
			"p/p.go:15: n > limit && n < 100 → n > limit || n < 100",
			"p/p.go:15: n > limit && n < 100 → true",
			"p/p.go:15: n > limit → n <= limit",
			"p/p.go:15: n < 100 → n >= 100",
			"p/p.go:16: true → false",
			"p/p.go:18: n < 0 → true",
		},
		survived: {
			// n > 3 and n >= 3 differ for 3 alone, which is true either way.
			"p/p.go:15: n > limit → n >= limit",
			"p/p.go:15: n < 100 → n <= 100",
			"p/p.go:15: 100 → 101",
			"p/p.go:18: 0 → 1",
			"p/p.go:18: n < 0 → false",
			"p/p.go:18: n < 0 → n <= 0",
			"p/p.go:19: false → true",
			`p/p.go:19: return false, errors.New("negative") → return false, nil`,
		},
		timedOut: nil,
	} {
		slices.Sort(want)
		if !slices.Equal(fates[f], want) {
			t.Errorf("mutants of fate %d are\n  %s\nwant\n  %s", f, strings.Join(fates[f], "\n  "), strings.Join(want, "\n  "))
		}
	}
	for _, outcome := range r.outcomes {
		if outcome.fate == killed && outcome.by != "TestOf" {
			t.Errorf("%s was killed by %q", outcome.mutant, outcome.by)
		}
	}
	if r.candidates != 15+len(r.skipped) || len(r.skipped) != 1 {
		t.Errorf("there are %d candidates, of which %v are skipped", r.candidates, r.skipped)
	}
	for name, text := range files {
		if got, err := os.ReadFile(filepath.Join(root, name)); err != nil || string(got) != text {
			t.Errorf("%s was changed: %v", name, err)
		}
	}
}

// TestSample proves that a sample depends on the seed and the part alone.
func TestSample(t *testing.T) {
	t.Parallel()
	var all []mutant
	for line := range 100 {
		all = append(all, mutant{line: line})
	}
	lines := func(mutants []mutant) (numbers []int) {
		for _, m := range mutants {
			numbers = append(numbers, m.line)
		}
		return numbers
	}
	first := lines(sample(all, 10, 1, "a"))
	if len(first) != 10 {
		t.Fatalf("the sample is %v", first)
	}
	if again := lines(sample(all, 10, 1, "a")); !slices.Equal(first, again) {
		t.Errorf("the same sample is %v and %v", first, again)
	}
	if larger := lines(sample(all, 20, 1, "a")); !slices.Equal(first, larger[:10]) {
		t.Errorf("a larger sample %v does not begin with the smaller one %v", larger, first)
	}
	for _, other := range [][]int{lines(sample(all, 10, 2, "a")), lines(sample(all, 10, 1, "b"))} {
		if slices.Equal(first, other) {
			t.Errorf("another seed or part has the same sample %v", other)
		}
	}
	if n := len(sample(all, 0, 1, "a")); n != 100 {
		t.Errorf("0 takes %d mutants", n)
	}
}

// TestReport proves what a reader sees, and when a part is not good enough.
func TestReport(t *testing.T) {
	t.Parallel()
	r := &result{part: "sql", candidates: 9, skipped: []skip{{File: "c.sql", Line: "c", Change: "c → d", Why: "the same"}}}
	for i, f := range []fate{killed, killed, killed, timedOut, killed, killed, survived} {
		r.outcomes = append(r.outcomes, outcome{mutant{file: "f.sql", line: i + 1, change: "a → b"}, f, "TestA"})
	}
	var short, long, table bytes.Buffer
	r.printMutants(&short, false)
	r.printMutants(&long, true)
	printTable(&table, []*result{r, {part: "empty"}}, 86)
	if want := "sql: 7 of 9 mutants, 0 s\n  survived  f.sql:7: a → b\n  skipped   c.sql: c → d: the same\n"; short.String() != want {
		t.Errorf("the report is %q, want %q", short.String(), want)
	}
	if want := "  killed    f.sql:1: a → b   by TestA\n"; !strings.Contains(long.String(), want) {
		t.Errorf("the long report lacks %q: %s", want, long.String())
	}
	for _, want := range []string{"| sql | 7 | 6 | 1 | 1 | 86 % (below 86 %) |", "| empty | 0 | 0 | 0 | 0 | 0 % (below 86 %) |"} {
		if !strings.Contains(table.String(), want) {
			t.Errorf("the table lacks %q:\n%s", want, table.String())
		}
	}
	if allAbove([]*result{r}, 86) || !allAbove([]*result{r}, 85) {
		t.Errorf("%.2f percent are taken for something else", r.share())
	}
}

// TestDescribe proves that a change is visible in a long text.
func TestDescribe(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("abcd ", 20)
	for _, c := range []struct{ from, to, want string }{
		{"a  <\n b", "a <= b", "a < b → a <= b"},
		{"a()", "", "a() → (nothing)"},
		{long + "&& " + long, long + "|| " + long, "…abcd abcd abcd abcd abcd abcd && abcd abcd abcd abcd abcd abcd… → …abcd abcd abcd abcd abcd abcd || abcd abcd abcd abcd abcd abcd…"},
	} {
		if got := describe(c.from, c.to); strings.Join(strings.Fields(got), " ") != c.want {
			t.Errorf("the change is %q, want %q", got, c.want)
		}
	}
}

// TestSkips proves that an entry leaves out exactly its mutants, and that one
// that is out of date or gives no reason is refused.
func TestSkips(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	if err := os.WriteFile(filepath.Join(root, "f.go"), []byte("a\n  b < c\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	list, err := readSkips([]byte(`[{"file": "f.go", "line": "b < c", "change": "< → <=", "why": "b is never c"}]`), root)
	if err != nil {
		t.Fatal(err)
	}
	kept, skipped := list.filter([]mutant{
		{file: "f.go", text: "b < c", change: "< → <="}, {file: "f.go", text: "b < c", change: "< → >="}, {file: "g.go", text: "b < c", change: "< → <="},
	})
	if len(kept) != 2 || len(skipped) != 1 || kept[0].change != "< → >=" {
		t.Errorf("kept %v, skipped %v", kept, skipped)
	}
	for text, want := range map[string]string{
		`[{"file": "f.go", "line": "b < d", "why": "gone"}]`:  "no line",
		`[{"file": "f.go", "line": "b < c", "why": " "}]`:     "does not say why",
		`[{"file": "h.go", "line": "b < c", "why": "gone"}]`:  "h.go",
		`[{"file": "f.go", "lines": "b < c", "why": "typo"}]`: "unknown field",
	} {
		if _, err := readSkips([]byte(text), root); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: the error is %v, want %q", text, err, want)
		}
	}
}

// TestSkipFile proves that the list in the repository fits the source.
func TestSkipFile(t *testing.T) {
	t.Parallel()
	root, err := findRoot()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := readSkips(skipFile, root); err != nil {
		t.Error(err)
	}
}

// TestFirstFailure proves that the test which noticed a mutant is found in the
// output of go test and of deno test.
func TestFirstFailure(t *testing.T) {
	t.Parallel()
	for output, want := range map[string]string{
		"--- FAIL: TestA (0.1s)\n    --- FAIL: TestA/b (0.1s)\n        x.go:1: no\n--- FAIL: TestC (0s)\nFAIL\n": "TestA/b",
		"\x1b[31mclaim: once ... \x1b[0m\x1b[31mFAILED\x1b[0m (2ms)\n":                                           "claim: once",
		"panic: runtime error: index out of range\n\ngoroutine 1":                                                "panic: runtime error: index out of range",
		"something else": "something else",
	} {
		if got := firstFailure([]byte(output)); got != want {
			t.Errorf("%q: the failure is %q, want %q", output, got, want)
		}
	}
}

// TestCoverage proves that only what a test has run counts, of nested blocks the
// inner one.
func TestCoverage(t *testing.T) {
	t.Parallel()
	blocks, err := readProfile([]byte("mode: set\nexample.com/p/a.go:3.10,9.2 4 1\nexample.com/p/a.go:5.12,7.3 1 0\n"))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		file         string
		line, column int
		want         bool
	}{
		{"a.go", 3, 10, true}, {"a.go", 3, 9, false}, {"a.go", 5, 11, true}, {"a.go", 5, 12, false}, {"a.go", 6, 1, false},
		{"a.go", 7, 3, true}, {"a.go", 9, 2, false}, {"b.go", 6, 1, false},
	} {
		if got := blocks.has(c.file, c.line, c.column); got != c.want {
			t.Errorf("%s:%d:%d is covered: %t", c.file, c.line, c.column, got)
		}
	}
	for _, broken := range []string{"nonsense", "a.go:1.2,3 4 5"} {
		if _, err := readProfile([]byte(broken)); err == nil {
			t.Errorf("%q is read", broken)
		}
	}
	lines, err := readLCOV([]byte("SF:/tmp/x/run.ts\nFN:1,a\nDA:4,2\nDA:5,0\nend_of_record\nSF:/tmp/x/b.ts\nDA:5,1\n"))
	if err != nil {
		t.Fatal(err)
	}
	if !lines["run.ts"][4] || lines["run.ts"][5] || lines["run.ts"][6] || !lines["b.ts"][5] {
		t.Errorf("the lines are %v", lines)
	}
	if _, err := readLCOV([]byte("SF:a\nDA:x\n")); err == nil {
		t.Error("a broken report is read")
	}
}

// TestTrial proves that a failure, a hang and a success are told apart, and that
// tests which fail without a mutant are an error.
func TestTrial(t *testing.T) {
	t.Parallel()
	for script, want := range map[string]fate{"exit 0": survived, "echo '--- FAIL: TestA'; exit 1": killed, "sleep 60": timedOut} {
		limit := time.Minute
		if want == timedOut {
			limit = 200 * time.Millisecond
		}
		got, err := try(t.Context(), mutant{}, trial{dir: t.TempDir(), args: []string{"/bin/sh", "-c", script}}, limit)
		if err != nil || got.fate != want {
			t.Errorf("%s: the fate is %d, %v; want %d", script, got.fate, err, want)
		}
	}
	_, err := trial{dir: t.TempDir(), args: []string{"/bin/sh", "-c", "echo because; exit 1"}}.baseline(t.Context())
	if err == nil || !strings.Contains(err.Error(), "because") {
		t.Errorf("the error is %v", err)
	}
	if _, err := try(t.Context(), mutant{}, trial{dir: "/does/not/exist", args: []string{"true"}}, time.Minute); err == nil {
		t.Error("a trial that cannot start is not an error")
	}
}

// TestParts proves that each part is found by the name that the table shows, and
// as Go names a package.
func TestParts(t *testing.T) {
	t.Parallel()
	all, err := chooseParts(nil)
	if err != nil || len(all) != len(goParts)+2 {
		t.Fatalf("%d parts, %v", len(all), err)
	}
	chosen, err := chooseParts([]string{"./internal/schedule", "sql", "internal/other/", sqlDir + "/judge.sql", functionDir + "/run.ts"})
	if err != nil || len(chosen) != 5 || chosen[0].(goPart).skip == "" || chosen[1] != part(sqlPart{}) || chosen[2] != part(goPart{dir: "internal/other"}) ||
		chosen[3] != part(sqlPart{file: sqlDir + "/judge.sql"}) || chosen[4] != part(typescriptPart{file: functionDir + "/run.ts"}) {
		t.Errorf("the parts are %v, %v", chosen, err)
	}
	if _, err := chooseParts([]string{"nothing"}); err == nil {
		t.Error("a part that does not exist is measured")
	}
	if _, err := run(t.Context(), []string{"nothing"}); err == nil {
		t.Error("a part that does not exist is not an error")
	}
	printTable(io.Discard, nil, 85)
}
