package supabase

import (
	"context"
	"errors"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aimindset/terraform-provider-aimindset/internal/supabase/guard"
)

// TestGuard proves that a guarded request asks before each attempt, after all waiting:
// one that was refused by the rate limit or failed, and may no longer be sent when its
// turn comes, is not sent again. The error is the guard's, and says that the outcome is
// unknown if an earlier attempt may have been carried out.
func TestGuard(t *testing.T) {
	t.Parallel()
	over := errors.New("over")
	for what, c := range map[string]struct {
		status  int
		unknown bool
	}{"after a failure": {500, true}, "after the rate limit": {429, false}} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				requests, began := 0, time.Now()
				client := newClient(t, roundTripper(func(r *http.Request) (*http.Response, error) {
					requests++
					response := answer(r, c.status, `{"message":"no"}`)
					response.Header.Set("Retry-After", "5")
					return response, nil
				}))
				ctx := guard.With(t.Context(), func(context.Context) error {
					if time.Since(began) > time.Second {
						return over
					}
					return nil
				})
				err := client.SetSecrets(ctx, testRef, map[string]string{"A": "value"})
				if requests != 1 || !errors.Is(err, over) || errors.Is(err, ErrOutcomeUnknown) != c.unknown {
					t.Errorf("%d requests, and the error is %v", requests, err)
				}
				if errors.Is(err, ErrRateLimited) || errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("the error blames something else: %v", err)
				}
			})
		})
	}
}

// TestGuardAsks proves that a guard may itself send requests, which are not guarded,
// and that one that refuses at once lets nothing out.
func TestGuardAsks(t *testing.T) {
	t.Parallel()
	var sent []string
	client := newClient(t, roundTripper(func(r *http.Request) (*http.Response, error) {
		sent = append(sent, r.Method)
		return answer(r, http.StatusOK, "[]"), nil
	}))
	over := errors.New("over")
	ctx := guard.With(t.Context(), func(ctx context.Context) error {
		_, err := client.ListSecrets(ctx, testRef)
		return errors.Join(err, over)
	})
	err := client.SetSecrets(ctx, testRef, map[string]string{"A": "value"})
	if !errors.Is(err, over) || errors.Is(err, ErrOutcomeUnknown) || len(sent) != 1 || sent[0] != http.MethodGet {
		t.Errorf("sent was %v, and the error is %v", sent, err)
	}
}
