// Package docs_test does what the documentation says, as a user would do it: in
// an empty directory, with the real Terraform, which finds the provider in a
// filesystem mirror of a build, without any developer override.
package docs_test

import (
	"context"
	"flag"
	"fmt"
	"log"
	"os"
	programs "os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aimindset/terraform-provider-aimindset/internal/stack"
	"github.com/aimindset/terraform-provider-aimindset/internal/stack/engine"
)

// dist is a directory with the archives of a release, which the mirror is then
// made of. Without it the provider is built here.
var dist = flag.String("dist", "", "directory with the archives of a release to test; else the provider is built")

// root is the repository's directory, seen from this one.
const root = "../.."

// tools are what the tests need that run Terraform.
type tools struct {
	dir      string // programs for PATH, and Terraform's settings
	settings string // TF_CLI_CONFIG_FILE
}

// engines notes which tests have run with what not every Terraform and OpenTofu has.
var engines = engine.NewLedger("internal/docs")

// toolsFor prepares the tools, once for all tests.
func toolsFor(t *testing.T) *tools {
	t.Helper()
	prepared, err := prepareOnce()
	if err != nil {
		t.Fatal(err)
	}
	return prepared
}

var prepareOnce = sync.OnceValues(func() (*tools, error) { return prepare(context.Background(), scratch) })

// scratch is a directory that ends with the tests.
var scratch string

func TestMain(m *testing.M) {
	flag.Parse()
	var err error
	if scratch, err = os.MkdirTemp("", "aimindset-docs-"); err != nil {
		log.Fatal(err)
	}
	code := engines.End(m.Run())
	if err := os.RemoveAll(scratch); err != nil {
		log.Fatal(err)
	}
	os.Exit(code)
}

// prepare finds Terraform and builds the mirror.
func prepare(ctx context.Context, dir string) (*tools, error) {
	e, err := engines.Engine()
	if err != nil {
		return nil, err
	}
	p := &tools{dir: dir, settings: filepath.Join(dir, "terraform.rc")}
	// Guides call the program terraform.
	if err := os.MkdirAll(filepath.Join(dir, "bin"), 0o700); err != nil {
		return nil, err
	}
	if err := os.Symlink(e.Path, filepath.Join(dir, "bin", "terraform")); err != nil {
		return nil, err
	}
	if err := mirror(ctx, filepath.Join(dir, "mirror")); err != nil {
		return nil, err
	}
	settings := fmt.Appendf(nil, "provider_installation {\n  filesystem_mirror { path = %q }\n}\n", filepath.Join(dir, "mirror"))
	return p, os.WriteFile(p.settings, settings, 0o600)
}

// mirror lays out the provider as Terraform's documentation of filesystem
// mirrors says, packed or unpacked, below the addresses of both registries.
func mirror(ctx context.Context, dir string) error {
	var first string
	for _, registry := range []string{"registry.terraform.io", "registry.opentofu.org"} {
		place := filepath.Join(dir, registry, "aimindset", "aimindset")
		if err := os.MkdirAll(place, 0o700); err != nil {
			return err
		}
		if *dist != "" {
			archives, err := filepath.Glob(filepath.Join(*dist, fmt.Sprintf("terraform-provider-aimindset_*_%s_%s.zip", runtime.GOOS, runtime.GOARCH)))
			if err != nil || len(archives) != 1 {
				return fmt.Errorf("there are %d archives for %s/%s in %s, not one (%w)", len(archives), runtime.GOOS, runtime.GOARCH, *dist, err)
			}
			archive, err := filepath.Abs(archives[0])
			if err != nil {
				return err
			}
			if err := os.Symlink(archive, filepath.Join(place, filepath.Base(archive))); err != nil {
				return err
			}
			continue
		}
		platform := filepath.Join(place, "0.0.1", runtime.GOOS+"_"+runtime.GOARCH)
		if first != "" {
			if err := os.MkdirAll(filepath.Dir(platform), 0o700); err != nil {
				return err
			}
			if err := os.Symlink(first, platform); err != nil {
				return err
			}
			continue
		}
		first = platform
		build := programs.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags=-s -w -X main.version=0.0.1",
			"-o", filepath.Join(platform, "terraform-provider-aimindset_v0.0.1"), "github.com/aimindset/terraform-provider-aimindset")
		if out, err := build.CombinedOutput(); err != nil {
			return fmt.Errorf("build the provider: %w\n%s", err, out)
		}
	}
	return nil
}

// start starts a project that ends with the test.
func start(t *testing.T, opts stack.Options) *stack.Stack {
	t.Helper()
	s, err := stack.Start(t.Context(), opts)
	if err != nil {
		t.Fatalf("start the stack: %v", err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("stop the stack: %v", err)
		}
	})
	return s
}

// user is somebody at an empty directory of a shell.
type user struct {
	t   *testing.T
	dir string
	env []string
}

// newUser has the environment of a machine without any settings of the
// provider or of Terraform, and the given settings.
func newUser(t *testing.T, settings ...string) *user {
	t.Helper()
	prepared := toolsFor(t)
	u := &user{t: t, dir: t.TempDir()}
	for _, variable := range os.Environ() {
		name, _, _ := strings.Cut(variable, "=")
		if !strings.HasPrefix(name, "SUPABASE_") && !strings.HasPrefix(name, "TF_") && name != "PATH" {
			u.env = append(u.env, variable)
		}
	}
	u.env = append(u.env,
		"PATH="+filepath.Join(prepared.dir, "bin")+string(os.PathListSeparator)+os.Getenv("PATH"),
		"TF_CLI_CONFIG_FILE="+prepared.settings, "TF_IN_AUTOMATION=1", "CHECKPOINT_DISABLE=1",
	)
	if *dist == "" {
		// With the archives of a release, Terraform runs as users have it.
		u.env = append(u.env, stack.Quick...)
	}
	u.env = append(u.env, settings...)
	return u
}

// at is the same user at another empty directory.
func (u *user) at() *user { return &user{t: u.t, dir: u.t.TempDir(), env: slices.Clone(u.env)} }

// write writes a file.
func (u *user) write(name, text string) {
	u.t.Helper()
	path := filepath.Join(u.dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		u.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		u.t.Fatal(err)
	}
}

// run runs a script in the user's shell and expects it to end with a status.
func (u *user) run(status int, script string) string {
	u.t.Helper()
	ctx, cancel := context.WithTimeout(u.t.Context(), 5*time.Minute)
	defer cancel()
	cmd := programs.CommandContext(ctx, "bash", "-euo", "pipefail", "-c", script)
	cmd.Dir, cmd.Env = u.dir, u.env
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = time.Minute
	out, err := cmd.CombinedOutput()
	if got := cmd.ProcessState.ExitCode(); got != status {
		u.t.Fatalf("status %d, not %d (%v), of\n%s\nwhich said\n%s", got, status, err, script, out)
	}
	return string(out)
}

// projectRef is what examples and guides write for a project's reference.
const projectRef = "abcdefghijklmnopqrst"

// example reads a file of the repository and puts the project's reference in
// the place of the one that the documentation shows.
func example(t *testing.T, ref string, path ...string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(append([]string{root}, path...)...))
	if err != nil {
		t.Fatal(err)
	}
	return strings.ReplaceAll(string(text), projectRef, ref)
}

// jobs lists a project's pg_cron jobs.
func jobs(t *testing.T, s *stack.Stack) string {
	t.Helper()
	return value(t, s, "select coalesce(string_agg(jobname || ' ' || schedule || ' ' || active, ', ' order by jobname), 'none') from cron.job")
}

// value reads one value as text.
func value(t *testing.T, s *stack.Stack, query string) string {
	t.Helper()
	var text string
	if err := s.Admin().QueryRow(t.Context(), "select ("+query+")::text").Scan(&text); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	return text
}

// exec runs a statement as somebody else in the project.
func exec(t *testing.T, s *stack.Stack, statement string) {
	t.Helper()
	if _, err := s.Admin().Exec(t.Context(), statement); err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
}

// await waits until a condition holds, and runs step before each look.
func await(t *testing.T, s *stack.Stack, condition, step string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	ticker := time.NewTicker(100 * time.Millisecond)
	defer ticker.Stop()
	for {
		exec(t, s, "select "+step)
		if value(t, s, "select coalesce(("+condition+"), false)") == "true" {
			return
		}
		select {
		case <-ctx.Done():
			t.Fatalf("it did not come to pass that %s", condition)
		case <-ticker.C:
		}
	}
}
