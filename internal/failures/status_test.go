package failures_test

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aimindset/terraform-provider-aimindset/internal/backup"
	"github.com/aimindset/terraform-provider-aimindset/internal/postgres"
	"github.com/aimindset/terraform-provider-aimindset/internal/supabase"
)

const (
	// ledgerRuns is how many attempts the ledger holds when a status is measured.
	ledgerRuns = 10_000
	// statusLimit is how long a status may take then.
	statusLimit = 50 * time.Millisecond
)

// newLedger is a project whose backup is a year old: one attempt in a hundred
// failed, and there are a generation for each of the last hundred successes and
// a long history of ticks. Its last backup succeeded.
func newLedger(ctx context.Context, tb testing.TB) *site {
	tb.Helper()
	project, err := newProject(ctx, false)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := project.Close(); err != nil {
			tb.Error(err)
		}
	})
	s, err := newSite(ctx, project, "auto-backup", time.Now().UTC().Truncate(time.Minute))
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(s.owner.Close)
	err = guarded(func() {
		s.begin(s.defaults("0 3 * * *", backup.DefaultTimezone))
		s.sql(`
			insert into auto_backup.runs (
				backup, schedule, trigger, due_at, attempt, state, request_id, requested_at, posted_at, http_status, answered_at, finished_at,
				backup_id, records, code, logged_by, alert_state)
			select 'auto-backup', 'daily', 'schedule', at, 1, case when failed then 'failed' else 'succeeded' end, n, at, at, 202, at, at + interval '3 s',
				case when not failed then gen_random_uuid() end, 321, case when failed then 'backup_failed' end, 'function', case when failed then 'delivered' end
			from generate_series(1, $1) n, lateral (select $2::timestamptz - n * interval '50 minutes', n % 100 = 0) t (at, failed)`, ledgerRuns, s.due)
		s.sql(`
			insert into auto_backup.incidents (
				backup, kind, schedule, due_at, run_id, code, opened_at, alert_state, alerted_by, alerted_at, recovered_at, recovered_by)
			select backup, 'failed', schedule, due_at, run_id, code, finished_at, 'delivered', 'function', finished_at, finished_at, run_id
			from auto_backup.runs where state = 'failed'`)
		s.sql(`
			insert into public.backup_articles (backup_id, original_id, title, excerpt, content, published, slug, created_at, updated_at, backup_created_at)
			select r.backup_id, a.id, a.title, a.excerpt, a.content, true, a.slug, a.created_at, a.updated_at, r.finished_at
			from (select * from auto_backup.runs where state = 'succeeded' order by finished_at desc limit 100) r, public.articles a`)
		s.sql(`
			insert into public.backup_logs (id, action_type, created_at, records_affected, details, success)
			select run_id, 'auto_backup', posted_at, 321, 'Backup automático ID: x', state = 'succeeded' from auto_backup.runs`)
		s.sql(`
			insert into cron.job_run_details (jobid, runid, database, username, command, status, start_time, end_time)
			select j.jobid, nextval('cron.runid_seq'), 'postgres', 'postgres', j.command, 'succeeded', $1::timestamptz - n * interval '1 minute', $1::timestamptz
			from generate_series(1, $2) n, cron.job j where j.jobname = $3`, s.due, 2*ledgerRuns, s.name.Job(backup.WatchdogKey))
		s.must(s.watch(time.Now()))
		s.sql(`analyze`)
	})
	if err != nil {
		tb.Fatal(err)
	}
	return s
}

// counted counts what is asked of a database.
type counted struct {
	postgres.DB
	statements []string
}

func (c *counted) Query(ctx context.Context, access postgres.Access, sql string, args ...any) (json.RawMessage, error) {
	c.statements = append(c.statements, fmt.Sprint(access == postgres.ReadOnly, " ", sql))
	return c.DB.Query(ctx, access, sql, args...)
}

func (c *counted) Exec(ctx context.Context, script string) error {
	c.statements = append(c.statements, script)
	return c.DB.Exec(ctx, script)
}

// readers are the two ways in which somebody who may only read asks.
func (s *site) readers(tb testing.TB) map[string]postgres.DB {
	tb.Helper()
	direct, err := postgres.Open(s.stack.ReadOnlyDatabaseURL)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := direct.Close(context.WithoutCancel(s.ctx)); err != nil {
			tb.Error(err)
		}
	})
	return map[string]postgres.DB{"connection": direct, "Management_API": postgres.OverAPI(endpoint{s.reader(tb), s.service.Ref})}
}

// reader is a client whose token may only read.
func (s *site) reader(tb testing.TB) *supabase.Client {
	tb.Helper()
	client, err := supabase.New(supabase.Config{BaseURL: s.stack.APIURL, Token: s.stack.ReadOnlyAccessToken, UserAgent: "reader"})
	if err != nil {
		tb.Fatal(err)
	}
	return client
}

// TestStatusCost proves that a status costs one SQL statement, which may only
// read, and two reads of the Management API, however long the history is, and
// that nothing of the history is lost on the way.
func TestStatusCost(t *testing.T) {
	t.Parallel()
	s := newLedger(t.Context(), t)
	for name, db := range s.readers(t) {
		t.Run(name, func(t *testing.T) {
			database := &counted{DB: db}
			before := len(s.stack.APICalls())
			status, err := backup.NewService(s.service.Ref, s.reader(t), database).Status(t.Context(), backup.StatusQuery{Name: s.name, History: 150})
			if err != nil {
				t.Fatal(err)
			}
			if status.Condition != backup.ConditionHealthy || len(status.Problems) > 0 {
				t.Errorf("the backup is %s: %+v", status.Condition, status.Problems)
			}
			if g := status.Generations; g == nil || g.Count != 100 || g.Bytes < 100_000 || len(g.Tables) != 3 || g.NewestID != status.LastSuccess.BackupID {
				t.Errorf("the generations are %+v", g)
			}
			if h := status.History; len(h) != 150 || h[0].RunID != status.LastRun.RunID || h[99].State != "failed" || !h[99].RequestedAt.After(h[100].RequestedAt) {
				t.Errorf("the history has %d entries", len(h))
			}
			if len(database.statements) != 1 || !strings.HasPrefix(database.statements[0], "true ") {
				t.Errorf("%d statements were sent", len(database.statements))
			}
			var reads []string
			for _, call := range s.stack.APICalls()[before:] {
				if !strings.Contains(call.Path, "/database/query") {
					reads = append(reads, call.Method+" "+call.Path)
				}
			}
			slices.Sort(reads)
			if got := strings.Join(reads, ", "); got != "GET /v1/projects/{ref}/functions, GET /v1/projects/{ref}/secrets" {
				t.Errorf("the API was asked %s", got)
			}
		})
	}
}

// BenchmarkStatus measures a whole status with 10,000 attempts in the ledger. It
// fails where the median is above the limit.
func BenchmarkStatus(b *testing.B) {
	s := newLedger(b.Context(), b)
	client := s.reader(b)
	for name, db := range s.readers(b) {
		b.Run("10,000_runs,_over_"+name, func(b *testing.B) {
			var times []time.Duration
			for b.Loop() {
				// Nothing is remembered of the last one.
				service := backup.NewService(s.service.Ref, client, db)
				begin := time.Now()
				if _, err := service.Status(b.Context(), backup.StatusQuery{Name: s.name, History: 10}); err != nil {
					b.Fatal(err)
				}
				times = append(times, time.Since(begin))
			}
			slices.Sort(times)
			median := times[len(times)/2]
			b.ReportMetric(float64(median.Microseconds())/1000, "p50-ms")
			if median > statusLimit {
				b.Errorf("half of the statuses took %s or more, the limit is %s", median, statusLimit)
			}
		})
	}
}
