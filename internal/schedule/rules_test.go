package schedule

import (
	"strings"
	"testing"
	"time"
)

// rulesOf reads a location's rules as a database would tell them.
func rulesOf(loc *time.Location, from, until time.Time) []Change {
	var changes []Change
	for s := range spans(loc, minuteOf(from)) {
		if s.start >= minuteOf(until) {
			break
		}
		if n := len(changes); n == 0 || changes[n-1].Offset != time.Duration(s.offset)*time.Minute {
			changes = append(changes, Change{time.Unix(s.start*60, 0), time.Duration(s.offset) * time.Minute})
		}
	}
	return changes
}

// TestNewLocation proves that the clock of a location made of a zone's changes goes
// like the zone's, to the minute, and that nonsense is refused.
func TestNewLocation(t *testing.T) {
	t.Parallel()
	from := time.Date(2026, 11, 26, 0, 0, 0, 0, time.UTC)
	until := from.AddDate(11, 0, 0)
	for _, name := range []string{"America/Sao_Paulo", "America/New_York", "Europe/Berlin", "Australia/Lord_Howe", "Africa/Casablanca", "Asia/Kathmandu", "Pacific/Apia", "UTC"} {
		zone, err := LoadZone(name)
		if err != nil {
			t.Fatal(err)
		}
		changes := rulesOf(zone, from, until)
		made, err := NewLocation(name, changes)
		if err != nil {
			t.Fatal(err)
		}
		if made.String() != name {
			t.Errorf("the location of %s is called %s", name, made)
		}
		if d := Diverge(zone, made, from, until); d != nil {
			t.Errorf("%s diverges at %s: %s, %s", name, d.At, d.One, d.Other)
		}
		for _, c := range changes {
			for _, at := range []time.Time{c.At.Add(-time.Minute), c.At, c.At.Add(time.Minute)} {
				if want, got := at.In(zone).Format("15:04"), at.In(made).Format("15:04"); at.After(from) && got != want {
					t.Errorf("%s: at %s the clock shows %s, want %s", name, at.UTC(), got, want)
				}
			}
		}
	}
	if _, err := NewLocation("Nowhere/At_All", nil); err == nil || !strings.Contains(err.Error(), "no rules") {
		t.Errorf("no rules: %v", err)
	}
	if _, err := NewLocation("Nowhere/At_All", []Change{{from, 0}, {from, time.Hour}}); err == nil || !strings.Contains(err.Error(), "out of order") {
		t.Errorf("two changes at once: %v", err)
	}
	if _, err := NewLocation("Nowhere/At_All", make([]Change, 300)); err == nil {
		t.Error("300 changes are taken")
	}
}

// TestDiverge proves that the first difference is found whichever side changes its
// clock there: one that the other no longer knows, one that it does not know yet, an
// offset that differs all the time, and a change on another day.
func TestDiverge(t *testing.T) {
	t.Parallel()
	at := func(text string) time.Time {
		t, err := time.Parse("2006-01-02 15:04", text)
		if err != nil {
			panic(err)
		}
		return t
	}
	from, until := at("2026-11-26 00:00"), at("2031-01-01 00:00")
	location := func(changes ...Change) *time.Location {
		loc, err := NewLocation("America/Sao_Paulo", changes)
		if err != nil {
			t.Fatal(err)
		}
		return loc
	}
	standard := location(Change{from, -3 * time.Hour})
	summer := location(Change{from, -3 * time.Hour}, Change{at("2027-10-17 03:00"), -2 * time.Hour}, Change{at("2028-02-20 02:00"), -3 * time.Hour})
	later := location(Change{from, -3 * time.Hour}, Change{at("2027-10-24 03:00"), -2 * time.Hour}, Change{at("2028-02-20 02:00"), -3 * time.Hour})
	for name, c := range map[string]struct {
		one, other *time.Location
		want       *Divergence
	}{
		"none":             {standard, standard, nil},
		"the other":        {standard, summer, &Divergence{at("2027-10-17 03:00"), -3 * time.Hour, -2 * time.Hour}},
		"the one":          {summer, standard, &Divergence{at("2027-10-17 03:00"), -2 * time.Hour, -3 * time.Hour}},
		"a week later":     {summer, later, &Divergence{at("2027-10-17 03:00"), -2 * time.Hour, -3 * time.Hour}},
		"always":           {standard, time.UTC, &Divergence{from, -3 * time.Hour, 0}},
		"after the period": {location(Change{from, 0}, Change{until, time.Hour}), time.UTC, nil},
	} {
		got := Diverge(c.one, c.other, from, until)
		if (got == nil) != (c.want == nil) || got != nil && *got != *c.want {
			t.Errorf("%s: %+v, want %+v", name, got, c.want)
		}
	}
}
