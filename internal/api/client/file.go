package client

import (
	"fmt"
	"io"
	"mime"
	"net/http"

	"github.com/klauspost/compress/gzhttp"

	"homeserver/internal/httpapi"
	"homeserver/internal/matrix"
	"homeserver/internal/media"
)

// fileAnswer is a file that is sent as it is.
type fileAnswer struct {
	*media.File
	cache   string // who may keep it: public or private
	request *httpapi.Request
}

// contentSecurityPolicy is the one that section "Content repository" recommends.
const contentSecurityPolicy = "sandbox; default-src 'none'; script-src 'none'; plugin-types application/pdf; style-src 'unsafe-inline'; object-src 'self';"

// ServeHTTP sends the file, or the parts of it that are wanted, or only that it has not
// changed, and closes it. Content is never compressed on the way: its length and its
// parts are those of the file. It may be cached for a day without asking again, since
// the file of an ID never changes, though it may be gone. M_INVALID_PARAM with 416 for
// ranges that are all beyond the end, with 412 for preconditions that don't hold.
func (f fileAnswer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	defer f.Close() //nolint:errcheck // it was only read
	r, err := f.withKnownRange(r)
	if err != nil {
		f.request.Refuse(w, err)
		return
	}
	h := w.Header()
	h.Set(gzhttp.HeaderNoCompression, "1")
	h.Set("Cache-Control", f.cache+", max-age=86400, immutable")
	h.Set("Content-Type", f.ContentType)
	h.Set("Content-Disposition", disposition(f.ContentType, f.Filename))
	h.Set("Content-Security-Policy", contentSecurityPolicy)
	h.Set("Cross-Origin-Resource-Policy", "cross-origin")
	h.Set("ETag", `"`+f.ETag+`"`)
	content := &contentWriter{ResponseWriter: w}
	http.ServeContent(content, r, "", f.Modified, f)
	if content.refused == 0 {
		return
	}
	for _, name := range []string{"Content-Disposition", "Content-Security-Policy", "ETag", "Last-Modified"} {
		h.Del(name)
	}
	h.Set("Cache-Control", "no-store")
	f.request.Refuse(w, content.refusal())
}

// withKnownRange returns the request with its Range as http.ServeContent understands it,
// or with none. Ranges are defined for GET alone: RFC 9110, section 14.2.
func (f fileAnswer) withKnownRange(r *http.Request) (*http.Request, error) {
	header := r.Header.Get("Range")
	if header == "" {
		return r, nil
	}
	size, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return r, fmt.Errorf("find the size of a file: %w", err)
	}
	known := r.WithContext(r.Context())
	known.Header = r.Header.Clone()
	known.Header.Del("Range")
	if ranges := byteRanges(header, size); ranges != "" && r.Method == http.MethodGet {
		known.Header.Set("Range", ranges)
	}
	return known, nil
}

// contentWriter intercepts the refusals of http.ServeContent, which are plain text.
type contentWriter struct {
	http.ResponseWriter
	refused int // the status; 0: none
}

// WriteHeader begins the answer, unless it is a refusal.
func (c *contentWriter) WriteHeader(status int) {
	if status >= http.StatusBadRequest {
		c.refused = status
		return
	}
	c.ResponseWriter.WriteHeader(status)
}

// Write sends a piece of the file.
func (c *contentWriter) Write(p []byte) (int, error) {
	if c.refused != 0 {
		return len(p), nil
	}
	return c.ResponseWriter.Write(p)
}

// refusal returns the standard error for an intercepted refusal of HTTP itself. RFC 9110,
// sections 15.5.13 and 15.5.17.
func (c *contentWriter) refusal() error {
	switch c.refused {
	case http.StatusPreconditionFailed:
		return &matrix.Error{Code: matrix.InvalidParam, Message: "the file does not meet the conditions of the request", Status: c.refused}
	case http.StatusRequestedRangeNotSatisfiable:
		return &matrix.Error{Code: matrix.InvalidParam, Message: "no part of the range is in the file", Status: c.refused}
	default:
		return fmt.Errorf("send a file: %s", http.StatusText(c.refused))
	}
}

// disposition returns the header that says whether a file may be shown, and its name.
// Names that are not plain ASCII are encoded by RFC 8187.
func disposition(contentType, filename string) string {
	kind := "attachment"
	if mediaType, _, err := mime.ParseMediaType(contentType); err == nil && isInline(mediaType) {
		kind = "inline"
	}
	if filename == "" {
		return kind
	}
	return mime.FormatMediaType(kind, map[string]string{"filename": filename})
}

// isInline reports whether browsers may show files of a type, and not only save them:
// section "Serving inline content".
func isInline(mediaType string) bool {
	switch mediaType {
	case "text/css", "text/plain", "text/csv", "application/json", "application/ld+json",
		"image/jpeg", "image/gif", "image/png", "image/apng", "image/webp", "image/avif",
		"video/mp4", "video/webm", "video/ogg", "video/quicktime",
		"audio/mp4", "audio/webm", "audio/aac", "audio/mpeg", "audio/ogg", "audio/wave", "audio/wav",
		"audio/x-wav", "audio/x-pn-wav", "audio/flac", "audio/x-flac":
		return true
	}
	return false
}
