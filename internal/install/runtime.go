package install

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/aimindset/terraform-provider-aimindset/internal/backup"
)

// Runtime is what differs between the Edge Functions of a self-hosted project and
// those of the platform: tokens are stored in a place of their own, and what was
// written does not run at once.
type Runtime interface {
	// SetToken makes a function accept a token under the name of a secret, and
	// DeleteToken revokes it. The accepted tokens are listed among the project's
	// secrets.
	SetToken(ctx context.Context, slug, name, token string) error
	DeleteToken(ctx context.Context, slug, name string) error
	// Settle returns when the functions run as they were written, or when nothing
	// more can be done for that.
	Settle(ctx context.Context) error
	// Unsettled reports whether somebody has to recreate the runtime before it
	// knows its environment.
	Unsettled() bool
	// Restarts reports whether Settle recreates the runtime.
	Restarts() bool
}

// SelfHosted configures s for a self-hosted project, and returns it.
func (s *Service) SelfHosted(runtime Runtime) *Service {
	s.runtime = runtime
	return s
}

// Unsettled reports whether the runtime does not know yet what an apply wrote to
// its environment. It is always false on the platform.
func (s *Service) Unsettled() bool { return s.runtime != nil && s.runtime.Unsettled() }

// setToken makes the backup's function accept a token.
func (l *lease) setToken(ctx context.Context, name backup.Name, secret, token string) error {
	s := l.service
	if s.runtime == nil {
		return l.setSecrets(ctx, map[string]string{secret: token})
	}
	defer s.shared.writing()()
	return l.request(ctx, func(ctx context.Context) error { return s.runtime.SetToken(ctx, name.Slug(), secret, token) })
}

// setsTogether reports whether the token of a backup of which nothing existed is set together
// with the other secrets of its function. A self-hosted project keeps them in two places.
func (l *lease) setsTogether() bool { return l.token != "" && l.service.runtime == nil }

// deleteToken revokes a token of the backup's function.
func (l *lease) deleteToken(ctx context.Context, name backup.Name, secret string) error {
	s := l.service
	if s.runtime == nil {
		return l.deleteSecrets(ctx, secret)
	}
	defer s.shared.writing()()
	return l.request(ctx, func(ctx context.Context) error { return s.runtime.DeleteToken(ctx, name.Slug(), secret) })
}

// settle waits until the functions run as they were written. On the platform they
// do at once.
func (s *Service) settle(ctx context.Context) error {
	if s.runtime == nil {
		return nil
	}
	return s.runtime.Settle(ctx)
}

// How long a runtime that was recreated may take to start, and the pause between
// two probes of it.
const (
	startTimeout = time.Minute
	startPause   = 2 * time.Second
)

// probeStarted is probe, repeated for a runtime that may still be starting.
func (s *Service) probeStarted(ctx context.Context, id backup.ID) error {
	err := s.probe(ctx, id)
	if s.runtime == nil || !s.runtime.Restarts() {
		return err
	}
	waiting, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	for errors.Is(err, ErrNotVerified) {
		if sleep(waiting, startPause) != nil {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			return fmt.Errorf("%w (the last of several attempts in %s)", err, startTimeout)
		}
		err = s.probe(ctx, id)
	}
	return err
}
