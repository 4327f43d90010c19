package client

import (
	"encoding/json"
	"net/http"
	"time"

	"homeserver/internal/auth/rendezvous"
	"homeserver/internal/httpapi"
	"homeserver/internal/matrix"
)

// rendezvousPath is the place of the sessions over which devices meet: MSC4108.
const rendezvousPath = "/_matrix/client/unstable/org.matrix.msc4108/rendezvous"

// rendezvousAnswer is an answer with the headers of a session. It is a http.Handler that writes itself.
type rendezvousAnswer struct {
	rendezvous.Session
	status      int
	contentType string
	body        []byte
}

// ServeHTTP sends the answer.
func (a rendezvousAnswer) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	h := w.Header()
	h.Set("ETag", a.ETag)
	h.Set("Expires", a.Expires.UTC().Format(http.TimeFormat))
	h.Set("Last-Modified", a.LastModified.UTC().Format(http.TimeFormat))
	if a.contentType != "" {
		h.Set("Content-Type", a.contentType)
	}
	w.WriteHeader(a.status)
	_, _ = w.Write(a.body) // if nobody is there to read it, the error concerns nobody
}

// beginRendezvous makes a session with its first message. POST /rendezvous.
func (a *api) beginRendezvous(r *httpapi.Request) (any, error) {
	made, err := a.Rendezvous.Begin(matrix.Caller(r.Context()), r.RawBody())
	if err != nil {
		return nil, err
	}
	body, err := json.Marshal(map[string]string{"url": a.OAuth.BaseURL() + rendezvousPath + "/" + made.ID})
	return rendezvousAnswer{made, http.StatusCreated, "application/json", body}, err
}

// getRendezvous returns the message, or 304 to a device that has it. GET /rendezvous/{id}.
func (a *api) getRendezvous(r *httpapi.Request) (any, error) {
	known, err := a.Rendezvous.Get(r.Param("rendezvousId"))
	if err != nil {
		return nil, err
	}
	if r.Header.Get("If-None-Match") == known.ETag {
		return rendezvousAnswer{Session: known, status: http.StatusNotModified}, nil
	}
	return rendezvousAnswer{known, http.StatusOK, "text/plain", known.Content}, nil
}

// putRendezvous replaces the message. PUT /rendezvous/{id}.
func (a *api) putRendezvous(r *httpapi.Request) (any, error) {
	known, err := a.Rendezvous.Put(r.Param("rendezvousId"), r.Header.Get("If-Match"), r.RawBody())
	if err != nil {
		return nil, err
	}
	return rendezvousAnswer{Session: known, status: http.StatusAccepted}, nil
}

// deleteRendezvous ends a session. DELETE /rendezvous/{id}.
func (a *api) deleteRendezvous(r *httpapi.Request) (any, error) {
	if err := a.Rendezvous.Delete(r.Param("rendezvousId")); err != nil {
		return nil, err
	}
	return rendezvousAnswer{Session: rendezvous.Session{Expires: time.Now()}, status: http.StatusNoContent}, nil
}
