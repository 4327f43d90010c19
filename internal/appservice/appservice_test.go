package appservice

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"

	"homeserver/internal/appservice/registration"
	"homeserver/internal/matrix"
)

// service makes a Service of registrations with these URLs, whose IDs are those of the keys.
func service(t *testing.T, urls map[string]string) *Service {
	t.Helper()
	var list registration.List
	for id, url := range urls {
		one, err := registration.Parse("test.yaml", []byte("id: '"+id+"'\nurl: "+url+"\nas_token: 'as-"+id+"'\nhs_token: hs-secret\nsender_localpart: '"+id+
			"'\nprotocols: [irc]\nnamespaces: {users: [{exclusive: true, regex: '@"+id+"_'}]}\n"), "localhost")
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, one)
	}
	return New(Options{
		Registrations: list,
		ActAs: func(_ context.Context, service, userID, deviceID string) (matrix.Session, error) {
			return matrix.Session{UserID: userID, DeviceID: deviceID, AppService: service}, nil
		},
	})
}

func TestServicesAreCalledThroughSockets(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "s")
	socket, err := new(net.ListenConfig).Listen(t.Context(), "unix", path)
	if err != nil {
		t.Fatal(err)
	}
	server := &httptest.Server{Listener: socket, Config: &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { //nolint:gosec // a test
		_, _ = io.WriteString(w, r.URL.Path+" "+r.Header.Get("Authorization"))
	})}}
	server.Start()
	t.Cleanup(server.Close)
	s := service(t, map[string]string{"a": "unix://" + path})
	answer, err := s.Call(t.Context(), s.ByID("a"), Call{Name: "test", Method: http.MethodGet, Path: "/_matrix/app/v1/x"})
	if err != nil || string(answer.Body) != "/_matrix/app/v1/x Bearer hs-secret" {
		t.Errorf("got %s, %v", answer.Body, err)
	}
}

func TestErrorsOfCallsHaveNoToken(t *testing.T) {
	t.Parallel()
	closed := httptest.NewServer(nil)
	closed.Close()
	s := service(t, map[string]string{"a": closed.URL, "silent": "null"})
	for _, legacy := range []bool{false, true} {
		if legacy {
			s.peers["a"].noteLegacy("test") // where the token is in the query
		}
		_, err := s.Call(t.Context(), s.ByID("a"), Call{Name: "test", Method: http.MethodGet, Path: "/x", Legacy: "/y"})
		if err == nil || strings.Contains(err.Error(), "secret") || !strings.Contains(err.Error(), closed.URL) {
			t.Errorf("got %v", err)
		}
	}
	if _, err := s.Call(t.Context(), s.ByID("silent"), Call{Name: "test"}); !errors.Is(err, ErrNoURL) {
		t.Errorf("got %v", err)
	}
}

func TestTokensAndUsersOfServices(t *testing.T) {
	t.Parallel()
	s := service(t, map[string]string{"a": "null", "b": "null"})
	for token, want := range map[string]string{"as-a": "a", "as-b": "b", "as-c": "", "": "", "hs-secret": ""} {
		if got := s.ByToken(token).ID; got != want {
			t.Errorf("%q is of %q", token, got)
		}
	}
	as := s.ByToken("as-a")
	for userID, want := range map[string]string{"": "@a:localhost", "@a:localhost": "@a:localhost", "@a_x:localhost": "@a_x:localhost", "@b:localhost": "", "@b_x:localhost": ""} {
		who, err := s.ActAs(t.Context(), as, userID, "D")
		if who.UserID != want || (err == nil) != (want != "") || err != nil && !matrix.IsCode(err, matrix.Forbidden) {
			t.Errorf("%q: got %+v, %v", userID, who, err)
		}
	}
}

func TestIDsOfNetworks(t *testing.T) {
	t.Parallel()
	s := service(t, map[string]string{"a": "null", "a|b": "null"})
	for id, want := range map[string][2]string{
		"a|net": {"a", "net"}, "a|b|net": {"a|b", "net"}, "a|": {}, "a": {}, "": {}, "c|net": {}, "A|net": {},
	} {
		if service, network := s.Network(id); service != want[0] || network != want[1] {
			t.Errorf("%q: got %q %q", id, service, network)
		}
	}
	if service, network := (*Service)(nil).Network("a|net"); service != "" || network != "" {
		t.Error("without services there is a network")
	}
}
