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
	// maxAttempts is how often a statement is sent that may be sent again.
	maxAttempts = 3
	// startupWait is how long to wait for a database that is starting.
	startupWait = 30 * time.Second
	// cleanupTimeout limits what is done after a context has ended.
	cleanupTimeout = 5 * time.Second
	// idleTimeout is how long an unused connection is kept. Terraform does not
	// tell a provider that a run is over, and a provider that serves several
	// runs must not keep a connection between them.
	idleTimeout = 10 * time.Second
)

// Open returns a DB for the database at a URL that ParseURL accepts. It connects
// directly or through a pooler in session or transaction mode, when it is first
// used. It has at most one connection, closes it when it has been idle for ten
// seconds, and connects again when necessary.
//
// Unlike psql, it verifies the server unless the URL has another sslmode or the
// host is a loopback address, gives the password only by SCRAM unless the URL has
// another require_auth, and reads neither environment variables nor files in the
// home directory.
func Open(url string) (DB, error) {
	config, err := parseURL(url)
	if err != nil {
		return nil, err
	}
	return open(config), nil
}

func open(config *pgconn.Config) *direct {
	d := &direct{config: config, turn: make(chan struct{}, 1), idleTimeout: idleTimeout}
	d.idle = time.AfterFunc(time.Hour, d.rest)
	d.idle.Stop()
	return d
}

type direct struct {
	config *pgconn.Config
	// turn has room for one value: sending it acquires the fields below.
	turn chan struct{}
	conn *pgconn.PgConn
	// leaving are discarded connections that may not be closed yet.
	leaving []*pgconn.PgConn
	// connected says that there has been a connection, so a failure to connect
	// is probably temporary.
	connected, closed bool
	// used is when the connection was last used. idle closes it when that is
	// idleTimeout ago.
	used        time.Time
	idle        *time.Timer
	idleTimeout time.Duration
}

// Query implements DB.
func (d *direct) Query(ctx context.Context, access Access, sql string, args ...any) (json.RawMessage, error) {
	return d.query(ctx, access, Statement{sql, args})
}

// QueryAfter implements DB.
func (d *direct) QueryAfter(ctx context.Context, first Statement, sql string, args ...any) (json.RawMessage, error) {
	second := Statement{sql, args}
	if err := errors.Join(first.refuseSecret(), second.refuseSecret()); err != nil {
		return nil, err
	}
	return d.query(ctx, ReadWrite, first, second)
}

// query runs statements in one transaction and returns the document of the last one.
func (d *direct) query(ctx context.Context, access Access, statements ...Statement) (json.RawMessage, error) {
	// A single round trip. A transaction pooler keeps a transaction on one
	// session, where unnamed statements leave nothing behind.
	batch := &pgconn.Batch{}
	begin := "begin"
	if access == ReadOnly {
		begin = "begin read only"
	}
	batch.ExecParams(begin, nil, nil, nil, nil)
	batch.ExecParams(settings(access), nil, nil, nil, nil)
	var secrets []string
	for _, statement := range statements {
		values, err := bind(statement.SQL, statement.Args)
		if err != nil {
			return nil, err
		}
		secrets = append(secrets, secretsIn(values)...)
		batch.ExecParams(statement.SQL, values, nil, nil, nil)
	}
	batch.ExecParams("commit", nil, nil, nil, nil)

	var result answer
	err := d.run(ctx, access == ReadOnly, secrets, func(conn *pgconn.PgConn) error {
		result = answer{last: 1 + len(statements)}
		// Sending extends the buffer in which a batch collects its messages.
		sent := *batch
		return result.read(conn.ExecBatch(ctx, &sent))
	})
	if err != nil {
		return nil, err
	}
	return result.document()
}

// Exec implements DB.
func (d *direct) Exec(ctx context.Context, text string) error {
	if _, err := bind(text, nil); err != nil {
		return err
	}
	return d.run(ctx, false, nil, func(conn *pgconn.PgConn) error {
		return conn.Exec(ctx, script(writeLock, scriptTime, text)).Close()
	})
}

// An answer is the result of the last statement between begin and commit.
type answer struct {
	// last is the number of that statement, from 0.
	last   int
	fields []pgconn.FieldDescription
	rows   [][]byte
}

// read reads the results of begin, settings, statements and commit. After the
// commit is confirmed, a failure of the connection does not matter.
func (a *answer) read(results *pgconn.MultiResultReader) error {
	committed := false
	for i := 0; results.NextResult(); i++ {
		result := results.ResultReader()
		for result.NextRow() {
			if values := result.Values(); i == a.last && len(values) > 0 && len(a.rows) < 2 {
				a.rows = append(a.rows, bytes.Clone(values[0]))
			}
		}
		if i == a.last {
			a.fields = slices.Clone(result.FieldDescriptions())
		}
		tag, err := result.Close()
		committed = i == a.last+1 && err == nil && tag.String() == "COMMIT"
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

// run does work on the connection. If the connection breaks and the work is
// repeatable, it tries again on a new one.
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
		d.idle.Reset(d.idleTimeout)
	}()
	for attempt := 1; ; attempt++ {
		if err := d.connect(ctx); err != nil {
			return err
		}
		if ctx.Err() != nil {
			return interrupted(ctx, nil)
		}
		// From here on the work may arrive. pgconn.SafeToRetry cannot be
		// trusted: to it a connection that breaks while a response is awaited
		// looks as if it had been closed before.
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

		// The connection cannot be used any more: it broke, the server closed
		// it, or a cancellation may still be on its way to it.
		d.drop(ctx)
		switch {
		case ctx.Err() != nil:
			e := interrupted(ctx, nil)
			if canceled := isSQL && refused.Code == "57014"; !repeatable && !canceled {
				e.kind = ErrOutcomeUnknown
			}
			return e
		case repeatable && attempt < maxAttempts:
			continue
		}
		e := &Error{
			Message: "the connection to the database was lost", kind: ErrUnavailable,
			advice: "Run again. If it is lost again, check the database's logs.",
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

// settle makes sure that the connection is not in a transaction.
func (d *direct) settle(ctx context.Context) error {
	if d.conn.IsClosed() || d.conn.TxStatus() == 'I' {
		return nil
	}
	open := d.conn.TxStatus() == 'T'
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanupTimeout)
	defer cancel()
	if err := d.conn.Exec(ctx, "rollback").Close(); err != nil {
		d.drop(ctx)
	}
	if open {
		return errors.New("a script left a transaction open; it was rolled back")
	}
	return nil
}

// drop discards the connection.
func (d *direct) drop(ctx context.Context) {
	if d.conn == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanupTimeout)
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

// rest closes an idle connection.
func (d *direct) rest() {
	select {
	case d.turn <- struct{}{}:
		defer func() { <-d.turn }()
	default:
		return // it is in use, and the timer is set again afterwards
	}
	if !d.closed && time.Since(d.used) >= d.idleTimeout {
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
		// Close politely, but do not wait for an unresponsive server.
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

// connect makes sure that there is a connection, and that the server has not
// closed it. It waits for a database that is starting, and for one to which there
// was a connection before.
func (d *direct) connect(ctx context.Context) error {
	if d.conn != nil {
		if alive(d.conn) {
			return nil
		}
		d.drop(ctx)
	}
	until := time.Now().Add(startupWait)
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

// passes reports whether a failure to connect is probably temporary.
func (d *direct) passes(err error) bool {
	var refused *pgconn.PgError
	if errors.As(err, &refused) {
		switch refused.Code {
		case "57P01", "57P02", "57P03": // stopping, crashed, starting
			return true
		}
		return tooMany(refused)
	}
	return d.connected && !permanent(err)
}

// alive reports whether the server has kept an idle connection open. A server
// sends nothing to an idle client except when it closes the connection.
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

// interrupted returns the error for a context that has ended. last is the failure
// that was waited out until then, or nil.
func interrupted(ctx context.Context, last *Error) *Error {
	e := &Error{Message: "the time for the database was over", cause: ctx.Err()}
	if errors.Is(e.cause, context.Canceled) {
		e.Message = "the work on the database was interrupted"
	}
	if last != nil {
		e.kind, e.advice = ErrUnavailable, last.advice
		e.Message += "; before that, it failed to " + last.before + ": " + last.Message
	}
	return e
}
