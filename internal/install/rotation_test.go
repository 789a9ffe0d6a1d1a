package install_test

import (
	"bytes"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/aimindset/terraform-provider-aimindset/internal/backup"
	"github.com/aimindset/terraform-provider-aimindset/internal/stack"
)

// steps counts the requests that change a token, and refuses one of them:
// before it has done its work, or after it, when its answer is lost.
type steps struct {
	seen   atomic.Int64
	refuse atomic.Int64 // 0 refuses none
	after  atomic.Bool
}

func (s *steps) serve(next http.Handler, answer http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		http.Error(answer, err.Error(), http.StatusBadRequest)
		return
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	// An empty list of secrets only asks whether the token may write secrets.
	changes := string(body) != "[]" && r.Method != http.MethodGet && (strings.HasSuffix(r.URL.Path, "/secrets") || bytes.Contains(body, []byte("vault.update_secret")))
	if !changes || s.seen.Add(1) != s.refuse.Load() {
		next.ServeHTTP(answer, r)
		return
	}
	if s.after.Load() {
		next.ServeHTTP(discarded{}, r)
	}
	http.Error(answer, `{"message":"stopped by the test"}`, http.StatusBadRequest)
}

// discarded is an answer that nobody gets.
type discarded struct{}

func (discarded) Header() http.Header         { return http.Header{} }
func (discarded) Write(b []byte) (int, error) { return len(b), nil }
func (discarded) WriteHeader(int)             {}

// TestRotationInterrupted proves that a rotation which stops before or after
// any of its steps leaves a chain that works, since the function accepts the
// token that vault holds, and that the next apply brings one token into both
// places and leaves no second one.
func TestRotationInterrupted(t *testing.T) {
	t.Parallel()
	w := &steps{}
	project, err := stack.Start(t.Context(), stack.Options{Articles: 1, RateLimit: -1, Intercept: func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(answer http.ResponseWriter, r *http.Request) { w.serve(next, answer, r) })
	}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := project.Close(); err != nil {
			t.Error(err)
		}
	})
	service := serviceOf(t, project)
	spec := specOf(t, project, backup.DefaultName)
	look := func() backup.State {
		t.Helper()
		found, err := service.Observe(t.Context(), spec.ID.Name, backup.Known{Files: spec.Source.Digests()})
		if err != nil {
			t.Fatal(err)
		}
		return found
	}
	apply := func(rotate bool) error {
		wanted := spec
		wanted.RotateToken = rotate
		_, err := service.Apply(t.Context(), wanted, look(), func(backup.Part) {})
		return err
	}
	if err := apply(false); err != nil {
		t.Fatal(err)
	}
	w.seen.Store(0)
	if err := apply(true); err != nil {
		t.Fatal(err)
	}
	total := w.seen.Load()
	if total != 5 {
		t.Fatalf("a rotation has %d steps, not five: next token, former token, vault, token, no next token", total)
	}
	tokens := map[string]bool{}
	for _, after := range []bool{false, true} {
		for n := int64(1); n <= total; n++ {
			w.seen.Store(0)
			w.after.Store(after)
			w.refuse.Store(n)
			stopped := apply(true)
			w.refuse.Store(0)
			found := look()
			if found.Token.Vault == "" || (found.Token.Vault != found.Token.Function && found.Token.Vault != found.Token.Next) {
				t.Errorf("stopped at step %d of %d (after it: %t, %v), the function does not accept the token of vault", n, total, after, stopped)
			}
			if err := service.Verify(t.Context(), spec.ID, false); err != nil {
				t.Errorf("stopped at step %d (after it: %t), the chain is broken: %v", n, after, err)
			}
			// The apply that stopped did not release its lease where the outcome of
			// its last request is unknown; here nobody waits until it expires.
			if _, err := project.Admin().Exec(t.Context(), "delete from auto_backup.leases"); err != nil {
				t.Fatal(err)
			}
			if err := apply(false); err != nil {
				t.Fatalf("after a stop at step %d (after it: %t): %v", n, after, err)
			}
			found = look()
			if _, problem := found.Token.Digest(); problem != "" {
				t.Errorf("after a stop at step %d (after it: %t) and an apply, the token %s", n, after, problem)
			}
			tokens[found.Token.Vault] = true
		}
	}
	if len(tokens) < int(total) {
		t.Errorf("%d interrupted rotations made %d tokens", 2*total, len(tokens))
	}
}
