package httpapi

import (
	"errors"
	"io"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"homeserver/internal/matrixtest"
)

// TestUploadThatStalls makes sure that a sender that falls asleep is given up, and
// told so, although uploads may take long.
func TestUploadThatStalls(t *testing.T) {
	t.Parallel()
	b := newBench(t, Options{BodyTimeout: 100 * time.Millisecond})
	c := b.serve(t, Route{Method: "POST", Path: "/upload", Work: Uploading, Handler: Streaming(Public(func(r *Request) (any, error) {
		n, err := io.Copy(io.Discard, r.Stream())
		return n, err
	}))})
	c.Do("POST", "/upload", strings.Repeat("x", 5<<20)).OK() // no limit of size

	conn := dial(t, c)
	if _, err := io.WriteString(conn, "POST /upload HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nhalf"); err != nil {
		t.Fatal(err)
	}
	answer, err := io.ReadAll(conn)
	if err != nil || !strings.HasPrefix(string(answer), "HTTP/1.1 408 ") || !strings.Contains(string(answer), "M_UNKNOWN") {
		t.Errorf("got %q, %v", answer, err)
	}
}

// TestReaderOfAFileThatStalls makes sure that a download ends whose reader takes
// nothing, and goes on for as long as it does.
func TestReaderOfAFileThatStalls(t *testing.T) {
	t.Parallel()
	const patience = 100 * time.Millisecond
	b := newBench(t, Options{AnswerTimeout: patience})
	ended := make(chan error, 1)
	endless := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		for piece := make([]byte, 64<<10); ; {
			if _, err := w.Write(piece); err != nil {
				ended <- err
				return
			}
		}
	})
	slow := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		tick := time.NewTicker(patience / 2)
		defer tick.Stop()
		for range 5 {
			select {
			case <-tick.C:
			case <-r.Context().Done():
				return
			}
			if _, err := io.WriteString(w, "piece "); err != nil {
				t.Errorf("a slow answer broke off: %v", err)
			}
		}
	})
	c := b.serve(t,
		get("/endless", func(*Request) (any, error) { return endless, nil }),
		get("/slow", func(*Request) (any, error) { return slow, nil }))
	conn := dial(t, c)
	if _, err := io.WriteString(conn, "GET /endless HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-ended:
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("it ended by %v", err)
		}
	case <-time.After(matrixtest.Patience):
		t.Error("it goes on writing for nobody")
	}
	if r := c.Do("GET", "/slow", nil).OK(); string(r.Body) != strings.Repeat("piece ", 5) {
		t.Errorf("got %q", r.Body)
	}
}
