package stack

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// Proves that a cluster has the roles, settings and extensions that Supabase has,
// each role behind a password of its own, and that its log holds none of them.
func TestClusterIsASupabaseProject(t *testing.T) {
	t.Parallel()
	c := newTestCluster(t)
	conn := connect(t, c, "postgres")

	for name, query := range map[string]string{
		"postgres is no superuser": `
			select not rolsuper and rolbypassrls and rolcreaterole and rolcreatedb and rolcanlogin
			from pg_roles where rolname = 'postgres'`,
		"postgres is a member": `
			select bool_and(pg_has_role('postgres', r, 'member'))
			from unnest('{pg_monitor,pg_signal_backend,pg_read_all_data,anon,authenticated,service_role}'::text[]) r`,
		"authenticator inherits nothing": `
			select not rolinherit and rolcanlogin and rolconfig @> '{statement_timeout=8s,lock_timeout=8s}'
			from pg_roles where rolname = 'authenticator'`,
		"timeouts": `
			select bool_and(case rolname
				when 'anon' then rolconfig = '{statement_timeout=3s}'
				when 'authenticated' then rolconfig = '{statement_timeout=8s}'
				else rolconfig is null and rolbypassrls end and not rolcanlogin)
			from pg_roles where rolname in ('anon', 'authenticated', 'service_role')`,
		"reader": `
			select rolbypassrls and rolcanlogin and pg_has_role(oid, 'pg_read_all_data', 'member')
			from pg_roles where rolname = 'supabase_read_only_user'`,
		"extensions": `
			select array_agg(format('%s %s %s', extname, extnamespace::regnamespace, extowner::regrole) order by extname)
				= '{pg_cron pg_catalog supabase_admin,pg_net extensions supabase_admin,
					supabase_vault vault supabase_admin}'
			from pg_extension where extname in ('pg_cron', 'pg_net', 'supabase_vault')`,
		"versions": `
			select array_agg(extversion order by extname) = '{0.20.4,0.3.1}'
			from pg_extension where extname in ('pg_net', 'supabase_vault')`,
		"members": `
			select count(*) filter (where refobjid = (select oid from pg_extension where extname = 'pg_net')) > 10
				and count(*) filter (where refobjid = (select oid from pg_extension where extname = 'supabase_vault')) > 5
			from pg_depend where deptype = 'e'`,
		"search path": `select current_setting('search_path') = '"$user", public, extensions'`,
		"no clock but UTC": `select current_setting('timezone') = 'UTC'
			and current_setting('statement_timeout') = '2min'`,
	} {
		if !value[bool](t, conn, query) {
			t.Errorf("%s: not so", name)
		}
	}
	try(t, conn, map[string]attempt{
		"create a schema":                {sql: `create schema mine`},
		"no settings that are no one's":  {sql: `alter role postgres set app.settings.key = 'x'`, state: "42501"},
		"an existing extension is fine":  {sql: `create extension if not exists pg_net with schema extensions`},
		"extensions are not postgres's":  {sql: `drop extension pg_net`, state: "42501"},
		"claims are those of PostgREST":  {sql: `select set_config('request.jwt.claims', '{"role":"anon"}', true); select 1 / (auth.role() = 'anon')::int`},
		"anon gets new tables":           {sql: `create table public.new (i int); set local role anon; insert into new values (1)`},
		"anon gets new functions":        {sql: `create function public.new() returns int return 1; revoke all on function new() from public; set local role anon; select new()`},
		"anon does not create":           {role: "anon", sql: `create table public.new (i int)`, state: "42501"},
		"the reader's rights are enough": {sql: `select has_table_privilege('supabase_read_only_user', 'cron.job', 'select')`},
	})

	for _, role := range loginRoles {
		connect(t, c, role)
		config, err := pgx.ParseConfig(c.url(role))
		if err != nil {
			t.Fatal(err)
		}
		config.Password = c.password("another")
		if conn, err := pgx.ConnectConfig(t.Context(), config); err == nil {
			_ = conn.Close(t.Context())
			t.Errorf("%s logs in with another password", role)
		}
	}
	log, err := os.ReadFile(c.serverLog())
	if err != nil {
		t.Fatal(err)
	}
	for _, role := range loginRoles {
		if strings.Contains(string(log), c.password(role)) {
			t.Errorf("the server's log holds the password of %s", role)
		}
	}
}

// Proves that a project can lack an extension and postgres can create it, which
// then belongs to supabase_admin with the usual grants, as on Supabase.
func TestExtensionsCanBeCreatedAgain(t *testing.T) {
	t.Parallel()
	c := newTestCluster(t)
	admin, conn := connect(t, c, "supabase_admin"), connect(t, c, "postgres")
	for extension, use := range map[string]string{
		"pg_cron":        `select cron.schedule('x', '0 0 * * *', 'select 1')`,
		"pg_net":         `select net.http_get('http://127.0.0.1:9')`,
		"supabase_vault": `select vault.create_secret('x')`,
	} {
		execute(t, admin, `drop extension `+extension+` cascade`)
		if _, err := conn.Exec(t.Context(), use); err == nil {
			t.Errorf("%s works without its extension", use)
		}
		execute(t, conn, `create extension if not exists `+extension)
		execute(t, conn, use)
		if owner := value[string](t, conn, `select extowner::regrole::text from pg_extension where extname = $1`, extension); owner != "supabase_admin" {
			t.Errorf("%s belongs to %s", extension, owner)
		}
	}
}

// Proves pg_cron's rules as Supabase grants them: who may touch which of its
// tables and whose jobs, what the key of a job is, and what scheduling again
// does not change.
func TestCronRights(t *testing.T) {
	t.Parallel()
	c := newTestCluster(t)
	admin, conn := connect(t, c, "supabase_admin"), connect(t, c, "postgres")
	execute(t, admin, `select cron.schedule('theirs', '0 0 * * *', 'select 1')`)
	id := value[int64](t, conn, `select cron.schedule('mine', '0 0 * * *', 'select 1')`)

	try(t, conn, map[string]attempt{
		"insert":                        {sql: `insert into cron.job (schedule, command) values ('0 0 * * *', '')`, state: "42501"},
		"update":                        {sql: `update cron.job set active = false`, state: "42501"},
		"delete":                        {sql: `delete from cron.job`, state: "42501"},
		"all of the history":            {sql: `insert into cron.job_run_details (jobid, runid) values (1, 1000); update cron.job_run_details set status = 'x'; delete from cron.job_run_details; truncate cron.job_run_details`},
		"no trigger on the history":     {sql: `create trigger t before insert on cron.job_run_details for each row execute function suppress_redundant_updates_trigger()`, state: "42501"},
		"somebody else's job":           {sql: `select cron.unschedule('theirs')`, state: "XX000", message: "could not find valid entry for job"},
		"somebody else's job by id":     {sql: `select cron.unschedule(jobid) from cron.job where jobname = 'theirs'`, state: "42501"},
		"unknown job":                   {sql: `select cron.unschedule(4711)`, state: "XX000"},
		"bad schedule":                  {sql: `select cron.schedule('x', '61 * * * *', 'select 1')`, state: "22023", message: "invalid schedule"},
		"a job for another role":        {sql: `select cron.schedule_in_database('x', '0 0 * * *', '', 'postgres', 'anon')`, state: "XX000"},
		"own job by its functions":      {sql: `select cron.alter_job(jobid, active => false) from cron.job where jobname = 'mine'`},
		"application roles may do less": {role: "service_role", sql: `select * from cron.job`, state: "42501"},
	})
	if n := value[int](t, conn, `select count(*) from cron.job`); n != 2 {
		t.Errorf("postgres, who bypasses row level security, sees %d of 2 jobs", n)
	}
	execute(t, conn, `grant usage on schema cron to anon`)
	execute(t, conn, `set role anon`)
	if n := value[int](t, conn, `select count(*) from cron.job`); n != 0 {
		t.Errorf("anon sees %d jobs of others", n)
	}
	execute(t, conn, `reset role`)

	execute(t, conn, `select cron.alter_job($1, active => false)`, id)
	if again := value[int64](t, conn, `select cron.schedule('mine', '1 0 * * *', 'select 2')`); again != id {
		t.Errorf("scheduling again made job %d of %d", again, id)
	}
	if value[bool](t, conn, `select active from cron.job where jobid = $1`, id) {
		t.Error("scheduling again activated the job")
	}
	execute(t, admin, `select cron.schedule('mine', '0 0 * * *', 'select 1')`)
	if n := value[int](t, conn, `select count(*) from cron.job where jobname = 'mine'`); n != 2 {
		t.Errorf("there are %d jobs of that name for two owners", n)
	}
}

// Proves that pg_cron really runs jobs, of postgres and of the superuser, that a
// role without login gets none run, and that jobs survive a restart, as the
// server keeps its port. @reboot jobs run at once when the server starts.
func TestCronRuns(t *testing.T) {
	t.Parallel()
	c := newTestCluster(t)
	admin, conn := connect(t, c, "supabase_admin"), connect(t, c, "postgres")
	execute(t, conn, `select cron.schedule('ours', '@reboot', 'select current_user')`)
	execute(t, admin, `select cron.schedule('superuser', '@reboot', 'select 1 / 0')`)
	execute(t, admin, `create role gone login; grant usage on schema cron to gone; set role gone`)
	execute(t, admin, `select cron.schedule('nologin', '@reboot', 'select 1')`)
	execute(t, admin, `reset role; alter role gone nologin`)

	if err := c.restart(t.Context(), false); err != nil {
		t.Fatal(err)
	}
	conn = connect(t, c, "postgres")
	await(t, conn, `select count(*) = 3 from cron.job_run_details where status in ('succeeded', 'failed')`)
	for job, want := range map[string]string{
		"ours":      "succeeded: 1 row",
		"superuser": "failed: ERROR:  division by zero",
		"nologin":   "failed: connection failed",
	} {
		got := value[string](t, conn, `
			select status || ': ' || return_message
			from cron.job_run_details join cron.job using (jobid) where jobname = $1`, job)
		if strings.TrimSpace(got) != want {
			t.Errorf("%s: %q, not %q", job, got, want)
		}
	}
}

// Proves the two ways to restart: both end all sessions; only the crash empties
// unlogged tables and starts their sequences again.
func TestClusterRestart(t *testing.T) {
	t.Parallel()
	c := newTestCluster(t)
	conn := connect(t, c, "postgres")
	execute(t, conn, `
		create table kept (id bigserial, t text);
		create unlogged table lost (id bigserial, t text);
		insert into kept (t) values ('a');
		insert into lost (t) values ('a')`)

	// In this order: the rows that a crash takes are there before.
	for _, immediate := range []bool{false, true} {
		t.Run(fmt.Sprintf("immediate=%t", immediate), func(t *testing.T) {
			session := connect(t, c, "postgres")
			if err := c.restart(t.Context(), immediate); err != nil {
				t.Fatal(err)
			}
			if session.Ping(t.Context()) == nil {
				t.Error("a session survived")
			}
			conn := connect(t, c, "postgres")
			if n := value[int](t, conn, `select count(*) from kept`); n != 1 {
				t.Errorf("the logged table has %d rows", n)
			}
			want := 1
			if immediate {
				want = 0
			}
			if n := value[int](t, conn, `select count(*) from lost`); n != want {
				t.Errorf("the unlogged table has %d rows", n)
			}
			id := value[int](t, conn, `insert into lost (t) values ('b') returning id`)
			if (id == 1) != immediate {
				t.Errorf("the unlogged table's next id is %d", id)
			}
			execute(t, conn, `delete from lost where t = 'b'`)
		})
	}
}

// Proves that the vault, whether real or a stand-in, has the same habits: what it
// refuses, what it does silently, who may do what, and that a value cannot be
// had from the tables alone.
func TestVault(t *testing.T) {
	t.Parallel()
	c := newTestCluster(t)
	conn, reader := connect(t, c, "postgres"), connect(t, c, "supabase_read_only_user")
	const secret = "s3cr3t 'quoted' \\ ação 🚨\n"
	id := value[string](t, conn, `select vault.create_secret($1, 'one', 'first')::text`, secret)
	execute(t, conn, `select vault.create_secret('x', 'two'), vault.create_secret('y'), vault.create_secret('z'), vault.create_secret('', 'empty')`)

	try(t, conn, map[string]attempt{
		"a name twice":              {sql: `select vault.create_secret('x', 'one')`, state: "23505"},
		"names are told apart":      {sql: `select vault.create_secret('x', 'One'), vault.create_secret('x', 'one ')`},
		"no value":                  {sql: `select vault.create_secret(null, 'three')`, state: "23502"},
		"renamed onto another":      {sql: `select vault.update_secret(id, new_name => 'two') from vault.secrets where name = 'one'`, state: "23505"},
		"unknown id is no error":    {sql: `select vault.update_secret(gen_random_uuid(), 'x')`},
		"null id is no error":       {sql: `select vault.update_secret(null, 'x')`},
		"two without name":          {sql: `select (select decrypted_secret from vault.decrypted_secrets where name is null)`, state: "21000"},
		"insert":                    {sql: `insert into vault.secrets (secret) values ('x')`, state: "42501", message: "noncegen"},
		"update":                    {sql: `update vault.secrets set description = 'x'`, state: "42501"},
		"delete":                    {sql: `delete from vault.secrets where name = 'one'`},
		"anon":                      {role: "anon", sql: `select * from vault.decrypted_secrets`, state: "42501"},
		"anon's own":                {role: "anon", sql: `select vault.create_secret('x')`, state: "42501"},
		"service_role decrypts":     {role: "service_role", sql: `select decrypted_secret from vault.decrypted_secrets`},
		"nobody reads the root key": {sql: `select pg_read_file(current_setting('data_directory') || '/../vault-root-key')`, state: "42501"},
	})
	try(t, reader, map[string]attempt{
		"reader does not decrypt": {sql: `select decrypted_secret from vault.decrypted_secrets`, state: "42501"},
		"reader sees names":       {sql: `select name, description, updated_at from vault.decrypted_secrets`},
	})

	if got := value[string](t, conn, `select decrypted_secret from vault.decrypted_secrets where name = 'one'`); got != secret {
		t.Errorf("decrypted: %q", got)
	}
	if got := value[string](t, conn, `select string_agg(s::text, '') || string_agg(encode(secret::bytea, 'escape'), '') from vault.secrets s`); strings.Contains(got, "s3cr3t") {
		t.Error("the table holds the plain value")
	}
	if got := value[*string](t, conn, `select 'Bearer ' || (select decrypted_secret from vault.decrypted_secrets where name = 'none')`); got != nil {
		t.Errorf("the value of a secret that is missing is %q", *got)
	}

	before := value[time.Time](t, conn, `select updated_at from vault.secrets where name = 'one'`)
	execute(t, conn, `select vault.update_secret($1::text::uuid)`, id)
	if got := value[string](t, conn, `select description || decrypted_secret from vault.decrypted_secrets where name = 'one'`); got != "first"+secret {
		t.Errorf("an update to nothing left %q", got)
	}
	if !value[time.Time](t, conn, `select updated_at from vault.secrets where name = 'one'`).After(before) {
		t.Error("an update to nothing did not move updated_at")
	}
	execute(t, conn, `select vault.update_secret($1::text::uuid, 'other', 'renamed', '')`, id)
	if got := value[string](t, conn, `select decrypted_secret from vault.decrypted_secrets where name = 'renamed' and description = ''`); got != "other" {
		t.Errorf("updated to %q", got)
	}

	if err := c.setVaultKey(t.Context(), strings.Repeat("00", 32)); err != nil {
		t.Fatal(err)
	}
	conn = connect(t, c, "postgres")
	try(t, conn, map[string]attempt{
		"another root key":          {sql: `select decrypted_secret from vault.decrypted_secrets where name = 'two'`, state: "22000", message: "invalid ciphertext"},
		"which cannot be updated":   {sql: `select vault.update_secret(id, 'x') from vault.secrets where name = 'two'`, state: "22000", message: "invalid ciphertext"},
		"nor described":             {sql: `select vault.update_secret(id, new_description := 'x') from vault.secrets where name = 'two'`, state: "22000", message: "invalid ciphertext"},
		"but can be deleted":        {sql: `delete from vault.secrets where name = 'two'`},
		"names still can be seen":   {sql: `select name from vault.decrypted_secrets`},
		"new secrets have that key": {sql: `select vault.create_secret('x', 'new'); select decrypted_secret from vault.decrypted_secrets where name = 'new'`},
	})
}

// Proves that an error in one of the embedded scripts names the line where it
// is, also after characters of more than one byte.
func TestScriptErrorNamesItsLine(t *testing.T) {
	t.Parallel()
	script := []byte("select 'ção 🚨';\n\nselect nothing;\n")
	err := describeSQL(&pgconn.PgError{Message: "no such column", Position: 26}, script)
	if !strings.HasPrefix(err.Error(), "line 3: ") {
		t.Error(err)
	}
	plain := errors.New("no line")
	if err := describeSQL(plain, script); !errors.Is(err, plain) || err.Error() != plain.Error() {
		t.Error(err)
	}
}
