package schedule

import (
	"strings"
	"testing"
	"time"

	"github.com/aimindset/terraform-provider-aimindset/internal/zone"
)

// rulesOf reads a location's rules as a database would tell them.
func rulesOf(loc *time.Location, from, until time.Time) []zone.Change {
	var changes []zone.Change
	for s := range spans(loc, minuteOf(from)) {
		if s.start >= minuteOf(until) {
			break
		}
		if n := len(changes); n == 0 || changes[n-1].Offset != time.Duration(s.offset)*time.Minute {
			changes = append(changes, zone.Change{At: time.Unix(s.start*60, 0), Offset: time.Duration(s.offset) * time.Minute})
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
		loc, err := zone.Load(name)
		if err != nil {
			t.Fatal(err)
		}
		changes := rulesOf(loc, from, until)
		made, err := zone.NewLocation(name, changes)
		if err != nil {
			t.Fatal(err)
		}
		if made.String() != name {
			t.Errorf("the location of %s is called %s", name, made)
		}
		if d := Diverge(loc, made, from, until); d != nil {
			t.Errorf("%s diverges at %s: %s, %s", name, d.At, d.One, d.Other)
		}
		for _, c := range changes {
			for _, at := range []time.Time{c.At.Add(-time.Minute), c.At, c.At.Add(time.Minute)} {
				if want, got := at.In(loc).Format("15:04"), at.In(made).Format("15:04"); at.After(from) && got != want {
					t.Errorf("%s: at %s the clock shows %s, want %s", name, at.UTC(), got, want)
				}
			}
		}
	}
	if _, err := zone.NewLocation("Nowhere/At_All", nil); err == nil || !strings.Contains(err.Error(), "no rules") {
		t.Errorf("no rules: %v", err)
	}
	if _, err := zone.NewLocation("Nowhere/At_All", []zone.Change{{At: from}, {At: from, Offset: time.Hour}}); err == nil || !strings.Contains(err.Error(), "out of order") {
		t.Errorf("two changes at once: %v", err)
	}
	if _, err := zone.NewLocation("Nowhere/At_All", make([]zone.Change, 300)); err == nil {
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
	location := func(changes ...zone.Change) *time.Location {
		loc, err := zone.NewLocation("America/Sao_Paulo", changes)
		if err != nil {
			t.Fatal(err)
		}
		return loc
	}
	standard := location(zone.Change{At: from, Offset: -3 * time.Hour})
	summer := location(zone.Change{At: from, Offset: -3 * time.Hour}, zone.Change{At: at("2027-10-17 03:00"), Offset: -2 * time.Hour}, zone.Change{At: at("2028-02-20 02:00"), Offset: -3 * time.Hour})
	later := location(zone.Change{At: from, Offset: -3 * time.Hour}, zone.Change{At: at("2027-10-24 03:00"), Offset: -2 * time.Hour}, zone.Change{At: at("2028-02-20 02:00"), Offset: -3 * time.Hour})
	for name, c := range map[string]struct {
		one, other *time.Location
		want       *Divergence
	}{
		"none":             {standard, standard, nil},
		"the other":        {standard, summer, &Divergence{at("2027-10-17 03:00"), -3 * time.Hour, -2 * time.Hour}},
		"the one":          {summer, standard, &Divergence{at("2027-10-17 03:00"), -2 * time.Hour, -3 * time.Hour}},
		"a week later":     {summer, later, &Divergence{at("2027-10-17 03:00"), -2 * time.Hour, -3 * time.Hour}},
		"always":           {standard, time.UTC, &Divergence{from, -3 * time.Hour, 0}},
		"after the period": {location(zone.Change{At: from, Offset: 0}, zone.Change{At: until, Offset: time.Hour}), time.UTC, nil},
	} {
		got := Diverge(c.one, c.other, from, until)
		if (got == nil) != (c.want == nil) || got != nil && *got != *c.want {
			t.Errorf("%s: %+v, want %+v", name, got, c.want)
		}
	}
}
