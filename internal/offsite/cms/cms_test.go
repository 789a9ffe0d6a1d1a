package cms_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aimindset/terraform-provider-aimindset/internal/offsite/cms"
	"github.com/aimindset/terraform-provider-aimindset/internal/offsite/offsitetest"
)

// key reads a private key as a user gives it.
func key(t *testing.T, private *rsa.PrivateKey) cms.Key {
	t.Helper()
	k, err := cms.ParsePrivateKey(offsitetest.PEM(private))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// openssl runs OpenSSL in a directory.
func openssl(t *testing.T, dir string, args ...string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "openssl", args...)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("openssl %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

func write(t *testing.T, dir, name string, data []byte) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, dir, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// TestOpenSSL proves that what OpenSSL encrypts for two certificates is opened by either
// of their keys and by no other, and that OpenSSL opens what the tests of this module
// write.
func TestOpenSSL(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	one, two := offsitetest.Key(1), offsitetest.Key(2)
	for name, private := range map[string]*rsa.PrivateKey{"1": one, "2": two} {
		write(t, dir, name+".pem", offsitetest.PEM(private))
		openssl(t, dir, "req", "-x509", "-new", "-key", name+".pem", "-subj", "/CN=backup", "-out", name+".crt")
	}
	for _, size := range []int{0, 1, 200, 70_000} {
		plain := make([]byte, size)
		_, _ = rand.Read(plain)
		write(t, dir, "plain", plain)
		openssl(t, dir, "cms", "-encrypt", "-binary", "-aes-256-gcm", "-outform", "DER", "-in", "plain", "-out", "sealed", "-keyid",
			"-recip", "1.crt", "-keyopt", "rsa_padding_mode:oaep", "-keyopt", "rsa_oaep_md:sha256",
			"-recip", "2.crt", "-keyopt", "rsa_padding_mode:oaep", "-keyopt", "rsa_oaep_md:sha256")
		sealed := read(t, dir, "sealed")
		for _, private := range []*rsa.PrivateKey{one, two} {
			if got, err := cms.Open(t.Context(), sealed, key(t, private)); err != nil || !bytes.Equal(got, plain) {
				t.Errorf("%d bytes: got %d, %v", size, len(got), err)
			}
		}
		if got, err := cms.Open(t.Context(), sealed, key(t, offsitetest.Key(3))); !errors.Is(err, cms.ErrNotRecipient) || got != nil {
			t.Errorf("another key opened %d bytes, %v", len(got), err)
		}

		write(t, dir, "ours", offsitetest.Seal(plain, one, two))
		openssl(t, dir, "cms", "-decrypt", "-binary", "-inform", "DER", "-in", "ours", "-inkey", "2.pem", "-out", "opened")
		if !bytes.Equal(read(t, dir, "opened"), plain) {
			t.Errorf("%d bytes: OpenSSL opened something else", size)
		}
	}
	// What is not the format: a recipient named by its issuer, RSA without OAEP.
	openssl(t, dir, "cms", "-encrypt", "-binary", "-aes-256-gcm", "-outform", "DER", "-in", "plain", "-out", "sealed", "-keyid", "-recip", "1.crt")
	if _, err := cms.Open(t.Context(), read(t, dir, "sealed"), key(t, one)); err == nil || !strings.Contains(err.Error(), "RSA-OAEP") {
		t.Errorf("RSA without OAEP: %v", err)
	}
	openssl(t, dir, "cms", "-encrypt", "-binary", "-aes-256-cbc", "-outform", "DER", "-in", "plain", "-out", "sealed", "-keyid", "-recip", "1.crt")
	if _, err := cms.Open(t.Context(), read(t, dir, "sealed"), key(t, one)); err == nil || !strings.Contains(err.Error(), "not CMS AuthEnvelopedData") {
		t.Errorf("AES-CBC: %v", err)
	}
}

// TestAltered proves that a message of which any bit was changed, or which was cut or
// continued, is refused, and that nothing of it is returned.
func TestAltered(t *testing.T) {
	t.Parallel()
	private := offsitetest.Key(1)
	k := key(t, private)
	sealed := offsitetest.Seal([]byte("the rows"), private)
	if plain, err := cms.Open(t.Context(), sealed, k); err != nil || string(plain) != "the rows" {
		t.Fatalf("got %q, %v", plain, err)
	}
	wrapped := bytes.Index(sealed, mustWrapped(t, sealed))
	for i := range sealed {
		if i > wrapped+2 && i < wrapped+380 && i%40 != 0 {
			continue // a private key takes milliseconds
		}
		for _, bit := range []byte{1, 0x80} {
			altered := bytes.Clone(sealed)
			altered[i] ^= bit
			if plain, err := cms.Open(t.Context(), altered, k); err == nil || plain != nil {
				t.Errorf("byte %d: got %q, %v", i, plain, err)
			}
		}
	}
	for i := range sealed {
		if _, err := cms.Parse(sealed[:i]); err == nil {
			t.Errorf("the first %d bytes are taken for a message", i)
		}
	}
	if _, err := cms.Parse(append(bytes.Clone(sealed), 0)); err == nil {
		t.Error("a byte after the end is taken")
	}
}

func mustWrapped(t *testing.T, sealed []byte) []byte {
	t.Helper()
	m, err := cms.Parse(sealed)
	if err != nil {
		t.Fatal(err)
	}
	return m.Recipients[0].Wrapped
}

// TestPrivateKey proves which keys are read, and that the error of one that is not
// quotes nothing of it.
func TestPrivateKey(t *testing.T) {
	t.Parallel()
	private := offsitetest.Key(1)
	pkcs1 := pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(private)})
	public, err := x509.MarshalPKIXPublicKey(&private.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8 := offsitetest.PEM(private)
	sealed := offsitetest.Seal([]byte("x"), private)
	for name, data := range map[string][]byte{"PKCS #8": pkcs8, "PKCS #1": pkcs1, "text before": append([]byte("Key attributes\n"), pkcs8...)} {
		k, err := cms.ParsePrivateKey(data)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if plain, err := cms.Open(t.Context(), sealed, k); err != nil || string(plain) != "x" {
			t.Errorf("%s: %q, %v", name, plain, err)
		}
	}
	block, _ := pem.Decode(pkcs8)
	for name, c := range map[string]struct {
		data []byte
		want string
	}{
		"empty":      {nil, "not PEM"},
		"no PEM":     {[]byte("canary-6f1d"), "not PEM"},
		"public":     {pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: public}), "public key"},
		"passphrase": {pem.EncodeToMemory(&pem.Block{Type: "ENCRYPTED PRIVATE KEY", Bytes: block.Bytes}), "passphrase"},
		"old form":   {pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Headers: map[string]string{"DEK-Info": "x"}, Bytes: []byte("canary-6f1d")}), "passphrase"},
		"damaged":    {pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: []byte("canary-6f1d")}), "damaged"},
		"SSH":        {pem.EncodeToMemory(&pem.Block{Type: "OPENSSH PRIVATE KEY", Bytes: []byte("canary-6f1d")}), "another kind"},
	} {
		if _, err := cms.ParsePrivateKey(c.data); err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "canary") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestCommand proves that a program unwraps the content key, for whichever recipient it
// can, and that the error of one that fails shows nothing that could be a key.
func TestCommand(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	one, two := offsitetest.Key(1), offsitetest.Key(2)
	if offsitetest.KeyID(one) > offsitetest.KeyID(two) { // DER sorts a SET, and so the recipients by their keys (X.690, 11.6)
		one, two = two, one
	}
	write(t, dir, "key.pem", offsitetest.PEM(two))
	script := `echo "$AIMINDSET_KEY_ID" >> ` + dir + `/asked
test "$AIMINDSET_KEY_ID" = ` + offsitetest.KeyID(two) + ` || exit 1
base64 -d | openssl pkeyutl -decrypt -inkey ` + dir + `/key.pem -pkeyopt rsa_padding_mode:oaep -pkeyopt rsa_oaep_md:sha256 | base64 -w0`
	k := cms.Command([]string{"sh", "-c", script})
	for range 2 {
		if plain, err := cms.Open(t.Context(), offsitetest.Seal([]byte("x"), one, two), k); err != nil || string(plain) != "x" {
			t.Errorf("got %q, %v", plain, err)
		}
	}
	want := offsitetest.KeyID(one) + "\n" + offsitetest.KeyID(two) + "\n" + offsitetest.KeyID(two) + "\n"
	if got := string(read(t, dir, "asked")); got != want {
		t.Errorf("it was asked for %q, want %q", got, want)
	}

	sealed := offsitetest.Seal([]byte("x"), one)
	canceled, cancel := context.WithCancel(t.Context())
	cancel()
	for name, c := range map[string]struct {
		ctx  context.Context //nolint:containedctx // a case's own
		argv []string
		want string
	}{
		"none":       {t.Context(), nil, "the command is empty"},
		"missing":    {t.Context(), []string{"/nonexistent/unwrap"}, "no such file"},
		"fails":      {t.Context(), []string{"sh", "-c", "echo 'access denied: c2VjcmV0LWtleS1tYXRlcmlhbC1oZXJl' >&2; exit 3"}, "exit status 3: access denied: [redacted]"},
		"no base64":  {t.Context(), []string{"sh", "-c", "echo c2VjcmV0LWtleS1tYXRlcmlhbC1oZXJl!"}, "did not print base64"},
		"wrong size": {t.Context(), []string{"sh", "-c", "echo c2VjcmV0LWtleS1tYXRlcmlhbC1oZXJl"}, "printed 24 bytes"},
		"wrong key":  {t.Context(), []string{"sh", "-c", "head -c 32 /dev/zero | base64"}, "authentication tag is wrong"},
		"endless":    {t.Context(), []string{"sh", "-c", "head -c 1000000 /dev/zero"}, "did not print base64"},
		"canceled":   {canceled, []string{"sleep", "60"}, "context canceled"},
	} {
		if plain, err := cms.Open(c.ctx, sealed, cms.Command(c.argv)); err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "c2Vj") || plain != nil {
			t.Errorf("%s: %q, %v", name, plain, err)
		}
	}
}

// FuzzParse proves that no input makes the reader panic, and that what it takes for a
// message has what it needs.
func FuzzParse(f *testing.F) {
	sealed := offsitetest.Seal([]byte("rows"), offsitetest.Key(1))
	f.Add(sealed)
	f.Add(sealed[:len(sealed)/2])
	f.Add([]byte{0x30, 0x84, 0xff, 0xff, 0xff, 0xff})
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := cms.Parse(data)
		if err != nil {
			return
		}
		if len(m.Recipients) == 0 {
			t.Error("a message without recipients was taken")
		}
		if _, err := m.Open(make([]byte, 32)); !errors.Is(err, cms.ErrAltered) {
			t.Errorf("a key of zeros: %v", err)
		}
	})
}
