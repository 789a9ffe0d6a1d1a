package supabase

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/aimindset/terraform-provider-aimindset/internal/stack"
)

// The client and the local stack's Management API, which were written apart
// from each other after the real one's documentation and recordings, understand
// each other in every call.
func TestAgainstTheStack(t *testing.T) {
	t.Parallel()
	// A lost answer is injected into the next request that asks for it.
	var loseNext atomic.Bool
	s, err := stack.Start(t.Context(), stack.Options{
		Articles: 1, RateLimit: -1,
		Intercept: func(next http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if loseNext.CompareAndSwap(true, false) {
					next.ServeHTTP(discard{http.Header{}}, r)
					panic(http.ErrAbortHandler)
				}
				next.ServeHTTP(w, r)
			})
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	open := func(token string) *Client {
		c, err := New(Config{BaseURL: s.APIURL, Token: token, UserAgent: "test/1"})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(c.Close)
		return c
	}
	c, reader, stranger := open(s.AccessToken), open(s.ReadOnlyAccessToken), open("sbp_"+strings.Repeat("0", 40))
	ref := s.ProjectRef

	// A function is deployed, read back to the byte, changed, redeployed under
	// the same id, and removed; what is not there is ErrNotFound.
	t.Run("function", func(t *testing.T) {
		ctx := t.Context()
		if _, err := c.GetFunction(ctx, ref, "probe"); !errors.Is(err, ErrNotFound) {
			t.Errorf("before: %v", err)
		}
		d := Deployment{
			Slug: "probe", Name: "a name", Entrypoint: "supabase/functions/probe/index.ts",
			Files: map[string][]byte{
				"supabase/functions/probe/index.ts": []byte("import { x } from './lib/ü.ts'; Deno.serve(() => new Response(x))\r\n"),
				"supabase/functions/probe/lib/ü.ts": []byte("export const x = '<ação>'\n"),
			},
		}
		loseNext.Store(true)
		first, err := c.DeployFunction(ctx, ref, d)
		if err != nil {
			t.Fatal(err)
		}
		if first.ID == "" || first.Slug != "probe" || first.Name != "a name" || first.VerifyJWT || first.Status != "ACTIVE" || first.EzbrSHA256 == "" || first.CreatedAt == 0 || first.UpdatedAt == 0 {
			t.Errorf("deployed %+v", first)
		}
		source, err := c.FunctionSource(ctx, ref, "probe")
		if err != nil {
			t.Fatal(err)
		}
		if source.Entrypoint != d.Entrypoint || len(source.Files) != len(d.Files) {
			t.Errorf("source %v", source)
		}
		for file, content := range d.Files {
			if !bytes.Equal(source.Files[file], content) {
				t.Errorf("%s is %q", file, source.Files[file])
			}
		}
		name, verify := "another name", true
		changed, err := c.UpdateFunction(ctx, ref, "probe", FunctionUpdate{Name: &name, VerifyJWT: &verify})
		if err != nil || changed.Name != name || !changed.VerifyJWT || changed.EzbrSHA256 != first.EzbrSHA256 {
			t.Errorf("changed %+v, %v", changed, err)
		}
		got, err := c.GetFunction(ctx, ref, "probe")
		if err != nil || got != changed {
			t.Errorf("got %+v, %v, want %+v", got, err, changed)
		}
		again, err := c.DeployFunction(ctx, ref, d)
		if err != nil || again.ID != first.ID || again.VerifyJWT {
			t.Errorf("again %+v, %v", again, err)
		}
		list, err := c.ListFunctions(ctx, ref)
		if err != nil || !slices.Contains(list, again) {
			t.Errorf("list %+v, %v", list, err)
		}
		loseNext.Store(true)
		if err := c.DeleteFunction(ctx, ref, "probe"); err != nil {
			t.Error(err)
		}
		if err := c.DeleteFunction(ctx, ref, "probe"); !errors.Is(err, ErrNotFound) {
			t.Errorf("deleted twice: %v", err)
		}
		if _, err := c.FunctionSource(ctx, ref, "probe"); !errors.Is(err, ErrNotFound) {
			t.Errorf("source of nothing: %v", err)
		}
	})

	// Secrets are set, listed with the digests of their values, and removed,
	// present or not.
	t.Run("secrets", func(t *testing.T) {
		ctx := t.Context()
		values := map[string]string{"TEST_A": "value \"<ü>\n", "TEST_B": strings.Repeat("x", 24576)}
		loseNext.Store(true)
		if err := c.SetSecrets(ctx, ref, values); err != nil {
			t.Fatal(err)
		}
		digests := func() map[string]string {
			list, err := c.ListSecrets(ctx, ref)
			if err != nil {
				t.Fatal(err)
			}
			found := map[string]string{}
			for _, secret := range list {
				found[secret.Name] = secret.Digest
			}
			return found
		}
		found := digests()
		for name, value := range values {
			if digest := sha256.Sum256([]byte(value)); found[name] != hex.EncodeToString(digest[:]) {
				t.Errorf("%s has the digest %q", name, found[name])
			}
		}
		if err := c.DeleteSecrets(ctx, ref, []string{"TEST_A", "TEST_MISSING"}); err != nil {
			t.Error(err)
		}
		if err := c.DeleteSecrets(ctx, ref, []string{"TEST_B"}); err != nil {
			t.Error(err)
		}
		found = digests()
		for name := range values {
			if _, ok := found[name]; ok {
				t.Errorf("%s is still there", name)
			}
		}
		if err := c.SetSecrets(ctx, ref, map[string]string{"SUPABASE_X": "canary-canary"}); err == nil || strings.Contains(err.Error(), "canary") {
			t.Errorf("a reserved name: %v", err)
		}
	})

	// Keys and the project are as they are; secret keys are not revealed.
	t.Run("project", func(t *testing.T) {
		keys, err := c.APIKeys(t.Context(), ref)
		if err != nil {
			t.Fatal(err)
		}
		for want, key := range map[string]string{"legacy anon": s.AnonKey, "legacy service_role": s.ServiceRoleKey, "publishable default": s.PublishableKey, "secret default": ""} {
			if !slices.ContainsFunc(keys, func(k APIKey) bool { return k.Type+" "+k.Name == want && k.Key == key }) {
				t.Errorf("no key %s as it should be", want)
			}
		}
		p, err := c.Project(t.Context(), ref)
		if err != nil || p.Ref != ref || p.Status != "ACTIVE_HEALTHY" {
			t.Errorf("project %+v, %v", p, err)
		}
		if all, err := c.Projects(t.Context()); err != nil || !slices.Equal(all, []Project{p}) {
			t.Errorf("projects %+v, %v", all, err)
		}
		want := "postgresql://postgres." + ref + ":[YOUR-PASSWORD]@aws-0-sa-east-1.pooler.supabase.com:5432/postgres"
		if address, err := c.SessionPooler(t.Context(), ref); err != nil || address != want {
			t.Errorf("the session pooler is %q, %v", address, err)
		}
	})

	// SQL gives its rows, reads cannot write, and its errors come in parts.
	t.Run("sql", func(t *testing.T) {
		ctx := t.Context()
		rows, err := c.Query(ctx, ref, QueryRequest{SQL: "select n, $1::text as t from generate_series(1, 2) n", Args: []any{"ü"}})
		if err != nil || string(rows) != `[{"n":1,"t":"ü"},{"n":2,"t":"ü"}]` {
			t.Errorf("got %s, %v", rows, err)
		}
		loseNext.Store(true)
		rows, err = c.Query(ctx, ref, QueryRequest{SQL: "select current_user as u", ReadOnly: true})
		if err != nil || string(rows) != `[{"u":"supabase_read_only_user"}]` {
			t.Errorf("got %s, %v", rows, err)
		}
		const create = "create table public.test_supabase (a int)"
		var failure *Error
		if _, err := c.Query(ctx, ref, QueryRequest{SQL: create, ReadOnly: true}); !errors.As(err, &failure) || failure.SQLState == "" {
			t.Errorf("write by reading: %v", err)
		}
		if _, err := c.Query(ctx, ref, QueryRequest{SQL: "select 'canary' from nowhere"}); !errors.As(err, &failure) || failure.SQLState != "42P01" || strings.Contains(fmt.Sprintf("%v %+v", err, failure), "canary") {
			t.Errorf("got %v", err)
		}
		// A write whose answer is lost is carried out once and reported.
		loseNext.Store(true)
		if _, err := c.Query(ctx, ref, QueryRequest{SQL: create}); !errors.Is(err, ErrOutcomeUnknown) {
			t.Errorf("lost: %v", err)
		}
		if _, err := c.Query(ctx, ref, QueryRequest{SQL: "drop table public.test_supabase"}); err != nil {
			t.Errorf("it was not carried out: %v", err)
		}
	})

	// Tokens that may only read, or that are not accepted, are told apart.
	t.Run("tokens", func(t *testing.T) {
		ctx := t.Context()
		if _, err := reader.ListSecrets(ctx, ref); err != nil {
			t.Error(err)
		}
		if err := reader.SetSecrets(ctx, ref, map[string]string{"A": "b"}); !errors.Is(err, ErrForbidden) || !strings.Contains(err.Error(), "edge_functions_secrets_write") {
			t.Errorf("got %v", err)
		}
		for permission, try := range map[string]func(*Client) error{
			"Edge Functions: Read-write":        func(c *Client) error { return c.MayWriteFunctions(ctx, ref) },
			"Edge Function Secrets: Read-write": func(c *Client) error { return c.MayWriteSecrets(ctx, ref) },
		} {
			if err := try(c); err != nil {
				t.Errorf("%s, with all permissions: %v", permission, err)
			}
			if err := try(reader); !errors.Is(err, ErrForbidden) || !strings.Contains(err.Error(), permission) {
				t.Errorf("%s, with a reading token: %v", permission, err)
			}
			if err := try(stranger); !errors.Is(err, ErrUnauthorized) {
				t.Errorf("%s, with a token that is not accepted: %v", permission, err)
			}
		}
		functions, err := c.ListFunctions(ctx, ref)
		if made := func(f Function) bool { return strings.Contains(f.Slug, "terraform") }; err != nil || slices.ContainsFunc(functions, made) {
			t.Errorf("to look for rights made a function: %v, %v", functions, err)
		}
		if _, err := stranger.ListSecrets(ctx, ref); !errors.Is(err, ErrUnauthorized) {
			t.Errorf("got %v", err)
		}
		if _, err := c.ListSecrets(ctx, strings.Repeat("z", 20)); err == nil {
			t.Error("another project's secrets are listed")
		}
	})

	// A read whose session was ended is repeated, and a change whose session a crash has
	// ended is one with an unknown outcome.
	t.Run("lost session", func(t *testing.T) {
		ctx := t.Context()
		const lock = 4711
		const wait = "select pg_advisory_xact_lock_shared(4711)::text as a"
		// blocked runs the statement until it waits for the lock that the test holds.
		blocked := func(readOnly bool) (failed chan error, pid int, release func()) {
			admin, err := s.Admin().Acquire(ctx)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := admin.Exec(ctx, "select pg_advisory_lock($1)", lock); err != nil {
				t.Fatal(err)
			}
			failed = make(chan error, 1)
			go func() {
				_, err := c.Query(ctx, ref, QueryRequest{SQL: wait, ReadOnly: readOnly})
				failed <- err
			}()
			for pid == 0 {
				if err := admin.QueryRow(ctx, "select coalesce(min(pid), 0) from pg_locks where locktype = 'advisory' and not granted").Scan(&pid); err != nil {
					t.Fatal(err)
				}
			}
			return failed, pid, func() { _ = admin.Conn().Close(ctx); admin.Release() }
		}
		failed, pid, release := blocked(true)
		if _, err := s.Admin().Exec(ctx, "select pg_terminate_backend($1, 60000)", pid); err != nil {
			t.Fatal(err)
		}
		release()
		if err := <-failed; err != nil {
			t.Errorf("a read whose session was ended: %v", err)
		}
		failed, _, release = blocked(false)
		defer release()
		if err := s.RestartPostgres(ctx, true); err != nil {
			t.Fatal(err)
		}
		if err := <-failed; !errors.Is(err, ErrOutcomeUnknown) {
			t.Errorf("a change during a crash: %v", err)
		}
	})
}

// discard is a ResponseWriter whose answer is lost.
type discard struct{ header http.Header }

func (d discard) Header() http.Header         { return d.header }
func (d discard) Write(p []byte) (int, error) { return len(p), nil }
func (d discard) WriteHeader(int)             {}
