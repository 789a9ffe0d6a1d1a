package stack

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// Empty is a PostgreSQL server with nothing in it, as the service container of a CI job
// is: the superuser postgres, the database postgres, and no trace of Supabase.
type Empty struct {
	// URL connects as postgres to the database postgres.
	URL string
	// Version is that of the server, such as 17.
	Version string

	cluster *cluster
	super   *supervisor
}

// emptySettings are those of a small server whose data is thrown away.
const emptySettings = `
listen_addresses = '127.0.0.1'
unix_socket_directories = ''
shared_buffers = 32MB
dynamic_shared_memory_type = mmap
fsync = off
full_page_writes = off
wal_level = minimal
max_wal_senders = 0
`

// StartEmpty starts an empty server of a major version, which must be installed as that
// of a stack is. It ends with this process, or when it is closed.
func StartEmpty(ctx context.Context, version string) (_ *Empty, err error) {
	i := newInstaller(nil)
	i.version = version
	bin, err := i.findPostgres()
	if err != nil {
		return nil, err
	}
	files, err := inspect(bin)
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "aimindset-empty-")
	if err != nil {
		return nil, err
	}
	super, err := newSupervisor(dir, dir)
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	e := &Empty{Version: version, super: super}
	e.cluster = &cluster{
		dir: dir, files: files, super: super, log: orDiscard(nil), secret: make([]byte, 32), postgres: filepath.Join(bin, "postgres"),
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, e.Close())
		}
	}()
	if err := e.init(ctx); err != nil {
		return nil, err
	}
	if err := e.cluster.startOnFreePort(ctx); err != nil {
		return nil, err
	}
	e.URL = e.cluster.url("postgres")
	return e, nil
}

// init creates the data directory.
func (e *Empty) init(ctx context.Context) (err error) {
	c := e.cluster
	if c.cred, err = serverCredential(); err != nil {
		return err
	}
	if _, err := rand.Read(c.secret); err != nil {
		return err
	}
	home, password := filepath.Join(c.dir, "postgres"), filepath.Join(c.dir, "password")
	if c.cred != nil {
		if err := os.Chmod(c.dir, 0o711); err != nil { //nolint:gosec // the server's user needs a way to its directory
			return err
		}
	}
	err = errors.Join(os.Mkdir(home, 0o700), c.chown(home), os.WriteFile(password, []byte(c.password("postgres")), 0o600), c.chown(password))
	if err != nil {
		return err
	}
	var output bytes.Buffer
	initdb := c.command(ctx, filepath.Join(c.files.bin, "initdb"),
		"--pgdata="+c.data(), "--username=postgres", "--pwfile="+password, "--auth=scram-sha-256",
		"--encoding=UTF8", "--locale=C.UTF-8", "--wal-segsize=4", "--no-sync", "--no-instructions")
	initdb.Stdout, initdb.Stderr = &output, &output
	p, err := c.super.start(initdb, "KILL", true)
	if err != nil {
		return err
	}
	<-p.done
	if p.err != nil {
		return fmt.Errorf("initdb: %w: %s", errors.Join(p.err, ctx.Err()), strings.TrimSpace(output.String()))
	}
	conf, err := os.OpenFile(filepath.Join(c.data(), "postgresql.conf"), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = conf.WriteString(emptySettings)
	return errors.Join(err, conf.Close())
}

// Program returns a command with one of PostgreSQL's programs, such as psql or pg_dump,
// of the server's version. It connects to a database of the server.
func (e *Empty) Program(ctx context.Context, name, database string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, filepath.Join(e.cluster.files.bin, name), args...)
	cmd.Env = append(os.Environ(),
		"PGHOST=127.0.0.1", fmt.Sprintf("PGPORT=%d", e.cluster.port), "PGUSER=postgres", "PGDATABASE="+database,
		"PGPASSWORD="+e.cluster.password("postgres"), "PGOPTIONS=", "PGSSLMODE=disable")
	return cmd
}

// Close stops the server and removes its files.
func (e *Empty) Close() error { return errors.Join(e.cluster.close(), e.super.close()) }
