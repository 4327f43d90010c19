package picture

import (
	"fmt"
	"image"
	"math"
)

const (
	// maxMovingPixels and maxPaintedPixels bound the pixels of all frames together, of
	// the source and of the thumbnail, and maxMovingFrames the frames; a picture with
	// more becomes a still.
	maxMovingPixels  = 100 << 20
	maxPaintedPixels = 16 << 20
	maxMovingFrames  = 2000
)

// Wanted is the thumbnail that is asked for.
type Wanted struct {
	Width, Height int // the least that is wanted, if the source has as much
	// Crop asks for the aspect of width and height; else the source's aspect is kept.
	Crop bool
	// Animated asks for one that moves, if the source does and is a GIF.
	Animated bool
}

// Target is the thumbnail to be made of a picture.
type Target struct {
	Original      bool // none: the source itself is the answer
	width, height int  // before it is turned upright
	crop          image.Rectangle
	cropped       bool
	animated      bool
	orientation   int // from which it is turned upright
}

// Name returns the last part of the thumbnail's key.
func (t Target) Name() string {
	name := fmt.Sprintf("%dx%d", t.width, t.height)
	if t.cropped {
		name += "-crop"
	}
	if t.animated {
		name += "-animated"
	}
	if t.orientation > 1 {
		name += fmt.Sprintf("-upright%d", t.orientation)
	}
	return name
}

// frameBytes is the size of a frame of a GIF beside its pixels: its colours.
const frameBytes = 8 << 10

// Memory returns the memory for making it: the unpacked source, a strip of it, and the
// picture while it is scaled, turned and written.
func (t Target) Memory(p Picture) int64 {
	made := int64(t.width) * int64(t.height)
	strip := 4 * int64(t.crop.Dx()) * int64(squareOf(t.crop, t.width, t.height))
	if t.animated {
		return 12*int64(p.Width)*int64(p.Height) + int64(p.Frames)*(made+frameBytes) + strip + 24*made
	}
	return p.Unpacked + strip + 24*made
}

// ladder has the sizes of thumbnails: those that section "Thumbnails" names, and one
// for large screens. Requests for other sizes get one of these.
var ladder = []image.Point{{X: 32, Y: 32}, {X: 96, Y: 96}, {X: 320, Y: 240}, {X: 640, Y: 480}, {X: 800, Y: 600}, {X: 1600, Y: 1200}}

// aspects are those of cropped thumbnails, whose longer side is one of the ladder.
var aspects = []image.Point{{X: 1, Y: 2}, {X: 3, Y: 4}, {X: 1, Y: 1}, {X: 4, Y: 3}, {X: 2, Y: 1}}

// rung returns the least size of the ladder that has a box in it, or the largest.
func rung(box image.Point, crop bool) (size image.Point) {
	aspect := nearestAspect(box)
	for _, step := range ladder {
		size = step
		if crop {
			size = fit(image.Pt(aspect.X*step.X, aspect.Y*step.X), image.Pt(step.X, step.X))
		}
		if size.X >= box.X && size.Y >= box.Y {
			break
		}
	}
	return size
}

// nearestAspect returns that of the aspects which is most like that of a box.
func nearestAspect(box image.Point) (nearest image.Point) {
	least := math.Inf(1)
	for _, a := range aspects {
		ratio := float64(box.X) * float64(a.Y) / (float64(box.Y) * float64(a.X))
		if off := math.Abs(math.Log(ratio)); off < least {
			least, nearest = off, a
		}
	}
	return nearest
}

// Plan chooses the size: the next one of the ladder. Nothing is ever made larger. The
// source itself is the answer where it is no larger, moves or not as it was asked for,
// lies upright, and bears nothing beside the picture, such as where it was taken.
func Plan(p Picture, q Wanted) Target {
	t := Target{cropped: q.Crop, animated: q.Animated && p.Animated && p.Format == formatGIF, orientation: p.Orientation}
	want := rung(image.Pt(min(q.Width, maxSide), min(q.Height, maxSide)), q.Crop)
	size := image.Pt(p.Width, p.Height)
	stop := p.Animated && !q.Animated // a still is wanted, whatever its size
	if want.X >= size.X && want.Y >= size.Y || !q.Crop && (want.X >= size.X || want.Y >= size.Y) {
		t.Original, want = !stop && !p.Metadata && p.Orientation == 1, size
	}
	part := size
	if q.Crop {
		want = fit(want, size)
		part = cover(want, size)
	} else {
		want = enclose(want, size)
	}
	if p.Orientation > 4 { // the source lies on its side
		want, part, size = image.Pt(want.Y, want.X), image.Pt(part.Y, part.X), image.Pt(size.Y, size.X)
	}
	t.width, t.height = want.X, want.Y
	corner := size.Sub(part).Div(2)
	t.crop = image.Rectangle{Min: corner, Max: corner.Add(part)}
	frames := int64(p.Frames)
	if frames > maxMovingFrames || frames*int64(size.X)*int64(size.Y) > maxMovingPixels || frames*int64(t.width)*int64(t.height) > maxPaintedPixels {
		t.animated = false
	}
	return t
}

// fit makes a box small enough for the size, keeping the box's aspect.
func fit(box, size image.Point) image.Point {
	if box.X > size.X {
		box = image.Pt(size.X, max(1, box.Y*size.X/box.X))
	}
	if box.Y > size.Y {
		box = image.Pt(max(1, box.X*size.Y/box.Y), size.Y)
	}
	return box
}

// cover returns the largest part of the size that has the box's aspect; it is as large as
// the box at least.
func cover(box, size image.Point) image.Point {
	if size.X*box.Y > size.Y*box.X {
		return image.Pt(max(box.X, size.Y*box.X/box.Y), size.Y)
	}
	return image.Pt(size.X, max(box.Y, size.X*box.Y/box.X))
}

// enclose returns the least size of the same aspect that has a box in it.
func enclose(box, size image.Point) image.Point {
	if box.X*size.Y > box.Y*size.X {
		return image.Pt(box.X, (size.Y*box.X+size.X-1)/size.X)
	}
	return image.Pt((size.X*box.Y+size.Y-1)/size.Y, box.Y)
}
