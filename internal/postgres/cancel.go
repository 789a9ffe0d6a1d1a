package postgres

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

// canceler cancels the statement of a connection whose context has ended, as libpq does
// it: it asks the server on a connection of its own, and waits until the server closes
// that one. pgx's own handler closes it as soon as the statement has ended, which ends
// the whole of a PgBouncer 1.18 (the one of Debian 12) that has not seen the server's
// answer yet: "FATAL disconnect_client(): bad client state".
type canceler struct {
	conn *pgconn.PgConn
	done chan struct{} // closed when the request has its answer
}

// HandleCancel implements [ctxwatch.Handler].
func (c *canceler) HandleCancel(ended context.Context) {
	deadline := time.Now().Add(cancelPatience)
	_ = c.conn.Conn().SetDeadline(deadline)
	c.done = make(chan struct{})
	go func() {
		defer close(c.done)
		ctx, cancel := context.WithDeadline(context.WithoutCancel(ended), deadline)
		defer cancel()
		_ = c.conn.CancelRequest(ctx) // the deadline ends what it does not
	}()
}

// HandleUnwatchAfterCancel implements [ctxwatch.Handler]. The server answers after it
// has sent its process the signal, so none is left for the next statement.
func (c *canceler) HandleUnwatchAfterCancel() {
	<-c.done
	_ = c.conn.Conn().SetDeadline(time.Time{})
}
