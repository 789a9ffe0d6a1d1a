package backup

import (
	"strings"
	"testing"
	"time"
)

// TestFingerprint proves that a fingerprint recognises its secret and no
// other, holds neither the value nor its plain digest, differs between two
// installations of the same secret, and stays while the secret stays.
func TestFingerprint(t *testing.T) {
	t.Parallel()
	var f Fingerprinter
	const value = "canary-value"
	one, err := f.Of(DigestOf(value), "")
	if err != nil {
		t.Fatal(err)
	}
	two, err := f.Of(DigestOf(value), "")
	if err != nil {
		t.Fatal(err)
	}
	if one == two {
		t.Error("two fingerprints of one secret are equal, so they have no salt")
	}
	if strings.Contains(one, value) || strings.Contains(one, DigestOf(value)) {
		t.Errorf("%s gives the secret away", one)
	}
	if again, err := f.Of(DigestOf(value), one); err != nil || again != one {
		t.Errorf("the fingerprint of an unchanged secret changed from %s to %s (%v)", one, again, err)
	}
	for candidate, want := range map[string]bool{value: true, "canary-valuf": false, "": false} {
		if got, err := f.Matches(one, candidate); err != nil || got != want {
			t.Errorf("%q matches: %v, %v", candidate, got, err)
		}
	}
	for _, broken := range []string{"", "x", "pbkdf2-sha256$1$AA$AA", strings.Replace(one, "pbkdf2", "md5", 1)} {
		if got, err := f.Matches(broken, value); err != nil || got {
			t.Errorf("the broken fingerprint %q matches: %v, %v", broken, got, err)
		}
	}
}

// TestFingerprintCost proves that guessing costs, and that a run pays once.
func TestFingerprintCost(t *testing.T) {
	t.Parallel()
	var f Fingerprinter
	began := time.Now()
	one, err := f.Of(DigestOf("x"), "")
	if err != nil {
		t.Fatal(err)
	}
	first := time.Since(began)
	began = time.Now()
	for range 1000 {
		if again, err := f.Of(DigestOf("x"), one); err != nil || again != one {
			t.Fatal(again, err)
		}
	}
	if first < 2*time.Millisecond {
		t.Errorf("a guess costs only %s", first)
	}
	if repeated := time.Since(began) / 1000; repeated > first/10 {
		t.Errorf("a repetition costs %s, the first one cost %s", repeated, first)
	}
}

// TestNewToken proves the form that the dispatcher and the function demand.
func TestNewToken(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for range 100 {
		token, err := NewToken()
		if err != nil {
			t.Fatal(err)
		}
		if len(token) != 43 || strings.Trim(token, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_") != "" || seen[token] {
			t.Fatalf("a token of %d characters, repeated: %v", len(token), seen[token])
		}
		seen[token] = true
	}
}
