// Package fingerprint computes what a state keeps of a function secret: enough to see
// whether it is still the same, and nothing from which it could be found.
package fingerprint

import (
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"runtime"
	"strconv"
	"strings"
	"sync"
)

// iterations makes a guess at a secret expensive, so that trying words
// does not reveal a short secret from a leaked state. It is the number for
// PBKDF2-HMAC-SHA256 in OWASP's Password Storage Cheat Sheet.
// BenchmarkFingerprint measures what it costs.
const iterations = 600_000

// Cache computes salted fingerprints of function secrets. A fingerprint
// says whether a secret is still the same without revealing it. Its form is
// "pbkdf2-sha256$<iterations>$<salt>$<hash>", salt and hash in unpadded base64url.
// The key is derived from the secret's SHA-256, because that is what the
// Management API returns of a stored secret.
//
// The zero value is ready for use. It remembers what it computed, so that each
// key is derived once in a run. It is safe for concurrent use.
type Cache struct {
	known sync.Map // salt and digest → fingerprint
}

// Of returns the fingerprint of a secret's digest, as backup.DigestOf makes it. It keeps
// the salt of a former fingerprint, if that is valid, so that an unchanged secret
// has an unchanged fingerprint.
func (c *Cache) Of(digest, former string) (string, error) {
	salt, ok := c.saltOf(former)
	if !ok {
		salt = make([]byte, 16)
		_, _ = rand.Read(salt) // it never fails
	}
	key := string(salt) + digest
	if known, ok := c.known.Load(key); ok {
		return known.(string), nil
	}
	hash, err := pbkdf2.Key(sha256.New, digest, salt, iterations, sha256.Size)
	if err != nil {
		return "", fmt.Errorf("derive a fingerprint: %w", err)
	}
	encode := base64.RawURLEncoding.EncodeToString
	text := strings.Join([]string{"pbkdf2-sha256", strconv.Itoa(iterations), encode(salt), encode(hash)}, "$")
	c.known.Store(key, text)
	return text, nil
}

// All returns the fingerprints of several secrets by name, like Of. It works on all
// cores: a plan of a hundred secrets would otherwise wait for one of them.
func (c *Cache) All(digests, former map[string]string) (map[string]string, error) {
	names := make(chan string, len(digests))
	for name := range digests {
		names <- name
	}
	close(names)
	var (
		workers sync.WaitGroup
		mu      sync.Mutex
		failed  error
	)
	all := make(map[string]string, len(digests))
	for range min(runtime.GOMAXPROCS(0), len(digests)) {
		workers.Go(func() {
			for name := range names {
				text, err := c.Of(digests[name], former[name])
				mu.Lock()
				all[name], failed = text, errors.Join(failed, err)
				mu.Unlock()
			}
		})
	}
	workers.Wait()
	return all, failed
}

// Is reports whether a text is a fingerprint, of whatever secret.
func (c *Cache) Is(text string) bool {
	_, ok := c.saltOf(text)
	return ok
}

func (*Cache) saltOf(text string) ([]byte, bool) {
	fields := strings.Split(text, "$")
	if len(fields) != 4 || fields[0] != "pbkdf2-sha256" || fields[1] != strconv.Itoa(iterations) {
		return nil, false
	}
	salt, err := base64.RawURLEncoding.DecodeString(fields[2])
	return salt, err == nil && len(salt) == 16
}
