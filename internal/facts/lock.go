package facts

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/aimindset/terraform-provider-aimindset/internal/postgres"
	"github.com/aimindset/terraform-provider-aimindset/internal/text"
)

// lockNotAvailable is the SQLSTATE of a statement that has waited for a lock for as
// long as it may.
const lockNotAvailable = "55P03"

// LockHolder is a session that has locked a table so that nobody can read it, or that
// waits for such a lock. What the reader may not see is empty.
type LockHolder struct {
	// Process is the ID of the session's server process.
	Process     int64  `json:"process"`
	Role        string `json:"role"`
	Application string `json:"application"`
	// State is that of pg_stat_activity, such as "idle in transaction".
	State string `json:"state"`
	// Since is when its transaction began.
	Since time.Time `json:"since"`
}

// String returns the session in words, such as "process 4711 of role postgres (psql,
// idle in transaction since 2026-11-23T12:00:00Z)".
func (h LockHolder) String() string {
	words := fmt.Sprintf("process %d", h.Process)
	if role := text.Line(h.Role); role != "" {
		words += " of role " + role
	}
	var more []string
	if application := text.Line(h.Application); application != "" {
		more = append(more, application)
	}
	state := text.Line(h.State)
	if !h.Since.IsZero() {
		state = strings.TrimSpace(state + " since " + text.Time(h.Since))
	}
	if state != "" {
		more = append(more, state)
	}
	if len(more) > 0 {
		words += " (" + strings.Join(more, ", ") + ")"
	}
	return words
}

// ExplainLock returns err, and where it says that a statement has waited too long for a
// lock, which sessions have locked which tables.
func ExplainLock(ctx context.Context, db Querier, err error) error {
	if postgres.SQLState(err) != lockNotAvailable {
		return err
	}
	var holders map[string]LockHolder
	found, failure := db.Query(ctx, postgres.ReadOnly, load().locks)
	if failure != nil || json.Unmarshal(found, &holders) != nil || len(holders) == 0 {
		return fmt.Errorf("%w: another session has a lock that it waited for; find it in pg_locks and pg_stat_activity, and run again", err)
	}
	var words []string
	for _, table := range slices.Sorted(maps.Keys(holders)) {
		words = append(words, fmt.Sprintf("%s is locked by %s", text.Line(table), holders[table]))
	}
	return fmt.Errorf("%w: %s; wait for that session or end it (select pg_terminate_backend), and run again", err, strings.Join(words, "; "))
}
