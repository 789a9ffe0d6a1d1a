package backup

import (
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"fmt"
	"strconv"
	"strings"
	"sync"
)

// fingerprintIterations makes one guess at a secret cost about 20 ms of one core,
// so that trying words does not reveal a short secret from a leaked state.
const fingerprintIterations = 100_000

// Fingerprinter computes salted fingerprints of function secrets. A fingerprint
// says whether a secret is still the same without revealing it. Its form is
// "pbkdf2-sha256$<iterations>$<salt>$<hash>", salt and hash in unpadded base64url.
// The key is derived from the secret's SHA-256, because that is what the
// Management API returns of a stored secret.
//
// The zero value is ready for use. It remembers what it computed, so that each
// key is derived once in a run. It is safe for concurrent use.
type Fingerprinter struct {
	known sync.Map // salt and digest → fingerprint
}

// Of returns the fingerprint of a secret's digest, as DigestOf makes it. It keeps
// the salt of a former fingerprint, if that is valid, so that an unchanged secret
// has an unchanged fingerprint.
func (f *Fingerprinter) Of(digest, former string) (string, error) {
	salt, ok := f.saltOf(former)
	if !ok {
		salt = make([]byte, 16)
		_, _ = rand.Read(salt) // it never fails
	}
	key := string(salt) + digest
	if known, ok := f.known.Load(key); ok {
		return known.(string), nil
	}
	hash, err := pbkdf2.Key(sha256.New, digest, salt, fingerprintIterations, sha256.Size)
	if err != nil {
		return "", fmt.Errorf("derive a fingerprint: %w", err)
	}
	encode := base64.RawURLEncoding.EncodeToString
	fingerprint := strings.Join([]string{"pbkdf2-sha256", strconv.Itoa(fingerprintIterations), encode(salt), encode(hash)}, "$")
	f.known.Store(key, fingerprint)
	return fingerprint, nil
}

// Matches reports whether a fingerprint is that of a secret value. A text that is
// not a fingerprint matches no value.
func (f *Fingerprinter) Matches(fingerprint, value string) (bool, error) {
	if _, ok := f.saltOf(fingerprint); !ok {
		return false, nil
	}
	wanted, err := f.Of(DigestOf(value), fingerprint)
	if err != nil {
		return false, err
	}
	return subtle.ConstantTimeCompare([]byte(wanted), []byte(fingerprint)) == 1, nil
}

func (*Fingerprinter) saltOf(fingerprint string) ([]byte, bool) {
	fields := strings.Split(fingerprint, "$")
	if len(fields) != 4 || fields[0] != "pbkdf2-sha256" || fields[1] != strconv.Itoa(fingerprintIterations) {
		return nil, false
	}
	salt, err := base64.RawURLEncoding.DecodeString(fields[2])
	return salt, err == nil && len(salt) > 0
}
