package identity_test

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"homeserver/internal/auth/identity"
	"homeserver/internal/auth/identity/identitytest"
	"homeserver/internal/matrix"
	"homeserver/internal/safehttp"
)

func server(s *identitytest.Server) identity.Server {
	return identity.Server{Name: s.Name(), Token: identitytest.Token}
}

func TestLookup(t *testing.T) {
	t.Parallel()
	s := identitytest.New(t)
	s.Bind("email", "alice@example.com", "@alice:example.org")
	s.Bind("msisdn", "18005552067", "@phone:example.org")
	for _, test := range []struct{ medium, address, want string }{
		{"email", "alice@example.com", "@alice:example.org"},
		{"msisdn", "18005552067", "@phone:example.org"},
		{"msisdn", "alice@example.com", ""},
		{"email", "bob@example.com", ""},
	} {
		got, err := s.Client().Lookup(t.Context(), server(s), test.medium, test.address)
		if got != test.want || err != nil {
			t.Errorf("%s: got %q %v, want %q", test.address, got, err, test.want)
		}
	}
}

func TestLookupWithANewPepper(t *testing.T) {
	t.Parallel()
	s := identitytest.New(t)
	s.Bind("email", "alice@example.com", "@alice:example.org")
	s.Rotate(1)
	if got, err := s.Client().Lookup(t.Context(), server(s), "email", "alice@example.com"); got != "@alice:example.org" || err != nil {
		t.Errorf("got %q %v", got, err)
	}
	s.Rotate(100)
	if _, err := s.Client().Lookup(t.Context(), server(s), "email", "alice@example.com"); !matrix.IsCode(err, "M_INVALID_PEPPER") {
		t.Errorf("a pepper that changes all the time: %v", err)
	}
	if n := len(s.Requests()); n > 8 {
		t.Errorf("%d requests", n)
	}
}

func TestStoreInvite(t *testing.T) {
	t.Parallel()
	s := identitytest.New(t)
	stored, err := s.Client().StoreInvite(t.Context(), server(s), identity.Invite{
		Medium: "email", Address: "bob@example.com", RoomID: "!r:localhost", Sender: "@alice:localhost",
	})
	if err != nil {
		t.Fatal(err)
	}
	if stored.Token != "token-0" || stored.DisplayName != "b..." || len(stored.PublicKeys) != 1 {
		t.Errorf("got %+v", stored)
	}
	for _, revoked := range []bool{false, true} {
		if revoked {
			s.Revoke()
		}
		if valid, err := s.Client().KeyIsValid(t.Context(), stored.PublicKeys[0]); valid == revoked || err != nil {
			t.Errorf("valid: %v %v", valid, err)
		}
	}
	other := stored.PublicKeys[0]
	other.Key = "AAAA"
	if valid, err := s.Client().KeyIsValid(t.Context(), other); valid || err != nil {
		t.Errorf("another key: %v %v", valid, err)
	}
}

func TestKeysOfStrangeServersAreNotAskedFor(t *testing.T) {
	t.Parallel()
	s := identitytest.New(t)
	for _, at := range []string{
		"", "x", "https://elsewhere.example/", strings.Replace(s.URL, "http:", "https:", 1), "file:///etc/passwd", ":", "http://\x00",
	} {
		if valid, err := s.Client().KeyIsValid(t.Context(), identity.PublicKey{Key: "AAAA", ValidityURL: at}); valid || err != nil {
			t.Errorf("%q: %v %v", at, valid, err)
		}
	}
}

func TestWhichServersAreAsked(t *testing.T) {
	t.Parallel()
	s := identitytest.New(t)
	for _, name := range []string{s.Name(), s.URL, s.URL + "/", "https://" + s.Name()} {
		if _, err := s.Client().Lookup(t.Context(), identity.Server{Name: name, Token: identitytest.Token}, "email", "x"); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, code := range map[string]matrix.Code{
		"elsewhere.example": matrix.ServerNotTrusted, "": matrix.InvalidParam, "a b": matrix.InvalidParam,
		s.Name() + "/path": matrix.InvalidParam, "user@" + s.Name(): matrix.InvalidParam,
	} {
		if _, err := s.Client().Lookup(t.Context(), identity.Server{Name: name}, "email", "x"); !matrix.IsCode(err, code) {
			t.Errorf("%q: got %v, want %s", name, err, code)
		}
	}
}

// TestPrivateServersLookLikeUnknownOnes: by the answer, users could find out which
// names and addresses there are inside the network.
func TestPrivateServersLookLikeUnknownOnes(t *testing.T) {
	t.Parallel()
	s := identitytest.New(t)
	anyone := identity.New(identity.Options{Outgoing: safehttp.New(safehttp.Options{})})
	for _, name := range []string{s.Name(), "nowhere.invalid", "10.0.0.1", "[::1]:8090"} {
		_, err := anyone.Lookup(t.Context(), identity.Server{Name: name, Token: identitytest.Token}, "email", "x")
		want := &matrix.Error{
			Code: matrix.Unknown, Status: 502, Message: "The identity server " + name + " could not be asked: there is no connection",
		}
		got, _ := errors.AsType[*matrix.Error](err)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: -want +got:\n%s", name, diff)
		}
	}
}

func TestAnswersThatMakeNoSense(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		status int
		body   string
		code   matrix.Code
		want   int
	}{
		"no JSON":       {200, "hello", matrix.Unknown, 502},
		"no algorithm":  {200, `{"lookup_pepper":"x","algorithms":["none"]}`, matrix.Unknown, 502},
		"failing":       {500, `{"errcode":"M_UNKNOWN","error":"x"}`, matrix.Unknown, 502},
		"not there":     {404, "<html>", matrix.Unknown, 502},
		"token":         {401, `{"errcode":"M_UNKNOWN_TOKEN","error":"x"}`, matrix.Forbidden, 403},
		"token, hidden": {400, `{"errcode":"M_UNKNOWN_TOKEN","error":"x"}`, matrix.Forbidden, 403},
		"terms":         {403, `{"errcode":"M_TERMS_NOT_SIGNED","error":"sign"}`, "M_TERMS_NOT_SIGNED", 403},
		"a redirect":    {302, "", matrix.Unknown, 502},
	} {
		site := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(test.status)
			_, _ = io.WriteString(w, test.body)
		}))
		t.Cleanup(site.Close)
		c := identity.New(identity.Options{
			Servers:  []string{site.URL},
			Outgoing: safehttp.New(safehttp.Options{AllowedRanges: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}}),
		})
		_, err := c.Lookup(t.Context(), identity.Server{Name: site.URL, Token: "x"}, "email", "x")
		e, ok := err.(*matrix.Error) //nolint:errorlint // it is given as it is
		if !ok || e.Code != test.code || e.HTTPStatus() != test.want {
			t.Errorf("%s: got %v, want %s with %d", name, err, test.code, test.want)
		}
	}
}
