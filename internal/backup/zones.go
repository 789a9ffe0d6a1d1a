package backup

import (
	"maps"
	"slices"
	"time"

	"github.com/aimindset/terraform-provider-aimindset/internal/schedule"
)

// Zones are the time zones of all schedules and of the drill, in order.
func (s Settings) Zones() []string {
	zones := map[string]bool{}
	for _, own := range s.Schedules {
		zones[own.Zone] = true
	}
	if s.Drill != nil {
		zones[s.Drill.Zone] = true
	}
	return slices.Sorted(maps.Keys(zones))
}

// Following returns the settings with their schedules, the drill's too, compiled for the rules of a
// database, where these differ from the provider's.
func (s Settings) Following(rules schedule.Rules, now time.Time) Settings {
	follow := func(own Schedule) Schedule {
		location, divergence, err := rules.Location(own.Zone, now)
		if err != nil || divergence == nil {
			return own
		}
		if followed, err := own.In(location, now); err == nil {
			return followed
		}
		return own
	}
	schedules := maps.Clone(s.Schedules)
	for key, own := range schedules {
		schedules[key] = follow(own)
	}
	s.Schedules = schedules
	if s.Drill != nil {
		drill := *s.Drill
		drill.Schedule = follow(drill.Schedule)
		s.Drill = &drill
	}
	return s
}
