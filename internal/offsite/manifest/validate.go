package manifest

import (
	"crypto/md5" //nolint:gosec // the database computes the same; SHA-256 guards the bytes
	"encoding/binary"
	"errors"
	"fmt"
	"math/big"
	"path"
	"strings"
	"time"

	"github.com/aimindset/terraform-provider-aimindset/internal/text"
)

// The sources of a table's rows.
const (
	Stored = "stored"
	Live   = "live"
)

// The sections of the schema.
const (
	Before = "before"
	After  = "after"
)

// The encryption of the format.
const (
	encryptionType = "cms-authenveloped-data"
	contentCipher  = "aes-256-gcm"
	keyWrap        = "rsa-oaep-sha256"
	compression    = "gzip"
)

// Folder is the name of the folder of a backup: when it was made, in UTC, and its ID.
func Folder(madeAt time.Time, backupID string) string {
	return strings.ToLower(madeAt.UTC().Format("20060102T150405Z")) + "-" + backupID
}

// Folder is the name of the manifest's folder.
func (m *Manifest) Folder() string { return Folder(m.MadeAt, m.BackupID) }

// MadeAtOf returns when the backup in a folder was made, and its ID. It returns false if
// the name is not that of a backup's folder.
func MadeAtOf(folder string) (madeAt time.Time, backupID string, ok bool) {
	at, id, found := strings.Cut(folder, "-")
	madeAt, err := time.Parse("20060102T150405Z", strings.ToUpper(at))
	return madeAt, id, found && err == nil && isUUID(id) && strings.ToLower(folder) == folder
}

// IsName reports whether a name in the folder of a backup is that of a manifest:
// manifest.json, or one with a suffix if the first could not be confirmed.
func IsName(name string) bool {
	suffix, ok := strings.CutPrefix(name, "manifest")
	suffix, is := strings.CutSuffix(suffix, ".json")
	return ok && is && (suffix == "" || strings.HasPrefix(suffix, "-") && len(suffix) > 1 && isHex(suffix[1:]))
}

// Objects are all objects that the backup consists of, but for the manifest.
func (m *Manifest) Objects() []File {
	var files []File
	for _, s := range m.Schema {
		files = append(files, s.File)
	}
	for _, t := range m.Tables {
		for _, p := range t.Parts {
			files = append(files, p.File)
		}
	}
	return append(files, m.Files...)
}

// Bytes is the size of all objects.
func (m *Manifest) Bytes() (sum int64) {
	for _, o := range m.Objects() {
		sum += o.Bytes
	}
	return sum
}

// Rows is the number of rows of all tables.
func (m *Manifest) Rows() (sum int64) {
	for _, t := range m.Tables {
		sum += t.Rows
	}
	return sum
}

// validate checks everything that can be checked without another object. What it quotes
// of the manifest is one printable line.
func (m *Manifest) validate() error {
	for what, value := range map[string]string{"project_ref": m.ProjectRef, "backup": m.Backup, "destination": m.Destination} {
		if value == "" || len(value) > 200 {
			return fmt.Errorf("%s is missing or too long", what)
		}
	}
	switch {
	case m.Sequence < 1:
		return errors.New("sequence must be 1 or more")
	case (m.Previous == nil) != (m.Sequence == 1):
		return errors.New("previous must be there, except in the first manifest")
	case m.Previous != nil && (!isSHA256(m.Previous.SHA256) || !IsName(path.Base(m.Previous.Key))):
		return errors.New("previous must name a manifest and its SHA-256")
	case !isUUID(m.RunID) || !isUUID(m.BackupID):
		return errors.New("run_id and backup_id must be UUIDs")
	case m.MadeAt.IsZero() || m.ExportedAt.IsZero():
		return errors.New("made_at and exported_at must be times")
	case m.Encryption.Type != encryptionType || m.Encryption.Content != contentCipher || m.Encryption.KeyWrap != keyWrap:
		return fmt.Errorf("encryption must be %s with %s and %s", encryptionType, contentCipher, keyWrap)
	case len(m.Encryption.Recipients) == 0:
		return errors.New("encryption must name the recipients")
	case m.Compression != compression:
		return errors.New("compression must be " + compression)
	}
	seen := map[string]bool{}
	file := func(f File) error {
		switch {
		case !relative(f.Key):
			return fmt.Errorf("the key %s does not stay below the manifest's folder", quote(f.Key))
		case seen[f.Key]:
			return fmt.Errorf("the key %s occurs twice", quote(f.Key))
		case f.Bytes < 0 || f.Bytes > LargestObject:
			return fmt.Errorf("%s: bytes must be between 0 and %d", quote(f.Key), LargestObject)
		case !isSHA256(f.SHA256):
			return fmt.Errorf("%s: sha256 must be 64 hexadecimal digits", quote(f.Key))
		}
		seen[f.Key] = true
		return nil
	}
	sealed := func(s Sealed) error {
		switch {
		case s.RawBytes < 0 || s.RawBytes > LargestRaw:
			return fmt.Errorf("%s: raw_bytes must be between 0 and %d", quote(s.Key), LargestRaw)
		case !isSHA256(s.RawSHA256):
			return fmt.Errorf("%s: raw_sha256 must be 64 hexadecimal digits", quote(s.Key))
		case !strings.HasSuffix(s.Key, ".gz.cms"):
			return fmt.Errorf("the key %s does not end in .gz.cms", quote(s.Key))
		}
		return file(s.File)
	}
	sections := map[string]bool{}
	for _, s := range m.Schema {
		if s.Section != Before && s.Section != After || sections[s.Section] {
			return errors.New("schema must have the sections before and after, each once")
		}
		sections[s.Section] = true
		if err := sealed(s.Sealed); err != nil {
			return err
		}
	}
	if len(m.Tables) > 0 && len(sections) != 2 {
		return errors.New("schema must have the sections before and after, each once")
	}
	// A table can be there as a whole and with the rows of the stored backup.
	tables := map[[3]string]bool{}
	for _, t := range m.Tables {
		name := [3]string{t.Source, t.Schema, t.Name}
		if tables[name] {
			return fmt.Errorf("the table %s occurs twice", quote(t.String()))
		}
		tables[name] = true
		if err := t.validate(sealed); err != nil {
			return fmt.Errorf("table %s: %w", quote(t.String()), err)
		}
	}
	for _, f := range m.Files {
		if err := file(f); err != nil {
			return err
		}
	}
	for _, r := range m.Restores {
		if r.Live[0] == "" || r.Live[1] == "" || r.Copy[0] == "" || r.Copy[1] == "" {
			return errors.New("restores must name tables with their schemas")
		}
	}
	return nil
}

// String returns the table's name with its schema.
func (t Table) String() string { return t.Schema + "." + t.Name }

func (t Table) validate(sealed func(Sealed) error) error {
	switch {
	case t.Schema == "" || t.Name == "":
		return errors.New("it has no name")
	case strings.HasPrefix(t.Schema, "pg_") || t.Schema == "information_schema":
		return errors.New("it is a table of the system")
	case t.Source != Stored && t.Source != Live:
		return errors.New("source must be stored or live")
	case t.Rows < 0 || t.RawBytes < 0:
		return errors.New("rows and raw_bytes must not be negative")
	}
	columns := map[string]bool{}
	for _, c := range t.Columns {
		if c.Name == "" || c.Type == "" || columns[c.Name] {
			return errors.New("each column needs a name of its own and a type")
		}
		columns[c.Name] = true
	}
	for _, name := range t.Identity {
		if !columns[name] {
			return fmt.Errorf("%s is not one of its columns", quote(name))
		}
	}
	var rows, raw int64
	for _, p := range t.Parts {
		if p.Rows < 0 {
			return errors.New("rows must not be negative")
		}
		if err := sealed(p.Sealed); err != nil {
			return err
		}
		rows, raw = rows+p.Rows, raw+p.RawBytes
	}
	if rows != t.Rows || raw != t.RawBytes {
		return fmt.Errorf("its parts have %d rows and %d bytes, and the table %d and %d", rows, raw, t.Rows, t.RawBytes)
	}
	return nil
}

// relative reports whether a key stays below its folder and has the characters of the
// format.
func relative(key string) bool {
	if key == "" || len(key) > 500 || IsName(key) || path.Clean(key) != key || strings.HasPrefix(key, "/") || key == ".." || strings.HasPrefix(key, "../") {
		return false
	}
	return !strings.ContainsFunc(key, func(c rune) bool {
		return (c < 'a' || c > 'z') && (c < '0' || c > '9') && !strings.ContainsRune("_./-", c)
	})
}

func isSHA256(s string) bool { return len(s) == 64 && isHex(s) }

func isHex(s string) bool {
	return !strings.ContainsFunc(s, func(c rune) bool { return (c < '0' || c > '9') && (c < 'a' || c > 'f') })
}

func isUUID(s string) bool {
	return len(s) == 36 && s[8] == '-' && s[13] == '-' && s[18] == '-' && s[23] == '-' && isHex(strings.ReplaceAll(s, "-", "")) && strings.Count(s, "-") == 4
}

// quote makes a text from the manifest fit for an error.
func quote(s string) string { return `"` + text.Head(text.Line(s), 200) + `"` }

// lineDigest is ('x' || substr(md5(line), 1, 16))::bit(64)::bigint.
func lineDigest(line []byte) *big.Int {
	sum := md5.Sum(line) //nolint:gosec // see above
	return big.NewInt(int64(binary.BigEndian.Uint64(sum[:8])))
}
