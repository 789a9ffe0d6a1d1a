package preflight

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/aimindset/terraform-provider-aimindset/internal/backup"
	"github.com/aimindset/terraform-provider-aimindset/internal/checks"
	"github.com/aimindset/terraform-provider-aimindset/internal/codes"
	"github.com/aimindset/terraform-provider-aimindset/internal/text"
)

// removes reports whether a spec has a retention that the backup does not have yet.
func removes(spec backup.Spec) bool { return spec.Settings.Retention != nil && !spec.KeepsRetention }

// surplus tells which stored backups a new or changed retention removes.
func surplus(s *checks.Subject) []checks.Finding {
	if !removes(s.Spec) || s.Retention == nil {
		return nil
	}
	location, _, err := s.ZoneChanges.Location(s.Spec.Settings.Timezone, s.Server.Now)
	if err != nil {
		return nil // the schedules' zones are checked
	}
	kept := s.Spec.Settings.Retention.Keep(s.Retention.Times, location, s.Retention.Restored)
	gone := slices.DeleteFunc(slices.Clone(s.Retention.Times), func(at time.Time) bool { return slices.ContainsFunc(kept, at.Equal) })
	if len(gone) == 0 {
		return nil
	}
	day := func(at time.Time) string { return at.In(location).Format(time.DateOnly) }
	made := "from " + day(gone[0]) + " to " + day(gone[len(gone)-1])
	if day(gone[0]) == day(gone[len(gone)-1]) {
		made = "on " + day(gone[0])
	}
	f := checks.About("The retention", "removes %d of %d stored backups, made %s, one per hour, from %s",
		len(gone), len(s.Retention.Times), made, copies(s))
	f.Code, f.Severity, f.Attribute = "retention_removes", checks.Warning, "retention"
	f.Remedy = codes.Lookup(f.Code, "").Remedy
	return []checks.Finding{f}
}

// copies names the tables from which a retention deletes.
func copies(s *checks.Subject) string {
	tables := drillTables(s)
	if wanted := s.Spec.Settings.Drill; wanted != nil && wanted.Tables != nil {
		tables = wanted.Tables
	}
	var names []string
	for _, table := range tables {
		if name := text.Line(strings.Join(table.Copy[:], ".")); !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	switch last := len(names) - 1; {
	case last < 0:
		return "no table yet: the function's text shows none, and `drill.tables` names none"
	case last == 0:
		return names[0]
	default:
		return fmt.Sprintf("%s and %s", strings.Join(names[:last], ", "), names[last])
	}
}
