package stack

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// The roles as which the CLI logs in if it knows no password of the database. The first
// name is what the CLI and reports of its users say; the second one is not known, and is
// made after it.
const (
	loginRole         = "cli_login_postgres"
	readOnlyLoginRole = "cli_login_supabase_read_only_user"
)

// loginRoleTTL is how long a password of a login role is valid. That of the platform is
// not known.
const loginRoleTTL = 5 * time.Minute

// createLoginRole gives a login role a new password for a while. The role has no rights
// of its own: as the CLI does, a session has to become postgres with SET SESSION ROLE.
// The platform runs as postgres; here a superuser runs it, as postgres of PostgreSQL 16
// may not grant its own membership.
func (m *management) createLoginRole(w http.ResponseWriter, r *http.Request) error {
	var body struct {
		ReadOnly *bool `json:"read_only"`
	}
	if err := readJSON(r, &body); err != nil {
		return err
	}
	if body.ReadOnly == nil {
		return apiErrorf(http.StatusBadRequest, "read_only: Required")
	}
	role, of := loginRole, "postgres"
	if *body.ReadOnly {
		role, of = readOnlyLoginRole, "supabase_read_only_user"
	}
	password := randomHex(16)
	err := m.asSuperuser(r.Context(), func(ctx context.Context, conn *pgx.Conn) error {
		// Only what is written here gets into the statements: constants, digits of a
		// hexadecimal number, and a time.
		if _, err := conn.Exec(ctx, fmt.Sprintf(`do $$ begin
			if not exists (select from pg_roles where rolname = '%[1]s') then
				create role %[1]s noinherit login in role %[2]s;
			end if;
		end $$`, role, of)); err != nil {
			return err
		}
		_, err := conn.Exec(ctx, fmt.Sprintf("alter role %s with password '%s' valid until '%s'",
			role, password, time.Now().Add(loginRoleTTL).UTC().Format(time.RFC3339Nano)))
		return err
	})
	if err != nil {
		return loginRoleError("create login role", err)
	}
	writeJSON(w, http.StatusCreated, struct {
		Role     string `json:"role"`
		Password string `json:"password"`
		TTL      int    `json:"ttl_seconds"`
	}{role, password, int(loginRoleTTL.Seconds())})
	return nil
}

// deleteLoginRoles drops the login roles; sessions that they have go on as postgres.
func (m *management) deleteLoginRoles(w http.ResponseWriter, r *http.Request) error {
	err := m.asSuperuser(r.Context(), func(ctx context.Context, conn *pgx.Conn) error {
		_, err := conn.Exec(ctx, fmt.Sprintf("drop role if exists %s, %s", loginRole, readOnlyLoginRole))
		return err
	})
	if err != nil {
		return loginRoleError("delete login roles", err)
	}
	writeJSON(w, http.StatusOK, map[string]string{"message": "ok"})
	return nil
}

// asSuperuser runs statements that leave no password in the server's log.
func (m *management) asSuperuser(ctx context.Context, run func(context.Context, *pgx.Conn) error) error {
	ctx = context.WithoutCancel(ctx)
	conn, err := pgx.Connect(ctx, m.databaseURL("supabase_admin"))
	if err != nil {
		return err
	}
	_, err = conn.Exec(ctx, "set log_min_error_statement = panic; set log_statement = none")
	if err == nil {
		err = run(ctx, conn)
	}
	return errors.Join(err, conn.Close(ctx))
}

// loginRoleError is the error of a database as the platform reports it.
func loginRoleError(tried string, err error) error {
	var e *pgconn.PgError
	if errors.As(err, &e) {
		return apiErrorf(http.StatusBadRequest, "Failed to %s: ERROR:  %s: %s", tried, e.Code, e.Message)
	}
	return apiErrorf(http.StatusInternalServerError, "Failed to %s", tried)
}
