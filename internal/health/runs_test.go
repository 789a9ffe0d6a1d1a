package health

import (
	"testing"
	"time"

	"github.com/aimindset/terraform-provider-aimindset/internal/backup"
	"github.com/aimindset/terraform-provider-aimindset/internal/checks"
	"github.com/aimindset/terraform-provider-aimindset/internal/codes"
	"github.com/aimindset/terraform-provider-aimindset/internal/facts"
	"github.com/aimindset/terraform-provider-aimindset/internal/history"
)

// byJob is a run that the daily job started.
func byJob(id, due string, state history.State) history.Run {
	return run(id, "daily", history.TriggerSchedule, due, state)
}

// started changes when a run that is under way began, and the id of its request.
func started(r history.Run, requested string, id *int64) history.Run {
	r.RequestedAt, r.RequestID = at(requested), id
	return r
}

// yesterday is the success of the day before.
var yesterday = byJob("y", "22 06:00", history.Succeeded)

// TestUnderWay proves when an attempt makes the backup a running one, when it counts
// as stuck, and what is then said of where.
func TestUnderWay(t *testing.T) {
	t.Parallel()
	const success = "; the last one succeeded at 2026-11-22 03:00 (UTC-03:00) with 321 records" + tomorrow
	stuck := func(where string) func(*Status) {
		return func(s *Status) {
			s.is(checks.Failing, problemOf("run_stuck", checks.Failing, "The run due at 2026-11-23T06:00:00Z has been under way since 2026-11-23T11:19:59Z, and "+where+"."))
		}
	}
	long := func(state history.State, id *int64, queue ...int64) func(*project) {
		return func(p *project) {
			p.happened(started(byJob("r", "06:00", state), "11:19:59", id), yesterday)
			p.database.Queue = queue
		}
	}
	runCases(t, []aCase{
		{name: "running", change: func(p *project) {
			p.happened(started(byJob("r", "06:00", history.Running), "11:20", ptr(int64(42))), yesterday)
		}, want: func(s *Status) {
			s.Condition, s.Summary = checks.Running, lead+"is running: an attempt is under way"+success
		}},
		{name: "requested", change: func(p *project) {
			p.happened(started(byJob("r", "06:00", history.Requested), "12:00", nil), yesterday)
		}, want: func(s *Status) {
			s.Condition, s.Summary = checks.Running, lead+"is running: an attempt is under way"+success
		}},
		{name: "the first one", change: func(p *project) {
			p.own.Settings.CreatedAt, p.own.Settings.UpdatedAt, p.own.Schedules = at("05:00"), at("05:00"), nil
			p.happened(started(byJob("r", "06:00", history.Running), "11:30", nil))
		}, want: func(s *Status) {
			s.Condition, s.Summary = checks.Running, lead+"is running: an attempt is under way"+tomorrow
		}},
		{name: "stuck in the queue", change: long(history.Requested, ptr(int64(42)), 41, 42), want: stuck("pg_net has not sent the request")},
		{name: "stuck after the queue", change: long(history.Requested, ptr(int64(42)), 41), want: stuck("there is no response")},
		{name: "stuck without a request", change: long(history.Requested, nil, 42), want: stuck("there is no response")},
		{name: "stuck in the function", change: long(history.Running, ptr(int64(42)), 41), want: stuck("the function has accepted it and not finished")},
		{name: "one stuck, one not", change: func(p *project) {
			p.happened(started(byJob("s", "11:50", history.Running), "11:50", nil), started(byJob("r", "06:00", history.Running), "11:19:59", nil), yesterday)
		}, want: stuck("the function has accepted it and not finished")},
	})
}

// TestFailed proves what is said of a failed attempt: which one, why, what comes
// next and what to do; and that it is the newest one since the last success.
func TestFailed(t *testing.T) {
	t.Parallel()
	const (
		first = "The backup due at 2026-11-23T06:00:00Z failed at attempt 1: the function does not start (HTTP 503)."
		never = " It is not tried again before the next due time."
	)
	failed := func(code, sqlstate, message, next string) func(*Status) {
		return func(s *Status) {
			p := problemOf(code, checks.Failing, message+next)
			p.Remedy, p.Lead = codes.Lookup(code, sqlstate).Remedy, message
			s.is(checks.Failing, p)
			s.summarize(message)
		}
	}
	once := func(change func(r *history.Run)) func(*project) {
		return func(p *project) {
			r := byJob("r", "06:00", history.Failed)
			change(&r)
			p.settings.Retry.Attempts = 0
			p.happened(r, yesterday)
		}
	}
	manual := func(id, due string, state history.State) history.Run {
		return run(id, "manual", history.TriggerManual, due, state)
	}
	runCases(t, []aCase{
		{name: "it is tried again", change: func(p *project) { p.happened(byJob("r", "06:00", history.Failed), yesterday) }, want: func(s *Status) {
			s.RetryAt, s.RetryDue = at("12:00"), at("12:00")
			failed("http_503", "", first, " The watchdog tries again at 2026-11-23T12:00:00Z.")(s)
			s.Summary = lead + "is failing: the backup due at 2026-11-23 03:00 (UTC-03:00) failed at attempt 1: the function does not start (HTTP 503); another attempt is due at 2026-11-23 09:00 (UTC-03:00)."
		}},
		{name: "the watchdog looks no more", change: func(p *project) {
			p.own.Watchdog.At = at("06:05")
			p.happened(byJob("r", "06:00", history.Failed), yesterday)
		}, want: func(s *Status) {
			s.WatchedAt, s.RetryAt, s.RetryDue = at("06:05"), at("12:00"), at("06:10")
			failed("http_503", "", first, " The watchdog was to try again at 2026-11-23T06:10:00Z.")(s)
			s.is(checks.SchedulerDown, found("watchdog_silent", checks.SchedulerDown), s.Problems[0])
			s.Summary = ""
		}},
		{name: "in the function's own words", change: once(func(r *history.Run) {
			r.Code, r.Error = "backup_failed", "backup_all_data informou falha: sem espaço."
		}),
			want: failed("backup_failed", "", "The backup due at 2026-11-23T06:00:00Z failed at attempt 1: the SQL function reported that the backup failed (“backup_all_data informou falha: sem espaço”).", never)},
		{name: "in the words of the user's own function", change: once(func(r *history.Run) { r.Code, r.Error = "disk_full", "voll" }),
			want: failed("disk_full", "", "The backup due at 2026-11-23T06:00:00Z failed at attempt 1: the function reported a failure (“voll”).", never)},
		{name: "in the platform's words", change: once(func(r *history.Run) { r.Error = "HTTP 503" }), want: failed("http_503", "", first, never)},
		{name: "it is not tried again", change: once(func(*history.Run) {}), want: failed("http_503", "", first, never)},
		{name: "it is tried again now", change: func(p *project) {
			retry := byJob("s", "06:00", history.Running)
			retry.Attempt, retry.Trigger, retry.RequestedAt = 2, history.TriggerRetry, at("11:55")
			p.settings.Retry.Attempts = 2
			p.happened(retry, byJob("r", "06:00", history.Failed), yesterday)
		}, want: failed("http_503", "", first, " Another attempt is under way.")},
		{name: "the second attempt", change: once(func(r *history.Run) { r.Attempt = 2 }),
			want: failed("http_503", "", "The backup due at 2026-11-23T06:00:00Z failed at attempt 2: the function does not start (HTTP 503).", never)},
		{name: "a code of the function's own", change: once(func(r *history.Run) { r.Code = "disk_full" }), want: failed("disk_full", "", first, never)},
		{name: "an SQLSTATE", change: once(func(r *history.Run) { r.Code, r.SQLState = "rpc_http", "42501" }), want: failed("rpc_http", "42501", first, never)},
		{name: "no log row", change: once(func(r *history.Run) { r.LogState = "unwritten" }), want: failed("http_503", "", first+" Its log rows could not be written.", never)},
		{name: "no words", change: once(func(r *history.Run) { r.WhatHappened = "" }),
			want: failed("http_503", "", "The backup due at 2026-11-23T06:00:00Z failed at attempt 1: http_503.", never)},
		{name: "odd words", change: once(func(r *history.Run) { r.WhatHappened = "The function\n\tfailed\x1b[31m" }),
			want: failed("http_503", "", "The backup due at 2026-11-23T06:00:00Z failed at attempt 1: the function failed[31m.", never)},
		{name: "no code", change: once(func(r *history.Run) { r.Code = "" }), want: failed("failed", "", first, never)},
		{name: "newer than a success that began later", change: func(p *project) {
			late := byJob("r", "06:00", history.Failed)
			late.FinishedAt = at("06:05")
			p.settings.Retry.Attempts = 0
			p.happened(manual("m", "06:01", history.Succeeded), late)
		}, want: failed("http_503", "", first, never)},
		{name: "a manual attempt", change: func(p *project) {
			p.happened(manual("m", "11:00", history.Failed), byJob("r", "06:00", history.Succeeded))
		},
			want: failed("http_503", "", "The backup due at 2026-11-23T11:00:00Z failed at attempt 1: the function does not start (HTTP 503).", never)},
		{name: "not the newest entry", change: func(p *project) {
			p.settings.Retry.Attempts = 0
			p.happened(history.Run{State: history.Overdue, DueAt: at("11:30"), RequestedAt: at("11:30")}, byJob("r", "06:00", history.Failed), yesterday, byJob("x", "21 06:00", history.Failed))
		}, want: failed("http_503", "", first, never)},
		{name: "older than the last success", change: func(p *project) {
			p.happened(yesterday, byJob("x", "21 06:00", history.Failed))
			p.own.Failures = 1
			p.own.Latest["daily"] = byJob("r", "06:00", history.Requested)
		}, want: func(s *Status) {
			s.is(checks.Failing, problemOf("failed", checks.Failing, "1 attempt has failed since the last success."))
			s.Failures = 1
		}},
		{name: "the history is hidden", change: func(p *project) {
			p.own.History, p.own.Failures = nil, 3
			p.database.Relations["auto_backup.history"] = facts.Forbidden
		}, want: func(s *Status) {
			s.LastRun, s.History, s.Failures = nil, nil, 3
			s.is(checks.Failing, problemOf("failed", checks.Failing, "3 attempts have failed since the last success."), found("not_readable", checks.Healthy))
		}},
		{name: "none since the last success", change: func(p *project) {
			p.happened(byJob("r", "06:00", history.Succeeded), byJob("x", "22 06:00", history.Failed))
		}},
		{name: "an old success as well", change: func(p *project) {
			// The function is called at another address, and the last attempt failed.
			p.query.FunctionURL = "https://y"
			p.settings.Retry.Attempts = 0
			p.happened(byJob("r", "06:00", history.Failed), yesterday)
		}, want: func(s *Status) {
			failed("http_503", "", first, never)(s)
			s.is(checks.Failing, found("function_url", checks.Failing), s.Problems[0])
			s.Summary = lead + "is failing: the function is called at https://x.supabase.co/functions/v1/auto-backup, not at https://y (and 1 more problem)" + tomorrow
		}},
	})
}

// TestRemarks proves what is said of a last attempt that succeeded, but not as it
// should have.
func TestRemarks(t *testing.T) {
	t.Parallel()
	last := func(change func(r *history.Run)) func(*project) {
		return func(p *project) {
			r := byJob("r2", "06:00", history.Succeeded)
			change(&r)
			p.happened(r, yesterday)
		}
	}
	missed := func(words string) func(*Status) {
		return func(s *Status) {
			s.Problems = []checks.Finding{problemOf("tick_missed", checks.Healthy, "The backup due at 2026-11-23T06:00:00Z was "+words+".")}
		}
	}
	caughtUp := func(tick string) func(*project) {
		return last(func(r *history.Run) { r.Trigger, r.Tick = history.TriggerCatchUp, tick })
	}
	runCases(t, []aCase{
		{name: "the watchdog started it", change: caughtUp("started late by the watchdog: the job auto-backup-daily does not exist"),
			want: missed("started late by the watchdog: the job auto-backup-daily does not exist")},
		{name: "the watchdog started it over an error", change: caughtUp("started late by the watchdog: its tick failed:\nERROR: no function."),
			want: missed("started late by the watchdog: its tick failed: ERROR: no function")},
		{name: "the watchdog started it over nothing", change: caughtUp(""), want: missed("started late by the watchdog")},
		{name: "the gateway refused its first request", change: last(func(r *history.Run) { r.Refused = 1 }), want: func(s *Status) {
			s.Problems = []checks.Finding{problemOf("request_refused", checks.Healthy, "The backup due at 2026-11-23T06:00:00Z was made late, with the project's keys, because the gateway had refused its request (HTTP 401).")}
		}},
		{name: "the watchdog repeated it", change: last(func(r *history.Run) { r.Trigger, r.Tick = history.TriggerRetry, "tried again by the watchdog" })},
		{name: "the watchdog started it and it failed", change: func(p *project) {
			r := byJob("r2", "06:00", history.Failed)
			r.Trigger, r.Attempt = history.TriggerCatchUp, 2
			p.happened(r, yesterday)
		}, want: func(s *Status) {
			lead := "The backup due at 2026-11-23T06:00:00Z failed at attempt 2: the function does not start (HTTP 503)."
			f := problemOf("http_503", checks.Failing, lead+" It is not tried again before the next due time.")
			f.Lead = lead
			s.is(checks.Failing, f)
			s.summarize(lead)
		}},
		{name: "no log row", change: last(func(r *history.Run) { r.LogState = "unwritten" }), want: func(s *Status) {
			s.Problems = []checks.Finding{problemOf("log_not_written", checks.Healthy, "The backup due at 2026-11-23T06:00:00Z succeeded, but its log rows could not be written.")}
		}},
		{name: "an incident is not an attempt", change: func(p *project) {
			p.happened(history.Run{State: history.Overdue, DueAt: at("05:00"), RequestedAt: at("11:00"), LogState: "unwritten"}, byJob("r2", "06:00", history.Succeeded))
		}},
	})
}

// legacyJob is a job as AIMindset had them before.
func legacyJob(id int64, name, schedule string, active bool) backup.Job {
	return backup.Job{ID: id, Name: name, Schedule: schedule, Command: "select public.backup_all_data()", Active: active, Database: "postgres", Username: "postgres"}
}

// TestLegacy proves how jobs are judged that make backups without the dispatcher:
// by the only record of them, and by their own schedules.
func TestLegacy(t *testing.T) {
	t.Parallel()
	const one = "The backups are made by the job auto-backup-daily (0 6 * * *), without retry, verification or alert."
	row := func(when string, success bool, details string) *facts.LogRow {
		return &facts.LogRow{At: at(when), Success: success, Records: ptr(int64(12)), Details: details}
	}
	runOf := func(r facts.LogRow) *history.Run {
		state, words := history.Failed, "Erro: no table"
		if r.Success {
			state, words = history.Succeeded, "Backup ID: x"
		}
		return &history.Run{State: state, FinishedAt: r.At, Records: r.Records, WhatHappened: words, Log: "written by the backup function"}
	}
	good := row("06:00:30", true, "Backup\nID: x")
	with := func(log *facts.LastLog, jobs ...backup.Job) func(*project) {
		return func(p *project) {
			absent(p)
			if jobs == nil {
				jobs = []backup.Job{legacyJob(1, "auto-backup-daily", "0 6 * * *", true)}
			}
			p.database.Jobs, p.database.LastLog = jobs, log
			p.database.Ticks = map[int64]facts.Tick{1: {Status: "succeeded", At: at("06:00")}}
		}
	}
	also := func(change func(*project), further func(*project)) func(*project) {
		return func(p *project) {
			change(p)
			further(p)
		}
	}
	// is is the status of the jobs with the newest row of the log, and the last success.
	is := func(newest, success *facts.LogRow, means checks.Condition, problems ...checks.Finding) func(*Status) {
		return func(s *Status) {
			next := s.NextRuns
			*s = Status{ID: s.ID, Installation: InstallationLegacy, CheckedAt: s.CheckedAt, Summary: s.Summary, NextRuns: next}
			s.NextRuns = []NextRun{{"auto-backup-daily", at("24 06:00")}}
			if newest != nil {
				s.LastRun = runOf(*newest)
				s.History = []history.Run{*s.LastRun}
				if !newest.Success {
					s.Failures = 1
				}
			}
			if success != nil {
				s.LastSuccess = runOf(*success)
			}
			s.is(means, problems...)
			if means == checks.Healthy {
				s.Summary = lead + "is healthy: the last one succeeded at 2026-11-23 06:00 (UTC) with 12 records; the next one is due at 2026-11-24 06:00 (UTC)."
			}
		}
	}
	legacy := problemOf("legacy", checks.Healthy, one)
	jobs := func(names string) checks.Finding {
		return problemOf("legacy", checks.Healthy, "The backups are made by "+names+", without retry, verification or alert.")
	}
	runs := func(next []NextRun, want func(*Status)) func(*Status) {
		return func(s *Status) {
			want(s)
			s.NextRuns = next
		}
	}
	noSign := problemOf("never_ran", checks.NeverRan, "public.backup_logs has no row of action_type 'backup': the jobs have left no sign of a backup, whatever pg_cron says of their ticks.")
	noBackup := problemOf("no_backup", checks.Failing, "pg_cron ran the job auto-backup-daily, which was due at 2026-11-23T06:00:00Z, and no backup came of it.")
	old := row("22 09:59:59", true, "Backup ID: x")
	runCases(t, []aCase{
		{name: "a success", change: with(&facts.LastLog{Newest: good, Success: good}), want: is(good, good, checks.Healthy, legacy)},
		{name: "no log of it", change: also(with(nil), func(p *project) { p.database.Ticks = nil }), want: is(nil, nil, checks.NeverRan, noSign, legacy)},
		{name: "an empty log", change: with(&facts.LastLog{}), want: is(nil, nil, checks.Failing, noBackup, noSign, legacy)},
		{name: "an empty log just after the tick", change: also(with(&facts.LastLog{}), func(p *project) { p.query.At, p.query.Clock = at("06:19"), time.Time{} }), want: func(s *Status) {
			s.CheckedAt = at("06:19")
			is(nil, nil, checks.Failing, problemOf("no_backup", checks.Failing, "pg_cron ran the job auto-backup-daily, which was due at 2026-11-22T06:00:00Z, and no backup came of it."), noSign, legacy)(s)
		}},
		{name: "an empty log after a tick of the other job", change: also(with(&facts.LastLog{}, legacyJob(2, "auto-backup-daily", "0 6 * * *", true)), func(*project) {}),
			want: is(nil, nil, checks.NeverRan, noSign, legacy)},
		{name: "an empty log and a schedule that cannot be read", change: with(&facts.LastLog{}, legacyJob(1, "auto-backup-daily", "@reboot", true)),
			want: runs(nil, is(nil, nil, checks.NeverRan, noSign, jobs("the job auto-backup-daily (@reboot)")))},
		{name: "a failure", change: with(&facts.LastLog{Newest: row("09:00", false, "Erro: no\ttable."), Success: good}), want: func(s *Status) {
			newest := row("09:00", false, "")
			is(newest, good, checks.Failing, problemOf("backup_failed", checks.Failing, "The latest backup, of 2026-11-23T09:00:00Z, failed: “Erro: no table”."), legacy)(s)
			s.LastRun.WhatHappened, s.History[0].WhatHappened = "Erro: no table.", "Erro: no table."
		}},
		{name: "failures only", change: with(&facts.LastLog{Newest: row("09:00", false, "Erro: no table")}), want: is(row("09:00", false, ""), nil, checks.Failing,
			problemOf("backup_failed", checks.Failing, "The latest backup, of 2026-11-23T09:00:00Z, failed: “Erro: no table”."), legacy)},
		{name: "an empty log after the ticks of two jobs", change: with(&facts.LastLog{}, legacyJob(1, "evening", "0 18 * * *", true), legacyJob(2, "auto-backup-daily", "0 6 * * *", true), legacyJob(3, "night", "0 1 * * *", true)),
			want: runs([]NextRun{{"evening", at("18:00")}, {"night", at("24 01:00")}, {"auto-backup-daily", at("24 06:00")}}, is(nil, nil, checks.Failing, noBackup, noSign,
				jobs("the jobs evening (0 18 * * *), auto-backup-daily (0 6 * * *), night (0 1 * * *)")))},
		{name: "too old", change: with(&facts.LastLog{Newest: old, Success: old}),
			want: is(old, old, checks.Late, problemOf("overdue", checks.Late, "No backup has succeeded since 2026-11-22T09:59:59Z; the jobs' schedules allow 1 d 2 h."), legacy)},
		{name: "just not too old", change: with(&facts.LastLog{Newest: row("22 10:00", true, "Backup ID: x"), Success: row("22 10:00", true, "Backup ID: x")}), want: func(s *Status) {
			r := row("22 10:00", true, "")
			is(r, r, checks.Healthy, legacy)(s)
			s.Summary = lead + "is healthy: the last one succeeded at 2026-11-22 10:00 (UTC) with 12 records; the next one is due at 2026-11-24 06:00 (UTC)."
		}},
		{name: "too old for two jobs", change: with(&facts.LastLog{Newest: old, Success: old}, legacyJob(1, "auto-backup-daily", "0 6 * * *", true), legacyJob(2, "evening", "0 18 * * *", true)),
			want: runs([]NextRun{{"evening", at("18:00")}, {"auto-backup-daily", at("24 06:00")}}, is(old, old, checks.Late,
				problemOf("overdue", checks.Late, "No backup has succeeded since 2026-11-22T09:59:59Z; the jobs' schedules allow 14 h 0 min."), jobs("the jobs auto-backup-daily (0 6 * * *), evening (0 18 * * *)")))},
		{name: "too old for a schedule that cannot be read", change: with(&facts.LastLog{Newest: old, Success: old}, legacyJob(1, "auto-backup-daily", "@reboot", true)),
			want: runs(nil, is(old, old, checks.Late, problemOf("overdue", checks.Late, "No backup has succeeded since 2026-11-22T09:59:59Z; the jobs' schedules allow 1 d 2 h."), jobs("the job auto-backup-daily (@reboot)")))},
		{name: "no active job", change: with(&facts.LastLog{Newest: old, Success: old}, legacyJob(1, "auto-backup-daily", "0 6 * * *", false)),
			want: runs(nil, is(old, old, checks.Late, problemOf("job_inactive", checks.Late, "Every job that would make a backup is switched off."), legacy,
				problemOf("job_inactive", checks.Healthy, "The job auto-backup-daily is switched off.")))},
		{name: "one active job", change: with(&facts.LastLog{Newest: good, Success: good}, legacyJob(1, "auto-backup-daily", "0 6 * * *", true), legacyJob(2, "evening", "0 18 * * *", false), legacyJob(3, "evening", "0 18 * * *", false)),
			want: is(good, good, checks.Healthy, jobs("the jobs auto-backup-daily (0 6 * * *), evening (0 18 * * *), evening (0 18 * * *)"), problemOf("job_inactive", checks.Healthy, "The job evening is switched off."))},
		{name: "a tick failed", change: also(with(&facts.LastLog{Newest: good, Success: good}), func(p *project) {
			p.database.Ticks[1] = facts.Tick{Status: "failed", Message: "\nERROR:  no such function.\nCONTEXT: x"}
		}), want: is(good, good, checks.Failing, problemOf("tick_failed", checks.Failing, "The latest tick of the job auto-backup-daily failed: ERROR: no such function."), legacy)},
		{name: "no scheduler", change: also(with(&facts.LastLog{Newest: good, Success: good}), func(p *project) { p.database.Processes.PgCron = false }),
			want: is(good, good, checks.SchedulerDown, found("scheduler_absent", checks.SchedulerDown), legacy)},
		{name: "other checks are of no use", change: also(with(&facts.LastLog{Newest: good, Success: good}), func(p *project) { p.database.Processes.PgNet = false }),
			want: is(good, good, checks.Healthy, legacy)},
		{name: "the log is gone", change: also(with(nil), func(p *project) { p.database.Relations["public.backup_logs"] = facts.Missing }),
			want: is(nil, nil, checks.Failing, problemOf("not_readable", checks.Failing, "public.backup_logs, the only record of such backups, cannot be read: it is missing."), legacy)},
		{name: "the log is hidden", change: also(with(&facts.LastLog{Newest: good, Success: good}), func(p *project) { p.database.Relations["public.backup_logs"] = facts.Filtered }),
			want: is(nil, nil, checks.Failing, problemOf("not_readable", checks.Failing, "public.backup_logs, the only record of such backups, cannot be read: it is filtered."), legacy)},
	})
}
