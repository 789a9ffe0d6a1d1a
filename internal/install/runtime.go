package install

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/aimindset/terraform-provider-aimindset/internal/backup"
)

// Runtime is what runs the Edge Functions of a self-hosted project, as far as
// it differs from the platform: tokens have a home of their own, and what was
// written is not at once what runs.
type Runtime interface {
	// SetToken has a function accept a token under the name of a secret,
	// DeleteToken has it accept none. What is accepted is listed among the
	// project's secrets.
	SetToken(ctx context.Context, slug, name, token string) error
	DeleteToken(ctx context.Context, slug, name string) error
	// Settle returns when what was written is what runs, or when no more can
	// be done for that.
	Settle(ctx context.Context) error
	// Unsettled reports whether somebody has to create the runtime anew before
	// it knows its environment.
	Unsettled() bool
	// Restarts reports whether Settle creates the runtime anew.
	Restarts() bool
}

// SelfHosted makes the service that of a self-hosted project.
func (s *Service) SelfHosted(runtime Runtime) *Service {
	s.runtime = runtime
	return s
}

// Unsettled reports whether the runtime does not know yet what an apply wrote
// to its environment. On the platform it always does.
func (s *Service) Unsettled() bool { return s.runtime != nil && s.runtime.Unsettled() }

// setToken has the backup's function accept a token.
func (l *lease) setToken(ctx context.Context, name backup.Name, secret, token string) error {
	s := l.service
	if s.runtime == nil {
		return l.setSecrets(ctx, map[string]string{secret: token})
	}
	defer s.shared.writing()()
	return l.request(ctx, func() error { return s.runtime.SetToken(ctx, name.Slug(), secret, token) })
}

// deleteToken has the backup's function accept a token no longer.
func (l *lease) deleteToken(ctx context.Context, name backup.Name, secret string) error {
	s := l.service
	if s.runtime == nil {
		return l.deleteSecrets(ctx, secret)
	}
	defer s.shared.writing()()
	return l.request(ctx, func() error { return s.runtime.DeleteToken(ctx, name.Slug(), secret) })
}

// settle waits until the functions run as they were written.
func (s *Service) settle(ctx context.Context) error {
	if s.runtime == nil {
		return nil
	}
	return s.runtime.Settle(ctx)
}

// A runtime that was created anew answers when it has started.
const (
	startPatience = time.Minute
	startPause    = 2 * time.Second
)

// probeStarted is probe, repeated for a runtime that may still be starting.
func (s *Service) probeStarted(ctx context.Context, id backup.ID) error {
	err := s.probe(ctx, id)
	if s.runtime == nil || !s.runtime.Restarts() {
		return err
	}
	waiting, cancel := context.WithTimeout(ctx, startPatience)
	defer cancel()
	for errors.Is(err, ErrNotVerified) {
		timer := time.NewTimer(startPause)
		select {
		case <-waiting.Done():
			timer.Stop()
			if ctx.Err() != nil {
				return ctx.Err()
			}
			return fmt.Errorf("%w (the last of several attempts in %s)", err, startPatience)
		case <-timer.C:
		}
		err = s.probe(ctx, id)
	}
	return err
}
