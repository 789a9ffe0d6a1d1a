package redact

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/aimindset/terraform-provider-aimindset/internal/text"
)

const testToken = "sbp_0123456789abcdef0123456789abcdef01234567"

// Secrets are found wherever a server may put them: whole, shortened, in JSON,
// in URLs, broken up by invisible characters, and by their form alone.
func TestRedact(t *testing.T) {
	t.Parallel()
	const (
		password = `p"ä ss&wörd/0123`
		key      = "key-material-0123456789-0123456789"
	)
	r := New(testToken, password, key, "abc", `ab"`, "xy\n\n\n", "tiny", "thirteenbytes", "two\nlines of a secret")
	for name, test := range map[string]struct{ text, want string }{
		"nothing":            {"plain text, äöü", "plain text, äöü"},
		"token":              {"token " + testToken + " is bad", "token [redacted] is bad"},
		"beginning":          {"token " + testToken[:20] + "... is bad", "token [redacted]... is bad"},
		"middle":             {"..." + key[8:25] + "...", "...[redacted]..."},
		"twice":              {key + key, "[redacted]"},
		"json":               {`{"v":"p\"ä ss\u0026wörd/0123"}`, `{"v":"[redacted]"}`},
		"url":                {"?v=p%22%C3%A4+ss%26w%C3%B6rd%2F0123&x", "?v=[redacted]&x"},
		"split":              {"sbp_0123456789ab\x00cdef0123456789abcdef01234567", "[redacted]"},
		"zero width":         {"key-material\u200b-0123456789-0123456789", "[redacted]"},
		"several lines":      {"it is two\r\nlines of a secret", "it is [redacted]"},
		"short is ignored":   {"abc", "abc"},
		"four bytes count":   {"a tiny thing", "a [redacted] thing"},
		"at the beginning":   {"tiny thing", "[redacted] thing"},
		"short, escaped":     {`it is ab\" here`, `it is ab\" here`},
		"short as a line":    {"xyz", "xyz"},
		"its end":            {"hirteenbytes!", "[redacted]!"},
		"at the end":         {"it begins with thirteenbyte", "it begins with [redacted]"},
		"foreign token":      {"sbp_ffffffffffffffffffffffffffffffffffffffff!", "[redacted]!"},
		"foreign oauth":      {"sbp_oauth_ffffffffffffffffffffffffffffffffffffffff", "[redacted]"},
		"secret key":         {"key sb_secret_AbC-dEf_0123", "key [redacted]"},
		"publishable key":    {"key sb_publishable_AbC", "key sb_publishable_AbC"},
		"jwt":                {"eyJhbGciOiJIUzI1NiJ9.eyJyb2xlIjoiYW5vbiJ9.c2ln_-c and", "[redacted] and"},
		"bearer":             {"Authorization: Bearer abcdefghijklmnop1234, x", "Authorization: Bearer [redacted], x"},
		"bearer, the word":   {"Bearer token missing", "Bearer token missing"},
		"url password":       {"postgresql://postgres:s3cret@db.example:5432/x", "postgresql://postgres:[redacted]@db.example:5432/x"},
		"url password, @":    {"proxy http://u:p@ss:w@rd@host/", "proxy http://u:[redacted]@host/"},
		"dsn password":       {"host=x password='a b' user=y", "host=x password=[redacted] user=y"},
		"escape sequences":   {"\x1b[31mred\x1b[0m\a\b", "[31mred[0m"},
		"turned text":        {"abc\u202egpj.exe\u2066", "abcgpj.exe"},
		"line breaks":        {"one\ntwo\r\n\tthree\u2028four", "one two three four"},
		"forged log line":    {"ok\n2026-01-01 level=ERROR forged", "ok 2026-01-01 level=ERROR forged"},
		"invalid characters": {"a\xffb\xc3", "ab"},
		"c1":                 {"a\u009b31mb\u0085c", "a31mb c"},
	} {
		if got := r.Redact(test.text); got != test.want {
			t.Errorf("%s: got %q, want %q", name, got, test.want)
		}
	}
}

// Whatever a server sends, what comes out holds no registered secret and no
// control character, and is valid text.
func FuzzRedact(f *testing.F) {
	f.Add("x" + testToken + "y")
	f.Add(testToken[:30] + "\x00" + testToken[30:])
	f.Add("\x1b]0;title\x07\u202e" + strings.Repeat("a", 100))
	f.Fuzz(func(t *testing.T, s string) {
		got := New(testToken).Redact(s)
		if strings.Contains(got, testToken) || !utf8.ValidString(got) || text.Line(got) != got {
			t.Errorf("%q became %q", s, got)
		}
	})
}

// A hundred secrets of the largest size are hidden in a long text, also where
// text and secrets repeat themselves, without taking forever.
func TestRedactManyLongSecrets(t *testing.T) {
	t.Parallel()
	r := New()
	for i := range 100 {
		r.Add(strings.Repeat(string(rune('a'+i%26)), 24000+i))
	}
	if got := r.Redact(strings.Repeat("a", 32<<10)); got != redacted {
		t.Errorf("got %q", text.Head(got, 100))
	}
}
