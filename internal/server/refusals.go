package server

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"sync/atomic"

	"homeserver/internal/httpapi"
	"homeserver/internal/matrix"
)

// wireError returns a standard error response as it goes over the wire, for requests that
// reach no handler. The connection ends with it. Client-server API, "Standard error
// response".
func wireError(status int, code matrix.Code, message string, header http.Header) []byte {
	// Strings can be written as JSON.
	body, _ := json.Marshal(map[string]string{"errcode": string(code), "error": message})
	return wireAnswer(status, append(body, '\n'), header)
}

// wireAnswer returns any answer as it goes over the wire. A nil body is none.
func wireAnswer(status int, body []byte, header http.Header) []byte {
	h := header.Clone()
	if h == nil {
		h = http.Header{}
	}
	httpapi.SetCORSHeaders(h)
	h.Set("Connection", "close")
	if body != nil {
		h.Set("Content-Type", "application/json")
		h.Set("Content-Length", strconv.Itoa(len(body)))
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, "HTTP/1.1 %d %s\r\n", status, http.StatusText(status))
	_ = h.Write(&b) // a buffer takes everything
	b.WriteString("\r\n")
	b.Write(body)
	return b.Bytes()
}

// refuseInJSON makes a server answer in the form of the specification, with the headers
// for browsers, also where net/http refuses a request before any handler runs: a path
// with a broken escape, a header that is too long, and all that is not HTTP. It does so
// on the connections of plainConn. On those with TLS nothing can be put between
// net/http and the client without losing HTTP/2.
func refuseInJSON(server *http.Server) {
	server.Handler = &answeringHandler{server.Handler}
	server.ConnContext = func(ctx context.Context, conn net.Conn) context.Context {
		return context.WithValue(ctx, plainConnKey{}, conn)
	}
	server.ConnState = func(conn net.Conn, state http.ConnState) {
		if plain, ok := conn.(*plainConn); ok && state == http.StateIdle {
			plain.next()
		}
	}
}

type plainConnKey struct{}

// answeringHandler is a handler of which its connection knows that it answers.
type answeringHandler struct{ http.Handler }

// ServeHTTP implements http.Handler.
func (h *answeringHandler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if conn, ok := r.Context().Value(plainConnKey{}).(*plainConn); ok {
		conn.answering.Store(true)
	}
	h.Handler.ServeHTTP(w, r)
}

// preflight begins the requests by which browsers ask for permission.
const preflight = "OPTIONS "

// plainConn is a connection of HTTP/1 without TLS.
type plainConn struct {
	net.Conn
	// answering reports that a handler has been called for the request. Writes before
	// that come from net/http itself.
	answering atomic.Bool
	// begun says that the first bytes of the request were read, and preflight that they are OPTIONS.
	begun, preflight atomic.Bool
	// early is the first byte of a request that came while the answer to the one before was still on its way.
	early atomic.Pointer[byte]
}

// next is called between the answer to one request and the next request.
func (c *plainConn) next() {
	c.answering.Store(false)
	c.begun.Store(false)
	c.preflight.Store(false)
}

// Read reads from the client. net/http reads a single byte while a handler runs, to
// notice a client that goes away.
func (c *plainConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	switch {
	case n == 0:
	case len(p) == 1:
		c.early.Store(new(p[0]))
	case !c.answering.Load() && c.begun.CompareAndSwap(false, true):
		start := p[:n]
		if early := c.early.Swap(nil); early != nil {
			start = append([]byte{*early}, start[:min(n, len(preflight))]...)
		}
		c.preflight.Store(bytes.HasPrefix(start, []byte(preflight)))
	}
	return n, err
}

// Write sends the answer of a handler as it is, and a standard error response in place
// of an answer of net/http.
func (c *plainConn) Write(p []byte) (int, error) {
	if c.answering.Load() {
		return c.Conn.Write(p)
	}
	if _, err := c.Conn.Write(c.refusal(p)); err != nil {
		return 0, err
	}
	return len(p), nil
}

// refusal returns the response in place of an answer of net/http. A browser asks for
// permission before it sends a token, and sees the error only if it gets that.
func (c *plainConn) refusal(answer []byte) []byte {
	if c.preflight.Load() {
		return wireAnswer(http.StatusNoContent, nil, http.Header{"Access-Control-Max-Age": {httpapi.PreflightMaxAge}})
	}
	switch status := statusOf(answer); status {
	case http.StatusBadRequest:
		return wireError(status, matrix.InvalidParam, "the request is not valid HTTP; perhaps its path has a % that begins no escape", nil)
	case http.StatusRequestHeaderFieldsTooLarge:
		return wireError(status, matrix.TooLarge, "the headers of the request are too large", nil)
	default:
		return wireError(status, matrix.Unknown, "the request cannot be read: "+http.StatusText(status), nil)
	}
}

// statusOf reads the status of an answer; 400 if it has none.
func statusOf(answer []byte) int {
	fields := bytes.SplitN(answer[:min(len(answer), 64)], []byte(" "), 3)
	if len(fields) == 3 {
		if status, err := strconv.Atoi(string(fields[1])); err == nil && http.StatusText(status) != "" {
			return status
		}
	}
	return http.StatusBadRequest
}
