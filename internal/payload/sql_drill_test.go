package payload_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
)

// drillSetting is the drill of a backup, due on Sundays at 07:30 UTC, of the tables
// given as live and copy.
func drillSetting(tables ...map[string]any) map[string]any {
	plan := dailySchedule()
	for key, value := range map[string]any{
		"cron": "30 4 * * 0", "utc": "30 7 * * 0", "minutes": []int{30}, "hours": []int{4}, "weekdays": []int{0},
		"timeout_seconds": 120, "max_rows": 100000, "overdue_after_seconds": 8 * 86400, "require_columns": []string{},
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
		"application": tdb.testDrillApplication,
		"ways":        tdb.testDrillWays,
	} {
		t.Run(name, test)
	}
}

// testDrillApplication proves that a drill of the application's own backup restores
// its tables and names what the backup loses with the exact numbers of rows, and that
// nothing is lost once the function copies every column.
func (tdb *testDatabase) testDrillApplication(t *testing.T) {
	s := tdb.newScenario(t)
	columns := func(table string) map[string]string {
		mapping := map[string]string{}
		for _, c := range column[string](t, s.admin, `
			select a.attname::text from pg_attribute a inner join pg_attribute b on b.attrelid = ('public.backup_' || $1)::regclass and b.attname = a.attname
			where a.attrelid = ('public.' || $1)::regclass and a.attnum > 0 and a.attname <> 'id'`, table) {
			mapping[c] = c
		}
		mapping["id"] = "original_id"
		return mapping
	}
	var tables []map[string]any
	for _, table := range []string{"articles", "comments", "feedbacks"} {
		pair := drilled("public", table)
		mapping := columns(table)
		delete(mapping, "parent_id")
		delete(mapping, "likes")
		pair["columns"] = mapping
		tables = append(tables, pair)
	}
	s.change(installed, func(document map[string]any) { document["drill"] = drillSetting(tables...) })
	s.exec(t, s.owner, `
		insert into public.comments (article_id, user_name, content, likes) select a.id, 'Ana', 'Oi', n % 3 from public.articles a, generate_series(1, 30) n;
		update public.comments c set parent_id = (select max(p.id::text)::uuid from public.comments p) where c.likes = 2`)
	id := one[string](t, s.admin, `select public.backup_all_data() ->> 'backup_id'`)
	s.succeeded("8 06:00", id)
	want := one[string](t, s.admin, `
		select format('comments: lost parent_id %s not_copied, lost likes %s not_copied', count(parent_id), count(*) filter (where likes <> 0)) from public.comments`)
	got := s.drill("8 07:30", "schedule")
	if !strings.Contains(got.String(), want) || got.State != "successful" {
		t.Errorf("the drill says %s\nwant it to contain %s", got, want)
	}
}

// testDrillWays proves that each way in which a backup stops being restorable is found
// by the next drill and named, and that nothing is found in a sound backup.
func (tdb *testDatabase) testDrillWays(t *testing.T) {
	for _, c := range []struct{ name, change, want string }{
		{"sound", "", "successful"},
		{
			"a column made NOT NULL", `alter table shop.orders add lang text; update shop.orders set lang = 'pt'; alter table shop.orders alter lang set not null`,
			"failed drill_not_null; orders: drill_not_null lang 40",
		},
		{
			"a CHECK tightened", `update shop.orders set total = 1 where total = 10; alter table shop.orders add constraint small check (total < 5)`,
			"failed drill_check; orders: drill_check small 40",
		},
		{
			"a CHECK that does not hold for old rows", `alter table shop.orders add constraint small check (total < 5) not valid`,
			"failed drill_check; orders: drill_check small 40",
		},
		{
			"a parent missing in the backup", `delete from shop.backup_customers where backup_id = '$id' and email = '7@example.com'`,
			"failed drill_foreign_key; customers: missing 1; orders: drill_foreign_key orders_customer_id_fkey 1",
		},
		{
			"a parent missing outside the backup", `update shop.orders set owner_id = null where owner_id = 5; delete from shop.owners where id = 5`,
			"failed drill_foreign_key; orders: drill_foreign_key orders_owner_id_fkey 8",
		},
		{
			"a foreign key added", `create table shop.notes (note text primary key); update shop.orders set "Note" = null; alter table shop.orders add foreign key ("Note") references shop.notes`,
			"failed drill_foreign_key; orders: drill_foreign_key orders_Note_fkey 40",
		},
		{
			"a type narrowed", `alter table shop.orders alter "Note" type varchar(3) using left("Note", 3)`,
			"failed drill_type; orders: drill_type Note",
		},
		{
			"digits narrowed", `update shop.backup_orders set total = 10.25 where backup_id = '$id'; alter table shop.orders alter total type numeric(8, 1)`,
			"failed drill_rows_differ; orders: drill_rows_differ total 40",
		},
		{
			"a unique key added", `update shop.orders set "Note" = id; create unique index once on shop.orders (lower("Note")) where total > 0`,
			"failed drill_unique; orders: drill_unique once",
		},
		{
			"a generated column", `update shop.orders set owner_id = 2 where owner_id = 1; alter table shop.orders add share int generated always as (10 / (owner_id - 1)) stored`,
			"failed drill_type; orders: drill_type owner_id",
		},
		{
			"an enum value removed", `
				alter type shop.kind rename to old; create type shop.kind as enum ('person');
				alter table shop.backup_customers alter kind type text;
				alter table shop.customers alter kind drop default, alter kind type shop.kind using 'person'`,
			"failed drill_type; customers: drill_type kind",
		},
		{
			"a domain tightened", `alter table shop.backup_customers alter rank type int; update shop.customers set rank = 1; alter domain shop.rank add check (value < 5)`,
			"failed drill_type; customers: drill_type rank",
		},
		{"an empty backup", `delete from shop.backup_customers; delete from shop.backup_orders`, "failed drill_backup_missing"},
		{"an invented backup", `update auto_backup.runs set backup_id = gen_random_uuid() where backup_id = '$id'`, "failed drill_backup_missing"},
		{
			"one table empty", `delete from shop.backup_orders`,
			"failed drill_copy_empty; orders: drill_copy_empty shop.backup_orders 40, missing 40",
		},
		{"a renamed table", `alter table shop.orders rename to purchases`, "failed drill_table_missing; orders: drill_table_missing shop.orders"},
		{"a dropped table", `drop table shop.backup_orders`, "failed drill_table_missing; orders: drill_table_missing shop.backup_orders"},
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
		})
	}
}

var _ = slices.Contains[[]string]
