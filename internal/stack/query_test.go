package stack

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
)

// query runs SQL by the Management API.
func query(t *testing.T, sql string, parameters ...any) reply {
	t.Helper()
	body := map[string]any{"query": sql}
	if parameters != nil {
		body["parameters"] = parameters
	}
	encoded, err := json.Marshal(body)
	if err != nil {
		t.Fatal(err)
	}
	return api(t, http.MethodPost, "/database/query", string(encoded))
}

// Proves how values and rows come back: PostgreSQL's types as JSON, in the order
// of the columns, of several statements the last result with rows.
func TestQueryResults(t *testing.T) {
	t.Parallel()
	for sql, want := range map[string]string{
		`SELECT 1`:                            `[{"?column?":1}]`,
		`select 1 as b, 2 as a, 3 as b`:       `[{"b":3,"a":2}]`,
		`select where false`:                  `[]`,
		``:                                    ``,
		`create temp table t (a int)`:         `[]`,
		`select 1 as a; select 2 as b`:        `[{"b":2}]`,
		`select 1 as a; select 2 where false`: `[{"a":1}]`,
		`select null as a, true as b, 1.5::float8 as c, 'NaN'::float8 as d, 2::int2 as e`:                                                           `[{"a":null,"b":true,"c":1.5,"d":null,"e":2}]`,
		`select 9007199254740991 as a, 9007199254740992 as b, -9007199254740992 as c`:                                                               `[{"a":9007199254740991,"b":"9007199254740992","c":"-9007199254740992"}]`,
		`select 1.10::numeric as a, '<ç>"' as b`:                                                                                                    `[{"a":"1.10","b":"<ç>\""}]`,
		`select '2026-01-02'::date as a, '2026-01-02 03:04:05.6+00'::timestamptz as b, interval '1 day 2 s' as c`:                                   `[{"a":"2026-01-02","b":"2026-01-02 03:04:05.6+00","c":"1 day 00:00:02"}]`,
		`select '{"z": 1, "a": [1, null]}'::json as a, '{"z": 1, "a": 2}'::jsonb as b`:                                                              `[{"a":{"z":1,"a":[1,null]},"b":{"a":2,"z":1}}]`,
		`select array[1,null,3] as a, array['x','a,"b\ ', null, 'NULL'] as b, array[true] as c, array[]::int[] as d, array[[1,2],[3,4]] as e`:       `[{"a":[1,null,3],"b":["x","a,\"b\\ ",null,"NULL"],"c":[true],"d":[],"e":[[1,2],[3,4]]}]`,
		`select '[0:1]={5,6}'::int[] as a, array['{"k": "v,}"}'::jsonb] as b`:                                                                       `[{"a":[5,6],"b":[{"k":"v,}"}]}]`,
		`select '10.0.0.1'::inet as a, '12:00'::time as b, point(1,2) as c, 'infinity'::timestamptz as d, 'infinity'::float8 as e, row(1,'x') as f`: `[{"a":"10.0.0.1","b":"12:00:00","c":"(1,2)","d":"infinity","e":null,"f":"(1,x)"}]`,
		`select array['2026-01-01'::date] as a, array[1.50::numeric] as b, array['2026-01-01 00:00+00'::timestamptz] as c`:                          `[{"a":["2026-01-01"],"b":[1.5],"c":["2026-01-01 00:00:00+00"]}]`,
		`do $$ begin raise warning 'x'; end $$; select 1 as a`:                                                                                      `[{"a":1}]`,
		`begin; select 1 as a; rollback`: `[{"a":1}]`,
		`;`:                              `[]`,
		`select '\x01ff'::bytea as a`:    `[{"a":{"type":"Buffer","data":[1,255]}}]`,
		`select gen.n from generate_series(1, 3) gen(n)`:         `[{"n":1},{"n":2},{"n":3}]`,
		`select '2c6bd83b-3a8f-4a5c-8a5c-0d7f6a1e0f3b'::uuid id`: `[{"id":"2c6bd83b-3a8f-4a5c-8a5c-0d7f6a1e0f3b"}]`,
	} {
		got := query(t, sql)
		if sql == "" {
			if got.status != 400 {
				t.Errorf("an empty query: %d %s", got.status, got.body)
			}
			continue
		}
		if got.status != 201 || got.body != want {
			t.Errorf("%s: %d %s, want %s", sql, got.status, got.body, want)
		}
		if got.header.Get("Content-Type") != "application/json" || got.header.Get("Cache-Control") != "no-cache" {
			t.Errorf("headers: %v", got.header)
		}
	}
}

// Proves that parameters are bound, as node-postgres binds them, so that no
// value becomes part of the SQL; and that only then several statements are
// refused.
func TestQueryParameters(t *testing.T) {
	t.Parallel()
	got := query(t, `select $1::text as a, $2::int as b, $3::jsonb as c, $4::text[] as d, $5::bool as e, $6::text as f, $7::numeric as g`,
		"'; drop table x; --", 7, map[string]any{"k": []int{1}}, []any{"a,\"b", nil, "c\\"}, true, nil, json.Number("12345678901234567890.5"))
	// A number in JSON is one of JavaScript.
	want := `[{"a":"'; drop table x; --","b":7,"c":{"k":[1]},"d":["a,\"b",null,"c\\"],"e":true,"f":null,"g":"12345678901234567000"}]`
	if got.status != 201 || got.body != want {
		t.Errorf("%d %s, want %s", got.status, got.body, want)
	}
	if got := query(t, `select 1; select $1::int`, 1); got.status != 400 || !strings.Contains(message(t, got), "ERROR:  42601: cannot insert multiple commands into a prepared statement") {
		t.Errorf("two statements: %d %s", got.status, got.body)
	}
	if got := query(t, `select 1 as a; select 2 as b`, []any{}...); got.status != 201 {
		t.Errorf("no parameters: %d %s", got.status, got.body)
	}
	if got := api(t, http.MethodPost, "/database/query", `{"query":"select 1 as a; select 2 as b","parameters":[]}`); got.body != `[{"b":2}]` {
		t.Errorf("empty parameters: %d %s", got.status, got.body)
	}
}

// Proves who runs a query, in a session of its own, and that several statements
// are one transaction.
func TestQuerySessions(t *testing.T) {
	t.Parallel()
	if got := query(t, `select current_user as u`); got.body != `[{"u":"postgres"}]` {
		t.Error(got.body)
	}
	for path, body := range map[string]string{
		"/database/query/read-only": `{"query":"select current_user as u"}`,
		"/database/query":           `{"query":"select current_user as u","read_only":true}`,
	} {
		if got := api(t, http.MethodPost, path, body); got.status != 201 || got.body != `[{"u":"supabase_read_only_user"}]` {
			t.Errorf("%s: %d %s", path, got.status, got.body)
		}
	}
	if got := api(t, http.MethodPost, "/database/query/read-only", `{"query":"create table public.q_never (a int)"}`); got.status != 400 {
		t.Errorf("a write by the reader: %d %s", got.status, got.body)
	}
	if got := query(t, `set application_name = 'mine'; create temp table q_temp (a int)`); got.status != 201 {
		t.Error(got.body)
	}
	if got := query(t, `select current_setting('application_name') = 'mine' as a, to_regclass('pg_temp.q_temp') as b`); got.body != `[{"a":false,"b":null}]` {
		t.Errorf("a session survived: %s", got.body)
	}
	if got := query(t, `create table public.q_half (a int); select 1/0`); got.status != 400 || !strings.Contains(message(t, got), "22012") {
		t.Errorf("%d %s", got.status, got.body)
	}
	if got := query(t, `select to_regclass('public.q_half') as a`); got.body != `[{"a":null}]` {
		t.Errorf("half of it was done: %s", got.body)
	}
}

// Proves the text of an SQL error: one line of severity, state and message, and
// where PostgreSQL says more, the line with a caret, detail, hint and context.
func TestQueryErrors(t *testing.T) {
	t.Parallel()
	for sql, want := range map[string]string{
		"select 1,\n  x from nowhere": "Failed to run sql query: ERROR:  42P01: relation \"nowhere\" does not exist\nLINE 2:   x from nowhere\n                 ^\n",
		"select 'ção', y":             "Failed to run sql query: ERROR:  42703: column \"y\" does not exist\nLINE 1: select 'ção', y\n                      ^\n",
		"do $$ begin raise exception using message = 'm', detail = 'd', hint = 'h', errcode = 'XX001'; end $$": "Failed to run sql query: ERROR:  XX001: m\nDETAIL:  d\nHINT:  h\nCONTEXT:  PL/pgSQL function inline_code_block line 1 at RAISE\n",
		"set statement_timeout = '20ms'; select pg_sleep(60)":                                                  "Failed to run sql query: ERROR:  57014: canceling statement due to statement timeout\n",
		"select pg_cancel_backend(pg_backend_pid()), pg_sleep(60)":                                             "Failed to run sql query: ERROR:  57014: canceling statement due to user request\n",
		"select pg_terminate_backend(pg_backend_pid()), pg_sleep(60)":                                          "Failed to run sql query: FATAL:  57P01: terminating connection due to administrator command\n",
		"create temp table q (a int); copy q from stdin":                                                       "Failed to run sql query: ERROR:  57014: COPY from stdin failed: No source stream defined\nCONTEXT:  COPY q, line 1\n",
		"do $$ begin perform nosuch(1); end $$":                                                                "Failed to run sql query: ERROR:  42883: function nosuch(integer) does not exist\nHINT:  No function matches the given name and argument types. You might need to add explicit type casts.\nQUERY:  SELECT nosuch(1)\nCONTEXT:  PL/pgSQL function inline_code_block line 1 at PERFORM\n",
	} {
		if got := query(t, sql); got.status != 400 || message(t, got) != want {
			t.Errorf("%s: %d %q, want %q", sql, got.status, message(t, got), want)
		}
	}
}

// Proves what a caller learns whose query a crash of the database ended, and that the next
// query works.
func TestQueryCrash(t *testing.T) {
	s := spare(t)
	run := func(sql string) reply {
		body, err := json.Marshal(map[string]string{"query": sql})
		if err != nil {
			t.Fatal(err)
		}
		return send(t, http.MethodPost, s.APIURL+"/v1/projects/"+s.ProjectRef+"/database/query", string(body),
			"Authorization", "Bearer "+s.AccessToken, "Content-Type", "application/json")
	}
	replies := make(chan reply, 1)
	go func() { replies <- run("select pg_sleep(600) as crash") }()
	conn, err := pgx.Connect(t.Context(), s.AdminDatabaseURL)
	if err != nil {
		t.Fatal(err)
	}
	await(t, conn, "select exists (select from pg_stat_activity where wait_event = 'PgSleep' and query like '%as crash')")
	_ = conn.Close(t.Context())
	if err := s.RestartPostgres(t.Context(), true); err != nil {
		t.Fatal(err)
	}
	s.admin.Reset()
	if got := <-replies; got.status != 400 || message(t, got) != "Failed to run sql query: Connection terminated unexpectedly" {
		t.Errorf("%d %s", got.status, got.body)
	}
	if got := run("select 1 as a"); got.status != 201 || got.body != `[{"a":1}]` {
		t.Errorf("after the crash: %d %s", got.status, got.body)
	}
}
