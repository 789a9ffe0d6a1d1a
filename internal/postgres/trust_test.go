package postgres

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"testing/iotest"

	"github.com/jackc/pgx/v5/pgproto3"
)

// TestSupabaseRoot proves that the embedded certificate is the one of which the
// comment speaks: a changed file would be a changed trust.
func TestSupabaseRoot(t *testing.T) {
	t.Parallel()
	block, rest := pem.Decode(supabaseRoot)
	if block == nil || len(bytes.TrimSpace(rest)) > 0 {
		t.Fatal("not one certificate in PEM")
	}
	root, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	if digest := sha256.Sum256(root.Raw); hex.EncodeToString(digest[:]) != "807025ad50d4ed219d2c9c7d299c004f824eb00cf7f65afef607d07b72e6cafa" ||
		root.Subject.CommonName != "Supabase Root 2021 CA" || !root.IsCA || root.NotAfter.Format("2006-01-02") != "2031-04-26" {
		t.Errorf("%s, %x, valid until %s", root.Subject, digest, root.NotAfter)
	}
	if err := root.CheckSignatureFrom(root); err != nil {
		t.Error(err)
	}
}

// TestIsSupabase proves which hosts may be verified by Supabase's root.
func TestIsSupabase(t *testing.T) {
	t.Parallel()
	for host, want := range map[string]bool{
		"db.abcdefghijklmnopqrst.supabase.co": true, "aws-0-sa-east-1.pooler.supabase.com": true, "aws-1-eu-west-1.Pooler.Supabase.com.": true,
		"supabase.co": false, "evilsupabase.co": false, "db.supabase.co.evil.io": false, "db.supabase.green": false, "127.0.0.1": false, "": false,
	} {
		if isSupabase(host) != want {
			t.Errorf("%q: %t", host, !want)
		}
	}
}

// impostor makes a server that offers TLS with a certificate that nobody has
// signed, asks for authentication and says what a client then sends.
func impostor(t *testing.T, request pgproto3.BackendMessage, encrypt bool) (address string, received chan string) {
	t.Helper()
	received = make(chan string, 10)
	tlsServer := httptest.NewTLSServer(nil)
	t.Cleanup(tlsServer.Close)
	address = listen(t, func(c net.Conn) {
		if encrypt {
			if _, err := io.ReadFull(c, make([]byte, 8)); err != nil {
				return
			}
			_, _ = c.Write([]byte("S"))
			c = tls.Server(c, tlsServer.TLS)
		}
		backend := pgproto3.NewBackend(c, c)
		if _, err := backend.ReceiveStartupMessage(); err != nil {
			return
		}
		backend.Send(request)
		if backend.Flush() != nil {
			return
		}
		buffer := make([]byte, 1000)
		n, _ := c.Read(buffer)
		received <- string(buffer[:n])
	})
	return address, received
}

// TestPasswordIsKept proves that a server which asks for the password in clear or
// as an MD5 digest does not get it, however the connection came about, and that
// one which asks for nothing is not believed: any server could pass for the
// database. Whoever wants that writes it into the URL.
func TestPasswordIsKept(t *testing.T) {
	t.Parallel()
	const password = "canary-password"
	for name, request := range map[string]pgproto3.BackendMessage{
		"password": &pgproto3.AuthenticationCleartextPassword{}, "md5": &pgproto3.AuthenticationMD5Password{Salt: [4]byte{1, 2, 3, 4}},
		"none": &pgproto3.AuthenticationOk{},
	} {
		for mode, encrypt := range map[string]bool{"disable": false, "prefer": true, "require": true} {
			t.Run(name+" "+mode, func(t *testing.T) {
				t.Parallel()
				address, received := impostor(t, request, encrypt)
				config, err := parseURL("postgres://u:" + password + "@" + address + "/x?sslmode=" + mode)
				if err != nil {
					t.Fatal(err)
				}
				config.Fallbacks = nil // the impostor speaks only one way
				db := open(config)
				defer func() { _ = db.Close(context.WithoutCancel(t.Context())) }()
				_, err = db.Query(t.Context(), ReadOnly, "select '1'::jsonb as result")
				if err == nil || !errors.Is(err, ErrUnavailable) || !strings.Contains(err.Error(), "SCRAM-SHA-256") || !strings.Contains(err.Error(), "SUPABASE_DB_URL: ?require_auth=") {
					t.Fatalf("got %v", err)
				}
				if text := <-received; strings.HasPrefix(text, "p") {
					t.Errorf("the server was sent %q", text)
				}
			})
		}
	}
	// The impostor would have got it where the URL allows that.
	address, received := impostor(t, &pgproto3.AuthenticationCleartextPassword{}, false)
	db := openDirect(t, "postgres://u:"+password+"@"+address+"/x?sslmode=disable&require_auth=password,scram-sha-256")
	if _, err := db.Query(t.Context(), ReadOnly, "select '1'::jsonb as result"); err == nil {
		t.Error("no error")
	}
	if text := <-received; !strings.Contains(text, password) {
		t.Errorf("with require_auth=password the server was sent %q", text)
	}
}

// TestParameterFlood proves that a server which reports settings without end, or
// with long values, is left before it has filled the memory: when it does so
// before the authentication and when it does so after a statement.
func TestParameterFlood(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("v", 64<<10)
	for name, setting := range map[string]func(i int) pgproto3.ParameterStatus{
		"many": func(i int) pgproto3.ParameterStatus {
			return pgproto3.ParameterStatus{Name: fmt.Sprint("n", i), Value: long[:1000]}
		},
		"long": func(int) pgproto3.ParameterStatus { return pgproto3.ParameterStatus{Name: "n", Value: long} },
	} {
		var sent atomic.Int64
		flood := func(c net.Conn) {
			const enough = 64 << 20
			for i := 0; sent.Load() < enough; i++ {
				s := setting(i)
				message, err := s.Encode(nil)
				if err != nil {
					return
				}
				n, err := c.Write(message)
				sent.Add(int64(n))
				if err != nil {
					return
				}
			}
		}
		check := func(t *testing.T, err error) {
			t.Helper()
			// What the sockets' buffers hold was sent, too.
			if n := sent.Swap(0); err == nil || n > 16<<20 {
				t.Errorf("%d bytes were accepted, error %v", n, err)
			}
		}
		t.Run(name+" before", func(t *testing.T) {
			address := listen(t, func(c net.Conn) {
				if _, err := pgproto3.NewBackend(c, c).ReceiveStartupMessage(); err == nil {
					flood(c)
				}
			})
			_, err := openDirect(t, "postgres://u:pw@"+address+"/x?sslmode=disable").Query(t.Context(), ReadOnly, "select '1'::jsonb as result")
			check(t, err)
			if err == nil || !strings.Contains(err.Error(), errParameters.Error()) {
				t.Errorf("got %v", err)
			}
		})
		t.Run(name+" after", func(t *testing.T) {
			u, err := url.Parse(project.DatabaseURL)
			if err != nil {
				t.Fatal(err)
			}
			database := u.Host
			u.Host = listen(t, func(c net.Conn) {
				server, err := net.Dial("tcp", database)
				if err != nil {
					return
				}
				defer func() { _ = server.Close() }()
				go func() { _, _ = io.Copy(server, c) }()
				buffer := make([]byte, 64<<10)
				for ready := []byte{'Z', 0, 0, 0, 5, 'I'}; ; {
					n, err := server.Read(buffer)
					if err != nil {
						return
					}
					if _, err := c.Write(buffer[:n]); err != nil {
						return
					}
					if bytes.HasSuffix(buffer[:n], ready) {
						flood(c)
						return
					}
				}
			})
			db := openDirect(t, u.String())
			_, err = db.Query(t.Context(), ReadWrite, "select '1'::jsonb as result")
			check(t, err)
		})
	}
}

// TestParameterLimit proves that what a server sends arrives unchanged, in
// whatever pieces, and that settings reported again do not count twice.
func TestParameterLimit(t *testing.T) {
	t.Parallel()
	var stream []byte
	encode := func(m pgproto3.BackendMessage) {
		t.Helper()
		var err error
		if stream, err = m.Encode(stream); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 10 * maxParameters {
		encode(&pgproto3.ParameterStatus{Name: fmt.Sprint("n", i%maxParameters), Value: "v"})
		encode(&pgproto3.ReadyForQuery{TxStatus: 'I'})
		encode(&pgproto3.NoticeResponse{Message: strings.Repeat("S", i)})
	}
	for name, from := range map[string]io.Reader{"whole": bytes.NewReader(stream), "bytes": iotest.OneByteReader(bytes.NewReader(stream)), "halves": iotest.HalfReader(bytes.NewReader(stream))} {
		got, err := io.ReadAll(&parameterLimit{from: from})
		if err != nil || !bytes.Equal(got, stream) {
			t.Errorf("%s: %d of %d bytes, %v", name, len(got), len(stream), err)
		}
	}
	encode(&pgproto3.ParameterStatus{Name: "one more", Value: "v"})
	for name, from := range map[string]io.Reader{"whole": bytes.NewReader(stream), "bytes": iotest.OneByteReader(bytes.NewReader(stream))} {
		if _, err := io.ReadAll(&parameterLimit{from: from}); !errors.Is(err, errParameters) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestMalformedURL proves that a password with characters that should have been
// encoded is understood or refused, and that no part of it becomes the host, the
// database or a word of an error.
func TestMalformedURL(t *testing.T) {
	t.Parallel()
	const special = "@:/?#%[]& +=;,\\\"'<>^`{|}~!$*()\t\n"
	const a, b, c = "kq7zx", "wz9qk", "jv5xq"
	for _, first := range special {
		for _, second := range special {
			for _, tail := range []string{"/postgres", "", "/postgres?sslmode=disable", "?sslmode=disable"} {
				given := "postgresql://postgres:" + a + string(first) + b + string(second) + c + "@db.example.com:5432" + tail
				config, err := parseURL(given)
				shown := ""
				switch {
				case err != nil:
					shown = err.Error()
				case config.Host != "db.example.com" || config.Database != "postgres":
					t.Errorf("%q: host %q, database %q", given, config.Host, config.Database)
				default:
					shown = explainConnect(config, &net.DNSError{Err: "no such host", Name: config.Host, IsNotFound: true}).Error()
				}
				for _, part := range []string{a, b, c} {
					if strings.Contains(shown, part) {
						t.Errorf("%q: %q shows %q", given, shown, part)
					}
				}
			}
		}
	}
}
