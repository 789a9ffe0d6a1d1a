package restore_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"os"
	programs "os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aimindset/terraform-provider-aimindset/internal/offsite/restore"
)

// TestSigner proves that OpenSSL makes the key and verifies the signature of a result,
// and refuses that of another one; and that the error of another key quotes nothing.
func TestSigner(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	openssl := func(args ...string) error {
		cmd := programs.CommandContext(t.Context(), "openssl", args...)
		cmd.Dir = dir
		return cmd.Run()
	}
	for _, args := range [][]string{{"genpkey", "-algorithm", "ed25519", "-out", "key.pem"}, {"pkey", "-in", "key.pem", "-pubout", "-out", "public.pem"}} {
		if err := openssl(args...); err != nil {
			t.Fatal(err)
		}
	}
	key, err := os.ReadFile(filepath.Join(dir, "key.pem"))
	if err != nil {
		t.Fatal(err)
	}
	signer, err := restore.ParseSigner(key)
	if err != nil {
		t.Fatal(err)
	}
	document, err := (&restore.Result{State: restore.Restored}).Document()
	if err != nil {
		t.Fatal(err)
	}
	for name, data := range map[string][]byte{"result.json": document, "result.json.sig": signer.Sign(document), "other.json": bytes.Replace(document, []byte("restored"), []byte("blocked"), 1)} {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for name, fits := range map[string]bool{"result.json": true, "other.json": false} {
		if err := openssl("pkeyutl", "-verify", "-pubin", "-inkey", "public.pem", "-rawin", "-in", name, "-sigfile", "result.json.sig"); (err == nil) != fits {
			t.Errorf("%s: %v", name, err)
		}
	}
	other, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(other)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		data []byte
		want string
	}{
		"no PEM":  {[]byte(canary), "not a private key"},
		"damaged": {pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: []byte(canary)}), "damaged"},
		"another": {pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), "not an Ed25519 key"},
	} {
		if _, err := restore.ParseSigner(c.data); err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), canary) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
