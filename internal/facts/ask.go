package facts

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/aimindset/terraform-provider-aimindset/internal/backup"
	"github.com/aimindset/terraform-provider-aimindset/internal/postgres"
)

// Request says what is asked.
type Request struct {
	Parts []Part
	// Backups are the backups that the parts of single backups are about.
	// Installed adds those with a row in auto_backup.settings.
	Backups   []backup.Name
	Installed bool
	// Parameters are the parts' parameters, each a text or nil. One that a part
	// uses and that is not there is nil.
	Parameters map[string]any
	// Strict asks for an error, where else a part would be left out, if a relation
	// exists and cannot be read, or lacks a column; and it waits for locks. It is
	// for whoever must not take what he may not see for missing.
	Strict bool
}

// repeats is how often a statement is sent again after a deadlock.
const repeats = 2

// Querier is the part of a Project of which SQL is asked.
type Querier interface {
	Query(ctx context.Context, access postgres.Access, sql string, args ...any) (json.RawMessage, error)
}

// Ask asks a database for some parts, in one statement that writes nothing. answer
// is a pointer to a struct with a field for each part, named by its JSON tag.
// Parts that could not be read are null.
func Ask(ctx context.Context, db Querier, request Request, answer any) error {
	s, err := build(request)
	if err != nil {
		return err
	}
	names := request.Backups
	if names == nil {
		names = []backup.Name{}
	}
	backups, err := json.Marshal(names)
	if err != nil {
		return err
	}
	args := []any{string(backups)}
	for _, name := range s.parameters {
		args = append(args, request.Parameters[name])
	}
	found, err := db.Query(ctx, postgres.ReadOnly, s.sql, args...)
	for range repeats {
		if state := postgres.SQLState(err); state != "40P01" && state != "55P03" {
			break
		}
		// Somebody alters a table at this moment.
		found, err = db.Query(ctx, postgres.ReadOnly, s.sql, args...)
	}
	if err != nil {
		return err
	}
	if err := json.Unmarshal(found, answer); err != nil {
		return fmt.Errorf("the database's answer has an unexpected form: %w", err)
	}
	return nil
}
