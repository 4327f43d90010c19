package testserver

import (
	"encoding/json"
	"net/http"
	"net/url"
	"time"
)

// Fault says which requests are to fail, and how. An empty field picks all requests.
type Fault struct {
	Method string
	// Route is the path of an endpoint as the specification writes it, without the prefix, such as
	// /rooms/{roomId}/send/{eventType}/{txnId}; or the full path of requests.
	Route    string
	UserID   string
	DeviceID string
	// Times is how many requests it meets; 0: until it is taken back. Skip is how many pass before the first.
	Times, Skip int
	// After has the request served first, so that only its answer is lost: what it asked for has happened.
	After bool
	// Effect is what happens to the requests.
	Effect Effect
}

// Effect is what a fault does to a request. The functions that return one list all there are.
type Effect struct{ members map[string]any }

// RateLimit refuses requests with 429 M_LIMIT_EXCEEDED. retryAfter is how long the client is told to wait, in retry_after_ms and
// in the header Retry-After; 0: the client is not told.
func RateLimit(retryAfter time.Duration) Effect {
	return Effect{map[string]any{"status": http.StatusTooManyRequests, "retry_after_ms": retryAfter.Milliseconds()}}
}

// Refuse refuses requests with the status, 400 to 599, and the errcode, such as M_FORBIDDEN.
func Refuse(status int, errcode string) Effect {
	return Effect{map[string]any{"status": status, "errcode": errcode}}
}

// Delay holds requests back for a time, or with After their answers.
func Delay(d time.Duration) Effect { return Effect{map[string]any{"delay_ms": d.Milliseconds()}} }

// Drop closes the connection without an answer.
func Drop() Effect { return Effect{map[string]any{"drop": true}} }

// Truncate closes the connection after so many bytes of the answer's body.
func Truncate(bytes int) Effect { return Effect{map[string]any{"truncate": bytes}} }

// StaleSince has /sync answer as if it had been asked with this token; "": with none.
func StaleSince(token string) Effect { return Effect{map[string]any{"stale_since": token}} }

// RepeatSync has /sync answer with the token of the request as next_batch, so that the client gets the same again.
func RepeatSync() Effect { return Effect{map[string]any{"repeat_sync": true}} }

// SoftLogout refuses the access token as one that has to be refreshed.
func SoftLogout() Effect { return Effect{map[string]any{"soft_logout": true}} }

// MarshalJSON implements json.Marshaler: it is what the server is asked for.
func (f Fault) MarshalJSON() ([]byte, error) {
	members := map[string]any{
		"method": f.Method, "route": f.Route, "user_id": f.UserID, "device_id": f.DeviceID,
		"times": f.Times, "skip": f.Skip, "after": f.After,
	}
	for name, value := range f.Effect.members {
		members[name] = value
	}
	return json.Marshal(members)
}

// Fail has the next requests fail, and returns the ID of the fault. Of several faults that a request could meet it meets the
// oldest.
func (s *Server) Fail(f Fault) (faultID string) {
	s.t.Helper()
	var answer struct {
		FaultID string `json:"fault_id"`
	}
	s.control(http.MethodPost, "/faults", f, &answer)
	return answer.FaultID
}

// Hits returns how many requests a fault has met.
func (s *Server) Hits(faultID string) int {
	s.t.Helper()
	var answer struct {
		Faults []struct {
			FaultID string `json:"fault_id"`
			Hits    int    `json:"hits"`
		} `json:"faults"`
	}
	s.control(http.MethodGet, "/faults", nil, &answer)
	for _, fault := range answer.Faults {
		if fault.FaultID == faultID {
			return fault.Hits
		}
	}
	s.t.Fatalf("testserver: there is no fault %s", faultID)
	return 0
}

// TakeBack ends a fault.
func (s *Server) TakeBack(faultID string) {
	s.t.Helper()
	s.control(http.MethodDelete, "/faults/"+url.PathEscape(faultID), nil, nil)
}

// TakeBackAll ends all faults.
func (s *Server) TakeBackAll() {
	s.t.Helper()
	s.control(http.MethodDelete, "/faults", nil, nil)
}
