package offsitetest

import (
	"bytes"
	"compress/gzip"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/aimindset/terraform-provider-aimindset/internal/offsite/manifest"
)

// A Backup is what a project exports in one night.
type Backup struct {
	Prefix, ProjectRef, Name string
	MadeAt                   time.Time
	Sequence                 int64
	Previous                 *manifest.Previous
	// Tables need Schema, Name, Source and Columns, and may have Identity and
	// Generated. The rest is made from Lines: the lines of each part of each table.
	Tables []manifest.Table
	Lines  [][][]string
	// Before and After are the SQL of the schema.
	Before, After string
	Restores      []manifest.Restore
	Recipients    []*rsa.PrivateKey
	ServerVersion string
}

// ID returns a backup ID that differs from night to night.
func (b *Backup) ID() string { return fmt.Sprintf("00000000-0000-4000-8000-%012d", b.MadeAt.Unix()) }

// Folder returns the whole key of the backup's folder.
func (b *Backup) Folder() string {
	return strings.TrimPrefix(b.Prefix+"/", "/") + b.ProjectRef + "/" + b.Name + "/" + manifest.Folder(b.MadeAt, b.ID())
}

// Write writes the backup into a bucket. edit may change the manifest before its
// checksum is made. It returns what the next backup's Previous is.
func (b *Backup) Write(put func(key string, data []byte), edit func(*manifest.Manifest)) *manifest.Previous {
	m := &manifest.Manifest{
		Format: manifest.Format, ProjectRef: b.ProjectRef, Backup: b.Name, Destination: "r2", Sequence: b.Sequence, Previous: b.Previous,
		RunID: b.ID(), BackupID: b.ID(), MadeAt: b.MadeAt, ExportedAt: b.MadeAt.Add(time.Minute),
		Source: manifest.Source{ServerVersion: b.ServerVersion, Encoding: "UTF8"}, Compression: "gzip",
		Encryption: manifest.Encryption{Type: "cms-authenveloped-data", Content: "aes-256-gcm", KeyWrap: "rsa-oaep-sha256"},
		Restores:   b.Restores, Abandoned: []string{},
		NotCovered: []manifest.NotCovered{{Surface: "accounts", Status: "not_covered", Reason: "auth.users is not among the tables."}},
	}
	for _, key := range b.Recipients {
		m.Encryption.Recipients = append(m.Encryption.Recipients, manifest.Recipient{KeyID: KeyID(key)})
	}
	store := func(key string, data []byte) manifest.File {
		put(b.Folder()+"/"+key, data)
		return manifest.File{Key: key, Bytes: int64(len(data)), SHA256: digest(data)}
	}
	seal := func(key string, raw []byte) manifest.Sealed {
		return manifest.Sealed{File: store(key, Seal(pack(raw), b.Recipients...)), RawBytes: int64(len(raw)), RawSHA256: digest(raw)}
	}
	m.Schema = []manifest.Section{
		{Sealed: seal("schema-before-0123456789abcdef.sql.gz.cms", []byte(b.Before)), Section: manifest.Before},
		{Sealed: seal("schema-after-0123456789abcdef.sql.gz.cms", []byte(b.After)), Section: manifest.After},
	}
	sums := ""
	for _, section := range m.Schema {
		sums += section.SHA256 + "  " + section.Key + "\n"
	}
	for i, t := range b.Tables {
		t.No = i + 1
		for j, lines := range b.Lines[i] {
			raw := []byte(strings.Join(lines, "\n"))
			if len(lines) > 0 {
				raw = append(raw, '\n')
			}
			for _, line := range lines {
				t.Digest.Add([]byte(line))
			}
			p := manifest.Part{Sealed: seal(fmt.Sprintf("rows/%02d-%s/%05d-0123456789abcdef.ndjson.gz.cms", t.No, strings.Map(safe, strings.ToLower(t.Name)), j+1), raw), Rows: int64(len(lines))}
			t.Parts, t.Rows, t.RawBytes = append(t.Parts, p), t.Rows+p.Rows, t.RawBytes+p.RawBytes
			sums += p.SHA256 + "  " + p.Key + "\n"
		}
		m.Tables = append(m.Tables, t)
	}
	m.Files = []manifest.File{store("sha256sums-0123456789abcdef.txt", []byte(sums)), store("recovery-0123456789abcdef.md", []byte("# Recovery\n"))}
	if edit != nil {
		edit(m)
	}
	document, err := json.MarshalIndent(m, "", "    ")
	if err != nil {
		panic(err)
	}
	data, err := manifest.Seal(document)
	if err != nil {
		panic(err)
	}
	key := b.Folder() + "/manifest.json"
	put(key, data)
	return &manifest.Previous{Key: key, SHA256: digest(data)}
}

func pack(raw []byte) []byte {
	var out bytes.Buffer
	w, _ := gzip.NewWriterLevel(&out, 3)
	_, _ = w.Write(raw)
	_ = w.Close()
	return out.Bytes()
}

func digest(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

// safe is what a character of a table's name becomes in a key.
func safe(c rune) rune {
	if c >= 'a' && c <= 'z' || c >= '0' && c <= '9' {
		return c
	}
	return '_'
}
