package media

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// folder is where the files are. All its paths are made of hashes and of what this
// package chooses.
type folder struct{ root string }

// The names in temp/ begin so: what is being received, and marks of files that
// were put in place by a transaction that had not been committed yet.
const (
	receivedPrefix = "received-"
	placedPrefix   = "placed-"
)

// errTooMuch is the error of a body with more bytes than allowed.
var errTooMuch = errors.New("the body has more bytes than allowed")

func openFolder(root string) (folder, error) {
	f := folder{root}
	for _, dir := range []string{f.temp(), filepath.Join(root, "content"), filepath.Join(root, "thumbnails")} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return folder{}, fmt.Errorf("make the media folder: %w", err)
		}
	}
	return f, nil
}

func (f folder) temp() string { return filepath.Join(f.root, "temp") }

// content is where the file with that hash belongs.
func (f folder) content(h hash) string {
	name := h.String()
	return filepath.Join(f.root, "content", name[:2], name[2:])
}

// thumbnails is where the thumbnails of the file with that hash belong.
func (f folder) thumbnails(h hash) string {
	name := h.String()
	return filepath.Join(f.root, "thumbnails", name[:2], name[2:])
}

func (f folder) open(h hash) (*os.File, error) { return os.Open(f.content(h)) }

// incoming is a file that has come, whole and on disk, but has no place yet.
type incoming struct {
	file  *os.File
	hash  hash
	bytes int64
}

// receive takes in a body of most bytes at most: errTooMuch otherwise. The caller
// calls discard in the end, whatever became of it.
func (f folder) receive(body io.Reader, most int64) (*incoming, error) {
	file, err := os.CreateTemp(f.temp(), receivedPrefix+"*")
	if err != nil {
		return nil, err
	}
	in := &incoming{file: file}
	digest := sha256.New()
	in.bytes, err = io.Copy(io.MultiWriter(file, digest), io.LimitReader(body, most+1))
	if err == nil && in.bytes > most {
		err = errTooMuch
	}
	if err == nil {
		err = file.Sync()
	}
	if err != nil {
		in.discard()
		return nil, err
	}
	digest.Sum(in.hash[:0])
	return in, nil
}

// discard closes the file, and removes it unless it has found its place. What
// can't be removed now, the next start removes.
func (in *incoming) discard() {
	_ = in.file.Close()
	_ = os.Remove(in.file.Name())
}

// place puts a file where it belongs, unless it is there already. It gives the path
// of a mark that the caller removes once a record of the file is committed; empty:
// there is none. After an error the mark stays for the next start, since the file
// may be in its place all the same.
func (f folder) place(in *incoming) (mark string, err error) {
	path := f.content(in.hash)
	if _, err := os.Stat(path); err == nil {
		return "", nil
	}
	marker, err := os.CreateTemp(f.temp(), placedPrefix+in.hash.String()+"-*")
	if err != nil {
		return "", fmt.Errorf("mark a file: %w", err)
	}
	return marker.Name(), errors.Join(marker.Close(), rename(in.file.Name(), path))
}

// rename moves a file of temp/ to its place, in a way that survives a loss of power.
func rename(from, to string) error {
	dir := filepath.Dir(to)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	if err := os.Rename(from, to); err != nil {
		return err
	}
	return errors.Join(syncDir(dir), syncDir(filepath.Dir(dir)))
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// leftovers are the names in temp/ when nothing is going on.
type leftovers []string

func (f folder) leftovers() (leftovers, error) {
	entries, err := os.ReadDir(f.temp())
	if err != nil {
		return nil, fmt.Errorf("look for unfinished uploads: %w", err)
	}
	names := make(leftovers, len(entries))
	for i, entry := range entries {
		names[i] = entry.Name()
	}
	return names, nil
}

// placed are the files that were put in place without a record being sure.
func (l leftovers) placed() []hash {
	var hashes []hash
	for _, name := range l {
		rest, isMark := strings.CutPrefix(name, placedPrefix)
		text, _, _ := strings.Cut(rest, "-")
		if h, err := hex.DecodeString(text); isMark && err == nil && len(h) == len(hash{}) {
			hashes = append(hashes, hash(h))
		}
	}
	return hashes
}

// sweep removes what is left over: first the files placed without a record, then
// the marks that tell of them and everything else.
func (f folder) sweep(left leftovers, kept map[hash]bool) error {
	for _, h := range left.placed() {
		if kept[h] {
			continue
		}
		if err := os.Remove(f.content(h)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("remove an unfinished upload: %w", err)
		}
	}
	for _, name := range left {
		if err := os.Remove(filepath.Join(f.temp(), name)); err != nil {
			return fmt.Errorf("remove an unfinished upload: %w", err)
		}
	}
	return nil
}
