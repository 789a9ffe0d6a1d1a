package payload_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/aimindset/terraform-provider-aimindset/internal/payload"
)

// outside are the tables that the jobs write outside their schema.
var outside = []string{"net.http_request_queue", "public.system_logs", "public.backup_logs"}

// attach lets a role that may create functions attach code to a table that jobs write,
// and removes it at the end. Each write runs it; what it does is recorded in evil.found
// with the role that it has at that moment.
func (s *scenario) attach(how, code string) {
	s.Helper()
	s.exec(s.T, s.admin, `
		do $$ begin create role attacker nologin; exception when duplicate_object then null; end $$;
		create schema evil authorization attacker;
		grant trigger on `+strings.Join(outside, ", ")+` to attacker;
		set role attacker;
		grant usage on schema evil to public;
		create table evil.found (role text, note text);
		grant all on evil.found to public;
		create table evil.later (n int);
		grant all on evil.later to public;
		create function evil.note(text default '') returns text language plpgsql as $$ begin
			insert into evil.found values (current_user, $1);
			return $1;
		end $$;
		create function evil.deferred() returns trigger language plpgsql as $$ begin
			perform evil.note('deferred');
			return null;
		end $$;
		create constraint trigger later after insert on evil.later deferrable initially deferred for each row execute function evil.deferred();
		create function evil.run() returns trigger language plpgsql as $$ begin
			`+code+`
			return coalesce(new, old);
		end $$;
		reset role`)
	for _, table := range outside {
		s.exec(s.T, s.admin, `set role attacker; create `+how+` on `+table+` for each row execute function evil.run(); reset role`)
	}
	s.Cleanup(func() {
		s.exec(s.T, s.admin, `drop schema evil cascade; revoke trigger on `+strings.Join(outside, ", ")+` from attacker`)
	})
}

// testAttack5 proves that code which another role attaches to pg_net's queue or to the
// log tables never runs as postgres: neither at once, nor after it has changed the role,
// nor when the job commits, nor because postgres finds its functions first.
func (tdb *testDatabase) testAttack5(t *testing.T) {
	for _, c := range []struct {
		name, how, code string
		// refused says that the write does not happen.
		refused string
	}{
		{name: "a trigger", how: "trigger evil before insert or update or delete", code: `perform evil.note('trigger');`},
		{
			name: "reset role", how: "trigger evil before insert or update or delete",
			code: `reset role; perform evil.note('reset');`, refused: `cannot set parameter "role" within security-definer function`,
		},
		{
			name: "set session authorization", how: "trigger evil before insert or update or delete",
			code: `set session authorization postgres; perform evil.note('session');`, refused: `within security-definer function`,
		},
		{name: "a deferred trigger", how: "constraint trigger evil after insert or update or delete", code: `perform evil.note('constraint');`},
		{
			name: "a trigger deferred to the commit", how: "constraint trigger evil after insert or update or delete",
			code: `set constraints all deferred; insert into evil.later values (1);`, refused: "the deferrable trigger later on evil.later would have code of another role run as postgres",
		},
		{
			name: "a cursor", how: "trigger evil before insert or update or delete",
			code:    `execute 'declare held cursor with hold for select evil.note(''cursor'')';`,
			refused: "the cursor held would have code of another role run as postgres",
		},
		{
			name: "a temporary type", how: "trigger evil before insert or update or delete",
			code:    `execute 'create domain pg_temp.jsonb as pg_catalog.jsonb check (evil.note(''domain'') is not null)';`,
			refused: "the temporary object",
		},
		{
			name: "another search path", how: "trigger evil before insert or update or delete",
			code: `perform set_config('search_path', 'evil, pg_catalog', false);`,
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := tdb.newScenario(t)
			s.change(installed, retrySetting("attempts", 0))
			run := s.dispatch("2 06:00")
			s.claim(run)
			s.respond(run, reply{status: 202, headers: ours(), body: fmt.Sprintf(`{"success":null,"state":"running","run_id":%q}`, run)})

			how := strings.Replace(c.how, "constraint trigger evil after insert or update or delete", "trigger evil after insert or update or delete", 1)
			deferrable := ""
			if how != c.how && c.name == "a deferred trigger" {
				how, deferrable = c.how, " deferrable initially deferred"
			}
			s.attach(how, c.code)
			if c.name == "another search path" {
				s.exec(t, s.admin, `set role attacker;
					create function evil.clock_timestamp() returns timestamptz language plpgsql as $f$ begin perform evil.note('clock'); return pg_catalog.clock_timestamp(); end $f$;
					create function evil.now() returns timestamptz language plpgsql as $f$ begin perform evil.note('now'); return pg_catalog.now(); end $f$;
					create function evil.to_jsonb(anyelement) returns jsonb language plpgsql as $f$ begin perform evil.note('to_jsonb'); return pg_catalog.to_jsonb($1); end $f$;
					reset role`)
			}
			if deferrable != "" {
				for _, table := range outside {
					s.exec(t, s.admin, `drop trigger evil on `+table+`; set role attacker; create `+how+` on `+table+deferrable+` for each row execute function evil.run(); reset role`)
				}
				c.refused = "would have code of another role run as postgres"
			}

			// The function's run is interrupted, so the watchdog writes to all three tables.
			summary := one[map[string]any](t, s.owner, `select auto_backup.watch($1, $2)`, s.backup, moment(t, "2 07:00"))
			_, err := s.owner.Exec(t.Context(), `select auto_backup.dispatch($1, 'daily', $2)`, s.backup, moment(t, "3 06:00"))
			problems := fmt.Sprint(summary["problems"], err)
			if c.refused == "" && (summary["problems"] != nil || err != nil) {
				t.Errorf("the watchdog cannot write: %s", problems)
			}
			if !strings.Contains(problems, c.refused) || c.refused != "" && err == nil {
				t.Errorf("the problems are %s, want %q", problems, c.refused)
			}
			roles := column[string](t, s.admin, `select distinct role || ' ' || note from evil.found where role <> 'auto_backup_agent'`)
			if len(roles) > 0 {
				t.Errorf("foreign code ran as %q", roles)
			}
			if ran := one[int](t, s.admin, `select count(*) from evil.found`); c.code == `perform evil.note('trigger');` && ran < 3 {
				t.Errorf("the trigger ran %d times, so this test proves nothing", ran)
			}
			if path := one[string](t, s.owner, `select current_setting('search_path')`); strings.Contains(path, "evil") {
				t.Errorf("the session keeps the search path %s", path)
			}
		})
	}
}

// testAttack14 proves that a trigger function of the application with unqualified names,
// which works where the application writes, works where the watchdog writes.
func (tdb *testDatabase) testAttack14(t *testing.T) {
	s := tdb.newScenario(t)
	s.change(installed, retrySetting("attempts", 0))
	s.exec(t, s.owner, `
		create table public.audit (note text);
		create function public.audit_log() returns trigger language plpgsql security definer as $$ begin
			insert into audit values (tg_table_name);
			return new;
		end $$;
		create trigger audit after insert or update on public.system_logs for each row execute function public.audit_log();
		create trigger audit after update on public.backup_logs for each row execute function public.audit_log()`)
	t.Cleanup(func() {
		s.exec(t, s.owner, `drop table public.audit; drop function public.audit_log() cascade`)
	})
	run := s.dispatch("2 06:00")
	s.accept(run)
	s.watch("2 07:00")
	s.want(
		"run 2 06:00 #1 schedule failed interrupted log:watchdog alert:pending",
		"incident failed 2 06:00 interrupted sent by watchdog calls:1",
		"backup_logs interrompido false 0",
		"system_logs auto_backup_error interrupted by watchdog alert:pending",
		"unsent alert",
	)
	s.exec(t, s.owner, `select auto_backup.settle_alert((select incident_id from auto_backup.incidents where backup = $1), 'delivered', 'watchdog', now())`, s.backup)
	if got := column[string](t, s.owner, `select note from public.audit order by note`); fmt.Sprint(got) != "[backup_logs system_logs system_logs]" {
		t.Errorf("the application's trigger ran for %q", got)
	}
}

// testAgent proves that the role which writes outside the schema may do nothing else,
// that each change of it is named as drift, and that an installation repairs it.
func (tdb *testDatabase) testAgent(t *testing.T) {
	drift := `select coalesce(string_agg(d.key || ': ' || d.value, ' | ' order by d.key), '') from jsonb_each_text(auto_backup.drift()) d`
	if got := one[string](t, tdb.owner, `
		select string_agg(o.object, ', ' order by o.object)
		from (
			select d.deptype::text || ' ' || replace(pg_describe_object(d.classid, d.objid, d.objsubid), 'public.', '') as object
			from pg_shdepend d where d.refobjid = 'auto_backup_agent'::regrole
		) as o`); got != strings.Join([]string{
		"a sequence system_logs_id_seq", "a table backup_logs", "a table system_logs",
		"o function auto_backup.drill_restore(jsonb,timestamp with time zone)", "o function auto_backup.write_outside(text,jsonb)",
		"r policy auto_backup_agent on table backup_logs", "r policy auto_backup_agent on table system_logs",
	}, ", ") {
		t.Errorf("the role has %s", got)
	}
	t.Cleanup(func() { tdb.exec(t, tdb.admin, `drop role more_rights`) })
	for _, c := range []struct{ change, want string }{
		{`alter role auto_backup_agent createdb inherit login`, "role auto_backup_agent: may log in, inherit rights, create roles or databases, replicate, or bypass row level security"},
		// Since PostgreSQL 16, a role can only grant roles that it has made.
		{`set role postgres; create role more_rights; grant more_rights to auto_backup_agent`, "role auto_backup_agent: is a member of more_rights"},
		{`set role postgres; grant auto_backup_agent to anon`, "role auto_backup_agent: has the member anon"},
		{`revoke insert on public.system_logs from auto_backup_agent`, "role auto_backup_agent: lacks INSERT on public.system_logs"},
		{`drop policy auto_backup_agent on public.backup_logs`, "role auto_backup_agent: lacks its policy on public.backup_logs"},
		{`alter function auto_backup.write_outside(text, jsonb) owner to postgres`, "function write_outside(text, jsonb): has owner postgres instead of auto_backup_agent"},
		{`alter function auto_backup.write_outside(text, jsonb) security invoker`, "function write_outside(text, jsonb): has security invoker instead of definer"},
		{`grant execute on function auto_backup.write_outside(text, jsonb) to anon`, "role anon: has EXECUTE on write_outside(text, jsonb)"},
		{`revoke execute on function auto_backup.write_outside(text, jsonb) from postgres`, "role postgres: lacks EXECUTE on write_outside(text, jsonb)"},
		{`alter function auto_backup.drill_restore(jsonb, timestamptz) owner to postgres`, "function drill_restore(jsonb, timestamp with time zone): has owner postgres instead of auto_backup_agent"},
		{`alter function auto_backup.drill_restore(jsonb, timestamptz) security invoker`, "function drill_restore(jsonb, timestamp with time zone): has security invoker instead of definer"},
		{`grant usage on schema auto_backup to auto_backup_agent`, "role auto_backup_agent: has USAGE on schema auto_backup"},
		{
			// As after a restore into a project that does not have the role.
			`alter function auto_backup.write_outside(text, jsonb) owner to postgres; drop owned by auto_backup_agent; drop role auto_backup_agent`,
			"function drill_restore(jsonb, timestamp with time zone): is missing | function write_outside(text, jsonb): has owner postgres instead of auto_backup_agent | role auto_backup_agent: is missing | role postgres: lacks EXECUTE on drill_restore(jsonb, timestamp with time zone)",
		},
	} {
		t.Run(c.change, func(t *testing.T) {
			tdb.exec(t, tdb.admin, c.change+`; reset role`)
			if got := one[string](t, tdb.owner, drift); got != c.want {
				t.Errorf("the drift is %q, want %q", got, c.want)
			}
			tdb.install(t)
			if got := one[string](t, tdb.owner, drift); got != "" {
				t.Errorf("an installation leaves: %s", got)
			}
		})
	}
}

// testAgentRemoved proves that the last removal leaves neither the role nor anything of
// it, and keeps the role if somebody has given it more.
func (tdb *testDatabase) testAgentRemoved(t *testing.T) {
	tdb.exec(t, tdb.owner, `delete from auto_backup.settings; delete from auto_backup.leases`)
	tdb.exec(t, tdb.owner, `create table public.more (n int); grant select on public.more to auto_backup_agent`)
	tdb.exec(t, tdb.owner, payload.LoadDispatcher().Remove)
	exists := `select to_regrole('auto_backup_agent') is not null`
	if !one[bool](t, tdb.owner, exists) {
		t.Error("a role with other rights was dropped")
	}
	tdb.exec(t, tdb.owner, `drop table public.more`)
	tdb.install(t)
	tdb.exec(t, tdb.owner, payload.LoadDispatcher().Remove)
	if one[bool](t, tdb.owner, exists) {
		t.Error("the role is left")
	}
	if left := one[int](t, tdb.owner, `select count(*) from pg_policy where polname = 'auto_backup_agent'`); left != 0 {
		t.Errorf("%d policies are left", left)
	}
	tdb.install(t)
}

// TestAgent runs the tests of the role that writes outside the schema on one stack.
func TestAgent(t *testing.T) {
	t.Parallel()
	tdb := startDatabase(t)
	t.Run("attack 5", tdb.testAttack5)
	t.Run("attack 14", tdb.testAttack14)
	t.Run("the role", tdb.testAgent)
	t.Run("removal", tdb.testAgentRemoved)
}
