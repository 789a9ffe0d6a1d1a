package health

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	"github.com/aimindset/terraform-provider-aimindset/internal/checks"
	"github.com/aimindset/terraform-provider-aimindset/internal/drill"
	"github.com/aimindset/terraform-provider-aimindset/internal/facts"
	"github.com/aimindset/terraform-provider-aimindset/internal/plsql"
)

// Coverage is what the text of the SQL function says of what a backup holds.
type Coverage struct {
	// Copied are the tables that it copies from, and NotCopied those with rows
	// that it never names: tables of schema public, the users (auth.users) and the
	// files (storage.objects). Both are sorted, with their schemas.
	Copied, NotCopied []string
	// Tables are all of these, and those that a drill restores, sorted by name.
	Tables []CoveredTable
	// LeftOut is how many tables NotCopied and Tables leave out.
	LeftOut int
}

// CoveredTable says of a live table whether every backup keeps it.
type CoveredTable struct {
	// Name has the schema, as Copy has, which is empty if it is not known.
	Name, Copy string
	// Covered says that each backup keeps rows of it. Reason says why not, or what is
	// missing; it is empty if nothing is.
	Covered bool
	Reason  string
}

// The reasons of a CoveredTable.
const (
	// CoverageNotCopied: the SQL function does not name the table.
	CoverageNotCopied = "not_copied"
	// CoverageNotKept: the function copies it into a table without the column backup_id,
	// so that there is only the newest copy.
	CoverageNotKept = "not_kept"
	// CoverageUnclear: the text does not show from which columns or into which table.
	CoverageUnclear = "unclear"
	// CoverageFiltered: the function leaves out some of the rows, or may do so.
	CoverageFiltered = "filtered"
)

// mostCovered is how many tables a coverage lists.
const mostCovered = 200

// coverageFacts are the parts that coverage looks at.
var coverageFacts = []facts.Part{"routines", "named_relations", "filled"}

// copies reads what the SQL function copies, and which of it a drill can restore. It
// returns false where the text could not be read, or is not SQL.
func (a *assessment) copies() (text plsql.Routine, copied []CoveredTable, drills []drill.Table, ok bool) {
	routine, ok := a.subject.Callee()
	if !ok || routine.Source == "" || routine.Language != "plpgsql" && routine.Language != "sql" {
		return text, nil, nil, false
	}
	resolve := func(n plsql.Name) (string, bool) { return a.subject.Resolve(n.Schema, n.Name, routine.Path()) }
	text = plsql.Read(routine.Source)
	for _, into := range text.Inserts {
		for _, alias := range into.Sources {
			from := into.From[alias]
			schema, known := resolve(from)
			if from.Name == "" || !known {
				continue
			}
			table := CoveredTable{Name: schema + "." + from.Name, Reason: CoverageUnclear}
			if into, known := resolve(into.Into); known {
				table.Copy = into
			}
			if table.Copy != "" {
				table.Copy += "." + into.Into.Name
			}
			if len(into.Columns) > 0 && !slices.Contains(into.Columns, drill.BackupColumn) {
				table.Reason = CoverageNotKept
			}
			copied = append(copied, table)
		}
	}
	return text, copied, drill.Tables(text, resolve), true
}

// coverage reads what the SQL function copies; nil if that is not known.
func (a *assessment) coverage() *Coverage {
	text, copied, drills, ok := a.copies()
	if !ok {
		return nil
	}
	if plan := a.subject.Spec.Settings.Drill; plan != nil {
		drills = slices.Concat(plan.Tables, drills) // somebody may have named others
	}
	c := Coverage{Copied: []string{}, NotCopied: []string{}}
	tables, targets := map[string]CoveredTable{}, map[string]bool{}
	for _, into := range text.Inserts {
		targets[into.Into.Name] = true
	}
	for _, table := range drills {
		name := strings.Join(table.Live[:], ".")
		if _, known := tables[name]; known {
			continue
		}
		covered := CoveredTable{Name: name, Copy: strings.Join(table.Copy[:], "."), Covered: true}
		if table.Filtered {
			covered.Reason = CoverageFiltered
		}
		tables[name] = covered
	}
	for _, table := range copied {
		c.Copied = append(c.Copied, table.Name)
		if _, known := tables[table.Name]; !known {
			tables[table.Name] = table
		}
	}
	slices.Sort(c.Copied)
	c.Copied = slices.Compact(c.Copied)
	for _, table := range a.subject.Filled {
		schema, name, _ := strings.Cut(table, ".")
		named := schema == "public" && text.Words[name]
		if _, known := tables[table]; !named && !known && !targets[name] {
			c.NotCopied = append(c.NotCopied, table)
			tables[table] = CoveredTable{Name: table, Reason: CoverageNotCopied}
		}
	}
	slices.Sort(c.NotCopied)
	c.NotCopied = c.NotCopied[:min(len(c.NotCopied), mostCovered)]
	// What is not copied comes first, so that it is not left out.
	c.Tables = slices.SortedFunc(maps.Values(tables), func(x, y CoveredTable) int {
		return cmp.Or(cmp.Compare(strings.Count(y.Reason, CoverageNotCopied), strings.Count(x.Reason, CoverageNotCopied)), cmp.Compare(x.Name, y.Name))
	})
	c.LeftOut = max(len(c.Tables)-mostCovered, 0)
	c.Tables = c.Tables[:len(c.Tables)-c.LeftOut]
	slices.SortFunc(c.Tables, func(x, y CoveredTable) int { return cmp.Compare(x.Name, y.Name) })
	return &c
}

// staleDrill reports that the SQL function now copies something else than the drill
// restores, which was read from its text at the last apply.
func (a *assessment) staleDrill() {
	plan := a.subject.Spec.Settings.Drill
	_, _, now, ok := a.copies()
	if plan == nil || !ok || len(plan.Tables) == 0 {
		return
	}
	var changed []string
	is := map[string]drill.Table{}
	for _, table := range now {
		is[strings.Join(table.Live[:], ".")] = table
	}
	for _, was := range plan.Tables {
		name := strings.Join(was.Live[:], ".")
		table, copied := is[name]
		delete(is, name)
		switch {
		case plan.TablesNamed && (!copied || table.Copy != was.Copy):
		case !copied:
			changed = append(changed, name+" not at all")
		case table.Copy != was.Copy:
			changed = append(changed, name+" into another table")
		case (table.Columns == nil) != (was.Columns == nil), !maps.Equal(table.Columns, was.Columns):
			changed = append(changed, "other columns of "+name)
		case table.Filtered != was.Filtered:
			changed = append(changed, "other rows of "+name)
		}
	}
	if !plan.TablesNamed {
		for name := range is {
			changed = append(changed, name+" too")
		}
	}
	if len(changed) == 0 {
		return
	}
	slices.Sort(changed)
	rest := ""
	if more := len(changed) - 5; more > 0 {
		changed, rest = changed[:5], " and more"
	}
	a.report("drill_stale", checks.Healthy, "The SQL function %s was changed since the last apply: it copies %s%s. Restore drills still restore what it copied before.",
		a.subject.Spec.Settings.Function.RPC, clause(strings.Join(changed, ", ")), rest)
}
