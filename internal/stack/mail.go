package stack

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

// Email is a mail that the sample application sent.
type Email struct {
	From    string
	To      string // recipients, separated by ", "
	Subject string
	HTML    string
	At      time.Time
}

// mailbox is a stand-in for Resend's API (POST /emails): it keeps the mails instead of
// sending them. It leaves out everything else, and the checks of domains and addresses.
type mailbox struct {
	key string

	mu      sync.Mutex
	emails  []Email
	failure int // the status to refuse mails with, or 0
}

// ServeHTTP implements http.Handler.
func (m *mailbox) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	refuse := func(status int, name, message string) {
		writeJSON(w, status, map[string]any{"statusCode": status, "name": name, "message": message})
	}
	if r.Method != http.MethodPost || r.URL.Path != "/emails" {
		refuse(http.StatusNotFound, "not_found", "The requested endpoint does not exist")
		return
	}
	if r.Header.Get("Authorization") != "Bearer "+m.key {
		refuse(http.StatusUnauthorized, "validation_error", "API key is invalid")
		return
	}
	var mail struct {
		From    string
		To      json.RawMessage
		Subject string
		HTML    string
	}
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 1<<20)).Decode(&mail); err != nil {
		refuse(http.StatusBadRequest, "validation_error", "Invalid body")
		return
	}
	var to []string
	if json.Unmarshal(mail.To, &to) != nil {
		to = make([]string, 1)
		if json.Unmarshal(mail.To, &to[0]) != nil || to[0] == "" {
			to = nil
		}
	}
	if len(to) == 0 || mail.From == "" || mail.Subject == "" {
		refuse(http.StatusUnprocessableEntity, "validation_error", "Missing `to`, `from` or `subject` field")
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.failure != 0 {
		refuse(m.failure, "application_error", "The mail was refused")
		return
	}
	m.emails = append(m.emails, Email{
		From: mail.From, To: strings.Join(to, ", "), Subject: mail.Subject, HTML: mail.HTML, At: time.Now(),
	})
	writeJSON(w, http.StatusOK, map[string]string{"id": newUUID()})
}

// list returns a copy of the mails so far.
func (m *mailbox) list() []Email {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.emails)
}

// fail makes the mailbox refuse mails with a status, or with 0 accept them again.
func (m *mailbox) fail(status int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.failure = status
}
