package picture

import (
	"bufio"
	"encoding/binary"
	"io"
)

// pngHead has the properties in the chunks of a PNG file.
type pngHead struct {
	animated    bool // a chunk acTL before the first IDAT
	orientation int  // eXIf's, 1 to 8; 1: upright
	metadata    bool
	transparent bool // a colour is (tRNS), so that each pixel gets an alpha when it is decoded
}

// inspectPNG reads the chunks of a PNG file. PNG specification, third edition, sections
// 4.9 and 11.3.
func inspectPNG(r *bufio.Reader) pngHead {
	h := pngHead{orientation: 1}
	if _, err := r.Discard(8); err != nil {
		return h
	}
	begun := false
	for {
		var header [8]byte
		if _, err := io.ReadFull(r, header[:]); err != nil {
			return h
		}
		length := int64(binary.BigEndian.Uint32(header[:]))
		switch string(header[4:]) {
		case "acTL":
			h.animated = h.animated || !begun
		case "IDAT":
			begun = true
		case "IEND":
			return h
		case "tRNS":
			h.transparent = true
		case "tEXt", "zTXt", "iTXt", "tIME":
			h.metadata = true
		case "eXIf":
			h.metadata = true
			exif, rest := readExif(r, length)
			if found := exifOrientation(exif); found != 0 {
				h.orientation = found
			}
			length = rest
		}
		if _, err := io.CopyN(io.Discard, r, length+4); err != nil {
			return h
		}
	}
}

// maxExif is how much is read of EXIF data; the orientation is near its beginning.
const maxExif = 64 << 10

// readExif reads the beginning of a chunk with EXIF data, and says how much is left.
func readExif(r io.Reader, length int64) (exif []byte, rest int64) {
	exif = make([]byte, min(length, maxExif))
	n, _ := io.ReadFull(r, exif) // a file that breaks off shows where the next chunk should be
	return exif[:n], length - int64(n)
}
