package httpapi

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"time"

	"homeserver/internal/matrix"
)

// readBody reads the whole body before the handler runs, so that a long poll afterwards
// notices when its client goes away, and so that slow senders are cut off in one place.
// 413 M_TOO_LARGE beyond the limit.
func (e *Engine) readBody(x *exchange) error {
	r := x.request
	if r.ContentLength == 0 {
		return nil
	}
	most := e.maxBodyBytes
	if x.large() {
		most = max(most, largeBodyBytes)
	}
	if r.ContentLength > most {
		return errBodyTooLarge
	}
	control := http.NewResponseController(x.ResponseWriter)
	if err := setDeadline(control.SetReadDeadline, time.Now().Add(e.bodyTimeout)); err != nil {
		return errBodyIncomplete
	}
	body, err := e.readAll(x, http.MaxBytesReader(x.ResponseWriter, r.Body, most), r.ContentLength)
	if err != nil {
		return bodyError(err)
	}
	x.body = body
	if err := setDeadline(control.SetReadDeadline, time.Time{}); err != nil {
		return errBodyIncomplete
	}
	return nil
}

// firstBodyBytes is the memory for a body before any of it has come.
const firstBodyBytes = 16 << 10

// readAll reads to the end, or as much as was announced; a negative length means that
// nothing was. Memory is taken as the body comes in: to announce a lot costs nothing.
func (e *Engine) readAll(x *exchange, body io.Reader, length int64) ([]byte, error) {
	size := int64(firstBodyBytes)
	if length >= 0 {
		size = min(size, length)
	}
	var whole []byte
	for {
		if err := e.holdBody(x, size); err != nil {
			return nil, err
		}
		whole = slices.Grow(whole, int(size)-len(whole))
		n, err := io.ReadFull(body, whole[len(whole):size])
		whole = whole[:len(whole)+n]
		switch {
		case int64(len(whole)) == length:
			return whole, nil
		case errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF):
			if length >= 0 {
				return nil, io.ErrUnexpectedEOF
			}
			return whole, nil
		case err != nil:
			return nil, err
		}
		if size *= 2; length >= 0 {
			size = min(size, length)
		}
	}
}

// bodyError returns the error for a body that is too large, or for one that didn't
// arrive: because the connection broke, or because it took too long.
func bodyError(err error) error {
	if _, tooLarge := errors.AsType[*http.MaxBytesError](err); tooLarge {
		return errBodyTooLarge
	}
	if refusal, ok := errors.AsType[*matrix.Error](err); ok {
		return refusal
	}
	return errBodyIncomplete
}

// Stream returns the body of a request to an endpoint that is [Streaming]. How many
// bytes there may be is for the reader to limit. A sender must keep up
// slowestBytesPerSecond once the time for a body is over; else reading returns
// errBodyIncomplete, as it does when the connection breaks.
func (r *Request) Stream() io.Reader {
	return &bodyStream{
		body:     r.Body,
		control:  http.NewResponseController(r.x.ResponseWriter),
		deadline: time.Now().Add(r.x.engine.bodyTimeout),
	}
}

type bodyStream struct {
	body     io.Reader
	control  *http.ResponseController
	deadline time.Time
}

// Read implements io.Reader. At the end of the body it removes the deadline, so that
// the connection is watched again for a client that goes away.
func (s *bodyStream) Read(p []byte) (int, error) {
	if err := setDeadline(s.control.SetReadDeadline, s.deadline); err != nil {
		return 0, errBodyIncomplete
	}
	n, err := s.body.Read(p)
	s.deadline = s.deadline.Add(time.Duration(n) * time.Second / slowestBytesPerSecond)
	switch {
	case err == nil:
		return n, nil
	case !errors.Is(err, io.EOF):
		return n, errBodyIncomplete
	}
	if err := setDeadline(s.control.SetReadDeadline, time.Time{}); err != nil {
		return n, errBodyIncomplete
	}
	return n, io.EOF
}

// setDeadline sets a deadline where there is a connection to set it on: the
// recorders of tests have none.
func setDeadline(set func(time.Time) error, at time.Time) error {
	if err := set(at); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return fmt.Errorf("set deadline of connection: %w", err)
	}
	return nil
}
