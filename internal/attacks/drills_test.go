package attacks_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/aimindset/terraform-provider-aimindset/internal/checks"
)

// valueOfRow is in the tables that are drilled.
const valueOfRow = "KANARIE-7f3a"

// Statements that attackers with SQL run against restore drills.
var (
	claimsDrill = []string{
		`insert into auto_backup.drills (backup, trigger, state, started_at, finished_at) values ('{backup}', 'manual', 'successful', '2036-01-01', '2036-01-01')`,
		`update auto_backup.drills set state = 'successful', code = null, tables = '[]'`,
		`delete from auto_backup.drills`,
		`delete from auto_backup.incidents where kind = 'drill'`,
		`update auto_backup.incidents set recovered_at = now()`,
		`select auto_backup.drill_incident('{backup}', 'successful', null, null, now())`,
		`select auto_backup.drill('{backup}', 'manual')`,
		`select auto_backup.drill_rehearse('[]', '{old}', now(), 1, now())`,
		`select auto_backup.drill_restore('[]', now())`,
		`select * from auto_backup.drill_read('select 1') as r (n int)`,
		`update auto_backup.settings set document = document - 'drill'`,
		`create or replace function auto_backup.drill(backup text, trigger text, at timestamptz) returns jsonb language sql as 'select null::jsonb'`,
		`delete from cron.job where jobname like '%drill%'`,
		`insert into public.system_logs (type, message, context) values ('auto_backup', 'Teste de restauração', '{"backup":"{backup}","drill":"successful","state":"successful"}')`,
	}
	looksForValues = []string{
		`select to_jsonb(d)::text from auto_backup.drills d`,
		`select to_jsonb(i)::text from auto_backup.incidents i`,
		`select to_jsonb(l)::text from public.system_logs l`,
		`select to_jsonb(q)::text || convert_from(q.body, 'UTF8') from net.http_request_queue q`,
		`select query from pg_stat_activity`,
		`select string_agg(c.relname, ' ') from pg_class c where c.relname like 'drill%'`,
		`select auto_backup.drill_layout('{"live":["public","comments"],"copy":["public","backup_comments"]}', 1)`,
	}
	// Whoever calls it becomes postgres if it can, and looks into the vault. Sequences
	// outlast what a drill rolls back.
	lurks = []string{
		`create sequence public.ran_as_agent; create sequence public.ran_as_other; create sequence public.has_read`,
		`grant all on public.ran_as_agent, public.ran_as_other, public.has_read to public`,
		`create function public.lurk(text) returns boolean language plpgsql as $$
			begin
				perform nextval(case current_user when 'auto_backup_agent' then 'public.ran_as_agent' else 'public.ran_as_other' end::regclass);
				begin reset role; exception when others then null; end;
				begin set local role postgres; exception when others then null; end;
				begin
					if exists (select from vault.decrypted_secrets) then perform nextval('public.has_read'); end if;
				exception when others then null; end;
				if current_user <> 'auto_backup_agent' then perform nextval('public.ran_as_other'); end if;
				perform set_config('search_path', 'public, pg_catalog', false);
				return true;
			end $$`,
		`create function public.lurks() returns trigger language plpgsql as $$ begin perform public.lurk('x'); return new; end $$`,
		`create function public.lurking() returns text language plpgsql as $$ begin perform public.lurk('x'); return 'x'; end $$`,
		`create function public.same(uuid, uuid) returns boolean language plpgsql as $$ begin perform public.lurk('x'); return true; end $$`,
		`create operator public.= (leftarg = uuid, rightarg = uuid, function = public.same)`,
		`create function public.format(text, text) returns text language plpgsql as $$ begin perform public.lurk('x'); return ''; end $$`,
		`create function public.hashtextextended(text, int) returns bigint language plpgsql as $$ begin perform public.lurk('x'); return 1; end $$`,
		`create trigger lurks before insert or update on public.comments for each row execute function public.lurks()`,
		`create trigger lurks before insert or update on public.backup_articles for each row execute function public.lurks()`,
	}
)

// drills makes a backup and lets it be drilled.
func (s *site) drills() {
	s.sql(`update public.comments set content = $1, user_name = $1`, valueOfRow)
	s.backupRuns()
	s.watch(time.Minute)
	tables := []map[string]any{}
	for _, table := range []string{"articles", "comments", "feedbacks"} {
		tables = append(tables, map[string]any{"live": []string{"public", table}, "copy": []string{"public", "backup_" + table}})
	}
	text, err := json.Marshal(map[string]any{
		"enabled": true, "timeout_seconds": 120, "max_rows": 100_000, "require_columns": []string{}, "overdue_after_seconds": 8 * 86400, "tables": tables,
	})
	s.must(err)
	s.sql(`update auto_backup.settings set document = jsonb_set(document, '{drill}', $2::jsonb) where backup = $1`, name, string(text))
	s.undo = append(s.undo, func() {
		s.sql(`delete from auto_backup.drills; update auto_backup.settings set document = document - 'drill'`)
	})
}

// unrestorable makes the backup one that a drill fails on.
func (s *site) unrestorable() {
	s.sql(`alter table public.comments add constraint drilled check (content = 'x') not valid`)
	s.undo = append(s.undo, func() { s.sql(`alter table public.comments drop constraint drilled`) })
}

// drill runs a drill that long after the due time, and returns its state and code.
func (s *site) drill(after time.Duration) string {
	return s.asOwner(`select concat_ws(' ', d ->> 'state', d ->> 'code', d ->> 'error') from auto_backup.drill($1, 'manual', $2) d`, name, s.due().Add(after))
}

// drillNoticed checks that a failed drill is recorded and alerted once, and that the
// status shows it.
func (s *site) drillNoticed() error {
	for _, after := range []time.Duration{50, 60, 70} {
		s.watch(after * time.Minute)
		s.settle()
	}
	var wrong []error
	if got := s.text(`select coalesce(string_agg(concat_ws(' ', state, code), ', '), 'none') from auto_backup.drills`); got != "failed drill_check" {
		wrong = append(wrong, fmt.Errorf("the drills are %s", got))
	}
	if got := s.text(`select coalesce(string_agg(concat_ws(' ', code, alert_state, recovered_at), ', '), 'none') from auto_backup.incidents where kind = 'drill'`); got != "drill_check delivered" {
		wrong = append(wrong, fmt.Errorf("the incident is %s", got))
	}
	if got := s.rounds(); got != "1 1" {
		wrong = append(wrong, fmt.Errorf("the subscribers have got %s e-mails", got))
	}
	status := s.status(71 * time.Minute)
	if status.Healthy() || !slices.ContainsFunc(status.Problems, func(p checks.Finding) bool { return p.Code == "drill_failed" }) {
		wrong = append(wrong, fmt.Errorf("the status is %s: %s", status.Condition, status.Summary))
	}
	return all(wrong...)
}

// onDrills are the attacks on restore drills.
func onDrills() (list []attack) {
	for _, r := range []struct {
		attacker string
		by       caller
	}{
		{plainSQL, sqlRole(outsider)}, {authenticatedSQL, sqlRole("authenticated")}, {serviceRoleSQL, sqlRole("service_role")},
		{readOnlySQL, sqlRole("supabase_read_only_user")}, {readOnlyToken, overAPI{func(s *site) string { return s.stack.ReadOnlyAccessToken }}},
	} {
		list = append(list, attack{attacker: r.attacker, aim: forge, what: "Writes, changes and deletes results of restore drills, closes their incident, and replaces what drills.", run: func(s *site) error {
			s.drills()
			s.unrestorable()
			if got := s.drill(40 * time.Minute); got != "failed drill_check public.comments: drilled (6)" {
				s.failf("the drill says %s", got)
			}
			before := s.installed()
			r.by.try(s, s.fill("", claimsDrill...)...)
			return all(s.drillNoticed(), s.unchanged(before))
		}})
	}
	for _, r := range []struct {
		attacker string
		by       caller
	}{{plainSQL, sqlRole(outsider)}, {authenticatedSQL, sqlRole("authenticated")}} {
		list = append(list, attack{attacker: r.attacker, aim: readSecrets, what: "Reads the rows of the backup in the results, alerts and statements of a restore drill that fails on them.", run: func(s *site) error {
			s.drills()
			s.unrestorable()
			s.stopNet()
			s.drill(40 * time.Minute)
			s.watch(50 * time.Minute)
			if !s.holds(`exists (select from net.http_request_queue q where convert_from(q.body, 'UTF8') like '%drill_check%')`) {
				s.failf("no alert is queued")
			}
			if seen := r.by.try(s, s.fill("", looksForValues...)...); strings.Contains(seen, valueOfRow) {
				return errors.New("a value of a row is shown")
			}
			return nil
		}})
	}
	may := func(s *site, give, take string) {
		s.sql(give)
		s.undo = append(s.undo, func() {
			s.sql(take)
			s.sql(`drop owned by ` + outsider + ` cascade; grant create, usage on schema public to ` + outsider)
		})
	}
	return append(list,
		attack{attacker: plainSQL, aim: runCode, what: "Attaches triggers to a table and its backup, and puts code of its own into a CHECK, a default, a generated column, an index, a row policy, a cast and an operator that a restore drill meets.", run: func(s *site) error {
			may(s, `grant trigger on public.comments, public.backup_articles to `+outsider, `
				revoke trigger on public.comments, public.backup_articles from `+outsider+`;
				alter table public.comments disable row level security; alter table public.comments drop constraint if exists lurking; alter table public.articles drop column if exists lurking, drop column if exists made`)
			s.drills()
			sqlRole(outsider).try(s, lurks...)
			// What the application's owner has let it do.
			s.sql(`
				create function public.same_text(text) returns text language plpgsql immutable as $$ begin perform public.lurk($1); return $1; end $$;
				alter function public.same_text(text) owner to ` + outsider + `;
				alter table public.comments add constraint lurking check (public.lurk(content)) not valid;
				create policy lurking on public.comments using (public.lurk(content)); alter table public.comments enable row level security;
				alter table public.articles add lurking text; alter table public.articles alter lurking set default public.lurking();
				alter table public.articles add made text generated always as (public.same_text(slug)) stored;
				create index lurking on public.comments (public.same_text(content)) where public.same_text(content) = 'x';
				select setval('public.ran_as_agent', 1, false), setval('public.ran_as_other', 1, false), setval('public.has_read', 1, false)`)
			s.undo = append(s.undo, func() {
				s.sql(`drop policy lurking on public.comments; drop index public.lurking; alter table public.articles drop column made; drop function public.same_text(text)`)
			})
			if got := s.drill(40 * time.Minute); got != "successful" {
				s.failf("the drill says %s", got)
			}
			if !s.holds(`select is_called from public.ran_as_agent`) {
				s.failf("the code did not run")
			}
			var wrong []error
			if s.holds(`select is_called from public.ran_as_other`) {
				wrong = append(wrong, errors.New("the code has run as another role than auto_backup_agent"))
			}
			if s.holds(`select is_called from public.has_read`) {
				wrong = append(wrong, errors.New("the code has read the vault"))
			}
			return all(wrong...)
		}},
		attack{attacker: plainSQL, aim: runCode, what: "Owns a table of the backup, with a view, a rule or an index in its place: the restore drill does not read it, and names it.", run: func(s *site) error {
			may(s, `alter table public.backup_feedbacks owner to `+outsider, `alter table public.backup_feedbacks owner to postgres`)
			s.drills()
			sqlRole(outsider).try(s, lurks[:4]...)
			sqlRole(outsider).try(s, `create index lurking on public.backup_feedbacks (id) where public.lurk(content) and false`, `alter table public.backup_feedbacks add constraint lurking check (public.lurk(content)) not valid`)
			s.undo = append(s.undo, func() {
				s.sql(`alter table public.backup_feedbacks drop constraint if exists lurking; drop index if exists public.lurking`)
			})
			s.sql(`select setval('public.ran_as_agent', 1, false), setval('public.ran_as_other', 1, false)`)
			if got := s.drill(40 * time.Minute); got != "failed drill_table_foreign public.feedbacks: public.backup_feedbacks" {
				return fmt.Errorf("the drill says %s", got)
			}
			if s.holds(`select is_called from public.ran_as_other`) || s.holds(`select is_called from public.ran_as_agent`) {
				return errors.New("the code has run")
			}
			return nil
		}},
		attack{attacker: authenticatedSQL, aim: exhaust, what: "Locks the tables of the backup for as long as it likes: a restore drill is skipped instead of waiting, and that it does not take place for eight days is an incident.", run: func(s *site) error {
			s.sql(`grant all on public.comments to authenticated`)
			s.drills()
			conn := s.session("authenticated")
			defer conn.Release()
			defer func() { _, _ = conn.Exec(s.ctx, `rollback; reset all; reset role`) }()
			_, err := conn.Exec(s.ctx, `begin; lock table public.comments in access exclusive mode`)
			s.must(err)
			for range 2 {
				if got := s.drill(40 * time.Minute); got != "skipped drill_locked public.comments" {
					return fmt.Errorf("the drill says %s", got)
				}
			}
			overdue := func(after time.Duration) string {
				s.asOwner(`select auto_backup.drill_overdue($1, $2)::text`, name, s.due().Add(after))
				return s.text(`select coalesce(string_agg(code, ' '), 'none') from auto_backup.incidents`)
			}
			if got := overdue(7 * 24 * time.Hour); got != "none" {
				return fmt.Errorf("after seven days there are the incidents %s", got)
			}
			if got := overdue(9 * 24 * time.Hour); got != "drill_overdue" {
				return fmt.Errorf("after nine days there are the incidents %s", got)
			}
			return nil
		}},
		attack{attacker: plainSQL, aim: exhaust, what: "Puts a function that sleeps for an hour into a CHECK that a restore drill evaluates: the drill ends at its time limit, in the test after two seconds, and locks nothing meanwhile.", run: func(s *site) error {
			may(s, `select 1`, `alter table public.comments drop constraint if exists sleeping`)
			s.drills()
			sqlRole(outsider).try(s, `create function public.sleep_on(text) returns boolean language plpgsql as $$ begin perform pg_sleep(3600); return true; end $$`)
			s.sql(`alter table public.comments add constraint sleeping check (public.sleep_on(content)) not valid`)
			s.sql(`update auto_backup.settings set document = jsonb_set(document, '{drill,timeout_seconds}', '2')`)
			conn, err := s.owner.Acquire(s.ctx)
			s.must(err)
			defer conn.Release()
			_, err = conn.Exec(s.ctx, `set statement_timeout = '2s'`)
			s.must(err)
			defer func() { _, _ = conn.Exec(s.ctx, `reset statement_timeout`) }()
			var said string
			s.must(conn.QueryRow(s.ctx, `select concat_ws(' ', d ->> 'state', d ->> 'code') from auto_backup.drill($1, 'manual', $2) d`, name, s.due().Add(40*time.Minute)).Scan(&said))
			if said != "timed_out drill_timed_out" {
				return fmt.Errorf("the drill says %s", said)
			}
			return nil
		}},
	)
}
