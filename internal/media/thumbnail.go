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
	"os"
	"path/filepath"
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
	source, err := s.Open(ctx, q.Server, q.MediaID, q.Wait)
	if err != nil {
		return nil, err
	}
	thumbnail, err := s.thumbnailOf(ctx, source, q)
	if thumbnail != source {
		_ = source.Close()
	}
	return thumbnail, err
}

// thumbnailOf gives the source itself or another file.
func (s *Service) thumbnailOf(ctx context.Context, source *File, q ThumbnailQuery) (*File, error) {
	info, err := source.Stat()
	if err != nil {
		return nil, fmt.Errorf("look at a picture: %w", err)
	}
	p, err := inspect(source, info.Size())
	if errors.Is(err, errTooBig) {
		return nil, errTooBigToThin
	}
	if err != nil {
		return nil, unreadable(err)
	}
	t := plan(p, q)
	if t.original {
		source.ContentType, source.Filename = string(p.format), ""
		return source, nil
	}
	path := filepath.Join(s.folder.thumbnails(source.hash), t.name())
	file, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		if err := s.make(ctx, source, p, t, path); err != nil {
			return nil, err
		}
		file, err = os.Open(path)
	}
	if err != nil {
		return nil, fmt.Errorf("open a thumbnail: %w", err)
	}
	return describeThumbnail(file, source, t)
}

// describeThumbnail says what has been made.
func describeThumbnail(file *os.File, source *File, t target) (*File, error) {
	head := make([]byte, 16)
	n, err := file.ReadAt(head, 0)
	kind, ok := sniff(head[:n])
	if err != nil && !errors.Is(err, io.EOF) || !ok {
		return nil, errors.Join(fmt.Errorf("read the thumbnail %s: %w", file.Name(), err), file.Close())
	}
	return &File{
		File: file, ContentType: string(kind), Modified: source.Modified,
		ETag: source.ETag + "-" + t.name(),
	}, nil
}

// unreadable tells a file that is no picture from one that the disk doesn't give.
func unreadable(err error) error {
	if _, disk := errors.AsType[*fs.PathError](err); disk {
		return fmt.Errorf("read a picture: %w", err)
	}
	return errNoThumbnail
}

// make makes a thumbnail and puts it at path, once for all who want it now, and
// also if the one who asked first goes away.
func (s *Service) make(ctx context.Context, source *File, p picture, t target, path string) error {
	_, err, _ := s.thumbnails.Do(path, func() (any, error) {
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
		err := s.write(ctx, source, p, t, path)
		if ctx.Err() != nil {
			return nil, errTooBigToThin
		}
		return nil, err
	})
	return err
}

// write makes a thumbnail.
func (s *Service) write(ctx context.Context, source *File, p picture, t target, path string) error {
	encode, err := t.render(ctx, source, p)
	if err != nil {
		return unreadable(err)
	}
	file, err := os.CreateTemp(s.folder.temp(), receivedPrefix+"*")
	if err != nil {
		return fmt.Errorf("store a thumbnail: %w", err)
	}
	made := &incoming{file: file}
	defer made.discard()
	if err := encode(file); err != nil {
		return fmt.Errorf("store a thumbnail: %w", err)
	}
	if err := rename(file.Name(), path); err != nil {
		return fmt.Errorf("store a thumbnail: %w", err)
	}
	return prune(filepath.Dir(path))
}

// prune removes the oldest thumbnails of a file beyond the number that is kept.
func prune(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("count thumbnails: %w", err)
	}
	for len(entries) > maxThumbnails {
		oldest, at := time.Now(), 0
		for i, entry := range entries {
			if info, err := entry.Info(); err == nil && info.ModTime().Before(oldest) {
				oldest, at = info.ModTime(), i
			}
		}
		if err := os.Remove(filepath.Join(dir, entries[at].Name())); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("remove a thumbnail: %w", err)
		}
		entries = append(entries[:at], entries[at+1:]...)
	}
	return nil
}

// render makes the picture, and gives what writes it to a file: as JPEG where
// nothing of it is transparent, else as PNG, and as GIF if it moves.
func (t target) render(ctx context.Context, source io.ReaderAt, p picture) (func(io.Writer) error, error) {
	r := &patientReader{ctx: ctx, r: io.NewSectionReader(source, 0, 1<<62)}
	if t.animated {
		moving, err := animate(ctx, r, p, t)
		return func(w io.Writer) error { return gif.EncodeAll(w, moving) }, err
	}
	large, err := p.format.decode(r)
	if err != nil {
		return nil, err
	}
	if p.format == formatGIF {
		large = firstFrame(large, p)
	}
	if !t.crop.In(large.Bounds().Sub(large.Bounds().Min)) {
		return nil, errNoPicture // it is not as large as its header said
	}
	small, err := scale(ctx, large, t.crop.Add(large.Bounds().Min), t.width, t.height)
	if err != nil {
		return nil, err
	}
	small = upright(small, p.orientation)
	if small.Opaque() {
		return func(w io.Writer) error { return jpeg.Encode(w, small, &jpeg.Options{Quality: jpegQuality}) }, nil
	}
	return func(w io.Writer) error { return png.Encode(w, small) }, nil
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

// name is what the thumbnail is called on disk.
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
