package atomicfile

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// Write replaces the content of the file at path, or makes it, with exactly the
// permissions of mode whatever the umask. The folder must exist. At no time can the
// file be read without permission.
func Write(path string, content []byte, mode fs.FileMode) error {
	return place(path, content, mode, os.Rename)
}

// Create does the same where there is no such file yet, and returns fs.ErrExist where there is: of
// several processes that make it at once, one does.
func Create(path string, content []byte, mode fs.FileMode) error {
	return place(path, content, mode, func(from, to string) error {
		return errors.Join(os.Link(from, to), os.Remove(from))
	})
}

func place(path string, content []byte, mode fs.FileMode, put func(from, to string) error) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".new-*")
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	_, err = f.Write(content)
	if err == nil {
		err = f.Chmod(mode)
	}
	if err == nil {
		err = f.Sync()
	}
	err = errors.Join(err, f.Close())
	if err == nil {
		err = put(f.Name(), path)
	}
	if err != nil {
		_ = os.Remove(f.Name()) // it may be gone; nothing depends on it
		return fmt.Errorf("write %s: %w", path, err)
	}
	return syncDir(filepath.Dir(path))
}

// syncDir makes the renaming itself survive a loss of power.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
