package preflight

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/aimindset/terraform-provider-aimindset/internal/backup"
	"github.com/aimindset/terraform-provider-aimindset/internal/checks"
	"github.com/aimindset/terraform-provider-aimindset/internal/codes"
	"github.com/aimindset/terraform-provider-aimindset/internal/facts"
	"github.com/aimindset/terraform-provider-aimindset/internal/postgres"
	"github.com/aimindset/terraform-provider-aimindset/internal/supabase"
)

// tables are those of an application: articles are copied into copies, which keeps
// every backup, and into latest, which keeps one.
const tables = `{
	"articles": {"kind": "r", "owner": "postgres", "rights": {"service_role": "SIUDT", "owner": "SIUDT"}, "columns": [
		{"name": "id", "type": "uuid", "base": "uuid", "category": "U", "not_null": true, "default": true},
		{"name": "title", "type": "text", "base": "text", "category": "S", "not_null": true},
		{"name": "views", "type": "integer", "base": "int4", "category": "N"}
	]},
	"copies": {"kind": "r", "owner": "postgres", "unique": [["id"]], "rights": {"service_role": "SIUDT", "owner": "SIUDT"}, "columns": [
		{"name": "id", "type": "bigint", "base": "int8", "category": "N", "not_null": true, "default": true},
		{"name": "backup_id", "type": "uuid", "base": "uuid", "category": "U", "not_null": true},
		{"name": "original", "type": "uuid", "base": "uuid", "category": "U"},
		{"name": "title", "type": "text", "base": "text", "category": "S"},
		{"name": "views", "type": "integer", "base": "int4", "category": "N"}
	]},
	"latest": {"kind": "r", "owner": "postgres", "rights": {"service_role": "SIUDT", "owner": "SIUDT"}, "columns": [
		{"name": "id", "type": "uuid", "base": "uuid", "category": "U"},
		{"name": "title", "type": "text", "base": "text", "category": "S"},
		{"name": "views", "type": "integer", "base": "int4", "category": "N"}
	]},
	"system_logs": {"kind": "r", "owner": "postgres", "rights": {"owner": "SIUDT"}, "columns": [
		{"name": "id"}, {"name": "type"}, {"name": "message"}, {"name": "context"}, {"name": "created_at"}
	]}
}`

// sound is the body of a function that works with these tables.
const sound = `declare run uuid := gen_random_uuid(); begin
	insert into copies (backup_id, original, title) select run, a.id, a.title from articles a;
	truncate latest; insert into latest select * from articles;
	return json_build_object('success', true, 'backup_id', run); end`

// subject is a project with these tables and a function of some body.
func subject(t *testing.T, source string) *checks.Subject {
	t.Helper()
	s := &checks.Subject{Planning: true, ID: backup.ID{ProjectRef: "abcdefghijklmnopqrst", Name: "auto-backup"}}
	s.Spec.Settings.Function.RPC = "make"
	if err := json.Unmarshal([]byte(tables), &s.Tables); err != nil {
		t.Fatal(err)
	}
	for name := range s.Tables {
		s.NamedRelations = append(s.NamedRelations, [2]string{"public", name})
	}
	s.Filled = []string{"auth.users", "public.articles", "public.copies", "public.notes"}
	s.Roles = map[string]facts.Role{"service_role": {BypassesRLS: true}}
	s.Nulls = map[string]map[string]bool{"public.articles": {"views": true}}
	s.Routines = []facts.Routine{{
		Schema: "public", Kind: "f", Volatile: true, Definer: true, Signature: "public.make()", Language: "plpgsql", Type: "json",
		Source: source, Owner: "postgres", OwnerBypassesRLS: true, Callable: true,
	}}
	return s
}

// change changes a table.
func change(s *checks.Subject, name string, with func(*facts.Table)) {
	table := s.Tables[name]
	with(&table)
	s.Tables[name] = table
}

// column changes a column of a table.
func column(s *checks.Subject, table, name string, with func(*facts.Column)) {
	t := s.Tables[table]
	at := slices.IndexFunc(t.Columns, func(c facts.Column) bool { return c.Name == name })
	with(&t.Columns[at])
}

// TestBody proves what is found in the text of a function, one cause each, with how
// bad it is and what to do, and that the same text without the cause has no finding.
func TestBody(t *testing.T) {
	t.Parallel()
	type found struct {
		severity     checks.Severity
		says, remedy string
	}
	insert := func(text string) string {
		return "begin " + text + "; return json_build_object('backup_id', 1); end"
	}
	routine := func(with func(*facts.Routine)) func(*checks.Subject) {
		return func(s *checks.Subject) { with(&s.Routines[0]) }
	}
	for what, c := range map[string]struct {
		source string
		change func(*checks.Subject)
		want   []found
	}{
		"sound":                     {source: sound},
		"a function in C":           {change: routine(func(r *facts.Routine) { r.Language = "c" }), want: []found{{checks.Warning, "The function public.make() is written in c", `verify = "backup"`}}},
		"a function in SQL":         {change: routine(func(r *facts.Routine) { r.Language, r.Source = "sql", "select 1" })},
		"several functions":         {change: func(s *checks.Subject) { s.Routines = append(s.Routines, s.Routines[0]) }, source: insert("insert into nowhere select 1")},
		"dynamic SQL":               {source: insert("execute 'insert into copies select 1'"), want: []found{{checks.Warning, "puts SQL together while it runs", `verify = "backup"`}}},
		"no backup_id":              {source: "begin insert into latest select * from articles; return null; end", want: []found{{checks.Warning, "never mentions backup_id", "source_dir"}}},
		"backup_id in a text":       {source: insert("insert into latest select * from articles")},
		"no backup_id, but a call":  {source: "begin insert into latest select * from articles; perform f(); return null; end", change: func(s *checks.Subject) { s.NamedFunctions = []string{"f"} }},
		"a missing table":           {source: insert("insert into latest select * from gone"), want: []found{{checks.Error, "uses tables that do not exist: gone", "migrations"}}},
		"two missing tables":        {source: insert("insert into away select * from gone; insert into gone select 1"), want: []found{{checks.Error, "do not exist: away, gone. It", "migrations"}}},
		"a missing table, guarded":  {source: insert("begin insert into latest select * from gone; exception when others then null; end"), want: []found{{checks.Warning, "gone", ""}}},
		"a missing table, asked of": {source: insert("if to_regclass('gone') is not null then insert into gone select 1; end if"), want: []found{{checks.Warning, "gone", ""}}},
		"a variable as a table":     {source: "declare rows record; begin for rows in select 1 loop null; end loop; insert into latest select * from rows; return 'backup_id'; end"},
		"a hidden table":            {source: insert("insert into latest select * from articles"), change: routine(func(r *facts.Routine) { r.Config = []string{`search_path=""`} }), want: []found{{checks.Error, "names tables without their schema (latest, articles), which its own search_path (empty) does not find", "set search_path = public, pg_temp"}}},
		"a path with public":        {source: insert("insert into latest select * from articles"), change: routine(func(r *facts.Routine) { r.Config = []string{"search_path=public, extensions"} })},
		"named with the schema":     {source: insert("insert into public.latest select * from public.articles"), change: routine(func(r *facts.Routine) { r.Config = []string{`search_path=""`} })},
		"no right of the owner":     {source: insert("insert into latest select * from articles"), change: func(s *checks.Subject) { s.Tables["latest"].Rights["owner"] = "SUDT" }, want: []found{{checks.Error, "works with the rights of postgres, which lacks INSERT on public.latest", "grant insert on public.latest to postgres"}}},
		"no right of service_role": {source: insert("insert into latest select * from articles"), change: func(s *checks.Subject) {
			s.Routines[0].Definer = false
			s.Tables["articles"].Rights["service_role"] = ""
		}, want: []found{{checks.Error, "works with the rights of service_role, which lacks SELECT on public.articles", "to service_role"}}},
		"a right of the other one": {source: insert("insert into latest select * from articles"), change: func(s *checks.Subject) { s.Tables["articles"].Rights["service_role"] = "" }},
		"row level security": {source: insert("insert into latest select * from articles"), change: func(s *checks.Subject) {
			s.Routines[0].OwnerBypassesRLS = false
			change(s, "articles", func(t *facts.Table) { t.RLS, t.Owner = true, "somebody" })
		}, want: []found{{checks.Warning, "works as role postgres, which is subject to row level security", "alter role postgres bypassrls"}}},
		"row level security of one's own table": {source: insert("insert into latest select * from articles"), change: func(s *checks.Subject) {
			s.Routines[0].OwnerBypassesRLS = false
			change(s, "articles", func(t *facts.Table) { t.RLS = true })
		}},
		"forced row level security": {source: insert("insert into latest select * from articles"), change: func(s *checks.Subject) {
			s.Routines[0].OwnerBypassesRLS = false
			change(s, "articles", func(t *facts.Table) { t.RLS, t.ForceRLS = true, true })
		}, want: []found{{checks.Warning, "row level security", ""}}},
		"row level security that is bypassed": {source: insert("insert into latest select * from articles"), change: func(s *checks.Subject) {
			change(s, "articles", func(t *facts.Table) { t.RLS, t.ForceRLS = true, true })
		}},
		"a missing function": {source: insert("perform log_it()"), want: []found{{checks.Error, "calls the function log_it, which does not exist", "migrations"}}},
		"a construct":        {source: insert("perform coalesce(1)")},
		"unfiltered":         {source: insert("delete from latest; insert into latest select * from articles"), want: []found{{checks.Warning, "deletes or updates without WHERE (latest)", "where true"}}},
		"unfiltered, where it is refused": {source: insert("update latest set title = 'x'"), change: func(s *checks.Subject) {
			s.RoleParameters = []facts.RoleParameter{{Role: "authenticator", Name: "session_preload_libraries", Value: "safeupdate"}}
		}, want: []found{{checks.Error, "without WHERE (latest)", ""}}},
		"unfiltered, where it is allowed": {source: insert("delete from latest"), change: routine(func(r *facts.Routine) { r.Config = []string{"safeupdate.enabled=off"} })},
		"filtered":                        {source: insert("delete from latest where true")},
		"a column that is not there":      {source: insert("insert into latest (id, text) select id, title from articles"), want: []found{{checks.Error, "writes the column latest.text, which does not exist", "add column text"}}},
		"columns that are not there": {source: insert("insert into latest (id, text, words) select id, title, title from articles"), want: []found{
			{checks.Error, "writes columns of latest that do not exist: text, words", "alter table public.latest add column text …, add column words …"},
		}},
		"a generated column": {source: insert("insert into latest (id) select id from articles"), change: func(s *checks.Subject) { column(s, "latest", "id", func(c *facts.Column) { c.Generated = true }) }, want: []found{{checks.Error, "writes the column latest.id, which is generated", "drop expression"}}},
		"a column left out":  {source: insert("insert into latest (id) select id from articles"), change: func(s *checks.Subject) { column(s, "latest", "views", func(c *facts.Column) { c.NotNull = true }) }, want: []found{{checks.Error, "leaves out the column latest.views, which is NOT NULL", "drop not null"}}},
		"a column with a default left out": {source: insert("insert into latest (id) select id from articles"), change: func(s *checks.Subject) {
			column(s, "latest", "views", func(c *facts.Column) { c.NotNull, c.Default = true, true })
		}},
		"a column that is read and gone":         {source: insert("insert into latest (title) select a.subject from articles a"), want: []found{{checks.Error, "reads the column articles.subject, which does not exist", "information_schema.columns where table_name = 'articles'"}}},
		"a column that is read without an alias": {source: insert("insert into latest (title) select subject from articles"), want: []found{{checks.Error, "reads the column articles.subject", ""}}},
		"columns that are read and gone": {source: insert("insert into latest (title, id, views) select a.subject, a.id, a.seen from articles a where a.seen > 1"), want: []found{
			{checks.Error, "reads columns of articles that do not exist: subject, seen", ""},
		}},
		"columns that are read without an alias": {source: insert("insert into latest (title, views) select subject, seen from articles"), want: []found{
			{checks.Error, "reads columns of articles that do not exist: subject, seen", ""},
		}},
		"a variable instead of a column": {source: "declare subject text; begin insert into latest (title) select subject from articles; return 'backup_id'; end"},
		"a keyword instead of a column":  {source: insert("insert into latest (title) select current_user from articles")},
		"a system column":                {source: insert("insert into latest (title) select a.ctid from articles a")},
		"too many values":                {source: insert("insert into latest (id) select id, title from articles"), want: []found{{checks.Error, "selects 2 values for the 1 columns of latest", "both sides"}}},
		"too few values":                 {source: insert("insert into latest (id, title) select id from articles"), want: []found{{checks.Error, "selects 1 values for the 2 columns of latest", ""}}},
		"fewer values than the table":    {source: insert("insert into latest select id from articles")},
		"nulls":                          {source: insert("insert into latest (views) select views from articles"), change: func(s *checks.Subject) { column(s, "latest", "views", func(c *facts.Column) { c.NotNull = true }) }, want: []found{{checks.Error, "copies articles.views into latest.views, which is NOT NULL", "set views = … where views is null; alter table public.articles"}}},
		"nulls of some rows":             {source: insert("insert into latest (views) select views from articles where id = 1"), change: func(s *checks.Subject) { column(s, "latest", "views", func(c *facts.Column) { c.NotNull = true }) }, want: []found{{checks.Warning, "fail, if it is selected", ""}}},
		"nulls of a table that was not read": {source: insert("insert into latest (views) select views from articles"), change: func(s *checks.Subject) {
			s.Nulls = nil
			column(s, "latest", "views", func(c *facts.Column) { c.NotNull = true })
		}},
		"nulls by the statistics": {source: insert("insert into latest (views) select views from articles"), change: func(s *checks.Subject) {
			s.Nulls = nil
			s.NullStatistics = map[string]map[string]bool{"public.articles": {"views": true}}
			column(s, "latest", "views", func(c *facts.Column) { c.NotNull = true })
		}, want: []found{{checks.Error, "NOT NULL", ""}}},
		"a generated column, of a table that is filled as it is": {source: insert("insert into latest select * from articles"), change: func(s *checks.Subject) { column(s, "latest", "id", func(c *facts.Column) { c.Generated = true }) }},
		"a column of an unknown alias":                           {source: insert("insert into latest (title) select x.subject from articles a")},
		"another type, of one of two tables":                     {source: insert("insert into latest (id) select a.views from articles a join copies c on true"), want: []found{{checks.Error, "copies articles.views (integer) into latest.id", ""}}},
		"unfiltered, where it is allowed by a number":            {source: insert("delete from latest"), change: routine(func(r *facts.Routine) { r.Config = []string{"safeupdate.enabled=0"} })},
		"unfiltered, where it is refused explicitly":             {source: insert("delete from latest"), change: routine(func(r *facts.Routine) { r.Config = []string{"safeupdate.enabled=on"} }), want: []found{{checks.Warning, "without WHERE", ""}}},
		"a hidden table, with another path":                      {source: insert("insert into latest select * from articles"), change: routine(func(r *facts.Routine) { r.Config = []string{"search_path=extensions"} }), want: []found{{checks.Error, "search_path (extensions) does not find", ""}}},
		"no nulls":                                               {source: insert("insert into latest (title) select title from articles"), change: func(s *checks.Subject) { column(s, "latest", "title", func(c *facts.Column) { c.NotNull = true }) }},
		"another type":                                           {source: insert("insert into latest (id) select views from articles"), want: []found{{checks.Error, "copies articles.views (integer) into latest.id (uuid), which PostgreSQL does not convert", "alter column id type integer"}}},
		"another type, cast":                                     {source: insert("insert into latest (id) select views::text::uuid from articles")},
		"a text of any type":                                     {source: insert("insert into latest (title) select views from articles")},
		"a shorter text": {source: insert("insert into latest (title) select title from articles"), change: func(s *checks.Subject) {
			column(s, "latest", "title", func(c *facts.Column) { c.Type, c.Length = "character varying(50)", 50 })
		}, want: []found{{checks.Warning, "copies articles.title (text) into latest.title (character varying(50)): one longer text", "type text"}}},
		"a text of the same length": {source: insert("insert into latest (title) select title from articles"), change: func(s *checks.Subject) {
			column(s, "latest", "title", func(c *facts.Column) { c.Length = 50 })
			column(s, "articles", "title", func(c *facts.Column) { c.Length = 50 })
		}},
		"a row only once": {source: insert("insert into copies (backup_id, original) select gen_random_uuid(), id from articles"), change: func(s *checks.Subject) {
			change(s, "copies", func(t *facts.Table) { t.Unique = [][]string{{"original"}} })
		}, want: []found{{checks.Error, "copies every row again into copies, which allows each original only once", "(original)"}}},
		"a row only once per backup": {source: insert("insert into copies (backup_id, original) select gen_random_uuid(), id from articles"), change: func(s *checks.Subject) {
			change(s, "copies", func(t *facts.Table) { t.Unique = [][]string{{"backup_id", "original"}} })
		}},
		"a row only once, settled": {source: insert("insert into copies (backup_id, original) select gen_random_uuid(), id from articles on conflict do nothing"), change: func(s *checks.Subject) {
			change(s, "copies", func(t *facts.Table) { t.Unique = [][]string{{"original"}} })
		}},
		"a row only once, of a table that is emptied": {source: insert("truncate copies; insert into copies (backup_id, original) select gen_random_uuid(), id from articles"), change: func(s *checks.Subject) {
			change(s, "copies", func(t *facts.Table) { t.Unique = [][]string{{"original"}} })
		}},
		"a table of another schema":                    {source: insert("insert into archive.latest (text) select title from articles"), change: func(s *checks.Subject) { s.NamedRelations = append(s.NamedRelations, [2]string{"archive", "latest"}) }},
		"two tables, of which nobody knows what comes": {source: insert("insert into latest select * from copies c join articles a on c.original = a.id")},
		"two tables, with the star of one":             {source: insert("insert into latest select c.* from articles a join copies c on c.original = a.id"), want: []found{{checks.Error, "selects 5 values for the 3 columns of latest", ""}}},
		"a failure in an inner block does not end it":  {source: insert("begin insert into latest (text) select title from articles; exception when others then null; end"), want: []found{{checks.Warning, "latest.text", ""}}},
		"the same cause twice is said once":            {source: insert("insert into latest (text) select title from articles; insert into latest (text) select title from articles"), want: []found{{checks.Error, "latest.text", ""}}},
		"what is not one's own code is not certain":    {source: insert("insert into latest (text) select title from articles"), change: func(s *checks.Subject) { s.Spec.OwnSource = true }, want: []found{{checks.Warning, "does not exist; whether the function in `source_dir` needs it is not known.", ""}}},
		"a value that is put together is not compared": {source: insert("insert into latest (id) select views + 1 from articles")},
		"a column named twice of an unknown table":     {source: insert("insert into latest (title) select x.subject from (select 1) x")},
		"a table that the function makes itself":       {source: insert("create temp table work as select 1; insert into latest (title) select subject from work")},
		"a WITH of the function itself":                {source: insert("with work as (select 1) insert into latest (title) select subject from work")},
		"a name that is an output of the function":     {change: routine(func(r *facts.Routine) { r.ResultColumns = []string{"subject"} }), source: insert("insert into latest (title) select subject from articles")},
		"a name in quotes needs quotes":                {source: insert(`insert into latest ("Text") select title from articles`), want: []found{{checks.Error, "latest.Text", `add column "Text"`}}},
		"a right on a table that is deleted from":      {source: insert("delete from latest where true"), change: func(s *checks.Subject) { s.Tables["latest"].Rights["owner"] = "SIUT" }, want: []found{{checks.Error, "lacks DELETE on public.latest", "grant delete"}}},
		"a right on a table that is updated":           {source: insert("update latest set title = 'x' where true"), change: func(s *checks.Subject) { s.Tables["latest"].Rights["owner"] = "SIDT" }, want: []found{{checks.Error, "lacks UPDATE on public.latest", "grant update"}}},
		"a right on a table that is truncated":         {source: insert("truncate latest"), change: func(s *checks.Subject) { s.Tables["latest"].Rights["owner"] = "SIUD" }, want: []found{{checks.Error, "lacks TRUNCATE on public.latest", "grant truncate"}}},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			s := subject(t, c.source)
			if c.change != nil {
				c.change(s)
			}
			body := readBody(s)
			if s.Spec.OwnSource {
				for i := range body {
					body[i] = body[i].Unsure()
				}
			}
			if len(body) != len(c.want) {
				t.Fatalf("found are %d: %+v", len(body), body)
			}
			for i, want := range c.want {
				f := body[i]
				if f.Severity != want.severity || !strings.Contains(f.Message, want.says) || !strings.Contains(f.Remedy, want.remedy) || f.Attribute != checks.AtRPC {
					t.Errorf("found is %+v", f)
				}
				if code, ok := codes.Find(f.Code); !ok || !code.ArisesAt(codes.Plan) {
					t.Errorf("codes.json does not know %s of a plan", f.Code)
				}
			}
		})
	}
}

// TestAssignable proves which types PostgreSQL converts when it stores a value, as
// far as that is certain.
func TestAssignable(t *testing.T) {
	t.Parallel()
	kinds := map[string]facts.Column{
		"text": {Base: "text", Category: "S"}, "int4": {Base: "int4", Category: "N"}, "numeric": {Base: "numeric", Category: "N"}, "bool": {Base: "bool", Category: "B"},
		"uuid": {Base: "uuid", Category: "U"}, "json": {Base: "json", Category: "U"}, "jsonb": {Base: "jsonb", Category: "U"}, "mine": {Base: "mine", Category: "U"},
		"ints": {Base: "_int4", Category: "A"}, "texts": {Base: "_text", Category: "A"}, "enum": {Base: "enum", Category: "E"}, "date": {Base: "date", Category: "D"},
	}
	for pair, want := range map[[2]string]bool{
		{"int4", "int4"}: true, {"int4", "numeric"}: true, {"uuid", "text"}: true, {"enum", "text"}: true, {"text", "uuid"}: false, {"int4", "bool"}: false,
		{"uuid", "json"}: false, {"json", "jsonb"}: true, {"jsonb", "uuid"}: false, {"mine", "uuid"}: true, {"uuid", "mine"}: true, {"text", "enum"}: true,
		{"ints", "texts"}: true, {"date", "int4"}: false, {"texts", "int4"}: false,
	} {
		if got := assignable(kinds[pair[0]], kinds[pair[1]]); got != want {
			t.Errorf("%s to %s is %t", pair[0], pair[1], got)
		}
	}
}

// TestTriggers proves which triggers of the log could refuse the rows of a run, and
// that each is let through if nothing is wrong.
func TestTriggers(t *testing.T) {
	t.Parallel()
	const before, after, onDelete = triggerRow | triggerBefore | triggerInsert, triggerRow | triggerInsert, triggerRow | 8
	for what, c := range map[string]struct {
		trigger facts.Trigger
		says    string
	}{
		"quiet":                      {facts.Trigger{Type: before, Source: "begin new.message := 'x'; return new; end"}, ""},
		"a missing table":            {facts.Trigger{Type: after, Source: "begin insert into gone values (1); return new; end"}, "uses the table gone, which does not exist"},
		"a missing table, guarded":   {facts.Trigger{Type: after, Source: "begin begin insert into gone values (1); exception when others then null; end; return new; end"}, ""},
		"a missing function":         {facts.Trigger{Type: after, Source: "begin perform notify_all(); return new; end"}, "calls notify_all, which does not exist"},
		"a construct":                {facts.Trigger{Type: after, Source: "begin perform coalesce(1); return new; end"}, ""},
		"a missing field":            {facts.Trigger{Type: before, Source: "begin new.level := 'x'; return new; end"}, "reads new.level, and the table has no such column"},
		"a field of another table":   {facts.Trigger{Type: before, Source: "begin if tg_table_name = 'x' then new.level := 'x'; end if; return new; end"}, ""},
		"a field, on some condition": {facts.Trigger{Type: before, Conditional: true, Source: "begin new.level := 'x'; return new; end"}, ""},
		"raises":                     {facts.Trigger{Type: before, Source: "begin if new.type = 'x' then raise exception 'no'; end if; return new; end"}, "raises an exception under some condition"},
		"raises on some condition":   {facts.Trigger{Type: before, Conditional: true, Source: "begin raise exception 'no'; end"}, ""},
		"skips":                      {facts.Trigger{Type: before, Source: "begin return null; end"}, "drops the row silently"},
		"skips afterwards":           {facts.Trigger{Type: after, Source: "begin return null; end"}, ""},
		"skips for the statement":    {facts.Trigger{Type: triggerBefore | triggerInsert, Source: "begin return null; end"}, ""},
		"a request":                  {facts.Trigger{Type: after, Source: "begin perform net.http_post('x'); return new; end"}, "sends an HTTP request"},
		"on update":                  {facts.Trigger{Type: triggerRow | triggerUpdate, Source: "begin raise exception 'no'; end"}, "raises"},
		"on delete":                  {facts.Trigger{Type: onDelete, Source: "begin raise exception 'no'; end"}, ""},
		"another language":           {facts.Trigger{Type: before, Language: "sql", Source: "select raise exception"}, ""},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			s := subject(t, sound)
			s.NamedFunctions = []string{"http_post"}
			c.trigger.Table, c.trigger.Name, c.trigger.Function = "system_logs", "watch", "public.watch"
			if c.trigger.Language == "" {
				c.trigger.Language = "plpgsql"
			}
			s.Triggers = []facts.Trigger{c.trigger}
			found := logTriggers(s)
			if c.says == "" {
				if len(found) > 0 {
					t.Errorf("found is %+v", found)
				}
				return
			}
			if len(found) != 1 || found[0].Severity != checks.Warning || !strings.Contains(found[0].Message, "The trigger watch of public.system_logs fires on the rows of a run and could refuse them: its function ") ||
				!strings.Contains(found[0].Message, c.says) || !strings.Contains(found[0].Remedy, `when (new.type not like 'auto\_backup%')`) {
				t.Errorf("found is %+v", found)
			}
		})
	}
}

// project is one that answers with fixed facts.
type project struct {
	document  string
	functions []supabase.Function
	err       error
	asked     []any
}

func (p *project) Functions(context.Context) ([]supabase.Function, error) { return p.functions, nil }

func (p *project) Secrets(context.Context) ([]supabase.Secret, error) {
	return []supabase.Secret{{Name: "RESEND_API_KEY", Digest: "1"}}, p.err
}

func (p *project) Ask(ctx context.Context, request facts.Request) (facts.Document, error) {
	return facts.Ask(ctx, p, request)
}

func (p *project) Query(_ context.Context, access postgres.Access, _ string, args ...any) (json.RawMessage, error) {
	if access != postgres.ReadOnly {
		return nil, errors.New("a check writes")
	}
	p.asked = args
	return json.RawMessage(p.document), nil
}

// TestCheck proves that what is asked of the database is about what the plan wants,
// that the findings of checks and of this package come together, those of the
// function's text unsure for a source of one's own, and that a read that fails ends
// the check.
func TestCheck(t *testing.T) {
	t.Parallel()
	s := subject(t, strings.Replace(sound, "a.title", "a.subject", 1))
	document, err := json.Marshal(map[string]any{
		"tables": s.Tables, "routines": s.Routines, "named_relations": s.NamedRelations, "roles": map[string]facts.Role{"postgres": {CreatesSchemas: true}, "service_role": {UsesPublic: true, BypassesRLS: true}},
		"server": map[string]any{"version": 150000},
	})
	if err != nil {
		t.Fatal(err)
	}
	p := &project{document: string(document), functions: []supabase.Function{{Slug: "alert-processor", Status: backup.StatusActive}}}
	table, zone := "copies", "America/Coyhaique"
	s.Spec.ID = s.ID
	s.Spec.Settings.Alert = backup.AlertSettings{Enabled: true, Function: backup.DefaultAlertFunction}
	s.Spec.Settings.Function.VerifyTable = &table
	s.Spec.Settings.Schedules = map[string]backup.Schedule{"a": {Zone: zone}, "b": {Zone: "UTC"}, "c": {Zone: backup.DefaultTimezone}, "d": {Zone: "America/Manaus"}, "e": {Zone: zone}}
	findings, err := Check(t.Context(), p, s.Spec)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []any{"make", table, `["America/Coyhaique","America/Manaus"]`, "[]", "read", nil} {
		if !slices.Contains(p.asked, want) {
			t.Errorf("%v is not among the parameters %v", want, p.asked)
		}
	}
	has := func(code string) bool {
		return slices.ContainsFunc(findings, func(f checks.Finding) bool { return f.Code == code })
	}
	if !has("extension_unavailable") || !has("table_missing") || !has("rpc_body") || has("alert_mail_key") || has("alert_function_missing") {
		t.Errorf("found is %+v", findings)
	}
	s.Spec.OwnSource = true
	if findings, err = Check(t.Context(), p, s.Spec); err != nil {
		t.Fatal(err)
	}
	for _, f := range findings {
		if f.Code == "rpc_body" && (f.Severity != checks.Warning || !strings.Contains(f.Message, "source_dir")) || f.Code == "extension_unavailable" && f.Severity != checks.Error {
			t.Errorf("with a source of one's own, found is %+v", f)
		}
	}
	p.functions = nil
	if findings, err = Check(t.Context(), p, s.Spec); err != nil || !has("alert_function_missing") {
		t.Errorf("without functions, found is %+v, %v", findings, err)
	}
	p.err = errors.New("no secrets")
	if _, err := Check(t.Context(), p, s.Spec); !errors.Is(err, p.err) || !strings.Contains(err.Error(), "check project abcdefghijklmnopqrst") {
		t.Errorf("without secrets, it ends with %v", err)
	}
}

// TestDrillTables proves that a drill restores what the function copies, in the schema in
// which the function finds it, and nothing where the text does not show it.
func TestDrillTables(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		change func(s *checks.Subject)
		want   string
	}{
		{func(*checks.Subject) {}, `[{"live":["public","articles"],"copy":["public","copies"],"columns":{"id":"original","title":"title"}}]`},
		{func(s *checks.Subject) {
			s.Routines[0].Config = []string{"search_path=shop, public"}
			s.NamedRelations = append(s.NamedRelations, [2]string{"shop", "articles"})
		}, `[{"live":["shop","articles"],"copy":["public","copies"],"columns":{"id":"original","title":"title"}}]`},
		{func(s *checks.Subject) { s.NamedRelations = nil }, `null`},
		{func(s *checks.Subject) { s.Routines[0].Source = "" }, `null`},
		{func(s *checks.Subject) { s.Routines = nil }, `null`},
	} {
		s := subject(t, sound)
		c.change(s)
		if got, err := json.Marshal(drillTables(s)); err != nil || string(got) != c.want {
			t.Errorf("got %s, %v, want %s", got, err, c.want)
		}
	}
}
