package schedule

import (
	"iter"
	"time"
)

// Next returns the first n times after a given time at which e is due in a
// zone, ascending, as times of that zone. It returns none for the zero Expr or
// an n of 0 or less.
//
// The times follow the rule in the package's documentation, which is also the
// dispatcher's.
func (e Expr) Next(loc *time.Location, after time.Time, n int) []time.Time {
	if n <= 0 {
		return nil
	}
	var times []time.Time
	for minute := range e.due(loc, minuteOf(after)) {
		times = append(times, time.Unix(minute*60, 0).In(loc))
		if len(times) == n {
			break
		}
	}
	return times
}

// due yields the minutes of UTC after a given one at which e is due.
func (e Expr) due(loc *time.Location, after int64) iter.Seq[int64] {
	return func(yield func(int64) bool) {
		if e == (Expr{}) {
			return
		}
		const month = 30 * minutesPerDay
		for {
			after = e.quiet(after)
			end := after + month
			for minute := range e.dueUntil(loc, after, end) {
				if !yield(minute) {
					return
				}
			}
			after = end
		}
	}
}

// quiet returns a minute of UTC up to which e is not due in any zone after the
// given one. It skips the days before a rare date quickly.
func (e Expr) quiet(after int64) int64 {
	// Clocks are less than a day ahead of or behind UTC.
	day := floorDiv(after, minutesPerDay) - 2
	for d := dateOf(day); !e.on(d.month, d.day, d.weekday); d = d.next() {
		day++
	}
	return max(after, (day-1)*minutesPerDay-1)
}

// dueUntil yields the minutes of UTC within (after, until] at which e is due.
func (e Expr) dueUntil(loc *time.Location, after, until int64) iter.Seq[int64] {
	return func(yield func(int64) bool) {
		// No clock has ever gone back by more than a day, so what it has
		// shown in the last two days decides whether a time is repeated.
		start := after - 2*minutesPerDay
		reached := start + offsetAt(loc, start) // the first local minute that the clock has not shown
		for s := range spans(loc, start) {
			if s.start > until {
				return
			}
			from := reached
			reached = max(reached, s.end+s.offset)
			if s.start <= after {
				from = max(from, after+1+s.offset)
			}
			for local := range e.local(from, min(reached, until+1+s.offset)) {
				minute := max(s.start, local-s.offset)
				if minute <= after {
					continue // several skipped times are due together
				}
				after = minute
				if !yield(minute) {
					return
				}
			}
		}
	}
}

// local yields the local minutes within [from, to) at which e is due, counted from
// 1970-01-01 00:00 local time.
func (e Expr) local(from, to int64) iter.Seq[int64] {
	return func(yield func(int64) bool) {
		day := floorDiv(from, minutesPerDay)
		for d := dateOf(day); day*minutesPerDay < to; day, d = day+1, d.next() {
			if !e.on(d.month, d.day, d.weekday) {
				continue
			}
			for hours := uint64(e.hours); hours != 0; hours &= hours - 1 {
				hour := day*minutesPerDay + 60*lowest(hours)
				if hour+60 <= from {
					continue
				}
				for minutes := e.minutes; minutes != 0; minutes &= minutes - 1 {
					minute := hour + lowest(minutes)
					if minute < from {
						continue
					}
					if minute >= to || !yield(minute) {
						return
					}
				}
			}
		}
	}
}
