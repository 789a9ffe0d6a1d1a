package payload_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/aimindset/terraform-provider-aimindset/internal/payload"
)

// TestConverge proves for every kind of object in the dispatcher's schema that
// what somebody has done to it is named, that an installation over it leaves
// exactly what a first one does, and that rows stay.
func TestConverge(t *testing.T) {
	t.Parallel()
	tdb := startDatabase(t)
	drift := `select coalesce(string_agg(d.key || ': ' || d.value, ' | ' order by d.key), '') from jsonb_each_text(auto_backup.drift()) d`
	if got := one[string](t, tdb.owner, drift); got != "" {
		t.Fatalf("after an installation: %s", got)
	}
	tdb.exec(t, tdb.admin, `
		set role postgres;
		create role other nologin;
		reset role;
		insert into auto_backup.settings (backup, document, owner) values ('kept', '{}', 'x');
		insert into auto_backup.runs (backup, schedule, trigger, due_at, attempt, state, requested_at) values ('kept', 'daily', 'schedule', now(), 1, 'running', now());
		insert into auto_backup.incidents (backup, kind, schedule, due_at, run_id, code, opened_at, alert_state)
		select backup, 'failed', schedule, due_at, run_id, 'internal', now(), 'off' from auto_backup.runs where backup = 'kept'`)
	const all = "1 settings, 1 runs, 1 incidents"
	for _, c := range []struct {
		tamper, want string
		// rows are what of the rows is left.
		rows string
	}{
		{"alter table auto_backup.runs drop column records cascade", "column runs.records: is missing | view history: is missing", all},
		{"alter table auto_backup.runs drop column posted_at", "column runs.posted_at: is missing", all},
		{"alter table auto_backup.runs drop column due_at cascade", "column runs.due_at: is missing | constraint runs.runs_once: is missing | view history: is missing", "1 settings, 0 runs, 1 incidents"},
		{"alter table auto_backup.incidents drop column incident_id cascade", "column incidents.incident_id: is missing | constraint incidents.incidents_pkey: is missing | view history: is missing", all},
		{"alter table auto_backup.runs rename column code to kode", "column runs.code: is missing | constraint runs.runs_failed: has another definition | view history: has another definition", all},
		{"drop view auto_backup.history; alter table auto_backup.runs alter column records type text", "column runs.records: has type text instead of bigint | view history: is missing", all},
		{"alter table auto_backup.incidents alter column logged drop default, alter column logged drop not null", "column incidents.logged: has default unset instead of false and has required false instead of true", all},
		{"alter table auto_backup.runs add column cost numeric not null default 0; alter table auto_backup.runs alter column cost drop default", "column runs.cost: does not belong there, and every new row has to fill it", all},
		{"alter table auto_backup.runs drop constraint runs_once", "constraint runs.runs_once: is missing", all},
		{"alter table auto_backup.settings drop constraint settings_pkey cascade", "constraint channels.channels_backup_fkey: is missing | constraint drills.drills_backup_fkey: is missing | constraint export_checks.export_checks_backup_fkey: is missing | constraint exports.exports_backup_fkey: is missing | constraint incidents.incidents_backup_fkey: is missing | constraint notices.notices_backup_fkey: is missing | constraint schedules.schedules_backup_fkey: is missing | constraint settings.settings_pkey: is missing | constraint watchdog.watchdog_backup_fkey: is missing", all},
		{"alter table auto_backup.runs drop constraint runs_state_check, add constraint runs_state_check check (state <> 'x')", "constraint runs.runs_state_check: has another definition", all},
		{"alter table auto_backup.runs add constraint mine check (attempt < 2)", "constraint runs.mine: does not belong there", all},
		{"drop index auto_backup.runs_by_age", "index runs_by_age: is missing", all},
		{"create unique index mine on auto_backup.runs (state)", "index mine: does not belong there", all},
		{"drop table auto_backup.watchdog", "table watchdog: is missing", all},
		{"drop table auto_backup.runs cascade", "function call(auto_backup.runs, boolean): is missing | function call_again(auto_backup.runs, timestamp with time zone): is missing | function judge(auto_backup.runs, jsonb, jsonb, jsonb, boolean, timestamp with time zone): is missing | table runs: is missing | view history: is missing", "1 settings, 0 runs, 1 incidents"},
		{"alter table auto_backup.runs owner to other", "table runs: has owner other instead of postgres", all},
		{"alter table auto_backup.runs set unlogged", "table runs: has logged false instead of true", all},
		{"alter table auto_backup.frozen set logged", "table frozen: has logged true instead of false", all},
		{"drop table auto_backup.frozen", "table frozen: is missing", all},
		{"drop table auto_backup.exports cascade", "constraint export_objects.export_objects_export_id_fkey: is missing | function export_next(auto_backup.exports): is missing | function export_renew(bigint, uuid, timestamp with time zone): is missing | table exports: is missing", all},
		{"alter table auto_backup.runs enable row level security", "table runs: has row security true instead of false", all},
		{"create function public.refuse() returns trigger language plpgsql as 'begin return null; end'; create trigger stop before insert on auto_backup.runs for each row execute function public.refuse()", "trigger runs.stop: does not belong there", all},
		{"create rule stop as on insert to auto_backup.runs do instead nothing", "rule runs.stop: does not belong there", all},
		{"drop view auto_backup.history", "view history: is missing", all},
		{"drop view auto_backup.history; set local role postgres; create view auto_backup.history as select 1 as one", "view history: has other columns and has another definition", all},
		{"alter view auto_backup.history owner to other", "view history: has owner other instead of postgres", all},
		{"alter view auto_backup.history set (security_invoker = true)", "view history: has options security_invoker=true instead of unset", all},
		{"drop function auto_backup.plain(text, integer)", "function plain(text, integer): is missing", all},
		{"alter function auto_backup.token_digest(text) security invoker", "function token_digest(text): has security invoker instead of definer", all},
		{"alter function auto_backup.token(text) reset search_path", "function token(text): has settings unset instead of search_path=\"\"", all},
		{"alter function auto_backup.dispatch(text, text, timestamptz) set lock_timeout = '1ms'", "function dispatch(text, text, timestamp with time zone): has settings", all},
		{"alter function auto_backup.token(text) owner to supabase_admin", "function token(text): has owner supabase_admin instead of postgres", all},
		{"set local role postgres; create function auto_backup.dispatch(text, text) returns uuid language sql as 'select null::uuid'", "function dispatch(text, text): does not belong there", all},
		{"drop function auto_backup.plain(text, integer); set local role postgres; create function auto_backup.plain(v text, l integer) returns integer language sql as 'select 1'", "function plain(text, integer): has other arguments and has another body", all},
		{"grant usage on schema auto_backup to anon; grant execute on function auto_backup.token(text) to anon", "role anon: has EXECUTE on token(text); has USAGE on schema auto_backup", all},
		{"grant select (document) on auto_backup.settings to authenticated", "role authenticated: has SELECT on settings.document", all},
		{"grant select on auto_backup.history to public", "role public: has SELECT on history", all},
		{"drop table auto_backup.notices", "table notices: is missing", all},
		{"drop index auto_backup.notices_once", "index notices_once: is missing", all},
		{"revoke execute on function auto_backup.channel_digests(text) from supabase_read_only_user", "role supabase_read_only_user: lacks EXECUTE on channel_digests(text)", all},
		{"revoke execute on function auto_backup.token_digest(text) from supabase_read_only_user", "role supabase_read_only_user: lacks EXECUTE on token_digest(text)", all},
		{"revoke execute on function auto_backup.token(text) from postgres", "role postgres: lacks EXECUTE on token(text)", all},
		{"delete from auto_backup.installation", "table installation: has lost its row", all},
		{"alter table auto_backup.installation drop column objects", "table installation: has lost its row", all},
		{"drop table auto_backup.installation", "schema: cannot be examined: relation \"auto_backup.installation\" does not exist", all},
		{"drop table auto_backup.leases", "table leases: is missing", all},
		{"update auto_backup.codes set advice = 'outro' where code = 'http_402'", "rows of table codes: http_402 has another text", all},
		{"update auto_backup.codes set arises = '{}' where (code, sqlstate) = ('rpc_http', '57014')", "rows of table codes: rpc_http 57014 has another text", all},
		{"delete from auto_backup.codes where code = 'http_*' or sqlstate = '21000'; insert into auto_backup.codes (code, meaning, remedy, reason, advice, arises) values ('mine', '', '', '', '', '{}')", "rows of table codes: http_* is missing, mine does not belong there, rpc_http 21000 is missing", all},
		{"delete from auto_backup.codes", "rows of table codes: backup_empty is missing, ", all},
		{"alter table auto_backup.codes drop constraint codes_pkey; insert into auto_backup.codes table auto_backup.codes", "constraint codes.codes_pkey: is missing", all},
		{"alter table auto_backup.codes alter column arises type text; update auto_backup.codes set arises = 'x'", "column codes.arises: has type text instead of text[]", all},
		{"alter table auto_backup.codes drop column reason", "column codes.reason: is missing", all},
		{"alter table auto_backup.codes add column note text", "", all},
		{"create rule keep as on delete to auto_backup.codes do instead nothing", "rule codes.keep: does not belong there", all},
		{"drop table auto_backup.codes cascade", "function lookup(text, text): is missing | table codes: is missing | view history: is missing", all},
	} {
		tdb.exec(t, tdb.admin, "begin; "+c.tamper+"; commit")
		if got := one[string](t, tdb.owner, drift); !strings.HasPrefix(got, c.want) || c.want == "" && got != "" {
			t.Errorf("%s:\ngot  %s\nwant %s", c.tamper, got, c.want)
		}
		if _, err := tdb.owner.Exec(t.Context(), payload.LoadDispatcher().Install()); err != nil {
			t.Fatalf("%s: %v", c.tamper, err)
		}
		if got := one[string](t, tdb.owner, drift); got != "" {
			t.Errorf("%s: left are %s", c.tamper, got)
		}
		if got := one[string](t, tdb.owner, `select format('%s settings, %s runs, %s incidents',
			(select count(*) from auto_backup.settings), (select count(*) from auto_backup.runs), (select count(*) from auto_backup.incidents))`); got != c.rows {
			t.Errorf("%s: left are %s", c.tamper, got)
		}
		if got := one[string](t, tdb.owner, `select coalesce(string_agg(r.rolname, ', '), '') from pg_auth_members m inner join pg_roles r on r.oid = m.roleid where m.member = 'postgres'::regrole and m.grantor = 'postgres'::regrole and r.rolname = 'other'`); got != "" {
			t.Errorf("%s: postgres stays a member of %s", c.tamper, got)
		}
		if c.rows != all {
			tdb.exec(t, tdb.owner, `insert into auto_backup.runs (backup, schedule, trigger, due_at, attempt, state, requested_at) values ('kept', 'daily', 'schedule', now(), 1, 'running', now())`)
		}
	}
}

// TestConvergeNeedsSuperuser proves that what postgres may not take back is
// refused with the statement that has to be run, and that nothing is changed.
func TestConvergeNeedsSuperuser(t *testing.T) {
	t.Parallel()
	tdb := startDatabase(t)
	for tamper, statement := range map[string]string{
		"alter table auto_backup.runs owner to supabase_admin": "alter table auto_backup.runs owner to postgres",
		"alter schema auto_backup owner to supabase_admin":     "alter schema auto_backup owner to postgres",
	} {
		tdb.exec(t, tdb.admin, tamper)
		_, err := tdb.owner.Exec(t.Context(), payload.LoadDispatcher().Install())
		var refused *pgconn.PgError
		if !errors.As(err, &refused) || !strings.Contains(refused.Message, "supabase_admin") || !strings.HasSuffix(refused.Hint, "run: "+statement) {
			t.Errorf("%s: %v", tamper, err)
		}
		tdb.exec(t, tdb.admin, statement)
	}
	tdb.install(t)
}

// TestUnschedule proves that a job of another role is removed, whether the role
// is there, has lost its way to pg_cron, or does not exist; that no role and no
// right is left behind; and that a superuser's job is refused with the statement
// that has to be run.
func TestUnschedule(t *testing.T) {
	t.Parallel()
	tdb := startDatabase(t)
	tdb.exec(t, tdb.admin, `
		set role postgres;
		create role "Other one" nologin;
		reset role;
		insert into cron.job (schedule, command, nodename, nodeport, database, username, active, jobname)
		select '0 0 1 1 *', 'select 1', 'localhost', 5432, 'postgres', u, false, 'duplicate'
		from unnest(array['Other one', 'service_role', 'nobody there', 'postgres', 'supabase_admin']) u`)
	roles := `select string_agg(r.rolname || '>' || coalesce(m.member::regrole::text, ''), ',' order by r.rolname, m.member::regrole::text) || (select nspacl::text from pg_namespace where nspname = 'cron') from pg_roles r left join pg_auth_members m on m.roleid = r.oid`
	before := one[string](t, tdb.admin, roles)
	remove := `select auto_backup.unschedule((select jsonb_agg(j.jobid) from cron.job j where j.jobname = 'duplicate' and j.username <> $1))`
	tdb.exec(t, tdb.owner, remove, "supabase_admin")
	if got := one[string](t, tdb.admin, `select string_agg(username, ',') from cron.job where jobname = 'duplicate'`); got != "supabase_admin" {
		t.Errorf("left are the jobs of %s", got)
	}
	if after := one[string](t, tdb.admin, roles); after != before {
		t.Errorf("the roles were\n%s\nand are\n%s", before, after)
	}
	id := one[int64](t, tdb.admin, `select jobid from cron.job where jobname = 'duplicate'`)
	_, err := tdb.owner.Exec(t.Context(), remove, "")
	var refused *pgconn.PgError
	if !errors.As(err, &refused) || !strings.Contains(refused.Message, "belongs to role supabase_admin") || !strings.HasSuffix(refused.Hint, fmt.Sprintf("run: select cron.unschedule(%d)", id)) {
		t.Errorf("a superuser's job: %v", err)
	}
	if user := one[string](t, tdb.owner, "select current_user::text"); user != "postgres" {
		t.Errorf("the session goes on as %s", user)
	}
}

// TestReinstallLocks proves that an installation over one that needs no change takes
// no lock on a relation for which a plan, a status, a tick or a backup would wait. Such
// a lock would delay them, and as scripts and readers lock in different orders, the
// two could deadlock.
func TestReinstallLocks(t *testing.T) {
	t.Parallel()
	tdb := startDatabase(t)
	tx, err := tdb.owner.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback(context.WithoutCancel(t.Context())) //nolint:errcheck // nothing to keep
	rows, _ := tx.Query(t.Context(), "select c.oid from pg_class c")
	before, err := pgx.CollectRows(rows, pgx.RowTo[uint32])
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec(t.Context(), payload.LoadDispatcher().Install()); err != nil {
		t.Fatal(err)
	}
	const locks = `
		select c.relname || ': ' || l.mode
		from pg_locks l
		inner join pg_class c on c.oid = l.relation
		where l.pid = pg_backend_pid() and l.locktype = 'relation' and c.oid = any ($1)
		and l.mode in ('ShareLock', 'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock')
		order by 1`
	rows, _ = tx.Query(t.Context(), locks, before)
	taken, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	if len(taken) > 0 {
		t.Errorf("a second installation locks %s", strings.Join(taken, ", "))
	}

	if _, err := tx.Exec(t.Context(), "alter table auto_backup.runs add column scratch text"); err != nil {
		t.Fatal(err)
	}
	rows, _ = tx.Query(t.Context(), locks, before)
	if taken, err = pgx.CollectRows(rows, pgx.RowTo[string]); err != nil || len(taken) == 0 {
		t.Errorf("the test sees no lock of an ALTER TABLE (%v)", err)
	}
}
