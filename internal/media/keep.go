package media

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"

	"github.com/jackc/pgx/v5"

	"homeserver/internal/media/picture"
)

const (
	// storeTime bounds the time in which a received file is stored and recorded.
	storeTime = time.Hour
	// abandonedAfter is when a file without a record belongs to nobody any more. It is
	// well beyond storeTime.
	abandonedAfter = 2 * time.Hour
	// cleanInterval is how often each process looks for files that others have left
	// behind.
	cleanInterval = 15 * time.Minute
	// tidyTime bounds the removal of one file.
	tidyTime = 30 * time.Second
)

// errTooMuch is the error of a body with more bytes than allowed.
var errTooMuch = errors.New("the body has more bytes than allowed")

// incoming is a file that has come, whole, but is no object yet.
type incoming struct {
	file  *os.File
	hash  hash
	bytes int64
}

// readBody receives a body of most bytes at most: errTooMuch otherwise. The caller calls
// discard in the end, also after storeFile.
func (s *Service) readBody(body io.Reader, most int64) (*incoming, error) {
	return s.scratch(func(w io.Writer) error {
		n, err := io.Copy(w, io.LimitReader(body, most+1))
		if err == nil && n > most {
			err = errTooMuch
		}
		return err
	})
}

// scratch makes a file with the bytes that fill writes.
func (s *Service) scratch(fill func(io.Writer) error) (*incoming, error) {
	file, err := s.storage.Scratch()
	if err != nil {
		return nil, away("receive a file", err)
	}
	in := &incoming{file: file}
	digest := sha256.New()
	err = fill(io.MultiWriter(file, digest))
	if err == nil {
		in.bytes, err = file.Seek(0, io.SeekEnd)
	}
	if err != nil {
		in.discard()
		if _, disk := errors.AsType[*fs.PathError](err); disk {
			err = away("receive a file", err)
		}
		return nil, err
	}
	digest.Sum(in.hash[:0])
	return in, nil
}

// discard closes the file, and removes it unless it has become an object. A file that
// can't be removed now will be once it is old.
func (in *incoming) discard() {
	_ = in.file.Close()
	_ = os.Remove(in.file.Name())
}

// storeFile stores a received file, and records it. No connection to the database is held
// while the storage works. A row in media_storing protects the file from all processes
// until the record is there; if it never comes, the file is removed: now, or when the
// row is old.
func (s *Service) storeFile(ctx context.Context, in *incoming, record func(pgx.Tx) error) error {
	ctx, cancel := context.WithTimeout(ctx, storeTime)
	defer cancel()
	if err := hold(ctx, s.pool, in.hash); err != nil {
		return err
	}
	stored := false
	err := s.store(ctx, in)
	if err == nil {
		stored = true
		err = pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
			if err := record(tx); err != nil {
				return err
			}
			return release(ctx, tx, in.hash)
		})
	}
	if err != nil {
		s.undoStore(ctx, in.hash, stored)
		return fmt.Errorf("keep an uploaded file: %w", err)
	}
	return nil
}

// store makes a file an object, unless it is one already.
func (s *Service) store(ctx context.Context, in *incoming) error {
	key := contentKey(in.hash)
	known, err := s.open(ctx, key)
	if err == nil {
		size, err := known.Seek(0, io.SeekEnd)
		if err := errors.Join(err, known.Close()); err != nil {
			return away("look at "+key, err)
		}
		if size == in.bytes {
			return nil
		}
	} else if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return away("store "+key, s.storage.Put(ctx, key, in.file, in.hash))
}

// undoStore undoes what storeFile has begun, also for a client that has gone. A storage that has
// just failed is left alone.
func (s *Service) undoStore(ctx context.Context, h hash, stored bool) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), tidyTime)
	defer cancel()
	err := unhold(ctx, s.pool, h)
	if err == nil && stored {
		_, err = s.removeAbandoned(ctx, h)
	}
	if err != nil {
		s.o.Log.WarnContext(ctx, "a file that was not kept could not be removed; that will be tried again", "error", err)
	}
}

// removeAbandoned removes a file that has no record, and that no upload holds. Its row
// is locked meanwhile, so that an upload of the same file waits.
func (s *Service) removeAbandoned(ctx context.Context, h hash) (removed bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, tidyTime)
	defer cancel()
	err = pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		locked, err := lockAbandoned(ctx, tx, h)
		if err != nil || !locked {
			return err
		}
		recorded, err := isRecorded(ctx, tx, h)
		if err != nil {
			return err
		}
		if !recorded {
			removed = true
			if err := s.storage.Remove(ctx, contentKey(h)); err != nil {
				return away("remove "+contentKey(h), err)
			}
		}
		return forget(ctx, tx, h)
	})
	return removed && err == nil, err
}

// clean removes files that killed processes have left behind in the shared storage.
func (s *Service) clean(ctx context.Context) error {
	removed, err := s.storage.Clean(ctx, abandonedAfter)
	if err != nil {
		return fmt.Errorf("clean the storage of files: %w", err)
	}
	hashes, err := abandoned(ctx, s.pool)
	if err != nil {
		return err
	}
	for _, h := range hashes {
		gone, err := s.removeAbandoned(ctx, h)
		if err != nil {
			return err
		}
		if gone {
			removed++
		}
	}
	if removed > 0 {
		s.o.Log.InfoContext(ctx, "removed what unfinished uploads left behind", "files", removed)
	}
	return nil
}

// cleanAlways cleans now and then, and logs if that fails: it is the first to find that
// the storage is away.
func (s *Service) cleanAlways(ctx context.Context) {
	next := time.NewTicker(cleanInterval)
	defer next.Stop()
	for {
		if err := s.clean(ctx); err != nil && ctx.Err() == nil {
			s.o.Log.WarnContext(ctx, "the storage of files does not answer as it should", "error", err)
		}
		select {
		case <-next.C:
		case <-ctx.Done():
			return
		}
	}
}

// Picture is a picture that the server keeps as media of its own.
type Picture struct {
	URI, ContentType string
	Width, Height    int
	Bytes            int64
}

// KeepPicture keeps a picture of most bytes at most as media of the server's own, once
// however often it comes. It returns nil for what is no picture that clients can be
// expected to show, or breaks off.
func (s *Service) KeepPicture(ctx context.Context, body io.Reader, most int64) (*Picture, error) {
	in, err := s.readBody(body, min(most, s.o.MaxUploadBytes))
	if errors.Is(err, ErrAway) {
		return nil, fmt.Errorf("receive a picture: %w", err)
	}
	if err != nil {
		s.o.Log.DebugContext(ctx, "picture not loaded", "error", err)
		return nil, nil
	}
	defer in.discard()
	p, err := picture.Inspect(in.file, in.bytes)
	if err != nil {
		return nil, nil //nolint:nilerr // it is no picture
	}
	contentType := string(p.Format)
	m := media{ID: rand.Text(), CreatedAt: s.nowMS(), Hash: in.hash[:], Bytes: &in.bytes, ContentType: &contentType}
	err = s.storeFile(ctx, in, func(tx pgx.Tx) error {
		known, err := findFetched(ctx, tx, in.hash)
		if err != nil {
			return err
		}
		if known != "" {
			m.ID = known
			return nil
		}
		return insert(ctx, tx, m)
	})
	if err != nil {
		return nil, err
	}
	return &Picture{s.uri(m.ID), contentType, p.Width, p.Height, in.bytes}, nil
}
