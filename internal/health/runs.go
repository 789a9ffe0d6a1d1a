package health

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/aimindset/terraform-provider-aimindset/internal/checks"
	"github.com/aimindset/terraform-provider-aimindset/internal/codes"
	"github.com/aimindset/terraform-provider-aimindset/internal/history"
	"github.com/aimindset/terraform-provider-aimindset/internal/payload"
	"github.com/aimindset/terraform-provider-aimindset/internal/text"
)

// runs judges the attempts that are under way and the latest one.
func (a *assessment) runs(plans []plan) {
	for _, run := range a.subject.UnderWay {
		age := a.subject.Now.Sub(run.RequestedAt)
		if age <= runPatience {
			a.underWay = true
			continue
		}
		where := "there is no response"
		if run.RequestID != nil && slices.Contains(a.subject.Queue, *run.RequestID) {
			where = "pg_net has not sent the request"
		} else if run.State == history.Running {
			where = "the function has accepted it and not finished"
		}
		a.report("run_stuck", checks.Failing, "The run due at %s has been under way since %s, and %s.", text.Time(run.DueAt), text.Time(run.RequestedAt), where)
	}
	last := a.LastRun
	if a.Failures > 0 {
		a.failed(plans)
	} else if last != nil && last.State == history.Succeeded && last.Trigger == history.TriggerCatchUp {
		a.report("tick_missed", checks.Healthy, "The backup due at %s was %s.",
			text.Time(last.DueAt), clause(cmp.Or(last.Tick, "started late by the watchdog")))
	}
	if last != nil && last.State == history.Succeeded && last.Refused > 0 {
		a.report("request_refused", checks.Healthy, "The backup due at %s was made late, with the project's keys, because the gateway had refused its request (HTTP 401).", text.Time(last.DueAt))
	}
	if last != nil && last.State == history.Succeeded && last.Unlogged() {
		a.report("log_not_written", checks.Healthy, "The backup due at %s succeeded, but its log rows could not be written.", text.Time(last.DueAt))
	}
}

// failed reports the newest attempt that failed since the last success, and what
// comes next.
func (a *assessment) failed(plans []plan) {
	a.RetryAt, a.RetryDue = a.nextRetry(plans)
	at := slices.IndexFunc(a.subject.History, func(r history.Run) bool {
		return r.State == history.Failed && (a.LastSuccess == nil || r.FinishedAt.After(a.LastSuccess.FinishedAt))
	})
	if at < 0 {
		// There are too many others since, or the history cannot be read.
		a.report("failed", checks.Failing, "%s failed since the last success.", attempts(a.Failures))
		return
	}
	run := a.subject.History[at]
	next := "It is not tried again before the next due time."
	switch {
	case a.RetryMissed():
		next = "The watchdog was to try again at " + text.Time(a.RetryDue) + "."
	case !a.RetryDue.IsZero():
		next = "The watchdog tries again at " + text.Time(a.RetryDue) + "."
	case len(a.subject.UnderWay) > 0:
		next = "Another attempt is under way."
	}
	lead := fmt.Sprintf("The backup due at %s failed at attempt %d: %s", text.Time(run.DueAt), run.Attempt, why(run))
	if run.Unlogged() {
		lead += " Its log rows could not be written."
	}
	p := problem(cmp.Or(run.Code, "failed"), run.SQLState, checks.Failing, lead+" "+next)
	p.Lead = lead
	a.Problems = append(a.Problems, p)
}

// why says why a run failed. What the function said is in Portuguese, or the user's own
// language, so it is quoted after what its code means.
func why(run history.Run) string {
	code, known := codes.Find(run.Code)
	if said := clause(run.Error); said != "" && (!known || code.ArisesAt(codes.Function)) {
		return codes.Lookup(run.Code, run.SQLState).Clause() + " (“" + said + "”)."
	}
	return text.Uncapitalize(text.Sentence(text.Line(cmp.Or(run.WhatHappened, run.Code))))
}

func attempts(n int64) string {
	if n == 1 {
		return "1 attempt has"
	}
	return fmt.Sprintf("%d attempts have", n)
}

// dueTimes judges whether what was due happened, and tells what comes next.
func (a *assessment) dueTimes(plans []plan) {
	known := a.subject.Readable("auto_backup.runs")
	for _, p := range plans {
		if p.err != nil {
			a.report("schedule_unreadable", checks.Failing, "The schedule %s in auto_backup.settings cannot be read: %v.", p.key, p.err)
			continue
		}
		// While a run is under way, the watchdog starts no other.
		if due, missed := a.missed(p, a.subject.Now.Add(payload.TickPatience-duePatience)); missed && known && len(a.subject.UnderWay) == 0 {
			a.report("due_missed", checks.Late, "The schedule %s was due at %s, and neither its job nor the watchdog has started a backup since.", p.key, text.Time(due))
		}
	}
	if len(plans) == 0 {
		a.report("no_schedule", checks.Healthy, "No schedule of the backup is enabled, so no backup is due.")
	}
	since, allowed := a.waitsSince(plans), time.Duration(a.subject.Spec.Settings.Alert.OverdueAfterSeconds)*time.Second
	if known && allowed > 0 && !since.IsZero() && a.subject.Now.After(since.Add(allowed)) {
		last := "there has been none yet"
		if a.LastSuccess != nil {
			last = "the last one ended at " + text.Time(a.LastSuccess.FinishedAt)
		}
		a.report("overdue", checks.Late, "No backup has succeeded since %s, and at most %s is allowed: %s.", text.Time(since), text.Duration(allowed), last)
	}
	if known && a.LastSuccess == nil && !a.underWay && !a.wrong() {
		when := "none is due"
		if len(a.NextRuns) > 0 {
			when = "the first is due at " + a.NextRuns[0].DueAt.Format(time.RFC3339)
		}
		a.report("never_ran", checks.NeverRan, "No backup has been made yet; %s.", when)
	}
}

// nextRuns lists the next due time of each schedule, the nearest first.
func (a *assessment) nextRuns(plans []plan) {
	for _, p := range plans {
		for _, due := range p.Expr.Next(p.Location, a.subject.Now, 1) {
			a.NextRuns = append(a.NextRuns, NextRun{Schedule: p.key, DueAt: due})
		}
	}
	a.sortNextRuns()
}

func (a *assessment) sortNextRuns() {
	slices.SortStableFunc(a.NextRuns, func(x, y NextRun) int { return x.DueAt.Compare(y.DueAt) })
}
