package facts

import (
	"context"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aimindset/terraform-provider-aimindset/internal/backup"
	"github.com/aimindset/terraform-provider-aimindset/internal/payload"
	"github.com/aimindset/terraform-provider-aimindset/internal/postgres"
	"github.com/aimindset/terraform-provider-aimindset/internal/stack"
)

// project is a PostgreSQL with the application, pg_cron and pg_net.
type project struct {
	*stack.Stack
	t *testing.T
}

func start(t *testing.T) *project {
	t.Helper()
	s, err := stack.Start(t.Context(), stack.Options{Parts: stack.Database, Articles: 3})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return &project{s, t}
}

// exec runs statements as the superuser.
func (p *project) exec(sql string) {
	p.t.Helper()
	if _, err := p.Admin().Exec(p.t.Context(), sql); err != nil {
		p.t.Fatalf("%s: %v", sql, err)
	}
}

// open connects as the role of a URL, or as a role that is named, which is made.
func (p *project) open(address, role string) postgres.DB {
	p.t.Helper()
	if role != "" {
		p.exec("create role " + role + " login password '" + role + "'")
		u, err := url.Parse(address)
		if err != nil {
			p.t.Fatal(err)
		}
		u.User = url.UserPassword(role, role)
		address = u.String()
	}
	db, err := postgres.Open(address)
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() { _ = db.Close(context.WithoutCancel(p.t.Context())) })
	return db
}

// everything asks for all parts.
func everything() Request {
	r := Request{
		Backups:    []backup.Name{"auto-backup"},
		Parameters: map[string]any{"rpc": "backup_all_data", "zones": `["UTC", "Nowhere/Else"]`, "history": "10"},
	}
	for _, name := range slices.Sorted(maps.Keys(load().parts)) {
		r.Parts = append(r.Parts, Part(name))
	}
	return r
}

func (p *project) ask(db postgres.DB, r Request) (Document, error) {
	p.t.Helper()
	return Ask(p.t.Context(), db, r)
}

// leftOut are the parts that are left out, in one line.
func leftOut(d Document) string {
	var names []string
	for _, part := range d.LeftOut {
		names = append(names, string(part))
	}
	return strings.Join(names, ", ")
}

// TestServer proves that every part can be asked of a real server, alone and with
// all others; that what a reader may not see, what is gone, altered or locked is
// named and leaves out the parts that need it and no others; and that a strict
// request is an error instead, but not for what does not exist.
func TestServer(t *testing.T) {
	t.Parallel()
	p := start(t)
	owner, stranger := p.open(p.DatabaseURL, ""), p.open(p.DatabaseURL, "stranger")
	all := everything()
	for _, part := range all.Parts {
		alone := all
		alone.Parts = []Part{part}
		if d, err := p.ask(owner, alone); err != nil || len(d.Each) != 1 && load().parts[string(part)].ofBackup {
			t.Errorf("%s: %+v, %v", part, d, err)
		}
	}
	const installed = "backups, caught_up_at, channels, drills, failures, future_runs, histories, history, incident, installation, last_success, latest, nights, offsite, retention, schedules, settings, under_way, watchdog"
	d, err := p.ask(owner, all)
	if err != nil || leftOut(d) != installed {
		t.Errorf("before the installation, left out are %q: %v", d.LeftOut, err)
	}
	strict := all
	strict.Strict = true
	if d, err = p.ask(owner, strict); err != nil || leftOut(d) != installed {
		t.Errorf("strictly, left out are %q: %v", d.LeftOut, err)
	}

	p.exec("set role postgres; create schema auto_backup; " + payload.LoadDispatcher().Install() + "; reset role")
	if d, err = p.ask(owner, all); err != nil || len(d.LeftOut) > 0 {
		t.Errorf("after the installation, left out are %q: %v", d.LeftOut, err)
	}
	if d, err = p.ask(stranger, all); err != nil || d.Relations["cron.job"] != "forbidden" || d.Relations["vault.secrets"] != "forbidden" ||
		!slices.Contains(d.LeftOut, "jobs") || slices.Contains(d.LeftOut, "server") {
		t.Errorf("a stranger is told %+v, %v", d, err)
	}
	if _, err = p.ask(stranger, strict); postgres.SQLState(err) != "42501" {
		t.Errorf("strictly, a stranger is told %v", err)
	}

	tx, err := p.Admin().Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec(t.Context(), "lock table auto_backup.runs, public.backup_logs, public.articles; alter table auto_backup.watchdog rename summary to words"); err != nil {
		t.Fatal(err)
	}
	if d, err = p.ask(owner, all); err != nil || d.Relations["auto_backup.runs"] != "locked" || d.Relations["public.backup_logs"] != "locked" {
		t.Errorf("of locked tables is said %+v, %v", d, err)
	}
	if holder := d.Locks["public.backup_logs"]; holder.Process == 0 || holder.Role != "supabase_admin" || holder.State != "idle in transaction" || holder.Since.IsZero() {
		t.Errorf("the table is said to be locked by %+v", holder)
	}
	// Attack 15: a lock on a log made a plan wait for as long as it may.
	locked := strict
	locked.Parts = []Part{"log_checks"}
	if _, err = p.ask(owner, locked); postgres.SQLState(err) != "55P03" || !strings.Contains(err.Error(), "public.backup_logs is locked by process ") || !strings.Contains(err.Error(), "of role supabase_admin") {
		t.Errorf("strictly, of a locked table is said %v", err)
	}
	if want := "caught_up_at, failures, future_runs, histories, history, last_log, last_success, latest, nights, offsite, retention, under_way, watchdog"; leftOut(d) != want {
		t.Errorf("left out are %q, not %s", d.LeftOut, want)
	}
	if err := tx.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	if d, err = p.ask(owner, all); err != nil || d.Relations["auto_backup.watchdog"] != "altered" || leftOut(d) != "watchdog" {
		t.Errorf("of an altered table is said %+v, %v", d, err)
	}
}

// TestZoneChanges proves that the rules that are read are those by which the server
// converts times, for zones with and without summer time, of the parameter and of the
// settings, and that a zone which the server lacks is left out.
func TestZoneChanges(t *testing.T) {
	t.Parallel()
	p := start(t)
	owner := p.open(p.DatabaseURL, "")
	p.exec("set role postgres; create schema auto_backup; " + payload.LoadDispatcher().Install() + "; reset role")
	p.exec(`insert into auto_backup.settings (backup, document, owner) values ('one', '{"schedules": {"daily": {"zone": "Europe/Lisbon"}}}', 'test')`)
	d, err := p.ask(owner, Request{Parts: []Part{"zone_changes"}, Parameters: map[string]any{
		"zones": `["America/New_York", "Australia/Lord_Howe", "Africa/Casablanca", "Asia/Kathmandu", "UTC", "Nowhere/At_All"]`,
	}})
	if err != nil {
		t.Fatal(err)
	}
	const want = "Africa/Casablanca America/New_York America/Sao_Paulo Asia/Kathmandu Australia/Lord_Howe Europe/Lisbon"
	if got := strings.Join(slices.Sorted(maps.Keys(d.ZoneChanges)), " "); got != want {
		t.Errorf("the zones are %s, want %s", got, want)
	}
	for zone, changes := range d.ZoneChanges {
		for i, change := range changes {
			var before, after int64
			row := p.Admin().QueryRow(t.Context(), `
				select extract(epoch from to_timestamp($2 - 60) at time zone $1)::bigint - ($2 - 60), extract(epoch from to_timestamp($2) at time zone $1)::bigint - $2`, zone, change[0])
			if err := row.Scan(&before, &after); err != nil || after != change[1] || i > 0 && (before != changes[i-1][1] || before == after) {
				t.Errorf("%s, change %d: %v; the server says %d, then %d: %v", zone, i, change, before, after, err)
			}
		}
	}
	if n := len(d.ZoneChanges["America/New_York"]); n < 11 || n > 12 {
		t.Errorf("New York has %d changes in five and a half years", n)
	}
	if n := len(d.ZoneChanges["America/Sao_Paulo"]); n != 1 {
		t.Errorf("São Paulo has %d changes", n)
	}
}

// TestInstalled proves that a request for all installed backups has those that were
// asked for and those with a row in auto_backup.settings, once each, and that a
// name reaches the database as it is.
func TestInstalled(t *testing.T) {
	t.Parallel()
	p := start(t)
	db := p.open(p.DatabaseURL, "")
	request := Request{Parts: []Part{"settings", "vault"}, Backups: []backup.Name{"one", `o'ne"\`}, Installed: true}
	names := func() string {
		d, err := p.ask(db, request)
		if err != nil {
			t.Fatal(err)
		}
		return strings.Trim(fmt.Sprint(slices.Sorted(maps.Keys(d.Each))), "[]")
	}
	if got, want := names(), `o'ne"\ one`; got != want {
		t.Errorf("without a dispatcher, the backups are %s, not %s", got, want)
	}
	p.exec("set role postgres; create schema auto_backup; " + payload.LoadDispatcher().Install() + "; reset role")
	p.exec(`insert into auto_backup.settings (backup, document, owner) values ('one', '{}', 'x'), ('two', '{}', 'x')`)
	if got, want := names(), `o'ne"\ one two`; got != want {
		t.Errorf("the backups are %s, not %s", got, want)
	}
}

// TestLease proves which lease a plan is told of: the one on the backup that has not
// expired, with its times; and that one which cannot be read is left out, even of a
// strict request, so that no plan waits or fails because of it.
func TestLease(t *testing.T) {
	t.Parallel()
	p := start(t)
	db := p.open(p.DatabaseURL, "")
	request := Request{Parts: []Part{"lease"}, Backups: []backup.Name{"one"}, Strict: true}
	lease := func() *backup.Lease {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		d, err := Ask(ctx, db, request)
		if err != nil {
			t.Fatal(err)
		}
		return d.Each["one"].Lease
	}
	if l := lease(); l != nil {
		t.Errorf("without a dispatcher, the lease is %+v", l)
	}
	p.exec("set role postgres; create schema auto_backup; " + payload.LoadDispatcher().Install() + "; reset role")
	p.exec(`insert into auto_backup.leases values
		('one', 'x', E'root@elsewhere\n"', '90 seconds', now() - interval '1 hour', now() + interval '1 minute'), ('two', 'y', 'other', '1 hour', now(), now() + interval '1 hour')`)
	l := lease()
	if l == nil {
		t.Fatal("no lease is found")
	}
	about := func(d, want time.Duration) bool { return (d - want).Abs() < 20*time.Second }
	if l.Process != "root@elsewhere\n\"" || l.ExpiresAt.Sub(l.RenewedAt) != 90*time.Second || l.ExpiresAt.Sub(l.Since) != 61*time.Minute ||
		!about(l.ExpiresAt.Sub(l.ReadAt), time.Minute) {
		t.Errorf("the lease is %+v", l)
	}
	// What would break the answer, or is no lease.
	for _, change := range []string{"expires_at = now()", "expires_at = 'infinity'", "since = '-infinity'", "term = '200000 years'"} {
		p.exec("begin; update auto_backup.leases set expires_at = now() + interval '1 minute', since = now(), term = '90 seconds'; update auto_backup.leases set " + change + "; commit")
		if l := lease(); l != nil {
			t.Errorf("%s: the lease is %+v", change, l)
		}
	}
	p.exec("update auto_backup.leases set expires_at = now() + interval '1 hour', since = now(), term = '90 seconds'")
	tx, err := p.Admin().Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec(t.Context(), "lock table auto_backup.leases in access exclusive mode"); err != nil {
		t.Fatal(err)
	}
	if l := lease(); l != nil {
		t.Errorf("of a locked table is read %+v", l)
	}
	if err := tx.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	if lease() == nil {
		t.Error("no lease is found after the lock")
	}
	for _, alteration := range []string{"alter column since type text using 'x'", "drop column term"} {
		p.exec("alter table auto_backup.leases " + alteration)
		if l := lease(); l != nil {
			t.Errorf("%s: the lease is %+v", alteration, l)
		}
	}
	p.exec("drop table auto_backup.leases")
	if l := lease(); l != nil {
		t.Errorf("without a table, the lease is %+v", l)
	}
}

// TestMentions proves for which names a project may have something of a backup: those in
// the names and the ownership markers of the vault's secrets, and those with a lease; for
// all names, where they are too many; and for none, where there is no vault.
func TestMentions(t *testing.T) {
	t.Parallel()
	p := start(t)
	db := p.open(p.DatabaseURL, "")
	expect := func(when string, want ...backup.Name) {
		t.Helper()
		d, err := p.ask(db, Request{Parts: []Part{"vault_names", "leased"}, Backups: []backup.Name{Unmentioned}, Strict: true})
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range []backup.Name{"one", "two", "three", "four"} {
			if got := d.Mentions(name); got != slices.Contains(want, name) {
				t.Errorf("%s, the project mentions %s: %t", when, name, got)
			}
		}
	}
	p.exec("drop extension if exists supabase_vault")
	expect("without a vault")
	p.exec("create extension supabase_vault with schema vault cascade")
	expect("with an empty vault")
	p.exec(`select vault.create_secret('s', 'one/token'), vault.create_secret('s', 'key', 'managed by terraform-provider-aimindset, backup two'), vault.create_secret('s', 'three'), vault.create_secret('s')`)
	expect("with secrets", "one", "two")
	p.exec("set role postgres; create schema auto_backup; " + payload.LoadDispatcher().Install() + "; reset role")
	p.exec(`insert into auto_backup.leases values
		('three', 'x', 'elsewhere', '90 seconds', now(), now() + interval '1 hour'), ('four', 'y', 'elsewhere', '90 seconds', now(), now() - interval '1 hour')`)
	expect("with leases", "one", "two", "three")
	p.exec("select vault.create_secret('s', 'other-' || n || '/x') from generate_series(1, 1000) n")
	expect("with many secrets", "one", "two", "three", "four")
}

// TestHistories proves which backups have something in the run history: those with runs,
// also without settings; none where there is no history; and any where it cannot be read.
func TestHistories(t *testing.T) {
	t.Parallel()
	p := start(t)
	owner, stranger := p.open(p.DatabaseURL, ""), p.open(p.DatabaseURL, "stranger")
	expect := func(when string, db postgres.DB, want ...backup.Name) {
		t.Helper()
		d, err := p.ask(db, Request{Parts: []Part{"histories"}})
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range []backup.Name{"one", "two", "three"} {
			if got := d.HasRuns(name); got != slices.Contains(want, name) {
				t.Errorf("%s, backup %s has runs: %t", when, name, got)
			}
		}
	}
	expect("before the installation", owner)
	p.exec("set role postgres; create schema auto_backup; " + payload.LoadDispatcher().Install() + "; reset role")
	expect("without runs", owner)
	p.exec(`insert into auto_backup.runs (backup, schedule, trigger, due_at, attempt, state, requested_at)
		select b, 'daily', 'schedule', now() - n * interval '1 day', 1, 'requested', now() from unnest('{three,one}'::text[]) b, generate_series(1, 3) n`)
	expect("with runs", owner, "one", "three")
	expect("for who may not read them", stranger, "one", "two", "three")
}
