package payload_test

import (
	"context"
	"testing"

	"github.com/jackc/pgx/v5"

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
		"an installation of the lease": payload.LoadDispatcher().Lease,
		"an installation":              payload.LoadDispatcher().Install,
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
