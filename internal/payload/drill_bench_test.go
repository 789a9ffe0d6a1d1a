package payload_test

import (
	"fmt"
	"slices"
	"testing"
	"time"
)

// The limits of a drill, which are several times what it takes. Nothing of it is written
// to the WAL but its row and the catalog's rows of temporary tables, however many rows it
// reads. It is measured right after a checkpoint, which is the worst.
const (
	drillWALLimit = 4 << 20 // bytes
	// drillTimeLimit is the default of drill.timeout.
	drillTimeLimit = 2 * time.Minute
	// drillGrowth is how much more of the processor twice the rows may take, on a machine
	// that does other things, too.
	drillGrowth = 3.0
)

// BenchmarkDrill measures how long a drill takes and how much WAL it writes: of the
// application's 28,000 rows, of 500,000 and of 1,000,000 rows in one table, to show that
// it grows with them, and of a table with 10,000,000 rows, of which it reads a sample. The
// run history has 10,000 runs. It fails where even the fastest is above the limits.
func BenchmarkDrill(b *testing.B) {
	costs := map[int]time.Duration{}
	b.Run("28,000 rows", func(b *testing.B) {
		tdb := startDatabaseWith(b, 20_000)
		var tables []map[string]any
		for _, table := range []string{"articles", "comments", "feedbacks"} {
			tables = append(tables, drilled("public", table))
		}
		costs[28_000] = benchmarkDrill(b, tdb, 100_000, 28_000, one[string](b, tdb.admin, `select public.backup_all_data() ->> 'backup_id'`), tables...)
	})
	for _, c := range []struct {
		name            string
		rows, most, has int
	}{
		{"500,000 rows", 500_000, 1_000_000, 500_000},
		{"1,000,000 rows", 1_000_000, 1_000_000, 1_000_000},
		{"10,000,000 rows, sampled", 10_000_000, 100_000, 100_001},
	} {
		b.Run(c.name, func(b *testing.B) {
			tdb := startDatabase(b)
			tdb.exec(b, tdb.owner, fmt.Sprintf(`
				set statement_timeout = 0;
				create table public.visits (
					id bigint primary key, visitor uuid not null default gen_random_uuid(), page text not null check (length(page) > 0),
					seen timestamptz not null default now(), parent_id bigint
				);
				create table public.backup_visits (backup_id uuid, original_id bigint, visitor uuid, page text, seen timestamptz, parent_id bigint);
				insert into public.visits select n, md5(n::text)::uuid, '/pages/' || n %% 1000, now(), nullif(n / 2, 0) from generate_series(1, %d) n;
				alter table public.visits add foreign key (parent_id) references public.visits not valid;
				commit;
				-- An older backup, and the one that the drill restores.
				insert into public.backup_visits select '00000000-0000-4000-8000-000000000000', v.* from public.visits v limit 100000;
				insert into public.backup_visits select '%s', v.* from public.visits v;
				create index on public.backup_visits (backup_id)`, c.rows, backupID))
			for _, table := range []string{"visits", "backup_visits"} {
				tdb.exec(b, tdb.admin, "vacuum (analyze) public."+table) // or the first to read it would write
			}
			costs[c.has] = benchmarkDrill(b, tdb, c.most, c.has, backupID, drilled("public", "visits"))
		})
	}
	if half, whole := costs[500_000], costs[1_000_000]; half > 0 && whole.Seconds() > drillGrowth*half.Seconds() {
		b.Errorf("a drill of twice the rows takes %s of the processor and not %s: more than %.1f times", whole, half, drillGrowth)
	}
}

// benchmarkDrill returns the processor time of the cheapest drill.
func benchmarkDrill(b *testing.B, tdb *testDatabase, most, rows int, id string, tables ...map[string]any) time.Duration {
	tdb.fillHistory(b)
	document := settings()
	document["drill"] = drillSetting(tables...)
	document["drill"].(map[string]any)["max_rows"] = most
	document["drill"].(map[string]any)["timeout_seconds"] = 3600
	tdb.exec(b, tdb.owner, `update auto_backup.settings set document = $1`, document)
	tdb.exec(b, tdb.owner, `
		insert into auto_backup.runs (backup, schedule, trigger, due_at, attempt, state, requested_at, finished_at, backup_id)
		values ('bench', 'daily', 'schedule', now(), 1, 'succeeded', now(), now(), $1::uuid)`, id)
	tdb.exec(b, tdb.admin, "alter system set full_page_writes = on") // the stack's are off
	tdb.exec(b, tdb.admin, "select pg_reload_conf()")
	tdb.exec(b, tdb.admin, "alter role postgres set statement_timeout = 0")
	tdb.owner.Reset()
	session, err := tdb.owner.Acquire(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	defer session.Release()
	var costs, processor []time.Duration
	var wal []int
	for b.Loop() {
		tdb.exec(b, tdb.admin, "checkpoint") // then each page that is written goes into the WAL once more
		before := one[string](b, tdb.admin, "select pg_current_wal_insert_lsn()::text")
		cpu := cpuTime(b, session.Conn().PgConn().PID())
		begin := time.Now()
		var said string
		if err := session.QueryRow(b.Context(), `
			select concat_ws(' ', d ->> 'state', d ->> 'code', d ->> 'error', (select sum((t ->> 'rows')::int) from jsonb_array_elements(d -> 'tables') t))
			from auto_backup.drill('bench', 'manual') d`).Scan(&said); err != nil {
			b.Fatal(err)
		}
		costs = append(costs, time.Since(begin))
		processor = append(processor, cpuTime(b, session.Conn().PgConn().PID())-cpu)
		wal = append(wal, one[int](b, tdb.admin, "select (pg_current_wal_insert_lsn() - $1::text::pg_lsn)::bigint", before))
		if said != fmt.Sprintf("successful %d", rows) {
			b.Fatalf("the drill says %s", said)
		}
	}
	b.ReportMetric(float64(slices.Min(costs).Milliseconds()), "best-ms")
	b.ReportMetric(float64(slices.Min(wal))/1024, "wal-KiB")
	if least := slices.Min(wal); least > drillWALLimit {
		b.Errorf("a drill writes %d bytes of WAL, the limit is %d", least, drillWALLimit)
	}
	if best := slices.Min(costs); best > drillTimeLimit {
		b.Errorf("a drill takes %s, the limit is %s", best, drillTimeLimit)
	}
	return slices.Min(processor)
}
