package api

import (
	"bytes"
	"fmt"
	"image"
	"image/color"
	"image/gif"
	"image/png"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"homeserver/internal/httpapi"
	"homeserver/internal/matrixtest"
	"homeserver/internal/media"
	"homeserver/internal/media/preview"
	"homeserver/internal/postgres/postgrestest"
	"homeserver/internal/safehttp"
)

const (
	mediaV3     = "/_matrix/media/v3"
	mediaAuthed = "/_matrix/client/v1/media"
)

// newMediaServer runs the API with media of the test's own options.
func newMediaServer(t testing.TB, change func(*media.Options)) *matrixtest.Client {
	t.Helper()
	pool := postgrestest.New(t)
	opts := servicesOn(t, pool)
	own := media.Options{Pool: pool, Dir: t.TempDir(), ServerName: "localhost", Log: opts.HTTP.Logger}
	change(&own)
	var err error
	if opts.Media, err = media.New(own); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(opts.Media.Stop)
	return matrixtest.New(t, newAPI(t, opts).Handler())
}

// sendFile sends a file, with its type.
func sendFile(c *matrixtest.Client, method, path, contentType, content string) *matrixtest.Response {
	c.T.Helper()
	request := c.Request(method, path, content)
	if contentType != "" {
		request.Header.Set("Content-Type", contentType)
	}
	return c.Send(request)
}

// upload returns server and ID of a new file, as in paths.
func upload(c *matrixtest.Client, contentType, filename, content string) string {
	c.T.Helper()
	path := mediaV3 + "/upload"
	if filename != "" {
		path += "?filename=" + matrixtest.Path(filename)[1:]
	}
	return mediaPath(c, sendFile(c, "POST", path, contentType, content).OK().String("content_uri"))
}

func mediaPath(c *matrixtest.Client, uri string) string {
	c.T.Helper()
	path, ok := strings.CutPrefix(uri, "mxc:/")
	if !ok || !strings.HasPrefix(path, "/localhost/") {
		c.T.Fatalf("%q is not the URI of a file here", uri)
	}
	return path
}

func wantHeader(t testing.TB, r *matrixtest.Response, name, want string) {
	t.Helper()
	if got := r.Header.Get(name); got != want {
		t.Errorf("%s is %q, want %q", name, got, want)
	}
}

// picture returns a PNG file of one colour.
func picture(t testing.TB, width, height int) string {
	t.Helper()
	m := image.NewGray(image.Rect(0, 0, width, height))
	var b bytes.Buffer
	if err := png.Encode(&b, m); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// TestMediaInEveryGeneration uploads in one generation of the API and downloads in
// all others.
func TestMediaInEveryGeneration(t *testing.T) {
	t.Parallel()
	anyone := newServer(t)
	alice := anyone.Register("alice", "wordpass")
	for _, generation := range httpapi.OpenMedia {
		uri := sendFile(alice, "POST", generation.Path+"/upload?filename=a.txt", "text/plain", "hello "+generation.Path).OK().String("content_uri")
		path := mediaPath(alice, uri)
		for _, other := range httpapi.OpenMedia {
			for _, end := range []string{"", "/", "/other.txt"} {
				r := anyone.Do("GET", other.Path+"/download"+path+end, nil).OK()
				if string(r.Body) != "hello "+generation.Path {
					t.Errorf("%s: got %q", other.Path, r.Body)
				}
			}
			alice.Do("GET", other.Path+"/config", nil).OK()
		}
		for _, authed := range httpapi.AuthedMedia {
			r := alice.Do("GET", authed.Path+"/download"+path, nil).OK()
			if string(r.Body) != "hello "+generation.Path {
				t.Errorf("%s: got %q", authed.Path, r.Body)
			}
		}
	}
}

func TestMediaNeedsAToken(t *testing.T) {
	t.Parallel()
	anyone := newServer(t)
	path := upload(anyone.Register("alice", "wordpass"), "text/plain", "", "hello")
	for _, call := range [][2]string{
		{"POST", mediaV3 + "/upload"}, {"POST", "/_matrix/media/v1/create"}, {"PUT", mediaV3 + "/upload/localhost/abc"},
		{"GET", mediaV3 + "/config"}, {"GET", mediaV3 + "/preview_url?url=http://example.org/"},
		{"GET", mediaAuthed + "/config"}, {"GET", mediaAuthed + "/preview_url?url=http://example.org/"},
		{"GET", mediaAuthed + "/download" + path}, {"GET", mediaAuthed + "/download" + path + "/a.txt"},
		{"GET", mediaAuthed + "/thumbnail" + path + "?width=1&height=1"},
	} {
		anyone.Do(call[0], call[1], nil).Refused(401, "M_MISSING_TOKEN")
	}
}

func TestDownloadHeaders(t *testing.T) {
	t.Parallel()
	anyone := newServer(t)
	alice := anyone.Register("alice", "wordpass")
	path := upload(alice, "text/plain", "", "hello")
	r := anyone.Do("GET", mediaV3+"/download"+path, nil).OK()
	for name, want := range map[string]string{
		"Content-Type":                 "text/plain",
		"Content-Length":               "5",
		"Content-Disposition":          "inline",
		"Content-Security-Policy":      "sandbox; default-src 'none'; script-src 'none'; plugin-types application/pdf; style-src 'unsafe-inline'; object-src 'self';",
		"Cross-Origin-Resource-Policy": "cross-origin",
		"X-Content-Type-Options":       "nosniff",
		"Access-Control-Allow-Origin":  "*",
		"Cache-Control":                "public, max-age=86400, immutable",
		"Accept-Ranges":                "bytes",
		"ETag":                         `"2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"`,
		"No-Gzip-Compression":          "",
	} {
		wantHeader(t, r, name, want)
	}
	wantHeader(t, alice.Do("GET", mediaAuthed+"/download"+path, nil).OK(), "Cache-Control", "private, max-age=86400, immutable")
	head := anyone.Do("HEAD", mediaV3+"/download"+path, nil).OK()
	wantHeader(t, head, "Content-Length", "5")
	if len(head.Body) != 0 {
		t.Errorf("the answer to HEAD has a body: %q", head.Body)
	}
}

func TestContentDisposition(t *testing.T) {
	t.Parallel()
	anyone := newServer(t)
	alice := anyone.Register("alice", "wordpass")
	for _, test := range []struct{ contentType, filename, want string }{
		{"image/png", "", "inline"},
		{"image/png", "cat.png", "inline; filename=cat.png"},
		{"IMAGE/PNG", "my cat.png", `inline; filename="my cat.png"`},
		{"text/plain; charset=utf-8", "", "inline"},
		{"text/html", "page.html", "attachment; filename=page.html"},
		{"image/svg+xml", "", "attachment"},
		{"application/pdf", "War and Peace.pdf", `attachment; filename="War and Peace.pdf"`},
		{"application/javascript", "", "attachment"},
		{"text/xml", "", "attachment"},
		{"", "", "attachment"},
		{"nonsense", "", "attachment"},
		{"audio/ogg", `say "hi"\now`, `inline; filename="say \"hi\"\\now"`},
		{"video/mp4", "Война.mp4", "inline; filename*=utf-8''%D0%92%D0%BE%D0%B9%D0%BD%D0%B0.mp4"},
		{"video/mp4", "a\r\nSet-Cookie: b", "inline; filename*=utf-8''a%0D%0ASet-Cookie%3A%20b"},
		{"video/mp4", "../../etc/passwd", `inline; filename="../../etc/passwd"`},
	} {
		path := upload(alice, test.contentType, test.filename, "content")
		wantHeader(t, anyone.Do("GET", mediaV3+"/download"+path, nil).OK(), "Content-Disposition", test.want)
	}
	path := upload(alice, "image/png", "uploaded.png", "content")
	r := anyone.Do("GET", mediaV3+"/download"+path+"/wanted%2F1.png", nil).OK()
	wantHeader(t, r, "Content-Disposition", `inline; filename="wanted/1.png"`)
	wantHeader(t, anyone.Do("GET", mediaV3+"/download"+upload(alice, "", "", "x"), nil).OK(), "Content-Type", "application/octet-stream")
}

func TestDownloadOfParts(t *testing.T) {
	t.Parallel()
	anyone := newServer(t)
	alice := anyone.Register("alice", "wordpass")
	content := strings.Repeat("0123456789", 1000)
	path := mediaV3 + "/download" + upload(alice, "text/plain", "", content)
	get := func(header, value string) *matrixtest.Response {
		request := anyone.Request("GET", path, nil)
		request.Header.Set("Accept-Encoding", "gzip")
		request.Header.Set(header, value)
		return anyone.Send(request)
	}
	whole := get("X-Other", "1").OK()
	wantHeader(t, whole, "Content-Encoding", "")
	if string(whole.Body) != content {
		t.Error("the whole file is not what was uploaded")
	}
	part := get("Range", "bytes=5000-6999")
	if part.Status != http.StatusPartialContent || string(part.Body) != content[5000:7000] {
		t.Errorf("a part: status %d, %d bytes", part.Status, len(part.Body))
	}
	wantHeader(t, part, "Content-Range", "bytes 5000-6999/10000")
	wantHeader(t, part, "Content-Encoding", "")
	if tail := get("Range", "bytes=-3"); string(tail.Body) != "789" {
		t.Errorf("the end: got %q", tail.Body)
	}
	if beyond := get("Range", "bytes=10000-"); beyond.Status != http.StatusRequestedRangeNotSatisfiable {
		t.Errorf("beyond the end: status %d", beyond.Status)
	}
	same := get("If-None-Match", whole.Header.Get("ETag"))
	if same.Status != http.StatusNotModified || len(same.Body) != 0 {
		t.Errorf("unchanged: status %d, %d bytes", same.Status, len(same.Body))
	}
	get("If-None-Match", `"other"`).OK()
	if since := get("If-Modified-Since", whole.Header.Get("Last-Modified")); since.Status != http.StatusNotModified {
		t.Errorf("not modified since: status %d", since.Status)
	}
}

// TestRangesThatAreNoneOfOurs: a Range of an unknown unit, or malformed, was refused,
// in plain text. RFC 9110, section 14.2.
func TestRangesThatAreNoneOfOurs(t *testing.T) {
	t.Parallel()
	anyone := newServer(t)
	alice := anyone.Register("alice", "wordpass")
	path := upload(alice, "video/mp4", "a.mp4", "0123456789")
	ask := func(method, name, value string) *matrixtest.Response {
		request := alice.Request(method, mediaAuthed+"/download"+path, nil)
		request.Header.Set(name, value)
		return alice.Send(request)
	}
	for _, header := range []string{"items=0-1", "bytes=abc", "bytes=5-2", "bytes", "0-1"} {
		r := ask("GET", "Range", header).OK()
		if string(r.Body) != "0123456789" || r.Header.Get("Content-Range") != "" {
			t.Errorf("%s: got %q, %s", header, r.Body, r.Header.Get("Content-Range"))
		}
	}
	if r := ask("GET", "Range", "Bytes=8-99999999999999999999"); r.Status != 206 || string(r.Body) != "89" {
		t.Errorf("to the end: got %d, %q", r.Status, r.Body)
	}
	if r := ask("GET", "Range", "bytes=2-3,5-6,700-"); r.Status != 206 || !strings.Contains(string(r.Body), "bytes 5-6/10") {
		t.Errorf("two ranges: got %d, %q", r.Status, r.Body)
	}
	wantHeader(t, ask("HEAD", "Range", "bytes=0-1").OK(), "Content-Length", "10")
	for _, header := range []string{"bytes=500-", "bytes=-0", "bytes=10-12,99-"} {
		r := ask("GET", "Range", header)
		r.Refused(416, "M_INVALID_PARAM")
		for name, want := range map[string]string{
			"Content-Range": "bytes */10", "Content-Type": "application/json", "Content-Disposition": "", "ETag": "", "Cache-Control": "no-store",
		} {
			wantHeader(t, r, name, want)
		}
	}
	ask("GET", "If-Match", `"another"`).Refused(412, "M_INVALID_PARAM")
}

// Before there was a setting, anybody who knew the address of a file got it. Section "Content
// repository", freezing unauthenticated media.
func TestMediaCanBeClosedToStrangers(t *testing.T) {
	t.Parallel()
	opts := services(t)
	opts.MediaClosed = true
	anyone := matrixtest.New(t, newAPI(t, opts).Handler())
	alice := anyone.Register("alice", "wordpass")
	path := upload(alice, "image/png", "a.png", picture(t, 20, 20))
	for _, generation := range httpapi.OpenMedia {
		for _, open := range []string{"/download" + path, "/download" + path + "/b.png", "/thumbnail" + path + "?width=5&height=5"} {
			anyone.Do("GET", generation.Path+open, nil).Refused(404, "M_NOT_FOUND")
			alice.Do("GET", generation.Path+open, nil).Refused(404, "M_NOT_FOUND")
		}
		alice.Do("GET", generation.Path+"/config", nil).OK()
	}
	alice.Do("GET", mediaAuthed+"/download"+path, nil).OK()
	alice.Do("GET", mediaAuthed+"/download"+path+"/b.png", nil).OK()
	alice.Do("GET", mediaAuthed+"/thumbnail"+path+"?width=5&height=5", nil).OK()
}

func TestDownloadRefused(t *testing.T) {
	t.Parallel()
	anyone := newServer(t)
	alice := anyone.Register("alice", "wordpass")
	id := strings.TrimPrefix(upload(alice, "text/plain", "", "hello"), "/localhost/")
	for _, path := range []string{
		"/localhost/unknown", "/example.org/" + id, "/example.org/" + id + "?allow_remote=false", "/matrix.org:8448/" + id,
		"/localhost/..%2F..%2F..%2Fetc%2Fpasswd", "/localhost/%2e%2e", "/%2e%2e/" + id, "/localhost/" + id + ".", "/127.0.0.1/..%5c..%5cetc",
	} {
		anyone.Do("GET", mediaV3+"/download"+path, nil).Refused(404, "M_NOT_FOUND")
		alice.Do("GET", mediaAuthed+"/download"+path, nil).Refused(404, "M_NOT_FOUND")
	}
	anyone.Do("GET", mediaV3+"/download/localhost/"+id+"%00", nil).Refused(400, "M_INVALID_PARAM")
	anyone.Do("GET", mediaV3+"/download/localhost/%ff", nil).Refused(400, "M_INVALID_PARAM")
	anyone.Do("GET", mediaV3+"/download/localhost/"+id+"?timeout_ms=soon", nil).Refused(400, "M_INVALID_PARAM")
	anyone.Do("GET", mediaV3+"/download/localhost/"+id+"?timeout_ms=-1", nil).Refused(400, "M_INVALID_PARAM")
	anyone.Do("GET", mediaV3+"/download/localhost/"+id+"?allow_remote=true&allow_redirect=true&timeout_ms=99999999999999999999", nil).OK()
	anyone.Do("DELETE", mediaV3+"/download/localhost/"+id, nil).Refused(405, "M_UNRECOGNIZED")
}

func TestUploadLater(t *testing.T) {
	t.Parallel()
	anyone := newServer(t)
	alice, bob := anyone.Register("alice", "wordpass"), anyone.Register("bob", "wordpass")
	created := alice.Do("POST", "/_matrix/media/v1/create", nil).OK()
	path := mediaPath(alice, created.String("content_uri"))
	expires, _ := created.At("unused_expires_at").(float64)
	if left := time.Until(time.UnixMilli(int64(expires))); left < 23*time.Hour || left > 25*time.Hour {
		t.Errorf("it expires in %v", left)
	}
	early := anyone.Do("GET", mediaV3+"/download"+path+"?timeout_ms=0", nil)
	early.Refused(504, "M_NOT_YET_UPLOADED")
	alice.Do("GET", mediaAuthed+"/thumbnail"+path+"?width=5&height=5&timeout_ms=0", nil).Refused(504, "M_NOT_YET_UPLOADED")
	sendFile(bob, "PUT", mediaV3+"/upload"+path, "text/plain", "mine").Refused(403, "M_FORBIDDEN")

	waiting := make(chan *matrixtest.Response)
	go func() { waiting <- anyone.Do("GET", mediaV3+"/download"+path, nil) }()
	stored := sendFile(alice, "PUT", mediaV3+"/upload"+path+"?filename=later.txt", "text/plain", "at last").OK()
	if string(stored.Body) != "{}\n" {
		t.Errorf("got %s", stored.Body)
	}
	r := (<-waiting).OK()
	wantHeader(t, r, "Content-Disposition", "inline; filename=later.txt")
	if string(r.Body) != "at last" {
		t.Errorf("got %q", r.Body)
	}
	sendFile(alice, "PUT", mediaV3+"/upload"+path, "text/plain", "again").Refused(409, "M_CANNOT_OVERWRITE_MEDIA")
	sendFile(alice, "PUT", mediaV3+"/upload/localhost/unknown", "text/plain", "x").Refused(404, "M_NOT_FOUND")
	sendFile(alice, "PUT", mediaV3+"/upload/example.org/unknown", "text/plain", "x").Refused(404, "M_NOT_FOUND")
}

func TestUploadLimits(t *testing.T) {
	t.Parallel()
	anyone := newMediaServer(t, func(o *media.Options) {
		o.MaxUploadBytes, o.UserQuotaBytes, o.MaxAwaited = 2<<20, 3<<20, 1
	})
	alice := anyone.Register("alice", "wordpass")
	for _, path := range []string{mediaV3, mediaAuthed} {
		if size := alice.Do("GET", path+"/config", nil).OK().At("m.upload.size"); size != float64(2<<20) {
			t.Errorf("clients are told of %v bytes", size)
		}
	}
	// More than a JSON body may have.
	upload(alice, "text/plain", "", strings.Repeat("x", 2<<20))
	sendFile(alice, "POST", mediaV3+"/upload", "text/plain", strings.Repeat("x", 2<<20+1)).Refused(413, "M_TOO_LARGE")
	sendFile(alice, "POST", mediaV3+"/upload", "text/plain", strings.Repeat("x", 1<<20+1)).Refused(403, "M_FORBIDDEN")
	sendFile(alice, "POST", mediaV3+"/upload?filename="+strings.Repeat("n", 1025), "", "x").Refused(400, "M_INVALID_PARAM")
	alice.Do("POST", "/_matrix/media/v1/create", nil).OK()
	refused := alice.Do("POST", "/_matrix/media/v1/create", nil)
	refused.Refused(429, "M_LIMIT_EXCEEDED")
	wantHeader(t, refused, "Retry-After", "60")
}

// TestUploadInChunks has no Content-Length, as when a script sends what it makes.
func TestUploadInChunks(t *testing.T) {
	t.Parallel()
	anyone := newServer(t)
	alice := anyone.Register("alice", "wordpass")
	request := alice.Request("POST", mediaV3+"/upload", nil)
	request.Body = io.NopCloser(io.MultiReader(strings.NewReader("one "), strings.NewReader("two")))
	request.ContentLength = -1
	path := mediaPath(alice, alice.Send(request).OK().String("content_uri"))
	if r := anyone.Do("GET", mediaV3+"/download"+path, nil).OK(); string(r.Body) != "one two" {
		t.Errorf("got %q", r.Body)
	}
}

func TestThumbnails(t *testing.T) {
	t.Parallel()
	anyone := newServer(t)
	alice := anyone.Register("alice", "wordpass")
	path := upload(alice, "image/png", "cat.png", picture(t, 800, 400))
	for _, generation := range slices.Concat(httpapi.OpenMedia, httpapi.AuthedMedia) {
		for query, want := range map[string]image.Point{
			"width=96&height=96&method=crop":                 {X: 96, Y: 96},
			"width=320&height=240&method=scale":              {X: 480, Y: 240},
			"width=320&height=240":                           {X: 480, Y: 240},
			"width=5000&height=5000&animated=true":           {X: 800, Y: 400},
			"width=50&height=100&method=crop&animated=false": {X: 160, Y: 320},
		} {
			r := alice.Do("GET", generation.Path+"/thumbnail"+path+"?"+query, nil).OK()
			m, kind, err := image.Decode(bytes.NewReader(r.Body))
			if err != nil || m.Bounds().Size() != want || r.Header.Get("Content-Type") != "image/"+kind {
				t.Errorf("%s: got %v of type %s, %v", query, m.Bounds(), r.Header.Get("Content-Type"), err)
			}
			name := map[string]string{"jpeg": "thumbnail.jpg", "png": "thumbnail.png"}[kind]
			wantHeader(t, r, "Content-Disposition", "inline; filename="+name)
			wantHeader(t, r, "Cross-Origin-Resource-Policy", "cross-origin")
		}
	}
	request := anyone.Request("GET", mediaV3+"/thumbnail"+path+"?width=96&height=96&method=crop", nil)
	etag := anyone.Send(request).OK().Header.Get("ETag")
	request = anyone.Request("GET", mediaV3+"/thumbnail"+path+"?width=96&height=96&method=crop", nil)
	request.Header.Set("If-None-Match", etag)
	if same := anyone.Send(request); same.Status != http.StatusNotModified {
		t.Errorf("unchanged: status %d", same.Status)
	}
}

func TestAnimatedThumbnail(t *testing.T) {
	t.Parallel()
	anyone := newServer(t)
	alice := anyone.Register("alice", "wordpass")
	g := &gif.GIF{}
	for i := range 3 {
		frame := image.NewPaletted(image.Rect(0, 0, 200, 200), color.Palette{color.Black, color.White})
		frame.Pix[i] = 1
		g.Image, g.Delay = append(g.Image, frame), append(g.Delay, 10)
	}
	var file bytes.Buffer
	if err := gif.EncodeAll(&file, g); err != nil {
		t.Fatal(err)
	}
	path := upload(alice, "image/gif", "", file.String())
	moving := alice.Do("GET", mediaAuthed+"/thumbnail"+path+"?width=96&height=96&animated=true", nil).OK()
	wantHeader(t, moving, "Content-Type", "image/gif")
	if small, err := gif.DecodeAll(bytes.NewReader(moving.Body)); err != nil || len(small.Image) != 3 {
		t.Errorf("it doesn't move: %v", err)
	}
	for _, animated := range []string{"", "&animated=false"} {
		still := alice.Do("GET", mediaAuthed+"/thumbnail"+path+"?width=96&height=96"+animated, nil).OK()
		wantHeader(t, still, "Content-Type", "image/jpeg")
	}
}

func TestThumbnailRefused(t *testing.T) {
	t.Parallel()
	anyone := newServer(t)
	alice := anyone.Register("alice", "wordpass")
	path := mediaV3 + "/thumbnail" + upload(alice, "image/png", "", picture(t, 8, 8))
	for query, errcode := range map[string]string{
		"":                                "M_MISSING_PARAM",
		"width=5":                         "M_MISSING_PARAM",
		"height=5":                        "M_MISSING_PARAM",
		"width=5&height=tall":             "M_INVALID_PARAM",
		"width=5.5&height=5":              "M_INVALID_PARAM",
		"width=-5&height=5":               "M_INVALID_PARAM",
		"width=0&height=5":                "M_INVALID_PARAM",
		"width=5&height=5&method=squeeze": "M_INVALID_PARAM",
		"width=5&height=5&animated=maybe": "M_INVALID_PARAM",
		"width=5&height=5&timeout_ms=x":   "M_INVALID_PARAM",
	} {
		anyone.Do("GET", path+"?"+query, nil).Refused(400, errcode)
	}
	text := mediaV3 + "/thumbnail" + upload(alice, "image/png", "", "no picture")
	anyone.Do("GET", text+"?width=5&height=5", nil).Refused(400, "M_UNKNOWN")
	anyone.Do("GET", mediaV3+"/thumbnail/localhost/unknown?width=5&height=5", nil).Refused(404, "M_NOT_FOUND")
	anyone.Do("GET", mediaV3+"/thumbnail/example.org/abc?width=5&height=5", nil).Refused(404, "M_NOT_FOUND")
	anyone.Do("GET", mediaV3+"/thumbnail/localhost/..%2f..%2fpasswd?width=5&height=5", nil).Refused(404, "M_NOT_FOUND")
	bomb := upload(alice, "image/png", "", picture(t, 8, 8)[:16]+"\x00\x01\x86\xa0\x00\x01\x86\xa0\x08\x00\x00\x00\x00")
	anyone.Do("GET", mediaV3+"/thumbnail"+bomb+"?width=5&height=5", nil).Refused(400, "M_UNKNOWN") // its checksum is wrong
}

func TestPreviewURL(t *testing.T) {
	t.Parallel()
	site := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/cat.png":
			w.Header().Set("Content-Type", "image/png")
			_, _ = io.WriteString(w, picture(t, 30, 20))
		case "/":
			w.Header().Set("Content-Type", "text/html")
			_, _ = io.WriteString(w, `<meta property="og:title" content="Cats &lt;3"><meta property="og:image" content="cat.png">`)
		default:
			http.NotFound(w, r)
		}
	}))
	t.Cleanup(site.Close)
	pool := postgrestest.New(t)
	opts := servicesOn(t, pool)
	opts.Previews = preview.New(preview.Options{Pool: pool, Files: opts.Media, Client: safehttp.New(safehttp.Options{
		AllowedRanges: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")},
	})})
	anyone := matrixtest.New(t, newAPI(t, opts).Handler())
	alice := anyone.Register("alice", "wordpass")
	ask := func(prefix, link string) *matrixtest.Response {
		return alice.Do("GET", prefix+"/preview_url?ts=1510610716656&url="+matrixtest.Path(link)[1:], nil)
	}
	for _, prefix := range slices.Concat(httpapi.OpenMedia, httpapi.AuthedMedia) {
		r := ask(prefix.Path, site.URL).OK()
		if r.String("og:title") != "Cats <3" || r.At("og:image:width") != 30.0 || r.At("og:image:height") != 20.0 || r.String("og:image:type") != "image/png" {
			t.Errorf("got %s", r.Body)
		}
		wantHeader(t, r, "Content-Type", "application/json")
		got := anyone.Do("GET", mediaV3+"/download"+mediaPath(alice, r.String("og:image")), nil).OK()
		if fmt.Sprint(r.At("matrix:image:size")) != fmt.Sprint(len(got.Body)) {
			t.Errorf("the picture has %d bytes, not %v", len(got.Body), r.At("matrix:image:size"))
		}
	}
	alice.Do("GET", mediaV3+"/preview_url", nil).Refused(400, "M_MISSING_PARAM")
	ask(mediaV3, "ftp://example.org/").Refused(400, "M_INVALID_PARAM")
	ask(mediaV3, "http://[::1]/").Refused(502, "M_UNKNOWN")
	ask(mediaV3, site.URL+"/missing").Refused(502, "M_UNKNOWN")
}

func TestPreviewsAreOffByDefault(t *testing.T) {
	t.Parallel()
	alice := newServer(t).Register("alice", "wordpass")
	alice.Do("GET", mediaV3+"/preview_url?url=https://matrix.org/", nil).Refused(403, "M_FORBIDDEN")
}
