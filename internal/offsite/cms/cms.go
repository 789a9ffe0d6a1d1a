// Package cms opens what is encrypted as CMS AuthEnvelopedData (RFC 5083) with
// AES-256-GCM (RFC 5084), whose content key is encrypted with RSA-OAEP and SHA-256 for
// each recipient (RFC 3560). The Edge Function and "openssl cms" write it.
package cms

import (
	"bytes"
	"context"
	"crypto/aes"
	"crypto/cipher"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
)

// The object identifiers, as the content of their DER.
var (
	oidAuthEnveloped = []byte{0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x09, 0x10, 0x01, 0x17}
	oidData          = []byte{0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x07, 0x01}
	oidGCM           = []byte{0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x01, 0x2e}
	oidOAEP          = []byte{0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x07}
	oidMGF1          = []byte{0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x08}
	oidPSpecified    = []byte{0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x09}
	oidSHA256        = []byte{0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01}
)

const (
	keyLength, nonceLength, tagLength = 32, 12, 16
	// maxRecipients limits what one object makes its reader do.
	maxRecipients = 32
)

var (
	// ErrNotRecipient says that the object is not encrypted for the key.
	ErrNotRecipient = errors.New("it is not encrypted for this key")
	// ErrAltered says that the content is not what was encrypted, or the key is not the right
	// one.
	ErrAltered = errors.New("its authentication tag is wrong: it was changed, or the key is not the right one")
)

// A Message is an encrypted object whose structure was read.
type Message struct {
	Recipients []Recipient

	nonce, sealed []byte
}

// A Recipient is one for whom the content key is encrypted.
type Recipient struct {
	// KeyID is the subject key identifier of the public key, in hexadecimal.
	KeyID string
	// Wrapped is the content key, encrypted with RSA-OAEP.
	Wrapped []byte
}

// A Key finds the content key of a message.
type Key interface {
	// Unwrap returns the 32 bytes of the content key. Its error is ErrNotRecipient if
	// no recipient's key is this one.
	Unwrap(ctx context.Context, recipients []Recipient) ([]byte, error)
}

// Open decrypts data, and returns nothing of it unless its tag is right.
func Open(ctx context.Context, data []byte, key Key) ([]byte, error) {
	message, err := Parse(data)
	if err != nil {
		return nil, err
	}
	contentKey, err := key.Unwrap(ctx, message.Recipients)
	if err != nil {
		return nil, err
	}
	return message.Open(contentKey)
}

// Open decrypts the content with its key.
func (m *Message) Open(contentKey []byte) ([]byte, error) {
	if len(contentKey) != keyLength {
		return nil, fmt.Errorf("the content key has %d bytes instead of %d", len(contentKey), keyLength)
	}
	block, err := aes.NewCipher(contentKey)
	if err != nil {
		return nil, err
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		return nil, err
	}
	plain, err := aead.Open(nil, m.nonce, m.sealed, nil)
	if err != nil {
		return nil, ErrAltered
	}
	return plain, nil
}

// Parse reads the structure of an object.
func Parse(data []byte) (*Message, error) {
	info, err := der(data).only(tagSequence)
	if err != nil {
		return nil, err
	}
	if err := info.is(tagOID, oidAuthEnveloped); err != nil {
		return nil, fmt.Errorf("it is not CMS AuthEnvelopedData: %w", err)
	}
	content, err := info.only(tag0 | constructed)
	if err != nil {
		return nil, err
	}
	body, err := content.only(tagSequence)
	if err != nil {
		return nil, err
	}
	if err := body.is(tagInteger, []byte{0}); err != nil {
		return nil, err
	}
	if body.peek() == tag0|constructed { // the originator's certificates
		if _, _, err := body.next(); err != nil {
			return nil, err
		}
	}
	m := &Message{}
	recipients, err := body.read(tagSet)
	if err != nil {
		return nil, err
	}
	if err := m.readRecipients(recipients); err != nil {
		return nil, err
	}
	if err := m.readContent(&body); err != nil {
		return nil, err
	}
	if body.peek() == tag1|constructed {
		return nil, errors.New("it has authenticated attributes, which the format does not have")
	}
	tag, err := body.read(tagOctets)
	if err != nil {
		return nil, err
	}
	if len(tag) != tagLength {
		return nil, fmt.Errorf("its authentication tag has %d bytes instead of %d", len(tag), tagLength)
	}
	if len(body) > 0 {
		return nil, errors.New("it has unauthenticated attributes, which the format does not have")
	}
	m.sealed = append(m.sealed, tag...)
	return m, nil
}

// readRecipients reads those recipients whose key is named by its identifier and whose
// algorithm is that of the format. Others are left out.
func (m *Message) readRecipients(set der) error {
	for count := 0; len(set) > 0; count++ {
		if count == maxRecipients {
			return fmt.Errorf("it has more than %d recipients", maxRecipients)
		}
		kind, info, err := set.next()
		if err != nil {
			return err
		}
		if kind != tagSequence {
			continue
		}
		version, err := info.read(tagInteger)
		if err != nil {
			return err
		}
		idTag, id, err := info.next()
		if err != nil {
			return err
		}
		algorithm, err := info.read(tagSequence)
		if err != nil {
			return err
		}
		wrapped, err := info.only(tagOctets)
		if err != nil {
			return err
		}
		if !bytes.Equal(version, []byte{2}) || idTag != tag0 || !isOAEP(algorithm) {
			continue
		}
		m.Recipients = append(m.Recipients, Recipient{KeyID: hex.EncodeToString(id), Wrapped: wrapped})
	}
	if len(m.Recipients) == 0 {
		return errors.New("it has no recipient with a subject key identifier and RSA-OAEP with SHA-256")
	}
	return nil
}

// readContent reads the EncryptedContentInfo.
func (m *Message) readContent(body *der) error {
	info, err := body.read(tagSequence)
	if err != nil {
		return err
	}
	if err := info.is(tagOID, oidData); err != nil {
		return err
	}
	algorithm, err := info.read(tagSequence)
	if err != nil {
		return err
	}
	if err := algorithm.is(tagOID, oidGCM); err != nil {
		return fmt.Errorf("its content is not encrypted with AES-256-GCM: %w", err)
	}
	parameters, err := algorithm.only(tagSequence)
	if err != nil {
		return err
	}
	nonce, err := parameters.read(tagOctets)
	if err != nil {
		return err
	}
	length, err := parameters.only(tagInteger)
	if err != nil {
		return err
	}
	if len(nonce) != nonceLength || !bytes.Equal(length, []byte{tagLength}) {
		return fmt.Errorf("its nonce must have %d bytes and its authentication tag %d", nonceLength, tagLength)
	}
	content, err := info.only(tag0)
	if err != nil {
		return err
	}
	m.nonce = nonce
	m.sealed = append(make([]byte, 0, len(content)+tagLength), content...)
	return nil
}

// isOAEP reports whether an algorithm is RSA-OAEP with SHA-256 for both of its parts and
// without a label.
func isOAEP(algorithm der) bool {
	if algorithm.is(tagOID, oidOAEP) != nil {
		return false
	}
	parameters, err := algorithm.only(tagSequence)
	if err != nil {
		return false
	}
	hash, err := parameters.read(tag0 | constructed)
	if err != nil || !isSHA256(hash) {
		return false
	}
	mask, err := parameters.read(tag1 | constructed)
	if err != nil {
		return false
	}
	if mask, err = mask.only(tagSequence); err != nil || mask.is(tagOID, oidMGF1) != nil || !isSHA256(mask) {
		return false
	}
	if len(parameters) == 0 {
		return true
	}
	source, err := parameters.only(tag2 | constructed)
	if err != nil {
		return false
	}
	if source, err = source.only(tagSequence); err != nil || source.is(tagOID, oidPSpecified) != nil {
		return false
	}
	label, err := source.only(tagOctets)
	return err == nil && len(label) == 0
}

// isSHA256 reports whether d is the algorithm SHA-256, whose parameters are absent or
// NULL.
func isSHA256(d der) bool {
	algorithm, err := d.only(tagSequence)
	if err != nil || algorithm.is(tagOID, oidSHA256) != nil {
		return false
	}
	if len(algorithm) == 0 {
		return true
	}
	null, err := algorithm.only(tagNull)
	return err == nil && len(null) == 0
}

// is reads the next value, which must be the given one.
func (d *der) is(tag byte, content []byte) error {
	got, err := d.read(tag)
	if err == nil && !bytes.Equal(got, content) {
		err = errDER
	}
	return err
}

// keyIDs lists the recipients for an error.
func keyIDs(recipients []Recipient) string {
	ids := make([]string, len(recipients))
	for i, r := range recipients {
		ids[i] = r.KeyID
	}
	return strings.Join(ids, ", ")
}
