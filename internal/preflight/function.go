package preflight

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/aimindset/terraform-provider-aimindset/internal/facts"
	"github.com/aimindset/terraform-provider-aimindset/internal/plsql"
)

// backupFunction looks whether the Edge Function could call the SQL function
// that makes the backup, and whether that could work with the tables as they are.
func (a *inspection) backupFunction() Coverage {
	a.verifyTable()
	rpc := a.spec.Settings.Function.RPC
	object := "The function public." + rpc
	r, ok := a.callee(object, rpc)
	if !ok {
		return Coverage{}
	}
	object = "The function public." + r.Signature[strings.LastIndex(r.Signature, ".")+1:]
	if !r.Callable {
		a.add(Error, atRPC, object, fmt.Sprintf("grant execute on function public.%s to service_role", r.Signature[strings.LastIndex(r.Signature, ".")+1:]), "may not be executed by service_role, with whose rights the Edge Function calls it")
	}
	if schemas := a.effective("pgrst.db_schemas", "authenticator"); schemas != "" && !slices.Contains(searchPath(schemas), "public") {
		a.add(Error, atRPC, "The Data API", "Add public to the exposed schemas (Settings, Data API).", "exposes the schemas %s and not public, so that neither the function nor the tables of the log are reached", schemas)
	}
	if !r.Volatile {
		a.add(Error, atRPC, object, "alter function public."+rpc+"() volatile", "is not VOLATILE, so that the Data API runs it in a read-only transaction, where it can write nothing")
	}
	a.resultType(r, object)
	a.timeout(r, object)
	return a.body(r, object)
}

// callee finds the function that a call by POST without arguments runs.
func (a *inspection) callee(object, rpc string) (foundRoutine, bool) {
	var callable, public []foundRoutine
	var elsewhere []string
	for _, r := range a.Routines {
		switch {
		case r.Schema != "public":
			elsewhere = append(elsewhere, r.Schema)
			continue
		case r.Kind != "f":
			a.add(Error, atRPC, object, "Name a function in `function.rpc`; one that calls the procedure would do.", "is a procedure or an aggregate, which the Data API cannot call")
			return foundRoutine{}, false
		case r.Required == 0:
			callable = append(callable, r)
		}
		public = append(public, r)
	}
	switch {
	case len(public) == 0:
		reason := "does not exist"
		if len(elsewhere) > 0 {
			reason = "exists in schema " + strings.Join(elsewhere, ", ") + " only, and the backup calls it in schema public"
		}
		remedy := "Run the application's migrations first, or name another function in `function.rpc`."
		similar := slices.DeleteFunc(slices.Clone(a.Similar), func(name string) bool { return name == rpc })
		if len(similar) > 0 {
			remedy += " Schema public has these: " + strings.Join(similar, ", ") + "."
		}
		a.add(Error, atRPC, object, remedy, "%s", reason)
		return foundRoutine{}, false
	case len(callable) == 0:
		a.add(Error, atRPC, object, "Give its arguments defaults, or name a function without arguments in `function.rpc`.", "needs %d arguments, and the backup calls it without any", public[0].Required)
		return foundRoutine{}, false
	case len(callable) > 1:
		var signatures []string
		for _, r := range callable {
			signatures = append(signatures, r.Signature)
		}
		a.add(Error, atRPC, object, "Drop or rename all but one of them.", "exists %d times without required arguments (%s), so that the Data API refuses the call as ambiguous (PGRST203)", len(callable), strings.Join(signatures, "; "))
		return foundRoutine{}, false
	}
	return callable[0], true
}

// resultType looks whether the Data API would answer with one JSON object.
func (a *inspection) resultType(r foundRoutine, object string) {
	const remedy = "The Edge Function needs an answer such as {\"success\": true, \"backup_id\": \"<uuid>\", \"total_records\": 1}. Name a function that gives one in `function.rpc`, or write `function.source_dir` for this one."
	fields := r.ResultColumns
	switch {
	case r.Set:
		a.add(Error, atRPC, object, remedy, "returns a set, which the Data API answers as a list")
	case r.Type == "json" || r.Type == "jsonb":
	case len(fields) > 1 && slices.Contains(fields, "success") && slices.Contains(fields, "backup_id"):
	default:
		a.add(Error, atRPC, object, remedy, "returns %s instead of json or jsonb, so that no run could tell a backup from a failure", r.Type)
	}
}

// timeout looks how long the database lets the function run. PostgREST applies
// the function's own statement_timeout before it calls it; else that of
// service_role holds, else that of the role it is connected as.
func (a *inspection) timeout(r foundRoutine, object string) {
	value, origin := "", ""
	if own, ok := r.setting("statement_timeout"); ok {
		value, origin = own, "its own setting"
	}
	for _, role := range []string{"service_role", "authenticator"} {
		if value == "" && slices.ContainsFunc(a.RoleSettings, func(s facts.RoleParameter) bool { return s.Name == "statement_timeout" && s.Role == role }) {
			value, origin = a.effective("statement_timeout", role), "set for role "+role
		}
	}
	if value == "" {
		value, origin = a.effective("statement_timeout", ""), "set for the database"
	}
	limit, ok := parseSetting(value)
	if !ok || limit == 0 || limit >= shortTimeout {
		return
	}
	a.add(Warning, atRPC, object,
		"alter role service_role set statement_timeout = '60s'; notify pgrst, 'reload config'. This changes neither the function nor other roles; it holds for every call with the service key, and Supabase's gateway ends a call after 60 s anyway. A statement_timeout of the function itself would do as well, but changes the application.",
		"is cancelled by the database after %s (statement_timeout, %s); it cannot catch that and leaves no row in any log, and its tables grow", limit, origin)
}

// parseSetting reads a PostgreSQL setting of a duration; a bare number is
// milliseconds.
func parseSetting(text string) (time.Duration, bool) {
	text = strings.TrimSpace(text)
	end := strings.IndexFunc(text, func(c rune) bool { return (c < '0' || c > '9') && c != '.' })
	if end < 0 {
		end = len(text)
	}
	amount, err := strconv.ParseFloat(text[:end], 64)
	unit, known := map[string]time.Duration{
		"": time.Millisecond, "us": time.Microsecond, "ms": time.Millisecond, "s": time.Second,
		"min": time.Minute, "h": time.Hour, "d": 24 * time.Hour,
	}[strings.TrimSpace(text[end:])]
	if err != nil || !known {
		return 0, false
	}
	return time.Duration(amount * float64(unit)), true
}

// searchPath splits a list of schemas as a setting has it.
func searchPath(text string) []string {
	path := []string{}
	for schema := range strings.SplitSeq(text, ",") {
		schema = strings.Trim(strings.TrimSpace(schema), `"`)
		if schema != "" && schema != "$user" {
			path = append(path, schema)
		}
	}
	return path
}

// verifyTable looks at the table that has to show a backup's rows.
func (a *inspection) verifyTable() {
	name := a.spec.Settings.Function.VerifyTable
	if name == nil {
		return
	}
	object := "The table public." + *name
	table, ok := a.Tables[*name]
	if !ok {
		a.add(Error, atVerifyTable, object, "Name the table that the backup fills, or leave `function.verify_table` out.", "does not exist, and no run counts as a success without rows in it")
		return
	}
	column, ok := table.column("backup_id")
	switch {
	case !ok:
		a.add(Error, atVerifyTable, object, "Name a table whose rows say to which backup they belong, or leave `function.verify_table` out.", "has no column backup_id, by which a run looks for its rows")
	case !slices.Contains([]string{"uuid", "text", "varchar"}, column.Base):
		a.add(Error, atVerifyTable, "The column public."+*name+".backup_id", "Name another table, or leave `function.verify_table` out.", "has type %s, which cannot be compared with the id of a backup", column.Type)
	case !strings.Contains(column.Rights, "S"):
		a.add(Error, atVerifyTable, "The role service_role", "grant select on public."+*name+" to service_role", "may not read public.%s, and no run counts as a success without rows in it", *name)
	}
}

// body looks at what the function's text needs of the tables.
func (a *inspection) body(r foundRoutine, object string) Coverage {
	if r.Language != "plpgsql" && r.Language != "sql" {
		a.add(Warning, atRPC, object, "Set verify = \"backup\", which runs one backup after the apply.", "is written in %s, so that what it needs could not be looked at", r.Language)
		return Coverage{}
	}
	text, variables := plsql.Read(r.Source)
	for _, out := range r.ResultColumns {
		variables[out] = true
	}
	path := []string{"public", "extensions"}
	if own, ok := r.setting("search_path"); ok {
		path = searchPath(own)
	}
	if text.Dynamic {
		a.add(Warning, atRPC, object, "Set verify = \"backup\", which runs one backup after the apply.", "puts SQL together while it runs, so that what it needs could not be looked at in whole")
	}
	if !text.Words["backup_id"] && !slices.ContainsFunc(text.Texts, func(s string) bool { return strings.Contains(s, "backup_id") }) && len(text.Performs) == 0 && len(text.Inserts) > 0 {
		a.add(Warning, atRPC, object, "Its result has to have \"success\": true and \"backup_id\": \"<uuid>\"; or write `function.source_dir` for this one.", "never mentions backup_id, without which no run counts as a success")
	}
	body := bodyCheck{inspection: a, routine: r, text: text, variables: variables, path: path, object: object, seen: map[string]bool{}}
	body.relations()
	for _, into := range text.Inserts {
		body.insert(into)
	}
	body.performs()
	body.unfiltered()
	return a.coverage(text, path)
}

// coverage says what is copied, and what is never named.
func (a *inspection) coverage(text plsql.Routine, path []string) Coverage {
	var c Coverage
	targets := map[string]bool{}
	for _, into := range text.Inserts {
		targets[into.Into.Name] = true
	}
	for _, into := range text.Inserts {
		for _, from := range into.From {
			if from.Name == "" || !a.exists(from, path) {
				continue
			}
			schema := from.Schema
			if schema == "" {
				schema = "public"
			}
			c.Copied = append(c.Copied, schema+"."+from.Name)
		}
	}
	for _, table := range a.Filled {
		schema, name, _ := strings.Cut(table, ".")
		if (schema != "public" || !text.Words[name]) && !slices.Contains(c.Copied, table) && !targets[name] {
			c.NotCopied = append(c.NotCopied, table)
		}
	}
	slices.Sort(c.Copied)
	c.Copied = slices.Compact(c.Copied)
	return c
}

// bodyCheck compares the text of the function with the tables.
type bodyCheck struct {
	*inspection
	routine   foundRoutine
	text      plsql.Routine
	variables map[string]bool
	path      []string
	object    string
	// seen keeps the same complaint from being made twice.
	seen map[string]bool
}

func (b *bodyCheck) complain(severity Severity, remedy, reason string, args ...any) {
	text := fmt.Sprintf(reason, args...)
	if b.seen[text] {
		return
	}
	b.seen[text] = true
	b.add(severity, atRPC, b.object, remedy, "%s", text)
}

// severity is that of something that makes a statement fail.
func (b *bodyCheck) severity(sheltered bool) Severity {
	if sheltered || b.text.Cautious {
		return Warning
	}
	return Error
}

// table is the definition of a table of schema public that the text names.
func (b *bodyCheck) table(n plsql.Name) (foundTable, bool) {
	if n.Schema != "" && n.Schema != "public" || n.Schema == "" && !slices.Contains(b.path, "public") {
		return foundTable{}, false
	}
	t, ok := b.Tables[n.Name]
	return t, ok
}

// relations looks whether every table is there and may be used.
func (b *bodyCheck) relations() {
	var missing, hidden []string
	severity := Warning
	for _, use := range b.text.Uses {
		if b.exists(use.Table, b.path) || b.variables[use.Table.Name] {
			continue
		}
		list := &missing
		if use.Table.Schema == "" && b.exists(plsql.Name{Schema: "public", Name: use.Table.Name}, nil) {
			list = &hidden
		}
		if !slices.Contains(*list, use.Table.String()) {
			*list = append(*list, use.Table.String())
		}
		severity = max(severity, b.severity(use.Sheltered))
	}
	if len(missing) > 0 {
		b.complain(severity, "Run the application's migrations that create them, or name another function in `function.rpc`. Every table that a backup fills or reads has to be there.",
			"uses tables that do not exist: %s. It catches the error and answers success: false every night", strings.Join(missing, ", "))
	}
	if len(hidden) > 0 {
		b.complain(severity, fmt.Sprintf("alter function public.%s() set search_path = public, pg_temp", b.spec.Settings.Function.RPC),
			"names tables without their schema (%s), which its own search_path (%s) does not find", strings.Join(hidden, ", "), orNothing(strings.Join(b.path, ", ")))
	}
	role := "service_role"
	if b.routine.Definer {
		role = "owner"
	}
	lacking := map[byte][]string{}
	for _, use := range b.text.Uses {
		t, ok := b.table(use.Table)
		if ok && !strings.ContainsRune(t.Rights[role], rune(use.Right)) && !slices.Contains(lacking[use.Right], use.Table.Name) {
			lacking[use.Right] = append(lacking[use.Right], use.Table.Name)
		}
	}
	person := role
	if role == "owner" {
		person = b.routine.Owner
	}
	for _, right := range []byte("SIUDT") {
		if tables := lacking[right]; len(tables) > 0 {
			verb := rightNames[rune(right)]
			b.complain(Error, fmt.Sprintf("grant %s on public.%s to %s", strings.ToLower(verb), strings.Join(tables, ", public."), quoteIdent(person)),
				"works with the rights of %s, which lacks %s on public.%s", person, verb, strings.Join(tables, ", public."))
		}
	}
	bypasses := b.routine.OwnerBypassesRLS
	if role == "service_role" {
		bypasses = b.Roles[role].BypassesRLS
	}
	for _, use := range b.text.Uses {
		if t, ok := b.table(use.Table); ok && !bypasses && t.RLS && (t.Owner != person || t.ForceRLS) {
			b.complain(Warning, "alter role "+quoteIdent(person)+" bypassrls", "works as role %s, which is subject to row level security: it may copy fewer rows than there are, or none", person)
		}
	}
}

func orNothing(text string) string {
	if text == "" {
		return "empty"
	}
	return text
}

// performs looks whether the functions that it calls are there.
func (b *bodyCheck) performs() {
	for _, called := range b.text.Performs {
		if !slices.Contains(b.Functions, called.Name) && !slices.Contains(constructs, called.Name) {
			b.complain(b.severity(false), "Run the application's migrations that create it.", "calls the function %s, which does not exist", called)
		}
	}
}

// unfiltered looks for what pg-safeupdate refuses. Supabase loads it for the
// Data API's connections alone, so that the same function works in an editor.
func (b *bodyCheck) unfiltered() {
	if len(b.text.Unfiltered) == 0 {
		return
	}
	if off, ok := b.routine.setting("safeupdate.enabled"); ok && (off == "off" || off == "0" || off == "false") {
		return
	}
	severity := Warning
	for _, setting := range []string{"session_preload_libraries", "local_preload_libraries", "shared_preload_libraries"} {
		if strings.Contains(b.effective(setting, "authenticator"), "safeupdate") {
			severity = Error
		}
	}
	var tables []string
	for _, n := range b.text.Unfiltered {
		tables = append(tables, n.String())
	}
	b.complain(severity, "Write \"where true\", or truncate: by the Data API, DELETE and UPDATE need a WHERE clause (21000). In SQL editors the function works, as pg-safeupdate is loaded for role authenticator only.",
		"deletes or updates without WHERE (%s), which pg-safeupdate refuses in the Data API", strings.Join(tables, ", "))
}

// insert compares one INSERT with its tables.
func (b *bodyCheck) insert(into plsql.Insert) {
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
	for _, name := range columns {
		if column, ok := target.column(name); !ok {
			b.complain(severity, fmt.Sprintf("alter table public.%s add column %s …, or let the function follow the table", into.Into.Name, quoteIdent(name)), "writes the column %s.%s, which does not exist", into.Into.Name, name)
		} else if column.Generated && len(into.Columns) > 0 {
			b.complain(severity, fmt.Sprintf("alter table public.%s alter column %s drop expression, or drop identity", into.Into.Name, quoteIdent(name)), "writes the column %s.%s, which is generated", into.Into.Name, name)
		}
	}
	b.fields(into, severity)
	if len(into.Columns) > 0 {
		for _, column := range target.Columns {
			if column.NotNull && !column.Default && !column.Generated && !slices.Contains(columns, column.Name) {
				b.complain(severity, fmt.Sprintf("alter table public.%s alter column %s drop not null, or set a default", into.Into.Name, quoteIdent(column.Name)), "leaves out the column %s.%s, which is NOT NULL without a default", into.Into.Name, column.Name)
			}
		}
	}
	values, ok := b.expand(into)
	if !ok {
		return
	}
	if len(values) > len(columns) || len(into.Columns) > 0 && len(values) < len(columns) {
		b.complain(severity, "Name the columns on both sides of the INSERT.", "selects %d values for the %d columns of %s: a column was added to or taken from one of the tables", len(values), len(columns), into.Into.Name)
		return
	}
	for i, v := range values {
		b.value(into, target, columns[i], v, severity)
	}
	b.unique(into, target, columns, values, severity)
}

// fields looks whether the columns that are named with an alias exist.
func (b *bodyCheck) fields(into plsql.Insert, severity Severity) {
	for _, field := range into.Fields {
		from, ok := into.From[field.Alias]
		if !ok || from.Name == "" {
			continue
		}
		if source, ok := b.table(from); ok {
			b.missingColumn(from, source, field.Column, severity)
		}
	}
}

func (b *bodyCheck) missingColumn(from plsql.Name, source foundTable, column string, severity Severity) {
	if _, ok := source.column(column); ok || slices.Contains([]string{"ctid", "xmin", "tableoid"}, column) {
		return
	}
	b.complain(severity, fmt.Sprintf("If the column was renamed, the function has to follow: select column_name from information_schema.columns where table_name = '%s'", from.Name), "reads the column %s.%s, which does not exist", from.Name, column)
}

// expand resolves the stars of a select list. It answers false where the list
// is not understood.
func (b *bodyCheck) expand(into plsql.Insert) ([]plsql.Value, bool) {
	if len(into.Values) == 0 {
		return nil, false
	}
	var values []plsql.Value
	for _, v := range into.Values {
		if !v.Star {
			values = append(values, v)
			continue
		}
		if v.Alias == "" && !into.Simple {
			return nil, false
		}
		for alias, from := range into.From {
			if v.Alias != "" && v.Alias != alias {
				continue
			}
			source, ok := b.table(from)
			if !ok {
				return nil, false
			}
			for _, c := range source.Columns {
				values = append(values, plsql.Value{Alias: alias, Column: c.Name})
			}
		}
	}
	return values, true
}

// constructs look like functions and are none.
var constructs = []string{"coalesce", "nullif", "greatest", "least", "cast", "exists", "row", "array", "extract", "position", "substring", "trim", "overlay", "case", "not"}

// keywords stand for values without being columns or variables.
var keywords = []string{
	"null", "true", "false", "default", "current_timestamp", "current_date", "current_time", "localtime", "localtimestamp",
	"current_user", "session_user", "user", "current_role", "found", "sqlerrm", "sqlstate", "case", "not", "array", "row",
}

// value compares one value with the column that takes it.
func (b *bodyCheck) value(into plsql.Insert, target foundTable, column string, v plsql.Value, severity Severity) {
	to, ok := target.column(column)
	if !ok || v.Column == "" {
		return
	}
	from, ok := into.From[v.Alias]
	if v.Alias == "" {
		if !into.Simple || b.variables[v.Column] {
			return
		}
		for _, from = range into.From { // the only one
			ok = true
		}
	}
	source, known := b.table(from)
	if !ok || !known {
		return
	}
	c, ok := source.column(v.Column)
	if !ok {
		if v.Alias == "" && !slices.Contains(keywords, v.Column) {
			b.missingColumn(from, source, v.Column, severity)
		}
		return
	}
	if b.refused(from, c) && to.NotNull {
		reason := "copies %[1]s.%[2]s into %[3]s.%[4]s, which is NOT NULL, and there are rows in which it is null: one of them makes the whole backup fail"
		if into.Filtered || v.Cast {
			severity = min(severity, Warning)
			reason += ", if it is selected"
		}
		b.complain(severity, fmt.Sprintf("update public.%s set %s = … where %[2]s is null; then alter table public.%[1]s alter column %[2]s set not null. Or: alter table public.%[3]s alter column %[4]s drop not null", from.Name, quoteIdent(c.Name), into.Into.Name, quoteIdent(to.Name)),
			reason, from.Name, c.Name, into.Into.Name, to.Name)
	}
	if !v.Cast && !assignable(c, to) {
		b.complain(severity, fmt.Sprintf("alter table public.%s alter column %s type %s", into.Into.Name, quoteIdent(to.Name), c.Type), "copies %s.%s (%s) into %s.%s (%s), which PostgreSQL does not convert by itself", from.Name, c.Name, c.Type, into.Into.Name, to.Name, to.Type)
	}
	if to.Length > 0 && !v.Cast && (c.Length == 0 && c.Category == "S" || c.Length > to.Length) {
		b.complain(Warning, fmt.Sprintf("alter table public.%s alter column %s type %s", into.Into.Name, quoteIdent(to.Name), c.Type), "copies %s.%s (%s) into %s.%s (%s): one longer text makes the whole backup fail", from.Name, c.Name, c.Type, into.Into.Name, to.Name, to.Type)
	}
}

// refused says whether a column holds nulls, as far as that is known.
func (b *bodyCheck) refused(from plsql.Name, c foundColumn) bool {
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
	return c.OftenNull
}

// assignable says whether PostgreSQL converts a value of one type to another
// when it is stored. What is not certain counts as possible.
func assignable(from, to foundColumn) bool {
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
	switch from.Category {
	case "U":
		known := []string{"uuid", "json", "jsonb", "bytea", "xml"}
		json := []string{"json", "jsonb"}
		return !slices.Contains(known, from.Base) || !slices.Contains(known, to.Base) || slices.Contains(json, from.Base) && slices.Contains(json, to.Base)
	case "A":
		return true
	}
	return true
}

// unique looks whether a table that keeps every backup allows a row only once.
func (b *bodyCheck) unique(into plsql.Insert, target foundTable, columns []string, values []plsql.Value, severity Severity) {
	if into.Settles || !into.Simple {
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
			isColumn := v.Column != "" && (v.Alias != "" || !b.variables[v.Column])
			if isColumn && slices.Contains(unique, columns[i]) {
				copied++
			}
		}
		if copied == len(unique) && copied > 0 {
			b.complain(severity, fmt.Sprintf("Take backup_id into the unique constraint or index on public.%s (%s).", into.Into.Name, strings.Join(unique, ", ")),
				"copies every row anew into %s, which allows each %s only once: the second backup fails", into.Into.Name, strings.Join(unique, ", "))
		}
	}
}
