package offsite

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"math/big"
	"strings"
	"testing"
	"time"
)

// block is a block of PEM.
func block(t *testing.T, kind string, der []byte, err error) string {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
}

// publicKey is a public key of so many bits. Nobody knows its private key, because its
// modulus is no product of two primes: making a real one takes seconds.
func publicKey(bits uint) *rsa.PublicKey {
	n := new(big.Int).Lsh(big.NewInt(1), bits-1)
	return &rsa.PublicKey{N: n.Add(n, big.NewInt(1)), E: 65537}
}

// TestParseRecipient proves which PEM is a recipient, and that no error contains it.
func TestParseRecipient(t *testing.T) {
	t.Parallel()
	key := publicKey(3072)
	spki, err := x509.MarshalPKIXPublicKey(key)
	public := block(t, "PUBLIC KEY", spki, err)
	elliptical, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	expires := time.Date(2031, 1, 2, 3, 4, 5, 0, time.UTC)
	certificate := func(of any) string {
		template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: expires.AddDate(-1, 0, 0), NotAfter: expires}
		der, err := x509.CreateCertificate(rand.Reader, template, template, of, elliptical)
		return block(t, "CERTIFICATE", der, err)
	}
	public2048, err := x509.MarshalPKIXPublicKey(publicKey(2048))
	small := block(t, "PUBLIC KEY", public2048, err)
	public8192, err := x509.MarshalPKIXPublicKey(publicKey(8192))
	large := block(t, "PUBLIC KEY", public8192, err)
	ellipticalDER, err := x509.MarshalPKIXPublicKey(elliptical.Public())
	ec := block(t, "PUBLIC KEY", ellipticalDER, err)
	edwards, _, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	edwardsDER, err := x509.MarshalPKIXPublicKey(edwards)
	ed := block(t, "PUBLIC KEY", edwardsDER, err)
	private, err := x509.MarshalPKCS8PrivateKey(elliptical)
	secret := block(t, "PRIVATE KEY", private, err)

	for what, c := range map[string]struct {
		text, says string
		expires    time.Time
	}{
		"public key":               {text: public},
		"public key with spaces":   {text: "\n\n" + public + "\n \n"},
		"public key of Windows":    {text: strings.ReplaceAll(public, "\n", "\r\n")},
		"RSA public key":           {text: block(t, "RSA PUBLIC KEY", x509.MarshalPKCS1PublicKey(key), nil)},
		"certificate":              {text: certificate(key), expires: expires},
		"4096 bits":                {text: block(t, "RSA PUBLIC KEY", x509.MarshalPKCS1PublicKey(publicKey(4096)), nil)},
		"2048 bits":                {text: small, says: "2048 bits, and 3072 are needed"},
		"8192 bits":                {text: large, says: "8192 bits, and 4096 are the limit"},
		"elliptic curve":           {text: ec, says: "another kind than RSA (ECDSA)"},
		"Ed25519":                  {text: ed, says: "another kind than RSA (ED25519)"},
		"certificate without RSA":  {text: certificate(elliptical.Public()), says: "another kind than RSA"},
		"private key":              {text: secret, says: "never be here"},
		"private key of RSA":       {text: strings.ReplaceAll(secret, "PRIVATE KEY", "RSA PRIVATE KEY"), says: "never be here"},
		"private key, encrypted":   {text: strings.ReplaceAll(secret, "PRIVATE KEY", "ENCRYPTED PRIVATE KEY"), says: "never be here"},
		"private key of OpenSSH":   {text: strings.ReplaceAll(secret, "PRIVATE KEY", "OPENSSH PRIVATE KEY"), says: "never be here"},
		"private key, cut off":     {text: secret[:len(secret)-20], says: "never be here"},
		"private key, second":      {text: public + secret, says: "never be here"},
		"private key, small caps":  {text: strings.ToLower(secret), says: "never be here"},
		"two keys":                 {text: public + public, says: "more than one block"},
		"text behind it":           {text: public + "canary", says: "text behind it"},
		"empty":                    {text: "", says: "not PEM"},
		"file name":                {text: "backup.pub.pem", says: "not PEM"},
		"key of age":               {text: "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p", says: "a key of age"},
		"key of OpenSSH":           {text: "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAABgQ canary", says: "ssh-keygen -e -m pkcs8"},
		"other PEM":                {text: block(t, "CERTIFICATE REQUEST", []byte("canary"), nil), says: `"CERTIFICATE REQUEST"`},
		"damaged public key":       {text: block(t, "PUBLIC KEY", spki[:100], nil), says: "cannot be read as a public key"},
		"damaged certificate":      {text: block(t, "CERTIFICATE", []byte("canary"), nil), says: "cannot be read as a certificate"},
		"wrong type of public key": {text: block(t, "RSA PUBLIC KEY", spki, nil), says: "cannot be read as a rsa public key"},
	} {
		r, err := ParseRecipient(c.text)
		switch {
		case c.says == "" && err != nil:
			t.Errorf("%s: %v", what, err)
			continue
		case c.says != "":
			if err == nil || !strings.Contains(err.Error(), c.says) {
				t.Errorf("%s: %v, want it to say %q", what, err, c.says)
			} else if body := strings.Split(c.text, "\n"); len(body) > 1 && strings.Contains(err.Error(), strings.TrimSpace(body[1])) || strings.Contains(err.Error(), "canary") {
				t.Errorf("%s: the error contains the text: %v", what, err)
			}
			if private := strings.Contains(c.says, "never"); private != errors.Is(err, ErrPrivateKey) {
				t.Errorf("%s: %v is ErrPrivateKey: %t", what, err, !private)
			}
			continue
		}
		if !r.NotAfter.Equal(c.expires) {
			t.Errorf("%s expires at %v, want %v", what, r.NotAfter, c.expires)
		}
		if r.Bits == 3072 && string(r.DER) != string(spki) {
			t.Errorf("%s: another key than the one that was written", what)
		}
		again, err := ParseRecipient(PEM(r.String()))
		if err != nil || again.String() != r.String() {
			t.Errorf("%s: PEM does not give the key back: %v", what, err)
		}
	}
	sum := sha256.Sum256(spki)
	r, err := ParseRecipient(public)
	if id := KeyID(r.String()); err != nil || id != hex.EncodeToString(sum[:20]) {
		t.Errorf("the key's ID is %s (%v)", id, err)
	}
	if KeyID("no base64") != "" || PEM("no base64") != "no base64" {
		t.Error("a text that is no key has an ID or a PEM")
	}
}
