package backup

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
)

// TokenState says what the database's vault and the function's secrets hold as
// the invocation token. They are compared by SHA-256; the token itself is never
// read.
type TokenState struct {
	// Vault is the digest of the vault's token, empty when there is none.
	Vault string
	// Function is the digest of the function's token, empty when there is none.
	Function string
	// Next is the digest of the function's second token during a rotation.
	Next string
	// Unreadable says that the vault has a token that could not be compared,
	// because auto_backup.token_digest was changed or may not be executed.
	Unreadable bool
	// Undecryptable says that the vault has a token that it cannot decrypt.
	Undecryptable bool
}

// Digest is the digest of the token if it is intact; else problem says what is
// wrong, in the words that follow "the invocation token". Exactly one of them is
// empty.
func (t TokenState) Digest() (digest, problem string) {
	switch {
	case t.Unreadable:
		return "", "cannot be compared, because auto_backup.token_digest is not as it was installed"
	case t.Undecryptable:
		return "", "cannot be decrypted by the vault, as after a restore into another project"
	case t.Vault == "" && t.Function == "":
		return "", "is missing in the vault and in the function's secrets"
	case t.Vault == "":
		return "", "is missing in the vault"
	case t.Function == "":
		return "", "is missing in the function's secrets"
	case t.Vault != t.Function:
		return "", "differs between the vault and the function's secrets"
	case t.Next != "":
		return "", "was being replaced, and the rotation is unfinished"
	}
	return t.Vault, ""
}

// Intact reports whether the vault and the function have the same token and no
// rotation is unfinished.
func (t TokenState) Intact() bool {
	digest, _ := t.Digest()
	return digest != ""
}

// DigestOf is the digest under which the Management API lists a secret: the
// lower-case hexadecimal SHA-256 of its UTF-8 text.
func DigestOf(value string) string {
	sum := sha256.Sum256([]byte(value))
	return hex.EncodeToString(sum[:])
}

// NewToken makes an invocation token: 256 random bits in unpadded base64url.
func NewToken() string {
	random := make([]byte, 32)
	_, _ = rand.Read(random) // it never fails: without randomness the program ends
	return base64.RawURLEncoding.EncodeToString(random)
}
