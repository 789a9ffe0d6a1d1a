package cms

import (
	"bytes"
	"context"
	"crypto/rsa"
	"crypto/sha1" //nolint:gosec // it identifies keys of other writers
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"sync"
	"time"

	"github.com/aimindset/terraform-provider-aimindset/internal/text"
)

// KeyID returns the identifier by which the Edge Function names a public key: the first
// 20 bytes of the SHA-256 of its SubjectPublicKeyInfo, in hexadecimal.
func KeyID(public *rsa.PublicKey) (string, error) {
	spki, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(spki)
	return hex.EncodeToString(sum[:20]), nil
}

// privateKey is an RSA private key.
type privateKey struct {
	key *rsa.PrivateKey
	ids []string
}

// ParsePrivateKey reads an RSA private key in PEM, PKCS #8 or PKCS #1, that is not
// encrypted. Its errors quote nothing of the key.
func ParsePrivateKey(data []byte) (Key, error) {
	block, _ := pem.Decode(data)
	if block == nil {
		return nil, errors.New("it is not PEM; it must begin with -----BEGIN PRIVATE KEY-----")
	}
	var parsed any
	var err error
	switch block.Type {
	case "PRIVATE KEY":
		parsed, err = x509.ParsePKCS8PrivateKey(block.Bytes)
	case "RSA PRIVATE KEY":
		if block.Headers["DEK-Info"] != "" {
			return nil, errEncrypted
		}
		parsed, err = x509.ParsePKCS1PrivateKey(block.Bytes)
	case "ENCRYPTED PRIVATE KEY":
		return nil, errEncrypted
	case "PUBLIC KEY", "CERTIFICATE":
		return nil, errors.New("it is the public key; the private key is needed to decrypt")
	default:
		return nil, errors.New("it is PEM of another kind; it must begin with -----BEGIN PRIVATE KEY-----")
	}
	if err != nil {
		return nil, errors.New("it is damaged: it has the PEM lines of a private key, but not its structure")
	}
	key, ok := parsed.(*rsa.PrivateKey)
	if !ok {
		return nil, errors.New("it is not an RSA key")
	}
	return newPrivateKey(key)
}

// errEncrypted is the error of a private key with a passphrase, which the standard
// library cannot read.
var errEncrypted = errors.New("it is encrypted with a passphrase; decrypt it first, in memory: openssl pkey -in key.pem")

// newPrivateKey knows a key by the identifiers that are in use: the Edge Function's, and
// those of RFC 5280 and RFC 7093, which certificates have.
func newPrivateKey(key *rsa.PrivateKey) (Key, error) {
	id, err := KeyID(&key.PublicKey)
	if err != nil {
		return nil, err
	}
	public := x509.MarshalPKCS1PublicKey(&key.PublicKey)
	short, long := sha1.Sum(public), sha256.Sum256(public) //nolint:gosec // see above
	return &privateKey{key, []string{id, hex.EncodeToString(short[:]), hex.EncodeToString(long[:20])}}, nil
}

// Unwrap implements Key.
func (k *privateKey) Unwrap(_ context.Context, recipients []Recipient) ([]byte, error) {
	for _, r := range recipients {
		if !slices.Contains(k.ids, r.KeyID) {
			continue
		}
		key, err := rsa.DecryptOAEP(sha256.New(), nil, k.key, r.Wrapped, nil)
		if err != nil {
			return nil, fmt.Errorf("its content key for %s is damaged", r.KeyID)
		}
		return key, nil
	}
	return nil, fmt.Errorf("%w: this one is %s, and it is encrypted for %s", ErrNotRecipient, k.ids[0], keyIDs(recipients))
}

// The limits of a command that unwraps a key.
const (
	commandTime   = time.Minute
	commandOutput = 4 << 10
)

// command is a program that unwraps content keys.
type command struct {
	argv []string

	mu sync.Mutex
	// id is the recipient for whom it worked.
	id string
}

// Command returns a key that a program holds, such as that of a KMS or an HSM: argv is
// the program and its arguments. For each object it gets the wrapped key in base64 on
// standard input, and the identifier of the recipient's key in the environment variable
// AIMINDSET_KEY_ID. It must print the content key in base64 within a minute, and nothing
// else. If it fails, it is called for the next recipient.
func Command(argv []string) Key { return &command{argv: argv} }

// Unwrap implements Key.
func (c *command) Unwrap(ctx context.Context, recipients []Recipient) ([]byte, error) {
	if len(c.argv) == 0 {
		return nil, errors.New("the command is empty")
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	recipients = slices.Clone(recipients)
	slices.SortStableFunc(recipients, func(a, b Recipient) int {
		switch {
		case a.KeyID == c.id && b.KeyID != c.id:
			return -1
		case b.KeyID == c.id && a.KeyID != c.id:
			return 1
		}
		return 0
	})
	var failures []error
	for _, r := range recipients {
		key, err := c.call(ctx, r)
		if err == nil {
			c.id = r.KeyID
			return key, nil
		}
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		failures = append(failures, fmt.Errorf("for the key %s: %w", r.KeyID, err))
	}
	return nil, errors.Join(failures...)
}

func (c *command) call(ctx context.Context, r Recipient) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, commandTime)
	defer cancel()
	cmd := exec.CommandContext(ctx, c.argv[0], c.argv[1:]...)
	cmd.WaitDelay = time.Second
	cmd.Env = append(os.Environ(), "AIMINDSET_KEY_ID="+r.KeyID)
	cmd.Stdin = bytes.NewBufferString(base64.StdEncoding.EncodeToString(r.Wrapped) + "\n")
	var out, said limited
	cmd.Stdout, cmd.Stderr = &out, &said
	err := cmd.Run()
	key, decodeErr := base64.StdEncoding.DecodeString(string(bytes.TrimSpace(out.Bytes())))
	switch {
	case ctx.Err() != nil && errors.Is(ctx.Err(), context.DeadlineExceeded):
		return nil, fmt.Errorf("the command did not end within %s", commandTime)
	case err != nil:
		return nil, fmt.Errorf("the command failed: %s%s", text.Line(err.Error()), quote(said.Bytes()))
	case decodeErr != nil:
		return nil, errors.New("the command did not print base64")
	case len(key) != keyLength:
		return nil, fmt.Errorf("the command printed %d bytes; a content key has %d", len(key), keyLength)
	}
	return key, nil
}

// quote returns what a command wrote to standard error, without anything that could be a
// key: runs of 20 and more characters of base64 or hexadecimal are hidden.
func quote(said []byte) string {
	line := text.Line(string(said))
	if line == "" {
		return ""
	}
	return ": " + text.Head(hideTokens(line), 300)
}

// hideTokens replaces what could be a part of a key.
func hideTokens(s string) string {
	var out, run []byte
	flush := func() {
		if len(run) >= 20 {
			run = []byte("[redacted]")
		}
		out, run = append(out, run...), nil
	}
	for i := range len(s) {
		c := s[i]
		if c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '+' || c == '/' || c == '=' || c == '_' {
			run = append(run, c)
			continue
		}
		flush()
		out = append(out, c)
	}
	flush()
	return string(out)
}

// limited keeps the beginning of what is written to it.
type limited struct{ bytes.Buffer }

func (l *limited) Write(p []byte) (int, error) {
	if room := commandOutput - l.Len(); room > 0 {
		_, _ = l.Buffer.Write(p[:min(room, len(p))])
	}
	return len(p), nil
}
