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
)

// BenchmarkDrill measures how long a drill takes and how much WAL it writes: of the
// application's 28,000 rows, of 1,000,000 rows in one table, and of a table with
// 10,000,000 rows, of which it reads a sample. It fails where even the fastest is above
// the limits.
func BenchmarkDrill(b *testing.B) {
	b.Run("28,000 rows", func(b *testing.B) {
		tdb := startDatabaseWith(b, 20_000)
		var tables []map[string]any
		for _, table := range []string{"articles", "comments", "feedbacks"} {
			tables = append(tables, drilled("public", table))
		}
		benchmarkDrill(b, tdb, 100_000, 28_000, one[string](b, tdb.admin, `select public.backup_all_data() ->> 'backup_id'`), tables...)
	})
	for _, c := range []struct {
		name            string
		rows, most, has int
	}{
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
			benchmarkDrill(b, tdb, c.most, c.has, backupID, drilled("public", "visits"))
		})
	}
}

func benchmarkDrill(b *testing.B, tdb *testDatabase, most, rows int, id string, tables ...map[string]any) {
	document := settings()
	document["drill"] = drillSetting(tables...)
	document["drill"].(map[string]any)["max_rows"] = most
	document["drill"].(map[string]any)["timeout_seconds"] = 3600
	tdb.exec(b, tdb.owner, `insert into auto_backup.settings (backup, document, owner) values ('bench', $1, 'test')`, document)
	tdb.exec(b, tdb.owner, `
		insert into auto_backup.runs (backup, schedule, trigger, due_at, attempt, state, requested_at, finished_at, backup_id)
		values ('bench', 'daily', 'schedule', now(), 1, 'succeeded', now(), now(), $1::uuid)`, id)
	tdb.exec(b, tdb.admin, "alter system set full_page_writes = on") // the stack's are off
	tdb.exec(b, tdb.admin, "select pg_reload_conf()")
	tdb.exec(b, tdb.admin, "alter role postgres set statement_timeout = 0")
	tdb.owner.Reset()
	var costs []time.Duration
	var wal []int
	for b.Loop() {
		tdb.exec(b, tdb.admin, "checkpoint") // then each page that is written goes into the WAL once more
		before := one[string](b, tdb.admin, "select pg_current_wal_insert_lsn()::text")
		begin := time.Now()
		said := one[string](b, tdb.owner, `
			select concat_ws(' ', d ->> 'state', d ->> 'code', d ->> 'error', (select sum((t ->> 'rows')::int) from jsonb_array_elements(d -> 'tables') t))
			from auto_backup.drill('bench', 'manual') d`)
		costs = append(costs, time.Since(begin))
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
}
