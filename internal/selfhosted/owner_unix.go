//go:build unix

package selfhosted

import (
	"errors"
	"io/fs"
	"os"
	"syscall"
)

// keepOwner gives the file fresh the owner and group of the file that it is to
// replace. If only the group cannot be set, that is not an error.
func keepOwner(replaced, fresh string) error {
	was, err := os.Stat(replaced)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	is, err := os.Stat(fresh)
	if err != nil {
		return err
	}
	from, knownFrom := was.Sys().(*syscall.Stat_t)
	to, knownTo := is.Sys().(*syscall.Stat_t)
	if !knownFrom || !knownTo || from.Uid == to.Uid && from.Gid == to.Gid {
		return nil
	}
	err = os.Chown(fresh, int(from.Uid), int(from.Gid))
	if err != nil && from.Uid == to.Uid {
		return nil // only the group differs
	}
	return err
}
