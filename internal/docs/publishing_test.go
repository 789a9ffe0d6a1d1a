package docs_test

import (
	"os"
	osexec "os/exec" // exec is a helper of this package
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestPublishing proves that the page for whoever publishes names the secrets and the
// environment of the workflow and the files that a release has, and that its commands
// make a key which Terraform's registry takes and which can sign.
func TestPublishing(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(filepath.Join(root, ".github", "PUBLISHING.md"))
	if err != nil {
		t.Fatal(err)
	}
	page := string(text)
	_, jobs := jobsOf(t, "release.yml")
	environment := regexp.MustCompile(`environment: (\w+)`).FindStringSubmatch(jobs["sign"])
	if environment == nil || !strings.Contains(page, "| Environments, `"+environment[1]+"` |") {
		t.Errorf("the page does not name the environment %v", environment)
	}
	secrets := regexp.MustCompile(`secrets\.(\w+)`).FindAllStringSubmatch(jobs["sign"], -1)
	if len(secrets) != 2 {
		t.Errorf("the workflow has the secrets %v", secrets)
	}
	for _, secret := range secrets {
		if !strings.Contains(page, "`"+secret[1]+"`") {
			t.Errorf("the page does not name the secret %s", secret[1])
		}
	}
	builder, err := os.ReadFile(filepath.Join(root, ".goreleaser.yml"))
	if err != nil {
		t.Fatal(err)
	}
	for name, template := range map[string]string{
		"1.0.0_<os>_<arch>.zip":      `name_template: "{{ .ProjectName }}_{{ .Version }}_{{ .Os }}_{{ .Arch }}"`,
		"1.0.0_manifest.json":        `name_template: "{{ .ProjectName }}_{{ .Version }}_manifest.json"`,
		"1.0.0_SHA256SUMS":           `name_template: "{{ .ProjectName }}_{{ .Version }}_SHA256SUMS"`,
		"1.0.0_<os>_<arch>.cdx.json": `documents: ["{{ .ProjectName }}_{{ .Version }}_{{ .Os }}_{{ .Arch }}.cdx.json"]`,
	} {
		if !strings.Contains(page, name+"`") || !strings.Contains(string(builder), template) {
			t.Errorf("the page has no %s, or the release no %s", name, template)
		}
	}
	if manifest, err := os.ReadFile(filepath.Join(root, "terraform-registry-manifest.json")); err != nil || !strings.Contains(string(manifest), `["6.0"]`) {
		t.Errorf("the manifest is %s, %v", manifest, err)
	}

	gpg, err := osexec.LookPath("gpg")
	if err != nil {
		t.Fatalf("GnuPG is not installed (%v): run \"make install\"", err)
	}
	home := t.TempDir()
	if err := os.Chmod(home, 0o700); err != nil {
		t.Fatal(err)
	}
	commands := ""
	for _, b := range blocksOf(page) {
		if b.kind == "sh" {
			commands += b.text
		}
	}
	run := func(script string) string {
		t.Helper()
		cmd := osexec.CommandContext(t.Context(), "bash", "-euo", "pipefail", "-c", script)
		cmd.Dir, cmd.Env = home, []string{"PATH=" + os.Getenv("PATH"), "HOME=" + home, "GNUPGHOME=" + home}
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		return string(out)
	}
	// Nobody is there to be asked for the passphrase.
	run("gpg() { " + gpg + " --batch --pinentry-mode loopback --passphrase 'not a secret' \"$@\"; }\n" + commands)
	defer run("gpgconf --kill gpg-agent")
	if key := run("gpg --batch --show-keys --with-colons aimindset.asc 2>&- | grep ^pub"); !regexp.MustCompile(`^pub:[^:]*:4096:1:.*:[a-z]*s[a-zA-Z]*:`).MatchString(key) {
		t.Errorf("this is no RSA key that signs: %s", key)
	}
	if secret := run("head -1 aimindset.secret.asc"); !strings.Contains(secret, "PRIVATE KEY BLOCK") {
		t.Errorf("the secret key begins with %s", secret)
	}
}
