package stack

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// Proves that the login role of the CLI logs in, has no rights before it becomes
// postgres and those of postgres afterwards, that a new password replaces the old one,
// that none is logged, and that a deleted role logs in no more.
func TestLoginRole(t *testing.T) {
	t.Parallel()
	s, err := Start(t.Context(), Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}()
	type answer struct {
		Role, Password string
		TTL            int `json:"ttl_seconds"`
	}
	call := func(method, body string, status int) reply {
		t.Helper()
		got := send(t, method, s.APIURL+"/v1/projects/"+s.ProjectRef+"/cli/login-role", body,
			"Authorization", "Bearer "+s.AccessToken, "Content-Type", "application/json")
		if got.status != status {
			t.Fatalf("%s: %d %s", method, got.status, got.body)
		}
		return got
	}
	create := func(body string) answer {
		t.Helper()
		a := decode[answer](t, call(http.MethodPost, body, http.StatusCreated))
		if a.TTL < 1 {
			t.Errorf("valid for %d s", a.TTL)
		}
		return a
	}
	// as connects as a login role, becomes another one if it is named, and runs a statement.
	as := func(a answer, become, statement string) error {
		u, err := url.Parse(s.DatabaseURL)
		if err != nil {
			t.Fatal(err)
		}
		u.User = url.UserPassword(a.Role, a.Password)
		conn, err := pgx.Connect(t.Context(), u.String())
		if err != nil {
			return err
		}
		defer func() { _ = conn.Close(context.Background()) }()
		if become != "" {
			if _, err := conn.Exec(t.Context(), "set session role "+become); err != nil {
				return err
			}
		}
		_, err = conn.Exec(t.Context(), statement)
		return err
	}
	refused := func(err error, code string) {
		t.Helper()
		var e *pgconn.PgError
		if !errors.As(err, &e) || e.Code != code {
			t.Errorf("%v, want an error %s", err, code)
		}
	}
	const change = "create table public.by_cli (id int); drop table public.by_cli"

	first := create(`{"read_only":false}`)
	refused(as(first, "", change), "42501")
	if err := as(first, "postgres", change); err != nil {
		t.Error(err)
	}
	second := create(`{"read_only":false}`)
	refused(as(first, "", "select 1"), "28P01")
	if err := as(second, "postgres", change); err != nil {
		t.Error(err)
	}
	reader := create(`{"read_only":true}`)
	refused(as(reader, "postgres", "select 1"), "42501")
	refused(as(reader, "supabase_read_only_user", change), "42501")
	call(http.MethodPost, `{}`, http.StatusBadRequest)

	call(http.MethodDelete, "", http.StatusOK)
	refused(as(second, "", "select 1"), "28P01")
	call(http.MethodDelete, "", http.StatusOK)

	log, err := s.DatabaseLog()
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range []answer{first, second, reader} {
		if strings.Contains(log, a.Password) {
			t.Errorf("the log has the password of %s", a.Role)
		}
	}
}
