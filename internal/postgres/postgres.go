// Package postgres runs SQL in a project's database, over a connection or over
// the Management API.
//
// Both transports take the same statements and arguments and give the same
// results and the same errors. For that, statements keep to some rules:
//
//   - Objects are named with their schemas. A connection searches pg_catalog
//     only, so that nobody can put an object of his own in the place of
//     another; the Management API does not set the search path for single
//     statements.
//   - Each argument is cast where it is used, as in $1::text, because only the
//     database knows its type.
//   - Integers above 2^53 inside a document are written as text: the
//     Management API rounds them.
//   - No statement begins or ends a transaction, or counts on the session of
//     an earlier one.
package postgres

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Access is what a statement may do.
type Access int

const (
	// ReadOnly statements run where the database refuses every change. They
	// may be sent again when their answer is lost.
	ReadOnly Access = iota
	// ReadWrite statements are sent once, unless one surely did not arrive.
	ReadWrite
)

// A DB runs SQL in one database. It may be used by several goroutines at once.
type DB interface {
	// Query runs one statement, in a transaction of its own. It has to give at
	// most one row, with one column named result of type json or jsonb. Query
	// returns that document, without insignificant white space. It returns nil
	// when there is no row, and when the column is null, as SQL or as JSON.
	//
	// Arguments are string, int, int64, bool and nil. They never become part
	// of the text of the statement.
	Query(ctx context.Context, access Access, sql string, args ...any) (json.RawMessage, error)
	// Exec runs a script of several statements, which succeed or fail
	// together. Rows are ignored.
	Exec(ctx context.Context, script string) error
	// Close ends the connection if there is one. Later calls are ErrClosed.
	Close(ctx context.Context) error
}

// safePath is the search path of connections and scripts. Temporary tables,
// which another user of a pooled connection may have made, come last.
const safePath = "set local search_path = pg_catalog, pg_temp"

// bind makes arguments the texts that are sent; nil is null. Their types are
// left to the database, as the Management API does it.
func bind(sql string, args []any) ([][]byte, error) {
	if err := checkText("the statement", sql); err != nil {
		return nil, err
	}
	values := make([][]byte, len(args))
	for i, arg := range args {
		switch v := arg.(type) {
		case nil:
		case string:
			if err := checkText(fmt.Sprintf("argument %d", i+1), v); err != nil {
				return nil, err
			}
			values[i] = []byte(v)
		case bool:
			values[i] = strconv.AppendBool(nil, v)
		case int:
			values[i] = strconv.AppendInt(nil, int64(v), 10)
		case int64:
			values[i] = strconv.AppendInt(nil, v, 10)
		default:
			return nil, fmt.Errorf("argument %d of a statement is of type %T, which is none of string, int, int64, bool and nil", i+1, arg)
		}
	}
	return values, nil
}

// checkText refuses what PostgreSQL's text cannot hold. Sent as JSON, some of
// it would be altered silently.
func checkText(what, text string) error {
	switch {
	case strings.ContainsRune(text, 0):
		return &Error{SQLState: "22021", Message: what + " has a character that text cannot hold: NUL"}
	case !utf8.ValidString(text):
		return &Error{SQLState: "22021", Message: what + " has bytes that are not UTF-8"}
	}
	return nil
}

// errShape says that a statement breaks the rules of Query.
var errShape = errors.New("the statement has to give at most one row with one column named result of type json or jsonb")

// document is a result as Query returns it.
func document(value []byte) (json.RawMessage, error) {
	if value == nil || string(value) == "null" {
		return nil, nil
	}
	var compact bytes.Buffer
	if err := json.Compact(&compact, value); err != nil {
		return nil, errShape
	}
	return compact.Bytes(), nil
}
