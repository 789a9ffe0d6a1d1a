package stack

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
)

// standIns are the extensions that the stack has in SQL. CREATE EXTENSION finds their
// control files like any other's.
var standIns = []struct{ name, version, script, control string }{
	{"pg_net", netVersion, "pgnet.sql", "comment = 'Async HTTP'\n"},
	{"supabase_vault", "0.3.1", "vault.sql", "comment = 'Supabase Vault Extension'\nschema = vault\nrequires = pgcrypto\n"},
}

// trustedExtension lets a role that may create in the database create the extension,
// whose script then runs as the superuser. On Supabase supautils allows it.
const trustedExtension = "relocatable = false\nsuperuser = true\ntrusted = true\n"

// installation is a PostgreSQL with pg_cron, and which of Supabase's other extensions
// are installed in it.
type installation struct {
	bin   string // the directory of its programs
	lib   string // of its libraries
	share string // of its other files
	// versions has each extension that is installed, with its default version.
	versions map[string]string
	// safeupdate says that pg-safeupdate, which is a library only, is installed.
	safeupdate bool
}

// inspect returns the installation whose programs are in bin, which is
// usr/lib/postgresql/VERSION/bin, of the system or of a folder.
func inspect(bin string) (installation, error) {
	i := installation{
		bin: bin, lib: filepath.Join(filepath.Dir(bin), "lib"), versions: map[string]string{},
		share: filepath.Join(bin, "../../../..", "share/postgresql", filepath.Base(filepath.Dir(bin))),
	}
	i.safeupdate = exists(filepath.Join(i.lib, "safeupdate.so"))
	for _, name := range []string{"pg_cron", "pg_net", "supabase_vault"} {
		control, err := os.ReadFile(i.control(name))
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return installation{}, err
		}
		if err != nil || !exists(filepath.Join(i.lib, name+".so")) {
			continue
		}
		for line := range strings.Lines(string(control)) {
			if key, value, _ := strings.Cut(line, "="); strings.TrimSpace(key) == "default_version" {
				i.versions[name] = strings.Trim(strings.TrimSpace(value), "'")
			}
		}
	}
	return i, nil
}

// control returns the path of an extension's control file.
func (i installation) control(extension string) string {
	return filepath.Join(i.share, "extension", extension+".control")
}

// has reports whether an extension is installed, so that the stack does not replace it.
func (i installation) has(extension string) bool { return i.versions[extension] != "" }

// libraries are those that the server loads at its start.
func (i installation) libraries() string {
	names := []string{"pg_cron"}
	for _, e := range standIns {
		if i.has(e.name) {
			names = append(names, e.name)
		}
	}
	return strings.Join(names, ",")
}

// String says which parts are real and which are not.
func (i installation) String() string {
	real, other := []string{"pg_cron " + i.versions["pg_cron"]}, []string{}
	for _, e := range standIns {
		if version, ok := i.versions[e.name]; ok {
			real = append(real, e.name+" "+version)
		} else {
			other = append(other, e.name+" "+e.version+" by a stand-in")
		}
	}
	if i.safeupdate {
		real = append(real, "safeupdate")
	} else {
		other = append(other, "no safeupdate")
	}
	return strings.Join(append([]string{"the real " + strings.Join(real, ", the real ")}, other...), ", ")
}

// tree makes a copy of the installation below root, in which postgres may create the
// extensions, and stand-ins replace those that are not installed. PostgreSQL finds
// its files relative to its own program, so the program is copied and everything
// else is linked. It returns the program's path.
func (i installation) tree(root string) (postgres string, err error) {
	postgres = filepath.Join(root, i.bin, "postgres")
	if err := os.MkdirAll(filepath.Dir(postgres), 0o755); err != nil { //nolint:gosec // the server's user reads it
		return "", err
	}
	if err := copyProgram(filepath.Join(i.bin, "postgres"), postgres); err != nil {
		return "", err
	}
	if err := os.Symlink(i.lib, filepath.Join(root, i.lib)); err != nil {
		return "", err
	}
	if err := linkAll(i.share, filepath.Join(root, i.share), func(name string) bool { return name == "extension" }); err != nil {
		return "", err
	}
	// pg_cron is in the schema where Supabase has it.
	control, err := trusted(i.control("pg_cron"), "schema = pg_catalog\n")
	if err != nil {
		return "", err
	}
	files := map[string]string{"pg_cron.control": control}
	for _, e := range standIns {
		if i.has(e.name) {
			if files[e.name+".control"], err = trusted(i.control(e.name), ""); err != nil {
				return "", err
			}
			continue
		}
		script, err := databaseFiles.ReadFile("database/" + e.script)
		if err != nil {
			return "", err
		}
		files[e.name+".control"] = e.control + "default_version = '" + e.version + "'\n" + trustedExtension
		files[e.name+"--"+e.version+".sql"] = string(script)
	}
	dir := filepath.Join(root, i.share, "extension")
	replaced := func(name string) bool { _, ok := files[name]; return ok }
	if err := linkAll(filepath.Join(i.share, "extension"), dir, replaced); err != nil {
		return "", err
	}
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o644); err != nil { //nolint:gosec // the server's user reads it
			return "", err
		}
	}
	return postgres, nil
}

// trusted returns an extension's control file with the changes of trustedExtension and
// more, which may name another schema.
func trusted(path, more string) (string, error) {
	control, err := os.ReadFile(path)
	if err != nil {
		return "", err
	}
	var kept strings.Builder
	for line := range strings.Lines(string(control)) {
		key, _, _ := strings.Cut(line, "=")
		switch key = strings.TrimSpace(key); {
		case key == "relocatable", key == "superuser", key == "trusted", key == "schema" && more != "":
		default:
			kept.WriteString(line)
		}
	}
	return strings.TrimRight(kept.String(), "\n") + "\n" + more + trustedExtension, nil
}

// linkAll makes dir and links everything into it that is in source, but some names.
func linkAll(source, dir string, but func(name string) bool) error {
	if err := os.MkdirAll(dir, 0o755); err != nil { //nolint:gosec // the server's user reads it
		return err
	}
	entries, err := os.ReadDir(source)
	if err != nil {
		return err
	}
	for _, entry := range entries {
		if but(entry.Name()) {
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

// UnloadCron restarts the server without pg_cron, so that its scheduler is gone until
// LoadCron. A signal does not last: since pg_cron 1.6 the scheduler is back within a
// second.
func (s *Stack) UnloadCron(ctx context.Context) error {
	// An empty list is not possible: ALTER SYSTEM makes of it a library without a name.
	libraries := strings.Replace(s.cluster.files.libraries(), "pg_cron", "plpgsql", 1)
	return s.reload(ctx, "set shared_preload_libraries = "+libraries)
}

// LoadCron restarts the server with pg_cron.
func (s *Stack) LoadCron(ctx context.Context) error {
	return s.reload(ctx, "reset shared_preload_libraries")
}

// reload changes a setting of the server and restarts it.
func (s *Stack) reload(ctx context.Context, change string) error {
	if _, err := s.admin.Exec(ctx, "alter system "+change); err != nil {
		return err
	}
	err := s.cluster.restart(ctx, false)
	s.admin.Reset()
	return err
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
