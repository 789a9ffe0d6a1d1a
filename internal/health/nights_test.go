package health

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/aimindset/terraform-provider-aimindset/internal/backup"
	"github.com/aimindset/terraform-provider-aimindset/internal/facts"
	"github.com/aimindset/terraform-provider-aimindset/internal/history"
)

// signs are the outcomes in the tables of this file.
var signs = map[Outcome]string{
	OutcomeMade: "m", OutcomeMadeLate: "l", OutcomeMadeAgain: "a", OutcomeFailed: "F", OutcomeMissed: "X", OutcomeNone: ".", OutcomePending: "p", OutcomeUnknown: "?",
}

// calendarOf are the signs of a status's nights.
func calendarOf(s Status) string {
	var b strings.Builder
	for _, n := range s.Nights {
		b.WriteString(signs[n.Outcome])
	}
	return b.String()
}

// scheduled is a schedule in a zone of its own, with the watchdog's note of it.
func (p *project) scheduled(key, cron, zone, since string) {
	s, err := backup.CompileSchedule(cron, &zone, "", true, now)
	if err != nil {
		panic(err)
	}
	p.settings.Schedules[key] = s
	p.own.Schedules[key] = facts.NotedSchedule{Since: at(since), Definition: definition(s)}
}

// only makes a schedule of the backup's zone its only one.
func (p *project) only(cron, since string) {
	p.settings.Schedules = map[string]backup.Schedule{}
	p.scheduled("daily", cron, p.settings.Timezone, since)
}

// late is a run that was requested and ended some time after it was due.
func late(r history.Run, by time.Duration) history.Run {
	r.RequestedAt = r.RequestedAt.Add(by)
	if !r.FinishedAt.IsZero() {
		r.FinishedAt = r.FinishedAt.Add(by)
	}
	return r
}

// again is a run that was not the first attempt.
func again(r history.Run, n int64) history.Run {
	r.Attempt, r.Trigger = n, history.TriggerRetry
	return r
}

// TestNights proves what is said of each of the last days: which of its due times
// decides, what stands for a due time without a run of its own, and that what was due
// before a schedule was as it is counts as not due.
func TestNights(t *testing.T) {
	t.Parallel()
	byJob := func(due string, state history.State) history.Run {
		return run("r", "daily", history.TriggerSchedule, due, state)
	}
	caughtUp := func(due string, state history.State) history.Run {
		return late(run("r", "daily", history.TriggerCatchUp, due, state), 3*time.Hour)
	}
	manual := func(due string, state history.State) history.Run {
		return run("m", "manual", history.TriggerManual, due, state)
	}
	const made, failed, requested = history.Succeeded, history.Failed, history.Requested
	for _, c := range []struct {
		name string
		// change may be nil; since is when the schedule daily, at 06:00 UTC, was made.
		change func(p *project)
		since  string
		nights []history.Run
		// want ends with 23 November, which is today; days before are not due.
		want string
	}{
		{"nothing was due yet", nil, "23 07:00", nil, "."},
		{"made", nil, "21 07:00", []history.Run{byJob("23 06:00", made), byJob("22 06:00", made)}, "mm"},
		{"due before the schedule was as it is", nil, "22 06:00", []history.Run{byJob("23 06:00", made), byJob("20 06:30", made), byJob("19 06:00", failed)}, "Fm..m"},
		{"failed, so far", nil, "21 07:00", []history.Run{again(byJob("23 06:00", failed), 2), byJob("22 06:00", made)}, "mF"},
		{"the second attempt", nil, "21 07:00", []history.Run{again(byJob("23 06:00", made), 2), byJob("22 06:00", made)}, "ma"},
		{"the second attempt of what the watchdog had started", nil, "21 07:00", []history.Run{byJob("23 06:00", made), again(caughtUp("22 06:00", made), 2)}, "am"},
		{"started by the watchdog", nil, "21 07:00", []history.Run{byJob("23 06:00", made), caughtUp("22 06:00", made)}, "lm"},
		{"started by the watchdog, and failed", nil, "21 07:00", []history.Run{byJob("23 06:00", made), caughtUp("22 06:00", failed)}, "Fm"},
		{"as late as may be", nil, "21 07:00", []history.Run{byJob("23 06:00", made), late(byJob("22 06:00", made), duePatience-10*time.Second)}, "mm"},
		{"later than that", nil, "21 07:00", []history.Run{byJob("23 06:00", made), late(byJob("22 06:00", made), duePatience)}, "lm"},
		{"one run after a pause", nil, "20 07:00", []history.Run{caughtUp("23 06:00", made)}, "XXl"},
		{"an attempt is under way", nil, "21 07:00", []history.Run{byJob("23 06:00", requested), byJob("22 06:00", made)}, "mp"},
		{"manual beside a due time", nil, "20 07:00", []history.Run{manual("23 08:00", failed), byJob("23 06:00", made), manual("22 09:00", made), byJob("22 06:00", failed), manual("21 09:00", made)}, "XFm"},
		{"manual on days without one", nil, "23 07:00", []history.Run{manual("23 08:00", requested), manual("22 09:00", made), manual("22 08:00", made), manual("21 09:00", failed)}, "mp"},
		{"weekly", func(p *project) { p.only("0 3 * * 0", "08 07:00") }, "", []history.Run{byJob("22 06:00", made)}, "X......m."},
		{"of a schedule that is disabled now", func(p *project) { p.settings.Schedules["daily"] = backup.Schedule{} }, "01 00:00", []history.Run{byJob("22 06:00", made)}, "m."},
		{"due later today", func(p *project) { p.only("0 20 * * *", "21 00:00") }, "", []history.Run{byJob("22 23:00", made)}, "Xmp"},
		{"due just now", func(p *project) { p.only("50 8 * * *", "21 12:00") }, "", []history.Run{byJob("22 11:50", made)}, "mp"},
		{"not started in time", func(p *project) { p.only("39 8 * * *", "21 12:00") }, "", []history.Run{byJob("22 11:39", made)}, "mX"},
		{"not started because another is under way", func(p *project) {
			p.only("39 8 * * *", "21 12:00")
			p.own.UnderWay = []history.Run{manual("11:38", requested)}
		}, "", []history.Run{byJob("22 11:39", made)}, "mp"},
		{"several a day, of which the worst counts", func(p *project) { p.only("0 1,3,5 * * *", "19 07:50") }, "", []history.Run{
			byJob("23 08:00", made), again(byJob("23 06:00", made), 2), byJob("23 04:00", made),
			byJob("22 08:00", made), byJob("22 04:00", made),
			byJob("21 08:00", made), late(byJob("21 06:00", made), time.Hour), byJob("21 04:00", made),
			byJob("20 08:00", failed), byJob("20 04:00", made),
			byJob("19 08:00", made),
		}, "mFlXa"},
		{"one run for all that were missed before it", func(p *project) { p.only("0 1,3,5 * * *", "21 12:00") }, "", []history.Run{
			byJob("23 08:00", made), byJob("23 06:00", made), byJob("23 04:00", made), caughtUp("22 08:00", made),
		}, "lm"},
		{"and none for those after it", func(p *project) { p.only("0 1,3,5 * * *", "21 12:00") }, "", []history.Run{
			byJob("23 08:00", made), byJob("23 06:00", made), byJob("23 04:00", made), late(run("r", "daily", history.TriggerCatchUp, "22 04:00", made), time.Hour), byJob("22 08:00", made),
		}, "Xm"},
		{"two schedules", func(p *project) { p.scheduled("weekly", "0 12 * * 1", "UTC", "16 11:00") }, "20 07:00", []history.Run{
			byJob("23 06:00", made), byJob("22 06:00", made), byJob("21 06:00", made), run("w", "weekly", history.TriggerSchedule, "16 12:00", made),
		}, "m....mmp"},
		{"the day is that of the backup's zone", func(p *project) { p.only("0 23 * * *", "21 03:00") }, "", []history.Run{byJob("23 02:00", made), byJob("22 02:00", made)}, "mmp"},
		{"days with a change of the clock", func(p *project) {
			p.settings.Timezone = "Europe/Lisbon"
			p.query.At = at("02 12:00")
			p.only("30 0,1,23 * * *", "01 00:00")
			// In Lisbon, 25 October 2026 has 25 hours.
			s := p.own.Schedules["daily"]
			s.Since = at("01 00:00").AddDate(0, 0, -8)
			p.own.Schedules["daily"] = s
		}, "", []history.Run{byJob("02 01:30", made), byJob("02 00:30", made)}, "XXXXXXXXXp"},
		{"a schedule that cannot be read", func(p *project) {
			broken := p.settings.Schedules["daily"]
			broken.Cron = "nonsense"
			p.settings.Schedules["daily"] = broken
		}, "01 00:00", []history.Run{byJob("22 06:00", failed)}, "F."},
		{"settings that cannot be read", func(p *project) { p.own.Settings.Document = []byte(`{"schedules": 1}`) }, "01 00:00", []history.Run{byJob("22 06:00", made)}, "m."},
		{"a history that may not be read", func(p *project) { p.database.Relations["auto_backup.runs"] = facts.Forbidden }, "01 00:00", nil, strings.Repeat("?", 30)},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			p := healthy(t)
			if c.since != "" {
				p.only("0 3 * * *", c.since)
			}
			if c.change != nil {
				c.change(p)
			}
			p.own.Nights = c.nights
			s := p.assess(t)
			want := strings.Repeat(".", 30-len(c.want)) + c.want
			if got := calendarOf(s); got != want {
				t.Errorf("the nights are %s\nwant          %s", got, want)
			}
			if named := s.location().String(); s.Location != nil && named != p.settings.Timezone || s.Location == nil && !strings.Contains(c.name, "settings that cannot") {
				t.Errorf("the zone is %s", named)
			}
			last := s.CheckedAt.In(saoPaulo).Format(time.DateOnly)
			if n := len(s.Nights); n != 30 || s.Nights[29].Day != last || s.Nights[0].Day != s.CheckedAt.In(saoPaulo).AddDate(0, 0, -29).Format(time.DateOnly) {
				t.Errorf("the days are those from %s to %s", s.Nights[0].Day, s.Nights[len(s.Nights)-1].Day)
			}
		})
	}
}

// TestNightsOfRuns proves what a day says of its runs, that an outcome counts as soon as
// it is in the logs, and that what was not read of a long history is unknown.
func TestNightsOfRuns(t *testing.T) {
	t.Parallel()
	p := healthy(t)
	p.only("0 1,3,5 * * *", "22 12:00")
	long := run("r2", "daily", history.TriggerSchedule, "06:00", history.Succeeded)
	long.FinishedAt, long.Records = at("06:03"), ptr(int64(7))
	open := run("r3", "daily", history.TriggerSchedule, "04:00", history.Requested)
	p.own.UnderWay = []history.Run{open}
	p.own.Nights = []history.Run{run("r1", "daily", history.TriggerSchedule, "08:00", history.Succeeded), long, open}
	p.own.History = []history.Run{run("r3", "daily", history.TriggerSchedule, "04:00", history.Succeeded)}
	today := p.assess(t).Nights[29]
	if today.Outcome != OutcomeMade || today.Duration != 3*time.Minute || today.Records == nil || *today.Records != 7 {
		t.Errorf("the day is %+v", today)
	}

	p = healthy(t)
	p.only("*/5 * * * *", "01 00:00")
	for i := range facts.NightsLimit {
		r := run(fmt.Sprint(i), "daily", history.TriggerSchedule, "11:55", history.Succeeded)
		p.own.Nights = append(p.own.Nights, late(r, 0))
		r = late(r, -time.Duration(i)*5*time.Minute)
		r.DueAt = r.RequestedAt
		p.own.Nights[i] = r
	}
	// 2,000 times five minutes are six days and more than 22 hours.
	if got, want := calendarOf(p.assess(t)), strings.Repeat("?", 23)+"mmmmmmp"; got != want {
		t.Errorf("the nights are %s\nwant          %s", got, want)
	}

	for name, change := range map[string]func(p *project){
		"legacy": func(p *project) {
			p.own = facts.OfBackup{}
			p.database.Jobs = []backup.Job{{ID: 1, Name: "backup", Schedule: "0 3 * * *", Command: "select backup_all_data()", Active: true}}
		},
		"none": func(p *project) { p.own, p.database.Jobs = facts.OfBackup{}, []backup.Job{} },
	} {
		p = healthy(t)
		change(p)
		if s := p.assess(t); s.Installation != Installation(name) || s.Nights != nil {
			t.Errorf("a backup of the kind %q, not %q, has the nights %+v", s.Installation, name, s.Nights)
		}
	}
}
