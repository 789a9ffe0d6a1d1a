// Package redact removes secrets from texts that people read.
package redact

import (
	"encoding/json"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"

	"github.com/aimindset/terraform-provider-aimindset/internal/text"
)

const (
	// redacted replaces what must not be shown.
	redacted = "[redacted]"
	// shortestSecret is the length, in bytes, from which a value is hidden.
	// Shorter ones occur in any text and protect nothing.
	shortestSecret = 4
	// pieceLength is the length, in bytes, from which a part of a value is
	// hidden as well. Servers quote values truncated.
	pieceLength = 12
)

// secretPatterns find secrets that were not added, by the forms in which
// Supabase issues them. If a pattern has a group, only the group is hidden. They
// are compiled when they are first needed, because that takes longer than the
// rest of the provider's start.
var secretPatterns = sync.OnceValue(func() []*regexp.Regexp {
	return []*regexp.Regexp{
		regexp.MustCompile(`\bsbp_(?:oauth_|v\d+_)?[A-Za-z0-9]{8,}`),
		regexp.MustCompile(`\bsb_secret_[A-Za-z0-9_-]{4,}`),
		regexp.MustCompile(`\beyJ[A-Za-z0-9_-]{6,}\.[A-Za-z0-9_-]*(?:\.[A-Za-z0-9_-]*)?`),
		regexp.MustCompile(`(?i)\bbearer\s+([^\s"',;]{16,})`),
		regexp.MustCompile(`[A-Za-z][A-Za-z0-9+.-]*://[^\s/@:]*:([^\s]+)@`),
		regexp.MustCompile(`(?i)\b(?:password|passwd|pwd)\s*=\s*('[^']*'|[^\s'&;]+)`),
	}
})

// A Redactor removes secrets from texts: the values that were added to it,
// whole, in part, and as JSON and URLs encode them, and everything that has the
// form of one of Supabase's tokens and keys. It is safe for concurrent use.
type Redactor struct {
	mu     sync.RWMutex
	values map[string]struct{}
}

// New returns a Redactor that hides values.
func New(values ...string) *Redactor {
	r := &Redactor{values: map[string]struct{}{}}
	r.Add(values...)
	return r
}

// Add adds values to hide. It ignores values of fewer than four bytes.
func (r *Redactor) Add(values ...string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, value := range values {
		for _, form := range forms(value) {
			r.values[form] = struct{}{}
		}
	}
}

// Redact returns s as one printable line in which each secret is replaced by
// "[redacted]".
func (r *Redactor) Redact(s string) string {
	return r.RedactAlso(s, nil)
}

// RedactAlso is Redact that hides more values, these only where they appear whole.
func (r *Redactor) RedactAlso(s string, also []string) string {
	s = text.Line(s)
	hidden := make([]bool, len(s))
	r.mu.RLock()
	pieces := piecesOf(s)
	for value := range r.values {
		hideValue(hidden, s, value)
		hidePieces(hidden, pieces, value)
	}
	r.mu.RUnlock()
	for _, value := range also {
		for _, form := range forms(value) {
			hideValue(hidden, s, form)
		}
	}
	for _, pattern := range secretPatterns() {
		for _, at := range pattern.FindAllStringSubmatchIndex(s, -1) {
			from, to := at[0], at[1]
			if len(at) > 2 {
				from, to = at[2], at[3]
			}
			hide(hidden, from, to)
		}
	}
	return withoutHidden(s, hidden)
}

// forms returns the texts in which a value may come back.
func forms(value string) []string {
	if len(value) < shortestSecret {
		return nil
	}
	all := []string{value, text.Line(value), url.QueryEscape(value), url.PathEscape(value)}
	if quoted, err := json.Marshal(value); err == nil {
		all = append(all, text.Line(string(quoted[1:len(quoted)-1])))
	}
	all = slices.DeleteFunc(all, func(form string) bool { return len(form) < shortestSecret })
	slices.Sort(all)
	return slices.Compact(all)
}

func hide(hidden []bool, from, to int) {
	for i := from; i < to; i++ {
		hidden[i] = true
	}
}

func hideValue(hidden []bool, text, value string) {
	for from, end := 0, 0; ; from++ {
		at := strings.Index(text[from:], value)
		if at < 0 {
			return
		}
		from += at
		hide(hidden, max(from, end), from+len(value))
		end = from + len(value)
	}
}

// piecesOf returns the positions of each substring of pieceLength bytes in text.
func piecesOf(text string) map[string][]int {
	pieces := map[string][]int{}
	for i := 0; i+pieceLength <= len(text); i++ {
		pieces[text[i:i+pieceLength]] = append(pieces[text[i:i+pieceLength]], i)
	}
	return pieces
}

func hidePieces(hidden []bool, pieces map[string][]int, value string) {
	for i := 0; i+pieceLength <= len(value); i++ {
		piece := value[i : i+pieceLength]
		for _, at := range pieces[piece] {
			hide(hidden, at, at+pieceLength)
		}
		delete(pieces, piece)
	}
}

func withoutHidden(text string, hidden []bool) string {
	var out strings.Builder
	for i := 0; i < len(text); {
		if !hidden[i] {
			out.WriteByte(text[i])
			i++
			continue
		}
		out.WriteString(redacted)
		for i < len(text) && hidden[i] {
			i++
		}
	}
	return strings.ToValidUTF8(out.String(), "")
}
