package faults

import (
	"net/http"
	"time"

	"homeserver/internal/httpapi"
)

// Serve answers a request as the fault has it. A delay is over when its time is, when the fault is
// taken back, or when stop is closed. read is called before a request that is not served yet is
// made to wait or ended, and reads its body.
func (f *Fault) Serve(w http.ResponseWriter, r *http.Request, endpoints *httpapi.Endpoints, read func(), stop <-chan struct{}) {
	switch {
	case f.DelayMS != nil && f.After:
		endpoints.ServeHTTP(&late{ResponseWriter: w, wait: func() { f.wait(r, stop) }}, r)
		return
	case f.DelayMS != nil:
		read() // else it would not be noticed that the client goes away
		if f.wait(r, stop) {
			endpoints.ServeHTTP(w, r)
			return
		}
		panic(http.ErrAbortHandler) //nolint:forbidigo // the request has not come to the server
	case f.Truncate != nil:
		cut := &truncated{ResponseWriter: w, left: *f.Truncate}
		endpoints.ServeHTTP(cut, r)
		cut.end()
	case f.StaleSince != nil:
		endpoints.ServeHTTP(w, withSince(r, *f.StaleSince))
		return
	case f.RepeatSync:
		repeatSync(w, r, endpoints)
		return
	}
	if f.After {
		endpoints.ServeHTTP(&lost{w, http.Header{}}, r)
	} else {
		read()
	}
	if refusal := f.refusal(); refusal != nil {
		endpoints.Refuse(w, r, refusal)
		return
	}
	panic(http.ErrAbortHandler) //nolint:forbidigo // how net/http is told to close the connection
}

// wait returns when the delay is over, and reports whether the client is still there.
func (f *Fault) wait(r *http.Request, stop <-chan struct{}) bool {
	over := time.NewTimer(time.Duration(*f.DelayMS) * time.Millisecond)
	defer over.Stop()
	select {
	case <-over.C:
	case <-f.gone:
	case <-stop:
	case <-r.Context().Done():
		return false
	}
	return true
}

// withSince returns a /sync with another token.
func withSince(r *http.Request, since string) *http.Request {
	other := r.Clone(r.Context())
	query := other.URL.Query()
	if query.Del("since"); since != "" {
		query.Set("since", since)
	}
	other.URL.RawQuery = query.Encode()
	return other
}
