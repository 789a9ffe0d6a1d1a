package checks

import (
	"time"

	"github.com/aimindset/terraform-provider-aimindset/internal/offsite"
)

// copied is a project whose newest backup was copied to a destination, unless change says
// otherwise.
func copied(change func(plan *offsite.Destination, d *offsite.Copies)) func(*Subject) {
	return func(s *Subject) {
		plan := offsite.Destination{Every: offsite.EveryBackup}
		d := offsite.Copies{Copy: &offsite.Copy{BackupID: "b", MadeAt: s.Now.Add(-9 * time.Hour), CompletedAt: s.Now.Add(-8 * time.Hour)}}
		if change != nil {
			change(&plan, &d)
		}
		s.Settings.UpdatedAt = s.Now.AddDate(0, -1, 0)
		s.Spec.Settings.Offsite = &offsite.Settings{Destinations: map[string]offsite.Destination{"r2": plan}}
		s.Offsite = map[string]offsite.Copies{"r2": d}
	}
}

func required(s *Subject) { s.CopiesRequired = true }

// attempt is a copy that is being made, after failures in a row.
func attempt(failures int64, retryable bool) func(*offsite.Destination, *offsite.Copies) {
	return func(_ *offsite.Destination, d *offsite.Copies) {
		d.Open = &offsite.Export{
			OpenedAt: now.Add(-time.Hour), Failures: failures, Retryable: &retryable, FailedAt: now.Add(-time.Minute),
			Code: "offsite_failed", Error: "no\nidea", HTTPStatus: 500,
		}
		d.WaitingSince = now.Add(-time.Hour)
	}
}

// givenUp is a copy that was given up after the newest complete one, and nothing since.
func givenUp(code string, opened time.Time) func(*offsite.Destination, *offsite.Copies) {
	return func(_ *offsite.Destination, d *offsite.Copies) {
		d.Failed = &offsite.Export{OpenedAt: opened, FailedAt: now.Add(-time.Minute), Code: code}
	}
}

// looked is the newest look at what is stored.
func looked(state, code, failure string, problems ...offsite.ObjectProblem) func(*offsite.Destination, *offsite.Copies) {
	return func(_ *offsite.Destination, d *offsite.Copies) {
		d.Check = &offsite.Look{State: state, FinishedAt: now.Add(-time.Hour), Code: code, Error: failure, Problems: problems}
	}
}

func failedCopies() []example {
	return []example{
		{what: "often", change: copied(attempt(3, true)), says: "The off-site copy to r2 failed 3 times in a row, last at 2026-11-23T11:59:00Z: the off-site copy failed for a reason that the function does not name (HTTP 500, no idea)."},
		{what: "required", change: all(copied(attempt(3, true)), required), says: "failed 3 times", condition: Failing},
		{what: "once, and required", change: all(copied(attempt(1, true)), required), says: "failed at 2026-11-23T11:59:00Z"},
		{what: "for good, and required", change: all(copied(attempt(1, false)), required), says: "failed at", condition: Failing},
		{what: "given up, and required", change: all(copied(givenUp("offsite_failed", now.Add(-time.Hour))), required), says: "failed at", condition: Failing},
		{what: "a look that failed, and copies are required", change: all(copied(looked(offsite.LookUnreadable, "offsite_failed", "x")), required),
			says: "The weekly look at the off-site copies in r2 could not be made at 2026-11-23T11:00:00Z: the off-site copy failed for a reason that the function does not name (x)."},
		{what: "copied", change: copied(nil)},
		{what: "being made", change: copied(attempt(0, true))},
		{what: "given up, and made since", change: copied(givenUp("offsite_failed", now.Add(-10*time.Hour)))},
		{what: "moved", change: copied(givenUp("offsite_removed", now.Add(-time.Hour)))},
		{what: "no destination any more", change: all(copied(attempt(3, true)), func(s *Subject) { s.Spec.Settings.Offsite = nil })},
	}
}

func lateCopies() []example {
	waiting := func(every string, hours time.Duration, never bool) func(*Subject) {
		return copied(func(plan *offsite.Destination, d *offsite.Copies) {
			plan.Every, d.WaitingSince = every, now.Add(-hours*time.Hour)
			if never {
				d.Copy = nil
			}
		})
	}
	return []example{
		{what: "so", change: waiting(offsite.EveryBackup, 25, false), says: "The newest off-site copy in r2 is of the backup of 2026-11-23T03:00:00Z, and a newer one has waited since 2026-11-22T11:00:00Z."},
		{what: "required", change: all(waiting(offsite.EveryBackup, 25, false), required), says: "has waited since", condition: Failing},
		{what: "daily", change: waiting(offsite.EveryDay, 49, false), says: "has waited since"},
		{what: "weekly", change: waiting(offsite.EveryWeek, 8*24+1, false), says: "has waited since"},
		{what: "never", change: waiting(offsite.EveryBackup, 25, true), says: "The off-site copy to r2 has never been made, although there has been a backup since 2026-11-22T11:00:00Z."},
		{what: "never, and required", change: all(waiting(offsite.EveryBackup, 25, true), required), says: "has never been made", condition: Failing},
		{what: "slow", change: copied(func(_ *offsite.Destination, d *offsite.Copies) {
			d.Open = &offsite.Export{OpenedAt: now.Add(-25 * time.Hour)}
		}), says: "has waited since 2026-11-22T11:00:00Z"},
		{what: "failing for a moment, and required", change: all(copied(attempt(1, true)), func(s *Subject) {
			d := s.Offsite["r2"]
			d.WaitingSince = now.Add(-25 * time.Hour)
			s.Offsite["r2"] = d
		}, required), says: "has waited since", condition: Failing},
		{what: "required, and no destination", change: required, says: "The backup has no destination outside the project", remedy: "Add `offsite`", condition: Failing},
		{what: "required, and not to be read", change: all(copied(nil), func(s *Subject) { s.Offsite = nil }, required), says: "the role postgres cannot read whether there is one", remedy: "supabase_read_only_user", condition: Failing},
		{what: "not to be read", change: all(copied(nil), func(s *Subject) { s.Offsite = nil })},
		{what: "a day", change: waiting(offsite.EveryBackup, 24, false)},
		{what: "daily, two days", change: waiting(offsite.EveryDay, 48, false)},
		{what: "weekly, eight days", change: waiting(offsite.EveryWeek, 8*24, false)},
		{what: "configured since", change: all(waiting(offsite.EveryBackup, 25, true), func(s *Subject) { s.Settings.UpdatedAt = now.Add(-time.Hour) })},
		{what: "failing, which says more", change: all(waiting(offsite.EveryBackup, 25, false), func(s *Subject) {
			d := s.Offsite["r2"]
			attempt(9, true)(nil, &d)
			d.WaitingSince = now.Add(-25 * time.Hour)
			s.Offsite["r2"] = d
		})},
	}
}

func changedObjects(wrong, says string) []example {
	found := looked(offsite.LookFailed, wrong, "a/1", offsite.ObjectProblem{Key: "a/1", Code: wrong}, offsite.ObjectProblem{Key: "a/2", Code: wrong}, offsite.ObjectProblem{Key: "a/3", Code: "another"})
	return []example{
		{what: "two", change: copied(found), says: says + " (a/1 and 1 more)."},
		{what: "required", change: all(copied(found), required), says: "The weekly look at the off-site copies in r2 found at 2026-11-23T11:00:00Z: an object of an off-site copy", condition: Failing},
		{what: "others", change: copied(looked(offsite.LookFailed, "another", "a/3", offsite.ObjectProblem{Key: "a/3", Code: "another"}))},
		{what: "passed", change: copied(looked(offsite.LookPassed, "", ""))},
	}
}
