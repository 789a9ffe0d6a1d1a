package docs_test

import (
	"crypto/rsa"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aimindset/terraform-provider-aimindset/internal/offsite/manifest"
	"github.com/aimindset/terraform-provider-aimindset/internal/offsite/offsitetest"
	"github.com/aimindset/terraform-provider-aimindset/internal/stack"
)

// TestOffsiteFormat proves that the commands of the page on the format read a copy with
// general tools alone, down to the digest of its rows, and that they fail if a byte of
// any object was changed, or if the backup before was removed.
func TestOffsiteFormat(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(filepath.Join(root, "docs", "guides", "off-site-format.md"))
	if err != nil {
		t.Fatal(err)
	}
	var script strings.Builder
	for _, b := range blocksOf(string(text)) {
		if b.kind != "sh" {
			continue
		}
		for line := range strings.Lines(b.text) {
			if !strings.Contains(line, "…") {
				script.WriteString(line)
			}
		}
	}
	s := start(t, stack.Options{Parts: stack.Database, Articles: 1})
	u := newUser(t, s.Environ()...)
	u.env = append(u.env, "SUPABASE_DB_URL_FOR_PSQL="+s.DatabaseURL)
	u.write("key.pem", string(offsitetest.PEM(offsitetest.Key(1))))
	const above = "prod/abcdefghijklmnopqrst/auto-backup/"
	put := func(key string, data []byte) {
		file := filepath.Join(u.dir, "backups", filepath.FromSlash(strings.TrimPrefix(key, above)))
		if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var previous *manifest.Previous
	var newest string
	for day := 25; day <= 26; day++ {
		b := &offsitetest.Backup{
			Prefix: "prod", ProjectRef: "abcdefghijklmnopqrst", Name: "auto-backup", MadeAt: time.Date(2026, 11, day, 6, 0, 0, 0, time.UTC), Sequence: int64(day - 24), Previous: previous,
			Recipients: []*rsa.PrivateKey{offsitetest.Key(1), offsitetest.Key(2)}, Before: "select 1;", After: "select 2;", ServerVersion: "17.4",
			Tables: []manifest.Table{{Schema: "public", Name: "backup_articles", Source: manifest.Stored, Columns: []manifest.Column{{Name: "title", Type: "text"}}}},
			Lines:  [][][]string{{{`{"title":"first of \"all\" \\ ü"}`, `{"title":null}`}, {`{"title":"\\."}`}}},
		}
		previous = b.Write(put, nil)
		newest = filepath.Join(u.dir, "backups", filepath.Base(b.Folder()))
	}
	put(above+"20261127t060000z-unfinished/rows/x", []byte("x"))
	out := u.run(0, script.String())
	for _, want := range []string{"aimindset-backup/1 abcdefghijklmnopqrst/auto-backup, 1 tables, 3 rows", previous.SHA256 + "  manifest.json", "/manifest.json: OK", `first of "all" \ ü`, "id-smime-ct-authEnvelopedData", "aes-256-gcm"} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is not in\n%s", want, out)
		}
	}
	var objects []string
	err = filepath.WalkDir(newest, func(path string, entry fs.DirEntry, err error) error {
		if err == nil && !entry.IsDir() && !strings.HasSuffix(path, ".ndjson") && !strings.HasSuffix(path, ".sql") {
			objects = append(objects, path)
		}
		return err
	})
	if err != nil || len(objects) != 7 {
		t.Fatalf("the objects are %q, %v", objects, err)
	}
	objects = append(objects, firstManifest(t, u.dir))
	for _, object := range objects {
		whole, err := os.ReadFile(object)
		if err != nil {
			t.Fatal(err)
		}
		changed := append([]byte{}, whole...)
		changed[len(changed)/2] ^= 1
		if err := os.WriteFile(object, changed, 0o600); err != nil {
			t.Fatal(err)
		}
		u.run(1, script.String()+"\ntrue")
		if err := os.WriteFile(object, whole, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Remove(firstManifest(t, u.dir)); err != nil {
		t.Fatal(err)
	}
	u.run(1, script.String())
}

// firstManifest is the manifest of the first night.
func firstManifest(t *testing.T, dir string) string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "backups", "20261125t*", "manifest.json"))
	if err != nil || len(files) != 1 {
		t.Fatalf("the first night's manifests are %q, %v", files, err)
	}
	return files[0]
}
