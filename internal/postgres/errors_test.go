package postgres

import (
	"errors"
	"slices"
	"strings"
	"testing"
)

// TestPresentable proves what of a server's text is shown: one line of at most
// 1,000 bytes, without any secret, and without a piece of a token that is long
// enough to be worth something.
func TestPresentable(t *testing.T) {
	t.Parallel()
	const token = "abcdefghijklmnopqrstuvwxyz"
	for what, c := range map[string]struct {
		text    string
		secrets []string
		want    string
	}{
		"nothing to hide":         {"relation x", nil, "relation x"},
		"another secret":          {"relation x", []string{"y-y-y-y"}, "relation x"},
		"twice":                   {"is pass, not pass", []string{"pass"}, "is [redacted], not [redacted]"},
		"too short to be one":     {"the key", []string{"key"}, "the key"},
		"several":                 {"one: pass, two: word", []string{"pass", "word"}, "one: [redacted], two: [redacted]"},
		"over lines":              {"is a\nb c!", []string{"a\nb c"}, "is [redacted]!"},
		"a whole token":           {`"` + token + `"`, []string{token}, `"[redacted]"`},
		"the head of a token":     {`"` + token[:12] + `..."`, []string{token}, `"[redacted]..."`},
		"the end of a token":      {"..." + token[14:], []string{token}, "...[redacted]"},
		"the middle of a token":   {token[3:20], []string{token}, "[redacted]"},
		"two pieces":              {token[:13] + "|" + token[12:], []string{token}, "[redacted]|[redacted]"},
		"less than a piece":       {token[:11] + "|" + token[15:], []string{token}, token[:11] + "|" + token[15:]},
		"the shortest with parts": {"abcdefghijkl", []string{"abcdefghijkl"}, "[redacted]"},
		// A text with blanks is a sentence or a document: its words alone would
		// hide what the error says.
		"a piece of a sentence": {"a long sentence", []string{"a long sentence, longer"}, "a long sentence"},
		"a token in a sentence": {"x " + token[:12], []string{"a", token + "=="}, "x [redacted]"},
		"not one line":          {"a\r\nb\x1b[0m", nil, "a b[0m"},
		"long":                  {strings.Repeat("x", 1001), nil, strings.Repeat("x", 1000) + "…"},
		"not too long":          {strings.Repeat("x", 1000), nil, strings.Repeat("x", 1000)},
	} {
		if got := presentable(c.text, c.secrets); got != c.want {
			t.Errorf("%s: %q, want %q", what, got, c.want)
		}
	}
}

// TestSecretsIn proves which arguments errors may show: names, numbers and UUIDs,
// which make an error understandable.
func TestSecretsIn(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("s", 20)
	values := [][]byte{
		nil, []byte("auto-backup"), []byte(long[1:]), []byte("6ba7b810-9dad-11d1-80b4-00c04fd430c8"),
		[]byte(long), []byte("x6ba7b810-9dad-11d1-80b4-00c04fd430c8"), []byte(`{"key": "a setting"}`),
	}
	want := []string{long, "x6ba7b810-9dad-11d1-80b4-00c04fd430c8", `{"key": "a setting"}`}
	if got := secretsIn(values); strings.Join(got, "|") != strings.Join(want, "|") {
		t.Errorf("%q, want %q", got, want)
	}
}

// TestSQLError proves that nothing is kept of the parts in which PostgreSQL quotes
// rows and parameters, and that a secret is hidden in all others.
func TestSQLError(t *testing.T) {
	t.Parallel()
	const secret = "a-secret-value"
	got := *sqlError("23514", "no "+secret, "Failing row contains (1, x).", "try "+secret, "PL/pgSQL function f()\nunnamed portal with parameters: $1 = 'x'\nSQL statement "+secret, []string{secret})
	if got.SQLState != "23514" || got.Message != "no [redacted]" || got.Detail != "" || got.Hint != "try [redacted]" ||
		got.Where != "PL/pgSQL function f() SQL statement [redacted]" {
		t.Errorf("%+v", got)
	}
	if got := sqlError("", "", "Key ("+secret+") exists; Failing row contains", "", "", []string{secret}).Detail; got != "Key ([redacted]) exists; Failing row contains" {
		t.Errorf("the detail is %q", got)
	}
}

// TestSecretsInArguments proves that errors show no argument that is long enough to be a
// secret, nor such a value of one that is an object of strings.
func TestSecretsInArguments(t *testing.T) {
	t.Parallel()
	const token, url, document = "c4n4ry-c4n4ry-c4n4ry-c4n4ry", "https://hooks.example/services/1", `{"a": ["c4n4ry of a list"]}`
	values := [][]byte{nil, []byte("auto-backup"), []byte(token), []byte(`{"short": "x", "hook": "` + url + `"}`), []byte(document), []byte("11111111-2222-4333-8444-555555555555")}
	got := secretsIn(values)
	slices.Sort(got)
	want := []string{token, url, string(values[3]), document}
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("the secrets are %q, not %q", got, want)
	}
}

// TestErrorText proves the whole text of an error, with each of its parts present
// or not.
func TestErrorText(t *testing.T) {
	t.Parallel()
	cause := errors.New("cause")
	for want, e := range map[string]*Error{
		"lost":                           {Message: "lost"},
		"SQL error 42P01: no table":      {SQLState: "42P01", Message: "no table"},
		"no table":                       {SQLState: "42P01", Message: "no table", kind: ErrUnavailable},
		"connect: lost":                  {Message: "lost", before: "connect"},
		"lost. Detail: why. Hint: do it": {Message: "lost", Detail: "why.", Hint: "do it"},
		"lost. Run again.":               {Message: "lost.", advice: "Run again."},
		"lost. It may have been carried out nevertheless. Run again.": {Message: "lost", kind: ErrOutcomeUnknown, advice: "Run again."},
	} {
		if got := e.Error(); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	for _, e := range []*Error{{}, {kind: ErrUnavailable}, {cause: cause}, {kind: ErrUnavailable, cause: cause}} {
		if errors.Is(e, ErrUnavailable) != (e.kind != nil) || errors.Is(e, cause) != (e.cause != nil) || errors.Is(e, ErrOutcomeUnknown) {
			t.Errorf("%+v wraps %v", e, e.Unwrap())
		}
	}
	if got := SQLState(errors.Join(cause, &Error{SQLState: "57014"})); got != "57014" {
		t.Errorf("the SQLSTATE of a wrapped error is %q", got)
	}
	if got := SQLState(cause); got != "" {
		t.Errorf("the SQLSTATE of another error is %q", got)
	}
}
