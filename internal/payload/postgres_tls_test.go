package payload_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/aimindset/terraform-provider-aimindset/internal/stack"
)

// certificate returns a certificate for a host, signed by itself, and its key, in PEM.
func certificate(t testing.TB, host string) (string, []byte) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: host},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	if ip := net.ParseIP(host); ip != nil {
		template.IPAddresses = []net.IP{ip}
	} else {
		template.DNSNames = []string{host}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})),
		pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: keyDER})
}

// TestPostgresClientTLS proves that the function's client talks to a real server over TLS
// if the server is the right one, and says what is wrong if it is not; that a server may
// be without it in a private network only; and that rows come through a pooler too.
func TestPostgresClientTLS(t *testing.T) {
	s, err := stack.Start(context.Background(), stack.Options{Parts: stack.Database, Articles: 1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	base, err := url.Parse(s.DatabaseURL)
	if err != nil {
		t.Fatal(err)
	}
	poolers := map[stack.PoolMode]*stack.Pooler{}
	for _, mode := range []stack.PoolMode{stack.SessionMode, stack.TransactionMode} {
		if poolers[mode], err = s.StartPooler(t.Context(), mode, 2); err != nil {
			t.Fatal(err)
		}
	}
	const public = "db.example.com"
	root, key := certificate(t, public)
	if err := s.ServeTLS(t.Context(), []byte(root), key, false); err != nil {
		t.Fatal(err)
	}
	addRoles(t, s)
	for _, version := range []string{"", "platform"} {
		t.Run("Deno "+version, func(t *testing.T) {
			t.Setenv("STACK_DENO_VERSION", version)
			c := startClient(t)
			at := func(user, host, mode string) string {
				u := *base
				u.Host = net.JoinHostPort(host, base.Port())
				u.RawQuery = ""
				if user != "" {
					u.User = url.UserPassword(user, "canary")
				}
				if mode != "" {
					u.RawQuery = "sslmode=" + mode
				}
				return u.String()
			}
			const encrypted = `select ssl::text from pg_catalog.pg_stat_ssl where pid = pg_backend_pid()`
			for _, try := range []struct{ user, host, mode, root, code, says string }{
				{"", public, "", root, "", "true"},
				{"", public, "prefer", root, "", "true"},
				{"", public, "verify-full", root, "", "true"},
				{"", public, "", "", "database_tls", "certificate"},
				{"", "other.example.com", "", root, "database_tls", "certificate"},
				{"", "other.example.com", "require", root, "database_tls", "certificate"},
				{"", "127.0.0.1", "", root, "", "false"},
				{"", "localhost", "prefer", "", "", "false"},
				{"", "127.0.0.1", "disable", "", "", "false"},
				{"", "127.0.0.1", "verify-ca", root, "database_tls", "certificate"},
				{"by_digest", public, "", root, "", "true"},
				{"by_password", public, "", root, "", "true"},
				{"by_trust", public, "", root, "", "true"},
				{"by_digest", "127.0.0.1", "", "", "database_refused", "MD5"},
				{"by_password", "127.0.0.1", "", "", "database_refused", "password without encryption"},
				{"by_trust", "127.0.0.1", "", "", "database_refused", "does not show"},
			} {
				o := c.do(t, command{Open: at(try.user, try.host, try.mode), Host: "127.0.0.1", Root: try.root})
				says := o.Message
				if o.Code == "" {
					says = c.value(t, encrypted)
				}
				if o.Code != try.code || !strings.Contains(says, try.says) || strings.Contains(says, "canary") {
					t.Errorf("%s at %s with sslmode %q and a root of %d bytes: %s %q", try.user, try.host, try.mode, len(try.root), o.Code, says)
				}
			}

			// 25 MB over TLS, and a late statement that is ended over TLS.
			c.open(t, command{Open: at("", public, ""), Host: "127.0.0.1", Root: root})
			text := func(n int) string { return fmt.Sprint(n, " ", strings.Repeat("ação", 400)) }
			o := c.do(t, command{Stream: `select n || ' ' || repeat('ação', 400) from generate_series(1, 10000) n`})
			if o.Count != 10_000 || o.SHA256 != lines(text, 10_000) {
				t.Errorf("over TLS: %+v", o)
			}
			pid := c.value(t, "select pg_backend_pid()::text")
			if o := c.do(t, command{Query: "select pg_sleep(600)", TimeoutMS: 100}); o.Code != "database_timeout" {
				t.Errorf("a timeout: %+v", o)
			}
			waitGone(t, s, pid)

			for mode, pooler := range poolers {
				for _, to := range []string{pooler.DatabaseURL, pooler.TenantURL} {
					c.open(t, command{Open: to})
					o := c.do(t, command{Stream: `select n || ' ' || repeat('ação', 400) from generate_series(1, 1000) n`})
					if o.Count != 1000 || o.SHA256 != lines(text, 1000) {
						t.Errorf("through a pooler in %s mode: %+v", mode, o)
					}
					one := "1"
					for range 3 {
						if o := c.do(t, command{Query: "select $1::int / 0", Parameters: []*string{&one}}); o.SQLState != "22012" {
							t.Errorf("an error through a pooler in %s mode: %+v", mode, o)
						}
						if got := c.value(t, "select $1::text", &one); got != one {
							t.Errorf("a value through a pooler in %s mode is %q", mode, got)
						}
					}
					pid := c.value(t, "select pg_backend_pid()::text")
					if o := c.do(t, command{Query: "select pg_sleep(600)", TimeoutMS: 200}); o.Code != "database_timeout" {
						t.Errorf("a timeout: %+v", o)
					}
					waitIdle(t, s, pid)
				}
				if o := c.do(t, command{Open: pooler.DatabaseURL, Settings: map[string]string{"search_path": ""}}); o.Code != "database_refused" || !strings.Contains(o.Message, "search_path") {
					t.Errorf("a setting through a pooler in %s mode: %+v", mode, o)
				}
			}
		})
	}
}

// addRoles creates roles with the password canary that log in by other ways than SCRAM.
func addRoles(t *testing.T, s *stack.Stack) {
	t.Helper()
	ctx := t.Context()
	script := "set password_encryption = 'md5';\n"
	rules := []string{}
	for role, method := range map[string]string{"by_digest": "md5", "by_password": "password", "by_trust": "trust"} {
		script += fmt.Sprintf("create role %s login password 'canary';\n", role)
		rules = append(rules, fmt.Sprintf("'host all %s 127.0.0.1/32 %s'", role, method))
	}
	rules = append(rules, "'host all all 127.0.0.1/32 scram-sha-256'")
	script += fmt.Sprintf(`
		do $$ begin execute format('copy (select unnest(%%L::text[])) to %%L', array[%s], current_setting('hba_file')); end $$;
		reset password_encryption`, strings.Join(rules, ", "))
	if _, err := s.Admin().Exec(ctx, script); err != nil {
		t.Fatal(err)
	}
	before := one[time.Time](t, s.Admin(), "select pg_conf_load_time() from pg_reload_conf()")
	for {
		conn, err := pgx.Connect(ctx, s.AdminDatabaseURL)
		if err != nil {
			t.Fatal(err)
		}
		var loaded time.Time
		err = conn.QueryRow(ctx, "select pg_conf_load_time()").Scan(&loaded)
		if closeErr := conn.Close(ctx); err != nil || closeErr != nil {
			t.Fatal(err, closeErr)
		}
		if loaded.After(before) {
			return
		}
	}
}
