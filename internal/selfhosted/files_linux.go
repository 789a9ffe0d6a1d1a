package selfhosted

import "golang.org/x/sys/unix"

// mayWrite reports why this user may not create files in a directory.
func mayWrite(dir string) error {
	return unix.Faccessat(unix.AT_FDCWD, dir, unix.W_OK, unix.AT_EACCESS)
}

// exchange swaps two directories in one step. Some file systems do not support
// that.
func exchange(a, b string) error {
	return unix.Renameat2(unix.AT_FDCWD, a, unix.AT_FDCWD, b, unix.RENAME_EXCHANGE)
}
