package control

import "net/http"

// answer is the answer to a request as the client gets it.
type answer struct {
	http.ResponseWriter
	// begins is called once, before the client gets anything, with the status; with 0 if the
	// connection is closed instead.
	begins func(status int)
	begun  bool
}

func (a *answer) begin(status int) {
	if !a.begun && (status == 0 || status >= http.StatusOK) {
		a.begun = true
		a.begins(status)
	}
}

// WriteHeader begins the answer.
func (a *answer) WriteHeader(status int) {
	a.begin(status)
	a.ResponseWriter.WriteHeader(status)
}

// Write passes a part of the answer on.
func (a *answer) Write(p []byte) (int, error) {
	a.begin(http.StatusOK)
	return a.ResponseWriter.Write(p)
}

// Unwrap returns the writer below, for the deadlines of the connection.
func (a *answer) Unwrap() http.ResponseWriter { return a.ResponseWriter }
