package schedule

import "time"

// Latest returns the last time within (after, until] at which e is due in a zone,
// as a time of that zone, and whether there is one. It follows the same rule as
// [Expr.Next].
func (e Expr) Latest(loc *time.Location, after, until time.Time) (time.Time, bool) {
	if e == (Expr{}) {
		return time.Time{}, false
	}
	first, last := minuteOf(after), minuteOf(until)
	// Most schedules were due recently. The rarest are due every eight years.
	for _, days := range []int64{1, 35, 400, 9 * 366} {
		from := max(first, last-days*minutesPerDay)
		var found int64
		any := false
		for minute := range e.dueUntil(loc, from, last) {
			found, any = minute, true
		}
		if any {
			return time.Unix(found*60, 0).In(loc), true
		}
		if from == first {
			break
		}
	}
	return time.Time{}, false
}
