package api

import (
	"testing"

	"homeserver/internal/auth"
	"homeserver/internal/matrixtest"
)

func TestWhois(t *testing.T) {
	t.Parallel()
	opts := services(t)
	anyone := matrixtest.New(t, newAPI(t, opts).Handler())
	alice, bob := anyone.Register("alice", "wordpass"), anyone.Register("bob", "wordpass")
	if _, err := opts.Auth.CreateAccount(t.Context(), auth.NewAccount{Username: "root", Password: "wordpass", Admin: true}); err != nil {
		t.Fatal(err)
	}
	admin := anyone.Login("root", "wordpass")
	path := matrixtest.Path("admin", "whois", alice.UserID)
	for _, prefix := range []string{"/_matrix/client/r0", "/_matrix/client/v3"} {
		for _, c := range []*matrixtest.Client{alice, admin} {
			c.Prefix = prefix
			got := c.Do("GET", path, nil).OK()
			at := []any{"devices", alice.DeviceID, "sessions", 0, "connections", 0}
			if got.String("user_id") != alice.UserID || got.String(append(at, "ip")...) == "" || got.String(append(at, "user_agent")...) == "" {
				t.Errorf("got %s", got.Body)
			}
			if seen, _ := got.At(append(at, "last_seen")...).(float64); seen < 1.7e12 {
				t.Errorf("last_seen is not in milliseconds: %s", got.Body)
			}
		}
	}
	bob.Do("GET", path, nil).Refused(403, "M_FORBIDDEN")
	bob.Do("GET", matrixtest.Path("admin", "whois", "@nobody:localhost"), nil).Refused(403, "M_FORBIDDEN")
	admin.Do("GET", matrixtest.Path("admin", "whois", "@nobody:localhost"), nil).Refused(404, "M_NOT_FOUND")
	anyone.Do("GET", path, nil).Refused(401, "M_MISSING_TOKEN")
}

func TestRouteOfNetworkDirectoriesIsNotForUsers(t *testing.T) {
	t.Parallel()
	alice := newServer(t).Register("alice", "wordpass")
	room := alice.CreateRoom(`{}`)
	path := matrixtest.Path("directory", "list", "appservice", "irc", room)
	for _, prefix := range []string{"/_matrix/client/r0", "/_matrix/client/v3"} {
		alice.Prefix = prefix
		alice.Do("PUT", path, `{"visibility":"public"}`).Refused(403, "M_FORBIDDEN")
		if got := alice.Do("GET", matrixtest.Path("directory", "list", "room", room), nil).OK().String("visibility"); got != "private" {
			t.Errorf("the room is %s", got)
		}
	}
}
