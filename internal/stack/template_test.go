package stack

import (
	"encoding/binary"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// TestTemplate proves that a cluster made from the template is a server of its own: its
// system identifier is neither the template's nor that of another one, the template's
// password is refused, and the server finds nothing to repair at its start.
func TestTemplate(t *testing.T) {
	t.Parallel()
	identifiers := map[string]bool{}
	for _, c := range []*cluster{newTestCluster(t), newTestCluster(t), newTestCluster(t)} {
		conn := connect(t, c, "supabase_admin")
		identifiers[value[string](t, conn, `select system_identifier::text from pg_control_system()`)] = true

		config, err := pgx.ParseConfig(c.url("supabase_admin"))
		if err != nil {
			t.Fatal(err)
		}
		config.Password = c.initial
		if conn, err := pgx.ConnectConfig(t.Context(), config); err == nil {
			_ = conn.Close(t.Context())
			t.Error("the template's password lets in")
		}
		log, err := os.ReadFile(c.serverLog())
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(string(log), "database system was shut down at") || strings.Contains(string(log), "recovery") {
			t.Errorf("the server did not start as after a shutdown:\n%s", log)
		}
		if strings.Contains(string(log), c.initial) {
			t.Error("the server's log holds the template's password")
		}
	}
	if len(identifiers) != 3 {
		t.Errorf("three clusters have the identifiers %v", identifiers)
	}
}

// TestTemplateClear proves that templates which nothing has used for a week are removed when
// another one is kept, and that those in use and other files are left.
func TestTemplateClear(t *testing.T) {
	t.Parallel()
	cache, source := t.TempDir(), t.TempDir()
	for _, name := range []string{"project-old", "project-used", "other-old"} {
		if err := os.Mkdir(filepath.Join(cache, name), 0o700); err != nil {
			t.Fatal(err)
		}
		if strings.HasSuffix(name, "-old") {
			old := time.Now().AddDate(0, 0, -8)
			if err := os.Chtimes(filepath.Join(cache, name), old, old); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := (template{dir: filepath.Join(cache, "project-new")}).keep(source, "password"); err != nil {
		t.Fatal(err)
	}
	left, err := filepath.Glob(filepath.Join(cache, "*"))
	if err != nil {
		t.Fatal(err)
	}
	for i := range left {
		left[i] = filepath.Base(left[i])
	}
	if !slices.Equal(left, []string{"other-old", "project-new", "project-used"}) {
		t.Errorf("the cache holds %v", left)
	}
}

// TestTemplateCopy proves that what the first server made is kept and copied whole, that the copy
// differs from it in the system identifier only, where PostgreSQL's own program reads it,
// and that without a template, or without a place for one, nothing is copied.
func TestTemplateCopy(t *testing.T) {
	t.Parallel()
	bin, err := PostgresBin()
	if err != nil {
		t.Fatal(err)
	}
	files, err := inspect(bin)
	if err != nil {
		t.Fatal(err)
	}
	kept, err := newTemplate(files)
	if err != nil {
		t.Fatal(err)
	}
	newTestCluster(t) // keeps it, if none did before
	source := filepath.Join(kept.dir, "data")

	other := template{dir: filepath.Join(t.TempDir(), "cache", "cluster")}
	data := filepath.Join(t.TempDir(), "data")
	nothing := func(string) error { return nil }
	for _, none := range []template{other, {}} {
		if password, err := none.copy(data, nothing); password != "" || err != nil || exists(data) {
			t.Errorf("without a template: %q, %v", password, err)
		}
	}
	for _, password := range []string{"first", "second"} {
		if err := other.keep(source, password); err != nil {
			t.Fatal(err)
		}
	}
	if rest, err := filepath.Glob(filepath.Join(filepath.Dir(other.dir), "*")); err != nil || len(rest) != 1 {
		t.Errorf("the cache holds %v, %v", rest, err)
	}
	owned := 0
	password, err := other.copy(data, func(string) error { owned++; return nil })
	if err != nil || password != "first" {
		t.Fatalf("the copy's password is %q, %v", password, err)
	}
	var differing []string
	if err := filepath.WalkDir(source, func(path string, entry os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		owned--
		if entry.IsDir() {
			return nil
		}
		one, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		name := strings.TrimPrefix(path, source+"/")
		copied, err := os.ReadFile(filepath.Join(data, name))
		if string(one) != string(copied) {
			differing = append(differing, strings.TrimRight(name, "0123456789ABCDEF"))
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	if owned != 0 {
		t.Errorf("%d files are handed to nobody", -owned)
	}
	if differing = slices.Compact(differing); !slices.Equal(differing, []string{"global/pg_control", "pg_wal/"}) {
		t.Errorf("these files differ: %v", differing)
	}
	printed := func(data string) string {
		cmd := exec.CommandContext(t.Context(), filepath.Join(bin, "pg_controldata"), data)
		cmd.Env = []string{"LC_ALL=C", "TZ=UTC"}
		text, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("pg_controldata: %v: %s", err, text)
		}
		return string(text)
	}
	was, is := strings.Split(printed(source), "\n"), strings.Split(printed(data), "\n")
	for i := range was {
		if identifier := strings.HasPrefix(was[i], "Database system identifier:"); (was[i] != is[i]) != identifier {
			t.Errorf("pg_controldata printed %q and now %q", was[i], is[i])
		}
	}
	if strings.Contains(strings.Join(is, ""), "WARNING") {
		t.Errorf("pg_controldata warns:\n%s", strings.Join(is, "\n"))
	}
}

// TestRenumberRefuses proves that files which are not as PostgreSQL writes them are left
// as they are, with an error.
func TestRenumberRefuses(t *testing.T) {
	t.Parallel()
	data := t.TempDir()
	for _, dir := range []string{"global", "pg_wal"} {
		if err := os.Mkdir(filepath.Join(data, dir), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	control, segment := filepath.Join(data, "global", "pg_control"), filepath.Join(data, "pg_wal", "000000010000000000000001")
	for what, content := range map[string][]byte{
		"no checksum": binary.NativeEndian.AppendUint64(nil, 4711), "nothing": nil,
	} {
		if err := os.WriteFile(control, content, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := renumber(data); err == nil {
			t.Errorf("%s: taken", what)
		}
	}
	others := strings.Repeat("others", 11)
	if err := os.WriteFile(segment, []byte(others), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := renumberLog(segment, []byte("12345678"), []byte("87654321")); err == nil || !strings.Contains(err.Error(), "not of the server") {
		t.Errorf("another server's log: %v", err)
	}
	if content, err := os.ReadFile(segment); err != nil || string(content) != others {
		t.Errorf("another server's log is changed: %v", err)
	}
}
