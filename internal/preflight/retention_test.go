package preflight

import (
	"strings"
	"testing"
	"time"

	"github.com/aimindset/terraform-provider-aimindset/internal/backup"
	"github.com/aimindset/terraform-provider-aimindset/internal/checks"
	"github.com/aimindset/terraform-provider-aimindset/internal/drill"
	"github.com/aimindset/terraform-provider-aimindset/internal/facts"
	"github.com/aimindset/terraform-provider-aimindset/internal/retention"
)

// TestSurplus proves what a plan says of the backups that a new or changed retention
// removes: how many, the oldest and the newest of them by the backup's time zone, and
// from which tables; and that it says nothing where none goes or nothing changes.
func TestSurplus(t *testing.T) {
	t.Parallel()
	// At 23:00 and 01:00 in São Paulo.
	times := func(days ...int) (times []time.Time) {
		for _, day := range days {
			times = append(times, time.Date(2026, 3, day, 2, 0, 0, 0, time.UTC))
		}
		return times
	}
	for _, c := range []struct {
		name   string
		change func(*checks.Subject)
		says   string
	}{
		{"several", func(*checks.Subject) {}, "The retention removes 3 of 5 stored backups, made from 2026-02-28 to 2026-03-02, one per hour, from public.copies."},
		{"one", func(s *checks.Subject) { s.Spec.Settings.Retention.KeepLast = 4 }, "The retention removes 1 of 5 stored backups, made on 2026-02-28, one per hour, from public.copies."},
		{"what a drill has restored is kept", func(s *checks.Subject) {
			s.Spec.Settings.Retention.KeepLast, s.Retention.Restored = 4, s.Retention.Times[0]
		}, ""},
		{"none", func(s *checks.Subject) { s.Spec.Settings.Retention.KeepLast = 5 }, ""},
		{"the same retention", func(s *checks.Subject) { s.Spec.KeepsRetention = true }, ""},
		{"no retention", func(s *checks.Subject) { s.Spec.Settings.Retention = nil }, ""},
		{"not to be read", func(s *checks.Subject) { s.Retention = nil }, ""},
		{"tables that are named", func(s *checks.Subject) {
			s.Spec.Settings.Drill = &backup.DrillSettings{Tables: []drill.Table{{Copy: [2]string{"a", "b"}}, {Copy: [2]string{"a", "b"}}, {Copy: [2]string{"c", "d\n"}}, {Copy: [2]string{"e", "f"}}}}
		}, "from a.b, c.d and e.f."},
		{"no table", func(s *checks.Subject) { s.Routines[0].Source = "begin perform 1; end" }, "from no table yet: the function's text shows none, and `drill.tables` names none."},
	} {
		s := subject(t, sound)
		s.Spec.Settings.Timezone = "America/Sao_Paulo"
		s.Spec.Settings.Drill, s.Spec.Settings.Retention = &backup.DrillSettings{}, &retention.Policy{KeepLast: 2}
		s.Retention = &facts.Retention{Times: times(1, 2, 3, 4, 5)}
		c.change(s)
		found := surplus(s)
		switch {
		case c.says == "" && len(found) > 0:
			t.Errorf("%s: found is %+v", c.name, found)
		case c.says == "":
		case len(found) != 1 || !strings.HasSuffix(found[0].Message, c.says) || found[0].Severity != checks.Warning || found[0].Attribute != "retention" || found[0].Remedy == "":
			t.Errorf("%s: found is %+v, want %s", c.name, found, c.says)
		}
	}
}
