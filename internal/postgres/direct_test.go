package postgres

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aimindset/terraform-provider-aimindset/internal/stack"
)

// table makes a table for one test.
func table(t *testing.T) string {
	t.Helper()
	name := fmt.Sprintf("public.test_direct_%x", time.Now().UnixNano())
	if _, err := project.Admin().Exec(t.Context(), "create table "+name+" (a int); alter table "+name+" owner to postgres"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = project.Admin().Exec(context.Background(), "drop table "+name) })
	return name
}

// patience ends a wait that would otherwise hang. It is not a limit that a slow
// machine could reach.
const patience = 2 * time.Minute

// waitFor waits until a condition holds that another process brings about.
func waitFor(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !holds(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%s: not after %s", what, patience)
		}
	}
}

// running counts the sessions that run a statement with a mark in it.
func running(t *testing.T, mark string) (n int) {
	t.Helper()
	err := project.Admin().QueryRow(t.Context(), `select count(*) from pg_stat_activity
		where state = 'active' and pid <> pg_backend_pid() and query like '%' || $1 || '%'`, mark).Scan(&n)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// A DB connects when it is first used, once however many use it, and leaves no
// connection behind.
func TestOneConnection(t *testing.T) {
	t.Parallel()
	p := newProxy(t)
	db, err := Open(p.URL)
	if err != nil {
		t.Fatal(err)
	}
	if made, _ := p.Counts(); made != 0 {
		t.Errorf("%d connections before the first use", made)
	}
	var group sync.WaitGroup
	for range 10 {
		group.Go(func() {
			if _, err := db.Query(t.Context(), ReadOnly, "select '1'::jsonb as result"); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	if err := db.Close(t.Context()); err != nil {
		t.Error(err)
	}
	waitFor(t, "the connection is closed", func() bool { _, open := p.Counts(); return open == 0 })
	if made, _ := p.Counts(); made != 1 {
		t.Errorf("%d connections, want 1", made)
	}
}

// A connection that is not used any more is closed, and made again when it is
// needed. What is used is not closed.
func TestUnusedConnectionIsClosed(t *testing.T) {
	t.Parallel()
	p := newProxy(t)
	db, err := Open(p.URL)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close(context.Background()) })
	db.(*direct).idleTimeout = 100 * time.Millisecond
	for made := 1; made <= 2; made++ {
		must(t, db, ReadOnly, "select to_jsonb(1) as result from pg_sleep(0.3)")
		if got, _ := p.Counts(); got != made {
			t.Errorf("%d connections were made, want %d", got, made)
		}
		waitFor(t, "the connection is closed", func() bool { _, open := p.Counts(); return open == 0 })
	}
}

// A query is one round trip: begin, search path, statement and commit go out
// together, so that a transaction pooler keeps them on one session, and without
// names, so that nothing stays there. A script is one message.
func TestOneRoundTrip(t *testing.T) {
	t.Parallel()
	p := newProxy(t)
	db := openDirect(t, p.URL)
	for _, access := range []Access{ReadOnly, ReadWrite} {
		must(t, db, access, "select to_jsonb($1::text) as result", "x")
		messages, names := p.Sent()
		if want := strings.Repeat("PBDE", 4) + "S"; messages != want {
			t.Errorf("sent %s, want %s", messages, want)
		}
		if slices.ContainsFunc(names, func(name string) bool { return name != "" }) {
			t.Errorf("names %q", names)
		}
	}
	if err := db.Exec(t.Context(), "select 1; select 2"); err != nil {
		t.Error(err)
	}
	if messages, _ := p.Sent(); messages != "Q" {
		t.Errorf("sent %s, want Q", messages)
	}
}

// A session says whose it is and looks for nothing in schemas where others may
// put things; it waits for no lock and works on no statement without end.
func TestSession(t *testing.T) {
	t.Parallel()
	db := openDirect(t, project.DatabaseURL)
	const asked = "select to_jsonb(array[current_setting('application_name'), current_setting('search_path'), current_setting('transaction_read_only'), current_setting('lock_timeout'), current_setting('statement_timeout')]) as result"
	for access, want := range map[Access]string{
		ReadOnly:  `["terraform-provider-aimindset","pg_catalog, pg_temp","on","10s","2min"]`,
		ReadWrite: `["terraform-provider-aimindset","pg_catalog, pg_temp","off","1min","2min"]`,
	} {
		if got := must(t, db, access, asked); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

// When the connection breaks during a read, the read is made again. A change
// is not, whether it was made or not, and the error says that nobody knows. The
// next call works in any case.
func TestBrokenConnection(t *testing.T) {
	t.Parallel()
	for name, f := range map[string]stack.ProxyFault{"before": stack.ProxyCutBefore, "after": stack.ProxyCutAfter} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newProxy(t)
			db := openDirect(t, p.URL)
			name := table(t)
			insert := "insert into " + name + " values (1) returning to_jsonb(a) as result"
			must(t, db, ReadOnly, "select '1'::jsonb as result")

			p.Fail(f)
			must(t, db, ReadOnly, "select '1'::jsonb as result")
			want := 0
			for _, write := range []func() error{
				func() error { _, err := db.Query(t.Context(), ReadWrite, insert); return err },
				func() error { return db.Exec(t.Context(), insert) },
			} {
				p.Fail(f)
				if err := write(); !errors.Is(err, ErrOutcomeUnknown) {
					t.Errorf("got %v", err)
				}
				if f == stack.ProxyCutAfter {
					want++
				}
				if n := count(t, name); n != want {
					t.Errorf("%d rows, want %d", n, want)
				}
			}
			must(t, db, ReadWrite, insert)
			if n := count(t, name); n != want+1 {
				t.Errorf("%d rows, want %d", n, want+1)
			}
			if err := db.Close(t.Context()); err != nil {
				t.Error(err)
			}
			waitFor(t, "all connections are closed", func() bool { _, open := p.Counts(); return open == 0 })
		})
	}
}

// A change whose commit was confirmed is made, whatever becomes of the
// connection then.
func TestConfirmedCommit(t *testing.T) {
	t.Parallel()
	p := newProxy(t)
	db := openDirect(t, p.URL)
	name := table(t)
	for want := 1; want <= 2; want++ {
		p.Fail(stack.ProxyCutLast)
		must(t, db, ReadWrite, "insert into "+name+" values (1) returning to_jsonb(a) as result")
		if n := count(t, name); n != want {
			t.Errorf("%d rows, want %d", n, want)
		}
	}
}

// A read whose connection breaks every time is given up.
func TestConnectionThatAlwaysBreaks(t *testing.T) {
	t.Parallel()
	p := newProxy(t)
	db := openDirect(t, p.URL)
	const sql = "select to_jsonb(pg_terminate_backend(pg_backend_pid())) as result"
	_, err := db.Query(t.Context(), ReadOnly, sql)
	if !errors.Is(err, ErrUnavailable) || errors.Is(err, ErrOutcomeUnknown) || SQLState(err) != "57P01" {
		t.Errorf("got %v", err)
	}
	if messages, _ := p.Sent(); strings.Count(messages, "S") != maxAttempts {
		t.Errorf("sent %s, want %d requests", messages, maxAttempts)
	}
}

// A connection that the server has ended while nobody used it is replaced
// before anything is sent, so that not even a change is in doubt.
func TestIdleConnectionIsReplaced(t *testing.T) {
	t.Parallel()
	db := openDirect(t, project.DatabaseURL)
	name := table(t)
	pid := must(t, db, ReadOnly, "select to_jsonb(pg_backend_pid()) as result")
	if _, err := project.Admin().Exec(t.Context(), "select pg_terminate_backend($1::text::int)", pid); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "the session is gone", func() bool {
		var n int
		if err := project.Admin().QueryRow(t.Context(), "select count(*) from pg_stat_activity where pid = $1::text::int", pid).Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n == 0
	})
	must(t, db, ReadWrite, "insert into "+name+" values (1) returning to_jsonb(a) as result")
	if n := count(t, name); n != 1 {
		t.Errorf("%d rows, want 1", n)
	}
}

// A restart of the server is waited for.
func TestRestart(t *testing.T) {
	t.Parallel()
	own, err := stack.Start(t.Context(), stack.Options{Parts: stack.Database, Articles: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = own.Close() }()
	for _, immediate := range []bool{false, true} {
		db := openDirect(t, own.DatabaseURL)
		must(t, db, ReadOnly, "select '1'::jsonb as result")
		restarted := make(chan error)
		go func() { restarted <- own.RestartPostgres(context.Background(), immediate) }()
		for done := false; !done; {
			select {
			case err := <-restarted:
				if err != nil {
					t.Fatal(err)
				}
				done = true
			default:
			}
			must(t, db, ReadOnly, "select '1'::jsonb as result")
		}
	}
}

// An interrupt ends a statement here and in the server, and a change that the
// server says it has undone is not in doubt.
func TestInterrupt(t *testing.T) {
	t.Parallel()
	for name, access := range map[string]Access{"read": ReadOnly, "write": ReadWrite} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db := openDirect(t, project.DatabaseURL)
			mark := fmt.Sprintf("mark%d", time.Now().UnixNano())
			ctx, cancel := context.WithCancel(t.Context())
			failed := make(chan error, 1)
			go func() {
				_, err := db.Query(ctx, access, "select to_jsonb(pg_sleep(60)::text) as result -- "+mark)
				failed <- err
			}()
			waitFor(t, "the statement runs", func() bool { return running(t, mark) == 1 })
			cancel()
			err := <-failed
			if !errors.Is(err, context.Canceled) || errors.Is(err, ErrOutcomeUnknown) {
				t.Errorf("got %v", err)
			}
			waitFor(t, "the statement has ended", func() bool { return running(t, mark) == 0 })
			must(t, db, ReadOnly, "select '1'::jsonb as result")
		})
	}
}

// A server that does not answer is left when the time is up, which is so here as
// soon as it has the statement, and a change is in doubt then.
func TestSilentServer(t *testing.T) {
	t.Parallel()
	for name, access := range map[string]Access{"read": ReadOnly, "write": ReadWrite} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newProxy(t)
			db := openDirect(t, p.URL)
			must(t, db, ReadOnly, "select '1'::jsonb as result")
			ctx := stack.NewDeadline(t.Context(), time.Hour)
			p.Intercept(func(int) stack.ProxyFault {
				ctx.Expire()
				return stack.ProxySilence
			})
			failed := make(chan error, 1)
			go func() {
				_, err := db.Query(ctx, access, "select '1'::jsonb as result")
				failed <- err
			}()
			select {
			case err := <-failed:
				if !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, ErrOutcomeUnknown) != (access == ReadWrite) {
					t.Errorf("got %v", err)
				}
			case <-time.After(patience):
				t.Error("the server is not left")
			}
		})
	}
}

// Whoever waits for the connection stops waiting when its own time is up.
func TestWaitForTurn(t *testing.T) {
	t.Parallel()
	db := openDirect(t, project.DatabaseURL)
	mark := fmt.Sprintf("mark%d", time.Now().UnixNano())
	ctx, cancel := context.WithCancel(t.Context())
	var group sync.WaitGroup
	group.Go(func() {
		_, _ = db.Query(ctx, ReadOnly, "select to_jsonb(pg_sleep(60)::text) as result -- "+mark)
	})
	waitFor(t, "the statement runs", func() bool { return running(t, mark) == 1 })
	short, cancelShort := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancelShort()
	if _, err := db.Query(short, ReadWrite, "select '1'::jsonb as result"); !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, ErrOutcomeUnknown) {
		t.Errorf("got %v", err)
	}
	cancel()
	group.Wait()
}

// A constraint that is only checked at the end fails the query, which has then
// changed nothing.
func TestFailureAtCommit(t *testing.T) {
	t.Parallel()
	db := openDirect(t, project.DatabaseURL)
	name := table(t)
	if err := db.Exec(t.Context(), "alter table "+name+" add unique (a) deferrable initially deferred"); err != nil {
		t.Fatal(err)
	}
	_, err := db.Query(t.Context(), ReadWrite, "insert into "+name+" select 1 from pg_catalog.generate_series(1, 2) returning to_jsonb(a) as result")
	if SQLState(err) != "23505" {
		t.Errorf("got %v", err)
	}
	if n := count(t, name); n != 0 {
		t.Errorf("%d rows", n)
	}
	must(t, db, ReadOnly, "select '1'::jsonb as result")
}

// A script that leaves a transaction open is a mistake; what it did is undone
// and the connection is as before.
func TestScriptThatLeavesATransactionOpen(t *testing.T) {
	t.Parallel()
	db := openDirect(t, project.DatabaseURL)
	name := table(t)
	if err := db.Exec(t.Context(), "begin; insert into "+name+" values (1)"); err == nil {
		t.Error("no error")
	}
	if n := count(t, name); n != 0 {
		t.Errorf("%d rows", n)
	}
	must(t, db, ReadWrite, "insert into "+name+" values (2) returning to_jsonb(a) as result")
	if n := count(t, name); n != 1 {
		t.Errorf("%d rows, want 1", n)
	}
}
