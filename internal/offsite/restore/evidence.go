package restore

import (
	"crypto/ed25519"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
)

// Document returns a result as the JSON that is kept of it.
func (r *Result) Document() ([]byte, error) {
	encoded, err := json.MarshalIndent(r, "", "  ")
	return append(encoded, '\n'), err
}

// A Signer signs documents with an Ed25519 key.
type Signer struct{ key ed25519.PrivateKey }

// ParseSigner reads an Ed25519 private key in PEM, PKCS #8, that is not encrypted. Its
// errors quote nothing of the key.
func ParseSigner(data []byte) (*Signer, error) {
	block, _ := pem.Decode(data)
	if block == nil || block.Type != "PRIVATE KEY" {
		return nil, errors.New("it is not a private key in PEM; make one with: openssl genpkey -algorithm ed25519")
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, errors.New("it is damaged: it has the PEM lines of a private key, but not its structure")
	}
	key, ok := parsed.(ed25519.PrivateKey)
	if !ok {
		return nil, errors.New("it is not an Ed25519 key; make one with: openssl genpkey -algorithm ed25519")
	}
	return &Signer{key}, nil
}

// Sign returns the signature of a document, 64 bytes as in RFC 8032.
func (s *Signer) Sign(document []byte) []byte { return ed25519.Sign(s.key, document) }
