package picture

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"image"
	"image/jpeg"
	"io"
)

// The markers of JPEG (ITU-T T.81, annex B) that matter here.
const (
	markerSOF0  = 0xc0 // the header of a picture
	markerSOF1  = 0xc1
	markerSOF2  = 0xc2 // … of a progressive one
	markerSOS   = 0xda // the picture itself begins
	markerEOI   = 0xd9
	markerAPP1  = 0xe1 // EXIF, XMP
	markerAPP13 = 0xed // IPTC
	markerAPP14 = 0xee // Adobe's
	markerCOM   = 0xfe // a comment
)

// jpegHead has the properties in the segments before the picture.
type jpegHead struct {
	orientation int // EXIF's, 1 if it doesn't say
	progressive bool
	components  int
	adobe       bool // it says what its colours mean
	metadata    bool
}

// inspectJPEG reads the segments before the picture. Segments that can't be read are
// left out; decoding reports them.
func inspectJPEG(r *bufio.Reader) jpegHead {
	h := jpegHead{orientation: 1}
	if _, err := r.Discard(2); err != nil {
		return h
	}
	for {
		marker, err := nextMarker(r)
		if err != nil || marker == markerSOS || marker == markerEOI {
			return h
		}
		if marker >= 0xd0 && marker <= 0xd7 || marker == 0x01 {
			continue // without a length
		}
		var length [2]byte
		if _, err := io.ReadFull(r, length[:]); err != nil {
			return h
		}
		segment := make([]byte, max(0, int(binary.BigEndian.Uint16(length[:]))-2))
		if _, err := io.ReadFull(r, segment); err != nil {
			return h
		}
		h.take(marker, segment)
	}
}

// take records the properties of a segment.
func (h *jpegHead) take(marker byte, segment []byte) {
	switch marker {
	case markerSOF0, markerSOF1, markerSOF2:
		h.progressive = marker == markerSOF2
		if len(segment) >= 6 {
			h.components = int(segment[5])
		}
	case markerAPP14:
		h.adobe = h.adobe || len(segment) >= 12 && bytes.HasPrefix(segment, []byte("Adobe"))
	case markerAPP13, markerCOM:
		h.metadata = true
	case markerAPP1:
		h.metadata = true
		if found := exifOrientation(segment); found != 0 && bytes.HasPrefix(segment, []byte("Exif\x00\x00")) {
			h.orientation = found
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

// decodeJPEG decodes a JPEG file. One of four components without Adobe's marker counts
// as CMYK, as everywhere: the decoder needs the marker, and inverts the colours of
// files that have it.
func decodeJPEG(source io.ReaderAt, while patience) (image.Image, error) {
	file := io.NewSectionReader(source, 0, 1<<62)
	head := inspectJPEG(bufio.NewReader(file))
	if _, err := file.Seek(0, io.SeekStart); err != nil {
		return nil, err
	}
	if head.components != 4 || head.adobe {
		return jpeg.Decode(while.reader(file))
	}
	// The marker's segment: version 100, no flags, no transformation.
	marker := []byte("\xff\xd8\xff\xee\x00\x0eAdobe\x00\x64\x00\x00\x00\x00\x00")
	if _, err := file.Seek(2, io.SeekStart); err != nil {
		return nil, err
	}
	decoded, err := jpeg.Decode(io.MultiReader(bytes.NewReader(marker), while.reader(file)))
	if cmyk, ok := decoded.(*image.CMYK); ok {
		for i := range cmyk.Pix {
			cmyk.Pix[i] = 255 - cmyk.Pix[i]
		}
	}
	return decoded, err
}
