package postgres

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"sync"
	"testing"
)

// Documents come back the same over both transports, whatever is in them.
func TestDocuments(t *testing.T) {
	onEach(t, func(t *testing.T, db DB, _ string) {
		for _, want := range []string{
			`{"a":[1,2.5,-0.001,9007199254740991,-9007199254740991],"b":{"c":null,"d":[],"e":{},"f":true}}`,
			`"quote \" backslash \\ slash / tab \t line\nend"`,
			`"ação, 漢字, 😀, <script>&amp;</script>, \u2028"`,
			`"\u0001\u001b[2J"`,
			`{"":""," key with \" and ü":[[[]]]}`,
			`1700000000000`,
			`"plain"`,
			`false`,
			`[]`,
		} {
			for _, kind := range []string{"json", "jsonb"} {
				got := must(t, db, ReadOnly, "select $1::"+kind+" as result", want)
				var g, w any
				if json.Unmarshal([]byte(got), &g) != nil || json.Unmarshal([]byte(want), &w) != nil || !reflect.DeepEqual(g, w) {
					t.Errorf("%s: got %s, want %s", kind, got, want)
				}
			}
		}
		// What the server makes of its own types is the same text, but the API drops a
		// number's trailing zeros.
		const typed = `select jsonb_build_object(
			't', timestamptz '2026-03-01 03:00:00.123456+00' at time zone 'UTC', 'd', date '2024-02-29', 'n', numeric '1.5',
			'u', uuid '0A0B0C0D-0000-4000-8000-000000000001', 'i', interval '1 day 02:03:04', 'b', 9007199254740993::text, 'x', null
		) as result`
		want := `{"b":"9007199254740993","d":"2024-02-29","i":"1 day 02:03:04","n":1.5,"t":"2026-03-01T03:00:00.123456","u":"0a0b0c0d-0000-4000-8000-000000000001","x":null}`
		if got := must(t, db, ReadOnly, typed); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
		// A large document is whole.
		got := must(t, db, ReadOnly, "select to_jsonb(repeat($1::text, 1000000)) as result", "ü")
		if got != `"`+strings.Repeat("ü", 1000000)+`"` {
			t.Errorf("a large document has %d bytes", len(got))
		}
	})
}

// No row, a column that is null and a document that is null are all nil, and
// so is a statement that gives no rows.
func TestNothing(t *testing.T) {
	onEach(t, func(t *testing.T, db DB, table string) {
		if err := db.Exec(t.Context(), "create table "+table+" (a int)"); err != nil {
			t.Fatal(err)
		}
		for _, sql := range []string{
			"select '1'::jsonb as result where false",
			"select null::jsonb as result",
			"select 'null'::jsonb as result",
			"insert into " + table + " values (1)",
			"update " + table + " set a = a where false returning '1'::jsonb as result",
		} {
			result, err := db.Query(t.Context(), ReadWrite, sql)
			if result != nil || err != nil {
				t.Errorf("%s: got %s, %v", sql, result, err)
			}
		}
		if n := count(t, table); n != 1 {
			t.Errorf("%d rows, want 1", n)
		}
	})
}

// Arguments arrive as they are and are never taken for SQL.
func TestArguments(t *testing.T) {
	onEach(t, func(t *testing.T, db DB, _ string) {
		for _, text := range []string{
			"", " ", "null", "NULL", "true", "1", "$1", "'", "''; drop table public.articles; --", `\'; select 1; --`, `"quoted"`,
			"a\nb\r\n\tc", "ação 漢字 😀", "%s %L $$ $q$", "{1,2}", `{"a":1}`, `\x41`, "\u007f\u0085\u202e", strings.Repeat("x", 1<<20),
		} {
			got := must(t, db, ReadOnly, "select to_jsonb($1::text) as result", text)
			var back string
			if err := json.Unmarshal([]byte(got), &back); err != nil || back != text {
				t.Errorf("%.40q came back as %.40q", text, back)
			}
		}
		got := must(t, db, ReadOnly, "select jsonb_build_array($1::int8::text, $2::int8::text, $3::int4, $4::bool, $5::bool, $6::text, $7::jsonb -> 'a', $1::int8 < 0) as result",
			int64(-9223372036854775808), int64(9223372036854775807), 42, true, false, nil, `{"a":{"b":"'"}}`)
		if want := `["-9223372036854775808","9223372036854775807",42,true,false,null,{"b":"'"},true]`; got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	})
}

// What a text cannot hold is refused before it is sent: it would arrive
// altered by one way and be refused by the other.
func TestImpossibleArguments(t *testing.T) {
	onEach(t, func(t *testing.T, db DB, _ string) {
		for _, text := range []string{"a\x00b", "a\xffb", "\xed\xa0\x80"} {
			if _, err := db.Query(t.Context(), ReadOnly, "select to_jsonb($1::text) as result", text); SQLState(err) != "22021" {
				t.Errorf("%q: %v", text, err)
			}
			if err := db.Exec(t.Context(), "select '"+text+"'"); SQLState(err) != "22021" {
				t.Errorf("%q in a script: %v", text, err)
			}
		}
		if _, err := db.Query(t.Context(), ReadOnly, "select $1::float8", 1.5); err == nil || !strings.Contains(err.Error(), "float64") {
			t.Errorf("a float: %v", err)
		}
	})
}

// Errors of SQL have the same parts over both transports, and hold neither the
// statement nor the values of a row.
func TestSQLErrors(t *testing.T) {
	t.Parallel()
	const setup = `
		create schema test_errors;
		create table test_errors.things (a int primary key, b text not null check (b <> 'bad'));
		insert into test_errors.things values (1, 'x');
		create function test_errors.fails(kind text) returns jsonb language plpgsql set search_path = '' as $body$
		begin
			raise exception E'two\nlines of %', kind using errcode = 'P0042', detail = 'A "detail", ação.', hint = 'A hint.';
		end $body$;
		create function test_errors.outer(kind text) returns jsonb language plpgsql set search_path = '' as $body$
		begin
			return test_errors.fails(kind);
		end $body$;`
	all := transports(t)
	if err := all["direct"].Exec(t.Context(), setup); err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		sql   string
		args  []any
		state string
	}{
		"syntax":        {"selec 'canary'", nil, "42601"},
		"relation":      {"select 'canary'::jsonb as result from test_errors.nowhere", nil, "42P01"},
		"raised":        {"select test_errors.outer($1::text) as result", []any{"kind"}, "P0042"},
		"division":      {"select to_jsonb(1 / ($1::int)) as result", []any{int64(0)}, "22012"},
		"uuid":          {"select to_jsonb(($1::text)::uuid) as result", []any{"short"}, "22P02"},
		"duplicate":     {"insert into test_errors.things values ($1::int, 'y') returning to_jsonb(a) as result", []any{1}, "23505"},
		"null":          {"insert into test_errors.things values (77, null) returning to_jsonb(a) as result", nil, "23502"},
		"check":         {"insert into test_errors.things values ($1::int, 'bad') returning to_jsonb(a) as result", []any{5}, "23514"},
		"json":          {"select $1::jsonb as result", []any{`{"a":`}, "22P02"},
		"argument type": {"select to_jsonb($1::int + 1) as result", []any{"canary"}, "22P02"},
		"one too many":  {"select to_jsonb($1::text) as result", []any{"x", "y"}, "08P01"},
		"right":         {"select to_jsonb(pg_catalog.pg_read_file('/etc/hostname')) as result", nil, "42501"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var first *Error
			for transport, db := range all {
				_, err := db.Query(t.Context(), ReadWrite, test.sql, test.args...)
				var e *Error
				if !errors.As(err, &e) || e.SQLState != test.state || errors.Is(err, ErrOutcomeUnknown) {
					t.Fatalf("%s: %v", transport, err)
				}
				if first == nil {
					first = e
				}
				parts := func(e *Error) [5]string {
					// Only one of the transports has parameters.
					where, _, _ := strings.Cut(e.Where, "unnamed portal parameter")
					return [5]string{e.SQLState, e.Message, e.Detail, e.Hint, strings.TrimSpace(where)}
				}
				if parts(e) != parts(first) {
					t.Errorf("the transports differ:\n%q\n%q", parts(e), parts(first))
				}
				if name != "argument type" && strings.Contains(err.Error()+e.Where, "canary") {
					t.Errorf("%q echoes the statement", err)
				}
				if strings.Contains(e.Detail, "77") {
					t.Errorf("%q shows a row", e.Detail)
				}
			}
			if name == "raised" {
				if first.Error() != `SQL error P0042: two lines of kind. Detail: A "detail", ação. Hint: A hint.` ||
					!strings.Contains(first.Where, "test_errors.fails(text) line 3") || !strings.Contains(first.Where, "test_errors.\"outer\"") {
					t.Errorf("got %q, where %q", first, first.Where)
				}
			}
		})
	}
}

// The second of two statements sees what the first one has done, and what another session
// has committed while the first one waited; both are carried out or neither; and no secret
// gets into their text.
func TestQueryAfter(t *testing.T) {
	onEach(t, func(t *testing.T, db DB, table string) {
		if err := db.Exec(t.Context(), "create table "+table+" (a int primary key, b text); insert into "+table+" values (1, 'old')"); err != nil {
			t.Fatal(err)
		}
		const all = "select jsonb_agg(t.b order by t.a) as result from %s t where $1::text <> ''"
		first := Statement{SQL: "update " + table + " set b = b || $1::text where a = 1 returning b -- a comment", Args: []any{"'; --"}}

		// Another session changes the row and adds one, and commits once the first waits.
		other, err := project.Admin().Begin(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = other.Rollback(context.WithoutCancel(t.Context())) }()
		if _, err := other.Exec(t.Context(), "update "+table+" set b = 'new'"); err != nil {
			t.Fatal(err)
		}
		if _, err := other.Exec(t.Context(), "insert into "+table+" values (2, 'other')"); err != nil {
			t.Fatal(err)
		}
		done := make(chan struct{})
		go func() {
			defer close(done)
			got, err := db.QueryAfter(t.Context(), first, fmt.Sprintf(all, table), "x")
			if string(got) != `["new'; --","other"]` || err != nil {
				t.Errorf("got %s, %v", got, err)
			}
		}()
		for waiting := 0; waiting == 0; {
			const blocked = "select count(*) from pg_stat_activity where wait_event_type = 'Lock' and query like '%' || $1 || '%'"
			if err := project.Admin().QueryRow(t.Context(), blocked, table).Scan(&waiting); err != nil {
				t.Fatal(err)
			}
		}
		if err := other.Commit(t.Context()); err != nil {
			t.Fatal(err)
		}
		<-done

		if _, err := db.QueryAfter(t.Context(), first, "select to_jsonb(1 / ($1::int)) as result", 0); SQLState(err) != "22012" {
			t.Errorf("the second statement failed with %v", err)
		}
		if _, err := db.QueryAfter(t.Context(), Statement{SQL: "select 1 / 0"}, fmt.Sprintf(all, table), "x"); SQLState(err) != "22012" {
			t.Errorf("the first statement failed with %v", err)
		}
		if got := must(t, db, ReadOnly, fmt.Sprintf(all, table), "x"); got != `["new'; --","other"]` {
			t.Errorf("after what failed, there is %s", got)
		}
		if _, err := db.QueryAfter(t.Context(), Statement{SQL: "select $1::text", Args: []any{Secret("s")}}, "select '1'::jsonb as result"); err == nil || !strings.Contains(err.Error(), "cannot have a secret") {
			t.Errorf("a secret: %v", err)
		}
	})
}

// Errors do not show arguments that could be secret, though the server quotes
// them, whole or shortened.
func TestErrorsHideArguments(t *testing.T) {
	onEach(t, func(t *testing.T, db DB, _ string) {
		const token = "Zm9vYmFyYmF6cXV4LWNhbmFyeS0wMTIzNDU2Nzg5LWFi"
		const document = `{"a": "a document with canaries"}`
		for _, test := range []struct{ sql, secret string }{
			{"select to_jsonb(($1::text)::int) as result", token},
			{"select to_jsonb(('x' || substr($1::text, 5, 30))::uuid) as result", token},
			{"select to_jsonb(($1::text)::int) as result", document},
		} {
			_, err := db.Query(t.Context(), ReadOnly, test.sql, Secret(test.secret))
			var e *Error
			if !errors.As(err, &e) || e.SQLState != "22P02" || !strings.Contains(e.Message, redacted) {
				t.Fatalf("got %v", err)
			}
			for _, text := range []string{fmt.Sprintf("%v %+v", err, e), e.Where} {
				if strings.Contains(text, test.secret[6:18]) || strings.Contains(text, "canaries") {
					t.Errorf("%q shows the argument", text)
				}
			}
		}
		// A name is short, and without it nobody could tell what is wrong.
		_, err := db.Query(t.Context(), ReadOnly, "select to_jsonb(($1::text)::int) as result", "auto-backup")
		if err == nil || !strings.Contains(err.Error(), "auto-backup") {
			t.Errorf("got %v", err)
		}
	})
}

// A statement for reading cannot change anything, and leaves the connection
// able to.
func TestReadOnly(t *testing.T) {
	onEach(t, func(t *testing.T, db DB, table string) {
		if err := db.Exec(t.Context(), "create table "+table+" (a int); grant select on "+table+" to supabase_read_only_user"); err != nil {
			t.Fatal(err)
		}
		insert := "insert into " + table + " values (1) returning to_jsonb(a) as result"
		for range 2 {
			_, err := db.Query(t.Context(), ReadOnly, insert)
			if state := SQLState(err); state != "25006" && state != "42501" {
				t.Errorf("got %v", err)
			}
		}
		must(t, db, ReadOnly, "select to_jsonb(count(*)) as result from "+table)
		if n := count(t, table); n != 0 {
			t.Errorf("%d rows", n)
		}
		must(t, db, ReadWrite, insert)
		if n := count(t, table); n != 1 {
			t.Errorf("%d rows, want 1", n)
		}
	})
}

// Scripts run as a whole or not at all, with all that SQL has.
func TestScripts(t *testing.T) {
	onEach(t, func(t *testing.T, db DB, table string) {
		script := "-- a comment; with a semicolon\ncreate table " + table + ` (a int, b text);
			do $do$ begin perform 1; end; $do$;
			insert into ` + table + ` values (1, 'it''s; "ação"'), (2, current_setting('search_path')),
				(3, current_setting('lock_timeout') || ' ' || current_setting('statement_timeout'));
			select * from ` + table + " -- the end"
		if err := db.Exec(t.Context(), script); err != nil {
			t.Fatal(err)
		}
		got := must(t, db, ReadWrite, "select jsonb_object_agg(a, b) as result from "+table)
		if want := `{"1":"it's; \"ação\"","2":"pg_catalog, pg_temp","3":"1min 5min"}`; got != want {
			t.Errorf("got %s, want %s", got, want)
		}
		err := db.Exec(t.Context(), "insert into "+table+" values (4); insert into "+table+" values (5); select 1 / 0; insert into "+table+" values (5)")
		if SQLState(err) != "22012" {
			t.Errorf("got %v", err)
		}
		if n := count(t, table); n != 3 {
			t.Errorf("%d rows, want 3", n)
		}
		// Nothing of the script's session is left.
		if got := must(t, db, ReadWrite, "select to_jsonb(count(*)) as result from "+table); got != "3" {
			t.Errorf("got %s", got)
		}
	})
}

// Statements that give anything but one document are refused, as a mistake.
func TestShapes(t *testing.T) {
	onEach(t, func(t *testing.T, db DB, _ string) {
		for _, sql := range []string{
			"select to_jsonb(n) as result from generate_series(1, 2) n",
			"select '1'::jsonb as other",
			"select '1'::jsonb as result, 2 as other",
			"select n from generate_series(1, 100) n",
		} {
			if result, err := db.Query(t.Context(), ReadOnly, sql); !errors.Is(err, errShape) {
				t.Errorf("%s: got %s, %v", sql, result, err)
			}
		}
		if got := must(t, db, ReadOnly, "select '1'::jsonb as result"); got != "1" {
			t.Errorf("got %s", got)
		}
	})
}

// One DB serves several goroutines, each with its own answer.
func TestConcurrentUse(t *testing.T) {
	onEach(t, func(t *testing.T, db DB, _ string) {
		var group sync.WaitGroup
		for i := range 20 {
			group.Go(func() {
				got, err := db.Query(t.Context(), ReadOnly, "select to_jsonb($1::int) as result", i)
				if err != nil || string(got) != fmt.Sprint(i) {
					t.Errorf("%d: got %s, %v", i, got, err)
				}
			})
		}
		group.Wait()
	})
}

// After Close nothing is sent any more.
func TestClose(t *testing.T) {
	onEach(t, func(t *testing.T, db DB, _ string) {
		must(t, db, ReadOnly, "select '1'::jsonb as result")
		for range 2 {
			if err := db.Close(t.Context()); err != nil {
				t.Error(err)
			}
		}
		if _, err := db.Query(t.Context(), ReadOnly, "select '1'::jsonb as result"); !errors.Is(err, ErrClosed) {
			t.Errorf("got %v", err)
		}
		if err := db.Exec(t.Context(), "select 1"); !errors.Is(err, ErrClosed) {
			t.Errorf("got %v", err)
		}
	})
}
