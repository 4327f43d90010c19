// Package picturetest makes picture files of all kinds, good and bad, for tests.
package picturetest

import (
	"bytes"
	"compress/zlib"
	"encoding/binary"
	"hash/crc32"
	"image"
	"image/color"
	"image/gif"
	"image/jpeg"
	"image/png"
	"io"
	"testing"
)

// The types of an orientation in EXIF data.
const (
	EXIFShort = 3
	EXIFLong  = 4
)

// The colours of test pictures: one for each quarter, so that tests can see which part was
// cut out, and how it was turned.
var (
	Red    = color.RGBA{0xe0, 0x10, 0x10, 0xff} // top left
	Green  = color.RGBA{0x10, 0xc0, 0x10, 0xff} // top right
	Blue   = color.RGBA{0x10, 0x10, 0xe0, 0xff} // bottom left
	Yellow = color.RGBA{0xe0, 0xe0, 0x10, 0xff} // bottom right
)

// Quarters returns a picture of four colours.
func Quarters(width, height int) *image.RGBA {
	m := image.NewRGBA(image.Rect(0, 0, width, height))
	for y := range height {
		for x := range width {
			m.SetRGBA(x, y, QuarterOf(x, y, width, height))
		}
	}
	return m
}

// QuarterOf returns the colour of a pixel of [Quarters].
func QuarterOf(x, y, width, height int) color.RGBA {
	switch {
	case x < width/2 && y < height/2:
		return Red
	case y < height/2:
		return Green
	case x < width/2:
		return Blue
	default:
		return Yellow
	}
}

// Near reports whether two colours look the same, after a lossy format too.
func Near(a, b color.Color) bool {
	ar, ag, ab, aa := a.RGBA()
	br, bg, bb, ba := b.RGBA()
	for _, pair := range [][2]uint32{{ar, br}, {ag, bg}, {ab, bb}, {aa, ba}} {
		if d := int(pair[0]>>8) - int(pair[1]>>8); d > 40 || d < -40 {
			return false
		}
	}
	return true
}

// encode returns what is written.
func encode(t testing.TB, write func(io.Writer) error) string {
	t.Helper()
	var b bytes.Buffer
	if err := write(&b); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// PNG returns a PNG file.
func PNG(t testing.TB, m image.Image) string {
	t.Helper()
	return encode(t, func(w io.Writer) error { return png.Encode(w, m) })
}

// JPEG returns a JPEG file.
func JPEG(t testing.TB, m image.Image) string {
	t.Helper()
	return encode(t, func(w io.Writer) error { return jpeg.Encode(w, m, &jpeg.Options{Quality: 95}) })
}

// Turned returns a JPEG file that says by EXIF how it is to be turned.
func Turned(t testing.TB, m image.Image, orientation int, order binary.AppendByteOrder) string {
	t.Helper()
	segment := "Exif\x00\x00" + exifIn(order, orientation, EXIFShort)
	app1 := binary.BigEndian.AppendUint16([]byte{0xff, 0xe1}, uint16(len(segment)+2))
	plain := JPEG(t, m)
	return plain[:2] + string(app1) + segment + plain[2:]
}

// EXIF returns EXIF data with an orientation of a type.
func EXIF(orientation int, kind uint16) string { return exifIn(binary.BigEndian, orientation, kind) }

func exifIn(order binary.AppendByteOrder, orientation int, kind uint16) string {
	tiff := []byte("MM\x00*")
	if order == binary.AppendByteOrder(binary.LittleEndian) {
		tiff = []byte("II*\x00")
	}
	tiff = order.AppendUint32(tiff, 8)
	tiff = order.AppendUint16(tiff, 2)
	for _, entry := range [][2]uint16{{0x010f, 7}, {0x0112, uint16(orientation)}} {
		tiff = order.AppendUint16(tiff, entry[0])
		tiff = order.AppendUint16(tiff, kind)
		tiff = order.AppendUint32(tiff, 1)
		if kind == EXIFLong {
			tiff = order.AppendUint32(tiff, uint32(entry[1]))
			continue
		}
		tiff = order.AppendUint16(tiff, entry[1])
		tiff = order.AppendUint16(tiff, 0)
	}
	return string(tiff)
}

// Chunk returns a chunk of a PNG file.
func Chunk(kind string, data []byte) string {
	b := binary.BigEndian.AppendUint32(nil, uint32(len(data)))
	b = append(append(b, kind...), data...)
	return string(binary.BigEndian.AppendUint32(b, crc32.ChecksumIEEE(b[4:])))
}

// PNGHeader returns the beginning of a PNG file of any size.
func PNGHeader(width, height uint32, depth, colours, interlaced byte) string {
	header := binary.BigEndian.AppendUint32(nil, width)
	header = binary.BigEndian.AppendUint32(header, height)
	header = append(header, depth, colours, 0, 0, interlaced)
	return "\x89PNG\r\n\x1a\n" + Chunk("IHDR", header)
}

// PNGBomb returns a whole and valid PNG file of zeros, which unpacks to many times its
// size.
func PNGBomb(t testing.TB, width, height uint32) string {
	t.Helper()
	var packed bytes.Buffer
	z := zlib.NewWriter(&packed)
	row := make([]byte, 1+(width+7)/8)
	for range height {
		if _, err := z.Write(row); err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return PNGHeader(width, height, 1, 0, 0) + Chunk("IDAT", packed.Bytes()) + Chunk("IEND", nil)
}

// MovingPNG returns a PNG file that moves.
func MovingPNG(t testing.TB, m image.Image) string {
	t.Helper()
	plain := PNG(t, m)
	const afterHeader = 8 + 25
	return plain[:afterHeader] + Chunk("acTL", []byte{0, 0, 0, 1, 0, 0, 0, 0}) + plain[afterHeader:]
}

// MovingGIF returns a GIF file with one frame of each colour.
func MovingGIF(t testing.TB, width, height int, colours ...color.Color) string {
	t.Helper()
	g := &gif.GIF{LoopCount: 5}
	palette := append(color.Palette{color.RGBA{}}, colours...)
	for i := range colours {
		frame := image.NewPaletted(image.Rect(0, 0, width, height), palette)
		for at := range frame.Pix {
			frame.Pix[at] = byte(i + 1)
		}
		g.Image, g.Delay = append(g.Image, frame), append(g.Delay, 10+i)
	}
	return GIF(t, g)
}

// GIF returns a GIF file.
func GIF(t testing.TB, g *gif.GIF) string {
	t.Helper()
	return encode(t, func(w io.Writer) error { return gif.EncodeAll(w, g) })
}

// bits collects bits, the lowest of each byte first.
type bits struct {
	bytes []byte
	n     int
}

func (b *bits) put(value, width int) {
	for i := range width {
		if b.n%8 == 0 {
			b.bytes = append(b.bytes, 0)
		}
		b.bytes[b.n/8] |= byte(value>>i&1) << (b.n % 8)
		b.n++
	}
}

// LosslessWebP returns the picture chunk of a WebP file of one colour, of any size: each
// of the five codes has a single symbol, so that pixels take no bits at all.
func LosslessWebP(width, height int, c color.RGBA) string {
	b := &bits{}
	b.put(0x2f, 8)
	b.put(width-1, 14)
	b.put(height-1, 14)
	b.put(1, 1) // alpha is used
	b.put(0, 3) // version
	b.put(0, 3) // no transform, no cache of colours, no groups of codes
	for _, symbol := range []byte{c.G, c.R, c.B, c.A, 0} {
		b.put(1, 1) // a simple code
		b.put(0, 1) // of one symbol
		b.put(1, 1) // of eight bits
		b.put(int(symbol), 8)
	}
	return RIFFChunk("VP8L", string(b.bytes))
}

// RIFFChunk returns a chunk of a WebP file.
func RIFFChunk(kind, data string) string {
	size := binary.LittleEndian.AppendUint32(nil, uint32(len(data)))
	if len(data)%2 == 1 {
		data += "\x00"
	}
	return kind + string(size) + data
}

// WebP returns a WebP file.
func WebP(chunks string) string { return RIFFChunk("RIFF", "WEBP"+chunks) }

// ExtendedWebP returns the header of a WebP file with more than a picture.
func ExtendedWebP(flags byte, width, height int) string {
	b := &bits{}
	b.put(int(flags), 32)
	b.put(width-1, 24)
	b.put(height-1, 24)
	return RIFFChunk("VP8X", string(b.bytes))
}

// WebPFrame returns a frame of a WebP file that moves, with its picture chunk.
func WebPFrame(x, y, width, height int, chunk string) string {
	b := &bits{}
	for _, v := range []int{x / 2, y / 2, width - 1, height - 1, 100} {
		b.put(v, 24)
	}
	b.put(0, 8)
	return RIFFChunk("ANMF", string(b.bytes)+chunk)
}

// AnimatedWebP returns a WebP file of two frames, of which the first is a part of the whole.
func AnimatedWebP() string {
	return WebP(ExtendedWebP(0x12, 40, 20) + RIFFChunk("ANIM", "\x00\x00\x00\x00\x00\x00") +
		WebPFrame(20, 0, 20, 20, LosslessWebP(20, 20, Red)) + WebPFrame(0, 0, 40, 20, LosslessWebP(40, 20, Blue)))
}
