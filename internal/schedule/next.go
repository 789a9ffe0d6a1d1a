package schedule

import (
	"iter"
	"time"
)

// Next returns the first n times after a given time at which e is due in a
// zone, ascending, as times of that zone. It returns none for the zero Expr or
// an n of 0 or less.
//
// The times are those of the rule in the package's description, and so those at
// which the dispatcher lets a run through.
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
		// No clock has ever gone back by more than a day, so what it has
		// shown since two days ago decides what is a repetition.
		first := true
		var reached int64 // the first local minute that the clock has not shown
		for s := range spans(loc, after-2*minutesPerDay) {
			if first {
				reached, first = s.start+s.offset, false
			}
			from := reached
			if reached = max(reached, s.end+s.offset); from == reached {
				continue
			}
			if s.end <= after {
				continue
			}
			if s.start <= after {
				from = max(from, after+1+s.offset)
			}
			for local := range e.local(from, reached) {
				minute := max(s.start, local-s.offset)
				if minute <= after {
					continue
				}
				after = minute
				if !yield(minute) {
					return
				}
			}
		}
	}
}

// local yields the local minutes within [from, to) that e names, counted from
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
