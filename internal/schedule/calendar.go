package schedule

import (
	"iter"
	"time"
)

// date is a day of the Gregorian calendar.
type date struct {
	year, month, day int
	weekday          int // 0 is Sunday
}

// dateOf returns the date of a day, given as the number of days since
// 1970-01-01.
func dateOf(day int64) date {
	t := time.Unix(day*24*60*60, 0).UTC()
	year, month, d := t.Date()
	return date{year, int(month), d, int(t.Weekday())}
}

// next returns the day after d.
func (d date) next() date {
	d.weekday = (d.weekday + 1) % 7
	if d.day++; d.day > monthDays(d.month, isLeap(d.year)) {
		d.day = 1
		if d.month++; d.month > 12 {
			d.month = 1
			d.year++
		}
	}
	return d
}

// shifted returns the date n days after d, for n of -1, 0 and 1.
func (d date) shifted(n int) date {
	switch {
	case n > 0:
		return d.next()
	case n == 0:
		return d
	}
	d.weekday = (d.weekday + 6) % 7
	if d.day--; d.day == 0 {
		if d.month--; d.month == 0 {
			d.month = 12
			d.year--
		}
		d.day = monthDays(d.month, isLeap(d.year))
	}
	return d
}

func isLeap(year int) bool { return year%4 == 0 && (year%100 != 0 || year%400 == 0) }

func monthDays(month int, leap bool) int {
	switch month {
	case 2:
		if leap {
			return 29
		}
		return 28
	case 4, 6, 9, 11:
		return 30
	}
	return 31
}

// yearKinds yields one year of each of the fourteen kinds in the calendar, which
// differ in the weekday of 1 January and in having a leap day.
func yearKinds() iter.Seq[date] {
	return func(yield func(date) bool) {
		// Any 28 consecutive years without a century have all kinds.
		var seen [2][7]bool
		for year, weekday := 2000, 6; year < 2028; year++ {
			leap, days := 0, 365
			if isLeap(year) {
				leap, days = 1, 366
			}
			if !seen[leap][weekday] {
				seen[leap][weekday] = true
				if !yield(date{year, 1, 1, weekday}) {
					return
				}
			}
			weekday = (weekday + days) % 7
		}
	}
}

// longestDayGap returns the longest time in days between two days on which e is
// due, over all of the 400 years after which the calendar repeats itself, or 0
// if e is never due.
func (e Expr) longestDayGap() int {
	type kind struct{ first, last, gap int } // days of the year from 0; first is -1 if there is none
	var kinds [2][7]kind
	for d := range yearKinds() {
		k, leap := kind{first: -1}, 0
		if isLeap(d.year) {
			leap = 1
		}
		year, weekday := d.year, d.weekday
		for i := 0; d.year == year; i, d = i+1, d.next() {
			if !e.on(d.month, d.day, d.weekday) {
				continue
			}
			if k.first < 0 {
				k.first = i
			} else {
				k.gap = max(k.gap, i-k.last)
			}
			k.last = i
		}
		kinds[leap][weekday] = k
	}
	longest, last, start := 0, -1, 0
	// The second round closes the circle.
	for year, weekday := 2000, 6; year < 2800; year++ {
		leap, days := 0, 365
		if isLeap(year) {
			leap, days = 1, 366
		}
		if k := kinds[leap][weekday]; k.first >= 0 {
			longest = max(longest, k.gap)
			if last >= 0 {
				longest = max(longest, start+k.first-last)
			}
			last = start + k.last
		}
		start += days
		weekday = (weekday + days) % 7
	}
	return longest
}
