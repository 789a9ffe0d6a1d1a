package report

import (
	"strings"
	"time"

	"github.com/aimindset/terraform-provider-aimindset/internal/health"
)

// A sign stands for an outcome in the calendar. All are letters or signs of ASCII, so
// that every font has them in the same width, and none needs a colour.
type sign struct {
	outcome health.Outcome
	sign    byte
	meaning string
}

// signs are in the order of the legend.
var signs = []sign{
	{health.OutcomeMade, '+', "made"},
	{health.OutcomeMadeLate, 'L', "made late"},
	{health.OutcomeMadeAgain, 'R', "made when it was tried again"},
	{health.OutcomeFailed, 'X', "failed"},
	{health.OutcomeMissed, 'M', "missed: due, and not begun"},
	{health.OutcomePending, '>', "under way or due later"},
	{health.OutcomeNone, '.', "nothing due"},
	{health.OutcomeUnknown, '?', "not known"},
}

// calendar returns a block of code with a row for each week and a sign for each night,
// under which stands what the signs mean that occur; empty without nights.
func calendar(nights []health.Night) string {
	if len(nights) == 0 {
		return ""
	}
	var b strings.Builder
	b.WriteString("```text\n            Mo Tu We Th Fr Sa Su\n")
	occurs := map[health.Outcome]bool{}
	row := []byte(nil)
	flush := func() {
		if row != nil {
			b.WriteString(strings.TrimRight(string(row), " ") + "\n")
		}
	}
	for i, night := range nights {
		day, err := time.Parse(time.DateOnly, night.Day)
		if err != nil {
			continue // health has made it
		}
		weekday := (int(day.Weekday()) + 6) % 7 // Monday is 0
		if i == 0 || weekday == 0 {
			flush()
			monday := day.AddDate(0, 0, -weekday).Format(time.DateOnly)
			row = []byte(monday + strings.Repeat(" ", 24))
		}
		row[len(time.DateOnly)+3+3*weekday] = signOf(night.Outcome).sign
		occurs[night.Outcome] = true
	}
	flush()
	var legend []string
	for _, s := range signs {
		if occurs[s.outcome] {
			legend = append(legend, string(s.sign)+" "+s.meaning)
		}
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
