package media

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"io"
)

// The markers of JPEG (ITU-T T.81, annex B) that matter here.
const (
	markerSOF2 = 0xc2 // the header of a progressive picture
	markerSOS  = 0xda // the picture itself begins
	markerEOI  = 0xd9
	markerAPP1 = 0xe1 // EXIF
)

// inspectJPEG reads the segments before the picture: how it must be turned (EXIF's
// orientation, 1 if it doesn't say), and whether it is progressive. What can't be
// read is left out; decoding tells of it.
func inspectJPEG(r *bufio.Reader) (orientation int, progressive bool) {
	orientation = 1
	if _, err := r.Discard(2); err != nil {
		return orientation, false
	}
	for {
		marker, err := nextMarker(r)
		if err != nil || marker == markerSOS || marker == markerEOI {
			return orientation, progressive
		}
		if marker >= 0xd0 && marker <= 0xd7 || marker == 0x01 {
			continue // without a length
		}
		var length [2]byte
		if _, err := io.ReadFull(r, length[:]); err != nil {
			return orientation, progressive
		}
		size := max(0, int(binary.BigEndian.Uint16(length[:]))-2)
		progressive = progressive || marker == markerSOF2
		if marker != markerAPP1 {
			_, err = r.Discard(size)
		} else {
			segment := make([]byte, size)
			_, err = io.ReadFull(r, segment)
			if found := exifOrientation(segment); found != 0 {
				orientation = found
			}
		}
		if err != nil {
			return orientation, progressive
		}
	}
}

// nextMarker skips to the next marker.
func nextMarker(r *bufio.Reader) (byte, error) {
	for {
		c, err := r.ReadByte()
		if err != nil {
			return 0, err
		}
		for c == 0xff {
			if c, err = r.ReadByte(); err != nil {
				return 0, err
			}
			if c != 0 && c != 0xff {
				return c, nil
			}
		}
	}
}

// exifOrientation finds the orientation in the first directory of an EXIF segment
// (tag 0x0112, a short); 0 if there is none.
func exifOrientation(segment []byte) int {
	tiff, isEXIF := bytes.CutPrefix(segment, []byte("Exif\x00\x00"))
	if !isEXIF || len(tiff) < 8 {
		return 0
	}
	var order binary.ByteOrder = binary.BigEndian
	if string(tiff[:4]) == "II*\x00" {
		order = binary.LittleEndian
	}
	at := int64(order.Uint32(tiff[4:]))
	if at+2 > int64(len(tiff)) {
		return 0
	}
	entries := tiff[at+2:]
	for range order.Uint16(tiff[at:]) {
		if len(entries) < 12 {
			return 0
		}
		if order.Uint16(entries) == 0x0112 && order.Uint16(entries[2:]) == 3 {
			if value := int(order.Uint16(entries[8:])); value >= 1 && value <= 8 {
				return value
			}
			return 0
		}
		entries = entries[12:]
	}
	return 0
}
