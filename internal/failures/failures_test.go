// Package failures_test makes a backup fail in every known way, on the local stack,
// and shows what each failure leaves behind: the table of the guide
// docs/guides/failures.md.
package failures_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aimindset/terraform-provider-aimindset/internal/backup"
	"github.com/aimindset/terraform-provider-aimindset/internal/codes"
	"github.com/aimindset/terraform-provider-aimindset/internal/stack"
	"github.com/aimindset/terraform-provider-aimindset/internal/supabase"
)

var (
	out    = flag.String("failures.out", "", "write the guide to this file instead of comparing it")
	only   = flag.String("failures.only", "", "run only the rows whose cause contains this text")
	timing = flag.Bool("failures.timing", false, "log how long each row takes")
)

const guide = "../../docs/guides/failures.md"

// sites is the number of projects that the rows share.
const sites = 3

// result is the result of a row.
type result struct {
	seen    outcome
	status  string
	summary string
	wrong   []string
	took    time.Duration
}

// TestFailures proves for every known cause of failure, on a real PostgreSQL and with
// the function in a real Deno: which rows it leaves; that none of them reports a
// success that did not happen; that every incident is alerted exactly once, or that it
// is recorded that it was not; that the status names the cause while it persists, also
// to a read-only user; and that once the cause is gone a backup succeeds, is healthy
// without a problem, and ends the incident without another mail. It also proves that
// the guide shows exactly this.
func TestFailures(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	table := rows()
	results := make([]result, len(table))
	chosen := func(r row) bool { return strings.Contains(r.cause, *only) }

	var work sync.WaitGroup
	// Rows that only wait come first, so that the others use the time.
	queue := make(chan int, len(table))
	for _, slow := range []bool{true, false} {
		for i, r := range table {
			if r.clock == "" && r.slow == slow && chosen(r) {
				queue <- i
			}
		}
	}
	close(queue)
	for _, c := range []clock{ticking, cannotTick, standing} {
		var together []int
		for i, r := range table {
			if r.clock == c && chosen(r) {
				together = append(together, i)
			}
		}
		if len(together) == 0 {
			continue
		}
		work.Go(func() {
			if err := onTheClock(ctx, c, table, together, results); err != nil {
				for _, i := range together {
					results[i].wrong = append(results[i].wrong, err.Error())
				}
			}
		})
	}
	for range min(sites, len(queue)) {
		work.Go(func() {
			err := onProject(ctx, false, func(project *stack.Stack) error {
				s, err := newSite(ctx, project, "auto-backup", time.Date(2026, 3, 2, 6, 0, 0, 0, time.UTC))
				if err != nil {
					return err
				}
				defer s.owner.Close()
				for i := range queue {
					results[i] = table[i].run(s, func() { s.begin(s.wants(table[i], "0 3 * * *", backup.DefaultTimezone)) }, func() error { return s.tick(s.due) })
				}
				return nil
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
	work.Wait()

	for i, r := range table {
		if !chosen(r) {
			continue
		}
		t.Run(fmt.Sprintf("%d %s", i+1, r.cause), func(t *testing.T) {
			got := results[i]
			if got.seen != r.wanted {
				t.Errorf("left are\n\t%q\n\t%q\n\t%q\nwanted\n\t%q\n\t%q\n\t%q", got.seen.runs, got.seen.rows, got.seen.alert, r.wanted.runs, r.wanted.rows, r.wanted.alert)
			}
			if got.status != r.status {
				t.Errorf("the status is\n\t%s\n\t%s\nwanted\n\t%s", got.status, got.summary, r.status)
			}
			for _, wrong := range got.wrong {
				t.Error(wrong)
			}
			if *timing {
				t.Logf("%.1f s; %s", got.took.Seconds(), got.summary)
			}
		})
	}
	if *only != "" {
		return
	}
	text := render(table, results)
	if *out != "" {
		if err := os.WriteFile(*out, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	stands, err := os.ReadFile(guide)
	if err != nil || string(stands) != text {
		t.Errorf("docs/guides/failures.md does not show what the rows left (%v); \"make failures\" writes it", err)
	}
}

// TestRemedies proves, without bringing a cause about, that the guide's last
// column is what codes.json says, that a row says itself only what codes.json
// does not, and that what it is about is one of its problems.
func TestRemedies(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(guide)
	if err != nil {
		t.Fatal(err)
	}
	known := map[string]bool{}
	for _, code := range codes.All() {
		known[code.Remedy] = true
		for _, said := range code.SQLStates {
			known[said.Remedy] = true
		}
	}
	for i, r := range rows() {
		_, line, _ := strings.Cut(string(text), fmt.Sprintf("\n| %d | %s | ", i+1, r.cause))
		if line, _, _ = strings.Cut(line, "\n"); !strings.HasSuffix(line, " | "+r.remedy()+" |") {
			t.Errorf("docs/guides/failures.md does not say of %q: %s \"make failures\" writes it", r.cause, r.remedy())
		}
		if known[r.todo] {
			t.Errorf("%s: codes.json says %q already", r.cause, r.todo)
		}
		if !strings.Contains(r.status, "`"+r.about+"`") && r.about != "" {
			t.Errorf("%s: it is about %s, which is not in its status %s", r.cause, r.about, r.status)
		}
		if r.todo == "" && r.about == "" && r.status == "`healthy`" {
			t.Errorf("%s: nothing says what to do", r.cause)
		}
	}
}

// onProject runs something in a project of its own.
func onProject(ctx context.Context, ticks bool, do func(*stack.Stack) error) error {
	project, err := newProject(ctx, ticks)
	if err != nil {
		return err
	}
	return errors.Join(do(project), project.Close())
}

// wants is what the backup of a row is.
func (s *site) wants(r row, cron, timezone string) backup.Settings {
	settings := s.defaults(cron, timezone)
	if r.settings != nil {
		r.settings(&settings)
	}
	return settings
}

// onTheClock runs rows whose tick is the real pg_cron's: all at the same minute,
// each on a backup of its own.
func onTheClock(ctx context.Context, c clock, table []row, together []int, results []result) error {
	return onProject(ctx, c != cannotTick, func(project *stack.Stack) error {
		var all []*site
		for n := range together {
			s, err := newSite(ctx, project, backup.Name(fmt.Sprintf("backup-%c", 'a'+n)), time.Time{})
			if err != nil {
				return err
			}
			defer s.owner.Close()
			all = append(all, s)
		}
		// The tick is that of the next minute for which everything is installed in
		// time, which takes a slow machine longer.
		var due time.Time
		for lead := 20 * time.Second; !time.Now().Before(due.Add(-time.Second)); lead *= 2 {
			due = time.Now().UTC().Add(lead).Truncate(time.Minute).Add(time.Minute)
			cron := fmt.Sprintf("%d %d * * *", due.Minute(), due.Hour())
			for n, i := range together {
				s := all[n]
				err := stack.Steps(func() {
					if s.due != (time.Time{}) {
						s.settle() // it may have ticked
					}
					s.due = due
					s.begin(s.wants(table[i], cron, "UTC"))
				})
				if err != nil {
					return err
				}
			}
		}
		var work sync.WaitGroup
		for n, i := range together {
			s := all[n]
			work.Go(func() {
				s.ticks = true
				results[i] = table[i].run(s, func() {
					// The watchdog looks when the row says so.
					s.watchdogTicks(false)
				}, func() error {
					s.until(due)
					s.await("pg_cron's tick", func() bool {
						return s.holds(`count(*) = count(*) filter (where d.status in ('succeeded', 'failed'))
							from cron.job j left join cron.job_run_details d on d.jobid = j.jobid where j.jobname = $1`, s.name.Job("daily"))
					})
					return nil
				})
			})
		}
		work.Wait()
		return nil
	})
}

// run creates the row's cause and reads what it leaves behind; then it ends the
// cause and sees whether a backup succeeds again.
func (r row) run(s *site, begin func(), tick func() error) (got result) {
	started := time.Now()
	defer func() { got.took = time.Since(started) }()
	err := stack.Steps(func() {
		begin()
		if r.broken != nil {
			r.broken(s)
		}
		if r.due != nil {
			r.due(s)
		} else if err := tick(); err != nil && !strings.HasPrefix(r.wanted.runs, "catch_up") {
			s.failf("the tick: %w", err)
		}
		if r.meanwhile != nil {
			r.meanwhile(s)
		}
		at := s.due.Add(r.absent)
		if r.early > 0 {
			s.showsStatus(s.due.Add(r.early))
		}
		for n := range watches {
			s.settle()
			if r.between != nil {
				r.between(s, n)
			}
			at = at.Add(10 * time.Minute)
			s.must(s.watch(at))
		}
		s.settle()
		if r.expectsNothingMore(s) {
			s.must(s.watch(at.Add(time.Minute)))
		}
		got.seen, got.wrong = s.look()
		if r.reasons != nil {
			got.seen.runs = s.whateverCronSays(got.seen.runs, r.wanted.runs, r.reasons)
		}
		if s.status == "" {
			s.showsStatus(at.Add(time.Minute))
		}
		got.status, got.summary = s.status, s.summary
		got.wrong = append(got.wrong, s.unclear...)
		got.wrong = append(got.wrong, r.countMails(s, 0)...)
		got.wrong = append(got.wrong, r.recovers(s, at)...)
	})
	if err != nil {
		got.wrong = append(got.wrong, err.Error())
	}
	return got
}

// whateverCronSays returns wanted if runs is the same but for the reason in brackets,
// which is the one of this pg_cron's version; otherwise it returns runs.
func (s *site) whateverCronSays(runs, wanted string, reasons map[string]string) string {
	var version string
	s.must(s.admin.QueryRow(s.ctx, `select extversion from pg_extension where extname = 'pg_cron'`).Scan(&version))
	for prefix, reason := range reasons {
		before, rest, _ := strings.Cut(wanted, "(")
		_, after, _ := strings.Cut(rest, ")")
		if strings.HasPrefix(version, prefix) && runs == before+"("+reason+")"+after {
			return wanted
		}
	}
	return runs
}

// expectsNothingMore reports whether the last outcome is still to be collected.
func (r row) expectsNothingMore(s *site) bool {
	return s.holds(`exists (select from auto_backup.incidents i where i.backup = $1 and i.alert_state = 'sent')`, s.name)
}

// countMails compares the e-mails of each subscriber with the alerts that count
// as delivered.
func (r row) countMails(s *site, late int) (wrong []string) {
	wanted := strings.Count(r.wanted.alert, "one, by the")
	if n, _, found := strings.Cut(r.wanted.alert, " × one, by the"); found {
		_, _ = fmt.Sscan(n, &wanted)
	}
	subscribers := map[string]int{"admin@aimindset.example": wanted + late, "equipe@aimindset.example": wanted + late}
	if r.rounds != nil {
		for address := range subscribers {
			subscribers[address] = r.rounds[address]
		}
	}
	got := s.rounds()
	for address, n := range subscribers {
		if got[address] != n {
			wrong = append(wrong, fmt.Sprintf("%s got %d e-mails, not %d", address, got[address], n))
		}
	}
	for _, mail := range s.stack.Emails()[s.mails:] {
		if found := personal.FindString(mail.HTML); found != "" {
			wrong = append(wrong, fmt.Sprintf("a mail shows %.6s…", found))
		}
	}
	return wrong
}

// recovers ends the cause and runs the next backup, which must succeed and end every
// incident without another mail.
func (r row) recovers(s *site, at time.Time) (wrong []string) {
	s.repair()
	s.settle()
	next := s.due.Add(24 * time.Hour)
	for !next.After(at) || s.holds(`exists (select from auto_backup.runs where backup = $1 and due_at >= $2)`, s.name, next) {
		next = next.Add(24 * time.Hour)
	}
	s.must(s.watch(next.Add(-10 * time.Minute)))
	s.settle()
	s.must(s.tick(next))
	s.settle()
	s.must(s.watch(next.Add(10 * time.Minute)))
	s.settle()
	if got := s.texts(`select state || coalesce(' ' || code, '') || coalesce(': ' || error, '') from auto_backup.runs
		where backup = $1 and due_at = $2`, s.name, next); strings.Join(got, ", ") != "succeeded" {
		wrong = append(wrong, fmt.Sprintf("the backup after the repair: %v", got))
	}
	wrong = append(wrong, s.texts(`select 'incident ' || kind || ' ' || code || ' goes on after a success'
		from auto_backup.incidents where backup = $1 and recovered_at is null`, s.name)...)
	wrong = append(wrong, s.texts(`
		select 'anybody can read ' || left(m[1], 6) || '… in system_logs'
		from public.system_logs, regexp_match(message || context::text, $1) m
		where type like 'auto\_backup%' and m is not null`, personal.String())...)
	status, found := s.ask(next.Add(11 * time.Minute))
	if status != "`healthy`" && status != "`healthy`: `alert_not_delivered`" || !found.Healthy() {
		wrong = append(wrong, fmt.Sprintf("the status after the repair: %s: %+v", status, found.Problems))
	}
	return append(wrong, r.countMails(s, r.late)...)
}

// render returns the guide.
func render(table []row, results []result) string {
	var b strings.Builder
	b.WriteString(introduction)
	b.WriteString("| # | Cause | Runs | Log rows | Alert | Status | What to do |\n|--:|---|---|---|---|---|---|\n")
	for i, r := range table {
		seen, mark := results[i].seen, ""
		if seen != r.wanted || results[i].status != r.status || len(results[i].wrong) > 0 {
			mark = "**Does not hold:** "
		}
		fmt.Fprintf(&b, "| %d | %s%s | %s | %s | %s | %s | %s |\n", i+1, mark, r.cause, seen.runs, seen.rows, seen.alert, results[i].status, r.remedy())
	}
	b.WriteString(portuguese)
	return b.String()
}

// update switches the platform's check of JWTs.
func update(verifyJWT bool) supabase.FunctionUpdate {
	return supabase.FunctionUpdate{VerifyJWT: &verifyJWT}
}
