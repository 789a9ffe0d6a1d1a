package preflight

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/aimindset/terraform-provider-aimindset/internal/checks"
	"github.com/aimindset/terraform-provider-aimindset/internal/codes"
	"github.com/aimindset/terraform-provider-aimindset/internal/facts"
	"github.com/aimindset/terraform-provider-aimindset/internal/plsql"
)

// body compares the text of the SQL function that makes the backup with the tables.
type body struct {
	*checks.Subject
	routine facts.Routine
	text    plsql.Routine
	// path is the function's search path.
	path     []string
	findings []checks.Finding
}

// readBody looks at what the text of the SQL function needs of the tables.
func readBody(s *checks.Subject) []checks.Finding {
	r, ok := s.Callee()
	if !ok {
		return nil
	}
	b := body{Subject: s, routine: r, path: facts.DataAPIPath}
	if r.Language != "plpgsql" && r.Language != "sql" {
		b.add("rpc_unread", checks.Warning, "", "is written in %s, so what it needs could not be checked", r.Language)
		return b.findings
	}
	b.text = plsql.Read(r.Source)
	for _, out := range r.ResultColumns {
		b.text.Variables[out] = true
	}
	if own, ok := r.Setting("search_path"); ok {
		b.path = facts.SearchPath(own)
	}
	if b.text.Dynamic {
		b.add("rpc_unread", checks.Warning, "", "puts SQL together while it runs, so not all that it needs could be checked")
	}
	mentions := b.text.Words["backup_id"] || slices.ContainsFunc(b.text.Texts, func(s string) bool { return strings.Contains(s, "backup_id") })
	if !mentions && len(b.text.Performs) == 0 && len(b.text.Inserts) > 0 {
		b.complain(checks.Warning, "Its result needs \"success\": true and \"backup_id\": \"<uuid>\". Or write `function.source_dir` for this function.", "never mentions backup_id, without which no run counts as a success")
	}
	b.relations()
	b.rights()
	for _, into := range b.text.Inserts {
		b.insert(into)
	}
	b.performs()
	b.unfiltered()
	return b.findings
}

// add adds a finding about the function, unless there is the same one already.
// An empty remedy stands for that of the code.
func (b *body) add(code string, severity checks.Severity, remedy, format string, args ...any) {
	f := checks.About(checks.RoutineName(b.routine), format, args...).At(checks.AtRPC)
	f.Code, f.Severity, f.Remedy = code, severity, cmp.Or(remedy, codes.Lookup(code, "").Remedy)
	if !slices.ContainsFunc(b.findings, func(other checks.Finding) bool { return other.Message == f.Message }) {
		b.findings = append(b.findings, f)
	}
}

// complain adds a finding about what the text does with the tables.
func (b *body) complain(severity checks.Severity, remedy, format string, args ...any) {
	b.add("rpc_body", severity, remedy, format, args...)
}

// severity is that of something that makes a statement fail.
func (b *body) severity(sheltered bool) checks.Severity {
	if sheltered || b.text.Cautious {
		return checks.Warning
	}
	return checks.Error
}

// exists reports whether a relation that the text names is there.
func (b *body) exists(n plsql.Name, path []string) bool {
	return b.Named(n.Schema, n.Name, path)
}

// table is the definition of a table of schema public that the text names.
func (b *body) table(n plsql.Name) (facts.Table, bool) {
	if n.Schema != "" && n.Schema != "public" || n.Schema == "" && !slices.Contains(b.path, "public") {
		return facts.Table{}, false
	}
	t, ok := b.Tables[n.Name]
	return t, ok
}

// relations checks that every table is there.
func (b *body) relations() {
	var missing, hidden []string
	severity := checks.Warning
	for _, use := range b.text.Uses {
		if b.exists(use.Table, b.path) || b.text.Variables[use.Table.Name] {
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
			"uses tables that do not exist: %s. It catches the error and returns success: false every night", strings.Join(missing, ", "))
	}
	if len(hidden) > 0 {
		path := strings.Join(b.path, ", ")
		if path == "" {
			path = "empty"
		}
		b.complain(severity, fmt.Sprintf("Run `alter function public.%s() set search_path = public, pg_temp`.", b.Spec.Settings.Function.RPC),
			"names tables without their schema (%s), which its own search_path (%s) does not find", strings.Join(hidden, ", "), path)
	}
}

// rights checks that the role as which the function works may use its tables, and
// sees all of their rows.
func (b *body) rights() {
	role, name, bypasses := "service_role", "service_role", b.Roles["service_role"].BypassesRLS
	if b.routine.Definer {
		role, name, bypasses = "owner", b.routine.Owner, b.routine.OwnerBypassesRLS
	}
	lacking := map[byte][]string{}
	for _, use := range b.text.Uses {
		t, ok := b.table(use.Table)
		if ok && !strings.ContainsRune(t.Rights[role], rune(use.Right)) && !slices.Contains(lacking[use.Right], use.Table.Name) {
			lacking[use.Right] = append(lacking[use.Right], use.Table.Name)
		}
	}
	for _, right := range []byte("SIUDT") {
		if tables := strings.Join(lacking[right], ", public."); tables != "" {
			verb := checks.RightNames[rune(right)]
			b.complain(checks.Error, fmt.Sprintf("Run `grant %s on public.%s to %s`.", strings.ToLower(verb), tables, checks.QuoteIdent(name)),
				"works with the rights of %s, which lacks %s on public.%s", name, verb, tables)
		}
	}
	for _, use := range b.text.Uses {
		if t, ok := b.table(use.Table); ok && !bypasses && t.RLS && (t.Owner != name || t.ForceRLS) {
			b.complain(checks.Warning, fmt.Sprintf("Run `alter role %s bypassrls`.", checks.QuoteIdent(name)),
				"works as role %s, which is subject to row level security: it may copy fewer rows than there are, or none", name)
		}
	}
}

// performs checks that the functions that it calls are there.
func (b *body) performs() {
	for _, called := range b.text.Performs {
		if !slices.Contains(b.NamedFunctions, called.Name) && !slices.Contains(constructs, called.Name) {
			b.complain(b.severity(false), "Run the application's migrations that create it.", "calls the function %s, which does not exist", called)
		}
	}
}

// unfiltered looks for what pg-safeupdate refuses. Supabase loads it for the Data
// API's connections alone, so that the same function works in an editor.
func (b *body) unfiltered() {
	if len(b.text.Unfiltered) == 0 {
		return
	}
	if off, ok := b.routine.Setting("safeupdate.enabled"); ok && (off == "off" || off == "0" || off == "false") {
		return
	}
	severity := checks.Warning
	for _, parameter := range []string{"session_preload_libraries", "local_preload_libraries", "shared_preload_libraries"} {
		if strings.Contains(b.Effective(parameter, "authenticator"), "safeupdate") {
			severity = checks.Error
		}
	}
	var tables []string
	for _, n := range b.text.Unfiltered {
		tables = append(tables, n.String())
	}
	b.complain(severity, "Write `where true`, or truncate: in the Data API, DELETE and UPDATE need a WHERE clause (21000). In SQL editors the function works, as pg-safeupdate is loaded for role authenticator only.",
		"deletes or updates without WHERE (%s), which pg-safeupdate refuses in the Data API", strings.Join(tables, ", "))
}
