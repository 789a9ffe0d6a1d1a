package backup

import (
	"regexp"
	"testing"
)

// TestNewToken proves the form of tokens, which the dispatcher and the function
// demand, and that none comes twice.
func TestNewToken(t *testing.T) {
	t.Parallel()
	form := regexp.MustCompile(`^[A-Za-z0-9_-]{43}$`)
	seen := map[string]bool{}
	for range 100 {
		token := NewToken()
		if !form.MatchString(token) || seen[token] {
			t.Fatalf("%d characters, repeated: %v", len(token), seen[token])
		}
		seen[token] = true
	}
}

// TestDigestOf proves the digest by which the Management API lists secrets.
func TestDigestOf(t *testing.T) {
	t.Parallel()
	for value, want := range map[string]string{
		"":    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
		"abc": "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
	} {
		if got := DigestOf(value); got != want {
			t.Errorf("%q: %s", value, got)
		}
	}
}
