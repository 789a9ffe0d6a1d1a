package payload_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
)

// drillSetting is the drill of a backup, due on Sundays at 07:30 UTC, of the tables
// given as live and copy.
func drillSetting(tables ...map[string]any) map[string]any {
	plan := dailySchedule()
	for key, value := range map[string]any{
		"cron": "30 4 * * 0", "utc": "30 7 * * 0", "minutes": []int{30}, "hours": []int{4}, "weekdays": []int{0},
		"timeout_seconds": 120, "max_rows": 100000, "overdue_after_seconds": 8 * 86400, "require_columns": [][]string{},
		"tables": tables,
	} {
		plan[key] = value
	}
	return plan
}

// drilled names a pair of tables in one schema, of which all columns are copied by
// name.
func drilled(schema, live string) map[string]any {
	return map[string]any{"live": []string{schema, live}, "copy": []string{schema, "backup_" + live}}
}

// drillResult is a row of auto_backup.drills.
type drillResult struct {
	State, Code, SQLState, Error string
	Tables                       []drillTable
}

type drillTable struct {
	Table      string
	Rows       int
	Sampled    bool
	Compared   *int
	Restorable *bool
	Missing    int `json:"rows_missing"`
	Problems   []struct {
		Code, Object, SQLState string
		Rows                   int
	}
	Unchecked []string
	Lost      []struct {
		Name, Reason string
		Rows         int
	} `json:"columns_lost"`
}

// String is the result in one line: the state, then what was found of each table.
func (r drillResult) String() string {
	parts := []string{strings.TrimSpace(r.State + " " + r.Code)}
	for _, t := range r.Tables {
		var found []string
		for _, p := range t.Problems {
			text := p.Code + " " + p.Object
			if p.Rows > 0 {
				text += fmt.Sprintf(" %d", p.Rows)
			}
			found = append(found, text)
		}
		for _, l := range t.Lost {
			found = append(found, fmt.Sprintf("lost %s %d %s", l.Name, l.Rows, l.Reason))
		}
		if t.Missing > 0 {
			found = append(found, fmt.Sprintf("missing %d", t.Missing))
		}
		if len(t.Unchecked) > 0 {
			found = append(found, "unchecked "+strings.Join(t.Unchecked, " "))
		}
		if t.Sampled {
			found = append(found, "sampled")
		}
		if len(found) > 0 {
			parts = append(parts, t.Table[strings.LastIndex(t.Table, ".")+1:]+": "+strings.Join(found, ", "))
		}
	}
	return strings.Join(parts, "; ")
}

// drill runs a drill at a time.
func (s *scenario) drill(at, trigger string) (r drillResult) {
	s.Helper()
	text := one[*string](s.T, s.owner, `select auto_backup.drill($1, $2, $3)::text`, s.backup, trigger, moment(s.T, at))
	if text == nil {
		return drillResult{State: "nothing"}
	}
	if err := json.Unmarshal([]byte(*text), &r); err != nil {
		s.Fatalf("%v\nin: %s", err, *text)
	}
	return r
}

// succeeded records a successful run that made a backup.
func (s *scenario) succeeded(at, backupID string) {
	s.Helper()
	s.exec(s.T, s.owner, `
		insert into auto_backup.runs (backup, schedule, trigger, due_at, attempt, state, requested_at, posted_at, finished_at, backup_id)
		values ($1, 'daily', 'schedule', $2, 1, 'succeeded', $2, now(), $2, $3::uuid)`, s.backup, moment(s.T, at), backupID)
}

// copyShop copies the tables of a shop as a backup function does, and returns the ID of
// the backup.
func (s *scenario) copyShop(schema string) string {
	s.Helper()
	return one[string](s.T, s.owner, strings.ReplaceAll(`
		with made as (select gen_random_uuid() as id),
		c as (insert into shop.backup_customers select m.id, x.id, x.name, x.email, x.kind, x.tags, x.details, x.born, x.rank from shop.customers x, made m),
		o as (insert into shop.backup_orders (backup_id, original_id, customer_id, parent_id, total, "Note", owner_id)
			select m.id, x.id, x.customer_id, x.parent_id, x.total, x."Note", x.owner_id from shop.orders x, made m)
		select id::text from made`, "shop.", schema+"."))
}

// newShop creates a schema with a table of every kind of column and their backup, and
// a drill of them. Its name is that of the schema.
func (tdb *testDatabase) newShop(t *testing.T) (*scenario, string) {
	s := tdb.newScenario(t)
	schema := strings.ReplaceAll(s.backup, "-", "_")
	s.exec(t, s.owner, "create schema "+schema)
	s.exec(t, s.owner, strings.ReplaceAll(`
		create type shop.kind as enum ('person', 'company');
		create domain shop.rank as int check (value between 0 and 9);
		create table shop.owners (id int primary key);
		insert into shop.owners select generate_series(1, 5);
		create table shop.customers (
			id uuid primary key default gen_random_uuid(), name text not null check (length(name) > 0),
			email varchar(80) not null unique, kind shop.kind not null default 'person', tags text[], details jsonb,
			born date, rank shop.rank, shout text generated always as (upper(name)) stored
		);
		create table shop.orders (
			id bigserial primary key, number int generated always as identity, customer_id uuid not null references shop.customers deferrable initially deferred,
			parent_id bigint references shop.orders, total numeric(8, 2) not null default 0, "Note" text,
			owner_id int references shop.owners
		);
		alter table shop.customers add favourite bigint references shop.orders; -- a circle
		create table shop.backup_customers (
			backup_id uuid not null, original_id uuid, name text, email text, kind shop.kind, tags text[], details jsonb, born date, rank shop.rank
		);
		create table shop.backup_orders (
			id uuid default gen_random_uuid(), backup_id uuid not null, original_id bigint, customer_id uuid, parent_id bigint,
			total numeric(8, 2), "Note" text, owner_id int
		);
		insert into shop.customers (name, email, kind, tags, details, born, rank)
		select 'Name ' || n, n || '@example.com', case when n % 2 = 0 then 'company' else 'person' end::shop.kind,
			array['a', 'b"c', null], jsonb_build_object('n', n, 'CANARY', 'CANARY-VALUE'), date '2000-01-01' + n, n % 10
		from generate_series(1, 40) n;
		insert into shop.orders (customer_id, total, "Note", owner_id)
		select c.id, 10, 'CANARY-VALUE', 1 + (row_number() over ()) % 5 from shop.customers c;
		update shop.orders set parent_id = id - 1 where id > 1;`, "shop.", schema+"."))
	t.Cleanup(func() { s.exec(t, s.admin, "drop schema "+schema+" cascade") })
	s.change(installed, func(document map[string]any) {
		document["drill"] = drillSetting(drilled(schema, "customers"), drilled(schema, "orders"))
	})
	return s, schema
}

// TestDrill tests restore drills in one database.
func TestDrill(t *testing.T) {
	t.Parallel()
	tdb := startDatabase(t)
	for name, test := range map[string]func(*testing.T){
		"twelve ways":  tdb.testDrillTwelveWays,
		"ways":         tdb.testDrillWays,
		"gives way":    tdb.testDrillGivesWay,
		"ticks":        tdb.testDrillTicks,
		"beside":       tdb.testDrillBeside,
		"nothing left": tdb.testDrillLeavesNothing,
		"kinds":        tdb.testDrillKinds,
		"trust":        tdb.testDrillTrust,
		"forged":       tdb.testDrillForged,
		"incidents":    tdb.testDrillIncidents,
		"fidelity":     tdb.testDrillFidelity,
		"on request":   tdb.testDrillNow,
		"history":      tdb.testDrillHistory,
		"retained":     tdb.testRetained,
		"retain":       tdb.testRetain,
		"months":       tdb.testRetainMonths,
		"forgets":      tdb.testRetainForgets,
	} {
		t.Run(name, test)
	}
}

// testDrillGivesWay proves that a drill holds no lock on a live table after it has read
// it, that it does not wait for one, and that it is skipped while a backup is made.
func (tdb *testDatabase) testDrillGivesWay(t *testing.T) {
	s, schema := tdb.newShop(t)
	if got := s.drill("8 07:31", "schedule").String(); got != "skipped drill_no_backup" {
		t.Errorf("without a backup: %s", got)
	}
	s.succeeded("8 06:00", s.copyShop(schema))

	tx, err := s.owner.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback(context.WithoutCancel(t.Context())) //nolint:errcheck // nothing to keep
	if _, err := tx.Exec(t.Context(), "lock table "+schema+".orders in access exclusive mode"); err != nil {
		t.Fatal(err)
	}
	if got := s.drill("8 07:30", "manual"); got.State != "skipped" || got.Code != "drill_locked" || got.Error != schema+".orders" {
		t.Errorf("with a locked table: %s, %q", got, got.Error)
	}
	if err := tx.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}

	// A drill inside a transaction: what it still locks is what it has not released.
	if tx, err = s.owner.Begin(t.Context()); err != nil {
		t.Fatal(err)
	}
	var state string
	if err := tx.QueryRow(t.Context(), "select auto_backup.drill($1, 'manual') ->> 'state'", s.backup).Scan(&state); err != nil || state != "successful" {
		t.Fatalf("%s, %v", state, err)
	}
	held := column[string](t, s.admin, `
		select l.relation::regclass::text from pg_locks l inner join pg_class c on c.oid = l.relation
		where c.relnamespace = $1::regnamespace`, schema)
	if len(held) > 0 {
		t.Errorf("the drill still locks %q", held)
	}
	// Another one does not wait for it.
	if got := s.drill("8 07:30", "manual").String(); got != "skipped drill_running" {
		t.Errorf("beside another drill: %s", got)
	}
	if err := tx.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}

	s.exec(t, s.owner, `
		insert into auto_backup.runs (backup, schedule, trigger, due_at, attempt, state, requested_at) values ($1, 'daily', 'manual', $2, 1, 'running', $2)`,
		s.backup, moment(t, "8 07:25"))
	if got := s.drill("8 07:30", "manual").String(); got != "skipped drill_backup_running" {
		t.Errorf("while a backup is made: %s", got)
	}
	// A run that has hung for hours is none.
	if got := s.drill("8 12:30", "manual").State; got != "successful" {
		t.Errorf("long after a run that never ended: %s", got)
	}
	s.exec(t, s.owner, "delete from auto_backup.runs where backup = $1 and state = 'running'", s.backup)
}

// testDrillTicks proves that a job's tick drills each due time once, and only if it is
// due and enabled.
func (tdb *testDatabase) testDrillTicks(t *testing.T) {
	s, schema := tdb.newShop(t)
	s.succeeded("8 06:00", s.copyShop(schema))
	for _, c := range []struct{ at, want string }{
		{"8 07:29", "nothing"}, {"8 07:31", "successful"}, {"8 07:30", "nothing"}, {"9 07:30", "nothing"}, {"15 07:30", "successful"},
	} {
		if got := s.drill(c.at, "schedule").String(); got != c.want {
			t.Errorf("at %s: %s, want %s", c.at, got, c.want)
		}
	}
	s.change("16 00:00", func(document map[string]any) { document["drill"].(map[string]any)["enabled"] = false })
	if got := s.drill("22 07:30", "schedule").String(); got != "nothing" {
		t.Errorf("disabled: %s", got)
	}
	tx, err := s.owner.BeginTx(t.Context(), pgx.TxOptions{AccessMode: pgx.ReadOnly})
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback(context.WithoutCancel(t.Context())) //nolint:errcheck // nothing to keep
	var state string
	if err := tx.QueryRow(t.Context(), "select auto_backup.drill($1, 'manual') ->> 'state'", s.backup).Scan(&state); err != nil || state != "skipped" {
		t.Errorf("read-only: %s, %v", state, err)
	}
	s.change("16 00:00", func(document map[string]any) { document["drill"].(map[string]any)["tables"] = nil })
	if got := s.drill("22 07:30", "manual").String(); got != "skipped drill_no_tables" {
		t.Errorf("without tables: %s", got)
	}
	s.change("16 00:00", func(document map[string]any) { document["drill"] = nil })
	if _, err := s.owner.Exec(t.Context(), "select auto_backup.drill($1, 'manual')", s.backup); err == nil || !strings.Contains(err.Error(), `backup "`+s.backup+`" has no drill`) {
		t.Errorf("without a drill: %v", err)
	}
}

// testDrillTrust proves that what other roles can attach to the tables of a backup never
// runs as postgres in a drill, and that what a restore would run is run by the agent.
func (tdb *testDatabase) testDrillTrust(t *testing.T) {
	s, schema := tdb.newShop(t)
	s.succeeded("8 06:00", s.copyShop(schema))
	s.exec(t, s.admin, strings.ReplaceAll(strings.ReplaceAll(`
		create role drill_attacker nologin;
		create schema evil authorization drill_attacker;
		grant usage on schema $schema to drill_attacker;
		set role drill_attacker;
		grant usage on schema evil to public;
		create sequence evil.as_postgres; create sequence evil.as_agent;
		grant all on evil.as_postgres, evil.as_agent to public;
		create function evil.note() returns void language plpgsql as $$ begin
			perform nextval(case current_user when 'auto_backup_agent' then 'evil.as_agent' else 'evil.as_postgres' end::regclass);
			perform set_config('search_path', 'evil, pg_catalog', false);
			if current_user = 'auto_backup_agent' then
				execute 'create domain pg_temp.jsonb as pg_catalog.jsonb check (evil.holds(value))';
			end if;
		exception when duplicate_object then null;
		end $$;
		create function evil.holds(anyelement) returns boolean language plpgsql immutable as $$ begin perform evil.note(); return true; end $$;
		create function evil.same(text) returns text language plpgsql immutable as $$ begin perform evil.note(); return $1; end $$;
		create function evil.fresh() returns text language plpgsql as $$ begin perform evil.note(); return 'x'; end $$;
		create function evil.word(shop.kind) returns text language plpgsql immutable as $$ begin perform evil.note(); return 'x'; end $$;
		create function evil.equal(shop.kind, shop.kind) returns boolean language plpgsql immutable as $$ begin perform evil.note(); return true; end $$;
		create operator evil.= (leftarg = shop.kind, rightarg = shop.kind, function = evil.equal);
		create function evil.row() returns trigger language plpgsql as $$ begin perform evil.note(); return new; end $$;
		reset role;
		grant usage on schema evil to postgres;
		set role postgres;
		create cast (shop.kind as text) with function evil.word(shop.kind) as assignment;
		create domain shop.dom as text check (evil.holds(value));
		alter table shop.orders add check (evil.holds("Note")), add fresh text default evil.fresh(), add made text generated always as (evil.same("Note")) stored;
		create unique index on shop.orders (id, evil.same("Note"));
		alter table shop.customers alter email type shop.dom;
		create trigger evil before insert or update on shop.orders for each row execute function evil.row();
		create trigger evil before insert or update on shop.backup_orders for each row execute function evil.row();
		alter table shop.customers enable row level security;
		create policy evil on shop.customers using (evil.holds(name));
		reset role;
		select setval('evil.as_postgres', 1, false), setval('evil.as_agent', 1, false)`, "shop.", schema+"."), "$schema", schema))
	t.Cleanup(func() {
		s.exec(t, s.admin, "drop schema evil cascade; drop owned by drill_attacker; drop role drill_attacker")
	})
	got := s.drill("8 07:30", "schedule")
	if got.State != "successful" || len(got.Tables) != 2 || got.Tables[1].Rows != 40 {
		t.Errorf("the drill says %s", got)
	}
	if !one[bool](t, s.admin, "select not is_called from evil.as_postgres") {
		t.Error("code of another role has run as postgres")
	}
	if !one[bool](t, s.admin, "select is_called from evil.as_agent") {
		t.Error("the attached code has not run at all")
	}
	// The test would see it.
	s.exec(t, s.owner, "insert into "+schema+".orders (customer_id) select id from "+schema+".customers limit 1")
	if !one[bool](t, s.admin, "select is_called from evil.as_postgres") {
		t.Error("what postgres runs itself is not noticed")
	}
}

// testDrillForged proves that code which runs in a restore cannot hide what the drill
// finds, by operators and functions of its own that it brings in front of PostgreSQL's.
func (tdb *testDatabase) testDrillForged(t *testing.T) {
	s, schema := tdb.newShop(t)
	s.succeeded("8 06:00", s.copyShop(schema))
	s.exec(t, s.owner, strings.ReplaceAll(strings.ReplaceAll(`
		create function shop.no(bigint, int) returns boolean language sql immutable as 'select false';
		create operator shop.> (leftarg = bigint, rightarg = int, function = shop.no);
		create function shop.same(bigint, bigint) returns boolean language sql immutable as 'select false';
		create operator shop.<> (leftarg = bigint, rightarg = bigint, function = shop.same);
		create function shop.format(text, text) returns text language sql immutable as $$ select 'select 0' $$;
		create function shop.nothing(jsonb, jsonb) returns jsonb language sql immutable as $$ select '[]'::jsonb $$;
		create operator shop.|| (leftarg = jsonb, rightarg = jsonb, function = shop.nothing);
		create function shop.leads() returns boolean language plpgsql as $$ begin
			begin
				execute 'create domain pg_temp.uuid as text';
			exception when duplicate_object then null;
			end;
			perform set_config('search_path', '$schema, pg_catalog', false);
			return true;
		end $$;
		grant usage on schema $schema to public;
		alter table shop.customers add constraint a check (shop.leads()) not valid;
		alter table shop.orders add constraint a check (shop.leads()) not valid, add led boolean;
		alter table shop.orders alter led set default shop.leads(), alter "Note" type varchar(3) using 'x';
		alter table shop.orders add constraint b check (total < 5) not valid`, "shop.", schema+"."), "$schema", schema))
	if got, want := s.drill("8 07:30", "schedule").String(), "failed drill_type; orders: drill_type Note 40, drill_check b 40"; got != want {
		t.Errorf("the drill says\n%s\nwant\n%s", got, want)
	}
}

// testDrillIncidents proves that drills that fail are one incident with one log row and
// one alert, in the admin's language, until one succeeds; and that drills which do not
// take place become an incident as well.
func (tdb *testDatabase) testDrillIncidents(t *testing.T) {
	s, schema := tdb.newShop(t)
	id := s.copyShop(schema)
	s.succeeded("8 06:00", id)
	s.exec(t, s.owner, "delete from "+schema+".owners where id = 1 and false; alter table "+schema+".orders add constraint small check (total < 5) not valid")
	incidents := func() string {
		return one[string](t, s.owner, `
			select coalesce(string_agg(concat_ws(' ', code, error, alert_state, alert_attempts, case when recovered_at is not null then 'recovered' end), '; ' order by incident_id), '')
			from auto_backup.incidents where backup = $1`, s.backup)
	}
	s.change("1 12:00", func(document map[string]any) { document["alert"].(map[string]any)["overdue_after_seconds"] = 0 })
	s.drill("8 07:30", "schedule")
	s.drill("8 07:40", "manual")
	want := "drill_check " + schema + ".orders: small (40) "
	if got := incidents(); got != want+"waiting 0" {
		t.Errorf("after two failed drills: %s", got)
	}
	logged := column[string](t, s.owner, `select message from public.system_logs where context ->> 'backup' = $1`, s.backup)
	if len(logged) != 1 || !strings.HasPrefix(logged[0], "Teste de restauração do backup automático falhou: há linhas do backup que violam uma restrição CHECK") {
		t.Errorf("logged is %q", logged)
	}
	s.exec(t, s.owner, "delete from net.http_request_queue")
	s.watch("8 07:50")
	sent := column[string](t, s.admin, `select convert_from(body, 'UTF8')::jsonb ->> 'message' from net.http_request_queue where url like '%alert-processor'`)
	if len(sent) != 1 || !strings.HasPrefix(sent[0], "O teste de restauração do backup automático "+s.backup+" falhou: há linhas") || !strings.Contains(sent[0], schema+".orders: small (40)). O que fazer: confira") {
		t.Errorf("the alerts are %q", sent)
	}
	if got := incidents(); got != want+"sent 1" {
		t.Errorf("after the watchdog: %s", got)
	}
	s.exec(t, s.owner, "alter table "+schema+".orders drop constraint small")
	s.drill("15 07:30", "schedule")
	if got := incidents(); got != want+"sent 1 recovered" {
		t.Errorf("after a success: %s", got)
	}
	// A success of the backup does not end what it says nothing about.
	s.exec(t, s.owner, "alter table "+schema+".orders add constraint small check (total < 5) not valid")
	s.drill("22 07:30", "schedule")
	s.exec(t, s.owner, `update auto_backup.runs set finished_at = $2 where backup = $1 and state = 'succeeded'`, s.backup, moment(t, "22 08:00"))
	s.exec(t, s.owner, `select auto_backup.recover($1, $2)`, s.backup, moment(t, "22 08:10"))
	if got := incidents(); !strings.HasSuffix(got, "; "+want+"waiting 0") {
		t.Errorf("after a backup: %s", got)
	}

	s.exec(t, s.owner, "delete from auto_backup.incidents where backup = $1", s.backup)
	overdue := func(at string) string {
		s.exec(t, s.owner, `select auto_backup.drill_overdue($1, $2)`, s.backup, moment(t, at))
		return incidents()
	}
	if got := overdue("30 07:20"); got != "" {
		t.Errorf("within eight days: %s", got)
	}
	for range 2 {
		if got := overdue("30 07:40"); got != "drill_overdue The last one was at 2026-03-22T07:30:00Z. waiting 0" {
			t.Errorf("after eight days: %s", got)
		}
	}

	// Nobody is woken where nothing can be restored, because no table is known.
	s.exec(t, s.owner, "delete from auto_backup.incidents where backup = $1", s.backup)
	s.change("22 07:35", func(document map[string]any) { document["drill"].(map[string]any)["tables"] = []any{} })
	if got := overdue("30 08:00"); got != "" {
		t.Errorf("without tables: %s", got)
	}
}

// testDrillFidelity proves which live rows are compared with the backup, and what is said
// of the columns that differ.
func (tdb *testDatabase) testDrillFidelity(t *testing.T) {
	for _, c := range []struct {
		name, before, after, want string
		edit                      func(plan map[string]any)
	}{
		{name: "rows that were changed since", after: `update shop.orders set total = 99 where id in (select min(id) from shop.orders)`, want: "successful"},
		{name: "rows that were added or deleted since", after: `delete from shop.orders where id not in (select parent_id from shop.orders where parent_id is not null); insert into shop.orders (customer_id) select min(id::text)::uuid from shop.customers`, want: "successful"},
		{name: "a copy with other values", after: `update shop.backup_orders set "Note" = 'x' where original_id in (select id from shop.orders order by id limit 3)`, want: "successful; orders: lost number 40 not_copied, lost Note 3 changed"},
		{
			name: "a column without a copy", before: `alter table shop.backup_customers rename kind to sort`,
			want: "successful; customers: lost kind 20 not_copied",
		},
		{
			name: "a column that is not filled", edit: func(plan map[string]any) {
				plan["tables"].([]map[string]any)[1]["columns"] = map[string]string{"id": "original_id", "customer_id": "customer_id", "total": "total"}
			},
			want: "successful; orders: lost parent_id 39 not_copied, lost Note 40 not_copied, lost owner_id 40 not_copied",
		},
		{
			name: "a required column", edit: func(plan map[string]any) {
				plan["tables"].([]map[string]any)[1]["columns"] = map[string]string{"id": "original_id", "customer_id": "customer_id", "total": "total", "owner_id": "owner_id", "parent_id": "parent_id"}
				plan["require_columns"] = [][]string{{"shop", "orders", "Note"}, {"shop", "orders", "total"}}
			},
			want: "failed drill_column_lost; orders: drill_column_lost Note 40, lost Note 40 not_copied",
		},
		{
			name: "a narrower copy", before: `alter table shop.backup_customers alter born type timestamp; alter table shop.customers alter born type timestamp; update shop.customers set born = born + interval '1 second'; alter table shop.backup_customers alter born type date`,
			want: "successful; customers: lost born 40 type",
		},
		{
			name: "a trigger of the copy", before: `
				create function shop.blank() returns trigger language plpgsql as $$ begin new.total := 0; if new.owner_id = 1 then new."Note" := ''; end if; return new; end $$;
				create trigger blank before insert on shop.backup_orders for each row execute function shop.blank()`,
			want: "successful; orders: lost total 40 constant, lost Note 8 trigger",
		},
		{
			name: "a column that is copied as its default", before: `alter table shop.backup_orders add zero numeric(8, 2) default 0`,
			edit: func(plan map[string]any) {
				plan["tables"].([]map[string]any)[1]["columns"] = map[string]string{
					"id": "original_id", "customer_id": "customer_id", "total": "zero", "owner_id": "owner_id", "parent_id": "parent_id", "Note": "Note",
				}
			},
			want: "successful; orders: lost total 40 constant",
		},
		{name: "a sample", edit: func(plan map[string]any) { plan["max_rows"] = 10 }, want: "successful; customers: sampled; orders: sampled"},
		{name: "rows that are left out", after: `delete from shop.backup_orders where original_id in (select max(id) from shop.orders)`, want: "successful; orders: missing 1"},
		{
			name: "rows that are left out on purpose", after: `delete from shop.backup_orders where original_id in (select max(id) from shop.orders)`,
			edit: func(plan map[string]any) { plan["tables"].([]map[string]any)[1]["filtered"] = true }, want: "successful",
		},
		{
			name: "partitions", before: `
				alter table shop.orders rename to plain; alter table shop.customers drop column favourite; alter table shop.plain rename constraint orders_pkey to plain_pkey;
				create table shop.orders (id bigint, customer_id uuid, parent_id bigint, total numeric(8, 2), "Note" text, owner_id int, primary key (id, total)) partition by range (total);
				create table shop.orders_low partition of shop.orders for values from (0) to (50);
				create table shop.orders_high partition of shop.orders default;
				insert into shop.orders select id, customer_id, parent_id, id, "Note", owner_id from shop.plain`,
			want: "successful",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, schema := tdb.newShop(t)
			change := func(script string) { s.exec(t, s.owner, strings.ReplaceAll(script, "shop.", schema+".")) }
			if c.edit != nil {
				s.change(installed, func(document map[string]any) {
					plan := document["drill"].(map[string]any)
					c.edit(plan)
					required, _ := plan["require_columns"].([][]string)
					for _, column := range required {
						column[0] = schema
					}
				})
			}
			change(c.before)
			id := s.copyShop(schema)
			s.succeeded("8 06:00", id)
			change(c.after)
			got := s.drill("8 07:30", "schedule")
			if want := strings.ReplaceAll(c.want, "shop.", schema+"."); got.String() != want {
				t.Errorf("the drill says\n%s\nwant\n%s", got, want)
			}
			for _, table := range got.Tables {
				if table.Compared == nil {
					t.Errorf("%s is not compared", table.Table)
				}
			}
		})
	}
}
