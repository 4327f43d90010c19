package api

import (
	"strings"
	"testing"

	"homeserver/internal/httpapi"
)

// climbs are ways to write the path of a file elsewhere.
var climbs = []string{
	"../../../../etc/passwd", "..%2f..%2f..%2f..%2fetc%2fpasswd", "%2e%2e%2f%2e%2e%2fetc%2fpasswd", "..%5c..%5cetc%5cpasswd",
	"%252e%252e%252fetc%252fpasswd", "..%c0%af..%c0%afetc%c0%afpasswd", "%2fetc%2fpasswd", "....%2f%2f....%2f%2fetc", "..%00",
	"..", ".", "%2e%2e", "x%00.png", "~root", "C:%5cwindows%5cwin.ini", "signing.key", "..%2fsigning.key", "..%2f..%2fsigning.key",
	"temp", "%2e%2e%2ftemp", strings.Repeat("..%2f", 500) + "etc%2fpasswd", "file:%2f%2f%2fetc%2fpasswd", "%F0%9F%92%A9",
}

func TestMediaIDsLeadToNoOtherFile(t *testing.T) {
	t.Parallel()
	alice := newServer(t).Register("alice", "wordpass")
	uri := alice.Do("POST", "/_matrix/media/v3/upload", "some content").OK().String("content_uri")
	id := uri[strings.LastIndex(uri, "/")+1:]
	for _, climb := range climbs {
		for _, path := range []string{
			"/_matrix/media/v3/download/localhost/" + climb,
			"/_matrix/media/v3/download/" + climb + "/" + id,
			"/_matrix/media/v3/thumbnail/localhost/" + climb + "?width=10&height=10",
			"/_matrix/client/v1/media/download/localhost/" + climb,
			"/_matrix/client/v1/media/thumbnail/localhost/" + climb + "?width=10&height=10",
		} {
			answer := alice.Do("GET", path, nil)
			if answer.Status < 400 || answer.Status >= 500 || answer.Errcode() == "" {
				t.Errorf("%s: %d %s", path, answer.Status, httpapi.Clip(string(answer.Body), 200))
			}
		}
		answer := alice.Do("PUT", "/_matrix/media/v3/upload/localhost/"+climb, "x")
		if answer.Status < 400 || answer.Status >= 500 {
			t.Errorf("uploaded to %s: %d %s", climb, answer.Status, answer.Body)
		}
		// The name of a file is no path.
		answer = alice.Do("GET", "/_matrix/media/v3/download/localhost/"+id+"/"+climb, nil)
		if answer.Status == 200 && string(answer.Body) != "some content" || answer.Status >= 500 {
			t.Errorf("called %s: %d %s", climb, answer.Status, httpapi.Clip(string(answer.Body), 200))
		}
	}
}

func TestStaticPagesAreOnlyThosePublished(t *testing.T) {
	t.Parallel()
	server := newServer(t)
	server.Prefix = ""
	if answer := server.Do("GET", "/_matrix/static/style.css", nil); answer.Status != 200 {
		t.Fatalf("the style is gone: %d", answer.Status)
	}
	for _, name := range append([]string{
		"layout.html", "web.go", "doc.go", "style.css/", "style.css%00", "./style.css", "STYLE.CSS", "style.css%2f..%2fweb.go", "", "%2e",
	}, climbs...) {
		answer := server.Do("GET", "/_matrix/static/"+name, nil)
		if name != "style.css/" && (answer.Status < 400 || answer.Status >= 500) {
			t.Errorf("%s: %d %s", name, answer.Status, httpapi.Clip(string(answer.Body), 200))
		}
	}
}

// A file may be called anything, and its name must not get out of its header.
func TestNamesOfFilesStayInTheirHeader(t *testing.T) {
	t.Parallel()
	alice := newServer(t).Register("alice", "wordpass")
	for _, name := range []string{
		`%0d%0aSet-Cookie:%20a=b`, `a%22;%20filename=%22b`, `%0a`, `..%2f..%2fetc%2fpasswd`, strings.Repeat("a", 5000), `%E2%80%AEgnp.exe`, `a%5c%22b`,
	} {
		answer := alice.Do("POST", "/_matrix/media/v3/upload?filename="+name, "content")
		if answer.Status >= 500 {
			t.Errorf("%s: %d", name, answer.Status)
		}
		if answer.Status != 200 {
			continue
		}
		path := strings.Replace(answer.String("content_uri"), "mxc://", "/_matrix/media/v3/download/", 1)
		file := alice.Do("GET", path, nil)
		if file.Status != 200 || file.Header.Get("Set-Cookie") != "" || len(file.Header.Values("Content-Disposition")) != 1 {
			t.Errorf("%s: %d %v", name, file.Status, file.Header)
		}
		if disposition := file.Header.Get("Content-Disposition"); strings.ContainsAny(disposition, "\r\n\x00") {
			t.Errorf("%s: %q", name, disposition)
		}
	}
	for _, contentType := range []string{"text/html", "image/svg+xml", "application/xhtml+xml", "text/html; charset=\xff", "multipart/form-data; boundary=x", strings.Repeat("a/", 4000)} {
		r := alice.Request("POST", "/_matrix/media/v3/upload", "<script>alert(1)</script>")
		r.Header.Set("Content-Type", contentType)
		answer := alice.Send(r)
		if answer.Status != 200 {
			if answer.Status >= 500 {
				t.Errorf("%s: %d", contentType, answer.Status)
			}
			continue
		}
		file := alice.Do("GET", strings.Replace(answer.String("content_uri"), "mxc://", "/_matrix/media/v3/download/", 1), nil)
		if disposition := file.Header.Get("Content-Disposition"); !strings.HasPrefix(disposition, "attachment") {
			t.Errorf("%s is shown, not saved: %q", contentType, disposition)
		}
		if csp := file.Header.Get("Content-Security-Policy"); !strings.HasPrefix(csp, "sandbox;") || file.Header.Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%s could run: %v", contentType, file.Header)
		}
	}
}
