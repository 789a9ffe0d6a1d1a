package stack

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
)

//go:embed database/*.sql
var databaseFiles embed.FS

// platformFiles turn an empty cluster into a new Supabase project. They run in this
// order, as supabase_admin.
var platformFiles = []string{"roles.sql", "auth.sql", "cron.sql"}

// vaultKeyFile has the vault's root key, 32 bytes in hexadecimal digits, outside the
// database.
const vaultKeyFile = "vault-root-key"

// loginRoles are the roles that have a password, and so a URL.
var loginRoles = []string{"supabase_admin", "postgres", "authenticator", "supabase_read_only_user"}

// cluster is a PostgreSQL server with the real pg_cron, in a directory of its
// own, on a free loopback port. It replaces the database of one Supabase
// project: its roles, memberships, settings, grants and schemas, as
// database/roles.sql, auth.sql and cron.sql set them up, and with vault and pg_net:
// the real ones if they are installed, and otherwise stand-ins.
//
// It leaves out: every other Supabase schema and extension, the poolers, TLS,
// supautils, and pg-safeupdate unless it is installed (see roles.sql). Nothing is
// synced to disk. On Supabase, pg_cron connects because pg_hba trusts the local
// host; here it connects by a password file, so that a wrong password is refused
// as it is on Supabase. The difference shows only for jobs of login roles that are
// created later.
type cluster struct {
	dir      string // the supervisor's for it, which removes it
	files    installation
	postgres string // the server's program, a copy (see installation.tree)
	port     int
	secret   []byte // what the roles' passwords derive from
	initial  string // supabase_admin's password until apply has set its own
	cred     *syscall.Credential
	log      io.Writer
	super    *supervisor
	version  string

	mu     sync.Mutex // held while the server is started or stopped
	server *process   // nil while it is down
	net    netControl // goes down and up with the server; nil if there is none
}

// startCluster creates a cluster below dir and returns when it accepts connections and
// has the platform's roles, schemas and extensions, and the application's schema;
// createApplication adds its rows and jobs. The supervisor ends its processes and removes the directory. The context
// limits only the start.
func startCluster(ctx context.Context, super *supervisor, log io.Writer) (_ *cluster, err error) {
	begin := time.Now()
	bin, err := newInstaller(nil).findPostgres()
	if err != nil {
		return nil, err
	}
	files, err := inspect(bin)
	if err != nil {
		return nil, fmt.Errorf("looking for the extensions of the PostgreSQL in %s: %w", bin, err)
	}
	c := &cluster{dir: super.server, files: files, super: super, log: orDiscard(log), secret: make([]byte, 32)}
	if _, err := rand.Read(c.secret); err != nil {
		return nil, err
	}
	if c.cred, err = serverCredential(); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, c.close())
		}
	}()
	if err := c.init(); err != nil {
		return nil, err
	}
	if err := c.makeProject(ctx); err != nil {
		return nil, err
	}
	if err := c.setPasswords(ctx); err != nil {
		return nil, err
	}
	_, _ = fmt.Fprintf(c.log, "%s on port %d after %.1f s\n", c.software(), c.port, time.Since(begin).Seconds())
	return c, nil
}

// software says what runs.
func (c *cluster) software() string { return fmt.Sprintf("PostgreSQL %s with %v", c.version, c.files) }

// url returns the connection string of a role, for the database postgres.
func (c *cluster) url(role string) string {
	u := url.URL{
		Scheme:   "postgresql",
		User:     url.UserPassword(role, c.password(role)),
		Host:     net.JoinHostPort("127.0.0.1", strconv.Itoa(c.port)),
		Path:     "/postgres",
		RawQuery: "sslmode=disable",
	}
	return u.String()
}

// restart stops the server and starts it again on the same port. An immediate restart is
// a crash: unlogged tables are empty afterwards, their sequences start again, and
// requests in progress are lost. The other kind ends all sessions, but waits for the
// requests that pg_net is sending, and keeps what is committed.
func (c *cluster) restart(ctx context.Context, immediate bool) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	sig := syscall.SIGINT
	if immediate {
		sig = syscall.SIGQUIT
	} else if c.net != nil {
		c.net.down(ctx.Done())
	}
	if err := c.stopServer(sig, ctx.Done()); err != nil {
		return err
	}
	if c.net != nil {
		c.net.down(atOnce())
	}
	if err := c.startServer(ctx); err != nil {
		return err
	}
	if c.net != nil {
		return c.net.up(ctx)
	}
	return nil
}

// setVaultKey replaces the vault's root key, 32 bytes in hexadecimal digits. The real
// vault reads it only when the server starts, which is why it restarts.
func (c *cluster) setVaultKey(ctx context.Context, key string) error {
	if err := os.WriteFile(c.vaultKey(), []byte(key), 0o600); err != nil || !c.files.has("supabase_vault") {
		return err
	}
	return c.restart(ctx, false)
}

// vaultKey returns the path of the file with the vault's root key.
func (c *cluster) vaultKey() string { return filepath.Join(c.dir, "postgres", vaultKeyFile) }

// close stops the server. It may be called again.
func (c *cluster) close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.net != nil {
		c.net.down(atOnce())
	}
	// The data is discarded, so nothing has to be written to disk first.
	giveUp := make(chan struct{})
	timer := time.AfterFunc(10*time.Second, func() { close(giveUp) })
	defer timer.Stop()
	return c.stopServer(syscall.SIGQUIT, giveUp)
}

// atOnce returns a channel that is closed.
func atOnce() <-chan struct{} {
	closed := make(chan struct{})
	close(closed)
	return closed
}

// data returns the server's data directory.
func (c *cluster) data() string { return filepath.Join(c.dir, "postgres", "data") }

// serverLog returns the file with everything that the server logs.
func (c *cluster) serverLog() string { return filepath.Join(c.dir, "postgres", "server.log") }

// password returns the role's password: each has its own.
func (c *cluster) password(role string) string {
	mac := hmac.New(sha256.New, c.secret)
	mac.Write([]byte(role))
	return hex.EncodeToString(mac.Sum(nil)[:16])
}

// serverCredential returns the user that the server runs as. PostgreSQL refuses to run
// as root, so root runs it as the user that Debian's package creates.
func serverCredential() (*syscall.Credential, error) {
	if os.Geteuid() != 0 {
		return nil, nil
	}
	u, err := user.Lookup("postgres")
	if err != nil {
		return nil, fmt.Errorf("PostgreSQL does not run as root, and there is no user to run it as: %w", err)
	}
	uid, err := strconv.ParseUint(u.Uid, 10, 32)
	if err != nil {
		return nil, err
	}
	gid, err := strconv.ParseUint(u.Gid, 10, 32)
	if err != nil {
		return nil, err
	}
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, nil
}

// largePages make the C library take memory in few large pages. Each session's process
// takes some 25 MB anew, to plan its first statements; in small pages that are 6,000 page
// faults, which take as long as a quarter of everything else that it does.
var largePages = []string{
	"glibc.malloc.hugetlb=1",
	// Otherwise blocks of 128 kB and more would be mapped singly, in small pages.
	"glibc.malloc.mmap_threshold=67108864",
	"glibc.malloc.trim_threshold=134217728",
	"glibc.malloc.top_pad=16777216",
}

// command returns one of PostgreSQL's programs, run as the right user with an
// environment that holds nothing of this process's.
func (c *cluster) command(ctx context.Context, program string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Dir = "/"
	cmd.Env = []string{
		"PATH=" + c.files.bin + ":/usr/bin:/bin",
		"HOME=" + filepath.Join(c.dir, "postgres"),
		"LC_ALL=C.UTF-8",
		"TZ=UTC",
		// pg_cron logs in with it, with the role of a job.
		"PGPASSFILE=" + filepath.Join(c.dir, "postgres", "pgpass"),
		"GLIBC_TUNABLES=" + strings.Join(largePages, ":"),
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: c.cred}
	return cmd
}

// init lays out what the server needs beside its data.
func (c *cluster) init() error {
	if c.cred != nil {
		if err := os.Chmod(c.dir, 0o711); err != nil { //nolint:gosec // the server's user needs a way to its directory
			return err
		}
	}
	home := filepath.Join(c.dir, "postgres")
	if err := os.Mkdir(home, 0o700); err != nil {
		return err
	}
	var pgpass strings.Builder
	for _, role := range loginRoles {
		fmt.Fprintf(&pgpass, "*:*:*:%s:%s\n", role, c.password(role))
	}
	rootKey := make([]byte, 32)
	if _, err := rand.Read(rootKey); err != nil {
		return err
	}
	files := map[string]string{
		"pgpass":     pgpass.String(),
		vaultKeyFile: hex.EncodeToString(rootKey),
		// The real vault runs it when the server starts.
		"vault-key-script": fmt.Sprintf("#!/bin/sh\nexec cat '%s'\n", filepath.Join(home, vaultKeyFile)),
	}
	if err := c.chown(home); err != nil {
		return err
	}
	for name, content := range files {
		path, mode := filepath.Join(home, name), os.FileMode(0o600)
		if strings.HasPrefix(content, "#!") {
			mode = 0o700
		}
		if err := os.WriteFile(path, []byte(content), mode); err != nil {
			return err
		}
		if err := c.chown(path); err != nil {
			return err
		}
	}
	var err error
	if c.postgres, err = c.files.tree(filepath.Join(c.dir, "installation")); err != nil {
		return fmt.Errorf("laying out the server's files: %w", err)
	}
	return nil
}

// configure writes the settings into the data directory.
func (c *cluster) configure() error {
	hba := "local all all reject\nhost all all 127.0.0.1/32 scram-sha-256\n"
	if err := os.WriteFile(filepath.Join(c.data(), "pg_hba.conf"), []byte(hba), 0o600); err != nil {
		return err
	}
	settings := fmt.Sprintf("%sshared_preload_libraries = '%s'\n", serverSettings, c.files.libraries())
	if c.files.has("supabase_vault") {
		settings += fmt.Sprintf("vault.getkey_script = '%s'\n", filepath.Join(c.dir, "postgres", "vault-key-script"))
	}
	path := filepath.Join(c.data(), settingsFile)
	return errors.Join(os.WriteFile(path, []byte(settings), 0o600), c.chown(path))
}

// settingsFile is in the data directory, and has the settings that initdb does not write.
const settingsFile = "stack.conf"

func (c *cluster) chown(path string) error {
	if c.cred == nil {
		return nil
	}
	return os.Chown(path, int(c.cred.Uid), int(c.cred.Gid))
}

// serverSettings are Supabase's where they can be seen (time zone, timeouts,
// pg_cron's database), and otherwise those of a small server whose data is
// thrown away. Shared memory is kept in the data directory, so that nothing is
// left behind elsewhere.
const serverSettings = `
listen_addresses = '127.0.0.1'
unix_socket_directories = ''
max_connections = 100
shared_buffers = 32MB
dynamic_shared_memory_type = mmap
max_parallel_workers_per_gather = 0
jit = off
fsync = off
full_page_writes = off
wal_level = minimal
max_wal_senders = 0
checkpoint_timeout = 1h
cron.database_name = 'postgres'
pg_net.ttl = '6 hours'
pg_net.batch_size = 200
statement_timeout = '2min'
timezone = 'UTC'
log_timezone = 'UTC'
log_line_prefix = '%m [%p] %q%u %a '
`

// startOnFreePort starts the server on a free port. Another process may use the port
// meanwhile, so it then tries another one.
func (c *cluster) startOnFreePort(ctx context.Context) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	var errs []error
	for range 5 {
		var err error
		if c.port, err = freeServerPort(ctx); err != nil {
			return err
		}
		if err = c.startServer(ctx); err == nil {
			return nil
		}
		errs = append(errs, err)
		if log, readErr := os.ReadFile(c.serverLog()); readErr != nil ||
			!bytes.Contains(log, []byte("could not bind")) || ctx.Err() != nil {
			break
		}
	}
	return errors.Join(errs...)
}

// freeServerPort finds a free port below those which the system gives to
// outgoing connections: the server must get the same one back after a restart,
// as pg_cron's jobs hold it.
func freeServerPort(ctx context.Context) (int, error) {
	for range 100 {
		n, err := rand.Int(rand.Reader, big.NewInt(17000))
		if err != nil {
			return 0, err
		}
		port := 15000 + int(n.Int64())
		l, err := (&net.ListenConfig{}).Listen(ctx, "tcp4", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
		if err != nil {
			continue
		}
		return port, l.Close()
	}
	return 0, errors.New("no free port for PostgreSQL between 15000 and 32000")
}

// startServer starts the server and waits until it takes connections. The
// caller holds mu.
func (c *cluster) startServer(ctx context.Context) error {
	log, err := os.OpenFile(c.serverLog(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer func() { _ = log.Close() }()
	// Not the caller's context, which limits the start, not the server's life.
	cmd := c.command(context.WithoutCancel(ctx), c.postgres, "-D", c.data(), "-p", strconv.Itoa(c.port))
	cmd.Stdout, cmd.Stderr = log, log
	server, err := c.super.start(cmd, "QUIT", false)
	if err != nil {
		return fmt.Errorf("starting PostgreSQL: %w", err)
	}
	// The last line of this file is the server's only sign that it is ready.
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			if c.ready(server.cmd.Process.Pid) {
				c.server = server
				return nil
			}
		case <-server.done:
			return fmt.Errorf("PostgreSQL ended at its start: %w: %s", server.err, c.logTail())
		case <-ctx.Done():
			_ = server.signal(syscall.SIGQUIT)
			<-server.done
			return fmt.Errorf("starting PostgreSQL: %w", ctx.Err())
		}
	}
}

// ready reports whether the server with this process ID takes connections.
func (c *cluster) ready(pid int) bool {
	content, err := os.ReadFile(filepath.Join(c.data(), "postmaster.pid"))
	if err != nil {
		return false
	}
	lines := strings.Split(string(content), "\n")
	return len(lines) >= 8 && lines[0] == strconv.Itoa(pid) && strings.TrimSpace(lines[7]) == "ready"
}

// stopServer stops the server, if it runs, by the signal, and by force when
// giveUp is closed before that is done. The caller holds mu.
func (c *cluster) stopServer(sig syscall.Signal, giveUp <-chan struct{}) error {
	server := c.server
	if server == nil {
		return nil
	}
	c.server = nil
	if err := server.signal(sig); err != nil {
		return fmt.Errorf("stopping PostgreSQL: %w", err)
	}
	select {
	case <-server.done:
		return nil
	case <-giveUp:
		_ = server.signal(syscall.SIGQUIT)
		<-server.done // at the latest 5 s later, when it kills its own children
		return fmt.Errorf("PostgreSQL had to be stopped by force: %w", context.DeadlineExceeded)
	}
}

// logTail returns the end of the server's log, for an error.
func (c *cluster) logTail() string {
	content, err := os.ReadFile(c.serverLog())
	if err != nil {
		return err.Error()
	}
	lines := strings.Split(strings.TrimSpace(string(content)), "\n")
	return strings.Join(lines[max(0, len(lines)-5):], "\n")
}

// connectInitially connects as the superuser with the password that the cluster was made
// with.
func (c *cluster) connectInitially(ctx context.Context) (*pgx.Conn, error) {
	config, err := pgx.ParseConfig(c.url("supabase_admin"))
	if err != nil {
		return nil, err
	}
	config.Password = c.initial
	return pgx.ConnectConfig(ctx, config)
}

// apply turns the empty cluster into a new Supabase project with the application's schema.
// Its roles have no passwords yet.
func (c *cluster) apply(ctx context.Context) error {
	conn, err := c.connectInitially(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	files := platformFiles
	if c.files.safeupdate {
		files = append(slices.Clip(files), "safeupdate.sql")
	}
	for _, name := range files {
		if err := applyFile(ctx, conn, name); err != nil {
			return err
		}
	}
	// As the role that owns it, with its settings.
	if _, err := conn.Exec(ctx, `set session authorization postgres; set search_path = "$user", public, extensions`); err != nil {
		return err
	}
	return createSchema(ctx, conn)
}

// setPasswords gives each role that may log in its own password.
func (c *cluster) setPasswords(ctx context.Context) error {
	conn, err := c.connectInitially(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	passwords := map[string]string{}
	for _, role := range loginRoles {
		passwords[role] = c.password(role)
	}
	encoded, err := json.Marshal(passwords)
	if err != nil {
		return err
	}
	// They are passed in a setting, so that no statement contains a password.
	if _, err := conn.Exec(ctx,
		`select set_config('stack.passwords', $1, false)`, string(encoded)); err != nil {
		return err
	}
	if err := applyFile(ctx, conn, "passwords.sql"); err != nil {
		return err
	}
	return conn.QueryRow(ctx, `select current_setting('server_version')`).Scan(&c.version)
}

// applyFile runs one embedded file as a single implicit transaction.
func applyFile(ctx context.Context, conn *pgx.Conn, name string) error {
	script, err := databaseFiles.ReadFile("database/" + name)
	if err != nil {
		return err
	}
	if _, err := conn.Exec(ctx, string(script)); err != nil {
		return fmt.Errorf("applying %s: %w", name, describeSQL(err, script))
	}
	return nil
}

// appOptions configures createApplication.
type appOptions struct {
	// Articles is how many articles there are to back up; comments and
	// feedbacks follow from it (about 0.3 and 0.1 for each).
	Articles int
	// LegacyJobs adds the five pg_cron jobs that AIMindset had before.
	LegacyJobs bool
	// ProjectURL is where the legacy backup jobs post to; if empty, a port where
	// nothing listens.
	ProjectURL string
}

// createApplication adds rows and jobs to the application's schema, as the role postgres.
func (c *cluster) createApplication(ctx context.Context, opts appOptions) error {
	conn, err := pgx.Connect(ctx, c.url("postgres"))
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	return fillSample(ctx, conn, opts)
}
