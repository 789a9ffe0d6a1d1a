package payload_test

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/big"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	format "github.com/aimindset/terraform-provider-aimindset/internal/offsite/manifest"
)

// These tests play the Edge Function, which copies a backup to a bucket: the bucket is a
// map, and its objects are what the function would seal.

// bucket holds what was stored, by key. It refuses to replace an object.
type bucket map[string][]byte

var errExists = errors.New("412 Precondition Failed")

func (b bucket) put(key string, content []byte) error {
	if _, ok := b[key]; ok {
		return errExists
	}
	b[key] = slices.Clone(content)
	return nil
}

// destination is one of the settings, which the ledger only hands on.
func destination(edit ...func(map[string]any)) map[string]any {
	d := map[string]any{
		"endpoint": "https://s3.example.com", "region": "eu-central-1", "bucket": "acme-backups", "prefix": "prod",
		"recipients": []string{"Zmlyc3Q=", "c2Vjb25k"}, "lock": map[string]any{"mode": "governance", "days": 30},
		"every": "backup", "verify": "head", "tables": []string{"stored"},
		"secrets": map[string]string{"access_key_id": "AUTO_BACKUP_OFFSITE_R2_ACCESS_KEY_ID", "secret_access_key": "AUTO_BACKUP_OFFSITE_R2_SECRET_ACCESS_KEY"},
	}
	for _, change := range edit {
		change(d)
	}
	return d
}

// copying sets where the backup of a scenario is copied to.
func copying(tables []map[string]any, destinations map[string]map[string]any) func(map[string]any) {
	return func(document map[string]any) {
		document["offsite"] = map[string]any{"destinations": destinations, "project_ref": "abcdefghijklmnopqrst", "tables": tables}
	}
}

func tablesOf(names ...string) func(map[string]any) {
	return func(d map[string]any) { d["tables"] = names }
}

func every(period string) func(map[string]any) {
	return func(d map[string]any) { d["every"] = period }
}

// next is what an export needs next.
type next struct {
	State string
	Stage string
	Next  *struct {
		Table   int
		Part    int
		After   *string
		Section string
	}
	Failed *struct{ Code, Message string }
}

// work is what a worker is given.
type work struct {
	next
	Skip        string
	Export      int64
	Backup      string
	Destination string
	Path        string
	Tables      []struct {
		No                   int
		Schema, Name, Source string
		Keyed                bool
	}
}

// copier is a worker.
type copier struct {
	*scenario
	id     string
	export int64
	bucket bucket
	at     time.Time
	// partBytes is how many bytes of lines make a part.
	partBytes int
	// schemas makes it store the schema rather than a placeholder, which is faster.
	schemas bool
	// die is asked before and after each step, and says whether the worker vanishes.
	die func(point string) bool
}

// errDied says that the worker vanished.
var errDied = errors.New("the worker vanished")

func newUUID() string {
	var b [16]byte
	_, _ = rand.Read(b[:])
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

func (s *scenario) copier(export int64, b bucket, at time.Time) *copier {
	return &copier{scenario: s, id: newUUID(), export: export, bucket: b, at: at, partBytes: 2000, die: func(string) bool { return false }}
}

// ask calls one function of the ledger and decodes its answer.
func ask[T any](c *copier, sql string, args ...any) (value T, err error) {
	c.at = c.at.Add(time.Second)
	rows, err := c.owner.Query(c.Context(), strings.ReplaceAll(sql, "$at", "'"+c.at.Format(time.RFC3339)+"'"), append([]any{c.export, c.id}, args...)...)
	if err != nil {
		return value, err
	}
	text, err := pgx.CollectOneRow(rows, pgx.RowTo[*string])
	if err != nil || text == nil {
		return value, err
	}
	if s, ok := any(&value).(*string); ok {
		*s = *text
		return value, nil
	}
	return value, json.Unmarshal([]byte(*text), &value)
}

func (c *copier) claim() (work, error) {
	return ask[work](c, `select auto_backup.export_claim($1, $2::uuid, $at)::text`)
}

// page reads a page of rows.
func (c *copier) page(table int, after *string) (header map[string]any, lines []string, err error) {
	c.at = c.at.Add(time.Second)
	rows, err := c.owner.Query(c.Context(), `select * from auto_backup.export_page($1, $2::uuid, $3, $4, $5)`, c.export, c.id, table, after, c.at)
	if err != nil {
		return nil, nil, err
	}
	lines, err = pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return nil, nil, err
	}
	return header, lines[1:], json.Unmarshal([]byte(lines[0]), &header)
}

// store announces an object, writes it and says so.
func (c *copier) store(path, kind, key string, place map[string]any, content []byte, facts map[string]any) (next, error) {
	object := map[string]any{"kind": kind, "key": key}
	maps.Copy(object, place)
	id, err := ask[int64](c, `select auto_backup.export_announce($1, $2::uuid, $3, $at)::text`, object)
	if err != nil {
		return next{}, err
	}
	if c.die("announced " + kind) {
		return next{}, errDied
	}
	if err := c.bucket.put(path+key, content); err != nil && (kind != "manifest" || string(c.bucket[path+key]) != string(content)) {
		return next{}, fmt.Errorf("%s: %w", key, err)
	}
	if c.die("written " + kind) {
		return next{}, errDied
	}
	sum := sha256.Sum256(content)
	all := map[string]any{
		"bytes": len(content) + 1, "sha256": hex.EncodeToString(sum[:]), "raw_bytes": len(content), "raw_sha256": hex.EncodeToString(sum[:]),
		"version_id": "v" + strconv.FormatInt(id, 10), "locked_until": "2026-12-24T00:00:00Z", "verified": "head",
	}
	maps.Copy(all, facts)
	n, err := ask[next](c, `select auto_backup.export_stored($1, $2::uuid, $3, $4, $at)::text`, id, all)
	if err == nil && c.die("stored "+kind) {
		err = errDied
	}
	return n, err
}

// call is one call of the function: it goes on with the export until it is complete,
// fails, or the worker dies.
func (c *copier) call() (next, error) {
	w, err := c.claim()
	if err != nil || w.Skip != "" {
		return next{State: w.Skip}, err
	}
	if c.die("claimed") {
		return next{}, errDied
	}
	n := w.next
	for steps := 0; n.Stage != "complete" && n.Failed == nil; steps++ {
		if steps > 10_000 {
			return n, errors.New("there is no end")
		}
		suffix := newUUID()[:8]
		switch n.Stage {
		case "freeze":
			n, err = ask[next](c, `select auto_backup.export_freeze($1, $2::uuid, $at)::text`)
		case "rows":
			n, err = c.part(w.Path, *n.Next)
		case "schema":
			var text string
			if text, err = c.schema(n.Next.Section); err != nil {
				return n, err
			}
			n, err = c.store(w.Path, "schema", "schema-"+n.Next.Section+"-"+suffix+".sql.gz.cms", map[string]any{"section": n.Next.Section}, []byte(text), nil)
		case "sums":
			var text string
			if text, err = ask[string](c, `select auto_backup.export_sums($1, $2::uuid, $at)`); err == nil {
				n, err = c.store(w.Path, "sums", "sha256sums-"+suffix+".txt", nil, []byte(text), nil)
			}
		case "recovery":
			var text string
			if text, err = ask[string](c, `select auto_backup.export_manifest($1, $2::uuid, $at)`); err == nil {
				n, err = c.store(w.Path, "recovery", "recovery-"+suffix+".md", nil, []byte("# Recovery\n"+text), nil)
			}
		case "manifest":
			var text string
			if text, err = ask[string](c, `select auto_backup.export_manifest($1, $2::uuid, $at)`); err == nil {
				n, err = c.store(w.Path, "manifest", "manifest.json", nil, []byte(text), nil)
			}
		default:
			err = fmt.Errorf("unknown stage %q", n.Stage)
		}
		if err == nil && c.die("after "+n.Stage) {
			err = errDied
		}
		if err != nil {
			return n, err
		}
	}
	return n, nil
}

// schema is the text of a section of the schema.
func (c *copier) schema(section string) (string, error) {
	if !c.schemas {
		return "-- " + section + "\n", nil
	}
	return ask[string](c, `select auto_backup.export_schema($1, $2::uuid, $3, $at)`, section)
}

// part reads pages until a part is full, and stores it.
func (c *copier) part(path string, at struct {
	Table   int
	Part    int
	After   *string
	Section string
}) (next, error) {
	var content strings.Builder
	rows, digest, after, more := 0, new(big.Int), at.After, true
	for more && content.Len() < c.partBytes {
		header, lines, err := c.page(at.Table, after)
		if err != nil {
			return next{}, err
		}
		if header["failed"] != nil {
			encoded, _ := json.Marshal(header)
			var n next
			return n, json.Unmarshal(encoded, &n)
		}
		if int(header["rows"].(float64)) != len(lines) {
			return next{}, fmt.Errorf("the header counts %v rows of %d", header["rows"], len(lines))
		}
		for _, line := range lines {
			content.WriteString(line + "\n")
		}
		if last, ok := header["last"].(string); ok {
			after = &last
		}
		rows, more = rows+len(lines), header["more"].(bool)
		d, ok := new(big.Int).SetString(header["digest"].(string), 10)
		if !ok {
			return next{}, fmt.Errorf("the digest is %v", header["digest"])
		}
		digest.Add(digest, d)
	}
	key := fmt.Sprintf("rows/%02d-t/%05d-%s.ndjson.gz.cms", at.Table, at.Part, newUUID()[:8])
	return c.store(path, "rows", key, map[string]any{"table_no": at.Table, "part": at.Part}, []byte(content.String()),
		map[string]any{"rows": rows, "digest": digest.String(), "last": after, "more": more})
}

// export is the export of a scenario that is open, or 0.
func (s *scenario) export(destination string) int64 {
	s.Helper()
	ids := column[int64](s.T, s.owner, `select export_id from auto_backup.exports where backup = $1 and destination = $2 and state = 'open'`, s.backup, destination)
	if len(ids) == 0 {
		return 0
	}
	return ids[0]
}

// exports are the exports of a scenario, one line each.
func (s *scenario) exports() []string {
	s.Helper()
	return column[string](s.T, s.owner, `
		select concat_ws(' ', destination, to_char(made_at at time zone 'UTC', 'FMDD HH24:MI'), state, case state when 'open' then stage end, code,
			'failures:' || nullif(failures, 0), '#' || sequence)
		from auto_backup.exports where backup = $1 order by destination, export_id`, s.backup)
}

// offsite is a tick of the watchdog's step.
func (s *scenario) offsite(at string) map[string]any {
	s.Helper()
	s.nothingLeftOut(moment(s.T, at))
	return one[map[string]any](s.T, s.owner, `select auto_backup.offsite($1, $2)`, s.backup, moment(s.T, at))
}

// newCopied creates a shop with a backup, which is copied.
func (tdb *testDatabase) newCopied(t *testing.T, edit ...func(map[string]any)) (*scenario, string) {
	s, schema := tdb.newShop(t)
	s.change(installed, copying([]map[string]any{drilled(schema, "customers"), drilled(schema, "orders")}, map[string]map[string]any{"r2": destination(edit...)}))
	return s, schema
}

// sqlState is the SQLSTATE of an error of the database.
func sqlState(err error) string {
	if pg := (*pgconn.PgError)(nil); errors.As(err, &pg) {
		return pg.Code
	}
	return ""
}

// TestExport tests the ledger of off-site copies in one database.
func TestExport(t *testing.T) {
	t.Parallel()
	tdb := startDatabase(t)
	for name, test := range map[string]func(*testing.T){
		"life":        tdb.testExportLife,
		"two workers": tdb.testExportTwoWorkers,
		"deaths":      tdb.testExportDeaths,
	} {
		t.Run(name, test)
	}
}

// manifest is the part of a manifest that the tests read.
type manifest struct {
	Format, Backup, Destination string
	ProjectRef                  string `json:"project_ref"`
	Sequence                    int
	Previous                    *struct{ Key, SHA256 string }
	MadeAt                      string `json:"made_at"`
	ExportedAt                  string `json:"exported_at"`
	Encryption                  struct {
		Recipients []struct {
			KeyID string `json:"key_id"`
		}
	}
	Tables []struct {
		No                           int
		Schema, Name, Source, Digest string
		Filter                       *struct{ Column, Value string }
		Rows                         int
		Columns                      []struct{ Name, Type string }
		Identity, Generated          []string
		Parts                        []struct {
			Key, SHA256 string
			Rows        int
		}
	}
	Schema, Files []struct{ Section, Key, SHA256 string }
	Abandoned     []string
	Restores      []struct {
		Live, Copy []string
		Columns    map[string]string
	}
	NotCovered []struct{ Surface, Status, Reason string } `json:"not_covered"`
	LeftOut    []struct{ Kind, Name, Reason string }      `json:"left_out"`
}

// readManifest reads the manifest of an export from the bucket and checks that what it
// names is there, is whole, and is all that is there, except what it calls abandoned.
func readManifest(t *testing.T, b bucket, path string) (m manifest) {
	t.Helper()
	text, ok := b[path+"manifest.json"]
	if !ok {
		t.Fatalf("there is no manifest below %s, only %q", path, slices.Sorted(maps.Keys(b)))
	}
	if _, err := format.Read(text); err != nil {
		t.Errorf("the restore does not read it: %v\n%s", err, text)
	}
	if err := json.Unmarshal(text, &m); err != nil {
		t.Fatalf("%v\nin: %s", err, text)
	}
	body, last, _ := strings.Cut(string(text), "\"checksum\":")
	if want := fmt.Sprintf("%q}\n", hex.EncodeToString(sum256(body))); last != want || !strings.HasSuffix(body, "\n") {
		t.Errorf("the manifest ends with %s instead of its checksum %s", last, want)
	}
	named := map[string]string{"manifest.json": ""}
	for _, table := range m.Tables {
		rows := 0
		for _, part := range table.Parts {
			named[part.Key] = part.SHA256
			rows += part.Rows
			if got := strings.Count(string(b[path+part.Key]), "\n"); got != part.Rows {
				t.Errorf("%s has %d lines instead of %d", part.Key, got, part.Rows)
			}
		}
		if rows != table.Rows {
			t.Errorf("the parts of %s have %d rows of %d", table.Name, rows, table.Rows)
		}
	}
	for _, file := range slices.Concat(m.Schema, m.Files) {
		named[file.Key] = file.SHA256
	}
	for _, key := range m.Abandoned {
		named[key] = ""
	}
	for key, sum := range named {
		content, ok := b[path+key]
		if got := sha256.Sum256(content); sum != "" && (!ok || hex.EncodeToString(got[:]) != sum) {
			t.Errorf("%s is not what the manifest says", key)
		}
	}
	for key := range b {
		if rest, ok := strings.CutPrefix(key, path); ok {
			if _, ok := named[rest]; !ok {
				t.Errorf("no manifest names %s", key)
			}
		}
	}
	return m
}

// testExportLife proves the whole life of an export by value: it is opened and requested
// at the first tick after the backup, its rows are all there once, the manifest is the
// last and names everything, the next one refers to it, and nothing of a row is left in
// the ledger.
func (tdb *testDatabase) testExportLife(t *testing.T) {
	s, schema := tdb.newCopied(t, tablesOf("stored", "live"))
	if got := s.offsite("2 06:10"); len(got) > 0 {
		t.Errorf("without a backup: %v", got)
	}
	first := s.copyShop(schema)
	s.succeeded("2 06:00", first)
	if got := fmt.Sprint(s.watch("2 06:10")["offsite"]); got != "map[opened:1 posted:1]" {
		t.Errorf("after a backup: %s", got)
	}
	export := s.export("r2")
	request := one[map[string]any](t, s.admin, `
		select convert_from(q.body, 'UTF8')::jsonb || jsonb_build_object('same', e.call_id::text = convert_from(q.body, 'UTF8')::jsonb ->> 'run_id')
		from auto_backup.exports e inner join net.http_request_queue q on q.id = e.request_id where e.export_id = $1`, export)
	if request["action"] != "export" || request["export"] != float64(export) || request["backup"] != s.backup || request["same"] != true || request["sent_at"] == nil {
		t.Errorf("the request is %v", request)
	}
	if got := s.offsite("2 06:12"); len(got) > 0 {
		t.Errorf("while the request waits: %v", got)
	}

	b := bucket{}
	c := s.copier(export, b, moment(t, "2 06:13"))
	c.schemas = true
	w, err := c.claim()
	if err != nil {
		t.Fatal(err)
	}
	path := "prod/abcdefghijklmnopqrst/" + s.backup + "/20260302t060000z-" + first + "/"
	if w.Path != path || w.Stage != "freeze" || len(w.Tables) != 4 || w.Tables[0].Name != "backup_customers" || w.Tables[3].Source != "live" || w.Tables[0].Keyed {
		t.Errorf("the work is %+v", w)
	}
	if n, err := c.call(); err != nil || n.Stage != "complete" {
		t.Fatalf("%+v, %v", n, err)
	}
	m := readManifest(t, b, path)
	if m.Format != "aimindset-backup/1" || m.ProjectRef != "abcdefghijklmnopqrst" || m.Sequence != 1 || m.Previous != nil || len(m.Abandoned) > 0 ||
		m.MadeAt != "2026-03-02T06:00:00Z" || !strings.HasPrefix(m.ExportedAt, "2026-03-02T06:1") || len(m.Schema) != 2 || len(m.Files) != 2 || len(m.NotCovered) != 6 ||
		len(m.Encryption.Recipients) != 2 || m.Encryption.Recipients[0].KeyID != hex.EncodeToString(sum256("first"))[:40] {
		t.Errorf("the manifest is %s", b[path+"manifest.json"])
	}
	// The orders' owners are not part of the copy.
	if len(m.LeftOut) != 1 || m.LeftOut[0].Kind != "foreign key" || m.LeftOut[0].Name != "orders_owner_id_fkey on "+schema+".orders" {
		t.Errorf("left out is %+v", m.LeftOut)
	}
	for _, want := range []string{"create table " + schema + ".customers (", "-- alter table only " + schema + ".orders add constraint orders_owner_id_fkey"} {
		if texts := string(b[path+m.Schema[0].Key]) + string(b[path+m.Schema[1].Key]); !strings.Contains(texts, want) {
			t.Errorf("the schema lacks %s:\n%s", want, texts)
		}
	}
	for i, want := range []string{"backup_customers stored 40", "backup_orders stored 40", "customers live 40", "orders live 40"} {
		table := m.Tables[i]
		if got := fmt.Sprintf("%s %s %d", table.Name, table.Source, table.Rows); got != want || (table.Filter != nil) != (table.Source == "stored") {
			t.Errorf("table %d is %s, want %s", i+1, got, want)
		}
	}
	if got := m.Tables[2]; !slices.Equal(got.Generated, []string{"shout"}) || got.Columns[0] != struct{ Name, Type string }{"id", "uuid"} {
		t.Errorf("customers are described as %+v", got)
	}
	if got := m.Tables[3].Identity; !slices.Equal(got, []string{"number"}) {
		t.Errorf("orders have the identities %q", got)
	}
	if len(m.Restores) != 2 || m.Restores[0].Live[1] != "customers" || m.Restores[0].Copy[1] != "backup_customers" {
		t.Errorf("restores: %+v", m.Restores)
	}
	if n := one[int](t, s.owner, `select count(*)::int from auto_backup.frozen where export_id = $1`, export); n > 0 {
		t.Errorf("%d rows are left frozen", n)
	}
	if text := one[string](t, s.owner, `select string_agg(to_jsonb(e)::text || to_jsonb(o)::text, ' ') from auto_backup.exports e inner join auto_backup.export_objects o using (export_id) where backup = $1`, s.backup); strings.Contains(text, "CANARY-VALUE") {
		t.Error("the ledger holds a value of a row")
	}
	if got := s.offsite("2 06:30"); len(got) > 0 {
		t.Errorf("after the copy: %v", got)
	}
	if w, err := c.claim(); err != nil || w.Skip != "it is complete" {
		t.Errorf("a late call: %+v, %v", w, err)
	}

	second := s.copyShop(schema)
	s.succeeded("3 06:00", second)
	s.offsite("3 06:10")
	if n, err := s.copier(s.export("r2"), b, moment(t, "3 06:11")).call(); err != nil || n.Stage != "complete" {
		t.Fatalf("%+v, %v", n, err)
	}
	m = readManifest(t, b, "prod/abcdefghijklmnopqrst/"+s.backup+"/20260303t060000z-"+second+"/")
	if m.Sequence != 2 || m.Previous == nil || m.Previous.Key != path+"manifest.json" || m.Previous.SHA256 != hex.EncodeToString(sum256(string(b[path+"manifest.json"]))) {
		t.Errorf("the second manifest follows %+v", m.Previous)
	}
	if got := s.exports(); !slices.Equal(got, []string{"r2 2 06:00 complete #1", "r2 3 06:00 complete #2"}) {
		t.Errorf("the exports are %q", got)
	}
}

func sum256(text string) []byte {
	sum := sha256.Sum256([]byte(text))
	return sum[:]
}

// testExportTwoWorkers proves that a second worker is sent away while the first one is
// heard of, that it takes the export over when that one is not, and that the first one
// can then write nothing more.
func (tdb *testDatabase) testExportTwoWorkers(t *testing.T) {
	s, schema := tdb.newCopied(t)
	s.succeeded("2 06:00", s.copyShop(schema))
	s.offsite("2 06:10")
	export, b := s.export("r2"), bucket{}
	one, two := s.copier(export, b, moment(t, "2 06:11")), s.copier(export, b, moment(t, "2 06:11:30"))
	if w, err := one.claim(); err != nil || w.Skip != "" {
		t.Fatalf("%+v, %v", w, err)
	}
	if w, err := two.claim(); err != nil || w.Skip != "another worker is at it" {
		t.Errorf("a second worker gets %+v, %v", w, err)
	}
	// While another transaction holds the row, nobody waits.
	tx, err := s.owner.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback(t.Context()) //nolint:errcheck // nothing to keep
	if _, err := tx.Exec(t.Context(), `select from auto_backup.exports where export_id = $1 for update`, export); err != nil {
		t.Fatal(err)
	}
	two.at = moment(t, "2 07:00")
	if w, err := two.claim(); err != nil || w.Skip != "another worker is at it" {
		t.Errorf("while the row is locked, a worker gets %+v, %v", w, err)
	}
	if err := tx.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	if w, err := two.claim(); err != nil || w.Skip != "" {
		t.Errorf("after the claim has expired, a worker gets %+v, %v", w, err)
	}
	one.at = two.at
	for _, sql := range []string{
		`select auto_backup.export_freeze($1, $2::uuid, $at)::text`, `select auto_backup.export_page($1, $2::uuid, 1, null, $at)`,
		`select auto_backup.export_announce($1, $2::uuid, '{"kind": "rows", "table_no": 1, "part": 1, "key": "x"}', $at)::text`,
		`select auto_backup.export_stored($1, $2::uuid, 1, '{}', $at)::text`, `select auto_backup.export_failed($1, $2::uuid, '{"code": "x"}', $at)::text`,
		`select auto_backup.export_yield($1, $2::uuid, $at)::text`, `select auto_backup.export_manifest($1, $2::uuid, $at)`, `select auto_backup.export_sums($1, $2::uuid, $at)`,
	} {
		if _, err := ask[string](one, sql); sqlState(err) != "AB030" {
			t.Errorf("%s\nof the first worker: %v", sql, err)
		}
	}
	if n, err := two.call(); err != nil || n.Stage != "complete" {
		t.Errorf("%+v, %v", n, err)
	}
}

// testExportDeaths proves that wherever a worker vanishes, the watchdog requests the next
// call, which completes the copy: with one manifest, which names every object, and every
// row once.
func (tdb *testDatabase) testExportDeaths(t *testing.T) {
	s, schema := tdb.newCopied(t, tablesOf("stored", "live"))
	s.exec(t, s.owner, "alter table "+schema+".backup_customers add column key uuid primary key default gen_random_uuid()")
	const day = 2
	var points int
	for point := 1; ; point++ {
		id := s.copyShop(schema)
		at := moment(t, fmt.Sprintf("%d 06:00", day)).Add(time.Duration(point) * 24 * time.Hour)
		s.exec(t, s.owner, `
			insert into auto_backup.runs (backup, schedule, trigger, due_at, attempt, state, requested_at, posted_at, finished_at, backup_id)
			values ($1, 'daily', 'schedule', $2, 1, 'succeeded', $2, now(), $2, $3::uuid)`, s.backup, at, id)
		s.exec(t, s.owner, `select auto_backup.offsite($1, $2)`, s.backup, at)
		export, b := s.export("r2"), bucket{}
		seen, where := 0, ""
		c := s.copier(export, b, at)
		c.partBytes = 4000
		c.die = func(name string) bool {
			seen++
			if seen == point {
				where = name
			}
			return seen == point
		}
		n, err := c.call()
		if err == nil && where == "" {
			points = point
			break
		}
		if !errors.Is(err, errDied) {
			t.Fatalf("died at point %d (%s): %+v, %v", point, where, n, err)
		}
		if manifests := slices.DeleteFunc(slices.Collect(maps.Keys(b)), func(key string) bool { return !strings.HasSuffix(key, "manifest.json") }); len(manifests) > 0 && where != "written manifest" && !strings.HasPrefix(where, "stored manifest") && where != "after complete" {
			t.Errorf("died at %s: there is a manifest", where)
		}
		if n.Stage != "complete" {
			later := c.at.Add(10 * time.Minute)
			calls := one[int](t, s.owner, `select calls from auto_backup.exports where export_id = $1`, export)
			if got := one[map[string]any](t, s.owner, `select auto_backup.offsite($1, $2)`, s.backup, later); got["problems"] != nil {
				t.Errorf("died at %s: %v", where, got)
			}
			if got := one[string](t, s.owner, `select concat_ws(' ', state, calls) from auto_backup.exports where export_id = $1`, export); got != fmt.Sprintf("open %d", calls+1) {
				t.Fatalf("died at %s: after the next tick the export is %s", where, got)
			}
			d := s.copier(export, b, later)
			d.partBytes = 4000
			if n, err := d.call(); err != nil || n.Stage != "complete" {
				t.Fatalf("died at %s: %+v, %v", where, n, err)
			}
		}
		m := readManifest(t, b, one[string](t, s.owner, `select path from auto_backup.exports where export_id = $1`, export))
		if rows := m.Tables[0].Rows + m.Tables[1].Rows + m.Tables[2].Rows + m.Tables[3].Rows; rows != 160 || m.Sequence != point {
			t.Errorf("died at %s: %d rows, number %d", where, rows, m.Sequence)
		}
		if strings.HasPrefix(where, "announced") || strings.HasPrefix(where, "written") {
			if wanted := 1; where != "announced manifest" && where != "written manifest" && len(m.Abandoned) != wanted {
				t.Errorf("died at %s: abandoned are %q", where, m.Abandoned)
			}
		}
	}
	if points < 30 {
		t.Errorf("there were only %d points to die at", points)
	}
	if got := one[int](t, s.owner, `select count(*)::int from auto_backup.incidents where backup = $1`, s.backup); got > 0 {
		t.Errorf("there are %d incidents", got)
	}
}
