package api

import (
	"net/http"
	"regexp"
	"strings"
	"testing"

	"homeserver/internal/httpapi"
	"homeserver/internal/matrixtest"
)

var pathParam = regexp.MustCompile(`\{(\w+)\}`)

// concrete fills the parameters of a route's path in with what a client might
// send.
func concrete(rt httpapi.Route) string {
	return rt.Prefixes[0].Path + pathParam.ReplaceAllStringFunc(rt.Path, func(name string) string {
		switch name {
		case "{userId}":
			return "@alice:localhost"
		case "{keyName}":
			return "displayname"
		case "{scope}":
			return "global"
		case "{kind}":
			return "override"
		default:
			return "!x:localhost"
		}
	})
}

// TestEveryRouteWithoutAndWithWrongToken holds for endpoints to come as well: it
// reads the route table.
func TestEveryRouteWithoutAndWithWrongToken(t *testing.T) {
	t.Parallel()
	c := newServer(t)
	for _, rt := range routes() {
		path := concrete(rt)
		c.Token = ""
		if rt.Handler.Access == httpapi.AccessUser {
			c.Do(rt.Method, path, nil).Refused(401, "M_MISSING_TOKEN")
			c.Do(rt.Method, path+"?access_token=", nil).Refused(401, "M_MISSING_TOKEN")
		}
		c.Token = "nonsense"
		if rt.Handler.Access == httpapi.AccessPublic {
			if answer := c.Do(rt.Method, path, nil); answer.Errcode() == "M_UNKNOWN_TOKEN" {
				t.Errorf("%s %s looks at the token", rt.Method, path)
			}
			continue
		}
		c.Do(rt.Method, path, nil).Refused(401, "M_UNKNOWN_TOKEN")
		c.Token = ""
		c.Do(rt.Method, path+"?access_token=nonsense", nil).Refused(401, "M_UNKNOWN_TOKEN")
	}
}

// bodiless are the endpoints whose body the specification leaves empty, and which
// therefore don't look at it.
var bodiless = map[string]bool{
	"POST /rendezvous":                                true, // any text
	"PUT /rendezvous/{rendezvousId}":                  true,
	"DELETE /rendezvous/{rendezvousId}":               true,
	"POST /logout":                                    true,
	"POST /logout/all":                                true,
	"POST /create":                                    true,
	"POST /delayed_events/{delayId}/{action}":         true,
	"DELETE /profile/{userId}/{keyName}":              true,
	"POST /rooms/{roomId}/forget":                     true,
	"POST /tokenrefresh":                              true,
	"DELETE /directory/room/{roomAlias}":              true,
	"DELETE /user/{userId}/rooms/{roomId}/tags/{tag}": true,
	"DELETE /pushrules/{scope}/{kind}/{ruleId}":       true,
	"DELETE /room_keys/version/{version}":             true,
	"DELETE /room_keys/keys":                          true,
	"DELETE /dehydrated_device":                       true,
	"DELETE /room_keys/keys/{roomId}":                 true,
	"DELETE /room_keys/keys/{roomId}/{sessionId}":     true,
}

// forms are the forms that browsers send from the pages for people, and what has the errors of
// OAuth.
var forms = map[string]bool{
	"POST /_matrix/oauth/clients":                    true,
	"POST /_matrix/oauth/token":                      true,
	"POST /_matrix/oauth/link":                       true,
	"POST /_matrix/oauth/device_authorization":       true,
	"POST /_matrix/oauth/revoke":                     true,
	"POST /_matrix/oauth/authorize":                  true,
	"POST /_matrix/oauth/login":                      true,
	"POST /_matrix/oauth/logout":                     true,
	"POST /_matrix/static/client/sso/account":        true,
	"POST /_matrix/static/client/sso/finish":         true,
	"POST /_matrix/static/client/sso/logout/{idpId}": true,
	"POST /_matrix/oauth/register":                   true,

	"POST /_matrix/oauth/account/profile":    true,
	"POST /_matrix/oauth/account/device":     true,
	"POST /_matrix/oauth/account/password":   true,
	"POST /_matrix/oauth/account/deactivate": true,
	"POST /_matrix/oauth/account/reset":      true,

	"POST /_matrix/static/client/login":       true,
	"POST /_matrix/static/client/unsubscribe": true,
	"POST /_matrix/static/threepid/email":     true,
	"POST /auth/{authType}/fallback/web":      true,
}

// TestEveryRouteWithABodyThatIsNoJSON, the same for bodies.
func TestEveryRouteWithABodyThatIsNoJSON(t *testing.T) {
	t.Parallel()
	anyone := newServer(t)
	alice := anyone.Register("alice", "wordpass")
	for _, rt := range routes() {
		if rt.Method == http.MethodGet || rt.Handler.Streams || bodiless[rt.Method+" "+rt.Path] || forms[rt.Method+" "+rt.Path] {
			continue
		}
		path := concrete(rt)
		alice.Do(rt.Method, path, `{"a":`).Refused(400, "M_NOT_JSON")
		alice.Do(rt.Method, path, "a=b").Refused(400, "M_NOT_JSON")
		alice.Do(rt.Method, path, "{\"a\":\"\xff\"}").Refused(400, "M_NOT_JSON")
		alice.Do(rt.Method, path, `[1]`).Refused(400, "M_BAD_JSON")
		alice.Do(rt.Method, path, `{"a":1,"a":2}`).Refused(400, "M_BAD_JSON")
		size := 1<<20 + 1
		if rt.Handler.Large {
			size = 16<<20 + 1
		}
		alice.Do(rt.Method, path, strings.Repeat(" ", size)).Refused(413, "M_TOO_LARGE")
	}
}

func TestRouteTableHasBothGenerations(t *testing.T) {
	t.Parallel()
	c := newServer(t)
	for _, prefix := range []string{"/_matrix/client/r0", "/_matrix/client/v3"} {
		c.Prefix = prefix
		c.Do("GET", "/login", nil).OK()
		c.Do("GET", matrixtest.Path("profile", "@nobody:localhost"), nil).Refused(404, "M_NOT_FOUND")
	}
	c.Prefix = "/_matrix/client/v1"
	c.Do("GET", "/login", nil).Refused(404, "M_UNRECOGNIZED")
}
