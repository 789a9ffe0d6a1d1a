package provider

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/aimindset/terraform-provider-aimindset/internal/postgres"
	"github.com/aimindset/terraform-provider-aimindset/internal/supabase"
)

// poolerTimeout limits reading the pooler's settings, which only improves an
// error.
const poolerTimeout = 15 * time.Second

// advised is a project's database whose errors contain the URL of the session
// pooler if the direct host cannot be reached.
type advised struct {
	postgres.DB
	client *supabase.Client
	ref    string
}

// Query implements postgres.DB.
func (a advised) Query(ctx context.Context, access postgres.Access, sql string, args ...any) (json.RawMessage, error) {
	answer, err := a.DB.Query(ctx, access, sql, args...)
	return answer, a.advise(ctx, err)
}

// QueryAfter implements postgres.DB.
func (a advised) QueryAfter(ctx context.Context, first postgres.Statement, sql string, args ...any) (json.RawMessage, error) {
	answer, err := a.DB.QueryAfter(ctx, first, sql, args...)
	return answer, a.advise(ctx, err)
}

// Exec implements postgres.DB.
func (a advised) Exec(ctx context.Context, script string) error {
	return a.advise(ctx, a.DB.Exec(ctx, script))
}

func (a advised) advise(ctx context.Context, err error) error {
	if !errors.Is(err, postgres.ErrDirectHost) || ctx.Err() != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, poolerTimeout)
	defer cancel()
	address, lookErr := a.client.SessionPooler(ctx, a.ref)
	if lookErr != nil {
		return err
	}
	return fmt.Errorf("%w The session pooler of this project is %s", err, address)
}
