package schedule

import (
	"errors"
	"math/bits"
	"slices"
	"sync"
	"time"

	"github.com/aimindset/terraform-provider-aimindset/internal/zone"
)

// Compiled is a schedule in local time as one pg_cron job.
type Compiled struct {
	// UTC is the expression of the job, in the portable subset and in the
	// normal form of [Expr.String]. It fires at every minute at which the
	// schedule is due.
	UTC string
	// Guarded says that UTC fires at other minutes too, so the dispatcher must
	// let only those through that auto_backup.due_times returns. If it is
	// false, UTC fires exactly when the schedule is due.
	Guarded bool
}

// Compile translates a schedule in a time zone into the schedule of a pg_cron
// job, as it holds from now on.
//
// It is always a single job. If the clock of the zone does not change in the next
// ten years, and one UTC expression has the same meaning as e, the job fires
// exactly when e is due. Otherwise it fires whenever e can be due, and the
// dispatcher lets only the due ticks through. Such a guarded job is as exact as
// several jobs would be. It has few superfluous ticks: in a zone with summer time
// a daily schedule ticks twice a day.
//
// The result depends on now only through the zone's rules: it stays the same
// until the clock has changed for the last time, or until a newer database has
// different rules. It is an error if e is the zero Expr or loc is nil.
func Compile(e Expr, loc *time.Location, now time.Time) (Compiled, error) {
	if e == (Expr{}) {
		return Compiled{}, errors.New("compile schedule: the expression is empty")
	}
	if loc == nil {
		return Compiled{}, errors.New("compile schedule: the time zone is missing")
	}
	clock := outlook(loc, now)
	var t ticks
	for _, offset := range clock.offsets {
		t.addShifted(e, offset)
	}
	oneToOne := len(clock.offsets) == 1 && t.timesPerDay() == e.timesPerDay()
	for _, g := range clock.gaps {
		t.addSkipped(e, g)
	}
	utc := t.superset(e)
	return Compiled{
		UTC:     utc.String(),
		Guarded: !oneToOne || !t.exact(utc, e),
	}, nil
}

// clock describes the clock of a zone from some time on.
type clock struct {
	// offsets are the distinct offsets from UTC in minutes, in the order of
	// their first use.
	offsets []int64
	// gaps are the changes at which local times are skipped.
	gaps []gap
	// spans are the adjacent stretches with one offset each.
	spans []span
}

// gap is a change that skips the local minutes within [from, to).
type gap struct {
	at       int64 // the first minute of UTC after the change
	from, to int64
}

// latestClocks are what outlook has last returned of package zone's locations. There are
// as many of these as names of zones, and any number of others.
var latestClocks sync.Map

// outlook describes the clock of a zone up to the horizon. It begins two days
// before now, because a change since then can make local times repeated.
func outlook(loc *time.Location, now time.Time) clock { return known(&latestClocks, loc, now) }

// known returns an outlook that is kept by location where it still holds.
func known(clocks *sync.Map, loc *time.Location, now time.Time) clock {
	// Every current rule for changing clocks takes effect within a year.
	const horizonYears = 10
	start, end := minuteOf(now)-2*minutesPerDay, minuteOf(now.AddDate(horizonYears, 0, 0))
	if kept, ok := clocks.Load(loc); ok {
		if c := kept.(clock); c.holds(start, end) { //nolint:forcetypeassert // there is nothing else in it
			return c
		}
	}
	c := survey(loc, start, end)
	if own, err := zone.Load(loc.String()); err == nil && own == loc {
		clocks.Store(loc, c)
	}
	return c
}

// holds reports whether a survey from start to end would be the same, but for the start
// of the first span and the end of the last, of which nobody asks.
func (c clock) holds(start, end int64) bool {
	first, last := c.spans[0], c.spans[len(c.spans)-1]
	return first.start <= start && start < first.end && end <= last.end
}

// survey describes the clock of a zone from a minute to another.
func survey(loc *time.Location, start, end int64) clock {
	var c clock
	for s := range spans(loc, start) {
		if s.start >= end {
			break
		}
		if n := len(c.spans); n > 0 {
			last := &c.spans[n-1]
			if last.offset == s.offset {
				last.end = s.end
				continue
			}
			if last.offset < s.offset {
				c.gaps = append(c.gaps, gap{s.start, s.start + last.offset, s.start + s.offset})
			}
		}
		c.spans = append(c.spans, s)
		if !slices.Contains(c.offsets, s.offset) {
			c.offsets = append(c.offsets, s.offset)
		}
	}
	return c
}

// ticks collects the times of the UTC day at which a job must fire, and by how
// many days the UTC date can be after the local one.
type ticks struct {
	minutes uint64
	hours   uint32
	shifts  [3]bool // by -1, 0 and 1 day
}

// addShifted adds all times of e under an offset.
func (t *ticks) addShifted(e Expr, offset int64) {
	for hours := uint64(e.hours); hours != 0; hours &= hours - 1 {
		for minutes := e.minutes; minutes != 0; minutes &= minutes - 1 {
			minute := 60*lowest(hours) + lowest(minutes)
			t.add(minute-offset, 0)
		}
	}
}

// addSkipped adds the first instant after a gap if e is due within it.
func (t *ticks) addSkipped(e Expr, g gap) {
	for local := g.from; local < g.to; local++ {
		if day := floorDiv(local, minutesPerDay); e.at(int(local - day*minutesPerDay)) {
			t.add(g.at, day)
		}
	}
}

// add adds a minute of UTC that is due for a local day.
func (t *ticks) add(minute, localDay int64) {
	day := floorDiv(minute, minutesPerDay)
	minute -= day * minutesPerDay
	t.hours |= 1 << (minute / 60)
	t.minutes |= 1 << (minute % 60)
	t.shifts[day-localDay+1] = true
}

// timesPerDay is the number of times at which the job fires on a day.
func (t *ticks) timesPerDay() int {
	return bits.OnesCount32(t.hours) * bits.OnesCount64(t.minutes)
}

// superset returns the UTC expression with the fewest days that fires on every
// day that e, moved by the shifts, can be due.
func (t *ticks) superset(e Expr) Expr {
	utc := Expr{minutes: t.minutes, hours: t.hours, either: e.either}
	for i, used := range t.shifts {
		if !used {
			continue
		}
		shift := i - 1
		for w := range 7 {
			if e.weekdays>>w&1 != 0 {
				utc.weekdays |= 1 << ((w + shift + 7) % 7)
			}
		}
		for _, year := range [...]int{2023, 2024} { // without and with a leap day
			for d := (date{year, 1, 1, 0}); d.year == year; d = d.next() {
				byDate := e.days>>d.day&1 != 0
				if e.months>>d.month&1 == 0 || !byDate && !e.either {
					continue
				}
				moved := d.shifted(shift)
				utc.months |= 1 << moved.month
				if byDate {
					utc.days |= 1 << moved.day
				}
			}
		}
	}
	// If the dates do not exist, either means the weekdays alone.
	if utc.either && utc.days == 0 {
		utc.days, utc.either = allDays, false
	}
	// Adding days that none of the months has makes the text shorter.
	longest := 0
	for m := 1; m <= 12; m++ {
		if utc.months>>m&1 != 0 {
			longest = max(longest, monthDays(m, true))
		}
	}
	if real := uint32(setOf(1, longest, 1)); utc.days&real == real {
		utc.days = allDays
	}
	return utc.normal().starred()
}

// starred returns e, or e with one more day. The day is added if e must match
// both the day of the month and the weekday, and neither field can be written so
// that it begins with "*"; it is the one that adds the fewest ticks.
func (e Expr) starred() Expr {
	if e.either || e.days == allDays || e.weekdays == allWeekdays || e.days&(1<<1) != 0 || e.weekdays&1 != 0 {
		return e
	}
	days, weekdays := bits.OnesCount32(e.days), bits.OnesCount8(e.weekdays)
	if (days+1)*weekdays <= days*(weekdays+1) {
		e.days |= 1 << 1
	} else {
		e.weekdays |= 1
	}
	return e.normal()
}

// exact reports whether utc fires on no other days than those of e, moved by
// the shifts.
func (t *ticks) exact(utc, e Expr) bool {
	if e.everyDay() {
		return true
	}
	for first := range yearKinds() {
		for d := first; d.year == first.year; d = d.next() {
			for i, used := range t.shifts {
				if !used {
					continue
				}
				local := d.shifted(1 - i)
				if utc.on(d.month, d.day, d.weekday) != e.on(local.month, local.day, local.weekday) {
					return false
				}
			}
		}
	}
	return true
}
