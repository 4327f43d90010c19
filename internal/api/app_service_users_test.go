package api

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"homeserver/internal/auth/threepid"
	"homeserver/internal/httpapi/ratelimit"
	"homeserver/internal/matrixtest"
	"homeserver/internal/postgres/postgrestest"
)

const byService = "m.login.application_service"

func TestApplicationServicesRegisterUsers(t *testing.T) {
	t.Parallel()
	c := newServerWith(t, ircFile, slackFile)
	irc := asService(c, "irc-as-token")
	register := func(who *matrixtest.Client, name string) *matrixtest.Response {
		return who.Do("POST", "/register", map[string]any{"type": byService, "username": name})
	}
	in := register(irc, "irc_Carl").OK()
	if in.String("user_id") != "@irc_Carl:localhost" || in.String("device_id") == "" {
		t.Errorf("got %s", in.Body)
	}
	asService(c, in.String("access_token")).Do("GET", "/account/whoami", nil).OK()
	silent := irc.Do("POST", "/register?user_id=@irc_dave:localhost", map[string]any{
		"type": byService, "username": "irc_dave", "inhibit_login": true,
	}).OK()
	if silent.At("access_token") != nil || silent.At("device_id") != nil || silent.String("user_id") != "@irc_dave:localhost" {
		t.Errorf("got %s", silent.Body)
	}
	c.Do("POST", "/login", map[string]any{
		"type": "m.login.password", "password": "", "identifier": map[string]any{"type": "m.id.user", "user": "irc_dave"},
	}).Refused(403, "M_FORBIDDEN")

	register(irc, "irc_dave").Refused(400, "M_USER_IN_USE")
	register(irc, "alice").Refused(400, "M_EXCLUSIVE")
	register(irc, "slack_eve").Refused(400, "M_EXCLUSIVE")
	register(irc, "slackbot").Refused(400, "M_EXCLUSIVE")
	register(irc, "shared_eve").OK()
	register(irc, "irc_ö").Refused(400, "M_INVALID_USERNAME")
	register(irc, "irc_x:localhost").Refused(400, "M_INVALID_USERNAME")
	register(irc, "irc_"+strings.Repeat("x", 250)).Refused(400, "M_INVALID_USERNAME")
	register(irc, "").Refused(400, "M_MISSING_PARAM")
	register(c, "irc_frank").Refused(401, "M_MISSING_TOKEN")
	register(asService(c, "nonsense"), "irc_frank").Refused(401, "M_UNKNOWN_TOKEN")
	register(c.Register("bob", "wordpass"), "irc_frank").Refused(401, "M_UNKNOWN_TOKEN")
	irc.Do("POST", "/register?kind=guest", map[string]any{"type": byService, "username": "irc_frank"}).Refused(400, "M_INVALID_PARAM")
	irc.Do("POST", "/register", map[string]any{"type": byService, "username": "irc_frank", "device_id": strings.Repeat("x", 256)}).Refused(400, "M_INVALID_PARAM")
	irc.Do("POST", "/register", map[string]any{"type": byService, "username": 3}).Refused(400, "M_BAD_JSON")
	irc.Do("POST", "/register", map[string]any{"type": 3, "username": "irc_frank"}).Refused(400, "M_BAD_JSON")
	irc.Do("POST", "/register", map[string]any{"type": byService, "username": "irc_frank", "inhibit_login": "yes"}).Refused(400, "M_BAD_JSON")
	irc.Do("GET", as("/account/whoami", "@irc_frank:localhost"), nil).Refused(403, "M_FORBIDDEN")
}

func TestNobodyElseTakesTheNamesOfApplicationServices(t *testing.T) {
	t.Parallel()
	c := newServerWith(t, ircFile)
	for _, name := range []string{"irc_alice", "IRC_Alice", "irc_bot"} {
		c.Do("POST", "/register", map[string]any{
			"username": name, "password": "wordpass", "auth": map[string]any{"type": "m.login.dummy"},
		}).Refused(400, "M_EXCLUSIVE")
		c.Do("GET", "/register/available?username="+name, nil).Refused(400, "M_EXCLUSIVE")
	}
	c.Do("GET", "/register/available?username=shared_alice", nil).OK()
	c.Register("shared_alice", "wordpass")
}

func TestApplicationServicesLogUsersIn(t *testing.T) {
	t.Parallel()
	c := newServerWith(t, ircFile, slackFile)
	irc := asService(c, "irc-as-token")
	carl := ghost(irc, "irc_Carl")
	flows := fmt.Sprint(c.Do("GET", "/login", nil).OK().At("flows"))
	if !strings.Contains(flows, byService) {
		t.Errorf("the flows are %s", flows)
	}
	if flows := string(newServer(t).Do("GET", "/login", nil).OK().Body); strings.Contains(flows, byService) {
		t.Errorf("without application services the flows are %s", flows)
	}
	login := func(who *matrixtest.Client, user string) *matrixtest.Response {
		return who.Do("POST", "/login", map[string]any{
			"type": byService, "identifier": map[string]any{"type": "m.id.user", "user": user}, "device_id": "PHONE",
		})
	}
	for _, name := range []string{"irc_Carl", carl} {
		in := login(irc, name).OK()
		whoami := asService(c, in.String("access_token")).Do("GET", "/account/whoami", nil).OK()
		if whoami.String("user_id") != carl || whoami.String("device_id") != "PHONE" {
			t.Errorf("got %s", whoami.Body)
		}
	}
	irc.Do("POST", "/login", map[string]any{"type": byService, "user": "irc_Carl"}).OK()
	login(irc, "ircBot").OK()
	c.Register("bob", "wordpass")
	login(irc, "bob").Refused(400, "M_EXCLUSIVE")
	login(irc, "slackbot").Refused(400, "M_EXCLUSIVE")
	login(irc, "irc_nobody").Refused(403, "M_FORBIDDEN")
	login(irc, "@irc_Carl:elsewhere").Refused(403, "M_FORBIDDEN")
	login(c, "irc_Carl").Refused(401, "M_MISSING_TOKEN")
	login(asService(c, "nonsense"), "irc_Carl").Refused(401, "M_UNKNOWN_TOKEN")
	irc.Do("POST", "/login", map[string]any{"type": byService}).Refused(400, "M_MISSING_PARAM")
	irc.Do("POST", "/login", map[string]any{
		"type": byService, "identifier": map[string]any{"type": "m.id.thirdparty", "medium": "email", "address": "a@example.org"},
	}).Refused(400, "M_INVALID_PARAM")
	irc.Do("POST", "/login", map[string]any{"type": byService, "user": "irc_Carl", "device_id": strings.Repeat("x", 256)}).Refused(400, "M_INVALID_PARAM")
	irc.Do("POST", as("/account/deactivate", carl), `{}`).OK()
	login(irc, "irc_Carl").Refused(403, "M_USER_DEACTIVATED")
	irc.Do("GET", as("/account/whoami", carl), nil).Refused(403, "M_USER_DEACTIVATED")
}

func TestApplicationServicesCloseTheAccountsOfTheirOwnUsersOnly(t *testing.T) {
	t.Parallel()
	c := newServerWith(t, ircFile)
	irc := asService(c, "irc-as-token")
	shared := c.Register("shared_alice", "wordpass")
	asksForPassword(t, irc.Do("POST", as("/account/deactivate", shared.UserID), `{}`))
	shared.Do("GET", "/account/whoami", nil).OK()
}

func TestApplicationServicesMakeAndDeleteDevices(t *testing.T) {
	t.Parallel()
	c := newServerWith(t, ircFile)
	irc := asService(c, "irc-as-token")
	carl := ghost(irc, "irc_carl")
	put := func(id string, body any) *matrixtest.Response {
		return irc.Do("PUT", as(matrixtest.Path("devices", id), carl), body)
	}
	if got := put("BRIDGE", `{"display_name":"Bridge"}`); got.Status != http.StatusCreated || string(got.Body) != "{}\n" {
		t.Errorf("got %d %s", got.Status, got.Body)
	}
	put("BRIDGE", `{"display_name":"IRC bridge"}`).OK()
	put("BRIDGE", `{}`).OK()
	device := irc.Do("GET", as("/devices/BRIDGE", carl), nil).OK()
	if device.String("display_name") != "IRC bridge" {
		t.Errorf("got %s", device.Body)
	}
	if got := put("PLAIN", `{}`); got.Status != http.StatusCreated {
		t.Errorf("got %d %s", got.Status, got.Body)
	}
	put(strings.Repeat("x", 256), `{}`).Refused(400, "M_INVALID_PARAM")
	put("LONG", map[string]any{"display_name": strings.Repeat("x", 256)}).Refused(400, "M_INVALID_PARAM")
	put("TYPE", `{"display_name":3}`).Refused(400, "M_BAD_JSON")
	c.Register("bob", "wordpass").Do("PUT", "/devices/BRIDGE", `{}`).Refused(404, "M_NOT_FOUND")

	onBridge := as("/keys/upload", carl) + "&device_id=BRIDGE"
	irc.Do("POST", as("/keys/upload", carl), `{}`).Refused(400, "M_MISSING_PARAM")
	irc.Do("POST", onBridge, `{}`).OK()
	irc.Do("DELETE", as("/devices/PLAIN", carl), nil).OK()
	irc.Do("POST", as("/delete_devices", carl), `{"devices":["BRIDGE"]}`).OK()
	irc.Do("POST", onBridge, `{}`).Refused(400, "M_UNKNOWN_DEVICE")
	if got := irc.Do("GET", as("/devices", carl), nil).OK().At("devices"); len(got.([]any)) != 0 {
		t.Errorf("there are still %v", got)
	}
}

func TestApplicationServicesReplaceSigningKeys(t *testing.T) {
	t.Parallel()
	c := newServerWith(t, ircFile)
	irc := asService(c, "irc-as-token")
	carl := *irc
	carl.UserID = ghost(irc, "irc_carl")
	for range 2 {
		irc.Do("POST", as("/keys/device_signing/upload", carl.UserID), newCrossSigning(&carl).all()).OK()
	}
}

func TestLimitsOfApplicationServices(t *testing.T) {
	t.Parallel()
	limits := ratelimit.NewLimits(map[ratelimit.Kind]ratelimit.Limit{
		ratelimit.Requests: {PerSecond: 0.001, Burst: 40}, ratelimit.Messages: {PerSecond: 0.001, Burst: 2},
		ratelimit.WrittenBytes: {PerSecond: 1, Burst: 10_000}, ratelimit.InvitesToUser: {PerSecond: 0.001, Burst: 2},
		ratelimit.RoomCreation: {PerSecond: 0.001, Burst: 1}, ratelimit.Invites: {PerSecond: 0.001, Burst: 1},
		ratelimit.Registration: {PerSecond: 0.001, Burst: 1},
	}, time.Now, 0)
	o := wired(t, postgrestest.New(t), 0, []func(*threepid.Options){func(o *threepid.Options) { o.Limits = limits }}, bridges(t, ircFile, slackFile), nil)
	c := matrixtest.New(t, newAPI(t, o).Handler())
	irc, slack := asService(c, "irc-as-token"), asService(c, "slack-as-token")
	free, bound := ghost(irc, "irc_carl"), ghost(slack, "slack_dora")
	ghost(slack, "slack_eve") // the services themselves have no limits

	send := func(who *matrixtest.Client, userID, room string, n int) *matrixtest.Response {
		return who.Do("PUT", as(matrixtest.Path("rooms", room, "send", "m.room.message", fmt.Sprint(n)), userID), `{"body":"x"}`)
	}
	create := func(who *matrixtest.Client, userID string) *matrixtest.Response {
		return who.Do("POST", as("/createRoom", userID), map[string]any{"invite": []string{"@someone:localhost"}})
	}
	var room string
	for range 5 {
		room = create(irc, free).OK().String("room_id")
	}
	for n := range 50 {
		send(irc, free, room, n).OK()
	}
	own := create(slack, bound).OK().String("room_id")
	create(slack, bound).Refused(429, "M_LIMIT_EXCEEDED")
	send(slack, bound, own, 1).OK()
	send(slack, bound, own, 2).OK()
	send(slack, bound, own, 3).Refused(429, "M_LIMIT_EXCEEDED")
	sender := slack.Do("POST", "/createRoom", `{}`).OK().String("room_id")
	for n := range 5 {
		slack.Do("PUT", matrixtest.Path("rooms", sender, "send", "m.room.message", fmt.Sprint(n)), `{"body":"x"}`).OK()
	}
}
