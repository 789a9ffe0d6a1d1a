package facts

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/aimindset/terraform-provider-aimindset/internal/backup"
	"github.com/aimindset/terraform-provider-aimindset/internal/postgres"
)

// querier answers each query in turn, and keeps the arguments.
type querier struct {
	answers []any // errors and texts
	args    [][]any
	written bool
}

func (q *querier) Query(_ context.Context, access postgres.Access, _ string, args ...any) (json.RawMessage, error) {
	q.args = append(q.args, slices.Clone(args))
	q.written = q.written || access != postgres.ReadOnly
	switch answer := q.answers[len(q.args)-1].(type) {
	case error:
		return nil, answer
	case string:
		return json.RawMessage(answer), nil
	}
	return nil, nil
}

// TestAsk proves what is sent, that a statement which met another's lock, or of which
// somebody dropped a table while it ran, is sent again, but not for ever and not after
// other errors, and that an answer of another form is an error.
func TestAsk(t *testing.T) {
	t.Parallel()
	deadlock, locked, other := &postgres.Error{SQLState: "40P01"}, &postgres.Error{SQLState: "55P03"}, &postgres.Error{SQLState: "42501"}
	dropped := &postgres.Error{SQLState: "42P01"}
	const fine = `{"similar": ["backup_all"]}`
	for name, c := range map[string]struct {
		answers []any
		sent    int
		err     error
	}{
		"an answer":         {[]any{fine}, 1, nil},
		"a deadlock":        {[]any{deadlock, fine}, 2, nil},
		"two locks":         {[]any{locked, deadlock, fine}, 3, nil},
		"a lock that stays": {[]any{locked, locked, locked, `{"public.backup_logs": {"process": 4711}}`}, 4, locked},
		"an unseen lock":    {[]any{locked, locked, locked, other}, 4, locked},
		"a dropped table":   {[]any{dropped, fine}, 2, nil},
		"a lasting error":   {[]any{dropped, dropped, dropped, fine}, 3, dropped},
		"another error":     {[]any{other}, 1, other},
		"after a lock":      {[]any{locked, other}, 2, other},
	} {
		q := &querier{answers: c.answers}
		d, err := Ask(t.Context(), q, Request{Parts: []Part{"similar"}, Backups: []backup.Name{"one", "two"}})
		if !errors.Is(err, c.err) || len(q.args) != c.sent || q.written || (err == nil) != slices.Equal(d.Similar, []string{"backup_all"}) {
			t.Errorf("%s: %v after %d statements, got %+v", name, err, len(q.args), d.Similar)
		}
	}
	q := &querier{answers: []any{"{}", "{}", "[]"}}
	part := Request{Parts: []Part{"unknown_zones"}, Parameters: map[string]any{"zones": "[]", "another": "x"}}
	for _, backups := range [][]backup.Name{nil, {"one", "two"}} {
		part.Backups = backups
		if _, err := Ask(t.Context(), q, part); err != nil {
			t.Fatal(err)
		}
	}
	if got := q.args; len(got[0]) != 2 || got[0][0] != "[]" || got[1][0] != `["one","two"]` || got[1][1] != "[]" {
		t.Errorf("the arguments are %q", got)
	}
	if _, err := Ask(t.Context(), q, part); err == nil || !strings.Contains(err.Error(), "the database's answer has an unexpected form") {
		t.Errorf("a list: %v", err)
	}
	if _, err := Ask(t.Context(), q, Request{}); err == nil || len(q.args) != 3 {
		t.Errorf("no part: %v after %d statements", err, len(q.args))
	}
}

// TestAskUnknownZone proves that the server lists its time zones only after one that it
// lacks has stopped a statement, and once.
func TestAskUnknownZone(t *testing.T) {
	t.Parallel()
	unknown, deadlock := &postgres.Error{SQLState: "22023"}, &postgres.Error{SQLState: "40P01"}
	zones := Request{Parts: []Part{"zone_changes"}, Parameters: map[string]any{"zones": `["Nowhere/Else"]`}}
	for name, c := range map[string]struct {
		request Request
		answers []any
		listed  string // of each statement, whether the zones are listed
		err     error
	}{
		"all are known":       {zones, []any{"{}"}, "-", nil},
		"one is unknown":      {zones, []any{unknown, "{}"}, "-y", nil},
		"and then a deadlock": {zones, []any{deadlock, unknown, deadlock, "{}"}, "--yy", nil},
		"another cause":       {zones, []any{unknown, unknown}, "-y", unknown},
		"no zones are asked":  {Request{Parts: []Part{"similar"}}, []any{unknown}, "-", unknown},
	} {
		q := &querier{answers: c.answers}
		if _, err := Ask(t.Context(), q, c.request); !errors.Is(err, c.err) || len(q.args) != len(c.listed) {
			t.Errorf("%s: %v after %d statements", name, err, len(q.args))
			continue
		}
		for i, args := range q.args {
			if got := slices.Contains(args, any("yes")); got != (c.listed[i] == 'y') {
				t.Errorf("%s: statement %d has the arguments %q", name, i+1, args)
			}
		}
	}
}

// TestEffective proves which of a parameter's values holds in a new session of a
// role, as PostgreSQL ranks them: for the role in the database, for the role, for
// the database, for all.
func TestEffective(t *testing.T) {
	t.Parallel()
	all, database := RoleParameter{Name: "a", Value: "all"}, RoleParameter{Name: "a", Value: "database", Database: true}
	role, both := RoleParameter{Name: "a", Value: "role", Role: "r"}, RoleParameter{Name: "a", Value: "both", Role: "r", Database: true}
	for want, set := range map[string][]RoleParameter{
		"server":   {{Name: "b", Value: "another"}, {Name: "a", Value: "of another role", Role: "s", Database: true}},
		"all":      {all},
		"database": {all, database},
		"role":     {role, database, all},
		"both":     {role, both, database, all},
	} {
		backwards := slices.Clone(set)
		slices.Reverse(backwards)
		for _, parameters := range [][]RoleParameter{set, backwards} {
			d := Document{Parameters: map[string]string{"a": "server"}, RoleParameters: parameters}
			if got := d.Effective("a", "r"); got != want {
				t.Errorf("of %+v, %q holds, want %q", parameters, got, want)
			}
		}
	}
	if got := (Document{}).Effective("a", "r"); got != "" {
		t.Errorf("of what cannot be seen, %q holds", got)
	}
}

// TestNamed proves where the code of a function finds a relation.
func TestNamed(t *testing.T) {
	t.Parallel()
	d := Document{NamedRelations: [][2]string{{"public", "a"}, {"other", "b"}, {"pg_catalog", "c"}, {"other", "d"}, {"public", "d"}}}
	for _, c := range []struct {
		schema, name string
		want         bool
	}{
		{"", "a", true}, {"public", "a", true}, {"other", "a", false}, {"", "b", false}, {"other", "b", true}, {"public", "b", false},
		{"", "c", true}, {"pg_catalog", "c", true}, {"public", "c", false}, {"", "d", true}, {"", "e", false}, {"public", "e", false},
	} {
		if got := d.Named(c.schema, c.name, DataAPIPath); got != c.want {
			t.Errorf("%q.%q is found: %t", c.schema, c.name, got)
		}
	}
}

// TestRoutineAndTable proves what is read from the catalogue's own notations.
func TestRoutineAndTable(t *testing.T) {
	t.Parallel()
	for value, want := range map[string]string{
		"": "", "public": "public", `"$user", public`: "public", ` "A b" ,x,, y `: "A b|x|y", "$user": "",
	} {
		if got := strings.Join(SearchPath(value), "|"); got != want {
			t.Errorf("the path %q is %q", value, got)
		}
	}
	for signature, want := range map[string]string{"public.f(integer)": "f(integer)", "f()": "f()"} {
		if got := (Routine{Signature: signature}).Name(); got != want {
			t.Errorf("%s is named %q", signature, got)
		}
	}
	r := Routine{Config: []string{"search_path_x=1", "search_path=a, b", "role=", "search_path=c"}}
	for name, want := range map[string]string{"search_path": "a, b true", "role": " true", "work_mem": " false"} {
		value, ok := r.Setting(name)
		if got := value + map[bool]string{true: " true", false: " false"}[ok]; got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	table := Table{Columns: []Column{{Name: "a", Type: "integer"}, {Name: "b", Type: "text"}}}
	for name, want := range map[string]string{"a": "integer", "b": "text", "c": ""} {
		if column, ok := table.Column(name); column.Type != want || ok != (want != "") {
			t.Errorf("column %s is %+v, %t", name, column, ok)
		}
	}
}
