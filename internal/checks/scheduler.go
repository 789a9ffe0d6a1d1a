package checks

import (
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/aimindset/terraform-provider-aimindset/internal/backup"
	"github.com/aimindset/terraform-provider-aimindset/internal/facts"
	"github.com/aimindset/terraform-provider-aimindset/internal/text"
	"github.com/aimindset/terraform-provider-aimindset/internal/zone"
)

// theScheduler is the process that starts the jobs.
const theScheduler = "pg_cron's scheduler"

// scheduler are the checks of what starts the jobs, and when.
var scheduler = []Check{
	{
		Code: "job_role_missing", Theme: Scheduler, Planning: Error, Asked: SchedulerDown,
		Facts: []facts.Part{"jobs"},
		Find: func(s *Subject) (found []Finding) {
			for _, job := range s.orphans() {
				found = append(found, About("The pg_cron job "+strconv.Quote(job.Name)+" (id "+strconv.FormatInt(job.ID, 10)+")",
					"belongs to role %s, which does not exist: the scheduler crashes on it every second, so no jobs run at all", job.Username).At(atSchedules).
					With("Run `create role %s nologin`. Or ask a superuser, on Supabase its support, to run `delete from cron.job where jobid = %d`.", QuoteIdent(job.Username), job.ID))
			}
			return found
		},
	},
	{
		Code: "run_ids_behind", Theme: Scheduler, Planning: Error, Asked: SchedulerDown,
		Facts: []facts.Part{"newest_tick", "run_id_sequence"},
		Find: func(s *Subject) []Finding {
			next, newest, behind := s.runIDs()
			if !behind {
				return nil
			}
			return one(About("The table cron.job_run_details", "has run ids up to %d, and pg_cron's sequence would give %d next, as after a restore: the scheduler crashes on the first duplicate, so no jobs run at all", newest, next).At(atSchedules))
		},
	},
	{
		Code: "scheduler_absent", Theme: Scheduler, Planning: Error, Asked: SchedulerDown,
		Facts: []facts.Part{"extensions", "processes", "jobs", "newest_tick", "run_id_sequence"},
		Find: func(s *Subject) []Finding {
			if !s.lacksScheduler() {
				return nil
			}
			return one(About(theScheduler, "is not running, so no job starts").At(atSchedules))
		},
	},
	{
		Code: "scheduler_off", Theme: Scheduler, Planning: Error, Asked: SchedulerDown,
		Facts: []facts.Part{"parameters"},
		Find: func(s *Subject) []Finding {
			if s.Parameters["cron.launch_active_jobs"] != "off" {
				return nil
			}
			return one(About(theScheduler, "starts no jobs: cron.launch_active_jobs is off").At(atSchedules))
		},
	},
	{
		Code: "cron_timezone", Theme: Scheduler, Planning: Error, Asked: Late,
		Facts: []facts.Part{"parameters", "server"},
		Find: func(s *Subject) []Finding {
			// pg_cron knows the setting since 1.5, and reads schedules in GMT before.
			zone, ok := s.Parameters["cron.timezone"]
			if !ok || s.showsUTC(zone) {
				return nil
			}
			return one(About("The setting cron.timezone", "is %q, so all jobs run at other times: this provider compiles every schedule to UTC, in which pg_cron reads it on Supabase", zone).At(atTimezone))
		},
	},
	{
		Code: "workers_exhausted", Theme: Scheduler, Planning: Warning, Asked: Healthy,
		Facts: []facts.Part{"parameters", "processes", "server"},
		Find: func(s *Subject) []Finding {
			workers, err := strconv.Atoi(s.Parameters["max_worker_processes"])
			if s.Parameters["cron.use_background_workers"] != "on" || !s.Server.SeesProcesses || err != nil || s.Processes.BackgroundWorkers < workers {
				return nil
			}
			return one(About(theScheduler, "runs jobs as background workers, and all %d of max_worker_processes are in use", workers).At(atSchedules).
				With("Run `alter system set max_worker_processes = %d`, and restart the server; or set `cron.use_background_workers = off`.", workers+8))
		},
	},
	{
		Code: "zone_rules_differ", Theme: Scheduler, Planning: Warning, Asked: Healthy,
		Facts: []facts.Part{"zone_changes", "server"},
		Find: func(s *Subject) (found []Finding) {
			shown := func(at time.Time, ahead time.Duration) string {
				return at.In(time.FixedZone("", int(ahead/time.Second))).Format("15:04 (UTC-07:00)")
			}
			for _, name := range s.zonesInUse() {
				_, divergence, err := s.ZoneChanges.Location(name, s.Server.Now)
				if err != nil || divergence == nil {
					continue
				}
				found = append(found, About("The clock of "+name, "goes differently by the rules of the database and by the provider's: at %s it shows %s by the database and %s by the provider. A backup is due when the database says so",
					text.Time(divergence.At), shown(divergence.At, divergence.Other), shown(divergence.At, divergence.One)).At(atTimezone))
			}
			return found
		},
	},
	{
		Code: "zone_unknown", Theme: Scheduler, Planning: Error,
		Facts: []facts.Part{"unknown_zones"},
		Find: func(s *Subject) (found []Finding) {
			for _, zone := range s.UnknownZones {
				attribute := atTimezone
				for _, key := range slices.Sorted(maps.Keys(s.Spec.Settings.Schedules)) {
					if own := s.Spec.Settings.Schedules[key].Timezone; own != nil && *own == zone {
						attribute = atSchedules + "." + key + ".timezone"
					}
				}
				if own := s.Spec.Settings.Drill; own != nil && own.Timezone != nil && *own.Timezone == zone {
					attribute = "drill.timezone"
				}
				found = append(found, About("The time zone "+zone, "is not known to the database, in which the dispatcher and the watchdog read the schedule").At(attribute))
			}
			return found
		},
	},
}

// zonesInUse are the time zones of the enabled schedules and of an enabled drill.
func (s *Subject) zonesInUse() []string {
	zones := map[string]bool{}
	for _, own := range s.Spec.Settings.Schedules {
		if own.Enabled {
			zones[own.Zone] = true
		}
	}
	if own := s.Spec.Settings.Drill; own != nil && own.Enabled {
		zones[own.Zone] = true
	}
	return slices.Sorted(maps.Keys(zones))
}

// orphans are the jobs whose role does not exist.
func (s *Subject) orphans() []backup.Job {
	return slices.DeleteFunc(slices.Clone(s.Jobs), func(job backup.Job) bool { return !job.Orphaned })
}

// runIDs compares pg_cron's sequence of run ids with its history: the id that comes
// next, the highest that is taken, and whether the one will meet the other.
func (s *Subject) runIDs() (next, newest int64, behind bool) {
	if s.RunIDSequence == nil || s.NewestTick == nil || s.NewestTick.RunID == nil {
		return 0, 0, false
	}
	next = s.RunIDSequence.LastValue
	if s.RunIDSequence.IsCalled {
		next++
	}
	newest = *s.NewestTick.RunID
	return next, newest, newest >= next
}

// lacksScheduler reports whether pg_cron is installed and its scheduler does not
// run, for no cause that has a finding of its own. Every role sees the name under
// which the scheduler reports itself.
func (s *Subject) lacksScheduler() bool {
	_, installed := s.Extensions["pg_cron"]
	_, _, behind := s.runIDs()
	return installed && !s.Processes.PgCron && !behind && len(s.orphans()) == 0
}

// showsUTC reports whether pg_cron runs jobs at the times of UTC when cron.timezone
// is timezone: from now on, its clocks always show UTC.
func (s *Subject) showsUTC(timezone string) bool {
	// PostgreSQL reads names in any case. These are all that name no city.
	name := strings.TrimPrefix(strings.ToUpper(timezone), "ETC/")
	switch name {
	case "UTC", "UCT", "GMT", "ZULU", "UNIVERSAL", "GREENWICH", "GMT0", "GMT+0", "GMT-0", "ICELAND", "FACTORY":
		return true
	}
	location, err := zone.Load(timezone)
	if err != nil {
		return false
	}
	for at := s.Server.Now; at.Before(s.Server.Now.AddDate(2, 0, 0)); at = at.AddDate(0, 0, 7) {
		if _, offset := at.In(location).Zone(); offset != 0 {
			return false
		}
	}
	return true
}
