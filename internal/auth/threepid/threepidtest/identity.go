package threepidtest

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
)

// AccessToken is the only access token of an IdentityServer.
const AccessToken = "id-token"

// IdentityServer stores bindings, and accepts the sessions that Validate has made.
type IdentityServer struct {
	URL  string // http://host:port
	Name string // host:port

	mu       sync.Mutex
	sessions map[string]map[string]string // sid → medium, address, client_secret
	bound    map[string]string            // medium:address → user ID
	requests []IdentityRequest
	answer   func(w http.ResponseWriter) bool
}

// IdentityRequest is a request to an IdentityServer.
type IdentityRequest struct {
	Path, Authorization string
	Body                json.RawMessage
}

// NewIdentityServer starts an identity server without sessions.
func NewIdentityServer(t testing.TB) *IdentityServer {
	t.Helper()
	s := &IdentityServer{sessions: map[string]map[string]string{}, bound: map[string]string{}}
	server := httptest.NewServer(s)
	t.Cleanup(server.Close)
	s.URL, s.Name = server.URL, strings.TrimPrefix(server.URL, "http://")
	return s
}

// Validate makes a session with which a user has proved an address to the identity server.
func (s *IdentityServer) Validate(sid, clientSecret, medium, address string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sessions[sid] = map[string]string{"client_secret": clientSecret, "medium": medium, "address": address}
}

// Bound returns the user that an address is bound to, and "" for none.
func (s *IdentityServer) Bound(medium, address string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.bound[medium+":"+address]
}

// Requests lists all requests.
func (s *IdentityServer) Requests() []IdentityRequest {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]IdentityRequest(nil), s.requests...)
}

// Answer sets one answer to all requests; with status 0 the server answers as usual.
func (s *IdentityServer) Answer(status int, body string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.answer = func(w http.ResponseWriter) bool {
		if status == 0 {
			return false
		}
		w.WriteHeader(status)
		_, _ = w.Write([]byte(body))
		return true
	}
}

// ServeHTTP implements POST /3pid/bind and POST /3pid/unbind.
func (s *IdentityServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	asked := IdentityRequest{Path: r.URL.Path, Authorization: r.Header.Get("Authorization")}
	_ = json.NewDecoder(r.Body).Decode(&asked.Body)
	s.requests = append(s.requests, asked)
	if s.answer != nil && s.answer(w) {
		return
	}
	var body struct {
		SID          string            `json:"sid"`
		ClientSecret string            `json:"client_secret"`
		MXID         string            `json:"mxid"`
		Threepid     map[string]string `json:"threepid"`
	}
	_ = json.Unmarshal(asked.Body, &body)
	found := s.sessions[body.SID]
	switch {
	case r.URL.Path == "/_matrix/identity/v2/3pid/bind" && asked.Authorization != "Bearer "+AccessToken:
		refuse(w, http.StatusUnauthorized, "M_UNAUTHORIZED")
	case r.URL.Path == "/_matrix/identity/v2/3pid/bind" && (found == nil || found["client_secret"] != body.ClientSecret):
		refuse(w, http.StatusNotFound, "M_NO_VALID_SESSION")
	case r.URL.Path == "/_matrix/identity/v2/3pid/bind":
		s.bound[found["medium"]+":"+found["address"]] = body.MXID
		_ = json.NewEncoder(w).Encode(map[string]string{"medium": found["medium"], "address": found["address"], "mxid": body.MXID})
	case r.URL.Path == "/_matrix/identity/v2/3pid/unbind" && strings.HasPrefix(asked.Authorization, "X-Matrix "):
		delete(s.bound, body.Threepid["medium"]+":"+body.Threepid["address"])
		_, _ = w.Write([]byte("{}"))
	default:
		refuse(w, http.StatusForbidden, "M_FORBIDDEN")
	}
}

func refuse(w http.ResponseWriter, status int, code string) {
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]string{"errcode": code, "error": "the identity server says no"})
}
