// Package sqlfailure reads the messages with which the Management API reports that SQL
// failed. They come from the service behind it, postgres-meta, after a prefix: an error
// of PostgreSQL in the form in which psql writes it, or a sentence of the service.
package sqlfailure

import (
	"net/http"
	"slices"
	"strings"

	"github.com/aimindset/terraform-provider-aimindset/internal/text"
)

// codePattern finds the beginning of PostgreSQL's error in a message.
var codePattern = text.Pattern(`(?:ERROR|FATAL|PANIC):\s+([0-9A-Z]{5}):\s+`)

// sectionPattern matches the beginnings of the parts that follow an error's message.
var sectionPattern = text.Pattern(`^(LINE \d+: |DETAIL:  |HINT:  |QUERY:  |CONTEXT:  )`)

// Parts are those of an error. State, PostgreSQL's code, is empty for an error that is
// not PostgreSQL's; Message then is the whole message.
type Parts struct{ State, Message, Detail, Hint, Where string }

// Parse splits the message of a failure into its parts. It drops those that would repeat
// the statement, its arguments or a row.
func Parse(message string) Parts {
	var p Parts
	if at := codePattern().FindStringSubmatchIndex(message); at != nil {
		p.State = message[at[2]:at[3]]
		message = message[at[1]:]
	}
	sections := map[string][]string{}
	current := ""
	for line := range strings.SplitSeq(message, "\n") {
		if head := sectionPattern().FindString(line); head != "" {
			current, line = head, line[len(head):]
		}
		sections[current] = append(sections[current], line)
	}
	text := func(name string) string { return strings.TrimSpace(strings.Join(sections[name], "\n")) }
	p.Message, p.Hint = text(""), text("HINT:  ")
	if detail := text("DETAIL:  "); !strings.HasPrefix(detail, "Failing row contains ") {
		p.Detail = detail
	}
	sections["CONTEXT:  "] = slices.DeleteFunc(sections["CONTEXT:  "], func(line string) bool {
		return strings.Contains(line, " with parameters: ")
	})
	p.Where = text("CONTEXT:  ")
	return p
}

// Trouble is why SQL in which there is no error was not run to its end.
type Trouble int

const (
	// None means that there is an error in the SQL, or the failure is not of the service.
	None Trouble = iota
	// Unreachable means that the database took no connection, so nothing was carried out.
	Unreachable
	// SessionLost means that the connection ended, so nobody knows what was carried out.
	SessionLost
	// NoResult means that the SQL was run, but its result was not returned.
	NoResult
)

// Temporary reports whether the same SQL may well succeed some seconds later.
func (t Trouble) Temporary() bool { return t == Unreachable || t == SessionLost }

var (
	unreachablePattern = text.Pattern(`^(?:FATAL:\s+(?:53300|57P03):|connect |getaddrinfo )`)
	// The second alternative is a sentence of the service.
	sessionLostPattern = text.Pattern(`^(?:FATAL:\s+57P0[12]:|[^:]*(?:[Cc]onnection|ECONNRESET|EPIPE))`)
	severityPattern    = text.Pattern(`^(?:ERROR|FATAL|PANIC):`)
)

// TroubleOf returns the trouble of which a failure tells. The service reports it with
// the status of an error in the SQL, 400; other statuses speak for themselves.
func TroubleOf(status int, message string) Trouble {
	failure, ok := strings.CutPrefix(message, "Failed to run sql query: ")
	switch {
	case !ok || status != http.StatusBadRequest:
		return None
	case unreachablePattern().MatchString(failure):
		return Unreachable
	case sessionLostPattern().MatchString(failure):
		return SessionLost
	case severityPattern().MatchString(failure):
		return None
	}
	return NoResult
}
