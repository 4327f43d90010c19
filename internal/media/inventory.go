package media

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"iter"
	"regexp"
	"strings"

	"github.com/jackc/pgx/v5"
)

// This file is for the operator's commands: backup, restore and checks. They go
// through the storage, whatever it is, and may run while servers do.

// StoredFile is a file that the database refers to.
type StoredFile struct {
	// Key is where it lies in the storage.
	Key string
	// SHA256 is the hash of its content, in hexadecimal.
	SHA256 string
	Bytes  int64
}

// filesPage is how many files are read from the database at a time.
const filesPage = 1000

// Files lists the files that the database refers to, each once, in the order of keys,
// from the one after a key on; "" means all. Thumbnails are not among them: they can be
// made again. A file with a record is never changed or removed, so that only files
// added meanwhile can be missing.
func (s *Service) Files(ctx context.Context, after string) iter.Seq2[StoredFile, error] {
	return func(yield func(StoredFile, error) bool) {
		if _, ok := parseContentKey(after); !ok && after != "" {
			yield(StoredFile{}, fmt.Errorf("%q is not the key of a file", after))
			return
		}
		for {
			var page []StoredFile
			err := pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
				var err error
				page, err = FilesAsOf(ctx, tx, after, filesPage)
				return err
			})
			if err != nil {
				yield(StoredFile{}, err)
				return
			}
			for _, f := range page {
				if !yield(f, nil) {
					return
				}
			}
			if len(page) < filesPage {
				return
			}
			after = page[len(page)-1].Key
		}
	}
}

// OpenStored returns the object with a key: fs.ErrNotExist if there is none.
func (s *Service) OpenStored(ctx context.Context, key string) (io.ReadCloser, error) {
	if !isKey(key) {
		return nil, fmt.Errorf("%q is not the key of a file or a thumbnail", key)
	}
	object, err := s.open(ctx, key)
	if err != nil {
		return nil, err
	}
	return object, nil
}

var errOtherContent = errors.New("the content is not what its key says")

// PutStored stores an object under its key, and replaces one that is there. A file must
// have the hash in its key. It is durable when PutStored returns.
func (s *Service) PutStored(ctx context.Context, key string, r io.Reader) error {
	if !isKey(key) {
		return fmt.Errorf("%q is not the key of a file or a thumbnail", key)
	}
	in, err := s.scratch(func(w io.Writer) error {
		_, err := io.Copy(w, r)
		return err
	})
	if err != nil {
		return fmt.Errorf("store %s: %w", key, err)
	}
	defer in.discard()
	if h, ok := parseContentKey(key); ok && h != in.hash {
		return fmt.Errorf("store %s: %w", key, errOtherContent)
	}
	return away("store "+key, s.storage.Put(ctx, key, in.file, in.hash))
}

// Stored lists the objects in the storage, files and then thumbnails, each in the order
// of keys, and calls visit with the size in bytes. It ends at the first error.
func (s *Service) Stored(ctx context.Context, visit func(key string, bytes int64) error) error {
	for _, prefix := range []string{contentPrefix, thumbnailPrefix} {
		if err := s.storage.Walk(ctx, prefix, visit); err != nil {
			return away("list "+prefix, err)
		}
	}
	return nil
}

// RemoveUnreferenced removes a file from the storage that no record refers to and that
// nobody is uploading, and reports whether it has. Others stay.
func (s *Service) RemoveUnreferenced(ctx context.Context, key string) (bool, error) {
	h, ok := parseContentKey(key)
	if !ok {
		return false, fmt.Errorf("%q is not the key of a file", key)
	}
	if err := abandon(ctx, s.pool, h); err != nil {
		return false, err
	}
	return s.removeAbandoned(ctx, h)
}

var keyPattern = regexp.MustCompile(`^(content|thumbnails)/([0-9a-f]{2}/[0-9a-f]{62})(/[0-9]+x[0-9]+(-[a-z]+)*)?$`)

// isKey reports whether a text is the key of a file or a thumbnail.
func isKey(key string) bool {
	parts := keyPattern.FindStringSubmatch(key)
	return parts != nil && (parts[1] == "content") == (parts[3] == "")
}

// parseContentKey returns the hash of the file with that key.
func parseContentKey(key string) (hash, bool) {
	if !isKey(key) || !strings.HasPrefix(key, contentPrefix) {
		return hash{}, false
	}
	h, err := hex.DecodeString(strings.ReplaceAll(strings.TrimPrefix(key, contentPrefix), "/", ""))
	if err != nil {
		return hash{}, false
	}
	return hash(h), true
}
