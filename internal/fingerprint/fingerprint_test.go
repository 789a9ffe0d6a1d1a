package fingerprint

import (
	"crypto/pbkdf2"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// TestFingerprint proves that a fingerprint recognises its secret and no other,
// contains neither the value nor its plain digest, differs between two
// installations of the same secret, and stays while the secret stays.
func TestFingerprint(t *testing.T) {
	t.Parallel()
	var f Cache
	const value = "canary-value"
	of := func(f *Cache, former string) string {
		t.Helper()
		fingerprint, err := f.Of(digestOf(value), former)
		if err != nil {
			t.Fatal(err)
		}
		return fingerprint
	}
	one, two := of(&f, ""), of(&f, "")
	if one == two {
		t.Error("two fingerprints of one secret are equal, so they have no salt")
	}
	if !regexp.MustCompile(`^pbkdf2-sha256\$600000\$[A-Za-z0-9_-]{22}\$[A-Za-z0-9_-]{43}$`).MatchString(one) {
		t.Errorf("%s does not have the documented form", one)
	}
	if strings.Contains(one, value) || strings.Contains(one, digestOf(value)) {
		t.Errorf("%s reveals the secret", one)
	}
	// One that has computed nothing yet agrees with one that remembers.
	for _, fingerprinter := range []*Cache{&f, {}} {
		if again := of(fingerprinter, one); again != one {
			t.Errorf("the fingerprint of an unchanged secret changed from %s to %s", one, again)
		}
	}
	if other, err := f.Of(digestOf("canary-valuf"), one); err != nil || other == one {
		t.Errorf("another value has the same fingerprint: %v", err)
	}
	for _, broken := range []string{
		"", "x", "pbkdf2-sha256$1$AA$AA", strings.Replace(one, "pbkdf2", "md5", 1), one + "$", strings.Replace(one, "600000", "1", 1),
		"pbkdf2-sha256$600000$$x", "pbkdf2-sha256$600000$!$x", "pbkdf2-sha256$600000$AAAA$x", strings.Replace(one, "600000", "100000", 1),
	} {
		if f.Is(broken) {
			t.Errorf("the broken fingerprint %q counts as one", broken)
		}
	}
	if !f.Is(one) {
		t.Errorf("%q does not count as a fingerprint", one)
	}
}

// TestFingerprintsAtOnce proves that fingerprints computed together are the same as
// one by one: an unchanged secret keeps its own, a changed one keeps the salt only,
// and a new one gets a salt of its own.
func TestFingerprintsAtOnce(t *testing.T) {
	t.Parallel()
	var f Cache
	digests, former := map[string]string{}, map[string]string{}
	for _, name := range []string{"A", "B", "C", "D"} {
		digests[name] = digestOf("the same")
	}
	first, err := f.All(digests, nil)
	if err != nil || len(first) != 4 || first["A"] == first["B"] {
		t.Fatalf("got %v, %v", first, err)
	}
	former["A"], former["B"], former["C"] = first["A"], first["B"], "broken"
	digests["B"] = digestOf("changed")
	second, err := (&Cache{}).All(digests, former)
	if err != nil {
		t.Fatal(err)
	}
	salt := func(fingerprint string) string { return strings.Split(fingerprint, "$")[2] }
	if second["A"] != first["A"] || second["B"] == first["B"] || salt(second["B"]) != salt(first["B"]) || salt(second["C"]) == salt(first["C"]) || salt(second["D"]) == salt(first["D"]) {
		t.Errorf("first %v, then %v", first, second)
	}
	if none, err := f.All(nil, former); err != nil || len(none) != 0 {
		t.Errorf("of no secrets: %v, %v", none, err)
	}
}

// BenchmarkFingerprint measures what one guess at a secret costs, and how long a
// plan or an apply waits for the fingerprints of 98 secrets, the most that a backup
// can have.
func BenchmarkFingerprint(b *testing.B) {
	digest := digestOf("x")
	b.Run("of_one_secret", func(b *testing.B) {
		for b.Loop() {
			if _, err := (&Cache{}).Of(digest, ""); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("of_98_secrets", func(b *testing.B) {
		digests := map[string]string{}
		for i := range 98 {
			digests[strconv.Itoa(i)] = digest
		}
		for b.Loop() {
			if _, err := (&Cache{}).All(digests, nil); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// TestFingerprintCost proves that a guess costs 600,000 rounds, and that a run
// derives the key of each fingerprint once.
func TestFingerprintCost(t *testing.T) {
	t.Parallel()
	var f Cache
	one, err := f.Of(digestOf("x"), "")
	if err != nil {
		t.Fatal(err)
	}
	fields := strings.Split(one, "$")
	if len(fields) != 4 || fields[1] != "600000" {
		t.Fatalf("a fingerprint is %q", one)
	}
	salt, err := base64.RawURLEncoding.DecodeString(fields[2])
	if err != nil {
		t.Fatal(err)
	}
	hash, err := pbkdf2.Key(sha256.New, digestOf("x"), salt, 600_000, 32)
	if err != nil || fields[3] != base64.RawURLEncoding.EncodeToString(hash) {
		t.Errorf("%q is not what 600,000 rounds make of it: %v", one, err)
	}
	f.known.Range(func(key, _ any) bool {
		f.known.Store(key, "what was kept")
		return true
	})
	if again, err := f.Of(digestOf("x"), one); err != nil || again != "what was kept" {
		t.Errorf("the second time it is %q, %v: it was computed again", again, err)
	}
}

// digestOf is what backup.DigestOf makes of a secret.
func digestOf(value string) string {
	sum := sha256.Sum256([]byte(value))
	return hex.EncodeToString(sum[:])
}
