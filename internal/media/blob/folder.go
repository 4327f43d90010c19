package blob

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// Object is the content of one object, to be read. It is for one goroutine, but for
// ReadAt, which any number may use.
type Object = interface {
	io.ReadSeekCloser
	io.ReaderAt
}

// tempDir is the folder for files without a key yet. Renaming a file from there to its
// place is one step only within one file system.
const tempDir = "temp"

// Folder stores objects as files. Several processes may share it, by NFS for example.
type Folder struct{ root string }

// OpenFolder makes the folder if need be.
func OpenFolder(root string) (*Folder, error) {
	f := &Folder{root}
	if err := os.MkdirAll(f.temp(), 0o700); err != nil {
		return nil, fmt.Errorf("make the media folder: %w", err)
	}
	return f, nil
}

func (f *Folder) temp() string { return filepath.Join(f.root, tempDir) }

func (f *Folder) path(key string) string { return filepath.Join(f.root, filepath.FromSlash(key)) }

// Scratch returns an empty file to write to, and then to Put. The caller closes it and
// removes it by its name, unless it was put; Clean removes those that are left.
func (f *Folder) Scratch() (*os.File, error) { return os.CreateTemp(f.temp(), "received-*") }

// Put moves a scratch file to the place of its key, and replaces a file that is there.
func (f *Folder) Put(_ context.Context, key string, content *os.File, _ [32]byte) error {
	if err := content.Sync(); err != nil {
		return err
	}
	path := f.path(key)
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	if err := os.Rename(content.Name(), path); err != nil {
		return err
	}
	// The folder may be new as well.
	return errors.Join(syncDir(dir), syncDir(filepath.Dir(dir)))
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// Open returns an object; an error that is fs.ErrNotExist if there is none.
func (f *Folder) Open(_ context.Context, key string) (Object, error) {
	file, err := os.Open(f.path(key))
	if err == nil {
		return file, nil
	}
	if _, away := os.Stat(f.temp()); away != nil {
		return nil, fmt.Errorf("the folder %s is not there, or cannot be read: %s", f.root, err.Error())
	}
	return nil, err
}

// Remove removes an object, if there is one.
func (f *Folder) Remove(_ context.Context, key string) error {
	if err := os.Remove(f.path(key)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// Walk calls visit for each object whose key begins with the prefix, in the order of
// keys, with its size in bytes. It ends at the first error.
func (f *Folder) Walk(ctx context.Context, prefix string, visit func(key string, bytes int64) error) error {
	return fs.WalkDir(os.DirFS(f.root), ".", func(key string, entry fs.DirEntry, err error) error {
		switch {
		case errors.Is(err, fs.ErrNotExist): // removed meanwhile
			return nil
		case err != nil:
			return err
		case ctx.Err() != nil:
			return ctx.Err()
		case entry.IsDir():
			if key == tempDir || !related(key+"/", prefix) {
				return skip(key)
			}
			return nil
		case !strings.HasPrefix(key, prefix):
			return nil
		}
		info, err := entry.Info()
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		return visit(key, info.Size())
	})
}

// related reports whether keys below a folder can begin with the prefix.
func related(dir, prefix string) bool {
	return strings.HasPrefix(dir, prefix) || strings.HasPrefix(prefix, dir)
}

// skip leaves a folder out, but never the root.
func skip(key string) error {
	if key == "." {
		return nil
	}
	return fs.SkipDir
}

// Clean removes scratch files that were last written before a time, which killed
// processes have left behind, and returns their number. The time is that of the file
// system, so that no other clock matters. Files that other processes are receiving at
// the moment stay.
func (f *Folder) Clean(ctx context.Context, age time.Duration) (removed int, err error) {
	entries, err := os.ReadDir(f.temp())
	if err != nil || len(entries) == 0 {
		return 0, err
	}
	now, err := f.now()
	if err != nil {
		return 0, err
	}
	for _, entry := range entries {
		if ctx.Err() != nil {
			return removed, ctx.Err()
		}
		info, err := entry.Info()
		if errors.Is(err, fs.ErrNotExist) || err == nil && now.Sub(info.ModTime()) < age {
			continue
		}
		if err == nil {
			err = os.RemoveAll(filepath.Join(f.temp(), entry.Name()))
		}
		if err != nil {
			return removed, err
		}
		removed++
	}
	return removed, nil
}

// now returns the time by the clock of the file system, which may be another machine's.
func (f *Folder) now() (time.Time, error) {
	file, err := f.Scratch()
	if err != nil {
		return time.Time{}, err
	}
	info, err := file.Stat()
	if err := errors.Join(err, file.Close(), os.Remove(file.Name())); err != nil {
		return time.Time{}, err
	}
	return info.ModTime(), nil
}
