package stack

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"time"
)

// rest sends a request to PostgREST with the secret key, unless headers say
// otherwise.
func rest(t *testing.T, method, path, body string, headers ...string) reply {
	t.Helper()
	headers = append([]string{"apikey", shared(t).SecretKey, "Content-Type", "application/json"}, headers...)
	return send(t, method, shared(t).ProjectURL+"/rest/v1/"+path, body, headers...)
}

// scratch makes tables and functions in schema public whose names begin with a
// prefix, as the superuser, and drops all that do when the test ends.
func scratch(t *testing.T, prefix, sql string) {
	t.Helper()
	t.Cleanup(func() {
		_, err := shared(t).Admin().Exec(context.Background(), `do $$
			declare command text;
			begin
				for command in
					select format('drop routine %s', oid::regprocedure) from pg_proc
					where pronamespace = 'public'::regnamespace and starts_with(proname, '`+prefix+`')
					union all
					select format('drop table %s', oid::regclass) from pg_class
					where relnamespace = 'public'::regnamespace and relkind = 'r' and starts_with(relname, '`+prefix+`')
				loop
					execute command;
				end loop;
			end $$`)
		if err != nil {
			t.Error(err)
		}
	})
	if _, err := shared(t).Admin().Exec(t.Context(), sql); err != nil {
		t.Fatal(err)
	}
}

// Proves who a key makes its bearer: the gateway wants a known key, a JWT
// decides the role where there is one, and a key of the new kind is no JWT.
func TestRestKeys(t *testing.T) {
	t.Parallel()
	scratch(t, "who_am_i", `create function public.who_am_i() returns json language sql stable as
		$$ select json_build_object('role', current_user, 'session', session_user, 'claims', current_setting('request.jwt.claims')::json ->> 'role') $$`)
	const noHeader = "X-None"
	user := shared(t).keys.sign(map[string]any{"role": "authenticated", "sub": newUUID(), "exp": time.Now().Add(time.Hour).Unix()})
	expired := shared(t).keys.sign(map[string]any{"role": "service_role", "exp": time.Now().Add(-time.Hour).Unix()})
	foreign := newKeys(time.Now())
	for name, test := range map[string]struct {
		headers []string
		status  int
		want    string // the role, or a part of the error
	}{
		"secret":                    {[]string{"apikey", shared(t).SecretKey}, 200, "service_role"},
		"publishable":               {[]string{"apikey", shared(t).PublishableKey}, 200, "anon"},
		"anon":                      {[]string{"apikey", shared(t).AnonKey, "Authorization", "Bearer " + shared(t).AnonKey}, 200, "anon"},
		"service_role":              {[]string{"apikey", shared(t).ServiceRoleKey, "Authorization", "Bearer " + shared(t).ServiceRoleKey}, 200, "service_role"},
		"service_role, no bearer":   {[]string{"apikey", shared(t).ServiceRoleKey}, 200, "service_role"},
		"a user":                    {[]string{"apikey", shared(t).PublishableKey, "Authorization", "Bearer " + user}, 200, "authenticated"},
		"nothing":                   {[]string{noHeader, "x"}, 401, "No API key found in request"},
		"bearer only":               {[]string{"Authorization", "Bearer " + shared(t).ServiceRoleKey}, 401, "No API key found in request"},
		"unknown":                   {[]string{"apikey", "sb_secret_x"}, 401, "Invalid API key"},
		"another project's":         {[]string{"apikey", foreign.serviceRole}, 401, "Invalid API key"},
		"secret as bearer":          {[]string{"apikey", shared(t).SecretKey, "Authorization", "Bearer " + shared(t).SecretKey}, 401, "PGRST301"},
		"another as bearer":         {[]string{"apikey", shared(t).PublishableKey, "Authorization", "Bearer " + shared(t).SecretKey}, 401, "Invalid API key"},
		"expired":                   {[]string{"apikey", shared(t).AnonKey, "Authorization", "Bearer " + expired}, 401, "PGRST303"},
		"signed by another project": {[]string{"apikey", shared(t).AnonKey, "Authorization", "Bearer " + foreign.serviceRole}, 401, "PGRST301"},
		"secret from a browser":     {[]string{"apikey", shared(t).SecretKey, "User-Agent", "Mozilla/5.0"}, 401, "Forbidden use of secret API key"},
	} {
		got := send(t, http.MethodPost, shared(t).ProjectURL+"/rest/v1/rpc/who_am_i", "", test.headers...)
		want := test.want
		if test.status == 200 {
			want = fmt.Sprintf(`{"role" : "%s", "session" : "authenticator", "claims" : "%s"}`, want, want)
		}
		if got.status != test.status || !strings.Contains(got.body, want) {
			t.Errorf("%s: %d %s, want %d %s", name, got.status, got.body, test.status, want)
		}
	}
}

// Proves how functions are called: by named arguments, defaults left out, in
// each kind of result, in a transaction that is read-only unless the function is
// volatile and the request a POST, and committed at its end.
func TestRestCalls(t *testing.T) {
	t.Parallel()
	scratch(t, "rc_", `
		create table public.rc_log (n int);
		create function public.rc_add(a int, "B c" text, d int default 5) returns int language sql immutable as $$ select a + length("B c") + d $$;
		create function public.rc_json(v json) returns json language sql stable as $$ select v $$;
		create function public.rc_null() returns json language sql stable as $$ select null::json $$;
		create function public.rc_text() returns text language sql stable as $$ select 'ção'::text $$;
		create function public.rc_void() returns void language sql volatile as $$ insert into public.rc_log values (1) $$;
		create function public.rc_set() returns setof int language sql stable as $$ values (1), (2) $$;
		create function public.rc_table(n int) returns table (a int, b text) language sql stable as $$ select i, 'x' from generate_series(1, n) i $$;
		create function public.rc_row() returns public.rc_log language sql stable as $$ select row(7)::public.rc_log $$;
		create function public.rc_write(n int) returns int language sql volatile as $$ insert into public.rc_log values (n) returning n $$;
		create function public.rc_liar(n int) returns int language sql stable as $$ select public.rc_write(n) $$;
		create function public.rc_over(a int) returns int language sql as $$ select 1 $$;
		create function public.rc_over(a text) returns int language sql as $$ select 2 $$;
		create function public.rc_raise(code text) returns void language plpgsql as
			$$ begin raise exception using errcode = code, message = 'm', detail = 'd', hint = 'h'; end $$;
		grant all on public.rc_log to service_role`)
	for _, test := range []struct {
		method, path, body string
		status             int
		want               string
	}{
		{"POST", "rpc/rc_add", `{"a":1,"B c":"xyz"}`, 200, `9`},
		{"POST", "rpc/rc_add", `{"a":"1","B c":"xyz","d":null}`, 200, `null`},
		{"GET", "rpc/rc_add?a=1&B%20c=xyz&d=1", ``, 200, `5`},
		{"POST", "rpc/rc_json", `{"v":{"b":1,"a":[2]}}`, 200, `{"b":1,"a":[2]}`},
		{"POST", "rpc/rc_null", ``, 200, `null`},
		{"POST", "rpc/rc_text", `{}`, 200, `"ção"`},
		{"POST", "rpc/rc_void", `{}`, 204, ``},
		{"POST", "rpc/rc_set", `{}`, 200, `[1, 2]`},
		{"POST", "rpc/rc_table", `{"n":2}`, 200, `[{"a":1,"b":"x"}, {"a":2,"b":"x"}]`},
		{"POST", "rpc/rc_table", `{"n":0}`, 200, `[]`},
		{"POST", "rpc/rc_row", `{}`, 200, `{"n":7}`},
		{"POST", "rpc/rc_write", `{"n":2}`, 200, `2`},
		{"GET", "rpc/rc_write?n=3", ``, 405, `"code":"25006"`},
		{"POST", "rpc/rc_liar", `{"n":4}`, 405, `"code":"25006"`},
		{"PUT", "rpc/rc_write", `{"n":5}`, 405, `PGRST101`},
		{"POST", "rpc/rc_nothing", `{}`, 404, `{"code":"PGRST202","details":"Searched for the function public.rc_nothing without parameters, but no matches were found in the schema cache.","hint":null,"message":"Could not find the function public.rc_nothing without parameters in the schema cache"}`},
		{"POST", "rpc/rc_add", `{"a":1}`, 404, `Could not find the function public.rc_add(a) in the schema cache`},
		{"POST", "rpc/rc_add", `{"a":1,"B c":"","x":1}`, 404, `PGRST202`},
		{"POST", "rpc/rc_over", `{"a":1}`, 300, `PGRST203`},
		{"POST", "rpc/rc_add", `[1]`, 400, `PGRST102`},
		{"POST", "rpc/rc_add", `{`, 400, `PGRST102`},
		{"POST", "rpc/rc_add", `{"a":"x","B c":""}`, 400, `"code":"22P02"`},
		{"POST", "rpc/pg_sleep", `{}`, 404, `PGRST202`}, // not in an exposed schema
		{"POST", "rpc/rc_raise", `{"code":"P0001"}`, 400, `{"code":"P0001","details":"d","hint":"h","message":"m"}`},
		{"POST", "rpc/rc_raise", `{"code":"PT418"}`, 418, `"code":"PT418"`},
		{"POST", "rpc/rc_raise", `{"code":"23505"}`, 409, `23505`},
		{"POST", "rpc/rc_raise", `{"code":"23503"}`, 409, `23503`},
		{"POST", "rpc/rc_raise", `{"code":"42501"}`, 403, `42501`},
		{"POST", "rpc/rc_raise", `{"code":"57014"}`, 500, `57014`},
		{"POST", "rpc/rc_raise", `{"code":"57P01"}`, 503, `57P01`},
		{"POST", "rpc/rc_raise", `{"code":"53200"}`, 503, `53200`},
		{"POST", "rpc/rc_raise", `{"code":"08006"}`, 503, `08006`},
		{"POST", "rpc/rc_raise", `{"code":"42P01"}`, 404, `42P01`},
		{"POST", "rpc/rc_raise", `{"code":"40001"}`, 500, `40001`},
		{"POST", "rpc/rc_raise", `{"code":"22012"}`, 400, `22012`},
	} {
		got := rest(t, test.method, test.path, test.body)
		exact := test.status < 300
		if got.status != test.status || exact && got.body != test.want || !strings.Contains(got.body, test.want) {
			t.Errorf("%s %s %s: %d %s, want %d %s", test.method, test.path, test.body, got.status, got.body, test.status, test.want)
		}
	}
	var rows string
	if err := shared(t).Admin().QueryRow(t.Context(), `select string_agg(n::text, ',' order by n) from public.rc_log`).Scan(&rows); err != nil || rows != "1,2" {
		t.Errorf("committed: %q, %v", rows, err)
	}
}

// Proves the rights of roles: EXECUTE for functions, GRANT and RLS for tables,
// with 401 for anon and 403 for others.
func TestRestRights(t *testing.T) {
	t.Parallel()
	scratch(t, "rr_", `
		create table public.rr_closed (n int);
		revoke all on public.rr_closed from anon, authenticated, service_role;
		create table public.rr_rows (n int);
		alter table public.rr_rows enable row level security;
		insert into public.rr_rows values (1);
		create function public.rr_f() returns int language sql as $$ select 1 $$;
		revoke execute on function public.rr_f() from public, anon, authenticated, service_role`)
	for _, test := range []struct {
		key, method, path, body string
		status                  int
		want                    string
	}{
		{shared(t).SecretKey, "GET", "rr_closed", "", 403, `"code":"42501"`},
		{shared(t).PublishableKey, "GET", "rr_closed", "", 401, `"code":"42501"`},
		{shared(t).SecretKey, "POST", "rpc/rr_f", "{}", 403, `"code":"42501"`},
		{shared(t).PublishableKey, "POST", "rpc/rr_f", "{}", 401, `"code":"42501"`},
		{shared(t).SecretKey, "GET", "rr_rows", "", 200, `[{"n":1}]`},
		{shared(t).PublishableKey, "GET", "rr_rows", "", 200, `[]`},
		{shared(t).PublishableKey, "POST", "rr_rows", `{"n":2}`, 401, `violates row-level security policy`},
	} {
		got := send(t, test.method, shared(t).ProjectURL+"/rest/v1/"+test.path, test.body, "apikey", test.key)
		if got.status != test.status || !strings.Contains(got.body, test.want) {
			t.Errorf("%s %s: %d %s, want %d %s", test.method, test.path, got.status, got.body, test.status, test.want)
		}
	}
}

// Proves reading and writing of one table: representation or not, filters,
// columns, order, paging, the checks of the schema cache and constraints; and
// that no name and no value can become part of the SQL.
func TestRestTables(t *testing.T) {
	t.Parallel()
	scratch(t, "rt", `
		create table public.rt (id int primary key default 7, "Odd ""name" text, context jsonb, at timestamptz default '2026-01-01', ok bool);
		grant all on public.rt to service_role;
		create table public.rt_many (n int);
		insert into public.rt_many select generate_series(1, 1005)`)
	const representation = "return=representation"
	for _, test := range []struct {
		method, path, body, prefer string
		status                     int
		want                       string
	}{
		{"POST", "rt", `{"id":1,"context":{"run_id":"a","n":1},"ok":true}`, "", 201, ``},
		{"POST", "rt", `{"id":2,"context":{"run_id":"b","n":2}}`, representation, 201, `[{"id":2,"Odd \"name":null,"context":{"n": 2, "run_id": "b"},"at":"2026-01-01T00:00:00+00:00","ok":null}]`},
		{"POST", "rt", `[{"id":3,"ok":false},{"id":4,"ok":null}]`, "return=minimal", 201, ``},
		{"POST", "rt", `{}`, representation, 201, `[{"id":7,"Odd \"name":null,"context":null,"at":"2026-01-01T00:00:00+00:00","ok":null}]`},
		{"POST", "rt", `[]`, "", 201, ``},
		{"POST", "rt", `{"id":1}`, "", 409, `"code":"23505"`},
		{"POST", "rt", `{"id":"x"}`, "", 400, `"code":"22P02"`},
		{"POST", "rt", `{"nope":1}`, "", 400, `Could not find the 'nope' column of 'rt' in the schema cache`},
		{"POST", "rt", `[{"id":8},{"ok":true}]`, "", 400, `All object keys must match`},
		{"POST", "rt", `x`, "", 400, `PGRST102`},
		{"POST", "rt?select=id", `{"id":5,"Odd \"name":"'; drop table rt; --"}`, representation, 201, `[{"id":5}]`},
		{"GET", "rt?select=id&order=id.desc&limit=2&offset=1", ``, "", 200, `[{"id":5}, {"id":4}]`},
		{"GET", "rt?select=id,run:context->>run_id,context->n,at::date&id=eq.1", ``, "", 200, `[{"id":1,"run":"a","n":1,"at":"2026-01-01"}]`},
		{"GET", "rt?select=id&context->>run_id=eq.b", ``, "", 200, `[{"id":2}]`},
		{"GET", "rt?select=id&context->>run_id=eq.b%27%20or%201=1", ``, "", 200, `[]`},
		{"GET", "rt?select=id&id=gt.1&id=lte.4&id=neq.3&order=id", ``, "", 200, `[{"id":2}, {"id":4}]`},
		{"GET", "rt?select=id&id=gte.5&id=lt.7", ``, "", 200, `[{"id":5}]`},
		{"GET", "rt?select=id&id=in.(1,3,99)&order=id", ``, "", 200, `[{"id":1}, {"id":3}]`},
		{"GET", "rt?select=id&context->>run_id=in.(\"a\",\"b,c\")", ``, "", 200, `[{"id":1}]`},
		{"GET", "rt?select=id&ok=is.null&context=not.is.null", ``, "", 200, `[{"id":2}]`},
		{"GET", "rt?select=id&ok=is.true", ``, "", 200, `[{"id":1}]`},
		{"GET", "rt?select=id&at=gte.2026-01-01T00:00:00Z&id=eq.1", ``, "", 200, `[{"id":1}]`},
		{"GET", "rt?select=id&order=ok.desc.nullslast,id.asc&limit=3", ``, "", 200, `[{"id":1}, {"id":3}, {"id":2}]`},
		{"GET", "rt?id=1", ``, "", 400, `PGRST100`},
		{"GET", "rt?id=foo.1", ``, "", 400, `PGRST100`},
		{"GET", "rt?or=(id.eq.1,id.eq.2)", ``, "", 400, `PGRST100`},
		{"GET", "rt?id;drop=eq.1", ``, "", 400, `PGRST100`},
		{"DELETE", "rt?id=eq.1;id=eq.2", ``, "", 400, `PGRST100`},
		{"GET", "rt?nope=eq.1", ``, "", 400, `"code":"42703"`},
		{"GET", "rt?id=eq.x", ``, "", 400, `"code":"22P02"`},
		{"GET", "rt_nothing", ``, "", 404, `Could not find the table 'public.rt_nothing' in the schema cache`},
		{"GET", "pg_class", ``, "", 404, `PGRST205`},
		{"GET", "rt/1", ``, "", 404, `PGRST125`},
		{"PUT", "rt", `{}`, "", 405, `PGRST117`},
		{"PATCH", "rt?id=eq.3", `{"ok":true,"Odd \"name":"n"}`, "", 204, ``},
		{"PATCH", "rt?id=eq.3&select=id,ok", `{"ok":false}`, representation, 200, `[{"id":3,"ok":false}]`},
		{"PATCH", "rt?id=eq.99", `{"ok":true}`, representation, 200, `[]`},
		{"PATCH", "rt?id=eq.3", `{}`, representation, 200, `[]`},
		{"PATCH", "rt", `{"ok":true}`, "", 400, `{"code":"21000","details":null,"hint":null,"message":"UPDATE requires a WHERE clause"}`},
		{"DELETE", "rt", ``, "", 400, `DELETE requires a WHERE clause`},
		{"DELETE", "rt?id=eq.4&select=id", ``, representation, 200, `[{"id":4}]`},
		{"DELETE", "rt?id=gt.2", ``, "", 204, ``},
		{"GET", "rt?select=id&order=id", ``, "", 200, `[{"id":1}, {"id":2}]`},
	} {
		got := rest(t, test.method, test.path, test.body, "Prefer", test.prefer)
		body := strings.ReplaceAll(got.body, ", \n ", ", ")
		exact := test.status < 300
		if got.status != test.status || exact && body != test.want || !strings.Contains(body, test.want) {
			t.Errorf("%s %s %s: %d %s, want %d %s", test.method, test.path, test.body, got.status, body, test.status, test.want)
		}
	}
	single := []string{"Accept", "application/vnd.pgrst.object+json"}
	if got := rest(t, "GET", "rt?select=id&id=eq.1", "", single...); got.status != 200 || got.body != `{"id":1}` {
		t.Errorf("one object: %d %s", got.status, got.body)
	}
	if got := rest(t, "GET", "rt?select=id", "", single...); got.status != 406 || !strings.Contains(got.body, "PGRST116") {
		t.Errorf("one object of two: %d %s", got.status, got.body)
	}
	got := rest(t, "GET", "rt_many", "")
	if got.header.Get("Content-Range") != "0-999/*" || strings.Count(got.body, "n") != 1000 {
		t.Errorf("more than may be read: %v", got.header)
	}
}

// Proves the timeouts: authenticator's 8 seconds hold for service_role, a
// function's own setting takes its place, a role's own holds for the role, the
// gateway gives up before the database does, and a caller who hangs up does not
// stop what he began.
func TestRestTimeouts(t *testing.T) {
	t.Parallel()
	scratch(t, "to_", `
		create function public.to_now() returns text language sql stable as $$ select current_setting('statement_timeout') $$;
		create function public.to_hoisted() returns text language sql stable set statement_timeout = '55s' as $$ select current_setting('statement_timeout') $$;
		create function public.to_hoisted_short() returns text language sql volatile set statement_timeout = '200ms' as $$ select pg_sleep(4)::text $$;
		create table public.to_done (n int);
		grant all on public.to_done to service_role;
		create table public.to_gate (n int);
		create function public.to_slow() returns void language sql volatile security definer set statement_timeout = '10min' as
			$$ insert into public.to_gate values (1); insert into public.to_done values (1) $$`)
	for key, want := range map[string]string{shared(t).SecretKey: `"8s"`, shared(t).PublishableKey: `"3s"`} {
		if got := send(t, http.MethodPost, shared(t).ProjectURL+"/rest/v1/rpc/to_now", "{}", "apikey", key); got.body != want {
			t.Errorf("statement_timeout: %s, want %s", got.body, want)
		}
	}
	if got := rest(t, "POST", "rpc/to_hoisted", "{}"); got.body != `"55s"` {
		t.Errorf("hoisted: %s", got.body)
	}
	// It is the transaction's before the call: inside, it would come too late, and
	// the call would end well before the role's timeout.
	if got := rest(t, "POST", "rpc/to_hoisted_short", "{}"); got.status != 500 || !strings.Contains(got.body, `{"code":"57014","details":null,"hint":null,"message":"canceling statement due to statement timeout"}`) {
		t.Errorf("a short timeout: %d %s", got.status, got.body)
	}
	// The setting was the transaction's, not the connection's.
	if got := rest(t, "POST", "rpc/to_now", "{}"); got.body != `"8s"` {
		t.Errorf("afterwards: %s", got.body)
	}

	impatient, err := newPostgrest(t.Context(), &shared(t).keys, shared(t).cluster.url("authenticator"), 100*time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(impatient)
	t.Cleanup(func() {
		server.Close()
		impatient.close()
	})
	// Both calls are slow because they wait for the test.
	gate, err := shared(t).Admin().Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = gate.Rollback(context.Background()) }()
	if _, err := gate.Exec(t.Context(), `lock table public.to_gate`); err != nil {
		t.Fatal(err)
	}
	waiting := func(calls int) func() bool {
		return func() bool {
			var n int
			if err := shared(t).Admin().QueryRow(t.Context(), `select count(*) from pg_locks where relation = 'public.to_gate'::regclass and not granted`).Scan(&n); err != nil {
				t.Error(err)
			}
			return n == calls
		}
	}
	got := send(t, http.MethodPost, server.URL+"/rest/v1/rpc/to_slow", "{}", "apikey", shared(t).SecretKey)
	if got.status != 504 || message(t, got) != "The upstream server is timing out" {
		t.Errorf("the gateway: %d %s", got.status, got.body)
	}
	eventually(t, "the call that the gateway gave up runs", waiting(1))
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, shared(t).ProjectURL+"/rest/v1/rpc/to_slow", strings.NewReader("{}"))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("apikey", shared(t).SecretKey)
	failed := make(chan error, 1)
	go func() {
		response, err := http.DefaultClient.Do(r)
		if err == nil {
			_ = response.Body.Close()
		}
		failed <- err
	}()
	eventually(t, "the second call runs", waiting(2))
	cancel()
	if <-failed == nil {
		t.Error("the caller did not hang up")
	}
	if err := gate.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	eventually(t, "both are done all the same", func() bool {
		var n int
		if err := shared(t).Admin().QueryRow(t.Context(), `select count(*) from public.to_done`).Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n == 2
	})
}

// Proves that a database that restarts is a 503 for who asks meanwhile, and that
// what comes afterwards works without a new connection being seen.
func TestRestWithoutDatabase(t *testing.T) {
	down, err := newPostgrest(t.Context(), &shared(t).keys, "postgresql://authenticator:x@127.0.0.1:1/postgres?sslmode=disable", time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(down)
	t.Cleanup(func() {
		server.Close()
		down.close()
	})
	for _, path := range []string{"rpc/backup_all_data", "backup_logs"} {
		got := send(t, http.MethodPost, server.URL+"/rest/v1/"+path, "{}", "apikey", shared(t).SecretKey)
		if got.status != 503 || !strings.Contains(got.body, `"code":"PGRST001"`) {
			t.Errorf("%s: %d %s", path, got.status, got.body)
		}
	}

	s := spare(t)
	read := func() reply {
		return send(t, http.MethodGet, s.ProjectURL+"/rest/v1/backup_logs?limit=1", "", "apikey", s.SecretKey)
	}
	if got := read(); got.status != 200 {
		t.Fatalf("%d %s", got.status, got.body)
	}
	for _, immediate := range []bool{false, true} {
		if err := s.RestartPostgres(t.Context(), immediate); err != nil {
			t.Fatal(err)
		}
		if got := read(); got.status != 200 {
			t.Errorf("after a restart (immediate: %v): %d %s", immediate, got.status, got.body)
		}
	}
}

// Proves the real thing: the application's backup, called as the Edge Function
// calls it, makes a backup with rows, and one that fails says so in a 200.
func TestRestBackup(t *testing.T) {
	s := spare(t)
	call := func() map[string]any {
		t.Helper()
		got := send(t, http.MethodPost, s.ProjectURL+"/rest/v1/rpc/backup_all_data", "{}", "apikey", s.SecretKey)
		if got.status != 200 {
			t.Fatalf("%d %s", got.status, got.body)
		}
		return decode[map[string]any](t, got)
	}
	result := call()
	id, _ := result["backup_id"].(string)
	if result["success"] != true || !regexp.MustCompile(`^[0-9a-f-]{36}$`).MatchString(id) {
		t.Fatalf("%v", result)
	}
	rows := send(t, http.MethodGet, s.ProjectURL+"/rest/v1/backup_articles?select=original_id&backup_id=eq."+id, "", "apikey", s.SecretKey)
	if n := len(decode[[]json.RawMessage](t, rows)); float64(n) != result["articles_count"] || n < 50 {
		t.Errorf("%d rows, %v", n, result)
	}
	if _, err := s.Admin().Exec(t.Context(), `alter table public.articles rename column title to titulo`); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_, _ = s.Admin().Exec(context.Background(), `alter table public.articles rename column titulo to title`)
	})
	if result := call(); result["success"] != false || result["error"] == nil {
		t.Errorf("a backup that fails: %v", result)
	}
}
