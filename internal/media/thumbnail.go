package media

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"time"

	"homeserver/internal/gauge"
	"homeserver/internal/httpapi/ratelimit"
	"homeserver/internal/matrix"
	"homeserver/internal/media/picture"
)

const (
	// maxThumbnails is how many thumbnails of a file are kept; the oldest make room. It
	// has room for all that the ladder allows.
	maxThumbnails = 80
	// maxWaitingPainters is how many thumbnails may wait to be made, and
	// maxWaitingPaintersEach how many of one caller.
	maxWaitingPainters     = 200
	maxWaitingPaintersEach = 20
)

// ThumbnailQuery asks for a small picture of a file: section "Thumbnails".
type ThumbnailQuery struct {
	Server, MediaID string
	Width, Height   int // the least that is wanted, if the source has as much
	// Crop asks for the aspect of width and height; else the source's aspect is kept.
	Crop bool
	// Animated asks for one that moves, if the source does and is a GIF.
	Animated bool
	// Wait is how long to wait for a file that has not come yet.
	Wait time.Duration
}

// The errors of files without thumbnails. GET /thumbnail, 400 and 413.
var (
	errNoThumbnail  = &matrix.Error{Code: matrix.Unknown, Message: "there are no thumbnails of this file: it is no picture that can be read"}
	errTooBigToThin = &matrix.Error{Code: matrix.TooLarge, Message: "the picture is too large for thumbnails of it"}
	errBusy         = &matrix.Error{Code: matrix.LimitExceeded, Message: "too many thumbnails are being made", RetryAfter: 5 * time.Second}
)

// Thumbnail returns a thumbnail of a PNG, JPEG, GIF or WebP file, or the file itself if
// it is no larger than asked for. M_INVALID_PARAM for a size that can't be; M_UNKNOWN
// for a file that is no such picture or can't be read; M_TOO_LARGE for one that needs
// too much memory or time; M_LIMIT_EXCEEDED if too many are asked for at once; else the
// errors of Open. Anybody may ask. GET /thumbnail/{serverName}/{mediaId}.
func (s *Service) Thumbnail(ctx context.Context, q ThumbnailQuery) (*File, error) {
	if q.Width < 1 || q.Height < 1 {
		return nil, matrix.Errorf(matrix.InvalidParam, "width and height must be 1 or more")
	}
	m, err := s.await(ctx, q.Server, q.MediaID, q.Wait)
	if err != nil {
		return nil, err
	}
	p, err := s.pictureOf(ctx, m.hash())
	if errors.Is(err, picture.ErrTooBig) {
		return nil, errTooBigToThin
	}
	if errors.Is(err, picture.ErrNoPicture) {
		return nil, errNoThumbnail
	}
	if err != nil {
		return nil, err
	}
	t := picture.Plan(p, picture.Wanted{Width: q.Width, Height: q.Height, Crop: q.Crop, Animated: q.Animated})
	if t.Original {
		file, err := s.openMedia(ctx, m)
		if err != nil {
			return nil, err
		}
		file.ContentType, file.Filename = string(p.Format), ""
		return file, nil
	}
	file, err := s.openThumbnail(ctx, m, t)
	if errors.Is(err, fs.ErrNotExist) {
		if err := s.make(ctx, m.hash(), p, t); err != nil {
			return nil, err
		}
		file, err = s.openThumbnail(ctx, m, t)
	}
	return file, err
}

// pictureOf returns the properties in the header of a file: picture.ErrNoPicture if it
// is no readable picture, picture.ErrTooBig for sides beyond maxSide. A file is
// inspected once.
func (s *Service) pictureOf(ctx context.Context, h hash) (picture.Picture, error) {
	p, known, err := loadPicture(ctx, s.pool, h)
	if known || err != nil {
		return p, err
	}
	source, err := s.open(ctx, contentKey(h))
	if err != nil {
		return picture.Picture{}, fmt.Errorf("open a picture: %w", err)
	}
	defer source.Close() //nolint:errcheck // it was only read
	size, err := source.Seek(0, io.SeekEnd)
	if err != nil {
		return picture.Picture{}, away("look at a picture", err)
	}
	p, err = picture.Inspect(source, size)
	if source.failed != nil {
		return picture.Picture{}, away("look at a picture", source.failed)
	}
	if err != nil && !errors.Is(err, picture.ErrTooBig) {
		err = picture.ErrNoPicture
	}
	return p, errors.Join(err, storePicture(ctx, s.pool, h, p, errors.Is(err, picture.ErrTooBig)))
}

// openThumbnail returns a thumbnail that has been made: fs.ErrNotExist if it has not,
// or is gone.
func (s *Service) openThumbnail(ctx context.Context, m media, t picture.Target) (*File, error) {
	contentType, err := thumbnailType(ctx, s.pool, m.hash(), t.Name())
	if err != nil {
		return nil, err
	}
	if contentType == "" {
		return nil, fs.ErrNotExist
	}
	object, err := s.open(ctx, thumbnailKey(m.hash(), t.Name()))
	if err != nil {
		return nil, err
	}
	return &File{
		content: object, ContentType: contentType, Modified: time.UnixMilli(m.CreatedAt),
		ETag: m.hash().String() + "-" + t.Name(), log: s.o.Log,
	}, nil
}

// make makes a thumbnail and stores it, once for all callers that want it now, also if
// the first one goes away. It is made in the first one's turn and on its account.
func (s *Service) make(ctx context.Context, h hash, p picture.Picture, t picture.Target) error {
	_, err := gauge.Once(ctx, &s.thumbnails, thumbnailKey(h, t.Name()), func() (any, error) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.o.ThumbnailTime)
		defer cancel()
		if err := s.o.Room(); err != nil {
			return nil, err
		}
		leave, err := s.enterPictures(ctx, t.Memory(p))
		if err != nil {
			return nil, err
		}
		defer leave()
		started := time.Now()
		err = s.write(ctx, h, p, t)
		s.o.Limits.Charge(ratelimit.Thumbnails, matrix.Caller(ctx), int(time.Since(started).Milliseconds()))
		if ctx.Err() != nil && !errors.Is(err, ErrAway) {
			return nil, errTooBigToThin
		}
		return nil, err
	})
	return err
}

// enterPictures waits for the turn of a caller to work on a picture, and for its
// memory, and returns the function that releases both. M_LIMIT_EXCEEDED if the caller
// has used up its time, too many wait, or the turn does not come in time; M_TOO_LARGE
// for a picture that needs more than all of the memory.
func (s *Service) enterPictures(ctx context.Context, memory int64) (leave func(), err error) {
	if memory > s.o.ThumbnailMemory {
		return nil, errTooBigToThin
	}
	caller := matrix.Caller(ctx)
	if _, err := s.o.Limits.Take(ratelimit.Thumbnails, caller); err != nil {
		return nil, gauge.Refuse(err)
	}
	if _, err := s.painters.Enter(ctx, caller, 1); err != nil {
		return nil, gauge.RefuseTurn(err, errBusy)
	}
	memory, err = s.pictures.Enter(ctx, caller, memory)
	if err != nil {
		s.painters.Leave(caller, 1)
		return nil, gauge.RefuseTurn(err, errBusy)
	}
	return func() {
		s.pictures.Leave(caller, memory)
		s.painters.Leave(caller, 1)
	}, nil
}

// write makes a thumbnail. Its record comes first: an object without one would never
// be counted.
func (s *Service) write(ctx context.Context, h hash, p picture.Picture, t picture.Target) error {
	made, contentType, err := s.draw(ctx, h, p, t)
	if err != nil {
		return err
	}
	defer made.discard()
	if err := insertThumbnail(ctx, s.pool, h, t.Name(), contentType); err != nil {
		return err
	}
	if err := s.storage.Put(ctx, thumbnailKey(h, t.Name()), made.file, made.hash); err != nil {
		return away("store a thumbnail", err)
	}
	return s.prune(ctx, h)
}

// draw makes a thumbnail as a scratch file, and returns its media type.
func (s *Service) draw(ctx context.Context, h hash, p picture.Picture, t picture.Target) (*incoming, string, error) {
	source, err := s.open(ctx, contentKey(h))
	if err != nil {
		return nil, "", fmt.Errorf("open a picture: %w", err)
	}
	defer source.Close() //nolint:errcheck // it was only read
	contentType, encode, err := t.Render(ctx, source, p)
	switch {
	case source.failed != nil:
		return nil, "", away("read a picture", source.failed)
	case err != nil:
		return nil, "", errNoThumbnail
	}
	made, err := s.scratch(encode)
	if err != nil {
		return nil, "", fmt.Errorf("make a thumbnail: %w", err)
	}
	return made, contentType, nil
}

// prune removes the oldest thumbnails of a file beyond the number that is kept.
func (s *Service) prune(ctx context.Context, h hash) error {
	old, err := oldThumbnails(ctx, s.pool, h, maxThumbnails)
	if err != nil {
		return err
	}
	for _, thumbnail := range old { // one, nearly always
		if err := s.storage.Remove(ctx, thumbnailKey(h, thumbnail.Name)); err != nil {
			return away("remove a thumbnail", err)
		}
		if err := deleteThumbnail(ctx, s.pool, h, thumbnail); err != nil {
			return err
		}
	}
	return nil
}
