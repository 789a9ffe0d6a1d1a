package stack

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// Proves that a process can be killed also while its stack starts, when the
// cluster is being made or the server comes up, and that afterwards there is no
// process of the stack and no file.
func TestKilledStartLeavesNothing(t *testing.T) {
	t.Parallel()
	for name, phase := range map[string]string{
		"while the cluster is made": "*/postgres/data/PG_VERSION",
		"while the server starts":   "*/postgres/data/postmaster.pid",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			// Not t.TempDir, whose parent the server's user may not enter.
			tmp, err := os.MkdirTemp("", "aimindset-killed-")
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = os.RemoveAll(tmp) }()
			if err := os.Chmod(tmp, 0o711); err != nil {
				t.Fatal(err)
			}
			child := exec.Command(os.Args[0])
			child.Env = append(os.Environ(), holdVariable+"=1", "TMPDIR="+tmp)
			child.Stderr = t.Output()
			if err := child.Start(); err != nil {
				t.Fatal(err)
			}
			reached := appears(filepath.Join(tmp, phase))
			before := processesOf(tmp, child.Process.Pid)
			if err := child.Process.Kill(); err != nil {
				t.Error(err)
			}
			_ = child.Wait()
			if !reached || len(before) == 0 {
				t.Fatalf("it did not get so far: %v", before)
			}
			tick := time.NewTicker(20 * time.Millisecond)
			defer tick.Stop()
			limit := time.After(patience)
			for {
				processes := processesOf(tmp, 0)
				files, err := os.ReadDir(tmp)
				if err != nil {
					t.Fatal(err)
				}
				if len(processes) == 0 && len(files) == 0 {
					return
				}
				select {
				case <-tick.C:
				case <-limit:
					t.Fatalf("left behind: processes %v, files %v", processes, files)
				}
			}
		})
	}
}

// appears waits until a file is there.
func appears(pattern string) bool {
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); {
		if found, _ := filepath.Glob(pattern); len(found) > 0 {
			return true
		}
		time.Sleep(time.Millisecond) // there is no event for a new file
	}
	return false
}

// processesOf lists the processes, but one, which have something to do with a
// directory: in their arguments, environment, working directory or program.
func processesOf(dir string, but int) (found []string) {
	entries, _ := filepath.Glob("/proc/[0-9]*")
	for _, entry := range entries {
		if filepath.Base(entry) == strconv.Itoa(but) {
			continue
		}
		cmdline, _ := os.ReadFile(filepath.Join(entry, "cmdline"))
		environ, _ := os.ReadFile(filepath.Join(entry, "environ"))
		cwd, _ := os.Readlink(filepath.Join(entry, "cwd"))
		exe, _ := os.Readlink(filepath.Join(entry, "exe"))
		if strings.Contains(strings.Join([]string{string(cmdline), string(environ), cwd, exe}, "\n"), dir) {
			found = append(found, filepath.Base(entry)+": "+strings.ReplaceAll(string(cmdline), "\x00", " "))
		}
	}
	return found
}

// Proves that closing the supervisor ends what it still knows and nothing that
// has ended by itself, and removes the directory before it returns.
func TestSupervisorEndsWhatIsLeft(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "it's a \"dir\" $(x)")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	s, err := newSupervisor(dir, dir)
	if err != nil {
		t.Fatal(err)
	}
	ended, err := s.start(exec.Command("true"), "KILL", false)
	if err != nil {
		t.Fatal(err)
	}
	<-ended.done
	if ended.err != nil {
		t.Error(ended.err)
	}
	quiet, err := s.start(exec.Command("sleep", "1000"), "TERM", false)
	if err != nil {
		t.Fatal(err)
	}
	// The leader of a group, whose child would outlive it.
	group, err := s.start(exec.Command("sh", "-c", "sleep 1000 & echo $! > \"$0\"; wait", filepath.Join(dir, "pid")), "KILL", true)
	if err != nil {
		t.Fatal(err)
	}
	if !appears(filepath.Join(strings.ReplaceAll(dir, `"`, `?`), "pid")) {
		t.Fatal("the child did not start")
	}
	if _, err := s.start(exec.Command("/no/such/program"), "KILL", false); err == nil {
		t.Error("a program that does not exist was started")
	}
	if err := s.close(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(dir); !os.IsNotExist(err) {
		t.Errorf("%s is left: %v", dir, err)
	}
	for _, p := range []*process{quiet, group} {
		<-p.done
		if p.err == nil {
			t.Error("a process ended by itself")
		}
	}
	if left := processesOf(dir, 0); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
	if err := s.close(); err != nil {
		t.Errorf("closing again: %v", err)
	}
}
