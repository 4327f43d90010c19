package api

import (
	"net/url"
	"testing"

	"homeserver/internal/appservice/registration"
	"homeserver/internal/matrixtest"
	"homeserver/internal/postgres/postgrestest"
)

// ircFile registers a bridge that has users and aliases of its own, and others that it shares
// with everybody.
const ircFile = `
id: irc
url: null
as_token: irc-as-token
hs_token: irc-hs-token
sender_localpart: ircBot
rate_limited: false
namespaces:
  users:
    - exclusive: true
      regex: '@irc_.*'
    - exclusive: false
      regex: '@shared.*'
  aliases:
    - exclusive: true
      regex: '#irc_.*'
    - exclusive: false
      regex: '#shared.*'
`

// slackFile registers another one.
const slackFile = `
id: slack
url: null
as_token: slack-as-token
hs_token: slack-hs-token
sender_localpart: slackbot
namespaces: {users: [{exclusive: true, regex: '@slack_.*'}], aliases: [{exclusive: true, regex: '#slack_.*'}]}
`

// bridges reads registrations for the server localhost.
func bridges(t testing.TB, files ...string) registration.List {
	t.Helper()
	var list registration.List
	for _, content := range files {
		one, err := registration.Parse("test.yaml", []byte(content), "localhost")
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, one)
	}
	return list
}

// newServerWith runs the whole API with application services.
func newServerWith(t testing.TB, files ...string) *matrixtest.Client {
	t.Helper()
	return matrixtest.New(t, newAPI(t, servicesBeside(t, postgrestest.New(t), bridges(t, files...), 0)).Handler())
}

// asService returns a client that sends the token.
func asService(c *matrixtest.Client, token string) *matrixtest.Client {
	other := *c
	other.Token = token
	return &other
}

// as returns a path with the parameters by which an application service acts as a user.
func as(path, userID string) string { return path + "?user_id=" + url.QueryEscape(userID) }

// ghost registers a user of an application service and returns the user ID.
func ghost(service *matrixtest.Client, name string) string {
	service.T.Helper()
	service.Do("POST", "/register", map[string]any{"type": "m.login.application_service", "username": name, "inhibit_login": true}).OK()
	return "@" + name + ":localhost"
}

func TestApplicationServicesActAsTheirUsers(t *testing.T) {
	t.Parallel()
	c := newServerWith(t, ircFile, slackFile)
	irc, alice := asService(c, "irc-as-token"), c.Register("alice", "wordpass")
	whoami := irc.Do("GET", "/account/whoami", nil).OK()
	if whoami.String("user_id") != "@ircBot:localhost" || whoami.At("device_id") != nil {
		t.Errorf("the sender: %s", whoami.Body)
	}
	first := ghost(irc, "irc_Carl")
	if got := irc.Do("GET", as("/account/whoami", first), nil).OK().String("user_id"); got != first {
		t.Errorf("got %s", got)
	}
	if got := c.Do("GET", as("/account/whoami", first)+"&access_token=irc-as-token", nil).OK().String("user_id"); got != first {
		t.Errorf("by the query: got %s", got)
	}
	for _, userID := range []string{
		"@irc_nobody:localhost", alice.UserID, "@slackbot:localhost", "@irc_x:elsewhere", "irc_Carl", "@irc_carl:localhost",
	} {
		irc.Do("GET", as("/account/whoami", userID), nil).Refused(403, "M_FORBIDDEN")
	}
	c.Do("GET", "/account/whoami?user_id="+first, nil).Refused(401, "M_MISSING_TOKEN")
	asService(c, "irc-hs-token").Do("GET", "/account/whoami", nil).Refused(401, "M_UNKNOWN_TOKEN")
	if got := alice.Do("GET", as("/account/whoami", first), nil).OK().String("user_id"); got != alice.UserID {
		t.Errorf("a user acts as %s", got)
	}
}

func TestApplicationServicesActOnDevices(t *testing.T) {
	t.Parallel()
	c := newServerWith(t, ircFile)
	irc := asService(c, "irc-as-token")
	login := irc.Do("POST", "/register", map[string]any{"type": "m.login.application_service", "username": "irc_carl", "device_id": "ONE"}).OK()
	carl := login.String("user_id")
	for _, name := range []string{"device_id", "org.matrix.msc3202.device_id"} {
		whoami := irc.Do("GET", as("/account/whoami", carl)+"&"+name+"=ONE", nil).OK()
		if whoami.String("device_id") != "ONE" || whoami.String("user_id") != carl {
			t.Errorf("%s: %s", name, whoami.Body)
		}
		irc.Do("GET", as("/account/whoami", carl)+"&"+name+"=TWO", nil).Refused(400, "M_UNKNOWN_DEVICE")
		irc.Do("GET", "/account/whoami?"+name+"=ONE", nil).Refused(400, "M_UNKNOWN_DEVICE")
	}
	asService(c, login.String("access_token")).Do("POST", "/logout", nil).OK()
	irc.Do("GET", as("/account/whoami", carl)+"&device_id=ONE", nil).Refused(400, "M_UNKNOWN_DEVICE")
}
