package supabase

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/aimindset/terraform-provider-aimindset/internal/supabase/sqlfailure"
	"github.com/aimindset/terraform-provider-aimindset/internal/text"
)

// The kinds of errors, for errors.Is.
var (
	// ErrNotFound: the object does not exist.
	ErrNotFound = errors.New("not found")
	// ErrUnauthorized: the access token is not accepted.
	ErrUnauthorized = errors.New("the access token is not accepted")
	// ErrForbidden: the token lacks a permission.
	ErrForbidden = errors.New("the access token may not do this")
	// ErrProjectGone: the project was deleted, or the token cannot see it.
	ErrProjectGone = errors.New("the project is gone")
	// ErrRateLimited: the rate limit refused requests for longer than the call
	// could wait.
	ErrRateLimited = errors.New("too many requests")
	// ErrOutcomeUnknown: a write may or may not have been carried out. Read
	// the object before repeating it.
	ErrOutcomeUnknown = errors.New("the outcome is unknown")

	// errUnexpectedResponse: the response was too large, cut off, or did not
	// have the documented form.
	errUnexpectedResponse = errors.New("unexpected response")
	// errInvalidInput: nothing was sent.
	errInvalidInput = errors.New("invalid input")
	// errQuota: a limit of the organization's plan is reached.
	errQuota = errors.New("a limit of the plan is reached")
)

// An Error describes a failed call of the Management API. Its texts are single
// printable lines without secrets.
type Error struct {
	// Op is what was tried, for example "list the secrets".
	Op string
	// Resource is the object, for example "project abcdefghijklmnopqrst".
	Resource string
	// Status is the HTTP status, 0 without a response.
	Status int
	// Message is what the server said, or why there was no response.
	Message string
	// EventID is the server's ID of the failure, for Supabase's support.
	EventID string
	// Attempts counts the requests that were made.
	Attempts int
	// Advice is what to do next, or empty.
	Advice string

	// SQLState is the code of an SQL error, for example "42P01", or empty.
	// Detail, Hint and Where are PostgreSQL's; Message is its message alone.
	SQLState, Detail, Hint, Where string

	kinds []error
	cause error
}

// Error says what was tried, what happened and what to do next.
func (e *Error) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s of %s: ", e.Op, e.Resource)
	switch {
	case e.SQLState != "":
		b.WriteString("SQL error " + e.SQLState)
		if e.Message != "" {
			b.WriteString(": " + e.Message)
		}
	case e.Status != 0:
		fmt.Fprintf(&b, "HTTP %d", e.Status)
		if e.Message != "" {
			b.WriteString(": " + e.Message)
		}
	default:
		b.WriteString(e.Message)
	}
	sentence := func(label, text string) {
		if text == "" {
			return
		}
		if s := b.String(); !strings.HasSuffix(s, ".") && !strings.HasSuffix(s, "!") {
			b.WriteByte('.')
		}
		b.WriteByte(' ')
		if label != "" {
			b.WriteString(label + ": ")
		}
		b.WriteString(text)
	}
	sentence("Detail", e.Detail)
	sentence("Hint", e.Hint)
	if e.Attempts > 1 {
		sentence("", fmt.Sprintf("Tried %d times", e.Attempts))
	}
	if e.EventID != "" {
		sentence("", "Event "+e.EventID)
	}
	if errors.Is(e, ErrOutcomeUnknown) {
		sentence("", "It may have been carried out nevertheless")
	}
	sentence("", e.Advice)
	return b.String()
}

// Unwrap returns the kinds of the error, and the context's error if that is the
// cause.
func (e *Error) Unwrap() []error {
	if e.cause == nil {
		return e.kinds
	}
	return append([]error{e.cause}, e.kinds...)
}

// SQLError returns the parts of an SQL error. ok is false for any other error.
func (e *Error) SQLError() (state, message, detail, hint, where string, ok bool) {
	return e.SQLState, e.Message, e.Detail, e.Hint, e.Where, e.SQLState != ""
}

// OutcomeUnknown reports whether the call may have been carried out nevertheless.
func (e *Error) OutcomeUnknown() bool { return errors.Is(e, ErrOutcomeUnknown) }

const (
	// longestMessage limits, in bytes, what is kept of a text of the server,
	// longestText what is read of it.
	longestMessage = 1000
	longestText    = 32 << 10
)

var (
	titlePattern       = text.Pattern(`(?is)<title[^>]*>(.*?)</title>`)
	projectGonePattern = text.Pattern(`(?i)\bresource has been removed\b|\bproject\b.{0,60}\bnot found\b`)
)

// explain fills in the fields from a response with a status other than 2xx. sql
// says that it may contain an SQL error.
func (e *Error) explain(status int, body []byte, sql bool, permission string, redact func(string) string) {
	e.Status = status
	message, event := messageOf(body)
	show := func(s string) string { return text.Head(redact(s), longestMessage) }
	e.EventID = text.Head(redact(event), 64)
	if sql {
		parts := sqlfailure.Parse(message)
		e.SQLState, e.Message = parts.State, show(parts.Message)
		e.Detail, e.Hint, e.Where = show(parts.Detail), show(parts.Hint), show(parts.Where)
		if e.SQLState != "" {
			return
		}
	} else {
		e.Message = show(message)
	}
	if e.Message == "" {
		e.Message = http.StatusText(status)
	}
	switch {
	case (status == http.StatusBadRequest || status == http.StatusNotFound) && projectGonePattern().MatchString(message):
		e.kinds = append(e.kinds, ErrProjectGone)
		e.Advice = "The project was deleted, the project ref is wrong, or the token's account cannot see the project."
	case status == http.StatusNotFound:
		e.kinds = append(e.kinds, ErrNotFound)
	case status == http.StatusUnauthorized:
		e.kinds = append(e.kinds, ErrUnauthorized)
		e.Advice = "Use a personal access token (sbp_...) from https://supabase.com/dashboard/account/tokens that is neither expired nor revoked. A project's API keys do not work here."
	case status == http.StatusForbidden:
		e.kinds = append(e.kinds, ErrForbidden)
		e.Advice = "Give the token the permission " + permission + ", or its account a role in the organization that has it."
	case status == http.StatusPaymentRequired:
		e.kinds = append(e.kinds, errQuota)
		e.Advice = "Delete what is no longer needed, or change the organization's plan."
	case status == http.StatusTooManyRequests:
		e.kinds = append(e.kinds, ErrRateLimited)
		e.Advice = "Other programs use the same limit. Run again later, or raise `timeouts`."
	case status == 544, // the API's own, for a failure of a service behind it, temporary or permanent
		sql && sqlfailure.TroubleOf(status, message).Temporary():
		e.Advice = "The project may be paused, restoring or starting. Check its status in the dashboard and run again."
	case status >= 300 && status < 400:
		e.kinds = append(e.kinds, errUnexpectedResponse)
		e.Advice = "The API does not redirect. Check `api_url`."
	case status >= 500:
		e.Advice = "See https://status.supabase.com and run again."
	}
}

// messageOf returns the message in the body of a failure, which is JSON in one of
// several forms, a proxy's web page, or plain text.
func messageOf(body []byte) (message, event string) {
	message, event = wholeMessageOf(body)
	return text.Head(message, longestText), text.Head(event, longestText)
}

func wholeMessageOf(body []byte) (message, event string) {
	var answer struct {
		Message, Msg, Error json.RawMessage
		ErrorEventID        string `json:"errorEventId"`
	}
	if json.Unmarshal(body, &answer) == nil {
		for _, field := range []json.RawMessage{answer.Message, answer.Error, answer.Msg} {
			if text := textOf(field); text != "" {
				return text, answer.ErrorEventID
			}
		}
		return "", answer.ErrorEventID
	}
	text := string(body)
	if title := titlePattern().FindStringSubmatch(text); title != nil {
		return "a web page titled " + title[1], ""
	}
	if strings.HasPrefix(strings.TrimSpace(text), "<") {
		return "a web page", ""
	}
	return strings.TrimSpace(text), ""
}

func textOf(field json.RawMessage) string {
	var text string
	if json.Unmarshal(field, &text) == nil {
		return text
	}
	var texts []string
	if json.Unmarshal(field, &texts) == nil {
		return strings.Join(texts, "; ")
	}
	var inner struct{ Message string }
	if json.Unmarshal(field, &inner) == nil {
		return inner.Message
	}
	return ""
}
