package payload_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// drillSession is a session in which drills run.
type drillSession struct {
	s    *scenario
	conn *pgxpool.Conn
	pid  int
	done chan error
	// What the drill has said.
	state, code string
}

// startDrill starts a drill in a session of its own, with settings of that session.
func (s *scenario) startDrill(settings string) *drillSession {
	s.Helper()
	ctx := context.Background()
	conn, err := s.owner.Acquire(ctx)
	if err != nil {
		s.Fatal(err)
	}
	d := &drillSession{s: s, conn: conn, done: make(chan error, 1)}
	if err := conn.QueryRow(ctx, "select pg_backend_pid()").Scan(&d.pid); err != nil {
		s.Fatal(err)
	}
	if _, err := conn.Exec(ctx, settings); err != nil {
		s.Fatal(err)
	}
	go func() {
		err := conn.QueryRow(ctx, "select d ->> 'state', coalesce(d ->> 'code', '') from auto_backup.drill($1, 'manual') d", s.backup).Scan(&d.state, &d.code)
		d.done <- err
	}()
	return d
}

// wait waits for the end of the drill.
func (d *drillSession) wait() error {
	err := <-d.done
	_, _ = d.conn.Exec(context.Background(), "rollback; reset all") // the session may be gone
	d.conn.Release()
	return err
}

// ended reports whether the drill has ended, but does not wait for that.
func (d *drillSession) ended() bool { return len(d.done) > 0 }

// await waits until the drill's session waits for something: a Lock, or PgSleep.
func (d *drillSession) await(event string) {
	d.s.Helper()
	for !one[bool](d.s.T, d.s.admin, `select coalesce(bool_or(state = 'active' and $2 in (wait_event, wait_event_type)), false) from pg_stat_activity where pid = $1`, d.pid, event) {
		if d.ended() {
			d.s.Fatalf("the drill has ended before it waits for %s: %v, %s %s", event, d.wait(), d.state, d.code)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// gone waits until the drill's session has left the server.
func (d *drillSession) gone() {
	d.s.Helper()
	for one[bool](d.s.T, d.s.admin, `select exists (select from pg_stat_activity where pid = $1 and state is distinct from 'idle')`, d.pid) {
		time.Sleep(5 * time.Millisecond)
	}
}

// patient lets drills wait for locks until the test is over.
func (s *scenario) patient() {
	s.Helper()
	setting := func(value string) {
		s.exec(s.T, s.owner, "alter function auto_backup.drill(text, text, timestamptz) set lock_timeout = "+value)
	}
	setting("'10min'")
	s.Cleanup(func() { setting("'3s'") })
}

// locked holds a lock on a table until the function that it returns is called.
func (s *scenario) locked(table string) (release func()) {
	s.Helper()
	tx, err := s.admin.Begin(context.Background())
	if err != nil {
		s.Fatal(err)
	}
	if _, err := tx.Exec(context.Background(), "lock table "+table+" in access exclusive mode"); err != nil {
		s.Fatal(err)
	}
	return func() {
		if err := tx.Rollback(context.Background()); err != nil {
			s.Error(err)
		}
	}
}

// slowDefault gives a table of the shop a default that takes as many seconds as the
// setting drill.slow says: a CHECK or an index could do the same to a restore.
func (s *scenario) slowDefault(schema string) {
	s.Helper()
	s.exec(s.T, s.owner, strings.ReplaceAll(`
		create function shop.slow() returns text language plpgsql as $$ begin
			perform pg_sleep(current_setting('drill.slow', true)::float);
			return 'x';
		end $$;
		alter table shop.orders add slow text;
		alter table shop.orders alter slow set default shop.slow()`, "shop.", schema+"."))
}

// testDrillBeside proves that others work on as before while a drill runs: at no moment,
// even in the middle of a read, does an insert into a live table wait for it; an ALTER
// TABLE waits for one read at most, and for no longer than the drill itself waits for a
// lock; and while it restores, it holds no lock on any of the tables.
func (tdb *testDatabase) testDrillBeside(t *testing.T) {
	s, schema := tdb.newShop(t)
	name := strings.NewReplacer("shop.", schema+".").Replace
	s.exec(t, s.owner, name(`
		create table shop.events (id bigint primary key, note text) partition by range (id);
		create table shop.events_low partition of shop.events for values from (0) to (1000000);
		create table shop.events_high partition of shop.events for values from (1000000) to (2000000);
		insert into shop.events select n, 'CANARY-VALUE' from generate_series(1, 12000) n union all select 1000000 + n, 'x' from generate_series(1, 12000) n;
		create table shop.backup_events (backup_id uuid, original_id bigint, note text)`))
	s.slowDefault(schema)
	id := s.copyShop(schema)
	s.exec(t, s.owner, name(`insert into shop.backup_events select $1::uuid, id, note from shop.events`), id)
	s.succeeded("8 06:00", id)
	s.change(installed, func(document map[string]any) {
		plan := document["drill"].(map[string]any)
		plan["tables"] = append([]map[string]any{drilled(schema, "events")}, plan["tables"].([]map[string]any)...)
		plan["timeout_seconds"] = 3600
	})

	// Inserts, 200 a second, that fail if they wait for a lock.
	writer, err := pgx.Connect(t.Context(), tdb.stack.DatabaseURL)
	if err != nil {
		t.Fatal(err)
	}
	defer writer.Close(context.WithoutCancel(t.Context())) //nolint:errcheck // nothing to keep
	if _, err := writer.Exec(t.Context(), "set lock_timeout = '1ms'"); err != nil {
		t.Fatal(err)
	}
	next := 100_000
	insert := func() {
		t.Helper()
		time.Sleep(5 * time.Millisecond)
		next++
		for _, statement := range []string{
			fmt.Sprintf("insert into shop.events values (%d, 'new')", next),
			fmt.Sprintf("insert into shop.customers (name, email) values ('new', 'new %d')", next),
		} {
			if _, err := writer.Exec(t.Context(), name(statement)); err != nil {
				t.Fatalf("beside a drill: %v", err)
			}
		}
	}
	insert()

	t.Run("inserts", func(t *testing.T) {
		s.T = t
		s.patient()
		release := s.locked(schema + ".events_high")
		d := s.startDrill("set drill.slow = 0")
		// In the middle of a read, which has locked the other partition.
		d.await("Lock")
		held := column[string](t, s.admin, `
			select l.relation::regclass || ' ' || l.mode from pg_locks l inner join pg_class c on c.oid = l.relation
			where l.pid = $1 and l.granted and c.relnamespace = $2::regnamespace and c.relkind in ('r', 'p') order by 1`, d.pid, schema)
		if got, want := strings.Join(held, ", "), name("shop.events AccessShareLock, shop.events_low AccessShareLock"); got != want {
			t.Errorf("in the middle of a read the drill locks %s, want %s", got, want)
		}
		for range 200 {
			insert()
		}
		release()
		// From there to its end.
		for !d.ended() {
			insert()
		}
		if err := d.wait(); err != nil || d.state != "successful" {
			t.Errorf("the drill: %s %s, %v", d.state, d.code, err)
		}
	})

	t.Run("ALTER TABLE during a read", func(t *testing.T) {
		s.T = t
		release := s.locked(schema + ".events_high")
		defer release()
		d := s.startDrill("set drill.slow = 0")
		d.await("Lock")
		// It waits until the drill, which itself still waits, gives up.
		s.exec(t, s.owner, name(`alter table shop.events_low alter note set default 'x'`))
		if err := d.wait(); err != nil || d.state != "skipped" || d.code != "drill_locked" {
			t.Errorf("the drill: %s %s, %v", d.state, d.code, err)
		}
	})

	t.Run("ALTER TABLE during the restore", func(t *testing.T) {
		s.T = t
		d := s.startDrill("set drill.slow = 600")
		d.await("PgSleep")
		for _, table := range []string{"events", "orders", "customers", "owners", "backup_events", "backup_orders", "backup_customers"} {
			if _, err := writer.Exec(t.Context(), name("alter table shop."+table+" add beside int")); err != nil {
				t.Errorf("beside a drill that restores: %v", err)
			}
		}
		s.exec(t, s.admin, "select pg_terminate_backend($1)", d.pid)
		if err := d.wait(); err == nil {
			t.Error("the drill has ended by itself")
		}
	})
}

// testDrillLeavesNothing proves that a drill changes no row and leaves no object and no
// file, however it ends: with a result, at its time limit, canceled, or with its session
// killed at any moment; and that the next one succeeds.
func (tdb *testDatabase) testDrillLeavesNothing(t *testing.T) {
	s, schema := tdb.newShop(t)
	s.succeeded("8 06:00", s.copyShop(schema))
	s.slowDefault(schema)
	s.patient()
	var catalogs strings.Builder
	for _, catalog := range strings.Fields("class namespace type attribute attrdef constraint index proc depend shdepend sequence trigger policy default_acl statistic_ext inherits") {
		fmt.Fprintf(&catalogs, "union all select '%s ' || ctid || ' ' || xmin from pg_%[1]s\n", catalog)
	}
	image := func() []string {
		return column[string](t, s.admin, strings.NewReplacer("shop.", schema+".", "'shop'", "'"+schema+"'").Replace(`
			select 'customers ' || concat_ws(' ', ctid, xmin, xmax) || x from shop.customers x
			union all select 'orders ' || concat_ws(' ', ctid, xmin, xmax) || x from shop.orders x
			union all select 'owners ' || concat_ws(' ', ctid, xmin, xmax) || x from shop.owners x
			union all select 'backup_customers ' || concat_ws(' ', ctid, xmin, xmax) || x from shop.backup_customers x
			union all select 'backup_orders ' || concat_ws(' ', ctid, xmin, xmax) || x from shop.backup_orders x
			union all select concat_ws(' ', 'sequence', sequencename, last_value) from pg_sequences where schemaname = 'shop'
			union all select 'temporary file ' || f from pg_ls_dir('base/' || (select oid from pg_database where datname = current_database())) f where f ~ '^t'
			`+catalogs.String()+`order by 1`))
	}
	before := image()
	check := func(how string) {
		t.Helper()
		lines := map[string]int{}
		for _, line := range before {
			lines[line]--
		}
		for _, line := range image() {
			lines[line]++
		}
		for line, n := range lines {
			if n != 0 {
				t.Errorf("%s: %+d %s", how, n, line)
			}
		}
	}
	// drills checks what is recorded since the last time.
	seen := 0
	drills := func(how string, want string) {
		t.Helper()
		found := column[string](t, s.owner, `select concat_ws(' ', state, code) from auto_backup.drills where backup = $1 order by drill_id`, s.backup)
		if got := strings.Join(found[seen:], ", "); got != want {
			t.Errorf("%s: the new drills are %q, want %q", how, got, want)
		}
		seen = len(found)
		check(how)
	}

	d := s.startDrill("set drill.slow = 0")
	begin := time.Now()
	if err := d.wait(); err != nil {
		t.Fatal(err)
	}
	took := time.Since(begin)
	drills("a result", "successful")

	s.change(installed, func(document map[string]any) { document["drill"].(map[string]any)["timeout_seconds"] = 1 })
	d = s.startDrill("set drill.slow = 60; set statement_timeout = '1s'")
	if err := d.wait(); err != nil {
		t.Fatal(err)
	}
	drills("the time limit", "timed_out drill_timed_out")

	s.change(installed, func(document map[string]any) { document["drill"].(map[string]any)["timeout_seconds"] = 3600 })
	d = s.startDrill("set drill.slow = 600")
	d.await("PgSleep")
	s.exec(t, s.admin, "select pg_cancel_backend($1)", d.pid)
	if err := d.wait(); err != nil {
		t.Fatal(err)
	}
	drills("canceled", "skipped drill_canceled")

	kill := func(how string, d *drillSession) {
		t.Helper()
		s.exec(t, s.admin, "select pg_terminate_backend($1)", d.pid)
		err := d.wait()
		d.gone()
		if err == nil {
			drills(how, "successful") // it was faster
			return
		}
		drills(how, "")
	}
	for _, c := range []struct{ how, table, event string }{
		{"killed while it reads the backup", "backup_orders", "Lock"},
		{"killed while it reads live rows", "orders", "Lock"},
		{"killed while it checks a foreign key", "owners", "Lock"},
		{"killed while it restores", "", "PgSleep"},
	} {
		release := func() {}
		if c.table != "" {
			release = s.locked(schema + "." + c.table)
		}
		d := s.startDrill("set drill.slow = 600")
		d.await(c.event)
		s.exec(t, s.admin, "select pg_terminate_backend($1)", d.pid)
		if err := d.wait(); err == nil {
			t.Errorf("%s: it has ended by itself", c.how)
		}
		release()
		d.gone()
		drills(c.how, "")
	}
	d = s.startDrill("set drill.slow = 0; begin")
	err := <-d.done
	s.exec(t, s.admin, "select pg_terminate_backend($1)", d.pid)
	d.done <- err
	if err := d.wait(); err != nil {
		t.Fatal(err)
	}
	d.gone()
	drills("killed before its commit", "")
	const moments = 12
	for n := range moments {
		d := s.startDrill("set drill.slow = 0")
		time.Sleep(took * time.Duration(n) / moments)
		kill(fmt.Sprintf("killed after %d/%d of its time", n, moments), d)
	}

	d = s.startDrill("set drill.slow = 0")
	if err := d.wait(); err != nil {
		t.Fatal(err)
	}
	drills("the next one", "successful")
}
