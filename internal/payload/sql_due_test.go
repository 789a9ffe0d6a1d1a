package payload_test

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// ledger is what the steps offsite, catch_up and notify write of a backup, without what is
// another each time. $1 is the backup.
const ledger = `
	select coalesce(string_agg(l.line, E'\n' order by l.line), '')
	from (
		select 'run ' || (to_jsonb(r) - '{run_id,request_id,posted_at}'::text[])::text from auto_backup.runs r where r.backup = $1
		union all
		select 'schedule ' || (to_jsonb(s) - '{quiet,quiet_for}'::text[])::text from auto_backup.schedules s where s.backup = $1
		union all
		select 'channel ' || to_jsonb(c)::text from auto_backup.channels c where c.backup = $1
		union all
		select 'notice ' || (to_jsonb(n) - '{notice_id,message_id,request_id,posted_at}'::text[])::text from auto_backup.notices n where n.backup = $1
		union all
		select 'export ' || (to_jsonb(e) - '{export_id,call_id,request_id,posted_at}'::text[])::text from auto_backup.exports e where e.backup = $1
		union all
		select 'look ' || (to_jsonb(k) - '{check_id,call_id,request_id,posted_at}'::text[])::text from auto_backup.export_checks k where k.backup = $1
		union all
		select format('incident %s of %s, over %s', i.kind, i.destination, i.recovered_at) from auto_backup.incidents i where i.backup = $1 and i.kind = 'offsite'
	) as l (line)`

// nothingLeftOut proves that a tick of the watchdog calls the steps offsite, catch_up and
// notify where they have something to do: what the step alone would change is changed by a
// tick, too. Both are rolled back.
func (s *scenario) nothingLeftOut(at time.Time) {
	s.Helper()
	ctx := context.Background()
	for step, keys := range map[string][]string{"offsite": {"offsite"}, "catch_up": nil, "notify": {"heartbeat", "webhooks"}} {
		if keys != nil && !slices.ContainsFunc(keys, func(key string) bool { return s.document[key] != nil }) {
			continue
		}
		// after is the ledger after a call, and before what it was.
		changes := func(call string) (before, after string, err error) {
			tx, err := s.owner.Begin(ctx)
			if err != nil {
				s.Fatal(err)
			}
			defer func() { _ = tx.Rollback(ctx) }()
			read := func(into *string) {
				if err == nil {
					err = tx.QueryRow(ctx, ledger, s.backup).Scan(into)
				}
			}
			read(&before)
			if err == nil {
				_, err = tx.Exec(ctx, "select auto_backup."+call+"($1, $2)", s.backup, at)
			}
			read(&after)
			return before, after, err
		}
		before, wanted, err := changes(step)
		if err != nil || wanted == before {
			continue // a tick tells of the error, too
		}
		if _, got, err := changes("watch"); err != nil || got == before {
			s.Errorf("at %s a tick leaves out the step %s (%v), which makes of\n%s\n  this:\n%s", at.Format(time.DateTime), step, err, before, wanted)
		}
	}
}

// steps makes a tick of the watchdog and returns which of its steps it has called.
func (s *scenario) steps(at string) string {
	s.Helper()
	ctx := context.Background()
	tx, err := s.admin.Begin(ctx)
	if err != nil {
		s.Fatal(err)
	}
	defer func() { _ = tx.Rollback(ctx) }()
	if _, err := tx.Exec(ctx, `set local track_functions = 'pl'`); err != nil {
		s.Fatal(err)
	}
	// The session still has the numbers of the transactions before.
	calls := func() map[string]int64 {
		rows, err := tx.Query(ctx, `
			select u.funcname, u.calls from pg_stat_xact_user_functions u
			where u.schemaname = 'auto_backup'
			and u.funcname = any ('{collect,offsite,catch_up,drill_overdue,overdue,retry,recover,alerts,notify,prune}')`)
		if err != nil {
			s.Fatal(err)
		}
		counts := map[string]int64{}
		var name string
		var count int64
		if _, err := pgx.ForEachRow(rows, []any{&name, &count}, func() error { counts[name] = count; return nil }); err != nil {
			s.Fatal(err)
		}
		return counts
	}
	before := calls()
	var summary string
	if err := tx.QueryRow(ctx, `select auto_backup.watch($1, $2)::text`, s.backup, moment(s.T, at)).Scan(&summary); err != nil {
		s.Fatal(err)
	}
	if strings.Contains(summary, "problems") {
		s.Errorf("at %s: %s", at, summary)
	}
	after := calls()
	called := slices.DeleteFunc(slices.Sorted(maps.Keys(after)), func(step string) bool { return after[step] == before[step] })
	if err := tx.Commit(ctx); err != nil {
		s.Fatal(err)
	}
	return strings.Join(called, " ")
}

// TestSQLStepsDue proves when a tick of the watchdog calls the steps for missed runs, for
// copies outside the project and for messages, each of which takes milliseconds: when they
// have something to do, and not when everything was run, copied and told.
func TestSQLStepsDue(t *testing.T) {
	t.Parallel()
	tdb := startDatabase(t)
	t.Run("missed runs", tdb.testCatchUpDue)
	t.Run("copies", tdb.testCopiesDue)
	t.Run("looks", tdb.testLooksDue)
	t.Run("messages", tdb.testMessagesDue)
	t.Run("losses", tdb.testLossesDue)
	t.Run("broken settings", tdb.testDueBroken)
}

// testCatchUpDue proves that a tick looks for a missed run where something was due since a
// tick that found none, after a change of the schedules, after a clock that was wrong, and
// once a day; and that a run which could not be started is started by the next tick.
func (tdb *testDatabase) testCatchUpDue(t *testing.T) {
	s := tdb.newScenario(t)
	expect := func(want bool, ticks ...string) {
		t.Helper()
		for _, at := range ticks {
			s.nothingLeftOut(moment(t, at))
			if called := strings.Contains(s.steps(at), "catch_up"); called != want {
				t.Errorf("at %s a tick looks for missed runs: %t", at, called)
			}
		}
	}
	expect(true, "1 12:10")
	expect(false, "1 12:20", "1 22:00", "2 06:04:59")
	expect(true, "2 06:05") // starts one
	s.want("run 2 06:00 #1 catch_up requested log:- alert:-", "unsent run #1")
	expect(true, "2 06:06")
	expect(false, "2 06:07", "3 06:04")
	expect(true, "1 13:00") // another clock
	s.dispatch("3 06:00")
	expect(true, "3 06:05")
	expect(false, "3 06:06")

	// Another run is under way, so the missed one waits.
	s.exec(t, s.owner, `update auto_backup.runs set requested_at = $2 where backup = $1 and due_at = '2026-03-03 06:00Z'`, s.backup, moment(t, "4 06:04"))
	expect(true, "4 06:05", "4 06:06")
	if got := s.state(); strings.Contains(strings.Join(got, "\n"), "run 4") {
		t.Errorf("two run at the same time: %q", got)
	}
	s.exec(t, s.owner, `update auto_backup.runs set state = 'succeeded', finished_at = $2, code = null where backup = $1 and state <> 'succeeded'`, s.backup, moment(t, "4 06:07"))
	expect(true, "4 06:08")
	if got := s.state(); !strings.Contains(strings.Join(got, "\n"), "run 4 06:00 #1 catch_up") {
		t.Errorf("the missed one is not started: %q", got)
	}
	expect(true, "4 06:09")
	expect(false, "4 06:10")

	s.change("4 06:11", schedule("minutes", []int{30}))
	expect(true, "4 06:12")
	expect(false, "4 06:13", "4 06:34")
	expect(true, "4 06:35", "4 06:36")
	s.change("4 07:00", schedule("months", []int{12}))
	expect(true, "4 07:01")
	expect(false, "4 07:02", "5 07:00")
	expect(true, "5 07:02")
	expect(false, "5 07:03")
	s.change("5 07:04", schedule("enabled", false))
	expect(true, "5 07:05")
	expect(false, "5 07:06", "9 07:06")
}

// ticks makes ticks of the watchdog, given as "2 06:10", and compares the steps that
// they call besides those that every tick calls.
func (s *scenario) ticks(lines ...string) {
	s.Helper()
	for _, line := range lines {
		fields := strings.SplitN(line+" ", " ", 3)
		at := fields[0] + " " + fields[1]
		s.nothingLeftOut(moment(s.T, at))
		got := strings.Fields(s.steps(at))
		got = slices.DeleteFunc(got, func(step string) bool { return step != "offsite" && step != "notify" })
		if want := strings.Fields(fields[2]); !slices.Equal(got, want) {
			s.Errorf("at %s a tick calls %v, want %v", at, got, want)
		}
	}
}

// made records a successful backup.
func (s *scenario) made(at string) {
	s.Helper()
	s.exec(s.T, s.owner, `
		insert into auto_backup.runs (backup, schedule, trigger, due_at, attempt, state, requested_at, posted_at, finished_at, backup_id)
		values ($1, 'daily', 'schedule', $2, 1, 'succeeded', $2, now(), $2, gen_random_uuid())`, s.backup, moment(s.T, at))
}

// copied completes the open copies of a scenario.
func (s *scenario) copied(at string) {
	s.Helper()
	s.exec(s.T, s.owner, `
		update auto_backup.exports set state = 'complete', completed_at = $2, sequence = coalesce(sequence, 1) where backup = $1 and state = 'open'`,
		s.backup, moment(s.T, at))
}

// testCopiesDue proves when a copy is due: for every backup, for the first one of a day and
// for the first one of a week, again where it is to go to another place, and not where the
// retention has removed the newest backup.
func (tdb *testDatabase) testCopiesDue(t *testing.T) {
	s := tdb.newScenario(t)
	s.change(installed, alertSetting("overdue_after_seconds", 0))
	s.exec(t, s.owner, `update auto_backup.settings set document = document || '{"drill": null}' where backup = $1`, s.backup)
	to := func(prefix, period string) map[string]any {
		return destination(every(period), func(d map[string]any) { d["prefix"], d["verify"] = prefix, "write" })
	}
	aim := func(destinations map[string]map[string]any) { s.change(installed, copying(nil, destinations)) }
	aim(map[string]map[string]any{"days": to("d", "daily"), "weeks": to("w", "weekly")})
	s.ticks("1 12:10", "1 12:20")
	s.made("2 06:00") // a Monday
	s.ticks("2 06:10 offsite", "2 06:20 offsite")
	if got := s.exports(); len(got) != 2 {
		t.Errorf("the copies are %q", got)
	}
	s.copied("2 06:25")
	s.ticks("2 06:30", "2 06:40")
	s.made("2 18:00")
	s.ticks("2 18:10") // neither another day nor another week
	s.made("3 06:00")
	s.ticks("3 06:10 offsite") // another day
	s.copied("3 06:15")
	s.ticks("3 06:20")
	s.made("8 06:00") // Sunday
	s.ticks("8 06:10 offsite")
	s.copied("8 06:15")
	s.ticks("8 06:20")
	s.made("9 06:00")
	s.ticks("9 06:10 offsite")
	s.copied("9 06:15")
	s.ticks("9 06:20")
	if got := strings.Join(s.exports(), "\n"); strings.Count(got, "days") != 4 || strings.Count(got, "weeks") != 2 {
		t.Errorf("the copies are\n%s", got)
	}

	aim(map[string]map[string]any{"days": to("elsewhere", "daily"), "weeks": to("w", "weekly")})
	s.ticks("9 06:30 offsite")
	s.copied("9 06:35")
	s.ticks("9 06:40")
	aim(map[string]map[string]any{"all": to("d", "backup")})
	s.ticks("9 06:50 offsite")
	s.copied("9 06:55")
	s.ticks("9 07:00")
	s.made("9 18:00")
	s.ticks("9 18:10 offsite")
	s.copied("9 18:15")
	s.made("10 06:00")
	s.exec(t, s.owner, `update auto_backup.runs set removed_at = finished_at where backup = $1`, s.backup)
	s.ticks("10 06:10")
	// What an incident is about may be over.
	s.exec(t, s.owner, `select auto_backup.offsite_incident($1, 'all', 'offsite_late', null, $2)`, s.backup, moment(t, "10 06:15"))
	s.change(installed, alertSetting("enabled", false))
	s.ticks("10 06:20 offsite")
}

// testLooksDue proves when a look at what is stored is due: a week after the one before, if
// there is anything to look at, and unless the key may only write.
func (tdb *testDatabase) testLooksDue(t *testing.T) {
	s := tdb.newScenario(t)
	s.change(installed, alertSetting("overdue_after_seconds", 0))
	s.change(installed, copying(nil, map[string]map[string]any{"r2": destination(), "writes": destination(func(d map[string]any) { d["verify"], d["prefix"] = "write", "w" })}))
	s.made("2 06:00")
	s.ticks("2 06:10 offsite")
	s.copied("2 06:15")
	s.ticks("2 06:20", "3 06:10")
	s.ticks("3 06:20 offsite", "3 06:30 offsite")
	looked := func(at string) {
		t.Helper()
		s.exec(t, s.owner, `update auto_backup.export_checks set state = 'passed', finished_at = $2 where backup = $1 and state = 'open'`, s.backup, moment(t, at))
	}
	looked("3 06:35")
	s.ticks("3 06:40", "10 06:10", "10 06:20 offsite")
	looked("10 06:25")
	s.ticks("10 06:30")
	if got := one[int](t, s.owner, `select count(*) from auto_backup.export_checks where backup = $1`, s.backup); got != 2 {
		t.Errorf("%d looks", got)
	}
	// The last copy was completed more than 30 days before.
	s.exec(t, s.owner, `update auto_backup.exports set completed_at = '2026-02-01' where backup = $1`, s.backup)
	s.ticks("20 06:10")
}

// testMessagesDue proves when there is something to tell: an outcome, an incident and its
// end, and channels that are others than before; and that nothing is where all was told.
func (tdb *testDatabase) testMessagesDue(t *testing.T) {
	for _, form := range []string{"healthchecks", "plain"} {
		t.Run(form, func(t *testing.T) {
			s := tdb.newScenario(t)
			s.change(installed, retrySetting("attempts", 1))
			s.heard(installed, form, map[string]map[string]any{"ops": webhook("generic")})
			s.ticks("1 12:10 notify", "1 12:20")
			// The start was told with the request, and is settled.
			run := s.dispatch("2 06:00")
			s.accept(run)
			if form == "plain" {
				s.ticks("2 06:01")
			} else {
				s.ticks("2 06:01 notify")
				s.receive("heartbeat", reply{status: 200})
			}
			s.succeed(run)
			s.ticks("2 06:10 notify")
			s.receive("heartbeat", reply{status: 200})
			s.ticks("2 06:20 notify", "2 06:30", "2 06:40")

			// Two attempts fail. Of the first one only the webhook is told, of both the heartbeat.
			s.failure("3 06:00")
			if form != "plain" {
				s.receive("heartbeat", reply{status: 200})
			}
			s.ticks("3 06:01 notify")
			s.receive("webhook/ops", reply{status: 200})
			s.ticks("3 06:02 notify")
			if form == "plain" {
				s.ticks("3 06:20")
				s.respond(s.latest(), reply{status: 500, body: "no"})
				s.ticks("3 06:30", "3 06:40")
			} else {
				s.ticks("3 06:20 notify")
				s.receive("heartbeat", reply{status: 200})
				s.respond(s.latest(), reply{status: 500, body: "no"})
				s.ticks("3 06:30 notify")
				s.receive("heartbeat", reply{status: 200})
				s.ticks("3 06:40 notify", "3 06:50")
			}

			// A backup succeeds again.
			run = s.dispatch("4 06:00")
			if form != "plain" {
				s.receive("heartbeat", reply{status: 200})
			}
			s.accept(run)
			s.succeed(run)
			s.ticks("4 06:10 notify")
			s.receive("heartbeat", reply{status: 200})
			s.receive("webhook/ops", reply{status: 200})
			s.exec(t, s.owner, `update auto_backup.incidents set alert_state = 'off' where backup = $1`, s.backup)
			s.ticks("4 06:20 notify", "4 06:30", "5 05:50")
			want := 3 // a failure and its end, and an outcome
			if form == "plain" {
				want = 2
			}
			if got := len(s.notices()); got < want {
				t.Errorf("the messages are %q", s.notices())
			}

			s.heard("5 05:55", form, map[string]map[string]any{"ops": webhook("generic"), "late": webhook("slack", "overdue")})
			s.ticks("5 05:56 notify", "5 05:57")
			s.exec(t, s.owner, `update auto_backup.channels set since = '2036-01-01' where backup = $1 and event = 'overdue'`, s.backup)
			s.ticks("5 05:58 notify", "5 05:59")
			s.heard("5 05:59", "", nil)
			s.ticks("5 05:59:10 notify", "5 05:59:20")
		})
	}
}

// testLossesDue proves that a loss which a drill has found is told at the next tick, and that
// a drill without a loss leaves nothing to do.
func (tdb *testDatabase) testLossesDue(t *testing.T) {
	s := tdb.newScenario(t)
	s.change(installed, alertSetting("overdue_after_seconds", 0))
	s.heard(installed, "", map[string]map[string]any{"ops": webhook("slack", "fidelity")})
	s.ticks("1 12:10 notify", "1 12:20")
	drill := func(at, missing string) {
		t.Helper()
		s.exec(t, s.owner, `
			insert into auto_backup.drills (backup, trigger, state, started_at, finished_at, tables)
			values ($1, 'manual', 'successful', $2, $2, jsonb_build_array(jsonb_build_object(
				'table', 'public.articles', 'compared', 5, 'columns_lost', '[]'::jsonb, 'rows_missing', $3::text)))`, s.backup, moment(t, at), missing)
	}
	drill("1 12:25", "0")
	s.ticks("1 12:30")
	drill("1 12:35", "2")
	s.ticks("1 12:40 notify")
	s.receive("webhook/ops", reply{status: 200})
	s.ticks("1 12:50 notify", "1 13:00")
	s.noticed("webhook/ops fidelity delivered 1 200")
}

// testDueBroken proves that a step whose settings are no settings is called, and says so.
func (tdb *testDatabase) testDueBroken(t *testing.T) {
	for what, settings := range map[string]string{
		"offsite": `{"offsite": {"destinations": "none"}}`,
		"notify":  `{"webhooks": "none"}`,
	} {
		s := tdb.newScenario(t)
		s.exec(t, s.owner, `update auto_backup.settings set document = document || $2::jsonb where backup = $1`, s.backup, settings)
		summary := one[map[string]any](t, s.owner, `select auto_backup.watch($1, $2)`, s.backup, moment(t, "1 12:10"))
		if got := fmt.Sprint(summary["problems"]); !strings.HasPrefix(got, "["+what+": ") {
			t.Errorf("with %s, the problems are %s", settings, got)
		}
	}
}
