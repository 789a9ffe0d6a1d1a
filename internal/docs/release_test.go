package docs_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"os"
	osexec "os/exec" // exec is a helper of this package
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/hashicorp/go-version"
)

// jobsOf splits a workflow into its jobs, by name, and the part before them.
func jobsOf(t *testing.T, workflow string) (head string, jobs map[string]string) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, ".github", "workflows", workflow))
	if err != nil {
		t.Fatal(err)
	}
	head, rest, found := strings.Cut(string(text), "\njobs:\n")
	if !found {
		t.Fatalf("%s has no jobs", workflow)
	}
	jobs = map[string]string{}
	name := ""
	for line := range strings.Lines(rest) {
		if match := regexp.MustCompile(`^  ([a-z]+):\s*$`).FindStringSubmatch(line); match != nil {
			name = match[1]
		}
		jobs[name] += line
	}
	return head, jobs
}

// script returns the shell script of a step of a job.
func script(t *testing.T, job, step string) string {
	t.Helper()
	_, rest, found := strings.Cut(job, "- name: "+step+"\n")
	_, rest, block := strings.Cut(rest, "        run: |\n")
	if !found || !block {
		t.Fatalf("there is no step %q with a script", step)
	}
	var lines strings.Builder
	for line := range strings.Lines(rest) {
		code, inside := strings.CutPrefix(line, "          ")
		if !inside {
			break
		}
		lines.WriteString(code)
	}
	return lines.String()
}

// TestPermissions proves that no workflow has more rights than to read the
// repository, but for the one job that publishes a release, and that no workflow
// runs for a change from outside with the repository's secrets.
func TestPermissions(t *testing.T) {
	t.Parallel()
	for _, workflow := range []string{"test.yml", "nightly.yml", "release.yml"} {
		head, jobs := jobsOf(t, workflow)
		if !strings.Contains(head, "\npermissions:\n  contents: read\n") || strings.Contains(head, "write") || strings.Contains(head, "pull_request_target") {
			t.Errorf("%s begins with\n%s", workflow, head)
		}
		for name, job := range jobs {
			if writes := strings.Count(job, ": write"); writes > 0 && (workflow != "release.yml" || name != "publish" || writes > 1 || !strings.Contains(job, "contents: write")) {
				t.Errorf("the job %s of %s has rights to write", name, workflow)
			}
			if strings.Contains(job, "actions/checkout@") != strings.Contains(job, "persist-credentials: false") {
				t.Errorf("the job %s of %s leaves its token to what it runs", name, workflow)
			}
		}
	}
}

// TestReleaseJobs proves who sees what when a release is made: the code of the
// repository and of others runs in a job without secrets, after the checks of the tag
// and of vulnerabilities; the signing key is in a job that runs nothing else, and only after what was
// handed over has been verified; and the job that may write to the repository runs
// no code of it.
func TestReleaseJobs(t *testing.T) {
	t.Parallel()
	_, jobs := jobsOf(t, "release.yml")
	if len(jobs) != 3 {
		t.Fatalf("there are %d jobs", len(jobs))
	}
	order := func(name string, texts ...string) {
		t.Helper()
		rest := jobs[name]
		for _, text := range texts {
			var found bool
			if _, rest, found = strings.Cut(rest, text); !found {
				t.Errorf("the job %s does not have %q in its place", name, text)
				return
			}
		}
	}
	order("build", "make releasable", "make vulnerabilities", "make reproducible", "make release-test", "make release\n", "GITHUB_OUTPUT", "actions/upload-artifact@")
	order("sign", "needs: build", "environment: release", "permissions: {}", "actions/download-artifact@", "needs.build.outputs.sums", "secrets.GPG_PRIVATE_KEY", "actions/upload-artifact@")
	order("publish", "needs: [build, sign]", "contents: write", "actions/download-artifact@", "needs.build.outputs.sums", "gh release create")
	for name, job := range jobs {
		for text, only := range map[string]string{"secrets.": "sign", "github.token": "publish", "GITHUB_TOKEN": "", "run: make": "build", "actions/checkout@": "build", "actions/setup-": "build"} {
			if strings.Contains(job, text) && name != only {
				t.Errorf("the job %s has %q", name, text)
			}
		}
	}
	if verify := script(t, jobs["sign"], "Verify what was handed over"); verify != script(t, jobs["publish"], "Verify what was handed over") {
		t.Error("the jobs sign and publish verify differently")
	}
}

// TestReleaseScripts proves that the scripts of the jobs sign and publish do what
// they say: what was changed on the way is refused, and the signature is that of the
// key, of the checksums, and in the form that the registries read.
func TestReleaseScripts(t *testing.T) {
	t.Parallel()
	gpg, err := osexec.LookPath("gpg")
	if err != nil {
		t.Fatalf("GnuPG is not installed (%v): run \"make install\"", err)
	}
	_, jobs := jobsOf(t, "release.yml")
	verify, sign := script(t, jobs["sign"], "Verify what was handed over"), script(t, jobs["sign"], "Sign the checksums")

	dir, home := t.TempDir(), t.TempDir()
	if err := os.Chmod(home, 0o700); err != nil {
		t.Fatal(err)
	}
	write := func(name, content string) string {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		digest := sha256.Sum256([]byte(content))
		return hex.EncodeToString(digest[:])
	}
	const archive, list = "p_1.0.0_linux_amd64.zip", "p_1.0.0_SHA256SUMS"
	sums := write(archive, "archive") + "  " + archive + "\n"
	digest := write(list, sums)
	run := func(script string, env ...string) (string, error) {
		cmd := osexec.CommandContext(t.Context(), "bash", "-e", "-o", "pipefail", "-c", script)
		// As on GitHub, the agent's directory is that of the home directory.
		cmd.Dir, cmd.Env = dir, append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + home}, env...)
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	for what, c := range map[string]struct {
		archive, list string
		fine          bool
	}{
		"intact": {"archive", sums, true}, "another archive": {"forged", sums, false}, "other checksums": {"archive", strings.ToUpper(sums), false}, "no archive": {"", sums, false},
	} {
		write(archive, c.archive)
		write(list, c.list)
		if c.archive == "" {
			if err := os.Remove(filepath.Join(dir, archive)); err != nil {
				t.Fatal(err)
			}
		}
		if out, err := run(verify, "SUMS="+digest); (err == nil) != c.fine {
			t.Errorf("%s: %v\n%s", what, err, out)
		}
	}
	write(archive, "archive")
	write(list, sums)

	// A key with a passphrase, made in a home directory of its own, and of the kind that
	// both registries take.
	maker := t.TempDir()
	if err := os.Chmod(maker, 0o700); err != nil {
		t.Fatal(err)
	}
	const passphrase = "not a secret"
	key := osexec.CommandContext(t.Context(), "bash", "-e", "-c", `
		gpg --batch --pinentry-mode loopback --passphrase "$PASSPHRASE" --quick-generate-key release@example.com rsa2048 sign never
		gpg --batch --pinentry-mode loopback --passphrase "$PASSPHRASE" --armor --export-secret-keys
		gpgconf --kill gpg-agent`)
	key.Env = []string{"PATH=" + os.Getenv("PATH"), "GNUPGHOME=" + maker, "PASSPHRASE=" + passphrase}
	var problems bytes.Buffer
	key.Stderr = &problems
	armored, err := key.Output()
	if err != nil {
		t.Fatalf("%v\n%s", err, problems.String())
	}
	out, err := run(sign, "GPG_PRIVATE_KEY="+string(armored), "PASSPHRASE="+passphrase)
	_, _ = run("gpgconf --kill gpg-agent")
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if strings.Contains(out, passphrase) {
		t.Errorf("the passphrase is in the output:\n%s", out)
	}
	check := osexec.CommandContext(t.Context(), gpg, "--batch", "--verify", list+".sig", list)
	check.Dir, check.Env = dir, []string{"GNUPGHOME=" + maker}
	if out, err := check.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	if signature, err := os.ReadFile(filepath.Join(dir, list+".sig")); err != nil || bytes.HasPrefix(signature, []byte("-----")) {
		t.Errorf("the signature is not binary: %v", err)
	}
}

// TestToolchain proves that a build takes a Go with the fixes of crypto/x509,
// crypto/tls, net/http and net/url that a provider needs.
func TestToolchain(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(filepath.Join(root, "go.mod"))
	if err != nil {
		t.Fatal(err)
	}
	match := regexp.MustCompile(`(?m)^toolchain go(\S+)$`).FindSubmatch(text)
	if match == nil {
		t.Fatal("go.mod has no toolchain")
	}
	// It has the fixes up to GO-2026-6809.
	const fixed = "1.26.10"
	if version.Must(version.NewVersion(string(match[1]))).LessThan(version.Must(version.NewVersion(fixed))) {
		t.Errorf("the toolchain is %s, and %s has the fixes", match[1], fixed)
	}
}
