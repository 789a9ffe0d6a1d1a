package stack

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

const (
	// sharedMemory is where Linux has a file system in memory that everybody may use.
	sharedMemory = "/dev/shm"
	// roomy is how many bytes have to be free there, and of the memory: a stack takes
	// 60 MB, one with millions of rows a few GB, and several run at a time.
	roomy = 6 << 30
	// tmpfs is the type of such a file system, noExec the flag of one whose programs may
	// not be run; a stack has a copy of the server's program.
	tmpfs  = 0x01021994
	noExec = 8
)

// serverDir makes the directory of the database's server: in memory if there is a lot of
// it, because a new cluster is a thousand files, and ext4 takes ever longer to make them
// where many were removed in the last seconds. Functions stay in the stack's directory,
// as Deno lets no program read below /dev. Who sets TMPDIR decides.
func serverDir(dir string) (string, error) {
	if os.Getenv("TMPDIR") != "" || !isRoomy(sharedMemory, "/proc/meminfo") {
		return dir, nil
	}
	// By the same name, so that it is known whose it is.
	server := filepath.Join(sharedMemory, filepath.Base(dir))
	return server, os.Mkdir(server, 0o700)
}

// isRoomy reports whether a directory lies in memory, has programs run, and has a lot of
// room, as has the memory by a file like /proc/meminfo.
func isRoomy(dir, meminfo string) bool {
	var system syscall.Statfs_t
	if err := syscall.Statfs(dir, &system); err != nil || system.Type != tmpfs || system.Flags&noExec != 0 {
		return false
	}
	if system.Bavail*uint64(system.Bsize) < roomy {
		return false
	}
	text, err := os.ReadFile(meminfo)
	if err != nil {
		return false
	}
	_, line, _ := strings.Cut(string(text), "MemAvailable:")
	var kilobytes uint64
	_, err = fmt.Sscan(line, &kilobytes)
	return err == nil && kilobytes<<10 >= roomy
}
