package stack

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
)

var updateCatalog = flag.Bool("catalog.update", false, "write testdata/catalog of the real extensions, which must be installed")

// catalogQuery describes what an extension has in its schema $1, a line for each object:
// functions with their arguments, results and kinds, tables and views with their
// columns, types, and what is granted to whom. MAINTAIN, which PostgreSQL 17 has added
// to ALL, is left out.
const catalogQuery = `
with acl as (
  select o.kind, o.oid, string_agg(o.entry, ' ' order by o.entry) as granted
  from (
    select o.kind, o.oid, coalesce(nullif(a.grantee, 0)::regrole::text, 'public') || '=' ||
      string_agg(a.privilege_type || case when a.is_grantable then '*' else '' end, ',' order by a.privilege_type) as entry
    from (
      select 'f' as kind, oid, coalesce(proacl, acldefault('f', proowner)) as acl from pg_proc
      union all select 'c', oid, coalesce(relacl, acldefault(case relkind when 'S' then 's'::"char" else 'r' end, relowner)) from pg_class
      union all select 'n', oid, coalesce(nspacl, acldefault('n', nspowner)) from pg_namespace
    ) o, aclexplode(o.acl) a
    where a.privilege_type <> 'MAINTAIN'
    group by o.kind, o.oid, a.grantee
  ) o
  group by o.kind, o.oid
), lines (line) as (
  select format('schema %s of %s, granted %s', n.nspname, n.nspowner::regrole, acl.granted)
  from pg_namespace n left join acl on acl.kind = 'n' and acl.oid = n.oid where n.nspname = $1
  union all
  select format('function %s(%s) returns %s, %s, %s%s%s%s, granted %s', p.oid::regproc, pg_get_function_arguments(p.oid),
    pg_get_function_result(p.oid), case p.provolatile when 'i' then 'immutable' when 's' then 'stable' else 'volatile' end,
    case when p.prosecdef then 'definer' else 'invoker' end, case when p.proisstrict then ', strict' else '' end,
    case p.proparallel when 'u' then '' else ', parallel ' || p.proparallel::text end, ', set ' || array_to_string(p.proconfig, ', '), acl.granted)
  from pg_proc p left join acl on acl.kind = 'f' and acl.oid = p.oid
  where p.pronamespace = $1::text::regnamespace
  union all
  select format('%s %s%s, granted %s', case c.relkind when 'r' then 'table' when 'v' then 'view' when 'S' then 'sequence' when 'i' then 'index' else 'type' end,
    c.oid::regclass, case c.relpersistence when 'u' then ', unlogged' else '' end, acl.granted)
  from pg_class c left join acl on acl.kind = 'c' and acl.oid = c.oid
  where c.relnamespace = $1::text::regnamespace and c.relkind in ('r', 'v', 'S', 'c')
  union all
  select format('column %s.%s %s%s%s', c.oid::regclass, a.attname, format_type(a.atttypid, a.atttypmod),
    case when a.attnotnull then ', not null' else '' end, ', default ' || pg_get_expr(d.adbin, d.adrelid))
  from pg_class c
  join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
  left join pg_attrdef d on d.adrelid = c.oid and d.adnum = a.attnum
  where c.relnamespace = $1::text::regnamespace and c.relkind in ('r', 'v', 'c')
  union all
  select pg_get_indexdef(i.indexrelid) from pg_index i
  join pg_class c on c.oid = i.indexrelid where c.relnamespace = $1::text::regnamespace
  union all
  select format('domain %s as %s, %s', t.oid::regtype, format_type(t.typbasetype, t.typtypmod), pg_get_constraintdef(k.oid))
  from pg_type t join pg_constraint k on k.contypid = t.oid where t.typnamespace = $1::text::regnamespace
  union all
  select format('enum %s: %s', e.enumtypid::regtype, string_agg(e.enumlabel, ', ' order by e.enumsortorder))
  from pg_enum e join pg_type t on t.oid = e.enumtypid where t.typnamespace = $1::text::regnamespace group by e.enumtypid
  union all
  select format('of the extension: %s', pg_describe_object(d.classid, d.objid, 0))
  from pg_depend d join pg_extension e on e.oid = d.refobjid
  where d.refclassid = 'pg_extension'::regclass and d.deptype = 'e' and e.extname = $2
  and d.classid <> 'pg_type'::regclass -- of which PostgreSQL 17 lists more
  and pg_describe_object(d.classid, d.objid, 0) not like 'function extensions.vault\_%'
)
select line from lines order by line collate "C"`

// catalogSources say what the files in testdata/catalog are of.
var catalogSources = map[string]string{
	"pg_net":         "pg_net 0.20.4 (github.com/supabase/pg_net, tag v0.20.4)",
	"supabase_vault": "supabase_vault 0.3.1 (github.com/supabase/vault, tag v0.3.1)",
}

// usedByBackup matches, of the lines about what an installed backup calls, reads or
// writes, the part that it relies on: names, arguments and types.
var usedByBackup = regexp.MustCompile(`^(schema (net|vault)|(table|view|column) (net\.(http_request_queue|_http_response)|vault\.(secrets|decrypted_secrets))(\.\w+ [a-z]+)?|function (net\.http_post|vault\.(create|update)_secret)\(.*\) returns [a-z]+)\b`)

// TestExtensionCatalog proves that pg_net and the vault have the same functions, tables,
// types and privileges whether they are real or stand-ins: those of the real ones with
// what Supabase's scripts grant (github.com/supabase/postgres). Of a real one of another
// version it compares the names, arguments and types that a backup uses.
func TestExtensionCatalog(t *testing.T) {
	t.Parallel()
	c := newTestCluster(t)
	admin := connect(t, c, "supabase_admin")
	// Names are then written with their schemas.
	execute(t, admin, `set search_path = ''`)
	for extension, schema := range map[string]string{"pg_net": "net", "supabase_vault": "vault"} {
		t.Run(extension, func(t *testing.T) {
			path, source := filepath.Join("testdata", "catalog", extension+".txt"), catalogSources[extension]
			rows, err := admin.Query(t.Context(), catalogQuery, schema, extension)
			if err != nil {
				t.Fatal(err)
			}
			got, err := pgx.CollectRows(rows, pgx.RowTo[string])
			if err != nil {
				t.Fatal(err)
			}
			version, real := c.files.versions[extension]
			same := strings.HasPrefix(source, extension+" "+version+" ")
			if *updateCatalog {
				if !real || !same {
					t.Fatalf("%s is not installed in the PostgreSQL in %s", source, c.files.bin)
				}
				text := fmt.Sprintf("# %s, with Supabase's grants. Written by -catalog.update.\n%s\n", source, strings.Join(got, "\n"))
				if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
				return
			}
			content, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			want := strings.Split(strings.TrimSpace(string(content)), "\n")[1:]
			if real && !same {
				t.Logf("the real %s %s is another version than %s: only what a backup uses is compared", extension, version, source)
				used(want)
				used(got)
			}
			for _, line := range want {
				if !slices.Contains(got, line) {
					t.Errorf("missing: %s", line)
				}
			}
			for _, line := range got {
				if !slices.Contains(want, line) {
					t.Errorf("too many: %s", line)
				}
			}
		})
	}
}

// used cuts off from each line what a backup does not rely on.
func used(lines []string) {
	for i, line := range lines {
		lines[i] = usedByBackup.FindString(line)
	}
}

// TestExtensionErrors proves the SQLSTATEs and words of errors that only the functions
// of the extensions themselves raise.
func TestExtensionErrors(t *testing.T) {
	t.Parallel()
	c := newTestCluster(t)
	try(t, connect(t, c, "supabase_admin"), map[string]attempt{
		"decrypt nothing":             {sql: `select vault._crypto_aead_det_decrypt(null, null, 0)`, state: "22000", message: "pgsodium_crypto_aead_det_decrypt_by_id: message cannot be NULL"},
		"decrypt too little":          {sql: `select vault._crypto_aead_det_decrypt('\x00', null, 0)`, state: "22000", message: "pgsodium_crypto_aead_det_decrypt_by_id: invalid message"},
		"decrypt another nonce":       {sql: `select vault._crypto_aead_det_decrypt('\x00', null, 0, nonce => '\x00')`, state: "22000", message: "pgsodium_crypto_aead_det_decrypt_by_id: invalid nonce"},
		"decrypt something else":      {sql: `select vault._crypto_aead_det_decrypt(decode(repeat('00', 48), 'hex'), null, 0)`, state: "22000", message: "pgsodium_crypto_aead_det_decrypt_by_id: invalid ciphertext"},
		"encrypt nothing":             {sql: `select vault._crypto_aead_det_encrypt(null, null, 0)`, state: "22000", message: "pgsodium_crypto_aead_det_encrypt_by_id: message cannot be NULL"},
		"encrypt with another nonce":  {sql: `select vault._crypto_aead_det_encrypt('', null, 0, nonce => '\x00')`, state: "22000", message: "pgsodium_crypto_aead_det_encrypt_by_id: invalid nonce"},
		"there and back":              {sql: `select 1 / (vault._crypto_aead_det_decrypt(vault._crypto_aead_det_encrypt('x', 'a', 0, nonce => vault._crypto_aead_det_noncegen()), 'a', 0, nonce => vault._crypto_aead_det_noncegen()) = 'x')::int`, state: "22000"},
		"there and back, no nonce":    {sql: `select 1 / (vault._crypto_aead_det_decrypt(vault._crypto_aead_det_encrypt('x', 'a', 0), 'a', 0) = 'x')::int`},
		"a deprecated function":       {sql: `select net.http_collect_response(1)`, state: "42601"},
		"its successor":               {sql: `select net._http_collect_response(1)`},
		"not a method":                {sql: `insert into net.http_request_queue (method, url, timeout_milliseconds) values ('PUT', '', 1)`, state: "23514"},
		"no URL":                      {sql: `select net.http_get('x')`, state: "XX000", message: `invalid URL "x": `},
		"encoded already":             {sql: `select 1 / (net._encode_url_with_params_array('http://x/%C3', '{a=%C3%a7,b}') = 'http://x/%C3?a=%c3%a7&b')::int`},
		"no parameters":               {sql: `select 1 / (net._encode_url_with_params_array('http://x', null) is null and net._urlencode_string(null) is null)::int`},
		"encoded for the first time":  {sql: `select 1 / (net._urlencode_string('a b/ç') = 'a%20b%2F%C3%A7')::int`},
		"a header that is not JSON's": {sql: `select net.http_post('http://x', headers => '{"Content-Type": "text/plain"}')`, state: "P0001"},
	})
}
