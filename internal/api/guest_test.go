package api

import (
	"net/http"
	"strings"
	"testing"

	"homeserver/internal/httpapi"
	"homeserver/internal/matrixtest"
)

// newGuest makes a guest account, and returns a client for it.
func newGuest(c *matrixtest.Client) *matrixtest.Client {
	c.T.Helper()
	answer := c.Do("POST", "/register?kind=guest", nil).OK()
	in := *c
	in.UserID, in.DeviceID, in.Token = answer.String("user_id"), answer.String("device_id"), answer.String("access_token")
	return &in
}

// forGuests are the endpoints that section "Guest Access" lists, those that do the
// same by another path, what needs no token in another form, and calls.
var forGuests = map[string]bool{
	"GET /rooms/{roomId}/state":                             true,
	"GET /rooms/{roomId}/state/{eventType}":                 true,
	"GET /rooms/{roomId}/state/{eventType}/{stateKey}":      true,
	"PUT /rooms/{roomId}/state/{eventType}":                 true,
	"PUT /rooms/{roomId}/state/{eventType}/{stateKey}":      true,
	"GET /rooms/{roomId}/context/{eventId}":                 true,
	"GET /rooms/{roomId}/event/{eventId}":                   true,
	"GET /rooms/{roomId}/messages":                          true,
	"GET /rooms/{roomId}/members":                           true,
	"GET /rooms/{roomId}/initialSync":                       true,
	"GET /rooms/{roomId}/hierarchy":                         true,
	"GET /room_summary/{roomIdOrAlias}":                     true,
	"GET /summary/{roomIdOrAlias}":                          true,
	"GET /rooms/{roomIdOrAlias}/summary":                    true,
	"GET /sync":                                             true,
	"GET /events":                                           true,
	"GET /media/download/{serverName}/{mediaId}":            true,
	"GET /media/download/{serverName}/{mediaId}/{fileName}": true,
	"GET /media/thumbnail/{serverName}/{mediaId}":           true,
	"GET /download/{serverName}/{mediaId}":                  true,
	"GET /download/{serverName}/{mediaId}/{fileName}":       true,
	"GET /thumbnail/{serverName}/{mediaId}":                 true,
	"POST /join/{roomIdOrAlias}":                            true,
	"POST /rooms/{roomId}/join":                             true,
	"POST /rooms/{roomId}/leave":                            true,
	"PUT /rooms/{roomId}/send/{eventType}/{txnId}":          true,
	"PUT /sendToDevice/{eventType}/{txnId}":                 true,
	"PUT /profile/{userId}/{keyName}":                       true,
	"DELETE /profile/{userId}/{keyName}":                    true,
	"GET /devices":                                          true,
	"GET /devices/{deviceId}":                               true,
	"PUT /devices/{deviceId}":                               true,
	"GET /account/whoami":                                   true,
	"POST /keys/upload":                                     true,
	"POST /keys/upload/{deviceId}":                          true,
	"POST /keys/query":                                      true,
	"POST /publicRooms":                                     true,
	"GET /voip/turnServer":                                  true,
	"GET /turnServer":                                       true,
	"GET /rtc/transports":                                   true,
	"POST /keys/claim":                                      true,

	// MSC4140, "Guest accounts".
	"PUT /rooms/{roomId}/delayed_event/{eventType}/{txnId}": true,
	"GET /delayed_events":                     true,
	"GET /delayed_events/{delayId}":           true,
	"POST /delayed_events/{delayId}":          true,
	"POST /delayed_events/{delayId}/{action}": true,
}

func TestGuestsReachWhatTheSpecificationListsAndNothingElse(t *testing.T) {
	t.Parallel()
	opts := services(t)
	guest := newGuest(matrixtest.New(t, newAPI(t, opts).Handler()))
	fill := strings.NewReplacer("{userId}", guest.UserID, "{keyName}", "displayname", "{roomId}", "!x:localhost", "{", "", "}", "")
	for _, rt := range routes() {
		what := rt.Method + " " + rt.Path
		if rt.Handler.Access == httpapi.AccessPublic {
			continue
		}
		if allowed := rt.Handler.Access == httpapi.AccessGuest || rt.Handler.Access == httpapi.AccessAnyone; allowed != forGuests[what] {
			t.Errorf("%s: open to guests is %v, want %v", what, allowed, forGuests[what])
		}
		if rt.Method == http.MethodPost && strings.HasSuffix(rt.Path, "/leave") {
			continue
		}
		answer := guest.Do(rt.Method, "/_"+strings.TrimPrefix(rt.Prefixes[0].Path+fill.Replace(rt.Path), "/_"), `{}`)
		refused := answer.Errcode() == "M_GUEST_ACCESS_FORBIDDEN"
		if refused == forGuests[what] {
			t.Errorf("%s: got %d %s", what, answer.Status, answer.Body)
		}
	}
}

func TestGuestInARoom(t *testing.T) {
	t.Parallel()
	c := newServer(t)
	alice := c.Register("alice", "wordpass")
	guest := newGuest(c)
	if who := guest.Do("GET", "/account/whoami", nil).OK(); who.At("is_guest") != true || who.String("user_id") != guest.UserID {
		t.Errorf("got %s", who.Body)
	}
	room := alice.CreateRoom(openRoom)
	alice.SetState(room, "m.room.guest_access", "", map[string]any{"guest_access": "forbidden"})
	guest.Do("POST", matrixtest.Path("rooms", room, "join"), nil).Refused(403, "M_GUEST_ACCESS_FORBIDDEN")
	guest.Do("POST", matrixtest.Path("join", room), nil).Refused(403, "M_GUEST_ACCESS_FORBIDDEN")
	self := matrixtest.Path("rooms", room, "state", "m.room.member", guest.UserID)
	guest.Do("PUT", self, `{"membership":"join"}`).Refused(403, "M_GUEST_ACCESS_FORBIDDEN")

	alice.SetState(room, "m.room.guest_access", "", map[string]any{"guest_access": "can_join"})
	guest.Join(room)
	guest.SendText(room, "hello")
	guest.Do("POST", matrixtest.Path("rooms", room, "invite"), map[string]any{"user_id": "@x:localhost"}).Refused(403, "M_GUEST_ACCESS_FORBIDDEN")
	profile := matrixtest.Path("profile", guest.UserID)
	guest.Do("PUT", profile+"/displayname", `{"displayname":"Visitor"}`).OK()
	guest.Do("PUT", profile+"/avatar_url", `{"avatar_url":"mxc://localhost/x"}`).Refused(403, "M_GUEST_ACCESS_FORBIDDEN")
	guest.Do("DELETE", profile+"/m.tz", nil).Refused(403, "M_GUEST_ACCESS_FORBIDDEN")

	since := guest.Sync("").NextBatch()
	alice.SetState(room, "m.room.guest_access", "", map[string]any{"guest_access": "forbidden"})
	if got := keysAt(guest.Sync(since), "rooms", "leave"); len(got) != 1 || got[0] != room {
		t.Errorf("after the room was closed to guests: left %q", got)
	}
}

func TestGuestRegisters(t *testing.T) {
	t.Parallel()
	c := newServer(t)
	guest := newGuest(c)
	name := strings.TrimSuffix(strings.TrimPrefix(guest.UserID, "@"), ":localhost")
	guest.Do("POST", "/createRoom", nil).Refused(403, "M_GUEST_ACCESS_FORBIDDEN")
	body := map[string]any{
		"username": name, "password": "wordpass", "guest_access_token": guest.Token, "auth": map[string]any{"type": "m.login.dummy"},
	}
	if got := c.Do("POST", "/register", body).OK().String("user_id"); got != guest.UserID {
		t.Errorf("got %s, want %s", got, guest.UserID)
	}
	guest.CreateRoom(nil) // the old token is a user's now
	c.Login(name, "wordpass")
}
