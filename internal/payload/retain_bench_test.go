package payload_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/aimindset/terraform-provider-aimindset/internal/retention"
)

// The limits of the removal of one stored backup, which are several times what it takes.
// The WAL has an image of each page that the backup is on, once after each checkpoint.
const (
	retainTimeLimit = 2 * time.Second
	retainWALLimit  = 64 << 20 // bytes
)

// BenchmarkRetain measures how long the retention takes to remove one of 14 stored
// backups of the application's 28,000 rows, and how much WAL it writes right after a
// checkpoint, which is the worst. It fails where even the fastest is above the limits.
func BenchmarkRetain(b *testing.B) {
	const rows, others = 28_000, 13
	tdb := startDatabaseWith(b, 20_000)
	tdb.exec(b, tdb.admin, "alter system set full_page_writes = on") // the stack's are off
	tdb.exec(b, tdb.admin, "select pg_reload_conf()")
	document := settings()
	var tables []map[string]any
	for _, table := range []string{"articles", "comments", "feedbacks"} {
		tables = append(tables, drilled("public", table))
	}
	document["drill"] = drillSetting(tables...)
	document["retention"] = retention.Policy{KeepLast: others}
	tdb.exec(b, tdb.owner, `insert into auto_backup.settings (backup, document, owner) values ('bench', $1, 'test')`, document)
	made := func(days int) string {
		id := one[string](b, tdb.admin, `select public.backup_all_data() ->> 'backup_id'`)
		tdb.exec(b, tdb.owner, `
			insert into auto_backup.runs (backup, schedule, trigger, due_at, attempt, state, requested_at, finished_at, backup_id)
			select 'bench', 'daily', 'schedule', at, 1, 'succeeded', at, at, $1::uuid from (select now() - $2 * interval '1 day') as t (at)`, id, days)
		return id
	}
	for days := range others {
		id := made(days)
		if days == 0 {
			tdb.exec(b, tdb.owner, `
				insert into auto_backup.drills (backup, trigger, state, started_at, finished_at, backup_id, tables)
				values ('bench', 'manual', 'successful', now(), now(), $1::uuid, '[{"copy": "public.backup_articles", "rows": 20000}]')`, id)
		}
	}
	var costs []time.Duration
	var wal []int
	for b.Loop() {
		oldest := made(others)
		tdb.exec(b, tdb.admin, "checkpoint")
		before := one[string](b, tdb.admin, "select pg_current_wal_insert_lsn()::text")
		begin := time.Now()
		said := one[string](b, tdb.owner, `
			select concat_ws(' ', r ->> 'skipped', r ->> 'refused', r ->> 'backup_id', (select sum(n.value::int) from jsonb_each_text(r -> 'removed') n))
			from auto_backup.retain('bench') r`)
		costs = append(costs, time.Since(begin))
		wal = append(wal, one[int](b, tdb.admin, "select (pg_current_wal_insert_lsn() - $1::text::pg_lsn)::bigint", before))
		if said != fmt.Sprintf("%s %d", oldest, rows) {
			b.Fatalf("the retention says %s", said)
		}
		tdb.exec(b, tdb.owner, `delete from auto_backup.runs where backup_id = $1::uuid`, oldest)
	}
	b.ReportMetric(float64(slices.Min(costs).Milliseconds()), "best-ms")
	b.ReportMetric(float64(slices.Min(wal))/1024, "wal-KiB")
	if least := slices.Min(wal); least > retainWALLimit {
		b.Errorf("a removal writes %d bytes of WAL, the limit is %d", least, retainWALLimit)
	}
	if best := slices.Min(costs); best > retainTimeLimit {
		b.Errorf("a removal takes %s, the limit is %s", best, retainTimeLimit)
	}
}
