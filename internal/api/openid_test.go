package api

import (
	"net/url"
	"testing"

	"homeserver/internal/matrixtest"
)

func TestOpenIDVerifiesAUser(t *testing.T) {
	t.Parallel()
	anyone := newServer(t)
	alice := anyone.Register("alice", "wordpass")
	service := anyone.As(t)
	service.Token, service.Prefix = "", "/_matrix/federation/v1"
	for _, prefix := range []string{"/_matrix/client/r0", "/_matrix/client/v3"} {
		alice.Prefix = prefix
		made := alice.Do("POST", matrixtest.Path("user", alice.UserID, "openid", "request_token"), `{}`).OK()
		if made.String("token_type") != "Bearer" || made.String("matrix_server_name") != "localhost" || made.At("expires_in") != 3600.0 {
			t.Errorf("got %s", made.Body)
		}
		for range 2 {
			got := service.Do("GET", "/openid/userinfo?access_token="+url.QueryEscape(made.String("access_token")), nil).OK()
			if got.String("sub") != alice.UserID {
				t.Errorf("got %s", got.Body)
			}
		}
		impostor := anyone.As(t)
		impostor.Token = made.String("access_token")
		impostor.Do("GET", "/account/whoami", nil).Refused(401, "M_UNKNOWN_TOKEN")
	}
}

func TestOpenIDRefusals(t *testing.T) {
	t.Parallel()
	anyone := newServer(t)
	alice, bob := anyone.Register("alice", "wordpass"), anyone.Register("bob", "wordpass")
	path := matrixtest.Path("user", alice.UserID, "openid", "request_token")
	bob.Do("POST", path, `{}`).Refused(403, "M_FORBIDDEN")
	anyone.Do("POST", path, `{}`).Refused(401, "M_MISSING_TOKEN")
	alice.Do("POST", path, `[]`).Refused(400, "M_BAD_JSON")
	service := anyone.As(t)
	service.Prefix = "/_matrix/federation/v1"
	service.Do("GET", "/openid/userinfo", nil).Refused(401, "M_MISSING_TOKEN")
	service.Do("GET", "/openid/userinfo?access_token=", nil).Refused(401, "M_MISSING_TOKEN")
	service.Do("GET", "/openid/userinfo?access_token=nonsense", nil).Refused(401, "M_UNKNOWN_TOKEN")
	service.Do("GET", "/openid/userinfo?access_token="+url.QueryEscape(alice.Token), nil).Refused(401, "M_UNKNOWN_TOKEN")
	service.Do("POST", "/openid/userinfo", nil).Refused(405, "M_UNRECOGNIZED")
}
