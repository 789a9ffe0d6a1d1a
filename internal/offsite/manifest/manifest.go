// Package manifest reads the manifests of off-site copies, in the format
// aimindset-backup/1, which docs/guides/off-site-format.md describes.
//
// A manifest comes from a bucket that others may be able to write to. So everything in
// it is checked before it is used: the sizes of what it names, that its keys stay below
// its folder, and that its sums are those of its parts.
package manifest

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"strings"
	"time"

	"github.com/aimindset/terraform-provider-aimindset/internal/text"
)

const (
	// Format is the name of the format with its major version.
	Format = "aimindset-backup/1"
	// Largest is the size of the largest manifest that is read, in bytes.
	Largest = 16 << 20
	// LargestObject is the size of the largest object that a manifest may name, in
	// bytes.
	LargestObject = 256 << 20
	// LargestRaw is the size of the largest object when it is opened, in bytes.
	LargestRaw = 1 << 30
)

// A Manifest is the list of what one backup in a bucket consists of.
type Manifest struct {
	Format      string `json:"format"`
	ProjectRef  string `json:"project_ref"`
	Backup      string `json:"backup"`
	Destination string `json:"destination"`
	// Sequence counts the backups of a destination, from 1.
	Sequence int64 `json:"sequence"`
	// Previous is the manifest before; nil in the first one.
	Previous *Previous `json:"previous"`
	RunID    string    `json:"run_id"`
	BackupID string    `json:"backup_id"`
	// MadeAt is when the rows were backed up, ExportedAt when they were in the bucket.
	MadeAt      time.Time  `json:"made_at"`
	ExportedAt  time.Time  `json:"exported_at"`
	Source      Source     `json:"source"`
	Encryption  Encryption `json:"encryption"`
	Compression string     `json:"compression"`
	Tables      []Table    `json:"tables"`
	Schema      []Section  `json:"schema"`
	Restores    []Restore  `json:"restores"`
	Files       []File     `json:"files"`
	Abandoned   []string   `json:"abandoned"`
	// LeftOut are objects of the database that the schema's SQL does not create.
	LeftOut    []LeftOut    `json:"left_out"`
	NotCovered []NotCovered `json:"not_covered"`

	// SHA256 is the digest of the manifest's bytes, in hexadecimal.
	SHA256 string `json:"-"`
}

// Previous names the manifest before and its digest.
type Previous struct {
	// Key is the whole key in the bucket.
	Key    string `json:"key"`
	SHA256 string `json:"sha256"`
}

// Source is the database that was backed up, and what did it.
type Source struct {
	ServerVersion   string `json:"server_version"`
	Encoding        string `json:"encoding"`
	Collation       string `json:"collation"`
	ProviderVersion string `json:"provider_version"`
	FunctionVersion string `json:"function_version"`
}

// Encryption says how every object whose key ends in .cms is encrypted.
type Encryption struct {
	Type       string      `json:"type"`
	Content    string      `json:"content"`
	KeyWrap    string      `json:"key_wrap"`
	Recipients []Recipient `json:"recipients"`
}

// A Recipient is a key that opens the objects.
type Recipient struct {
	// KeyID is the subject key identifier, in hexadecimal.
	KeyID string `json:"key_id"`
}

// A File is an object and what it must be.
type File struct {
	// Key is relative to the manifest's folder.
	Key    string `json:"key"`
	Bytes  int64  `json:"bytes"`
	SHA256 string `json:"sha256"`
}

// Sealed is an encrypted object, and what it must be when opened.
type Sealed struct {
	File
	RawBytes  int64  `json:"raw_bytes"`
	RawSHA256 string `json:"raw_sha256"`
}

// A Part is an object with rows of a table, one JSON object a line.
type Part struct {
	Sealed
	Rows int64 `json:"rows"`
}

// A Section is an object with SQL. "before" comes before the rows, "after" after them.
type Section struct {
	Sealed
	Section string `json:"section"`
}

// A Table is a table and its rows.
type Table struct {
	No     int    `json:"no"`
	Schema string `json:"schema"`
	Name   string `json:"name"`
	// Source is "stored" if the rows are those of one stored backup, "live" if they are
	// all of the table.
	Source string `json:"source"`
	// Columns are those of the lines, in their order. Identity names those of them that
	// the database numbers, Generated those of the table that it computes, which the
	// lines may have.
	Columns   []Column `json:"columns"`
	Identity  []string `json:"identity"`
	Generated []string `json:"generated"`
	Rows      int64    `json:"rows"`
	RawBytes  int64    `json:"raw_bytes"`
	Digest    Digest   `json:"digest"`
	Parts     []Part   `json:"parts"`
}

// A Column is a column, with its type as format_type writes it.
type Column struct {
	Name string `json:"name"`
	Type string `json:"type"`
}

// A Restore says that the rows of a stored backup restore a live table.
type Restore struct {
	// Live and Copy are each a schema and a table.
	Live [2]string `json:"live"`
	Copy [2]string `json:"copy"`
	// Columns maps the columns of the live table to those of the copy. Nil means by
	// name, and id from original_id.
	Columns map[string]string `json:"columns"`
}

// NotCovered is something that the backup does not hold, with the reason.
type NotCovered struct {
	Surface string `json:"surface"`
	Status  string `json:"status"`
	Reason  string `json:"reason"`
}

// LeftOut is an object of the database that the schema's SQL does not create.
type LeftOut struct {
	Kind   string   `json:"kind"`
	Name   string   `json:"name"`
	Reason string   `json:"reason"`
	Needs  []string `json:"needs"`
}

// A Digest is the sum of the digests of all lines, in any order: a whole number, which
// can be negative and larger than an int64. Zero is the digest of no line.
type Digest struct{ sum big.Int }

// Add adds a line, without its line feed: the first 64 bits of its MD5 digest, as a
// signed number.
func (d *Digest) Add(line []byte) { d.sum.Add(&d.sum, lineDigest(line)) }

// Plus adds another digest.
func (d *Digest) Plus(other Digest) { d.sum.Add(&d.sum, &other.sum) }

// Equal reports whether two digests are the same.
func (d Digest) Equal(other Digest) bool { return d.sum.Cmp(&other.sum) == 0 }

// String returns the decimal digits.
func (d Digest) String() string { return d.sum.String() }

// ParseDigest parses what String returns.
func ParseDigest(s string) (Digest, error) {
	var d Digest
	if _, ok := d.sum.SetString(s, 10); !ok || len(s) > 60 {
		return Digest{}, errors.New("a digest of rows is not a whole number")
	}
	return d, nil
}

// MarshalJSON writes a string, because many readers of JSON round large numbers.
func (d Digest) MarshalJSON() ([]byte, error) { return json.Marshal(d.String()) }

// UnmarshalJSON reads a number or a string of digits.
func (d *Digest) UnmarshalJSON(data []byte) (err error) {
	*d, err = ParseDigest(strings.Trim(string(data), `"`))
	return err
}

// Read reads a manifest and checks it. errors.Is(err, ErrNewer) tells one of a newer
// format.
func Read(data []byte) (*Manifest, error) {
	if len(data) > Largest {
		return nil, fmt.Errorf("it has %d bytes; %d are the limit", len(data), Largest)
	}
	// The format comes first: a newer one may be different in everything else.
	var version struct {
		Format string `json:"format"`
	}
	if err := json.Unmarshal(data, &version); err != nil {
		return nil, fmt.Errorf("it is not JSON: %s", text.Line(err.Error()))
	}
	if err := checkFormat(version.Format); err != nil {
		return nil, err
	}
	if err := checksum(data); err != nil {
		return nil, err
	}
	m := &Manifest{}
	if err := json.Unmarshal(data, m); err != nil {
		return nil, fmt.Errorf("it does not have the form of %s: %s", Format, text.Line(err.Error()))
	}
	sum := sha256.Sum256(data)
	m.SHA256 = hex.EncodeToString(sum[:])
	if err := m.validate(); err != nil {
		return nil, err
	}
	return m, nil
}

// ErrNewer is the kind of error of a manifest whose format this provider does not know.
var ErrNewer = errors.New("the format is not known")

func checkFormat(format string) error {
	switch name, version, _ := strings.Cut(format, "/"); {
	case format == Format:
		return nil
	case name == "aimindset-backup" && version != "":
		return fmt.Errorf("%w: it is %q, and this provider reads %s; use a newer version of the provider", ErrNewer, text.Head(text.Line(format), 60), Format)
	}
	return fmt.Errorf("%w: it is not a manifest of %s", ErrNewer, Format)
}

// checksum compares the manifest with the digest in its last line, which is that of all
// bytes before that line.
func checksum(data []byte) error {
	body, whole := bytes.CutSuffix(data, []byte("\n"))
	start := bytes.LastIndexByte(body, '\n') + 1
	last := string(body[start:])
	value, ok := strings.CutPrefix(last, `"checksum":"`)
	value, closed := strings.CutSuffix(value, `"}`)
	if !whole || !ok || !closed || !isSHA256(value) {
		return errors.New("its last line is not its checksum; it was cut or changed")
	}
	if sum := sha256.Sum256(data[:start]); hex.EncodeToString(sum[:]) != value {
		return errors.New("its checksum is wrong; it was changed")
	}
	return nil
}

// Seal returns the bytes of a manifest: a JSON document with its checksum. It is what
// the database does when it writes one; here, tests use it.
func Seal(document []byte) ([]byte, error) {
	document = bytes.TrimSpace(document)
	document, ok := bytes.CutSuffix(document, []byte("}"))
	if !ok {
		return nil, errors.New("a manifest is a JSON object")
	}
	body := append(bytes.TrimRight(document, "\n "), ",\n"...)
	sum := sha256.Sum256(body)
	return append(body, `"checksum":"`+hex.EncodeToString(sum[:])+"\"}\n"...), nil
}
