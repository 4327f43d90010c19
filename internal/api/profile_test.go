package api

import (
	"strings"
	"testing"

	"homeserver/internal/matrixtest"
)

func TestProfile(t *testing.T) {
	t.Parallel()
	c := newServer(t)
	alice := c.Register("alice", "wordpass")
	bob := c.Register("bob", "wordpass")
	path := func(parts ...string) string {
		return matrixtest.Path(append([]string{"profile", alice.UserID}, parts...)...)
	}

	if got := strings.TrimSpace(string(c.Do("GET", path(), nil).OK().Body)); got != `{}` {
		t.Errorf("a new profile: %s", got)
	}
	c.Do("GET", path("displayname"), nil).Refused(404, "M_NOT_FOUND")
	alice.Do("PUT", path("displayname"), `{"displayname":"Alice <3"}`).OK()
	alice.Do("PUT", path("avatar_url"), `{"avatar_url":"mxc://localhost/cat"}`).OK()
	alice.Do("PUT", path("org.example.job"), `{"org.example.job":{"title":"\u0000","years":[1, 2]}}`).OK()
	want := `{"avatar_url":"mxc://localhost/cat","displayname":"Alice <3","org.example.job":{"title":"\u0000","years":[1,2]}}`
	if got := strings.TrimSpace(string(c.Do("GET", path(), nil).OK().Body)); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if got := strings.TrimSpace(string(c.Do("GET", path("displayname"), nil).OK().Body)); got != `{"displayname":"Alice <3"}` {
		t.Errorf("displayname: %s", got)
	}
	bob.Do("PUT", path("displayname"), `{"displayname":"Eve"}`).Refused(403, "M_FORBIDDEN")
	bob.Do("DELETE", path("displayname"), nil).Refused(403, "M_FORBIDDEN")
	alice.Do("DELETE", path("displayname"), nil).OK()
	alice.Do("DELETE", path("displayname"), nil).OK()
	c.Do("GET", path("displayname"), nil).Refused(404, "M_NOT_FOUND")
}

func TestProfileRefusals(t *testing.T) {
	t.Parallel()
	c := newServer(t)
	alice := c.Register("alice", "wordpass")
	for _, test := range []struct {
		key, body string
		code      string
	}{
		{"displayname", `{}`, "M_MISSING_PARAM"},
		{"displayname", ``, "M_MISSING_PARAM"},
		{"displayname", `{"Displayname":"x"}`, "M_MISSING_PARAM"},
		{"displayname", `{"displayname":1}`, "M_BAD_JSON"},
		{"displayname", `{"displayname":null}`, "M_BAD_JSON"},
		{"displayname", `{"displayname":"a\u0000"}`, "M_INVALID_PARAM"},
		{"avatar_url", `{"avatar_url":"` + strings.Repeat("x", 1001) + `"}`, "M_INVALID_PARAM"},
		{"Displayname", `{"Displayname":"x"}`, "M_INVALID_PARAM"},
		{"a/b", `{"a/b":"x"}`, "M_INVALID_PARAM"},
		{strings.Repeat("a.", 200), `{"` + strings.Repeat("a.", 200) + `":"x"}`, "M_KEY_TOO_LARGE"},
		{"org.example.big", `{"org.example.big":"` + strings.Repeat("x", 64<<10) + `"}`, "M_PROFILE_TOO_LARGE"},
	} {
		alice.Do("PUT", matrixtest.Path("profile", alice.UserID, test.key), test.body).Refused(400, test.code)
	}
	c.Do("GET", matrixtest.Path("profile", "@nobody:localhost"), nil).Refused(404, "M_NOT_FOUND")
	c.Do("GET", matrixtest.Path("profile", "@alice:elsewhere.example"), nil).Refused(404, "M_NOT_FOUND")
	c.Do("GET", matrixtest.Path("profile", "alice"), nil).Refused(400, "M_INVALID_PARAM")
	c.Do("GET", matrixtest.Path("profile", alice.UserID, "org.example.none"), nil).Refused(404, "M_NOT_FOUND")
}
