package supabase

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"sync"

	"github.com/aimindset/terraform-provider-aimindset/internal/text"
)

// What an error of this package can be, for errors.Is.
var (
	// ErrNotFound says that the object does not exist.
	ErrNotFound = errors.New("not found")
	// ErrUnauthorized says that the access token is not accepted.
	ErrUnauthorized = errors.New("the access token is not accepted")
	// ErrForbidden says that the token may not do this.
	ErrForbidden = errors.New("the access token may not do this")
	// ErrProjectGone says that the project was deleted, or is not there for
	// this token.
	ErrProjectGone = errors.New("the project is gone")
	// ErrQuota says that a limit of the project's plan is reached.
	ErrQuota = errors.New("a limit of the plan is reached")
	// ErrRateLimited says that requests were refused for longer than the call
	// could wait.
	ErrRateLimited = errors.New("too many requests")
	// ErrOutcomeUnknown says that a write may or may not have been carried
	// out. Look before repeating it.
	ErrOutcomeUnknown = errors.New("the outcome is unknown")
	// ErrUnexpectedAnswer says that the answer was too large, cut off or not
	// of the documented form.
	ErrUnexpectedAnswer = errors.New("unexpected answer")
	// ErrInvalidInput says that the call was refused before anything was sent.
	ErrInvalidInput = errors.New("invalid input")
)

// An Error is a call of the Management API that failed. Its texts are single
// printable lines without secrets.
type Error struct {
	// Op is what was tried, as "read the secrets".
	Op string
	// Resource is what it was tried on, as "project abcdefghijklmnopqrst".
	Resource string
	// Status is the HTTP status, 0 when there was no answer.
	Status int
	// Message is what the server said, or why there was no answer.
	Message string
	// EventID is the server's number for the event, to quote to support.
	EventID string
	// Attempts is how many requests were sent or tried.
	Attempts int
	// Advice is what to do next, where that is known.
	Advice string

	// SQLState is the code of an error of SQL, as "42P01", else empty. Detail,
	// Hint and Where are PostgreSQL's; Message holds its message alone.
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
	sentence(&b, "Detail", e.Detail)
	sentence(&b, "Hint", e.Hint)
	if e.Attempts > 1 {
		sentence(&b, "", fmt.Sprintf("Tried %d times", e.Attempts))
	}
	if e.EventID != "" {
		sentence(&b, "", "Event "+e.EventID)
	}
	if errors.Is(e, ErrOutcomeUnknown) {
		sentence(&b, "", "It may have been carried out all the same")
	}
	sentence(&b, "", e.Advice)
	return b.String()
}

func sentence(b *strings.Builder, label, text string) {
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

// Unwrap gives the sentinels that describe the error, and the context's error
// when the context ended it.
func (e *Error) Unwrap() []error {
	if e.cause == nil {
		return e.kinds
	}
	return append([]error{e.cause}, e.kinds...)
}

// SQLError gives the parts of an error of SQL. ok is false for every other
// error.
func (e *Error) SQLError() (state, message, detail, hint, where string, ok bool) {
	return e.SQLState, e.Message, e.Detail, e.Hint, e.Where, e.SQLState != ""
}

// OutcomeUnknown says whether the call may have been carried out all the same.
func (e *Error) OutcomeUnknown() bool { return errors.Is(e, ErrOutcomeUnknown) }

const (
	// longestMessage bounds in bytes what is kept of one text of the server,
	// longestText what is looked at.
	longestMessage = 1000
	longestText    = 32 << 10
)

// These are compiled at the first failure, as secretPatterns are.
var (
	titlePattern = sync.OnceValue(func() *regexp.Regexp {
		return regexp.MustCompile(`(?is)<title[^>]*>(.*?)</title>`)
	})
	projectGonePattern = sync.OnceValue(func() *regexp.Regexp {
		return regexp.MustCompile(`(?i)\bresource has been removed\b|\bproject\b.{0,60}\bnot found\b`)
	})
)

// explain fills in what an answer that is no success says. sql says that the
// call ran SQL, whose errors have parts.
func (e *Error) explain(status int, body []byte, sql bool, permission string, redact func(string) string) {
	e.Status = status
	message, event := messageOf(body)
	show := func(s string) string { return text.Head(redact(s), longestMessage) }
	e.EventID = text.Head(redact(event), 64)
	if sql {
		parts := parseSQLError(message)
		e.SQLState, e.Message = parts.state, show(parts.message)
		e.Detail, e.Hint, e.Where = show(parts.detail), show(parts.hint), show(parts.where)
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
		e.Advice = "The project was deleted, or the project ref is not right, or the token belongs to an account that cannot see it."
	case status == http.StatusNotFound:
		e.kinds = append(e.kinds, ErrNotFound)
	case status == http.StatusUnauthorized:
		e.kinds = append(e.kinds, ErrUnauthorized)
		e.Advice = "Give a personal access token (sbp_...) from https://supabase.com/dashboard/account/tokens that is neither expired nor revoked; the project's API keys do not work here."
	case status == http.StatusForbidden:
		e.kinds = append(e.kinds, ErrForbidden)
		e.Advice = "Give the token the permission " + permission + ", or the account a role in the organization that has it."
	case status == http.StatusPaymentRequired:
		e.kinds = append(e.kinds, ErrQuota)
		e.Advice = "Remove what is not needed, or change the organization's plan."
	case status == http.StatusTooManyRequests:
		e.kinds = append(e.kinds, ErrRateLimited)
		e.Advice = "Other programs use up this account's requests; run again later, or with a longer timeout."
	case status == statusUpstreamFailure:
		e.Advice = "The project may be paused, restoring or starting; look at its state in the dashboard and run again."
	case status >= 300 && status < 400:
		e.kinds = append(e.kinds, ErrUnexpectedAnswer)
		e.Advice = "The API does not redirect; check the API's URL."
	case status >= 500:
		e.Advice = "See https://status.supabase.com and run again."
	}
}

// messageOf finds the text for people in the body of a failure: JSON in one
// of the forms in use, a page of a proxy, or plain text.
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
