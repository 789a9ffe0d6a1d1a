package backup

import (
	"encoding/json"
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

func disabled(s Schedule) Schedule {
	s.Enabled = false
	return s
}

// read is a schedule as it comes from the database.
func read(t *testing.T, s Schedule) Schedule {
	t.Helper()
	text, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	var back Schedule
	if err := json.Unmarshal(text, &back); err != nil {
		t.Fatal(err)
	}
	return back
}

// TestCompileSchedule proves the whole compiled form, with its own zone and with
// that of the backup.
func TestCompileSchedule(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 23, 0, 0, 0, 0, time.UTC)
	own := "Europe/Berlin"
	months, days := []int{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12}, make([]int, 31)
	for i := range days {
		days[i] = i + 1
	}
	week := []int{0, 1, 2, 3, 4, 5, 6}
	for what, c := range map[string]struct {
		cron    string
		own     *string
		enabled bool
		want    Schedule
	}{
		"in the backup's zone": {
			"0 3 * * *", nil, true,
			Schedule{Cron: "0 3 * * *", Enabled: true, UTC: "0 6 * * *", Zone: "America/Sao_Paulo", Minutes: []int{0}, Hours: []int{3}, Days: days, Months: months, Weekdays: week},
		},
		"in its own zone": {
			"15,16,20 3 * * *", &own, false,
			Schedule{Cron: "15,16,20 3 * * *", Timezone: &own, UTC: "15,16,20 1,2 * * *", Guarded: true, Zone: own, Minutes: []int{15, 16, 20}, Hours: []int{3}, Days: days, Months: months, Weekdays: week},
		},
		"with both day fields": {
			"0 3 1 6 1,3", nil, true,
			Schedule{Cron: "0 3 1 6 1,3", Enabled: true, UTC: "0 6 1 6 1,3", Zone: "America/Sao_Paulo", Minutes: []int{0}, Hours: []int{3}, Days: []int{1}, Months: []int{6}, Weekdays: []int{1, 3}, DaysEither: true},
		},
	} {
		s, err := CompileSchedule(c.cron, c.own, "America/Sao_Paulo", c.enabled, now)
		if err != nil {
			t.Fatal(what, err)
		}
		equal(t, what, read(t, s), c.want)
		// Both the compiled schedule and one from the database have their times.
		kept, err := s.Timed()
		if err != nil {
			t.Fatal(err)
		}
		parsed, err := c.want.Timed()
		if err != nil || parsed.Expr != kept.Expr || parsed.Location.String() != c.want.Zone || kept.Location != s.timed.Location {
			t.Errorf("%s: parsed %+v, kept %+v, %v", what, parsed, kept, err)
		}
	}
	for cron, zone := range map[string]string{"0 3 * *": "UTC", "0 3 * * *": "Nowhere/Else", "0 3 31 2 *": "UTC"} {
		_, want := Schedule{Cron: cron, Zone: zone}.Timed()
		s, err := CompileSchedule(cron, nil, zone, true, now)
		if want == nil || err == nil || err.Error() != want.Error() {
			t.Errorf("%q in %s: %+v, %v, want %v", cron, zone, s, err, want)
		}
		equal(t, cron, s, Schedule{})
	}
}

// TestPlanned proves that a schedule takes the UTC expression that a plan has
// shown, and is guarded where that ticks more often than it has to now.
func TestPlanned(t *testing.T) {
	t.Parallel()
	at := func(when time.Time) Schedule {
		s, err := CompileSchedule("0 3 * * *", nil, "Asia/Almaty", true, when)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	lastChange := time.Date(2024, 3, 1, 0, 0, 0, 0, time.UTC)
	then, now := at(lastChange), at(lastChange.AddDate(0, 0, 7))
	if then.UTC == now.UTC || !then.Guarded || now.Guarded {
		t.Fatalf("it is compiled the same before and after, so this proves nothing: %+v", now)
	}
	equal(t, "planned before the last change", now.Planned(then.UTC), then)
	equal(t, "planned after it", now.Planned(now.UTC), now)
}

// TestOverdueAfter proves the default threshold: the longest gap of all enabled
// schedules together, and two hours.
func TestOverdueAfter(t *testing.T) {
	t.Parallel()
	for what, c := range map[string]struct {
		schedules map[string]Schedule
		want      time.Duration
	}{
		"daily without changes of the clock": {map[string]Schedule{"a": compiled(t, "0 3 * * *", "America/Sao_Paulo")}, 26 * time.Hour},
		"daily with changes of the clock":    {map[string]Schedule{"a": compiled(t, "0 3 * * *", "Europe/Berlin")}, 27 * time.Hour},
		"as read from the database":          {map[string]Schedule{"a": read(t, compiled(t, "0 3 * * *", "Europe/Berlin"))}, 27 * time.Hour},
		"twice a day":                        {map[string]Schedule{"a": compiled(t, "0 3 * * *", "UTC"), "b": compiled(t, "0 15 * * *", "UTC")}, 14 * time.Hour},
		"weekly":                             {map[string]Schedule{"a": compiled(t, "0 3 * * 1", "UTC")}, 7*24*time.Hour + 2*time.Hour},
		"one is off":                         {map[string]Schedule{"a": compiled(t, "0 3 * * *", "UTC"), "b": disabled(compiled(t, "0 4 * * *", "UTC"))}, 26 * time.Hour},
		"all are off":                        {map[string]Schedule{"b": disabled(compiled(t, "0 4 * * *", "UTC"))}, 0},
		"none":                               {nil, 0},
		"a broken one is off":                {map[string]Schedule{"b": {Cron: "never"}}, 0},
	} {
		if got, err := OverdueAfter(c.schedules); err != nil || got != c.want {
			t.Errorf("%s: %s, %v; want %s", what, got, err, c.want)
		}
	}
}

// TestShortGaps proves which schedules come too close to each other, and how close.
func TestShortGaps(t *testing.T) {
	t.Parallel()
	at := func(cron string) Schedule { return compiled(t, cron, "UTC") }
	for what, c := range map[string]struct {
		schedules map[string]Schedule
		want      []Gap
	}{
		"daily":                     {map[string]Schedule{"a": at("0 3 * * *")}, nil},
		"hourly":                    {map[string]Schedule{"a": at("@hourly")}, nil},
		"every half hour":           {map[string]Schedule{"a": at("*/30 * * * *")}, []Gap{{[]string{"a"}, 30 * time.Minute}}},
		"every half hour, but off":  {map[string]Schedule{"a": disabled(at("*/30 * * * *"))}, nil},
		"twelve hours apart":        {map[string]Schedule{"a": at("0 3 * * *"), "b": at("0 15 * * *")}, nil},
		"fifteen minutes apart":     {map[string]Schedule{"a": at("0 3 * * *"), "b": at("15 3 * * *")}, nil},
		"fourteen minutes apart":    {map[string]Schedule{"a": at("0 3 * * *"), "b": at("14 3 * * *")}, []Gap{{[]string{"a", "b"}, 14 * time.Minute}}},
		"one of the two is off":     {map[string]Schedule{"a": at("0 3 * * *"), "b": disabled(at("14 3 * * *"))}, nil},
		"as read from the database": {map[string]Schedule{"a": read(t, at("0 3 * * *")), "b": read(t, at("5 3 * * 1"))}, []Gap{{[]string{"a", "b"}, 5 * time.Minute}}},
		"the same in two zones":     {map[string]Schedule{"a": compiled(t, "0 3 * * *", "America/Sao_Paulo"), "b": at("0 6 * * *")}, []Gap{{[]string{"a", "b"}, 0}}},
		"three": {
			map[string]Schedule{"a": at("0 3 * * *"), "b": at("0 9 * * *"), "c": at("1 9 * * *"), "d": at("2 3 * * *")},
			[]Gap{{[]string{"a", "d"}, 2 * time.Minute}, {[]string{"b", "c"}, time.Minute}},
		},
		"one too often, beside another": {
			map[string]Schedule{"a": at("0 3 * * *"), "b": at("*/20 4 * * *")},
			[]Gap{{[]string{"b"}, 20 * time.Minute}},
		},
	} {
		got, err := ShortGaps(c.schedules)
		if err != nil {
			t.Errorf("%s: %v", what, err)
		}
		equal(t, what, got, c.want)
	}
}

// TestBrokenSchedules proves that a schedule of the database which cannot be read
// is named.
func TestBrokenSchedules(t *testing.T) {
	t.Parallel()
	fine := compiled(t, "0 3 * * *", "UTC")
	for what, c := range map[string]struct {
		broken Schedule
		want   string
	}{
		"cron": {Schedule{Cron: "never", Zone: "UTC", Enabled: true}, `schedule "b": `},
		"zone": {Schedule{Cron: "0 3 * * *", Zone: "Nowhere/Else", Enabled: true}, `schedule "b": `},
	} {
		schedules := map[string]Schedule{"a": fine, "b": c.broken, "c": fine}
		_, reason := c.broken.Timed()
		if reason == nil {
			t.Fatal(what, "can be read")
		}
		overdue, err := OverdueAfter(schedules)
		says(t, what, err, c.want+reason.Error())
		equal(t, what, overdue, 0)
		crowded, err := ShortGaps(schedules)
		says(t, what, err, c.want+reason.Error())
		equal(t, what, crowded, nil)
	}
}
