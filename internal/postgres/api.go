package postgres

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/aimindset/terraform-provider-aimindset/internal/postgres/inline"
)

// A Runner runs SQL through the Management API.
type Runner interface {
	// RunSQL runs one statement with the values of $1 and so on, each a string
	// or nil, or a script without args. It returns a JSON array with an object
	// for each row. With readOnly it runs where nothing can be changed.
	//
	// The chain of an SQL error has a method
	//
	//	SQLError() (state, message, detail, hint, where string, ok bool)
	//
	// and that of an error which does not tell whether the statement was
	// carried out has a method OutcomeUnknown() bool.
	RunSQL(ctx context.Context, sql string, args []any, readOnly bool) (json.RawMessage, error)
}

// OverAPI returns a DB that runs its SQL through the Management API.
func OverAPI(runner Runner) DB { return &overAPI{runner: runner} }

type overAPI struct {
	runner Runner
	closed atomic.Bool
}

func (o *overAPI) Query(ctx context.Context, access Access, sql string, args ...any) (json.RawMessage, error) {
	values, err := bind(sql, args)
	if err != nil {
		return nil, err
	}
	var texts []any
	if (Statement{sql, args}).secret() {
		texts = make([]any, len(values))
		for i, value := range values {
			if value != nil {
				texts[i] = string(value)
			}
		}
	} else {
		// A statement with parameters comes alone, and the role's search path may
		// begin with a schema in which others create functions.
		text, err := o.inlined(sql, values)
		if err != nil {
			return nil, err
		}
		sql = script(access.lock(), statementTime, text)
	}
	answer, err := o.run(ctx, sql, texts, access == ReadOnly, secretsIn(values))
	if err != nil {
		return nil, err
	}
	return o.result(answer)
}

// QueryAfter implements DB. The service returns the rows of the last statement that has
// some, so the second one has to return a row.
func (o *overAPI) QueryAfter(ctx context.Context, first Statement, sql string, args ...any) (json.RawMessage, error) {
	var texts [2]string
	var secrets []string
	for i, statement := range []Statement{first, {sql, args}} {
		if err := statement.refuseSecret(); err != nil {
			return nil, err
		}
		values, err := bind(statement.SQL, statement.Args)
		if err != nil {
			return nil, err
		}
		secrets = append(secrets, secretsIn(values)...)
		if texts[i], err = o.inlined(statement.SQL, values); err != nil {
			return nil, err
		}
	}
	answer, err := o.run(ctx, script(writeLock, statementTime, texts[0]+"\n;\n"+texts[1]), nil, false, secrets)
	if err != nil {
		return nil, err
	}
	return o.result(answer)
}

// inlined is a statement with its arguments in its text.
func (o *overAPI) inlined(sql string, values [][]byte) (string, error) {
	text, err := inline.Arguments(sql, values)
	var refused *inline.Error
	if errors.As(err, &refused) {
		return "", &Error{SQLState: refused.SQLState, Message: refused.Message}
	}
	return text, err
}

// result is the document in the rows that the service returns.
func (o *overAPI) result(answer json.RawMessage) (json.RawMessage, error) {
	var rows []map[string]json.RawMessage
	if err := json.Unmarshal(answer, &rows); err != nil {
		return nil, errors.New("the response to a statement is not a list of rows")
	}
	if len(rows) == 0 {
		return nil, nil
	}
	result, ok := rows[0]["result"]
	if len(rows) > 1 || len(rows[0]) != 1 || !ok {
		return nil, errShape
	}
	return document(result)
}

func (o *overAPI) Exec(ctx context.Context, text string) error {
	if _, err := bind(text, nil); err != nil {
		return err
	}
	_, err := o.run(ctx, script(writeLock, scriptTime, text), nil, false, nil)
	return err
}

func (o *overAPI) run(ctx context.Context, sql string, args []any, readOnly bool, secrets []string) (json.RawMessage, error) {
	if o.closed.Load() {
		return nil, ErrClosed
	}
	answer, err := o.runner.RunSQL(ctx, sql, args, readOnly)
	if err == nil {
		return answer, nil
	}
	var failure interface {
		SQLError() (state, message, detail, hint, where string, ok bool)
	}
	if errors.As(err, &failure) {
		if state, message, detail, hint, where, ok := failure.SQLError(); ok {
			e := sqlError(state, message, detail, hint, where, secrets)
			e.cause = err
			return nil, e
		}
	}
	var unsettled interface{ OutcomeUnknown() bool }
	if errors.As(err, &unsettled) && unsettled.OutcomeUnknown() {
		return nil, fmt.Errorf("%w: %w", ErrOutcomeUnknown, err)
	}
	return nil, err
}

// Close implements DB.
func (o *overAPI) Close(context.Context) error {
	o.closed.Store(true)
	return nil
}
