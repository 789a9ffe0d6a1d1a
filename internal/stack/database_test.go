package stack

import (
	"context"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// newTestCluster starts a cluster of a test's own.
func newTestCluster(t *testing.T) *cluster {
	t.Helper()
	// Not t.TempDir, whose parent the server's user may not enter.
	dir, err := os.MkdirTemp("", "aimindset-cluster-")
	if err != nil {
		t.Fatal(err)
	}
	super, err := newSupervisor(dir, dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := super.close(); err != nil {
			t.Error(err)
		}
		if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s is left behind: %v", dir, err)
		}
	})
	c, err := startCluster(t.Context(), super, t.Output())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.close(); err != nil {
			t.Error(err)
		}
	})
	return c
}

// connect opens a connection as a role that may log in.
func connect(t *testing.T, c *cluster, role string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), c.url(role))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	return conn
}

// execute runs statements that must succeed.
func execute(t *testing.T, conn *pgx.Conn, sql string, args ...any) {
	t.Helper()
	if _, err := conn.Exec(t.Context(), sql, args...); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
}

// value returns the only value that a query returns.
func value[T any](t *testing.T, conn *pgx.Conn, sql string, args ...any) T {
	t.Helper()
	var v T
	if err := conn.QueryRow(t.Context(), sql, args...).Scan(&v); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	return v
}

// sqlState returns the SQLSTATE of an error, "" of none.
func sqlState(t *testing.T, err error) string {
	t.Helper()
	var pgErr *pgconn.PgError
	if err != nil && !errors.As(err, &pgErr) {
		t.Fatal(err)
	}
	if pgErr == nil {
		return ""
	}
	return pgErr.Code
}

// attempt is a statement and how it must end.
type attempt struct {
	role    string // whom SET ROLE makes of the connection; empty for itself
	sql     string
	state   string // SQLSTATE; empty for success
	message string // what the message must contain
}

// try runs each attempt in a transaction that is rolled back.
func try(t *testing.T, conn *pgx.Conn, attempts map[string]attempt) {
	t.Helper()
	for name, a := range attempts {
		t.Run(name, func(t *testing.T) {
			tx, err := conn.Begin(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = tx.Rollback(context.Background()) }()
			if a.role != "" {
				if _, err := tx.Exec(t.Context(), "set local role "+a.role); err != nil {
					t.Fatal(err)
				}
			}
			_, err = tx.Exec(t.Context(), a.sql)
			if state := sqlState(t, err); state != a.state {
				t.Fatalf("%s: SQLSTATE %q, not %q: %v", a.sql, state, a.state, err)
			}
			if err != nil && !strings.Contains(err.Error(), a.message) {
				t.Errorf("%s: %v does not say %q", a.sql, err, a.message)
			}
		})
	}
}

// patience ends a wait that would otherwise hang. It is not a limit that a slow
// machine could reach.
const patience = 2 * time.Minute

// await waits until a query says true.
func await(t *testing.T, conn *pgx.Conn, sql string, args ...any) {
	t.Helper()
	deadline := time.After(patience)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !value[bool](t, conn, sql, args...) {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("after %v, still not: %s", patience, sql)
		}
	}
}
