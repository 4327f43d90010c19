package picture

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"image"
	"io"

	"golang.org/x/image/draw"
	"golang.org/x/image/webp"
)

// webpHead has the properties in the chunks of a WebP file.
type webpHead struct {
	// size is the size in the first picture's own header, which may differ from the
	// file's header; of an animated file it is that of the first frame.
	size        image.Point
	animated    bool
	orientation int // EXIF's, 1 to 8; 1: upright
	metadata    bool
}

// inspectWebP reads the chunks of a WebP file. WebP container specification (RFC 9649),
// section 2.
func inspectWebP(r *bufio.Reader) webpHead {
	h := webpHead{orientation: 1}
	if _, err := r.Discard(12); err != nil {
		return h
	}
	for {
		kind, length, err := nextChunk(r)
		if err != nil {
			return h
		}
		start, _ := r.Peek(int(min(length, 16))) // shorter where the file breaks off
		rest := length + length&1
		switch kind {
		case "VP8X":
			h.animated = len(start) >= 10 && start[0]&0x02 != 0
		case "VP8 ", "VP8L":
			if h.size == (image.Point{}) {
				h.size = webpSize(kind, start)
			}
		case "ANMF":
			if h.animated && h.size == (image.Point{}) && len(start) == 16 {
				h.size = image.Pt(1+uint24(start[6:]), 1+uint24(start[9:]))
			}
		case "EXIF":
			h.metadata = true
			exif, left := readExif(r, length)
			if found := exifOrientation(exif); found != 0 {
				h.orientation = found
			}
			rest = left + length&1
		case "XMP ":
			h.metadata = true
		}
		if _, err := io.CopyN(io.Discard, r, rest); err != nil {
			return h
		}
	}
}

// fits reports whether the picture agrees with the file's header: as large, or if it is
// animated, no larger.
func (h webpHead) fits(size image.Point) bool {
	if h.animated {
		return h.size.X > 0 && h.size.Y > 0 && h.size.X <= size.X && h.size.Y <= size.Y
	}
	return h.size == size
}

// nextChunk reads the header of a chunk.
func nextChunk(r io.Reader) (kind string, length int64, err error) {
	var header [8]byte
	_, err = io.ReadFull(r, header[:])
	return string(header[:4]), int64(binary.LittleEndian.Uint32(header[4:])), err
}

func uint24(b []byte) int { return int(b[0]) | int(b[1])<<8 | int(b[2])<<16 }

// webpSize reads the size of a picture from its first bytes; zero if they are none.
func webpSize(kind string, start []byte) (size image.Point) {
	switch {
	case kind == "VP8 " && len(start) >= 10:
		size.X = int(binary.LittleEndian.Uint16(start[6:]) & 0x3fff)
		size.Y = int(binary.LittleEndian.Uint16(start[8:]) & 0x3fff)
	case kind == "VP8L" && len(start) >= 5:
		bits := binary.LittleEndian.Uint32(start[1:])
		size.X, size.Y = int(bits&0x3fff)+1, int(bits>>14&0x3fff)+1
	}
	return size
}

var errFrame = errors.New("the first frame of the WebP can't be read")

// decodeWebP decodes a WebP file; of one that moves, the first frame, where it belongs
// on the whole picture. canvas is the size in the file's header.
func decodeWebP(source io.Reader, animated bool, canvas image.Point) (image.Image, error) {
	if !animated {
		return webp.Decode(source)
	}
	r := bufio.NewReader(source)
	if _, err := r.Discard(12); err != nil {
		return nil, err
	}
	for {
		kind, length, err := nextChunk(r)
		if err != nil {
			return nil, err
		}
		if kind == "ANMF" {
			return decodeFrame(io.LimitReader(r, length), canvas)
		}
		if _, err := io.CopyN(io.Discard, r, length+length&1); err != nil {
			return nil, err
		}
	}
}

// decodeFrame decodes the payload of a chunk ANMF. The picture in it is decoded as a
// file of its own, of at most two chunks.
func decodeFrame(payload io.Reader, canvas image.Point) (image.Image, error) {
	var place [16]byte
	if _, err := io.ReadFull(payload, place[:]); err != nil {
		return nil, err
	}
	at := image.Pt(2*uint24(place[0:]), 2*uint24(place[3:]))
	size := image.Pt(1+uint24(place[6:]), 1+uint24(place[9:]))
	where := image.Rectangle{Min: at, Max: at.Add(size)}
	if !where.In(image.Rectangle{Max: canvas}) {
		return nil, errFrame
	}
	file, err := stillOf(payload, size)
	if err != nil {
		return nil, err
	}
	frame, err := webp.Decode(file)
	if err != nil {
		return nil, err
	}
	whole := image.NewNRGBA(image.Rectangle{Max: canvas})
	draw.Draw(whole, where, frame, frame.Bounds().Min, draw.Src)
	return whole, nil
}

// stillOf makes a file of the chunks of a frame of a size: ALPH, if there is one, and
// VP8 or VP8L.
func stillOf(payload io.Reader, size image.Point) (io.Reader, error) {
	var alpha, picture bytes.Buffer
	for picture.Len() == 0 {
		kind, length, err := nextChunk(payload)
		if err != nil {
			return nil, err
		}
		into := io.Discard
		switch kind {
		case "ALPH":
			alpha.Reset()
			into = &alpha
		case "VP8 ", "VP8L":
			into = &picture
		}
		if into != io.Discard {
			writeChunkHeader(into, kind, length)
		}
		if _, err := io.CopyN(into, payload, length+length&1); err != nil {
			return nil, err
		}
	}
	// With the header, the decoder refuses a picture of another size before it unpacks it.
	const hasAlpha = 0x10
	var flags byte
	if alpha.Len() > 0 {
		flags = hasAlpha
	}
	var head bytes.Buffer
	head.WriteString("WEBP")
	writeChunkHeader(&head, "VP8X", 10)
	w, h := size.X-1, size.Y-1
	head.Write([]byte{flags, 0, 0, 0, byte(w), byte(w >> 8), byte(w >> 16), byte(h), byte(h >> 8), byte(h >> 16)})
	var riff bytes.Buffer
	writeChunkHeader(&riff, "RIFF", int64(head.Len()+alpha.Len()+picture.Len()))
	return io.MultiReader(&riff, &head, &alpha, &picture), nil
}

// writeChunkHeader writes to memory, where nothing can fail.
func writeChunkHeader(w io.Writer, kind string, length int64) {
	_, _ = w.Write(binary.LittleEndian.AppendUint32([]byte(kind), uint32(length)))
}
