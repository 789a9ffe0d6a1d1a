package payload_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// testExportCalls proves what becomes of the requests to the function: one that is
// queued or answered with 202 is waited for, one that was refused, lost or not begun is
// made again, with the keys shown in another way after HTTP 401, and each failure has its
// code.
func (tdb *testDatabase) testExportCalls(t *testing.T) {
	run := ours()
	for _, c := range []struct {
		name   string
		answer *reply
		lose   bool
		want   string // at each of the ticks after 10, 20 and 50 minutes: calls and code
	}{
		{"queued", nil, false, "1 | 2 not_sent | 3 not_sent"},
		{"lost", nil, true, "2 no_answer | 3 no_answer | 3 no_answer"},
		{"begun and died", &reply{status: 202, headers: run, body: `{"success":null,"state":"running"}`}, false, "2 offsite_silent | 3 no_answer | 3 no_answer"},
		{"refused by the gateway", &reply{status: 401, body: `{"message":"no key"}`}, false, "2 | 3 no_answer | 4 no_answer"},
		{"no database", &reply{status: 503, headers: run, body: `{"success":false,"code":"offsite_database_password"}`}, false, "1 offsite_database_password | 2 offsite_database_password | 3 no_answer"},
		{"a code that is none", &reply{status: 503, headers: run, body: `{"success":false,"code":"drop_table"}`}, false, "1 http_503 | 2 http_503 | 3 no_answer"},
		{"not ours", &reply{status: 404, body: `{"code":"offsite_locked"}`}, false, "1 http_404 | 2 http_404 | 3 no_answer"},
		{"unreachable", &reply{failure: "Couldn't connect to server"}, false, "1 unreachable | 2 unreachable | 3 no_answer"},
		{"timeout", &reply{failure: "Timeout of 10000 ms reached", timedOut: true}, false, "1 timeout | 2 timeout | 3 no_answer"},
		{"another worker", &reply{status: 409, headers: run, body: `{"success":false,"code":"duplicate"}`}, false, "2 offsite_silent | 3 no_answer | 3 no_answer"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, schema := tdb.newCopied(t)
			export := s.backedUp(schema, "2 06:00", "2 06:10")
			request := one[int64](t, s.owner, `select request_id from auto_backup.exports where export_id = $1`, export)
			switch {
			case c.lose:
				s.exec(t, s.admin, `delete from net.http_request_queue where id = $1`, request)
			case c.answer != nil:
				s.answer(request, one[time.Time](t, s.owner, `select posted_at from auto_backup.exports where export_id = $1`, export), *c.answer)
			}
			var got []string
			for _, at := range []string{"2 06:20", "2 06:30", "2 07:00"} {
				s.watching(at)
				got = append(got, one[string](t, s.owner, `select concat_ws(' ', calls, code) from auto_backup.exports where export_id = $1`, export))
				if c.name != "queued" {
					// The later ones are lost.
					s.exec(t, s.admin, `delete from net.http_request_queue q using auto_backup.exports e where e.export_id = $1 and q.id = e.request_id`, export)
				}
			}
			if strings.Join(got, " | ") != c.want {
				t.Errorf("got  %s\nwant %s", strings.Join(got, " | "), c.want)
			}
		})
	}
	t.Run("continued", func(t *testing.T) {
		s, schema := tdb.newCopied(t)
		export, b := s.backedUp(schema, "2 06:00", "2 06:10"), bucket{}
		c := s.copier(export, b, moment(t, "2 06:11"))
		c.die = func(point string) bool { return point == "stored rows" }
		if _, err := c.call(); err != errDied { //nolint:errorlint // it is returned as it is
			t.Fatal(err)
		}
		if got, err := ask[map[string]any](c, `select auto_backup.export_yield($1, $2::uuid, $at)::text`); err != nil || got["posted"] != true {
			t.Errorf("%v, %v", got, err)
		}
		if _, err := ask[map[string]any](c, `select auto_backup.export_yield($1, $2::uuid, $at)::text`); sqlState(err) != "AB030" {
			t.Errorf("after it has given up its claim: %v", err)
		}
		// A call that stores nothing requests no other, or calls would follow each other for
		// ever.
		c = s.copier(export, b, moment(t, "2 06:12"))
		if _, err := c.claim(); err != nil {
			t.Fatal(err)
		}
		if got, err := ask[map[string]any](c, `select auto_backup.export_yield($1, $2::uuid, $at)::text`); err != nil || got["posted"] != false {
			t.Errorf("%v, %v", got, err)
		}
		if got := one[int](t, s.owner, `select calls from auto_backup.exports where export_id = $1`, export); got != 2 {
			t.Errorf("%d calls", got)
		}
	})
}

// testExportRemoved proves that what can no longer be completed ends, with its code: a
// removed or moved destination, removed or changed rows, a backup that the retention has
// removed; and that changed recipients or a changed table begin an export again.
func (tdb *testDatabase) testExportRemoved(t *testing.T) {
	s, schema := tdb.newCopied(t)
	s.exec(t, s.owner, "alter table "+schema+".backup_orders add column key bigint generated always as identity primary key")
	tables := []map[string]any{drilled(schema, "customers"), drilled(schema, "orders")}
	export, b := s.backedUp(schema, "2 06:00", "2 06:10"), bucket{}
	c := s.copier(export, b, moment(t, "2 06:11"))
	if _, err := c.claim(); err != nil {
		t.Fatal(err)
	}
	s.change(installed, copying(tables, map[string]map[string]any{"r2": destination(func(d map[string]any) { d["prefix"] = "other" })}))
	if w, err := s.copier(export, b, moment(t, "2 06:20")).claim(); err != nil || w.Skip != "the destination was removed or moved" {
		t.Errorf("%+v, %v", w, err)
	}
	if got := s.watching("2 06:20"); got != "[ended:1 opened:1 posted:1]" {
		t.Errorf("a moved destination: %s", got)
	}
	if _, err := ask[string](c, `select auto_backup.export_freeze($1, $2::uuid, $at)::text`); sqlState(err) != "AB030" {
		t.Errorf("the worker of an export that has ended: %v", err)
	}
	export = s.export("r2")
	if w, err := s.copier(export, b, moment(t, "2 06:21")).claim(); err != nil || !strings.HasPrefix(w.Path, "other/") {
		t.Errorf("%+v, %v", w, err)
	}
	s.exec(t, s.owner, `select auto_backup.offsite_incident($1, 'r2', 'offsite_late', null, $2)`, s.backup, moment(t, "2 06:25"))
	s.change(installed, func(document map[string]any) { document["offsite"] = nil })
	if got := fmt.Sprint(s.watch("2 06:30")["offsite"]); got != "map[ended:1]" {
		t.Errorf("without destinations: %s", got)
	}
	if got := s.watch("2 06:40")["offsite"]; got != nil {
		t.Errorf("the tick after that: %v", got)
	}
	if got := s.incidentsOf(); len(got) != 1 || !strings.HasSuffix(got[0], "over") {
		t.Errorf("incidents: %q", got)
	}

	// Rows that are removed between two parts, and rows that are removed after the first.
	s.change(installed, copying(tables, map[string]map[string]any{"r2": destination()}))
	large := func(export int64) string {
		t.Helper()
		return one[string](t, s.owner, `
			with added as (
				insert into `+schema+`.backup_orders (backup_id, original_id)
				select e.backup_id, n from auto_backup.exports e cross join generate_series(1, 5000) n where e.export_id = $1
				returning backup_id
			)
			select distinct backup_id::text from added`, export)
	}
	export = s.backedUp(schema, "3 06:00", "3 06:10")
	id := large(export)
	c = s.copier(export, b, moment(t, "3 06:11"))
	stored := 0
	c.die = func(point string) bool {
		if point == "announced rows" {
			if stored++; stored == 2 { // the first part of the second table
				s.exec(t, s.owner, "delete from "+schema+".backup_orders where backup_id = $1::uuid and key % 2 = 0", id)
			}
		}
		return false
	}
	c.partBytes = 1500
	if n, err := c.call(); err != nil || n.Failed == nil || n.Failed.Code != "offsite_rows_gone" {
		t.Errorf("after rows were removed: %+v, %v", n, err)
	}
	if got := s.exports()[2]; got != "r2 3 06:00 failed offsite_rows_gone" {
		t.Error(got)
	}
	if got := s.incidentsOf(); len(got) != 2 || got[1] != "r2 offsite_rows_gone waiting" {
		t.Errorf("incidents: %q", got)
	}

	export = s.backedUp(schema, "4 06:00", "4 06:10")
	s.exec(t, s.owner, `update auto_backup.runs set removed_at = now() where backup = $1`, s.backup)
	if w, err := s.copier(export, b, moment(t, "4 06:11")).claim(); err != nil || w.Skip != "the backup was removed" {
		t.Errorf("%+v, %v", w, err)
	}

	// A backup with rows of which the tables have none.
	s.succeeded("5 06:00", newUUID())
	s.exec(t, s.owner, `update auto_backup.runs set records = 7 where backup = $1 and removed_at is null`, s.backup)
	s.watching("5 06:10")
	if n, err := s.copier(s.export("r2"), b, moment(t, "5 06:11")).call(); err != nil || n.Failed == nil || n.Failed.Code != "offsite_rows_gone" {
		t.Errorf("an invented backup: %+v, %v", n, err)
	}

	for day, change := range map[int]func(){
		6: func() {
			s.change(installed, copying(tables, map[string]map[string]any{"r2": destination(func(d map[string]any) { d["recipients"] = []string{"dGhpcmQ="} })}))
		},
		7: func() { s.exec(t, s.owner, "alter table "+schema+".backup_orders add column late text") },
	} {
		export = s.backedUp(schema, fmt.Sprintf("%d 06:00", day), fmt.Sprintf("%d 06:10", day))
		large(export)
		c = s.copier(export, b, moment(t, fmt.Sprintf("%d 06:11", day)))
		stored = 0
		c.die = func(point string) bool {
			if point == "stored rows" {
				stored++
			}
			return stored == 3
		}
		if _, err := c.call(); err != errDied { //nolint:errorlint // it is returned as it is
			t.Fatalf("after %d: %v", stored, err)
		}
		change()
		c = s.copier(export, b, moment(t, fmt.Sprintf("%d 06:30", day)))
		n, err := c.call()
		if day == 7 {
			if err != nil || n.Failed == nil || n.Failed.Code != "offsite_table_changed" {
				t.Fatalf("after a column was added: %+v, %v", n, err)
			}
		} else if err != nil || n.Stage != "complete" {
			t.Fatalf("%+v, %v", n, err)
		}
		if day == 7 {
			s.complete(export, b, "7 06:50")
		}
		m := readManifest(t, b, one[string](t, s.owner, `select path from auto_backup.exports where export_id = $1`, export))
		if len(m.Abandoned) != 3 || m.Tables[0].Rows != 40 || m.Tables[1].Rows != 5040 {
			t.Errorf("begun again on the %dth: abandoned are %q, %d and %d rows", day, m.Abandoned, m.Tables[0].Rows, m.Tables[1].Rows)
		}
	}
}

// testExportRefusals proves that tables which cannot be copied are named with a code,
// and that calls which do not fit are refused.
func (tdb *testDatabase) testExportRefusals(t *testing.T) {
	s, schema := tdb.newCopied(t)
	s.exec(t, s.owner, strings.ReplaceAll(`
		create view shop.seen as select * from shop.orders;
		create table shop.empty (id int);
		create table shop.bare ();
		create table shop.odd (backup_id int);
		create materialized view shop.kept as select 1 as one`, "shop.", schema+"."))
	pairs := func(copied string) []map[string]any {
		return []map[string]any{{"live": []string{schema, "orders"}, "copy": []string{schema, copied}}}
	}
	id := s.copyShop(schema)
	day := 1
	for _, c := range []struct {
		tables []map[string]any
		names  []string
		want   string
	}{
		{nil, []string{"stored"}, "offsite_no_tables"},
		{[]map[string]any{}, []string{"stored", "live"}, "offsite_no_tables"},
		{pairs("gone"), []string{"stored"}, "offsite_table_missing"},
		{nil, []string{"nowhere.orders"}, "offsite_table_missing"},
		{nil, []string{schema + ".seen"}, "offsite_table_foreign"},
		{nil, []string{schema + ".kept"}, "offsite_table_foreign"},
		{nil, []string{schema + ".bare"}, "offsite_table_foreign"},
		{pairs("orders"), []string{"stored"}, "offsite_table_foreign"},
		{pairs("odd"), []string{"stored"}, "offsite_table_foreign"},
		{nil, []string{schema + ".empty"}, ""},
	} {
		day++
		s.change(installed, copying(c.tables, map[string]map[string]any{"r2": destination(tablesOf(c.names...), func(d map[string]any) { d["prefix"] = fmt.Sprint(day) })}))
		s.succeeded(fmt.Sprintf("%d 06:00", day), id)
		s.watching(fmt.Sprintf("%d 06:10", day))
		export := s.export("r2")
		if n, err := s.copier(export, bucket{}, moment(t, fmt.Sprintf("%d 06:11", day))).call(); err != nil || n.State != c.want {
			t.Errorf("%v of %v: %+v, %v; want %s", c.names, c.tables, n, err, c.want)
		}
		if c.want != "" {
			if got := one[string](t, s.owner, `select concat_ws(' ', state, code, retryable) from auto_backup.exports where export_id = $1`, export); got != "open "+c.want+" f" {
				t.Errorf("%v: the export is %s", c.names, got)
			}
		}
	}

	s.change(installed, copying([]map[string]any{drilled(schema, "orders")}, map[string]map[string]any{"r2": destination()}))
	day++
	s.succeeded(fmt.Sprintf("%d 06:00", day), id)
	s.watching(fmt.Sprintf("%d 06:10", day))
	c := s.copier(s.export("r2"), bucket{}, moment(t, fmt.Sprintf("%d 06:11", day)))
	if w, err := s.copier(1<<40, bucket{}, c.at).claim(); err != nil || w.Skip != "there is no such export" {
		t.Errorf("%+v, %v", w, err)
	}
	if _, err := c.claim(); err != nil {
		t.Fatal(err)
	}
	if _, err := ask[next](c, `select auto_backup.export_freeze($1, $2::uuid, $at)::text`); err != nil {
		t.Fatal(err)
	}
	for _, call := range []string{
		`export_page($1, $2::uuid, 2, null, $at)`, `export_manifest($1, $2::uuid, $at)`, `export_sums($1, $2::uuid, $at)`,
		`export_announce($1, $2::uuid, '{"kind": "manifest", "key": "manifest.json"}', $at)::text`,
		`export_announce($1, $2::uuid, '{"kind": "rows", "table_no": 1, "part": 2, "key": "rows/a"}', $at)::text`,
		`export_announce($1, $2::uuid, '{"kind": "rows", "table_no": 2, "part": 1, "key": "rows/a"}', $at)::text`,
		`export_announce($1, $2::uuid, '{"kind": "rows", "table_no": 1, "part": 1, "key": "rows/../../a"}', $at)::text`,
		`export_announce($1, $2::uuid, '{"kind": "rows", "table_no": 1, "part": 1, "key": "Rows"}', $at)::text`,
		`export_announce($1, $2::uuid, '{"kind": "rows", "table_no": 1, "part": 1, "key": "manifest.json"}', $at)::text`,
		`export_stored($1, $2::uuid, 0, '{}', $at)::text`,
		`export_schema($1, $2::uuid, 'before', $at)`,
	} {
		if _, err := ask[string](c, "select auto_backup."+call); sqlState(err) != "AB031" {
			t.Errorf("%s: %v", call, err)
		}
	}
	object, err := ask[int64](c, `select auto_backup.export_announce($1, $2::uuid, '{"kind": "rows", "table_no": 1, "part": 1, "key": "rows/a"}', $at)::text`)
	if err != nil {
		t.Fatal(err)
	}
	sum := strings.Repeat("0", 64)
	for _, facts := range []string{
		`{}`, `{"rows": 1, "raw_bytes": 5, "raw_sha256": "` + sum + `", "digest": "1", "last": "1", "more": true, "bytes": 7, "sha256": "x"}`,
		`{"rows": 1, "raw_bytes": 5, "raw_sha256": "` + sum + `", "digest": "1", "last": "CANARY VALUE", "more": true, "bytes": 7, "sha256": "` + sum + `"}`,
		`{"rows": 0, "raw_bytes": 5, "raw_sha256": "` + sum + `", "digest": "1", "last": null, "more": true, "bytes": 7, "sha256": "` + sum + `"}`,
		`{"rows": 1, "raw_bytes": 5, "raw_sha256": "` + sum + `", "digest": "1", "last": "1", "bytes": 7, "sha256": "` + sum + `"}`,
	} {
		if _, err := ask[string](c, `select auto_backup.export_stored($1, $2::uuid, $3, $4::jsonb, $at)::text`, object, facts); sqlState(err) != "AB031" {
			t.Errorf("%s: %v", facts, err)
		}
	}
}

// testExportTrust proves that nothing that another role can attach to what is copied runs
// as postgres: types with casts, operators and domains of its own, triggers, rules, views,
// policies; and that its tables are refused.
func (tdb *testDatabase) testExportTrust(t *testing.T) {
	s, schema := tdb.newCopied(t)
	s.exec(t, s.admin, strings.ReplaceAll(strings.ReplaceAll(`
		create role copy_attacker nologin;
		create schema evil_copy authorization copy_attacker;
		grant usage, create on schema $schema to copy_attacker;
		set role copy_attacker;
		create sequence evil_copy.ran; grant all on evil_copy.ran to public; grant usage on schema evil_copy to public;
		create function evil_copy.note() returns boolean language plpgsql as $$ begin
			if current_user <> 'copy_attacker' then perform nextval('evil_copy.ran'); end if; return true; end $$;
		create type evil_copy.pair as (a int, b text);
		create type evil_copy.mood as enum ('good', 'bad');
		create function evil_copy.to_json(evil_copy.pair) returns json language sql as 'select evil_copy.note(); select ''{}''::json';
		create cast (evil_copy.pair as json) with function evil_copy.to_json(evil_copy.pair) as implicit;
		create function evil_copy.mood_json(evil_copy.mood) returns json language sql as 'select evil_copy.note(); select ''{}''::json';
		create cast (evil_copy.mood as json) with function evil_copy.mood_json(evil_copy.mood) as implicit;
		create function evil_copy.mood_text(evil_copy.mood) returns text language sql as 'select evil_copy.note(); select ''x''::text';
		create cast (evil_copy.mood as text) with function evil_copy.mood_text(evil_copy.mood) as implicit;
		create function evil_copy.same(evil_copy.pair, evil_copy.pair) returns boolean language sql as 'select evil_copy.note()';
		create operator evil_copy.= (leftarg = evil_copy.pair, rightarg = evil_copy.pair, function = evil_copy.same);
		create domain evil_copy.held as int check (evil_copy.note());
		create function shop.row_to_json(record) returns json language plpgsql as $$ begin perform evil_copy.note(); return '{}'; end $$;
		create table shop.mine (id int, backup_id uuid);
		create view shop.looks as select evil_copy.note() as note;
		reset role;
		set role postgres;
		grant all on evil_copy.ran to postgres;
		create table shop.held (id int, pair evil_copy.pair, mood evil_copy.mood, held evil_copy.held, moods evil_copy.mood[]);
		alter table shop.held enable row level security;
		insert into shop.held values (1, row(1, 'a'), 'good', 5, '{bad}');
		alter table shop.backup_orders add column pair evil_copy.pair, add column held evil_copy.held;
		grant trigger on shop.held, shop.backup_orders to copy_attacker;
		reset role;
		set role copy_attacker;
		create function evil_copy.fire() returns trigger language plpgsql as $$ begin perform evil_copy.note(); return new; end $$;
		create trigger fire after insert or update or delete on shop.backup_orders for each row execute function evil_copy.fire();
		reset role;`, "$schema", schema), "shop.", schema+"."))
	s.exec(t, s.admin, "grant usage on schema "+schema+" to copy_attacker; revoke create on schema "+schema+" from copy_attacker")
	t.Cleanup(func() {
		s.exec(t, s.admin, "drop owned by copy_attacker cascade; drop role copy_attacker")
	})
	s.change(installed, copying([]map[string]any{drilled(schema, "customers"), drilled(schema, "orders")}, map[string]map[string]any{"r2": destination(tablesOf("stored", schema+".held"))}))
	s.succeeded("2 06:00", s.copyShop(schema))
	before := one[int64](t, s.admin, `select last_value * 2 + is_called::int from evil_copy.ran`)
	s.watching("2 06:10")
	m := s.complete(s.export("r2"), bucket{}, "2 06:11")
	if m.Tables[2].Rows != 1 {
		t.Errorf("%d rows", m.Tables[2].Rows)
	}
	if after := one[int64](t, s.admin, `select last_value * 2 + is_called::int from evil_copy.ran`); after != before {
		t.Error("code of another role has run")
	}
	for i, name := range []string{"mine", "looks"} {
		s.change(installed, copying(nil, map[string]map[string]any{"r2": destination(tablesOf(schema+"."+name), func(d map[string]any) { d["prefix"] = name })}))
		s.succeeded(fmt.Sprintf("%d 06:00", 3+i), newUUID())
		s.watching(fmt.Sprintf("%d 06:10", 3+i))
		if n, err := s.copier(s.export("r2"), bucket{}, moment(t, fmt.Sprintf("%d 06:11", 3+i))).call(); err != nil || n.State != "offsite_table_foreign" {
			t.Errorf("%s: %+v, %v", name, n, err)
		}
	}
	if after := one[int64](t, s.admin, `select last_value * 2 + is_called::int from evil_copy.ran`); after != before {
		t.Error("code of another role has run")
	}
}

// testExportLocks proves that a copy waits at most three seconds for the lock of another
// session, says so and goes on later, and that it holds no lock between its calls.
func (tdb *testDatabase) testExportLocks(t *testing.T) {
	s, schema := tdb.newCopied(t, tablesOf("stored", "live"))
	s.exec(t, s.owner, "alter table "+schema+".backup_orders add column key bigint generated always as identity primary key")
	export, b := s.backedUp(schema, "2 06:00", "2 06:10"), bucket{}
	locked := func(table string, do func()) {
		t.Helper()
		tx, err := s.owner.Begin(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer tx.Rollback(context.WithoutCancel(t.Context())) //nolint:errcheck // nothing to keep
		if _, err := tx.Exec(t.Context(), "lock table "+schema+"."+table+" in access exclusive mode"); err != nil {
			t.Fatal(err)
		}
		do()
	}
	locked("orders", func() {
		if n, err := s.copier(export, b, moment(t, "2 06:11")).call(); err != nil || n.State != "offsite_table_locked" {
			t.Errorf("%+v, %v", n, err)
		}
	})
	c := s.copier(export, b, moment(t, "2 06:21"))
	if w, err := c.claim(); err != nil || w.Stage != "freeze" {
		t.Fatalf("%+v, %v", w, err)
	}
	locked("customers", func() {
		if n, err := ask[next](c, `select auto_backup.export_freeze($1, $2::uuid, $at)::text`); err != nil || n.Failed == nil || n.Failed.Code != "offsite_table_locked" || n.Failed.Message != schema+".customers" {
			t.Errorf("%+v, %v", n, err)
		}
	})
	c = s.copier(export, b, moment(t, "2 06:41"))
	c.die = func(point string) bool { return point == "after rows" }
	if n, err := c.call(); err != errDied { //nolint:errorlint // it is returned as it is
		t.Fatalf("%+v, %v", n, err)
	}
	locked("backup_orders", func() {
		if header, _, err := c.page(2, nil); err != nil || fmt.Sprint(header["failed"]) != "map[code:offsite_table_locked message:"+schema+".backup_orders retry:true sqlstate:55P03]" {
			t.Errorf("%v, %v", header, err)
		}
	})
	// What is frozen can be read however the table is locked.
	c = s.copier(export, b, moment(t, "2 07:41"))
	c.die = func(point string) bool { return point == "stored rows" }
	locked("customers", func() {
		if n, err := c.call(); err != errDied { //nolint:errorlint // it is returned as it is
			t.Fatalf("%+v, %v", n, err)
		}
	})
	if held := column[string](t, s.admin, `
		select l.relation::regclass::text from pg_locks l inner join pg_class c on c.oid = l.relation
		where c.relnamespace = $1::regnamespace`, schema); len(held) > 0 {
		t.Errorf("between two calls it locks %q", held)
	}
	s.complete(export, b, "2 08:30")
}

// testExportPruned proves that exports and looks are forgotten after 400 days, except the
// newest complete one at each address, to which the next one refers; and that frozen rows
// of no open export do not stay.
func (tdb *testDatabase) testExportPruned(t *testing.T) {
	s, schema := tdb.newCopied(t)
	b := bucket{}
	for day := 2; day <= 4; day++ {
		s.complete(s.backedUp(schema, fmt.Sprintf("%d 06:00", day), fmt.Sprintf("%d 06:10", day)), b, fmt.Sprintf("%d 06:11", day))
	}
	last := s.backedUp(schema, "5 06:00", "5 06:10")
	s.exec(t, s.owner, `insert into auto_backup.frozen values ($1, 1, 1, 'x'), (0, 1, 1, 'x')`, last)
	s.exec(t, s.owner, `update auto_backup.exports set opened_at = now() - interval '401 days' where backup = $1 and export_id < $2`, s.backup, last)
	s.exec(t, s.owner, `update auto_backup.export_checks set started_at = now() - interval '401 days', state = 'passed', finished_at = now() where backup = $1`, s.backup)
	if got := one[map[string]any](t, s.owner, `select auto_backup.prune($1, now())`, s.backup); got["exports"] != 2.0 || got["export_checks"] != 1.0 {
		t.Errorf("removed: %v", got)
	}
	if got := s.exports(); !slices.Equal(got, []string{"r2 4 06:00 complete #3", "r2 5 06:00 open freeze"}) {
		t.Errorf("left are %q", got)
	}
	if got := one[int](t, s.owner, `select count(*)::int from auto_backup.frozen where export_id in (0, $1)`, last); got != 1 {
		t.Errorf("%d frozen rows are left", got)
	}
	if m := s.complete(last, b, "5 06:20"); m.Sequence != 4 || m.Previous == nil {
		t.Errorf("the next one is number %d after %v", m.Sequence, m.Previous)
	}
}

// testExportRetention proves that the retention does not remove a backup that is being
// copied, and removes it when its copy was given up for a day.
func (tdb *testDatabase) testExportRetention(t *testing.T) {
	s, schema := tdb.newCopied(t)
	old := s.copyShop(schema)
	s.succeeded("2 06:00", old)
	s.watching("2 06:10")
	export := s.export("r2")
	fresh := s.copyShop(schema)
	s.succeeded("2 07:00", fresh)
	s.change(installed, func(document map[string]any) { document["retention"] = map[string]any{"keep_last": 1} })
	if got := s.drill("2 07:30", "manual").String(); !strings.HasPrefix(got, "successful") {
		t.Fatal(got)
	}
	s.exec(t, s.owner, `select auto_backup.offsite_incident($1, 'r2', 'offsite_late', null, $2)`, s.backup, moment(t, "2 07:40"))
	if got := one[*string](t, s.owner, `select auto_backup.retain_refusal($1, $2)`, s.backup, moment(t, "2 08:00")); got != nil {
		t.Errorf("during an incident about copies it is refused: %s", *got)
	}
	next := func(at string) string {
		return one[string](t, s.owner, `select coalesce(r ->> 'skipped', r ->> 'refused', r ->> 'backup_id') from auto_backup.retain_next($1, $2) r`, s.backup, moment(t, at))
	}
	if got := next("2 08:00"); got != "every backup is kept" {
		t.Errorf("while it is copied: %s", got)
	}
	if got := next("3 08:00"); got != old {
		t.Errorf("a day later: %s", got)
	}
	if w, err := s.copier(export, bucket{}, moment(t, "3 08:10")).claim(); err != nil || w.Skip != "the backup was removed" {
		t.Errorf("%+v, %v", w, err)
	}
}

// testExportLooks proves that what was stored is looked at once a week, an object at a
// time, by whichever calls; that what is missing opens an incident which another copy
// does not end, but a look that finds everything; and that a bucket that cannot be read
// is no incident.
func (tdb *testDatabase) testExportLooks(t *testing.T) {
	s, schema := tdb.newCopied(t)
	b := bucket{}
	s.complete(s.backedUp(schema, "2 06:00", "2 06:10"), b, "2 06:11")
	if got := s.watching("2 07:00"); got != "[]" {
		t.Errorf("on the same day: %s", got)
	}
	if got := s.watching("3 07:00"); got != "[posted:1]" {
		t.Errorf("a day later: %s", got)
	}
	type object struct {
		ID  int64 `json:"object_id"`
		Key string
	}
	look := func() int64 {
		t.Helper()
		return one[int64](t, s.owner, `select check_id from auto_backup.export_checks where backup = $1 and state = 'open'`, s.backup)
	}
	// work does what a call does, and returns how the look has ended.
	work := func(at string, verdict func(key string) any) string {
		t.Helper()
		c := s.copier(look(), b, moment(t, at))
		w, err := ask[map[string]any](c, `select auto_backup.check_claim($1, $2::uuid, $at)::text`)
		if err != nil || w["skip"] != nil || w["path"] != "prod/abcdefghijklmnopqrst/"+s.backup+"/" || w["bucket"] != "acme-backups" {
			t.Fatalf("%v, %v", w, err)
		}
		if w, err := ask[map[string]any](s.copier(c.export, b, c.at), `select auto_backup.check_claim($1, $2::uuid, $at)::text`); err != nil || w["skip"] != "another worker is at it" {
			t.Errorf("another worker: %v, %v", w, err)
		}
		seen := map[string]bool{}
		for {
			objects, err := ask[[]object](c, `select auto_backup.check_next($1, $2::uuid, $at)::text`)
			if err != nil {
				t.Fatal(err)
			}
			if len(objects) == 0 {
				break
			}
			if _, err := ask[map[string]any](c, `select auto_backup.check_finish($1, $2::uuid, $at)::text`); sqlState(err) != "AB031" {
				t.Errorf("too early: %v", err)
			}
			var results []map[string]any
			for _, o := range objects[:(len(objects)+1)/2] {
				if _, there := b[o.Key]; !there || seen[o.Key] {
					t.Errorf("%s is looked at twice, or was never stored", o.Key)
				}
				seen[o.Key] = true
				results = append(results, map[string]any{"object_id": o.ID, "code": verdict(o.Key)})
			}
			if _, err := ask[int](c, `select auto_backup.check_result($1, $2::uuid, $3, $at)::text`, map[string]any{"results": results}); err != nil {
				t.Fatal(err)
			}
		}
		got, err := ask[map[string]any](c, `select auto_backup.check_finish($1, $2::uuid, $at)::text`)
		if err != nil {
			t.Fatal(err)
		}
		if counted := one[int](t, s.owner, `select checked from auto_backup.export_checks where check_id = $1 and objects = checked`, c.export); counted != len(seen) || counted < 5 {
			t.Errorf("%d objects were looked at, and %d counted", len(seen), counted)
		}
		return fmt.Sprint(got["state"])
	}
	sound := func(string) any { return nil }
	if got := work("3 07:01", sound); got != "passed" {
		t.Errorf("the first look has %s", got)
	}
	if got := s.watching("9 07:00"); got != "[]" {
		t.Errorf("after six days: %s", got)
	}
	s.watching("10 07:00")
	if got := work("10 07:01", func(key string) any {
		if strings.HasSuffix(key, "manifest.json") {
			return "offsite_object_missing"
		}
		return nil
	}); got != "failed" {
		t.Errorf("the second look has %s", got)
	}
	if got := s.incidentsOf(); !slices.Equal(got, []string{"r2 offsite_object_missing waiting"}) {
		t.Errorf("incidents: %q", got)
	}
	s.complete(s.backedUp(schema, "11 06:00", "11 06:10"), b, "11 06:11")
	if got := s.incidentsOf(); !slices.Equal(got, []string{"r2 offsite_object_missing waiting"}) {
		t.Errorf("after another copy: %q", got)
	}
	s.watching("17 07:10")
	if got := work("17 07:11", sound); got != "passed" {
		t.Errorf("the third look has %s", got)
	}
	if got := s.incidentsOf(); !slices.Equal(got, []string{"r2 offsite_object_missing waiting over"}) {
		t.Errorf("after it was found: %q", got)
	}

	s.watching("24 08:00")
	for i := range 3 {
		at := moment(t, "24 08:01").Add(time.Duration(i) * time.Hour)
		c := s.copier(look(), b, at)
		if _, err := ask[map[string]any](c, `select auto_backup.check_claim($1, $2::uuid, $at)::text`); err != nil {
			t.Fatal(err)
		}
		if i == 0 {
			// A worker that vanishes.
			s.exec(t, s.owner, `select auto_backup.offsite($1, $2)`, s.backup, at.Add(20*time.Minute))
			continue
		}
		if _, err := ask[string](c, `select auto_backup.check_failed($1, $2::uuid, '{"code": "offsite_denied", "message": "HEAD"}', $at)::text`); err != nil {
			t.Fatal(err)
		}
	}
	if got := one[string](t, s.owner, `select concat_ws(' ', state, code) from auto_backup.export_checks where backup = $1 order by check_id desc limit 1`, s.backup); got != "unreadable offsite_denied" {
		t.Errorf("the bucket that cannot be read: %s", got)
	}
	if got := len(s.incidentsOf()); got != 1 {
		t.Errorf("%d incidents", got)
	}
}

// testExportClosed proves that no role but the owner reads or writes the ledger, calls
// its functions, or sees the rows that are frozen.
func (tdb *testDatabase) testExportClosed(t *testing.T) {
	s, schema := tdb.newCopied(t, tablesOf("live"))
	export := s.backedUp(schema, "2 06:00", "2 06:10")
	c := s.copier(export, bucket{}, moment(t, "2 06:11"))
	c.die = func(point string) bool { return point == "after rows" }
	if _, err := c.call(); err != errDied { //nolint:errorlint // it is returned as it is
		t.Fatal(err)
	}
	if got := one[int](t, s.owner, `select count(*)::int from auto_backup.frozen where export_id = $1 and line like '%CANARY-VALUE%'`, export); got != 80 {
		t.Errorf("%d rows are frozen", got)
	}
	s.exec(t, s.admin, "create role copy_reader nologin")
	t.Cleanup(func() { s.exec(t, s.admin, "drop role copy_reader") })
	statements := []string{
		"insert into auto_backup.exports (backup, destination) values ('x', 'y')", "update auto_backup.exports set state = 'complete'",
		"delete from auto_backup.export_objects", "insert into auto_backup.export_checks (backup) values ('x')",
		"insert into auto_backup.frozen values (1, 1, 1, 'x')", "truncate auto_backup.frozen", "select auto_backup.offsite('x', now())",
	}
	for _, table := range []string{"exports", "export_objects", "export_checks", "frozen"} {
		statements = append(statements, "select * from auto_backup."+table)
	}
	for _, call := range []string{
		"export_claim(1, gen_random_uuid())", "export_freeze(1, gen_random_uuid())", "export_page(1, gen_random_uuid(), 1, null)",
		"export_announce(1, gen_random_uuid(), '{}')", "export_stored(1, gen_random_uuid(), 1, '{}')", "export_failed(1, gen_random_uuid(), '{}')",
		"export_yield(1, gen_random_uuid())", "export_manifest(1, gen_random_uuid())", "export_sums(1, gen_random_uuid())",
		"export_schema(1, gen_random_uuid(), 'before')", "check_claim(1, gen_random_uuid())", "check_finish(1, gen_random_uuid())", "offsite_target('x', 'y')",
	} {
		statements = append(statements, "select auto_backup."+call)
	}
	for _, role := range []string{"anon", "authenticated", "service_role", "authenticator", "supabase_read_only_user", "auto_backup_agent", "copy_reader"} {
		for _, statement := range statements {
			if role == "supabase_read_only_user" && strings.HasPrefix(statement, "select *") {
				continue // it may read every table
			}
			_, err := s.admin.Exec(t.Context(), "begin; set local role "+role+"; "+statement+"; rollback")
			if sqlState(err) != "42501" {
				t.Errorf("%s as %s: %v", statement, role, err)
			}
		}
	}
}
