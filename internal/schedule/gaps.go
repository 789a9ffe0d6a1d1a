package schedule

import (
	"math"
	"math/bits"
	"slices"
	"sync"
	"time"
)

// Timed is an expression with its time zone.
type Timed struct {
	Expr     Expr
	Location *time.Location
}

// rulesFrom is the time from which LongestGap and Closest consider the rules of
// zones. It is fixed so that a plan does not change from day to day.
var rulesFrom = time.Date(2026, time.January, 1, 0, 0, 0, 0, time.UTC)

// cycleDays is the number of days after which dates, weekdays and leap years
// repeat: 28 years, if there is no century without a leap day.
const cycleDays = 28*365 + 7

// LongestGap returns the longest time between two consecutive due times of a set
// of schedules taken together, or 0 if none is ever due. A backup is overdue
// after that time.
//
// The result depends only on the schedules and the rules of their zones, not on
// the current time: it is the longest gap in a cycle of 28 years in standard
// time, plus the largest change of a clock among the zones. For one schedule that
// is exact if the clock goes back in one of the longest gaps: 25 hours for a
// daily time in a zone with summer time, 24 hours in a zone without. It is never
// too short.
func LongestGap(timed []Timed) time.Duration {
	days := 1
	for _, t := range timed {
		days = max(days, t.Expr.repeats())
	}
	var schedules []dayTimes
	var spread int64
	for _, t := range timed {
		if t.Expr == (Expr{}) {
			continue
		}
		offsets := lasting(t.Location).offsets
		standard := slices.Min(offsets)
		spread = max(spread, slices.Max(offsets)-standard)
		schedules = append(schedules, timesOf(t.Expr, standard, days))
	}
	var longest, first, last int64 = 0, -1, -1
	seen := make(map[[dayWords]uint64]daySummary)
	for day := range days {
		var due [dayWords]uint64
		none := true
		for n := range schedules {
			d := &schedules[n]
			for i := range d.times {
				if !d.used[i] || !d.on[(day-(i-1)+days)%days] {
					continue
				}
				none = false
				for w := range due {
					due[w] |= d.times[i][w]
				}
			}
		}
		if none {
			continue
		}
		summary, ok := seen[due]
		if !ok {
			summary = summarise(due)
			seen[due] = summary
		}
		start := int64(day) * minutesPerDay
		if first < 0 {
			first = start + summary.first
		} else {
			longest = max(longest, start+summary.first-last)
		}
		longest = max(longest, summary.gap)
		last = start + summary.last
	}
	if first < 0 {
		return 0
	}
	longest = max(longest, first+int64(days)*minutesPerDay-last)
	return time.Duration(longest+spread) * time.Minute
}

const dayWords = (minutesPerDay + 63) / 64

// lastingClocks are the clocks of package zone's locations from rulesFrom on.
var lastingClocks sync.Map

// lasting returns the clock of a zone from rulesFrom on.
func lasting(loc *time.Location) clock { return known(&lastingClocks, loc, rulesFrom) }

// repeats returns after how many days of the cycle the days repeat on which e is due: 1,
// 7 or cycleDays, each of which divides the next.
func (e Expr) repeats() int {
	switch {
	case e.everyDay():
		return 1
	case e.months == allMonths && e.days == allDays: // see normal
		return 7
	}
	return cycleDays
}

// dayTimes is a schedule at one offset: on which of the first local days of the cycle it
// is due, the minutes of the UTC days before, on and after such a day, and which of these
// have any.
type dayTimes struct {
	on    []bool
	times [3][dayWords]uint64
	used  [3]bool
}

func timesOf(e Expr, offset int64, days int) dayTimes {
	d := dayTimes{on: cycle(e, days)}
	for _, local := range e.times() {
		minute := local - offset
		day := floorDiv(minute, minutesPerDay)
		minute -= day * minutesPerDay
		d.times[day+1][minute/64] |= 1 << (minute % 64)
		d.used[day+1] = true
	}
	return d
}

// cycle returns for each of the first days of the cycle whether e is due on it.
func cycle(e Expr, days int) []bool {
	on := make([]bool, days)
	d := date{2000, 1, 1, 6}
	for i := range on {
		on[i] = e.on(d.month, d.day, d.weekday)
		d = d.next()
	}
	return on
}

// times returns the minutes of the day at which e is due, ascending.
func (e Expr) times() []int64 {
	list := make([]int64, 0, e.timesPerDay())
	for hours := uint64(e.hours); hours != 0; hours &= hours - 1 {
		for minutes := e.minutes; minutes != 0; minutes &= minutes - 1 {
			list = append(list, 60*lowest(hours)+lowest(minutes))
		}
	}
	return list
}

// daySummary is the first and last due minute of a day, and the longest gap between.
type daySummary struct{ first, last, gap int64 }

func summarise(due [dayWords]uint64) daySummary {
	s := daySummary{first: -1, last: -1}
	for w, word := range due {
		for ; word != 0; word &= word - 1 {
			minute := int64(64*w + bits.TrailingZeros64(word))
			if s.first < 0 {
				s.first = minute
			} else {
				s.gap = max(s.gap, minute-s.last)
			}
			s.last = minute
		}
	}
	return s
}

// Closest returns the shortest time between two runs of a set of schedules, and
// the indexes of their schedules. The indexes are equal if both runs are of one
// schedule. The gap is 0 if two schedules are due at the same instant. If there
// are no two runs, it is the maximum duration and the indexes are -1.
//
// Like [LongestGap] it does not depend on the current time. It considers every
// combination of offsets of two zones, but not that a change of the clock can
// bring two runs in one zone closer.
func Closest(timed []Timed) (gap time.Duration, i, j int) {
	const none = math.MaxInt64
	best := int64(none)
	i, j = -1, -1
	var sets []instants
	for _, t := range timed {
		set := instants{}
		if t.Expr != (Expr{}) {
			set = instants{days: cycle(t.Expr, cycleDays), times: t.Expr.times(), clock: lasting(t.Location)}
		}
		sets = append(sets, set)
	}
	for a := range sets {
		for b := a; b < len(sets); b++ {
			minutes := int64(none)
			if a == b {
				minutes = sets[a].closest()
			} else {
				for _, shift := range sets[a].clock.shifts(sets[b].clock) {
					minutes = min(minutes, sets[a].closestTo(sets[b], shift))
				}
			}
			if minutes < best {
				best, i, j = minutes, a, b
			}
		}
	}
	if best == none {
		return math.MaxInt64, -1, -1
	}
	return time.Duration(best) * time.Minute, i, j
}

// instants are the due times of a schedule in local time: the days of the cycle,
// and the minutes of such a day.
type instants struct {
	days  []bool
	times []int64
	clock clock
}

// closest returns the shortest distance between two runs of one schedule.
func (s instants) closest() int64 {
	best := int64(math.MaxInt64)
	for i := 1; i < len(s.times); i++ {
		best = min(best, s.times[i]-s.times[i-1])
	}
	for k := int64(1); len(s.times) > 0 && k <= cycleDays; k++ {
		if meet(s.days, s.days, k) {
			return min(best, s.times[0]+k*minutesPerDay-s.times[len(s.times)-1])
		}
	}
	return best
}

// closestTo returns the shortest distance between runs of two schedules if the
// local times of the second are shift minutes later than those of the first.
func (s instants) closestTo(o instants, shift int64) int64 {
	best := int64(math.MaxInt64)
	if len(s.times) == 0 || len(o.times) == 0 {
		return best
	}
	// Once the days are farther apart than the clocks, more distant days mean
	// more distant runs.
	const margin = 3
	limit := int64(cycleDays)
	for k := int64(0); k <= limit; k++ {
		for _, days := range [...]int64{k, -k} {
			if meet(s.days, o.days, days) {
				best = min(best, distance(s.times, o.times, shift+days*minutesPerDay))
				limit = min(limit, k+margin)
			}
		}
	}
	return best
}

// meet reports whether a day of the second set is k days after one of the first.
func meet(a, b []bool, k int64) bool {
	for day, on := range a {
		if on && b[(int64(day)+k+cycleDays)%cycleDays] {
			return true
		}
	}
	return false
}

// distance returns the shortest distance between members of two ascending lists,
// with shift added to those of the second.
func distance(a, b []int64, shift int64) int64 {
	best := int64(math.MaxInt64)
	for i, j := 0, 0; i < len(a) && j < len(b); {
		d := b[j] + shift - a[i]
		best = min(best, max(d, -d))
		if d < 0 {
			j++
		} else {
			i++
		}
	}
	return best
}

// shifts returns by how many minutes the same local time is later in another
// zone, for each pair of offsets that the two have at the same time.
func (a clock) shifts(b clock) []int64 {
	var shifts []int64
	for i, j := 0, 0; i < len(a.spans) && j < len(b.spans); {
		if shift := a.spans[i].offset - b.spans[j].offset; !slices.Contains(shifts, shift) {
			shifts = append(shifts, shift)
		}
		if a.spans[i].end < b.spans[j].end {
			i++
		} else {
			j++
		}
	}
	return shifts
}
