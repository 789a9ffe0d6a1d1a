package postgres

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"math/big"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/aimindset/terraform-provider-aimindset/internal/stack"
)

// The conformance tests run through a real pooler in transaction mode. This one
// proves beside them that nothing counts on a session or leaves something in
// one: two clients take turns in the only session of the server, one of them
// spoils it as far as it can, and the other neither notices nor leaves prepared
// statements or settings behind.
func TestSharedSession(t *testing.T) {
	t.Parallel()
	only, err := project.StartPooler(t.Context(), stack.TransactionMode, 1)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := only.Close(); err != nil {
			t.Error(err)
		}
	})
	other, err := pgconn.Connect(t.Context(), only.DatabaseURL)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = other.Close(context.WithoutCancel(t.Context())) })
	spoil := func() string {
		t.Helper()
		results, err := other.Exec(t.Context(), `
			set search_path = public, pg_temp;
			create temporary table if not exists pg_class_of_mine (x int);
			set application_name = 'spoilt';
			select pg_backend_pid()::text`).ReadAll()
		if err != nil {
			t.Fatal(err)
		}
		return string(results[3].Rows[0][0])
	}
	db := openDirect(t, only.DatabaseURL)
	for range 3 {
		pid := spoil()
		for _, access := range []Access{ReadOnly, ReadWrite} {
			got := must(t, db, access, "select jsonb_build_array(pg_backend_pid()::text, current_setting('search_path')) as result")
			if want := `["` + pid + `","pg_catalog, pg_temp"]`; got != want {
				t.Errorf("in the shared session: %s, want %s", got, want)
			}
		}
		if err := db.Exec(t.Context(), "create table if not exists public.pooled (x int); insert into public.pooled values (1)"); err != nil {
			t.Error(err)
		}
	}
	results, err := other.Exec(t.Context(), "select (select count(*) from pg_prepared_statements)::text, current_setting('search_path')").ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	if row := results[0].Rows[0]; string(row[0]) != "0" || string(row[1]) != "public, pg_temp" {
		t.Errorf("left in the session are %s prepared statements and the search path %s", row[0], row[1])
	}
	if n := count(t, "public.pooled"); n != 3 {
		t.Errorf("%d rows were written", n)
	}
	if _, err := project.Admin().Exec(t.Context(), "drop table public.pooled"); err != nil {
		t.Error(err)
	}
}

// certificate makes a certificate for a host and its key, signed by a parent or
// by itself, in PEM.
func certificate(t *testing.T, host string, parent *x509.Certificate, parentKey *ecdsa.PrivateKey) (*x509.Certificate, *ecdsa.PrivateKey, []byte, []byte) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: host},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		BasicConstraintsValid: true, IsCA: parent == nil,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	if ip := net.ParseIP(host); ip != nil {
		template.IPAddresses = []net.IP{ip}
	} else {
		template.DNSNames = []string{host}
	}
	if parent == nil {
		parent, parentKey = template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, parentKey)
	if err != nil {
		t.Fatal(err)
	}
	made, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return made, key, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: keyDER})
}

// TestTLS proves what each sslmode demands of a real server that authenticates by
// SCRAM: which connections are encrypted, which are refused by either side, and
// that only verify-ca and verify-full look at the certificate, the latter at the
// host's name too. Without a parameter, a Supabase host needs a certificate of
// Supabase's or of the system's, and another host one of the system's.
func TestTLS(t *testing.T) {
	t.Parallel()
	own, err := stack.Start(t.Context(), stack.Options{Parts: stack.Database, Articles: 1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := own.Close(); err != nil {
			t.Error(err)
		}
	})
	ca, caKey, caPEM, _ := certificate(t, "test CA", nil, nil)
	_, _, otherPEM, _ := certificate(t, "another CA", nil, nil)
	dir := t.TempDir()
	trusted, untrusted, broken := filepath.Join(dir, "ca.crt"), filepath.Join(dir, "other.crt"), filepath.Join(dir, "broken.crt")
	for file, content := range map[string][]byte{trusted: caPEM, untrusted: otherPEM, broken: []byte("no certificate")} {
		if err := os.WriteFile(file, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	base, err := url.Parse(own.DatabaseURL)
	if err != nil {
		t.Fatal(err)
	}
	try := func(host, mode, root string) (string, error) {
		u := *base
		u.Host = net.JoinHostPort(host, base.Port())
		parameters := url.Values{}
		if mode != "" {
			parameters.Set("sslmode", mode)
		}
		if root != "" {
			parameters.Set("sslrootcert", root)
		}
		u.RawQuery = parameters.Encode()
		config, err := parse(u.String(), caPEM)
		if err != nil {
			return "", err
		}
		// Every name leads to this server.
		config.LookupFunc = func(context.Context, string) ([]string, error) { return []string{"127.0.0.1"}, nil }
		db := open(config)
		defer func() { _ = db.Close(context.WithoutCancel(t.Context())) }()
		result, err := db.Query(t.Context(), ReadOnly, "select to_jsonb(ssl) as result from pg_catalog.pg_stat_ssl where pid = pg_backend_pid()")
		return string(result), err
	}
	serve := func(host string, required bool) {
		t.Helper()
		_, _, certificatePEM, keyPEM := certificate(t, host, ca, caKey)
		if err := own.ServeTLS(t.Context(), certificatePEM, keyPEM, required); err != nil {
			t.Fatal(err)
		}
	}
	serve("127.0.0.1", false)
	for _, c := range []struct{ host, mode, root, result, says string }{
		{"127.0.0.1", "disable", "", "false", ""},
		{"127.0.0.1", "allow", "", "false", ""},
		{"127.0.0.1", "prefer", "", "true", ""},
		{"127.0.0.1", "require", "", "true", ""},
		{"127.0.0.1", "verify-ca", trusted, "true", ""},
		{"127.0.0.1", "verify-full", trusted, "true", ""},
		{"localhost", "verify-ca", trusted, "true", ""},
		{"localhost", "verify-full", trusted, "", "not trusted"},
		{"127.0.0.1", "verify-ca", untrusted, "", "sslrootcert="},
		{"127.0.0.1", "verify-full", untrusted, "", "SSL Configuration"},
		{"127.0.0.1", "verify-full", "", "", "not trusted"},
		{"127.0.0.1", "verify-full", broken, "", "broken.crt"},
		{"127.0.0.1", "verify-full", filepath.Join(dir, "missing.crt"), "", "missing.crt"},
		{"127.0.0.1", "verify-maybe", "", "", "sslmode"},
		{"127.0.0.1", "", "", "true", ""}, // prefers TLS
		{"db.abcdefghijklmnopqrst.supabase.co", "", "", "", "SUPABASE_DB_URL"},
		{"db.abcdefghijklmnopqrst.supabase.co", "require", "", "true", ""},
		{"db.abcdefghijklmnopqrst.supabase.co", "verify-ca", "", "true", ""},
		{"db.abcdefghijklmnopqrst.supabase.co", "verify-ca", untrusted, "", "not trusted"},
	} {
		result, err := try(c.host, c.mode, c.root)
		if c.says == "" && (err != nil || result != c.result) || c.says != "" && (err == nil || !strings.Contains(err.Error(), c.says)) {
			t.Errorf("%s with sslmode=%s&sslrootcert=%s: encrypted is %q, error %v, want %q %q", c.host, c.mode, c.root, result, err, c.result, c.says)
		}
	}
	for served, hosts := range map[string]map[string]string{
		"db.abcdefghijklmnopqrst.supabase.co": {
			"db.abcdefghijklmnopqrst.supabase.co": "",
			"db.zyxwvutsrqponmlkjihg.supabase.co": "certificate is valid for db.abcdefghijklmnopqrst.supabase.co",
		},
		"*.pooler.supabase.com": {
			"aws-0-sa-east-1.pooler.supabase.com":         "",
			"aws-0-sa-east-1.pooler.supabase.com.evil.io": "not trusted",
		},
		"db.example.com": {"db.example.com": "unknown authority"},
	} {
		serve(served, false)
		for host, says := range hosts {
			result, err := try(host, "", "")
			if says == "" && (err != nil || result != "true") || says != "" && (err == nil || !strings.Contains(err.Error(), says)) {
				t.Errorf("%s with the certificate of %s: encrypted is %q, error %v, want %q", host, served, result, err, says)
			}
		}
	}
	serve("db.example.com", false)
	if result, err := try("db.example.com", "", trusted); err != nil || result != "true" {
		t.Errorf("with sslrootcert and no sslmode: %q, %v", result, err)
	}
	serve("127.0.0.1", true)
	if _, err := try("127.0.0.1", "disable", ""); !errors.Is(err, ErrUnavailable) || !strings.Contains(err.Error(), "Remove sslmode") {
		t.Errorf("a server that insists on encryption: %v", err)
	}
	if result, err := try("127.0.0.1", "allow", ""); err != nil || result != "true" {
		t.Errorf("a server that insists, with sslmode=allow: %q, %v", result, err)
	}
}

// TestCancelThroughPooler proves that statements whose contexts end take nothing along:
// a pooler that passes the requests to cancel them on is still there afterwards, and its
// only session too.
func TestCancelThroughPooler(t *testing.T) {
	t.Parallel()
	only, err := project.StartPooler(t.Context(), stack.TransactionMode, 1)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := only.Close(); err != nil {
			t.Error(err)
		}
	})
	db := openDirect(t, only.DatabaseURL)
	const running = "select exists (select from pg_stat_activity where query like '%pg_sleep(6172)%' and wait_event = 'PgSleep')"
	for n := range 20 {
		ctx, cancel := context.WithCancel(t.Context())
		go func() {
			defer cancel()
			for found := false; !found && ctx.Err() == nil; {
				if err := project.Admin().QueryRow(ctx, running).Scan(&found); err != nil {
					t.Error(err)
					return
				}
			}
		}()
		err := db.Exec(ctx, "select pg_sleep(6172)")
		cancel()
		if err == nil {
			t.Fatal("the statement was not cancelled")
		}
		if got := must(t, db, ReadOnly, "select to_jsonb(1) as result"); got != "1" {
			t.Fatalf("after %d cancelled statements the session reads %s", n+1, got)
		}
	}
}
