package payload_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/aimindset/terraform-provider-aimindset/internal/payload"
)

// testForeignLocks proves that no role can stop the watchdog, a manual run or an
// installation with advisory locks, which every role can hold: not with those that an
// earlier version took, and there are no others to guess. This is attack 7.
func (tdb *testDatabase) testForeignLocks(t *testing.T) {
	ctx := context.Background()
	s := tdb.newScenario(t)
	attacker, err := tdb.admin.Acquire(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer attacker.Release()
	tdb.exec(t, tdb.admin, `select 1`)
	for _, statement := range []string{
		`set role supabase_read_only_user`,
		`select pg_advisory_lock(hashtextextended(key, 0))
			from (values ('auto_backup'), ('auto_backup.watch ` + s.backup + `'), ('auto_backup.run_now ` + s.backup + `')) as v (key)`,
	} {
		if _, err := attacker.Exec(ctx, statement); err != nil {
			t.Fatal(err)
		}
	}
	defer func() {
		if _, err := attacker.Exec(ctx, `select pg_advisory_unlock_all(); reset role`); err != nil {
			t.Error(err)
		}
	}()

	if summary := s.watch("2 06:30"); summary["skipped"] != nil {
		t.Errorf("the watchdog stands back: %v", summary)
	}
	for what, script := range map[string]string{
		"a manual run":                 `select auto_backup.run_now('` + s.backup + `')`,
		"a tick of the watchdog":       `select auto_backup.watch('` + s.backup + `')`,
		"a tick of a schedule":         `select auto_backup.dispatch('` + s.backup + `', 'daily')`,
		"acquiring a lease":            `select auto_backup.acquire('` + s.backup + `', 'h', 'p', interval '1 minute')`,
		"an installation of the lease": payload.LoadDispatcher().Lease(),
		"an installation":              payload.LoadDispatcher().Install(),
		"a removal":                    payload.LoadDispatcher().Remove,
	} {
		t.Run(what, func(t *testing.T) {
			tx, err := tdb.owner.Begin(ctx)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = tx.Rollback(ctx) }()
			if _, err := tx.Exec(ctx, `set local lock_timeout = '2s'; `+script); err != nil {
				t.Fatal(err)
			}
			held, err := pgx.CollectOneRow(must(tx.Query(ctx, `select count(*) from pg_locks where locktype = 'advisory' and pid = pg_backend_pid()`)), pgx.RowTo[int])
			if err != nil || held != 0 {
				t.Errorf("it holds %d advisory locks: %v", held, err)
			}
		})
	}
}

// must returns a value whose error shows when it is used.
func must[T any](value T, _ error) T { return value }

// testScriptsWait proves that of two scripts which install or remove, the second one
// waits for the end of the first, also if there is no schema yet.
func (tdb *testDatabase) testScriptsWait(t *testing.T) {
	ctx := context.Background()
	d := payload.LoadDispatcher()
	first, err := tdb.owner.Begin(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = first.Rollback(ctx) }()
	if _, err := first.Exec(ctx, d.Lock); err != nil {
		t.Fatal(err)
	}
	second, err := tdb.owner.Acquire(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer second.Release()
	pid := int(second.Conn().PgConn().PID())
	done := make(chan error, 1)
	go func() {
		_, err := second.Exec(ctx, d.Lock)
		done <- err
	}()
	for waits := false; !waits; {
		select {
		case err := <-done:
			t.Fatalf("the second script does not wait: %v", err)
		default:
			waits = one[bool](t, tdb.admin, `select exists (select from pg_locks where pid = $1 and not granted)`, pid)
		}
	}
	if err := first.Commit(ctx); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Errorf("after the first script the second one fails: %v", err)
	}
	if left := one[int](t, tdb.owner, `select count(*) from pg_namespace where nspname = 'auto_backup_lock'`); left != 0 {
		t.Error("the lock's schema is left")
	}
}

// testFutureRuns proves that one success that a wrong clock dates 2036 silences nothing:
// for 40 days after it, each missed tick is caught up, each failure is retried and
// alerted, the time without a success is noticed, and the watchdog says what it ignores.
// This is attack 10.
func (tdb *testDatabase) testFutureRuns(t *testing.T) {
	s := tdb.newScenario(t)
	s.succeed(s.dispatch("2 06:00"))
	s.watch("2 06:10")

	future := time.Date(2036, 1, 1, 6, 0, 0, 0, time.UTC)
	run := one[string](t, s.owner, `select auto_backup.dispatch($1, 'daily', $2)::text`, s.backup, future)
	s.succeed(run)
	one[map[string]any](t, s.owner, `select auto_backup.watch($1, $2)`, s.backup, future.Add(20*time.Minute))
	s.exec(t, s.owner, `update auto_backup.runs set finished_at = $2 where run_id = $1::uuid`, run, future.Add(time.Minute))
	if state := one[string](t, s.owner, `select state from auto_backup.runs where run_id = $1::uuid`, run); state != "succeeded" {
		t.Fatalf("the run of 2036 is %s", state)
	}
	if runs := one[int](t, s.owner, `select count(*) from auto_backup.runs where backup = $1 and requested_at < '2030-01-01'`, s.backup); runs != 1 {
		t.Fatal("the history is pruned by the wrong clock")
	}

	day := moment(t, "3 06:00")
	for n := range 40 {
		// The job does not tick, and what the watchdog starts comes to nothing.
		for _, at := range []time.Duration{20 * time.Minute, 40 * time.Minute, time.Hour, 80 * time.Minute} {
			summary := one[map[string]any](t, s.owner, `select auto_backup.watch($1, $2)`, s.backup, day.Add(at))
			if fmt.Sprint(summary["future"]) != "1" {
				t.Fatalf("on day %d the watchdog does not name the run of 2036: %v", n, summary)
			}
			s.exec(t, s.admin, `delete from net.http_request_queue`)
		}
		day = day.AddDate(0, 0, 1)
	}
	counts := one[map[string]any](t, s.owner, `
		select jsonb_build_object(
			'attempts', (select count(*) from auto_backup.runs r where r.backup = $1 and r.state = 'failed'),
			'failed', (select count(*) from auto_backup.incidents i where i.backup = $1 and i.kind = 'failed'),
			'overdue', (select count(*) from auto_backup.incidents i where i.backup = $1 and i.kind = 'overdue'),
			'recovered', (select count(*) from auto_backup.incidents i where i.backup = $1 and i.recovered_at is not null)
		)`, s.backup)
	if want := "map[attempts:80 failed:40 overdue:1 recovered:0]"; fmt.Sprint(counts) != want {
		t.Errorf("after 40 days there are %v, want %s", counts, want)
	}
}

// testOpenRunOfTheFuture proves that a run that a wrong clock requested in 2036 is closed
// by the real time of its request, and blocks neither a retry nor a missed tick.
func (tdb *testDatabase) testOpenRunOfTheFuture(t *testing.T) {
	for _, posted := range []string{"2026-03-01 20:00Z", "2036-01-01 06:00Z"} {
		s := tdb.newScenario(t)
		s.exec(t, s.owner, `
			insert into auto_backup.runs (backup, schedule, trigger, due_at, attempt, state, requested_at, posted_at)
			values ($1, 'manual', 'manual', '2036-01-01', 1, 'requested', '2036-01-01 06:00Z', $2::timestamptz)`, s.backup, posted)
		s.watch("2 06:10")
		if got := column[string](t, s.owner, `select concat_ws(' ', state, code, finished_at <= $2) from auto_backup.runs where backup = $1 order by due_at desc`,
			s.backup, moment(t, "2 06:10")); fmt.Sprint(got) != "[failed no_answer t requested]" {
			t.Errorf("posted at %s, the runs are %q", posted, got)
		}
	}
}

// testFloods proves that rows of many megabytes which others write about a run cost the
// watchdog nothing, whatever they are compressed to, and that it limits how many rows it
// reads. This is attack 9.
func (tdb *testDatabase) testFloods(t *testing.T) {
	s := tdb.newScenario(t)
	s.change(installed, retrySetting("attempts", 0))
	run := s.dispatch("2 06:00")
	s.claim(run)
	t.Cleanup(func() {
		for _, table := range []string{"public.system_logs", "net._http_response", "net.http_request_queue"} {
			tdb.exec(t, tdb.admin, `truncate `+table)
		}
	})
	for _, size := range []int{4_000_000, 1_300_000} {
		text := fmt.Sprintf(`repeat('x', %d)`, size)
		s.forged("service_role", `insert into public.system_logs (type, message, context)
			select 'auto_backup', 'm', jsonb_build_object('run_id', $1::text, 'signature', repeat('a', 64), 'error', `+text+`) from generate_series(1, 240)`, run)
		tdb.exec(t, tdb.admin, `insert into net._http_response (id, status_code, headers, content, timed_out, created)
			select request_id, 200, jsonb_build_object('x', `+text+`), '{"run_id":"other","x":"' || `+text+` || '"}', false, posted_at
			from auto_backup.runs, generate_series(1, 24) where run_id = $1::uuid`, run)
		tdb.exec(t, tdb.admin, `insert into net.http_request_queue (id, method, url, headers, body, timeout_milliseconds)
			select request_id, 'POST', 'http://127.0.0.1:9', '{}', convert_to(`+text+`, 'UTF8'), 1
			from auto_backup.runs, generate_series(1, 24) where run_id = $1::uuid`, run)
	}
	// What is out of line is read from another table, of which PostgreSQL counts the blocks
	// of each transaction.
	const blocks = `
		select sum(pg_stat_get_xact_blocks_fetched(c.reltoastrelid))::bigint from pg_class c
		where c.oid in ('public.system_logs'::regclass, 'net._http_response'::regclass, 'net.http_request_queue'::regclass)`
	err := pgx.BeginFunc(t.Context(), tdb.owner, func(tx pgx.Tx) error {
		var watched, read int
		if _, err := tx.Exec(t.Context(), `select auto_backup.watch($1, $2)`, s.backup, moment(t, "2 06:01")); err != nil {
			return err
		}
		if err := tx.QueryRow(t.Context(), blocks).Scan(&watched); err != nil {
			return err
		}
		if watched > 0 {
			t.Errorf("the watchdog has read the large texts: %d blocks", watched)
		}
		if _, err := tx.Exec(t.Context(), `select length(context::text) from public.system_logs where pg_column_size(context) > 10000 limit 1`); err != nil {
			return err
		}
		if err := tx.QueryRow(t.Context(), blocks).Scan(&read); err != nil {
			return err
		}
		if read == 0 {
			t.Error("the blocks of a text that was read are not counted")
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}

	s.forged("service_role", `insert into public.system_logs (type, message, context)
		select 'auto_backup', 'm', jsonb_build_object('run_id', $1::text) from generate_series(1, 10001)`, run)
	s.watch("2 06:02", "public.system_logs has more than 10000 rows about runs in progress")
	s.exec(t, tdb.admin, `truncate public.system_logs`)
	s.succeed(run)
	s.watch("2 06:03")
	if state := one[string](t, s.owner, `select state from auto_backup.runs where run_id = $1::uuid`, run); state != "succeeded" {
		t.Errorf("after the flood the run is %s", state)
	}
}

// testSharedLines proves that a text from elsewhere becomes the line that the Edge
// Function and the provider make of it, without anything that an e-mail would not show
// or would show turned round.
func (tdb *testDatabase) testSharedLines(t *testing.T) {
	content, err := os.ReadFile("../text/testdata/lines.json")
	if err != nil {
		t.Fatal(err)
	}
	var lines [][2]string
	if err := json.Unmarshal(content, &lines); err != nil || len(lines) < 20 {
		t.Fatalf("%d lines: %v", len(lines), err)
	}
	for _, line := range lines {
		if got := one[string](t, tdb.owner, `select auto_backup.plain($1)`, line[0]); got != line[1] {
			t.Errorf("%q: got %q, want %q", line[0], got, line[1])
		}
	}
}

// testForeignCodes proves that a code from elsewhere which is not one, and so could be
// HTML or text, reaches neither the run history nor an e-mail, not even if it is signed.
// This is attack 3.
func (tdb *testDatabase) testForeignCodes(t *testing.T) {
	for _, code := range []string{"<img src=x>", "internal\u202e", "two words", "", strings.Repeat("x", 61)} {
		s := tdb.newScenario(t)
		s.change(installed, retrySetting("attempts", 0))
		run := s.dispatch("2 06:00")
		s.claim(run)
		s.fail(run, code, `{"state":"<b>"}`)
		s.watch("2 06:10")
		if got := one[string](t, s.owner, `select concat_ws(' ', code, function_alert) from auto_backup.runs where run_id = $1::uuid`, run); got != "function_failed" {
			t.Errorf("%q becomes %q in the history", code, got)
		}
		calls := s.alertCalls()
		if len(calls) != 1 || calls[0]["details"].(map[string]any)["code"] != "function_failed" {
			t.Errorf("%q becomes %v in the alert", code, calls)
		}
	}
}

// patience sets for how long the watchdog waits for a lock, and returns what undoes that.
func (s *scenario) patience(limit string) (undo func()) {
	s.Helper()
	set := func(limit string) {
		s.exec(s.T, s.owner, `alter function auto_backup.watch(text, timestamptz) set lock_timeout = '`+limit+`'`)
	}
	set(limit)
	return func() { set("5s") }
}

// testLockedLogs proves that a lock on both logs hinders neither a tick of a schedule nor
// the rest of a tick of the watchdog, which says who holds it and goes on when the lock is
// gone. This is attack 15.
func (tdb *testDatabase) testLockedLogs(t *testing.T) {
	ctx := t.Context()
	s := tdb.newScenario(t)
	s.change(installed, retrySetting("attempts", 0))
	s.dispatch("2 06:00")
	s.succeed(s.latest())
	defer s.patience("300ms")()
	lock, err := tdb.admin.Begin(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = lock.Rollback(ctx) }()
	if _, err := lock.Exec(ctx, `set local application_name = 'psql'; lock table public.backup_logs, public.system_logs in access exclusive mode`); err != nil {
		t.Fatal(err)
	}
	held := fmt.Sprintf("which process %d has locked (role supabase_admin, psql, idle in transaction, since ", lock.Conn().PgConn().PID())
	s.watch("2 06:20", "public.backup_logs cannot be read: canceling statement due to lock timeout, "+held, "public.system_logs cannot be read: canceling statement due to lock timeout, "+held,
		"public.system_logs cannot be written: canceling statement due to lock timeout, "+held)
	if run := s.dispatch("3 06:00"); run == "" {
		t.Error("the next tick starts no run")
	}
	if err := lock.Rollback(ctx); err != nil {
		t.Fatal(err)
	}
	s.watch("3 06:01")
	if state := one[string](t, s.owner, `select string_agg(state, ' ' order by due_at) from auto_backup.runs where backup = $1`, s.backup); state != "succeeded requested" {
		t.Errorf("after the lock the runs are %s", state)
	}
}

// testLockedRows proves that where the watchdog may read but not write, because of
// another session's lock on a table or on a row, it says what it could not write and who
// holds the lock, and writes it at a later tick where that is still of use.
func (tdb *testDatabase) testLockedRows(t *testing.T) {
	ctx := t.Context()
	s := tdb.newScenario(t)
	s.change(installed, retrySetting("attempts", 0))
	defer s.patience("300ms")()
	// A reader began earlier, and holds nothing up.
	reader, err := tdb.admin.Begin(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = reader.Rollback(ctx) }()
	if _, err := reader.Exec(ctx, `select from public.backup_logs, public.system_logs, auto_backup.runs, auto_backup.incidents limit 1`); err != nil {
		t.Fatal(err)
	}
	// watch is a tick while another session has a lock.
	watch := func(at, lock string, problems ...string) {
		t.Helper()
		tx, err := tdb.admin.Begin(ctx)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = tx.Rollback(ctx) }()
		if _, err := tx.Exec(ctx, `set local application_name = 'migration'; `+lock); err != nil {
			t.Fatal(err)
		}
		for i, problem := range problems {
			problems[i] = strings.NewReplacer(
				"timeout", "canceling statement due to lock timeout",
				"process", fmt.Sprintf("process %d", tx.Conn().PgConn().PID()),
			).Replace(problem) + " (role supabase_admin, migration, idle in transaction, since "
		}
		s.watch(at, problems...)
	}
	const rows, table = ": timeout, where process has locked rows", ": timeout, which process has locked"

	s.claim(s.dispatch("2 06:00"))
	// Behind the reader somebody waits for the whole table, and everybody else behind them.
	waiting, err := tdb.admin.Acquire(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer waiting.Release()
	pid, ended := waiting.Conn().PgConn().PID(), make(chan error, 1)
	go func() {
		_, err := waiting.Exec(ctx, `truncate public.system_logs`)
		ended <- err
	}()
	for !one[bool](t, s.admin, `select exists (select from pg_locks where pid = $1 and not granted)`, pid) {
		select {
		case err := <-ended:
			t.Fatalf("nothing is waited for: %v", err)
		default:
		}
	}
	s.watch("2 06:10", fmt.Sprintf("public.system_logs cannot be read: canceling statement due to lock timeout, which process %d is about to lock (role supabase_admin, ", pid))
	one[bool](t, s.admin, `select pg_cancel_backend($1)`, pid)
	if err := <-ended; err == nil {
		t.Error("the wait has ended by itself")
	}

	watch("2 06:20", `select from auto_backup.runs for update`, "collect"+rows)
	watch("2 06:30", `select from public.backup_logs for update; lock table public.system_logs in share mode`,
		"public.backup_logs cannot be written"+rows, "public.system_logs cannot be written"+table)
	s.want(
		"run 2 06:00 #1 schedule failed interrupted log:- alert:pending",
		"incident failed 2 06:00 interrupted sent by watchdog calls:1",
		"backup_logs iniciado false 0",
		"unsent run #1",
		"unsent alert",
	)
	watch("2 06:40", `lock table public.system_logs in share mode`, "public.system_logs cannot be written"+table)
	s.watch("2 06:50")
	s.answerAlert(delivered())
	watch("2 07:00", `select from auto_backup.incidents for update`, "alerts"+rows)
	watch("2 07:10", `select from public.system_logs for update`, "public.system_logs cannot be written"+rows)
	s.want(
		"run 2 06:00 #1 schedule failed interrupted log:watchdog alert:delivered",
		"incident failed 2 06:00 interrupted delivered by watchdog calls:1",
		"backup_logs interrompido false 0",
		"system_logs auto_backup_error interrupted by watchdog alert:pending",
		"unsent run #1",
	)

	// Only the row that the panel shows is locked, for two ticks.
	s.claim(s.dispatch("3 06:00"))
	watch("3 06:20", `select from public.backup_logs for update`, "public.backup_logs cannot be written"+rows)
	watch("3 06:30", `select from public.backup_logs for update`, "public.backup_logs cannot be written"+rows)
	shown := func() string {
		return one[string](t, s.admin, `select substring(l.details from '^Backup automático \w+') from public.backup_logs l inner join auto_backup.runs r on r.run_id = l.id where r.backup = $1 and r.due_at = $2 and r.code = 'interrupted'`, s.backup, moment(t, "3 06:00"))
	}
	if got := shown(); got != "Backup automático iniciado" {
		t.Errorf("the locked row says %s", got)
	}
	s.watch("3 06:40")
	if got := shown(); got != "Backup automático interrompido" {
		t.Errorf("once it can be written, the row says %s", got)
	}

	// Every role that may delete from pg_net's queue can lock it.
	queue, err := tdb.admin.Begin(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = queue.Rollback(ctx) }()
	if _, err := queue.Exec(ctx, `lock table net.http_request_queue in share mode`); err != nil {
		t.Fatal(err)
	}
	tx, err := tdb.owner.Begin(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tx.Rollback(ctx) }()
	_, err = tx.Exec(ctx, `set local lock_timeout = '300ms'; select auto_backup.post('`+s.backup+`', '{}', 1000)`)
	var refused *pgconn.PgError
	if want := fmt.Sprintf("auto_backup: net.http_request_queue cannot be written: canceling statement due to lock timeout, which process %d has locked (role supabase_admin, ", queue.Conn().PgConn().PID()); !errors.As(err, &refused) || refused.Code != "55P03" || !strings.HasPrefix(refused.Message, want) {
		t.Errorf("a request that cannot be queued says %v, want %q", err, want)
	}
}
