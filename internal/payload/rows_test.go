package payload

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/aimindset/terraform-provider-aimindset/internal/codes"
)

// TestCodeRows proves that the script fills the table of the codes with exactly
// what the database may have to say: each code of a run with its own texts, and
// with those of each SQLSTATE that has some. A code of a status alone is left out,
// because a new text for it is no reason to install the SQL again.
func TestCodeRows(t *testing.T) {
	t.Parallel()
	_, rest, _ := strings.Cut(LoadDispatcher().Install(), "jsonb_to_recordset($codes$")
	text, _, ok := strings.Cut(rest, "$codes$)")
	if !ok {
		t.Fatal("the script inserts no codes")
	}
	var rows []codeRow
	if err := json.Unmarshal([]byte(text), &rows); err != nil {
		t.Fatal(err)
	}
	found := map[[2]string]codeRow{}
	last := ""
	for _, row := range rows {
		key := [2]string{row.Code, row.SQLState}
		if _, twice := found[key]; twice {
			t.Errorf("%q is inserted twice", key)
		}
		// The digest of the script is the version of the SQL.
		if at := strings.Join(key[:], " "); at < last {
			t.Errorf("%q comes after %q, so the order is not the same in each build", at, last)
		} else {
			last = at
		}
		found[key] = row
	}
	check := func(code, state string, want codes.Text, arises []string) {
		t.Helper()
		row, ok := found[[2]string{code, state}]
		if !ok || row.Text != want || strings.Join(row.Arises, " ") != strings.Join(arises, " ") {
			t.Errorf("%s %s is inserted as %+v", code, state, row)
		}
		delete(found, [2]string{code, state})
	}
	for name, code := range codes.All() {
		if !code.OfRun() {
			continue
		}
		check(name, "", code.Text, code.Arises)
		for state, text := range code.SQLStates {
			check(name, state, text, code.Arises)
		}
	}
	for key := range found {
		t.Errorf("%q is inserted, and is not a code of a run", key)
	}
}
