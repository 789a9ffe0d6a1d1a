package postgres

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
)

const (
	// maxParameters and maxParameterLength, in bytes, limit the settings that a
	// server reports and that are kept as long as the connection. PostgreSQL 17
	// reports 15 in less than 600 bytes.
	maxParameters      = 200
	maxParameterLength = 4 << 10
)

var errParameters = errors.New("the server reports more settings than a PostgreSQL server has")

// A parameterLimit passes on what a server sends, until it reports more settings
// than are reasonable. pgconn keeps each of them, so a server could otherwise
// fill the memory.
type parameterLimit struct {
	from io.Reader
	// header is what has arrived of the current message's type and length, left
	// how much of its body has not, and body what has arrived of a setting's.
	header []byte
	left   int
	body   []byte
	names  map[string]struct{}
	err    error
}

// Read implements io.Reader.
func (l *parameterLimit) Read(p []byte) (int, error) {
	if l.err != nil {
		return 0, l.err
	}
	n, err := l.from.Read(p)
	if l.err = l.scan(p[:n]); l.err != nil {
		return 0, l.err
	}
	return n, err
}

// scan follows the messages and counts the settings in them.
func (l *parameterLimit) scan(p []byte) error {
	for len(p) > 0 {
		if l.left == 0 {
			n := min(len(p), 5-len(l.header))
			l.header, p = append(l.header, p[:n]...), p[n:]
			if len(l.header) < 5 {
				return nil
			}
			length := binary.BigEndian.Uint32(l.header[1:])
			if length < 4 || length > largestMessage {
				return nil // the frontend refuses it
			}
			l.left = int(length) - 4
			if l.reports() && l.left > maxParameterLength {
				return errParameters
			}
		}
		n := min(len(p), l.left)
		if l.reports() {
			l.body = append(l.body, p[:n]...)
		}
		p, l.left = p[n:], l.left-n
		if l.left > 0 {
			return nil
		}
		if l.reports() {
			name, _, _ := bytes.Cut(l.body, []byte{0})
			if l.names == nil {
				l.names = map[string]struct{}{}
			}
			l.names[string(name)] = struct{}{}
			if len(l.names) > maxParameters {
				return errParameters
			}
		}
		l.header, l.body = l.header[:0], l.body[:0]
	}
	return nil
}

// reports reports whether the current message is a ParameterStatus.
func (l *parameterLimit) reports() bool { return l.header[0] == 'S' }
