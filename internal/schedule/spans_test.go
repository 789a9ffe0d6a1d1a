package schedule_test

import (
	"testing"
	"time"

	"github.com/aimindset/terraform-provider-aimindset/internal/schedule"
	"github.com/aimindset/terraform-provider-aimindset/internal/zone"
)

// TestZonesChangeSeldom proves for every zone of the database what the search
// for changes relies on, here and in the database: between 1972 and 2039 no
// clock changes twice within the search's step, and none by more than a day.
func TestZonesChangeSeldom(t *testing.T) {
	t.Parallel()
	const step = 24 * 60
	names := zone.Names()
	if len(names) < 400 {
		t.Fatalf("%d zones", len(names))
	}
	for _, name := range names {
		loc, err := zone.Load(name)
		if err != nil {
			continue // not a name that is accepted
		}
		last, changed := 1<<30, int64(-1)
		for m := unixMinute(1972, 1, 10); m < unixMinute(2040, 1, 1); m += step {
			_, offset := time.Unix(m*60, 0).In(loc).Zone()
			if last != 1<<30 && offset != last {
				if changed >= 0 && m-changed <= schedule.Probe+step {
					t.Errorf("%s changes its clock twice before %s", name, time.Unix(m*60, 0).UTC())
				}
				if diff := offset - last; diff < -86400 || diff > 86400 {
					t.Errorf("%s changes its clock by %d s", name, diff)
				}
				changed = m
			}
			last = offset
		}
	}
}
