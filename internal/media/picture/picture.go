package picture

import (
	"bufio"
	"bytes"
	"errors"
	"image"
	"image/color"
	"image/gif"
	"image/jpeg"
	"image/png"
	"io"

	"golang.org/x/image/webp"
)

// Format is one of the formats of pictures that are understood.
type Format string

const (
	formatJPEG Format = "image/jpeg"
	formatPNG  Format = "image/png"
	formatGIF  Format = "image/gif"
	formatWebP Format = "image/webp"
)

// maxSide is the longest side of a picture that is read, so that sums of pixels are far
// from overflowing.
const maxSide = 1 << 16

// The errors of [Inspect], and of a picture that differs from its header.
var (
	ErrNoPicture = errors.New("not a picture of a known format")
	ErrTooBig    = errors.New("the picture is too big")
)

// Picture has the properties in the header of a file, before anything is unpacked.
type Picture struct {
	Format        Format
	Width, Height int   // as they are to be seen: turned upright
	Orientation   int   // EXIF's, 1 to 8; 1: upright
	Animated      bool  // whether it moves
	Frames        int   // of a GIF
	Unpacked      int64 // bytes of memory that decoding takes
	Metadata      bool  // it bears more than the picture, such as where it was taken
}

// sniff recognises the format by the first bytes.
func sniff(head []byte) (Format, bool) {
	switch {
	case bytes.HasPrefix(head, []byte("\xff\xd8\xff")):
		return formatJPEG, true
	case bytes.HasPrefix(head, []byte("\x89PNG\r\n\x1a\n")):
		return formatPNG, true
	case bytes.HasPrefix(head, []byte("GIF87a")), bytes.HasPrefix(head, []byte("GIF89a")):
		return formatGIF, true
	case len(head) >= 12 && bytes.HasPrefix(head, []byte("RIFF")) && string(head[8:12]) == "WEBP":
		return formatWebP, true
	}
	return "", false
}

// Inspect reads the header of a picture. ErrNoPicture or the decoder's error if it is
// none, ErrTooBig for sides beyond maxSide.
func Inspect(file io.ReaderAt, size int64) (Picture, error) {
	head := make([]byte, 32)
	n, err := file.ReadAt(head, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return Picture{}, err
	}
	kind, ok := sniff(head[:n])
	if !ok {
		return Picture{}, ErrNoPicture
	}
	config, err := kind.decodeConfig(section(file, size))
	if err != nil {
		return Picture{}, err
	}
	if config.Width <= 0 || config.Height <= 0 {
		return Picture{}, ErrNoPicture
	}
	if config.Width > maxSide || config.Height > maxSide {
		return Picture{}, ErrTooBig
	}
	p := Picture{Format: kind, Width: config.Width, Height: config.Height, Orientation: 1}
	pixels := int64(p.Width) * int64(p.Height)
	switch kind {
	case formatJPEG:
		h := inspectJPEG(section(file, size))
		p.Orientation, p.Metadata = h.orientation, h.metadata
		p.Unpacked = jpegBytes(pixels, config.ColorModel, h.progressive)
	case formatPNG:
		h := inspectPNG(section(file, size))
		p.Orientation, p.Animated, p.Metadata = h.orientation, h.animated, h.metadata
		p.Unpacked = pngBytes(pixels, config.ColorModel, h.transparent, head[28] != 0)
	case formatGIF:
		p.Frames, p.Metadata = inspectGIF(section(file, size))
		p.Animated = p.Frames > 1
		p.Unpacked = 5 * pixels // the frame, and the canvas that it is painted on
	case formatWebP:
		h := inspectWebP(section(file, size))
		if !h.fits(image.Pt(p.Width, p.Height)) {
			return Picture{}, ErrNoPicture
		}
		p.Orientation, p.Animated, p.Metadata = h.orientation, h.animated, h.metadata
		p.Unpacked = 8 * pixels
		if p.Animated {
			p.Unpacked += 4*pixels + size // the canvas, and the frame before it is unpacked
		}
	}
	if p.Orientation > 4 {
		p.Width, p.Height = p.Height, p.Width
	}
	return p, nil
}

// lying returns the size of the picture in the file, before it is turned upright.
func (p Picture) lying() image.Point {
	if p.Orientation > 4 {
		return image.Pt(p.Height, p.Width)
	}
	return image.Pt(p.Width, p.Height)
}

func section(file io.ReaderAt, size int64) *bufio.Reader {
	return bufio.NewReader(io.NewSectionReader(file, 0, size))
}

func (f Format) decodeConfig(r io.Reader) (image.Config, error) {
	switch f {
	case formatJPEG:
		return jpeg.DecodeConfig(r)
	case formatPNG:
		return png.DecodeConfig(r)
	case formatGIF:
		return gif.DecodeConfig(r)
	default:
		return webp.DecodeConfig(r)
	}
}

// decode unpacks a picture; of one that moves, the first frame.
func (p Picture) decode(source io.ReaderAt, while patience) (image.Image, error) {
	r := while.reader(io.NewSectionReader(source, 0, 1<<62))
	switch p.Format {
	case formatJPEG:
		return decodeJPEG(source, while)
	case formatPNG:
		return png.Decode(r)
	case formatGIF:
		first, err := gif.Decode(r)
		if err != nil {
			return nil, err
		}
		return firstFrame(first, p), nil
	default:
		return decodeWebP(r, p.Animated, p.lying())
	}
}

// jpegBytes returns the memory for decoding: a progressive file has all its
// coefficients, of four bytes, in memory before it has a picture, and some kinds of
// colours are converted afterwards.
func jpegBytes(pixels int64, model color.Model, progressive bool) int64 {
	channels, converted := int64(3), int64(0)
	switch model {
	case color.GrayModel:
		channels = 1
	case color.RGBAModel:
		converted = 4
	case color.CMYKModel:
		channels, converted = 4, 4
	}
	if progressive {
		return pixels * (5*channels + converted)
	}
	return pixels * (channels + converted)
}

// pngBytes returns the memory for decoding: gray gets three more channels where a shade
// of it is transparent, and an interlaced file is put together of parts that are as
// large again.
func pngBytes(pixels int64, model color.Model, transparent, interlaced bool) int64 {
	channels := int64(1)
	switch model {
	case color.GrayModel:
		if transparent {
			channels = 4
		}
	case color.RGBAModel, color.NRGBAModel:
		channels = 4
	case color.RGBA64Model, color.NRGBA64Model:
		channels = 8
	case color.Gray16Model:
		channels = 2
		if transparent {
			channels = 8
		}
	}
	if interlaced {
		channels *= 2
	}
	return pixels * channels
}
