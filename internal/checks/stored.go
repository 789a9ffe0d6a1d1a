package checks

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/aimindset/terraform-provider-aimindset/internal/backup"
	"github.com/aimindset/terraform-provider-aimindset/internal/codes"
	"github.com/aimindset/terraform-provider-aimindset/internal/drill"
	"github.com/aimindset/terraform-provider-aimindset/internal/facts"
	"github.com/aimindset/terraform-provider-aimindset/internal/offsite"
	"github.com/aimindset/terraform-provider-aimindset/internal/payload"
	"github.com/aimindset/terraform-provider-aimindset/internal/schedule"
	"github.com/aimindset/terraform-provider-aimindset/internal/text"
)

// stored are the checks of the backups that the application's tables hold, and of their
// copies outside the project.
var stored = []Check{
	{
		Code: "stored_backups_missing", Theme: Stored, Asked: Failing,
		Facts: []facts.Part{"stored_backups", "last_success", "last_log", "log_checks"},
		Find: func(s *Subject) []Finding {
			// If the reader does not see the application's tables, it is not known.
			sees := s.Readable("public.backup_logs") && s.Readable("public.system_logs")
			if s.LastSuccess == nil || !s.storesBackups() || s.StoredBackups != nil || !sees {
				return nil
			}
			return one(About("The schema public", "has no table any more that holds backups, with the columns backup_id and backup_created_at"))
		},
	},
	{
		Code: "stored_backup_missing", Theme: Stored, Asked: Failing,
		Facts: []facts.Part{"stored_backups", "last_success"},
		Find: func(s *Subject) []Finding {
			if s.LastSuccess == nil || !s.storesBackups() || s.StoredBackups == nil || s.StoredBackups.HasLast == nil || *s.StoredBackups.HasLast {
				return nil
			}
			return one(About("The backup "+s.LastSuccess.BackupID, "was the last success, but the backup tables have no row of it"))
		},
	},
	{
		Code: "retention_refused", Theme: Stored, Asked: Healthy,
		Facts: []facts.Part{"watchdog"},
		Find: func(s *Subject) []Finding {
			if s.Spec.Settings.Retention == nil || s.Watchdog == nil || s.Watchdog.Retention == nil || s.Watchdog.Retention.Refused == "" {
				return nil
			}
			tick := s.Watchdog.Retention
			return one(About("The retention", "removed nothing at %s, because %s could have other code run with the rights of postgres", text.Time(tick.At), text.Line(tick.Refused)))
		},
	},
	{
		Code: "drill_failed", Theme: Stored, Asked: Failing,
		Facts: []facts.Part{"drills"},
		Find: func(s *Subject) []Finding {
			d := s.result()
			if d == nil || d.State != facts.DrillFailed {
				return nil
			}
			said := codes.Lookup(d.Code, "")
			f := About("The restore drill at "+text.Time(d.StartedAt), "found: %s", said.Clause())
			f.Remedy = said.Remedy
			if d.Error != "" {
				f.Message = strings.TrimSuffix(f.Message, ".") + " (" + text.Line(d.Error) + ")."
			}
			if s.DrillOptional {
				f = f.Warns()
			}
			return one(f)
		},
	},
	{
		Code: "drill_incomplete", Theme: Stored, Asked: Healthy,
		Facts: []facts.Part{"drills"},
		Find: func(s *Subject) []Finding {
			if d := s.result(); d != nil && d.State == facts.DrillTimedOut {
				return one(About("The restore drill at "+text.Time(d.StartedAt), "did not finish within %s", text.Duration(time.Duration(s.Spec.Settings.Drill.TimeoutSeconds)*time.Second)))
			}
			return nil
		},
	},
	{
		Code: "drill_no_tables", Theme: Stored, Planning: Warning, Asked: Healthy,
		Facts: []facts.Part{"routines"},
		Find: func(s *Subject) []Finding {
			if !s.drills() || len(s.Spec.Settings.Drill.Tables) > 0 {
				return nil
			}
			if _, found := s.Callee(); s.Planning && (s.Spec.KeepsDrill || !found) {
				return nil
			}
			return one(About("The text of the SQL function public."+QuoteIdent(s.Spec.Settings.Function.RPC), "does not show which tables it copies, so no restore drill takes place").At("drill.tables"))
		},
	},
	{
		Code: "drill_silent", Theme: Stored, Asked: Healthy,
		Facts: []facts.Part{"drills", "jobs", "settings"},
		Find: func(s *Subject) []Finding {
			due, d := s.drillDue(), s.Spec.Settings.Drill
			if due.IsZero() || s.Drills == nil || s.Now.Before(due.Add(payload.TickPatience+time.Duration(d.TimeoutSeconds)*time.Second)) {
				return nil
			}
			if last := s.Drills.Latest; last != nil && !last.StartedAt.Before(due) {
				return nil
			}
			for _, j := range s.wantedJobs() {
				if j.key == drill.JobKey && j.found != nil && j.found.Active {
					return one(About("The job "+j.want.Name, "was due at %s, and no restore drill has begun since", text.Time(due)))
				}
			}
			return nil // the job is missing, which is said elsewhere
		},
	},
	{
		Code: "drill_late", Theme: Stored, Asked: Healthy,
		Facts: []facts.Part{"drills"},
		Find: func(s *Subject) []Finding {
			if s.Drills == nil || !s.drills() || len(s.Spec.Settings.Drill.Tables) == 0 || s.Settings == nil {
				return nil
			}
			since, allowed := s.Settings.UpdatedAt, time.Duration(s.Spec.Settings.Drill.OverdueAfterSeconds)*time.Second
			if d := s.Drills.Result; d != nil && d.StartedAt.After(since) {
				since = d.StartedAt
			}
			if allowed == 0 || s.Now.Sub(since) <= allowed {
				return nil
			}
			f := About("The newest backup", "has not been restored in a drill since %s, and at most %s is allowed", text.Time(since), text.Duration(allowed))
			if d := s.Drills.Latest; d != nil && d.State == facts.DrillSkipped {
				f.Message = strings.TrimSuffix(f.Message, ".") + "; at " + text.Time(d.StartedAt) + ", " + codes.Lookup(d.Code, "").Clause() + "."
			}
			return one(f)
		},
	},
	{
		Code: "drill_columns_lost", Theme: Stored, Asked: Healthy,
		Facts: []facts.Part{"drills"},
		Find: func(s *Subject) (found []Finding) {
			if d := s.result(); d != nil {
				for _, table := range d.Tables {
					var lost []string
					for _, c := range table.ColumnsLost {
						lost = append(lost, fmt.Sprintf("%s (%d rows)", text.Line(c.Name), c.Rows))
					}
					if len(lost) > 0 && table.Compared != nil {
						found = append(found, About("The backup of "+text.Line(table.Table), "lacks values of %s, of %d live rows that have not changed since", strings.Join(lost, ", "), *table.Compared))
					}
				}
			}
			return found
		},
	},
	{
		Code: "drill_rows_missing", Theme: Stored, Asked: Healthy,
		Facts: []facts.Part{"drills"},
		Find: func(s *Subject) (found []Finding) {
			if d := s.result(); d != nil {
				for _, table := range d.Tables {
					if table.RowsMissing > 0 {
						found = append(found, About("The backup of "+text.Line(table.Table), "lacks %d rows that the table had when it was made", table.RowsMissing))
					}
				}
			}
			return found
		},
	},
	{
		Code: "offsite_failed", Theme: Stored, Asked: Healthy,
		Facts: []facts.Part{"offsite"},
		Find: func(s *Subject) (found []Finding) {
			for _, key := range s.destinations() {
				if failure := s.Offsite[key].Failure(); failure != nil {
					often, said := "failed", codes.Lookup(failure.Code, failure.SQLState)
					if failure.Failures > 1 {
						often = fmt.Sprintf("failed %d times in a row, last", failure.Failures)
					}
					f := About("The off-site copy to "+key, "%s at %s: %s", often, text.Time(failure.FailedAt), said.Clause())
					f.Code, f.Remedy = failure.Code, said.Remedy
					found = append(found, s.offsite(f.because(failure.HTTPStatus, failure.Error), !failure.Transient()))
				}
				if look := s.Offsite[key].Check; look != nil && look.State == offsite.LookUnreadable {
					said := codes.Lookup(look.Code, "")
					f := About("The weekly look at the off-site copies in "+key, "could not be made at %s: %s", text.Time(look.FinishedAt), said.Clause())
					f.Code, f.Remedy = look.Code, said.Remedy
					found = append(found, s.offsite(f.because(look.HTTPStatus, look.Error), false))
				}
			}
			return found
		},
	},
	{
		Code: "offsite_late", Theme: Stored, Asked: Healthy,
		Facts: []facts.Part{"offsite", "settings"},
		Find: func(s *Subject) (found []Finding) {
			if len(s.destinations()) == 0 {
				if !s.CopiesRequired {
					return nil
				}
				f := About("The backup", "has no destination outside the project, and off-site copies are required")
				return one(s.offsite(f.With("Add `offsite` to the backup, or leave it out of `require`."), true))
			}
			since := time.Time{}
			if s.Settings != nil {
				since = s.Settings.UpdatedAt
			}
			for _, key := range s.destinations() {
				c, known := s.Offsite[key]
				failure := c.Failure()
				switch {
				case !known && s.CopiesRequired:
					f := About("The off-site copy to "+key, "is required, and the role %s cannot read whether there is one", s.Server.User)
					found = append(found, s.offsite(f.With("Read as `postgres` or as `supabase_read_only_user`, or run `terraform apply` if the installation is older."), true))
				case !known, failure != nil && !failure.Transient(), !c.Late(s.Spec.Settings.Offsite.Destinations[key].Every, since, s.Now):
				case c.Copy == nil:
					found = append(found, s.offsite(About("The off-site copy to "+key, "has never been made, although there has been a backup since %s", text.Time(c.Waiting())), true))
				default:
					found = append(found, s.offsite(About("The newest off-site copy in "+key, "is of the backup of %s, and a newer one has waited since %s", text.Time(c.Copy.MadeAt), text.Time(c.Waiting())), true))
				}
			}
			return found
		},
	},
	{
		Code: "offsite_object_missing", Theme: Stored, Asked: Healthy, Facts: []facts.Part{"offsite"},
		Find: func(s *Subject) []Finding { return s.objects("offsite_object_missing") },
	},
	{
		Code: "offsite_object_changed", Theme: Stored, Asked: Healthy, Facts: []facts.Part{"offsite"},
		Find: func(s *Subject) []Finding { return s.objects("offsite_object_changed") },
	},
	{
		Code: "offsite_object_unlocked", Theme: Stored, Asked: Healthy, Facts: []facts.Part{"offsite"},
		Find: func(s *Subject) []Finding { return s.objects("offsite_object_unlocked") },
	},
}

// drills reports whether drills take place.
func (s *Subject) drills() bool {
	return s.Spec.Settings.Drill != nil && s.Spec.Settings.Drill.Enabled
}

// drillDue is the latest due time of the drill since the settings were changed; zero if
// there is none.
func (s *Subject) drillDue() (due time.Time) {
	d := s.Spec.Settings.Drill
	if !s.drills() || s.Settings == nil {
		return due
	}
	expression, err := schedule.Parse(d.Cron)
	location, _, errZone := s.ZoneChanges.Location(d.Zone, s.Now)
	if err != nil || errZone != nil {
		return due
	}
	due, _ = expression.Latest(location, s.Settings.UpdatedAt, s.Now)
	return due
}

// result is the newest drill that was not skipped; nil if there is none, or no drill is
// configured any more.
func (s *Subject) result() *facts.Drill {
	if s.Drills == nil || s.Spec.Settings.Drill == nil {
		return nil
	}
	return s.Drills.Result
}

// storesBackups reports whether the counted tables are those that the backup fills: the
// tables of AIMindset's function, or the one that verify_table names. That one is not
// counted if it lacks a column.
func (s *Subject) storesBackups() bool {
	f := s.Spec.Settings.Function
	if f.RPC == backup.DefaultRPC {
		return true
	}
	return f.VerifyTable != nil && s.StoredBackups != nil && slices.Contains(s.StoredBackups.Tables, "public."+QuoteIdent(*f.VerifyTable))
}

// clock are the checks of the clocks.
var clock = []Check{
	{
		Code: "clock_skew", Theme: Clock, Asked: Healthy,
		Facts: []facts.Part{"server"},
		Find: func(s *Subject) []Finding {
			// The time between them changes with how long the answer takes.
			const allowed = 5 * time.Minute
			apart := s.Clock.Sub(s.Server.Now).Abs()
			if s.Clock.IsZero() || s.Server.Now.IsZero() || apart <= allowed {
				return nil
			}
			words := "five minutes"
			for _, longer := range []struct {
				length time.Duration
				words  string
			}{{10 * time.Minute, "ten minutes"}, {30 * time.Minute, "half an hour"}, {time.Hour, "an hour"}, {24 * time.Hour, "a day"}} {
				if apart > longer.length {
					words = longer.words
				}
			}
			return one(About("The clock of this machine", "and that of the database are more than %s apart; ages are by the database's clock", words))
		},
	},
	{
		Code: "future_runs", Theme: Clock, Asked: Healthy,
		Facts: []facts.Part{"future_runs"},
		Find: func(s *Subject) []Finding {
			if s.FutureRuns == nil || s.FutureRuns.Count == 0 {
				return nil
			}
			return one(About("The run history", "has runs that are dated after now, up to %s, and do not count: %d", text.Time(s.FutureRuns.Latest), s.FutureRuns.Count))
		},
	},
}
