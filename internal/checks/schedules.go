package checks

import (
	"fmt"
	"slices"

	"github.com/aimindset/terraform-provider-aimindset/internal/backup"
	"github.com/aimindset/terraform-provider-aimindset/internal/text"
)

// schedules are the checks of when the backup is due. They look at the
// configuration alone.
var schedules = []Check{
	{
		Code: "schedule_frequent", Theme: Jobs, Planning: Warning,
		Find: func(s *Subject) (found []Finding) {
			for _, gap := range s.shortGaps(1) {
				found = append(found, s.aboutSchedule(gap, "runs twice within %s", text.Duration(gap.Length)))
			}
			return found
		},
	},
	{
		Code: "schedules_close", Theme: Jobs, Planning: Warning,
		Find: func(s *Subject) (found []Finding) {
			for _, gap := range s.shortGaps(2) {
				distance := "at the same time as"
				if gap.Length > 0 {
					distance = "within " + text.Duration(gap.Length) + " of"
				}
				found = append(found, s.aboutSchedule(gap, "starts %s schedule %q, so one backup may begin while the other is still being made", distance, gap.Keys[1]))
			}
			return found
		},
	},
}

// shortGaps returns the short gaps between the runs of one schedule, or of two. An
// invalid schedule is refused before anything is checked.
func (s *Subject) shortGaps(of int) []backup.Gap {
	if s.Spec.KeepsSchedules {
		return nil
	}
	gaps, err := backup.ShortGaps(s.Spec.Settings.Schedules)
	if err != nil {
		return nil
	}
	return slices.DeleteFunc(gaps, func(g backup.Gap) bool { return len(g.Keys) != of })
}

func (*Subject) aboutSchedule(gap backup.Gap, format string, args ...any) Finding {
	return About(fmt.Sprintf("Schedule %q", gap.Keys[0]), format, args...).At(atSchedules + "." + gap.Keys[0])
}
