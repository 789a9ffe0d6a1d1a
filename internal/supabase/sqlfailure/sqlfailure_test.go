package sqlfailure

import "testing"

// Errors of SQL are taken apart, and what echoes the statement, its arguments
// or a row is dropped.
func TestParse(t *testing.T) {
	t.Parallel()
	const prefix = "Failed to run sql query: "
	for name, test := range map[string]struct {
		message string
		want    Parts
	}{
		"relation": {
			prefix + "ERROR:  42P01: relation \"x\" does not exist\nLINE 1: select 'canary' from x\n                             ^\n",
			Parts{State: "42P01", Message: `relation "x" does not exist`},
		},
		"all parts": {
			prefix + "ERROR:  23505: duplicate key\nof two lines\nDETAIL:  Key (a)=(1)\nalready exists.\nHINT:  Use another.\nQUERY:  select 'canary'\nCONTEXT:  PL/pgSQL function f() line 3 at RAISE\nSQL statement \"select f()\"\n",
			Parts{
				State: "23505", Message: "duplicate key\nof two lines", Detail: "Key (a)=(1)\nalready exists.", Hint: "Use another.",
				Where: "PL/pgSQL function f() line 3 at RAISE\nSQL statement \"select f()\"",
			},
		},
		"row": {
			prefix + "ERROR:  23514: violates\nDETAIL:  Failing row contains (1, canary).\n",
			Parts{State: "23514", Message: "violates"},
		},
		"parameters": {
			prefix + "ERROR:  22P02: invalid\nCONTEXT:  PL/pgSQL function f()\nunnamed portal with parameters: $1 = 'canary'\n",
			Parts{State: "22P02", Message: "invalid", Where: "PL/pgSQL function f()"},
		},
		"fatal":      {prefix + "FATAL:  57P01: terminating connection", Parts{State: "57P01", Message: "terminating connection"}},
		"no code":    {prefix + "something else\nLINE 1: canary\n        ^", Parts{Message: prefix + "something else"}},
		"not of SQL": {"Internal Server Error", Parts{Message: "Internal Server Error"}},
	} {
		if got := Parse(test.message); got != test.want {
			t.Errorf("%s: got %+v", name, got)
		}
	}
}

// Trouble of the database is told from errors in the SQL by the message, and only where
// the status does not tell it already.
func TestTroubleOf(t *testing.T) {
	t.Parallel()
	const prefix = "Failed to run sql query: "
	for message, want := range map[string]Trouble{
		prefix + "Connection terminated unexpectedly":                                     SessionLost,
		prefix + "Client has encountered a connection error and is not queryable":         SessionLost,
		prefix + "read ECONNRESET":                                                        SessionLost,
		prefix + "write EPIPE":                                                            SessionLost,
		prefix + "FATAL:  57P01: terminating connection due to administrator command\n":   SessionLost,
		prefix + "FATAL:  57P03: the database system is starting up\n":                    Unreachable,
		prefix + "FATAL:  53300: sorry, too many clients already\n":                       Unreachable,
		prefix + "connect ECONNREFUSED 10.0.0.1:5432":                                     Unreachable,
		prefix + "getaddrinfo ENOTFOUND db.example":                                       Unreachable,
		prefix + "Query result size (3 bytes) exceeded the configured limit (2 bytes)":    NoResult,
		prefix + "ERROR:  57P01: raised by a function, not the end of a connection\n":     None,
		prefix + "ERROR:  08006: Connection terminated unexpectedly\n":                    None,
		prefix + "FATAL:  28P01: password authentication failed for user \"postgres\"\n":  None,
		prefix + "FATAL:  3D000: database \"x\" does not exist, connect to another one\n": None,
		"Connection terminated unexpectedly":                                              None,
		"query: String must contain at least 1 character(s)":                              None,
	} {
		if got := TroubleOf(400, message); got != want {
			t.Errorf("%s: %d, want %d", message, got, want)
		}
		if got := TroubleOf(544, message); got != None {
			t.Errorf("%s with status 544: %d", message, got)
		}
	}
}
