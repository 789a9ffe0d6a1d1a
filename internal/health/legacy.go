package health

import (
	"slices"
	"strings"
	"time"

	"github.com/aimindset/terraform-provider-aimindset/internal/backup"
	"github.com/aimindset/terraform-provider-aimindset/internal/history"
	"github.com/aimindset/terraform-provider-aimindset/internal/schedule"
)

// dispatches is the backup for which a job calls the dispatcher, or empty.
func (a *assessment) dispatches(j backup.Job) string {
	if m := dispatchPattern.FindStringSubmatch(j.Command); m != nil {
		return m[1]
	}
	return ""
}

// legacyJobs are the jobs that make backups past the dispatcher: they call the
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

// legacy is the status of jobs that make backups past the dispatcher.
func (a *assessment) legacy(jobs []backup.Job) {
	a.remark("legacy", "Install `aimindset_auto_backup` with `adopt_existing = true`: it takes the jobs over.",
		"The backups are made by %s, without retry, without proof and without an alert when they fail.", names(jobs))
	a.scheduler()
	var timed []schedule.Timed
	active := 0
	var latest time.Time
	var due string
	for _, job := range jobs {
		if !job.Active {
			a.remark("job_inactive", "Activate the job, or remove it.", "The job %s is switched off.", job.Name)
			continue
		}
		active++
		if last, ok := a.found.Ticks[job.ID]; ok && last.Status == "failed" {
			a.add("tick_failed", ConditionFailing, "Correct the job's command.", "The latest tick of the job %s failed: %s.", job.Name, oneLine(last.Message))
		}
		expression, err := schedule.Parse(job.Schedule)
		if err != nil {
			continue
		}
		timed = append(timed, schedule.Timed{Expr: expression, Location: time.UTC})
		for _, next := range expression.Next(time.UTC, a.now, 1) {
			a.NextRuns = append(a.NextRuns, NextRun{Schedule: job.Name, DueAt: next})
		}
		if at, ok := expression.Latest(time.UTC, a.now.AddDate(-1, 0, 0), a.now.Add(-duePatience)); ok && at.After(latest) {
			latest, due = at, job.Name
		}
	}
	slices.SortStableFunc(a.NextRuns, func(x, y NextRun) int { return x.DueAt.Compare(y.DueAt) })
	if active == 0 {
		a.add("job_inactive", ConditionLate, "Activate a job, or install `aimindset_auto_backup`.", "Every job that would make a backup is switched off.")
	}
	allowed := legacyPatience
	if len(timed) > 0 {
		allowed = schedule.LongestGap(timed) + backup.OverdueMargin
	}
	if !a.readable("public.backup_logs") {
		means := ConditionHealthy
		if a.found.Relations["public.backup_logs"] == "missing" || a.found.Relations["public.backup_logs"] == "altered" {
			means = ConditionFailing
		}
		a.add("not_readable", means, "Read as a role that may read public.backup_logs, or restore it.", "public.backup_logs, the only trace of such backups, cannot be read: it is %s.", a.found.Relations["public.backup_logs"])
		return
	}
	if a.found.LastLog == nil || a.found.LastLog.Newest == nil {
		a.add("never_ran", ConditionNeverRan, "Find out what the job's request is answered, or install `aimindset_auto_backup`.",
			"public.backup_logs has no row of action_type 'backup': the jobs have left no trace of a backup, whatever pg_cron says of their ticks.")
		if active > 0 && !latest.IsZero() && a.ticked(jobs) {
			a.add("no_backup", ConditionFailing, "Install `aimindset_auto_backup` with `adopt_existing = true`.",
				"pg_cron ran the job %s, which was due at %s, and no backup came of it.", due, stamp(latest))
		}
		return
	}
	newest := a.found.LastLog.Newest
	a.LastRun = a.found.LastLog.Newest.run()
	a.History = []history.Run{*a.LastRun}
	if !newest.Success {
		a.Failures = 1
		a.add("backup_failed", ConditionFailing, "Correct the cause that the message names.", "The latest backup, of %s, failed: %s.", stamp(newest.At), strings.TrimSuffix(oneLine(newest.Details), "."))
	}
	if s := a.found.LastLog.Success; s != nil {
		a.LastSuccess = s.run()
		if age := a.now.Sub(s.At); active > 0 && age > allowed {
			a.add("overdue", ConditionLate, "Install `aimindset_auto_backup` with `adopt_existing = true`.",
				"No backup has succeeded for %s; the jobs' schedules allow %s.", ago(age), ago(allowed))
		}
	}
}

// ticked reports whether any of the jobs has ticked.
func (a *assessment) ticked(jobs []backup.Job) bool {
	return slices.ContainsFunc(jobs, func(j backup.Job) bool { _, ok := a.found.Ticks[j.ID]; return ok })
}

func (l logRow) run() *history.Run {
	run := &history.Run{State: history.Failed, FinishedAt: l.At, Records: l.Records, WhatHappened: oneLine(l.Details), Log: "written by the backup function"}
	if l.Success {
		run.State = history.Succeeded
	}
	return run
}

// problemRunning is the inner code of a backup under way, which is no problem.
const problemRunning = ""
