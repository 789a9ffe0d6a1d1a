package payload_test

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"
)

// The limits of the database's part of a copy, which are several times what it takes. Its
// WAL is the ledger's; the rows that are frozen are in a table without a WAL.
const (
	exportLimit    = time.Minute // CPU time for a million rows
	exportWALLimit = 16 << 20    // bytes
	// exportGrowth is how much more twice the rows may take, on a machine that does other
	// things, too.
	exportGrowth = 3.0
)

// BenchmarkExport measures what an off-site copy takes of the database: the rows of a
// table that is read by its key, and the rows of one without a key, which are frozen and
// then read. Both are measured with half of the rows and with all, to show that they grow
// with them, and with 10,000 runs in the run history. It fails above the limits.
func BenchmarkExport(b *testing.B) {
	for _, c := range []struct {
		name, key string
		rows      int
	}{{"by key", "primary key", 1_000_000}, {"frozen", "", 500_000}} {
		b.Run(c.name, func(b *testing.B) {
			tdb := startDatabase(b)
			tdb.fillHistory(b)
			tdb.exec(b, tdb.admin, "alter system set full_page_writes = on") // the stack's are off
			tdb.exec(b, tdb.admin, "select pg_reload_conf()")
			tdb.exec(b, tdb.admin, "alter role postgres set statement_timeout = 0")
			tdb.owner.Reset()
			document := settings()
			copying([]map[string]any{drilled("public", "visits")}, map[string]map[string]any{"r2": destination()})(document)
			tdb.exec(b, tdb.owner, `update auto_backup.settings set document = $1`, document)
			tdb.exec(b, tdb.owner, fmt.Sprintf(`create table public.backup_visits (id bigint generated always as identity %s, backup_id uuid, visitor uuid, page text, seen timestamptz)`, c.key))
			costs := map[int]time.Duration{}
			for _, rows := range []int{c.rows / 2, c.rows} {
				tdb.exec(b, tdb.owner, `
					insert into public.backup_visits (backup_id, visitor, page, seen)
					select $1::uuid, md5(n::text)::uuid, '/pages/' || n % 1000, now() from generate_series(1, $2 / 2) n`, backupID, c.rows)
				tdb.exec(b, tdb.admin, "vacuum (analyze) public.backup_visits") // or the first to read it would write
				b.Run(fmt.Sprintf("%d rows", rows), func(b *testing.B) {
					for n := 0; b.Loop(); n++ {
						cost := tdb.benchmarkExport(b, rows, moment(b, "2 06:30").Add(time.Duration(rows+n)*time.Hour/100))
						if best, ok := costs[rows]; !ok || cost < best {
							costs[rows] = cost
						}
					}
					b.ReportMetric(float64(costs[rows].Milliseconds()), "cpu-ms")
					if costs[rows] > exportLimit {
						b.Errorf("a copy of %d rows takes %s of the database's CPU, the limit is %s", rows, costs[rows], exportLimit)
					}
				})
			}
			if half, whole := costs[c.rows/2], costs[c.rows]; half > 0 && whole.Seconds() > exportGrowth*half.Seconds() {
				b.Errorf("a copy of twice the rows takes %s and not %s: more than %.1f times", whole, half, exportGrowth)
			}
		})
	}
}

// benchmarkExport plays the function that reads the rows of a new backup, and returns the
// CPU time of its session.
func (tdb *testDatabase) benchmarkExport(b *testing.B, rows int, at time.Time) time.Duration {
	b.Helper()
	b.StopTimer()
	// The newest backup is copied. All have the same rows.
	tdb.exec(b, tdb.owner, `
		insert into auto_backup.runs (backup, schedule, trigger, due_at, attempt, state, requested_at, finished_at, backup_id)
		values ('bench', 'daily', 'schedule', $1, 1, 'succeeded', $1, $1, $2::uuid)`, at, backupID)
	tdb.exec(b, tdb.owner, `select auto_backup.offsite('bench', $1)`, at)
	export := one[int64](b, tdb.owner, `select export_id from auto_backup.exports where backup = 'bench' and state = 'open'`)
	session, err := tdb.owner.Acquire(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	defer session.Release()
	worker := newUUID()
	tdb.exec(b, tdb.admin, "checkpoint") // then each page that is written goes into the WAL once more
	wal := one[string](b, tdb.admin, "select pg_current_wal_insert_lsn()::text")
	before := cpuTime(b, session.Conn().PgConn().PID())
	b.StartTimer()
	var claimed work
	ask := func(call string) []byte {
		var answer []byte
		if err := session.QueryRow(b.Context(), `select auto_backup.`+call+`($1, $2::uuid, $3)::text`, export, worker, at).Scan(&answer); err != nil {
			b.Fatal(err)
		}
		return answer
	}
	if err := json.Unmarshal(ask("export_claim"), &claimed); err != nil || claimed.Skip != "" {
		b.Fatalf("%+v, %v", claimed, err)
	}
	if claimed.Stage == "freeze" {
		ask("export_freeze")
	}
	read, last, more := 0, "", true
	for more {
		lines, err := session.Query(b.Context(), `select * from auto_backup.export_page($1, $2::uuid, 1, $3, $4)`, export, worker, last, at)
		if err != nil {
			b.Fatal(err)
		}
		var header struct {
			Rows int
			Last string
			More bool
		}
		for n := 0; lines.Next(); n++ {
			if n > 0 {
				continue
			}
			if err := json.Unmarshal(lines.RawValues()[0], &header); err != nil {
				b.Fatal(err)
			}
		}
		if lines.Err() != nil || header.Rows == 0 {
			b.Fatalf("after %q: %+v, %v", last, header, lines.Err())
		}
		read, last, more = read+header.Rows, header.Last, header.More
	}
	b.StopTimer()
	cost := cpuTime(b, session.Conn().PgConn().PID()) - before
	written := one[int64](b, tdb.admin, "select (pg_current_wal_insert_lsn() - $1::text::pg_lsn)::bigint", wal)
	b.ReportMetric(float64(written)/1024, "wal-KiB")
	b.ReportMetric(float64(one[int64](b, tdb.owner, `select pg_total_relation_size('auto_backup.frozen')`))/1024, "frozen-KiB")
	if read != rows {
		b.Fatalf("%d of %d rows were read", read, rows)
	}
	if written > exportWALLimit {
		b.Errorf("a copy of %d rows writes %d bytes of WAL, the limit is %d", rows, written, exportWALLimit)
	}
	// What is over leaves room for the next one.
	tdb.exec(b, tdb.owner, `select auto_backup.export_end($1, '{"code": "offsite_rows_gone"}', $2)`, export, at)
	tdb.exec(b, tdb.owner, `delete from auto_backup.frozen`)
	tdb.exec(b, tdb.admin, `vacuum auto_backup.frozen`)
	b.StartTimer()
	return cost
}
