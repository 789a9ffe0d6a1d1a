package health

import (
	"slices"
	"time"

	"github.com/aimindset/terraform-provider-aimindset/internal/backup"
	"github.com/aimindset/terraform-provider-aimindset/internal/checks"
	"github.com/aimindset/terraform-provider-aimindset/internal/facts"
	"github.com/aimindset/terraform-provider-aimindset/internal/history"
	"github.com/aimindset/terraform-provider-aimindset/internal/schedule"
	"github.com/aimindset/terraform-provider-aimindset/internal/text"
)

// legacy is the status of jobs that make backups without the dispatcher.
func (a *assessment) legacy(jobs []backup.Job) {
	a.report("legacy", checks.Healthy, "The backups are made by %s, without retry, verification or alert.", names(jobs))
	a.Problems = append(a.Problems, checks.Ask(&a.subject, checks.Server, checks.Scheduler)...)
	times := a.legacyTimes(jobs)
	if state := a.subject.Relations["public.backup_logs"]; state != facts.Readable {
		a.report("not_readable", checks.Failing, "public.backup_logs, the only record of such backups, cannot be read: it is %s.", state)
		return
	}
	log := a.subject.LastLog
	if log == nil || log.Newest == nil {
		a.report("never_ran", checks.NeverRan,
			"public.backup_logs has no row of action_type 'backup': the jobs have left no sign of a backup, whatever pg_cron says of their ticks.")
		if times.job != "" && a.ticked(jobs) {
			a.report("no_backup", checks.Failing, "pg_cron ran the job %s, which was due at %s, and no backup came of it.", times.job, text.Time(times.due))
		}
		return
	}
	a.LastRun = runOf(*log.Newest)
	a.History = []history.Run{*a.LastRun}
	if !log.Newest.Success {
		a.Failures = 1
		a.report("backup_failed", checks.Failing, "The latest backup, of %s, failed: “%s”.", text.Time(log.Newest.At), clause(log.Newest.Details))
	}
	if s := log.Success; s != nil {
		a.LastSuccess = runOf(*s)
		if age := a.subject.Now.Sub(s.At); times.active && age > times.allowed {
			a.report("overdue", checks.Late, "No backup has succeeded since %s; the jobs' schedules allow %s.", text.Time(s.At), text.Duration(times.allowed))
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
			a.report("job_inactive", checks.Healthy, "The job %s is switched off.", job.Name)
			continue
		}
		found.active = true
		if last, ok := a.subject.Ticks[job.ID]; ok && last.Status == "failed" {
			a.report("tick_failed", checks.Failing, "The latest tick of the job %s failed: %s.", job.Name, clause(text.FirstLine(last.Message)))
		}
		expression, err := schedule.Parse(job.Schedule)
		if err != nil {
			continue
		}
		timed = append(timed, schedule.Timed{Expr: expression, Location: time.UTC})
		a.NextRuns = append(a.NextRuns, NextRun{Schedule: job.Name, DueAt: expression.Next(time.UTC, a.subject.Now, 1)[0]})
		if due, ok := expression.Latest(time.UTC, a.subject.Now.AddDate(-1, 0, 0), a.subject.Now.Add(-duePatience)); ok && due.After(found.due) {
			found.job, found.due = job.Name, due
		}
	}
	a.sortNextRuns()
	if !found.active {
		a.report("job_inactive", checks.Late, "Every job that would make a backup is switched off.")
	}
	if len(timed) > 0 {
		found.allowed = schedule.LongestGap(timed) + backup.OverdueMargin
	}
	return found
}

// ticked reports whether any of the jobs has ticked.
func (a *assessment) ticked(jobs []backup.Job) bool {
	return slices.ContainsFunc(jobs, func(j backup.Job) bool { _, ok := a.subject.Ticks[j.ID]; return ok })
}

func runOf(l facts.LogRow) *history.Run {
	run := &history.Run{State: history.Failed, FinishedAt: l.At, Records: l.Records, WhatHappened: text.Line(l.Details), Log: "written by the backup function"}
	if l.Success {
		run.State = history.Succeeded
	}
	return run
}
