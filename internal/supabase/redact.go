package supabase

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
	// redacted stands for what must not be shown.
	redacted = "[redacted]"
	// shortestSecret is the length in bytes from which a value is hidden.
	// Shorter ones are in every text and protect nothing.
	shortestSecret = 4
	// pieceLength is how many bytes of a long value have to stand together to
	// be taken for a piece of it. Servers quote values shortened.
	pieceLength = 12
)

// secretPatterns find secrets that nobody registered, by the forms in which
// Supabase issues them. Where a pattern has a group, only the group is hidden.
// Compiling them takes longer than the rest of the provider's start, and
// Terraform starts it more often than anything has to be hidden.
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

// A Redactor takes secrets out of texts. It knows the values that were given
// to it, in whole, in pieces and as they look inside JSON and URLs, and the
// forms of Supabase's own tokens and keys. It may be used by several
// goroutines at once.
type Redactor struct {
	mu     sync.RWMutex
	values map[string]struct{}
}

// NewRedactor makes a Redactor that hides values.
func NewRedactor(values ...string) *Redactor {
	r := &Redactor{values: map[string]struct{}{}}
	r.Add(values...)
	return r
}

// Add has values hidden from now on. Values of less than four bytes are
// ignored.
func (r *Redactor) Add(values ...string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, value := range values {
		for _, form := range forms(value) {
			r.values[form] = struct{}{}
		}
	}
}

// Redact returns text as one printable line without secrets: line breaks
// become spaces, other control characters and invisible ones vanish, and each
// secret is replaced by "[redacted]".
func (r *Redactor) Redact(s string) string {
	return r.redact(s, nil)
}

// redact is Redact that hides some more values, each in whole only.
func (r *Redactor) redact(s string, also []string) string {
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

// forms are the texts in which a value may come back.
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

// piecesOf lists where each run of pieceLength bytes stands in text.
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
