package health

import (
	"reflect"
	"slices"
	"testing"

	"github.com/aimindset/terraform-provider-aimindset/internal/checks"
)

// TestCoverage proves which tables count as copied, and which as left out: those
// with rows that the function neither copies nor fills nor names; and that nothing
// is said where the text could not be read.
func TestCoverage(t *testing.T) {
	t.Parallel()
	const body = `begin
		insert into articles_backup (id) select id from articles;
		insert into public.users_backup (id) select u.id from auth.users u;
		insert into gone_backup select * from gone;
		perform 1 from looked_at;
	end`
	relations := [][2]string{{"public", "articles"}, {"auth", "users"}, {"public", "looked_at"}, {"site", "articles"}}
	filled := []string{"storage.objects", "public.notes", "public.articles", "public.articles_backup", "public.looked_at", "auth.users"}
	for what, c := range map[string]struct {
		language, source string
		config           []string
		want             *Coverage
	}{
		"PL/pgSQL":         {"plpgsql", body, nil, &Coverage{[]string{"auth.users", "public.articles"}, []string{"public.notes", "storage.objects"}}},
		"own search path":  {"plpgsql", body, []string{"search_path=site"}, &Coverage{[]string{"auth.users", "site.articles"}, []string{"public.notes", "storage.objects"}}},
		"path to nowhere":  {"plpgsql", body, []string{"search_path=elsewhere"}, &Coverage{[]string{"auth.users"}, []string{"public.notes", "storage.objects"}}},
		"SQL":              {"sql", "insert into copies select * from articles", nil, &Coverage{[]string{"public.articles"}, []string{"public.notes", "public.articles_backup", "public.looked_at", "auth.users", "storage.objects"}}},
		"another language": {"plpython3u", body, nil, nil},
		"no text":          {"plpgsql", "", nil, nil},
	} {
		p := healthy(t)
		p.database.Routines[0].Language, p.database.Routines[0].Source, p.database.Routines[0].Config = c.language, c.source, c.config
		p.database.NamedRelations, p.database.Filled = relations, filled
		status := p.assess(t)
		if c.want != nil {
			slices.Sort(c.want.NotCopied)
		}
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
