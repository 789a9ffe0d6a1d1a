package report

import (
	"strings"
	"time"

	"github.com/aimindset/terraform-provider-aimindset/internal/health"
)

// A sign stands for an outcome in a calendar.
type sign struct {
	outcome health.Outcome
	// sign is a letter or sign of ASCII, so that every font of code has all in the same
	// width, and none needs a colour.
	sign    byte
	meaning string
	// word is the meaning in as much as fits into the legend of a picture.
	word string
	// path are the lines that stand for it in a picture: SVG path data within a square of
	// 12 units around 0,0. No two have the same shape, so nobody has to tell colours apart.
	path string
}

// signs are in the order of the legends.
var signs = []sign{
	{health.OutcomeMade, '+', "made", "made", "M-5 0L-2 4L5-4"},
	{health.OutcomeMadeLate, 'L', "made late", "made late", "M-5 0A5 5 0 1 0 5 0A5 5 0 1 0-5 0M0-3V0L3 2"},
	{health.OutcomeMadeAgain, 'R', "made when it was tried again", "made by a retry", "M4-3A5 5 0 1 0 5 1M5-6V-2H1"},
	{health.OutcomeFailed, 'X', "failed", "failed", "M-4-4L4 4M4-4L-4 4"},
	{health.OutcomeMissed, 'M', "missed: due, and not begun", "missed", "M0-6V1M0 4V5"},
	{health.OutcomePending, '>', "under way or due later", "pending", "M-5 0H-4M-.5 0H.5M4 0H5"},
	{health.OutcomeNone, '.', "nothing due", "nothing due", "M-4 0H4"},
	{health.OutcomeUnknown, '?', "not known", "not known", "M-3-3A3 3 0 1 1 0 1V2M0 5V6"},
}

// weekdays are the columns of a calendar.
var weekdays = []string{"Mo", "Tu", "We", "Th", "Fr", "Sa", "Su"}

// place returns the day of a night and its column in a calendar; not ok for what is no
// date, which health does not make.
func place(n health.Night) (day time.Time, column int, ok bool) {
	day, err := time.Parse(time.DateOnly, n.Day)
	return day, (int(day.Weekday()) + 6) % len(weekdays), err == nil // Sunday is 0 there
}

// occurring are the signs of the outcomes that nights have, with how many have each.
func occurring(nights []health.Night) (some []sign, counts map[health.Outcome]int) {
	counts = map[health.Outcome]int{}
	for _, n := range nights {
		counts[n.Outcome]++
	}
	for _, s := range signs {
		if counts[s.outcome] > 0 {
			some = append(some, s)
		}
	}
	return some, counts
}

// calendar returns a block of code with a row for each week and a sign for each night,
// under which stands what the signs mean that occur; empty without nights.
func calendar(nights []health.Night) string {
	if len(nights) == 0 {
		return ""
	}
	var b strings.Builder
	b.WriteString("```text\n            " + strings.Join(weekdays, " ") + "\n")
	row := []byte(nil)
	flush := func() {
		if row != nil {
			b.WriteString(strings.TrimRight(string(row), " ") + "\n")
		}
	}
	for i, night := range nights {
		day, column, ok := place(night)
		if !ok {
			continue
		}
		if i == 0 || column == 0 {
			flush()
			monday := day.AddDate(0, 0, -column).Format(time.DateOnly)
			row = []byte(monday + strings.Repeat(" ", 24))
		}
		row[len(time.DateOnly)+3+3*column] = signOf(night.Outcome).sign
	}
	flush()
	some, _ := occurring(nights)
	var legend []string
	for _, s := range some {
		legend = append(legend, string(s.sign)+" "+s.meaning)
	}
	b.WriteString("\n" + strings.Join(legend, "\n") + "\n```\n")
	return b.String()
}

func signOf(o health.Outcome) sign {
	for _, s := range signs {
		if s.outcome == o {
			return s
		}
	}
	return signs[len(signs)-1]
}
