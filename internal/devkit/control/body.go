package control

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"time"

	"homeserver/internal/devkit/recorder"
)

// readAheadTimeout is for the part of a body that the server itself does not ask for.
const readAheadTimeout = 10 * time.Second

// body is the body of a request, of which the beginning is kept as it is read.
type body struct {
	io.ReadCloser
	control   *http.ResponseController
	waits     bool // the client sends it only if it is asked to
	kept      []byte
	truncated bool
	ahead     []byte // was read, but not by the server yet
	err       error  // of the last read
}

func newBody(w http.ResponseWriter, r *http.Request) *body {
	return &body{
		ReadCloser: r.Body, control: http.NewResponseController(w), waits: strings.EqualFold(r.Header.Get("Expect"), "100-continue"),
	}
}

// Read implements io.Reader.
func (b *body) Read(p []byte) (int, error) {
	if len(b.ahead) > 0 {
		n := copy(p, b.ahead)
		b.ahead = b.ahead[n:]
		return n, nil
	}
	if b.err != nil {
		return 0, b.err
	}
	b.waits = false
	n, err := b.ReadCloser.Read(p)
	b.keep(p[:n])
	b.err = err
	return n, err
}

func (b *body) keep(p []byte) {
	room := min(len(p), recorder.MaxBodyBytes-len(b.kept))
	b.kept = append(b.kept, p[:room]...)
	b.truncated = b.truncated || room < len(p)
}

// readAhead reads as much as is kept, so that it is known what was sent also where the server has
// not looked at it. The server can still read it.
func (b *body) readAhead() {
	if b.waits || b.err != nil {
		return
	}
	if err := b.control.SetReadDeadline(time.Now().Add(readAheadTimeout)); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return
	}
	for piece := make([]byte, 4<<10); b.err == nil && !b.truncated; {
		n, err := b.ReadCloser.Read(piece)
		b.keep(piece[:n])
		b.ahead, b.err = append(b.ahead, piece[:n]...), err
	}
	if err := b.control.SetReadDeadline(time.Time{}); err != nil && !errors.Is(err, http.ErrNotSupported) {
		b.err = err
	}
}
