package client

import (
	"mime"
	"strings"
	"testing"
	"unicode/utf8"
)

// FuzzDisposition makes sure that a file may be called anything: its name stays in its
// header, and decides nothing.
func FuzzDisposition(f *testing.F) {
	for _, seed := range [][2]string{
		{"image/png", "a.png"}, {"text/html", "ü\".html"}, {"a/b; c=d", "\r\nX: y"}, {"", strings.Repeat("a", 300)},
		{"text/plain; charset=\"", "\xff\x00"}, {"IMAGE/PNG ; q", ""}, {"image/svg+xml", "\\"},
	} {
		f.Add(seed[0], seed[1])
	}
	f.Fuzz(func(t *testing.T, contentType, name string) {
		got := disposition(contentType, name)
		kind, params, err := mime.ParseMediaType(got)
		if err != nil || kind != "inline" && kind != "attachment" || strings.ContainsAny(got, "\r\n\x00") {
			t.Fatalf("%q, %q: %q, %v", contentType, name, got, err)
		}
		if utf8.ValidString(name) && params["filename"] != name {
			t.Errorf("%q is called %q", name, params["filename"])
		}
		mediaType, _, err := mime.ParseMediaType(contentType)
		if shown := err == nil && isInline(mediaType); shown != (kind == "inline") {
			t.Errorf("%q: %q", contentType, got)
		}
	})
}
