// Package facts reads facts from a project's database: named parts, each a file of
// SQL, of which one statement asks for several.
package facts

import (
	"context"
	"encoding/json"

	"github.com/aimindset/terraform-provider-aimindset/internal/postgres"
	"github.com/aimindset/terraform-provider-aimindset/internal/supabase"
)

// A Project is what facts are read from, such as an *install.Service, which reads
// the lists of functions and secrets once for all of a run.
type Project interface {
	// Functions lists the project's Edge Functions. The list must not be changed.
	Functions(ctx context.Context) ([]supabase.Function, error)
	// Secrets lists the project's function secrets with their digests. The list
	// must not be changed.
	Secrets(ctx context.Context) ([]supabase.Secret, error)
	Querier
}

// A Querier runs SQL in a project's database.
type Querier interface {
	// Query runs one statement and returns its result, one JSON value.
	Query(ctx context.Context, access postgres.Access, sql string, args ...any) (json.RawMessage, error)
}
