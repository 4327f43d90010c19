package api

import (
	"encoding/binary"
	"hash/crc32"
	"net/http"
	"strings"
	"testing"

	"homeserver/internal/httpapi"
	"homeserver/internal/matrixtest"
)

// chunk returns a part of a PNG.
func chunk(kind, data string) string {
	body := kind + data
	out := binary.BigEndian.AppendUint32(nil, uint32(len(data)))
	return string(binary.BigEndian.AppendUint32(append(out, body...), crc32.ChecksumIEEE([]byte(body))))
}

// pngOf returns a PNG that says it is so large, and holds nearly nothing.
func pngOf(width, height uint32) string {
	header := binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(nil, width), height)
	return "\x89PNG\r\n\x1a\n" + chunk("IHDR", string(header)+"\x08\x06\x00\x00\x00") + chunk("IDAT", "x\x9c\x03\x00\x00\x00\x00\x01") + chunk("IEND", "")
}

// gifOf returns an animation of as many pictures of one pixel on so large a screen.
func gifOf(side uint16, frames int) string {
	size := string(binary.LittleEndian.AppendUint16(binary.LittleEndian.AppendUint16(nil, side), side))
	const frame = "\x21\xf9\x04\x08\x00\x00\x00\x00" + "\x2c\x00\x00\x00\x00\x01\x00\x01\x00\x00" + "\x02\x02\x44\x01\x00"
	return "GIF89a" + size + "\x80\x00\x00" + "\x00\x00\x00\xff\xff\xff" + strings.Repeat(frame, frames) + ";"
}

// TestPictureBombs uploads files that are small until they are unpacked, or that go
// on for ever.
func TestPictureBombs(t *testing.T) {
	matrixtest.Long(t)
	t.Parallel()
	alice := newServer(t).Register("alice", "wordpass")
	for name, file := range map[string]string{
		"a PNG of 60,000 by 60,000":        pngOf(60_000, 60_000),
		"a PNG of 2³¹ by 2³¹":              pngOf(1<<31-1, 1<<31-1),
		"a PNG of 2³² by 1":                pngOf(1<<32-1, 1),
		"a PNG of no width":                pngOf(0, 1<<31-1),
		"a GIF of 65,535 by 65,535":        gifOf(65_535, 1),
		"a GIF of 60,000 by itself, often": gifOf(60_000, 1000),
		"a JPEG of 65,535 by 65,535":       "\xff\xd8\xff\xc0\x00\x11\x08\xff\xff\xff\xff\x03\x01\x11\x00\x02\x11\x00\x03\x11\x00\xff\xd9",
		"a WebP of 2²⁴ by 2²⁴":             "RIFF\x16\x00\x00\x00WEBPVP8X\x0a\x00\x00\x00\x02\x00\x00\x00\xff\xff\xff\xff\xff\xff",
		"parts of a PNG without end":       "\x89PNG\r\n\x1a\n" + strings.Repeat(chunk("tEXt", "a\x00b"), 100_000),
		"parts of a JPEG without end":      "\xff\xd8" + strings.Repeat("\xff\xe1\x00\x02", 500_000),
		"an endless JPEG of 0xff":          "\xff\xd8" + strings.Repeat("\xff", 5<<20),
		"an SVG with entities":             `<?xml version="1.0"?><!DOCTYPE l [<!ENTITY a "aa"><!ENTITY b "&a;&a;&a;&a;">]><svg xmlns="http://www.w3.org/2000/svg">&b;</svg>`,
	} {
		path := strings.Replace(alice.Do("POST", "/_matrix/media/v3/upload", file).OK().String("content_uri"), "mxc://", "/_matrix/media/v3/thumbnail/", 1)
		for _, query := range []string{"?width=96&height=96", "?width=800&height=600&method=crop", "?width=96&height=96&animated=true"} {
			answer := alice.Do("GET", path+query, nil)
			if answer.Status != http.StatusBadRequest && answer.Status != http.StatusRequestEntityTooLarge || answer.Errcode() == "" {
				t.Errorf("%s%s: %d %s", name, query, answer.Status, httpapi.Clip(string(answer.Body), 200))
			}
		}
		// No picture is enlarged: the answer is the file itself.
		if answer := alice.Do("GET", path+"?width=2147483647&height=2147483647", nil); answer.Status >= 500 || answer.Status == 200 && string(answer.Body) != file {
			t.Errorf("%s, larger: %d, %d bytes", name, answer.Status, len(answer.Body))
		}
	}
	// Very many pictures in one are not more than a few.
	path := strings.Replace(alice.Do("POST", "/_matrix/media/v3/upload", gifOf(200, 200_000)).OK().String("content_uri"), "mxc://", "/_matrix/media/v3/thumbnail/", 1)
	if answer := alice.Do("GET", path+"?width=96&height=96&animated=true", nil); answer.Status >= 500 {
		t.Errorf("an animation of 200,000 pictures: %d %s", answer.Status, httpapi.Clip(string(answer.Body), 200))
	}
}
