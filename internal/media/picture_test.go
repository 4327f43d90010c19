package media

import (
	"bytes"
	"compress/zlib"
	"context"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"image"
	"image/color"
	"image/gif"
	"image/jpeg"
	"image/png"
	"io"
	"strings"
	"testing"
	"time"
)

// The colours of test pictures: one for each quarter, so that it can be told which
// part was taken, and how it was turned.
var (
	red    = color.RGBA{0xe0, 0x10, 0x10, 0xff} // top left
	green  = color.RGBA{0x10, 0xc0, 0x10, 0xff} // top right
	blue   = color.RGBA{0x10, 0x10, 0xe0, 0xff} // bottom left
	yellow = color.RGBA{0xe0, 0xe0, 0x10, 0xff} // bottom right
)

// quarters is a picture of four colours.
func quarters(width, height int) *image.RGBA {
	m := image.NewRGBA(image.Rect(0, 0, width, height))
	for y := range height {
		for x := range width {
			m.SetRGBA(x, y, quarterOf(x, y, width, height))
		}
	}
	return m
}

func quarterOf(x, y, width, height int) color.RGBA {
	switch {
	case x < width/2 && y < height/2:
		return red
	case y < height/2:
		return green
	case x < width/2:
		return blue
	default:
		return yellow
	}
}

// near reports whether two colours look the same, after a lossy format too.
func near(a, b color.Color) bool {
	ar, ag, ab, aa := a.RGBA()
	br, bg, bb, ba := b.RGBA()
	for _, pair := range [][2]uint32{{ar, br}, {ag, bg}, {ab, bb}, {aa, ba}} {
		if d := int(pair[0]>>8) - int(pair[1]>>8); d > 40 || d < -40 {
			return false
		}
	}
	return true
}

func encode(t testing.TB, write func(io.Writer) error) string {
	t.Helper()
	var b bytes.Buffer
	if err := write(&b); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func pngOf(t testing.TB, m image.Image) string {
	t.Helper()
	return encode(t, func(w io.Writer) error { return png.Encode(w, m) })
}

func jpegOf(t testing.TB, m image.Image) string {
	t.Helper()
	return encode(t, func(w io.Writer) error { return jpeg.Encode(w, m, &jpeg.Options{Quality: 95}) })
}

// turned is a JPEG file that says by EXIF how it is to be turned.
func turned(t testing.TB, m image.Image, orientation int, order binary.AppendByteOrder) string {
	t.Helper()
	segment := "Exif\x00\x00" + exifIn(order, orientation, exifShort)
	app1 := binary.BigEndian.AppendUint16([]byte{0xff, 0xe1}, uint16(len(segment)+2))
	plain := jpegOf(t, m)
	return plain[:2] + string(app1) + segment + plain[2:]
}

// exifOf is EXIF data with an orientation of a type.
func exifOf(orientation int, kind uint16) string { return exifIn(binary.BigEndian, orientation, kind) }

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
		if kind == exifLong {
			tiff = order.AppendUint32(tiff, uint32(entry[1]))
			continue
		}
		tiff = order.AppendUint16(tiff, entry[1])
		tiff = order.AppendUint16(tiff, 0)
	}
	return string(tiff)
}

// chunk is a chunk of a PNG file.
func chunk(kind string, data []byte) string {
	b := binary.BigEndian.AppendUint32(nil, uint32(len(data)))
	b = append(append(b, kind...), data...)
	return string(binary.BigEndian.AppendUint32(b, crc32.ChecksumIEEE(b[4:])))
}

// pngHeader is the beginning of a PNG file of any size.
func pngHeader(width, height uint32, depth, colours, interlaced byte) string {
	header := binary.BigEndian.AppendUint32(nil, width)
	header = binary.BigEndian.AppendUint32(header, height)
	header = append(header, depth, colours, 0, 0, interlaced)
	return "\x89PNG\r\n\x1a\n" + chunk("IHDR", header)
}

// pngBomb is a whole and valid PNG file of zeros, which unpacks to very much more
// than it is.
func pngBomb(t testing.TB, width, height uint32) string {
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
	return pngHeader(width, height, 1, 0, 0) + chunk("IDAT", packed.Bytes()) + chunk("IEND", nil)
}

// movingPNG is a PNG file that moves.
func movingPNG(t testing.TB, m image.Image) string {
	t.Helper()
	plain := pngOf(t, m)
	const afterHeader = 8 + 25
	return plain[:afterHeader] + chunk("acTL", []byte{0, 0, 0, 1, 0, 0, 0, 0}) + plain[afterHeader:]
}

// moving is a GIF file with one frame of each colour.
func moving(t testing.TB, width, height int, colours ...color.Color) string {
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
	return encode(t, func(w io.Writer) error { return gif.EncodeAll(w, g) })
}

// bits is written to from the lowest bit.
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

// losslessWebP is the picture chunk of a WebP file of one colour, of any size: each
// of the five codes has a single symbol, so that pixels take no bits at all.
func losslessWebP(width, height int, c color.RGBA) string {
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
	return riffChunk("VP8L", string(b.bytes))
}

func riffChunk(kind, data string) string {
	size := binary.LittleEndian.AppendUint32(nil, uint32(len(data)))
	if len(data)%2 == 1 {
		data += "\x00"
	}
	return kind + string(size) + data
}

func webpOf(chunks string) string { return riffChunk("RIFF", "WEBP"+chunks) }

// extendedWebP is the header of a WebP file with more than a picture.
func extendedWebP(flags byte, width, height int) string {
	b := &bits{}
	b.put(int(flags), 32)
	b.put(width-1, 24)
	b.put(height-1, 24)
	return riffChunk("VP8X", string(b.bytes))
}

func inspectText(file string) (picture, error) {
	return inspect(bytes.NewReader([]byte(file)), int64(len(file)))
}

func TestInspect(t *testing.T) {
	t.Parallel()
	m := quarters(40, 20)
	gray := image.NewGray(m.Rect)
	for name, test := range map[string]struct {
		file string
		want picture
	}{
		"PNG":             {pngOf(t, m), picture{format: formatPNG, width: 40, height: 20, orientation: 1, unpacked: 4 * 800}},
		"gray PNG":        {pngOf(t, gray), picture{format: formatPNG, width: 40, height: 20, orientation: 1, unpacked: 800}},
		"16 bits":         {pngHeader(40, 20, 16, 6, 0), picture{format: formatPNG, width: 40, height: 20, orientation: 1, unpacked: 8 * 800}},
		"16 bits of gray": {pngHeader(40, 20, 16, 0, 0), picture{format: formatPNG, width: 40, height: 20, orientation: 1, unpacked: 2 * 800}},
		"interlaced PNG":  {pngHeader(40, 20, 8, 2, 1), picture{format: formatPNG, width: 40, height: 20, orientation: 1, unpacked: 8 * 800}},
		"moving PNG":      {movingPNG(t, m), picture{format: formatPNG, width: 40, height: 20, orientation: 1, unpacked: 4 * 800, animated: true}},
		"JPEG":            {jpegOf(t, m), picture{format: formatJPEG, width: 40, height: 20, orientation: 1, unpacked: 3 * 800}},
		"gray JPEG":       {jpegOf(t, gray), picture{format: formatJPEG, width: 40, height: 20, orientation: 1, unpacked: 800}},
		"JPEG on its side": {turned(t, m, 6, binary.BigEndian),
			picture{format: formatJPEG, width: 20, height: 40, orientation: 6, unpacked: 3 * 800, metadata: true}},
		"JPEG on its head": {turned(t, m, 3, binary.LittleEndian),
			picture{format: formatJPEG, width: 40, height: 20, orientation: 3, unpacked: 3 * 800, metadata: true}},
		"GIF":         {moving(t, 40, 20, red), picture{format: formatGIF, width: 40, height: 20, orientation: 1, frames: 1, unpacked: 5 * 800}},
		"moving GIF":  {moving(t, 40, 20, red, blue, green), picture{format: formatGIF, width: 40, height: 20, orientation: 1, frames: 3, unpacked: 5 * 800, animated: true}},
		"WebP":        {webpOf(losslessWebP(40, 20, red)), picture{format: formatWebP, width: 40, height: 20, orientation: 1, unpacked: 8 * 800}},
		"larger WebP": {webpOf(extendedWebP(0x10, 40, 20) + riffChunk("ICCP", "odd") + losslessWebP(40, 20, red)), picture{format: formatWebP, width: 40, height: 20, orientation: 1, unpacked: 8 * 800}},
	} {
		if got, err := inspectText(test.file); err != nil || got != test.want {
			t.Errorf("%s: got %+v, %v, want %+v", name, got, err, test.want)
		}
	}
}

// Gray with a transparent shade is decoded into four times as much as was counted.
func TestTransparentGrayCountedAsGray(t *testing.T) {
	t.Parallel()
	for depth, channels := range map[byte]int64{8: 4, 16: 8} {
		file := pngHeader(40, 20, depth, 0, 0) + chunk("tRNS", []byte{0, 1}) + chunk("IEND", nil)
		if p, err := inspectText(file); err != nil || p.unpacked != channels*800 {
			t.Errorf("%d bits: got %+v, %v", depth, p, err)
		}
	}
}

// The orientation was read from EXIF of JPEG files alone, and there as a short only.
func TestOrientationWasNotReadEverywhere(t *testing.T) {
	t.Parallel()
	m := quarters(40, 20)
	plain, jpegFile := pngOf(t, m), jpegOf(t, m)
	long := "Exif\x00\x00" + exifOf(6, exifLong)
	const afterHeader = 8 + 25
	end := len(plain) - 12
	for name, file := range map[string]string{
		"PNG":                    plain[:afterHeader] + chunk("eXIf", []byte(exifOf(6, exifShort))) + plain[afterHeader:],
		"PNG, after the picture": plain[:end] + chunk("eXIf", []byte(exifOf(6, exifShort))) + plain[end:],
		"WebP":                   webpOf(extendedWebP(0x08, 40, 20) + losslessWebP(40, 20, red) + riffChunk("EXIF", exifOf(6, exifShort))),
		"WebP with a prefix":     webpOf(extendedWebP(0x08, 40, 20) + losslessWebP(40, 20, red) + riffChunk("EXIF", "Exif\x00\x00"+exifOf(6, exifShort))),
		"JPEG with a long":       jpegFile[:2] + "\xff\xe1" + string(binary.BigEndian.AppendUint16(nil, uint16(len(long)+2))) + long + jpegFile[2:],
	} {
		p, err := inspectText(file)
		if err != nil || p.orientation != 6 || p.width != 20 || p.height != 40 || !p.metadata {
			t.Errorf("%s: got %+v, %v", name, p, err)
		}
	}
}

// animatedWebP is a WebP file of two frames, of which the first is a part of the whole.
func animatedWebP() string {
	frame := func(x, y, width, height int, c color.RGBA) string {
		b := &bits{}
		for _, v := range []int{x / 2, y / 2, width - 1, height - 1, 100} {
			b.put(v, 24)
		}
		b.put(0, 8)
		return riffChunk("ANMF", string(b.bytes)+losslessWebP(width, height, c))
	}
	return webpOf(extendedWebP(0x12, 40, 20) + riffChunk("ANIM", "\x00\x00\x00\x00\x00\x00") +
		frame(20, 0, 20, 20, red) + frame(0, 0, 40, 20, blue))
}

// A picture that moves as WebP had no thumbnail at all.
func TestAnimatedWebPHadNoThumbnail(t *testing.T) {
	t.Parallel()
	file := animatedWebP()
	p, err := inspectText(file)
	want := picture{format: formatWebP, width: 40, height: 20, orientation: 1, animated: true, unpacked: 12*800 + int64(len(file))}
	if err != nil || p != want {
		t.Errorf("got %+v, %v, want %+v", p, err, want)
	}
	h := newEnv(t, nil)
	for _, animated := range []bool{false, true} {
		m, kind, _ := h.thumb(t, file, ThumbnailQuery{Width: 32, Height: 16, Animated: animated, Crop: true})
		wantSize(t, "still", m, 32, 16)
		if _, _, _, alpha := m.At(4, 8).RGBA(); kind != "image/png" || alpha != 0 || !near(m.At(28, 8), red) {
			t.Errorf("got %s with %v and %v", kind, m.At(4, 8), m.At(28, 8))
		}
	}
	// As large as it is, it is a still, too, unless it may move.
	if _, _, content := h.thumb(t, file, ThumbnailQuery{Width: 100, Height: 100}); content == file {
		t.Error("it moves without having been asked to")
	}
}

func TestFramesOfWebPThatDoNotFit(t *testing.T) {
	t.Parallel()
	whole := animatedWebP()
	for n := range whole {
		file := whole[:n]
		if p, err := inspectText(file); err == nil {
			_, _ = p.decode(bytes.NewReader([]byte(file)), patience{t.Context()})
		}
	}
	at := bytes.Index([]byte(whole), []byte("ANMF")) + 8
	for name, change := range map[string]func(b []byte){
		"outside of the whole":     func(b []byte) { b[at] = 0xff },
		"as large as can be":       func(b []byte) { copy(b[at+6:], "\xff\xff\xff\xff\xff\xff") },
		"smaller than its picture": func(b []byte) { b[at+6] = 1 },
	} {
		b := []byte(whole)
		change(b)
		if p, err := inspectText(string(b)); err == nil {
			if _, err := p.decode(bytes.NewReader(b), patience{t.Context()}); err == nil {
				t.Errorf("%s: it was decoded", name)
			}
		}
	}
}

// A frame of a few bytes could say that it was small, and its picture that it was 1 GiB,
// which was unpacked first and refused then.
func TestAFrameOfWebPUnpackedToWhateverItsPictureSaid(t *testing.T) {
	t.Parallel()
	b := &bits{}
	for _, v := range []int{0, 0, 40 - 1, 20 - 1, 100} {
		b.put(v, 24)
	}
	b.put(0, 8)
	file := webpOf(extendedWebP(0x02, 40, 20) + riffChunk("ANMF", string(b.bytes)+losslessWebP(16384, 16384, red)))
	p, err := inspectText(file)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	decoded := make(chan error, 1)
	go func() {
		_, err := p.decode(strings.NewReader(file), patience{ctx})
		decoded <- err
	}()
	select {
	case err := <-decoded:
		if err == nil {
			t.Error("it was decoded")
		}
	case <-ctx.Done():
		t.Error("it is being unpacked")
	}
}

func TestProgressiveJPEGTakesMore(t *testing.T) {
	t.Parallel()
	file := []byte(jpegOf(t, quarters(40, 20)))
	at := bytes.Index(file, []byte{0xff, 0xc0})
	file[at+1] = 0xc2
	if p, err := inspectText(string(file)); err != nil || p.unpacked != 15*800 {
		t.Errorf("got %+v, %v", p, err)
	}
}

func TestInspectWhatIsNoPicture(t *testing.T) {
	t.Parallel()
	m := quarters(8, 8)
	for name, file := range map[string]string{
		"nothing":                          "",
		"text":                             "this is no picture, but it is long enough for one",
		"SVG":                              `<svg xmlns="http://www.w3.org/2000/svg" width="8" height="8"/>`,
		"PDF":                              "%PDF-1.7 and so on and so forth and on",
		"PNG's name alone":                 "\x89PNG\r\n\x1a\n",
		"JPEG's name alone":                "\xff\xd8\xff",
		"GIF's name alone":                 "GIF89a",
		"WebP's name alone":                "RIFF\x00\x00\x00\x00WEBP",
		"half a header":                    pngOf(t, m)[:20],
		"no width":                         pngHeader(0, 8, 8, 2, 0),
		"a moving WebP without frames":     webpOf(extendedWebP(0x02, 8, 8) + riffChunk("ANIM", "\x00\x00\x00\x00\x00\x00")),
		"a WebP larger than its header":    webpOf(extendedWebP(0, 1, 1) + losslessWebP(16384, 16384, red)),
		"an old WebP larger than header":   webpOf(extendedWebP(0, 1, 1) + riffChunk("VP8 ", "\x10\x00\x00\x9d\x01\x2a\xff\x3f\xff\x3f")),
		"a GIF of no size":                 "GIF89a\x00\x00\x00\x00\x00\x00\x00;",
		"a JPEG that ends before the size": jpegOf(t, m)[:10],
	} {
		if p, err := inspectText(file); err == nil {
			t.Errorf("%s: was taken for %+v", name, p)
		}
	}
	if _, err := inspectText(pngHeader(1<<17, 8, 8, 2, 0)); !errors.Is(err, errTooBig) {
		t.Errorf("very wide: got %v", err)
	}
	if _, err := inspectText(pngHeader(8, 1<<30, 1, 0, 0)); !errors.Is(err, errTooBig) {
		t.Errorf("very high: got %v", err)
	}
}

func TestEXIFThatIsBroken(t *testing.T) {
	t.Parallel()
	file := turned(t, quarters(8, 8), 6, binary.BigEndian)
	start := bytes.Index([]byte(file), []byte("Exif"))
	segment := []byte(file[start : start+6+8+2+24])
	if got := exifOrientation(segment); got != 6 {
		t.Fatalf("got %d, want 6", got)
	}
	for n := range segment {
		// What is cut off may only be missing, never misread.
		if got := exifOrientation(segment[:n]); got != 0 && got != 6 {
			t.Errorf("%d bytes: got %d", n, got)
		}
	}
	for _, wrong := range []uint16{0, 9, 0xffff} {
		b := bytes.Clone(segment)
		binary.BigEndian.PutUint16(b[len(b)-4:], wrong)
		if got := exifOrientation(b); got != 0 {
			t.Errorf("%d: got %d", wrong, got)
		}
	}
	far := bytes.Clone(segment)
	binary.BigEndian.PutUint32(far[10:], 0xffffffff)
	if got := exifOrientation(far); got != 0 {
		t.Errorf("a directory far away: got %d", got)
	}
}

// FuzzInspect makes sure that no file makes the readers of headers panic or loop.
func FuzzInspect(f *testing.F) {
	m := quarters(8, 8)
	for _, file := range []string{
		pngOf(f, m), movingPNG(f, m), jpegOf(f, m), turned(f, m, 6, binary.LittleEndian),
		moving(f, 8, 8, red, blue), webpOf(losslessWebP(8, 8, red)),
		webpOf(extendedWebP(0x10, 8, 8) + losslessWebP(8, 8, red)), animatedWebP(),
		webpOf(extendedWebP(0x08, 8, 8) + losslessWebP(8, 8, red) + riffChunk("EXIF", exifOf(6, exifLong))),
	} {
		f.Add([]byte(file))
	}
	f.Fuzz(func(t *testing.T, file []byte) {
		p, err := inspect(bytes.NewReader(file), int64(len(file)))
		if err != nil {
			return
		}
		if p.width < 1 || p.height < 1 || p.unpacked < 1 || p.orientation < 1 || p.orientation > 8 {
			t.Errorf("got %+v", p)
		}
		if p.unpacked > 1<<20 || p.frames > 8 {
			return
		}
		target := plan(p, ThumbnailQuery{Width: 3, Height: 4, Crop: len(file)%2 == 0, Animated: true})
		if _, write, err := target.render(t.Context(), bytes.NewReader(file), p); err == nil {
			if err := write(io.Discard); err != nil {
				t.Errorf("write the thumbnail: %v", err)
			}
		}
	})
}
