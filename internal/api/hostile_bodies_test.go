package api

import (
	"bytes"
	"compress/gzip"
	"net/http"
	"strings"
	"testing"

	"homeserver/internal/httpapi"
	"homeserver/internal/matrixtest"
)

// The files that are called hostile_… send what is meant to hurt: it must be refused
// in the form of the protocol, without a 5xx, and before the patience of the test's
// HTTP client is over.

// hugeBodies returns bodies near the greatest size that are cheap to send and may be
// expensive to read.
func hugeBodies() map[string]string {
	const size = 1 << 20
	repeat := func(before, piece, after string) string {
		return before + strings.Repeat(piece, (size-len(before)-len(after))/len(piece)) + after
	}
	return map[string]string{
		"deep arrays":       strings.Repeat("[", size/2) + strings.Repeat("]", size/2),
		"open arrays":       repeat("", "[", ""),
		"deep objects":      repeat("", `{"a":`, ""),
		"a long number":     repeat(`{"limit":1`, "0", "}"),
		"a large exponent":  repeat(`{"limit":1e9`, "9", "}"),
		"many names":        manyNames(size),
		"one name, often":   repeat(`{"a":0`, `,"a":0`, "}"),
		"NULs":              repeat("", "\x00", ""),
		"escaped NULs":      repeat(`{"reason":"`, `\u0000`, `"}`),
		"broken UTF-8":      repeat(`{"reason":"`, "\xff", `"}`),
		"half surrogates":   repeat(`{"reason":"`, `\ud800`, `"}`),
		"spaces":            repeat("", " ", "{}"),
		"one field of form": repeat("user=", "%41", ""),
		"fields of a form":  repeat("a=", "&a=", ""),
	}
}

func manyNames(size int) string {
	var b strings.Builder
	b.WriteString("{")
	for i := 0; b.Len() < size-20; i++ {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(`"k` + strings.Repeat("k", i%7) + string(rune('a'+i%26)) + `_`)
		for n := i; n > 0; n /= 16 {
			b.WriteByte("0123456789abcdef"[n%16])
		}
		b.WriteString(`":0`)
	}
	return b.String() + "}"
}

// TestNoRouteFailsOnHugeBodies sends each of them to each endpoint with a body.
func TestNoRouteFailsOnHugeBodies(t *testing.T) {
	matrixtest.Long(t)
	nonsense(t, func(rt httpapi.Route, p *place) {
		if rt.Method == http.MethodGet || rt.Handler.Streams {
			return
		}
		for _, body := range hugeBodies() {
			p.try(rt.Method, p.path(rt, "", ""), body)
		}
	})
}

// TestNoRouteFailsOnGiantLists puts a list of as many IDs as fit into each field of
// each endpoint.
func TestNoRouteFailsOnGiantLists(t *testing.T) {
	matrixtest.Long(t)
	lists := []string{
		`["@a:localhost"` + strings.Repeat(`,"@a:localhost"`, 50_000) + `]`,
		`["!a:localhost"` + strings.Repeat(`,"*"`, 100_000) + `]`,
		`[{}` + strings.Repeat(`,{}`, 100_000) + `]`,
	}
	nonsense(t, func(rt httpapi.Route, p *place) {
		for _, field := range bodyFields[rt.Method+" "+rt.Path] {
			for _, list := range lists {
				p.try(rt.Method, p.path(rt, "", ""), `{"`+field+`":`+list+`}`)
			}
		}
	})
}

// A body that is said to be compressed is not unpacked, so that no bomb goes off.
func TestCompressedBodiesAreNotUnpacked(t *testing.T) {
	matrixtest.Long(t)
	t.Parallel()
	var bomb bytes.Buffer
	w, err := gzip.NewWriterLevel(&bomb, gzip.BestCompression)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(bytes.Repeat([]byte(" "), 100<<20)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	server := newServer(t)
	alice := server.Register("alice", "wordpass")
	room := alice.CreateRoom(nil)
	for _, encoding := range []string{"gzip", "deflate", "br", "gzip, gzip, gzip"} {
		r := alice.Request("PUT", matrixtest.Path("rooms", room, "send", "m.room.message", encoding), bomb.Bytes())
		r.Header.Set("Content-Encoding", encoding)
		alice.Send(r).Refused(400, "M_NOT_JSON")
		r = server.Request("POST", "/login", bomb.Bytes())
		r.Header.Set("Content-Encoding", encoding)
		server.Send(r).Refused(400, "M_NOT_JSON")
	}
}
