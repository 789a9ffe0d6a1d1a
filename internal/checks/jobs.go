package checks

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/aimindset/terraform-provider-aimindset/internal/backup"
	"github.com/aimindset/terraform-provider-aimindset/internal/drill"
	"github.com/aimindset/terraform-provider-aimindset/internal/facts"
	"github.com/aimindset/terraform-provider-aimindset/internal/payload"
	"github.com/aimindset/terraform-provider-aimindset/internal/schedule"
	"github.com/aimindset/terraform-provider-aimindset/internal/text"
)

// watchdogPatience is how long the watchdog may be silent.
const watchdogPatience = 3 * payload.WatchdogInterval

// jobs are the checks of the backup's own jobs, of the watchdog, and of other jobs
// that make a backup.
var jobs = []Check{
	{
		Code: "job_of_other_role", Theme: Jobs, Asked: Late,
		Facts: []facts.Part{"jobs"},
		Find: func(s *Subject) (found []Finding) {
			for _, j := range s.wantedJobs() {
				if j.found == nil && len(j.others) > 0 {
					found = append(found, j.about("belongs to role %s instead of %s, which may not run it", j.others[0].Username, backup.JobOwner))
				}
			}
			return found
		},
	},
	{
		Code: "job_missing", Theme: Jobs, Asked: Late,
		Facts: []facts.Part{"jobs"},
		Find: func(s *Subject) (found []Finding) {
			for _, j := range s.wantedJobs() {
				if j.found == nil && len(j.others) == 0 && j.want.Active {
					found = append(found, j.about("does not exist"))
				}
			}
			return found
		},
	},
	{
		Code: "job_inactive", Theme: Jobs, Asked: Late,
		Facts: []facts.Part{"jobs"},
		Find: func(s *Subject) (found []Finding) {
			for _, j := range s.wantedJobs() {
				if j.found != nil && j.want.Active && !j.found.Active {
					found = append(found, j.about("is switched off"))
				}
			}
			return found
		},
	},
	{
		Code: "job_active", Theme: Jobs, Asked: Healthy,
		Facts: []facts.Part{"jobs"},
		Find: func(s *Subject) (found []Finding) {
			for _, j := range s.wantedJobs() {
				if j.found != nil && !j.want.Active && j.found.Active {
					found = append(found, j.about("is active, although its schedule is switched off; its ticks do nothing").Warns())
				}
			}
			return found
		},
	},
	{
		Code: "job_changed", Theme: Jobs, Asked: Late,
		Facts: []facts.Part{"jobs"},
		Find: func(s *Subject) (found []Finding) {
			for _, j := range s.wantedJobs() {
				if j.found == nil {
					continue
				}
				var changes []string
				for _, c := range [][3]string{
					{"schedule", j.found.Schedule, j.want.Schedule}, {"command", j.found.Command, j.want.Command}, {"database", j.found.Database, j.want.Database},
				} {
					if c[1] != c[2] {
						changes = append(changes, fmt.Sprintf("its %s is %q instead of %q", c[0], text.Line(c[1]), c[2]))
					}
				}
				if len(changes) > 0 {
					found = append(found, j.about("was changed: %s", strings.Join(changes, ", ")))
				}
			}
			return found
		},
	},
	{
		Code: "tick_failed", Theme: Jobs, Asked: Healthy,
		Facts: []facts.Part{"jobs", "ticks", "watchdog", "last_success", "drills"},
		Find: func(s *Subject) (found []Finding) {
			for _, j := range s.wantedJobs() {
				if j.found != nil {
					found = append(found, s.failedTick(j)...)
				}
			}
			return found
		},
	},
	{
		Code: "job_duplicate", Theme: Jobs, Asked: Healthy,
		Facts: []facts.Part{"jobs"},
		Find: func(s *Subject) (found []Finding) {
			for _, j := range s.wantedJobs() {
				if j.found == nil {
					continue
				}
				for _, other := range j.others {
					found = append(found, About("The job "+other.Name, "belongs to role %s as well as to %s; of each due time only one tick makes a backup", other.Username, backup.JobOwner))
				}
			}
			return found
		},
	},
	{
		Code: "other_job", Theme: Jobs, Asked: Healthy,
		Facts: []facts.Part{"jobs"},
		Find: func(s *Subject) (found []Finding) {
			wanted := s.Spec.Jobs()
			for _, job := range s.OtherMakers() {
				mine := slices.ContainsFunc(slices.Collect(maps.Values(wanted)), func(w backup.Job) bool { return w.Name == job.Name && w.Username == job.Username })
				if job.Active && !mine {
					found = append(found, About("The job "+job.Name, "(%s) of role %s makes backups as well, without log, retry or alert", job.Schedule, job.Username))
				}
			}
			return found
		},
	},
	{
		Code: "watchdog_silent", Theme: Jobs, Asked: SchedulerDown,
		Facts: []facts.Part{"settings", "watchdog", "newest_tick"},
		Find: func(s *Subject) []Finding {
			since, what := s.watchedSince()
			silent := s.Now.Sub(since)
			if !s.Readable("auto_backup.watchdog") || silent <= watchdogPatience {
				return nil
			}
			newest := ""
			switch n := s.NewestTick; {
			case n == nil || n.At.IsZero():
			case s.Now.Sub(n.At) > watchdogPatience:
				newest = "; the newest tick of any job is of " + text.Time(n.At)
			default:
				newest = "; pg_cron does run jobs"
			}
			return one(About("The watchdog", "is due every ten minutes, and %s: its job does not run, or fails%s", what, newest))
		},
	},
	{
		Code: "forged_log", Theme: Jobs, Asked: Healthy,
		Facts: []facts.Part{"watchdog"},
		Find: func(s *Subject) []Finding {
			if s.Watchdog == nil || s.Watchdog.Forged == 0 {
				return nil
			}
			return one(About("public.system_logs", "has rows about runs of this backup that the function has not signed, which the watchdog ignores: %d", s.Watchdog.Forged))
		},
	},
	{
		Code: "watchdog_hindered", Theme: Jobs, Asked: Healthy,
		Facts: []facts.Part{"watchdog"},
		Find: func(s *Subject) []Finding {
			if s.Watchdog == nil || len(s.Watchdog.Problems) == 0 {
				return nil
			}
			return one(About("The watchdog", "could not do a part of its work: %s", strings.TrimSuffix(text.Line(strings.Join(s.Watchdog.Problems, "; ")), ".")))
		},
	},
}

// wantedJob is a job that the settings want, as it was found, and other roles' jobs
// of its name.
type wantedJob struct {
	key  string
	want backup.Job
	// makes says that it is the job of a schedule.
	makes  bool
	found  *backup.Job
	others []backup.Job
}

// about returns a finding about the job. Without the watchdog's nobody would learn
// of a failure; without a drill or a retention, backups are made all the same.
func (j wantedJob) about(format string, args ...any) Finding {
	f := About("The job "+j.want.Name, format, args...)
	switch {
	case j.key == backup.WatchdogKey:
		f.Condition = SchedulerDown
	case !j.makes:
		f = f.Warns()
	}
	return f
}

// wantedJobs are the jobs that the settings want, in the order of their keys; none
// if the jobs could not be read.
func (s *Subject) wantedJobs() (all []wantedJob) {
	if _, ok := s.Extensions["pg_cron"]; !ok || !s.Readable("cron.job") {
		return nil
	}
	wanted := s.Spec.Jobs()
	for _, key := range slices.Sorted(maps.Keys(wanted)) {
		j := wantedJob{key: key, want: wanted[key]}
		_, j.makes = s.Spec.Settings.Schedules[key]
		for _, job := range s.Jobs {
			switch {
			case job.Name != j.want.Name:
			case job.Username == backup.JobOwner:
				j.found = &job
			default:
				j.others = append(j.others, job)
			}
		}
		all = append(all, j)
	}
	return all
}

// OtherMakers are the jobs that make the backup past the dispatcher: they call its
// SQL function, or an address that ends in its name.
func (s *Subject) OtherMakers() []backup.Job {
	makes := backup.MakesBackup(s.ID.Name, s.Spec.Settings.Function.RPC)
	return slices.DeleteFunc(slices.Clone(s.Jobs), func(job backup.Job) bool {
		return !makes(job) || job.Dispatches() != ""
	})
}

// failedTick says of a job's latest tick that it failed, as long as that matters:
// of the watchdog while it is silent, of a schedule until a backup is made, of a drill
// until another one begins.
func (s *Subject) failedTick(j wantedJob) []Finding {
	last, ok := s.Ticks[j.found.ID]
	if !ok || last.Status != "failed" {
		return nil
	}
	// pg_cron notes no time where it found no connection.
	at, when := last.At, "at "+text.Time(last.At)
	if at.IsZero() {
		when = "at a time that pg_cron did not note"
		own := s.Spec.Settings.Schedules[j.key]
		if restored := s.Spec.Settings.Drill; restored != nil && j.key == drill.JobKey {
			own = restored.Schedule
		}
		expression, err := schedule.Parse(own.Cron)
		location, _, errZone := s.ZoneChanges.Location(own.Zone, s.Now)
		if err == nil && errZone == nil {
			at, _ = expression.Latest(location, s.Now.AddDate(-1, 0, 0), s.Now)
		}
	}
	since, _ := s.watchedSince()
	silent, watchdog := s.Now.Sub(since) > watchdogPatience, j.key == backup.WatchdogKey
	made := s.LastSuccess != nil && !s.LastSuccess.FinishedAt.Before(at)
	if j.key == drill.JobKey {
		made = s.Drills != nil && s.Drills.Latest != nil && !s.Drills.Latest.StartedAt.Before(at)
	}
	if watchdog && !silent || !watchdog && made {
		return nil
	}
	f := About("The latest tick of the job "+j.found.Name, "(%s) failed: %s", when, strings.TrimSuffix(text.FirstLine(last.Message), "."))
	if silent {
		f.Condition = SchedulerDown
	}
	return one(f)
}

// watchedSince is when the watchdog looked last, or could have begun to.
func (s *Subject) watchedSince() (time.Time, string) {
	never := "has never looked"
	if s.Watchdog != nil && !s.Watchdog.At.IsZero() {
		if !s.Watchdog.At.After(s.Now.Add(time.Minute)) {
			return s.Watchdog.At, "looked last at " + text.Time(s.Watchdog.At)
		}
		// A clock was wrong then, and is right again or wrong now.
		never = "has not looked at a time before now"
	}
	if s.Settings != nil {
		return s.Settings.CreatedAt, never + " since the installation at " + text.Time(s.Settings.CreatedAt)
	}
	return time.Time{}, never
}
