package preflight

import (
	"context"
	"reflect"
	"slices"
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

// asking is a project that notes what is asked of its database.
type asking struct {
	*project
	document facts.Document
	asked    []facts.Request
}

func (a *asking) Ask(_ context.Context, request facts.Request) (facts.Document, error) {
	a.asked = append(a.asked, request)
	return a.document, nil
}

// TestRetentionAskedAlone proves that the run history is read where a new or changed
// retention may remove something of it, and that a new backup of which it has nothing asks
// the database the same as one without a retention, so that the plans of a project share it.
func TestRetentionAskedAlone(t *testing.T) {
	t.Parallel()
	const name = "auto-backup"
	of := func(names ...backup.Name) facts.Document {
		return facts.Document{Histories: append([]backup.Name{}, names...)}
	}
	runs := func(state facts.State) facts.Document {
		return facts.Document{Relations: map[string]facts.State{"auto_backup.runs": state}}
	}
	for what, c := range map[string]struct {
		fresh, keeps bool
		document     facts.Document
		want         string
	}{
		"new, nothing installed":    {true, false, runs(facts.Missing), "all"},
		"new, no runs":              {true, false, of("other"), "all"},
		"new, runs of its name":     {true, false, of("another", name), "all alone"},
		"new, runs that are closed": {true, false, runs(facts.Forbidden), "all alone"},
		"changed":                   {false, false, of(name), "alone"},
		"the same":                  {false, true, of(name), "all"},
	} {
		p := &asking{project: &project{}, document: c.document}
		spec := backup.Spec{ID: backup.ID{ProjectRef: "abcdefghijklmnopqrst", Name: name}, New: c.fresh, KeepsRetention: c.keeps}
		spec.Settings.Retention = &retention.Policy{KeepLast: 1}
		if _, err := look(t.Context(), p, spec); err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, request := range p.asked {
			if slices.Contains(request.Parts, "retention") {
				if !slices.Equal(request.Backups, []backup.Name{name}) {
					t.Errorf("%s: asked is about %v", what, request.Backups)
				}
				got = append(got, "alone")
			} else {
				got = append(got, "all")
				other := &asking{project: &project{}}
				if _, err := look(t.Context(), other, backup.Spec{ID: backup.ID{Name: "other"}}); err != nil || !reflect.DeepEqual(other.asked[0], request) {
					t.Errorf("%s: it asks %v, another backup %v", what, request, other.asked[0])
				}
			}
		}
		if strings.Join(got, " ") != c.want {
			t.Errorf("%s: it asks %v, want %s", what, got, c.want)
		}
	}
}
