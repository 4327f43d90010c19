package picture

import (
	"context"
	"image"

	"golang.org/x/image/draw"
)

// scale makes a picture of a part of another, which must not be smaller. It
// averages whole squares of pixels first, strip by strip, so that it needs little
// memory beside the source, and interpolates the rest of the way.
func scale(ctx context.Context, src image.Image, part image.Rectangle, width, height int) (*image.RGBA, error) {
	square := squareOf(part, width, height)
	reduced := image.NewRGBA(image.Rect(0, 0, part.Dx()/square, part.Dy()/square))
	strip := image.NewRGBA(image.Rect(0, 0, reduced.Rect.Dx()*square, square))
	for y := range reduced.Rect.Dy() {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		draw.Draw(strip, strip.Rect, src, part.Min.Add(image.Pt(0, y*square)), draw.Src)
		average(reduced.Pix[y*reduced.Stride:(y+1)*reduced.Stride], strip, square)
	}
	if reduced.Rect.Dx() == width && reduced.Rect.Dy() == height {
		return reduced, nil
	}
	dst := image.NewRGBA(image.Rect(0, 0, width, height))
	draw.ApproxBiLinear.Scale(dst, dst.Rect, reduced, reduced.Rect, draw.Src, nil)
	return dst, nil
}

// squareOf returns the side of the squares of pixels that are averaged, and so the height of
// a strip.
func squareOf(part image.Rectangle, width, height int) int {
	return max(1, min(part.Dx()/width, part.Dy()/height))
}

// average fills a row of pixels with the means of the squares that a strip is made of.
// Colours are premultiplied, so that invisible ones don't count.
func average(row []byte, strip *image.RGBA, square int) {
	area := uint64(square) * uint64(square)
	for x := 0; x < len(row); x += 4 {
		var sum [4]uint64
		for y := range square {
			at := y*strip.Stride + x*square
			for pixels := strip.Pix[at : at+4*square]; len(pixels) > 0; pixels = pixels[4:] {
				sum[0] += uint64(pixels[0])
				sum[1] += uint64(pixels[1])
				sum[2] += uint64(pixels[2])
				sum[3] += uint64(pixels[3])
			}
		}
		for i := range sum {
			row[x+i] = byte((sum[i] + area/2) / area)
		}
	}
}

// upright turns a picture the way that EXIF's orientation says: for 5 to 8 width
// and height change places.
func upright(src *image.RGBA, orientation int) *image.RGBA {
	if orientation <= 1 || orientation > 8 {
		return src
	}
	w, h := src.Rect.Dx(), src.Rect.Dy()
	size := image.Rect(0, 0, w, h)
	if orientation > 4 {
		size = image.Rect(0, 0, h, w)
	}
	dst := image.NewRGBA(size)
	for y := range size.Dy() {
		for x := range size.Dx() {
			fromX, fromY := x, y
			switch orientation {
			case 2:
				fromX = w - 1 - x
			case 3:
				fromX, fromY = w-1-x, h-1-y
			case 4:
				fromY = h - 1 - y
			case 5:
				fromX, fromY = y, x
			case 6:
				fromX, fromY = y, h-1-x
			case 7:
				fromX, fromY = w-1-y, h-1-x
			case 8:
				fromX, fromY = w-1-y, x
			}
			copy(dst.Pix[dst.PixOffset(x, y):][:4], src.Pix[src.PixOffset(fromX, fromY):][:4])
		}
	}
	return dst
}
