package testserver

import (
	"net/http"
	"time"
)

// Reset sets the server back to what it was when it started: users with their tokens, rooms and files. Faults are taken back.
// A client needs a /sync without since then.
func (s *Server) Reset() {
	s.t.Helper()
	s.control(http.MethodPost, "/reset", nil, nil)
}

// Advance moves the server's clock forward: tokens expire, typing ends, users become idle, rate limits recover.
func (s *Server) Advance(d time.Duration) {
	s.t.Helper()
	s.control(http.MethodPost, "/clock", map[string]int64{"advance_ms": d.Milliseconds()}, nil)
}

// LimitRates switches the rate limits of a server in production on, or off as they are at the start.
func (s *Server) LimitRates(enabled bool) {
	s.t.Helper()
	s.control(http.MethodPut, "/rate-limits", map[string]bool{"enabled": enabled}, nil)
}
