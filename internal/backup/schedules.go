package backup

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/aimindset/terraform-provider-aimindset/internal/schedule"
	"github.com/aimindset/terraform-provider-aimindset/internal/zone"
)

// Schedule is one schedule of a backup: as it was written, and compiled for
// pg_cron and for the dispatcher's check of local time.
type Schedule struct {
	Cron string `json:"cron"`
	// Timezone is the schedule's own time zone, nil where it has that of the
	// backup.
	Timezone *string `json:"timezone"`
	Enabled  bool    `json:"enabled"`

	// UTC is the schedule of the pg_cron job.
	UTC string `json:"utc"`
	// Guarded says that the job ticks more often than the backup is due.
	Guarded bool `json:"guarded"`
	// Zone is the time zone in which the sets below are read.
	Zone       string `json:"zone"`
	Minutes    []int  `json:"minutes"`
	Hours      []int  `json:"hours"`
	Days       []int  `json:"days"`
	Months     []int  `json:"months"`
	Weekdays   []int  `json:"weekdays"`
	DaysEither bool   `json:"days_either"`

	// timed is Cron in Zone, parsed. It is set when the schedule was compiled and
	// not when it was read from the database; Timed parses it then.
	timed schedule.Timed
}

// CompileSchedule parses a cron expression in a time zone and compiles it for
// pg_cron as the zone's rules are from now on. The zone is own, or inherited from
// the backup where own is nil. The errors are those of package schedule.
func CompileSchedule(cron string, own *string, inherited string, enabled bool, now time.Time) (Schedule, error) {
	s := Schedule{Cron: cron, Timezone: own, Enabled: enabled, Zone: inherited}
	if own != nil {
		s.Zone = *own
	}
	var err error
	if s.timed, err = s.Timed(); err != nil {
		return Schedule{}, err
	}
	compiled, err := schedule.Compile(s.timed.Expr, s.timed.Location, now)
	if err != nil {
		return Schedule{}, err
	}
	s.UTC, s.Guarded = compiled.UTC, compiled.Guarded
	e := s.timed.Expr
	s.Minutes, s.Hours, s.Days, s.Months, s.Weekdays, s.DaysEither = e.Minutes(), e.Hours(), e.Days(), e.Months(), e.Weekdays(), e.DaysEither()
	return s, nil
}

// Timed returns the schedule's expression in its time zone. A compiled schedule
// keeps it; one that was read from the database is parsed, and may be invalid.
func (s Schedule) Timed() (schedule.Timed, error) {
	if s.timed.Location != nil {
		return s.timed, nil
	}
	expression, err := schedule.Parse(s.Cron)
	if err != nil {
		return schedule.Timed{}, err
	}
	location, err := zone.Load(s.Zone)
	if err != nil {
		return schedule.Timed{}, err
	}
	return schedule.Timed{Expr: expression, Location: location}, nil
}

// In returns the schedule compiled for the rules of a location, which is its time zone
// as a database reads it.
func (s Schedule) In(location *time.Location, now time.Time) (Schedule, error) {
	timed, err := s.Timed()
	if err != nil {
		return Schedule{}, err
	}
	timed.Location = location
	compiled, err := schedule.Compile(timed.Expr, location, now)
	if err != nil {
		return Schedule{}, err
	}
	s.timed, s.UTC, s.Guarded = timed, compiled.UTC, compiled.Guarded
	return s, nil
}

// Planned returns the schedule with the UTC expression that a plan has shown. How
// a schedule is compiled depends on the time of the plan: once the clock of a zone
// has changed for the last time, a schedule needs fewer ticks than before. The
// dispatcher checks those that are no longer needed, so the result is guarded.
func (s Schedule) Planned(utc string) Schedule {
	if s.UTC != utc {
		s.UTC, s.Guarded = utc, true
	}
	return s
}

// enabled are the enabled schedules, parsed, by key.
func enabled(schedules map[string]Schedule) (map[string]schedule.Timed, error) {
	timed := map[string]schedule.Timed{}
	for _, key := range slices.Sorted(maps.Keys(schedules)) {
		s := schedules[key]
		if !s.Enabled {
			continue
		}
		t, err := s.Timed()
		if err != nil {
			return nil, fmt.Errorf("schedule %q: %w", key, err)
		}
		timed[key] = t
	}
	return timed, nil
}

// OverdueMargin is how much later than the longest gap between its due times a
// backup may be before it counts as overdue.
const OverdueMargin = 2 * time.Hour

// OverdueAfter is the default age of the last success at which a backup is
// overdue: the longest gap between two due times of all enabled schedules, plus
// OverdueMargin. It is zero when no schedule is enabled, because then no backup
// is ever due. The error names the schedule that cannot be read.
func OverdueAfter(schedules map[string]Schedule) (time.Duration, error) {
	timed, err := enabled(schedules)
	if err != nil || len(timed) == 0 {
		return 0, err
	}
	return schedule.LongestGap(slices.Collect(maps.Values(timed))) + OverdueMargin, nil
}

// Gap is the shortest time between two runs.
type Gap struct {
	// Keys are the schedule of both runs, or the two schedules.
	Keys   []string
	Length time.Duration
}

// ShortGaps finds schedules that run more often than hourly, and pairs of
// schedules of which one may start while the other still runs. Schedules that are
// not enabled do not count. The error names the schedule that cannot be read.
func ShortGaps(schedules map[string]Schedule) ([]Gap, error) {
	timed, err := enabled(schedules)
	if err != nil {
		return nil, err
	}
	// A run may take as long as the function may live, and its retry as long again.
	const runWindow = 15 * time.Minute
	var found []Gap
	keys := slices.Sorted(maps.Keys(timed))
	for _, key := range keys {
		if gap, _, _ := schedule.Closest([]schedule.Timed{timed[key]}); gap < time.Hour {
			found = append(found, Gap{Keys: []string{key}, Length: gap})
		}
	}
	for i, one := range keys {
		for _, other := range keys[i+1:] {
			gap, first, second := schedule.Closest([]schedule.Timed{timed[one], timed[other]})
			if first != second && gap < runWindow {
				found = append(found, Gap{Keys: []string{one, other}, Length: gap})
			}
		}
	}
	return found, nil
}
