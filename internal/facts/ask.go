package facts

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

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
	// Strict turns into an error what otherwise leaves a part out: a relation that
	// exists and cannot be read, or lacks a column. It also waits for locks, though
	// not for long. Use it where something that may not be read must not count as
	// missing.
	Strict bool
}

// repeats is how often a statement is sent again after a deadlock, or after it has met
// what it leaves out at the next attempt: a lock, or a table that was dropped or altered
// after the statement had found it.
const repeats = 2

// listed is the parameter of zone_changes that leaves out the time zones which the server
// lacks. Ask gives it only after one has stopped a statement, because the server takes
// longer to list its zones than for all the rest of a plan's questions.
const listed = "listed"

// unknownZone is the SQLSTATE of a time zone that the server lacks.
const unknownZone = "22023"

// passing reports whether an SQLSTATE may be gone at the next attempt.
func passing(state string, strict bool) bool {
	switch state {
	case "40P01",
		// Internal errors too are about what disappears between two steps.
		"3F000", "42P01", "42703", "42883", "XX000":
		return true
	case lockNotAvailable:
		return !strict
	}
	return false
}

// Ask asks a database for some parts, in one statement that writes nothing.
func Ask(ctx context.Context, db Querier, request Request) (Document, error) {
	s, err := statementOf(request)
	if err != nil {
		return Document{}, err
	}
	names := request.Backups
	if names == nil {
		names = []backup.Name{}
	}
	backups, err := json.Marshal(names)
	if err != nil {
		return Document{}, err
	}
	args := []any{string(backups)}
	for _, name := range s.parameters {
		args = append(args, request.Parameters[name])
	}
	query := func() (json.RawMessage, error) {
		found, err := db.Query(ctx, postgres.ReadOnly, s.sql, args...)
		if i := slices.Index(s.parameters, listed); i >= 0 && args[1+i] == nil && postgres.SQLState(err) == unknownZone {
			args[1+i] = "yes"
			found, err = db.Query(ctx, postgres.ReadOnly, s.sql, args...)
		}
		return found, err
	}
	found, err := query()
	for range repeats {
		if !passing(postgres.SQLState(err), request.Strict) {
			break
		}
		found, err = query()
	}
	if err != nil {
		return Document{}, ExplainLock(ctx, db, err)
	}
	var document Document
	if err := json.Unmarshal(found, &document); err != nil {
		return Document{}, fmt.Errorf("the database's answer has an unexpected form: %w", err)
	}
	return document, nil
}
