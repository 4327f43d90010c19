package pages_test

import (
	"net/http"
	"net/http/httptest"
	"path"
	"regexp"
	"strings"
	"testing"

	"homeserver/internal/api/pages"
)

// addresses are those that give a page to anybody.
var addresses = []string{
	"/",
	"/_matrix/static/client/login/",
	"/_matrix/static/client/login",
	"/_matrix/client/r0/login/fallback",
	"/_matrix/client/v3/login/fallback",
	"/_matrix/client/r0/auth/m.login.dummy/fallback/web?session=unknown",
	"/_matrix/client/v3/auth/m.login.password/fallback/web?session=unknown",
}

// record calls the handler and returns what it has written.
func record(handler http.Handler) *httptest.ResponseRecorder {
	recorder := httptest.NewRecorder()
	handler.ServeHTTP(recorder, httptest.NewRequest(http.MethodGet, "/", nil))
	return recorder
}

func TestPagesHaveTheHeadersOfPages(t *testing.T) {
	t.Parallel()
	c := startServer(t)
	for _, page := range addresses {
		answer := c.Do(http.MethodGet, page, nil)
		want := map[string]string{
			"Content-Type":           "text/html; charset=utf-8",
			"X-Frame-Options":        "DENY",
			"X-Content-Type-Options": "nosniff",
			"Referrer-Policy":        "no-referrer",
		}
		for name, value := range want {
			if got := answer.Header.Get(name); got != value {
				t.Errorf("%s: %s is %q, want %q", page, name, got, value)
			}
		}
		policy := answer.Header.Get("Content-Security-Policy")
		for _, directive := range []string{"default-src 'none'", "script-src 'self'", "frame-ancestors 'none'", "form-action 'self'", "base-uri 'none'"} {
			if !strings.Contains(policy, directive) {
				t.Errorf("%s: %q lacks %q", page, policy, directive)
			}
		}
		if strings.Contains(policy, "unsafe") {
			t.Errorf("%s: %q allows what is inline", page, policy)
		}
		if got := answer.Header.Get("Cross-Origin-Opener-Policy"); got != "" {
			t.Errorf("%s: with Cross-Origin-Opener-Policy %q a page could not tell the app that opened it", page, got)
		}
	}
}

// TestPagesCallOnlyFilesThatAreServed reads every address out of the pages and the
// files, follows it, and wants it to be of this server.
func TestPagesCallOnlyFilesThatAreServed(t *testing.T) {
	t.Parallel()
	c := startServer(t)
	address := regexp.MustCompile(`(?:src|href|action)="([^"]+)"|from '\./([^']+)'`)
	seen := map[string]bool{}
	queue := []string{"/", "/_matrix/static/client/login/"}
	for len(queue) > 0 {
		next := queue[0]
		queue = queue[1:]
		answer := c.Do(http.MethodGet, next, nil)
		if answer.Status != http.StatusOK {
			t.Errorf("%s: %d", next, answer.Status)
		}
		for _, found := range address.FindAllStringSubmatch(string(answer.Body), -1) {
			target := found[1]
			if found[2] != "" {
				target = pages.FilesPath + found[2]
			}
			if target == "https://curl.se/" || strings.HasPrefix(target, "#") || seen[target] {
				continue // a link to read on, or into the page itself
			}
			seen[target] = true
			if !strings.HasPrefix(target, "/_matrix/") {
				t.Errorf("%s loads %s", next, target)
				continue
			}
			queue = append(queue, target)
		}
	}
	for _, expected := range []string{"style.css", "icon.svg", "login.js", "tutorial.css", "tutorial-live.js", "tutorial-state.js"} {
		if !seen[pages.FilesPath+expected] {
			t.Errorf("no page leads to %s", expected)
		}
	}
}

func TestPagesHaveNothingInline(t *testing.T) {
	t.Parallel()
	c := startServer(t)
	inline := regexp.MustCompile(`(?i)<script(?:[^>]*[^>\w])?>\s*\S|<style|\sstyle=|\son\w+=|javascript:`)
	for _, page := range addresses {
		body := string(c.Do(http.MethodGet, page, nil).Body)
		scripts := regexp.MustCompile(`<script[^>]*></script>`).ReplaceAllString(body, "")
		if found := inline.FindString(scripts); found != "" {
			t.Errorf("%s has %q, which its policy forbids", page, found)
		}
	}
}

func TestFilesAreAskedForAgainAndNotSentAgain(t *testing.T) {
	t.Parallel()
	c := startServer(t)
	tests := map[string]string{
		"/":                               "text/html; charset=utf-8",
		pages.FilesPath + "style.css":     "text/css; charset=utf-8",
		pages.FilesPath + "login.js":      "text/javascript; charset=utf-8",
		pages.FilesPath + "icon.svg":      "image/svg+xml",
		pages.FilesPath + "tutorial.js":   "text/javascript; charset=utf-8",
		pages.FilesPath + "tutorial.css/": "text/css; charset=utf-8",
	}
	for name, contentType := range tests {
		first := c.Do(http.MethodGet, name, nil)
		etag := first.Header.Get("ETag")
		if first.Status != http.StatusOK || etag == "" || first.Header.Get("Cache-Control") != "no-cache" {
			t.Errorf("%s: %d, ETag %q, Cache-Control %q", name, first.Status, etag, first.Header.Get("Cache-Control"))
		}
		if got := first.Header.Get("Content-Type"); got != contentType {
			t.Errorf("%s is %q, want %q", name, got, contentType)
		}
		again := c.Request(http.MethodGet, name, nil)
		again.Header.Set("If-None-Match", etag)
		if second := c.Send(again); second.Status != http.StatusNotModified || len(second.Body) != 0 {
			t.Errorf("%s: %d with %d bytes, want 304 with none", name, second.Status, len(second.Body))
		}
		head := c.Do(http.MethodHead, name, nil)
		if head.Status != http.StatusOK || len(head.Body) != 0 || head.Header.Get("ETag") != etag {
			t.Errorf("HEAD %s: %d with %d bytes, ETag %q", name, head.Status, len(head.Body), head.Header.Get("ETag"))
		}
	}
}

func TestPagesOfOnePersonAreKeptByNobody(t *testing.T) {
	t.Parallel()
	c := startServer(t)
	for _, page := range addresses[1:] {
		answer := c.Do(http.MethodGet, page, nil)
		if got := answer.Header.Get("Cache-Control"); got != "no-store" || answer.Header.Get("ETag") != "" {
			t.Errorf("%s: Cache-Control %q, ETag %q", page, got, answer.Header.Get("ETag"))
		}
	}
}

func TestOnlyWhatIsMeantToBeServedIsServed(t *testing.T) {
	t.Parallel()
	c := startServer(t)
	for _, name := range []string{
		"layout.html", "login.html", "web.go", "doc.go", "unknown.js", ".css", "..%2Fweb%2Fstyle.css", "%2e%2e%2fserver%2fserver.go", "style.css%00.js",
	} {
		answer := c.Do(http.MethodGet, pages.FilesPath+name, nil)
		if answer.Status != http.StatusNotFound && answer.Status != http.StatusBadRequest {
			t.Errorf("%s: %d", name, answer.Status)
		}
	}
	c.Do(http.MethodPost, "/", "x").Refused(http.StatusMethodNotAllowed, "M_UNRECOGNIZED")
	c.Do(http.MethodPost, pages.FilesPath+"style.css", "x").Refused(http.StatusMethodNotAllowed, "M_UNRECOGNIZED")
}

func TestRenderEscapes(t *testing.T) {
	t.Parallel()
	page, err := pages.Render("error.html", http.StatusBadRequest, `<script>alert("x")</script>`)
	if err != nil {
		t.Fatal(err)
	}
	recorder := record(page)
	if recorder.Code != http.StatusBadRequest || strings.Contains(recorder.Body.String(), "<script>") {
		t.Errorf("got %d %s", recorder.Code, recorder.Body)
	}
}

func TestRenderRefusesWhatItCannotRender(t *testing.T) {
	t.Parallel()
	if _, err := pages.Render("unknown.html", http.StatusOK, nil); err == nil {
		t.Error("a page that does not exist was rendered")
	}
	if _, err := pages.Render("login.html", http.StatusOK, struct{ Error string }{}); err == nil {
		t.Error("a page was rendered without its data")
	}
}

func TestNamedKnowsTypes(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"style.css", "login.js", "icon.svg"} {
		file, ok := pages.Named(name)
		if !ok {
			t.Errorf("%s is not there", name)
			continue
		}
		if got := record(file).Header().Get("Content-Type"); got == "" {
			t.Errorf("%s, of the kind %s, has no type", name, path.Ext(name))
		}
	}
	if _, ok := pages.Named("login.html"); ok {
		t.Error("a template is served as a file")
	}
}
