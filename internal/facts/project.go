// Package facts asks a project's database what it has to say.
package facts

import (
	"context"
	"encoding/json"

	"github.com/aimindset/terraform-provider-aimindset/internal/postgres"
	"github.com/aimindset/terraform-provider-aimindset/internal/supabase"
)

// A Project is what facts are read from. *install.Service is one: it shares the
// lists of functions and secrets with everybody who reads them in this run.
type Project interface {
	// Functions lists the project's Edge Functions. The list must not be changed.
	Functions(ctx context.Context) ([]supabase.Function, error)
	// Secrets lists the project's function secrets with their digests. The list
	// must not be changed.
	Secrets(ctx context.Context) ([]supabase.Secret, error)
	// Query runs one statement in the project's database and returns its
	// answer, one JSON value.
	Query(ctx context.Context, access postgres.Access, sql string, args ...any) (json.RawMessage, error)
}
