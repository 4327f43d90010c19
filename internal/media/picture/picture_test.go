package picture

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"image"
	"io"
	"strings"
	"testing"
	"time"

	"homeserver/internal/media/picture/picturetest"
)

func inspectText(file string) (Picture, error) {
	return Inspect(bytes.NewReader([]byte(file)), int64(len(file)))
}

func TestInspect(t *testing.T) {
	t.Parallel()
	m := picturetest.Quarters(40, 20)
	gray := image.NewGray(m.Rect)
	for name, test := range map[string]struct {
		file string
		want Picture
	}{
		"PNG":             {picturetest.PNG(t, m), Picture{Format: formatPNG, Width: 40, Height: 20, Orientation: 1, Unpacked: 4 * 800}},
		"gray PNG":        {picturetest.PNG(t, gray), Picture{Format: formatPNG, Width: 40, Height: 20, Orientation: 1, Unpacked: 800}},
		"16 bits":         {picturetest.PNGHeader(40, 20, 16, 6, 0), Picture{Format: formatPNG, Width: 40, Height: 20, Orientation: 1, Unpacked: 8 * 800}},
		"16 bits of gray": {picturetest.PNGHeader(40, 20, 16, 0, 0), Picture{Format: formatPNG, Width: 40, Height: 20, Orientation: 1, Unpacked: 2 * 800}},
		"interlaced PNG":  {picturetest.PNGHeader(40, 20, 8, 2, 1), Picture{Format: formatPNG, Width: 40, Height: 20, Orientation: 1, Unpacked: 8 * 800}},
		"moving PNG":      {picturetest.MovingPNG(t, m), Picture{Format: formatPNG, Width: 40, Height: 20, Orientation: 1, Unpacked: 4 * 800, Animated: true}},
		"JPEG":            {picturetest.JPEG(t, m), Picture{Format: formatJPEG, Width: 40, Height: 20, Orientation: 1, Unpacked: 3 * 800}},
		"gray JPEG":       {picturetest.JPEG(t, gray), Picture{Format: formatJPEG, Width: 40, Height: 20, Orientation: 1, Unpacked: 800}},
		"JPEG on its side": {picturetest.Turned(t, m, 6, binary.BigEndian),
			Picture{Format: formatJPEG, Width: 20, Height: 40, Orientation: 6, Unpacked: 3 * 800, Metadata: true}},
		"JPEG on its head": {picturetest.Turned(t, m, 3, binary.LittleEndian),
			Picture{Format: formatJPEG, Width: 40, Height: 20, Orientation: 3, Unpacked: 3 * 800, Metadata: true}},
		"GIF":         {picturetest.MovingGIF(t, 40, 20, picturetest.Red), Picture{Format: formatGIF, Width: 40, Height: 20, Orientation: 1, Frames: 1, Unpacked: 5 * 800}},
		"moving GIF":  {picturetest.MovingGIF(t, 40, 20, picturetest.Red, picturetest.Blue, picturetest.Green), Picture{Format: formatGIF, Width: 40, Height: 20, Orientation: 1, Frames: 3, Unpacked: 5 * 800, Animated: true}},
		"WebP":        {picturetest.WebP(picturetest.LosslessWebP(40, 20, picturetest.Red)), Picture{Format: formatWebP, Width: 40, Height: 20, Orientation: 1, Unpacked: 8 * 800}},
		"larger WebP": {picturetest.WebP(picturetest.ExtendedWebP(0x10, 40, 20) + picturetest.RIFFChunk("ICCP", "odd") + picturetest.LosslessWebP(40, 20, picturetest.Red)), Picture{Format: formatWebP, Width: 40, Height: 20, Orientation: 1, Unpacked: 8 * 800}},
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
		file := picturetest.PNGHeader(40, 20, depth, 0, 0) + picturetest.Chunk("tRNS", []byte{0, 1}) + picturetest.Chunk("IEND", nil)
		if p, err := inspectText(file); err != nil || p.Unpacked != channels*800 {
			t.Errorf("%d bits: got %+v, %v", depth, p, err)
		}
	}
}

// The orientation was read from EXIF of JPEG files alone, and there as a short only.
func TestOrientationWasNotReadEverywhere(t *testing.T) {
	t.Parallel()
	m := picturetest.Quarters(40, 20)
	plain, jpegFile := picturetest.PNG(t, m), picturetest.JPEG(t, m)
	long := "Exif\x00\x00" + picturetest.EXIF(6, picturetest.EXIFLong)
	const afterHeader = 8 + 25
	end := len(plain) - 12
	for name, file := range map[string]string{
		"PNG":                    plain[:afterHeader] + picturetest.Chunk("eXIf", []byte(picturetest.EXIF(6, picturetest.EXIFShort))) + plain[afterHeader:],
		"PNG, after the picture": plain[:end] + picturetest.Chunk("eXIf", []byte(picturetest.EXIF(6, picturetest.EXIFShort))) + plain[end:],
		"WebP":                   picturetest.WebP(picturetest.ExtendedWebP(0x08, 40, 20) + picturetest.LosslessWebP(40, 20, picturetest.Red) + picturetest.RIFFChunk("EXIF", picturetest.EXIF(6, picturetest.EXIFShort))),
		"WebP with a prefix":     picturetest.WebP(picturetest.ExtendedWebP(0x08, 40, 20) + picturetest.LosslessWebP(40, 20, picturetest.Red) + picturetest.RIFFChunk("EXIF", "Exif\x00\x00"+picturetest.EXIF(6, picturetest.EXIFShort))),
		"JPEG with a long":       jpegFile[:2] + "\xff\xe1" + string(binary.BigEndian.AppendUint16(nil, uint16(len(long)+2))) + long + jpegFile[2:],
	} {
		p, err := inspectText(file)
		if err != nil || p.Orientation != 6 || p.Width != 20 || p.Height != 40 || !p.Metadata {
			t.Errorf("%s: got %+v, %v", name, p, err)
		}
	}
}

func TestFramesOfWebPThatDoNotFit(t *testing.T) {
	t.Parallel()
	whole := picturetest.AnimatedWebP()
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
	file := picturetest.WebP(picturetest.ExtendedWebP(0x02, 40, 20) + picturetest.WebPFrame(0, 0, 40, 20, picturetest.LosslessWebP(16384, 16384, picturetest.Red)))
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
	file := []byte(picturetest.JPEG(t, picturetest.Quarters(40, 20)))
	at := bytes.Index(file, []byte{0xff, 0xc0})
	file[at+1] = 0xc2
	if p, err := inspectText(string(file)); err != nil || p.Unpacked != 15*800 {
		t.Errorf("got %+v, %v", p, err)
	}
}

func TestInspectWhatIsNoPicture(t *testing.T) {
	t.Parallel()
	m := picturetest.Quarters(8, 8)
	for name, file := range map[string]string{
		"nothing":                          "",
		"text":                             "this is no picture, but it is long enough for one",
		"SVG":                              `<svg xmlns="http://www.w3.org/2000/svg" width="8" height="8"/>`,
		"PDF":                              "%PDF-1.7 and so on and so forth and on",
		"PNG's name alone":                 "\x89PNG\r\n\x1a\n",
		"JPEG's name alone":                "\xff\xd8\xff",
		"GIF's name alone":                 "GIF89a",
		"WebP's name alone":                "RIFF\x00\x00\x00\x00WEBP",
		"half a header":                    picturetest.PNG(t, m)[:20],
		"no width":                         picturetest.PNGHeader(0, 8, 8, 2, 0),
		"a moving WebP without frames":     picturetest.WebP(picturetest.ExtendedWebP(0x02, 8, 8) + picturetest.RIFFChunk("ANIM", "\x00\x00\x00\x00\x00\x00")),
		"a WebP larger than its header":    picturetest.WebP(picturetest.ExtendedWebP(0, 1, 1) + picturetest.LosslessWebP(16384, 16384, picturetest.Red)),
		"an old WebP larger than header":   picturetest.WebP(picturetest.ExtendedWebP(0, 1, 1) + picturetest.RIFFChunk("VP8 ", "\x10\x00\x00\x9d\x01\x2a\xff\x3f\xff\x3f")),
		"a GIF of no size":                 "GIF89a\x00\x00\x00\x00\x00\x00\x00;",
		"a JPEG that ends before the size": picturetest.JPEG(t, m)[:10],
	} {
		if p, err := inspectText(file); err == nil {
			t.Errorf("%s: was taken for %+v", name, p)
		}
	}
	if _, err := inspectText(picturetest.PNGHeader(1<<17, 8, 8, 2, 0)); !errors.Is(err, ErrTooBig) {
		t.Errorf("very wide: got %v", err)
	}
	if _, err := inspectText(picturetest.PNGHeader(8, 1<<30, 1, 0, 0)); !errors.Is(err, ErrTooBig) {
		t.Errorf("very high: got %v", err)
	}
}

func TestEXIFThatIsBroken(t *testing.T) {
	t.Parallel()
	file := picturetest.Turned(t, picturetest.Quarters(8, 8), 6, binary.BigEndian)
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
	m := picturetest.Quarters(8, 8)
	for _, file := range []string{
		picturetest.PNG(f, m), picturetest.MovingPNG(f, m), picturetest.JPEG(f, m), picturetest.Turned(f, m, 6, binary.LittleEndian),
		picturetest.MovingGIF(f, 8, 8, picturetest.Red, picturetest.Blue), picturetest.WebP(picturetest.LosslessWebP(8, 8, picturetest.Red)),
		picturetest.WebP(picturetest.ExtendedWebP(0x10, 8, 8) + picturetest.LosslessWebP(8, 8, picturetest.Red)), picturetest.AnimatedWebP(),
		picturetest.WebP(picturetest.ExtendedWebP(0x08, 8, 8) + picturetest.LosslessWebP(8, 8, picturetest.Red) + picturetest.RIFFChunk("EXIF", picturetest.EXIF(6, picturetest.EXIFLong))),
	} {
		f.Add([]byte(file))
	}
	f.Fuzz(func(t *testing.T, file []byte) {
		p, err := Inspect(bytes.NewReader(file), int64(len(file)))
		if err != nil {
			return
		}
		if p.Width < 1 || p.Height < 1 || p.Unpacked < 1 || p.Orientation < 1 || p.Orientation > 8 {
			t.Errorf("got %+v", p)
		}
		if p.Unpacked > 1<<20 || p.Frames > 8 {
			return
		}
		target := Plan(p, Wanted{Width: 3, Height: 4, Crop: len(file)%2 == 0, Animated: true})
		if _, write, err := target.Render(t.Context(), bytes.NewReader(file), p); err == nil {
			if err := write(io.Discard); err != nil {
				t.Errorf("write the thumbnail: %v", err)
			}
		}
	})
}

func TestInspectAnimatedWebP(t *testing.T) {
	t.Parallel()
	file := picturetest.AnimatedWebP()
	p, err := inspectText(file)
	want := Picture{Format: formatWebP, Width: 40, Height: 20, Orientation: 1, Animated: true, Unpacked: 12*800 + int64(len(file))}
	if err != nil || p != want {
		t.Errorf("got %+v, %v, want %+v", p, err, want)
	}
}
