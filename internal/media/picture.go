package media

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

// format is one of the formats of pictures that are understood.
type format string

const (
	formatJPEG format = "image/jpeg"
	formatPNG  format = "image/png"
	formatGIF  format = "image/gif"
	formatWebP format = "image/webp"
)

// maxSide is the longest side of a picture that is looked at, which keeps sums of
// pixels far from overflowing.
const maxSide = 1 << 16

var (
	errNoPicture = errors.New("not a picture of a known format")
	errTooBig    = errors.New("the picture is too big")
)

// picture is what the header of a file tells, before anything is unpacked.
type picture struct {
	format        format
	width, height int   // as they are to be seen: turned upright
	orientation   int   // EXIF's, 1 to 8; 1: upright
	animated      bool  // whether it moves
	frames        int   // of a GIF
	unpacked      int64 // bytes of memory that decoding takes
	metadata      bool  // it bears more than the picture, such as where it was taken
}

// sniff tells the format by the first bytes.
func sniff(head []byte) (format, bool) {
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

// inspect reads the header of a picture. errNoPicture or the decoder's error for
// what is none, errTooBig for sides beyond maxSide.
func inspect(file io.ReaderAt, size int64) (picture, error) {
	head := make([]byte, 32)
	n, err := file.ReadAt(head, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return picture{}, err
	}
	kind, ok := sniff(head[:n])
	if !ok {
		return picture{}, errNoPicture
	}
	config, err := kind.decodeConfig(section(file, size))
	if err != nil {
		return picture{}, err
	}
	if config.Width <= 0 || config.Height <= 0 {
		return picture{}, errNoPicture
	}
	if config.Width > maxSide || config.Height > maxSide {
		return picture{}, errTooBig
	}
	p := picture{format: kind, width: config.Width, height: config.Height, orientation: 1}
	pixels := int64(p.width) * int64(p.height)
	switch kind {
	case formatJPEG:
		h := inspectJPEG(section(file, size))
		p.orientation, p.metadata = h.orientation, h.metadata
		p.unpacked = jpegBytes(pixels, config.ColorModel, h.progressive)
	case formatPNG:
		h := inspectPNG(section(file, size))
		p.orientation, p.animated, p.metadata = h.orientation, h.animated, h.metadata
		p.unpacked = pngBytes(pixels, config.ColorModel, h.transparent, head[28] != 0)
	case formatGIF:
		p.frames, p.metadata = inspectGIF(section(file, size))
		p.animated = p.frames > 1
		p.unpacked = 5 * pixels // the frame, and the canvas that it is painted on
	case formatWebP:
		h := inspectWebP(section(file, size))
		if !h.fits(image.Pt(p.width, p.height)) {
			return picture{}, errNoPicture
		}
		p.orientation, p.animated, p.metadata = h.orientation, h.animated, h.metadata
		p.unpacked = 8 * pixels
		if p.animated {
			p.unpacked += 4*pixels + size // the canvas, and the frame before it is unpacked
		}
	}
	if p.orientation > 4 {
		p.width, p.height = p.height, p.width
	}
	return p, nil
}

// lying is the size of the picture as it lies in the file, before it is turned upright.
func (p picture) lying() image.Point {
	if p.orientation > 4 {
		return image.Pt(p.height, p.width)
	}
	return image.Pt(p.width, p.height)
}

func section(file io.ReaderAt, size int64) *bufio.Reader {
	return bufio.NewReader(io.NewSectionReader(file, 0, size))
}

func (f format) decodeConfig(r io.Reader) (image.Config, error) {
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
func (p picture) decode(source io.ReaderAt, while patience) (image.Image, error) {
	r := while.reader(io.NewSectionReader(source, 0, 1<<62))
	switch p.format {
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
		return decodeWebP(r, p.animated, p.lying())
	}
}

// jpegBytes is what decoding takes: a progressive file has all its coefficients,
// of four bytes, in memory before it has a picture, and some kinds of colours are
// converted afterwards.
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

// pngBytes is what decoding takes: gray gets three more channels where a shade of it is
// transparent, and an interlaced file is put together of parts that are as large again.
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
