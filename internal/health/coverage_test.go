package health

import (
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/aimindset/terraform-provider-aimindset/internal/backup"
	"github.com/aimindset/terraform-provider-aimindset/internal/checks"
	"github.com/aimindset/terraform-provider-aimindset/internal/drill"
)

// TestCoverage proves which tables count as copied, and which as left out: those
// with rows that the function neither copies nor fills nor names; and that nothing
// is said where the text could not be read.
func TestCoverage(t *testing.T) {
	t.Parallel()
	const body = `begin
		insert into kept_backup (backup_id, original_id, title) select b, id, title from kept;
		insert into some_backup (backup_id, original_id) select b, id from some where id > 1;
		insert into both_backup (backup_id, a, b) select x, k.id, s.id from kept k, some s;
		insert into articles_backup (id) select id from articles;
		insert into public.users_backup (id) select u.id from auth.users u;
		insert into gone_backup select * from gone;
		perform 1 from looked_at;
	end`
	relations := [][2]string{{"public", "kept"}, {"public", "kept_backup"}, {"public", "some"}, {"public", "some_backup"}, {"public", "both_backup"}, {"public", "articles_backup"}, {"public", "articles"}, {"auth", "users"}, {"public", "looked_at"}, {"site", "articles"}}
	filled := []string{"storage.objects", "public.notes", "public.articles", "public.articles_backup", "public.looked_at", "auth.users"}
	for what, c := range map[string]struct {
		language, source string
		config           []string
		want             *Coverage
	}{
		"PL/pgSQL": {"plpgsql", body, nil, &Coverage{
			Copied: []string{"auth.users", "public.articles", "public.kept", "public.some"}, NotCopied: []string{"public.notes", "storage.objects"},
			Tables: []CoveredTable{
				{"auth.users", "", false, CoverageNotKept}, {"public.articles", "public.articles_backup", false, CoverageNotKept},
				{"public.kept", "public.kept_backup", true, ""}, {"public.notes", "", false, CoverageNotCopied},
				{"public.some", "public.some_backup", true, CoverageFiltered}, {"storage.objects", "", false, CoverageNotCopied},
			},
		}},
		"own search path": {"plpgsql", body, []string{"search_path=site"}, &Coverage{
			Copied: []string{"auth.users", "site.articles"}, NotCopied: []string{"public.notes", "storage.objects"},
			Tables: []CoveredTable{
				{"auth.users", "", false, CoverageNotKept}, {"public.notes", "", false, CoverageNotCopied},
				{"site.articles", "", false, CoverageNotKept}, {"storage.objects", "", false, CoverageNotCopied},
			},
		}},
		"path to nowhere": {"plpgsql", body, []string{"search_path=elsewhere"}, &Coverage{
			Copied: []string{"auth.users"}, NotCopied: []string{"public.notes", "storage.objects"},
			Tables: []CoveredTable{{"auth.users", "", false, CoverageNotKept}, {"public.notes", "", false, CoverageNotCopied}, {"storage.objects", "", false, CoverageNotCopied}},
		}},
		"SQL": {"sql", "insert into copies select * from articles", nil, &Coverage{
			Copied: []string{"public.articles"}, NotCopied: []string{"auth.users", "public.articles_backup", "public.looked_at", "public.notes", "storage.objects"},
			Tables: []CoveredTable{
				{"auth.users", "", false, CoverageNotCopied}, {"public.articles", "", false, CoverageUnclear}, {"public.articles_backup", "", false, CoverageNotCopied},
				{"public.looked_at", "", false, CoverageNotCopied}, {"public.notes", "", false, CoverageNotCopied}, {"storage.objects", "", false, CoverageNotCopied},
			},
		}},
		"another language": {"plpython3u", body, nil, nil},
		"no text":          {"plpgsql", "", nil, nil},
	} {
		p := healthy(t)
		p.database.Routines[0].Language, p.database.Routines[0].Source, p.database.Routines[0].Config = c.language, c.source, c.config
		p.database.NamedRelations, p.database.Filled = relations, filled
		status := p.assess(t)
		if !reflect.DeepEqual(status.Coverage, c.want) {
			t.Errorf("%s: %+v, want %+v", what, status.Coverage, c.want)
		}
	}
	p := healthy(t)
	p.database.Routines = nil
	if status := p.assess(t); status.Coverage != nil || status.Condition == checks.Healthy {
		t.Errorf("without the function: %+v", status.Coverage)
	}
}

// TestCoverageIsBounded proves that of a project with very many tables a status shows
// 200, those first that are not copied, and says how many it leaves out.
func TestCoverageIsBounded(t *testing.T) {
	t.Parallel()
	p := healthy(t)
	p.database.Routines[0].Language, p.database.Routines[0].Source = "plpgsql", "begin insert into b (backup_id, id) select x, id from a; end"
	p.database.NamedRelations, p.database.Filled = [][2]string{{"public", "a"}, {"public", "b"}}, nil
	for i := range 300 {
		p.database.Filled = append(p.database.Filled, fmt.Sprintf("public.t%d", i))
	}
	c := p.assess(t).Coverage
	if len(c.Tables) != 200 || len(c.NotCopied) != 200 || c.LeftOut != 101 || !strings.HasPrefix(c.Tables[0].Name, "public.t") {
		t.Errorf("%d tables from %s, %d not copied, %d left out", len(c.Tables), c.Tables[0].Name, len(c.NotCopied), c.LeftOut)
	}
}

// TestStaleDrill proves that the status says when the SQL function copies something else
// than the drill restores, and of tables that somebody has named only what is about them.
func TestStaleDrill(t *testing.T) {
	t.Parallel()
	kept := drill.Table{Live: [2]string{"public", "kept"}, Copy: [2]string{"public", "kept_backup"}, Columns: map[string]string{"id": "original_id", "title": "title"}}
	const body = "begin insert into kept_backup (backup_id, original_id, title) select b, k.id, k.title from kept k; end"
	for what, c := range map[string]struct {
		change func(d *backup.DrillSettings)
		source string
		says   string
	}{
		"the same":            {func(*backup.DrillSettings) {}, body, ""},
		"another column":      {func(*backup.DrillSettings) {}, strings.ReplaceAll(strings.ReplaceAll(body, "k.title", "k.title, k.likes"), "title)", "title, likes)"), "copies other columns of public.kept. Restore"},
		"none of the columns": {func(d *backup.DrillSettings) { d.Tables[0].Columns = map[string]string{} }, strings.ReplaceAll(body, "k.id, k.title", "f(k.id), f(k.title)"), ""},
		"columns by name, and now none": {
			func(d *backup.DrillSettings) { d.Tables[0].Columns = nil }, strings.ReplaceAll(body, "k.id, k.title", "f(k.id), f(k.title)"),
			"copies other columns of public.kept. Restore",
		},
		"other rows":   {func(*backup.DrillSettings) {}, strings.ReplaceAll(body, "kept k;", "kept k where k.id > 1;"), "copies other rows of public.kept. Restore"},
		"another copy": {func(*backup.DrillSettings) {}, strings.ReplaceAll(body, "kept_backup", "other_backup"), "copies public.kept into another table. Restore"},
		"not any more": {func(*backup.DrillSettings) {}, "begin perform 1; end", "copies public.kept not at all. Restore"},
		"another table": {
			func(*backup.DrillSettings) {}, body + " begin insert into other_backup (backup_id, original_id) select b, o.id from other o; end",
			"copies public.other too. Restore",
		},
		"named, and another table": {func(d *backup.DrillSettings) { d.TablesNamed = true }, body + " begin insert into other_backup (backup_id, original_id) select b, o.id from other o; end", ""},
		"named, and another copy":  {func(d *backup.DrillSettings) { d.TablesNamed = true }, strings.ReplaceAll(body, "kept_backup", "other_backup"), ""},
		"named, and other rows":    {func(d *backup.DrillSettings) { d.TablesNamed = true }, strings.ReplaceAll(body, "kept k;", "kept k where k.id > 1;"), "copies other rows of public.kept. Restore"},
		"no tables":                {func(d *backup.DrillSettings) { d.Tables = nil }, body, ""},
		"no text":                  {func(*backup.DrillSettings) {}, "", ""},
	} {
		p := healthy(t)
		p.database.Routines[0].Language, p.database.Routines[0].Source = "plpgsql", c.source
		p.database.NamedRelations = [][2]string{{"public", "kept"}, {"public", "kept_backup"}, {"public", "other"}, {"public", "other_backup"}}
		plan := &backup.DrillSettings{Tables: []drill.Table{kept}}
		c.change(plan)
		p.settings.Drill = plan
		said := ""
		for _, f := range p.assess(t).Problems {
			if f.Code == "drill_stale" {
				said += f.Message
			}
		}
		if (said == "") != (c.says == "") || !strings.Contains(said, c.says) {
			t.Errorf("%s: %q, want %q", what, said, c.says)
		}
	}
}
