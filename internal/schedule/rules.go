package schedule

import (
	"time"

	"github.com/aimindset/terraform-provider-aimindset/internal/zone"
)

// Rules is how the clocks of time zones go by a database's rules: for each zone from
// which second since 1970 on it is how many seconds ahead of UTC, in order.
type Rules map[string][][2]int64

// Location returns a time zone as the database reads it, which decides when a backup
// is due. The provider's own rules are older or newer where the divergence is not nil;
// it says since when, within five years. Where they agree, or the database was not
// asked, the location is the provider's. The error is that of [zone.Load].
func (r Rules) Location(name string, now time.Time) (*time.Location, *Divergence, error) {
	own, err := zone.Load(name)
	if err != nil {
		return nil, nil, err
	}
	rows, asked := r[name]
	if !asked {
		return own, nil, nil
	}
	changes := make([]zone.Change, len(rows))
	for i, row := range rows {
		changes[i] = zone.Change{At: time.Unix(row[0], 0), Offset: time.Duration(row[1]) * time.Second}
	}
	theirs, err := zone.NewLocation(name, changes)
	if err != nil {
		// It did not come from the product's own statement.
		return own, nil, nil //nolint:nilerr // the provider's rules are the next best
	}
	divergence := Diverge(own, theirs, now, now.AddDate(5, 0, 0))
	if divergence == nil {
		return own, nil, nil
	}
	return theirs, divergence, nil
}

// Divergence is the first time at which two databases disagree about a zone.
type Divergence struct {
	// At is the minute in UTC.
	At time.Time
	// One and Other are how far their clocks are ahead of UTC then.
	One, Other time.Duration
}

// Diverge compares how the clock goes in two locations, from a time on until
// another. It returns nil if they agree.
func Diverge(one, other *time.Location, from, until time.Time) *Divergence {
	first, last := minuteOf(from), minuteOf(until)
	var earliest *Divergence
	for _, loc := range [...]*time.Location{one, other} {
		for s := range spans(loc, first) {
			if s.start >= last || earliest != nil && s.start >= minuteOf(earliest.At) {
				break
			}
			// Within the span only the other clock can change, and its own spans
			// begin there.
			a, b := offsetAt(one, s.start), offsetAt(other, s.start)
			if a != b {
				earliest = &Divergence{time.Unix(s.start*60, 0).UTC(), time.Duration(a) * time.Minute, time.Duration(b) * time.Minute}
				break
			}
		}
	}
	return earliest
}
