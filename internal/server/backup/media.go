package backup

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"homeserver/internal/media"
	"homeserver/internal/progress"
)

// appendMedia writes the line of a file in the list.
func appendMedia(w io.Writer, f media.StoredFile) error {
	_, err := fmt.Fprintf(w, "%s %d %s\n", f.SHA256, f.Bytes, f.Key)
	return err
}

// eachMedia calls do with each file of the list.
func eachMedia(list io.Reader, do func(media.StoredFile) error) error {
	lines := bufio.NewScanner(list)
	for lines.Scan() {
		var f media.StoredFile
		if _, err := fmt.Sscanf(lines.Text(), "%s %d %s", &f.SHA256, &f.Bytes, &f.Key); err != nil {
			return fmt.Errorf("%s has a line that cannot be read: %q", mediaListName, lines.Text())
		}
		if err := do(f); err != nil {
			return err
		}
	}
	return lines.Err()
}

// mediaPath returns the path of a file in the backup.
func mediaPath(key string) string { return mediaFolder + "/" + key }

// writeMedia copies the files of the list.
func (f *folder) writeMedia(ctx context.Context, s Server, m *manifest) (err error) {
	list, err := os.Open(filepath.Join(f.partial, mediaListName))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, list.Close()) }()
	var total int64
	if err := eachMedia(list, func(stored media.StoredFile) error { total += stored.Bytes; return nil }); err != nil {
		return err
	}
	if _, err := list.Seek(0, io.SeekStart); err != nil {
		return err
	}
	bar := progress.New(s.Progress, "Copying media", total)
	defer bar.Stop()
	m.Media.Missing = []string{}
	err = eachMedia(list, func(stored media.StoredFile) error {
		return f.writeContent(ctx, s.Media, stored, &m.Media, bar)
	})
	if err == nil {
		bar.Done()
	}
	return err
}

// errDamaged is the error of a file that differs from the database's record.
var errDamaged = errors.New("damaged")

// writeContent copies one file, and notes it where it is missing or damaged: one
// lost picture must not keep everything else from being saved.
func (f *folder) writeContent(ctx context.Context, files *media.Service, stored media.StoredFile, sums *mediaFiles, bar *progress.Bar) error {
	err := f.copyContent(ctx, files, stored, bar)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, errDamaged) {
		sums.Missing = append(sums.Missing, stored.SHA256)
		return nil
	}
	if err != nil {
		return fmt.Errorf("copy the file %s: %w", stored.Key, err)
	}
	sums.Files++
	sums.Bytes += stored.Bytes
	return nil
}

func (f *folder) copyContent(ctx context.Context, files *media.Service, stored media.StoredFile, bar *progress.Bar) (err error) {
	content, err := files.OpenStored(ctx, stored.Key)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, content.Close()) }()
	made, err := f.write(mediaPath(stored.Key), func(w io.Writer) error {
		_, err := io.Copy(io.MultiWriter(w, barWriter{bar}), content)
		return err
	})
	if err == nil && (made.SHA256 != stored.SHA256 || made.Bytes != stored.Bytes) {
		err = errors.Join(errDamaged, os.Remove(filepath.Join(f.partial, filepath.FromSlash(made.Path))))
	}
	return err
}

// restoreMedia copies the files of a backup to the server's storage.
func restoreMedia(ctx context.Context, root *os.Root, m *manifest, s Server) (err error) {
	list, err := root.Open(mediaListName)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, list.Close()) }()
	bar := progress.New(s.Progress, "Restoring media", m.Media.Bytes)
	defer bar.Stop()
	err = eachMedia(list, func(stored media.StoredFile) error {
		if slices.Contains(m.Media.Missing, stored.SHA256) {
			return nil
		}
		content, err := root.Open(filepath.FromSlash(mediaPath(stored.Key)))
		if err != nil {
			return err
		}
		err = s.Media.PutStored(ctx, stored.Key, io.TeeReader(content, barWriter{bar}))
		return errors.Join(err, content.Close())
	})
	if err == nil {
		bar.Done()
	}
	return err
}
