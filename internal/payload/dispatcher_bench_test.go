package payload_test

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// The run history of these benchmarks: a run a day would take 27 years to get there.
const benchmarkRuns = 10_000

// BenchmarkDispatcherSQL measures dispatch and watch with a full run history and full
// logs, in a session that has called them before and, as pg_cron does, in a new
// one, where most of the time goes into filling the session's caches. It fails
// where even the cheapest quarter of the calls takes more of the processor than the
// limit: the rest tells more about what else the machine does.
func BenchmarkDispatcherSQL(b *testing.B) {
	tdb := startDatabase(b)
	ctx := context.Background()
	tdb.fillHistory(b)
	at := moment(b, "2 06:00")

	type call struct {
		name string
		sql  string
		args func(n int) []any
		// What a call may cost in a warm session and in a new one.
		warm, cold time.Duration
		outside    bool // whether there are copies outside the project, and channels
	}
	started := 0
	calls := []call{
		{"watch, idle", `select auto_backup.watch('bench', $1)`, func(n int) []any { return []any{at.Add(time.Duration(n) * time.Millisecond)} }, 5 * time.Millisecond, 10 * time.Millisecond, false},
		{"watch, idle, with copies and channels", `select auto_backup.watch('bench', $1)`, func(n int) []any { return []any{at.Add(time.Duration(n) * time.Millisecond)} }, 5 * time.Millisecond, 10 * time.Millisecond, true},
		{"watch, a run under way", `select auto_backup.watch('bench', $1)`, func(n int) []any {
			if n == 0 {
				// Many rows of the logs are newer than the request, as in a busy application.
				tdb.exec(b, tdb.owner, `
					insert into auto_backup.runs (run_id, backup, schedule, trigger, due_at, attempt, state, request_id, requested_at, posted_at)
					values ($1::uuid, 'bench', 'daily', 'manual', $2, 1, 'running', 1, $2, '2020-01-01') on conflict do nothing`, backupID, at)
			}
			return []any{at.Add(time.Duration(n) * time.Millisecond)}
		}, 10 * time.Millisecond, 30 * time.Millisecond, false},
		// Each starts a run, with its signed request.
		{"dispatch", `select auto_backup.dispatch('bench', 'daily', $1)`, func(int) []any {
			started++
			return []any{at.AddDate(0, 0, started)}
		}, 10 * time.Millisecond, 30 * time.Millisecond, false},
	}
	measure := func(b *testing.B, limit time.Duration, conn func() *pgx.Conn, c call) {
		var costs, processor []time.Duration
		for n := 0; b.Loop(); n++ {
			b.StopTimer()
			on := conn()
			before := cpuTime(b, on.PgConn().PID())
			begin := time.Now()
			b.StartTimer()
			if _, err := on.Exec(ctx, c.sql, append([]any{pgx.QueryExecModeSimpleProtocol}, c.args(n)...)...); err != nil {
				b.Fatal(err)
			}
			costs = append(costs, time.Since(begin))
			processor = append(processor, cpuTime(b, on.PgConn().PID())-before)
		}
		slices.Sort(costs)
		slices.Sort(processor)
		for _, p := range []int{25, 50, 95} {
			b.ReportMetric(float64(costs[len(costs)*p/100].Microseconds())/1000, fmt.Sprintf("p%d-ms", p))
		}
		cost := processor[len(processor)/4]
		b.ReportMetric(float64(cost.Microseconds())/1000, "p25-cpu-ms")
		if cost > limit {
			b.Errorf("a quarter of the calls took %s of the processor or less, the limit is %s", cost, limit)
		}
	}
	connect := func(b *testing.B) *pgx.Conn {
		conn, err := pgx.Connect(ctx, tdb.stack.DatabaseURL)
		if err != nil {
			b.Fatal(err)
		}
		return conn
	}
	for _, c := range calls {
		if c.outside {
			tdb.goOutside(b)
		}
		b.Run(c.name+", warm session", func(b *testing.B) {
			conn := connect(b)
			defer func() { _ = conn.Close(ctx) }()
			measure(b, c.warm, func() *pgx.Conn { return conn }, c)
		})
		b.Run(c.name+", new session", func(b *testing.B) {
			var conn *pgx.Conn
			measure(b, c.cold, func() *pgx.Conn {
				if conn != nil {
					_ = conn.Close(ctx)
				}
				conn = connect(b)
				return conn
			}, c)
			_ = conn.Close(ctx)
		})
		if c.outside {
			tdb.comeBack(b)
		}
	}
	if got := one[int](b, tdb.owner, `select count(*) from auto_backup.runs where state = 'requested'`); got != started {
		b.Errorf("%d dispatches have started %d runs", started, got)
	}
}

// fillHistory installs the backup "bench" with a full run history and full logs, until
// the minute before a due time.
func (tdb *testDatabase) fillHistory(b *testing.B) {
	b.Helper()
	tdb.exec(b, tdb.owner, `select vault.create_secret($1, 'bench/token'), vault.create_secret($1, 'bench/alert-key')`, token)
	document := settings()
	document["drill"] = drillSetting(drilled("public", "articles"))
	tdb.exec(b, tdb.owner, `
		insert into auto_backup.settings (backup, document, owner, created_at, updated_at) values ('bench', $1, 'test', '2025-03-01', '2025-03-01')`, document)
	// Every week, as by default.
	tdb.exec(b, tdb.owner, `
		insert into auto_backup.drills (backup, trigger, state, due_at, started_at, finished_at)
		select 'bench', 'schedule', 'successful', at, at, at
		from generate_series(0, 50) n, lateral (select timestamptz '2026-03-01 07:30Z' - n * interval '7 days') t (at)`)
	// Every 50 minutes for the last 350 days; one in a hundred has failed.
	tdb.exec(b, tdb.owner, `
		insert into auto_backup.runs (
			backup, schedule, trigger, due_at, attempt, state, request_id, requested_at, posted_at, http_status, answered_at, finished_at,
			records, code, logged_by, alert_state)
		select 'bench', 'daily', 'schedule', at, 1, case when n % 100 = 0 then 'failed' else 'succeeded' end, n, at, at, 202, at, at,
			321, case when n % 100 = 0 then 'backup_failed' end, 'function', case when n % 100 = 0 then 'delivered' end
		from generate_series(1, $1) n, lateral (select timestamptz '2026-03-02 05:59Z' - n * interval '50 minutes') t (at)`, benchmarkRuns)
	tdb.exec(b, tdb.owner, `
		insert into auto_backup.incidents (
			backup, kind, schedule, due_at, run_id, code, opened_at, alert_state, alerted_by, alerted_at, recovered_at, recovered_by)
		select backup, 'failed', schedule, due_at, run_id, code, finished_at, 'delivered', 'function', finished_at, finished_at, run_id
		from auto_backup.runs where state = 'failed'`)
	tdb.exec(b, tdb.owner, `
		insert into public.backup_logs (id, action_type, created_at, records_affected, details, success)
		select run_id, 'auto_backup', posted_at, 321, 'Backup automático ID: x', state = 'succeeded' from auto_backup.runs where backup = 'bench'`)
	tdb.exec(b, tdb.owner, `
		insert into public.system_logs (type, message, context, created_at)
		select 'auto_backup', 'm', jsonb_build_object('run_id', run_id), posted_at from auto_backup.runs where backup = 'bench'`)
	tdb.exec(b, tdb.admin, `
		insert into net._http_response (id, status_code, content, created)
		select n, 200, '{}', now() - n * interval '2 seconds' from generate_series(1, 10000) n`)
	tdb.exec(b, tdb.admin, `analyze`)
}

// goOutside gives the backup "bench" two destinations outside the project and three channels,
// which have got everything that there is.
func (tdb *testDatabase) goOutside(b *testing.B) {
	b.Helper()
	tdb.exec(b, tdb.owner, `update auto_backup.runs set backup_id = run_id where state = 'succeeded'`)
	document := map[string]any{
		"heartbeat": map[string]any{"form": "healthchecks", "language": "en"},
		"webhooks":  map[string]any{"ops": webhook("slack"), "audit": webhook("generic", "failed", "recovered")},
	}
	copying([]map[string]any{drilled("public", "articles")}, map[string]map[string]any{
		"r2": destination(), "weeks": destination(every("weekly"), func(d map[string]any) { d["bucket"] = "weekly" }),
	})(document)
	tdb.exec(b, tdb.owner, `update auto_backup.settings set document = document || $1::jsonb where backup = 'bench'`, document)
	for _, statement := range []string{
		`insert into auto_backup.exports (
			backup, destination, address, run_id, backup_id, made_at, state, stage, path, sequence, opened_at, calls, next_at, rows, raw_bytes, bytes, completed_at)
		select r.backup, d.key, auto_backup.export_address(d.value), r.run_id, r.backup_id, r.requested_at, 'complete', 'manifest', 'p/', 1, r.finished_at, 1, r.finished_at, 321, 65536, 8192, r.finished_at
		from auto_backup.settings s
		cross join jsonb_each(s.document #> '{offsite,destinations}') d
		inner join auto_backup.runs r on r.backup = s.backup and r.state = 'succeeded'
		where d.key = 'r2' or not exists (
			select from auto_backup.runs e
			where e.backup = r.backup and e.state = 'succeeded' and e.requested_at < r.requested_at
			and date_trunc('week', e.requested_at at time zone 'America/Sao_Paulo') = date_trunc('week', r.requested_at at time zone 'America/Sao_Paulo')
		)`,
		`insert into auto_backup.export_checks (backup, destination, address, state, started_at, finished_at, since, next_at)
		select s.backup, d.key, auto_backup.export_address(d.value), 'passed', at, at, at - interval '30 days', at
		from auto_backup.settings s
		cross join jsonb_each(s.document #> '{offsite,destinations}') d
		cross join generate_series(timestamptz '2026-03-01 12:00Z' - interval '50 weeks', timestamptz '2026-03-01 12:00Z', '7 days') at`,
		`insert into auto_backup.channels (backup, channel, event, since)
		select 'bench', c.channel, c.event, '2025-03-01'
		from (
			select 'heartbeat' as channel, unnest('{start,success,fail}'::text[]) as event
			union all
			select 'webhook/' || w.key, jsonb_array_elements_text(w.value -> 'events')
			from auto_backup.settings s cross join jsonb_each(s.document -> 'webhooks') w
		) c`,
		`insert into auto_backup.notices (backup, channel, event, run_id, incident_id, happened_at, state, attempts, next_at, request_id, posted_at, requested_at, http_status, finished_at)
		select 'bench', n.channel, n.event, n.run_id, n.incident_id, n.at, 'delivered', 1, n.at, 1, n.at, n.at, 200, n.at
		from (
			select 'heartbeat' as channel, e.event, r.run_id, null::bigint as incident_id, r.finished_at as at
			from auto_backup.runs r
			cross join lateral (values ('start'), (case r.state when 'succeeded' then 'success' else 'fail' end)) e (event)
			union all
			select c.channel, e.event, i.run_id, i.incident_id, i.opened_at
			from auto_backup.incidents i
			cross join (values ('webhook/ops'), ('webhook/audit')) c (channel)
			cross join (values ('failed'), ('recovered')) e (event)
		) n`,
	} {
		tdb.exec(b, tdb.owner, statement)
	}
	// Or the first tick would clear away what the update has left.
	tdb.exec(b, tdb.admin, `vacuum (analyze)`)
}

// comeBack undoes goOutside.
func (tdb *testDatabase) comeBack(b *testing.B) {
	b.Helper()
	tdb.exec(b, tdb.owner, `
		update auto_backup.settings set document = document - '{offsite,heartbeat,webhooks}'::text[];
		truncate auto_backup.exports, auto_backup.export_objects, auto_backup.frozen, auto_backup.export_checks, auto_backup.channels, auto_backup.notices`)
	tdb.exec(b, tdb.admin, `analyze`)
}

// The limits of an idle watchdog for a day, which are several times what it takes. The
// WAL has an image of each page that is changed, once after each checkpoint.
const (
	idleDayLimit    = 10 * time.Second // CPU time of the server
	idleDayWALLimit = 8 << 20          // bytes
)

// BenchmarkIdleDayCPU measures what the watchdog costs on a day without anything to do: 144
// ticks, each in a session of its own, as pg_cron makes them, with a checkpoint every hour.
// What pg_cron itself writes is not in it.
func BenchmarkIdleDayCPU(b *testing.B) { benchmarkIdleDay(b, false) }

// BenchmarkIdleDayOutsideCPU measures the same of a backup with copies outside the project
// and channels, of which all is copied and told.
func BenchmarkIdleDayOutsideCPU(b *testing.B) { benchmarkIdleDay(b, true) }

func benchmarkIdleDay(b *testing.B, outside bool) {
	b.Helper()
	tdb := startDatabase(b)
	ctx := context.Background()
	tdb.fillHistory(b)
	tdb.exec(b, tdb.admin, "alter system set full_page_writes = on") // the stack's are off
	tdb.exec(b, tdb.admin, "select pg_reload_conf()")
	tdb.exec(b, tdb.owner, `
		insert into auto_backup.runs (backup, schedule, trigger, due_at, attempt, state, requested_at, finished_at, records)
		values ('bench', 'daily', 'schedule', $1, 1, 'succeeded', $1, $1, 321)`, moment(b, "2 06:00"))
	if outside {
		tdb.goOutside(b)
	}
	var cpu time.Duration
	var wal int64
	days := 0
	for b.Loop() {
		days++
		for n := range 144 {
			if n%6 == 0 {
				tdb.exec(b, tdb.admin, "checkpoint")
			}
			before := one[string](b, tdb.admin, "select pg_current_wal_insert_lsn()::text")
			conn, err := pgx.Connect(ctx, tdb.stack.DatabaseURL)
			if err != nil {
				b.Fatal(err)
			}
			at := moment(b, "2 06:02").Add(time.Duration(n) * 10 * time.Minute)
			var summary string
			if err := conn.QueryRow(ctx, `select auto_backup.watch('bench', $1)::text`, at).Scan(&summary); err != nil {
				b.Fatal(err)
			}
			if slices.ContainsFunc([]string{"problems", "collect", "catch_up", "offsite", "notify"}, func(step string) bool { return strings.Contains(summary, step) }) {
				b.Fatalf("the watchdog is not idle at %s: %s", at, summary)
			}
			cpu += cpuTime(b, conn.PgConn().PID())
			if err := conn.Close(ctx); err != nil {
				b.Fatal(err)
			}
			wal += one[int64](b, tdb.admin, "select (pg_current_wal_insert_lsn() - $1::text::pg_lsn)::bigint", before)
		}
	}
	cpu /= time.Duration(days)
	wal /= int64(days)
	b.ReportMetric(float64(cpu.Milliseconds()), "cpu-ms")
	b.ReportMetric(float64(wal)/1024, "wal-KiB")
	if cpu > idleDayLimit {
		b.Errorf("a day of the idle watchdog takes %s of CPU, the limit is %s", cpu, idleDayLimit)
	}
	if wal > idleDayWALLimit {
		b.Errorf("a day of the idle watchdog writes %d bytes of WAL, the limit is %d", wal, idleDayWALLimit)
	}
}

// cpuTime is the CPU time that a process has taken.
func cpuTime(b *testing.B, pid uint32) time.Duration {
	b.Helper()
	// The first number of schedstat are nanoseconds; stat has hundredths of a second.
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/schedstat", pid))
	if err != nil {
		b.Fatal(err)
	}
	nanoseconds, err := strconv.ParseInt(strings.Fields(string(text))[0], 10, 64)
	if err != nil {
		b.Fatal(err)
	}
	return time.Duration(nanoseconds)
}
