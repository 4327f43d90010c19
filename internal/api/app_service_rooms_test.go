package api

import (
	"strings"
	"testing"

	"homeserver/internal/matrixtest"
)

func TestApplicationServicesUseRoomsAsTheirUsers(t *testing.T) {
	t.Parallel()
	c := newServerWith(t, ircFile)
	irc, alice := asService(c, "irc-as-token"), c.Register("alice", "wordpass")
	carl := ghost(irc, "irc_carl")
	room := irc.Do("POST", "/createRoom", map[string]any{"invite": []string{carl, alice.UserID}}).OK().String("room_id")
	irc.Do("POST", as(matrixtest.Path("rooms", room, "join"), carl), nil).OK()
	alice.Do("POST", matrixtest.Path("rooms", room, "join"), nil).OK()

	path := as(matrixtest.Path("rooms", room, "send", "m.room.message", "t1"), carl)
	first := irc.Do("PUT", path, `{"body":"hello"}`).OK().String("event_id")
	if again := irc.Do("PUT", path, `{"body":"hello"}`).OK().String("event_id"); again != first {
		t.Error("a repeated transaction made a second event")
	}
	if got := alice.Do("GET", matrixtest.Path("rooms", room, "event", first), nil).OK().String("sender"); got != carl {
		t.Errorf("sent by %s", got)
	}
	members := irc.Do("GET", as(matrixtest.Path("rooms", room, "joined_members"), carl), nil).OK()
	if joined, _ := members.At("joined").(map[string]any); len(joined) != 3 {
		t.Errorf("got %s", members.Body)
	}
	sync := irc.Do("GET", as("/sync", carl), nil).OK()
	if sync.At("rooms", "join", room, "timeline", "events", 0) == nil {
		t.Errorf("got %s", sync.Body)
	}
	id := alice.SendText(room, "hi")
	waited := irc.Do("GET", as("/sync", carl)+"&timeout=30000&since="+sync.String("next_batch"), nil).OK()
	if waited.At("rooms", "join", room, "timeline", "events", 0, "event_id") != id {
		t.Errorf("got %s", waited.Body)
	}
	by := irc.Do("PUT", as(matrixtest.Path("rooms", room, "send", "m.room.redaction", "t2"), carl), map[string]any{"redacts": first, "reason": "why"}).OK().String("event_id")
	isRedacted(t, "by the service", alice.Do("GET", matrixtest.Path("rooms", room, "event", first), nil).OK().Event(), by, "why")
}

func TestTimestampsOfApplicationServices(t *testing.T) {
	t.Parallel()
	c := newServerWith(t, ircFile)
	irc, alice := asService(c, "irc-as-token"), c.Register("alice", "wordpass")
	carl := ghost(irc, "irc_carl")
	room := irc.Do("POST", as("/createRoom", carl), `{"preset":"public_chat"}`).OK().String("room_id")
	alice.Do("POST", matrixtest.Path("rooms", room, "join"), nil).OK()
	made := func(id string) float64 {
		ts, _ := alice.Do("GET", matrixtest.Path("rooms", room, "event", id), nil).OK().At("origin_server_ts").(float64)
		return ts
	}
	send := as(matrixtest.Path("rooms", room, "send", "m.room.message", "t"), carl)
	state := as(matrixtest.Path("rooms", room, "state", "m.room.topic", ""), carl)
	for _, name := range []string{"ts", "org.matrix.msc3316.ts"} {
		for _, bad := range []string{"-1", "1.5", "x", "9007199254740992", "99999999999999999999", "0x10"} {
			irc.Do("PUT", send+"&"+name+"="+bad, `{}`).Refused(400, "M_INVALID_PARAM")
			irc.Do("PUT", state+"&"+name+"="+bad, `{}`).Refused(400, "M_INVALID_PARAM")
		}
	}
	id := irc.Do("PUT", send+"&ts=0", `{}`).OK().String("event_id")
	if got := made(id); got != 0 {
		t.Errorf("got %v", got)
	}
	id = irc.Do("PUT", strings.Replace(send, "/t?", "/t2?", 1)+"&ts=1234567890123", `{}`).OK().String("event_id")
	if got := made(id); got != 1234567890123 {
		t.Errorf("got %v", got)
	}
	id = irc.Do("PUT", state+"&org.matrix.msc3316.ts=9007199254740991", `{"topic":"x"}`).OK().String("event_id")
	if got := made(id); got != 9007199254740991 {
		t.Errorf("got %v", got)
	}
	id = alice.Do("PUT", matrixtest.Path("rooms", room, "send", "m.room.message", "u")+"?ts=5", `{}`).OK().String("event_id")
	if got := made(id); got < 1e12 {
		t.Errorf("a user has chosen %v", got)
	}
}

func TestAliasesOfApplicationServices(t *testing.T) {
	t.Parallel()
	c := newServerWith(t, ircFile, slackFile)
	irc, slack, alice := asService(c, "irc-as-token"), asService(c, "slack-as-token"), c.Register("alice", "wordpass")
	carl := ghost(irc, "irc_carl")
	room := irc.Do("POST", as("/createRoom", carl), `{"preset":"public_chat","room_alias_name":"irc_one"}`).OK().String("room_id")
	own := alice.Do("POST", "/createRoom", `{"preset":"public_chat","room_alias_name":"shared_one"}`).OK().String("room_id")
	path := func(alias string) string { return matrixtest.Path("directory", "room", alias) }
	to := func(room string) any { return map[string]any{"room_id": room} }

	irc.Do("PUT", as(path("#irc_two:localhost"), carl), to(room)).OK()
	irc.Do("PUT", as(path("#shared_two:localhost"), carl), to(room)).OK()
	irc.Do("PUT", as(path("#other:localhost"), carl), to(room)).Refused(400, "M_EXCLUSIVE")
	irc.Do("PUT", as(path("#slack_x:localhost"), carl), to(room)).Refused(400, "M_EXCLUSIVE")
	irc.Do("POST", as("/createRoom", carl), `{"room_alias_name":"other"}`).Refused(400, "M_EXCLUSIVE")
	alice.Do("PUT", path("#irc_three:localhost"), to(own)).Refused(400, "M_EXCLUSIVE")
	alice.Do("POST", "/createRoom", `{"room_alias_name":"irc_three"}`).Refused(400, "M_EXCLUSIVE")
	alice.Do("PUT", path("#shared_three:localhost"), to(own)).OK()

	alice.Do("POST", matrixtest.Path("rooms", room, "join"), nil).OK()
	alice.Do("DELETE", path("#irc_two:localhost"), nil).Refused(400, "M_EXCLUSIVE")
	slack.Do("DELETE", path("#irc_two:localhost"), nil).Refused(400, "M_EXCLUSIVE")
	irc.Do("DELETE", path("#irc_two:localhost"), nil).OK()
	irc.Do("DELETE", path("#shared_three:localhost"), nil).OK() // in its namespaces, although alice has made it
	alice.Do("GET", path("#irc_two:localhost"), nil).Refused(404, "M_NOT_FOUND")
	if got := alice.Do("GET", path("#irc_one:localhost"), nil).OK().String("room_id"); got != room {
		t.Errorf("got %s", got)
	}
}
