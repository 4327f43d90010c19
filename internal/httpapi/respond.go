package httpapi

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"strconv"
	"sync"
	"time"

	"homeserver/internal/matrix"
	"homeserver/internal/postgres"
	"homeserver/internal/reserve"
)

// The errors of HTTP itself. Section "Common error codes".
var (
	ErrUnknownPath    = &matrix.Error{Code: matrix.Unrecognized, Message: "there is no such endpoint here", Status: http.StatusNotFound}
	errWrongMethod    = &matrix.Error{Code: matrix.Unrecognized, Message: "this endpoint does not have that method", Status: http.StatusMethodNotAllowed}
	ErrMissingToken   = &matrix.Error{Code: matrix.MissingToken, Message: "an access token is needed: send it as \"Authorization: Bearer …\""}
	ErrGuest          = &matrix.Error{Code: matrix.GuestAccessForbidden, Message: "this is not for guests: register first"}
	errNoAppService   = &matrix.Error{Code: matrix.UnknownToken, Message: "this is not the access token of an application service"}
	errOtherUser      = matrix.Errorf(matrix.Forbidden, "this belongs to another user")
	errBodyTooLarge   = &matrix.Error{Code: matrix.TooLarge, Message: "the body of the request is too large"}
	errBodyIncomplete = &matrix.Error{Code: matrix.Unknown, Message: "the body of the request did not arrive in time", Status: http.StatusRequestTimeout}
	errInternal       = &matrix.Error{Code: matrix.Unknown, Message: "Internal server error", Status: http.StatusInternalServerError}
	errUnavailable    = &matrix.Error{Code: matrix.Unknown, Message: "the server can't reach its database at the moment", Status: http.StatusServiceUnavailable, RetryAfter: 2 * time.Second}
	errStopping       = &matrix.Error{Code: matrix.Unknown, Message: "the request was broken off", Status: http.StatusServiceUnavailable, RetryAfter: time.Second}
)

// appender is an answer that writes its own JSON, as those do whose parts lie
// ready in memory: /sync and history.
type appender interface {
	// AppendJSON appends the answer to the slice and returns it, like append.
	AppendJSON([]byte) []byte
}

// writer is an answer that is sent in pieces while the rest of it is being read, where
// it is long.
type writer interface {
	// WriteJSON writes the answer. An error before the first piece was sent becomes the
	// answer; after that it breaks the answer off.
	WriteJSON(ctx context.Context, w *reserve.Writer) error
}

// Empty is the answer {}.
type Empty struct{}

// Created is the same with the status 201: something has been made.
type Created struct{}

// encoder is an answer being put together, with everything needed for that.
// Encoders are pooled.
type encoder struct {
	bytes []byte
	json  *json.Encoder
}

// maxPooledBytes is the size up to which a buffer is used again: one huge answer must
// not stay in memory for ever.
const maxPooledBytes = 256 << 10

var encoders = sync.Pool{New: func() any {
	e := &encoder{}
	e.json = json.NewEncoder(e)
	e.json.SetEscapeHTML(false)
	return e
}}

// Write appends; the JSON encoder writes to it.
func (e *encoder) Write(p []byte) (int, error) {
	e.bytes = append(e.bytes, p...)
	return len(p), nil
}

func (e *encoder) release() {
	if cap(e.bytes) <= maxPooledBytes {
		e.bytes = e.bytes[:0]
		encoders.Put(e)
	}
}

// encode writes the answer as JSON and, for the eyes of people at a terminal,
// a line feed.
func (e *encoder) encode(answer any) error {
	switch answer := answer.(type) {
	case appender:
		e.bytes = append(answer.AppendJSON(e.bytes), '\n')
	case json.RawMessage:
		e.bytes = append(append(e.bytes, answer...), '\n')
	default:
		return e.json.Encode(answer)
	}
	return nil
}

// respond answers 200 with the value as JSON. An answer that is a http.Handler
// writes itself, status and headers included: files and pages.
func (e *Engine) respond(x *exchange, answer any) {
	if self, ok := answer.(http.Handler); ok {
		e.compressed(x, x, func(w http.ResponseWriter) {
			self.ServeHTTP(&patientWriter{w, http.NewResponseController(w), e.answerTimeout}, x.request.WithContext(&x.context))
		})
		return
	}
	enc := encoders.Get().(*encoder)
	defer enc.release()
	if long, ok := answer.(writer); ok {
		e.compressed(x, x, func(w http.ResponseWriter) { e.respondInPieces(w, x, enc, long) })
		return
	}
	err := enc.encode(answer)
	if err == nil && x.account != nil {
		// The rows that were read are in the answer now, which stays until it is sent.
		err = x.account.Settle(&x.context, int64(cap(enc.bytes)))
	}
	if err != nil {
		e.refuse(x, x, err)
		return
	}
	status := http.StatusOK
	if _, created := answer.(Created); created {
		status = http.StatusCreated
	}
	e.write(x, x, status, enc.bytes)
}

// respondInPieces sends an answer while it is being written.
func (e *Engine) respondInPieces(w http.ResponseWriter, x *exchange, enc *encoder, answer writer) {
	out := e.newSender(w)
	pieces := reserve.NewWriter(enc.bytes, func(piece []byte) error {
		if !out.begun {
			out.begin(http.StatusOK)
		}
		return out.send(piece)
	})
	err := answer.WriteJSON(&x.context, pieces)
	enc.bytes = append(pieces.B, '\n')
	switch {
	case err == nil && !pieces.Begun():
		e.write(w, x, http.StatusOK, enc.bytes)
	case err == nil:
		if err := out.send(enc.bytes); err != nil {
			e.log.DebugContext(&x.context, "answer not sent", "error", err)
		}
	case !pieces.Begun():
		enc.bytes = enc.bytes[:0]
		e.refuse(w, x, err)
	default:
		if !out.failed && x.context.Err() == nil {
			e.log.WarnContext(&x.context, "answer broken off", "error", err)
		}
		panic(http.ErrAbortHandler) //nolint:forbidigo // so that nobody takes it for whole
	}
}

// refuse is the one place where an error becomes an answer. Section "Standard
// error response".
func (e *Engine) refuse(w http.ResponseWriter, x *exchange, err error) {
	public, ok := errors.AsType[*matrix.Error](err)
	switch {
	case ok:
		switch {
		case isOurFault(public):
			e.log.ErrorContext(&x.context, "request refused", "error", err)
		case public.HTTPStatus() == http.StatusServiceUnavailable && err != error(public): //nolint:errorlint // with a cause
			e.log.WarnContext(&x.context, "request refused for now", "error", err)
		}
	case x.context.Err() != nil:
		// Most likely no client is left to read this; but if the server broke the
		// request off, the client learns that it may try again.
		x.gone, public = true, errStopping
	case postgres.Unavailable(err):
		e.log.WarnContext(&x.context, "database unavailable", "error", err)
		public = errUnavailable
	default:
		e.log.ErrorContext(&x.context, "request failed", "error", err)
		public = errInternal
	}
	e.writeError(w, x, public)
}

// isOurFault reports whether the cause of an error is here: not in a server that this
// one has asked, nor a state that passes by itself.
func isOurFault(err *matrix.Error) bool {
	status := err.HTTPStatus()
	return status >= http.StatusInternalServerError && status != http.StatusBadGateway && status != http.StatusGatewayTimeout &&
		err.RetryAfter == 0
}

func (e *Engine) writeError(w http.ResponseWriter, x *exchange, err *matrix.Error) {
	body := maps.Clone(err.Fields)
	if body == nil {
		body = map[string]any{}
	}
	if err.Code != "" {
		body["errcode"], body["error"] = err.Code, err.Message
	}
	if err.RetryAfter > 0 {
		seconds := (err.RetryAfter + time.Second - 1) / time.Second
		w.Header().Set("Retry-After", strconv.FormatInt(int64(seconds), 10))
		if err.Code == matrix.LimitExceeded {
			body["retry_after_ms"] = (err.RetryAfter + time.Millisecond - 1).Milliseconds()
		}
	}
	enc := encoders.Get().(*encoder)
	defer enc.release()
	if err := enc.encode(body); err != nil {
		e.log.ErrorContext(&x.context, "encode an error", "error", err)
		enc.bytes = append(enc.bytes[:0], `{"errcode":"M_UNKNOWN","error":"Internal server error"}`...)
	}
	e.write(w, x, err.HTTPStatus(), enc.bytes)
}

// slowestBytesPerSecond is the slowest rate of a client's reading, once the answer's
// first seconds are over.
const slowestBytesPerSecond = 16 << 10

var contentTypeJSON = []string{"application/json"}

// pieceBytes is how much of an answer is sent at once. A client that has stalled is
// found out by the piece, however long its answer is and may take.
const pieceBytes = 64 << 10

// write sends a whole answer, within a time that allows for a bad line but not for a
// reader that has stalled. net/http sets the length of a short one, which is the same
// for all encodings that the client accepts.
func (e *Engine) write(w http.ResponseWriter, x *exchange, status int, body []byte) {
	if len(body) < minCompressed {
		delete(w.Header(), "Vary") // of an answer of which that was not known before
		e.send(w, x, status, body)
		return
	}
	w.Header()["Content-Length"] = []string{strconv.Itoa(len(body))}
	e.compressed(w, x, func(w http.ResponseWriter) { e.send(w, x, status, body) })
}

func (e *Engine) send(w http.ResponseWriter, x *exchange, status int, body []byte) {
	out := e.newSender(w)
	out.begin(status)
	if err := out.send(body); err != nil {
		e.log.DebugContext(&x.context, "answer not sent", "error", err)
	}
}

// sender sends an answer piece by piece.
type sender struct {
	http.ResponseWriter
	control  http.ResponseController
	patience time.Duration
	end      time.Time // by when all that was given to it must have been taken
	begun    bool
	failed   bool
}

func (e *Engine) newSender(w http.ResponseWriter) sender {
	return sender{ResponseWriter: w, control: *http.NewResponseController(w), patience: e.answerTimeout}
}

// begin sets the status, which is sent with the first part of the answer.
func (s *sender) begin(status int) {
	s.begun = true
	s.Header()["Content-Type"] = contentTypeJSON
	s.WriteHeader(status)
}

// send sends a part of the answer. The time for making it does not count against its
// reader.
func (s *sender) send(part []byte) error {
	now := time.Now()
	if s.end.Before(now.Add(s.patience)) {
		s.end = now.Add(s.patience)
	}
	s.end = s.end.Add(time.Duration(len(part)/slowestBytesPerSecond) * time.Second)
	for len(part) > 0 {
		deadline := now.Add(s.patience + pieceBytes/slowestBytesPerSecond*time.Second)
		if deadline.After(s.end) {
			deadline = s.end
		}
		n := min(len(part), pieceBytes)
		err := setDeadline(s.control.SetWriteDeadline, deadline)
		if err == nil {
			_, err = s.Write(part[:n])
		}
		if err != nil {
			s.failed = true
			return err
		}
		if part = part[n:]; len(part) > 0 {
			now = time.Now()
		}
	}
	return nil
}

// patientWriter sends an answer of any length, for as long as its reader reads each
// piece of it in time.
type patientWriter struct {
	http.ResponseWriter
	control  *http.ResponseController
	patience time.Duration
}

// WriteHeader begins the answer.
func (p *patientWriter) WriteHeader(status int) {
	// If the deadline can't be set, Write will fail.
	_ = setDeadline(p.control.SetWriteDeadline, time.Now().Add(p.patience))
	p.ResponseWriter.WriteHeader(status)
}

// Write sends a piece of it.
func (p *patientWriter) Write(b []byte) (int, error) {
	if err := setDeadline(p.control.SetWriteDeadline, time.Now().Add(p.patience)); err != nil {
		return 0, err
	}
	return p.ResponseWriter.Write(b)
}
