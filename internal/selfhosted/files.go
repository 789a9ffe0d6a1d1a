package selfhosted

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// replaceFile writes a file in one step: a reader sees the old content or the
// new one. A file that was there keeps its owner.
func replaceFile(file string, content []byte, mode fs.FileMode) (err error) {
	partial, err := os.CreateTemp(filepath.Dir(file), "."+filepath.Base(file)+".*.new")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = os.Remove(partial.Name())
		}
	}()
	_, err = partial.Write(content)
	if err == nil {
		err = partial.Chmod(mode)
	}
	if err == nil {
		err = partial.Sync()
	}
	if err = errors.Join(err, partial.Close()); err != nil {
		return err
	}
	if err := keepOwner(file, partial.Name()); err != nil {
		return fmt.Errorf("%s belongs to another user and would change hands: %w", file, err)
	}
	return os.Rename(partial.Name(), file)
}

// replaceDirectory puts the directory fresh in the place of dir, which may be
// missing. Where the file system can, the two change places in one step.
func replaceDirectory(dir, fresh, aside string) error {
	if err := os.RemoveAll(aside); err != nil {
		return err
	}
	err := os.Rename(fresh, dir)
	if _, statErr := os.Lstat(dir); err != nil && statErr == nil {
		if exchange(fresh, dir) == nil {
			return os.RemoveAll(fresh)
		}
		if err = os.Rename(dir, aside); err != nil {
			return err
		}
		if err = os.Rename(fresh, dir); err != nil {
			return errors.Join(err, os.Rename(aside, dir))
		}
		return os.RemoveAll(aside)
	}
	return err
}
