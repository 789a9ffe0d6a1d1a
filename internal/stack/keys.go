package stack

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"time"
)

// keys are the identifiers and keys of one project. Every stack has new ones, so a key
// that is found anywhere was leaked by this run.
type keys struct {
	ref         string // 20 lower-case letters
	accessToken string // full access to the Management API
	readToken   string // the same user's token with read permissions only
	userID      string // the user whom both tokens belong to

	jwtSecret   []byte
	anon        string // legacy key: an HS256 JWT
	serviceRole string // legacy key: an HS256 JWT
	publishable string // sb_publishable_…
	secret      string // sb_secret_…

	// legacyOff says that the legacy keys are deactivated, as in the dashboard.
	legacyOff *atomic.Bool

	resend string // what the sample application sends mails with
}

// newKeys returns the keys of a new project.
func newKeys(now time.Time) keys {
	k := keys{
		ref:         randomLetters(20),
		accessToken: "sbp_" + randomHex(20),
		readToken:   "sbp_" + randomHex(20),
		userID:      newUUID(),
		jwtSecret:   []byte(randomHex(32)),
		publishable: "sb_publishable_" + randomBase64(16) + "_" + randomBase64(6),
		secret:      "sb_secret_" + randomBase64(16) + "_" + randomBase64(6),
		resend:      "re_" + randomHex(12),
		legacyOff:   new(atomic.Bool),
	}
	k.anon = k.legacyKey("anon", now)
	k.serviceRole = k.legacyKey("service_role", now)
	return k
}

// legacyKey returns the project's JWT for a role, as Supabase issues it: valid for
// ten years.
func (k *keys) legacyKey(role string, now time.Time) string {
	return k.sign(map[string]any{
		"iss": "supabase", "ref": k.ref, "role": role,
		"iat": now.Unix(), "exp": now.AddDate(10, 0, 0).Unix(),
	})
}

// sign returns an HS256 JWT with the project's secret.
func (k *keys) sign(claims map[string]any) string {
	header, _ := json.Marshal(map[string]string{"alg": "HS256", "typ": "JWT"})
	payload, _ := json.Marshal(claims)
	text := base64.RawURLEncoding.EncodeToString(header) + "." + base64.RawURLEncoding.EncodeToString(payload)
	return text + "." + base64.RawURLEncoding.EncodeToString(k.mac(text))
}

func (k *keys) mac(text string) []byte {
	mac := hmac.New(sha256.New, k.jwtSecret)
	mac.Write([]byte(text))
	return mac.Sum(nil)
}

// Errors of a JWT.
var (
	errJWTFormat    = errors.New("not a JWT")
	errJWTAlgorithm = errors.New("signed by an algorithm other than HS256")
	errJWTSignature = errors.New("not signed by this project")
	errJWTExpired   = errors.New("expired")
	errJWTInactive  = errors.New("a legacy key that is deactivated")
)

// verify checks an HS256 JWT of this project and returns its claims. It leaves
// out asymmetric signing keys: an ES256 or RS256 token is always refused.
func (k *keys) verify(token string, now time.Time) (map[string]any, error) {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return nil, errJWTFormat
	}
	var header struct{ Alg string }
	var claims map[string]any
	for i, into := range []any{&header, &claims} {
		raw, err := base64.RawURLEncoding.DecodeString(parts[i])
		if err != nil {
			return nil, errJWTFormat
		}
		if err := json.Unmarshal(raw, into); err != nil {
			return nil, errJWTFormat
		}
	}
	if header.Alg != "HS256" {
		return nil, fmt.Errorf("%w: %q", errJWTAlgorithm, header.Alg)
	}
	signature, err := base64.RawURLEncoding.DecodeString(parts[2])
	if err != nil || !hmac.Equal(signature, k.mac(parts[0]+"."+parts[1])) {
		return nil, errJWTSignature
	}
	if k.legacyOff.Load() && (token == k.anon || token == k.serviceRole) {
		return nil, errJWTInactive
	}
	if exp, ok := claims["exp"].(float64); ok && now.Unix() >= int64(exp) {
		return nil, errJWTExpired
	}
	return claims, nil
}

// randomBytes returns n bytes from the system's generator, which does not fail.
func randomBytes(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.Read(b)
	return b
}

func randomHex(n int) string { return hex.EncodeToString(randomBytes(n)) }

func randomBase64(n int) string { return base64.RawURLEncoding.EncodeToString(randomBytes(n)) }

// randomLetters returns n lower-case letters.
func randomLetters(n int) string {
	b := randomBytes(n)
	for i := range b {
		b[i] = 'a' + b[i]%26
	}
	return string(b)
}

// newUUID returns a random UUID (version 4).
func newUUID() string {
	b := randomBytes(16)
	b[6] = b[6]&0x0f | 0x40
	b[8] = b[8]&0x3f | 0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

// sha256Hex returns the lower-case hexadecimal SHA-256 digest of a text.
func sha256Hex(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}

// UserToken returns a JWT of a signed-in user of the application, valid for an hour:
// what Supabase Auth issues, with the role authenticated.
func (s *Stack) UserToken() string {
	return s.keys.sign(map[string]any{
		"role": "authenticated", "sub": newUUID(), "exp": time.Now().Add(time.Hour).Unix(),
	})
}

// DeactivateLegacyKeys makes the project refuse the legacy keys anon and service_role,
// as the dashboard can. They remain in the environment of its functions and in the
// list of its keys.
func (s *Stack) DeactivateLegacyKeys() { s.keys.legacyOff.Store(true) }
