package api

import (
	"strings"
	"testing"

	"homeserver/internal/matrixtest"
)

func TestAccessToken(t *testing.T) {
	t.Parallel()
	anyone := newServer(t)
	alice := anyone.Register("alice", "wordpass")
	bob := anyone.Register("bob", "wordpass")
	whoami := func(header, token string) *matrixtest.Response {
		path := "/account/whoami"
		if token != "" {
			path += "?access_token=" + token
		}
		request := anyone.Request("GET", path, nil)
		if header != "" {
			request.Header.Set("Authorization", header)
		}
		return anyone.Send(request)
	}
	for name, test := range map[string]struct{ header, query, user string }{
		"header":            {"Bearer " + alice.Token, "", alice.UserID},
		"query":             {"", alice.Token, alice.UserID},
		"the header wins":   {"Bearer " + alice.Token, bob.Token, alice.UserID},
		"any case":          {"bEARER " + alice.Token, "", alice.UserID},
		"spaces":            {"Bearer   " + alice.Token + " ", "", alice.UserID},
		"another scheme":    {"Basic " + alice.Token, bob.Token, bob.UserID},
		"an empty header":   {"Bearer", bob.Token, bob.UserID},
		"a header of blank": {"Bearer ", bob.Token, bob.UserID},
	} {
		if got := whoami(test.header, test.query).OK().String("user_id"); got != test.user {
			t.Errorf("%s: got %s, want %s", name, got, test.user)
		}
	}
	whoami("", "").Refused(401, "M_MISSING_TOKEN")
	whoami("Basic "+alice.Token, "").Refused(401, "M_MISSING_TOKEN")
	whoami("", "nonsense").Refused(401, "M_UNKNOWN_TOKEN")
	whoami("Bearer nonsense", alice.Token).Refused(401, "M_UNKNOWN_TOKEN")
	whoami("Bearer "+strings.Repeat("a", 10_000), "").Refused(401, "M_UNKNOWN_TOKEN")
	whoami("", "%00").Refused(400, "M_INVALID_PARAM")
}
