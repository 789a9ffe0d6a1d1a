package stack

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
)

// Proves that the versions in the code are those that package.json pins.
func TestPinnedCLI(t *testing.T) {
	t.Parallel()
	var pinned struct {
		Packages map[string]string `json:"optionalDependencies"`
	}
	if err := readJSONFile(filepath.Join("cli", "package.json"), &pinned); err != nil {
		t.Fatal(err)
	}
	if got := pinned.Packages["@supabase/cli-linux-x64"]; got != CLI3 {
		t.Errorf("the current CLI is %q, want %q", got, CLI3)
	}
	if got := pinned.Packages["supabase"]; got != CLI2 {
		t.Errorf("the CLI before is %q, want %q", got, CLI2)
	}
}

// Proves that a CLI is found only if it is complete and of the wanted version, and that
// the error says what installs it.
func TestCLIIsFound(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write := func(name, text string) {
		t.Helper()
		path := filepath.Join(dir, filepath.FromSlash(cliPrograms[CLI3]), filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	missing := func() {
		t.Helper()
		if _, err := findCLI(dir, CLI3); !errors.Is(err, ErrNotInstalled) {
			t.Errorf("%v, want %v", err, ErrNotInstalled)
		}
	}
	missing()
	write("package.json", `{"version":"`+CLI3+`"}`)
	missing()
	write("bin/supabase", "")
	if _, err := findCLI(dir, CLI3); err != nil {
		t.Error(err)
	}
	write("package.json", `{"version":"3.0.0"}`)
	missing()
}
