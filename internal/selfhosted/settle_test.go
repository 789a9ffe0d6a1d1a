//go:build unix

package selfhosted

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// TestWorkerLifetime proves that Settle waits as long as the configuration says,
// and a minute where it says nothing.
func TestWorkerLifetime(t *testing.T) {
	t.Parallel()
	for lifetime, want := range map[time.Duration]time.Duration{0: time.Minute, 7 * time.Second: 7 * time.Second} {
		synctest.Test(t, func(t *testing.T) {
			p, _ := setup(t, Config{WorkerLifetime: lifetime})
			for _, source := range []string{"first", "second"} {
				if _, err := p.DeployFunction(t.Context(), "", deployment(map[string]string{"index.ts": source})); err != nil {
					t.Fatal(err)
				}
			}
			begin := time.Now()
			if err := p.Settle(t.Context()); err != nil || time.Since(begin) != want {
				t.Errorf("with %s it waits %s: %v", lifetime, time.Since(begin), err)
			}
		})
	}
}

// TestFreshInstances proves that nothing is waited for or restarted after a change of
// the code or of a token where each request gets a new instance; and that a changed
// environment still needs the restart.
func TestFreshInstances(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		for _, command := range [][]string{nil, {"/bin/false"}} {
			p, _ := setup(t, Config{FreshInstances: true, RestartCommand: command})
			begin := time.Now()
			for _, source := range []string{"first", "second"} {
				if _, err := p.DeployFunction(t.Context(), "", deployment(map[string]string{"index.ts": source})); err != nil {
					t.Fatal(err)
				}
				if err := p.SetToken(t.Context(), "auto-backup", "AUTO_BACKUP_TOKEN", source); err != nil {
					t.Fatal(err)
				}
			}
			if err := p.Settle(t.Context()); err != nil || time.Since(begin) != 0 || p.Unsettled() {
				t.Errorf("with the command %q, it waits %s: %v", command, time.Since(begin), err)
			}
			if err := p.SetSecrets(t.Context(), "", map[string]string{"A": "1"}); err != nil {
				t.Fatal(err)
			}
			if err := p.Settle(t.Context()); (err != nil) != (command != nil) || !p.Unsettled() {
				t.Errorf("after a change of the environment, with the command %q: %v", command, err)
			}
		}
	})
}

// TestRestartCommand proves what is said of a restart command that fails: the
// program without its directory, how it ended, and its last words if it had any.
func TestRestartCommand(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, script, want string }{
		{"silent", "exit 3", "run `restart_command` restart: exit status 3"},
		{"with words", "printf ' no\n\tsuch  service\n'; exit 3", "run `restart_command` restart: exit status 3: no such service"},
		{"with a secret", "echo key=abcd abc; exit 3", "run `restart_command` restart: exit status 3: key=[redacted] abc"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			p, dir := setup(t, Config{})
			program := filepath.Join(dir, "restart")
			if err := os.WriteFile(program, []byte("#!/bin/sh\n"+c.script+"\n"), 0o700); err != nil {
				t.Fatal(err)
			}
			p = New(Config{FunctionsDir: p.config.FunctionsDir, EnvFile: p.config.EnvFile, RestartCommand: []string{program}})
			if !p.Restarts() {
				t.Error("a command without arguments counts for none")
			}
			if err := p.SetSecrets(t.Context(), "", map[string]string{"LONG": "abcd", "SHORT": "abc"}); err != nil {
				t.Fatal(err)
			}
			if err := p.Settle(t.Context()); err == nil || err.Error() != c.want {
				t.Errorf("the error is %q, want %q", err, c.want)
			}
			if !p.Unsettled() {
				t.Error("the failure is forgotten")
			}
			directory(t, p.config.EnvFile)
			if err := p.Settle(t.Context()); err == nil {
				t.Error("without a readable env file it succeeds")
			}
		})
	}
}

// TestRestartInterrupted proves that a restart command which is stopped for want
// of time reports the timeout.
func TestRestartInterrupted(t *testing.T) {
	t.Parallel()
	p, _ := setup(t, Config{RestartCommand: []string{"/bin/sh", "-c", "exec sleep 60"}})
	if err := p.SetSecrets(t.Context(), "", map[string]string{"A": "1"}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if err := p.Settle(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("the error is %v", err)
	}
}

// TestPresentable proves that any program's output becomes one line that a
// terminal shows as it is, the end of it if it is long.
func TestPresentable(t *testing.T) {
	t.Parallel()
	for output, want := range map[string]string{
		"":                             "",
		"a\r\n\tb\u00a0 c":             "a b c",
		"\x1b[31mred\x00\u202e\xff":    "[31mred",
		strings.Repeat("x", 999) + "é": "…" + strings.Repeat("x", 998) + "é",
		strings.Repeat("x", 1000):      strings.Repeat("x", 1000),
		"é" + strings.Repeat("x", 999): "…" + strings.Repeat("x", 999),
	} {
		if got := New(Config{}).presentable(output); got != want {
			t.Errorf("%q is shown as %q, want %q", output, got, want)
		}
	}
}

// TestReadValues proves what is read from an env file that another program wrote.
func TestReadValues(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"A=1 # why":              "1",
		"A=# why":                "# why",
		"A=a#b":                  "a#b",
		`A="a\"b"`:               `a"b`,
		`A="a\nb\tc\rd"`:         "a\nb\tc\rd",
		`A="a\\b\$c\d"`:          `a\b$c\d`,
		`A="open\`:               `"open\`,
		`A="`:                    `"`,
		"A='x' trailing":         "x",
		"  export  A\t=\t two  ": "two",
	} {
		values := parseEnvironment("# comment\n\n" + text).values()
		if got, ok := values["A"]; !ok || got != want || len(values) != 1 {
			t.Errorf("%q is read as %q, want %q", text, values, want)
		}
	}
	dir := t.TempDir()
	if e, err := readEnvironment(filepath.Join(dir, "missing")); err != nil || len(e.entries) != 0 {
		t.Errorf("a file that is not there: %v, %v", e, err)
	}
	if _, err := readEnvironment(dir); err == nil {
		t.Error("a directory is read")
	}
}
