package preview

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/iotest"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5/pgxpool"

	"homeserver/internal/matrix"
	"homeserver/internal/matrixtest"
	"homeserver/internal/media"
	"homeserver/internal/media/blob"
	"homeserver/internal/media/blob/blobtest"
	"homeserver/internal/media/picture/picturetest"
	"homeserver/internal/postgres/postgrestest"
	"homeserver/internal/safehttp"
)

func TestMain(m *testing.M) { postgrestest.Main(m) }

// env is a service on a database and a storage of its own, with a clock that stands still.
type env struct {
	*Service
	pool    *pgxpool.Pool
	clock   matrixtest.Clock
	dir     string // of the folder; of what is being received if it is a bucket
	storage media.Storage
}

// newEnv makes one with a folder, or with a bucket for the tests that are run by
// TestOnABucket.
func newEnv(t testing.TB, change func(*Options)) *env {
	t.Helper()
	h := &env{pool: postgrestest.New(t), dir: filepath.Join(t.TempDir(), "media")}
	if strings.HasPrefix(t.Name(), "TestOnABucket/") {
		h.storage = blobtest.New(t).OpenAt(t, h.dir)
	} else {
		folder, err := blob.OpenFolder(h.dir)
		if err != nil {
			t.Fatal(err)
		}
		h.storage = folder
	}
	o := Options{Pool: h.pool, Files: h.files(t, h.storage), Log: slog.New(slog.DiscardHandler), Now: h.clock.Now}
	if change != nil {
		change(&o)
	}
	h.Service = New(o)
	return h
}

func (h *env) files(t testing.TB, storage media.Storage) *media.Service {
	t.Helper()
	files, err := media.New(media.Options{
		Pool: h.pool, Storage: storage, ServerName: "localhost", Log: slog.New(slog.DiscardHandler), Now: h.clock.Now,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(files.Stop)
	return files
}

// newPreviews returns a service that makes previews of pages on this machine.
func newPreviews(t testing.TB) *env {
	t.Helper()
	return newEnv(t, func(o *Options) {
		o.Client = safehttp.New(safehttp.Options{
			AllowedRanges: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")},
			MaxRedirects:  3,
			MaxBodyBytes:  maxPictureBytes,
		})
	})
}

// preview returns a preview, decoded.
func (h *env) preview(t testing.TB, url string) map[string]any {
	t.Helper()
	answer, err := h.Preview(t.Context(), url)
	if err != nil {
		t.Fatalf("%s: %v", url, err)
	}
	var properties map[string]any
	if err := json.Unmarshal(answer, &properties); err != nil {
		t.Fatalf("%s: %v", answer, err)
	}
	return properties
}

// download returns the content and the type of a file.
func (h *env) download(t testing.TB, uri string) (content, contentType string) {
	t.Helper()
	id, ours := strings.CutPrefix(uri, "mxc://localhost/")
	file, err := h.o.Files.Open(t.Context(), "localhost", id, 0)
	if err != nil || !ours {
		t.Fatalf("%s: %v", uri, err)
	}
	bytes, err := io.ReadAll(file)
	if err := errors.Join(err, file.Close()); err != nil {
		t.Fatal(err)
	}
	return string(bytes), file.ContentType
}

// wantFiles fails the test unless there are so many files, and nothing else is left of
// their making.
func (h *env) wantFiles(t testing.TB, want int) {
	t.Helper()
	var keys []string
	if err := h.storage.Walk(t.Context(), "content/", func(key string, _ int64) error {
		keys = append(keys, key)
		return nil
	}); err != nil || len(keys) != want {
		t.Errorf("there are %d files, want %d: %v (%v)", len(keys), want, keys, err)
	}
	if left, err := os.ReadDir(filepath.Join(h.dir, "temp")); err != nil || len(left) > 0 {
		t.Errorf("%v was left behind (%v)", left, err)
	}
	var held int
	if err := h.pool.QueryRow(t.Context(), `SELECT count(*) FROM media_storing`).Scan(&held); err != nil || held != 0 {
		t.Errorf("%d files are held still, %v", held, err)
	}
}

// breakingOff returns a body that breaks off after its text.
func breakingOff(text string) io.Reader {
	return io.MultiReader(strings.NewReader(text), iotest.ErrReader(errors.New("connection lost")))
}

// TestOnABucket runs the tests that keep pictures once more, on a bucket: newEnv sees
// that by their names.
func TestOnABucket(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]func(*testing.T){
		"TestPreview": TestPreview, "TestPreviewIsKept": TestPreviewIsKept, "TestPreviewWithoutItsPicture": TestPreviewWithoutItsPicture,
	} {
		t.Run(name, test)
	}
}

// site is a web site on this machine, made of pages by path.
type site struct {
	*httptest.Server
	visits atomic.Int32
}

type page struct {
	contentType string
	body        string
	status      int // 0 means 200
}

func newSite(t testing.TB, pages map[string]page) *site {
	t.Helper()
	s := &site{}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.visits.Add(1)
		p, ok := pages[r.URL.Path]
		if !ok {
			p.status = http.StatusNotFound
		}
		if p.contentType != "" {
			w.Header().Set("Content-Type", p.contentType)
		}
		if p.status != 0 {
			w.Header().Set("Location", p.body)
			w.WriteHeader(p.status)
			return
		}
		_, _ = io.WriteString(w, p.body)
	}))
	t.Cleanup(s.Close)
	return s
}

func wantProperties(t testing.TB, what string, got map[string]any, want map[string]any) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s: -want +got:\n%s", what, diff)
	}
}

func TestPreview(t *testing.T) {
	t.Parallel()
	h := newPreviews(t)
	picture := picturetest.JPEG(t, picturetest.Quarters(48, 32))
	s := newSite(t, map[string]page{
		"/blog/post": {contentType: "text/html; charset=utf-8", body: `<!DOCTYPE html><html><head>
			<title>A title for the browser</title>
			<meta property="og:title" content="Matrix &amp; friends">
			<meta property="og:title" content="A second title">
			<META PROPERTY='og:description' CONTENT='  This is a
				really cool post  '/>
			<meta name="og:site_name" content="Blog">
			<meta property="og:image" content="../pictures/one.jpg">
			<meta property="og:image:width" content="9999">
			<meta property="fb:app_id" content="1">
			</head><body></body></html>`},
		"/pictures/one.jpg": {contentType: "image/jpeg", body: picture},
	})
	got := h.preview(t, s.URL+"/blog/post#section")
	uri, _ := got["og:image"].(string)
	wantProperties(t, "preview", got, map[string]any{
		"og:title": "Matrix & friends", "og:description": "This is a really cool post", "og:site_name": "Blog",
		"og:image": uri, "og:image:type": "image/jpeg", "og:image:width": 48.0, "og:image:height": 32.0,
		"matrix:image:size": float64(len(picture)),
	})
	if content, contentType := h.download(t, uri); content != picture || contentType != "image/jpeg" {
		t.Errorf("the picture is %d bytes of %s", len(content), contentType)
	}
	h.wantFiles(t, 1)
}

func TestPreviewFallsBack(t *testing.T) {
	t.Parallel()
	h := newPreviews(t)
	s := newSite(t, map[string]page{
		"/title": {contentType: "text/html", body: `<title>Only a title</title><svg><title>Not this</title></svg>`},
		"/names": {contentType: "application/xhtml+xml", body: `<html><head><title></title><meta name="Description" content="Described"/></head></html>`},
		"/tweet": {contentType: "text/html", body: `<meta name=twitter:title content=T><meta name=description content=no><meta name=twitter:description content=D><title>no</title>`},
		"/blank": {contentType: "text/html", body: `<title>  </title><meta property="og:title" content="">`},
	})
	wantProperties(t, "title", h.preview(t, s.URL+"/title"), map[string]any{"og:title": "Only a title"})
	wantProperties(t, "names", h.preview(t, s.URL+"/names"), map[string]any{"og:description": "Described"})
	wantProperties(t, "tweet", h.preview(t, s.URL+"/tweet"), map[string]any{"og:title": "T", "og:description": "D"})
	wantProperties(t, "blank", h.preview(t, s.URL+"/blank"), map[string]any{})
}

func TestPreviewOfWhatIsNoPage(t *testing.T) {
	t.Parallel()
	h := newPreviews(t)
	picture := picturetest.PNG(t, picturetest.Quarters(20, 10))
	s := newSite(t, map[string]page{
		"/picture": {contentType: "image/png", body: picture},
		"/svg":     {contentType: "image/svg+xml", body: `<svg xmlns="http://www.w3.org/2000/svg"/>`},
		"/json":    {contentType: "application/json", body: `{"title":"no"}`},
		"/none":    {contentType: "nonsense;;", body: `<title>no</title>`},
	})
	got := h.preview(t, s.URL+"/picture")
	if got["og:image:width"] != 20.0 || got["matrix:image:size"] != float64(len(picture)) || !strings.HasPrefix(got["og:image"].(string), "mxc://localhost/") {
		t.Errorf("picture: got %v", got)
	}
	for _, path := range []string{"/svg", "/json", "/none"} {
		wantProperties(t, path, h.preview(t, s.URL+path), map[string]any{})
	}
}

func TestPreviewReadsOldCharsets(t *testing.T) {
	t.Parallel()
	h := newPreviews(t)
	s := newSite(t, map[string]page{
		"/header": {contentType: "text/html; charset=windows-1251", body: "<title>\xcf\xf0\xe8\xe2\xe5\xf2</title>"},
		"/meta":   {contentType: "text/html", body: "<meta charset=iso-8859-1><title>Gr\xfc\xdfe</title>"},
		"/wrong":  {contentType: "text/html; charset=utf-8", body: "<title>a\xff\x00b</title>"},
	})
	wantProperties(t, "by its header", h.preview(t, s.URL+"/header"), map[string]any{"og:title": "Привет"})
	wantProperties(t, "by itself", h.preview(t, s.URL+"/meta"), map[string]any{"og:title": "Grüße"})
	if got, _ := h.preview(t, s.URL+"/wrong")["og:title"].(string); !utf8.ValidString(got) || strings.Contains(got, "\x00") || !strings.HasPrefix(got, "a") {
		t.Errorf("not UTF-8: got %q", got)
	}
}

func TestPreviewIsKept(t *testing.T) {
	t.Parallel()
	h := newPreviews(t)
	picture := page{contentType: "image/png", body: picturetest.PNG(t, picturetest.Quarters(4, 4))}
	s := newSite(t, map[string]page{
		"/":  {contentType: "text/html", body: `<title>Kept</title><meta property=og:image content=/i>`},
		"/i": picture,
	})
	first := h.preview(t, s.URL+"/")
	again := h.preview(t, s.URL+"/#elsewhere")
	wantProperties(t, "again", again, first)
	if n := s.visits.Load(); n != 2 {
		t.Errorf("%d visits, want 2", n)
	}
	h.clock.Pass(time.Hour)
	wantProperties(t, "after an hour", h.preview(t, s.URL+"/"), first) // the same picture has the same URI
	if n := s.visits.Load(); n != 4 {
		t.Errorf("%d visits after an hour, want 4", n)
	}
	h.wantFiles(t, 1)
}

func TestPreviewsNeedRoom(t *testing.T) {
	t.Parallel()
	var full atomic.Bool
	noRoom := errors.New("no room")
	h := newEnv(t, func(o *Options) {
		o.Client = safehttp.New(safehttp.Options{AllowedRanges: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}})
		o.Room = func() error {
			if full.Load() {
				return noRoom
			}
			return nil
		}
	})
	s := newSite(t, map[string]page{"/": {contentType: "text/html", body: `<title>T</title>`}})
	h.preview(t, s.URL+"/")
	full.Store(true)
	if _, err := h.Preview(t.Context(), s.URL+"/?other"); !errors.Is(err, noRoom) {
		t.Errorf("got %v, want %v", err, noRoom)
	}
	wantProperties(t, "kept", h.preview(t, s.URL+"/"), map[string]any{"og:title": "T"})
	if n := s.visits.Load(); n != 1 {
		t.Errorf("%d visits", n)
	}
}

func TestExpiredPreviewsAreRemoved(t *testing.T) {
	t.Parallel()
	h := newPreviews(t)
	s := newSite(t, map[string]page{"/": {contentType: "text/html", body: `<title>Kept</title>`}})
	for i := range 5 {
		h.preview(t, fmt.Sprintf("%s/?page=%d", s.URL, i))
	}
	h.clock.Pass(2 * time.Hour)
	h.preview(t, s.URL+"/")
	var rows int
	if err := h.pool.QueryRow(t.Context(), `SELECT count(*) FROM url_previews`).Scan(&rows); err != nil || rows != 1 {
		t.Errorf("%d previews are kept, %v", rows, err)
	}
}

func TestPreviewForManyIsMadeOnce(t *testing.T) {
	t.Parallel()
	h := newPreviews(t)
	s := newSite(t, map[string]page{"/": {contentType: "text/html", body: `<title>One</title>`}})
	var asking sync.WaitGroup
	for range 8 {
		asking.Go(func() { wantProperties(t, "one", h.preview(t, s.URL), map[string]any{"og:title": "One"}) })
	}
	asking.Wait()
	// A request that came just when it was stored may have made it a second time.
	if n := s.visits.Load(); n > 2 {
		t.Errorf("%d visits", n)
	}
}

func TestPreviewErrors(t *testing.T) {
	t.Parallel()
	h := newPreviews(t)
	s := newSite(t, map[string]page{
		"/private":  {status: http.StatusFound, body: "http://10.0.0.1/"},
		"/loop":     {status: http.StatusFound, body: "/loop"},
		"/broken":   {status: http.StatusInternalServerError},
		"/redirect": {status: http.StatusFound, body: "file:///etc/passwd"},
	})
	for _, link := range []string{
		"", "matrix.org", "/relative", "ftp://example.org/", "file:///etc/passwd", "javascript:alert(1)", "mailto:a@example.org",
		"http://", "http:///path", "http://user:password@example.org/", "http://example.org:port/", "http://[::1", "http://exa mple.org/",
		"http://example.org/\x7f", "http://example.org/" + strings.Repeat("a", 2048),
	} {
		_, err := h.Preview(t.Context(), link)
		matrixtest.WantStatus(t, err, matrix.InvalidParam, 400, link)
	}
	for _, link := range []string{
		"http://10.0.0.1/", "http://169.254.169.254/latest/meta-data/", "http://[::1]:8008/", "http://[fd00::1]/",
		"http://192.168.0.1:8080/", "https://100.64.0.1/", "http://0.0.0.0/", s.URL + "/private", "http://nowhere.invalid/",
	} {
		// By another answer for what is private users could find out what there is inside
		// the network of the server.
		_, err := h.Preview(t.Context(), link)
		if !errors.Is(err, errFetch) {
			t.Errorf("%s: got %v, want %v", link, err, errFetch)
		}
	}
	for _, path := range []string{"/missing", "/broken", "/loop", "/redirect"} {
		_, err := h.Preview(t.Context(), s.URL+path)
		matrixtest.WantStatus(t, err, matrix.Unknown, 502, path)
	}
	s.Close()
	_, err := h.Preview(t.Context(), s.URL+"/")
	matrixtest.WantStatus(t, err, matrix.Unknown, 502, "closed")
}

func TestPreviewWithoutItsPicture(t *testing.T) {
	t.Parallel()
	h := newPreviews(t)
	huge := picturetest.PNG(t, picturetest.Quarters(4, 4)) + strings.Repeat("x", maxPictureBytes)
	s := newSite(t, map[string]page{
		"/huge": {contentType: "image/png", body: huge},
		"/text": {contentType: "image/png", body: "no picture at all"},
	})
	for _, picture := range []string{"/missing", "/text", "/huge", "http://10.0.0.1/a.png", "data:image/png;base64,AAAA", "file:///etc/passwd", "::"} {
		link := picture
		if strings.HasPrefix(picture, "/") {
			link = s.URL + picture
		}
		with := newSite(t, map[string]page{
			"/": {contentType: "text/html", body: `<title>T</title><meta property="og:image" content="` + link + `">`},
		})
		wantProperties(t, picture, h.preview(t, with.URL), map[string]any{"og:title": "T"})
	}
	h.wantFiles(t, 0)
}

func TestPreviewReadsTheBeginningOnly(t *testing.T) {
	t.Parallel()
	h := newPreviews(t)
	s := newSite(t, map[string]page{
		"/": {contentType: "text/html", body: `<title>First</title><script>` + strings.Repeat("x", 100<<10) + `</script><meta name=description content=near>` +
			strings.Repeat(`<p>text</p>`, 100<<10) + `<meta property="og:site_name" content=far>`},
	})
	wantProperties(t, "long page", h.preview(t, s.URL), map[string]any{"og:title": "First", "og:description": "near"})
}

func TestPreviewsCanBeOff(t *testing.T) {
	t.Parallel()
	h := newEnv(t, nil)
	_, err := h.Preview(t.Context(), "https://matrix.org/")
	matrixtest.WantStatus(t, err, matrix.Forbidden, 403, "off")
}

func TestPreviewsWaitForTheirTurn(t *testing.T) {
	t.Parallel()
	h := newPreviews(t)
	for i := range maxFetches {
		if err := h.fetches.TryEnter(fmt.Sprint(i), 1); err != nil {
			t.Fatal(err)
		}
	}
	s := newSite(t, map[string]page{"/": {contentType: "text/html", body: `<title>T</title>`}})
	made := make(chan map[string]any)
	go func() { made <- h.preview(t, s.URL) }()
	for i := range maxFetches {
		h.fetches.Leave(fmt.Sprint(i), 1)
	}
	wantProperties(t, "after the wait", <-made, map[string]any{"og:title": "T"})
}

// One user had all places, with pages that answer slowly.
func TestOneUserHeldAllPlacesForPreviews(t *testing.T) {
	t.Parallel()
	h := newPreviews(t)
	for range maxFetchesEach {
		if err := h.fetches.TryEnter("@flood:localhost", 1); err != nil {
			t.Fatal(err)
		}
	}
	if err := h.fetches.TryEnter("@flood:localhost", 1); err == nil {
		t.Error("one user has more than one may have")
	}
	s := newSite(t, map[string]page{"/": {contentType: "text/html", body: `<title>T</title>`}})
	wantProperties(t, "by another", h.preview(t, s.URL), map[string]any{"og:title": "T"})
}

// TestPreviewWhileTheStorageIsAway makes sure that a preview without its picture is not
// kept for the next hour.
func TestPreviewWhileTheStorageIsAway(t *testing.T) {
	t.Parallel()
	h := newPreviews(t)
	s3 := blobtest.New(t)
	h.o.Files = h.files(t, s3.Open(t))
	s := newSite(t, map[string]page{
		"/":  {contentType: "text/html", body: `<title>T</title><meta property=og:image content=/i>`},
		"/i": {contentType: "image/png", body: picturetest.PNG(t, picturetest.Quarters(4, 4))},
	})
	s3.Down()
	_, err := h.Preview(t.Context(), s.URL)
	if refused := matrixtest.WantStatus(t, err, matrix.Unknown, 503, "preview"); refused.RetryAfter <= 0 {
		t.Error("clients are not told when to come again")
	}
	s3.Up()
	if got := h.preview(t, s.URL); got["og:image"] == nil {
		t.Errorf("got %v", got)
	}
}

func TestPageThatTellsVeryMuch(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	for i := range 1000 {
		fmt.Fprintf(&b, `<meta property="og:x%d" content="%s">`, i, strings.Repeat("ä", 3000))
	}
	fmt.Fprintf(&b, `<meta property="og:%s" content="v">`, strings.Repeat("n", 100))
	g, err := readPage(strings.NewReader(b.String()))
	if err != nil || len(g.properties) != maxProperties {
		t.Errorf("%d properties, %v", len(g.properties), err)
	}
	for name, text := range g.properties {
		if len(name) > maxNameBytes || len([]rune(text)) > maxTextRunes+1 {
			t.Errorf("%s has %d bytes", name, len(text))
		}
	}
}

func TestPageThatBreaksOff(t *testing.T) {
	t.Parallel()
	if g, err := readPage(breakingOff(`<title>Enough</title><meta prop`)); err != nil || g.properties["og:title"] != "Enough" {
		t.Errorf("got %v, %v", g, err)
	}
	if _, err := readPage(breakingOff(`<html><head>`)); err == nil {
		t.Error("nothing was read, without an error")
	}
}

// FuzzReadPage makes sure that no page makes the reader panic, and that what the reader
// returns can be stored and sent.
func FuzzReadPage(f *testing.F) {
	f.Add(`<title>A</title><meta property="og:title" content="B"><meta name="twitter:image" content="c">`)
	f.Add("<meta property=og:\x00 content=\xff><title>\x00</title>")
	f.Fuzz(func(t *testing.T, html string) {
		g, err := readPage(strings.NewReader(html))
		if err != nil {
			t.Fatal(err)
		}
		for name, text := range g.properties {
			if !strings.HasPrefix(name, "og:") || text == "" || !utf8.ValidString(text) || strings.ContainsAny(text, "\x00\n\r") || strings.HasPrefix(name, "og:image:") {
				t.Errorf("%q: %q", name, text)
			}
		}
	})
}

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
