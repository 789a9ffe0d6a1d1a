package manifest_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"strings"
	"testing"
	"time"

	"github.com/aimindset/terraform-provider-aimindset/internal/offsite/manifest"
)

const (
	sum  = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
	uuid = "11111111-2222-3333-4444-555555555555"
)

// document is a manifest as the database writes it.
const document = `{
    "format": "aimindset-backup/1", "project_ref": "abcdefghijklmnopqrst", "backup": "auto-backup", "destination": "r2", "sequence": 2,
    "previous": {"key": "prod/abcdefghijklmnopqrst/auto-backup/20261125t060000z-` + uuid + `/manifest.json", "sha256": "` + sum + `"},
    "run_id": "` + uuid + `", "backup_id": "` + uuid + `", "made_at": "2026-11-26T06:00:00.9+00:00", "exported_at": "2026-11-26T06:01:00Z",
    "source": {"server_version": "17.4"},
    "encryption": {"type": "cms-authenveloped-data", "content": "aes-256-gcm", "key_wrap": "rsa-oaep-sha256", "recipients": [{"key_id": "aa"}]},
    "compression": "gzip",
    "tables": [{"no": 1, "schema": "public", "name": "backup_articles", "source": "stored", "filter": "backup_id",
        "columns": [{"name": "id", "type": "uuid"}, {"name": "n", "type": "bigint"}], "identity": ["id"], "generated": ["n"],
        "rows": 3, "raw_bytes": 30, "digest": -12345678901234567890123,
        "parts": [{"key": "rows/01/1.gz.cms", "rows": 2, "raw_bytes": 20, "raw_sha256": "` + sum + `", "bytes": 9, "sha256": "` + sum + `"},
            {"key": "rows/01/2.gz.cms", "rows": 1, "raw_bytes": 10, "raw_sha256": "` + sum + `", "bytes": 8, "sha256": "` + sum + `"}]}],
    "schema": [{"section": "before", "key": "before.gz.cms", "raw_bytes": 1, "raw_sha256": "` + sum + `", "bytes": 7, "sha256": "` + sum + `"},
        {"section": "after", "key": "after.gz.cms", "raw_bytes": 1, "raw_sha256": "` + sum + `", "bytes": 6, "sha256": "` + sum + `"}],
    "restores": [{"live": ["public", "articles"], "copy": ["public", "backup_articles"], "columns": {"id": "original_id"}}],
    "files": [{"key": "recovery.md", "bytes": 5, "sha256": "` + sum + `"}],
    "abandoned": [], "not_covered": [{"surface": "accounts", "status": "not_covered", "reason": "x"}], "added_later": {"x": 1}
}`

func seal(t *testing.T, text string) []byte {
	t.Helper()
	data, err := manifest.Seal([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// TestRead proves what is read of a manifest, whatever else a later minor version has.
func TestRead(t *testing.T) {
	t.Parallel()
	data := seal(t, document)
	m, err := manifest.Read(data)
	if err != nil {
		t.Fatal(err)
	}
	if !json.Valid(data) {
		t.Error("a sealed manifest is not JSON")
	}
	if m.Folder() != "20261126t060000z-"+uuid || m.Rows() != 3 || m.Bytes() != 35 || len(m.Objects()) != 5 || m.Tables[0].Digest.String() != "-12345678901234567890123" || len(m.SHA256) != 64 {
		t.Errorf("got %+v", m)
	}
	if at, id, ok := manifest.MadeAtOf(m.Folder()); !ok || id != uuid || !at.Equal(m.MadeAt.Truncate(time.Second)) {
		t.Errorf("the folder is of %s, %s", at, id)
	}
	for _, folder := range []string{"", "probe", "20261126t060000z", "20261126T060000Z-" + uuid, "20261326t060000z-" + uuid, "20261126t060000z-x"} {
		if _, _, ok := manifest.MadeAtOf(folder); ok {
			t.Errorf("%q is taken for the folder of a backup", folder)
		}
	}
}

// TestReadRefuses proves that a manifest is refused in which anything does not fit, and
// why.
func TestReadRefuses(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ old, new, want string }{
		{"aimindset-backup/1", "aimindset-backup/2", "use a newer version"},
		{"aimindset-backup/1", "another/1", "not a manifest"},
		{`"sequence": 2`, `"sequence": 0`, "sequence"},
		{`"sequence": 2`, `"sequence": 1`, "previous"},
		{`"sequence": 2`, `"sequence": "2"`, "does not have the form"},
		{`"abcdefghijklmnopqrst", "backup"`, `"", "backup"`, "project_ref"},
		{`"run_id": "1`, `"run_id": "x`, "UUID"},
		{"aes-256-gcm", "aes-256-cbc", "encryption"},
		{`[{"key_id": "aa"}]`, `[]`, "recipients"},
		{`"gzip"`, `"zstd"`, "compression"},
		{"rows/01/1.gz.cms", "../01/1.gz.cms", "does not stay below"},
		{"rows/01/1.gz.cms", "/rows/01/1.gz.cms", "does not stay below"},
		{"rows/01/1.gz.cms", "rows/../../1.gz.cms", "does not stay below"},
		{"rows/01/1.gz.cms", "rows/01/É.gz.cms", "does not stay below"},
		{"rows/01/1.gz.cms", "rows/01/2.gz.cms", "occurs twice"},
		{"rows/01/1.gz.cms", "rows/01/1.gz", "does not end in .gz.cms"},
		{"recovery.md", "manifest.json", "does not stay below"},
		{`"rows": 2`, `"rows": 3`, "its parts have 4 rows"},
		{`"rows": 2`, `"rows": -2`, "must not be negative"},
		{`"raw_bytes": 20`, `"raw_bytes": 21`, "its parts have 3 rows and 31 bytes"},
		{`"raw_bytes": 20`, `"raw_bytes": 99999999999`, "raw_bytes must be"},
		{`"bytes": 9`, `"bytes": -1`, "bytes must be"},
		{`"bytes": 9`, `"bytes": 9999999999`, "bytes must be"},
		{`"bytes": 5, "sha256": "0`, `"bytes": 5, "sha256": "X`, "sha256 must be"},
		{`"section": "after"`, `"section": "before"`, "schema must have"},
		{`"stored"`, `"elsewhere"`, "source must be"},
		{`"public", "name": "backup`, `"pg_catalog", "name": "backup`, "table of the system"},
		{`{"name": "n", "type": "bigint"}`, `{"name": "id", "type": "bigint"}`, "each column needs"},
		{`"identity": ["id"]`, `"identity": ["m"]`, "not one of its columns"},
		{"/manifest.json", "/manifest.md", "previous"},
		{`-12345678901234567890123`, `1.5`, "digest"},
		{`["public", "articles"]`, `["public", ""]`, "restores"},
	} {
		if !strings.Contains(document, c.old) {
			t.Fatalf("the document has no %s", c.old)
		}
		m, err := manifest.Read(seal(t, strings.Replace(document, c.old, c.new, 1)))
		if err == nil || !strings.Contains(err.Error(), c.want) || m != nil {
			t.Errorf("with %s: %v, want %q", c.new, err, c.want)
		}
		if errors.Is(err, manifest.ErrNewer) != strings.Contains(c.old, "aimindset-backup") {
			t.Errorf("with %s: %v is of the wrong kind", c.new, err)
		}
	}
	if _, err := manifest.Read(make([]byte, manifest.Largest+1)); err == nil || !strings.Contains(err.Error(), "are the limit") {
		t.Errorf("a large one: %v", err)
	}
	if _, err := manifest.Read([]byte(document)); err == nil || !strings.Contains(err.Error(), "checksum") {
		t.Errorf("without a checksum: %v", err)
	}
}

// TestChecksum proves that a manifest of which any byte was changed or cut off is
// refused.
func TestChecksum(t *testing.T) {
	t.Parallel()
	data := seal(t, document)
	for i := range data {
		altered := bytes.Clone(data)
		altered[i] ^= 1
		if _, err := manifest.Read(altered); err == nil {
			t.Errorf("byte %d can be changed", i)
		}
		if _, err := manifest.Read(data[:i]); err == nil {
			t.Errorf("its first %d bytes are taken for a manifest", i)
		}
	}
}

// TestDigest proves that the digest of lines does not depend on their order, is that of
// PostgreSQL, and survives JSON.
func TestDigest(t *testing.T) {
	t.Parallel()
	var a, b manifest.Digest
	lines := []string{`{"id":"1"}`, `{"id":"2"}`, `{"id":"2"}`, ""}
	for i := range lines {
		a.Add([]byte(lines[i]))
		b.Add([]byte(lines[len(lines)-1-i]))
	}
	// select sum(('x' || substr(md5(line), 1, 16))::bit(64)::bigint) from (values …) v(line)
	if !a.Equal(b) || a.String() != "-21014994270859369839" {
		t.Errorf("got %s and %s", a, b)
	}
	encoded, err := json.Marshal(a)
	if err != nil {
		t.Fatal(err)
	}
	var back, number manifest.Digest
	if err := json.Unmarshal(encoded, &back); err != nil || !back.Equal(a) {
		t.Errorf("%s is read as %s, %v", encoded, back, err)
	}
	if err := json.Unmarshal([]byte(a.String()), &number); err != nil || !number.Equal(a) {
		t.Errorf("a number is read as %s, %v", number, err)
	}
	var sum manifest.Digest
	sum.Plus(a)
	sum.Plus(b)
	if sum.Equal(a) || sum.String() == "0" {
		t.Errorf("the sum is %s", sum)
	}
}

// TestChain proves which breaks are found in a chain of manifests: a night that was
// removed, one that was changed, a doubled one and a second beginning; and that expired
// ones at the old end are none.
func TestChain(t *testing.T) {
	t.Parallel()
	night := func(day int) *manifest.Manifest {
		m := &manifest.Manifest{Sequence: int64(day), BackupID: uuid, MadeAt: time.Date(2026, 11, day, 6, 0, 0, 0, time.UTC), SHA256: fmt.Sprint("digest ", day)}
		if day > 1 {
			before := time.Date(2026, 11, day-1, 6, 0, 0, 0, time.UTC)
			m.Previous = &manifest.Previous{Key: "elsewhere/" + manifest.Folder(before, uuid) + "/manifest.json", SHA256: fmt.Sprint("digest ", day-1)}
		}
		return m
	}
	folder := func(day int) string { return night(day).Folder() }
	changed, twice, fresh := night(3), night(3), night(5)
	changed.SHA256 = "another"
	twice.MadeAt = twice.MadeAt.Add(time.Hour)
	fresh.Previous = nil
	for name, c := range map[string]struct {
		nights []*manifest.Manifest
		folder string
		want   string
	}{
		"none":         {nil, "", ""},
		"whole":        {[]*manifest.Manifest{night(3), night(1), night(2)}, "", ""},
		"expired":      {[]*manifest.Manifest{night(4), night(5)}, "", ""},
		"removed":      {[]*manifest.Manifest{night(1), night(2), night(4)}, folder(3), "it is missing: " + folder(4) + " names it"},
		"two removed":  {[]*manifest.Manifest{night(1), night(4)}, folder(3), "and 1 more before it are missing"},
		"changed":      {[]*manifest.Manifest{night(2), changed, night(4)}, folder(3), "was changed"},
		"doubled":      {[]*manifest.Manifest{night(2), night(3), twice}, twice.Folder(), "same number in the chain"},
		"a second one": {[]*manifest.Manifest{night(4), fresh}, folder(5), "no manifest before it"},
	} {
		breaks := manifest.Chain(c.nights)
		switch {
		case c.want == "" && len(breaks) == 0:
		case len(breaks) != 1 || breaks[0].Folder != c.folder || !strings.Contains(breaks[0].Problem, c.want) || breaks[0].Missing != strings.Contains(c.want, "missing"):
			t.Errorf("%s: %+v, want %q of %s", name, breaks, c.want, c.folder)
		}
	}
}

// FuzzRead proves that no text makes the reader panic.
func FuzzRead(f *testing.F) {
	f.Add(document)
	f.Fuzz(func(t *testing.T, text string) {
		_, _ = manifest.Read([]byte(text))
		data, err := manifest.Seal([]byte(text))
		if err != nil {
			return
		}
		if m, err := manifest.Read(data); err == nil {
			for _, o := range m.Objects() {
				if path.Join("folder", o.Key) != "folder/"+o.Key {
					t.Errorf("the key %q was taken", o.Key)
				}
			}
		}
	})
}
