package stack

import (
	"context"
	"net"
	"testing"

	"github.com/jackc/pgx/v5"
)

// TestPoolerPortInUse proves that a pooler whose port another process has taken since
// it was found free starts on another one, and that what takes connections on the first
// is not mistaken for it.
func TestPoolerPortInUse(t *testing.T) {
	s := shared(t)
	other, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = other.Close() })
	taken := other.Addr().(*net.TCPAddr).Port
	asked := 0
	p, err := s.startPooler(t.Context(), TransactionMode, 1, func(ctx context.Context) (int, error) {
		if asked++; asked == 1 {
			return taken, nil
		}
		return freeServerPort(ctx)
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Close() })
	if asked < 2 {
		t.Fatal("the pooler has a port that another process listens on")
	}
	conn, err := pgx.Connect(t.Context(), p.TenantURL)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(context.Background()) }()
	if _, err := conn.Exec(t.Context(), "SELECT 1"); err != nil {
		t.Error(err)
	}
}
