package health

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/aimindset/terraform-provider-aimindset/internal/backup"
	"github.com/aimindset/terraform-provider-aimindset/internal/checks"
	"github.com/aimindset/terraform-provider-aimindset/internal/facts"
	"github.com/aimindset/terraform-provider-aimindset/internal/history"
	"github.com/aimindset/terraform-provider-aimindset/internal/payload"
	"github.com/aimindset/terraform-provider-aimindset/internal/schedule"
)

// TestWatchdogInterval proves that the watchdog's schedule has the interval that
// follows from it.
func TestWatchdogInterval(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ at, want string }{
		{"06:00", "06:00"}, {"06:00:01", "06:10"}, {"06:09:59", "06:10"}, {"06:10", "06:10"}, {"23:55", "24 00:00"},
	} {
		tick := nextLook(at(c.at))
		if !tick.Equal(at(c.want)) {
			t.Errorf("after %s it looks at %s, not at %s", c.at, tick, c.want)
		}
		if next := nextLook(tick.Add(time.Second)); next.Sub(tick) != payload.WatchdogInterval {
			t.Errorf("it looks again after %s", next.Sub(tick))
		}
	}
	if runPatience != 40*time.Minute {
		t.Errorf("codes.json says that a run is stuck after forty minutes, not after %s", runPatience)
	}
}

// TestDue proves when a due time counts as missed: which rows of the run history
// stand for it, since when it counts, and how long its job and the watchdog have.
func TestDue(t *testing.T) {
	t.Parallel()
	missed := func(schedule, due string) checks.Finding {
		return problemOf("due_missed", checks.Late, "The schedule "+schedule+" was due at "+due+", and neither its job nor the watchdog has started a backup since.")
	}
	one := missed("daily", "2026-11-23T06:00:00Z")
	late := func(problems ...checks.Finding) func(*Status) {
		return func(s *Status) { s.is(checks.Late, problems...) }
	}
	// asked asks at a time, when only the backup of the day before was made.
	asked := func(when string, further ...func(*project)) func(*project) {
		return func(p *project) {
			p.query.At, p.query.Clock = at(when), time.Time{}
			p.own.Watchdog.At = at(when)
			p.happened(yesterday)
			for _, change := range further {
				change(p)
			}
		}
	}
	since := func(row string, cron string) func(*project) {
		return func(p *project) {
			noted := facts.NotedSchedule{Since: at(row), Definition: p.own.Schedules["daily"].Definition}
			if cron != "" {
				noted.Definition.Minutes = []int{30}
			}
			p.own.Schedules = map[string]facts.NotedSchedule{"daily": noted}
		}
	}
	updated := func(when string) func(*project) {
		return func(p *project) { p.own.Settings.UpdatedAt = at(when) }
	}
	unnoted := func(p *project) { p.own.Schedules = nil }
	then := func(when string, want func(*Status)) func(*Status) {
		return func(s *Status) {
			s.CheckedAt, s.WatchedAt = at(when), at(when)
			s.Summary = lead + "is healthy: the last one succeeded at 2026-11-22 03:00 (UTC-03:00) with 321 records" + tomorrow
			if want != nil {
				s.Summary = "" // that of the first problem
				want(s)
			}
		}
	}
	twice := func(p *project) {
		noon, err := backup.CompileSchedule("30 5 * * *", nil, "UTC", true, now)
		if err != nil {
			panic(err)
		}
		p.settings.Schedules["early"] = noon
		p.own.Schedules["early"] = facts.NotedSchedule{Since: at("01 00:00"), Definition: definition(noon)}
		p.happened(run("e", "early", history.TriggerSchedule, "22 05:30", history.Succeeded), yesterday)
	}
	both := func(s *Status) {
		s.NextRuns = append([]NextRun{{"early", at("24 05:30")}}, s.NextRuns...)
	}
	cases := []aCase{
		{name: "just before", change: asked("06:19:59"), want: then("06:19:59", nil)},
		{name: "just after", change: asked("06:20"), want: then("06:20", late(one))},
		{name: "a run was due later", change: asked("06:20", func(p *project) {
			p.happened(byJob("r", "06:01", history.Succeeded))
		}), want: func(s *Status) {
			then("06:20", nil)(s)
			s.Summary = lead + "is healthy: the last one succeeded at 2026-11-23 03:01 (UTC-03:00) with 321 records" + tomorrow
		}},
		{name: "a run was due a moment before", change: asked("06:20", func(p *project) {
			p.happened(byJob("r", "05:59", history.Succeeded))
		}), want: then("06:20", late(one))},
		{name: "a manual success", change: asked("06:20", func(p *project) {
			p.happened(run("m", "manual", history.TriggerManual, "06:05", history.Succeeded), yesterday)
		}), want: then("06:20", late(one))},
		{name: "a run is under way", change: asked("06:20", func(p *project) {
			p.happened(run("m", "manual", history.TriggerManual, "06:05", history.Running), yesterday)
		}), want: func(s *Status) {
			then("06:20", nil)(s)
			s.Condition, s.Summary = checks.Running, lead+"is running: an attempt is under way; the last one succeeded at 2026-11-22 03:00 (UTC-03:00) with 321 records"+tomorrow
		}},
		{name: "the runs are hidden", change: asked("06:20", func(p *project) {
			p.database.Relations["auto_backup.runs"] = facts.Forbidden
		}), want: then("06:20", func(s *Status) { s.is(checks.Failing, found("not_readable", checks.Failing)) })},
		{name: "caught up", change: asked("06:20", func(p *project) { p.own.CaughtUpAt = at("06:00:01") }), want: then("06:20", nil)},
		{name: "caught up before", change: asked("06:20", func(p *project) { p.own.CaughtUpAt = at("06:00") }), want: then("06:20", late(one))},
		{name: "since a moment before", change: asked("06:20", since("05:59", "")), want: then("06:20", late(one))},
		{name: "since the due time", change: asked("06:20", since("06:00", "")), want: then("06:20", nil)},
		{name: "since a time after now", change: asked("06:20", since("24 00:00", ""), updated("05:59")), want: then("06:20", late(one))},
		{name: "since a time after now, and an apply too", change: asked("06:20", since("24 00:00", ""), updated("23:00")), want: then("06:20", nil)},
		{name: "not noted, since an apply before", change: asked("06:20", unnoted, updated("05:59")), want: then("06:20", late(one))},
		{name: "not noted, since an apply after", change: asked("06:20", unnoted, updated("06:00")), want: then("06:20", nil)},
		{name: "changed by an apply before", change: asked("06:20", since("05:00", "30"), updated("05:59")), want: then("06:20", late(one))},
		{name: "changed by an apply after", change: asked("06:20", since("05:00", "30"), updated("06:00")), want: then("06:20", nil)},
		{name: "changed without an apply", change: asked("06:20", since("05:59", "30"), updated("05:59")), want: then("06:20", nil)},
		{name: "two schedules", change: asked("06:20", twice), want: then("06:20", func(s *Status) {
			both(s)
			s.is(checks.Late, one, missed("early", "2026-11-23T05:30:00Z"))
		})},
		{name: "a schedule is off", change: asked("06:20", twice, func(p *project) {
			off := p.settings.Schedules["daily"]
			off.Enabled = false
			p.settings.Schedules["daily"] = off
		}), want: then("06:20", func(s *Status) {
			s.NextRuns = []NextRun{{"early", at("24 05:30")}}
			s.is(checks.Late, missed("early", "2026-11-23T05:30:00Z"))
		})},
		{name: "a schedule cannot be read", change: asked("06:20", twice, func(p *project) {
			p.settings.Schedules["daily"] = backup.Schedule{Cron: "never", Zone: "America/Sao_Paulo", Enabled: true, UTC: "0 6 * * *"}
		}), want: then("06:20", func(s *Status) {
			s.NextRuns = []NextRun{{"early", at("24 05:30")}}
			s.is(checks.Failing, problemOf("schedule_unreadable", checks.Failing, unreadable(backup.Schedule{Cron: "never", Zone: "America/Sao_Paulo"})), missed("early", "2026-11-23T05:30:00Z"))
		})},
		{name: "a zone cannot be read", change: asked("06:20", func(p *project) {
			s := p.settings.Schedules["daily"]
			s.Zone = "America/Sao_Paolo"
			p.settings.Schedules["daily"] = s
		}), want: then("06:20", func(s *Status) {
			s.NextRuns = nil
			s.is(checks.Failing, problemOf("schedule_unreadable", checks.Failing, unreadable(backup.Schedule{Cron: "0 3 * * *", Zone: "America/Sao_Paolo"})))
		})},
		{name: "no schedule", change: func(p *project) { clear(p.settings.Schedules) }, want: func(s *Status) {
			s.NextRuns, s.Summary = nil, strings.TrimSuffix(s.Summary, tomorrow)+"."
			s.Problems = []checks.Finding{problemOf("no_schedule", checks.Healthy, "No schedule of the backup is enabled, so no backup is due.")}
		}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			p := healthy(t)
			p.settings.Alert.OverdueAfterSeconds = 0
			c.compare(t, p)
		})
	}
}

// unreadable is what is said of a schedule with this cron expression and zone.
func unreadable(s backup.Schedule) string {
	_, err := s.Timed()
	return "The schedule daily in auto_backup.settings cannot be read: " + err.Error() + "."
}

// TestDueByTheDatabase proves that a status goes by the database's rules of a time zone:
// a backup that was made at the right local time by them is not late, although the
// provider's rules say that it was due at another time.
func TestDueByTheDatabase(t *testing.T) {
	t.Parallel()
	plans := func(rules schedule.Rules) []plan {
		daily, err := backup.CompileSchedule("0 3 * * *", nil, backup.DefaultTimezone, true, now)
		if err != nil {
			t.Fatal(err)
		}
		a := assessment{subject: checks.Subject{Now: now}}
		if err := json.Unmarshal([]byte(`{"settings": {}}`), &a.subject.OfBackup); err != nil {
			t.Fatal(err)
		}
		a.subject.Spec.Settings.Schedules = map[string]backup.Schedule{"daily": daily}
		a.subject.ZoneChanges = rules
		return a.plans()
	}
	for name, c := range map[string]struct {
		rules schedule.Rules
		want  string
	}{
		"not asked":   {nil, "06:00"},
		"the same":    {schedule.Rules{backup.DefaultTimezone: {{0, -10800}}}, "06:00"},
		"summer time": {schedule.Rules{backup.DefaultTimezone: {{0, -7200}}}, "05:00"},
	} {
		got := plans(c.rules)
		if len(got) != 1 || got[0].err != nil {
			t.Fatalf("%s: the schedules are %+v", name, got)
		}
		if due := got[0].Expr.Next(got[0].Location, now, 1)[0].UTC().Format("15:04"); due != c.want {
			t.Errorf("%s: the next backup is due at %s, want %s", name, due, c.want)
		}
	}
}

// TestOverdue proves since when a success is waited for, how long, and what is said
// then; and when instead the first backup is still to come.
func TestOverdue(t *testing.T) {
	t.Parallel()
	const hour = 3600
	allowed := func(seconds int64, further ...func(*project)) func(*project) {
		return func(p *project) {
			p.settings.Alert.OverdueAfterSeconds = seconds
			for _, change := range further {
				change(p)
			}
		}
	}
	none := func(p *project) { p.happened() }
	created := func(when string) func(*project) {
		return func(p *project) { p.own.Settings.CreatedAt, p.own.Settings.UpdatedAt = at(when), at(when) }
	}
	noted := func(key, when string) func(*project) {
		return func(p *project) {
			p.own.Schedules[key] = facts.NotedSchedule{Since: at(when), Definition: definition(p.settings.Schedules[key])}
		}
	}
	second := func(p *project) {
		p.settings.Schedules["noon"] = p.settings.Schedules["daily"]
		p.own.Latest["noon"] = byJob("n", "06:00", history.Requested)
	}
	first := func(s *Status) {
		s.Problems = nil
		s.is(checks.NeverRan, problemOf("never_ran", checks.NeverRan, "No backup has been made yet; the first is due at 2026-11-24T03:00:00-03:00."))
	}
	overdue := func(words string) func(*Status) {
		return func(s *Status) { s.is(checks.Late, problemOf("overdue", checks.Late, words)) }
	}
	runCases(t, []aCase{
		{name: "never", change: allowed(0)},
		{name: "just not", change: allowed(6*hour - 10)},
		{name: "just", change: allowed(6*hour - 11), want: overdue("No backup has succeeded since 2026-11-23T06:00:10Z, and at most 5 h 59 min is allowed: the last one ended at 2026-11-23T06:00:10Z.")},
		{name: "a schedule that was made since", change: allowed(hour, noted("daily", "11:00")), want: nil},
		{name: "a schedule that was made longer ago", change: allowed(hour, noted("daily", "10:59:59")),
			want: overdue("No backup has succeeded since 2026-11-23T10:59:59Z, and at most 1 h 0 min is allowed: the last one ended at 2026-11-23T06:00:10Z.")},
		{name: "of two schedules the older one counts", change: allowed(hour, second, noted("daily", "10:00"), noted("noon", "11:30")), want: func(s *Status) {
			s.NextRuns = append(s.NextRuns, NextRun{"noon", s.NextRuns[0].DueAt})
			overdue("No backup has succeeded since 2026-11-23T10:00:00Z, and at most 1 h 0 min is allowed: the last one ended at 2026-11-23T06:00:10Z.")(s)
		}},
		{name: "none yet", change: allowed(hour, none, created("10:00"), noted("daily", "09:00")),
			want: overdue("No backup has succeeded since 2026-11-23T10:00:00Z, and at most 1 h 0 min is allowed: there has been none yet.")},
		{name: "none yet, not overdue", change: allowed(2*hour, none, created("10:00"), noted("daily", "09:00")), want: first},
		{name: "none yet, due never", change: allowed(hour, none, func(p *project) { clear(p.settings.Schedules) }), want: func(s *Status) {
			s.NextRuns = nil
			s.is(checks.NeverRan, problemOf("never_ran", checks.NeverRan, "No backup has been made yet; none is due."), problemOf("no_schedule", checks.Healthy, "No schedule of the backup is enabled, so no backup is due."))
		}},
		{name: "none yet, and something is wrong", change: allowed(0, none, created("10:00"), noted("daily", "09:00"), func(p *project) { p.own.Settings.Unfinished = true }),
			want: func(s *Status) { s.is(checks.Failing, found("unfinished", checks.Failing)) }},
		{name: "none yet, and something is worth a remark", change: allowed(0, none, created("10:00"), noted("daily", "10:00"), func(p *project) { p.functions = p.functions[:1] }), want: func(s *Status) {
			first(s)
			s.Problems = append(s.Problems, found("alert_function_missing", checks.Healthy))
			s.Summary = lead + "has not run yet: no backup has been made yet; the first is due at 2026-11-24 03:00 (UTC-03:00) (and 1 more problem)."
		}},
		{name: "none that can be seen", change: allowed(hour, none, created("10:00"), noted("daily", "09:00"), func(p *project) { p.database.Relations["auto_backup.runs"] = facts.Filtered }),
			want: func(s *Status) { s.is(checks.Failing, found("not_readable", checks.Failing)) }},
	})
}

// TestRetry proves when a failed attempt is repeated: at the watchdog's first look
// after the delay, unless something else comes first.
func TestRetry(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		now    string
		change func(p *project)
		want   string
	}{
		"at the next look":               {"06:03", nil, "06:20"},
		"just in time":                   {"06:03", finished("06:00:30"), "06:10"},
		"just too late":                  {"06:03", finished("06:00:31"), "06:20"},
		"it is time":                     {"06:20", nil, "06:20"},
		"it was time":                    {"06:20:01", nil, "06:30"},
		"another delay":                  {"06:03", func(p *project) { p.settings.Retry.DelaySeconds = 3600 }, "07:10"},
		"no attempt is left":             {"06:03", func(p *project) { p.settings.Retry.Attempts = 0 }, ""},
		"an attempt is under way":        {"06:03", func(p *project) { p.own.UnderWay = []history.Run{byJob("u", "06:02", history.Running)} }, ""},
		"it succeeded":                   {"06:03", func(p *project) { p.own.Latest["daily"] = byJob("r", "06:00", history.Succeeded) }, ""},
		"it is of no enabled schedule":   {"06:03", func(p *project) { p.own.Latest = map[string]history.Run{"weekly": byJob("r", "06:00", history.Failed)} }, ""},
		"a success since":                {"06:03", succeeded("06:02:01"), ""},
		"a success at the same time":     {"06:03", succeeded("06:02"), ""},
		"a success before":               {"06:03", succeeded("06:01:59"), "06:20"},
		"no success":                     {"06:03", func(p *project) { p.own.LastSuccess = nil }, "06:20"},
		"the next due time comes first":  {"06:03", other("20 3 * * *"), ""},
		"the next due time comes after":  {"06:03", other("21 3 * * *"), "06:20"},
		"another was missed until then":  {"06:03", other("2 3 * * *"), ""},
		"of two failures the first":      {"06:03", twoFailures("06:00:20", "06:02"), "06:10"},
		"of two failures the first, too": {"06:03", twoFailures("06:02", "06:00:20"), "06:10"},
		"the second attempt of three":    {"06:03", func(p *project) { p.settings.Retry.Attempts, p.own.Latest["daily"] = 2, attempt(2) }, "06:20"},
		"the third attempt of three":     {"06:03", func(p *project) { p.settings.Retry.Attempts, p.own.Latest["daily"] = 2, attempt(3) }, ""},
		"no schedule can be read": {"06:03", func(p *project) {
			p.settings.Schedules["daily"] = backup.Schedule{Cron: "never", Zone: "UTC", Enabled: true}
		}, "06:20"},
		"another schedule cannot be read": {"06:03", func(p *project) {
			p.settings.Schedules["other"] = backup.Schedule{Cron: "never", Zone: "UTC", Enabled: true}
		}, "06:20"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := healthy(t)
			p.query.At, p.query.Clock = at(c.now), time.Time{}
			failed := byJob("r", "06:00", history.Failed)
			failed.FinishedAt = at("06:02")
			p.happened(failed, yesterday)
			if c.change != nil {
				c.change(p)
			}
			var want time.Time
			if c.want != "" {
				want = at(c.want)
			}
			if got := p.assess(t).RetryAt; !got.Equal(want) {
				t.Errorf("got %s, want %s", got, want)
			}
		})
	}
}

// other is another schedule, which is as it is since the first one was due.
func other(cron string) func(*project) {
	return func(p *project) {
		s := compiled(cron)
		p.settings.Schedules["other"] = s
		p.own.Schedules["other"] = facts.NotedSchedule{Since: at("06:00"), Definition: definition(s)}
	}
}

// finished is when the failed attempt ended.
func finished(when string) func(*project) {
	return func(p *project) {
		r := p.own.Latest["daily"]
		r.FinishedAt = at(when)
		p.own.Latest["daily"] = r
	}
}

func succeeded(when string) func(*project) {
	return func(p *project) { p.own.LastSuccess = &history.Run{State: history.Succeeded, FinishedAt: at(when)} }
}

func attempt(n int64) history.Run {
	r := byJob("r", "06:00", history.Failed)
	r.Attempt, r.FinishedAt = n, at("06:02")
	return r
}

func twoFailures(one, other string) func(*project) {
	return func(p *project) {
		p.settings.Schedules["other"] = compiled("0 2 * * *")
		finished(one)(p)
		r := run("o", "other", history.TriggerSchedule, "05:00", history.Failed)
		r.FinishedAt = at(other)
		p.own.Latest["other"] = r
	}
}

// compiled is an enabled schedule in São Paulo.
func compiled(cron string) backup.Schedule {
	s, err := backup.CompileSchedule(cron, nil, "America/Sao_Paulo", true, now)
	if err != nil {
		panic(err)
	}
	return s
}
