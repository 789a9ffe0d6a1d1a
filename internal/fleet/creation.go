package fleet

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/aimindset/terraform-provider-aimindset/internal/stack"
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
	return recording, nil
}
