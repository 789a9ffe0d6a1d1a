package backup

import (
	"testing"
	"time"
)

func compiled(t *testing.T, cron, zone string) Schedule {
	t.Helper()
	s, err := CompileSchedule(cron, nil, zone, true, time.Date(2026, 11, 23, 0, 0, 0, 0, time.UTC))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestOverdueAfter proves the default threshold: the longest gap of all
// enabled schedules together, and two hours.
func TestOverdueAfter(t *testing.T) {
	t.Parallel()
	off := compiled(t, "0 4 * * *", "UTC")
	off.Enabled = false
	for what, c := range map[string]struct {
		schedules map[string]Schedule
		want      time.Duration
	}{
		"daily without changes of the clock": {map[string]Schedule{"a": compiled(t, "0 3 * * *", "America/Sao_Paulo")}, 26 * time.Hour},
		"daily with changes of the clock":    {map[string]Schedule{"a": compiled(t, "0 3 * * *", "Europe/Berlin")}, 27 * time.Hour},
		"twice a day":                        {map[string]Schedule{"a": compiled(t, "0 3 * * *", "UTC"), "b": compiled(t, "0 15 * * *", "UTC")}, 14 * time.Hour},
		"weekly":                             {map[string]Schedule{"a": compiled(t, "0 3 * * 1", "UTC")}, 7*24*time.Hour + 2*time.Hour},
		"one is off":                         {map[string]Schedule{"a": compiled(t, "0 3 * * *", "UTC"), "b": off}, 26 * time.Hour},
		"all are off":                        {map[string]Schedule{"b": off}, 0},
	} {
		if got, err := OverdueAfter(c.schedules); err != nil || got != c.want {
			t.Errorf("%s: %s, %v; want %s", what, got, err, c.want)
		}
	}
}

// TestCrowded proves which schedules a plan warns of.
func TestCrowded(t *testing.T) {
	t.Parallel()
	for what, c := range map[string]struct {
		schedules map[string]Schedule
		want      []string // keys of the one remark
	}{
		"daily":                 {map[string]Schedule{"a": compiled(t, "0 3 * * *", "UTC")}, nil},
		"hourly":                {map[string]Schedule{"a": compiled(t, "@hourly", "UTC")}, nil},
		"every half hour":       {map[string]Schedule{"a": compiled(t, "*/30 * * * *", "UTC")}, []string{"a"}},
		"twelve hours apart":    {map[string]Schedule{"a": compiled(t, "0 3 * * *", "UTC"), "b": compiled(t, "0 15 * * *", "UTC")}, nil},
		"five minutes apart":    {map[string]Schedule{"a": compiled(t, "0 3 * * *", "UTC"), "b": compiled(t, "5 3 * * 1", "UTC")}, []string{"a", "b"}},
		"the same in two zones": {map[string]Schedule{"a": compiled(t, "0 3 * * *", "America/Sao_Paulo"), "b": compiled(t, "0 6 * * *", "UTC")}, []string{"a", "b"}},
	} {
		got, err := Crowded(c.schedules)
		if err != nil || len(got) > 1 || (len(got) == 1) != (c.want != nil) {
			t.Errorf("%s: %+v, %v", what, got, err)
			continue
		}
		if c.want != nil && !equalJSON(got[0].Keys, c.want) {
			t.Errorf("%s: %v, want %v", what, got[0].Keys, c.want)
		}
	}
}
