package media

import (
	"mime"
	"testing"
	"unicode/utf8"
)

// FuzzContentType makes sure that what is kept of a Content-Type can be sent again.
func FuzzContentType(f *testing.F) {
	for _, seed := range []string{"", "image/png", "text/html; charset=utf-8", "a/b\r\nSet-Cookie: c", "text/plain; a=\"", "ü/ü", "multipart/form-data; boundary=\x00"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, contentType string) {
		kept := cleanContentType(contentType)
		if _, _, err := mime.ParseMediaType(kept); err != nil || !utf8.ValidString(kept) {
			t.Errorf("%q is kept as %q: %v", contentType, kept, err)
		}
		for _, c := range []byte(kept) {
			if c < ' ' || c > '~' {
				t.Errorf("%q is kept as %q", contentType, kept)
			}
		}
	})
}
