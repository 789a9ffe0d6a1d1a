package stack

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
)

// The versions of the Supabase CLI that cli/package.json pins: the current major version,
// and the one before, which many pipelines still run.
const (
	CLI3 = "3.1.0"
	CLI2 = "2.117.0"
)

// cliPrograms are the programs of each version, below the directory cli. Only the current
// version is named as the package of a platform; the other one brings its own.
var cliPrograms = map[string]string{
	CLI3: "node_modules/@supabase/cli-linux-x64",
	CLI2: "node_modules/supabase/node_modules/@supabase/cli-linux-x64",
}

// HasCLI reports whether there is a CLI to install for this machine.
func HasCLI() bool { return runtime.GOOS == "linux" && runtime.GOARCH == "amd64" }

// findCLI returns the program of a version.
func findCLI(dir, version string) (string, error) {
	in := filepath.Join(dir, filepath.FromSlash(cliPrograms[version]))
	var found struct{ Version string }
	err := readJSONFile(filepath.Join(in, "package.json"), &found)
	program := filepath.Join(in, "bin", "supabase")
	if err != nil || found.Version != version || !exists(program) {
		return "", fmt.Errorf("no Supabase CLI %s in %s (by npm): %w: run %q", version, dir, ErrNotInstalled, installCommand)
	}
	return program, nil
}

// cliDir is the directory of package.json.
func cliDir() string { return filepath.Join(filepath.Dir(denoDir()), "cli") }

// InstallCLI installs both versions of the Supabase CLI from npm, 122 MB to download,
// unless they are installed.
func InstallCLI(ctx context.Context, log io.Writer) error {
	if !HasCLI() {
		return nil
	}
	dir := cliDir()
	_, current := findCLI(dir, CLI3)
	_, before := findCLI(dir, CLI2)
	if current == nil && before == nil {
		return nil
	}
	_, _ = fmt.Fprintln(log, "installing the Supabase CLI by npm ci")
	if err := npmInstall(ctx, dir); err != nil {
		return fmt.Errorf("installing the Supabase CLI in %s: %w", dir, err)
	}
	for version := range cliPrograms {
		if _, err := findCLI(dir, version); err != nil {
			return err
		}
	}
	return nil
}

// CLI is a checkout of an application, in which the real Supabase CLI runs against a
// stack.
type CLI struct {
	// Dir is the checkout, which has the directory supabase.
	Dir string

	program string
	env     []string
}

// NewCLI makes a checkout in a directory, links it to the project, and returns a version
// of the CLI for it. The CLI keeps its own files in the directory, too, and reports
// nothing to anybody.
func (s *Stack) NewCLI(ctx context.Context, version, dir string) (*CLI, error) {
	program, err := findCLI(cliDir(), version)
	if err != nil {
		return nil, err
	}
	profile, err := json.Marshal(map[string]string{ // JSON is YAML
		"name": "stack", "api_url": s.APIURL, "dashboard_url": s.APIURL, "project_host": "localhost",
	})
	if err != nil {
		return nil, err
	}
	path := filepath.Join(dir, "profile.yaml")
	if err := os.WriteFile(path, profile, 0o600); err != nil {
		return nil, err
	}
	c := &CLI{Dir: dir, program: program}
	for _, variable := range os.Environ() {
		if !strings.HasPrefix(variable, "SUPABASE_") && !strings.HasPrefix(variable, "HOME=") {
			c.env = append(c.env, variable)
		}
	}
	c.env = append(c.env, "HOME="+dir, "SUPABASE_PROFILE="+path, "SUPABASE_ACCESS_TOKEN="+s.AccessToken,
		"SUPABASE_TELEMETRY_DISABLED=1", "DO_NOT_TRACK=1", "NO_COLOR=1",
		// The program's JavaScript runs too briefly for what its optimizing compiler costs.
		"BUN_JSC_useDFGJIT=0")
	for _, args := range [][]string{{"init"}, {"link", "--project-ref", s.ProjectRef}} {
		if out, err := c.Run(ctx, args...); err != nil {
			return nil, fmt.Errorf("%w\n%s", err, out)
		}
	}
	return c, nil
}

// Run runs the CLI in the checkout, without a terminal, and returns all that it printed.
// The arguments are not part of the error, as they may hold a password.
func (c *CLI) Run(ctx context.Context, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, c.program, args...)
	cmd.Dir, cmd.Env = c.Dir, c.env
	out, err := cmd.CombinedOutput()
	if err != nil {
		err = fmt.Errorf("supabase %s: %w", args[0], err)
	}
	return string(out), err
}

// Write writes a file of the checkout.
func (c *CLI) Write(name, text string) error {
	path := filepath.Join(c.Dir, filepath.FromSlash(name))
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	return os.WriteFile(path, []byte(text), 0o600)
}
