package api

import (
	"net/http"
	"strings"
	"testing"

	"homeserver/internal/matrixtest"
)

func TestTwoDevicesMeet(t *testing.T) {
	t.Parallel()
	c := newServer(t)
	const path = "/_matrix/client/unstable/org.matrix.msc4108/rendezvous"
	begun := c.Do("POST", path, "from the first")
	if begun.Status != http.StatusCreated || begun.Header.Get("ETag") == "" || begun.Header.Get("Expires") == "" || begun.Header.Get("Last-Modified") == "" {
		t.Fatalf("got %d %v %s", begun.Status, begun.Header, begun.Body)
	}
	at, ok := strings.CutPrefix(begun.String("url"), "http://localhost:8008")
	if !ok || !strings.HasPrefix(at, path+"/") {
		t.Fatalf("got %s", begun.Body)
	}
	send := func(method, name, etag, body string) *matrixtest.Response {
		r := c.Request(method, at, body)
		if etag != "" {
			r.Header.Set(name, etag)
		}
		return c.Send(r)
	}
	first := begun.Header.Get("ETag")
	if got := c.Do("GET", at, nil); string(got.Body) != "from the first" || got.Header.Get("Content-Type") != "text/plain" || got.Header.Get("ETag") != first {
		t.Errorf("got %v %s", got.Header, got.Body)
	}
	if got := send("GET", "If-None-Match", first, ""); got.Status != http.StatusNotModified || got.Header.Get("ETag") != first {
		t.Errorf("got %d %v", got.Status, got.Header)
	}
	written := send("PUT", "If-Match", first, "from the second")
	if written.Status != http.StatusAccepted || written.Header.Get("ETag") == first {
		t.Errorf("got %d %v", written.Status, written.Header)
	}
	if late := send("PUT", "If-Match", first, "too late"); late.Status != http.StatusPreconditionFailed || late.String("org.matrix.msc4108.errcode") != "M_CONCURRENT_WRITE" {
		t.Errorf("got %d %s", late.Status, late.Body)
	}
	send("PUT", "If-Match", "", "any").Refused(400, "M_MISSING_PARAM")
	send("PUT", "If-Match", written.Header.Get("ETag"), strings.Repeat("x", 4097)).Refused(413, "M_TOO_LARGE")
	c.Do("POST", path, strings.Repeat("x", 4097)).Refused(413, "M_TOO_LARGE")
	if got := send("GET", "If-None-Match", first, ""); string(got.Body) != "from the second" {
		t.Errorf("got %d %s", got.Status, got.Body)
	}
	if got := c.Do("DELETE", at, nil); got.Status != http.StatusNoContent {
		t.Errorf("got %d", got.Status)
	}
	c.Do("GET", at, nil).Refused(404, "M_NOT_FOUND")
	c.Do("DELETE", at, nil).Refused(404, "M_NOT_FOUND")
}
