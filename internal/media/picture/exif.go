package picture

import (
	"bytes"
	"encoding/binary"
)

// The types of EXIF's values that an orientation may have.
const (
	exifShort = 3
	exifLong  = 4
)

// exifOrientation finds the orientation in the first directory of EXIF data (tag
// 0x0112): 1 to 8, and 0 if there is none. CIPA DC-008, section 4.6.
func exifOrientation(exif []byte) int {
	tiff := bytes.TrimPrefix(exif, []byte("Exif\x00\x00"))
	if len(tiff) < 8 {
		return 0
	}
	var order binary.ByteOrder
	switch string(tiff[:4]) {
	case "II*\x00":
		order = binary.LittleEndian
	case "MM\x00*":
		order = binary.BigEndian
	default:
		return 0
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
		if order.Uint16(entries) == 0x0112 {
			return orientationOf(order, entries[2:12])
		}
		entries = entries[12:]
	}
	return 0
}

// orientationOf reads the type, the count and the value of the tag.
func orientationOf(order binary.ByteOrder, entry []byte) int {
	var value uint32
	switch order.Uint16(entry) {
	case exifShort:
		value = uint32(order.Uint16(entry[6:]))
	case exifLong:
		value = order.Uint32(entry[6:])
	}
	if value < 1 || value > 8 {
		return 0
	}
	return int(value)
}
