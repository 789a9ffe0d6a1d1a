package fleet

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/aimindset/terraform-provider-aimindset/internal/install/queries"
	"github.com/aimindset/terraform-provider-aimindset/internal/postgres"
	"github.com/aimindset/terraform-provider-aimindset/internal/stack"
	"github.com/aimindset/terraform-provider-aimindset/internal/supabase"
)

// RecordCreation starts a stack and records an apply of one new backup with the provider in
// a directory. In a fleet of the recording, the same apply works in each project. What the
// projects' databases do for it is not in it: on the platform each has a machine of its own.
func RecordCreation(ctx context.Context, provider string) (_ *stack.Recording, err error) {
	s, err := stack.Start(ctx, stack.Options{Articles: 1, RateLimit: -1})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	dir, err := os.MkdirTemp("", "aimindset-creation-")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	w, err := NewWorkingDirectory(ctx, dir, provider, s.Environ(), []string{s.ProjectRef}, 1)
	if err != nil {
		return nil, err
	}
	recording, stop := s.RecordWrites()
	defer stop()
	if _, err := w.Must(ctx, 0, "apply", "-auto-approve", "-no-color"); err != nil {
		return nil, fmt.Errorf("record an apply: %w", err)
	}
	if err := renewLease(ctx, s); err != nil {
		return nil, fmt.Errorf("record the renewal of a lease: %w", err)
	}
	return recording, nil
}

// renewLease renews a lease on the backup of a stack, as an apply does while it waits. The
// one that was recorded has hardly waited for anything.
func renewLease(ctx context.Context, s *stack.Stack) error {
	client, err := supabase.New(supabase.Config{BaseURL: s.APIURL, Token: s.AccessToken})
	if err != nil {
		return err
	}
	db := postgres.OverAPI(supabase.ProjectSQL{Client: client, Ref: s.ProjectRef})
	const holder = "0123456789abcdef0123456789abcdef"
	for _, statement := range []postgres.Statement{
		{SQL: queries.Acquire, Args: []any{backupName(0), holder, "a recording", "60"}},
		{SQL: queries.Renew, Args: []any{backupName(0), holder}},
		{SQL: queries.Release, Args: []any{backupName(0), holder}},
	} {
		answer, err := db.Query(ctx, postgres.ReadWrite, statement.SQL, statement.Args...)
		if err == nil && answer == nil {
			err = errors.New("the database answers nothing")
		}
		if err != nil {
			return err
		}
	}
	return nil
}
