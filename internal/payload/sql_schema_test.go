package payload_test

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/aimindset/terraform-provider-aimindset/internal/stack"
)

// schemaVersions are the versions between which a schema is copied: those that Supabase
// runs.
var schemaVersions = []string{"15", "17"}

// schemaServer is a PostgreSQL between whose databases a schema is copied.
type schemaServer struct {
	version string
	url     string
	bin     string // where psql and pg_dump are
}

// program runs one of PostgreSQL's programs with a database, and returns what it prints.
func (s schemaServer) program(t testing.TB, name, database, input string, args ...string) string {
	t.Helper()
	u, err := url.Parse(s.url)
	if err != nil {
		t.Fatal(err)
	}
	password, _ := u.User.Password()
	cmd := exec.CommandContext(t.Context(), filepath.Join(s.bin, name), args...)
	cmd.Env = append(os.Environ(), "PGHOST="+u.Hostname(), "PGPORT="+u.Port(), "PGUSER="+u.User.Username(), "PGPASSWORD="+password,
		"PGDATABASE="+database, "PGSSLMODE=disable", "PGOPTIONS=")
	cmd.Stdin = strings.NewReader(input)
	var out, errs strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		t.Fatalf("%s %v: %v\n%s", name, args, err, errs.String())
	}
	return out.String()
}

// open connects to a database.
func (s schemaServer) open(t testing.TB, database string) *pgxpool.Pool {
	t.Helper()
	u, err := url.Parse(s.url)
	if err != nil {
		t.Fatal(err)
	}
	u.Path = "/" + database
	db, err := pgxpool.New(context.Background(), u.String()+"&pool_max_conns=2")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(db.Close)
	return db
}

// create creates an empty database.
func (s schemaServer) create(t testing.TB, database string) {
	t.Helper()
	s.program(t, "psql", "postgres", fmt.Sprintf("create database %q template template0", database), "-Xq", "-v", "ON_ERROR_STOP=1")
}

// startEmpty starts an empty server, or skips the test if its version is not installed.
func startEmpty(t testing.TB, version string) schemaServer {
	t.Helper()
	e, err := stack.StartEmpty(context.Background(), version)
	if errors.Is(err, stack.ErrNotInstalled) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	})
	return schemaServer{version: version, url: e.URL, bin: filepath.Dir(e.Program(context.Background(), "psql", "postgres").Path)}
}

// installSchemaFunctions creates the functions that write a schema in a database that has
// no dispatcher.
func installSchemaFunctions(t testing.TB, server schemaServer, database string) {
	t.Helper()
	files, err := filepath.Glob("sql/functions/schema_*.sql")
	if err != nil || len(files) < 10 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	script := "set check_function_bodies = off; create schema auto_backup;"
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		script += string(text)
	}
	server.program(t, "psql", database, script, "-Xq", "-v", "ON_ERROR_STOP=1")
}

// schemaOf are the arguments of the SQL functions for all tables, functions and sequences of
// no table, of a list of schemas, that belong to no extension, and typesOf those for their
// types.
const schemaOf = `
	(select array_agg(c.oid::regclass) from pg_class c where c.relnamespace = any ($1::text[]::regnamespace[]) and (c.relkind in ('r', 'p') or c.relkind = 'S'
		and not exists (select from pg_depend d where d.classid = 'pg_class'::regclass and d.objid = c.oid and d.deptype in ('a', 'i')))),
	(select array_agg(p.oid::regprocedure) from pg_proc p where p.pronamespace = any ($1::text[]::regnamespace[]) and not exists (
		select from pg_depend d where d.classid = 'pg_proc'::regclass and d.objid = p.oid and d.deptype in ('e', 'i')))`

const typesOf = `
	(select array_agg(t.oid::regtype) from pg_type t left join pg_class c on c.oid = t.typrelid
		where t.typnamespace = any ($1::text[]::regnamespace[]) and (t.typtype in ('d', 'e', 'r') or c.relkind = 'c'))`

// readSchema returns both sections of the schema.
func readSchema(t testing.TB, db *pgxpool.Pool, schemas ...string) (before, after string) {
	t.Helper()
	before = one[string](t, db, `select auto_backup.schema_sql(`+schemaOf+`, 'before', `+typesOf+`)`, schemas)
	return before, one[string](t, db, `select auto_backup.schema_sql(`+schemaOf+`, 'after', `+typesOf+`)`, schemas)
}

// pgDump returns what pg_dump says of schemas, without what differs between two dumps
// of the same, and without default privileges, which are not copied.
func (s schemaServer) pgDump(t testing.TB, database string, schemas ...string) string {
	t.Helper()
	args := []string{"--schema-only", "--no-owner"}
	for _, schema := range schemas {
		args = append(args, "--schema="+schema)
	}
	var lines []string
	for line := range strings.Lines(s.program(t, "pg_dump", database, "", args...)) {
		if noise := regexp.MustCompile(`^(\\(un)?restrict |--|ALTER DEFAULT PRIVILEGES|SET |\n)`); !noise.MatchString(line) {
			lines = append(lines, line)
		}
	}
	return strings.Join(lines, "")
}

// difference shows the lines of which only one of two texts has one.
func difference(a, b string) string {
	first, second := strings.Split(a, "\n"), strings.Split(b, "\n")
	var out []string
	for i := 0; i < max(len(first), len(second)) && len(out) < 40; i++ {
		switch {
		case i >= len(first):
			out = append(out, "+ "+second[i])
		case i >= len(second):
			out = append(out, "- "+first[i])
		case first[i] != second[i]:
			out = append(out, "- "+first[i], "+ "+second[i])
		}
	}
	return strings.Join(out, "\n")
}

// sequenceValues reads where all sequences of schemas stand.
func sequenceValues(t testing.TB, db *pgxpool.Pool, schemas ...string) (values []string) {
	t.Helper()
	for _, name := range column[string](t, db, `
		select c.oid::regclass::text from pg_class c where c.relkind = 'S' and c.relnamespace = any ($1::text[]::regnamespace[]) order by 1`, schemas) {
		values = append(values, name+one[string](t, db, `select format(' %s %s', last_value, is_called) from `+name))
	}
	return values
}

// schemaCopy is the copy of a schema from a database of one server to another one.
type schemaCopy struct {
	source, target schemaServer
	from           *pgxpool.Pool
	database, name string
	// schemas are copied; dump are the arguments by which pg_dump does the same, and
	// without is what drops of its copy what is not part of ours.
	schemas, dump []string
	without       string
	// compare are the schemas that both have.
	compare []string
	// rows are the schemas that pg_dump fills.
	rows []string
}

// dumped returns what pg_dump writes that the target's version can read.
func (c schemaCopy) dumped(t testing.TB, args ...string) string {
	t.Helper()
	dump := c.source.program(t, "pg_dump", c.database, "", append([]string{"--no-owner"}, args...)...)
	return regexp.MustCompile(`(?m)^(SET transaction_timeout|CREATE SCHEMA public;|ALTER DEFAULT PRIVILEGES).*$`).ReplaceAllString(dump, "")
}

// run copies the schemas into empty databases, once with the statements of schema_sql and
// once with those of pg_dump, and compares the two: what pg_dump says of them, and what
// schema_sql says of them. Then it copies the first copy once more, which changes nothing.
// It returns the first copy.
func (c schemaCopy) run(t testing.TB) *pgxpool.Pool {
	t.Helper()
	const strict = "ON_ERROR_STOP=1"
	before, after := readSchema(t, c.from, c.schemas...)
	ours, theirs, again := c.name+" ours", c.name+" theirs", c.name+" again"
	c.target.create(t, ours)
	rows := ""
	if len(c.rows) > 0 {
		rows = c.dumped(t, "--data-only", "--disable-triggers", "--schema="+strings.Join(c.rows, "|"))
	}
	c.target.program(t, "psql", ours, before+rows+after, "-Xqt", "-1", "-v", strict)

	// Now the roles are there.
	c.target.create(t, theirs)
	c.target.program(t, "psql", theirs, c.dumped(t, append(slices.Clone(c.dump), "--schema-only")...)+"\n"+c.without, "-Xqt", "-v", strict)
	if want, got := c.target.pgDump(t, theirs, c.compare...), c.target.pgDump(t, ours, c.compare...); got != want || len(got) < 1000 {
		t.Errorf("%s: pg_dump says of its own copy and of the other\n%s", c.name, difference(want, got))
	}
	copied := c.target.open(t, ours)
	installSchemaFunctions(t, c.target, ours)
	installSchemaFunctions(t, c.target, theirs)
	want, wantAfter := readSchema(t, c.target.open(t, theirs), c.schemas...)
	got, gotAfter := readSchema(t, copied, c.schemas...)
	if got != want {
		t.Errorf("%s: the section before of pg_dump's copy and of the other\n%s", c.name, difference(want, got))
	}
	// pg_dump was not asked for the values of the sequences.
	setval := regexp.MustCompile(`(?m)^(select pg_catalog\.setval.*|-- Values of sequences|)\n`)
	if want, got := setval.ReplaceAllString(wantAfter, ""), setval.ReplaceAllString(gotAfter, ""); got != want {
		t.Errorf("%s: the section after of pg_dump's copy and of the other\n%s", c.name, difference(want, got))
	}
	if want, got := sequenceValues(t, c.from, c.schemas...), sequenceValues(t, copied, c.schemas...); !slices.Equal(got, want) || len(got) == 0 {
		t.Errorf("%s: the sequences stand at %q, want %q", c.name, got, want)
	}

	c.target.create(t, again)
	c.target.program(t, "psql", again, got+gotAfter, "-Xqt", "-1", "-v", strict)
	installSchemaFunctions(t, c.target, again)
	second, secondAfter := readSchema(t, c.target.open(t, again), c.schemas...)
	if second+secondAfter != got+gotAfter {
		t.Errorf("%s: the schema of the copy, and of the copy of the copy\n%s", c.name, difference(got+gotAfter, second+secondAfter))
	}
	return copied
}

// TestSchemaApplication proves that the application's tables, functions, policies and
// grants are restored as pg_dump would restore them, into PostgreSQL 15 and 17.
func TestSchemaApplication(t *testing.T) {
	t.Parallel()
	tdb := startDatabaseWith(t, 20)
	bin, err := stack.PostgresBin()
	if err != nil {
		t.Fatal(err)
	}
	source := schemaServer{version: filepath.Base(filepath.Dir(bin)), url: tdb.stack.AdminDatabaseURL, bin: bin}
	tdb.exec(t, tdb.admin, `select setval('public.app_logs_id_seq', 4711)`)
	for _, version := range schemaVersions {
		t.Run(version, func(t *testing.T) {
			t.Parallel()
			target := startEmpty(t, version)
			copied := schemaCopy{
				source: source, target: target, from: tdb.owner, database: "postgres", name: "application",
				schemas: []string{"public"}, dump: []string{"--schema=public", "--schema=auth"}, compare: []string{"public", "auth"},
			}.run(t)

			// What the application needs is there, and works.
			for name, query := range map[string]string{
				"columns":      `select count(*) = 28 from pg_attribute where attrelid = 'public.articles'::regclass and attnum > 0`,
				"auth":         `select auth.uid() is null`,
				"the function": `select (public.backup_all_data() ->> 'success')::boolean`,
			} {
				if !one[bool](t, copied, query) {
					t.Errorf("%s: not so", name)
				}
			}
		})
	}
}

// TestSchemaSpeed measures how long it takes to write the schema of a hundred tables, which
// is less than a second for a section, and proves that it does not take ten times as long,
// as it would with JIT or if each object were compared with each.
func TestSchemaSpeed(t *testing.T) {
	t.Parallel()
	server := startEmpty(t, "15")
	db := server.open(t, "postgres")
	installSchemaFunctions(t, server, "postgres")
	if _, err := db.Exec(t.Context(), `
		create function public.touch() returns trigger language plpgsql as 'begin return new; end';
		do $do$
		begin
			for n in 1 .. 100 loop
				execute format('create table public.t%s (id bigserial primary key, parent bigint references public.t%s, name text not null unique check (name <> ''''), note text default ''x'', at timestamptz default now())', n, greatest(n - 1, 1));
				execute format('create index on public.t%s (at)', n);
				execute format('create trigger touch before update on public.t%s for each row execute function public.touch()', n);
				execute format('alter table public.t%s enable row level security', n);
				execute format('create policy everybody on public.t%s using (true)', n);
				execute format('grant select on public.t%s to public', n);
			end loop;
		end
		$do$`); err != nil {
		t.Fatal(err)
	}
	fastest := time.Hour
	var size int
	for range 3 {
		begin := time.Now()
		before, after := readSchema(t, db, "public")
		fastest, size = min(fastest, time.Since(begin)), len(before)+len(after)
	}
	t.Logf("both sections of 100 tables, %d kB: %v", size/1000, fastest)
	if fastest > 20*time.Second {
		t.Errorf("both sections take %v", fastest)
	}
}

// zooSchemas are the schemas of testdata/schema_zoo.sql with tables.
var zooSchemas = []string{"public", `"My ""odd"" schema.1"`}

// startZoo starts an empty server with the schema of testdata/schema_zoo.sql.
func startZoo(t testing.TB, version string) schemaServer {
	t.Helper()
	server := startEmpty(t, version)
	zoo, err := os.ReadFile("testdata/schema_zoo.sql")
	if err != nil {
		t.Fatal(err)
	}
	server.create(t, "zoo")
	server.program(t, "psql", "zoo", string(zoo), "-Xq", "-v", "ON_ERROR_STOP=1")
	installSchemaFunctions(t, server, "zoo")
	return server
}

// TestSchemaZoo proves that a schema of awkward things is restored as pg_dump would restore
// it, with rows loaded between the sections, between all versions.
func TestSchemaZoo(t *testing.T) {
	t.Parallel()
	for _, version := range schemaVersions {
		t.Run(version, func(t *testing.T) {
			t.Parallel()
			source := startZoo(t, version)
			from := source.open(t, "zoo")
			for _, to := range schemaVersions {
				t.Run(to, func(t *testing.T) {
					target := startEmpty(t, to)
					copied := schemaCopy{
						source: source, target: target, from: from, database: "zoo", name: "zoo",
						schemas: zooSchemas, dump: []string{"--exclude-schema=auto_backup"}, compare: []string{"public", `"My ""odd"" schema.1"`},
						without: `
							drop materialized view public.some_matview, public.eggs_matview; drop view public.some_view; drop function public.outsiders();
							drop collation public.copied; drop policy outside on public.chicken; alter table public.egg drop constraint outside_fk;`,
						rows: []string{"public"},
					}.run(t)
					if n := one[int](t, copied, `select count(*) from public.events`); n != 4 {
						t.Errorf("%d rows in the partitions, want 4", n)
					}
				})
			}
			left := column[string](t, from, `
				select concat_ws(' ', x ->> 'kind', x ->> 'name', x ->> 'needs')
				from jsonb_array_elements(auto_backup.schema_left_out(`+schemaOf+`)) x`, zooSchemas)
			want := []string{
				`foreign key outside_fk on public.egg ["table priv.outside"]`,
				`function public.outsiders() ["table priv.outside"]`,
				`materialized view public.eggs_matview`,
				`policy outside on public.chicken ["table priv.outside"]`,
				`view public.some_view`,
			}
			if !slices.Equal(left, want) {
				t.Errorf("left out are\n%s\nwant\n%s", strings.Join(left, "\n"), strings.Join(want, "\n"))
			}
		})
	}
}
