package stack

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// initdbArguments are those of every cluster. The superuser's password is the one of its
// template.
var initdbArguments = []string{
	"--username=supabase_admin",
	"--auth=scram-sha-256",
	"--encoding=UTF8", "--locale=C.UTF-8",
	"--wal-segsize=4",
	"--no-sync", "--no-instructions",
}

// template is a cluster that was shut down, with a new Supabase project and the schema of the
// application in it, in the user's cache directory. To make it takes most of the time in
// which a stack starts, and always gives the same. So the first stack on a machine keeps
// what it made, and the others copy it. What differs among projects is written afterwards:
// the server's number, its settings, the passwords, and the application's rows.
type template struct {
	// dir has the data directory as "data" and the superuser's password in "password". It
	// is empty if there is no place for it.
	dir string
}

// newTemplate returns the template of an installation, which need not exist yet. Another
// build of PostgreSQL or of an extension, or another script, has another one.
func newTemplate(files installation) (template, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return template{}, nil //nolint:nilerr // without such a directory, each stack makes its own cluster
	}
	digest := sha256.New()
	made := []string{filepath.Join(files.bin, "postgres"), filepath.Join(files.bin, "initdb"), filepath.Join(files.share, "postgres.bki")}
	for name := range files.versions {
		made = append(made, files.control(name))
	}
	slices.Sort(made)
	for _, path := range made {
		info, err := os.Stat(path)
		if err != nil {
			return template{}, err
		}
		_, _ = fmt.Fprintln(digest, path, info.Size(), info.ModTime().UnixNano())
	}
	_, _ = fmt.Fprint(digest, initdbArguments, files, serverSettings)
	scripts, err := databaseFiles.ReadDir("database")
	if err != nil {
		return template{}, err
	}
	for _, script := range scripts {
		text, err := databaseFiles.ReadFile("database/" + script.Name())
		if err != nil {
			return template{}, err
		}
		_, _ = fmt.Fprintf(digest, "%s %x\n", script.Name(), sha256.Sum256(text))
	}
	name := "project-" + hex.EncodeToString(digest.Sum(nil)[:8])
	return template{dir: filepath.Join(cache, "terraform-provider-aimindset", name)}, nil
}

// keep makes a data directory the template, unless there is one already, and removes those
// that nothing has used for a week, as those of former scripts.
func (t template) keep(data, password string) error {
	if t.dir == "" {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(t.dir), 0o750); err != nil {
		return err
	}
	// Other processes may do the same, so it is written elsewhere and then moved.
	partial, err := os.MkdirTemp(filepath.Dir(t.dir), "cluster-partial-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(partial) }()
	if err := os.WriteFile(filepath.Join(partial, "password"), []byte(password), 0o600); err != nil {
		return err
	}
	if err := copyTree(data, filepath.Join(partial, "data"), func(string) error { return nil }); err != nil {
		return err
	}
	if err := os.Rename(partial, t.dir); err != nil && !exists(t.dir) {
		return err
	}
	return t.clear(time.Now().AddDate(0, 0, -7))
}

// clear removes the other templates that were last used before a time.
func (t template) clear(before time.Time) error {
	others, err := filepath.Glob(filepath.Join(filepath.Dir(t.dir), "project-*"))
	if err != nil {
		return err
	}
	for _, other := range others {
		if info, err := os.Stat(other); err == nil && other != t.dir && info.ModTime().Before(before) {
			if err := os.RemoveAll(other); err != nil {
				return err
			}
		}
	}
	return nil
}

// copy makes data a copy of the template, as another server: with a system identifier of
// its own. It returns the superuser's password, and "" if there is no template. Each file
// and directory is handed to own.
func (t template) copy(data string, own func(path string) error) (password string, err error) {
	if t.dir == "" {
		return "", nil
	}
	text, err := os.ReadFile(filepath.Join(t.dir, "password"))
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	now := time.Now()
	if err := errors.Join(os.Chtimes(t.dir, now, now), copyTree(filepath.Join(t.dir, "data"), data, own)); err != nil {
		return "", err
	}
	return string(text), renumber(data)
}

// copyTree copies a directory with its files.
func copyTree(from, to string, own func(path string) error) error {
	if err := errors.Join(os.Mkdir(to, 0o700), own(to)); err != nil {
		return err
	}
	entries, err := os.ReadDir(from)
	if err != nil {
		return err
	}
	for _, entry := range entries {
		source, target := filepath.Join(from, entry.Name()), filepath.Join(to, entry.Name())
		if entry.IsDir() {
			err = copyTree(source, target, own)
		} else {
			err = errors.Join(copyFile(source, target), own(target))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func copyFile(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer func() { _ = in.Close() }()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close())
}

// renumber gives a cluster that was shut down a new system identifier, by which the provider
// tells servers apart. initdb takes it from the clock; what is left over there is random
// here. It is at the start of pg_control, which ends with a checksum of all that comes
// before, and in the first page of each segment of the log, which has none.
func renumber(data string) error {
	var low [4]byte
	if _, err := rand.Read(low[:]); err != nil {
		return err
	}
	path := filepath.Join(data, "global", "pg_control")
	control, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	end, err := checksumOf(control)
	if err != nil {
		return err
	}
	old, order := bytes.Clone(control[:8]), binary.NativeEndian
	// Its upper half is the time, in seconds.
	order.PutUint64(control, order.Uint64(old)&^0xffffffff|uint64(order.Uint32(low[:])))
	order.PutUint32(control[end:], crc32.Checksum(control[:end], crc32.MakeTable(crc32.Castagnoli)))
	if err := os.WriteFile(path, control, 0o600); err != nil {
		return err
	}
	segments, err := filepath.Glob(filepath.Join(data, "pg_wal", "0*"))
	if err != nil {
		return err
	}
	for _, segment := range segments {
		if err := renumberLog(segment, old, control[:8]); err != nil {
			return err
		}
	}
	return nil
}

// checksumOf finds the checksum in pg_control: where it is depends on the version.
func checksumOf(control []byte) (offset int, err error) {
	table := crc32.MakeTable(crc32.Castagnoli)
	for offset = 8; offset+4 <= len(control) && offset < 512; offset += 4 {
		if binary.NativeEndian.Uint32(control[offset:]) == crc32.Checksum(control[:offset], table) {
			return offset, nil
		}
	}
	return 0, errors.New("pg_control has no checksum in its first 512 bytes")
}

// renumberLog replaces the system identifier in the header of a segment of the log.
func renumberLog(path string, old, number []byte) error {
	segment, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	const offset = 24 // after the header that every page has
	found := make([]byte, len(old))
	_, err = segment.ReadAt(found, offset)
	if err == nil && bytes.Equal(found, make([]byte, len(old))) {
		return segment.Close() // made for later, and still empty
	}
	if err == nil && !bytes.Equal(found, old) {
		err = fmt.Errorf("%s is not of the server whose log it is", path)
	}
	if err == nil {
		_, err = segment.WriteAt(number, offset)
	}
	return errors.Join(err, segment.Close())
}

// makeData creates the data directory by initdb, and returns the superuser's password.
func (c *cluster) makeData(ctx context.Context) (password string, err error) {
	password = c.password("template")
	file := filepath.Join(c.dir, "postgres", "admin-password")
	if err := errors.Join(os.WriteFile(file, []byte(password), 0o600), c.chown(file)); err != nil {
		return "", err
	}
	var output bytes.Buffer
	initdb := c.command(ctx, filepath.Join(c.files.bin, "initdb"),
		append([]string{"--pgdata=" + c.data(), "--pwfile=" + file}, initdbArguments...)...)
	initdb.Stdout, initdb.Stderr = &output, &output
	p, err := c.super.start(initdb, "KILL", true)
	if err != nil {
		return "", err
	}
	<-p.done
	if p.err != nil {
		return "", fmt.Errorf("initdb: %w: %s", errors.Join(p.err, ctx.Err()), strings.TrimSpace(output.String()))
	}
	conf, err := os.OpenFile(filepath.Join(c.data(), "postgresql.conf"), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		return "", err
	}
	_, err = conf.WriteString("include = '" + settingsFile + "'\n")
	return password, errors.Join(err, conf.Close())
}

// makeProject creates the data directory and starts the server, with a new project and the
// application's schema in it: as a copy of the template, or else as what becomes the
// template.
func (c *cluster) makeProject(ctx context.Context) error {
	kept, err := newTemplate(c.files)
	if err != nil {
		return err
	}
	if c.initial, err = kept.copy(c.data(), c.chown); err != nil {
		return err
	}
	if c.initial != "" {
		return errors.Join(c.configure(), c.startOnFreePort(ctx))
	}
	if c.initial, err = c.makeData(ctx); err != nil {
		return err
	}
	if err := errors.Join(c.configure(), c.startOnFreePort(ctx)); err != nil {
		return err
	}
	if err := c.apply(ctx); err != nil || kept.dir == "" {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.stopServer(syscall.SIGINT, ctx.Done()); err != nil {
		return err
	}
	if err := kept.keep(c.data(), c.initial); err != nil {
		return err
	}
	if err := renumber(c.data()); err != nil {
		return err
	}
	return c.startServer(ctx)
}
