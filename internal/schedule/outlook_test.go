package schedule

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/aimindset/terraform-provider-aimindset/internal/zone"
)

// TestOutlookHolds proves that what is known of a clock is used only for as long as it is
// what the zone's rules say: at random times that go on, leap, stand still and go back, an
// outlook is the same as if nothing were known. It also proves that it is used.
func TestOutlookHolds(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(10, 2))
	const day = 24 * time.Hour
	steps := []time.Duration{0, time.Minute, time.Hour, 2 * time.Hour, day, 2 * day, 30 * day, 180 * day, -time.Minute, -day, -90 * day, -2000 * day, 2500 * day}
	held, changed := 0, 0
	names := zone.Names()
	for range 60 {
		loc, err := zone.Load(names[random.IntN(len(names))])
		if err != nil {
			continue // not a name that is accepted
		}
		now := time.Date(2010+random.IntN(20), time.Month(1+random.IntN(12)), 1+random.IntN(28), random.IntN(24), random.IntN(60), 0, 0, time.UTC)
		for range 25 {
			// A change at the beginning or the end of the time that is looked at.
			if c := survey(loc, minuteOf(now)-2*minutesPerDay, minuteOf(now.AddDate(10, 0, 0))); len(c.spans) > 2 && random.IntN(4) == 0 {
				if change := time.Unix(60*c.spans[1+random.IntN(len(c.spans)-1)].start, 0).UTC(); random.IntN(2) == 0 {
					now = change.Add(2*day - time.Duration(random.IntN(120))*time.Minute)
				} else {
					now = change.AddDate(-10, 0, 0).Add(-time.Duration(random.IntN(120)) * time.Minute)
				}
			}
			start, end := minuteOf(now)-2*minutesPerDay, minuteOf(now.AddDate(10, 0, 0))
			if kept, ok := latestClocks.Load(loc); ok && kept.(clock).holds(start, end) {
				held++
			} else {
				changed++
			}
			got, want := outlook(loc, now), survey(loc, start, end)
			got.spans, want.spans = slices.Clone(got.spans), slices.Clone(want.spans)
			for _, c := range []clock{got, want} {
				c.spans[0].start, c.spans[len(c.spans)-1].end = 0, 0
			}
			if !slices.Equal(got.offsets, want.offsets) || !slices.Equal(got.gaps, want.gaps) || !slices.Equal(got.spans, want.spans) {
				t.Fatalf("%s at %s: %+v, want %+v", loc, now, got, want)
			}
			now = now.Add(steps[random.IntN(len(steps))])
		}
	}
	if held < 100 || changed < 100 {
		t.Errorf("what was known held %d times, and not %d times", held, changed)
	}
}
