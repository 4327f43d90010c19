package picture

import (
	"context"
	"image/gif"
	"image/jpeg"
	"image/png"
	"io"
)

const jpegQuality = 85

// Render makes the thumbnail, and returns its media type and the function that writes
// it: as JPEG if nothing of it is transparent, else as PNG, and as GIF if it moves.
func (t Target) Render(ctx context.Context, source io.ReaderAt, p Picture) (contentType string, encode func(io.Writer) error, err error) {
	r := patience{ctx}
	if t.animated {
		moving, err := animate(ctx, r.reader(io.NewSectionReader(source, 0, 1<<62)), p, t)
		return string(formatGIF), func(w io.Writer) error { return gif.EncodeAll(w, moving) }, err
	}
	large, err := p.decode(source, r)
	if err != nil {
		return "", nil, err
	}
	if !t.crop.In(large.Bounds().Sub(large.Bounds().Min)) {
		return "", nil, ErrNoPicture // it is not as large as its header said
	}
	small, err := scale(ctx, large, t.crop.Add(large.Bounds().Min), t.width, t.height)
	if err != nil {
		return "", nil, err
	}
	small = upright(small, p.Orientation)
	if small.Opaque() {
		return string(formatJPEG), func(w io.Writer) error { return jpeg.Encode(w, small, &jpeg.Options{Quality: jpegQuality}) }, nil
	}
	return string(formatPNG), func(w io.Writer) error { return png.Encode(w, small) }, nil
}

// patience is how long a picture may be read.
type patience struct{ ctx context.Context }

func (p patience) reader(r io.Reader) io.Reader { return &patientReader{p.ctx, r} }

// patientReader reads for as long as there is time.
type patientReader struct {
	ctx context.Context
	r   io.Reader
}

// Read implements io.Reader. After the end of time it returns the context's error.
func (p *patientReader) Read(b []byte) (int, error) {
	if err := p.ctx.Err(); err != nil {
		return 0, err
	}
	return p.r.Read(b)
}
