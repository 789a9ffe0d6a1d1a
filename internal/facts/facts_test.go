package facts

import (
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// TestParse proves what is refused in a part's file: a header that says something
// else than the SQL.
func TestParse(t *testing.T) {
	t.Parallel()
	const sound = "-- name: part\n-- What it is about.\n-- kind: query\n-- of: backup\n-- needs: a.b (c, d)\n-- wants: e.f, g.h\n-- with: i, j\n-- parameters: backup, k\nselect 1 from a.b where c = :'backup' and d = :'k'\n"
	s, err := parse(sound)
	if err != nil {
		t.Fatal(err)
	}
	if s.name != "part" || s.kind != kindQuery || !s.ofBackup || s.needs[0].name != "a.b" || !slices.Equal(s.needs[0].columns, []string{"c", "d"}) ||
		len(s.wants) != 2 || s.wants[1].name != "g.h" || !slices.Equal(s.with, []string{"i", "j"}) || !slices.Equal(s.parameters, []string{"backup", "k"}) ||
		s.sql != "select 1 from a.b where c = :'backup' and d = :'k'" {
		t.Errorf("read is %+v", s)
	}
	for change, says := range map[[2]string]string{
		{"-- name: part\n", ""}:         "no name",
		{"kind: query", "kind: riddle"}: `kind "riddle"`,
		{"backup, k", "backup"}:         "does not declare: map[k:true]",
		{"backup, k", "backup, k, l"}:   "does not use the parameter l",
		{"select 1", "delete"}:          "not one SELECT",
	} {
		if _, err := parse(strings.Replace(sound, change[0], change[1], 1)); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%q is refused with %v", change, err)
		}
	}
}

// TestParts proves that every file can be read, that what parts are based on
// exists, and that every query on which one could be based is in use.
func TestParts(t *testing.T) {
	t.Parallel()
	l := load()
	based := map[string]bool{}
	for name := range l.parts {
		if _, err := l.build(Request{Parts: []Part{Part(name)}}); err != nil {
			t.Error(err)
		}
		for _, with := range l.parts[name].with {
			based[with] = true
			for _, further := range l.with[with].with {
				based[further] = true
			}
		}
	}
	for name := range l.with {
		if !based[name] {
			t.Errorf("nothing is based on with/%s.sql", name)
		}
	}
	for name, part := range l.parts {
		if strings.Contains(part.sql, quote) {
			t.Errorf("%s has what would end its quotation", name)
		}
		if part.kind == kindQuery && len(part.needs) == 0 {
			t.Errorf("%s reads no relation", name)
		}
	}
	if _, err := load().build(Request{Parts: []Part{"nonsense"}}); err == nil {
		t.Error("an unknown part is not refused")
	}
}

// TestNightsLimit proves that the query of the nights reads as many due times as
// NightsLimit says, by which a status knows whether it has read them all.
func TestNightsLimit(t *testing.T) {
	t.Parallel()
	limits := regexp.MustCompile(`\blimit (\w+)`).FindAllStringSubmatch(load().parts["nights"].sql, -1)
	if len(limits) != 1 || limits[0][1] != strconv.Itoa(NightsLimit) {
		t.Errorf("the query has the limits %v, NightsLimit is %d", limits, NightsLimit)
	}
}

// TestBuild proves how a statement is put together: each query on which parts are
// based once and before them, the parameters in order, the columns of all parts.
func TestBuild(t *testing.T) {
	t.Parallel()
	s, err := load().build(Request{Parts: []Part{"routines", "tables", "settings", "latest", "history", "unknown_zones"}})
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{"settings_of", "rpc", "code", "table", "planning", "at", "history", "zones"}; !slices.Equal(s.parameters, want) {
		t.Errorf("the parameters are %q, not %q", s.parameters, want)
	}
	at := 0
	for _, with := range []string{"configured", "routine", "person", "log_trigger", "code", "relation"} {
		text := "\n" + with + " as materialized ("
		if strings.Count(s.sql, text) != 1 || strings.Index(s.sql, text) < at {
			t.Errorf("%s does not come once and in its place", with)
		}
		at = max(at, strings.Index(s.sql, text))
	}
	for _, want := range []string{
		"('auto_backup.settings', '{backup,created_at,document,function_id,owner,updated_at}')",
		"where s.backup = $part$ || quote_nullable(asked.name) || $part$", "offset greatest($part$ || quote_nullable($8::text) || $part$::integer, 5)",
		"jsonb_array_elements_text($9::text::jsonb)", "s.state = 'readable' as usable",
	} {
		if !strings.Contains(s.sql, want) {
			t.Errorf("the statement lacks %s", want)
		}
	}
	if piece := regexp.MustCompile(`@[a-z]+`).FindString(s.sql); piece != "" {
		t.Errorf("%s was not put in", piece)
	}
}
