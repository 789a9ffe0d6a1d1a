// Package drill reads which tables a restore drill restores, and from what, out of the
// text of the SQL function that makes the backup.
package drill

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/aimindset/terraform-provider-aimindset/internal/plsql"
)

// JobKey is the key of the drill among the jobs of a backup. No schedule may use it.
const JobKey = "drill"

// OnceKey is the key of the job that runs a drill on request and then removes itself. No
// schedule may use it.
const OnceKey = "drill_now"

// The defaults of a drill: its schedule, how long it may take, and how many rows of a
// table it reads.
const (
	DefaultCron    = "30 4 * * 0"
	DefaultTimeout = 2 * time.Minute
	DefaultMaxRows = 100_000
)

// BackupColumn is the column by which the backup tables tell their backups apart. A
// table without it holds the newest backup only, such as the application's logs of the
// last days, and is not drilled.
const BackupColumn = "backup_id"

// Table is a live table and its copy, as the dispatcher's SQL reads it.
type Table struct {
	// Live and Copy are the names, each a schema and a table.
	Live [2]string `json:"live"`
	Copy [2]string `json:"copy"`
	// Columns maps the columns of the live table to those of the copy that the
	// function fills with them. Nil means by name, and id from original_id; an empty
	// map means none.
	Columns map[string]string `json:"columns,omitzero"`
	// Filtered says that the function leaves rows out on purpose, or may do so.
	Filtered bool `json:"filtered,omitempty"`
}

// Tables are the tables of which a function copies rows into tables that keep several
// backups, in the order of its text. resolve returns the schema of a name, and false if
// there is no such table.
func Tables(function plsql.Routine, resolve func(plsql.Name) (schema string, ok bool)) []Table {
	var tables []Table
	for _, into := range function.Inserts {
		if len(into.Sources) != 1 || !slices.Contains(into.Columns, BackupColumn) {
			continue
		}
		alias := into.Sources[0]
		live, ok := named(into.From[alias], resolve)
		if !ok {
			continue
		}
		copied, ok := named(into.Into, resolve)
		if !ok || slices.ContainsFunc(tables, func(t Table) bool { return t.Live == live }) {
			continue
		}
		tables = append(tables, Table{Live: live, Copy: copied, Columns: columns(into, alias, function.Variables), Filtered: into.Filtered})
	}
	return tables
}

func named(n plsql.Name, resolve func(plsql.Name) (string, bool)) ([2]string, bool) {
	if n.Name == "" {
		return [2]string{}, false
	}
	schema, ok := resolve(n)
	return [2]string{schema, n.Name}, ok
}

// columns are the columns that an INSERT fills with those of its source; nil if they
// are not known.
func columns(into plsql.Insert, alias string, variables map[string]bool) map[string]string {
	if !into.Simple() || len(into.Values) != len(into.Columns) {
		return nil
	}
	filled := map[string]string{}
	for i, value := range into.Values {
		switch {
		case value.Star:
			return nil
		case value.Column == "" || into.Columns[i] == BackupColumn || value.Alias != "" && value.Alias != alias:
		// Without an alias, it can be a variable.
		case value.Alias == "" && variables[value.Column]:
		default:
			filled[value.Column] = into.Columns[i]
		}
	}
	return filled
}

// ParseTable parses the name of a table with its schema, such as public.articles.
func ParseTable(name string) ([2]string, error) {
	parts := strings.Split(name, ".")
	if len(parts) != 2 || slices.Contains(parts, "") {
		return [2]string{}, fmt.Errorf("%q is not a table with its schema; write both, for example \"public.articles\"", name)
	}
	return [2]string{parts[0], parts[1]}, nil
}

// ParseColumn parses the name of a column with its table and schema, such as
// public.articles.title.
func ParseColumn(name string) ([3]string, error) {
	parts := strings.Split(name, ".")
	if len(parts) != 3 || slices.Contains(parts, "") {
		return [3]string{}, fmt.Errorf("%q is not a column with its schema and table; write all three, for example \"public.articles.title\"", name)
	}
	return [3]string{parts[0], parts[1], parts[2]}, nil
}

// Named are the tables that somebody has named, by live table. What is known of one of
// them from the function's text is kept.
func Named(names map[[2]string][2]string, known []Table) []Table {
	tables := []Table{}
	for live, copied := range names {
		table := Table{Live: live, Copy: copied}
		for _, t := range known {
			if t.Live == live && t.Copy == copied {
				table = t
			}
		}
		tables = append(tables, table)
	}
	slices.SortFunc(tables, func(a, b Table) int {
		return strings.Compare(strings.Join(a.Live[:], "."), strings.Join(b.Live[:], "."))
	})
	return tables
}
