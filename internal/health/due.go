package health

import (
	"maps"
	"reflect"
	"slices"
	"sync"
	"time"

	"github.com/aimindset/terraform-provider-aimindset/internal/backup"
	"github.com/aimindset/terraform-provider-aimindset/internal/facts"
	"github.com/aimindset/terraform-provider-aimindset/internal/history"
	"github.com/aimindset/terraform-provider-aimindset/internal/payload"
	"github.com/aimindset/terraform-provider-aimindset/internal/schedule"
)

// The rules in this file are those by which the watchdog acts: catch_up.sql,
// retry.sql and overdue.sql. TestWatchdogRules in package failures compares them
// with a real watchdog.

// plan is an enabled schedule of the settings.
type plan struct {
	key string
	schedule.Timed
	// err says why the schedule cannot be read.
	err error
	// since is the time since when the schedule is as it is. What was due before
	// counts as not due.
	since time.Time
}

// plans are the enabled schedules, by key.
func (a *assessment) plans() []plan {
	var all []plan
	for _, key := range slices.Sorted(maps.Keys(a.subject.Spec.Settings.Schedules)) {
		if s := a.subject.Spec.Settings.Schedules[key]; s.Enabled {
			timed, err := s.Timed()
			if err == nil {
				// What is due is the database's to say.
				timed.Location, _, err = a.subject.ZoneChanges.Location(s.Zone, a.subject.Now)
			}
			all = append(all, plan{key, timed, err, a.since(key, s)})
		}
	}
	return all
}

// since is the time since when a schedule is as it is, as the watchdog would note
// it now.
func (a *assessment) since(key string, s backup.Schedule) time.Time {
	row, noted := a.subject.Schedules[key]
	updated := a.subject.Settings.UpdatedAt
	if updated.After(a.subject.Now) {
		updated = a.subject.Now
	}
	switch {
	case !noted || row.Since.After(a.subject.Now):
		return updated
	case reflect.DeepEqual(row.Definition, definition(s)):
		return row.Since
	case a.subject.Settings.UpdatedAt.After(row.Since):
		return updated
	}
	// It was changed again without the provider.
	return a.subject.Now
}

func definition(s backup.Schedule) facts.Definition {
	return facts.Definition{
		Zone: s.Zone, Minutes: s.Minutes, Hours: s.Hours, Days: s.Days, Months: s.Months, Weekdays: s.Weekdays, DaysEither: s.DaysEither,
	}
}

// missed is the latest due time of a schedule for which the watchdog would start
// a run if it looked at a given time, as far as is known now.
func (a *assessment) missed(p plan, at time.Time) (time.Time, bool) {
	// A schedule that cannot be read is never due.
	due, ok := p.Expr.Latest(p.Location, p.since, at.Add(-payload.TickPatience))
	if !ok || a.subject.CaughtUpAt.After(due) {
		return time.Time{}, false
	}
	latest, any := a.subject.Latest[p.key]
	return due, !any || latest.DueAt.Before(due)
}

// nextRetry is when the watchdog will repeat a failed attempt, zero when it will
// not: because there is none, or because another run comes first. should is when it
// should have at the latest, which stays the same where it does not look any more.
func (a *assessment) nextRetry(plans []plan) (at, should time.Time) {
	var due time.Time
	for _, p := range plans {
		run := a.subject.Latest[p.key]
		if run.State != history.Failed || run.Attempt > a.subject.Spec.Settings.Retry.Attempts {
			continue
		}
		if s := a.LastSuccess; s != nil && !s.FinishedAt.Before(run.FinishedAt) {
			continue
		}
		delay := time.Duration(a.subject.Spec.Settings.Retry.DelaySeconds) * time.Second
		if at := run.FinishedAt.Add(delay - payload.RetryTolerance); due.IsZero() || at.Before(due) {
			due = at
		}
	}
	if due.IsZero() || len(a.subject.UnderWay) > 0 {
		return time.Time{}, time.Time{}
	}
	if due.Before(a.WatchedAt) {
		should = a.WatchedAt // it has looked then, and not repeated it
	} else {
		should = due
	}
	if due.Before(a.subject.Now) {
		due = a.subject.Now
	}
	tick := nextLook(due)
	if should = nextLook(should.Add(time.Second)); should.After(tick) {
		should = tick
	}
	if len(a.NextRuns) > 0 && !a.NextRuns[0].DueAt.After(tick) {
		return time.Time{}, time.Time{}
	}
	for _, p := range plans {
		if _, missed := a.missed(p, tick); missed {
			return time.Time{}, time.Time{}
		}
	}
	return tick, should
}

var watchdogTicks = sync.OnceValue(func() schedule.Expr {
	expression, err := schedule.Parse(backup.WatchdogSchedule)
	if err != nil {
		panic("health: the watchdog's schedule is broken: " + err.Error())
	}
	return expression
})

// nextLook is the first time at which the watchdog is due, not before a given one.
func nextLook(at time.Time) time.Time {
	return watchdogTicks().Next(time.UTC, at.Add(-time.Nanosecond), 1)[0]
}

// waitsSince is the time since when a success is waited for, zero when no schedule
// is enabled.
func (a *assessment) waitsSince(plans []plan) time.Time {
	if len(plans) == 0 {
		return time.Time{}
	}
	since := slices.MinFunc(plans, func(x, y plan) int { return x.since.Compare(y.since) }).since
	if created := a.subject.Settings.CreatedAt; since.Before(created) && !created.After(a.subject.Now) {
		since = created
	}
	if s := a.LastSuccess; s != nil && since.Before(s.FinishedAt) {
		since = s.FinishedAt
	}
	return since
}
