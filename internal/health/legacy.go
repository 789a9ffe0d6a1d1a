package health

import (
	"slices"
	"time"

	"github.com/aimindset/terraform-provider-aimindset/internal/backup"
	"github.com/aimindset/terraform-provider-aimindset/internal/history"
	"github.com/aimindset/terraform-provider-aimindset/internal/schedule"
	"github.com/aimindset/terraform-provider-aimindset/internal/text"
)

// dispatches is the backup for which a job calls the dispatcher, or empty.
func (a *assessment) dispatches(j backup.Job) string {
	if m := dispatchPattern.FindStringSubmatch(j.Command); m != nil {
		return m[1]
	}
	return ""
}

// legacyJobs are the jobs that make backups without the dispatcher: they call the
// backup's SQL function, or an address that ends in the backup's name.
func (a *assessment) legacyJobs() []backup.Job {
	rpc := ""
	if a.state.Settings != nil {
		rpc = a.state.Settings.Function.RPC
	}
	makes := backup.MakesBackup(a.ID.Name, rpc)
	var found []backup.Job
	for _, j := range a.found.Jobs {
		if a.dispatches(j) == "" && makes(j) {
			found = append(found, j)
		}
	}
	return found
}

// legacy is the status of jobs that make backups without the dispatcher.
func (a *assessment) legacy(jobs []backup.Job) {
	a.report("legacy", ConditionHealthy, "The backups are made by %s, without retry, verification or alert.", names(jobs))
	a.scheduler()
	times := a.legacyTimes(jobs)
	if state := a.found.Relations["public.backup_logs"]; state != "readable" {
		a.report("not_readable", ConditionFailing, "public.backup_logs, the only record of such backups, cannot be read: it is %s.", state)
		return
	}
	log := a.found.LastLog
	if log == nil || log.Newest == nil {
		a.report("never_ran", ConditionNeverRan,
			"public.backup_logs has no row of action_type 'backup': the jobs have left no sign of a backup, whatever pg_cron says of their ticks.")
		if times.job != "" && a.ticked(jobs) {
			a.report("no_backup", ConditionFailing, "pg_cron ran the job %s, which was due at %s, and no backup came of it.", times.job, stamp(times.due))
		}
		return
	}
	a.LastRun = log.Newest.run()
	a.History = []history.Run{*a.LastRun}
	if !log.Newest.Success {
		a.Failures = 1
		a.report("backup_failed", ConditionFailing, "The latest backup, of %s, failed: %s.", stamp(log.Newest.At), clause(log.Newest.Details))
	}
	if s := log.Success; s != nil {
		a.LastSuccess = s.run()
		if age := a.now.Sub(s.At); times.active && age > times.allowed {
			a.report("overdue", ConditionLate, "No backup has succeeded for %s; the jobs' schedules allow %s.", ago(age), ago(times.allowed))
		}
	}
}

// legacyTimes says when legacy jobs should make backups.
type legacyTimes struct {
	// active says that any of them is active.
	active bool
	// allowed is how old the latest backup may be.
	allowed time.Duration
	// job was due last, at due, long enough ago to have made its backup. It is
	// empty when none was.
	job string
	due time.Time
}

// legacyTimes judges each job, and finds when they are due.
func (a *assessment) legacyTimes(jobs []backup.Job) legacyTimes {
	found := legacyTimes{allowed: legacyPatience}
	var timed []schedule.Timed
	for _, job := range jobs {
		if !job.Active {
			a.report("job_inactive", ConditionHealthy, "The job %s is switched off.", job.Name)
			continue
		}
		found.active = true
		if last, ok := a.found.Ticks[job.ID]; ok && last.Status == "failed" {
			a.report("tick_failed", ConditionFailing, "The latest tick of the job %s failed: %s.", job.Name, clause(text.FirstLine(last.Message)))
		}
		expression, err := schedule.Parse(job.Schedule)
		if err != nil {
			continue
		}
		timed = append(timed, schedule.Timed{Expr: expression, Location: time.UTC})
		a.NextRuns = append(a.NextRuns, NextRun{Schedule: job.Name, DueAt: expression.Next(time.UTC, a.now, 1)[0]})
		if due, ok := expression.Latest(time.UTC, a.now.AddDate(-1, 0, 0), a.now.Add(-duePatience)); ok && due.After(found.due) {
			found.job, found.due = job.Name, due
		}
	}
	a.sortNextRuns()
	if !found.active {
		a.report("job_inactive", ConditionLate, "Every job that would make a backup is switched off.")
	}
	if len(timed) > 0 {
		found.allowed = schedule.LongestGap(timed) + backup.OverdueMargin
	}
	return found
}

// ticked reports whether any of the jobs has ticked.
func (a *assessment) ticked(jobs []backup.Job) bool {
	return slices.ContainsFunc(jobs, func(j backup.Job) bool { _, ok := a.found.Ticks[j.ID]; return ok })
}

func (l logRow) run() *history.Run {
	run := &history.Run{State: history.Failed, FinishedAt: l.At, Records: l.Records, WhatHappened: text.Line(l.Details), Log: "written by the backup function"}
	if l.Success {
		run.State = history.Succeeded
	}
	return run
}
