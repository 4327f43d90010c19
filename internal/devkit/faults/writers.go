package faults

import (
	"bytes"
	"encoding/json"
	"net/http"
	"strconv"
	"time"

	"homeserver/internal/httpapi"
)

// lost takes an answer that nobody gets.
type lost struct {
	http.ResponseWriter
	header http.Header
}

// Header returns headers that are not sent.
func (l *lost) Header() http.Header { return l.header }

// WriteHeader does nothing.
func (l *lost) WriteHeader(int) {}

// Write does nothing.
func (l *lost) Write(b []byte) (int, error) { return len(b), nil }

// Unwrap returns the writer below, for the deadlines of the connection.
func (l *lost) Unwrap() http.ResponseWriter { return l.ResponseWriter }

// lateAnswer is how long a client may take to read an answer that was held back.
const lateAnswer = 30 * time.Second

// late holds an answer back before it begins.
type late struct {
	http.ResponseWriter
	wait  func()
	begun bool
}

func (l *late) begin() {
	if !l.begun {
		l.begun = true
		l.wait()
		// The time for the client to read it begins now.
		_ = http.NewResponseController(l.ResponseWriter).SetWriteDeadline(time.Now().Add(lateAnswer))
	}
}

// WriteHeader begins the answer.
func (l *late) WriteHeader(status int) {
	l.begin()
	l.ResponseWriter.WriteHeader(status)
}

// Write passes a part of the answer on.
func (l *late) Write(b []byte) (int, error) {
	l.begin()
	return l.ResponseWriter.Write(b)
}

// Unwrap returns the writer below, for the deadlines of the connection.
func (l *late) Unwrap() http.ResponseWriter { return l.ResponseWriter }

// truncated passes on the beginning of an answer, and never its last byte.
type truncated struct {
	http.ResponseWriter
	left int64
	held []byte // the byte that may be the last
}

// Write passes on what is left of the beginning.
func (t *truncated) Write(b []byte) (int, error) {
	whole := len(b)
	if whole == 0 {
		return 0, nil
	}
	if int64(len(b)) > t.left {
		b = b[:t.left]
	}
	t.left -= int64(len(b))
	send := append(t.held, b...)
	t.held = nil
	if t.left > 0 || whole == len(b) {
		send, t.held = send[:len(send)-1], send[len(send)-1:]
	}
	if _, err := t.ResponseWriter.Write(send); err != nil {
		return 0, err
	}
	return whole, nil
}

// end sends what has been passed on. The connection is to be closed then.
func (t *truncated) end() {
	_ = http.NewResponseController(t.ResponseWriter).Flush() // the client may have gone
}

// Unwrap returns the writer below, for the deadlines of the connection.
func (t *truncated) Unwrap() http.ResponseWriter { return t.ResponseWriter }

// kept keeps an answer.
type kept struct {
	http.ResponseWriter
	header http.Header
	status int
	body   bytes.Buffer
}

// Header returns the headers of the answer.
func (k *kept) Header() http.Header { return k.header }

// WriteHeader keeps the status.
func (k *kept) WriteHeader(status int) { k.status = status }

// Write keeps a part of the answer.
func (k *kept) Write(b []byte) (int, error) { return k.body.Write(b) }

// Unwrap returns the writer below, for the deadlines of the connection.
func (k *kept) Unwrap() http.ResponseWriter { return k.ResponseWriter }

// repeatSync answers a /sync with its own token as next_batch.
func repeatSync(w http.ResponseWriter, r *http.Request, endpoints *httpapi.Endpoints) {
	plain := r.Clone(r.Context())
	plain.Header.Del("Accept-Encoding")
	answer := &kept{ResponseWriter: w, header: http.Header{}, status: http.StatusOK}
	endpoints.ServeHTTP(answer, plain)
	body := answer.body.Bytes()
	var members map[string]json.RawMessage
	if answer.status == http.StatusOK && json.Unmarshal(body, &members) == nil {
		members["next_batch"], _ = json.Marshal(r.URL.Query().Get("since")) // a string can always be encoded
		if repeated, err := json.Marshal(members); err == nil {
			body = append(repeated, '\n')
		}
	}
	for name, values := range answer.header {
		w.Header()[name] = values
	}
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(answer.status)
	_, _ = w.Write(body) // the client may have gone
}
