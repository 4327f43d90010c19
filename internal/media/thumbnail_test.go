package media

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/gif"
	"image/png"
	"io"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sync/singleflight"

	"homeserver/internal/httpapi/ratelimit"
	"homeserver/internal/matrix"
	"homeserver/internal/matrixtest"
)

// thumb asks for a thumbnail of a file that is uploaded for it, and gives it
// decoded, with its type and its bytes.
func (h *env) thumb(t testing.TB, file string, q ThumbnailQuery) (image.Image, string, string) {
	t.Helper()
	q.Server, q.MediaID = "localhost", h.upload(t, alice, file)
	thumbnail, err := h.Thumbnail(t.Context(), q)
	if err != nil {
		t.Fatal(err)
	}
	content := contentOf(t, thumbnail)
	m, kind, err := image.Decode(strings.NewReader(content))
	if err != nil {
		t.Fatal(err)
	}
	if "image/"+kind != thumbnail.ContentType {
		t.Errorf("it is of type %s, but called %s", kind, thumbnail.ContentType)
	}
	return m, thumbnail.ContentType, content
}

func wantSize(t testing.TB, what string, m image.Image, width, height int) {
	t.Helper()
	if got := m.Bounds().Size(); got != image.Pt(width, height) {
		t.Errorf("%s: %v, want %dx%d", what, got, width, height)
	}
}

func TestThumbnailSizes(t *testing.T) {
	t.Parallel()
	h := newEnv(t, nil)
	file := pngOf(t, quarters(1000, 500))
	for _, test := range []struct {
		width, height int
		crop          bool
		want          string
	}{
		{32, 32, true, "32x32"},
		{96, 96, true, "96x96"},
		{20, 20, true, "32x32"},
		{33, 33, true, "96x96"},
		{97, 97, true, "320x320"},
		{100, 20, true, "320x160"},
		{20, 100, true, "160x320"},
		{50, 40, true, "96x72"},
		{40, 50, true, "72x96"},
		{500, 500, true, "500x500"},
		{600, 600, true, "500x500"},    // no larger than the source
		{2000, 100, true, "1000x500"},  // the same
		{100, 2000, true, "250x500"},   // the same
		{1000, 500, true, "1000x500"},  // the source itself
		{5000, 5000, true, "1000x500"}, // the same
		{320, 240, false, "480x240"},
		{300, 200, false, "480x240"},
		{640, 480, false, "960x480"},
		{1, 1, false, "64x32"},
		{1000, 1, false, "1000x500"},
		{1, 500, false, "1000x500"},
		{800, 600, false, "1000x500"},
		{801, 1, false, "1000x500"},
		{1 << 40, 1 << 40, false, "1000x500"},
	} {
		m, _, content := h.thumb(t, file, ThumbnailQuery{Width: test.width, Height: test.height, Crop: test.crop})
		size := m.Bounds().Size()
		if got := fmt.Sprintf("%dx%d", size.X, size.Y); got != test.want {
			t.Errorf("%dx%d, crop %v: got %s, want %s", test.width, test.height, test.crop, got, test.want)
		}
		if original := test.want == "1000x500"; original != (content == file) {
			t.Errorf("%dx%d, crop %v: is it the original: %v", test.width, test.height, test.crop, !original)
		}
	}
}

// TestThumbnailShowsTheRightPart looks at the colours.
func TestThumbnailShowsTheRightPart(t *testing.T) {
	t.Parallel()
	h := newEnv(t, nil)
	for _, crop := range []bool{true, false} {
		m, _, _ := h.thumb(t, pngOf(t, quarters(640, 400)), ThumbnailQuery{Width: 90, Height: 60, Crop: crop})
		wantQuarters(t, fmt.Sprintf("crop %v", crop), m)
	}
}

func wantQuarters(t testing.TB, what string, m image.Image) {
	t.Helper()
	b := m.Bounds()
	for _, at := range []image.Point{{2, 2}, {b.Dx() - 3, 2}, {2, b.Dy() - 3}, {b.Dx() - 3, b.Dy() - 3}} {
		want := quarterOf(at.X, at.Y, b.Dx(), b.Dy())
		if got := m.At(b.Min.X+at.X, b.Min.Y+at.Y); !near(got, want) {
			t.Errorf("%s: at %v there is %v, want %v", what, at, got, want)
		}
	}
}

func TestThumbnailOfEachFormat(t *testing.T) {
	t.Parallel()
	h := newEnv(t, nil)
	see := image.NewNRGBA(image.Rect(0, 0, 200, 100))
	for i := range see.Pix {
		see.Pix[i] = 0x80
	}
	paletted := image.NewPaletted(see.Rect, color.Palette{red, green})
	for name, test := range map[string]struct{ file, kind string }{
		"PNG":              {pngOf(t, quarters(200, 100)), "image/jpeg"},
		"transparent PNG":  {pngOf(t, see), "image/png"},
		"PNG of 16 bits":   {pngOf(t, image.NewNRGBA64(see.Rect)), "image/png"},
		"gray PNG":         {pngOf(t, image.NewGray(see.Rect)), "image/jpeg"},
		"PNG with palette": {pngOf(t, paletted), "image/jpeg"},
		"JPEG":             {jpegOf(t, quarters(200, 100)), "image/jpeg"},
		"GIF":              {moving(t, 200, 100, red), "image/jpeg"},
		"WebP":             {webpOf(losslessWebP(200, 100, red)), "image/jpeg"},
		"transparent WebP": {webpOf(losslessWebP(200, 100, color.RGBA{A: 0x80})), "image/png"},
	} {
		m, kind, _ := h.thumb(t, test.file, ThumbnailQuery{Width: 96, Height: 96, Crop: true})
		wantSize(t, name, m, 96, 96)
		if kind != test.kind {
			t.Errorf("%s: got %s, want %s", name, kind, test.kind)
		}
	}
}

func TestThumbnailIsTurnedUpright(t *testing.T) {
	t.Parallel()
	h := newEnv(t, nil)
	upright := quarters(160, 120)
	for orientation := 1; orientation <= 8; orientation++ {
		// The pixels as a camera stores them that is held that way.
		stored := image.NewRGBA(image.Rect(0, 0, 160, 120))
		if orientation > 4 {
			stored = image.NewRGBA(image.Rect(0, 0, 120, 160))
		}
		for y := range 120 {
			for x := range 160 {
				at := [...]image.Point{
					{x, y}, {159 - x, y}, {159 - x, 119 - y}, {x, 119 - y},
					{y, x}, {y, 159 - x}, {119 - y, 159 - x}, {119 - y, x},
				}[orientation-1]
				stored.Set(at.X, at.Y, upright.At(x, y))
			}
		}
		file := turned(t, stored, orientation, binary.BigEndian)
		name := fmt.Sprintf("orientation %d", orientation)
		m, _, _ := h.thumb(t, file, ThumbnailQuery{Width: 80, Height: 60, Crop: true})
		wantSize(t, name, m, 96, 72)
		wantQuarters(t, name, m)
		m, _, _ = h.thumb(t, file, ThumbnailQuery{Width: 30, Height: 10})
		wantSize(t, name+", scaled", m, 43, 32)
		wantQuarters(t, name+", scaled", m)
	}
}

func TestAnimatedThumbnail(t *testing.T) {
	t.Parallel()
	h := newEnv(t, nil)
	file := moving(t, 400, 300, red, blue, green)
	_, kind, content := h.thumb(t, file, ThumbnailQuery{Width: 96, Height: 96, Crop: true, Animated: true})
	g, err := gif.DecodeAll(strings.NewReader(content))
	if err != nil || kind != "image/gif" {
		t.Fatalf("got %s, %v", kind, err)
	}
	if len(g.Image) != 3 || g.LoopCount != 5 || g.Delay[0] != 10 || g.Delay[2] != 12 {
		t.Errorf("%d frames, played %d times, at %v", len(g.Image), g.LoopCount, g.Delay)
	}
	for i, want := range []color.Color{red, blue, green} {
		wantSize(t, "frame", g.Image[i], 96, 96)
		if got := g.Image[i].At(48, 48); !near(got, want) {
			t.Errorf("frame %d is %v, want %v", i, got, want)
		}
	}
	if _, kind, _ := h.thumb(t, jpegOf(t, quarters(200, 200)), ThumbnailQuery{Width: 96, Height: 96, Animated: true}); kind != "image/jpeg" {
		t.Errorf("of what can't move: got %s", kind)
	}
}

// TestStillOfAnimation makes sure that nothing moves unless asked to, not even a
// file that is small enough to be its own thumbnail.
func TestStillOfAnimation(t *testing.T) {
	t.Parallel()
	h := newEnv(t, nil)
	for name, file := range map[string]string{
		"GIF": moving(t, 60, 40, red, blue),
		"PNG": movingPNG(t, quarters(60, 40)),
	} {
		for _, size := range []int{32, 600} {
			m, kind, content := h.thumb(t, file, ThumbnailQuery{Width: size, Height: size})
			if kind != "image/jpeg" {
				t.Errorf("%s, %d: got %s", name, size, kind)
			}
			if size == 600 {
				wantSize(t, name, m, 60, 40)
			}
			if content == file {
				t.Errorf("%s, %d: got the original", name, size)
			}
		}
		_, _, content := h.thumb(t, file, ThumbnailQuery{Width: 600, Height: 600, Animated: true})
		if content != file {
			t.Errorf("%s: with animation it should be the original", name)
		}
	}
}

// TestFramesThatBuildOnEachOther has frames that change a part of the picture, and
// take it back in the ways that there are.
func TestFramesThatBuildOnEachOther(t *testing.T) {
	t.Parallel()
	h := newEnv(t, nil)
	palette := color.Palette{color.RGBA{}, red, blue, green}
	frame := func(r image.Rectangle, c byte) *image.Paletted {
		m := image.NewPaletted(r, palette)
		for i := range m.Pix {
			m.Pix[i] = c
		}
		return m
	}
	all := image.Rect(0, 0, 200, 200)
	left, right := image.Rect(0, 0, 100, 200), image.Rect(100, 0, 200, 200)
	file := encode(t, func(w io.Writer) error {
		return gif.EncodeAll(w, &gif.GIF{
			Image:    []*image.Paletted{frame(all, 1), frame(left, 2), frame(right, 3), frame(left, 0)},
			Delay:    []int{1, 1, 1, 1},
			Disposal: []byte{gif.DisposalNone, gif.DisposalPrevious, gif.DisposalBackground, gif.DisposalNone},
		})
	})
	_, _, content := h.thumb(t, file, ThumbnailQuery{Width: 96, Height: 96, Crop: true, Animated: true})
	g, err := gif.DecodeAll(strings.NewReader(content))
	if err != nil || len(g.Image) != 4 {
		t.Fatalf("%v", err)
	}
	nothing := color.RGBA{}
	for i, want := range [][2]color.Color{{red, red}, {blue, red}, {red, green}, {red, nothing}} {
		if l, r := g.Image[i].At(20, 48), g.Image[i].At(76, 48); !near(l, want[0]) || !near(r, want[1]) {
			t.Errorf("frame %d shows %v and %v, want %v", i, l, r, want)
		}
	}
}

func TestGIFWithManyFramesBecomesAStill(t *testing.T) {
	t.Parallel()
	h := newEnv(t, nil)
	one := moving(t, 2000, 2000, red, blue)
	start := strings.Index(one, "\x21\xf9")
	frames := one[start : len(one)-1]
	file := one[:start] + strings.Repeat(frames, 2000) + ";"
	if p, err := inspectText(file); err != nil || p.frames != 4000 {
		t.Fatalf("got %+v, %v", p, err)
	}
	_, kind, _ := h.thumb(t, file, ThumbnailQuery{Width: 96, Height: 96, Animated: true})
	if kind != "image/jpeg" {
		t.Errorf("got %s", kind)
	}
}

// A GIF of one pixel could have millions of frames, of which each counted as one byte
// and took more than 4 KiB for its colours.
func TestFramesOfOnePixelFilledTheMemory(t *testing.T) {
	t.Parallel()
	colours := string(make([]byte, 3*256))
	file := func(frames int) string {
		const frame = "\x2c\x00\x00\x00\x00\x01\x00\x01\x00\x00\x08\x04\x00\x01\x04\x04\x00"
		return "GIF89a\x01\x00\x01\x00\xf7\x00\x00" + colours + "\x21\xfe\x01!\x00" + strings.Repeat(frame, frames) + ";"
	}
	for frames, animated := range map[int]bool{maxMovingFrames: true, maxMovingFrames + 1: false, 1 << 20: false} {
		p, err := inspectText(file(frames))
		if err != nil || p.frames != frames {
			t.Fatalf("got %+v, %v", p, err)
		}
		made := plan(p, ThumbnailQuery{Width: 32, Height: 32, Animated: true})
		if made.animated != animated {
			t.Errorf("%d frames: animated is %v", frames, made.animated)
		}
		if animated && made.memory(p) < 4096*int64(frames) {
			t.Errorf("%d frames count as %d bytes", frames, made.memory(p))
		}
	}
}

// A gray picture is scaled in strips of four bytes for a pixel, which were not counted.
func TestStripsOfLargePicturesWereNotCounted(t *testing.T) {
	t.Parallel()
	p, err := inspectText(pngHeader(16384, 8192, 8, 0, 0))
	if err != nil {
		t.Fatal(err)
	}
	made := plan(p, ThumbnailQuery{Width: 32, Height: 16, Crop: true})
	if least := p.unpacked + 4*16384*512; made.memory(p) < least {
		t.Errorf("%d bytes are counted, want %d", made.memory(p), least)
	}
}

// TestGIFThatHidesFrames has an extension that ends at once for one reader of the
// format, and goes on for others: what one counts, the other must decode.
func TestGIFThatHidesFrames(t *testing.T) {
	t.Parallel()
	visible := moving(t, 40, 40, red, blue)
	start := strings.Index(visible, "\x21\xf9")
	file := visible[:start] + "\x21\xff\x00" + visible[start:]
	p, err := inspectText(file)
	if err != nil || p.frames != 2 {
		t.Fatalf("got %+v, %v", p, err)
	}
	g, err := animate(t.Context(), strings.NewReader(file), p, plan(p, ThumbnailQuery{Width: 8, Height: 8, Animated: true}))
	if err != nil || len(g.Image) != 2 {
		t.Errorf("got %v, %v", g, err)
	}
}

func TestNoThumbnailOfBombs(t *testing.T) {
	t.Parallel()
	h := newEnv(t, nil)
	bigJPEG := []byte(jpegOf(t, quarters(8, 8)))
	at := bytes.Index(bigJPEG, []byte{0xff, 0xc0})
	copy(bigJPEG[at+5:], "\xff\xff\xff\xff")
	for name, file := range map[string]string{
		"a PNG header":         pngHeader(60000, 60000, 8, 2, 0),
		"a PNG beyond limits":  pngHeader(1<<17, 1<<17, 1, 0, 0),
		"a PNG that is packed": pngBomb(t, 20000, 20000),
		"a JPEG header":        string(bigJPEG),
		"a GIF header":         "GIF89a\xff\xff\xff\xff\x00\x00\x00;",
		"a WebP":               webpOf(losslessWebP(16384, 16384, red)),
	} {
		id := h.upload(t, alice, file)
		for _, animated := range []bool{false, true} {
			_, err := h.Thumbnail(t.Context(), ThumbnailQuery{Server: "localhost", MediaID: id, Width: 96, Height: 96, Animated: animated})
			matrixtest.WantStatus(t, err, matrix.TooLarge, 413, name)
		}
	}
}

func TestNoThumbnailOfBrokenFiles(t *testing.T) {
	t.Parallel()
	h := newEnv(t, nil)
	m := quarters(300, 300)
	lying := moving(t, 300, 300, red)
	for name, file := range map[string]string{
		"text":                       "no picture",
		"empty":                      "",
		"half a PNG":                 pngOf(t, m)[:len(pngOf(t, m))/2],
		"half a JPEG":                jpegOf(t, m)[:len(jpegOf(t, m))/2],
		"a GIF's header":             lying[:13],
		"half a GIF":                 lying[:len(lying)/2],
		"half a WebP":                webpOf(losslessWebP(300, 300, red))[:26],
		"SVG":                        `<svg xmlns="http://www.w3.org/2000/svg" width="300" height="300"/>`,
		"a GIF with a frame outside": strings.Replace(lying, "\x2c\x00\x00\x00\x00", "\x2c\xff\x00\xff\x00", 1),
	} {
		id := h.upload(t, alice, file)
		_, err := h.Thumbnail(t.Context(), ThumbnailQuery{Server: "localhost", MediaID: id, Width: 96, Height: 96})
		matrixtest.WantStatus(t, err, matrix.Unknown, 400, name)
	}
	if left := h.files(t); len(left) != 9 {
		t.Errorf("more than the uploads is left: %v", left)
	}
}

func TestThumbnailOfNoSize(t *testing.T) {
	t.Parallel()
	h := newEnv(t, nil)
	id := h.upload(t, alice, pngOf(t, quarters(8, 8)))
	for _, size := range []image.Point{{0, 1}, {1, 0}, {-1, 5}} {
		_, err := h.Thumbnail(t.Context(), ThumbnailQuery{Server: "localhost", MediaID: id, Width: size.X, Height: size.Y})
		matrixtest.WantStatus(t, err, matrix.InvalidParam, 400, size.String())
	}
}

func TestThumbnailThatTakesTooLong(t *testing.T) {
	t.Parallel()
	h := newEnv(t, nil)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	file := pngOf(t, quarters(300, 300))
	p, err := inspectText(file)
	if err != nil {
		t.Fatal(err)
	}
	for _, target := range []target{
		plan(p, ThumbnailQuery{Width: 96, Height: 96}),
		{animated: true},
	} {
		if _, _, err := target.render(ctx, strings.NewReader(file), p); !errors.Is(err, context.Canceled) {
			t.Errorf("got %v, want the end of the context", err)
		}
	}
	h.open(t, func(o *Options) { o.ThumbnailTime = time.Nanosecond })
	_, err = h.Thumbnail(t.Context(), ThumbnailQuery{Server: "localhost", MediaID: h.upload(t, alice, file), Width: 96, Height: 96})
	if err == nil {
		t.Error("a thumbnail was made in no time")
	}
}

// TestThumbnailsWaitForTheirTurn holds all the memory that there is for them.
func TestThumbnailsWaitForTheirTurn(t *testing.T) {
	t.Parallel()
	h := newEnv(t, func(o *Options) { o.ThumbnailMemory, o.ThumbnailTime = 1<<20, 50*time.Millisecond })
	if err := h.pictures.TryEnter("others", 1<<20); err != nil {
		t.Fatal(err)
	}
	q := ThumbnailQuery{Server: "localhost", MediaID: h.upload(t, alice, pngOf(t, quarters(200, 200))), Width: 96, Height: 96}
	_, err := h.Thumbnail(t.Context(), q)
	matrixtest.WantStatus(t, err, matrix.LimitExceeded, 429, "no turn")
	h.pictures.Leave("others", 1<<20)
	h.open(t, nil)
	thumbnail, err := h.Thumbnail(t.Context(), q)
	if err != nil {
		t.Fatal(err)
	}
	contentOf(t, thumbnail)
}

func TestThumbnailIsMadeOnce(t *testing.T) {
	t.Parallel()
	h := newEnv(t, nil)
	q := ThumbnailQuery{Server: "localhost", MediaID: h.upload(t, alice, jpegOf(t, quarters(300, 300))), Width: 96, Height: 96, Crop: true}
	var asking sync.WaitGroup
	for range 8 {
		asking.Go(func() {
			thumbnail, err := h.Thumbnail(t.Context(), q)
			if err != nil {
				t.Error(err)
				return
			}
			contentOf(t, thumbnail)
		})
	}
	asking.Wait()
	if files := h.files(t); len(files) != 2 || !strings.HasSuffix(files[1], "/96x96-crop") {
		t.Fatalf("the files are %v", files)
	}
	// What is there is not made again: a mark in its place comes back.
	mark := pngOf(t, quarters(1, 1))
	h.overwrite(t, h.files(t)[1], mark)
	thumbnail, err := h.Thumbnail(t.Context(), q)
	if err != nil {
		t.Fatal(err)
	}
	if contentOf(t, thumbnail) != mark {
		t.Error("it was made again")
	}
}

// Whoever asked for ever new sizes had ever new thumbnails made.
func TestEverNewSizesMadeEverNewThumbnails(t *testing.T) {
	t.Parallel()
	all := map[string]bool{}
	p := picture{format: formatGIF, width: 2000, height: 2000, orientation: 1, animated: true, frames: 2}
	for width := 1; width < 2500; width += 7 {
		for height := 1; height < 2500; height += 7 {
			for _, crop := range []bool{true, false} {
				all[plan(p, ThumbnailQuery{Width: width, Height: height, Crop: crop}).name()] = true
				all[plan(p, ThumbnailQuery{Width: width, Height: height, Crop: crop, Animated: true}).name()] = true
			}
		}
	}
	if len(all) > maxThumbnails {
		t.Errorf("%d thumbnails can be made of a picture, and %d are kept", len(all), maxThumbnails)
	}

	h := newEnv(t, nil)
	id := h.upload(t, alice, pngOf(t, quarters(300, 300)))
	for i := range 60 {
		thumbnail, err := h.Thumbnail(t.Context(), ThumbnailQuery{Server: "localhost", MediaID: id, Width: 40 + i, Height: 30, Crop: true})
		if err != nil {
			t.Fatal(err)
		}
		contentOf(t, thumbnail)
	}
	if n := len(h.files(t)) - 1; n > 4 {
		t.Errorf("60 sizes between two of the ladder made %d thumbnails", n)
	}
}

// One caller filled the queue with large pictures, and others waited behind them.
func TestOneCallerHeldAllPlacesForThumbnails(t *testing.T) {
	t.Parallel()
	h := newEnv(t, nil)
	flood := matrix.WithCaller(t.Context(), "192.0.2.1")
	for h.painters.TryEnter("192.0.2.1", 1) == nil { // the flood works at all that may be worked at
		t.Cleanup(func() { h.painters.Leave("192.0.2.1", 1) })
	}
	ctx, cancel := context.WithCancel(flood)
	var waiting sync.WaitGroup
	for range 3 * maxWaitingPaintersEach {
		waiting.Go(func() {
			if leave, err := h.enterPictures(ctx, 1); err == nil {
				leave()
			}
		})
	}
	other := make(chan error)
	go func() {
		leave, err := h.enterPictures(matrix.WithCaller(t.Context(), "198.51.100.1"), 1)
		if err == nil {
			leave()
		}
		other <- err
	}()
	h.painters.Leave("192.0.2.1", 1)
	if err := <-other; err != nil {
		t.Error(err)
	}
	if err := h.painters.TryEnter("192.0.2.1", 1); err != nil { // for its clean-up; the rest still waits or is done
		_, err = h.painters.Enter(flood, "192.0.2.1", 1)
		if err != nil {
			t.Error(err)
		}
	}
	cancel()
	waiting.Wait()
}

// Whoever has used up their time gets what is there, and nothing new.
func TestThumbnailsCostTheirTime(t *testing.T) {
	t.Parallel()
	now := time.Unix(1000, 0)
	h := newEnv(t, func(o *Options) {
		o.Limits = ratelimit.NewLimits(map[ratelimit.Kind]ratelimit.Limit{ratelimit.Thumbnails: {PerSecond: 1, Burst: 5000}}, func() time.Time { return now }, 0)
	})
	ctx := matrix.WithCaller(t.Context(), "192.0.2.1")
	q := ThumbnailQuery{Server: "localhost", MediaID: h.upload(t, alice, pngOf(t, quarters(300, 300))), Width: 96, Height: 96, Crop: true}
	thumbnail, err := h.Thumbnail(ctx, q)
	if err != nil {
		t.Fatal(err)
	}
	contentOf(t, thumbnail)
	h.o.Limits.Charge(ratelimit.Thumbnails, "192.0.2.1", 5000)
	if thumbnail, err = h.Thumbnail(ctx, q); err != nil {
		t.Fatalf("one that is there: %v", err)
	}
	contentOf(t, thumbnail)
	q.Width = 32
	q.Height = 32
	_, err = h.Thumbnail(ctx, q)
	matrixtest.WantStatus(t, err, matrix.LimitExceeded, 429, "a new one")
	if thumbnail, err = h.Thumbnail(matrix.WithCaller(t.Context(), "192.0.2.2"), q); err != nil {
		t.Fatalf("by somebody else: %v", err)
	}
	contentOf(t, thumbnail)
}

// Who asked for the same thumbnail as somebody whose turn did not come was refused, too.
func TestTheRefusalOfOneWasThatOfAllWhoWaitedWithHim(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var group singleflight.Group
		refuse, waited := make(chan struct{}), make(chan error, 1)
		go func() {
			_, _ = once(t.Context(), &group, "key", func() (any, error) {
				<-refuse
				return nil, refusal{errBusy}
			})
		}()
		synctest.Wait()
		go func() {
			_, err := once(t.Context(), &group, "key", func() (any, error) { return "made", nil })
			waited <- err
		}()
		synctest.Wait()
		close(refuse)
		if err := <-waited; err != nil {
			t.Errorf("got %v", err)
		}
	})
}

func TestRefusalsAreOfOneCaller(t *testing.T) {
	t.Parallel()
	h := newEnv(t, func(o *Options) {
		o.ThumbnailMemory = 1 << 20
		o.Limits = ratelimit.NewLimits(map[ratelimit.Kind]ratelimit.Limit{ratelimit.Thumbnails: {PerSecond: 1, Burst: 1}}, time.Now, 0)
	})
	ended, cancel := context.WithCancel(matrix.WithCaller(t.Context(), "192.0.2.1"))
	cancel()
	if err := h.pictures.TryEnter("others", 1<<20); err != nil {
		t.Fatal(err)
	}
	for _, what := range []string{"no turn", "time used up"} {
		_, err := h.enterPictures(ended, 1)
		if _, ok := errors.AsType[refusal](err); !ok {
			t.Errorf("%s: got %v", what, err)
		}
		matrixtest.WantStatus(t, err, matrix.LimitExceeded, 429, what)
		h.o.Limits.Charge(ratelimit.Thumbnails, "192.0.2.1", 5000)
	}
}

// A small picture was its own thumbnail, with the place where it was taken.
func TestTheSmallestThumbnailToldWhereItWasTaken(t *testing.T) {
	t.Parallel()
	h := newEnv(t, nil)
	comment := []byte("taken at home")
	jpegComment := "\xff\xfe" + string(binary.BigEndian.AppendUint16(nil, uint16(len(comment)+2))) + string(comment)
	plain := pngOf(t, quarters(20, 10))
	const afterHeader = 8 + 25
	jpegFile := jpegOf(t, quarters(20, 10))
	for name, file := range map[string]string{
		"EXIF of a JPEG":    turned(t, quarters(20, 10), 1, binary.BigEndian),
		"comment of a JPEG": jpegFile[:2] + jpegComment + jpegFile[2:],
		"text of a PNG":     plain[:afterHeader] + chunk("tEXt", []byte("Comment\x00taken at home")) + plain[afterHeader:],
		"EXIF of a WebP":    webpOf(extendedWebP(0x08, 20, 10) + losslessWebP(20, 10, red) + riffChunk("EXIF", exifOf(1, exifShort))),
	} {
		m, _, content := h.thumb(t, file, ThumbnailQuery{Width: 600, Height: 600})
		wantSize(t, name, m, 20, 10)
		if content == file || strings.Contains(content, "taken at home") || strings.Contains(content, "Exif") {
			t.Errorf("%s is in the thumbnail", name)
		}
	}
	if _, _, content := h.thumb(t, plain, ThumbnailQuery{Width: 600, Height: 600}); content != plain {
		t.Error("a picture that bears nothing else is not its own thumbnail")
	}
}

func TestThumbnailETags(t *testing.T) {
	t.Parallel()
	h := newEnv(t, nil)
	id := h.upload(t, alice, pngOf(t, quarters(300, 300)))
	seen := map[string]bool{}
	for _, q := range []ThumbnailQuery{{Width: 50, Height: 40}, {Width: 50, Height: 40, Crop: true}, {Width: 96, Height: 96, Crop: true}, {Width: 500, Height: 500}} {
		q.Server, q.MediaID = "localhost", id
		thumbnail, err := h.Thumbnail(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		contentOf(t, thumbnail)
		if seen[thumbnail.ETag] {
			t.Errorf("%+v: the ETag %s is another's too", q, thumbnail.ETag)
		}
		seen[thumbnail.ETag] = true
	}
}

// TestScalingAverages makes sure that fine patterns become gray and not noise, and
// that what can't be seen gives no colour.
func TestScalingAverages(t *testing.T) {
	t.Parallel()
	board := image.NewNRGBA(image.Rect(0, 0, 64, 64))
	for y := range 64 {
		for x := range 64 {
			c := color.NRGBA{0xff, 0xff, 0xff, 0xff}
			if (x+y)%2 == 0 {
				c = color.NRGBA{A: 0xff}
			}
			if x >= 32 {
				c = color.NRGBA{R: 0xff, A: 0xff}
				if (x+y)%2 == 0 {
					c = color.NRGBA{B: 0xff} // blue, if it could be seen
				}
			}
			board.SetNRGBA(x, y, c)
		}
	}
	m, err := scale(t.Context(), board, board.Rect, 8, 8)
	if err != nil {
		t.Fatal(err)
	}
	if got := m.At(1, 4); !near(got, color.Gray{0x80}) {
		t.Errorf("black and white became %v", got)
	}
	if got := m.RGBAAt(6, 4); got != (color.RGBA{0x80, 0, 0, 0x80}) {
		t.Errorf("red and nothing became %v", got)
	}
}

func TestScaleToTheSameSize(t *testing.T) {
	t.Parallel()
	m := quarters(10, 6)
	same, err := scale(t.Context(), m, m.Rect, 10, 6)
	if err != nil || pngOf(t, same) != pngOf(t, m) {
		t.Errorf("it has changed, %v", err)
	}
	if decoded, err := png.Decode(strings.NewReader(pngOf(t, upright(m, 9)))); err != nil || decoded.Bounds() != m.Rect {
		t.Error("an orientation that there isn't turned it")
	}
}

// TestPlanKeepsThePromises tries many sizes: never larger than the source, and
// never smaller than asked for, unless the source is or it was asked for too much.
func TestPlanKeepsThePromises(t *testing.T) {
	t.Parallel()
	sides := []int{1, 2, 31, 32, 33, 96, 100, 239, 240, 320, 641, 800, 1000, 4096, maxSide}
	for _, w := range sides {
		for _, h := range sides {
			for _, want := range sides {
				for _, other := range sides {
					for _, crop := range []bool{false, true} {
						checkPlan(t, w, h, ThumbnailQuery{Width: want, Height: other, Crop: crop})
					}
				}
			}
		}
	}
}

func checkPlan(t *testing.T, w, h int, q ThumbnailQuery) {
	t.Helper()
	for _, orientation := range []int{1, 6} {
		p := picture{format: formatJPEG, width: w, height: h, orientation: orientation}
		got := plan(p, q)
		stored := image.Rect(0, 0, w, h)
		if orientation == 6 {
			stored = image.Rect(0, 0, h, w)
			got.width, got.height = got.height, got.width
			got.crop = image.Rect(got.crop.Min.Y, got.crop.Min.X, got.crop.Max.Y, got.crop.Max.X)
			stored = image.Rect(0, 0, stored.Dy(), stored.Dx())
		}
		switch {
		case got.original, got.width == w && got.height == h:
			continue // it is all there is
		case got.width < 1 || got.height < 1 || !got.crop.In(stored):
			t.Errorf("%dx%d, %+v: impossible: %+v", w, h, q, got)
		case got.width > got.crop.Dx() || got.height > got.crop.Dy():
			t.Errorf("%dx%d, %+v: made larger: %+v", w, h, q, got)
		case promised(w, h, q) && (got.width < q.Width || got.height < q.Height):
			t.Errorf("%dx%d, %+v: smaller than asked for: %+v", w, h, q, got)
		}
	}
}

// promised reports whether a thumbnail must be as large as it was asked for: up to the
// largest of the ladder, and cropped, if the source has as much as the next one.
func promised(w, h int, q ThumbnailQuery) bool {
	step := rung(image.Pt(q.Width, q.Height), q.Crop)
	return step.X >= q.Width && step.Y >= q.Height && (!q.Crop || step.X <= w && step.Y <= h)
}
