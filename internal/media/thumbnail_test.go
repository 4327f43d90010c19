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
	"strings"
	"sync"
	"testing"
	"time"

	"homeserver/internal/gauge"
	"homeserver/internal/httpapi/ratelimit"
	"homeserver/internal/matrix"
	"homeserver/internal/matrixtest"
	"homeserver/internal/media/picture"
	"homeserver/internal/media/picture/picturetest"
)

// thumb asks for a thumbnail of a file that is uploaded for it, and returns it
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
	file := picturetest.PNG(t, picturetest.Quarters(1000, 500))
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
		m, _, _ := h.thumb(t, picturetest.PNG(t, picturetest.Quarters(640, 400)), ThumbnailQuery{Width: 90, Height: 60, Crop: crop})
		wantQuarters(t, fmt.Sprintf("crop %v", crop), m)
	}
}

func wantQuarters(t testing.TB, what string, m image.Image) {
	t.Helper()
	b := m.Bounds()
	for _, at := range []image.Point{{2, 2}, {b.Dx() - 3, 2}, {2, b.Dy() - 3}, {b.Dx() - 3, b.Dy() - 3}} {
		want := picturetest.QuarterOf(at.X, at.Y, b.Dx(), b.Dy())
		if got := m.At(b.Min.X+at.X, b.Min.Y+at.Y); !picturetest.Near(got, want) {
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
	paletted := image.NewPaletted(see.Rect, color.Palette{picturetest.Red, picturetest.Green})
	for name, test := range map[string]struct{ file, kind string }{
		"PNG":              {picturetest.PNG(t, picturetest.Quarters(200, 100)), "image/jpeg"},
		"transparent PNG":  {picturetest.PNG(t, see), "image/png"},
		"PNG of 16 bits":   {picturetest.PNG(t, image.NewNRGBA64(see.Rect)), "image/png"},
		"gray PNG":         {picturetest.PNG(t, image.NewGray(see.Rect)), "image/jpeg"},
		"PNG with palette": {picturetest.PNG(t, paletted), "image/jpeg"},
		"JPEG":             {picturetest.JPEG(t, picturetest.Quarters(200, 100)), "image/jpeg"},
		"GIF":              {picturetest.MovingGIF(t, 200, 100, picturetest.Red), "image/jpeg"},
		"WebP":             {picturetest.WebP(picturetest.LosslessWebP(200, 100, picturetest.Red)), "image/jpeg"},
		"transparent WebP": {picturetest.WebP(picturetest.LosslessWebP(200, 100, color.RGBA{A: 0x80})), "image/png"},
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
	upright := picturetest.Quarters(160, 120)
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
		file := picturetest.Turned(t, stored, orientation, binary.BigEndian)
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
	file := picturetest.MovingGIF(t, 400, 300, picturetest.Red, picturetest.Blue, picturetest.Green)
	_, kind, content := h.thumb(t, file, ThumbnailQuery{Width: 96, Height: 96, Crop: true, Animated: true})
	g, err := gif.DecodeAll(strings.NewReader(content))
	if err != nil || kind != "image/gif" {
		t.Fatalf("got %s, %v", kind, err)
	}
	if len(g.Image) != 3 || g.LoopCount != 5 || g.Delay[0] != 10 || g.Delay[2] != 12 {
		t.Errorf("%d frames, played %d times, at %v", len(g.Image), g.LoopCount, g.Delay)
	}
	for i, want := range []color.Color{picturetest.Red, picturetest.Blue, picturetest.Green} {
		wantSize(t, "frame", g.Image[i], 96, 96)
		if got := g.Image[i].At(48, 48); !picturetest.Near(got, want) {
			t.Errorf("frame %d is %v, want %v", i, got, want)
		}
	}
	if _, kind, _ := h.thumb(t, picturetest.JPEG(t, picturetest.Quarters(200, 200)), ThumbnailQuery{Width: 96, Height: 96, Animated: true}); kind != "image/jpeg" {
		t.Errorf("of what can't move: got %s", kind)
	}
}

// TestStillOfAnimation makes sure that nothing moves unless asked to, not even a
// file that is small enough to be its own thumbnail.
func TestStillOfAnimation(t *testing.T) {
	t.Parallel()
	h := newEnv(t, nil)
	for name, file := range map[string]string{
		"GIF": picturetest.MovingGIF(t, 60, 40, picturetest.Red, picturetest.Blue),
		"PNG": picturetest.MovingPNG(t, picturetest.Quarters(60, 40)),
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
	palette := color.Palette{color.RGBA{}, picturetest.Red, picturetest.Blue, picturetest.Green}
	frame := func(r image.Rectangle, c byte) *image.Paletted {
		m := image.NewPaletted(r, palette)
		for i := range m.Pix {
			m.Pix[i] = c
		}
		return m
	}
	all := image.Rect(0, 0, 200, 200)
	left, right := image.Rect(0, 0, 100, 200), image.Rect(100, 0, 200, 200)
	file := picturetest.GIF(t, &gif.GIF{
		Image:    []*image.Paletted{frame(all, 1), frame(left, 2), frame(right, 3), frame(left, 0)},
		Delay:    []int{1, 1, 1, 1},
		Disposal: []byte{gif.DisposalNone, gif.DisposalPrevious, gif.DisposalBackground, gif.DisposalNone},
	})
	_, _, content := h.thumb(t, file, ThumbnailQuery{Width: 96, Height: 96, Crop: true, Animated: true})
	g, err := gif.DecodeAll(strings.NewReader(content))
	if err != nil || len(g.Image) != 4 {
		t.Fatalf("%v", err)
	}
	nothing := color.RGBA{}
	for i, want := range [][2]color.Color{{picturetest.Red, picturetest.Red}, {picturetest.Blue, picturetest.Red}, {picturetest.Red, picturetest.Green}, {picturetest.Red, nothing}} {
		if l, r := g.Image[i].At(20, 48), g.Image[i].At(76, 48); !picturetest.Near(l, want[0]) || !picturetest.Near(r, want[1]) {
			t.Errorf("frame %d shows %v and %v, want %v", i, l, r, want)
		}
	}
}

func TestGIFWithManyFramesBecomesAStill(t *testing.T) {
	matrixtest.Long(t)
	t.Parallel()
	h := newEnv(t, nil)
	one := picturetest.MovingGIF(t, 2000, 2000, picturetest.Red, picturetest.Blue)
	start := strings.Index(one, "\x21\xf9")
	frames := one[start : len(one)-1]
	file := one[:start] + strings.Repeat(frames, 2000) + ";"
	if p, err := picture.Inspect(strings.NewReader(file), int64(len(file))); err != nil || p.Frames != 4000 {
		t.Fatalf("got %+v, %v", p, err)
	}
	_, kind, _ := h.thumb(t, file, ThumbnailQuery{Width: 96, Height: 96, Animated: true})
	if kind != "image/jpeg" {
		t.Errorf("got %s", kind)
	}
}

func TestNoThumbnailOfBombs(t *testing.T) {
	matrixtest.Long(t)
	t.Parallel()
	h := newEnv(t, nil)
	bigJPEG := []byte(picturetest.JPEG(t, picturetest.Quarters(8, 8)))
	at := bytes.Index(bigJPEG, []byte{0xff, 0xc0})
	copy(bigJPEG[at+5:], "\xff\xff\xff\xff")
	for name, file := range map[string]string{
		"a PNG header":         picturetest.PNGHeader(60000, 60000, 8, 2, 0),
		"a PNG beyond limits":  picturetest.PNGHeader(1<<17, 1<<17, 1, 0, 0),
		"a PNG that is packed": picturetest.PNGBomb(t, 20000, 20000),
		"a JPEG header":        string(bigJPEG),
		"a GIF header":         "GIF89a\xff\xff\xff\xff\x00\x00\x00;",
		"a WebP":               picturetest.WebP(picturetest.LosslessWebP(16384, 16384, picturetest.Red)),
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
	m := picturetest.Quarters(300, 300)
	lying := picturetest.MovingGIF(t, 300, 300, picturetest.Red)
	for name, file := range map[string]string{
		"text":                       "no picture",
		"empty":                      "",
		"half a PNG":                 picturetest.PNG(t, m)[:len(picturetest.PNG(t, m))/2],
		"half a JPEG":                picturetest.JPEG(t, m)[:len(picturetest.JPEG(t, m))/2],
		"a GIF's header":             lying[:13],
		"half a GIF":                 lying[:len(lying)/2],
		"half a WebP":                picturetest.WebP(picturetest.LosslessWebP(300, 300, picturetest.Red))[:26],
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
	id := h.upload(t, alice, picturetest.PNG(t, picturetest.Quarters(8, 8)))
	for _, size := range []image.Point{{0, 1}, {1, 0}, {-1, 5}} {
		_, err := h.Thumbnail(t.Context(), ThumbnailQuery{Server: "localhost", MediaID: id, Width: size.X, Height: size.Y})
		matrixtest.WantStatus(t, err, matrix.InvalidParam, 400, size.String())
	}
}

func TestThumbnailThatTakesTooLong(t *testing.T) {
	t.Parallel()
	h := newEnv(t, nil)
	file := picturetest.PNG(t, picturetest.Quarters(300, 300))
	h.open(t, func(o *Options) { o.ThumbnailTime = time.Nanosecond })
	_, err := h.Thumbnail(t.Context(), ThumbnailQuery{Server: "localhost", MediaID: h.upload(t, alice, file), Width: 96, Height: 96})
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
	q := ThumbnailQuery{Server: "localhost", MediaID: h.upload(t, alice, picturetest.PNG(t, picturetest.Quarters(200, 200))), Width: 96, Height: 96}
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
	q := ThumbnailQuery{Server: "localhost", MediaID: h.upload(t, alice, picturetest.JPEG(t, picturetest.Quarters(300, 300))), Width: 96, Height: 96, Crop: true}
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
	mark := picturetest.PNG(t, picturetest.Quarters(1, 1))
	h.overwrite(t, h.files(t)[1], mark)
	thumbnail, err := h.Thumbnail(t.Context(), q)
	if err != nil {
		t.Fatal(err)
	}
	if contentOf(t, thumbnail) != mark {
		t.Error("it was made again")
	}
}

// A user who asked for ever new sizes once had ever new thumbnails made.
func TestEverNewSizesMadeEverNewThumbnails(t *testing.T) {
	matrixtest.Long(t)
	t.Parallel()
	all := map[string]bool{}
	p := picture.Picture{Format: "image/gif", Width: 2000, Height: 2000, Orientation: 1, Animated: true, Frames: 2}
	for width := 1; width < 2500; width += 7 {
		for height := 1; height < 2500; height += 7 {
			for _, crop := range []bool{true, false} {
				all[picture.Plan(p, picture.Wanted{Width: width, Height: height, Crop: crop}).Name()] = true
				all[picture.Plan(p, picture.Wanted{Width: width, Height: height, Crop: crop, Animated: true}).Name()] = true
			}
		}
	}
	if len(all) > maxThumbnails {
		t.Errorf("%d thumbnails can be made of a picture, and %d are kept", len(all), maxThumbnails)
	}

	h := newEnv(t, nil)
	id := h.upload(t, alice, picturetest.PNG(t, picturetest.Quarters(300, 300)))
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
	cancel()
	waiting.Wait()
	if err := h.painters.TryEnter("192.0.2.1", 1); err != nil { // for its clean-up
		t.Error(err)
	}
}

// A user whose time for thumbnails is used up gets those that are there, and no new ones.
func TestThumbnailsCostTheirTime(t *testing.T) {
	t.Parallel()
	now := time.Unix(1000, 0)
	h := newEnv(t, func(o *Options) {
		o.Limits = ratelimit.NewLimits(map[ratelimit.Kind]ratelimit.Limit{ratelimit.Thumbnails: {PerSecond: 1, Burst: 5000}}, func() time.Time { return now }, 0)
	})
	ctx := matrix.WithCaller(t.Context(), "192.0.2.1")
	q := ThumbnailQuery{Server: "localhost", MediaID: h.upload(t, alice, picturetest.PNG(t, picturetest.Quarters(300, 300))), Width: 96, Height: 96, Crop: true}
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
		if _, ok := errors.AsType[gauge.Refusal](err); !ok {
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
	plain := picturetest.PNG(t, picturetest.Quarters(20, 10))
	const afterHeader = 8 + 25
	jpegFile := picturetest.JPEG(t, picturetest.Quarters(20, 10))
	for name, file := range map[string]string{
		"EXIF of a JPEG":    picturetest.Turned(t, picturetest.Quarters(20, 10), 1, binary.BigEndian),
		"comment of a JPEG": jpegFile[:2] + jpegComment + jpegFile[2:],
		"text of a PNG":     plain[:afterHeader] + picturetest.Chunk("tEXt", []byte("Comment\x00taken at home")) + plain[afterHeader:],
		"EXIF of a WebP":    picturetest.WebP(picturetest.ExtendedWebP(0x08, 20, 10) + picturetest.LosslessWebP(20, 10, picturetest.Red) + picturetest.RIFFChunk("EXIF", picturetest.EXIF(1, picturetest.EXIFShort))),
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
	id := h.upload(t, alice, picturetest.PNG(t, picturetest.Quarters(300, 300)))
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

// A picture that moves as WebP had no thumbnail at all.
func TestAnimatedWebPHadNoThumbnail(t *testing.T) {
	t.Parallel()
	file := picturetest.AnimatedWebP()
	h := newEnv(t, nil)
	for _, animated := range []bool{false, true} {
		m, kind, _ := h.thumb(t, file, ThumbnailQuery{Width: 32, Height: 16, Animated: animated, Crop: true})
		wantSize(t, "still", m, 32, 16)
		if _, _, _, alpha := m.At(4, 8).RGBA(); kind != "image/png" || alpha != 0 || !picturetest.Near(m.At(28, 8), picturetest.Red) {
			t.Errorf("got %s with %v and %v", kind, m.At(4, 8), m.At(28, 8))
		}
	}
	// As large as it is, it is a still, too, unless it may move.
	if _, _, content := h.thumb(t, file, ThumbnailQuery{Width: 100, Height: 100}); content == file {
		t.Error("it moves without having been asked to")
	}
}
