package postgres

import (
	"errors"
	"slices"
	"strings"

	"github.com/aimindset/terraform-provider-aimindset/internal/text"
)

// The kinds of errors, for errors.Is.
var (
	// ErrUnavailable: there is no connection to the database. Nothing was
	// changed.
	ErrUnavailable = errors.New("the database is not available")
	// ErrOutcomeUnknown: a change may or may not have been made. Read the
	// object before repeating it.
	ErrOutcomeUnknown = errors.New("the outcome is unknown")
	// ErrDirectHost: the host of a project's own database server could not be
	// reached. Without the IPv4 add-on it has only an IPv6 address.
	ErrDirectHost = errors.New("the direct host was not reached")
	// ErrClosed: the DB was closed.
	ErrClosed = errors.New("the database connection was closed")
)

// An Error describes a failure of the database or of the connection to it. Its
// texts are single printable lines without passwords and without arguments that
// could be secret.
type Error struct {
	// SQLState is PostgreSQL's code, for example "42P01", or empty if the
	// failure is not PostgreSQL's.
	SQLState string
	// Message, Detail, Hint and Where are PostgreSQL's. Where is the stack of
	// functions in which the error occurred.
	Message, Detail, Hint, Where string

	// before is what was tried, advice what to do next.
	before, advice string
	kind, cause    error
}

// Error says what happened and what to do next.
func (e *Error) Error() string {
	text := e.Message
	if e.SQLState != "" && e.kind == nil {
		text = "SQL error " + e.SQLState + ": " + text
	}
	if e.before != "" {
		text = e.before + ": " + text
	}
	add := func(sentence string) {
		if sentence == "" {
			return
		}
		if !strings.HasSuffix(text, ".") {
			text += "."
		}
		text += " " + sentence
	}
	if e.Detail != "" {
		add("Detail: " + e.Detail)
	}
	if e.Hint != "" {
		add("Hint: " + e.Hint)
	}
	if errors.Is(e.kind, ErrOutcomeUnknown) {
		add("It may have been carried out nevertheless.")
	}
	add(e.advice)
	return text
}

// Unwrap returns the kind of the error and its cause.
func (e *Error) Unwrap() []error {
	return slices.DeleteFunc([]error{e.kind, e.cause}, func(err error) bool { return err == nil })
}

// SQLState returns the code of the SQL error in err, or "".
func SQLState(err error) string {
	var e *Error
	if errors.As(err, &e) {
		return e.SQLState
	}
	return ""
}

// longestText limits, in bytes, what is kept of a text of the server.
const longestText = 1000

// sqlError returns an error of PostgreSQL with texts that may be shown.
func sqlError(state, message, detail, hint, where string, secrets []string) *Error {
	// These contain truncated values of a row or of arguments.
	if strings.HasPrefix(detail, "Failing row contains ") {
		detail = ""
	}
	chain := slices.DeleteFunc(strings.Split(where, "\n"), func(line string) bool {
		return strings.Contains(line, " with parameters: ")
	})
	show := func(s string) string { return presentable(s, secrets) }
	return &Error{
		SQLState: show(state), Message: show(message), Detail: show(detail), Hint: show(hint),
		Where: show(strings.Join(chain, "\n")),
	}
}

// secretsIn returns the arguments that errors must not show, and the values of those that
// are a JSON object of strings.
func secretsIn(values [][]byte) []string {
	var secrets []string
	for _, value := range values {
		for _, s := range append(text.Values(string(value)), string(value)) {
			// Shorter ones are names and numbers, which make an error
			// understandable.
			if len(s) >= 20 && !uuidPattern().MatchString(s) {
				secrets = append(secrets, s)
			}
		}
	}
	return secrets
}

var (
	uuidPattern  = text.Pattern(`^[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}$`)
	tokenPattern = text.Pattern(`^[A-Za-z0-9_.~+/=-]+$`)
)

const (
	redacted = "[redacted]"
	// pieceLength is the length, in bytes, from which a part of a token is
	// hidden as well. PostgreSQL quotes values truncated.
	pieceLength = 12
)

// presentable returns s as one printable line of limited length in which the
// secrets are hidden: tokens also where only a piece of them appears, other
// values where they appear whole.
func presentable(s string, secrets []string) string {
	s = text.Line(s)
	for _, secret := range secrets {
		if len(secret) < 4 {
			continue
		}
		s = strings.ReplaceAll(s, text.Line(secret), redacted)
		if len(secret) >= pieceLength && tokenPattern().MatchString(secret) {
			s = withoutPieces(s, secret)
		}
	}
	return text.Head(s, longestText)
}

func withoutPieces(text, secret string) string {
	var out strings.Builder
	for i := 0; i < len(text); {
		length := 0
		for l := pieceLength; i+l <= len(text) && strings.Contains(secret, text[i:i+l]); l++ {
			length = l
		}
		if length > 0 {
			out.WriteString(redacted)
			i += length
			continue
		}
		out.WriteByte(text[i])
		i++
	}
	return out.String()
}
