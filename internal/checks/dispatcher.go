package checks

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/aimindset/terraform-provider-aimindset/internal/facts"
	"github.com/aimindset/terraform-provider-aimindset/internal/payload"
)

// readability is the check whether the reader could read everything.
var readability = []Check{
	{
		Code: "not_readable", Theme: Readability, Planning: Warning, Asked: Healthy,
		Facts: []facts.Part{"server"},
		Find: func(s *Subject) (found []Finding) {
			states := []facts.State{facts.Filtered, facts.Forbidden, facts.Locked}
			if s.Planning {
				// What a plan needs and may not read is an error of its own.
				states = states[2:]
			}
			for _, state := range states {
				var tables []string
				for _, table := range slices.Sorted(maps.Keys(s.Relations)) {
					if s.Relations[table] == state {
						tables = append(tables, table)
					}
				}
				if len(tables) == 0 {
					continue
				}
				why := map[facts.State]string{
					facts.Filtered: "row level security hides rows from the role " + s.Server.User, facts.Forbidden: "the role " + s.Server.User + " may not read it",
					facts.Locked: "a statement that is running has locked it",
				}[state]
				names := strings.Join(tables, ", ")
				f := Finding{Object: names, Message: fmt.Sprintf("What %s would say is not known, because %s.", names, why)}
				if state == facts.Locked {
					for _, table := range tables {
						if holder, ok := s.Locks[table]; ok {
							f.Message += fmt.Sprintf(" %s is locked by %s.", table, holder)
						}
					}
					f.Remedy = "Find the statement in `pg_stat_activity`, or ask again later."
				}
				if slices.Contains(tables, "auto_backup.settings") || slices.Contains(tables, "auto_backup.runs") {
					f.Condition = Failing
				}
				found = append(found, f)
			}
			return found
		},
	},
}

// dispatcher are the checks of what is installed in schema auto_backup.
var dispatcher = []Check{
	{
		Code: "dispatcher_damaged", Theme: Dispatcher, Asked: Failing,
		Facts: []facts.Part{"functions", "installation"},
		Find: func(s *Subject) (found []Finding) {
			for _, table := range slices.Sorted(maps.Keys(s.Relations)) {
				if !strings.HasPrefix(table, "auto_backup.") {
					continue
				}
				switch s.Relations[table] {
				case facts.Missing:
					found = append(found, About("The dispatcher's table "+table, "is missing"))
				case facts.Altered:
					found = append(found, About("The dispatcher's table "+table, "lacks a column"))
				case facts.Readable, facts.Forbidden, facts.Filtered, facts.Locked:
				}
			}
			if missing, _ := s.changedFunctions(); len(missing) > 0 {
				found = append(found, About("The schema auto_backup", "lacks the functions %s", strings.Join(missing, ", ")))
			}
			return found
		},
	},
	{
		Code: "unfinished", Theme: Dispatcher, Asked: Failing,
		Facts: []facts.Part{"settings"},
		Find: func(s *Subject) []Finding {
			if s.Settings == nil || !s.Settings.Unfinished {
				return nil
			}
			return one(About(fmt.Sprintf("The installation of backup %q", s.ID.Name), "was begun and not finished"))
		},
	},
	{
		Code: "dispatcher_changed", Theme: Dispatcher, Asked: Healthy,
		Facts: []facts.Part{"functions", "installation"},
		Find: func(s *Subject) []Finding {
			_, changed := s.changedFunctions()
			if len(changed) == 0 {
				return nil
			}
			return one(About("The schema auto_backup", "has functions that differ from those of version %s: %s", s.State.DispatcherVersion, strings.Join(changed, ", ")))
		},
	},
}

// changedFunctions compares the functions of schema auto_backup with this
// provider's, where both are of one version.
func (s *Subject) changedFunctions() (missing, changed []string) {
	wanted := payload.LoadDispatcher()
	if s.State.DispatcherVersion != wanted.Version {
		return nil, nil
	}
	for _, name := range slices.Sorted(maps.Keys(wanted.Functions)) {
		switch found, ok := s.State.Functions[name]; {
		case !ok:
			missing = append(missing, name)
		case found != wanted.Functions[name]:
			changed = append(changed, name)
		}
	}
	return missing, changed
}
