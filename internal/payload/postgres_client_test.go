package payload_test

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/aimindset/terraform-provider-aimindset/internal/stack"
)

// TestSupabaseRoot proves that the function verifies Supabase's servers by the same
// certificate as the provider.
func TestSupabaseRoot(t *testing.T) {
	t.Parallel()
	want, err := os.ReadFile("../postgres/supabase-root-2021.crt")
	if err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile("function/roots.ts")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasSuffix(string(got), "`\\\n"+string(want)+"`;\n") {
		t.Error("roots.ts has another certificate than package postgres")
	}
}

// client is the function's PostgreSQL client in a process of its own.
type client struct {
	in  io.Writer
	out *bufio.Scanner
}

// command is what a client does. The zero value closes the session.
type command struct {
	Open       string            `json:"open,omitempty"`
	Settings   map[string]string `json:"settings,omitempty"`
	Root       string            `json:"root,omitempty"`
	Host       string            `json:"host,omitempty"`
	Largest    int               `json:"largest,omitempty"`
	Query      string            `json:"query,omitempty"`
	Stream     string            `json:"stream,omitempty"`
	Measure    bool              `json:"measure,omitempty"`
	Parameters []*string         `json:"parameters,omitempty"`
	TimeoutMS  int               `json:"timeout_ms,omitempty"`
}

// outcome is what came of a command.
type outcome struct {
	Rows     [][]*string `json:"rows"`
	Count    int         `json:"count"`
	Bytes    int         `json:"bytes"`
	SHA256   string      `json:"sha256"`
	First    string      `json:"first"`
	CPUMS    float64     `json:"cpu_ms"`
	Memory   int         `json:"memory"` // in bytes
	Code     string      `json:"code"`
	SQLState string      `json:"sqlstate"`
	Message  string      `json:"message"`
}

// startClient starts a client with the permissions that it needs, or others.
func startClient(t testing.TB, permissions ...string) *client {
	t.Helper()
	if len(permissions) == 0 {
		permissions = []string{"--allow-net=127.0.0.1,localhost,db.example.com,other.example.com"}
	}
	deno, err := stack.Deno()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	args := append([]string{"run", "--quiet", "--no-check", "--no-remote", "--no-lock"}, permissions...)
	cmd := exec.CommandContext(ctx, deno, append(args, "function/_tests/postgres_driver.ts")...)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cancel()
		_ = cmd.Wait() // it was killed
	})
	lines := bufio.NewScanner(out)
	lines.Buffer(nil, 256<<20)
	return &client{in: in, out: lines}
}

// begin sends a command.
func (c *client) begin(t testing.TB, do command) {
	t.Helper()
	line, err := json.Marshal(do)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.in.Write(append(line, '\n')); err != nil {
		t.Fatal(err)
	}
}

// read reads the next line of the client.
func (c *client) read(t testing.TB) (o outcome) {
	t.Helper()
	if !c.out.Scan() {
		t.Fatalf("the client has ended: %v", c.out.Err())
	}
	if err := json.Unmarshal(c.out.Bytes(), &o); err != nil {
		t.Fatalf("%v: %.200s", err, c.out.Bytes())
	}
	return o
}

// do runs a command. The first row of a stream is in the outcome's First.
func (c *client) do(t testing.TB, do command) outcome {
	t.Helper()
	c.begin(t, do)
	o := c.read(t)
	if do.Stream != "" && !do.Measure && o.Code == "" && o.SHA256 == "" {
		first := o.First
		o = c.read(t)
		o.First = first
	}
	return o
}

// open connects, and fails the test if that fails.
func (c *client) open(t testing.TB, do command) {
	t.Helper()
	if o := c.do(t, do); o.Code != "" {
		t.Fatalf("opening: %+v", o)
	}
}

// value runs a query with one value.
func (c *client) value(t testing.TB, sql string, parameters ...*string) string {
	t.Helper()
	o := c.do(t, command{Query: sql, Parameters: parameters})
	if len(o.Rows) != 1 || len(o.Rows[0]) != 1 || o.Rows[0][0] == nil {
		t.Fatalf("%s: %+v", sql, o)
	}
	return *o.Rows[0][0]
}

// lines returns the digest that a client computes of rows.
func lines(row func(n int) string, count int) string {
	hash := sha256.New()
	for n := range count {
		_, _ = io.WriteString(hash, row(n+1)+"\n")
	}
	return hex.EncodeToString(hash.Sum(nil))
}

// TestPostgresClient proves that the function's client gets from a real server what the
// server has, with every version of Deno that runs it.
func TestPostgresClient(t *testing.T) {
	s, err := stack.Start(context.Background(), stack.Options{Parts: stack.Database, Articles: 1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	for _, version := range []string{"", "platform"} {
		t.Run("Deno "+version, func(t *testing.T) {
			t.Setenv("STACK_DENO_VERSION", version)
			for name, test := range map[string]func(*testing.T, *stack.Stack, *client){
				"values":  testClientValues,
				"streams": testClientStreams,
				"errors":  testClientErrors,
				"refused": testClientRefused,
			} {
				t.Run(name, func(t *testing.T) { test(t, s, startClient(t)) })
			}
		})
	}
}

// testClientValues proves that texts, NULLs and empty results come as they are.
func testClientValues(t *testing.T, s *stack.Stack, c *client) {
	c.open(t, command{Open: s.DatabaseURL, Settings: map[string]string{"search_path": "", "extra_float_digits": "1", "TimeZone": "America/Sao_Paulo"}})
	for _, text := range []string{"", "ação", "😀 𝔘", "\ufeffBOM", "a\nb\tc\\", strings.Repeat("é", 100_000)} {
		if got := c.value(t, "select $1::text", &text); got != text {
			t.Errorf("%.40q comes as %.40q", text, got)
		}
	}
	yes := "yes"
	o := c.do(t, command{Query: "select $1::text, $2::boolean, null, 1.0::float8 / 3, '{a,NULL}'::text[], '\\x00ff'::bytea", Parameters: []*string{nil, &yes}})
	if got, _ := json.Marshal(o.Rows); string(got) != `[[null,"t",null,"0.3333333333333333","{a,NULL}","\\x00ff"]]` {
		t.Errorf("the row is %s (%+v)", got, o)
	}
	for _, step := range []struct {
		sql  string
		rows int
	}{
		{"select 1 where false", 0}, {"-- nothing", 0}, {"begin", 0}, {"create temporary table t (n int)", 0},
		{"insert into t values (1), (2)", 0}, {"delete from t returning n", 2}, {"commit", 0}, {"select", 1},
		{"create temporary table kept as select from generate_series(1, 3)", 0},
		{"values ('a'), (null), ('c')", 3}, {"explain (costs off) select 1", 1},
	} {
		if o := c.do(t, command{Query: step.sql}); o.Code != "" || len(o.Rows) != step.rows {
			t.Errorf("%s: %+v", step.sql, o)
		}
	}
	for setting, want := range map[string]string{"application_name": "auto-backup export", "client_encoding": "UTF8", "search_path": "", "timezone": "America/Sao_Paulo"} {
		if got := c.value(t, "select pg_catalog.current_setting($1)", &setting); got != want {
			t.Errorf("%s is %q, want %q", setting, got, want)
		}
	}
	if o := c.do(t, command{}); o.Code != "" {
		t.Error(o)
	}
	if o := c.do(t, command{Query: "select 1"}); o.Code != "database_lost" {
		t.Errorf("after the end: %+v", o)
	}
}

// testClientStreams proves that rows of every size come whole and in order.
func testClientStreams(t *testing.T, s *stack.Stack, c *client) {
	c.open(t, command{Open: s.DatabaseURL})
	text := func(n int) string { return fmt.Sprintf("%d: %s😀", n, strings.Repeat("ação", n%700)) }
	const sql = `select n || ': ' || repeat('ação', n % 700) || '😀' from generate_series(1, $1::int) n`
	for _, count := range []int{0, 1, 10_000} {
		parameter := fmt.Sprint(count)
		o := c.do(t, command{Stream: sql, Parameters: []*string{&parameter}})
		if o.Count != count || o.SHA256 != lines(text, count) {
			t.Errorf("%d rows: %+v", count, o)
		}
	}
	// Large rows between small ones, on either side of the buffer's size.
	sizes := []int{1, 10_000_000, 0, 262_133, 262_134, 262_135, 3, 5_000_000, 70_000}
	list, _ := json.Marshal(sizes)
	parameter := string(list)
	o := c.do(t, command{Stream: `select repeat('x', s::int) from json_array_elements_text($1::json) s`, Parameters: []*string{&parameter}})
	if o.Count != len(sizes) || o.SHA256 != lines(func(n int) string { return strings.Repeat("x", sizes[n-1]) }, len(sizes)) {
		t.Errorf("%v: %+v", sizes, o)
	}
	// 20,000 notices of each kind between rows.
	c.do(t, command{Query: `create function pg_temp.noisy(n int) returns text language plpgsql as $$ begin raise notice 'row %', n; perform set_config('application_name', 'noisy ' || n, false); return n; end $$`})
	o = c.do(t, command{Stream: `select pg_temp.noisy(n) from generate_series(1, 20000) n`})
	if o.Count != 20000 || o.SHA256 != lines(func(n int) string { return fmt.Sprint(n) }, 20000) {
		t.Errorf("with notices: %+v", o)
	}
	for _, bad := range []string{"select null", "select 'a', 'b'", "copy (select 1) to stdout"} {
		c.open(t, command{Open: s.DatabaseURL})
		if o := c.do(t, command{Stream: bad}); o.Code != "database_error" || o.SQLState != "" {
			t.Errorf("%s: %+v", bad, o)
		}
		if o := c.do(t, command{Query: "select 1"}); o.Code != "database_lost" {
			t.Errorf("after %s: %+v", bad, o)
		}
	}
	c.open(t, command{Open: s.DatabaseURL, Largest: 1 << 20})
	if o := c.do(t, command{Stream: "select repeat('x', 2000000)"}); o.Code != "database_error" || !strings.Contains(o.Message, "1048576 bytes") {
		t.Errorf("a row above the limit: %+v", o)
	}
	c.open(t, command{Open: s.DatabaseURL, Largest: 1 << 20})
	if o := c.do(t, command{Query: "select repeat('x', 20000) from generate_series(1, 100)"}); o.Code != "database_error" || !strings.Contains(o.Message, "1048576 bytes") {
		t.Errorf("a result above the limit: %+v", o)
	}
}

// testClientErrors proves that a failed statement leaves the session usable, that a
// late one ends in the database too, and that a lost session is reported as such.
func testClientErrors(t *testing.T, s *stack.Stack, c *client) {
	c.open(t, command{Open: s.DatabaseURL})
	for sql, state := range map[string]string{
		"select 1 / 0":       "22012",
		"select":             "",
		"selec":              "42601",
		"select 1; select 2": "42601",
		"select repeat('x', 1000) || (100 / (5000 - n)) from generate_series(1, 10000) n":    "22012",
		"do $$ begin raise exception 'a' using detail = 'canary', errcode = 'AB001'; end $$": "AB001",
	} {
		o := c.do(t, command{Query: sql})
		if o.SQLState != state || o.Code != map[bool]string{true: "database_error"}[state != ""] || strings.Contains(o.Message, "canary") {
			t.Errorf("%s: %+v", sql, o)
		}
		if got := c.value(t, "select 'usable'"); got != "usable" {
			t.Errorf("after %s the session says %q", sql, got)
		}
	}
	if o := c.do(t, command{Query: "select set_config('statement_timeout', '50', false)"}); o.Code != "" {
		t.Fatal(o)
	}
	if o := c.do(t, command{Query: "select pg_sleep(600)"}); o.Code != "database_error" || o.SQLState != "57014" {
		t.Errorf("a statement timeout: %+v", o)
	}
	c.value(t, "select set_config('statement_timeout', '0', false)")

	// What the client no longer waits for does not go on in the database.
	pid := c.value(t, "select pg_backend_pid()::text")
	if o := c.do(t, command{Query: "select pg_sleep(600)", TimeoutMS: 100}); o.Code != "database_timeout" {
		t.Errorf("a timeout: %+v", o)
	}
	waitGone(t, s, pid)
	if o := c.do(t, command{Query: "select 1"}); o.Code != "database_lost" {
		t.Errorf("after a timeout: %+v", o)
	}

	c.open(t, command{Open: s.DatabaseURL})
	pid = c.value(t, "select pg_backend_pid()::text")
	c.begin(t, command{Stream: "select repeat('x', 10000) || case when n > 100 then pg_sleep(600)::text else '' end from generate_series(1, 101) n"})
	if first := c.read(t); first.First == "" {
		t.Errorf("no row comes: %+v", first)
	}
	if _, err := s.Admin().Exec(t.Context(), "select pg_terminate_backend($1::text::int)", pid); err != nil {
		t.Fatal(err)
	}
	if o := c.read(t); o.Code != "database_lost" || o.SQLState != "57P01" {
		t.Errorf("a killed session: %+v", o)
	}
	waitGone(t, s, pid)
}

// waitGone waits until a session has ended.
func waitGone(t *testing.T, s *stack.Stack, pid string) { waitFor(t, s, "", pid) }

// waitIdle waits until a session runs no statement, or has ended.
func waitIdle(t *testing.T, s *stack.Stack, pid string) { waitFor(t, s, "and state <> 'idle'", pid) }

// waitFor waits until no session has the process ID and the condition.
func waitFor(t *testing.T, s *stack.Stack, condition, pid string) {
	t.Helper()
	for !one[bool](t, s.Admin(), "select not exists (select from pg_stat_activity where pid = $1::text::int "+condition+")", pid) {
		time.Sleep(5 * time.Millisecond)
	}
}

// testClientRefused proves what the reasons for no session are, and that none of them
// tells the password.
func testClientRefused(t *testing.T, s *stack.Stack, c *client) {
	base, err := url.Parse(s.DatabaseURL)
	if err != nil {
		t.Fatal(err)
	}
	with := func(change func(u *url.URL)) string {
		u := *base
		change(&u)
		return u.String()
	}
	for _, bad := range []struct{ url, code, state, says string }{
		{with(func(u *url.URL) { u.User = url.UserPassword("postgres", "canary-wrong") }), "database_password", "28P01", `user "postgres"`},
		{with(func(u *url.URL) { u.User = url.User("postgres") }), "database_password", "28P01", ""},
		{with(func(u *url.URL) { u.User = url.UserPassword("nobody", "canary-wrong") }), "database_password", "28P01", ""},
		{with(func(u *url.URL) { u.Path = "/nowhere" }), "database_refused", "3D000", `database "nowhere"`},
		{with(func(u *url.URL) { u.Host = "127.0.0.1:1" }), "database_unreachable", "", "refused"},
		{with(func(u *url.URL) { u.RawQuery = "sslmode=require" }), "database_tls", "", "does not encrypt"},
		{with(func(u *url.URL) { u.RawQuery = "sslmode=allow" }), "database_url", "", "sslmode"},
		{"postgres://postgres:canary-wrong@db.example.com/x?sslmode=disable", "database_tls", "", "private"},
	} {
		o := c.do(t, command{Open: bad.url})
		if o.Code != bad.code || o.SQLState != bad.state || !strings.Contains(o.Message, bad.says) || strings.Contains(o.Message, "canary") {
			t.Errorf("%s: %+v", bad.url, o)
		}
	}
	if o := c.do(t, command{Open: s.DatabaseURL, Settings: map[string]string{"no_such_setting": "1"}}); o.Code != "database_refused" || o.SQLState != "42704" {
		t.Errorf("an unknown setting: %+v", o)
	}
}
