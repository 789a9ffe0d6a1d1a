package payload_test

import (
	"context"
	"fmt"
	"testing"
	"time"
)

// testOutcomes proves that the history shows what the function has logged of a run
// before the watchdog has looked; that it shows what is recorded where nothing is
// logged or the logs cannot be read; that whoever may read the view needs no other
// right; and that nothing is written.
func (tdb *testDatabase) testOutcomes(t *testing.T) {
	const line = `select concat_ws(' | ', state, what_happened, records, backup_id, log, log_state, alert, alert_state) from auto_backup.history where run_id = $1::uuid`
	const made = "succeeded | The backup was made: 321 records. | 321 | " + backupID + " | written by the function | function"
	const asked, taken = "requested | The request is made; there is no answer yet.", "running | The function has taken the run and is working."
	for name, c := range map[string]struct {
		does func(s *scenario, run string)
		want string
	}{
		"nothing":  {func(*scenario, string) {}, asked},
		"lost":     {func(s *scenario, run string) { s.lose(run) }, asked},
		"accepted": {func(s *scenario, run string) { s.accept(run) }, asked},
		"refused":  {func(s *scenario, run string) { s.respond(run, reply{status: 401, headers: ours()}) }, asked},
		"success":  {func(s *scenario, run string) { s.accept(run); s.succeed(run) }, made},
		// The times are long past: the function has been stopped in between.
		"half-written": {func(s *scenario, run string) { s.accept(run); s.logSuccess(run) }, made},
		"failure, alerted": {func(s *scenario, run string) {
			s.accept(run)
			s.fail(run, "rpc_timeout", `{"state": "delivered"}`)
		}, "failed | The SQL function did not answer in time, and no backup was found afterwards (motivo). | written by the function | function | delivered by the function"},
		"failure, not alerted": {func(s *scenario, run string) {
			s.accept(run)
			s.fail(run, "rpc_timeout", `{"state": "failed"}`)
		}, "failed | The SQL function did not answer in time, and no backup was found afterwards (motivo). | written by the function | function"},
	} {
		t.Run(name, func(t *testing.T) {
			s := tdb.newScenario(t)
			run := s.dispatch("2 06:00")
			c.does(s, run)
			if got := one[string](t, s.owner, line, run); got != c.want {
				t.Errorf("the history says\n%s\nwant\n%s", got, c.want)
			}
			if got := one[string](t, s.owner, `select state from auto_backup.runs where run_id = $1::uuid`, run); got != "requested" {
				t.Errorf("the recorded state is %s", got)
			}
			s.exec(t, s.owner, `delete from auto_backup.runs where run_id = $1::uuid`, run)
		})
	}

	s := tdb.newScenario(t)
	run := s.dispatch("2 06:00")
	s.accept(run)
	s.watch("2 06:01")
	s.succeed(run)
	s.exec(t, s.admin, `create role history_reader; grant usage on schema auto_backup to history_reader; grant select on auto_backup.history to history_reader`)
	defer s.exec(t, s.admin, `drop owned by history_reader; drop role history_reader`)
	as := func(setup string) string {
		t.Helper()
		tx, err := s.admin.Begin(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = tx.Rollback(t.Context()) }()
		if _, err := tx.Exec(t.Context(), setup); err != nil {
			t.Fatal(err)
		}
		var got string
		if err := tx.QueryRow(t.Context(), line, run).Scan(&got); err != nil {
			t.Fatalf("%s: %v", setup, err)
		}
		return got
	}
	if got := as(`set local role history_reader; set transaction read only`); got != made {
		t.Errorf("a reader of the view sees\n%s\nwant\n%s", got, made)
	}
	// The success is signed in system_logs alone.
	for table, want := range map[string]string{"backup_logs": made, "system_logs": taken} {
		if got := as(fmt.Sprintf(`alter table public.%s rename to gone`, table)); got != want {
			t.Errorf("without %s, the history says\n%s\nwant\n%s", table, got, want)
		}
	}
	// A migration holds the table: the view does not wait for its end.
	lock, err := s.admin.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = lock.Rollback(t.Context()) }()
	if _, err := lock.Exec(t.Context(), `lock table public.backup_logs, public.system_logs in access exclusive mode`); err != nil {
		t.Fatal(err)
	}
	if got := one[string](t, s.owner, line, run); got != taken {
		t.Errorf("while the logs are locked, the history says\n%s\nwant\n%s", got, taken)
	}
}

// testAnsweredMeanwhile proves that a failure is logged once, also where the function logs
// it and answers while the watchdog looks.
func (tdb *testDatabase) testAnsweredMeanwhile(t *testing.T) {
	s := tdb.newScenario(t)
	run := s.start("1 13:00", true)
	s.claim(run)

	// The watchdog has to wait for the run's row after it has read the logs.
	ctx := context.Background()
	lock, err := s.owner.Begin(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = lock.Rollback(ctx) }()
	if _, err := lock.Exec(ctx, `select from auto_backup.runs where run_id = $1::uuid for update`, run); err != nil {
		t.Fatal(err)
	}
	conn, err := s.owner.Acquire(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Release()
	var pid int
	if err := conn.QueryRow(ctx, `select pg_backend_pid()`).Scan(&pid); err != nil {
		t.Fatal(err)
	}
	looked := make(chan error, 1)
	go func() {
		_, err := conn.Exec(ctx, `select auto_backup.collect($1, $2)`, s.backup, moment(t, "1 13:01"))
		looked <- err
	}()
	for !one[bool](t, s.admin, `select cardinality(pg_blocking_pids($1)) > 0`, pid) {
		if len(looked) > 0 {
			t.Fatalf("the watchdog has not waited for the run: %v", <-looked)
		}
		time.Sleep(5 * time.Millisecond)
	}
	s.fail(run, "backup_failed", `{"state": "delivered"}`)
	s.respond(run, reply{status: 500, headers: ours(), body: signedBody("auto_backup_error",
		`{"success":false,"code":"backup_failed","message":"m","error":"motivo","run_id":%q,"alert":{"state":"delivered"}}`, run)})
	if err := lock.Commit(ctx); err != nil {
		t.Fatal(err)
	}
	if err := <-looked; err != nil {
		t.Fatal(err)
	}
	s.watch("1 13:02")
	s.want(
		"run 1 13:00 #1 manual failed backup_failed log:function alert:delivered",
		"incident failed 1 13:00 backup_failed delivered by function calls:0",
		"backup_logs falhou false 0",
		"system_logs auto_backup_error backup_failed by function alert:delivered",
	)
}
