package offsite

import (
	"bytes"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"
	"time"
)

// LeastBits and MostBits are the sizes of the RSA keys to which copies are encrypted; the
// Edge Function has the same limits.
const (
	LeastBits = 3072
	MostBits  = 4096
)

// keyIDBytes is how much of a digest the ID of a key is, in bytes.
const keyIDBytes = 20

// Recipient is a public key to which copies are encrypted.
type Recipient struct {
	// DER is its SubjectPublicKeyInfo.
	DER []byte
	// Bits is the size of the modulus.
	Bits int
	// NotAfter is when its certificate expires; zero for a key without a certificate.
	NotAfter time.Time
}

// ErrPrivateKey says that a private key was given in the place of a public one. Its
// message does not contain the key.
var ErrPrivateKey = errors.New("this is a private key, and it must never be here: with it, whoever breaks into the project or reads the configuration can open every copy. " +
	"Take it out, and if it has been in a repository, a state or a log, make a new pair of keys. " +
	"The public key is what belongs here; write it with \"openssl pkey -in key.pem -pubout\"")

// ParseRecipient parses a public key or a certificate in PEM. Errors never contain the
// text, because it could be a private key.
func ParseRecipient(text string) (Recipient, error) {
	const form = `write the public key, for example with file("backup.pub.pem"); "openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:4096 -out key.pem" and "openssl pkey -in key.pem -pubout -out backup.pub.pem" make a pair`
	// A private key may be damaged, or have another block before it.
	if strings.Contains(strings.ToUpper(text), "PRIVATE KEY") {
		return Recipient{}, ErrPrivateKey
	}
	block, rest := pem.Decode([]byte(text))
	switch {
	case block == nil && strings.HasPrefix(strings.TrimSpace(text), "ssh-"):
		return Recipient{}, errors.New(`this is a key in the form of OpenSSH, not PEM; convert it with "ssh-keygen -e -m pkcs8 -f key.pub"`)
	case block == nil && strings.HasPrefix(strings.TrimSpace(text), "age1"):
		return Recipient{}, fmt.Errorf("this is a key of age, and copies are encrypted with CMS, which needs an RSA key; %s", form)
	case block == nil:
		return Recipient{}, fmt.Errorf("this is not PEM: it has no line -----BEGIN PUBLIC KEY----- with its end; %s", form)
	case len(bytes.TrimSpace(rest)) > 0:
		return Recipient{}, errors.New("there is more than one block of PEM, or text behind it; write each recipient as an element of its own, and of a chain only the first certificate")
	}
	var (
		key any
		r   Recipient
		err error
	)
	switch block.Type {
	case "PUBLIC KEY":
		key, err = x509.ParsePKIXPublicKey(block.Bytes)
	case "RSA PUBLIC KEY":
		key, err = x509.ParsePKCS1PublicKey(block.Bytes)
	case "CERTIFICATE":
		var certificate *x509.Certificate
		if certificate, err = x509.ParseCertificate(block.Bytes); err == nil {
			key, r.NotAfter = certificate.PublicKey, certificate.NotAfter
		}
	default:
		return Recipient{}, fmt.Errorf("this PEM has the type %.40q, which is neither a public key nor a certificate; %s", block.Type, form)
	}
	if err != nil {
		return Recipient{}, fmt.Errorf("the PEM cannot be read as a %s (%w); %s", strings.ToLower(block.Type), err, form)
	}
	public, isRSA := key.(*rsa.PublicKey)
	if !isRSA {
		return Recipient{}, fmt.Errorf("this is a key of another kind than RSA (%s), with which copies cannot be encrypted; %s", kind(key), form)
	}
	if r.Bits = public.N.BitLen(); r.Bits < LeastBits {
		return Recipient{}, fmt.Errorf("this RSA key has %d bits, and %d are needed, because copies may be kept for many years; %s", r.Bits, LeastBits, form)
	}
	if r.Bits > MostBits {
		return Recipient{}, fmt.Errorf("this RSA key has %d bits, and %d are the limit of what the Edge Function encrypts to; %s", r.Bits, MostBits, form)
	}
	if r.DER, err = x509.MarshalPKIXPublicKey(public); err != nil {
		return Recipient{}, fmt.Errorf("the public key cannot be written: %w", err)
	}
	return r, nil
}

// kind names a type of keys.
func kind(key any) string {
	name := strings.TrimPrefix(fmt.Sprintf("%T", key), "*")
	name, _, _ = strings.Cut(name, ".")
	return strings.ToUpper(name)
}

// String is the recipient as settings have it.
func (r Recipient) String() string { return base64.StdEncoding.EncodeToString(r.DER) }

// KeyID returns the ID of a recipient as settings have it, by which copies name it: the
// first 20 bytes of the SHA-256 of its DER, in hexadecimal; empty if it is not valid.
func KeyID(recipient string) string {
	der, err := base64.StdEncoding.DecodeString(recipient)
	if err != nil {
		return ""
	}
	sum := sha256.Sum256(der)
	return hex.EncodeToString(sum[:keyIDBytes])
}

// PEM returns a recipient as settings have it in the form that ParseRecipient reads.
func PEM(recipient string) string {
	der, err := base64.StdEncoding.DecodeString(recipient)
	if err != nil {
		return recipient // somebody has changed the settings
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
}
