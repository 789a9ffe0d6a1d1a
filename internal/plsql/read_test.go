package plsql

import (
	"maps"
	"slices"
	"strings"
	"testing"
)

// TestRead proves what is read in a function's text, and that what is
// no use of a table is not taken for one: comments, texts, temporary tables,
// names of WITH, variables, functions in FROM, FROM inside other functions.
func TestRead(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ source, uses string }{
		{`begin insert into a (x, y) select b.x, b.y from b; end`, "I a, S b"},
		{`begin insert into public.a select * from "Odd Name" o where o.x > 1; end`, "I public.a, S Odd Name"},
		{`begin -- from ghost
			/* truncate ghost; /* nested */ delete from ghost; */
			raise notice 'insert into ghost select 1 from ghost'; perform $x$ from ghost $x$, e'\'from ghost'; end`, ""},
		{`begin create temp table t as select 1; insert into t select 1; drop table t; insert into a select * from t; end`, "I a"},
		{`with recent as (select * from b), older (id) as (select 1 from c) insert into a select * from recent join older on true`, "S b, S c, I a"},
		{`declare r record; n int; begin for r in select * from b loop update a set x = r.x where id = r.id; end loop; end`, "S b, U a"},
		{`begin truncate table a, only b restart identity; delete from only c where true; end`, "T a, T b, D c"},
		{`select extract(epoch from now()), substring(x from 2 for 3), trim(both ' ' from y) from b where x is distinct from y`, "S b"},
		{`begin insert into a select * from generate_series(1, 3) g, lateral (select 1 from c) s, b; end`, "I a, S c, S b"},
		{`begin insert into a values (1) on conflict (id) do update set x = 2; select 1 into n from b for update; end`, "I a, S b"},
		{`begin begin insert into maybe values (1); exception when others then null; end; insert into a values (case when 1 = 1 then 2 else 3 end); exception when others then insert into log values (1); end`, "I maybe?, I a, I log"},
	} {
		found := Read(c.source)
		var uses []string
		for _, use := range found.Uses {
			text := string(use.Right) + " " + use.Table.String()
			if use.Sheltered {
				text += "?"
			}
			uses = append(uses, text)
		}
		slices.Sort(uses)
		wants := strings.Split(c.uses, ", ")
		if c.uses == "" {
			wants = nil
		}
		slices.Sort(wants)
		if !slices.Equal(uses, wants) {
			t.Errorf("%s\nuses %q, want %q", c.source, uses, wants)
		}
	}
}

// TestReadInsert proves how the values of an INSERT are matched with columns:
// plain and with aliases, converted, computed and all at once.
func TestReadInsert(t *testing.T) {
	t.Parallel()
	found := Read(`
		declare generation uuid := gen_random_uuid(); total int;
		begin
			insert into copies (backup_id, id, title, tags, score, made)
			select generation, a.id, title, a.tags::text, coalesce(a.score, 0), now() as made from articles as a where a.published on conflict do nothing;
		end`)
	if len(found.Inserts) != 1 {
		t.Fatalf("got %+v", found.Inserts)
	}
	into := found.Inserts[0]
	wants := []Value{{Column: "generation"}, {Alias: "a", Column: "id"}, {Column: "title"}, {Alias: "a", Column: "tags", Cast: true}, {}, {}}
	if !slices.Equal(into.Values, wants) || !slices.Equal(into.Columns, []string{"backup_id", "id", "title", "tags", "score", "made"}) {
		t.Errorf("got %+v of %v", into.Values, into.Columns)
	}
	if !into.Simple() || !into.Filtered || !into.Settles || into.From["a"].Name != "articles" {
		t.Errorf("got %+v", into)
	}
	if names := slices.Sorted(maps.Keys(found.Variables)); !slices.Equal(names, []string{"generation", "total"}) {
		t.Errorf("the variables are %v", names)
	}
	for _, source := range []string{
		"insert into copies select * from a union all select * from b",
		"insert into copies select distinct on (x) x, y from a",
		"insert into copies values (1, 2)",
	} {
		if found := Read(source); len(found.Inserts) != 1 || len(found.Inserts[0].Values) > 0 {
			t.Errorf("%s is understood as %+v", source, found.Inserts)
		}
	}
}

// FuzzRead proves that no text makes the reader run away or panic: it
// reads what others wrote.
func FuzzRead(f *testing.F) {
	for _, seed := range []string{"insert into a select (", "$x$ $y$", "e'\\", `"`, "/* /*", "truncate", "with a (", "insert into a (b, c) select x.y::int[] as z from x", "end end end case begin exception when"} {
		f.Add(seed)
	}
	f.Fuzz(func(_ *testing.T, source string) { Read(source) })
}
