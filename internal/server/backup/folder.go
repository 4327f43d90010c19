package backup

import (
	"bufio"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"github.com/klauspost/compress/zstd"
)

// folder is a backup that is being written, under another name than it will have.
type folder struct {
	final   string
	partial string
	lock    *os.File // of the folder itself
}

// newFolder makes the folder. The remains of a backup that was broken off are removed;
// one that is being written is not touched.
func newFolder(dir string) (*folder, error) {
	dir = filepath.Clean(dir)
	entries, err := os.ReadDir(dir)
	if err == nil && len(entries) > 0 {
		return nil, fmt.Errorf("%s exists and is not empty: a backup is never overwritten", dir)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("look where the backup is to be: %w", err)
	}
	f := &folder{final: dir, partial: dir + ".partial"}
	if err := os.MkdirAll(f.partial, 0o700); err != nil {
		return nil, fmt.Errorf("make the folder of the backup: %w", err)
	}
	if f.lock, err = os.Open(f.partial); err != nil {
		return nil, fmt.Errorf("open the folder of the backup: %w", err)
	}
	err = syscall.Flock(int(f.lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		err = fmt.Errorf("another backup is being written to %s", f.partial)
	}
	if err == nil {
		err = f.empty()
	}
	if err != nil {
		return nil, errors.Join(err, f.lock.Close())
	}
	return f, nil
}

func (f *folder) empty() error {
	entries, err := os.ReadDir(f.partial)
	for _, entry := range entries {
		err = errors.Join(err, os.RemoveAll(filepath.Join(f.partial, entry.Name())))
	}
	if err != nil {
		return fmt.Errorf("remove what a backup that was broken off has left: %w", err)
	}
	return nil
}

// discard removes a backup that was not finished.
func (f *folder) discard() error {
	return errors.Join(os.RemoveAll(f.partial), f.lock.Close())
}

// finish syncs the folders to disk and renames the backup to its name.
func (f *folder) finish() error {
	err := filepath.WalkDir(f.partial, func(name string, entry fs.DirEntry, err error) error {
		if err == nil && entry.IsDir() {
			err = syncDir(name)
		}
		return err
	})
	if err == nil {
		// Unlike os.Rename, this replaces an empty folder.
		err = syscall.Rename(f.partial, f.final)
	}
	if err == nil {
		err = syncDir(filepath.Dir(f.final))
	}
	if err != nil {
		return fmt.Errorf("finish the backup: %w", err)
	}
	return f.lock.Close()
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// write makes a file, synced to disk, with the bytes that fill writes.
func (f *folder) write(name string, fill func(io.Writer) error) (made file, err error) {
	full := filepath.Join(f.partial, filepath.FromSlash(name))
	if err := os.MkdirAll(filepath.Dir(full), 0o700); err != nil {
		return file{}, err
	}
	out, err := os.OpenFile(full, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return file{}, err
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	digest := sha256.New()
	counted := &counter{w: io.MultiWriter(out, digest)}
	buffered := bufio.NewWriterSize(counted, 1<<16)
	if err := fill(buffered); err != nil {
		return file{}, err
	}
	if err := errors.Join(buffered.Flush(), out.Sync()); err != nil {
		return file{}, err
	}
	return file{Path: name, Bytes: counted.n, SHA256: sum(digest)}, nil
}

// writeCompressed does the same, and compresses the bytes.
func (f *folder) writeCompressed(name string, fill func(io.Writer) error) (file, error) {
	return f.write(name, func(w io.Writer) error {
		compressor, err := zstd.NewWriter(w)
		if err != nil {
			return err
		}
		return errors.Join(fill(compressor), compressor.Close())
	})
}

func sum(digest hash.Hash) string { return hex.EncodeToString(digest.Sum(nil)) }

// counter counts the bytes that go through.
type counter struct {
	w io.Writer
	n int64
}

// Write implements io.Writer.
func (c *counter) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	c.n += int64(n)
	return n, err
}
