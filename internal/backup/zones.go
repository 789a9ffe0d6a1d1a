package backup

import (
	"maps"
	"slices"
	"time"

	"github.com/aimindset/terraform-provider-aimindset/internal/schedule"
)

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
func (s Settings) Following(rules schedule.Rules, now time.Time) Settings {
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
