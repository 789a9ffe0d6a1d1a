package payload_test

import (
	"fmt"
	"strings"
	"testing"
)

// testDrillTwelveWays proves of each way in which a backup stops being restorable that
// the next drill finds it and names it, with the object and the number of rows; that two
// drills that fail are one incident, one log row and one alert; and that the next drill
// of a restorable backup ends the incident.
func (tdb *testDatabase) testDrillTwelveWays(t *testing.T) {
	for _, c := range []struct {
		name, change string
		code, object string
		rows         int // 0: of the table as a whole
		// repair makes the next backup restorable again.
		repair string
	}{
		{
			name:   "a column made NOT NULL",
			change: `alter table shop.orders add lang text; update shop.orders set lang = 'pt'; alter table shop.orders alter lang set not null`,
			code:   "drill_not_null", object: "lang", rows: 40,
			repair: `alter table shop.orders alter lang drop not null`,
		},
		{
			name:   "a CHECK tightened",
			change: `update shop.orders set total = 1 where id % 2 = 0; alter table shop.orders add constraint small check (total < 5) not valid`,
			code:   "drill_check", object: "small", rows: 40,
			repair: `update shop.orders set total = 1`,
		},
		{
			name:   "a parent missing",
			change: `delete from shop.backup_customers where email in ('7@example.com', '8@example.com')`,
			code:   "drill_foreign_key", object: "orders_customer_id_fkey", rows: 2,
		},
		{
			name:   "a type narrowed",
			change: `update shop.backup_orders set "Note" = 'x' where original_id % 4 = 0; alter table shop.orders alter "Note" type varchar(3) using left("Note", 3)`,
			code:   "drill_type", object: "Note", rows: 30,
		},
		{
			name:   "a unique key added",
			change: `update shop.orders set "Note" = id; create unique index once on shop.orders (lower("Note")) where total > 0`,
			code:   "drill_unique", object: "once", rows: 39,
		},
		{
			name:   "a generated column",
			change: `update shop.orders set owner_id = 2 where owner_id = 1; alter table shop.orders add share int generated always as (10 / (owner_id - 1)) stored`,
			code:   "drill_type", object: "share", rows: 8,
		},
		{
			name: "an enum value removed",
			change: `
				alter type shop.kind rename to old; create type shop.kind as enum ('person'); alter table shop.backup_customers alter kind type text;
				alter table shop.customers alter kind drop default, alter kind type shop.kind using 'person'`,
			code: "drill_type", object: "kind", rows: 20,
		},
		{
			name:   "an empty backup",
			change: `delete from shop.backup_customers; delete from shop.backup_orders`,
			code:   "drill_backup_missing", object: "$id", rows: 80,
		},
		{
			name:   "an invented backup ID",
			change: `update auto_backup.runs set backup_id = '5b1c2a52-9f9e-4f0e-8a57-0e7c5f2d8a11' where backup_id = '$id'`,
			code:   "drill_backup_missing", object: backupID, rows: 80,
		},
		{
			name:   "a renamed table",
			change: `alter table shop.orders rename to purchases`,
			code:   "drill_table_missing", object: "shop.orders",
			repair: `alter table shop.purchases rename to orders`,
		},
		{
			name:   "a dropped table",
			change: `create table shop.spare (like shop.orders including constraints including indexes); drop table shop.orders cascade`,
			code:   "drill_table_missing", object: "shop.orders",
			repair: `alter table shop.spare rename to orders`,
		},
		{
			name: "a foreign key added",
			change: `
				create table shop.notes (note text primary key); update shop.orders set "Note" = null;
				alter table shop.orders add foreign key ("Note") references shop.notes`,
			code: "drill_foreign_key", object: "orders_Note_fkey", rows: 40,
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, schema := tdb.newShop(t)
			id := s.copyShop(schema)
			named := strings.NewReplacer("shop.", schema+".", "$id", id)
			// Only drills happen here, and an alert is delivered when it was sent.
			s.change(installed, schedule("enabled", false))
			s.change(installed, alertSetting("overdue_after_seconds", 0))
			alerts := 0
			watch := func(at string) {
				s.watch(at)
				calls := s.alertCalls()
				if len(calls) == 0 {
					return
				}
				alerts += len(calls)
				if message := calls[0]["message"].(string); !strings.Contains(message, named.Replace(c.object)) {
					t.Errorf("the alert does not name %s: %s", named.Replace(c.object), message)
				}
				s.answerAlert(delivered())
			}
			incidents := func() string {
				return one[string](t, s.owner, `
					select coalesce(string_agg(concat_ws(' ', kind, code, error, alert_state, alert_attempts, case when recovered_at is not null then 'recovered' end), '; '), '')
					from auto_backup.incidents where backup = $1`, s.backup)
			}

			s.succeeded("8 06:00", id)
			if got := s.drill("8 07:30", "schedule").String(); got != "successful" {
				t.Fatalf("before: %s", got)
			}
			s.exec(t, s.owner, named.Replace(c.change))
			object := named.Replace(c.object)
			found := object
			if c.rows > 0 {
				found += fmt.Sprintf(" (%d)", c.rows)
			}
			for _, at := range []string{"15 07:30", "22 07:30"} {
				got := s.drill(at, "schedule")
				if got.State != "failed" || got.Code != c.code || got.Error != found && !strings.HasSuffix(got.Error, ": "+found) && !strings.Contains(got.Error, ": "+found+", ") {
					t.Errorf("at %s the drill says %s: %s\nwant %s: %s", at, got, got.Error, c.code, found)
				}
				watch(strings.Replace(at, ":30", ":40", 1))
				watch(strings.Replace(at, ":30", ":50", 1))
			}
			want := " delivered 1"
			if got := incidents(); !strings.HasPrefix(got, "drill "+c.code+" ") || !strings.Contains(got, found) || !strings.HasSuffix(got, want) || strings.Contains(got, ";") {
				t.Errorf("after two failed drills: %s", got)
			}

			s.exec(t, s.owner, named.Replace(c.repair))
			s.succeeded("29 06:00", s.copyShop(schema))
			if got := s.drill("29 07:30", "schedule"); got.State != "successful" {
				t.Errorf("after the repair: %s", got)
			}
			watch("29 07:40")
			if got := incidents(); !strings.HasSuffix(got, want+" recovered") || strings.Contains(got, ";") {
				t.Errorf("after a success: %s", got)
			}
			if alerts != 1 {
				t.Errorf("%d alerts were sent", alerts)
			}
			if rows := one[int](t, s.admin, `select count(*) from public.system_logs where context ->> 'backup' = $1`, s.backup); rows != 1 {
				t.Errorf("the log has %d rows", rows)
			}
		})
	}
}

// testDrillWays proves what a drill finds in a backup in other ways, and that it finds
// nothing in a sound one.
func (tdb *testDatabase) testDrillWays(t *testing.T) {
	for _, c := range []struct{ name, change, want string }{
		{"sound", "", "successful"},
		{
			"a CHECK that holds for the live rows", `update shop.orders set total = 1 where total = 10; alter table shop.orders add constraint small check (total < 5)`,
			"failed drill_check; orders: drill_check small 40",
		},
		{
			"a parent missing outside the backup", `update shop.orders set owner_id = null where owner_id = 5; delete from shop.owners where id = 5`,
			"failed drill_foreign_key; orders: drill_foreign_key orders_owner_id_fkey 8",
		},
		{
			"digits narrowed", `update shop.backup_orders set total = 10.25 where backup_id = '$id'; alter table shop.orders alter total type numeric(8, 1)`,
			"failed drill_rows_differ; orders: drill_rows_differ total 40",
		},
		{
			"a unique key with nulls", `
				update shop.orders set owner_id = null where id <= 3; create table shop.spare as select * from shop.orders; delete from shop.orders; alter table shop.customers drop favourite;
				update shop.backup_orders set owner_id = null where original_id <= 3; create unique index once on shop.orders (owner_id) nulls not distinct`,
			"failed drill_unique; orders: drill_unique once 34",
		},
		{
			"an exclusion", `create table shop.spare as select * from shop.orders; delete from shop.orders; alter table shop.orders add constraint apart exclude using btree (total with =)`,
			"failed drill_unique; orders: drill_unique apart",
		},
		{
			"a column that became generated", `alter table shop.orders drop column "Note"; alter table shop.orders add "Note" text generated always as ('n' || total) stored`,
			"failed drill_rows_differ; orders: drill_rows_differ Note 40",
		},
		{
			"two columns refused", `alter table shop.orders alter "Note" type varchar(3) using left("Note", 3), alter total type numeric(2, 1) using 1`,
			"failed drill_type; orders: drill_type total 40, drill_type Note 40",
		},
		{
			"an enum without the values that the backup has", `
				alter type shop.kind rename to old; create type shop.kind as enum ('person');
				alter table shop.customers alter kind drop default, alter kind type shop.kind using 'person'`,
			"failed drill_type; customers: drill_type kind 40",
		},
		{
			"a domain tightened", `alter table shop.backup_customers alter rank type int; update shop.customers set rank = 1; alter domain shop.rank add check (value < 5)`,
			"failed drill_type; customers: drill_type rank 20",
		},
		{
			"one table empty", `delete from shop.backup_orders`,
			"failed drill_copy_empty; orders: drill_copy_empty shop.backup_orders 40, missing 40",
		},
		{
			"nothing to back up", `truncate shop.orders, shop.customers, shop.backup_orders, shop.backup_customers; update auto_backup.runs set records = 0 where backup_id = '$id'`,
			"successful",
		},
		{
			"rows only since an empty backup", `
				create table shop.spare as select * from shop.customers;
				truncate shop.orders, shop.customers, shop.backup_orders, shop.backup_customers; update auto_backup.runs set records = 0 where backup_id = '$id';
				insert into shop.customers (name, email) select name, email from shop.spare`,
			"successful",
		},
		{
			"an invented backup of empty tables", `truncate shop.orders, shop.customers, shop.backup_orders, shop.backup_customers; update auto_backup.runs set records = 80 where backup_id = '$id'`,
			"failed drill_backup_missing",
		},
		{"a dropped backup table", `drop table shop.backup_orders`, "failed drill_table_missing; orders: drill_table_missing shop.backup_orders"},
		{
			"a view", `alter table shop.backup_orders rename to stored; create view shop.backup_orders as select * from shop.stored`,
			"failed drill_table_foreign; orders: drill_table_foreign shop.backup_orders",
		},
		{
			"a column without backup", `alter table shop.backup_orders drop column backup_id`,
			"failed drill_copy_columns; orders: drill_copy_columns shop.backup_orders",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, schema := tdb.newShop(t)
			id := s.copyShop(schema)
			s.succeeded("8 06:00", id)
			s.exec(t, s.owner, strings.ReplaceAll(strings.ReplaceAll(c.change, "shop.", schema+"."), "$id", id))
			got, want := s.drill("8 07:30", "schedule").String(), strings.ReplaceAll(c.want, "shop.", schema+".")
			if got != want {
				t.Errorf("the drill says\n%s\nwant\n%s", got, want)
			}
			// No value of a row leaves its table.
			if one[bool](t, s.admin, `
				select string_agg(line, '') ~ 'CANARY-VALUE|@example|Name ' from (
					select d::text from auto_backup.drills d union all select i::text from auto_backup.incidents i
					union all select l::text from public.system_logs l
				) lines (line)`) {
				t.Error("a value of a row is in a result")
			}
		})
	}
}
