package selfhosted

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// replaceFile writes a file in one step: a reader sees either the old or the new
// content. An existing file keeps its owner. If it fails, nothing is left of the
// new content.
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
		return fmt.Errorf("%s belongs to another user, and writing it would change its owner: %w", file, err)
	}
	return os.Rename(partial.Name(), file)
}

// replaceDirectory replaces dir, which need not exist, with the directory fresh.
// It does so in one step where the file system can exchange two directories, and
// otherwise moves dir aside first.
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
