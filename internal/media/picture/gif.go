package picture

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"image"
	"image/color"
	"image/gif"
	"io"

	"golang.org/x/image/draw"
)

// The blocks of a GIF file: GIF89a specification, appendix "Grammar".
const (
	gifExtension   = 0x21
	gifFrame       = 0x2c
	gifControl     = 0xf9 // the extension about the frame that follows
	gifApplication = 0xff
	gifComment     = 0xfe
)

// gifWalker reads a GIF file frame by frame. Decoding one frame at a time, from exactly
// the bytes that were read, needs memory for one frame only, and no file can be
// understood differently by two readers.
type gifWalker struct {
	r     *bufio.Reader
	head  []byte // header, size and colours, which each frame needs
	loops int    // how often to play it; -1: once, 0: for ever
	// metadata reports that there was a comment, or data of a program.
	metadata bool
}

func walkGIF(r *bufio.Reader) (*gifWalker, error) {
	var head bytes.Buffer
	if _, err := io.CopyN(&head, r, 13); err != nil {
		return nil, err
	}
	err := copyTable(&head, r, head.Bytes()[10])
	return &gifWalker{r: r, head: head.Bytes(), loops: -1}, err
}

// gifControls has the file's settings for showing a frame.
type gifControls struct {
	raw      []byte // the whole extension; empty if there was none
	disposal byte
	delay    int // hundredths of a second
}

// next goes to the next frame, and copies its block to frame: from its size to the
// end of its pixels. io.EOF at the end of the file.
func (g *gifWalker) next(frame io.Writer) (gifControls, error) {
	var controls gifControls
	for {
		kind, err := g.r.ReadByte()
		if err != nil {
			return controls, err
		}
		switch kind {
		case gifExtension:
			err = g.extension(&controls)
		case gifFrame:
			return controls, g.frame(frame)
		default: // the end, or nonsense
			return controls, io.EOF
		}
		if err != nil {
			return controls, err
		}
	}
}

// extension reads an extension, of which two kinds are of interest.
func (g *gifWalker) extension(controls *gifControls) error {
	label, err := g.r.ReadByte()
	if err != nil {
		return err
	}
	var blocks bytes.Buffer
	sink := io.Discard
	if label == gifControl || label == gifApplication {
		sink = &limitedWriter{w: &blocks, left: 64}
	}
	if err := copyBlocks(sink, g.r); err != nil {
		return err
	}
	b := blocks.Bytes()
	netscape := label == gifApplication && len(b) >= 12 && string(b[1:12]) == "NETSCAPE2.0"
	g.metadata = g.metadata || label == gifComment || label == gifApplication && !netscape
	switch {
	case label == gifControl && len(b) == 6 && b[0] == 4:
		controls.raw = append([]byte{gifExtension, gifControl}, b...)
		controls.disposal = b[1] >> 2 & 7
		controls.delay = int(binary.LittleEndian.Uint16(b[2:]))
	case netscape && len(b) >= 16 && b[12] == 3 && b[13] == 1:
		g.loops = int(binary.LittleEndian.Uint16(b[14:]))
	}
	return nil
}

// frame copies the block of a frame.
func (g *gifWalker) frame(sink io.Writer) error {
	var place [9]byte
	if _, err := io.ReadFull(g.r, place[:]); err != nil {
		return err
	}
	if _, err := sink.Write(place[:]); err != nil {
		return err
	}
	if err := copyTable(sink, g.r, place[8]); err != nil {
		return err
	}
	if _, err := io.CopyN(sink, g.r, 1); err != nil {
		return err
	}
	return copyBlocks(sink, g.r)
}

// copyTable copies the table of colours that the flags announce.
func copyTable(sink io.Writer, r io.Reader, flags byte) error {
	if flags&0x80 == 0 {
		return nil
	}
	_, err := io.CopyN(sink, r, 3<<(flags&7+1))
	return err
}

// copyBlocks copies blocks up to and with the empty one that ends them.
func copyBlocks(sink io.Writer, r *bufio.Reader) error {
	for {
		size, err := r.ReadByte()
		if err != nil {
			return err
		}
		if _, err := sink.Write([]byte{size}); err != nil {
			return err
		}
		if size == 0 {
			return nil
		}
		if _, err := io.CopyN(sink, r, int64(size)); err != nil {
			return err
		}
	}
}

var errFrameTooLong = errors.New("a block of the GIF is too long")

// limitedWriter refuses more bytes than are left.
type limitedWriter struct {
	w    io.Writer
	left int64
}

// Write implements io.Writer.
func (l *limitedWriter) Write(b []byte) (int, error) {
	if l.left -= int64(len(b)); l.left < 0 {
		return 0, errFrameTooLong
	}
	return l.w.Write(b)
}

// inspectGIF returns how many frames a GIF has, up to where it breaks off, if it does,
// and whether it has metadata.
func inspectGIF(r *bufio.Reader) (frames int, metadata bool) {
	walker, err := walkGIF(r)
	for err == nil {
		if _, err = walker.next(io.Discard); err == nil {
			frames++
		}
	}
	return frames, walker != nil && walker.metadata
}

// decode decodes the frame of which next gave the block.
func (g *gifWalker) decode(controls gifControls, frame []byte) (*image.Paletted, error) {
	whole := io.MultiReader(bytes.NewReader(g.head), bytes.NewReader(controls.raw),
		bytes.NewReader([]byte{gifFrame}), bytes.NewReader(frame), bytes.NewReader([]byte{';'}))
	decoded, err := gif.Decode(whole)
	if err != nil {
		return nil, err
	}
	paletted, ok := decoded.(*image.Paletted)
	if !ok {
		return nil, ErrNoPicture
	}
	return paletted, nil
}

// animate makes a small GIF of a large one, frame by frame. Of a file that breaks off
// it has the frames up to there.
func animate(ctx context.Context, source io.Reader, p Picture, t Target) (*gif.GIF, error) {
	walker, err := walkGIF(bufio.NewReader(source))
	if err != nil {
		return nil, err
	}
	small := &gif.GIF{}
	canvas := image.NewRGBA(image.Rect(0, 0, p.Width, p.Height))
	for range p.Frames {
		// No honest frame needs more than two bytes for a pixel.
		var block bytes.Buffer
		controls, err := walker.next(&limitedWriter{&block, 2*int64(p.Width)*int64(p.Height) + 64<<10})
		if err != nil {
			return nil, err
		}
		frame, err := walker.decode(controls, block.Bytes())
		if err != nil {
			return nil, err
		}
		scaled, err := show(ctx, canvas, frame, controls.disposal, t)
		if err != nil {
			return nil, err
		}
		small.Image = append(small.Image, paint(scaled, frame.Palette))
		small.Delay = append(small.Delay, controls.delay)
		// Each frame of the small one is a whole picture, which replaces the last.
		small.Disposal = append(small.Disposal, gif.DisposalBackground)
	}
	small.LoopCount = walker.loops
	return small, nil
}

// show paints a frame on the canvas, returns the result, scaled down, and leaves the
// canvas as the next frame needs it.
func show(ctx context.Context, canvas *image.RGBA, frame *image.Paletted, disposal byte, t Target) (*image.RGBA, error) {
	var before []byte
	if disposal == gif.DisposalPrevious {
		before = bytes.Clone(canvas.Pix)
	}
	draw.Draw(canvas, frame.Rect, frame, frame.Rect.Min, draw.Over)
	scaled, err := scale(ctx, canvas, t.crop, t.width, t.height)
	switch disposal {
	case gif.DisposalBackground:
		draw.Draw(canvas, frame.Rect, image.Transparent, image.Point{}, draw.Src)
	case gif.DisposalPrevious:
		copy(canvas.Pix, before)
	}
	return scaled, err
}

// firstFrame paints the first frame of a GIF where it belongs on the whole picture.
func firstFrame(frame image.Image, p Picture) image.Image {
	whole := image.NewRGBA(image.Rect(0, 0, p.Width, p.Height))
	draw.Draw(whole, frame.Bounds(), frame, frame.Bounds().Min, draw.Src)
	return whole
}

// paint turns a picture into one of at most 256 colours: those of the frame that
// it was made of, with one for nothing at all.
func paint(src *image.RGBA, colours color.Palette) *image.Paletted {
	palette := append(color.Palette{color.RGBA{}}, colours[:min(len(colours), 255)]...)
	dst := image.NewPaletted(src.Rect, palette)
	// Colours of which the upper five bits are the same are taken for the same.
	var known [1 << 15]uint16
	for i := range dst.Pix {
		c := src.Pix[4*i : 4*i+4 : 4*i+4]
		if c[3] < 0x80 {
			continue // the colour 0
		}
		key := int(c[0]>>3)<<10 | int(c[1]>>3)<<5 | int(c[2]>>3)
		if known[key] == 0 {
			known[key] = 1 + uint16(palette[1:].Index(color.RGBA{c[0], c[1], c[2], 0xff}))
		}
		dst.Pix[i] = byte(known[key])
	}
	return dst
}
