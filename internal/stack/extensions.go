package stack

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
)

// extensionFiles are the control files of the stand-ins, which CREATE EXTENSION
// finds like any other's. They are trusted, and run by the superuser, because on
// Supabase supautils lets postgres create these extensions.
var extensionFiles = []struct{ name, version, script, control string }{
	{"pg_net", netVersion, "pgnet.sql", "comment = 'Async HTTP'\n"},
	{"supabase_vault", "0.3.1", "vault.sql", "comment = 'Supabase Vault Extension'\nschema = vault\nrequires = pgcrypto\n"},
}

// trustedExtension lets a role that may create in the database create the extension.
const trustedExtension = "relocatable = false\nsuperuser = true\ntrusted = true\n"

// serverTree makes a copy of an installation below root, in which those
// above are installed beside those of the system. PostgreSQL finds
// its files relative to its own program, so the program is copied and everything
// else is linked. It returns the program's path.
func serverTree(root, bin string) (postgres string, err error) {
	lib := filepath.Join(filepath.Dir(bin), "lib")
	// bin is usr/lib/postgresql/VERSION/bin, of the system or of a folder.
	version := filepath.Base(filepath.Dir(bin))
	share := filepath.Join(bin, "../../../..", "share/postgresql", version)

	postgres = filepath.Join(root, bin, "postgres")
	if err := os.MkdirAll(filepath.Dir(postgres), 0o755); err != nil { //nolint:gosec // the server's user reads it
		return "", err
	}
	if err := copyProgram(filepath.Join(bin, "postgres"), postgres); err != nil {
		return "", err
	}
	if err := os.Symlink(lib, filepath.Join(root, lib)); err != nil {
		return "", err
	}
	if err := linkAll(share, filepath.Join(root, share), "extension"); err != nil {
		return "", err
	}
	dir := filepath.Join(root, share, "extension")
	if err := linkAll(filepath.Join(share, "extension"), dir, "pg_cron.control"); err != nil {
		return "", err
	}
	control, err := os.ReadFile(filepath.Join(share, "extension", "pg_cron.control"))
	if err != nil {
		return "", err
	}
	// The real pg_cron, but in the schema where Supabase has it.
	var kept []string
	for line := range strings.Lines(string(control)) {
		switch key, _, _ := strings.Cut(line, "="); strings.TrimSpace(key) {
		case "schema", "relocatable", "superuser", "trusted":
		default:
			kept = append(kept, line)
		}
	}
	files := map[string]string{"pg_cron.control": strings.Join(kept, "") + "schema = pg_catalog\n" + trustedExtension}
	for _, e := range extensionFiles {
		script, err := databaseFiles.ReadFile("database/" + e.script)
		if err != nil {
			return "", err
		}
		files[e.name+".control"] = e.control + "default_version = '" + e.version + "'\n" + trustedExtension
		files[e.name+"--"+e.version+".sql"] = string(script)
	}
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o644); err != nil { //nolint:gosec // the server's user reads it
			return "", err
		}
	}
	return postgres, nil
}

// linkAll makes dir and links everything into it that is in source, but one
// name.
func linkAll(source, dir, but string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil { //nolint:gosec // the server's user reads it
		return err
	}
	entries, err := os.ReadDir(source)
	if err != nil {
		return err
	}
	for _, entry := range entries {
		if entry.Name() == but {
			continue
		}
		if err := os.Symlink(filepath.Join(source, entry.Name()), filepath.Join(dir, entry.Name())); err != nil {
			return err
		}
	}
	return nil
}

func copyProgram(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer func() { _ = in.Close() }()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o755) //nolint:gosec // the server's user runs it
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close())
}

// describeSQL adds to an error of a script the line where it happened.
func describeSQL(err error, script []byte) error {
	var pgErr *pgconn.PgError
	if !errors.As(err, &pgErr) || pgErr.Position <= 0 {
		return err
	}
	runes := []rune(string(script))
	before := string(runes[:min(len(runes), int(pgErr.Position))])
	return fmt.Errorf("line %d: %w", 1+bytes.Count([]byte(before), []byte("\n")), err)
}
