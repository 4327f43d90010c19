package api

import (
	"strings"
	"testing"

	"homeserver/internal/matrixtest"
)

func TestLoginFlows(t *testing.T) {
	t.Parallel()
	body := newServer(t).Do("GET", "/login", nil).OK().Body
	if got := strings.TrimSpace(string(body)); got != `{"flows":[{"type":"m.login.password"},{"type":"m.login.token","get_login_token":true}]}` {
		t.Errorf("got %s", got)
	}
}

func TestLoginForms(t *testing.T) {
	t.Parallel()
	c := newServer(t)
	c.Register("example", "wordpass")
	for _, body := range []string{
		`{"type":"m.login.password","user":"example","password":"wordpass"}`,
		`{"type":"m.login.password","user":"@example:localhost","password":"wordpass"}`,
		`{"type":"m.login.password","identifier":{"type":"m.id.user","user":"example"},"password":"wordpass"}`,
		`{"type":"m.login.password","identifier":{"type":"m.id.user","user":"@example:localhost"},"password":"wordpass","device_id":"PHONE"}`,
	} {
		answer := c.Do("POST", "/login", body).OK()
		if answer.String("user_id") != "@example:localhost" || answer.String("home_server") != "localhost" ||
			answer.String("access_token") == "" || answer.String("device_id") == "" {
			t.Errorf("%s: got %s", body, answer.Body)
		}
	}
}

func TestLoginRefusals(t *testing.T) {
	t.Parallel()
	c := newServer(t)
	c.Register("example", "wordpass")
	for _, test := range []struct {
		body   string
		status int
		code   string
	}{
		{``, 400, "M_MISSING_PARAM"},
		{`{}`, 400, "M_MISSING_PARAM"},
		{`{"type":"m.login.password","password":"wordpass"}`, 400, "M_MISSING_PARAM"},
		{`{"type":"m.login.magic"}`, 400, "M_UNKNOWN"},
		{`{"type":7}`, 400, "M_BAD_JSON"},
		{`{"Type":"m.login.password","user":"example","password":"wordpass"}`, 400, "M_MISSING_PARAM"},
		{`{"type":"m.login.password","identifier":"example","password":"wordpass"}`, 400, "M_BAD_JSON"},
		{`{"type":"m.login.password","user":"example","password":"wrong"}`, 403, "M_FORBIDDEN"},
		{`{"type":"m.login.password","user":"example"}`, 403, "M_FORBIDDEN"},
		{`{"type":"m.login.password","user":"nobody","password":"wordpass"}`, 403, "M_FORBIDDEN"},
		{`{"type":"m.login.password","user":"exa\u0000mple","password":"wordpass"}`, 400, "M_BAD_JSON"},
		{`{"type":"m.login.password","medium":"email","address":"a@b.c","password":"wordpass"}`, 403, "M_FORBIDDEN"},
	} {
		c.Do("POST", "/login", test.body).Refused(test.status, test.code)
	}
}

func TestLogout(t *testing.T) {
	t.Parallel()
	c := newServer(t)
	alice := c.Register("alice", "wordpass")
	phone, tablet := c.Login("alice", "wordpass"), c.Login("alice", "wordpass")
	phone.Do("POST", "/logout", nil).OK()
	phone.Do("GET", "/account/whoami", nil).Refused(401, "M_UNKNOWN_TOKEN")
	tablet.Do("GET", "/account/whoami", nil).OK()
	// Clients send all sorts of bodies to an endpoint that has none.
	tablet.Do("POST", "/logout/all", "not json").OK()
	for _, client := range []*matrixtest.Client{alice, tablet} {
		client.Do("GET", "/account/whoami", nil).Refused(401, "M_UNKNOWN_TOKEN")
	}
	c.Login("alice", "wordpass")
}

func TestRefresh(t *testing.T) {
	t.Parallel()
	c := newServer(t)
	c.Register("alice", "wordpass")
	first := c.Do("POST", "/login", `{"type":"m.login.password","user":"alice","password":"wordpass","refresh_token":true}`).OK()
	if expires, ok := first.At("expires_in_ms").(float64); !ok || expires <= 0 {
		t.Errorf("expires_in_ms: %s", first.Body)
	}
	second := c.Do("POST", "/refresh", map[string]string{"refresh_token": first.String("refresh_token")}).OK()
	c.Token = second.String("access_token")
	c.Do("GET", "/account/whoami", nil).OK()
	c.Token = ""
	c.Do("POST", "/refresh", map[string]string{"refresh_token": "nonsense"}).Refused(401, "M_UNKNOWN_TOKEN")
	c.Do("POST", "/refresh", `{}`).Refused(400, "M_MISSING_PARAM")
	c.Do("POST", "/refresh", `{"refresh_token":1}`).Refused(400, "M_BAD_JSON")
}
