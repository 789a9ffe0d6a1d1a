package postgres

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/aimindset/terraform-provider-aimindset/internal/text"
)

// A Session is one connection to a database, for what a DB does not do: transactions of
// many statements, and COPY. It is not safe for concurrent use, and does not connect
// again.
//
// Its errors are of type *Error and contain no value of a row: of what PostgreSQL says,
// they have the message only if that consists of names, and the names.
type Session struct {
	conn    *pgconn.PgConn
	config  *pgconn.Config
	notices []string
}

// OpenSession connects to the database at a URL that ParseURL accepts.
func OpenSession(ctx context.Context, url string) (*Session, error) {
	config, err := parseURL(url)
	if err != nil {
		return nil, err
	}
	const most = 100 // of the server's notices
	s := &Session{config: config}
	config.OnNotice = func(_ *pgconn.PgConn, n *pgconn.Notice) {
		if len(s.notices) < most && n.SeverityUnlocalized == "WARNING" {
			s.notices = append(s.notices, presentable(n.Message, nil))
		}
	}
	if s.conn, err = pgconn.ConnectConfig(ctx, config); err != nil {
		failure := explainConnect(config, err)
		if ctx.Err() != nil {
			return nil, interrupted(ctx, failure)
		}
		return nil, failure
	}
	return s, nil
}

// Database returns the name of the database in the URL.
func (s *Session) Database() string { return s.config.Database }

// Warnings returns and forgets the warnings that the server has sent.
func (s *Session) Warnings() []string {
	warnings := s.notices
	s.notices = nil
	return warnings
}

// Exec runs a script and ignores its rows.
func (s *Session) Exec(ctx context.Context, script string) error {
	return s.explain(ctx, s.conn.Exec(ctx, script).Close())
}

// Query runs one statement and returns its rows, as text; nil is null. Arguments are as
// for a DB.
func (s *Session) Query(ctx context.Context, sql string, args ...any) ([][]*string, error) {
	values, err := bind(sql, args)
	if err != nil {
		return nil, err
	}
	result := s.conn.ExecParams(ctx, sql, values, nil, nil, nil).Read()
	if result.Err != nil {
		return nil, s.explain(ctx, result.Err)
	}
	rows := make([][]*string, len(result.Rows))
	for i, row := range result.Rows {
		rows[i] = make([]*string, len(row))
		for j, value := range row {
			if value != nil {
				copied := string(value)
				rows[i][j] = &copied
			}
		}
	}
	return rows, nil
}

// Copy runs a COPY … FROM STDIN statement with what from returns, and returns the number
// of rows.
func (s *Session) Copy(ctx context.Context, from io.Reader, sql string) (int64, error) {
	tag, err := s.conn.CopyFrom(ctx, from, sql)
	return tag.RowsAffected(), s.explain(ctx, err)
}

// InTransaction reports whether a transaction is open that can still be committed.
func (s *Session) InTransaction() bool { return !s.conn.IsClosed() && s.conn.TxStatus() == 'T' }

// Close closes the connection. A transaction that is open is rolled back.
func (s *Session) Close(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanupTimeout)
	defer cancel()
	return s.conn.Close(ctx)
}

// explain returns the error for what a statement returned.
func (s *Session) explain(ctx context.Context, err error) error {
	var refused *pgconn.PgError
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return interrupted(ctx, nil)
	case !errors.As(err, &refused):
		return &Error{
			Message: "the connection to the database was lost: " + presentable(innermost(err), []string{s.config.Password}), kind: ErrUnavailable,
			advice: "Run again. If it is lost again, check the database's logs.",
		}
	}
	message := "a statement failed; its message is not shown, because it can contain values"
	// In these classes of errors, the messages consist of PostgreSQL's words and of names.
	for _, class := range []string{"08", "0A", "23", "25", "28", "2B", "3D", "3F", "40", "42", "53", "54", "55", "57", "58"} {
		if strings.HasPrefix(refused.Code, class) {
			message = refused.Message
		}
	}
	var names []string
	for _, n := range []struct{ kind, name string }{
		{"schema", refused.SchemaName}, {"table", refused.TableName}, {"column", refused.ColumnName}, {"type", refused.DataTypeName}, {"constraint", refused.ConstraintName},
	} {
		if n.name != "" && !strings.Contains(message, n.name) {
			names = append(names, n.kind+" "+text.Line(n.name))
		}
	}
	if len(names) > 0 {
		message += fmt.Sprintf(" (%s)", strings.Join(names, ", "))
	}
	return sqlError(refused.Code, message, "", "", "", nil)
}
