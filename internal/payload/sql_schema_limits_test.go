package payload_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// limitedSchema has, among what can be restored, whatever a schema leaves out.
const limitedSchema = `
	create schema other;
	create table other.users (id int primary key);
	create view other.people as select id from other.users;
	create schema shop;
	create foreign data wrapper away;
	create server far foreign data wrapper away;
	create table shop.parts (id int not null, note text) partition by range (id);
	create table shop.near partition of shop.parts for values from (0) to (10);
	create foreign table shop.far partition of shop.parts for values from (10) to (20) server far;
	create table shop.goods (
		id int primary key, owner int constraint owned references other.users, part int, twin int unique, name text
	);
	insert into shop.goods values (1), (2);
	update shop.goods set part = 7;

	create aggregate shop.total (int) (sfunc = int4pl, stype = int);
	create function shop.absolute(int) returns int language internal immutable as 'int4abs';
	create function shop.same(int, int) returns boolean language sql immutable as 'select $1 = $2';
	create operator shop.=== (function = shop.same, leftarg = int, rightarg = int);
	create function shop.everybody() returns setof other.people language sql as 'select * from other.people';
	create function shop.owner(g shop.goods) returns int language sql begin atomic select id from other.users where id = (g).owner; end;
	create function shop.by_owner() returns int language sql begin atomic select shop.owner(g) from shop.goods g; end;

	alter table shop.goods add constraint positive check (shop.absolute(id) = id);
	alter table shop.goods add constraint itself check (id operator(shop.===) id);
	alter table shop.goods add constraint kept check (id > 0);
	create index owners on shop.goods (shop.absolute(twin));
	alter table shop.goods enable row level security;
	create policy totals on shop.goods using ((select shop.total(g.twin) from shop.goods g) > 0);
	create policy U&"a\0022b\000Adrop table shop.goods;\000D\005C! touch /tmp/x\000A--" on shop.goods using (exists (select from other.users));
	create policy kept on shop.goods using (true);
	create trigger watch after insert on shop.goods for each row execute function shop.watch();
	create rule elsewhere as on delete to shop.goods do also delete from other.users;
	create view shop.goods_view as select id from shop.goods;`

// TestSchemaLeftOut proves that what needs something outside the copy, or cannot be
// written, is a comment and is named, that the rest is restored, and that no name ends a
// comment.
func TestSchemaLeftOut(t *testing.T) {
	t.Parallel()
	server := startEmpty(t, "15")
	server.create(t, "limits")
	db := server.open(t, "limits")
	installSchemaFunctions(t, server, "limits")
	const watch = `create schema if not exists shop; create function shop.watch() returns trigger language plpgsql as 'begin return new; end';`
	server.program(t, "psql", "limits", watch+strings.Replace(limitedSchema, "create schema shop;", "", 1), "-Xq", "-v", "ON_ERROR_STOP=1")
	// Two rows have the same part, so the index is not valid.
	var duplicate *pgconn.PgError
	if _, err := db.Exec(t.Context(), `create unique index concurrently broken on shop.goods (part)`); !errors.As(err, &duplicate) || duplicate.Code != "23505" {
		t.Fatalf("the index: %v", err)
	}

	left := column[string](t, db, `
		select concat_ws(' ', x ->> 'kind', x ->> 'name', x ->> 'needs')
		from jsonb_array_elements(auto_backup.schema_left_out(`+schemaOf+`)) x`, []string{"shop"})
	want := []string{
		`aggregate shop.total(integer)`,
		`check itself on shop.goods ["operator shop.===(integer,integer)"]`,
		`check positive on shop.goods ["function shop.absolute(integer)"]`,
		`foreign key owned on shop.goods ["table other.users"]`,
		`foreign table shop.far`,
		`function shop.absolute(integer)`,
		`function shop.by_owner() ["table other.users"]`,
		`function shop.everybody() ["view other.people"]`,
		`function shop.owner(shop.goods) ["table other.users"]`,
		`index shop.broken`,
		`index shop.owners ["function shop.absolute(integer)"]`,
		`policy "a""b` + "\ndrop table shop.goods;\r\\! touch /tmp/x\n" + `--" on shop.goods ["table other.users"]`,
		`policy totals on shop.goods ["aggregate shop.total(integer)"]`,
		`rule elsewhere on shop.goods ["table other.users"]`,
		`view shop.goods_view`,
	}
	if !slices.Equal(left, want) {
		t.Errorf("left out are\n%s\nwant\n%s", strings.Join(left, "\n"), strings.Join(want, "\n"))
	}

	before, after := readSchema(t, db, "shop")
	server.create(t, "restored")
	server.program(t, "psql", "restored", before+after, "-Xq", "-1", "-v", "ON_ERROR_STOP=1")
	restored := column[string](t, server.open(t, "restored"), `
		select x from (
			select 'table ' || relname from pg_class where relnamespace = 'shop'::regnamespace and relkind in ('r', 'p', 'f')
			union all select 'index ' || relname from pg_class where relnamespace = 'shop'::regnamespace and relkind = 'i'
			union all select 'check ' || conname from pg_constraint where conrelid = 'shop.goods'::regclass and contype = 'c'
			union all select 'foreign key ' || conname from pg_constraint where conrelid = 'shop.goods'::regclass and contype = 'f'
			union all select 'policy ' || polname from pg_policy
			union all select 'trigger ' || tgname from pg_trigger
			union all select 'function ' || proname from pg_proc where pronamespace = 'shop'::regnamespace
		) as r (x) order by x collate "C"`)
	if want := []string{
		"check kept", "function same", "function watch", "index goods_pkey", "index goods_twin_key", "policy kept",
		"table goods", "table near", "table parts", "trigger watch",
	}; !slices.Equal(restored, want) {
		t.Errorf("restored are %q, want %q", restored, want)
	}
}

// TestSchemaExtensions proves that a server which lacks an extension gets everything but
// what needs it, with a warning for each; that a table which needs the extension cannot be
// restored, with an error that names it; and that all is restored where it is available.
func TestSchemaExtensions(t *testing.T) {
	t.Parallel()
	tdb := startDatabaseWith(t, 1)
	tdb.exec(t, tdb.owner, `
		create schema pings;
		create function pings.ask() returns bigint language sql begin atomic select net.http_get('http://127.0.0.1:9'); end;
		create table pings.plain (id uuid primary key default extensions.gen_random_uuid(), request bigint default pings.ask());
		create policy asked on pings.plain using (pings.ask() > 0);
		create policy anyone on pings.plain using (true);
		grant execute on function pings.ask() to anon;`)
	target := startEmpty(t, "15")
	restore := func(database string) error {
		before, after := readSchema(t, tdb.owner, "pings")
		target.create(t, database)
		config, err := pgx.ParseConfig(target.url)
		if err != nil {
			return err
		}
		var warnings []string
		config.Database = database
		config.OnNotice = func(_ *pgconn.PgConn, n *pgconn.Notice) { warnings = append(warnings, n.Message) }
		conn, err := pgx.ConnectConfig(t.Context(), config)
		if err != nil {
			return err
		}
		defer func() { _ = conn.Close(context.WithoutCancel(t.Context())) }()
		if _, err := conn.Exec(t.Context(), before+after); err != nil {
			return err
		}
		want := []string{
			"The extension pg_net is not available. What needs it is left out.",
			"function pings.ask() is left out: it needs the extensions 'pg_net'.",
			"default for pings.plain.request is left out: it needs the extensions 'pg_net'.",
			"policy asked on pings.plain is left out: it needs the extensions 'pg_net'.",
			"function pings.ask() is left out: it needs the extensions 'pg_net'.",
		}
		if !slices.Equal(warnings, want) {
			t.Errorf("the warnings are\n%s\nwant\n%s", strings.Join(warnings, "\n"), strings.Join(want, "\n"))
		}
		return nil
	}
	if err := restore("plain"); err != nil {
		t.Fatal(err)
	}
	db := target.open(t, "plain")
	if got := one[string](t, db, `
		insert into pings.plain default values returning concat_ws(' ', id is not null, request is null, (select string_agg(polname, ' ') from pg_policy))`); got != "t t anyone" {
		t.Errorf("the restored table is %q", got)
	}

	tdb.exec(t, tdb.owner, `create table pings.answers (id int primary key, answer net.http_response)`)
	var refused *pgconn.PgError
	if err := restore("hard"); !errors.As(err, &refused) || !strings.Contains(refused.Message, `"pg_net"`) {
		t.Errorf("without the type of a column: %v", err)
	}
}

// TestSchemaLocked proves that a schema is not waited for without end, whoever holds a
// table.
func TestSchemaLocked(t *testing.T) {
	t.Parallel()
	server := startZoo(t, "15")
	db := server.open(t, "zoo")
	tx, err := db.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec(t.Context(), `lock table public.egg in access exclusive mode`); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	_, err = db.Exec(ctx, `set lock_timeout = '100ms'`)
	if err == nil {
		_, err = db.Exec(ctx, `select auto_backup.schema_sql(array['public.egg']::regclass[], null, 'after')`)
	}
	var refused *pgconn.PgError
	if !errors.As(err, &refused) || refused.Code != "55P03" {
		t.Errorf("with a locked table: %v", err)
	}
	if err := tx.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := one[string](t, db, `select auto_backup.schema_sql(null, null, 'after')`); !strings.HasSuffix(got, "false);\n") && strings.Contains(got, "create") {
		t.Errorf("the schema of nothing is %s", got)
	}
}

// TestSchemaDefaultPrivileges proves that default privileges of the database into which a
// schema is restored, such as a new project's, do not open what the source had closed.
func TestSchemaDefaultPrivileges(t *testing.T) {
	t.Parallel()
	server := startEmpty(t, "15")
	server.create(t, "closed")
	server.program(t, "psql", "closed", `
		create role outsider; create role friend; create schema shop;
		create table shop.goods (id serial primary key, "na me" text);
		create function shop.touch() returns int language sql as 'select 1';
		create function shop.hidden() returns int language sql as 'select 1';
		revoke all on function shop.hidden() from public;
		grant select on shop.goods to friend;
		grant execute on function shop.hidden() to friend;`, "-Xq", "-v", "ON_ERROR_STOP=1")
	installSchemaFunctions(t, server, "closed")
	before, after := readSchema(t, server.open(t, "closed"), "shop")
	server.create(t, "open")
	server.program(t, "psql", "open", `
		alter default privileges grant all on tables to outsider, friend, public;
		alter default privileges grant all on sequences to outsider;
		alter default privileges grant all on functions to outsider;`+before+after, "-Xqt", "-1", "-v", "ON_ERROR_STOP=1")
	got := one[string](t, server.open(t, "open"), `
		select concat_ws(' ',
			(select relacl from pg_class where oid = 'shop.goods'::regclass), (select relacl from pg_class where oid = 'shop.goods_id_seq'::regclass),
			(select proacl from pg_proc where oid = 'shop.touch()'::regprocedure), (select proacl from pg_proc where oid = 'shop.hidden()'::regprocedure))`)
	const want = "{postgres=arwdDxt/postgres,friend=r/postgres} {postgres=rwU/postgres} {=X/postgres,postgres=X/postgres} {postgres=X/postgres,friend=X/postgres}"
	if got != want {
		t.Errorf("the rights are %s, want %s", got, want)
	}
}

// TestSchemaNewer proves that a right that PostgreSQL 17 has brought does not keep an older
// version from restoring the others.
func TestSchemaNewer(t *testing.T) {
	t.Parallel()
	source := startEmpty(t, "17")
	source.create(t, "newer")
	source.program(t, "psql", "newer", `
		create role keeper; create schema shop; create table shop.goods (id int);
		grant select, maintain on shop.goods to keeper;`, "-Xq", "-v", "ON_ERROR_STOP=1")
	installSchemaFunctions(t, source, "newer")
	before, after := readSchema(t, source.open(t, "newer"), "shop")
	for version, want := range map[string]string{"15": "{postgres=arwdDxt/postgres,keeper=r/postgres}", "17": "{postgres=arwdDxtm/postgres,keeper=rm/postgres}"} {
		target := startEmpty(t, version)
		target.create(t, "restored")
		target.program(t, "psql", "restored", before+after, "-Xqt", "-1", "-v", "ON_ERROR_STOP=1")
		if got := one[string](t, target.open(t, "restored"), `select relacl::text from pg_class where oid = 'shop.goods'::regclass`); got != want {
			t.Errorf("in PostgreSQL %s the rights are %s, want %s", version, got, want)
		}
	}
}
