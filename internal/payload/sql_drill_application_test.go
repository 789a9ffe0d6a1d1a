package payload_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/aimindset/terraform-provider-aimindset/internal/drill"
	"github.com/aimindset/terraform-provider-aimindset/internal/plsql"
)

// drillApplication sets up the drill of the tables that the application's function
// copies, as its text says now, makes a backup and restores it.
func (s *scenario) drillApplication(at, drillAt string) drillResult {
	s.Helper()
	source := one[string](s.T, s.admin, `select prosrc from pg_proc where oid = 'public.backup_all_data()'::regprocedure`)
	tables := drill.Tables(plsql.Read(source), func(n plsql.Name) (string, bool) {
		return "public", one[bool](s.T, s.admin, `select to_regclass('public.' || quote_ident($1)) is not null`, n.Name)
	})
	text, err := json.Marshal(tables)
	if err != nil {
		s.Fatal(err)
	}
	var pairs []map[string]any
	if err := json.Unmarshal(text, &pairs); err != nil {
		s.Fatal(err)
	}
	s.change(installed, func(document map[string]any) { document["drill"] = drillSetting(pairs...) })
	s.succeeded(at, one[string](s.T, s.admin, `select public.backup_all_data() ->> 'backup_id'`))
	return s.drill(drillAt, "schedule")
}

// TestDrillApplication proves that a drill of the application's own backup restores its
// tables and names what the backup loses with the exact numbers of rows, and that
// nothing is lost once the function copies every column.
func TestDrillApplication(t *testing.T) {
	t.Parallel()
	tdb := startDatabaseWith(t, 20_000)
	s := tdb.newScenario(t)
	got := s.drillApplication("8 06:00", "8 07:30")
	// Articles were changed on days that are partly still to come; such rows are not compared.
	rows := column[string](t, s.admin, `
		select concat_ws(' ', count(*), count(scheduled_for), count(*) filter (where scheduling_status <> 'draft'))
		from public.articles where updated_at <= (select max(posted_at) from auto_backup.runs where backup = $1)`, s.backup)
	var articles, scheduled, status int
	if _, err := fmt.Sscan(rows[0], &articles, &scheduled, &status); err != nil || articles < 4_000 {
		t.Fatalf("%d articles can be compared, %v", articles, err)
	}
	want := fmt.Sprintf("successful; articles: lost scheduled_for %d not_copied, lost scheduling_status %d not_copied; "+
		"comments: lost parent_id 60 not_copied, lost likes 5334 not_copied; feedbacks: lost updated_at 2000 not_copied", scheduled, status)
	if got.String() != want {
		t.Errorf("the drill says\n%s\nwant\n%s", got, want)
	}
	for i, want := range []struct{ rows, compared int }{{20_000, articles}, {6_000, 6_000}, {2_000, 2_000}} {
		table := got.Tables[i]
		if table.Rows != want.rows || table.Sampled || table.Restorable == nil || !*table.Restorable || len(table.Unchecked) > 0 {
			t.Errorf("%+v", table)
		}
		if table.Compared == nil {
			t.Errorf("%s is not compared", table.Table)
		} else if *table.Compared != want.compared {
			t.Errorf("%s: %d rows are compared, want %d", table.Table, *table.Compared, want.compared)
		}
	}

	// The function as it should be.
	body := one[string](t, s.admin, `select pg_get_functiondef('public.backup_all_data()'::regprocedure)`)
	for _, table := range []string{"articles", "comments", "feedbacks"} {
		alias := table[:1]
		missing := column[string](t, s.admin, `
			select a.attname::text from pg_attribute a
			where a.attrelid = ('public.' || $1)::regclass and a.attnum > 0 and not a.attisdropped and a.attname <> 'id'
			and not $2 ~ ('\m' || $3 || '\.' || a.attname || '\M') order by a.attnum`, table, body, alias)
		for _, name := range missing {
			s.exec(t, s.admin, `alter table public.backup_`+table+` add column if not exists `+name+` `+one[string](t, s.admin, `
				select format_type(atttypid, atttypmod) from pg_attribute where attrelid = ('public.' || $1)::regclass and attname = $2`, table, name))
		}
		head, rest, _ := strings.Cut(body, "insert into backup_"+table+" (")
		fields, rest, _ := strings.Cut(rest, ")")
		values, rest, found := strings.Cut(rest, "now()\n  from "+table)
		if !found || len(missing) == 0 {
			t.Fatalf("the INSERT of %s is not found, or copies everything", table)
		}
		body = head + "insert into backup_" + table + " (" + fields + ", " + strings.Join(missing, ", ") + ")" +
			values + "now(), " + alias + "." + strings.Join(missing, ", "+alias+".") + "\n  from " + table + rest
	}
	s.exec(t, s.admin, body)
	if got := s.drillApplication("15 06:00", "15 07:30"); got.String() != "successful" {
		t.Errorf("the drill of the corrected function says %s", got)
	}
}
