package health

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/aimindset/terraform-provider-aimindset/internal/backup"
	"github.com/aimindset/terraform-provider-aimindset/internal/codes"
	"github.com/aimindset/terraform-provider-aimindset/internal/history"
	"github.com/aimindset/terraform-provider-aimindset/internal/schedule"
)

// runs judges the attempts.
func (a *assessment) runs() {
	for _, run := range a.found.UnderWay {
		if age := a.now.Sub(run.RequestedAt); age > runPatience {
			where := "there is no answer"
			if run.RequestID != nil && slices.Contains(a.found.Queue, *run.RequestID) {
				where = "pg_net has not sent the request"
			} else if run.State == history.Running {
				where = "the function has taken it and not come to an end"
			}
			a.add("run_stuck", ConditionFailing, "See why the watchdog does not close it: `select summary from auto_backup.watchdog`.",
				"The run due at %s has been under way for %s, and %s.", stamp(run.DueAt), ago(age), where)
			continue
		}
		a.add(problemRunning, ConditionRunning, "", "A backup is under way since %s.", stamp(run.RequestedAt))
	}
	last := a.LastRun
	if last == nil {
		return
	}
	if a.Failures > 0 && (last.State == history.Failed || len(a.found.UnderWay) > 0) {
		a.failed(last)
	} else if latest, ok := a.found.Latest[last.Schedule]; ok && latest.ID == last.ID && last.Trigger == history.TriggerCatchUp && last.State == history.Succeeded {
		a.remark("tick_missed", "Nothing, if it happened once; else see the other problems and `cron.job_run_details`.",
			"The backup due at %s was made up for by the watchdog: %s.", stamp(last.DueAt), strings.TrimSuffix(oneLine(cmp.Or(latest.Tick, "the job did not start it")), "."))
	}
	if last.State == history.Succeeded && last.Unlogged() {
		a.remark("log_not_written", "See what keeps `system_logs` and `backup_logs` from being written.", "The backup due at %s succeeded, but its log rows could not be written.", stamp(last.DueAt))
	}
}

// failed reports the newest attempt that failed, and what follows.
func (a *assessment) failed(last *history.Run) {
	if last.State != history.Failed {
		at := slices.IndexFunc(a.found.History, func(r history.Run) bool { return r.State == history.Failed })
		if at < 0 {
			a.add("failed", ConditionFailing, codes.Lookup("failed", "").Remedy, "%d attempts have failed since the last success.", a.Failures)
			return
		}
		last = &a.found.History[at]
	}
	follows := "It is not tried again by itself before its next due time."
	if a.RetryAt = a.retryAt(); !a.RetryAt.IsZero() {
		follows = "The watchdog tries again at about " + stamp(a.RetryAt) + "."
	} else if len(a.found.UnderWay) > 0 {
		follows = "Another attempt is under way."
	}
	message := fmt.Sprintf("The backup due at %s failed at attempt %d: %s", stamp(last.DueAt), last.Attempt, lowerFirst(cmp.Or(last.WhatHappened, last.Code)))
	if last.Unlogged() {
		message += " Its log rows could not be written."
	}
	a.add(cmp.Or(last.Code, "failed"), ConditionFailing, codes.Lookup(last.Code, last.SQLState).Remedy, "%s %s", message, follows)
	a.Problems[len(a.Problems)-1].lead = message
}

// retryAt is when the watchdog tries the newest failed attempt again.
func (a *assessment) retryAt() time.Time {
	if len(a.found.UnderWay) > 0 {
		return time.Time{}
	}
	retry := a.spec.Settings.Retry
	var at time.Time
	for _, key := range slices.Sorted(maps.Keys(a.found.Latest)) {
		run := a.found.Latest[key]
		if !a.spec.Settings.Schedules[key].Enabled || run.State != history.Failed || run.Attempt > retry.Attempts {
			continue
		}
		if s := a.LastSuccess; s != nil && !s.FinishedAt.Before(run.FinishedAt) {
			continue
		}
		when := run.FinishedAt.Add(time.Duration(retry.DelaySeconds) * time.Second)
		if when.Before(a.now) {
			when = a.now
		}
		if at.IsZero() || when.Before(at) {
			at = when
		}
	}
	return at
}

// dueTimes judges whether what was due happened, and tells what comes next.
func (a *assessment) dueTimes() {
	settings := a.spec.Settings
	enabled := 0
	installed := time.Time{}
	if a.found.Times != nil {
		installed = a.found.Times.CreatedAt
	}
	waited := installed
	var oldest time.Time
	for _, key := range slices.Sorted(maps.Keys(settings.Schedules)) {
		s := settings.Schedules[key]
		if !s.Enabled {
			continue
		}
		enabled++
		expression, location, err := readSchedule(s)
		if err != nil {
			a.add("schedule_unreadable", ConditionFailing, applyRemedy, "The schedule %s in auto_backup.settings cannot be read: %v.", key, err)
			continue
		}
		for _, next := range expression.Next(location, a.now, 1) {
			a.NextRuns = append(a.NextRuns, NextRun{Schedule: key, DueAt: next})
		}
		since, known := a.found.Since[key]
		if !known {
			since = installed
			if a.found.Times != nil {
				since = a.found.Times.UpdatedAt
			}
		}
		if oldest.IsZero() || since.Before(oldest) {
			oldest = since
		}
		due, ok := expression.Latest(location, since, a.now.Add(-duePatience))
		if !ok || !a.readable("auto_backup.runs") || a.covered(key, due) {
			continue
		}
		a.add("due_missed", ConditionLate, "See the other problems; if there are none, look at the latest rows of `cron.job_run_details`.",
			"The schedule %s was due at %s, and no backup was started then or since.", key, stamp(due))
	}
	slices.SortStableFunc(a.NextRuns, func(x, y NextRun) int { return x.DueAt.Compare(y.DueAt) })
	if enabled == 0 {
		a.remark("no_schedule", "Enable a schedule, or remove the backup.", "No schedule of the backup is enabled, so no backup is due.")
	}
	if waited.Before(oldest) {
		waited = oldest
	}
	if s := a.LastSuccess; s != nil && waited.Before(s.FinishedAt) {
		waited = s.FinishedAt
	}
	allowed := time.Duration(settings.Alert.OverdueAfterSeconds) * time.Second
	if enabled > 0 && allowed > 0 && a.readable("auto_backup.runs") && a.now.After(waited.Add(allowed)) {
		last := "there has been none yet"
		if a.LastSuccess != nil {
			last = "the last one ended at " + stamp(a.LastSuccess.FinishedAt)
		}
		a.add("overdue", ConditionLate, "See the other problems; run a backup by hand meanwhile.",
			"No backup has succeeded for %s, and %s is the most that is allowed: %s.", ago(a.now.Sub(waited)), ago(allowed), last)
	}
	if a.LastSuccess == nil && !a.wrong() && a.readable("auto_backup.runs") {
		when := "none is due"
		if len(a.NextRuns) > 0 {
			when = "the first is due at " + a.NextRuns[0].DueAt.Format(time.RFC3339)
		}
		a.add("never_ran", ConditionNeverRan, "Wait for it, or run a backup now.", "No backup has been made yet; %s.", when)
	}
}

// covered reports whether a due time has an attempt, or a backup was made since.
func (a *assessment) covered(key string, due time.Time) bool {
	if run, ok := a.found.Latest[key]; ok && !run.DueAt.Before(due) {
		return true
	}
	for _, run := range a.found.Latest {
		if run.Trigger == history.TriggerCatchUp && run.RequestedAt.After(due) {
			return true
		}
	}
	s := a.LastSuccess
	return s != nil && s.FinishedAt.After(due) || slices.ContainsFunc(a.found.UnderWay, func(r history.Run) bool { return r.RequestedAt.After(due) })
}

// readSchedule reads a schedule of the settings.
func readSchedule(s backup.Schedule) (schedule.Expr, *time.Location, error) {
	expression, err := schedule.Parse(s.Cron)
	if err != nil {
		return schedule.Expr{}, nil, err
	}
	location, err := schedule.LoadZone(s.Zone)
	return expression, location, err
}
