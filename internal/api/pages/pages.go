package pages

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"errors"
	"fmt"
	"html/template"
	"io/fs"
	"net/http"
	"path"
	"strconv"
	"strings"
	"sync"
	"time"

	"homeserver/internal/httpapi"
	"homeserver/internal/matrix"
)

// FilesPath is the path below which the pages look for scripts, styles and pictures. It
// is below /_matrix, as reverse proxies pass that on.
const FilesPath = "/_matrix/static/"

//go:embed *.html *.css *.js *.svg
var files embed.FS

// contentSecurityPolicy allows content of this server and nothing else.
const contentSecurityPolicy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; " +
	"form-action 'self'; base-uri 'none'; frame-ancestors 'none'"

// Page is a page made for one request. It is a http.Handler that writes itself.
type Page struct {
	status int
	body   []byte
	policy string
}

// Render makes a page of the template with that name, inside of layout.html. The
// data is escaped for where the template puts it. A page that is not the same for
// everybody is kept by no cache.
func Render(name string, status int, data any) (*Page, error) {
	pages, err := templates()
	if err != nil {
		return nil, err
	}
	page, ok := pages[name]
	if !ok {
		return nil, fmt.Errorf("there is no page %s", name)
	}
	var body bytes.Buffer
	if err := page.ExecuteTemplate(&body, "layout.html", data); err != nil {
		return nil, fmt.Errorf("render %s: %w", name, err)
	}
	return &Page{status, body.Bytes(), contentSecurityPolicy}, nil
}

// LeavingByForm returns the page with forms whose answer may send the browser to an app: browsers
// hold form-action against where forms are redirected to, too, which may be a scheme or a
// chain of sites that nobody knows beforehand.
func (p *Page) LeavingByForm() *Page {
	policy := strings.Replace(p.policy, "form-action 'self'; ", "", 1)
	return &Page{p.status, p.body, policy}
}

// ServeHTTP sends the page.
func (p *Page) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	h := w.Header()
	setPageHeaders(h)
	h.Set("Content-Security-Policy", p.policy)
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Length", strconv.Itoa(len(p.body)))
	w.WriteHeader(p.status)
	_, _ = w.Write(p.body) // if nobody is there to read it, the error concerns nobody
}

// setPageHeaders sets the headers of every page. The address of a page may have the
// session of an authentication in it, so it is sent to no other site.
func setPageHeaders(h http.Header) {
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", contentSecurityPolicy)
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Frame-Options", "DENY")
}

// File is a file that is the same for everybody. It is a http.Handler that answers
// 304 to a client that has it already.
type File struct {
	contentType string
	etag        string
	body        []byte
}

// Named returns the script, style or picture with that name; false if there is none.
func Named(name string) (*File, bool) {
	var contentType string
	switch path.Ext(name) {
	case ".css":
		contentType = "text/css; charset=utf-8"
	case ".js":
		contentType = "text/javascript; charset=utf-8"
	case ".svg":
		contentType = "image/svg+xml"
	default:
		return nil, false
	}
	body, err := fs.ReadFile(files, name)
	if err != nil {
		return nil, false
	}
	return newFile(contentType, body), true
}

// newFile returns a file with the hash of its content as its ETag: a weak one, because
// it may be compressed on its way.
func newFile(contentType string, body []byte) *File {
	sum := sha256.Sum256(body)
	return &File{contentType, `W/"` + base64.RawURLEncoding.EncodeToString(sum[:12]) + `"`, body}
}

// ServeHTTP sends the file. It may be kept, but must be asked for each time, so that
// nobody runs the scripts of an older version with a newer page.
func (f *File) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	setPageHeaders(h)
	h.Set("Content-Type", f.contentType)
	h.Set("Cache-Control", "no-cache")
	h.Set("ETag", f.etag)
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(f.body))
}

// templates parses each page with a copy of the layout, once.
var templates = sync.OnceValues(func() (map[string]*template.Template, error) {
	layout, err := template.ParseFS(files, "layout.html")
	if err != nil {
		return nil, fmt.Errorf("parse layout.html: %w", err)
	}
	names, err := fs.Glob(files, "*.html")
	if err != nil {
		return nil, fmt.Errorf("list the pages: %w", err)
	}
	pages := map[string]*template.Template{}
	for _, name := range names {
		page, err := layout.Clone()
		if err != nil {
			return nil, fmt.Errorf("copy layout.html: %w", err)
		}
		if pages[name], err = page.ParseFS(files, name); err != nil {
			return nil, fmt.Errorf("parse %s: %w", name, err)
		}
	}
	return pages, nil
})

// webFile returns a script, a style or a picture of the pages.
func (a *api) webFile(r *httpapi.Request) (any, error) {
	if file, ok := Named(r.Param("fileName")); ok {
		return file, nil
	}
	return nil, httpapi.ErrUnknownPath
}

// ErrorPage shows an error for clients to a person. Others remain errors.
func ErrorPage(err error) (any, error) {
	if refusal, ok := errors.AsType[*matrix.Error](err); ok {
		return Render("error.html", refusal.HTTPStatus(), refusal.Message)
	}
	return nil, err
}
