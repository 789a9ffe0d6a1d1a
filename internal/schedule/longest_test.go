package schedule_test

import (
	"math/bits"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/aimindset/terraform-provider-aimindset/internal/schedule"
	"github.com/aimindset/terraform-provider-aimindset/internal/zone"
)

// TestLongestGapByMinutes proves on random sets of schedules in random zones that
// LongestGap is what its documentation says, found minute by minute.
func TestLongestGapByMinutes(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(28, 365))
	var zones []*time.Location
	for _, name := range zone.Names() {
		if location, err := zone.Load(name); err == nil {
			zones = append(zones, location)
		}
	}
	usual := []string{"0 3 * * *", "30 23 * * *", "0 */12 * * *", "0 3 * * 1", "15 0 * * 1-5", "0 22 * * 0,3", "0 1 1 * *", "0 3 31 * *", "0 3 29 2 *", "0 3 1 * 1"}
	generated := generatedExpressions()
	for range 60 {
		set := make([]schedule.Timed, 1+random.IntN(3))
		for i := range set {
			text := usual[random.IntN(len(usual))]
			if random.IntN(3) == 0 {
				text = generated[random.IntN(len(generated))]
			}
			set[i] = schedule.Timed{Expr: parse(t, text), Location: zones[random.IntN(len(zones))]}
		}
		if got, want := schedule.LongestGap(set), longestByMinutes(set); got != want {
			t.Errorf("%v: %v, want %v", set, got, want)
		}
	}
}

// longestByMinutes marks all due minutes of 28 years in standard time, which repeat
// for ever, finds the longest distance between two, and adds the largest change of a
// clock.
func longestByMinutes(set []schedule.Timed) time.Duration {
	const day, days = 24 * 60, 28*365 + 7
	due := make([]uint64, (days*day+63)/64)
	spread := 0
	for _, s := range set {
		standard, summer := 24*60, -24*60
		for at := time.Date(2025, 12, 30, 0, 0, 0, 0, time.UTC); at.Year() < 2036; at = at.AddDate(0, 0, 1) {
			_, offset := at.In(s.Location).Zone()
			standard, summer = min(standard, offset/60), max(summer, offset/60)
		}
		spread = max(spread, summer-standard)
		hours, minutes, on := s.Expr.Hours(), s.Expr.Minutes(), dueOn(s.Expr)
		for n, date := 0, time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC); n < days; n, date = n+1, date.AddDate(0, 0, 1) {
			if !on(date) {
				continue
			}
			for _, hour := range hours {
				for _, minute := range minutes {
					at := (n*day + 60*hour + minute - standard + days*day) % (days * day)
					due[at/64] |= 1 << (at % 64)
				}
			}
		}
	}
	longest, first, last := 0, -1, 0
	for i, word := range due {
		for ; word != 0; word &= word - 1 {
			at := 64*i + bits.TrailingZeros64(word)
			if first < 0 {
				first = at
			} else {
				longest = max(longest, at-last)
			}
			last = at
		}
	}
	if first < 0 {
		return 0
	}
	longest = max(longest, first+days*day-last)
	return time.Duration(longest+spread) * time.Minute
}

// dueOn returns whether an expression is due on a day.
func dueOn(e schedule.Expr) func(day time.Time) bool {
	days, months, weekdays := e.Days(), e.Months(), e.Weekdays()
	return func(day time.Time) bool {
		byDate, byWeekday := slices.Contains(days, day.Day()), slices.Contains(weekdays, int(day.Weekday()))
		return slices.Contains(months, int(day.Month())) && (byDate && byWeekday || e.DaysEither() && (byDate || byWeekday))
	}
}

// BenchmarkLongestGap measures how long a backup may be late by one schedule: a plan
// finds it several times for each backup. Days that repeat weekly cost microseconds.
func BenchmarkLongestGap(b *testing.B) {
	for _, expr := range []string{"0 3 * * *", "0 3 * * 1", "0 3 1 * *"} {
		b.Run(expr, func(b *testing.B) {
			list := timed(b, expr+" @ Europe/Berlin")
			for b.Loop() {
				if schedule.LongestGap(list) == 0 {
					b.Fatal("no gap")
				}
			}
		})
	}
}
