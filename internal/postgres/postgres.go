// Package postgres runs SQL in a project's database, over a connection or over
// the Management API.
//
// Both transports accept the same statements and arguments and return the same
// results and errors, as long as statements follow these rules:
//
//   - Objects are named with their schemas. A connection searches only
//     pg_catalog, so that no object of another user is found instead; the
//     Management API does not set the search path of single statements.
//   - Each argument is cast where it is used, as in $1::text, because only the
//     database knows its type.
//   - Integers above 2^53 in a document are written as text, because the
//     Management API rounds them.
//   - No statement begins or ends a transaction, or relies on the session of
//     an earlier one.
package postgres

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Access is what a statement may do.
type Access int

const (
	// ReadOnly statements run where the database refuses every change. They
	// may be sent again if their result is lost.
	ReadOnly Access = iota
	// ReadWrite statements are sent again only if they certainly did not arrive.
	ReadWrite
)

// A Secret is an argument that may stand in no text that a server could log or repeat.
type Secret string

// A Statement is a statement with its arguments.
type Statement struct {
	SQL  string
	Args []any
}

// secret reports whether the statement has a Secret.
func (s Statement) secret() bool {
	return slices.ContainsFunc(s.Args, func(arg any) bool { _, secret := arg.(Secret); return secret })
}

// refuseSecret is for a statement that must not have a Secret.
func (s Statement) refuseSecret() error {
	if s.secret() {
		return errors.New("one of two statements cannot have a secret")
	}
	return nil
}

// A DB runs SQL in one database. It is safe for concurrent use.
type DB interface {
	// Query runs one statement, in a transaction of its own. The statement must
	// return at most one row, with one column named result of type json or
	// jsonb. Query returns that document without insignificant white space, or
	// nil if there is no row or the column is null, as SQL or as JSON.
	//
	// Arguments are of type string, Secret, int, int64 or bool, or nil. A Secret
	// never becomes part of the statement's text.
	//
	// Names resolve in the schema pg_catalog alone, with one exception: a statement
	// with a Secret that goes through the Management API has the search path of its
	// role, so it has to name the schema of every function that it calls.
	Query(ctx context.Context, access Access, sql string, args ...any) (json.RawMessage, error)
	// QueryAfter runs a statement, whose rows it ignores, and then another one as Query
	// does with ReadWrite, in the same transaction. The second one sees what others have
	// committed while the first one waited. Neither can have a Secret.
	QueryAfter(ctx context.Context, first Statement, sql string, args ...any) (json.RawMessage, error)
	// Exec runs a script of several statements, which succeed or fail
	// together. It ignores their rows.
	Exec(ctx context.Context, script string) error
	// Close closes the connection, if there is one. Later calls return
	// ErrClosed.
	Close(ctx context.Context) error
}

// safePath is the search path of connections and scripts. Temporary tables come
// last, because another user of a pooled connection may have created some.
const safePath = "pg_catalog, pg_temp"

// Limits of statements, for the case that another session holds a lock or that a
// statement is slower than anybody expected. Without them, one would wait for as long
// as its context. A statement with a Secret that goes through the Management API has
// that API's limits, and some statements limit themselves further.
const (
	// readLock is how long a statement that only reads waits for a lock, writeLock
	// another one or a script.
	readLock, writeLock = "10s", "60s"
	// statementTime is how long a statement may take, scriptTime a script.
	statementTime, scriptTime = "2min", "5min"
)

// lock is how long a statement waits for a lock.
func (a Access) lock() string {
	if a == ReadOnly {
		return readLock
	}
	return writeLock
}

// settings is the statement that precedes another one in its transaction.
func settings(access Access) string {
	return "select pg_catalog.set_config('search_path', '" + safePath + "', true), pg_catalog.set_config('lock_timeout', '" + access.lock() +
		"', true), pg_catalog.set_config('statement_timeout', '" + statementTime + "', true)"
}

// script is a text of several statements, or of one that must not come alone, with
// the settings before it. They return no rows: the Management API returns those of the
// last statement that has some.
func script(lock, timeout, text string) string {
	return "set local search_path = " + safePath + ";\nset local lock_timeout = '" + lock + "';\nset local statement_timeout = '" + timeout + "';\n" + text
}

// bind returns the texts that are sent for arguments; nil is null. As with the
// Management API, the database infers the types.
func bind(sql string, args []any) ([][]byte, error) {
	if err := checkText("the statement", sql); err != nil {
		return nil, err
	}
	values := make([][]byte, len(args))
	for i, arg := range args {
		switch v := arg.(type) {
		case nil:
		case string, Secret:
			value := fmt.Sprint(v)
			if err := checkText(fmt.Sprintf("argument %d", i+1), value); err != nil {
				return nil, err
			}
			values[i] = []byte(value)
		case bool:
			values[i] = strconv.AppendBool(nil, v)
		case int:
			values[i] = strconv.AppendInt(nil, int64(v), 10)
		case int64:
			values[i] = strconv.AppendInt(nil, v, 10)
		default:
			return nil, fmt.Errorf("argument %d of a statement is of type %T; it must be a string, Secret, int, int64, bool or nil", i+1, arg)
		}
	}
	return values, nil
}

// checkText refuses what PostgreSQL's type text cannot contain, and what JSON
// would change silently.
func checkText(what, text string) error {
	switch {
	case strings.ContainsRune(text, 0):
		return &Error{SQLState: "22021", Message: what + " contains a NUL character, which PostgreSQL's type text cannot contain"}
	case !utf8.ValidString(text):
		return &Error{SQLState: "22021", Message: what + " contains bytes that are not UTF-8"}
	}
	return nil
}

// errShape is the error of a statement that breaks the rules of Query.
var errShape = errors.New("the statement must return at most one row with one column named result of type json or jsonb")

// document turns a column's value into the result of Query.
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
