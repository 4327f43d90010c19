package media

import (
	"bufio"
	"encoding/binary"
	"io"
)

// inspectPNG reads the chunks of a PNG file: whether it moves (a chunk acTL before the
// first IDAT), how it must be turned (eXIf), and whether it bears metadata. PNG
// specification, third edition, sections 4.9 and 11.3.
func inspectPNG(r *bufio.Reader) (orientation int, animated, metadata bool) {
	orientation = 1
	if _, err := r.Discard(8); err != nil {
		return orientation, false, false
	}
	begun := false
	for {
		var header [8]byte
		if _, err := io.ReadFull(r, header[:]); err != nil {
			return orientation, animated, metadata
		}
		length := int64(binary.BigEndian.Uint32(header[:]))
		switch string(header[4:]) {
		case "acTL":
			animated = animated || !begun
		case "IDAT":
			begun = true
		case "IEND":
			return orientation, animated, metadata
		case "tEXt", "zTXt", "iTXt", "tIME":
			metadata = true
		case "eXIf":
			metadata = true
			exif, rest := readExif(r, length)
			if found := exifOrientation(exif); found != 0 {
				orientation = found
			}
			length = rest
		}
		if _, err := io.CopyN(io.Discard, r, length+4); err != nil {
			return orientation, animated, metadata
		}
	}
}

// maxExif is how much is read of EXIF data; the orientation stands near its beginning.
const maxExif = 64 << 10

// readExif reads the beginning of a chunk with EXIF data, and says how much is left.
func readExif(r io.Reader, length int64) (exif []byte, rest int64) {
	exif = make([]byte, min(length, maxExif))
	n, _ := io.ReadFull(r, exif) // a file that breaks off shows where the next chunk should be
	return exif[:n], length - int64(n)
}
