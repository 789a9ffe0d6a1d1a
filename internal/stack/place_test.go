package stack

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

// TestServerDir proves that a server takes to memory only where there is a lot of it: not on a
// disk, nor where little memory is left or nobody can say how much; and never where TMPDIR
// names another place.
func TestServerDir(t *testing.T) {
	meminfo := func(kilobytes int) string {
		path := filepath.Join(t.TempDir(), "meminfo")
		text := fmt.Sprintf("MemTotal: 99 kB\nMemAvailable:  %d kB\nBuffers: 1 kB\n", kilobytes)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	plenty, little := meminfo(roomy>>10), meminfo(roomy>>10-1)
	inMemory := isRoomy(sharedMemory, plenty)
	for _, small := range []string{little, filepath.Join(t.TempDir(), "missing"), "/dev/null"} {
		if isRoomy(sharedMemory, small) {
			t.Errorf("memory is taken that %s does not say is there", small)
		}
	}
	for _, elsewhere := range []string{"/proc", filepath.Join(t.TempDir(), "missing"), "."} {
		if isRoomy(elsewhere, plenty) {
			t.Errorf("%s counts as memory", elsewhere)
		}
	}
	dir := t.TempDir()
	t.Setenv("TMPDIR", "")
	server, err := serverDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	want := dir
	if inMemory && isRoomy(sharedMemory, "/proc/meminfo") {
		want = filepath.Join(sharedMemory, filepath.Base(dir))
		if err := os.Remove(want); err != nil {
			t.Error(err)
		}
	}
	if server != want {
		t.Errorf("the place is %q, not %q", server, want)
	}
	t.Setenv("TMPDIR", t.TempDir())
	if server, err := serverDir(dir); err != nil || server != dir {
		t.Errorf("TMPDIR is passed over for %q, %v", server, err)
	}
}
