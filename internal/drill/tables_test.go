package drill

import (
	"encoding/json"
	"os"
	"testing"

	"github.com/aimindset/terraform-provider-aimindset/internal/plsql"
)

// TestTables proves which tables and columns are read from the text of a function:
// those that it fills from one table, beside a backup_id; and that what is read of them
// is the same after it was stored.
func TestTables(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, text, want string }{
		{"nothing", "begin return 1; end", `null`},
		{
			"values of every kind", `
				declare generation uuid; note text; begin
				insert into copies (backup_id, original_id, title, tags, score, note, made)
				select generation, a.id, title, a.tags::text, coalesce(a.score, 0), note, now() from articles a; end`,
			`[{"live":["public","articles"],"copy":["public","copies"],"columns":{"id":"original_id","tags":"tags","title":"title"}}]`,
		},
		{
			"a condition, and another schema", `insert into other.copies (backup_id, id) select x, a.id from articles a where a.published`,
			`[{"live":["public","articles"],"copy":["other","copies"],"columns":{"id":"id"},"filtered":true}]`,
		},
		{
			"all columns at once", `insert into copies (backup_id, id, title) select x, a.* from articles a`,
			`[{"live":["public","articles"],"copy":["public","copies"]}]`,
		},
		{
			"none of its columns", `insert into copies (backup_id, note) select x, coalesce(a.note, '') from articles a`,
			`[{"live":["public","articles"],"copy":["public","copies"],"columns":{}}]`,
		},
		{"not kept per backup", `insert into copies (id) select a.id from articles a`, `null`},
		{"two sources", `insert into copies (backup_id, id) select x, a.id from articles a join copies c on true`, `null`},
		{"a subquery", `insert into copies (backup_id, id) select x, s.id from (select 1 as id) s`, `null`},
		{"unknown tables", `insert into nowhere (backup_id, id) select x, a.id from articles a; insert into copies (backup_id, id) select x, n.id from nowhere n`, `null`},
		{
			"one table twice", `insert into copies (backup_id, id) select x, a.id from articles a; insert into copies (backup_id, title) select x, a.title from articles a`,
			`[{"live":["public","articles"],"copy":["public","copies"],"columns":{"id":"id"}}]`,
		},
	} {
		got := read(t, c.text, "articles", "copies")
		if got != c.want {
			t.Errorf("%s:\ngot  %s\nwant %s", c.name, got, c.want)
		}
		var stored []Table
		err := json.Unmarshal([]byte(got), &stored)
		if again, _ := json.Marshal(stored); err != nil || string(again) != got {
			t.Errorf("%s: %s is stored as %s: %v", c.name, got, again, err)
		}
	}
}

// TestApplicationTables proves what a drill restores of the application's own backup:
// not its logs, which are not kept, and of the comments not what the function leaves
// out.
func TestApplicationTables(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../plsql/testdata/backup_all_data.sql")
	if err != nil {
		t.Fatal(err)
	}
	var tables []Table
	if err := json.Unmarshal([]byte(read(t, string(text), "articles", "comments", "feedbacks", "backup_articles", "backup_comments", "backup_feedbacks", "system_logs", "system_logs_backup")), &tables); err != nil {
		t.Fatal(err)
	}
	if len(tables) != 3 || tables[1].Live[1] != "comments" || tables[1].Copy[1] != "backup_comments" {
		t.Fatalf("got %+v", tables)
	}
	if c := tables[1].Columns; c["id"] != "original_id" || c["content"] != "content" || c["likes"] != "" || c["parent_id"] != "" {
		t.Errorf("the columns of comments are %v", c)
	}
}

// read returns the tables of a text as JSON. The names are those of the tables of
// schema public; schema other has a table of each name.
func read(t *testing.T, text string, names ...string) string {
	t.Helper()
	found, err := json.Marshal(Tables(plsql.Read(text), func(n plsql.Name) (string, bool) {
		for _, name := range names {
			if n.Name == name {
				if n.Schema == "" {
					n.Schema = "public"
				}
				return n.Schema, n.Schema == "public" || n.Schema == "other"
			}
		}
		return "", false
	}))
	if err != nil {
		t.Fatal(err)
	}
	return string(found)
}

// TestParse proves which names of tables and columns are accepted.
func TestParse(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]bool{"public.articles": true, "articles": false, "a.b.c": false, ".b": false, "a.": false, "": false} {
		if got, err := ParseTable(name); (err == nil) != want || want && got != [2]string{"public", "articles"} {
			t.Errorf("%q: %v, %v", name, got, err)
		}
	}
	for name, want := range map[string]bool{"public.articles.title": true, "articles.title": false, "a..c": false, "a.b.c.d": false} {
		if got, err := ParseColumn(name); (err == nil) != want || want && got != [3]string{"public", "articles", "title"} {
			t.Errorf("%q: %v, %v", name, got, err)
		}
	}
}

// TestNamed proves that tables which somebody has named replace those of the function's
// text, and keep what the text says of their columns.
func TestNamed(t *testing.T) {
	t.Parallel()
	known := []Table{
		{Live: [2]string{"public", "a"}, Copy: [2]string{"public", "backup_a"}, Columns: map[string]string{"x": "y"}},
		{Live: [2]string{"public", "b"}, Copy: [2]string{"public", "backup_b"}},
	}
	got, err := json.Marshal(Named(map[[2]string][2]string{
		{"public", "c"}: {"old", "c"}, {"public", "a"}: {"public", "backup_a"},
	}, known))
	const want = `[{"live":["public","a"],"copy":["public","backup_a"],"columns":{"x":"y"}},{"live":["public","c"],"copy":["old","c"]}]`
	if err != nil || string(got) != want {
		t.Errorf("got %s, %v", got, err)
	}
}
