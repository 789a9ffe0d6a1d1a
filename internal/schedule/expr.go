package schedule

import (
	"fmt"
	"math/bits"
	"strings"
)

// Expr is a parsed cron expression: the sets of minutes, hours, days, months and
// weekdays at which it is due. It has no time zone.
//
// The zero Expr is never due; every Expr that [Parse] returns is due at least
// once in every eight years. Expr values are comparable: two are equal if they
// were written with the same sets.
type Expr struct {
	minutes  uint64 // bits 0 to 59
	hours    uint32 // bits 0 to 23
	days     uint32 // bits 1 to 31
	months   uint16 // bits 1 to 12
	weekdays uint8  // bits 0 (Sunday) to 6
	// either says that a day is due if its day of the month or its weekday is
	// in the set; otherwise both must be. Both sets are restricted if it is
	// true, see normal.
	either bool
}

const (
	allDays     uint32 = 1<<32 - 1<<1
	allMonths   uint16 = 1<<13 - 1<<1
	allWeekdays uint8  = 1<<7 - 1

	minutesPerDay = 24 * 60
)

// Minutes returns the minutes of the hour at which e is due, 0 to 59,
// ascending.
func (e Expr) Minutes() []int { return members(e.minutes) }

// Hours returns the hours at which e is due, 0 to 23, ascending.
func (e Expr) Hours() []int { return members(uint64(e.hours)) }

// Days returns the days of the month of e, 1 to 31, ascending. [Expr.DaysEither]
// says how they are combined with the weekdays.
func (e Expr) Days() []int { return members(uint64(e.days)) }

// Months returns the months in which e is due, 1 to 12, ascending.
func (e Expr) Months() []int { return members(uint64(e.months)) }

// Weekdays returns the weekdays of e, 0 (Sunday) to 6, ascending.
func (e Expr) Weekdays() []int { return members(uint64(e.weekdays)) }

// DaysEither reports whether a day is due if its day of the month or its weekday
// is in the set. If not, both must be.
//
// This is cron's traditional rule, which pg_cron follows: one field is enough
// only if neither begins with "*". "*/2" begins with "*", so "0 3 */2 * 1" is due
// on Mondays with an odd date. If one of two alternative sets is full, every day
// is due; then both sets are full and DaysEither is false, which has the same
// meaning.
func (e Expr) DaysEither() bool { return e.either }

// on reports whether e is due on a day.
func (e Expr) on(month, day, weekday int) bool {
	if e.months>>month&1 == 0 {
		return false
	}
	byDate, byWeekday := e.days>>day&1 != 0, e.weekdays>>weekday&1 != 0
	if e.either {
		return byDate || byWeekday
	}
	return byDate && byWeekday
}

// at reports whether e is due at a minute of those days on which it is due.
func (e Expr) at(minuteOfDay int) bool {
	return e.hours>>(minuteOfDay/60)&1 != 0 && e.minutes>>(minuteOfDay%60)&1 != 0
}

// everyDay reports whether e is due on all days.
func (e Expr) everyDay() bool {
	return e.months == allMonths && e.days == allDays && e.weekdays == allWeekdays
}

// timesPerDay returns how often e is due on a day.
func (e Expr) timesPerDay() int {
	return bits.OnesCount32(e.hours) * bits.OnesCount64(e.minutes)
}

// normal returns e, with both sets of days full if either of two alternatives is.
func (e Expr) normal() Expr {
	if e.either && (e.days == allDays || e.weekdays == allWeekdays) {
		e.days, e.weekdays, e.either = allDays, allWeekdays, false
	}
	return e
}

// String returns e as five fields in a normal form: numbers instead of names,
// Sunday as 0, sorted lists, "*" for full sets, and ranges and steps where they
// are shorter. Parse turns it into e again.
func (e Expr) String() string {
	day, weekday := e.dayFields()
	return strings.Join([]string{
		fieldText(e.minutes, minuteField, mayStar),
		fieldText(uint64(e.hours), hourField, mayStar),
		day,
		fieldText(uint64(e.months), monthField, mayStar),
		weekday,
	}, " ")
}

// dayFields writes the days of the month and the weekdays so that pg_cron, which
// looks at the first characters of the two fields, combines them as e does.
func (e Expr) dayFields() (day, weekday string) {
	days, weekdays := uint64(e.days), uint64(e.weekdays)
	if e.either {
		return fieldText(days, dayField, noStar), fieldText(weekdays, weekdayField, noStar)
	}
	day, weekday = fieldText(days, dayField, mayStar), fieldText(weekdays, weekdayField, mayStar)
	if day[0] == '*' || weekday[0] == '*' {
		return day, weekday
	}
	// Both are restricted and both must match, so one of them must begin with
	// "*/". Take the shorter text.
	starredDay, starredWeekday := starredText(days, dayField), starredText(weekdays, weekdayField)
	if starredWeekday == "" || starredDay != "" && len(starredDay)+len(weekday) <= len(day)+len(starredWeekday) {
		return starredDay, weekday
	}
	return day, starredWeekday
}

// A star says whether a field may begin with "*".
type star bool

const (
	noStar  star = false
	mayStar star = true
)

// fieldText writes a set as a cron field.
func fieldText(set uint64, f field, s star) string {
	full := setOf(f.low, f.top(), 1)
	switch {
	case set == full && s == mayStar:
		return "*"
	case set == full:
		return fmt.Sprintf("%d-%d", f.low, f.top())
	}
	if n := step(set); n > 1 && bits.OnesCount64(set) > 2 {
		first, last := bits.TrailingZeros64(set), bits.Len64(set)-1
		if s == mayStar && set == f.every(n) {
			return fmt.Sprintf("*/%d", n)
		}
		return fmt.Sprintf("%d-%d/%d", first, last, n)
	}
	var items []string
	for set != 0 {
		first := bits.TrailingZeros64(set)
		run := bits.TrailingZeros64(^(set >> first))
		if run > 2 {
			items = append(items, fmt.Sprintf("%d-%d", first, first+run-1))
		} else {
			for v := first; v < first+run; v++ {
				items = append(items, fmt.Sprint(v))
			}
		}
		set &^= setOf(first, first+run-1, 1)
	}
	return strings.Join(items, ",")
}

// starredText writes a set as a field that begins with "*/". It returns "" if the
// set lacks the lowest value, because then there is no such field.
func starredText(set uint64, f field) string {
	best := ""
	for n := 2; n <= f.high; n++ {
		every := f.every(n)
		if every&^set != 0 {
			continue
		}
		text := fmt.Sprintf("*/%d", n)
		if rest := set &^ every; rest != 0 {
			text += "," + fieldText(rest, f, noStar)
		}
		if best == "" || len(text) < len(best) {
			best = text
		}
	}
	return best
}

// step returns the distance between the members of a set if it is always the
// same, else 0.
func step(set uint64) int {
	if bits.OnesCount64(set) < 2 {
		return 0
	}
	first, last := bits.TrailingZeros64(set), bits.Len64(set)-1
	n := bits.TrailingZeros64(set&(set-1)) - first
	if setOf(first, last, n) != set {
		return 0
	}
	return n
}

// setOf returns the set of first, first+step and so on up to last.
func setOf(first, last, step int) uint64 {
	var set uint64
	for v := first; v <= last; v += step {
		set |= 1 << v
	}
	return set
}

// members returns the members of a set, ascending.
func members(set uint64) []int {
	list := make([]int, 0, bits.OnesCount64(set))
	for ; set != 0; set &= set - 1 {
		list = append(list, bits.TrailingZeros64(set))
	}
	return list
}

// lowest returns the lowest member of a set that is not empty.
func lowest(set uint64) int64 { return int64(bits.TrailingZeros64(set)) }
