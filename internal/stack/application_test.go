package stack

import (
	"context"
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
)

// newTestApplication starts a cluster with the application in it.
func newTestApplication(t *testing.T, opts appOptions) (*cluster, *pgx.Conn) {
	t.Helper()
	c := newTestCluster(t)
	if err := c.createApplication(t.Context(), opts); err != nil {
		t.Fatal(err)
	}
	return c, connect(t, c, "postgres")
}

// backup runs backup_all_data() and returns what it says.
func backup(t *testing.T, conn *pgx.Conn) map[string]any {
	t.Helper()
	var result map[string]any
	if err := json.Unmarshal([]byte(value[string](t, conn, `select backup_all_data()::text`)), &result); err != nil {
		t.Fatal(err)
	}
	return result
}

// Proves that the application has the tables, columns, constraints, triggers and
// rights of production, its flaws among them.
func TestApplicationSchema(t *testing.T) {
	t.Parallel()
	_, conn := newTestApplication(t, appOptions{Articles: 20})

	for name, query := range map[string]string{
		"articles has 28 columns": `select count(*) = 28 from information_schema.columns where table_name = 'articles' and table_schema = 'public'`,
		"columns of backup_logs": `
			select string_agg(attname, ',' order by attnum) = 'id,action_type,created_at,records_affected,details,success'
			from pg_attribute where attrelid = 'backup_logs'::regclass and attnum > 0`,
		"the constraint": `
			select pg_get_constraintdef(oid) like '%backup%restore%' and convalidated
			from pg_constraint where conname = 'backup_logs_action_type_check' and conrelid = 'backup_logs'::regclass`,
		"backup_articles.published is not null": `
			select attnotnull from pg_attribute where attrelid = 'backup_articles'::regclass and attname = 'published'`,
		"articles.published may be null": `
			select not attnotnull from pg_attribute where attrelid = 'articles'::regclass and attname = 'published'`,
		"triggers": `
			select array_agg(tgname::text order by tgname) = '{trigger_app_logs_alert,trigger_system_logs_alert}'
			from pg_trigger where not tgisinternal and tgfoid = 'process_automatic_alert'::regproc`,
		"settings of backup_all_data": `
			select proconfig = '{statement_timeout=10min,synchronous_commit=off,lock_timeout=30s,idle_in_transaction_session_timeout=5min}'
				and prosecdef and provolatile = 'v' and prorettype = 'json'::regtype and proowner = 'postgres'::regrole
			from pg_proc where proname = 'backup_all_data'`,
		"two overloads":   `select count(*) = 2 from pg_proc where proname = 'call_nodejs_email_endpoint'`,
		"two subscribers": `select count(*) = 2 and bool_and(is_active) from alert_subscriptions`,
		"no jobs":         `select count(*) = 0 from cron.job`,
		"leftovers are empty": `
			select (select count(*) from articles_backup) + (select count(*) from comments_backup) + (select count(*) from feedbacks_backup) = 0`,
		"anon may run everything": `
			select bool_and(has_function_privilege('anon', oid, 'execute'))
			from pg_proc where pronamespace = 'public'::regnamespace`,
	} {
		if !value[bool](t, conn, query) {
			t.Errorf("%s: not so", name)
		}
	}
	try(t, conn, map[string]attempt{
		"auto_backup is refused":     {role: "service_role", sql: `insert into backup_logs (action_type) values ('auto_backup')`, state: "23514", message: "backup_logs_action_type_check"},
		"a long type":                {sql: `insert into backup_logs (action_type) values ('auto_backup_critical_error')`, state: "22001"},
		"system_logs takes any type": {role: "service_role", sql: `insert into system_logs (type, message) values ('auto_backup_critical_error', 'x')`},
		"anon reads system_logs":     {sql: `set local role anon; select 1 / count(*) from system_logs`},
		"anon does not write it":     {role: "anon", sql: `insert into system_logs (type, message) values ('x', 'x')`, state: "42501"},
		"but has a function for it":  {role: "anon", sql: `select insert_system_log('backup_success', 'forged')`},
		"anon deletes backups":       {role: "anon", sql: `delete from backup_articles where true`},
		"anon does not see backup_logs": {sql: `insert into backup_logs (action_type) values ('backup'); set local role anon;
			do $$ begin assert not exists (select from backup_logs); end $$`},
		"warning is no level": {sql: `insert into app_logs (level, source, action) values ('warning', 'x', 'x')`, state: "23514"},
		"the broken function": {sql: `select get_cron_job_status()`, state: "42703", message: "run_started"},
		"alerts of three kinds": {sql: `
			insert into system_logs (type, message) values ('error', 'x'), ('auto_backup_error', 'x'), ('auto_backup', 'x');
			insert into app_logs (level, source, action) values ('error', 's', 'a'), ('info', 's', 'a');
			do $$ begin assert (select count(*) = 2 from system_logs where type = 'alert_generated'); end $$`},
		"health writes": {sql: `select check_backup_health();
			do $$ begin assert exists (select from system_logs where type = 'backup_overdue_alert'); end $$`},
		"both mail endpoints": {sql: `select call_nodejs_email_endpoint('["a@b.example"]'::jsonb, '{}'::jsonb), call_nodejs_email_endpoint('{}'::jsonb, array['a@b.example']);
			do $$ begin assert (select count(*) = 2 from net.http_request_queue); end $$`},
		"the rest works": {sql: `
			select test_alert_system(), cleanup_old_logs(0), cleanup_old_logs_enhanced(1), cleanup_old_backups(), get_cron_jobs(), get_cron_runs(),
				get_system_logs(), get_system_logs_stats(), get_backup_logs(5), get_backup_cron_status(), publish_due_articles(), alert_overdue_publications()`},
	})
}

// Proves what backup_all_data() says, writes and leaves when it works and when it
// fails, that failure looks like success from outside, and that what it stored
// is, byte for byte, what was there.
func TestApplicationBackup(t *testing.T) {
	t.Parallel()
	c, conn := newTestApplication(t, appOptions{Articles: 1000})
	for table, least := range map[string]int{"articles": 1000, "comments": 300, "feedbacks": 100} {
		if n := value[int](t, conn, `select count(*) from `+table); n != least {
			t.Errorf("%d rows in %s", n, table)
		}
	}
	if n := value[int](t, conn, `select max(length(content)) from articles`); n < 100_000 {
		t.Errorf("the longest article has %d characters", n)
	}

	result := backup(t, conn)
	keys := slices.Sorted(maps.Keys(result))
	if want := strings.Fields("app_logs_count articles_count backend_logs_count backup_id comments_count feedbacks_count message success system_logs_count total_records"); !slices.Equal(keys, want) {
		t.Errorf("keys: %v", keys)
	}
	if result["success"] != true || result["articles_count"] != 1000.0 || result["comments_count"] != 300.0 || result["feedbacks_count"] != 100.0 {
		t.Errorf("result: %v", result)
	}
	for name, query := range map[string]string{
		"articles are the same": `
			select count(*) = 1000 from articles a join backup_articles b on b.original_id = a.id and b.backup_id = $1
			where (a.title, a.excerpt, a.content, a.tags, a.slug, a.created_at) is not distinct from (b.title, b.excerpt, b.content, b.tags, b.slug, b.created_at)`,
		"comments are the same": `
			select count(*) = 300 from comments a join backup_comments b on b.original_id = a.id and b.backup_id = $1
			where (a.content, a.user_name) = (b.content, b.user_name)`,
		"but their parents are lost": `
			select exists (select from comments where parent_id is not null) and not exists (select from backup_comments where parent_id is not null and backup_id = $1)`,
		"total_records is in the log": `
			select count(*) = 1 from backup_logs where action_type = 'backup' and success and details like '%' || $1::text || '%'
				and records_affected = (select (context ->> 'total_records')::int from system_logs where type = 'backup' and context ->> 'backup_id' = $1::text)`,
		"logs of 30 days": `
			select (select count(*) from system_logs_backup) between 25 and 31 and (select count(*) from backend_logs_backup) between 25 and 31 and $1::uuid is not null`,
	} {
		if !value[bool](t, conn, query, result["backup_id"]) {
			t.Errorf("%s: not so", name)
		}
	}
	again := backup(t, conn)
	if again["success"] != true || again["backup_id"] == result["backup_id"] {
		t.Errorf("the second backup: %v", again)
	}
	if n := value[int](t, conn, `select count(distinct backup_id) from backup_articles`); n != 2 {
		t.Errorf("%d generations", n)
	}
	if restored := value[string](t, conn, `select restore_from_backup() ->> 'success'`); restored != "false" {
		t.Errorf("restored: %s", restored)
	}

	for name, test := range map[string]struct{ breaks, says string }{
		"a renamed column":     {`alter table backup_articles rename column title to titulo`, `column "title" of relation "backup_articles" does not exist`},
		"a missing table":      {`drop table app_logs_backup`, `relation "app_logs_backup" does not exist`},
		"published is null":    {`update articles set published = null where slug = 'artigo-7'`, `null value in column "published"`},
		"a lock is held":       {`alter function backup_all_data() set lock_timeout = '50ms'`, `lock timeout`},
		"DELETE without WHERE": {`create or replace rule r as on insert to backup_articles do instead nothing; create function pg_temp.f() returns trigger language plpgsql as $$ begin raise 'DELETE requires a WHERE clause' using errcode = '21000'; end $$; create trigger t before truncate on backend_logs_backup execute function pg_temp.f()`, `DELETE requires a WHERE clause`},
	} {
		t.Run(name, func(t *testing.T) {
			if strings.Contains(test.breaks, "lock_timeout") {
				reader := connect(t, c, "postgres")
				execute(t, reader, `begin; select count(*) from backend_logs_backup`)
			}
			tx, err := conn.Begin(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = tx.Rollback(context.Background()) }()
			execute(t, conn, test.breaks)
			failed := backup(t, conn)
			if keys := slices.Sorted(maps.Keys(failed)); !slices.Equal(keys, []string{"backup_id", "error", "message", "success"}) {
				t.Errorf("keys: %v", keys)
			}
			if text, _ := failed["error"].(string); failed["success"] != false || !strings.Contains(text, test.says) {
				t.Errorf("result: %v", failed)
			}
			if !value[bool](t, conn, `
				select not exists (select from backup_articles where backup_id = $1)
					and (select count(*) = 1 from backup_logs where not success and action_type = 'backup')
					and (select count(*) = 1 from system_logs where type = 'error')
					and (select count(*) = 1 from system_logs where type = 'alert_generated')`, failed["backup_id"]) {
				t.Error("a failure left other rows than one in backup_logs and two in system_logs")
			}
		})
	}
	if _, err := conn.Exec(t.Context(), `set statement_timeout = '1ms'; select backup_all_data()`); sqlState(t, err) != "57014" {
		t.Errorf("a statement timeout was swallowed: %v", err)
	}
}

// Proves that the legacy jobs are there, and that those for the backup succeed
// for pg_cron though their request goes out without its bearer.
func TestApplicationJobs(t *testing.T) {
	t.Parallel()
	server := newTarget(t)
	c, conn := newTestApplication(t, appOptions{Articles: 20, LegacyJobs: true, ProjectURL: server.URL})
	newTestWorker(t, c)
	jobs := value[string](t, conn, `select string_agg(format('%s %s %s', jobname, schedule, username), E'\n' order by jobid) from cron.job`)
	if want := strings.Join([]string{
		"cleanup_old_logs_job 0 2 * * * postgres",
		"auto-backup-daily 0 6 * * * postgres",
		"auto-backup-secondary 0 18 * * * postgres",
		"publish_due_articles_every_minute * * * * * postgres",
		"alert_overdue_publications_every_5_minutes */5 * * * * postgres",
	}, "\n"); jobs != want {
		t.Errorf("jobs:\n%s", jobs)
	}
	execute(t, conn, `set role anon`)
	if n := value[int](t, conn, `select count(*) from get_cron_jobs() where command like '%Bearer%'`); n != 2 {
		t.Errorf("anon sees the commands of %d backup jobs", n)
	}
	execute(t, conn, `reset role`)
	for _, command := range strings.Split(value[string](t, conn, `select string_agg(command, '@@' order by jobid) from cron.job`), "@@") {
		execute(t, conn, command)
	}
	server.await(t, "/api/auto-backup", 2)
	if got := server.last(); got.method != "POST" || len(got.header["Authorization"]) != 0 {
		t.Errorf("the request: %+v", got)
	}
}
