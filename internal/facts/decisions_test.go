package facts_test

import (
	"context"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/aimindset/terraform-provider-aimindset/internal/backup"
	"github.com/aimindset/terraform-provider-aimindset/internal/checks"
	"github.com/aimindset/terraform-provider-aimindset/internal/facts"
	"github.com/aimindset/terraform-provider-aimindset/internal/postgres"
	"github.com/aimindset/terraform-provider-aimindset/internal/stack"
)

// server is a PostgreSQL with pg_cron, on which is tried what checks take for true.
type server struct {
	*stack.Stack
	t *testing.T
}

func newServer(t *testing.T) *server {
	t.Helper()
	s, err := stack.Start(t.Context(), stack.Options{Parts: stack.Database, Articles: 3})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return &server{s, t}
}

// exec runs statements as the superuser.
func (s *server) exec(statements ...string) {
	s.t.Helper()
	for _, sql := range statements {
		if _, err := s.Admin().Exec(s.t.Context(), sql); err != nil {
			s.t.Fatalf("%s: %v", sql, err)
		}
	}
}

// as is what a query gives in a new session of a role.
func (s *server) as(role, sql string) string {
	s.t.Helper()
	conn, err := pgx.Connect(s.t.Context(), s.address(role))
	if err != nil {
		s.t.Fatal(err)
	}
	defer func() { _ = conn.Close(context.WithoutCancel(s.t.Context())) }()
	var value *string
	if err := conn.QueryRow(s.t.Context(), sql).Scan(&value); err != nil {
		s.t.Fatalf("%s: %v", sql, err)
	}
	if value == nil {
		return "null"
	}
	return *value
}

// address is the URL with which a role connects. The password of a role that a test
// makes is its name.
func (s *server) address(role string) string {
	switch role {
	case backup.JobOwner:
		return s.DatabaseURL
	case "supabase_admin":
		return s.AdminDatabaseURL
	case "supabase_read_only_user":
		return s.ReadOnlyDatabaseURL
	}
	address, err := url.Parse(s.DatabaseURL)
	if err != nil {
		s.t.Fatal(err)
	}
	address.User = url.UserPassword(role, role)
	return address.String()
}

// await waits until a query gives true.
func (s *server) await(sql string) {
	s.t.Helper()
	for s.as("supabase_admin", "select ("+sql+")::text") != "true" {
		select {
		case <-s.t.Context().Done():
			s.t.Fatalf("still not: %s", sql)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// finds returns the codes of what is found in the server by what a role is told.
func (s *server) finds(role string) []string {
	s.t.Helper()
	db, err := postgres.Open(s.address(role))
	if err != nil {
		s.t.Fatal(err)
	}
	defer func() { _ = db.Close(context.WithoutCancel(s.t.Context())) }()
	subject := checks.Subject{Broken: true}
	if subject.Document, err = facts.Ask(s.t.Context(), db, facts.Request{Parts: checks.AskedFacts()}); err != nil {
		s.t.Fatal(err)
	}
	var found []string
	for _, f := range checks.Ask(&subject, checks.Server, checks.Scheduler, checks.Network) {
		found = append(found, f.Code)
	}
	return found
}

// TestReadOnly proves that a database counts as read-only exactly when a session of
// the jobs' owner may not write, whatever is set for whom and however it is spelled.
func TestReadOnly(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	const parameter = "default_transaction_read_only"
	const database, role, all, both = "database postgres", "role postgres", "role all", "role postgres in database postgres"
	for what, set := range map[string]map[string]string{
		"nothing":                       nil,
		"the database":                  {database: "on"},
		"the role":                      {role: "true"},
		"the role, not the database":    {database: "off", role: "yes"},
		"the database, not the role":    {database: "on", role: "off"},
		"the role in the database":      {both: "1", role: "off"},
		"the role, not in the database": {role: "on", both: "off"},
		"everybody":                     {all: "on"},
		"everybody, not the database":   {all: "on", database: "off"},
		"everybody, not the role":       {all: "on", role: "false"},
		"another role":                  {"role authenticator": "on"},
		"shortened":                     {database: "tr"},
		"in capitals":                   {database: "YES"},
	} {
		for whom, value := range set {
			s.exec("begin read write; alter " + whom + " set " + parameter + " = '" + value + "'; commit")
		}
		real := s.as(backup.JobOwner, "show "+parameter) == "on"
		if got := slices.Contains(s.finds("supabase_read_only_user"), "database_read_only"); got != real {
			t.Errorf("%s: it counts as read-only: %t, and is: %t", what, got, real)
		}
		for whom := range set {
			s.exec("begin read write; alter " + whom + " reset " + parameter + "; commit")
		}
	}
	s.exec("alter system set "+parameter+" = on", "select pg_reload_conf()")
	s.await("select setting = 'on' from pg_settings where name = '" + parameter + "'")
	if found := s.finds(backup.JobOwner); !slices.Contains(found, "database_read_only") {
		t.Errorf("read-only by the configuration file, found is %q", found)
	}
}

// TestCronTimezone proves that a time zone counts as GMT exactly when the server's
// clocks in it always show UTC from now on, of all zones that the server has and of
// other spellings. pg_cron has its setting since 1.5; it reads the name as the
// setting TimeZone does, and schedules by pg_localtime. In 1.4, which runs here,
// there is no such setting, and a value under its name means nothing.
func TestCronTimezone(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	zones := strings.Split(s.as("supabase_admin", "select string_agg(name, ' ') from pg_timezone_names where name !~ '^(posix|localtime)'"), " ")
	zones = append(zones, "gmt", "utc", "ZULU", "etc/uct", "gmt0", "GMT+1", "europe/london", "America/Sao_Paulo")
	if len(zones) < 500 {
		t.Fatalf("the server has %d zones", len(zones))
	}
	conn, err := pgx.Connect(t.Context(), s.AdminDatabaseURL)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(context.WithoutCancel(t.Context())) }()
	now := time.Now()
	gmt := 0
	for _, zone := range zones {
		var real bool
		err := conn.QueryRow(t.Context(), `
			with zone as materialized (select set_config('timezone', $1, false))
			select bool_and(extract(timezone from at) = 0) from zone, generate_series($2::timestamptz, $2 + interval '700 days', '7 days') as at`, zone, now).Scan(&real)
		if err != nil {
			t.Fatalf("%s: %v", zone, err)
		}
		subject := checks.Subject{Document: facts.Document{Parameters: map[string]string{"cron.timezone": zone}, Server: facts.Server{Now: now}}}
		found := slices.ContainsFunc(checks.Ask(&subject, checks.Scheduler), func(f checks.Finding) bool { return f.Code == "cron_timezone" })
		if found == real {
			t.Errorf("%s counts as GMT: %t, and is: %t", zone, !found, real)
		}
		if real {
			gmt++
		}
	}
	if gmt < 10 || gmt > 100 {
		t.Errorf("%d of %d zones are GMT", gmt, len(zones))
	}
	// pg_cron 1.4 does not know the setting, so it is anybody's and has no effect. In 1.6
	// it is the server's.
	const change = "alter database postgres set cron.timezone = 'America/Sao_Paulo'"
	if version := s.as(backup.JobOwner, "select extversion from pg_extension where extname = 'pg_cron'"); !strings.HasPrefix(version, "1.4") {
		if _, err := s.Admin().Exec(t.Context(), change); err == nil {
			t.Errorf("pg_cron %s lets a database have a zone of its own", version)
		}
		return
	}
	s.exec(change)
	if found := s.finds(backup.JobOwner); slices.Contains(found, "cron_timezone") {
		t.Errorf("with pg_cron 1.4, found is %q", found)
	}
}

// TestProcesses proves what a role sees of pg_cron's scheduler and of pg_net's
// worker: the name that each reports to everybody, and its kind only with
// pg_read_all_stats; and that every role notices that one is missing.
func TestProcesses(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	s.exec("create role stranger login password 'stranger'")
	const scheduler = "select application_name || ', ' || coalesce(backend_type, 'not to be seen') from pg_stat_activity where application_name = 'pg_cron scheduler'"
	for role, want := range map[string]string{backup.JobOwner: "pg_cron scheduler, pg_cron launcher", "stranger": "pg_cron scheduler, not to be seen"} {
		if got := s.as(role, scheduler); got != want {
			t.Errorf("%s sees %s, not %s", role, got, want)
		}
	}
	roles := []string{backup.JobOwner, "supabase_read_only_user", "stranger"}
	expect := func(code string, missing bool) {
		t.Helper()
		for _, role := range roles {
			if found := s.finds(role); slices.Contains(found, code) != missing {
				t.Errorf("%s finds %q", role, found)
			}
		}
	}
	expect("scheduler_absent", false)
	expect("pg_net_down", false)
	s.StopNetWorker()
	s.await("select not exists (select from pg_stat_activity where application_name like 'pg\\_net%')")
	expect("pg_net_down", true)
	if err := s.UnloadCron(t.Context()); err != nil {
		t.Fatal(err)
	}
	expect("scheduler_absent", true)
}

// TestRunIDs proves that pg_cron's run ids count as behind exactly when the sequence
// gives an id next that the history has, and that pg_cron cannot start a job then:
// it goes through such ids one by one, a crash for each.
func TestRunIDs(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	restore := func(last int, called bool, history int) {
		s.exec("truncate cron.job_run_details", fmt.Sprintf("select setval('cron.runid_seq', %d, %t)", last, called),
			fmt.Sprintf("insert into cron.job_run_details (runid, jobid, command) select n, 1, 'select 1' from generate_series(1, %d) n", history))
	}
	for _, c := range []struct {
		last    int
		called  bool
		history int
	}{{1, false, 0}, {1, true, 0}, {1, false, 1}, {1, true, 1}, {1, false, 5}, {4, true, 5}, {5, false, 5}, {5, true, 5}, {6, false, 5}, {9, true, 5}} {
		restore(c.last, c.called, c.history)
		got := slices.Contains(s.finds("supabase_read_only_user"), "run_ids_behind")
		real := s.as("supabase_admin", "select (nextval('cron.runid_seq') in (select runid from cron.job_run_details))::text") == "true"
		if got != real {
			t.Errorf("%+v: the ids count as behind: %t, and are: %t", c, got, real)
		}
	}
	// pg_cron starts this job whenever its scheduler starts.
	s.exec("select cron.schedule('begin', '@reboot', 'select 1')")
	restore(1, false, 2)
	if err := s.RestartPostgres(t.Context(), false); err != nil {
		t.Fatal(err)
	}
	s.await("select exists (select from cron.job_run_details where runid = 3 and status = 'succeeded')")
	if got := s.as("supabase_admin", "select string_agg(runid || ' ' || coalesce(status, 'restored'), ', ' order by runid) from cron.job_run_details where runid < 4"); got != "1 restored, 2 restored, 3 succeeded" {
		t.Errorf("the history is %s", got)
	}
}
