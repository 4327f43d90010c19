package media

import (
	"context"
	"errors"
	"fmt"
	"image"
	"image/gif"
	"image/jpeg"
	"image/png"
	"io"
	"io/fs"
	"runtime"
	"time"

	"homeserver/internal/matrix"
)

const (
	// maxThumbnails is how many thumbnails of a file are kept; the oldest make room.
	maxThumbnails = 32
	// maxMovingPixels and maxPaintedPixels bound the pixels of all frames together,
	// of the source and of the thumbnail; what has more becomes a still.
	maxMovingPixels  = 100 << 20
	maxPaintedPixels = 16 << 20
	jpegQuality      = 85
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

// The errors of what has no thumbnails. GET /thumbnail, 400 and 413.
var (
	errNoThumbnail  = &matrix.Error{Code: matrix.Unknown, Message: "There are no thumbnails of this file: it is no picture that can be read"}
	errTooBigToThin = &matrix.Error{Code: matrix.TooLarge, Message: "The picture is too large for thumbnails of it"}
	errBusy         = &matrix.Error{Code: matrix.LimitExceeded, Message: "Too many thumbnails are being made", RetryAfter: 5 * time.Second}
)

// Thumbnail gives a thumbnail of a PNG, JPEG, GIF or WebP file, or the file itself
// if it is no larger than asked for. M_INVALID_PARAM for a size that can't be;
// M_UNKNOWN for a file that is no such picture or can't be read; M_TOO_LARGE for
// one that would take too much memory or time; M_LIMIT_EXCEEDED if too many are
// asked for at once; else the errors of Open. Anybody may ask.
// GET /thumbnail/{serverName}/{mediaId}.
func (s *Service) Thumbnail(ctx context.Context, q ThumbnailQuery) (*File, error) {
	if q.Width < 1 || q.Height < 1 {
		return nil, matrix.Errorf(matrix.InvalidParam, "width and height must be 1 or more")
	}
	m, err := s.await(ctx, q.Server, q.MediaID, q.Wait)
	if err != nil {
		return nil, err
	}
	p, err := s.pictureOf(ctx, m.hash())
	if errors.Is(err, errTooBig) {
		return nil, errTooBigToThin
	}
	if errors.Is(err, errNoPicture) {
		return nil, errNoThumbnail
	}
	if err != nil {
		return nil, err
	}
	t := plan(p, q)
	if t.original {
		file, err := s.openMedia(ctx, m)
		if err != nil {
			return nil, err
		}
		file.ContentType, file.Filename = string(p.format), ""
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

// pictureOf gives what the header of a file tells: errNoPicture for what is none that
// can be read, errTooBig for sides beyond maxSide. It looks once.
func (s *Service) pictureOf(ctx context.Context, h hash) (picture, error) {
	p, known, err := loadPicture(ctx, s.pool, h)
	if known || err != nil {
		return p, err
	}
	source, err := s.open(ctx, contentKey(h))
	if err != nil {
		return picture{}, fmt.Errorf("open a picture: %w", err)
	}
	defer source.Close() //nolint:errcheck // it was only read
	size, err := source.Seek(0, io.SeekEnd)
	if err != nil {
		return picture{}, away("look at a picture", err)
	}
	p, err = inspect(source, size)
	if source.failed != nil {
		return picture{}, away("look at a picture", source.failed)
	}
	if err != nil && !errors.Is(err, errTooBig) {
		err = errNoPicture
	}
	return p, errors.Join(err, storePicture(ctx, s.pool, h, p, errors.Is(err, errTooBig)))
}

// openThumbnail gives a thumbnail that has been made: fs.ErrNotExist if it has not, or
// is gone.
func (s *Service) openThumbnail(ctx context.Context, m media, t target) (*File, error) {
	contentType, err := thumbnailType(ctx, s.pool, m.hash(), t.name())
	if err != nil {
		return nil, err
	}
	if contentType == "" {
		return nil, fs.ErrNotExist
	}
	object, err := s.open(ctx, thumbnailKey(m.hash(), t.name()))
	if err != nil {
		return nil, err
	}
	return &File{
		content: object, ContentType: contentType, Modified: time.UnixMilli(m.CreatedAt),
		ETag: m.hash().String() + "-" + t.name(), log: s.o.Log,
	}, nil
}

// make makes a thumbnail and stores it, once for all who want it now, and also if the
// one who asked first goes away.
func (s *Service) make(ctx context.Context, h hash, p picture, t target) error {
	_, err, _ := s.thumbnails.Do(thumbnailKey(h, t.name()), func() (any, error) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.o.ThumbnailTime)
		defer cancel()
		weight := max(t.memory(p), s.o.ThumbnailMemory/int64(runtime.GOMAXPROCS(0)))
		if weight > s.o.ThumbnailMemory {
			return nil, errTooBigToThin
		}
		if err := s.pictures.Acquire(ctx, weight); err != nil {
			return nil, errBusy
		}
		defer s.pictures.Release(weight)
		err := s.write(ctx, h, p, t)
		if ctx.Err() != nil && !errors.Is(err, errAway) {
			return nil, errTooBigToThin
		}
		return nil, err
	})
	return err
}

// write makes a thumbnail. Its record comes first: an object without one would never
// be counted.
func (s *Service) write(ctx context.Context, h hash, p picture, t target) error {
	made, contentType, err := s.draw(ctx, h, p, t)
	if err != nil {
		return err
	}
	defer made.discard()
	if err := insertThumbnail(ctx, s.pool, h, t.name(), contentType); err != nil {
		return err
	}
	if err := s.storage.Put(ctx, thumbnailKey(h, t.name()), made.file, made.hash); err != nil {
		return away("store a thumbnail", err)
	}
	return s.prune(ctx, h)
}

// draw makes a thumbnail as a scratch file, and gives its media type.
func (s *Service) draw(ctx context.Context, h hash, p picture, t target) (*incoming, string, error) {
	source, err := s.open(ctx, contentKey(h))
	if err != nil {
		return nil, "", fmt.Errorf("open a picture: %w", err)
	}
	defer source.Close() //nolint:errcheck // it was only read
	contentType, encode, err := t.render(ctx, source, p)
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

// render makes the picture, and gives its media type and what writes it: as JPEG where
// nothing of it is transparent, else as PNG, and as GIF if it moves.
func (t target) render(ctx context.Context, source io.ReaderAt, p picture) (contentType string, encode func(io.Writer) error, err error) {
	r := &patientReader{ctx: ctx, r: io.NewSectionReader(source, 0, 1<<62)}
	if t.animated {
		moving, err := animate(ctx, r, p, t)
		return string(formatGIF), func(w io.Writer) error { return gif.EncodeAll(w, moving) }, err
	}
	large, err := p.format.decode(r)
	if err != nil {
		return "", nil, err
	}
	if p.format == formatGIF {
		large = firstFrame(large, p)
	}
	if !t.crop.In(large.Bounds().Sub(large.Bounds().Min)) {
		return "", nil, errNoPicture // it is not as large as its header said
	}
	small, err := scale(ctx, large, t.crop.Add(large.Bounds().Min), t.width, t.height)
	if err != nil {
		return "", nil, err
	}
	small = upright(small, p.orientation)
	if small.Opaque() {
		return string(formatJPEG), func(w io.Writer) error { return jpeg.Encode(w, small, &jpeg.Options{Quality: jpegQuality}) }, nil
	}
	return string(formatPNG), func(w io.Writer) error { return png.Encode(w, small) }, nil
}

// patientReader reads for as long as there is time.
type patientReader struct {
	ctx context.Context
	r   io.Reader
}

// Read implements io.Reader. After the end of time it gives the context's error.
func (p *patientReader) Read(b []byte) (int, error) {
	if err := p.ctx.Err(); err != nil {
		return 0, err
	}
	return p.r.Read(b)
}

// target is what thumbnail is to be made of a picture.
type target struct {
	original      bool // none: the source itself is the answer
	width, height int  // before it is turned upright
	crop          image.Rectangle
	cropped       bool
	animated      bool
}

// name is the last part of the thumbnail's key.
func (t target) name() string {
	name := fmt.Sprintf("%dx%d", t.width, t.height)
	if t.cropped {
		name += "-crop"
	}
	if t.animated {
		name += "-animated"
	}
	return name
}

// memory is what making it takes: the unpacked source, and the picture while it is
// scaled, turned and written.
func (t target) memory(p picture) int64 {
	made := int64(t.width) * int64(t.height)
	if t.animated {
		return 12*int64(p.width)*int64(p.height) + int64(p.frames)*made + 24*made
	}
	return p.unpacked + 24*made
}

// ladder holds the sizes that thumbnails are made in where that will do: those
// that section "Thumbnails" names.
var ladder = []image.Point{{X: 32, Y: 32}, {X: 96, Y: 96}, {X: 320, Y: 240}, {X: 640, Y: 480}, {X: 800, Y: 600}}

// plan chooses the size: the next one of the ladder, which many clients will ask
// for, else the very one that was asked for. A cropped one keeps the aspect asked
// for, so that the ladder is for squares only. Nothing is ever made larger.
func plan(p picture, q ThumbnailQuery) target {
	t := target{cropped: q.Crop, animated: q.Animated && p.animated && p.format == formatGIF}
	want := image.Pt(min(q.Width, maxSide), min(q.Height, maxSide))
	for _, step := range ladder {
		if step.X >= want.X && step.Y >= want.Y && (!q.Crop || step.X == step.Y && want.X == want.Y) {
			want = step
			break
		}
	}
	size := image.Pt(p.width, p.height)
	stop := p.animated && !q.Animated // a still is wanted, whatever its size
	if want.X >= size.X && want.Y >= size.Y || !q.Crop && (want.X >= size.X || want.Y >= size.Y) {
		t.original, want = !stop, size
	}
	part := size
	if q.Crop {
		want = fit(want, size)
		part = cover(want, size)
	} else {
		want = enclose(want, size)
	}
	if p.orientation > 4 { // the source lies on its side
		want, part, size = image.Pt(want.Y, want.X), image.Pt(part.Y, part.X), image.Pt(size.Y, size.X)
	}
	t.width, t.height = want.X, want.Y
	corner := size.Sub(part).Div(2)
	t.crop = image.Rectangle{Min: corner, Max: corner.Add(part)}
	frames := int64(p.frames)
	if frames*int64(size.X)*int64(size.Y) > maxMovingPixels || frames*int64(t.width)*int64(t.height) > maxPaintedPixels {
		t.animated = false
	}
	return t
}

// fit makes a box small enough for the size, keeping the box's aspect.
func fit(box, size image.Point) image.Point {
	if box.X > size.X {
		box = image.Pt(size.X, max(1, box.Y*size.X/box.X))
	}
	if box.Y > size.Y {
		box = image.Pt(max(1, box.X*size.Y/box.Y), size.Y)
	}
	return box
}

// cover is the largest part of the size that has the box's aspect; it is as large as
// the box at least.
func cover(box, size image.Point) image.Point {
	if size.X*box.Y > size.Y*box.X {
		return image.Pt(max(box.X, size.Y*box.X/box.Y), size.Y)
	}
	return image.Pt(size.X, max(box.Y, size.X*box.Y/box.X))
}

// enclose is the least size of the same aspect that has a box in it.
func enclose(box, size image.Point) image.Point {
	if box.X*size.Y > box.Y*size.X {
		return image.Pt(box.X, (size.Y*box.X+size.X-1)/size.X)
	}
	return image.Pt((size.X*box.Y+size.Y-1)/size.Y, box.Y)
}
