package schedule

import (
	"math"
	"math/bits"
	"slices"
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
	var days []dayTimes
	var spread int64
	for _, t := range timed {
		if t.Expr == (Expr{}) {
			continue
		}
		offsets := outlook(t.Location, rulesFrom).offsets
		standard := slices.Min(offsets)
		spread = max(spread, slices.Max(offsets)-standard)
		days = append(days, timesOf(t.Expr, standard))
	}
	var longest, first, last int64 = 0, -1, -1
	seen := make(map[[dayWords]uint64]daySummary)
	for day := range int64(cycleDays) {
		var due [dayWords]uint64
		for _, d := range days {
			for i, times := range d.times {
				if d.on[(day-int64(i-1)+cycleDays)%cycleDays] {
					for w := range due {
						due[w] |= times[w]
					}
				}
			}
		}
		summary, ok := seen[due]
		if !ok {
			summary = summarise(due)
			seen[due] = summary
		}
		if summary.first < 0 {
			continue
		}
		start := day * minutesPerDay
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
	longest = max(longest, first+cycleDays*minutesPerDay-last)
	return time.Duration(longest+spread) * time.Minute
}

const dayWords = (minutesPerDay + 63) / 64

// dayTimes is a schedule at one offset: the local days of the cycle on which it
// is due, and the minutes of the UTC days before, on and after such a day.
type dayTimes struct {
	on    []bool
	times [3][dayWords]uint64
}

func timesOf(e Expr, offset int64) dayTimes {
	d := dayTimes{on: cycle(e)}
	for _, local := range e.times() {
		minute := local - offset
		day := floorDiv(minute, minutesPerDay)
		minute -= day * minutesPerDay
		d.times[day+1][minute/64] |= 1 << (minute % 64)
	}
	return d
}

// cycle returns for each day of the cycle whether e is due on it.
func cycle(e Expr) []bool {
	on := make([]bool, cycleDays)
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

// daySummary is the first and last due minute of a day, -1 if there is none,
// and the longest gap between.
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
			set = instants{days: cycle(t.Expr), times: t.Expr.times(), clock: outlook(t.Location, rulesFrom)}
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
