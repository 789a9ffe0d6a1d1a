package stack

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// listens reports whether something accepts requests at a URL.
func listens(t *testing.T, url string) bool {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := http.DefaultClient.Do(r)
	if err == nil {
		_ = response.Body.Close()
	}
	return err == nil
}

// Proves that the version in the code is the one that package.json pins, and that it is
// found only if it is installed, with an error that says what installs it.
func TestMetaIsFound(t *testing.T) {
	t.Parallel()
	var pinned struct{ Dependencies map[string]string }
	if err := readJSONFile(filepath.Join("meta", "package.json"), &pinned); err != nil {
		t.Fatal(err)
	}
	if got := pinned.Dependencies["@supabase/postgres-meta"]; got != MetaVersion {
		t.Errorf("package.json pins %q, want %q", got, MetaVersion)
	}
	if program, err := findMeta(metaDir()); err != nil || !exists(program) {
		t.Errorf("%q, %v", program, err)
	}
	dir := t.TempDir()
	in := filepath.Join(dir, "node_modules", "@supabase", "postgres-meta")
	if err := os.MkdirAll(in, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, content := range []string{"", `{"version":"0.1.0"}`} {
		if content != "" {
			if err := os.WriteFile(filepath.Join(in, "package.json"), []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := findMeta(dir); !errors.Is(err, ErrNotInstalled) || !strings.Contains(err.Error(), installCommand) {
			t.Errorf("%q: %v", content, err)
		}
	}
}

// Proves that the service starts again after it has ended; that nobody learns the key
// from its arguments, and it nothing from this process's environment; and that without
// the key it reaches no database.
func TestMetaService(t *testing.T) {
	t.Parallel()
	var service postgresMeta
	run := func() *metaProcess {
		t.Helper()
		rows, err := service.query(t.Context(), shared(t).DatabaseURL, queryBody{Query: "select 1 as a"})
		if err != nil || string(rows) != `[{"a":1}]` {
			t.Fatalf("%s, %v", rows, err)
		}
		return service.running
	}
	first := run()
	if again := run(); again != first {
		t.Error("each query starts the service")
	}
	line, lineErr := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", first.pid))
	environment, environErr := os.ReadFile(fmt.Sprintf("/proc/%d/environ", first.pid))
	if err := errors.Join(lineErr, environErr); err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(line, []byte(first.key)) || !bytes.Contains(environment, []byte(first.key)) || bytes.Contains(environment, []byte(leakedVariable)) {
		t.Errorf("arguments %q, environment %q", line, environment)
	}
	forged, err := encryptConnection("another key", shared(t).DatabaseURL)
	if err != nil {
		t.Fatal(err)
	}
	for _, header := range [][]string{nil, {"X-Connection-Encrypted", forged}, {"Pg", shared(t).DatabaseURL}} {
		headers := append([]string{"Content-Type", "application/json"}, header...)
		if got := send(t, http.MethodPost, first.url+"/query", `{"query":"select 1"}`, headers...); got.status == 200 {
			t.Errorf("with %q: %s", header, got.body)
		}
	}
	if err := syscall.Kill(first.pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	<-first.ended
	second := run()
	if second == first || second.key == first.key {
		t.Error("it did not start again")
	}
	if err := second.close(); err != nil {
		t.Error(err)
	}
	if listens(t, second.url) {
		t.Error("it still listens")
	}
}

// Proves what the API says when the service cannot be started.
func TestMetaMissing(t *testing.T) {
	t.Parallel()
	program := filepath.Join(t.TempDir(), "main.mjs")
	for content, want := range map[string]string{
		"console.error('broken'); process.exit(1)":                                 "it ended at once: broken",
		"console.log('x'); process.stdin.on('end', () => process.exit()).resume()": `it did not print its port but "x"`,
	} {
		if err := os.WriteFile(program, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := startMeta(t.Context(), program); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
}
