package checks

import (
	"fmt"

	"github.com/aimindset/terraform-provider-aimindset/internal/backup"
	"github.com/aimindset/terraform-provider-aimindset/internal/text"
)

// schedules are the checks of when the backup is due. They look at the
// configuration alone.
var schedules = []Check{
	{
		Code: "schedule_frequent", Theme: Jobs, Planning: Warning,
		Find: func(s *Subject) []Finding {
			return s.shortGaps(1, func(gap backup.Gap) string { return "runs twice within " + text.Duration(gap.Length) })
		},
	},
	{
		Code: "schedules_close", Theme: Jobs, Planning: Warning,
		Find: func(s *Subject) []Finding {
			return s.shortGaps(2, func(gap backup.Gap) string {
				distance := "at the same time as"
				if gap.Length > 0 {
					distance = "within " + text.Duration(gap.Length) + " of"
				}
				return fmt.Sprintf("starts %s schedule %q, so one backup may begin while the other is still being made", distance, gap.Keys[1])
			})
		},
	},
}

// shortGaps returns a finding for each short gap between the runs of one schedule, or
// of two. An invalid schedule is refused before anything is checked.
func (s *Subject) shortGaps(of int, say func(backup.Gap) string) (found []Finding) {
	if s.Spec.KeepsSchedules {
		return nil
	}
	gaps, err := backup.ShortGaps(s.Spec.Settings.Schedules)
	if err != nil {
		return nil
	}
	for _, gap := range gaps {
		if len(gap.Keys) == of {
			found = append(found, About(fmt.Sprintf("Schedule %q", gap.Keys[0]), "%s", say(gap)).At(atSchedules+"."+gap.Keys[0]))
		}
	}
	return found
}
