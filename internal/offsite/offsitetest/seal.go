// Package offsitetest writes backups in the format aimindset-backup/1, and a small S3
// server that has them, for the tests of what reads them.
package offsitetest

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/hex"
	"encoding/pem"
	"sync"

	"github.com/aimindset/terraform-provider-aimindset/internal/offsite/cms"
)

// Key returns an RSA key of 3072 bits, the same each time for the same number, because
// making one takes a second.
func Key(n int) *rsa.PrivateKey {
	keysMu.Lock()
	defer keysMu.Unlock()
	if keys[n] == nil {
		key, err := rsa.GenerateKey(rand.Reader, 3072)
		if err != nil {
			panic(err)
		}
		keys[n] = key
	}
	return keys[n]
}

var (
	keysMu sync.Mutex
	keys   = map[int]*rsa.PrivateKey{}
)

// PEM returns a private key as PKCS #8 in PEM.
func PEM(key *rsa.PrivateKey) []byte {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		panic(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
}

// KeyID returns the identifier of a key.
func KeyID(key *rsa.PrivateKey) string {
	id, err := cms.KeyID(&key.PublicKey)
	if err != nil {
		panic(err)
	}
	return id
}

type (
	contentInfo struct {
		Type    asn1.ObjectIdentifier
		Content authEnveloped `asn1:"explicit,tag:0"`
	}
	authEnveloped struct {
		Version    int
		Recipients []recipient `asn1:"set"`
		Content    encryptedContent
		Tag        []byte
	}
	recipient struct {
		Version   int
		KeyID     []byte `asn1:"tag:0"`
		Algorithm pkix.AlgorithmIdentifier
		Wrapped   []byte
	}
	encryptedContent struct {
		Type      asn1.ObjectIdentifier
		Algorithm gcmAlgorithm
		Content   []byte `asn1:"tag:0"`
	}
	gcmAlgorithm struct {
		Algorithm  asn1.ObjectIdentifier
		Parameters struct {
			Nonce     []byte
			TagLength int
		}
	}
	oaepParameters struct {
		Hash pkix.AlgorithmIdentifier `asn1:"explicit,tag:0"`
		Mask maskAlgorithm            `asn1:"explicit,tag:1"`
	}
	maskAlgorithm struct {
		Algorithm  asn1.ObjectIdentifier
		Parameters pkix.AlgorithmIdentifier
	}
)

// Seal encrypts for the keys.
func Seal(plain []byte, recipients ...*rsa.PrivateKey) []byte {
	contentKey, nonce := make([]byte, 32), make([]byte, 12)
	_, _ = rand.Read(contentKey)
	_, _ = rand.Read(nonce)
	block, err := aes.NewCipher(contentKey)
	if err != nil {
		panic(err)
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		panic(err)
	}
	sealed := aead.Seal(nil, nonce, plain, nil)
	sha := pkix.AlgorithmIdentifier{Algorithm: asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 2, 1}}
	oaep := marshal(oaepParameters{sha, maskAlgorithm{asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 8}, sha}})
	info := contentInfo{Type: asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 16, 1, 23}}
	for _, key := range recipients {
		wrapped, err := rsa.EncryptOAEP(sha256.New(), rand.Reader, &key.PublicKey, contentKey, nil)
		if err != nil {
			panic(err)
		}
		id, _ := hex.DecodeString(KeyID(key))
		info.Content.Recipients = append(info.Content.Recipients, recipient{2, id, pkix.AlgorithmIdentifier{
			Algorithm: asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 7}, Parameters: asn1.RawValue{FullBytes: oaep},
		}, wrapped})
	}
	content := encryptedContent{Type: asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 7, 1}, Content: sealed[:len(plain)]}
	content.Algorithm.Algorithm = asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 1, 46}
	content.Algorithm.Parameters.Nonce, content.Algorithm.Parameters.TagLength = nonce, 16
	info.Content.Content, info.Content.Tag = content, bytes.Clone(sealed[len(plain):])
	return marshal(info)
}

func marshal(value any) []byte {
	der, err := asn1.Marshal(value)
	if err != nil {
		panic(err)
	}
	return der
}
