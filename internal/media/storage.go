package media

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net/http"
	"os"
	"time"

	"homeserver/internal/matrix"
	"homeserver/internal/media/blob"
)

// Storage is where the content of files and thumbnails lies: a [blob.Folder] or a
// [blob.Bucket], which other processes may be using too. Objects have keys, and
// are there whole or not at all. An error that is not fs.ErrNotExist means that the
// storage is away at the moment.
type Storage interface {
	// Scratch returns an empty file to receive content in. Its user closes it and then
	// removes it by its name, which may be gone.
	Scratch() (*os.File, error)
	// Put makes a scratch file with that SHA-256 an object. It is durable then.
	Put(ctx context.Context, key string, content *os.File, hash [32]byte) error
	// Open returns an object, which can be read while the context lasts; fs.ErrNotExist
	// if there is none.
	Open(ctx context.Context, key string) (blob.Object, error)
	// Remove removes an object, if there is one.
	Remove(ctx context.Context, key string) error
	// Walk visits the objects whose keys begin with the prefix, in order.
	Walk(ctx context.Context, prefix string, visit func(key string, bytes int64) error) error
	// Clean removes scratch files that nobody has touched for so long.
	Clean(ctx context.Context, age time.Duration) (removed int, err error)
}

// The first parts of keys.
const (
	contentPrefix   = "content/"
	thumbnailPrefix = "thumbnails/"
)

// contentKey returns the key of the file with that hash.
func contentKey(h hash) string { return contentPrefix + h.path() }

// thumbnailKey returns the key of a thumbnail of the file with that hash.
func thumbnailKey(h hash, name string) string { return thumbnailPrefix + h.path() + "/" + name }

// path returns the hash as a part of keys.
func (h hash) path() string {
	name := h.String()
	return name[:2] + "/" + name[2:]
}

// ErrAway is the answer to clients while the storage is away.
var ErrAway = &matrix.Error{
	Code:       matrix.Unknown,
	Message:    "The server can't reach the storage of its files at the moment",
	Status:     http.StatusServiceUnavailable,
	RetryAfter: 5 * time.Second,
}

// away makes an error of the storage one for clients, with its text for the log. A
// cancelled context is no such error.
func away(what string, err error) error {
	if err == nil || errors.Is(err, context.Canceled) {
		return err
	}
	return fmt.Errorf("%s: %w: %w", what, ErrAway, err)
}

// content is an open object that remembers how reading it failed, which decoders of
// pictures don't report.
type content struct {
	blob.Object
	failed error
}

// open opens an object: fs.ErrNotExist if there is none, which is not an error for
// clients.
func (s *Service) open(ctx context.Context, key string) (*content, error) {
	object, err := s.storage.Open(ctx, key)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	if err != nil {
		return nil, away("open "+key, err)
	}
	return &content{Object: object}, nil
}

// Read implements io.Reader.
func (c *content) Read(p []byte) (int, error) {
	n, err := c.Object.Read(p)
	c.note(err)
	return n, err
}

// ReadAt implements io.ReaderAt, for one goroutine at a time.
func (c *content) ReadAt(p []byte, offset int64) (int, error) {
	n, err := c.Object.ReadAt(p, offset)
	c.note(err)
	return n, err
}

func (c *content) note(err error) {
	if err != nil && !errors.Is(err, io.EOF) {
		c.failed = err
	}
}

// File is a file to be sent to a client, who closes it.
type File struct {
	*content
	ContentType string
	Filename    string // empty: none
	ETag        string // without its quotes
	Modified    time.Time

	log *slog.Logger
}

// Close closes the file. If it could not be read to its end, the client has only a part
// of it, which is logged.
func (f *File) Close() error {
	if f.failed != nil && !errors.Is(f.failed, context.Canceled) {
		f.log.Warn("a file could not be read; its download broke off", "error", f.failed)
	}
	return f.content.Close()
}
