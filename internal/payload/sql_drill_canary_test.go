package payload_test

import (
	"strings"
	"testing"
)

// canary is a value that no drill may carry out of its table.
const canary = "KANARIE-7f3a"

// TestDrillCanary proves that a value in every text column of the tables of a backup gets
// nowhere by drills of all outcomes: into no row of the closed schema, of the logs, of the
// queue with the alerts or of pg_cron's history, and into no line of the server's log,
// even of one that logs every statement.
func TestDrillCanary(t *testing.T) {
	t.Parallel()
	tdb := startDatabaseWith(t, 30)
	s := tdb.newScenario(t)
	tables := []string{"articles", "comments", "feedbacks"}
	placed := 0
	for _, table := range tables {
		for _, name := range column[string](t, s.admin, `
			select a.attname::text from pg_attribute a
			where a.attrelid = ('public.' || $1)::regclass and a.attnum > 0 and not a.attisdropped and a.atttypid in ('text'::regtype, 'varchar'::regtype)
			and ($1, a.attname) <> ('feedbacks', 'type')`, table) { // a CHECK lists its values
			s.exec(t, s.owner, `update public.`+table+` set `+name+` = $1 || ' `+name+` ' || id`, canary)
			placed++
		}
	}
	if placed < 12 {
		t.Fatalf("the value is in %d columns", placed)
	}
	s.exec(t, s.admin, `
		alter role postgres set log_min_duration_statement = 0; alter role postgres set log_error_verbosity = verbose;
		alter role postgres set log_lock_waits = on; alter role postgres set client_min_messages = debug1; alter role postgres set log_min_messages = debug1`)
	s.owner.Reset()
	s.change(installed, schedule("enabled", false))
	s.change(installed, alertSetting("overdue_after_seconds", 0))
	if got := s.drillApplication("8 06:00", "8 07:30"); got.State != "successful" {
		t.Fatalf("the drill says %s", got)
	}

	calls := 0
	for _, c := range []struct{ change, want string }{
		{`alter table public.comments add lang text not null default 'x'; alter table public.comments alter lang drop default`, "drill_not_null lang"},
		{`alter table public.comments alter lang drop not null; alter table public.comments add constraint no_canary check (content not like 'KANARIE%') not valid`, "drill_check no_canary"},
		{`alter table public.comments drop constraint no_canary; update public.feedbacks set user_id = id; create unique index once on public.feedbacks (left(user_id, 12))`, "drill_unique once"},
		{`drop index once; create table public.names (name text primary key); alter table public.comments add foreign key (user_name) references public.names not valid`, "drill_foreign_key comments_user_name_fkey"},
		{`drop table public.names cascade; update public.comments set content = '1'; alter table public.comments add made int generated always as (content::int) stored`, "drill_type made"},
		{`alter table public.comments drop made, alter content type varchar(3)`, "drill_type content"},
		{`update public.articles set title = '1'; alter table public.articles alter title type int using 1`, "drill_type title"},
		// The key itself cannot be read any more.
		{`alter table public.backup_comments alter original_id type text; update public.backup_comments set original_id = user_name`, "drill_type"},
		{`alter table public.backup_comments alter article_id type text; update public.backup_comments set article_id = user_name`, "drill_type article_id"},
	} {
		s.exec(t, s.admin, c.change)
		got := s.drill("9 07:30", "manual")
		if got.State != "failed" || !strings.Contains(got.String(), c.want) {
			t.Errorf("after %s\nthe drill says %s, want %s", c.change, got, c.want)
		}
		s.watch("9 07:40")
		calls += len(s.alertCalls())
	}
	if calls == 0 {
		t.Error("no alert was queued")
	}
	// Its session ends in the middle.
	s.patient()
	for _, end := range []string{"pg_cancel_backend", "pg_terminate_backend"} {
		release := s.locked("public.articles")
		d := s.startDrill("")
		d.await("Lock")
		s.exec(t, s.admin, "select "+end+"($1)", d.pid)
		_ = d.wait()
		release()
		d.gone()
	}

	for _, relation := range column[string](t, s.admin, `
		select c.oid::regclass::text from pg_class c inner join pg_namespace n on n.oid = c.relnamespace
		where c.relkind in ('r', 'p', 'm', 'v') and n.nspname ~ '^(auto_backup|net|cron|vault)' or c.oid in ('public.system_logs'::regclass, 'public.backup_logs'::regclass)`) {
		body := "x::text"
		if relation == "net.http_request_queue" {
			body = "x::text || convert_from(x.body, 'UTF8')"
		}
		if rows := one[int](t, s.admin, `select count(*) from `+relation+` x where strpos(`+body+`, $1) > 0`, canary); rows > 0 {
			t.Errorf("the value is in %d rows of %s", rows, relation)
		}
	}
	log, err := s.stack.DatabaseLog()
	if err != nil {
		t.Fatal(err)
	}
	// Each entry begins with the time, the process and the role.
	found, ours := 0, false
	for line := range strings.Lines(log) {
		if !strings.HasPrefix(line, "\t") {
			ours = strings.Contains(line, "] postgres ")
		}
		if ours && strings.Contains(line, "auto_backup.drill(") {
			found++
		}
		if ours && strings.Contains(line, canary) {
			t.Errorf("the value is in the log: %.300s", line)
		}
	}
	if found == 0 {
		t.Error("the log does not show the drills")
	}
}
