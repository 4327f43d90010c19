package server

import (
	"crypto/rand"
	"fmt"
	"strings"
	"testing"

	"homeserver/internal/matrixtest"
)

// visitors are users who do everything that leaves something behind.
type visitors struct {
	t                               *testing.T
	alice, bob, carol, dave, nobody *matrixtest.Client
	everybody                       []*matrixtest.Client
	rooms, events                   []string
	roomOf                          map[string]string // by event
	// since are tokens that clients were given on the way.
	since  []string
	filter map[string]string // by user
}

func newVisitors(t *testing.T, anybody *matrixtest.Client) *visitors {
	v := &visitors{t: t, nobody: anybody, filter: map[string]string{}, roomOf: map[string]string{}}
	for i, c := range []**matrixtest.Client{&v.alice, &v.bob, &v.carol, &v.dave} {
		*c = anybody.Register([]string{"alice", "bob", "carol", "dave"}[i], "a long password")
		v.everybody = append(v.everybody, *c)
	}
	return v
}

func (v *visitors) put(c *matrixtest.Client, body any, parts ...string) *matrixtest.Response {
	return c.Do("PUT", matrixtest.Path(parts...), body).OK()
}

func (v *visitors) post(c *matrixtest.Client, body any, parts ...string) *matrixtest.Response {
	return c.Do("POST", matrixtest.Path(parts...), body).OK()
}

// mark keeps a token of this moment.
func (v *visitors) mark() {
	v.since = append(v.since, v.alice.Sync("", "set_presence", "offline").NextBatch())
}

// says sends a message of a user, and notes it to ask for it later.
func (v *visitors) says(c *matrixtest.Client, room, text string) {
	v.remember(room, c.SendText(room, text))
}

// remember notes events that are asked for later.
func (v *visitors) remember(room string, events ...string) {
	for _, event := range events {
		v.events = append(v.events, event)
		v.roomOf[event] = room
	}
}

// live does something with everything that is kept.
func (v *visitors) live() {
	v.put(v.alice, `{"displayname":"Alice"}`, "profile", v.alice.UserID, "displayname")
	v.put(v.bob, `{"displayname":"Bob \"the\" <b>"}`, "profile", v.bob.UserID, "displayname")
	v.put(v.bob, `{"m.tz":"Europe/Vienna"}`, "profile", v.bob.UserID, "m.tz")
	for version := 1; version <= 12; version++ {
		v.chat(fmt.Sprint(version))
		if version%4 == 0 {
			v.mark()
		}
	}
	v.comeAndGo()
	v.personal()
	v.mark()
}

// chat fills a room.
func (v *visitors) chat(version string) {
	alice, bob := v.alice, v.bob
	room := alice.CreateRoom(map[string]any{
		"room_version": version, "preset": "public_chat", "name": "Room " + version, "topic": "What",
		"room_alias_name": "room" + version, "invite": []string{v.carol.UserID}, "visibility": "public",
		"initial_state": []map[string]any{{"type": "m.room.encryption", "content": map[string]any{"algorithm": "m.megolm.v1.aes-sha2"}}},
	})
	v.rooms = append(v.rooms, room)
	bob.Join(room)
	picture := alice.Do("POST", "/_matrix/media/v3/upload", "picture "+version).OK().String("content_uri")
	alice.SendEvent(room, "m.room.message", map[string]any{"msgtype": "m.image", "body": "findable", "url": picture})
	for i := range 12 {
		v.says(bob, room, fmt.Sprintf("message %d to @alice, a findable one", i))
	}
	taken := bob.SendText(room, "taken back")
	v.put(bob, `{"reason":"a mistake"}`, "rooms", room, "redact", taken, rand.Text())
	topic := alice.SetState(room, "m.room.topic", "", map[string]any{"topic": "taken back, too"})
	v.put(alice, `{}`, "rooms", room, "redact", topic, rand.Text())
	alice.SetState(room, "m.room.name", "", map[string]any{"name": "There"})
	alice.SetState(room, "org.example.state", "key", map[string]any{"n": 1, "deep": map[string]any{"list": []int{1, 2, 3}}})
	v.post(alice, `{}`, "rooms", room, "receipt", "m.read", taken)
	v.post(bob, `{"m.fully_read":"`+taken+`","m.read.private":"`+taken+`"}`, "rooms", room, "read_markers")
	v.put(bob, `{"a":"b"}`, "user", bob.UserID, "rooms", room, "account_data", "org.example.x")
	v.put(bob, `{"order":0.5}`, "user", bob.UserID, "rooms", room, "tags", "m.favourite")
	v.remember(room, taken, topic, alice.SendText(room, "the last of Alice"))
	v.put(alice, `{"msgtype":"m.text","body":"by a transaction"}`, "rooms", room, "send", "m.room.message", "transaction"+version)
}

// comeAndGo changes memberships and visibilities in all ways.
func (v *visitors) comeAndGo() {
	alice, bob, carol, dave := v.alice, v.bob, v.carol, v.dave
	carol.Join(v.rooms[11])
	carol.SendText(v.rooms[11], "from Carol")
	v.post(carol, `{}`, "rooms", v.rooms[11], "leave")
	carol.Join(v.rooms[10])
	v.post(carol, `{}`, "rooms", v.rooms[10], "leave")
	v.post(carol, `{}`, "rooms", v.rooms[10], "forget")
	v.post(carol, `{}`, "rooms", v.rooms[9], "leave")
	dave.Join(v.rooms[8])
	v.post(alice, `{"user_id":"`+dave.UserID+`","reason":"enough"}`, "rooms", v.rooms[8], "kick")
	dave.Join(v.rooms[7])
	v.post(alice, `{"user_id":"`+dave.UserID+`"}`, "rooms", v.rooms[7], "ban")
	v.post(alice, `{"user_id":"`+dave.UserID+`"}`, "rooms", v.rooms[6], "ban")
	v.post(alice, `{"user_id":"`+dave.UserID+`"}`, "rooms", v.rooms[6], "unban")
	for _, visibility := range []string{"joined", "invited", "shared", "world_readable", "joined"} {
		alice.SetState(v.rooms[5], "m.room.history_visibility", "", map[string]any{"history_visibility": visibility})
		v.says(bob, v.rooms[5], "while it was "+visibility)
	}
	dave.Join(v.rooms[5])
	bob.SendText(v.rooms[5], "for Dave")
	knocking := alice.CreateRoom(map[string]any{
		"room_version": "10", "initial_state": []map[string]any{{"type": "m.room.join_rules", "content": map[string]any{"join_rule": "knock"}}},
	})
	v.post(dave, `{"reason":"please"}`, "knock", knocking)
	private := bob.CreateRoom(map[string]any{"preset": "trusted_private_chat", "is_direct": true, "invite": []string{alice.UserID}})
	alice.Join(private)
	bob.SendText(private, "a secret findable thing")
	v.rooms = append(v.rooms, knocking, private)
	erased := v.nobody.Register("erin", "a long password")
	erased.Join(v.rooms[0])
	v.says(erased, v.rooms[0], "from who wants to be forgotten")
	v.post(erased, `{"erase":true,"auth":{"type":"m.login.password","identifier":{"type":"m.id.user","user":"erin"},"password":"a long password"}}`,
		"account", "deactivate")
	dave.Join(v.rooms[0])
}

// personal leaves what is for one user alone.
func (v *visitors) personal() {
	alice, bob := v.alice, v.bob
	v.put(alice, `{"ignored_users":{"`+v.carol.UserID+`":{}}}`, "user", alice.UserID, "account_data", "m.ignored_user_list")
	v.put(bob, `{"some":["thing"]}`, "user", bob.UserID, "account_data", "org.example.data")
	v.filter[alice.UserID] = v.post(alice, `{"room":{"timeline":{"limit":3,"types":["m.room.message"]},"state":{"lazy_load_members":true}}}`,
		"user", alice.UserID, "filter").String("filter_id")
	v.put(alice, `{"pattern":"cake","actions":["notify",{"set_tweak":"highlight"}]}`, "pushrules", "global", "content", "cake")
	v.put(bob, `{"enabled":false}`, "pushrules", "global", "override", ".m.rule.suppress_notices", "enabled")
	bob.SendText(v.rooms[3], "who wants cake, alice?")
	v.post(alice, `{"app_id":"org.example.app","pushkey":"key","kind":"http","app_display_name":"App","device_display_name":"Device",
		"lang":"en","data":{"url":"https://push.example.org/_matrix/push/v1/notify"}}`, "pushers", "set")
	v.put(alice, `{"display_name":"A desk"}`, "devices", alice.DeviceID)
	v.post(bob, `{"reason":"bad","score":-50}`, "rooms", v.rooms[2], "report", v.events[30])
	v.put(alice, `{"room_id":"`+v.rooms[1]+`"}`, "directory", "room", "#other:localhost")
}

// questions returns the requests that read everything that the visitors left.
func (v *visitors) questions(c *matrixtest.Client) []answer {
	var all []answer
	add := func(body, path string) {
		all = append(all, answer{User: c.UserID, Token: c.Token, Path: path, Body: body})
	}
	get := func(path string) { add("", path) }
	v.syncs(get)
	if id := v.filter[c.UserID]; id != "" {
		get(withQuery("/sync", "filter", id))
		get(matrixtest.Path("user", c.UserID, "filter", id))
	}
	for _, prefix := range []string{"/_matrix/client/api/v1", "/_matrix/client/r0"} {
		get(prefix + withQuery("/initialSync", "limit", "4"))
		get(prefix + withQuery("/publicRooms"))
	}
	get("/_matrix/client/v2_alpha" + withQuery("/sync", "filter", `{"room":{"timeline":{"limit":4}}}`))
	for _, path := range []string{
		"/account/whoami", "/account/3pid", "/devices", "/joined_rooms", "/pushrules/", "/pushers", "/notifications", "/capabilities",
		"/user/" + c.UserID + "/account_data/org.example.data", "/user/" + c.UserID + "/account_data/m.ignored_user_list",
		"/profile/" + v.alice.UserID, "/profile/" + v.bob.UserID, "/profile/@erin:localhost",
	} {
		get(path)
	}
	add(`{"search_categories":{"room_events":{"search_term":"findable","event_context":{"include_profile":true},"groupings":{"group_by":[{"key":"room_id"}]}}}}`, "/search")
	add(`{"search_term":"bob"}`, "/user_directory/search")
	for i, room := range v.rooms {
		v.room(c, room, i, get)
	}
	for _, event := range v.events {
		room := v.roomOf[event]
		get(matrixtest.Path("rooms", room, "event", event))
		get(withQuery(matrixtest.Path("rooms", room, "context", event), "limit", "7"))
	}
	for version := 1; version <= 12; version++ {
		get(matrixtest.Path("directory", "room", fmt.Sprintf("#room%d:localhost", version)))
	}
	return all
}

// syncs asks for the stream, from the beginning and from each token.
func (v *visitors) syncs(get func(string)) {
	for i, filter := range []string{
		``, `{"room":{"timeline":{"limit":2}}}`, `{"room":{"include_leave":true,"state":{"lazy_load_members":true}}}`,
		`{"event_format":"federation","room":{"timeline":{"limit":5,"not_types":["m.room.message"]}}}`, `{"event_fields":["content.body","type"]}`,
	} {
		for _, since := range append([]string{""}, v.since[min(i, len(v.since)-1):]...) {
			pairs := []string{"filter", filter, "timeout", "0", "set_presence", "offline"}
			if since != "" {
				pairs = append(pairs, "since", since)
			}
			get(withQuery("/sync", pairs...))
			get(withQuery("/sync", append(pairs, "full_state", "true")...))
			get(withQuery("/sync", append(pairs, "use_state_after", "true")...))
		}
	}
	get("/_matrix/client/api/v1" + withQuery("/events", "from", v.since[0], "timeout", "0"))
	get("/_matrix/client/r0" + withQuery("/events", "from", v.since[1], "timeout", "0"))
}

// room asks for everything of a room.
func (v *visitors) room(c *matrixtest.Client, room string, i int, get func(string)) {
	of := func(parts ...string) string { return "/rooms/" + room + "/" + strings.Join(parts, "/") }
	for _, path := range []string{
		of("state"), of("state", "m.room.name"), of("state", "org.example.state", "key"), withQuery(of("state", "m.room.topic"), "format", "event"),
		of("members"), withQuery(of("members"), "membership", "leave"), withQuery(of("members"), "at", v.since[i%len(v.since)]), of("joined_members"), of("aliases"),
		"/user/" + c.UserID + "/rooms" + "/" + room + "/tags", "/user/" + c.UserID + "/rooms/" + room + "/account_data/org.example.x",
		"/_matrix/client/r0" + withQuery(of("initialSync"), "limit", "5"), "/_matrix/client/api/v1" + withQuery(of("initialSync"), "limit", "5"),
	} {
		get(path)
	}
	for _, from := range v.since[2:] {
		get(withQuery(of("messages"), "dir", "b", "from", from, "limit", "9"))
		get(withQuery(of("messages"), "dir", "f", "from", from, "limit", "9", "filter", `{"lazy_load_members":true}`))
	}
}
