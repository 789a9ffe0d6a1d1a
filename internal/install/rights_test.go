package install

import (
	"context"
	"encoding/json"
	"errors"
	"testing"

	"github.com/aimindset/terraform-provider-aimindset/internal/backup"
	"github.com/aimindset/terraform-provider-aimindset/internal/postgres"
)

// dropping is a database out of which a table disappears between two steps of a
// statement, as where another removal drops the schema, for some statements.
type dropping struct {
	countingProject
	times int
	state string
}

func (d *dropping) Query(context.Context, postgres.Access, string, ...any) (json.RawMessage, error) {
	d.statements++
	if d.times--; d.times >= 0 {
		return nil, &postgres.Error{SQLState: d.state, Message: `relation "auto_backup.installation" does not exist`}
	}
	return json.RawMessage(`{"user": "postgres", "agent_allowed": true}`), nil
}

// TestRightsBesideRemoval proves that rights are asked for once more where another removal
// has dropped the schema in the middle of the question, and that this ends, and that an
// error of another kind is not asked about again.
func TestRightsBesideRemoval(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		times      int
		state      string
		statements int
		fails      bool
	}{
		{1, "42P01", 2, false},
		{1, "3F000", 2, false},
		{9, "42P01", 2, true},
		{1, "42501", 1, true},
	} {
		db := &dropping{times: c.times, state: c.state}
		s := NewService(testRef, db, db)
		err := s.checkRights(t.Context(), backup.ID{ProjectRef: testRef, Name: "one"}, rights{removal: true})
		if (err != nil) != c.fails || db.statements != c.statements {
			t.Errorf("%d × %s: %d statements, %v", c.times, c.state, db.statements, err)
		}
		if missing := (*RightsError)(nil); errors.As(err, &missing) {
			t.Errorf("%d × %s: it is taken for a missing right: %v", c.times, c.state, err)
		}
	}
}
