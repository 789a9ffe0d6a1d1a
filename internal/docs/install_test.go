package docs_test

import (
	"archive/zip"
	"crypto/sha256"
	"encoding/hex"
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/aimindset/terraform-provider-aimindset/internal/stack"
)

// TestInstallGuide proves that a reader who does what the guide says has Terraform
// install the provider: built from a clone of this repository, from a filesystem mirror
// and from a network mirror, the mirrors made of a release's archive and below the names
// of both registries; and that an archive which was changed is refused, by its checksum
// and by the lock file.
func TestInstallGuide(t *testing.T) {
	t.Parallel()
	repository, err := filepath.Abs(root)
	if err != nil {
		t.Fatal(err)
	}
	u := newUser(t)
	platform := runtime.GOOS + "_" + runtime.GOARCH
	archive := "terraform-provider-aimindset_1.0.0_" + platform + ".zip"
	releases := t.TempDir()
	sum := archiveProvider(t, filepath.Join(releases, archive), "the first")
	for name, content := range map[string]string{
		"terraform-provider-aimindset_1.0.0_SHA256SUMS":     sum + "  " + archive + "\n" + strings.Repeat("0", 64) + "  another.zip\n",
		"terraform-provider-aimindset_1.0.0_SHA256SUMS.sig": "checked by hand",
	} {
		if err := os.WriteFile(filepath.Join(releases, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	github := httptest.NewServer(http.StripPrefix("/v1.0.0", http.FileServer(http.Dir(releases))))
	t.Cleanup(github.Close)
	site := httptest.NewTLSServer(http.StripPrefix("/terraform", http.FileServer(http.Dir(filepath.Join(u.dir, "site")))))
	t.Cleanup(site.Close)
	u.write("ca.pem", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: site.Certificate().Raw})))
	u.env = append(u.env, "SSL_CERT_FILE="+filepath.Join(u.dir, "ca.pem"),
		"TF_CLI_CONFIG_FILE="+filepath.Join(u.dir, "terraform-provider-aimindset", "bin", "mirror.tfrc"))

	guide := example(t, projectRef, "docs", "guides", "install.md")
	for from, to := range map[string]string{
		"--quiet https://github.com/aimindset/terraform-provider-aimindset\n":          "--quiet '" + repository + "' terraform-provider-aimindset\n",
		"https://github.com/aimindset/terraform-provider-aimindset/releases/download/": github.URL + "/",
		"https://mirror.example.com/": site.URL + "/",
		"platform=linux_amd64\n":      "platform=" + platform + "\n",
	} {
		if !strings.Contains(guide, from) {
			t.Fatalf("the guide does not have %q", from)
		}
		guide = strings.ReplaceAll(guide, from, to)
	}
	blocks := blocksOf(guide)
	follow(u, &stack.Stack{ProjectRef: projectRef}, blocks)

	both := u.at()
	both.write("main.tf", `terraform {
  required_providers {
    one = { source = "registry.terraform.io/aimindset/aimindset" }
    two = { source = "registry.opentofu.org/aimindset/aimindset" }
  }
}`)
	for _, settings := range []string{"mirror.tfrc", "network.tfrc"} {
		both.run(0, "rm -rf .terraform .terraform.lock.hcl && TF_CLI_CONFIG_FILE='"+filepath.Join(u.dir, settings)+"' terraform init -input=false")
		for _, registry := range []string{"registry.terraform.io", "registry.opentofu.org"} {
			both.run(0, "test -x .terraform/providers/"+registry+"/aimindset/aimindset/1.0.0/"+platform+"/terraform-provider-aimindset_v1.0.0")
		}
	}

	archiveProvider(t, filepath.Join(releases, archive), "another one")
	checked := false
	for _, b := range blocks {
		if strings.Contains(b.text, "sha256sum --check") {
			checked = true
			lines := strings.Split(b.text, "\n")
			if out := u.run(1, strings.Join(lines[:len(lines)-2], "\n")); !strings.Contains(out, archive+": FAILED") {
				t.Errorf("of an archive that was changed, the check says\n%s", out)
			}
		}
	}
	if !checked {
		t.Error("the guide checks no checksum")
	}
	for _, registry := range []string{"registry.terraform.io", "registry.opentofu.org"} {
		archiveProvider(t, filepath.Join(u.dir, "site", registry, "aimindset", "aimindset", archive), "another one")
	}
	if out := u.run(1, "rm -r .terraform && TF_CLI_CONFIG_FILE=network.tfrc terraform init -input=false -no-color"); !strings.Contains(unwrapped(out), "checksum") {
		t.Errorf("of an archive that is not the lock file's, Terraform says\n%s", out)
	}
}

// archiveProvider makes an archive as a release has it, with a program that is not the
// provider, as installing it runs nothing, and returns the archive's SHA-256.
func archiveProvider(t *testing.T, path, program string) string {
	t.Helper()
	file, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	archive := zip.NewWriter(file)
	header := &zip.FileHeader{Name: "terraform-provider-aimindset_v1.0.0"}
	header.SetMode(0o755)
	entry, err := archive.CreateHeader(header)
	if err == nil {
		_, err = entry.Write([]byte(program))
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := archive.Close(); err != nil {
		t.Fatal(err)
	}
	if err := file.Close(); err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	digest := sha256.Sum256(content)
	return hex.EncodeToString(digest[:])
}
