package postgres

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/aimindset/terraform-provider-aimindset/internal/text"
)

// Connection strings as Supabase's dashboard gives them, and as people write
// them, are understood, and encrypt unless the host is this machine.
func TestParseURL(t *testing.T) {
	t.Parallel()
	for given, want := range map[string]struct {
		host     string
		port     uint16
		user     string
		database string
		password string
		tls      bool
	}{
		"postgresql://postgres:pw@db.abcdefghijklmnopqrst.supabase.co:5432/postgres":                                        {"db.abcdefghijklmnopqrst.supabase.co", 5432, "postgres", "postgres", "pw", true},
		"postgresql://postgres.abcdefghijklmnopqrst:p%40%3A%2F%3F%23%25w@aws-0-sa-east-1.pooler.supabase.com:6543/postgres": {"aws-0-sa-east-1.pooler.supabase.com", 6543, "postgres.abcdefghijklmnopqrst", "postgres", "p@:/?#%w", true},
		"postgres://u:pw@h/db?pgbouncer=true&connection_limit=1":                                                            {"h", 5432, "u", "db", "pw", true},
		"postgres://u@h": {"h", 5432, "u", "postgres", "", true},
		"postgres://u:pw@127.0.0.1:54322/postgres":           {"127.0.0.1", 54322, "u", "postgres", "pw", true},
		"postgres://u:pw@[::1]:1/x?sslmode=disable":          {"::1", 1, "u", "x", "pw", false},
		"postgres://u:pw@h:6543/x?sslmode=disable&options=a": {"h", 6543, "u", "x", "pw", false},
	} {
		c, err := parseURL(given)
		if err != nil {
			t.Errorf("%s: %v", given, err)
			continue
		}
		if c.Host != want.host || c.Port != want.port || c.User != want.user || c.Database != want.database || c.Password != want.password || (c.TLSConfig != nil) != want.tls {
			t.Errorf("%s: host %s, port %d, user %s, database %s, TLS %t", given, c.Host, c.Port, c.User, c.Database, c.TLSConfig != nil)
		}
		if local := strings.Contains(given, "127.0.0.1"); (len(c.Fallbacks) > 0) != local {
			t.Errorf("%s: may go on without TLS: %t", given, len(c.Fallbacks) > 0)
		}
	}
}

// TestURLProject proves that the project of a URL is found, if it names one.
func TestURLProject(t *testing.T) {
	t.Parallel()
	for given, want := range map[string]string{
		"postgresql://postgres:pw@db.abcdefghijklmnopqrst.supabase.co:5432/postgres":                            "abcdefghijklmnopqrst",
		"postgresql://postgres:pw@db.abcdefghijklmnopqrst.supabase.green/postgres":                              "abcdefghijklmnopqrst",
		"postgresql://postgres.abcdefghijklmnopqrst:pw@aws-0-sa-east-1.pooler.supabase.com:6543/postgres":       "abcdefghijklmnopqrst",
		"postgresql://postgres.zyxwvutsrqponmlkjihg:pw@db.abcdefghijklmnopqrst.supabase.co:6543/postgres":       "abcdefghijklmnopqrst",
		"postgresql://postgres.your-tenant-id:pw@localhost:5432/postgres":                                       "",
		"postgresql://terraform.abcdefghijklmnopqrst:pw@aws-0-sa-east-1.pooler.supabase.com:5432/postgres":      "abcdefghijklmnopqrst",
		"postgresql://postgres.abcdefghijklmnopqrst:pw@127.0.0.1:6543/postgres":                                 "abcdefghijklmnopqrst",
		"postgresql://postgres.abcdefghijklmnopqrst-rr-us-east-1-abcde:pw@10.0.0.1:6543/postgres":               "abcdefghijklmnopqrst",
		"postgresql://postgres:pw@DB.ABCDEFGHIJKLMNOPQRST.supabase.co./postgres":                                "abcdefghijklmnopqrst",
		"postgresql://postgres:pw@db.abcdefghijklmnopqrst-rr-us-east-1-abcde.supabase.co/postgres":              "abcdefghijklmnopqrst",
		"postgresql://postgres:pw@localhost:6543/postgres?options=reference%3Dabcdefghijklmnopqrst":             "abcdefghijklmnopqrst",
		"postgresql://postgres:postgres@127.0.0.1:54322/postgres":                                               "",
		"postgresql://postgres:postgres.abcdefghijklmnopqrst@127.0.0.1:54322/postgres.abcdefghijklmnopqrst":     "",
		"postgresql://postgres:pw@db.abcdefghijklmnopqrst.example.com/postgres":                                 "",
		"postgresql://postgres:pw@replica.db.abcdefghijklmnopqrst.supabase.co/postgres":                         "",
		"postgresql://somebody:pw@aws-0-sa-east-1.pooler.supabase.com:6543/postgres?options=reference%3Dabcdef": "",
	} {
		u, err := ParseURL(given)
		if err != nil {
			t.Errorf("%s: %v", given, err)
		} else if got := u.Project(); got != want {
			t.Errorf("%s: got %q, want %q", given, got, want)
		}
	}
}

// Errors about a connection string say what to write and hold no part of it
// that could be the password, however it is malformed.
func TestParseURLErrors(t *testing.T) {
	t.Parallel()
	for given, want := range map[string]string{
		"":                                               "postgresql://user:password@host:port/database",
		"canary":                                         "postgresql://user:password@host:port/database",
		"host=h password=canary":                         "postgresql://user:password@host:port/database",
		"mysql://u:canary@h/x":                           "postgresql://user:password@host:port/database",
		"postgres://u:can/ary@h:5432/x":                  "percent-encoded",
		"postgres://u:can?ary@h:5432/x":                  "percent-encoded",
		"postgres://u:can#ary@h:5432/x":                  "percent-encoded",
		"postgres://u:can%ary@h:5432/x":                  "percent-encoded",
		"postgres://u:can ary@h:5432/x":                  "percent-encoded",
		"postgres://u:can[ary@h:5432/x":                  "percent-encoded",
		"postgres://u:canary@:5432/x":                    "host",
		"postgres://:canary@h/x":                         "user",
		"postgres://u:canary@h:99999/x":                  "65535",
		"postgres://u:canary@h:0/x":                      "65535",
		"postgres://u:canary@a,b/x":                      "one host",
		"postgres://u:canary@h/x#canary":                 "%23",
		"postgres://u:canary@h/x?sslmode=canary":         "verify-full",
		"postgres://u:canary@h/x?sslmod=verify-full":     "Supported are sslmode",
		"postgres://u:canary@h/x?sslmode=verify-ca":      "needs sslrootcert=",
		"postgres://u:canary@h/x?require_auth=canary":    "scram-sha-256",
		"postgres://u:canary@h/x?channel_binding=canary": "prefer",
		"postgres://u:ab@cd?canary@h":                    "percent-encoded",
		"postgres://u:canary@h/x?password=canary":        `"password"`,
		"postgres://u:canary@h/x?service=canary":         `"service"`,
		"postgres://u:canary@h/x?a=%zz":                  "cannot be parsed",
		"postgres://u:canary@h/x?connect_timeout=canary": "seconds",
		"postgres://u:canary@h/x?sslmode=verify-ca&sslrootcert=/nowhere/ca.crt": "/nowhere/ca.crt",
		"postgresql://postgres:[YOUR-PASSWORD]@h:5432/postgres":                 "still has [YOUR-PASSWORD] in place of the password",
	} {
		_, err := Open(given)
		if err == nil {
			t.Errorf("%s: no error", given)
			continue
		}
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %q does not contain %q", given, err, want)
		}
		for _, part := range []string{"canary", "can", "ary"} {
			if strings.Contains(strings.ReplaceAll(err.Error(), "cannot", ""), part) {
				t.Errorf("%s: %q shows %q", given, err, part)
			}
		}
		if text.Line(err.Error()) != err.Error() {
			t.Errorf("%q is not one line", err)
		}
	}
}

// The environment and the home directory, which PostgreSQL's own programs
// read, have no part in a connection.
func TestEnvironmentIsIgnored(t *testing.T) {
	home := t.TempDir()
	if err := os.MkdirAll(filepath.Join(home, ".postgresql"), 0o700); err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string]string{".pgpass": "*:*:*:*:canary\n", ".postgresql/root.crt": "canary", ".postgresql/postgresql.crt": "canary", ".postgresql/postgresql.key": "canary"} {
		if err := os.WriteFile(filepath.Join(home, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("HOME", home)
	for _, name := range []string{"HOST", "PORT", "DATABASE", "USER", "PASSWORD", "PASSFILE", "APPNAME", "CONNECT_TIMEOUT", "SSLMODE", "SSLKEY", "SSLCERT", "SSLROOTCERT", "SSLPASSWORD", "SSLNEGOTIATION", "TARGETSESSIONATTRS", "TZ", "OPTIONS", "MINPROTOCOLVERSION", "MAXPROTOCOLVERSION", "CHANNELBINDING", "REQUIREAUTH", "SSLSNI"} {
		t.Setenv("PG"+name, "canary")
	}
	system, err := x509.SystemCertPool()
	if err != nil {
		t.Fatal(err)
	}
	c, err := parseURL("postgres://u@h/x")
	if err != nil {
		t.Fatal(err)
	}
	if c.Password != "" || len(c.RuntimeParams) != 1 || c.RuntimeParams["application_name"] != "terraform-provider-aimindset" ||
		c.Host != "h" || c.Port != 5432 || c.Database != "x" || c.ConnectTimeout != connectTimeout || c.RequireAuth != "scram-sha-256" || !c.TLSConfig.RootCAs.Equal(system) || len(c.TLSConfig.Certificates) != 0 {
		t.Errorf("got %+v", c)
	}
}

// listen makes a server that does one thing with each connection.
func listen(t *testing.T, serve func(net.Conn)) (address string) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			c, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer func() { _ = c.Close() }()
				serve(c)
			}()
		}
	}()
	return listener.Addr().String()
}

// refuse makes a server that answers every login with an error.
func refuse(t *testing.T, code, message string) string {
	return listen(t, func(c net.Conn) {
		backend := pgproto3.NewBackend(c, c)
		if _, err := backend.ReceiveStartupMessage(); err != nil {
			return
		}
		backend.Send(&pgproto3.ErrorResponse{Severity: "FATAL", SeverityUnlocalized: "FATAL", Code: code, Message: message})
		_ = backend.Flush()
	})
}

// What keeps a connection from being made is said in a way that helps, and
// without the password.
func TestConnectErrors(t *testing.T) {
	t.Parallel()
	stackURL, err := url.Parse(project.DatabaseURL)
	if err != nil {
		t.Fatal(err)
	}
	tlsServer := httptest.NewTLSServer(nil)
	defer tlsServer.Close()
	selfSigned := listen(t, func(c net.Conn) {
		if _, err := io.ReadFull(c, make([]byte, 8)); err != nil {
			return
		}
		_, _ = c.Write([]byte("S"))
		_ = tls.Server(c, tlsServer.TLS).Handshake()
	})
	closed := listen(t, func(net.Conn) {})
	for name, test := range map[string]struct {
		url, message, advice, state string
	}{
		"wrong password": {"postgres://postgres:canary-wrong@" + stackURL.Host + "/postgres?sslmode=disable", "password authentication failed", "percent-encoded", "28P01"},
		"no encryption":  {"postgres://postgres:canary-wrong@" + stackURL.Host + "/postgres?sslmode=require", "does not encrypt", "sslmode=disable", ""},
		"self-signed":    {"postgres://postgres:canary-wrong@" + selfSigned + "/postgres?sslmode=verify-full", "certificate", "sslrootcert=", ""},
		"tenant":         {"postgres://postgres:canary-wrong@" + refuse(t, "XX000", "Tenant or user not found\x1b[2J") + "/postgres?sslmode=disable", "Tenant or user not found[2J", "postgres.<project ref>", "XX000"},
		"tenant of now":  {"postgres://postgres:canary-wrong@" + refuse(t, "XX000", "(ENOTFOUND) tenant/user postgres.abc not found") + "/postgres?sslmode=disable", "tenant/user", "paused", "XX000"},
		"database":       {"postgres://postgres:canary-wrong@" + refuse(t, "3D000", `database "x" does not exist`) + "/x?sslmode=disable", "does not exist", "/postgres", "3D000"},
		"encryption":     {"postgres://postgres:canary-wrong@" + refuse(t, "28000", "no pg_hba.conf entry, no encryption") + "/x?sslmode=disable", "pg_hba", "sslmode=require", "28000"},
		"echo":           {"postgres://postgres:canary-wrong@" + refuse(t, "28P01", "wrong password canary-wrong") + "/x?sslmode=disable", "wrong password [redacted]", "reset", "28P01"},
		"no password":    {"postgres://postgres@" + refuse(t, "28P01", "password authentication failed") + "/x?sslmode=disable", "failed", "has no password", "28P01"},
		"hangs up":       {"postgres://postgres:canary-wrong@" + closed + "/x?sslmode=disable", "", "Check the host", ""},
		"unknown host":   {"postgres://postgres:canary-wrong@host.invalid/x?sslmode=disable", "host.invalid", "Check the host", ""},
		"refused":        {"postgres://postgres:canary-wrong@127.0.0.1:1/x?sslmode=disable", "refused", "paused", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db := openDirect(t, test.url)
			_, err := db.Query(t.Context(), ReadWrite, "select '1'::jsonb as result")
			if !errors.Is(err, ErrUnavailable) || errors.Is(err, ErrOutcomeUnknown) || SQLState(err) != test.state {
				t.Fatalf("got %v, SQLSTATE %q", err, SQLState(err))
			}
			shown := err.Error()
			if !strings.Contains(shown, test.message) || !strings.Contains(shown, test.advice) || !strings.HasPrefix(shown, "connect to the database at ") {
				t.Errorf("got %q", shown)
			}
			if strings.Contains(fmt.Sprintf("%v %+v", err, err), "canary") || text.Line(shown) != shown {
				t.Errorf("got %q", shown)
			}
		})
	}
}

// A host that only has an IPv6 address is explained, with the session pooler's
// URL of the same project.
func TestDirectHostAdvice(t *testing.T) {
	t.Parallel()
	const host = "db.abcdefghijklmnopqrst.supabase.co"
	config := &pgconn.Config{Host: host, Port: 5432, Password: "canary", ConnectTimeout: connectTimeout}
	for name, cause := range map[string]error{
		"no IPv6":     &net.OpError{Op: "dial", Err: os.NewSyscallError("connect", syscall.ENETUNREACH)},
		"no route":    &net.OpError{Op: "dial", Err: os.NewSyscallError("connect", syscall.EHOSTUNREACH)},
		"no address":  &net.DNSError{Err: "no such host", Name: host, IsNotFound: true},
		"no answer":   &net.OpError{Op: "dial", Err: context.DeadlineExceeded},
		"wrapped":     fmt.Errorf("a: %w", errors.Join(fmt.Errorf("b: %w", syscall.EADDRNOTAVAIL), errors.New("c"))),
		"slow lookup": &net.DNSError{Err: "i/o timeout", Name: host, IsTimeout: true},
	} {
		failure := explainConnect(config, cause)
		if !errors.Is(failure, ErrDirectHost) || !errors.Is(failure, ErrUnavailable) {
			t.Errorf("%s: %v is not of its kind", name, failure)
		}
		text := failure.Error()
		for _, want := range []string{host + ":5432", "IPv6", "postgresql://postgres.abcdefghijklmnopqrst:[YOUR-PASSWORD]@", ":5432/postgres"} {
			if !strings.Contains(text, want) {
				t.Errorf("%s: %q does not contain %q", name, text, want)
			}
		}
	}
	// Elsewhere nothing is said about it.
	if failure := explainConnect(&pgconn.Config{Host: "db.example.org", Port: 1}, syscall.ENETUNREACH); strings.Contains(failure.Error(), "IPv6") || errors.Is(failure, ErrDirectHost) {
		t.Errorf("got %q", failure)
	}
	if text := explainConnect(config, x509.UnknownAuthorityError{}).Error(); !strings.Contains(text, "sslmode=require") || !strings.Contains(text, "SUPABASE_DB_URL") {
		t.Errorf("got %q", text)
	}
}

// A database that is starting, or has no connection to spare, is waited for
// until the time is up; what will not pass is not.
func TestConnectWaits(t *testing.T) {
	t.Parallel()
	for message, waits := range map[string]bool{
		"57P03 starting": true, "53300 too many": true, "XX000 (EMAXCONNSESSION) max clients reached in session mode": true,
		"28P01 wrong password": false, "XX000 (ENOTFOUND) tenant/user postgres.abc not found": false,
	} {
		t.Run(message, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			var attempts atomic.Int64
			address := listen(t, func(c net.Conn) {
				if attempts.Add(1) == 2 {
					cancel() // it has waited and come again
				}
				backend := pgproto3.NewBackend(c, c)
				if _, err := backend.ReceiveStartupMessage(); err == nil {
					backend.Send(&pgproto3.ErrorResponse{Severity: "FATAL", Code: message[:5], Message: message[6:]})
					_ = backend.Flush()
				}
			})
			db := openDirect(t, "postgres://u:pw@"+address+"/x?sslmode=disable")
			_, err := db.Query(ctx, ReadOnly, "select '1'::jsonb as result")
			if errors.Is(err, context.Canceled) != waits || (attempts.Load() > 1) != waits {
				t.Errorf("got %v", err)
			}
		})
	}
	// It is used as soon as it is there.
	var starting atomic.Bool
	starting.Store(true)
	target, err := url.Parse(project.DatabaseURL)
	if err != nil {
		t.Fatal(err)
	}
	database := target.Host
	target.Host = listen(t, func(c net.Conn) {
		if starting.Swap(false) {
			backend := pgproto3.NewBackend(c, c)
			if _, err := backend.ReceiveStartupMessage(); err == nil {
				backend.Send(&pgproto3.ErrorResponse{Severity: "FATAL", Code: "57P03", Message: "the database system is starting up"})
				_ = backend.Flush()
			}
			return
		}
		server, err := net.Dial("tcp", database)
		if err != nil {
			return
		}
		defer func() { _ = server.Close() }()
		go func() { _, _ = io.Copy(server, c) }()
		_, _ = io.Copy(c, server)
	})
	must(t, openDirect(t, target.String()), ReadOnly, "select '1'::jsonb as result")
}
