package codes

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// origins are where codes arise in a source: the code, and the place.
type origins map[string]map[string]bool

func (o origins) add(code, place string) {
	if o[code] == nil {
		o[code] = map[string]bool{}
	}
	o[code][place] = true
}

// TestArises proves that every code that the SQL, the Edge Function or the
// provider gives has its entry in codes.json, which names the place, and that
// no entry names a place where the code does not arise.
func TestArises(t *testing.T) {
	t.Parallel()
	found := origins{}
	for _, source := range []struct {
		pattern string
		read    func(name, text string, found origins) error
	}{
		{"../payload/sql/functions/*.sql", readSQL},
		{"../payload/function/*.ts", readTypeScript},
	} {
		files, err := filepath.Glob(source.pattern)
		if err != nil || len(files) < 5 {
			t.Fatalf("%s: %d files, %v", source.pattern, len(files), err)
		}
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if err := source.read(filepath.Base(file), string(text), found); err != nil {
				t.Errorf("%s: %v", file, err)
			}
		}
	}
	for directory, place := range goPackages {
		if err := readGo(directory, place, found); err != nil {
			t.Error(err)
		}
	}
	for _, difference := range compare(found, All()) {
		t.Error(difference)
	}
}

// compare lists what the sources and the file have apart.
func compare(found origins, file map[string]Code) (differences []string) {
	for code, places := range found {
		for place := range places {
			if !file[code].ArisesAt(place) {
				differences = append(differences, fmt.Sprintf("%s arises at %s, which codes.json does not say", code, place))
			}
		}
	}
	for name, code := range file {
		for _, place := range code.Arises {
			if !found[name][place] && (place != Platform || !isStatus(name) || !found[AnyStatus][Platform]) {
				differences = append(differences, fmt.Sprintf("codes.json says that %s arises at %s, which it does not", name, place))
			}
		}
	}
	slices.Sort(differences)
	return differences
}

// isStatus reports whether a code is http_ and an HTTP status of an error, or of
// a redirect that nobody follows.
func isStatus(name string) bool {
	number, ok := strings.CutPrefix(name, "http_")
	return ok && len(number) == 3 && number >= "300" && number <= "599" && strings.Trim(number, "0123456789") == ""
}

// passed are the expressions by which the SQL hands a code on that arose
// elsewhere: the function told it, in its log row or in its answer, or it is
// read back from a row.
var passed = map[string]bool{
	"failure #>> '{context,code}'":  true,
	"body ->> 'code'":               true,
	"e.context ->> 'code'":          true,
	"judge.answer ->> 'code'":       true,
	"close.verdict ->> 'code'":      true,
	"run.code":                      true,
	"incident.code":                 true,
	"drill_incident.code":           true,
	"cause":                         true,
	"q.value -> 'code'":             true,
	"result ->> 'code'":             true,
	"worst #>> '{0,code}'":          true,
	"problem ->> 'code'":            true,
	"answer ->> 'code'":             true,
	"offsite_incident.code":         true,
	"c.problems #>> '{0,code}'":     true,
	"check_note.problem ->> 'code'": true,
	"r.verdict":                     true,
}

// readSQL finds the codes that a function of the dispatcher gives: what it puts
// under the key or into the column "code".
func readSQL(name, text string, found origins) error {
	place := Watchdog
	switch {
	case name == "launch.sql":
		place = Dispatcher
	case strings.HasPrefix(name, "drill"):
		place = Drill
	case strings.HasPrefix(name, "check_"), strings.HasPrefix(name, "export"), strings.HasPrefix(name, "offsite"):
		place = Offsite
	case slices.Contains([]string{"answer.sql", "evidence.sql"}, name):
		return nil // what they call a code is what a server or a log said
	}
	tokens := scanSQL(text)
	for at, t := range tokens {
		var expression []token
		switch {
		case at+1 >= len(tokens) || at == 0:
			continue
		case t.string && t.text == "code" && tokens[at+1].is(",") && (tokens[at-1].is("(") || tokens[at-1].is(",")):
			expression = argument(tokens, at+2)
		case t.is("code") && tokens[at+1].is("=") && (tokens[at-1].is("set") || tokens[at-1].is(",")):
			expression = argument(tokens, at+2, "where", "from")
		case (t.is("code") || strings.HasSuffix(t.text, ".code") && !t.string) && tokens[at+1].is(":="):
			expression = argument(tokens, at+2)
		case t.is("into") && (tokens[at+1].is("auto_backup.runs") || tokens[at+1].is("auto_backup.incidents") || tokens[at+1].is("auto_backup.drills")) && tokens[at-1].is("insert"):
			var err error
			if expression, err = inserted(tokens[at+2:]); err != nil {
				return err
			}
		default:
			continue
		}
		if err := outcomes(expression, func(code string) {
			if code == AnyStatus {
				found.add(code, Platform)
				return
			}
			found.add(code, place)
		}); err != nil {
			return err
		}
	}
	return nil
}

// inserted is what an INSERT puts into the column code, of which the tokens are
// those from the columns on; nothing where it has no such column.
func inserted(tokens []token) ([]token, error) {
	for len(tokens) > 0 && !tokens[0].is("(") && !tokens[0].is("values") {
		tokens = tokens[1:] // an alias
	}
	if len(tokens) == 0 || tokens[0].is("values") {
		return nil, fmt.Errorf("an INSERT names no columns")
	}
	columns := arguments(tokens, 1)
	position := slices.IndexFunc(columns, func(column []token) bool { return written(column) == "code" })
	if position < 0 {
		return nil, nil
	}
	for at, t := range tokens {
		var values [][]token
		switch {
		case t.is("values"):
			values = arguments(tokens, at+2)
		case t.is("select"):
			values = arguments(tokens, at+1, "from", "where")
		default:
			continue
		}
		if len(values) != len(columns) {
			return nil, fmt.Errorf("an INSERT has %d columns and %d values", len(columns), len(values))
		}
		return values[position], nil
	}
	return nil, fmt.Errorf("an INSERT has no values")
}

// outcomes calls give with every code that an SQL expression can be. An
// expression that is neither a code nor one that is known to hand one on is an
// error.
func outcomes(tokens []token, give func(code string)) error {
	last := len(tokens) - 1
	switch {
	case len(tokens) == 0:
		return nil
	case len(tokens) == 1 && tokens[0].string:
		give(tokens[0].text)
		return nil
	case len(tokens) == 1 && tokens[0].is("null"):
		return nil
	case tokens[0].string && tokens[0].text == "http_" && tokens[1].is("||"):
		give(AnyStatus)
		return nil
	case tokens[0].is("(") && tokens[last].is(")") && len(argument(tokens, 1)) == last-1:
		return outcomes(tokens[1:last], give)
	case tokens[0].is("coalesce") && tokens[1].is("(") && tokens[last].is(")"):
		for _, one := range arguments(tokens[:last], 2) {
			if err := outcomes(one, give); err != nil {
				return err
			}
		}
		return nil
	case tokens[0].is("substring") && tokens[1].is("("):
		return outcomes(argument(tokens, 2, "from"), give)
	case tokens[0].is("case") && tokens[last].is("end"):
		for at := 1; at < last; at++ {
			if !tokens[at].is("then") && !tokens[at].is("else") {
				continue
			}
			one := argument(tokens[:last], at+1, "when", "else")
			if err := outcomes(one, give); err != nil {
				return err
			}
			at += len(one)
		}
		return nil
	case passed[written(tokens)]:
		return nil
	}
	return fmt.Errorf("where does the code %q come from?", written(tokens))
}

// goPackages are the packages of the provider that give codes, with the place.
var goPackages = map[string]string{"../checks": "", "../preflight": Plan, "../health": Status}

// offsite matches the codes of a copy outside the project, of which two are actions. The
// client of the database leaves their prefix out.
var offsite = regexp.MustCompile(`^(?:database|offsite)_[a-z_]+$`)

// readTypeScript finds the codes that the Edge Function gives: those of its
// failures, and those of its refusals. They have to be literals, so that they
// can be found; what hands one on is of a type that has no other.
func readTypeScript(name, text string, found origins) error {
	tokens := scanTypeScript(text)
	copies := slices.Contains([]string{"export.ts", "ledger.ts"}, name) || strings.HasPrefix(name, "offsite")
	for at := 1; at+1 < len(tokens); at++ {
		t := tokens[at]
		switch {
		case t.string && offsite.MatchString(t.text):
			if name := "offsite_" + strings.TrimPrefix(t.text, "offsite_"); name != "offsite_check" && name != "offsite_probe" {
				found.add(name, Offsite)
			}
		case !copies && t.is("Failure") && tokens[at-1].is("new") && tokens[at+1].is("("):
			code := argument(tokens, at+2)
			if len(code) != 1 || !code[0].string {
				return fmt.Errorf("the code of a failure is %q, not a literal", written(code))
			}
			found.add(code[0].text, Function)
		case t.is("refuse") && tokens[at+1].is("(") && !tokens[at-1].is("function"):
			code := argument(tokens, at+2)
			switch {
			case len(code) == 1 && code[0].string:
				found.add(code[0].text, Refusal)
			case written(code) != "read.code" && written(code) != "body.code":
				return fmt.Errorf("the code of a refusal is %q, not a literal", written(code))
			}
		case t.is("code") && tokens[at+1].is(":") && at+2 < len(tokens) && tokens[at+2].string:
			switch code := tokens[at+2].text; {
			case offsite.MatchString(code):
			case copies:
				found.add(code, Refusal)
			default:
				found.add(code, Function)
			}
		}
	}
	return nil
}

// TestReadSQL proves that a code is found wherever SQL can give one, that a code
// that is only compared or handed on is none, and that what is neither is said.
func TestReadSQL(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ file, sql, want string }{
		{"judge.sql", `select jsonb_build_object('state', 'failed', 'code', 'lost')`, "lost watchdog"},
		{"launch.sql", `select jsonb_build_object('code', case sqlstate when 'AB001' then 'a' when 'AB002' then 'b' else 'c' end, 'x', 'y')`, "a dispatcher, b dispatcher, c dispatcher"},
		{"judge.sql", `select jsonb_build_object('code', coalesce(body ->> 'code', case when x in ('n', 'm') then coalesce(null, 'd') end))`, "d watchdog"},
		{"judge.sql", `select jsonb_build_object('code', case when a then 'e' else 'http_' || status end)`, "e watchdog, http_* platform"},
		{"judge.sql", `select ('f'), jsonb_build_object('code', ('g'))`, "g watchdog"},
		{"judge.sql", `select jsonb_build_object('code', substring(coalesce(run.code, 'h') from '^[a-z]+$'))`, "h watchdog"},
		{"overdue.sql", `insert into auto_backup.incidents as i (backup, code, error) values (x.y, 'late', case when a then 'one' else 'two' end)`, "late watchdog"},
		{"launch.sql", `insert into auto_backup.runs (a, code) select f(1, 2), case when c then 'p' else 'q' end from t where code = 'z'`, "p dispatcher, q dispatcher"},
		{"launch.sql", `insert into auto_backup.runs (a, b) values (1, 'code')`, ""},
		{"close.sql", `update auto_backup.runs r set state = 'failed', code = 'r' where r.code = 's'`, "r watchdog"},
		{"close.sql", `begin code := 't'; run.code := 'u'; end`, "t watchdog, u watchdog"},
		{"close.sql", `select x ->> 'code', y -> 'code', 'v' -- jsonb_build_object('code', 'w')`, ""},
		{"close.sql", `if run.code = 'interrupted' then perform f('code'); end if`, ""},
		{"close.sql", `select jsonb_build_object('code', strange(x))`, `close.sql: where does the code "strange ( x )" come from?`},
		{"close.sql", `insert into auto_backup.runs (a, code) values ('x')`, "close.sql: an INSERT has 2 columns and 1 values"},
		{"close.sql", `insert into auto_backup.runs values ('x')`, "close.sql: an INSERT names no columns"},
		{"close.sql", `insert into auto_backup.runs (code) table other`, "close.sql: an INSERT has no values"},
		{"close.sql", `insert into auto_backup.runs table other`, "close.sql: an INSERT names no columns"},
	} {
		if got := readAll(readSQL, c.file, c.sql); got != c.want {
			t.Errorf("%s\ngives %s, want %s", c.sql, got, c.want)
		}
	}
}

// TestReadTypeScript proves the same of the function's sources.
func TestReadTypeScript(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ file, source, want string }{
		{"f.ts", `throw new Failure("a", reasons.x(y), { b: "c" });`, "a function"},
		{"f.ts", "return new Failure(\n  'b',\n  r,\n);", "b function"},
		{"f.ts", `if (x) return refuse("c", "text", {});`, "c refusal"},
		{"f.ts", `return refuse(read.code, read.message);`, ""},
		{"f.ts", `function refuse(code: RefusalCode) { return { code: "d" satisfies Code, message }; }`, "d function"},
		{"f.ts", `interface X { readonly code: Code; } const y = { code: failure.code, x: "code" };`, ""},
		{"f.ts", `throw new Failure(x ? "a" : "b", r);`, `f.ts: the code of a failure is "x ? 'a' : 'b'", not a literal`},
		{"f.ts", `return refuse(codeOf(x), "m");`, `f.ts: the code of a refusal is "codeOf ( x )", not a literal`},
		{"f.ts", `// throw new Failure("no")`, ""},
		{"export.ts", `throw new Failure(code, "m"); x({ code: "offsite_a" }); y("offsite_b", "offsite_check");`, "offsite_a offsite, offsite_b offsite"},
		{"offsite.ts", `return { body: { success: false, code: "duplicate" } };`, "duplicate refusal"},
		{"wire.ts", `new PostgresProblem("database_lost", "m")`, "offsite_database_lost offsite"},
	} {
		if got := readAll(readTypeScript, c.file, c.source); got != c.want {
			t.Errorf("%s\ngives %s, want %s", c.source, got, c.want)
		}
	}
}

// readAll is what a source gives, in one line.
func readAll(read func(name, text string, found origins) error, name, text string) string {
	found := origins{}
	if err := read(name, "x "+text, found); err != nil {
		return name + ": " + err.Error()
	}
	var lines []string
	for _, code := range slices.Sorted(maps.Keys(found)) {
		for _, place := range slices.Sorted(maps.Keys(found[code])) {
			lines = append(lines, code+" "+place)
		}
	}
	return strings.Join(lines, ", ")
}

// TestCompare proves that a code without an entry, an entry without a code and a
// wrong place are each found.
func TestCompare(t *testing.T) {
	t.Parallel()
	found := origins{"a": {Function: true}, "b": {Watchdog: true, Function: true}, AnyStatus: {Platform: true}}
	file := map[string]Code{"b": {Arises: []string{Refusal, Watchdog}}, "c": {Arises: []string{Watchdog}},
		AnyStatus: {Arises: []string{Platform}}, "http_404": {Arises: []string{Platform}}, "http_200": {Arises: []string{Platform}}}
	want := []string{
		"a arises at function, which codes.json does not say",
		"b arises at function, which codes.json does not say",
		"codes.json says that b arises at refusal, which it does not",
		"codes.json says that c arises at watchdog, which it does not",
		"codes.json says that http_200 arises at platform, which it does not",
	}
	if got := compare(found, file); !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}
