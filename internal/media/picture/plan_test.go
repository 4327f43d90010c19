package picture

import (
	"context"
	"errors"
	"image"
	"image/color"
	"image/png"
	"strings"
	"testing"

	"homeserver/internal/media/picture/picturetest"
)

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
		if err != nil || p.Frames != frames {
			t.Fatalf("got %+v, %v", p, err)
		}
		made := Plan(p, Wanted{Width: 32, Height: 32, Animated: true})
		if made.animated != animated {
			t.Errorf("%d frames: animated is %v", frames, made.animated)
		}
		if animated && made.Memory(p) < 4096*int64(frames) {
			t.Errorf("%d frames count as %d bytes", frames, made.Memory(p))
		}
	}
}

// A gray picture is scaled in strips of four bytes for a pixel, which were not counted.
func TestStripsOfLargePicturesWereNotCounted(t *testing.T) {
	t.Parallel()
	p, err := inspectText(picturetest.PNGHeader(16384, 8192, 8, 0, 0))
	if err != nil {
		t.Fatal(err)
	}
	made := Plan(p, Wanted{Width: 32, Height: 16, Crop: true})
	if least := p.Unpacked + 4*16384*512; made.Memory(p) < least {
		t.Errorf("%d bytes are counted, want %d", made.Memory(p), least)
	}
}

// TestGIFThatHidesFrames has an extension that ends at once for one reader of the
// format, and goes on for others: what one counts, the other must decode.
func TestGIFThatHidesFrames(t *testing.T) {
	t.Parallel()
	visible := picturetest.MovingGIF(t, 40, 40, picturetest.Red, picturetest.Blue)
	start := strings.Index(visible, "\x21\xf9")
	file := visible[:start] + "\x21\xff\x00" + visible[start:]
	p, err := inspectText(file)
	if err != nil || p.Frames != 2 {
		t.Fatalf("got %+v, %v", p, err)
	}
	g, err := animate(t.Context(), strings.NewReader(file), p, Plan(p, Wanted{Width: 8, Height: 8, Animated: true}))
	if err != nil || len(g.Image) != 2 {
		t.Errorf("got %v, %v", g, err)
	}
}

// TestScalingAverages makes sure that fine patterns become gray and not noise, and
// that transparent pixels add no colour.
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
					c = color.NRGBA{B: 0xff} // picturetest.Blue, if it could be seen
				}
			}
			board.SetNRGBA(x, y, c)
		}
	}
	m, err := scale(t.Context(), board, board.Rect, 8, 8)
	if err != nil {
		t.Fatal(err)
	}
	if got := m.At(1, 4); !picturetest.Near(got, color.Gray{0x80}) {
		t.Errorf("black and white became %v", got)
	}
	if got := m.RGBAAt(6, 4); got != (color.RGBA{0x80, 0, 0, 0x80}) {
		t.Errorf("red and nothing became %v", got)
	}
}

func TestScaleToTheSameSize(t *testing.T) {
	t.Parallel()
	m := picturetest.Quarters(10, 6)
	same, err := scale(t.Context(), m, m.Rect, 10, 6)
	if err != nil || picturetest.PNG(t, same) != picturetest.PNG(t, m) {
		t.Errorf("it has changed, %v", err)
	}
	if decoded, err := png.Decode(strings.NewReader(picturetest.PNG(t, upright(m, 9)))); err != nil || decoded.Bounds() != m.Rect {
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
						checkPlan(t, w, h, Wanted{Width: want, Height: other, Crop: crop})
					}
				}
			}
		}
	}
}

func checkPlan(t *testing.T, w, h int, q Wanted) {
	t.Helper()
	for _, orientation := range []int{1, 6} {
		p := Picture{Format: formatJPEG, Width: w, Height: h, Orientation: orientation}
		got := Plan(p, q)
		stored := image.Rect(0, 0, w, h)
		if orientation == 6 {
			stored = image.Rect(0, 0, h, w)
			got.width, got.height = got.height, got.width
			got.crop = image.Rect(got.crop.Min.Y, got.crop.Min.X, got.crop.Max.Y, got.crop.Max.X)
			stored = image.Rect(0, 0, stored.Dy(), stored.Dx())
		}
		switch {
		case got.Original, got.width == w && got.height == h:
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
func promised(w, h int, q Wanted) bool {
	step := rung(image.Pt(q.Width, q.Height), q.Crop)
	return step.X >= q.Width && step.Y >= q.Height && (!q.Crop || step.X <= w && step.Y <= h)
}

func TestRenderEndsWithItsContext(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	file := picturetest.PNG(t, picturetest.Quarters(300, 300))
	p, err := inspectText(file)
	if err != nil {
		t.Fatal(err)
	}
	for _, target := range []Target{
		Plan(p, Wanted{Width: 96, Height: 96}),
		{animated: true},
	} {
		if _, _, err := target.Render(ctx, strings.NewReader(file), p); !errors.Is(err, context.Canceled) {
			t.Errorf("got %v, want the end of the context", err)
		}
	}
}
