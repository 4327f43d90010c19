package testserver

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// Filter picks requests. An empty field picks all.
type Filter struct {
	Method   string
	Route    string // as in Fault
	UserID   string
	DeviceID string
	// Since picks requests with a higher number.
	Since int64
}

// Request is a request that a client has sent, with what came of it. Access tokens and passwords are never in it.
type Request struct {
	// N is its number, from 1 on, in the order in which requests were answered.
	N      int64  `json:"n"`
	Method string `json:"method"`
	Path   string `json:"path"`
	// Route is the endpoint's path in the specification; "": there is no such endpoint.
	Route    string `json:"route"`
	Query    string `json:"query"`
	UserID   string `json:"user_id"`
	DeviceID string `json:"device_id"`
	// Body is JSON as it was sent; other text is a JSON string. At most 64 KiB are kept.
	Body json.RawMessage `json:"body"`
	// BodyBase64 is a body that is not text.
	BodyBase64    string `json:"body_base64"`
	BodyTruncated bool   `json:"body_truncated"`
	// Status is that of the answer; 0: the connection was closed without one.
	Status int `json:"status"`
	// FaultID is the fault that it has met; "": none.
	FaultID    string    `json:"fault_id"`
	At         time.Time `json:"at"`
	DurationMS float64   `json:"duration_ms"`
}

// Requests returns what clients have sent, the oldest first. A request is there before its client has the answer.
func (s *Server) Requests(f Filter) []Request {
	s.t.Helper()
	return s.find(f, 0)
}

// WaitForRequests waits until clients have sent so many requests that the filter picks, and returns these. The test ends if that
// takes longer than 30 seconds.
func (s *Server) WaitForRequests(f Filter, count int) []Request {
	s.t.Helper()
	found := s.find(f, count)
	if len(found) < count {
		s.t.Fatalf("testserver: clients have sent %d of %d requests that were waited for: %+v", len(found), count, f)
	}
	return found
}

// Forget forgets what clients have sent. Numbers go on.
func (s *Server) Forget() {
	s.t.Helper()
	s.control(http.MethodDelete, "/requests", nil, nil)
}

func (s *Server) find(f Filter, count int) []Request {
	s.t.Helper()
	query := url.Values{}
	for name, value := range map[string]string{"method": f.Method, "route": f.Route, "user_id": f.UserID, "device_id": f.DeviceID} {
		if value != "" {
			query.Set(name, value)
		}
	}
	query.Set("since", strconv.FormatInt(f.Since, 10))
	query.Set("wait_for", strconv.Itoa(count))
	var answer struct {
		Requests []Request `json:"requests"`
	}
	s.control(http.MethodGet, "/requests?"+query.Encode(), nil, &answer)
	return answer.Requests
}
