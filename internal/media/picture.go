package media

import (
	"bufio"
	"bytes"
	"encoding/binary"
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
		var progressive bool
		p.orientation, progressive = inspectJPEG(section(file, size))
		p.unpacked = jpegBytes(pixels, config.ColorModel, progressive)
		if p.orientation > 4 {
			p.width, p.height = p.height, p.width
		}
	case formatPNG:
		p.animated = isAPNG(section(file, size))
		p.unpacked = pngBytes(pixels, config.ColorModel, head[28] != 0)
	case formatGIF:
		p.frames = countFrames(section(file, size))
		p.animated = p.frames > 1
		p.unpacked = 5 * pixels // the frame, and the canvas that it is painted on
	case formatWebP:
		var inside image.Point
		if inside, p.animated = inspectWebP(section(file, size)); inside != image.Pt(p.width, p.height) {
			return picture{}, errNoPicture
		}
		p.unpacked = 8 * pixels
	}
	return p, nil
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

func (f format) decode(r io.Reader) (image.Image, error) {
	switch f {
	case formatJPEG:
		return jpeg.Decode(r)
	case formatPNG:
		return png.Decode(r)
	case formatGIF:
		return gif.Decode(r)
	default:
		return webp.Decode(r)
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

// pngBytes is what decoding takes: an interlaced file is put together of parts
// that are as large again.
func pngBytes(pixels int64, model color.Model, interlaced bool) int64 {
	channels := int64(1)
	switch model {
	case color.RGBAModel, color.NRGBAModel:
		channels = 4
	case color.RGBA64Model, color.NRGBA64Model:
		channels = 8
	case color.Gray16Model:
		channels = 2
	}
	if interlaced {
		channels *= 2
	}
	return pixels * channels
}

// isAPNG reports whether a PNG file moves: it has a chunk acTL before its first
// IDAT then (PNG specification, third edition, section 4.9).
func isAPNG(r *bufio.Reader) bool {
	if _, err := r.Discard(8); err != nil {
		return false
	}
	for {
		var header [8]byte
		if _, err := io.ReadFull(r, header[:]); err != nil {
			return false
		}
		switch string(header[4:]) {
		case "acTL":
			return true
		case "IDAT", "IEND":
			return false
		}
		length := int64(binary.BigEndian.Uint32(header[:]))
		if _, err := io.CopyN(io.Discard, r, length+4); err != nil {
			return false
		}
	}
}
