package preflight

import (
	"fmt"
	"slices"
	"strings"

	"github.com/aimindset/terraform-provider-aimindset/internal/checks"
	"github.com/aimindset/terraform-provider-aimindset/internal/facts"
	"github.com/aimindset/terraform-provider-aimindset/internal/plsql"
)

// constructs are SQL keywords that look like function calls.
var constructs = []string{"coalesce", "nullif", "greatest", "least", "cast", "exists", "row", "array", "extract", "position", "substring", "trim", "overlay", "case", "not"}

// keywords stand for values without being columns or variables.
var keywords = []string{
	"null", "true", "false", "default", "current_timestamp", "current_date", "current_time", "localtime", "localtimestamp",
	"current_user", "session_user", "user", "current_role", "found", "sqlerrm", "sqlstate", "case", "not", "array", "row",
}

// insert compares one INSERT with its tables.
func (b *body) insert(into plsql.Insert) {
	target, ok := b.table(into.Into)
	if !ok {
		return
	}
	columns := into.Columns
	if len(columns) == 0 {
		for _, c := range target.Columns {
			columns = append(columns, c.Name)
		}
	}
	severity := b.severity(into.Sheltered)
	var missing, additions []string
	for _, name := range columns {
		if column, ok := target.Column(name); !ok {
			missing, additions = append(missing, name), append(additions, "add column "+checks.QuoteIdent(name)+" …")
		} else if column.Generated && len(into.Columns) > 0 {
			b.complain(severity, alterColumn(into.Into, column, "drop expression"), "writes the column %s.%s, which is generated", into.Into.Name, name)
		}
	}
	if len(missing) > 0 {
		b.complain(severity, fmt.Sprintf("Run `alter table public.%s %s`, or let the function follow the table.", into.Into.Name, strings.Join(additions, ", ")),
			"writes %s", absent(into.Into.Name, missing))
	}
	values, expanded := b.expand(into)
	b.reads(into, values, severity)
	if len(into.Columns) > 0 {
		for _, column := range target.Columns {
			if column.NotNull && !column.Default && !column.Generated && !slices.Contains(columns, column.Name) {
				b.complain(severity, alterColumn(into.Into, column, "drop not null"), "leaves out the column %s.%s, which is NOT NULL without a default", into.Into.Name, column.Name)
			}
		}
	}
	if !expanded {
		return
	}
	if len(values) > len(columns) || len(into.Columns) > 0 && len(values) < len(columns) {
		b.complain(severity, "Name the columns on both sides of the INSERT.", "selects %d values for the %d columns of %s: a column was added to or removed from one of the tables", len(values), len(columns), into.Into.Name)
		return
	}
	for i, v := range values {
		b.value(into, target, columns[i], v, severity)
	}
	b.unique(into, target, columns, values, severity)
}

// alterColumn is a remedy that changes a column.
func alterColumn(table plsql.Name, column facts.Column, change string) string {
	return fmt.Sprintf("Run `alter table public.%s alter column %s %s`.", table.Name, checks.QuoteIdent(column.Name), change)
}

// absent names columns of a table that do not exist.
func absent(table string, columns []string) string {
	if len(columns) == 1 {
		return fmt.Sprintf("the column %s.%s, which does not exist", table, columns[0])
	}
	return fmt.Sprintf("columns of %s that do not exist: %s", table, strings.Join(columns, ", "))
}

// systemColumns are columns that every table has.
var systemColumns = []string{"ctid", "xmin", "xmax", "cmin", "cmax", "tableoid"}

// reads checks that the columns exist that the text names with an alias, or without one
// among the values.
func (b *body) reads(into plsql.Insert, values []plsql.Value, severity checks.Severity) {
	fields := slices.Clone(into.Fields)
	if into.Simple() {
		for _, v := range values {
			if v.Alias == "" && v.Column != "" && !b.text.Variables[v.Column] && !slices.Contains(keywords, v.Column) {
				fields = append(fields, plsql.Value{Alias: into.Sources[0], Column: v.Column})
			}
		}
	}
	var tables []string
	missing := map[string][]string{}
	for _, field := range fields {
		from := into.From[field.Alias]
		source, ok := b.table(from)
		if !ok || slices.Contains(systemColumns, field.Column) {
			continue
		}
		if _, ok := source.Column(field.Column); ok || slices.Contains(missing[from.Name], field.Column) {
			continue
		}
		if len(missing[from.Name]) == 0 {
			tables = append(tables, from.Name)
		}
		missing[from.Name] = append(missing[from.Name], field.Column)
	}
	for _, table := range tables {
		b.complain(severity, fmt.Sprintf("If a column was renamed, the function has to follow: `select column_name from information_schema.columns where table_name = '%s'`.", table),
			"reads %s", absent(table, missing[table]))
	}
}

// expand resolves the stars of a select list. It returns false if the list is not
// understood.
func (b *body) expand(into plsql.Insert) ([]plsql.Value, bool) {
	if len(into.Values) == 0 {
		return nil, false
	}
	var values []plsql.Value
	for _, v := range into.Values {
		if !v.Star {
			values = append(values, v)
			continue
		}
		alias := v.Alias
		if alias == "" {
			if !into.Simple() {
				return nil, false
			}
			alias = into.Sources[0]
		}
		source, ok := b.table(into.From[alias])
		if !ok {
			return nil, false
		}
		for _, c := range source.Columns {
			values = append(values, plsql.Value{Alias: alias, Column: c.Name})
		}
	}
	return values, true
}

// value compares one value with the column that takes it.
func (b *body) value(into plsql.Insert, target facts.Table, column string, v plsql.Value, severity checks.Severity) {
	to, ok := target.Column(column)
	if !ok || v.Column == "" {
		return
	}
	alias := v.Alias
	if alias == "" {
		if !into.Simple() || b.text.Variables[v.Column] {
			return
		}
		alias = into.Sources[0]
	}
	from := into.From[alias]
	source, ok := b.table(from)
	if !ok {
		return
	}
	c, ok := source.Column(v.Column)
	if !ok {
		return
	}
	pair := fmt.Sprintf("copies %s.%s (%s) into %s.%s (%s)", from.Name, c.Name, c.Type, into.Into.Name, to.Name, to.Type)
	if b.holdsNulls(from, c) && to.NotNull {
		severity, selected := severity, ""
		if into.Filtered || v.Cast {
			severity, selected = checks.Warning, ", if it is selected"
		}
		b.complain(severity, fmt.Sprintf("Run `update public.%s set %[2]s = … where %[2]s is null; alter table public.%[1]s alter column %[2]s set not null`. Or run `alter table public.%[3]s alter column %[4]s drop not null`.", from.Name, checks.QuoteIdent(c.Name), into.Into.Name, checks.QuoteIdent(to.Name)),
			"copies %s.%s into %s.%s, which is NOT NULL, and there are rows in which it is null: one of them makes the whole backup fail%s", from.Name, c.Name, into.Into.Name, to.Name, selected)
	}
	if !v.Cast && !assignable(c, to) {
		b.complain(severity, alterColumn(into.Into, to, "type "+c.Type), "%s, which PostgreSQL does not convert by itself", pair)
	}
	if to.Length > 0 && !v.Cast && (c.Length == 0 && c.Category == "S" || c.Length > to.Length) {
		b.complain(checks.Warning, alterColumn(into.Into, to, "type "+c.Type), "%s: one longer text makes the whole backup fail", pair)
	}
}

// holdsNulls reports whether a column holds nulls, as far as that is known.
func (b *body) holdsNulls(from plsql.Name, c facts.Column) bool {
	if c.NotNull {
		return false
	}
	schema := from.Schema
	if schema == "" {
		schema = "public"
	}
	if nulls, read := b.Nulls[schema+"."+from.Name]; read {
		return nulls[c.Name]
	}
	return b.NullStatistics[schema+"."+from.Name][c.Name]
}

// assignable reports whether PostgreSQL converts a value of one type to another
// when it is stored. It reports true when in doubt.
func assignable(from, to facts.Column) bool {
	if from.Base == to.Base || to.Category == "S" {
		return true // everything can be stored as text
	}
	plain := "SNBDUA"
	if !strings.Contains(plain, from.Category) || !strings.Contains(plain, to.Category) {
		return true
	}
	if from.Category != to.Category {
		return false
	}
	known := []string{"uuid", "json", "jsonb", "bytea", "xml"}
	json := []string{"json", "jsonb"}
	return !slices.Contains(known, from.Base) || !slices.Contains(known, to.Base) || slices.Contains(json, from.Base) && slices.Contains(json, to.Base)
}

// unique checks that a table that keeps every backup allows a row more than once.
func (b *body) unique(into plsql.Insert, target facts.Table, columns []string, values []plsql.Value, severity checks.Severity) {
	if into.Settles || !into.Simple() {
		return
	}
	for _, use := range b.text.Uses {
		if use.Table.Name == into.Into.Name && (use.Right == 'T' || use.Right == 'D') {
			return // emptied first
		}
	}
	for _, unique := range target.Unique {
		copied := 0
		for i, v := range values {
			isColumn := v.Column != "" && (v.Alias != "" || !b.text.Variables[v.Column])
			if isColumn && slices.Contains(unique, columns[i]) {
				copied++
			}
		}
		if copied == len(unique) && copied > 0 {
			names := strings.Join(unique, ", ")
			b.complain(severity, fmt.Sprintf("Take backup_id into the unique constraint or index on public.%s (%s).", into.Into.Name, names),
				"copies every row again into %s, which allows each %s only once: the second backup fails", into.Into.Name, names)
		}
	}
}
