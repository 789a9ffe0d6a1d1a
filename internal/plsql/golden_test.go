package plsql

import (
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

var update = flag.Bool("plsql.update", false, "write what is read of the functions instead of comparing it")

// TestFunctions proves all that is read of whole function bodies: those of AIMindset,
// and others with what its functions do not have. Beside each body is the result.
func TestFunctions(t *testing.T) {
	t.Parallel()
	bodies, err := filepath.Glob("testdata/*.sql")
	if err != nil || len(bodies) < 10 {
		t.Fatalf("there are %d bodies: %v", len(bodies), err)
	}
	for _, file := range bodies {
		body, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		got := dump(Read(string(body)))
		golden := strings.TrimSuffix(file, ".sql") + ".txt"
		if *update {
			if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
				t.Fatal(err)
			}
			continue
		}
		want, err := os.ReadFile(golden)
		if err != nil {
			t.Fatal(err)
		}
		if got != string(want) {
			t.Errorf("%s is read as\n%s\nnot as\n%s", file, got, want)
		}
	}
}

// dump writes all that was read, one line for each thing.
func dump(r Routine) string {
	var out strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&out, format+"\n", args...) }
	for _, u := range r.Uses {
		line("use %c %s%s", u.Right, u.Table, when(u.Sheltered, ", sheltered"))
	}
	for _, i := range r.Inserts {
		line("insert into %s%s%s%s%s", i.Into, when(i.Simple(), ", simple"), when(i.Filtered, ", filtered"), when(i.Settles, ", settles"), when(i.Sheltered, ", sheltered"))
		for _, column := range i.Columns {
			line("  column %s", column)
		}
		for _, v := range i.Values {
			line("  value %s", dumpValue(v))
		}
		for _, alias := range slices.Sorted(maps.Keys(i.From)) {
			line("  from %s = %s", alias, i.From[alias])
		}
		if len(i.Sources) > 1 || len(i.Sources) < len(i.From) {
			line("  copies %s", strings.Join(i.Sources, " "))
		}
		for _, f := range i.Fields {
			line("  field %s", dumpValue(f))
		}
	}
	for _, n := range r.Performs {
		line("perform %s", n)
	}
	for _, n := range r.Unfiltered {
		line("unfiltered %s", n)
	}
	line("is%s%s%s%s", when(r.Dynamic, " dynamic"), when(r.Cautious, " cautious"), when(r.Raises, " raising"), when(r.Skips, " skipping"))
	line("variables %s", strings.Join(slices.Sorted(maps.Keys(r.Variables)), " "))
	line("new fields %s", strings.Join(r.NewFields, " "))
	for _, text := range r.Texts {
		line("text %q", text)
	}
	line("words %s", strings.Join(slices.Sorted(maps.Keys(r.Words)), " "))
	return out.String()
}

func when(so bool, text string) string {
	if so {
		return text
	}
	return ""
}

func dumpValue(v Value) string {
	name := v.Column + when(v.Star, "*")
	if v.Alias != "" {
		name = v.Alias + "." + name
	}
	if name == "" {
		name = "?"
	}
	return name + when(v.Cast, "::")
}

// TestStatements proves all that is read of single statements, each of which comes
// close to another one that means something else.
func TestStatements(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ source, want string }{
		{"", ""},
		{"insert into a default values", "use I a; insert into a"},
		{"insert into a(b) select c from d", "use I a; use S d; insert into a, simple; column b; value c; from d = d"},
		{"insert into a (select c from d)", "use I a; use S d; insert into a"},
		{"insert into a (b, c) values (1, 2)", "use I a; insert into a; column b; column c"},
		{"insert into a as x (b) select c from d", "use I a; use S d; insert into a, simple; column b; value c; from d = d"},
		{"insert into a select 1", "use I a; insert into a"},
		{"insert into a select c from d; select e from f", "use I a; use S d; use S f; insert into a, simple; value c; from d = d"},
		{"insert into a select c from d order by c", "use I a; use S d; insert into a, simple; value c; from d = d"},
		{"insert into a select c from d where c > 1", "use I a; use S d; insert into a, simple, filtered; value c; from d = d"},
		{"insert into a select c from d limit 1", "use I a; use S d; insert into a, simple, filtered; value c; from d = d"},
		{"insert into a select c from d offset 1", "use I a; use S d; insert into a, simple, filtered; value c; from d = d"},
		{"insert into a select c from d fetch first row only", "use I a; use S d; insert into a, simple, filtered; value c; from d = d"},
		{"insert into a select c from d group by c", "use I a; use S d; insert into a, simple, filtered; value c; from d = d"},
		{"insert into a select count(*) from d having true", "use I a; use S d; insert into a, simple, filtered; value ?; from d = d"},
		{"insert into a select (select max(x) from e where true) from d", "use I a; use S e; use S d; insert into a, simple; value ?; from d = d"},
		{"insert into a select c from d, e", "use I a; use S d; use S e; insert into a; value c; from d = d; from e = e; copies d e"},
		{"insert into a select c from d join e on true", "use I a; use S d; use S e; insert into a, filtered; value c; from d = d; from e = e; copies d e"},
		{"insert into a select c from d, d", "use I a; use S d; use S d; insert into a; from d = d; copies d d"},
		{"insert into a select c from d x", "use I a; use S d; insert into a, simple; value c; from x = d"},
		{"insert into a select c from s.d as x", "use I a; use S s.d; insert into a, simple; value c; from x = s.d; field s.d"},
		{`insert into a select c from d "X"`, "use I a; use S d; insert into a, simple; value c; from X = d"},
		{"insert into a select c from only d", "use I a; use S d; insert into a, simple; value c; from d = d"},
		{"insert into a select c from f(1) x", "use I a; insert into a, simple; value c; from x = "},
		{"insert into a select c from (select 1) x", "use I a; insert into a, simple; value c; from x = "},
		{"insert into a select distinct c from d", "use I a; use S d; insert into a, simple; from d = d"},
		{"insert into a select all c from d", "use I a; use S d; insert into a, simple; from d = d"},
		{"insert into a select c from d union select e from f", "use I a; use S d; use S f; insert into a; from d = d; from f = f; copies d f"},
		{"insert into a select c from d except select e from f", "use I a; use S d; use S f; insert into a; from d = d; from f = f; copies d f"},
		{"insert into a select c from d intersect select e from f", "use I a; use S d; use S f; insert into a; from d = d; from f = f; copies d f"},
		{"insert into a select c is distinct from e from d", "use I a; use S d; insert into a, simple; value ?; from d = d"},
		{"insert into a select extract(year from c) from d", "use I a; use S d; insert into a, simple; value ?; from d = d"},
		{"insert into a select *, d.*, c::int, d.c::s.t[], c as x, c x, d.c y from d", "use I a; use S d; insert into a, simple; value *; value d.*; value c::; value d.c::; value c; value c; value d.c; from d = d; field d.c; field s.t; field d.c"},
		{"insert into a select c + 1, -c, 'c', 1, f(c), (c), c.d.e, null from d", "use I a; use S d; insert into a, simple; value ?; value ?; value ?; value ?; value ?; value ?; value ?; value null; from d = d"},
		{"insert into a select d.f(1), d.c from d", "use I a; use S d; insert into a, simple; value ?; value d.c; from d = d; field d.c"},
		{"insert into a select coalesce(d.c, 1), f(d.e, d.g) from d", "use I a; use S d; insert into a, simple; value ?; value ?; from d = d; field d.c; field d.e; field d.g"},
		{"insert into a select c from d on conflict do nothing", "use I a; use S d; insert into a, simple, settles; value c; from d = d"},
		{"insert into a select c from d returning id", "use I a; use S d; insert into a, simple; value c; from d = d"},
		{"with x as (select 1) insert into a select c from x", "use I a; insert into a, simple; value c; from x = "},
		{"create temp table if not exists x (c int); insert into x select c from d; insert into a select c from x", "use S d; use I a; insert into a, simple; value c; from x = "},
		{"create temporary table x (c int); update x set c = 1; delete from x; truncate x", ""},
		{"create table x (c int); delete from x", "use D x; unfiltered x"},
		{"insert into s.x select 1; create temp table x (c int)", "use I s.x; insert into s.x"},
		{"update a set b = 1", "use U a; unfiltered a"},
		{"update only a set b = 1 where true", "use U a"},
		{"update s.a set b = (select 1 from c where true)", "use U s.a; use S c"},
		{"update a set b = 1; select 1 where true", "use U a; unfiltered a"},
		{"select 1 from a for update", "use S a"},
		{"select 1 from a for no key update", "use S a"},
		{"select 1 from a for update of a", "use S a"},
		{"select 1 from a for update skip locked", "use S a"},
		{"insert into a values (1) on conflict (b) do update set c = 1", "use I a; insert into a, settles"},
		{"delete from a", "use D a; unfiltered a"},
		{"delete from only s.a using b where true", "use D s.a"},
		{"truncate a", "use T a"},
		{"truncate table only a, b", "use T a; use T b"},
		{"truncate a; b, c", "use T a"},
		{"select 1 from a, only b, lateral f(1), c", "use S a; use S b; use S c"},
		{"select 1 from a left join b using (c) cross join d", "use S a; use S b; use S d"},
		{"select substring(a from 1), position(b in c), overlay(d placing e from 1), btrim(f from g) from h", "use S h"},
		{"select f(a, (select 1 from b)) from c", "use S b; use S c"},
		{"perform f(1)", "perform f"},
		{"perform s.f(1)", "perform s.f"},
		{"perform f", ""},
		{"perform 1 from a", "use S a"},
		{"call p()", "perform p"},
		{"execute 'x'", "is dynamic"},
		{"raise exception 'x'", "is raising"},
		{"raise 'x'", "is raising"},
		{"raise notice 'x'", ""},
		{"raise", ""},
		{"return null", "is skipping"},
		{"return new", ""},
		{"select to_regclass('a')", "is cautious"},
		{"exception when undefined_table then null", "is cautious"},
		{"select 1 from information_schema.tables", "use S information_schema.tables; is cautious"},
		{"declare a int; b text := 'x'; begin c := 1; end", "variables a b"},
		{"declare a int; begin b int; end", "variables a"},
		{"for a in 1..2 loop null; end loop", "variables a"},
		{"foreach a slice 1 in array b loop null; end loop", "variables a"},
		{"select 1 from b for a", "use S b"},
		{"for a in select * from b loop perform f(a); end loop", "use S b; perform f; variables a"},
		{"for a in select 1 loop null; end loop; select * from a", "variables a"},
		{"new.a := new.b", "new fields a b"},
		{"new.a.b := 1; select new", "new fields a"},
		{"begin begin delete from a where true; exception when others then null; end; delete from b where true; end", "use D a, sheltered; use D b"},
		{"begin delete from a where true; exception when others then null; end", "use D a"},
		{"begin begin delete from a where true; end; exception when others then null; end", "use D a"},
		{"begin begin if x then null; end if; loop exit; end loop; delete from a where true; exception when others then null; end; end", "use D a, sheltered"},
		{"begin begin x := case when y then 1 end; delete from a where true; exception when others then null; end; end", "use D a, sheltered"},
		{"begin begin case when y then null; end case; delete from a where true; exception when others then null; end; end", "use D a, sheltered"},
		{"begin begin raise exception 'when'; delete from a where true; end; end", "use D a; is raising"},
		{"begin begin exception when others then insert into a select c from d; end; end", "use I a, sheltered; use S d, sheltered; insert into a, simple, sheltered; value c; from d = d"},
		{"-- delete from a\nselect 1 /* from b /* c */ from d */ from e", "use S e"},
		{"select 1 - -1 from a -- from b", "use S a"},
		{"select 'from a', 'it''s', e'\\'', E'\\\\', $$from b$$, $x$ $$ $x$ from c", "use S c"},
		{`select "From" from "A b"."c""d"`, `use S A b.c"d`},
		{"select $1 from a where b = $2", "use S a"},
		{"select $x from a", "use S a"},
		{"select $x$ from a", ""},
		{"select a::int, 1.5e3, x[1] from B", "use S b"},
		{"select é_1$ from ção", "use S ção"},
		{"select $a1_$from b$a1_$ from c", "use S c"},
		{"insert into a select c from d where c is distinct from e", "use I a; use S d; insert into a, simple, filtered; value c; from d = d"},
		{"insert into a select c from d where extract(year from c) = 1", "use I a; use S d; insert into a, simple, filtered; value c; from d = d"},
		{"create temp table t (c int); insert into a select c from s.t", "use I a; use S s.t; insert into a, simple; value c; from t = s.t; field s.t"},
		{"select trim(f(x) from y), trim((z) from (w)) from b", "use S b"},
		{"select f(1), (select 1 from a) from b", "use S a; use S b"},
		{"update a set b = (select 1); delete from c where true", "use U a; use D c; unfiltered a"},
		{"perform a; perform (1)", ""},
		{"insert into a select x.c from d x where exists (select 1 from e x where x.f = 1)", "use I a; use S d; use S e; insert into a, filtered; from x = d"},
		{"with x (c) as (select 1), y (c) as not materialized (select 2) select 1 from x, y, z", "use S z"},
	} {
		var lines []string
		for line := range strings.SplitSeq(dump(Read(c.source)), "\n") {
			line = strings.TrimSpace(line)
			kind, rest, _ := strings.Cut(line, " ")
			if line == "" || line == "is" || line == "variables" || line == "new fields" || rest == "" && kind == "variables" || kind == "text" || kind == "words" {
				continue
			}
			lines = append(lines, line)
		}
		want := strings.TrimSpace(c.want)
		if got := strings.Join(lines, "; "); got != want {
			t.Errorf("%s\nis read as  %s\nnot as      %s", c.source, got, want)
		}
	}
}

// TestWords proves which words and texts a body has: those in quotes as they are
// meant, the others in small letters, none of a comment.
func TestWords(t *testing.T) {
	t.Parallel()
	r := Read(`SELECT "Odd ""One""", Ab_1$c, x.Y /* z */ FROM $a$t"1$a$ || 'it''s' || e'a\'b' -- w`)
	if got, want := strings.Join(slices.Sorted(maps.Keys(r.Words)), ","), `Odd "One",ab_1$c,from,select,x,y`; got != want {
		t.Errorf("the words are %s, not %s", got, want)
	}
	if got, want := strings.Join(r.Texts, "|"), `t"1|it's|a'b`; got != want {
		t.Errorf("the texts are %s, not %s", got, want)
	}
}
