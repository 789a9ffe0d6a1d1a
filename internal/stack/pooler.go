package stack

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// PoolMode is how long a client of a pooler has a session of the server.
type PoolMode string

// The modes of Supabase's pooler, on its ports 5432 and 6543.
const (
	SessionMode     PoolMode = "session"
	TransactionMode PoolMode = "transaction"
)

// Pooler is a real PgBouncer in front of a stack's database. It is a stand-in for
// Supavisor, which has the same protocol on both sides. It leaves out Supavisor's own
// error messages.
type Pooler struct {
	// DatabaseURL connects as postgres through the pooler. It names no project, as a URL
	// to a pooler of one's own does not.
	DatabaseURL string
	// TenantURL does the same with the user of Supabase's poolers, which names the
	// project: postgres.<ref>.
	TenantURL string

	process *process
}

// StartPooler starts a pooler with at most size sessions of the server. It ends
// with the stack.
func (s *Stack) StartPooler(ctx context.Context, mode PoolMode, size int) (*Pooler, error) {
	return s.startPooler(ctx, mode, size, freeServerPort)
}

// startPooler takes the pooler's port from free. Another process may use it meanwhile,
// so it then tries another one.
func (s *Stack) startPooler(ctx context.Context, mode PoolMode, size int, free func(context.Context) (int, error)) (*Pooler, error) {
	program, err := newInstaller(nil).findPgBouncer()
	if err != nil {
		return nil, err
	}
	var errs []error
	for range 5 {
		port, err := free(ctx)
		if err != nil {
			return nil, err
		}
		p, err := s.startPoolerOn(ctx, program, port, mode, size)
		if err == nil {
			return p, nil
		}
		errs = append(errs, err)
		if !strings.Contains(err.Error(), "cannot listen") || ctx.Err() != nil {
			break
		}
	}
	return nil, errors.Join(errs...)
}

// startPoolerOn starts the pooler on the port, and returns when it has it.
func (s *Stack) startPoolerOn(ctx context.Context, program string, port int, mode PoolMode, size int) (*Pooler, error) {
	c := s.cluster
	dir, err := os.MkdirTemp(c.dir, "pooler-")
	if err != nil {
		return nil, err
	}
	log := filepath.Join(dir, "log")
	settings := fmt.Sprintf(`
[databases]
postgres = host=127.0.0.1 port=%d dbname=postgres user=postgres password=%s
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = %d
unix_socket_dir =
auth_type = scram-sha-256
auth_file = %s
pool_mode = %s
default_pool_size = %d
max_client_conn = 50
logfile = %s
`, c.port, c.password("postgres"), port, filepath.Join(dir, "users"), mode, size, log)
	tenant := "postgres." + s.ProjectRef
	for name, content := range map[string]string{
		"pgbouncer.ini": settings,
		"users":         fmt.Sprintf("%q %[2]q\n%[3]q %[2]q\n", "postgres", c.password("postgres"), tenant),
	} {
		file := filepath.Join(dir, name)
		if err := errors.Join(os.WriteFile(file, []byte(content), 0o600), c.chown(file)); err != nil {
			return nil, err
		}
	}
	if err := c.chown(dir); err != nil {
		return nil, err
	}
	// It refuses to run as root, as PostgreSQL does.
	cmd := c.command(context.WithoutCancel(ctx), program, "--quiet", filepath.Join(dir, "pgbouncer.ini"))
	p := &Pooler{}
	if p.process, err = c.super.start(cmd, "KILL", false); err != nil {
		return nil, fmt.Errorf("starting PgBouncer: %w", err)
	}
	u, err := url.Parse(s.DatabaseURL)
	if err != nil {
		return nil, errors.Join(err, p.Close())
	}
	u.Host = net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
	p.DatabaseURL = u.String()
	u.User = url.UserPassword(tenant, c.password("postgres"))
	p.TenantURL = u.String()
	// The line that it writes once it listens is the only sign that is its own: a
	// connection to the port may as well be taken by another process.
	ticker := time.NewTicker(10 * time.Millisecond)
	defer ticker.Stop()
	for {
		text, _ := os.ReadFile(log)
		if bytes.Contains(text, []byte("process up")) {
			return p, nil
		}
		select {
		case <-p.process.done:
			text, _ = os.ReadFile(log)
			return nil, fmt.Errorf("PgBouncer ended at its start: %w: %s", p.process.err, bytes.TrimSpace(text))
		case <-ctx.Done():
			return nil, errors.Join(ctx.Err(), p.Close())
		case <-ticker.C:
		}
	}
}

// Close ends the pooler and returns when it is gone.
func (p *Pooler) Close() error {
	err := p.process.signal(syscall.SIGKILL)
	<-p.process.done
	return err
}

// ServeTLS makes the database offer TLS with a certificate and its key, both in PEM.
// With required it refuses connections without TLS.
func (s *Stack) ServeTLS(ctx context.Context, certificate, key []byte, required bool) error {
	c := s.cluster
	kind := "host"
	if required {
		kind = "hostssl"
	}
	hba := "local all all reject\n" + kind + " all all 127.0.0.1/32 scram-sha-256\n"
	for name, content := range map[string][]byte{"server.crt": certificate, "server.key": key, "pg_hba.conf": []byte(hba)} {
		file := filepath.Join(c.data(), name)
		if err := errors.Join(os.WriteFile(file, content, 0o600), c.chown(file)); err != nil {
			return err
		}
	}
	for _, statement := range []string{
		"alter system set ssl_cert_file = 'server.crt'", "alter system set ssl_key_file = 'server.key'", "alter system set ssl = on",
	} {
		if _, err := s.admin.Exec(ctx, statement); err != nil {
			return err
		}
	}
	return c.reload(ctx)
}

// reload makes the server read its settings, and waits until it has.
func (c *cluster) reload(ctx context.Context) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.server == nil {
		return errors.New("the server is down")
	}
	if err := c.server.signal(syscall.SIGHUP); err != nil {
		return err
	}
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	for {
		// The server responds to a request for encryption with S or N.
		if c.encrypts(ctx) {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-ticker.C:
		}
	}
}

func (c *cluster) encrypts(ctx context.Context) bool {
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(c.port)))
	if err != nil {
		return false
	}
	defer func() { _ = conn.Close() }()
	answer := make([]byte, 1)
	_, err = conn.Write([]byte{0, 0, 0, 8, 4, 210, 22, 47}) // SSLRequest
	if err == nil {
		_, err = conn.Read(answer)
	}
	return err == nil && answer[0] == 'S'
}

// findPgBouncer finds Debian's PgBouncer.
func (i *installer) findPgBouncer() (string, error) {
	if !exists(i.pgbouncer) {
		return "", fmt.Errorf("no %s (Debian's pgbouncer): %w: run %q", i.pgbouncer, ErrNotInstalled, installCommand)
	}
	return i.pgbouncer, nil
}
