package backup

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"

	"homeserver/internal/media"
	"homeserver/internal/progress"
)

// verify reads every file of a backup and compares it with the manifest.
func verify(ctx context.Context, root *os.Root, m *manifest, w io.Writer) error {
	bar := progress.New(w, "Checking the backup", m.bytes())
	defer bar.Stop()
	check := func(f file) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		return verifyFile(root, f, bar)
	}
	for _, t := range m.Tables {
		if err := check(t.file); err != nil {
			return err
		}
	}
	for _, f := range []file{m.SigningKey, m.Media.List} {
		if err := check(f); err != nil {
			return err
		}
	}
	list, err := root.Open(mediaListName)
	if err != nil {
		return fmt.Errorf("check the backup: %w", err)
	}
	err = eachMedia(list, func(stored media.StoredFile) error {
		if slices.Contains(m.Media.Missing, stored.SHA256) {
			return nil
		}
		return check(file{Path: mediaPath(stored.Key), Bytes: stored.Bytes, SHA256: stored.SHA256})
	})
	if err := errors.Join(err, list.Close()); err != nil {
		return err
	}
	bar.Done()
	return nil
}

// verifyFile compares one file with its entry.
func verifyFile(root *os.Root, want file, bar *progress.Bar) (err error) {
	f, err := root.Open(filepath.FromSlash(want.Path))
	if err != nil {
		return fmt.Errorf("the backup is not whole: %w", err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	digest := sha256.New()
	n, err := io.Copy(io.MultiWriter(digest, barWriter{bar}), f)
	if err != nil {
		return fmt.Errorf("read %s of the backup: %w", want.Path, err)
	}
	if n != want.Bytes || sum(digest) != want.SHA256 {
		return fmt.Errorf("the backup is damaged: %s is not what was written (%d bytes of %d, SHA-256 %s instead of %s)",
			want.Path, n, want.Bytes, sum(digest), want.SHA256)
	}
	return nil
}

// barWriter shows the bytes that go through on a bar.
type barWriter struct{ bar *progress.Bar }

// Write implements io.Writer.
func (b barWriter) Write(p []byte) (int, error) {
	b.bar.Add(int64(len(p)))
	return len(p), nil
}
