package media

import (
	"bufio"
	"encoding/binary"
	"image"
	"io"
)

// inspectWebP reads the chunks of a WebP file up to its first picture: the size that
// this says it has itself, which the file's header need not agree with, and whether
// the file moves. WebP container specification (RFC 9649), section 2.
func inspectWebP(r *bufio.Reader) (size image.Point, animated bool) {
	if _, err := r.Discard(12); err != nil {
		return size, false
	}
	for {
		var header [8]byte
		if _, err := io.ReadFull(r, header[:]); err != nil {
			return size, animated
		}
		length := int64(binary.LittleEndian.Uint32(header[4:]))
		start, err := r.Peek(int(min(length, 10)))
		if err != nil {
			return size, animated
		}
		switch string(header[:4]) {
		case "VP8X":
			animated = len(start) == 10 && start[0]&0x02 != 0
		case "VP8 ":
			if len(start) == 10 {
				size.X = int(binary.LittleEndian.Uint16(start[6:]) & 0x3fff)
				size.Y = int(binary.LittleEndian.Uint16(start[8:]) & 0x3fff)
			}
			return size, animated
		case "VP8L":
			if len(start) >= 5 {
				bits := binary.LittleEndian.Uint32(start[1:])
				size.X, size.Y = int(bits&0x3fff)+1, int(bits>>14&0x3fff)+1
			}
			return size, animated
		}
		if _, err := io.CopyN(io.Discard, r, length+length&1); err != nil {
			return size, animated
		}
	}
}
