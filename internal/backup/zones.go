package backup

import (
	"maps"
	"slices"
	"time"

	"github.com/aimindset/terraform-provider-aimindset/internal/schedule"
)

// ZoneChanges is how the clocks of time zones go by a database's rules: for each zone
// from which second since 1970 on it is how many seconds ahead of UTC, in order.
type ZoneChanges map[string][][2]int64

// Zones are the time zones of all schedules, in order.
func (s Settings) Zones() []string {
	zones := map[string]bool{}
	for _, own := range s.Schedules {
		zones[own.Zone] = true
	}
	return slices.Sorted(maps.Keys(zones))
}

// Following returns the settings with their schedules compiled for the rules of a
// database, where these differ from the provider's.
func (s Settings) Following(rules ZoneChanges, now time.Time) Settings {
	schedules := maps.Clone(s.Schedules)
	for key, own := range schedules {
		location, divergence, err := rules.Location(own.Zone, now)
		if err != nil || divergence == nil {
			continue
		}
		if followed, err := own.In(location, now); err == nil {
			schedules[key] = followed
		}
	}
	s.Schedules = schedules
	return s
}

// zoneOutlook is how far the rules of the database and of the provider are compared.
const zoneOutlook = 5 * 366 * 24 * time.Hour

// Location returns a time zone as the database reads it, which decides when a backup
// is due. The provider's own rules are older or newer where the divergence is not nil;
// it says since when. Where they agree, or the database was not asked, the location is
// the provider's. The error is that of [schedule.LoadZone].
func (z ZoneChanges) Location(zone string, now time.Time) (*time.Location, *schedule.Divergence, error) {
	own, err := schedule.LoadZone(zone)
	if err != nil {
		return nil, nil, err
	}
	rows, asked := z[zone]
	if !asked {
		return own, nil, nil
	}
	changes := make([]schedule.Change, len(rows))
	for i, row := range rows {
		changes[i] = schedule.Change{At: time.Unix(row[0], 0), Offset: time.Duration(row[1]) * time.Second}
	}
	theirs, err := schedule.NewLocation(zone, changes)
	if err != nil {
		// It did not come from the product's own statement.
		return own, nil, nil //nolint:nilerr // the provider's rules are the next best
	}
	divergence := schedule.Diverge(own, theirs, now, now.Add(zoneOutlook))
	if divergence == nil {
		return own, nil, nil
	}
	return theirs, divergence, nil
}
