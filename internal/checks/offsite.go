package checks

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/aimindset/terraform-provider-aimindset/internal/codes"
	"github.com/aimindset/terraform-provider-aimindset/internal/offsite"
	"github.com/aimindset/terraform-provider-aimindset/internal/text"
)

// destinations are the keys of the destinations of the settings, sorted.
func (s *Subject) destinations() []string {
	if s.Spec.Settings.Offsite == nil {
		return nil
	}
	return slices.Sorted(maps.Keys(s.Spec.Settings.Offsite.Destinations))
}

// objects are the findings about objects with which the newest look found one thing wrong.
func (s *Subject) objects(wrong string) (found []Finding) {
	for _, key := range s.destinations() {
		look := s.Offsite[key].Check
		if look == nil || look.State != offsite.LookFailed {
			continue
		}
		var concerned []string
		for _, problem := range look.Problems {
			if problem.Code == wrong {
				concerned = append(concerned, problem.Key)
			}
		}
		if len(concerned) == 0 {
			continue
		}
		f := About("The weekly look at the off-site copies in "+key, "found at %s: %s", text.Time(look.FinishedAt), codes.Lookup(wrong, "").Clause())
		rest := ""
		if more := len(concerned) - 1; more > 0 {
			rest = fmt.Sprintf(" and %d more", more)
		}
		found = append(found, s.offsite(f.because(0, concerned[0]+rest), true))
	}
	return found
}

// offsite returns a finding about off-site copies, which makes the backup unhealthy if it
// is serious and they are required.
func (s *Subject) offsite(f Finding, serious bool) Finding {
	if serious && s.CopiesRequired {
		f.Condition = Failing
	}
	return f
}

// because returns the finding with what the other side said, if it said anything.
func (f Finding) because(status int64, said string) Finding {
	var parts []string
	if status != 0 {
		parts = append(parts, fmt.Sprintf("HTTP %d", status))
	}
	if said = text.Head(text.Line(said), 300); said != "" {
		parts = append(parts, said)
	}
	if len(parts) > 0 {
		f.Message = strings.TrimSuffix(f.Message, ".") + " (" + strings.Join(parts, ", ") + ")."
	}
	return f
}
