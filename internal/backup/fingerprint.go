package backup

import (
	"bytes"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"sync"
)

// fingerprintIterations makes one guess at a secret cost about 20 ms of one
// core, so that a short secret is not read off a leaked state by trying words.
const fingerprintIterations = 100_000

// Fingerprinter computes salted fingerprints of function secrets. A
// fingerprint says whether a secret is still the same without giving it away.
// Its form is "pbkdf2-sha256$<iterations>$<salt>$<hash>", salt and hash in
// unpadded base64url; what is stretched is the secret's SHA-256, because that
// is what the Management API tells of a stored secret.
//
// The zero value is ready. It remembers what it computed, so that each secret
// is stretched once in a run.
type Fingerprinter struct {
	known sync.Map // salt and digest → fingerprint
}

// Of returns the fingerprint of a secret's digest (lower-case hexadecimal
// SHA-256). It keeps the salt of a former fingerprint, if there is one, so
// that an unchanged secret has an unchanged fingerprint.
func (f *Fingerprinter) Of(digest, former string) (string, error) {
	salt, ok := saltOf(former)
	if !ok {
		salt = make([]byte, 16)
		if _, err := rand.Read(salt); err != nil {
			return "", fmt.Errorf("make a salt: %w", err)
		}
	}
	key := string(salt) + digest
	if known, ok := f.known.Load(key); ok {
		return known.(string), nil
	}
	hash, err := pbkdf2.Key(sha256.New, digest, salt, fingerprintIterations, sha256.Size)
	if err != nil {
		return "", fmt.Errorf("stretch a digest: %w", err)
	}
	encode := base64.RawURLEncoding.EncodeToString
	fingerprint := strings.Join([]string{"pbkdf2-sha256", strconv.Itoa(fingerprintIterations), encode(salt), encode(hash)}, "$")
	f.known.Store(key, fingerprint)
	return fingerprint, nil
}

// Matches reports whether a fingerprint is that of a secret value.
func (f *Fingerprinter) Matches(fingerprint, value string) (bool, error) {
	if _, ok := saltOf(fingerprint); !ok {
		return false, nil
	}
	wanted, err := f.Of(DigestOf(value), fingerprint)
	if err != nil {
		return false, err
	}
	return subtle.ConstantTimeCompare([]byte(wanted), []byte(fingerprint)) == 1, nil
}

func saltOf(fingerprint string) ([]byte, bool) {
	fields := strings.Split(fingerprint, "$")
	if len(fields) != 4 || fields[0] != "pbkdf2-sha256" || fields[1] != strconv.Itoa(fingerprintIterations) {
		return nil, false
	}
	salt, err := base64.RawURLEncoding.DecodeString(fields[2])
	return salt, err == nil && len(salt) > 0
}

// DigestOf is the digest under which the Management API lists a secret: the
// lower-case hexadecimal SHA-256 of its UTF-8 text.
func DigestOf(value string) string {
	sum := sha256.Sum256([]byte(value))
	return hex.EncodeToString(sum[:])
}

// NewToken makes an invocation token: 256 random bits in unpadded base64url.
func NewToken() (string, error) {
	random := make([]byte, 32)
	if _, err := rand.Read(random); err != nil {
		return "", fmt.Errorf("make a token: %w", err)
	}
	return base64.RawURLEncoding.EncodeToString(random), nil
}

// NewInstance makes the mark by which one creation of a backup is told from
// the next.
func NewInstance() string { return rand.Text() }

// equalJSON reports whether two values have the same JSON form.
func equalJSON(a, b any) bool {
	left, errLeft := json.Marshal(a)
	right, errRight := json.Marshal(b)
	return errLeft == nil && errRight == nil && bytes.Equal(left, right)
}
