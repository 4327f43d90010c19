package faults

import (
	"net/http"

	"homeserver/internal/httpapi"
)

// Serve answers a request as the fault has it.
func (f *Fault) Serve(w http.ResponseWriter, r *http.Request, endpoints *httpapi.Endpoints) {
	if f.After {
		endpoints.ServeHTTP(&lost{w, http.Header{}}, r)
	}
	endpoints.Refuse(w, r, f.refusal())
}

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
