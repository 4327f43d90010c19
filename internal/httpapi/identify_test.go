package httpapi

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"homeserver/internal/matrix"
)

// oneSession knows one access token.
type oneSession struct{ seen int }

func (s *oneSession) Authenticate(_ context.Context, token string) (matrix.Session, error) {
	if token != "secret" {
		return matrix.Session{}, matrix.Errorf(matrix.UnknownToken, "unknown")
	}
	return matrix.Session{UserID: "@alice:localhost", DeviceID: "PHONE"}, nil
}

func (s *oneSession) Knows(string) bool                  { return false }
func (s *oneSession) Seen(matrix.Session, matrix.Client) { s.seen++ }

func (s *oneSession) Watch(ctx context.Context, _ string) (context.Context, func() error, error) {
	return ctx, func() error { return nil }, nil
}

func roomRoutes() []Route {
	return []Route{Client.Put("/rooms/{roomId}/send/{eventType}/{txnId}", Sending, User(func(*Request, matrix.Session) (any, error) {
		return Empty{}, nil
	}))}
}

func TestIdentifyFindsEndpointAndCaller(t *testing.T) {
	t.Parallel()
	sessions := &oneSession{}
	endpoints, err := newBench(t, Options{Sessions: sessions}).Handler(roomRoutes())
	if err != nil {
		t.Fatal(err)
	}
	const path, pattern = "/rooms/{roomId}/send/{eventType}/{txnId}", "/_matrix/client/r0/rooms/{roomId}/send/{eventType}/{txnId}"
	alice := matrix.Session{UserID: "@alice:localhost", DeviceID: "PHONE"}
	for _, test := range []struct {
		method, target, token string
		want                  Identity
	}{
		{"PUT", "/_matrix/client/r0/rooms/!a:b/send/m.x/1", "secret", Identity{path, pattern, alice}},
		{"PUT", "//_matrix/client/r0/rooms/%21a%2Fb/send/m.x/1/?access_token=secret", "", Identity{path, pattern, alice}},
		{"PUT", "/_matrix/client/r0/rooms/!a:b/send/m.x/1", "other", Identity{Path: path, Pattern: pattern}},
		{"PUT", "/_matrix/client/r0/rooms/!a:b/send/m.x/1?access_token=%zz", "", Identity{Path: path, Pattern: pattern}},
		{"GET", "/_matrix/client/r0/rooms/!a:b/send/m.x/1", "secret", Identity{Session: alice}},
		{"PUT", "/nowhere", "", Identity{}},
	} {
		r := httptest.NewRequestWithContext(t.Context(), test.method, test.target, strings.NewReader("{}"))
		if test.token != "" {
			r.Header.Set("Authorization", "Bearer "+test.token)
		}
		if got := endpoints.Identify(r); got != test.want {
			t.Errorf("%s %s: got %+v, want %+v", test.method, test.target, got, test.want)
		}
	}
	if sessions.seen != 0 {
		t.Error("a device counts as seen though nothing was served")
	}
}

func TestHasKnowsEndpointsByEachName(t *testing.T) {
	t.Parallel()
	endpoints, err := newBench(t, Options{}).Handler(roomRoutes())
	if err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]bool{
		"/rooms/{roomId}/send/{eventType}/{txnId}":                   true,
		"/rooms/{room_id}/send/{}/{txn}":                             true,
		"/_matrix/client/v3/rooms/{roomId}/send/{eventType}/{txnId}": true,
		"/_matrix/client/v2/rooms/{roomId}/send/{eventType}/{txnId}": false,
		"/rooms/{roomId}/send/{eventType}":                           false,
		"/rooms/!a:b/send/m.x/1":                                     false,
		"":                                                           false,
	} {
		if got := endpoints.Has(path); got != want {
			t.Errorf("%s: %v", path, got)
		}
	}
}

func TestRefusedWithoutBeingServedLooksLikeAnyRefusal(t *testing.T) {
	t.Parallel()
	b := newBench(t, Options{Sessions: &oneSession{}})
	endpoints, err := b.Handler(roomRoutes())
	if err != nil {
		t.Fatal(err)
	}
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPut, "/_matrix/client/r0/rooms/!a:b/send/m.x/1", http.NoBody)
	served := record(endpoints, r) // without a token
	refused := httptest.NewRecorder()
	endpoints.Refuse(refused, r, ErrMissingToken)
	if refused.Code != served.Code || refused.Body.String() != served.Body.String() {
		t.Errorf("got %d %s, want %d %s", refused.Code, refused.Body, served.Code, served.Body)
	}
	for name := range served.Header() {
		if refused.Header().Get(name) == "" {
			t.Errorf("there is no %s", name)
		}
	}
	for _, answer := range []*httptest.ResponseRecorder{served, refused} {
		b.log.Wait(t, answer.Header().Get("X-Request-Id")) // its line
	}
}
