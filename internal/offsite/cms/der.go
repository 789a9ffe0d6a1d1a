package cms

import "errors"

// errDER is the error of bytes that are not the DER that this package expects.
var errDER = errors.New("its structure is damaged")

// The tags that occur, with the bit for constructed values.
const (
	tagInteger, tagOctets, tagNull, tagOID = 0x02, 0x04, 0x05, 0x06
	tagSequence, tagSet                    = 0x30, 0x31
	// tag0 and so on are context-specific; with constructed, they have parts.
	tag0, tag1, tag2, constructed = 0x80, 0x81, 0x82, 0x20
)

// der reads values one after another. Its methods return errDER if the bytes are not
// DER: lengths are definite and as short as possible.
type der []byte

// next returns the next value's tag and content.
func (d *der) next() (tag byte, content der, err error) {
	b := *d
	if len(b) < 2 || b[0]&0x1f == 0x1f {
		return 0, nil, errDER
	}
	tag, length, rest := b[0], int(b[1]), b[2:]
	if length >= 0x80 {
		size := length & 0x7f
		if size == 0 || size > 4 || len(rest) < size || rest[0] == 0 {
			return 0, nil, errDER
		}
		var n uint64
		for _, c := range rest[:size] {
			n = n<<8 | uint64(c)
		}
		if n < 0x80 || n > uint64(len(rest)-size) {
			return 0, nil, errDER
		}
		length, rest = int(n), rest[size:]
	}
	if length > len(rest) {
		return 0, nil, errDER
	}
	*d = rest[length:]
	return tag, rest[:length], nil
}

// read returns the content of the next value, which must have a tag.
func (d *der) read(want byte) (der, error) {
	tag, content, err := d.next()
	if err == nil && tag != want {
		err = errDER
	}
	return content, err
}

// peek returns the tag of the next value, or zero at the end.
func (d *der) peek() byte {
	if len(*d) == 0 {
		return 0
	}
	return (*d)[0]
}

// only returns the content of the one value that there must be.
func (d der) only(want byte) (der, error) {
	content, err := d.read(want)
	if err == nil && len(d) > 0 {
		err = errDER
	}
	return content, err
}
