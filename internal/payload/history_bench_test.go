package payload_test

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// historyGrowth is how many times as much of the processor a call may take with 10,000 runs
// as with 100.
const historyGrowth = 2

// BenchmarkRunHistory measures how the processor time of a tick grows with the run history
// and the logs: of dispatch, and of watch with nothing to do, each in a new session. It fails
// where it grows with the runs.
func BenchmarkRunHistory(b *testing.B) {
	tdb := startDatabase(b)
	tdb.fillHistory(b)
	at := moment(b, "2 06:00")
	costs := map[string]time.Duration{} // the cheapest quarter's, of the full history
	for _, runs := range []string{"10,000", "100"} {
		if runs == "100" {
			tdb.exec(b, tdb.owner, `delete from auto_backup.incidents`)
			tdb.exec(b, tdb.owner, `
				delete from auto_backup.runs where run_id not in (select run_id from auto_backup.runs where finished_at is not null order by due_at desc limit 100)`)
			for _, table := range []string{"public.backup_logs", "public.system_logs"} {
				tdb.exec(b, tdb.admin, "delete from "+table+" where created_at < (select min(posted_at) from auto_backup.runs)")
			}
			tdb.exec(b, tdb.admin, `delete from net._http_response where id > 100`)
			tdb.exec(b, tdb.admin, "vacuum (analyze)")
		}
		for what, call := range map[string]struct {
			sql  string
			step time.Duration
		}{
			"watch, idle": {"select auto_backup.watch('bench', $1)", time.Millisecond},
			"dispatch":    {"select auto_backup.dispatch('bench', 'daily', $1)", 24 * time.Hour},
		} {
			b.Run(fmt.Sprintf("%s, %s runs", what, runs), func(b *testing.B) {
				var processor []time.Duration
				for n := time.Duration(1); b.Loop(); n++ {
					processor = append(processor, tdb.inNewSession(b, call.sql, at.Add(n*call.step)))
					// The next call finds no more than this one did.
					tdb.exec(b, tdb.owner, `delete from auto_backup.runs where finished_at is null`)
				}
				slices.Sort(processor)
				b.ReportMetric(float64(processor[len(processor)/2].Microseconds())/1000, "cpu-ms")
				cost := processor[len(processor)/4]
				if runs == "100" {
					if full := costs[what]; full > historyGrowth*cost {
						b.Errorf("it takes %s of the processor, and %s with 10,000 runs", cost, full)
					}
				}
				costs[what] = cost
			})
		}
	}
}

// inNewSession returns the processor time of a call, without that of the connection.
func (tdb *testDatabase) inNewSession(b *testing.B, call string, at time.Time) time.Duration {
	b.Helper()
	ctx := context.Background()
	conn, err := pgx.Connect(ctx, tdb.stack.DatabaseURL)
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = conn.Close(ctx) }()
	before := cpuTime(b, conn.PgConn().PID())
	if _, err := conn.Exec(ctx, call, pgx.QueryExecModeSimpleProtocol, at); err != nil {
		b.Fatal(err)
	}
	return cpuTime(b, conn.PgConn().PID()) - before
}
