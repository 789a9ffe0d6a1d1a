package postgres

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"slices"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgtype"
)

const (
	// mostAttempts is how often a statement is sent that may be sent again.
	mostAttempts = 3
	// patience is how long to wait for a database that is starting.
	patience = 30 * time.Second
	// farewell bounds what is done after a context has ended.
	farewell = 5 * time.Second
	// restAfter is how long a connection is kept that nobody uses. Terraform
	// does not tell a provider that a run is over, and one that serves several
	// runs must not hold a connection between them.
	restAfter = 10 * time.Second
)

// Open makes a DB that connects to the database at a URL of the form
// postgresql://user:password@host:port/database, directly or through a pooler
// in session or transaction mode. It connects when it is first used, holds one
// connection at most, closes it when it has not been used for a while, and
// connects again when there is none.
//
// Other than with PostgreSQL's own programs the connection is encrypted unless
// the URL says sslmode=disable or the host is a loopback address, and neither
// environment variables nor files in the home directory are read.
func Open(url string) (DB, error) {
	config, err := parseURL(url)
	if err != nil {
		return nil, err
	}
	d := &direct{config: config, turn: make(chan struct{}, 1), restAfter: restAfter}
	d.idle = time.AfterFunc(time.Hour, d.rest)
	d.idle.Stop()
	return d, nil
}

type direct struct {
	config *pgconn.Config
	// turn is held by whoever uses what follows.
	turn chan struct{}
	conn *pgconn.PgConn
	// leaving are connections that were given up and may not be gone yet.
	leaving []*pgconn.PgConn
	// connected says that there has been a connection, so that a failure to
	// connect is likely to pass.
	connected, closed bool
	// used is when the connection was last used. When that is restAfter ago,
	// idle sees to it that the connection is closed.
	used      time.Time
	idle      *time.Timer
	restAfter time.Duration
}

// Query implements DB.
func (d *direct) Query(ctx context.Context, access Access, sql string, args ...any) (json.RawMessage, error) {
	values, err := bind(sql, args)
	if err != nil {
		return nil, err
	}
	// One message to the server and one back. Transaction poolers keep a
	// transaction on one session, and statements without names leave nothing
	// behind there.
	batch := &pgconn.Batch{}
	begin := "begin"
	if access == ReadOnly {
		begin = "begin read only"
	}
	batch.ExecParams(begin, nil, nil, nil, nil)
	batch.ExecParams(safePath, nil, nil, nil, nil)
	batch.ExecParams(sql, values, nil, nil, nil)
	batch.ExecParams("commit", nil, nil, nil, nil)

	var result answer
	err = d.run(ctx, access == ReadOnly, secretsIn(values), func(conn *pgconn.PgConn) error {
		result = answer{}
		// The batch gathers its messages in a buffer that sending extends.
		sent := *batch
		return result.read(conn.ExecBatch(ctx, &sent))
	})
	if err != nil {
		return nil, err
	}
	return result.document()
}

// Exec implements DB.
func (d *direct) Exec(ctx context.Context, script string) error {
	if _, err := bind(script, nil); err != nil {
		return err
	}
	return d.run(ctx, false, nil, func(conn *pgconn.PgConn) error {
		return conn.Exec(ctx, safePath+";\n"+script).Close()
	})
}

// An answer is what comes back for a statement between begin and commit.
type answer struct {
	fields []pgconn.FieldDescription
	rows   [][]byte
}

// read takes the results of begin, search path, statement and commit. Once the
// commit is confirmed, it does not matter what becomes of the connection.
func (a *answer) read(results *pgconn.MultiResultReader) error {
	committed := false
	for i := 0; results.NextResult(); i++ {
		result := results.ResultReader()
		for result.NextRow() {
			if values := result.Values(); i == 2 && len(values) > 0 && len(a.rows) < 2 {
				a.rows = append(a.rows, bytes.Clone(values[0]))
			}
		}
		if i == 2 {
			a.fields = slices.Clone(result.FieldDescriptions())
		}
		tag, err := result.Close()
		committed = i == 3 && err == nil && tag.String() == "COMMIT"
	}
	if err := results.Close(); err != nil && !committed {
		return err
	}
	return nil
}

func (a *answer) document() (json.RawMessage, error) {
	if len(a.fields) == 0 {
		return nil, nil
	}
	field := a.fields[0]
	if len(a.fields) > 1 || len(a.rows) > 1 || field.Name != "result" ||
		field.DataTypeOID != pgtype.JSONOID && field.DataTypeOID != pgtype.JSONBOID {
		return nil, errShape
	}
	if len(a.rows) == 0 {
		return nil, nil
	}
	return document(a.rows[0])
}

// run has work done on the connection, again on another one when that breaks
// and nothing speaks against it.
func (d *direct) run(ctx context.Context, repeatable bool, secrets []string, work func(*pgconn.PgConn) error) error {
	select {
	case d.turn <- struct{}{}:
		defer func() { <-d.turn }()
	case <-ctx.Done():
		return interrupted(ctx, nil)
	}
	if d.closed {
		return ErrClosed
	}
	defer func() {
		d.used = time.Now()
		d.idle.Reset(d.restAfter)
	}()
	for attempt := 1; ; attempt++ {
		if err := d.connect(ctx); err != nil {
			return err
		}
		if ctx.Err() != nil {
			return interrupted(ctx, nil)
		}
		// From here on the work may arrive. What pgconn.SafeToRetry says about
		// its errors does not count: a connection that breaks while it is
		// waited for an answer looks there as if it had been closed before.
		err := work(d.conn)
		if err == nil {
			return d.settle(ctx)
		}
		var refused *pgconn.PgError
		isSQL := errors.As(err, &refused)
		if isSQL && !d.conn.IsClosed() && ctx.Err() == nil {
			_ = d.settle(ctx)
			return sqlError(refused.Code, refused.Message, refused.Detail, refused.Hint, refused.Where, secrets)
		}

		// The connection is of no use any more: it broke, the server ended it,
		// or a cancellation may still be on its way to it.
		d.drop(ctx)
		switch {
		case ctx.Err() != nil:
			e := interrupted(ctx, nil)
			if canceled := isSQL && refused.Code == "57014"; !repeatable && !canceled {
				e.kind = ErrOutcomeUnknown
			}
			return e
		case repeatable && attempt < mostAttempts:
			continue
		}
		e := &Error{
			Message: "the connection to the database was lost", kind: ErrUnavailable,
			advice: "Run again; if it happens again, look at the database's logs.",
		}
		if isSQL {
			e.SQLState = presentable(refused.Code, nil)
			e.Message += ": " + presentable(refused.Message, append(secrets, d.config.Password))
		}
		if !repeatable {
			e.kind = ErrOutcomeUnknown
		}
		return e
	}
}

// settle leaves the connection outside a transaction.
func (d *direct) settle(ctx context.Context) error {
	if d.conn.IsClosed() || d.conn.TxStatus() == 'I' {
		return nil
	}
	open := d.conn.TxStatus() == 'T'
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), farewell)
	defer cancel()
	if err := d.conn.Exec(ctx, "rollback").Close(); err != nil {
		d.drop(ctx)
	}
	if open {
		return errors.New("a script left a transaction open; it was rolled back")
	}
	return nil
}

// drop gives the connection up.
func (d *direct) drop(ctx context.Context) {
	if d.conn == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), farewell)
	defer cancel()
	_ = d.conn.Close(ctx)
	d.leaving = slices.DeleteFunc(append(d.leaving, d.conn), gone)
	d.conn = nil
}

func gone(conn *pgconn.PgConn) bool {
	select {
	case <-conn.CleanupDone():
		return true
	default:
		return false
	}
}

// rest closes a connection that is not used any more.
func (d *direct) rest() {
	select {
	case d.turn <- struct{}{}:
		defer func() { <-d.turn }()
	default:
		return // It is in use, and the timer is set again after that.
	}
	if !d.closed && time.Since(d.used) >= d.restAfter {
		d.drop(context.Background())
	}
}

// Close implements DB.
func (d *direct) Close(ctx context.Context) error {
	select {
	case d.turn <- struct{}{}:
		defer func() { <-d.turn }()
	case <-ctx.Done():
		return interrupted(ctx, nil)
	}
	d.closed = true
	d.idle.Stop()
	d.drop(ctx)
	for _, conn := range d.leaving {
		// It says goodbye to the server. One that does not listen is left.
		_ = conn.Conn().Close()
		select {
		case <-conn.CleanupDone():
		case <-ctx.Done():
			return interrupted(ctx, nil)
		}
	}
	d.leaving = nil
	return nil
}

// connect sees to it that there is a connection that works as far as can be
// seen without using it. A database that is starting is waited for, and one
// that was there a moment ago.
func (d *direct) connect(ctx context.Context) error {
	if d.conn != nil {
		if alive(d.conn) {
			return nil
		}
		d.drop(ctx)
	}
	until := time.Now().Add(patience)
	for wait := 100 * time.Millisecond; ; wait = min(2*wait, 2*time.Second) {
		conn, err := pgconn.ConnectConfig(ctx, d.config)
		if err == nil {
			d.conn, d.connected = conn, true
			return nil
		}
		failure := explainConnect(d.config, err)
		if ctx.Err() != nil {
			return interrupted(ctx, failure)
		}
		if !d.passes(err) || time.Now().Add(wait).After(until) {
			return failure
		}
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return interrupted(ctx, failure)
		case <-timer.C:
		}
	}
}

// passes says that a failure to connect is likely to pass soon.
func (d *direct) passes(err error) bool {
	var refused *pgconn.PgError
	if errors.As(err, &refused) {
		switch refused.Code {
		case "57P01", "57P02", "57P03": // Stopping, crashed, starting.
			return true
		}
		return tooMany(refused)
	}
	return d.connected && !permanent(err)
}

// alive looks whether an idle connection was ended from the other side. A
// server says nothing to an idle client except that.
func alive(conn *pgconn.PgConn) bool {
	if conn.IsClosed() {
		return false
	}
	c := conn.Conn()
	if c.SetReadDeadline(time.Now().Add(time.Millisecond)) != nil {
		return false
	}
	n, err := c.Read(make([]byte, 1))
	return n == 0 && errors.Is(err, os.ErrDeadlineExceeded) && c.SetReadDeadline(time.Time{}) == nil
}

// interrupted is the error for a context that has ended. last is what was in
// the way until then, or nil.
func interrupted(ctx context.Context, last *Error) *Error {
	e := &Error{Message: "there was no time left for the database", cause: ctx.Err()}
	if errors.Is(e.cause, context.Canceled) {
		e.Message = "the work on the database was interrupted"
	}
	if last != nil {
		e.kind, e.advice = ErrUnavailable, last.advice
		e.Message += "; before that, to " + last.before + " failed: " + last.Message
	}
	return e
}
