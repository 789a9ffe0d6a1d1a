package payload_test

import (
	"encoding/json"
	"fmt"
	"math/big"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// TestExportWays tests in one database how off-site copies fail and go on, and what they
// copy.
func TestExportWays(t *testing.T) {
	t.Parallel()
	tdb := startDatabase(t)
	for name, test := range map[string]func(*testing.T){
		"crash":     tdb.testExportCrash,
		"too large": tdb.testExportTooLarge,
		"values":    tdb.testExportValues,
		"pages":     tdb.testExportPages,
		"due":       tdb.testExportDue,
		"failures":  tdb.testExportFailures,
		"calls":     tdb.testExportCalls,
		"removed":   tdb.testExportRemoved,
		"refusals":  tdb.testExportRefusals,
		"trust":     tdb.testExportTrust,
		"locks":     tdb.testExportLocks,
		"pruned":    tdb.testExportPruned,
		"retention": tdb.testExportRetention,
		"looks":     tdb.testExportLooks,
		"closed":    tdb.testExportClosed,
	} {
		t.Run(name, test)
	}
}

// watching is the step of the watchdog; a problem of it is an error.
func (s *scenario) watching(at string) string {
	s.Helper()
	got := s.offsite(at)
	if got["problems"] != nil {
		s.Errorf("at %s: %v", at, got)
	}
	return strings.TrimPrefix(fmt.Sprint(got), "map")
}

// backedUp records a backup of the shop and opens its export.
func (s *scenario) backedUp(schema, at, tick string) int64 {
	s.Helper()
	s.succeeded(at, s.copyShop(schema))
	s.watching(tick)
	return s.export("r2")
}

// complete copies all that is left of an export.
func (s *scenario) complete(export int64, b bucket, at string) manifest {
	s.Helper()
	if n, err := s.copier(export, b, moment(s.T, at)).call(); err != nil || n.Stage != "complete" {
		s.Fatalf("%+v, %v", n, err)
	}
	return readManifest(s.T, b, one[string](s.T, s.owner, `select path from auto_backup.exports where export_id = $1`, export))
}

// incidentsOf are the incidents about copies.
func (s *scenario) incidentsOf() []string {
	s.Helper()
	return column[string](s.T, s.owner, `
		select concat_ws(' ', destination, code, alert_state, case when recovered_at is not null then 'over' end)
		from auto_backup.incidents where backup = $1 and kind = 'offsite' order by incident_id`, s.backup)
}

// testExportTooLarge proves that rows which have to be kept until they are copied never
// take more of the database than the limit: the copy fails with a code of its own, keeps
// nothing, and goes on once the rows are few enough.
func (tdb *testDatabase) testExportTooLarge(t *testing.T) {
	s, schema := tdb.newCopied(t, tablesOf("live"))
	export, b := s.backedUp(schema, "2 06:00", "2 06:01"), bucket{}
	freeze := one[string](t, s.owner, `select pg_get_functiondef('auto_backup.export_freeze'::regproc)`)
	const limit = "most_bytes constant bigint := 1073741824"
	if !strings.Contains(freeze, limit) {
		t.Fatal("the limit is not 1 GB")
	}
	defer s.exec(t, s.owner, freeze)
	s.exec(t, s.owner, strings.Replace(freeze, limit, "most_bytes constant bigint := 500", 1))
	if n, err := s.copier(export, b, moment(t, "2 06:01")).call(); err != nil || n.Failed == nil || n.Failed.Code != "offsite_frozen_too_large" {
		t.Fatalf("%+v, %v", n, err)
	}
	if got := one[int](t, s.owner, `select count(*) from auto_backup.frozen where export_id = $1`, export); got != 0 || len(b) != 0 {
		t.Errorf("%d lines and %d objects are kept", got, len(b))
	}
	// Somebody has to change something, so it is not tried at every tick.
	if got := one[string](t, s.owner, `select concat_ws(' ', state, code, sqlstate, retryable, next_at - failed_at) from auto_backup.exports where export_id = $1`, export); got != "open offsite_frozen_too_large AB032 f 00:59:30" {
		t.Errorf("the copy is %s", got)
	}
	s.exec(t, s.owner, strings.Replace(freeze, limit, "most_bytes constant bigint := 1000000", 1))
	s.complete(export, b, "2 07:10")
}

// testExportCrash proves that an export whose frozen rows are lost in a crash begins the
// tables that were frozen again, from one moment, and ends with every row once.
func (tdb *testDatabase) testExportCrash(t *testing.T) {
	s, schema := tdb.newCopied(t, tablesOf("stored", "live"))
	s.exec(t, s.owner, "alter table "+schema+".backup_orders add column key bigint generated always as identity primary key")
	export, b := s.backedUp(schema, "2 06:00", "2 06:10"), bucket{}
	c := s.copier(export, b, moment(t, "2 06:11"))
	stored := 0
	c.die = func(point string) bool {
		if point == "stored rows" {
			stored++
		}
		return stored == 3
	}
	if _, err := c.call(); err != errDied { //nolint:errorlint // it is returned as it is
		t.Fatal(err)
	}
	s.exec(t, s.owner, `delete from auto_backup.frozen where export_id = $1`, export)
	s.exec(t, s.owner, "delete from "+schema+".orders where id > 30")
	m := s.complete(export, b, "2 06:20")
	var rows []int
	for _, table := range m.Tables {
		rows = append(rows, table.Rows)
	}
	// The rows that are read by their key are not read again.
	if !slices.Equal(rows, []int{40, 40, 40, 30}) || len(m.Abandoned) == 0 || len(m.Abandoned) >= stored {
		t.Errorf("rows %v, abandoned %q", rows, m.Abandoned)
	}

	// They are also lost while a worker reads them.
	export = s.backedUp(schema, "3 06:00", "3 06:10")
	c = s.copier(export, b, moment(t, "3 06:11"))
	c.die = func(point string) bool {
		if point == "stored rows" {
			s.exec(t, s.owner, `delete from auto_backup.frozen where export_id = $1`, export)
		}
		return false
	}
	if n, err := c.call(); err != nil || n.Failed == nil || n.Failed.Code != "offsite_frozen_lost" {
		t.Errorf("%+v, %v", n, err)
	}
	if got := s.watching("3 06:20"); got != "[posted:1]" {
		t.Errorf("the next tick: %s", got)
	}
	s.complete(export, b, "3 06:21")
}

// testExportValues proves that values of every kind, written as text and read by the
// casts of the guide, are the same again, with an equal digest.
func (tdb *testDatabase) testExportValues(t *testing.T) {
	s, schema := tdb.newCopied(t)
	s.exec(t, s.owner, strings.ReplaceAll(`
		create type shop.pair as (a int, b text);
		create domain shop.label as text check (value <> '');
		create domain shop.pairs as shop.pair[];
		create table shop."Odd ""kinds" (
			"id l" int primary key, l text, "b" jsonb, "auto_backup_line" json, by bytea, n numeric, f float8, r float4, a text[], aa int[][],
			p shop.pair, ps shop.pairs, d shop.label, ts timestamptz, i interval, da date, iv int4range, v tsvector, x xml, m money, c "char", k char(5), bit bit(3),
			doubled int generated always as ("id l" * 2) stored, e shop.kind, net inet, o oid, pt point
		);
		insert into shop."Odd ""kinds" ("id l", l, b, auto_backup_line, by, n, f, r, a, aa, p, ps, d, ts, i, da, iv, v, x, m, c, k, bit, e, net, o, pt) values
		(1, E'tab\t, line\nfeed, \\ and " and '' \u0001\u001f\u007f', '{"a": "b\nc"}', E'{ "a" :\n 1 , "a": 2 }', '\x00ff0a', 'NaN', 'NaN', '-Infinity', array['a,b', 'NULL', null, '', '"'], '{{1,2},{3,4}}',
			row(null, null), array[row(1, 'x,"y'), row(null, null)]::shop.pair[], 'd', 'infinity', '1 mon -2 days 03:04:05.678', '0044-03-15 BC', '[1,5)', 'a:1 b:2A', '<a>1</a>', '$1,234.56', 'x', 'ab', '101', 'person', '::1/64', 42, '(1,2)'),
		(2, 'مرحبا שלום 👩‍👩‍👧‍👦 𝒳 é e' || U&'\0301', 'null', 'null', '', 1e-30, 5e-324, 1e-45, '{}', '[0:1][3:4]={{1,2},{3,4}}', row(1, null), null, null, '2026-02-15 03:00:00.123456+05:45', '-00:00:00.000001', 'infinity', 'empty', '', '', '-$0.01', '', '', '000', null, '10.0.0.1', 0, null),
		(3, '', '[]', '""', null, 123456789012345678901234567890.123456789, 0.1, 0.1, null, null, null, '{}', 'NULL', null, null, null, null, null, null, null, null, null, null, null, null, null, null)`,
		"shop.", schema+"."))
	s.change(installed, copying(nil, map[string]map[string]any{"r2": destination(tablesOf(schema + `.Odd "kinds`))}))
	b := bucket{}
	m := s.complete(s.backedUp(schema, "2 06:00", "2 06:10"), b, "2 06:11")
	table := m.Tables[0]
	if table.Rows != 3 || len(table.Parts) != 1 || !slices.Equal(table.Generated, []string{"doubled"}) {
		t.Fatalf("the table is %+v", table)
	}
	for key, content := range b {
		if strings.HasSuffix(key, table.Parts[0].Key) {
			s.loadLines(t, schema+`."Odd ""kinds"`, table.Columns, table.Generated, string(content), table.Digest)
		}
	}
}

// loadLines loads lines into a table like another one, as RECOVERY.md says, and compares
// the rows and the digest.
func (s *scenario) loadLines(t *testing.T, relation string, columns []struct{ Name, Type string }, generated []string, content, digest string) {
	t.Helper()
	conn, err := s.owner.Acquire(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Release()
	tx, err := conn.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback(t.Context()) //nolint:errcheck // nothing to keep
	exec := func(sql string, args ...any) {
		t.Helper()
		if _, err := tx.Exec(t.Context(), sql, args...); err != nil {
			t.Fatalf("%v\nin: %.500s", err, sql)
		}
	}
	exec(`set local datestyle = 'ISO, MDY'; set local intervalstyle = 'postgres'; set local timezone = 'UTC'; set local extra_float_digits = 1; set local bytea_output = 'hex'; set local lc_monetary = 'C'; set local search_path = ''`)
	exec("create temporary table loaded (like " + relation + " including generated)")
	var names, values, texts []string
	for _, c := range columns {
		name := pgx.Identifier{c.Name}.Sanitize()
		texts = append(texts, fmt.Sprintf("case when pg_catalog.num_nulls(r.%[1]s) = 0 then pg_catalog.format('%%s', r.%[1]s) end as %[1]s", name))
		if !slices.Contains(generated, c.Name) {
			names = append(names, name)
			values = append(values, fmt.Sprintf("(d.d::json->>'%s')::%s", strings.ReplaceAll(c.Name, "'", "''"), c.Type))
		}
	}
	exec("create temporary table line (d text)")
	for line := range strings.Lines(content) {
		if !json.Valid([]byte(line)) {
			t.Errorf("not JSON: %s", line)
		}
		exec("insert into pg_temp.line values ($1)", strings.TrimSuffix(line, "\n"))
	}
	exec(fmt.Sprintf("insert into pg_temp.loaded (%s) overriding system value select %s from pg_temp.line d", strings.Join(names, ", "), strings.Join(values, ", ")))
	var different int
	var sum string
	if err := tx.QueryRow(t.Context(), fmt.Sprintf(`
		select
			(select count(*) from (
				(select r::text from %[1]s r except all select r::text from pg_temp.loaded r)
				union all
				(select r::text from pg_temp.loaded r except all select r::text from %[1]s r)
			) as d),
			(select sum(('x' || substr(md5(pg_catalog.row_to_json(l.*)::text), 1, 16))::bit(64)::bigint)::text from pg_temp.loaded r cross join lateral (select %[2]s) as l)`,
		relation, strings.Join(texts, ", "))).Scan(&different, &sum); err != nil {
		t.Fatal(err)
	}
	if different > 0 || sum != digest {
		t.Errorf("%d rows differ; the digest is %s instead of %s", different, sum, digest)
	}
}

// testExportPages proves that the pages of 20,000 rows miss nothing and have nothing
// twice while other backups are stored, by uuid as by number or frozen; that no page is
// larger than it may be; and that the digests of the pages add up.
func (tdb *testDatabase) testExportPages(t *testing.T) {
	s, schema := tdb.newShop(t)
	s.exec(t, s.owner, strings.ReplaceAll(`
		create table shop.backup_a (id uuid primary key default gen_random_uuid(), backup_id uuid, n int, text text);
		create index on shop.backup_a (backup_id);
		create table shop.backup_b (backup_id varchar, n int, id bigint generated always as identity unique);
		create table shop.backup_c (backup_id text, n int);
		create function shop.fill(id uuid) returns void language sql as $$
			insert into shop.backup_a (backup_id, n, text) select id, n, repeat('é', n % 4000) from generate_series(1, 20000) n;
			insert into shop.backup_b (backup_id, n) select id, n from generate_series(1, 4000) n;
			insert into shop.backup_c (backup_id, n) select id, n from generate_series(1, 4001) n;
		$$`, "shop.", schema+"."))
	s.change(installed, copying([]map[string]any{drilled(schema, "a"), drilled(schema, "b"), drilled(schema, "c")}, map[string]map[string]any{"r2": destination()}))
	id := newUUID()
	fill := func(id string) { s.exec(t, s.owner, "select "+schema+".fill($1::uuid)", id) }
	fill(newUUID())
	fill(id)
	s.succeeded("2 06:00", id)
	s.watching("2 06:10")
	c := s.copier(s.export("r2"), bucket{}, moment(t, "2 06:11"))
	if _, err := c.claim(); err != nil {
		t.Fatal(err)
	}
	if _, err := ask[next](c, `select auto_backup.export_freeze($1, $2::uuid, $at)::text`); err != nil {
		t.Fatal(err)
	}
	for i, want := range []int{20000, 4000, 4001} {
		table := fmt.Sprintf("%s.backup_%c", schema, 'a'+i)
		seen, sum, pages := map[int]bool{}, new(big.Int), 0
		var after *string
		for more := true; more; pages++ {
			header, lines, err := c.page(i+1, after)
			if err != nil || header["failed"] != nil {
				t.Fatalf("%s: %v, %v", table, header, err)
			}
			size := 0
			for _, line := range lines {
				var row struct{ N, Backup string }
				if err := json.Unmarshal([]byte(line), &row); err != nil {
					t.Fatal(err)
				}
				var n int
				if _, err := fmt.Sscan(row.N, &n); err != nil || seen[n] || !strings.Contains(line, id) {
					t.Fatalf("%s: the row %s is there twice, or of another backup (%v)", table, row.N, err)
				}
				seen[n] = true
				size += len(line) + 1
			}
			if len(lines) > 2000 || size > 4<<20+10_000 {
				t.Errorf("%s: a page has %d rows and %d bytes", table, len(lines), size)
			}
			d, _ := new(big.Int).SetString(header["digest"].(string), 10)
			sum.Add(sum, d)
			last := header["last"].(string)
			after, more = &last, header["more"].(bool)
			if pages == 1 {
				fill(newUUID())
			}
		}
		if len(seen) != want || want == 4000 && pages != 2 {
			t.Errorf("%s: %d rows of %d in %d pages", table, len(seen), want, pages)
		}
		got := one[string](t, s.owner, `
			select sum(('x' || substr(md5(row_to_json(l.*)::text), 1, 16))::bit(64)::bigint)::text
			from `+table+` r cross join lateral (select `+map[int]string{
			0: "r.id::text, r.backup_id::text, r.n::text, r.text",
			1: "r.backup_id, r.n::text, r.id::text",
			2: "r.backup_id, r.n::text",
		}[i]+`) as l where r.backup_id::text = $1`, id)
		if got != sum.String() {
			t.Errorf("%s: the digests of the pages are %s instead of %s", table, sum, got)
		}
	}
	if got := one[[]string](t, s.owner, `select array_agg(t ->> 'key' order by t ->> 'no') from auto_backup.exports e cross join jsonb_array_elements(e.tables) t where backup = $1 and t ? 'key'`, s.backup); !slices.Equal(got, []string{"id", "id"}) {
		t.Errorf("the keys are %q", got)
	}

}

// testExportDue proves over four weeks of nightly backups which of them are copied to a
// destination for every backup, to one for each day, and to one for each ISO week of the
// backup's time zone; and that only the newest of several that wait is copied.
func (tdb *testDatabase) testExportDue(t *testing.T) {
	s, schema := tdb.newCopied(t)
	at := func(prefix, period string) map[string]any {
		return destination(every(period), func(d map[string]any) { d["prefix"] = prefix })
	}
	s.change(installed, copying([]map[string]any{drilled(schema, "orders")}, map[string]map[string]any{"all": at("a", "backup"), "days": at("d", "daily"), "weeks": at("w", "weekly")}))
	id := s.copyShop(schema)
	copied := map[string][]string{}
	// Twice a night: 23:30 and 00:30 in São Paulo, so of two local days.
	for hour := range 28 * 24 {
		now := time.Date(2026, 3, 2, 0, 0, 0, 0, time.UTC).Add(time.Duration(hour) * time.Hour)
		if h := now.Hour(); h == 2 || h == 3 {
			s.exec(t, s.owner, `
				insert into auto_backup.runs (backup, schedule, trigger, due_at, attempt, state, requested_at, posted_at, finished_at, backup_id)
				values ($1, 'daily', 'schedule', $2, 1, 'succeeded', $2, now(), $2, $3::uuid)`, s.backup, now.Add(30*time.Minute), id)
			continue
		}
		if now.Hour() != 4 && now.Hour() != 12 {
			continue
		}
		s.nothingLeftOut(now)
		if got := one[map[string]any](t, s.owner, `select auto_backup.offsite($1, $2)`, s.backup, now); got["problems"] != nil {
			t.Fatal(got)
		}
		for _, name := range []string{"all", "days", "weeks"} {
			export := s.export(name)
			if export == 0 {
				continue
			}
			if n, err := s.copier(export, bucket{}, now.Add(time.Minute)).call(); err != nil || n.Stage != "complete" {
				t.Fatalf("%+v, %v", n, err)
			}
			copied[name] = append(copied[name], one[string](t, s.owner, `select to_char(made_at at time zone 'America/Sao_Paulo', 'DD HH24:MI') from auto_backup.exports where export_id = $1`, export))
		}
	}
	if len(copied["all"]) != 28 || len(copied["days"]) != 28 || copied["all"][0] != "02 00:30" || copied["days"][27] != "29 00:30" {
		t.Errorf("every backup: %q, each day: %q", copied["all"], copied["days"])
	}
	// Mondays.
	if want := []string{"02 00:30", "09 00:30", "16 00:30", "23 00:30"}; !slices.Equal(copied["weeks"], want) {
		t.Errorf("each week: %q, want %q", copied["weeks"], want)
	}
	if got := one[int](t, s.owner, `select max(sequence) from auto_backup.exports where backup = $1 and destination = 'weeks'`, s.backup); got != 4 {
		t.Errorf("the last one of a week is number %d", got)
	}
}

// testExportFailures proves that what may help is tried again after ten minutes, twenty
// and so on up to six hours, and everything else hourly; that an incident is opened at
// the third failure in a row, at once where nothing helps, or after a day, and alerted
// once; that what is stored ends a row of failures; that an export which fails for a day
// makes room for a newer one; and that a complete copy recovers the incident.
func (tdb *testDatabase) testExportFailures(t *testing.T) {
	s, schema := tdb.newCopied(t)
	export := s.backedUp(schema, "2 06:00", "2 06:10")
	now := moment(t, "2 06:11")
	fail := func(problem string) string {
		t.Helper()
		c := s.copier(export, bucket{}, now)
		if w, err := c.claim(); err != nil || w.Skip != "" {
			t.Fatalf("%+v, %v", w, err)
		}
		c.at = now.Add(-time.Second)
		if _, err := ask[map[string]any](c, `select auto_backup.export_failed($1, $2::uuid, $3, $at)::text`, json.RawMessage(problem)); err != nil {
			t.Fatal(err)
		}
		at := one[time.Time](t, s.owner, `select next_at from auto_backup.exports where export_id = $1`, export)
		wait := at.Sub(now)
		now = at
		return wait.String()
	}
	const server = `{"code": "offsite_server", "message": "503 from <b>s3</b>\n", "status": 503, "retry": true}`
	var waits []string
	for i := range 9 {
		waits = append(waits, fail(server))
		s.exec(t, s.owner, `select auto_backup.offsite($1, $2)`, s.backup, now)
		if got := len(s.incidentsOf()); (got == 1) != (i >= 2) {
			t.Errorf("after %d failures there are %d incidents", i+1, got)
		}
	}
	if want := []string{"9m30s", "19m30s", "39m30s", "1h19m30s", "2h39m30s", "5h19m30s", "5h59m30s", "5h59m30s", "5h59m30s"}; !slices.Equal(waits, want) {
		t.Errorf("the waits are %q", waits)
	}
	if got := fail(`{"code": "offsite_slow_down", "retry": true, "retry_after_ms": 99999999999}`); got != "5h59m30s" {
		t.Errorf("asked to wait for years: %s", got)
	}
	if got := fail(`{"code": "offsite_denied", "retry": false}`); got != "59m30s" {
		t.Errorf("refused: %s", got)
	}
	if got := one[string](t, s.owner, `select concat_ws(' ', code, error, http_status, retryable, failures) from auto_backup.exports where export_id = $1`, export); got != "offsite_denied f 11" {
		t.Errorf("the export says %s", got)
	}
	if got := s.incidentsOf(); !slices.Equal(got, []string{"r2 offsite_server waiting"}) {
		t.Errorf("incidents: %q", got)
	}
	s.succeeded("3 06:00", s.copyShop(schema))
	if waiting := s.exports(); waiting[0] != "r2 2 06:00 open freeze offsite_denied failures:11" && waiting[0] != "r2 2 06:00 open rows offsite_denied failures:11" {
		t.Errorf("the exports are %q", waiting)
	}
	// By the watchdog itself, which also alerts, and starts a backup that is due.
	t.Cleanup(func() {
		s.exec(t, s.owner, `delete from auto_backup.runs where backup = $1 and state in ('requested', 'running')`, s.backup)
	})
	s.watch("4 12:00")
	s.watch("4 12:10")
	calls := slices.DeleteFunc(s.alertCalls(), func(call map[string]any) bool { return call["details"].(map[string]any)["destination"] != "r2" })
	if len(calls) != 1 {
		t.Fatalf("%d alerts", len(calls))
	}
	if text := fmt.Sprint(calls[0]["message"]); !strings.HasPrefix(text, "A cópia externa do backup automático "+s.backup+" no destino r2 falhou: o serviço do bucket teve um erro interno ou está fora do ar (503 from") ||
		strings.Contains(text, "<b>") || !strings.Contains(text, "O backup no banco de dados não foi afetado. O que fazer: ") {
		t.Errorf("the alert says %s", text)
	}
	if got := s.exports(); len(got) != 2 || got[0] != "r2 2 06:00 failed offsite_superseded" && !strings.HasPrefix(got[0], "r2 2 06:00 failed offsite_superseded") || !strings.HasPrefix(got[1], "r2 3 06:00 open freeze") {
		t.Errorf("after a newer backup: %q", got)
	}
	b := bucket{}
	s.complete(s.export("r2"), b, "4 12:11")
	if got := s.incidentsOf(); len(got) != 1 || !strings.HasSuffix(got[0], "over") {
		t.Errorf("after a copy: %q", got)
	}
	if got := one[string](t, s.owner, `select concat_ws(' ', state, code) from auto_backup.runs where backup = $1 order by requested_at limit 1`, s.backup); got != "succeeded" {
		t.Errorf("the backup is %s", got)
	}

	// At once where nothing helps, again after a day without an end.
	export, now = s.backedUp(schema, "5 06:00", "5 06:10"), moment(t, "5 06:11")
	fail(`{"code": "offsite_key_unknown", "retry": false}`)
	s.watching("5 06:20")
	c := s.copier(export, b, moment(t, "5 07:20"))
	c.die = func(point string) bool { return point == "stored rows" }
	if _, err := c.call(); err != errDied { //nolint:errorlint // it is returned as it is
		t.Fatal(err)
	}
	if got := s.exports()[2]; got != "r2 5 06:00 open rows" {
		t.Errorf("after something was stored: %s", got)
	}
	s.complete(export, b, "5 07:30")
	export = s.backedUp(schema, "6 06:00", "6 06:10")
	s.exec(t, s.owner, `update auto_backup.exports set worker = gen_random_uuid(), claimed_at = $2, claimed_until = $2 where export_id = $1`, export, moment(t, "7 06:00"))
	s.watching("7 06:20")
	want := []string{"r2 offsite_server", "r2 offsite_key_unknown waiting over", "r2 offsite_late waiting"}
	if got := s.incidentsOf(); len(got) != 3 || !strings.HasPrefix(got[0], want[0]) || got[1] != want[1] || got[2] != want[2] {
		t.Errorf("incidents: %q", got)
	}
}
