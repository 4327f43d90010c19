package api

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"homeserver/internal/matrixtest"
)

// quietWriter is a ResponseWriter that costs nothing, so that what is measured
// is ours.
type quietWriter struct {
	header http.Header
	status int
}

func (w *quietWriter) Header() http.Header         { return w.header }
func (w *quietWriter) WriteHeader(status int)      { w.status = status }
func (w *quietWriter) Write(p []byte) (int, error) { return len(p), nil }

// BenchmarkWhoami is the cost of a trivial authenticated request between net/http
// and the handler, access log aside.
func BenchmarkWhoami(b *testing.B) {
	opts := services(b)
	handler := newAPI(b, opts).Handler()
	alice := matrixtest.New(b, handler).Register("alice", "wordpass")
	for name, accept := range map[string]string{"plain": "", "gzip": "gzip"} {
		b.Run(name, func(b *testing.B) {
			request := requestOf(alice, "/account/whoami")
			request.Header.Set("Accept-Encoding", accept)
			serveOften(b, handler, request)
		})
	}
}

// BenchmarkSyncWithNothingNew, for somebody in 20 rooms, is to be compared with
// BenchmarkWhoami.
func BenchmarkSyncWithNothingNew(b *testing.B) {
	handler := newAPI(b, services(b)).Handler()
	alice := matrixtest.New(b, handler).Register("alice", "wordpass")
	for range 20 {
		alice.SendText(alice.CreateRoom(nil), "hello")
	}
	serveOften(b, handler, requestOf(alice, matrixtest.SyncPath(alice.Sync("").NextBatch())))
}

func requestOf(c *matrixtest.Client, path string) *http.Request {
	request := httptest.NewRequestWithContext(c.T.Context(), "GET", c.Prefix+path, nil)
	request.Header.Set("Authorization", "Bearer "+c.Token)
	return request
}

func serveOften(b *testing.B, handler http.Handler, request *http.Request) {
	b.Helper()
	w := &quietWriter{header: http.Header{}}
	b.ReportAllocs()
	for b.Loop() {
		clear(w.header)
		handler.ServeHTTP(w, request)
	}
	if w.status != http.StatusOK {
		b.Fatalf("status %d", w.status)
	}
}
