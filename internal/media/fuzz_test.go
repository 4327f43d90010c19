package media

import (
	"mime"
	"testing"
	"unicode/utf8"
)

// FuzzLink makes sure that a link which is followed is one that leads to a web site,
// and is the same when it is read again.
func FuzzLink(f *testing.F) {
	for _, seed := range []string{
		"https://example.org/a?b=c#d", "http://user:pass@example.org", "http://[::1]:80/", "HTTP://EXAMPLE.ORG", "file:///etc/passwd", "http:///x",
		"http://example.org\x00", "//x", "http://a@b@c/", "https://example.org:port/", "http://%41/", "http://x/%zz",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, link string) {
		u, err := parseLink(link)
		if err != nil {
			return
		}
		if u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" || u.User != nil || u.Fragment != "" {
			t.Errorf("%q leads to %q", link, u)
		}
		again, err := parseLink(u.String())
		if err == nil && again.Host != u.Host {
			t.Errorf("%q leads to %q or %q", link, u.Host, again.Host)
		}
	})
}

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
