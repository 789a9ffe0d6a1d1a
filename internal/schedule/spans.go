package schedule

import (
	"iter"
	"time"
)

// span is a time during which the clock of a zone has one offset.
type span struct {
	start, end int64 // minutes since 1970 in UTC, end excluded
	offset     int64 // minutes that the clock is ahead of UTC
}

// probe is the distance, in minutes, at which spans looks for changes. No zone has
// changed its clock twice within that time since 1970, and none plans to.
const probe = 2 * minutesPerDay

// spans yields the time from a minute on, without end, in adjacent spans of at
// most probe minutes. Adjacent spans may have the same offset.
//
// It compares offsets instead of using time.Time.ZoneBounds, whose bounds for the
// last day of a leap year do not include that day.
func spans(loc *time.Location, from int64) iter.Seq[span] {
	return func(yield func(span) bool) {
		offset := offsetAt(loc, from)
		for {
			end := from + probe
			next := offsetAt(loc, end)
			if next != offset {
				// The clock changes at the first minute with the new offset.
				before := from
				for end-before > 1 {
					if middle := before + (end-before)/2; offsetAt(loc, middle) == offset {
						before = middle
					} else {
						end = middle
					}
				}
			}
			if !yield(span{from, end, offset}) {
				return
			}
			from, offset = end, next
		}
	}
}

// offsetAt returns how many minutes the clock of a zone is ahead of UTC at a
// minute. Offsets with seconds, which no zone has had since 1972, are rounded
// down, so that a local minute is due at the first minute of UTC not before it.
func offsetAt(loc *time.Location, minute int64) int64 {
	_, seconds := time.Unix(minute*60, 0).In(loc).Zone()
	return floorDiv(int64(seconds), 60)
}

// minuteOf returns the minute of t, counted in UTC from 1970.
func minuteOf(t time.Time) int64 { return floorDiv(t.Unix(), 60) }

// floorDiv divides and rounds down.
func floorDiv(a, b int64) int64 {
	q := a / b
	if a%b < 0 {
		q--
	}
	return q
}
