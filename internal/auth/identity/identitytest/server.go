// Package identitytest runs a small identity server for tests: it looks up bindings,
// stores invitations and signs for them, by the Identity service API.
package identitytest

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"sync"
	"testing"

	"homeserver/internal/auth/identity"
	"homeserver/internal/event"
	"homeserver/internal/safehttp"
)

// Token is the access token that every user has there.
const Token = "identity-token"

// Server is an identity server. Its methods may be called concurrently.
type Server struct {
	*httptest.Server
	t      testing.TB
	signer *event.Signer

	mu       sync.Mutex
	pepper   string
	rotate   int               // how many look-ups find that the pepper has changed
	bound    map[string]string // user ID by "address medium"
	revoked  bool
	invites  []identity.Invite
	requests []string
}

// New runs a server, which ends with the test.
func New(t testing.TB) *Server {
	t.Helper()
	s := &Server{t: t, pepper: "matrixrocks", bound: map[string]string{}}
	s.signer = &event.Signer{ServerName: "identity.example", KeyID: "ed25519:0", Key: ed25519.NewKeyFromSeed(make([]byte, 32))}
	mux := http.NewServeMux()
	const v2 = "/_matrix/identity/v2"
	mux.HandleFunc("GET "+v2+"/hash_details", s.withToken(s.hashDetails))
	mux.HandleFunc("POST "+v2+"/lookup", s.withToken(s.lookup))
	mux.HandleFunc("POST "+v2+"/store-invite", s.withToken(s.storeInvite))
	mux.HandleFunc("GET "+v2+"/pubkey/isvalid", s.isValid)
	s.Server = httptest.NewServer(mux)
	t.Cleanup(s.Close)
	return s
}

// Client returns a client that may connect to this server, and to no other.
func (s *Server) Client() *identity.Client {
	return identity.New(identity.Options{
		Servers:  []string{s.URL},
		Outgoing: safehttp.New(safehttp.Options{AllowedRanges: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}}),
	})
}

// Name returns the name by which clients reach the server.
func (s *Server) Name() string { return s.Listener.Addr().String() }

// Bind binds an address to a user.
func (s *Server) Bind(medium, address, userID string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.bound[address+" "+medium] = userID
}

// Rotate makes the next n look-ups find that the pepper has changed.
func (s *Server) Rotate(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.rotate = n
}

// Revoke makes the server's key invalid.
func (s *Server) Revoke() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.revoked = true
}

// Invites lists the stored invitations. The one at index i has the token "token-i".
func (s *Server) Invites() []identity.Invite {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.invites
}

// Requests lists the paths of all requests.
func (s *Server) Requests() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.requests
}

// Sign returns the proof that the user owns the address of the invitation with the token.
func (s *Server) Sign(token, userID, sender string) json.RawMessage {
	s.t.Helper()
	signed, err := s.signer.SignJSON(fmt.Appendf(nil, `{"mxid":%q,"sender":%q,"token":%q}`, userID, sender, token))
	if err != nil {
		s.t.Fatal(err)
	}
	return signed
}

// SignByAnother is Sign with a key that is not the server's.
func (s *Server) SignByAnother(token, userID, sender string) json.RawMessage {
	s.t.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		s.t.Fatal(err)
	}
	other := &Server{t: s.t, signer: &event.Signer{ServerName: s.signer.ServerName, KeyID: s.signer.KeyID, Key: key}}
	return other.Sign(token, userID, sender)
}

func (s *Server) withToken(handle http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.requests = append(s.requests, r.URL.Path)
		if r.Header.Get("Authorization") != "Bearer "+Token {
			answer(w, http.StatusUnauthorized, map[string]any{"errcode": "M_UNAUTHORIZED", "error": "who are you?"})
			return
		}
		handle(w, r)
	}
}

func answer(w http.ResponseWriter, status int, body any) {
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body)
}

func (s *Server) hashDetails(w http.ResponseWriter, _ *http.Request) {
	answer(w, http.StatusOK, map[string]any{"lookup_pepper": s.pepper, "algorithms": []string{"none", "sha256"}})
}

func (s *Server) lookup(w http.ResponseWriter, r *http.Request) {
	var body struct {
		Addresses         []string
		Algorithm, Pepper string
	}
	if err := json.NewDecoder(r.Body).Decode(&body); err != nil || body.Algorithm != "sha256" {
		answer(w, http.StatusBadRequest, map[string]any{"errcode": "M_INVALID_PARAM", "error": "what?"})
		return
	}
	if s.rotate > 0 {
		s.rotate--
		s.pepper += "!"
	}
	if body.Pepper != s.pepper {
		answer(w, http.StatusBadRequest, map[string]any{"errcode": "M_INVALID_PEPPER", "error": "it was rotated"})
		return
	}
	mappings := map[string]string{}
	for address, userID := range s.bound {
		sum := sha256.Sum256([]byte(address + " " + s.pepper))
		for _, wanted := range body.Addresses {
			if hash := base64.RawURLEncoding.EncodeToString(sum[:]); hash == wanted {
				mappings[hash] = userID
			}
		}
	}
	answer(w, http.StatusOK, map[string]any{"mappings": mappings})
}

func (s *Server) storeInvite(w http.ResponseWriter, r *http.Request) {
	var invite identity.Invite
	if err := json.NewDecoder(r.Body).Decode(&invite); err != nil {
		answer(w, http.StatusBadRequest, map[string]any{"errcode": "M_NOT_JSON", "error": "what?"})
		return
	}
	if invite.Medium != "email" {
		answer(w, http.StatusBadRequest, map[string]any{"errcode": "M_UNRECOGNIZED", "error": "e-mail only"})
		return
	}
	s.invites = append(s.invites, invite)
	public := s.signer.Key.Public().(ed25519.PublicKey)
	key := map[string]string{
		"public_key":       base64.RawStdEncoding.EncodeToString(public),
		"key_validity_url": s.URL + "/_matrix/identity/v2/pubkey/isvalid",
	}
	answer(w, http.StatusOK, map[string]any{
		"token": fmt.Sprint("token-", len(s.invites)-1), "display_name": invite.Address[:1] + "...", "public_keys": []any{key},
	})
}

func (s *Server) isValid(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	public := s.signer.Key.Public().(ed25519.PublicKey)
	asked := r.URL.Query().Get("public_key")
	answer(w, http.StatusOK, map[string]any{"valid": !s.revoked && asked == base64.RawStdEncoding.EncodeToString(public)})
}
