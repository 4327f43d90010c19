package api

import (
	"maps"
	"net/url"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"homeserver/internal/matrixtest"
)

const slidingPath = "/_matrix/client/unstable/org.matrix.simplified_msc3575/sync"

// slider is a connection of sliding sync, which asks for the same again and again.
type slider struct {
	*matrixtest.Client
	body map[string]any
	pos  string
}

// allRooms is a list of all rooms as Element X asks for it.
func allRooms(last int) map[string]any {
	return map[string]any{
		"ranges": []any{[]int{0, last}}, "timeline_limit": 1, "filters": map[string]any{},
		"required_state": []any{
			[]string{"m.room.name", ""}, []string{"m.room.encryption", ""}, []string{"m.room.member", "$LAZY"}, []string{"m.room.member", "$ME"},
			[]string{"m.room.topic", ""}, []string{"m.space.child", "*"},
		},
	}
}

// roomList is the connection with the list of rooms.
func roomList(c *matrixtest.Client, last int) *slider {
	return &slider{Client: c, body: map[string]any{
		"conn_id": "room-list", "lists": map[string]any{"all_rooms": allRooms(last)},
		"extensions": map[string]any{
			"account_data": map[string]any{"enabled": true}, "receipts": map[string]any{"enabled": true, "rooms": []string{"*"}},
			"typing": map[string]any{"enabled": true},
		},
	}}
}

// encryption is the connection with what belongs to the device.
func encryption(c *matrixtest.Client) *slider {
	return &slider{Client: c, body: map[string]any{
		"conn_id":    "encryption",
		"extensions": map[string]any{"to_device": map[string]any{"enabled": true}, "e2ee": map[string]any{"enabled": true}},
	}}
}

// ask asks without going on.
func (s *slider) ask(timeout string) *matrixtest.Response {
	s.T.Helper()
	q := url.Values{"timeout": {timeout}}
	if s.pos != "" {
		q.Set("pos", s.pos)
	}
	return s.Do("POST", slidingPath+"?"+q.Encode(), s.body)
}

// next asks for what is new, and goes on from there.
func (s *slider) next() *matrixtest.Response {
	s.T.Helper()
	r := s.ask("0").OK()
	s.pos = r.String("pos")
	return r
}

// await asks, and waits until there is something.
func (s *slider) await() *matrixtest.Response {
	s.T.Helper()
	r := s.ask("30000").OK()
	s.pos = r.String("pos")
	return r
}

// equalRooms compares the rooms of an answer.
func equalRooms(t testing.TB, what string, r *matrixtest.Response, want ...string) {
	t.Helper()
	got := keysAt(r, "rooms")
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("%s: rooms %q instead of %q: %s", what, got, want, r.Body)
	}
}

func bodiesOf(events []matrixtest.Event) []string {
	list := []string{}
	for _, e := range events {
		list = append(list, e.Body())
	}
	return list
}

func TestSlidingSync(t *testing.T) {
	t.Parallel()
	alice, bob, room := shared(t)
	alice.SetState(room, "m.room.name", "", map[string]any{"name": "Kitchen"})
	alice.SetState(room, "m.room.topic", "", map[string]any{"topic": "Tea"})
	bob.SendText(room, "hello")
	list := roomList(alice, 19)
	first := list.next()
	equalRooms(t, "first", first, room)
	for place, want := range map[string]any{
		"membership": "join", "initial": true, "name": "Kitchen", "joined_count": 2.0, "invited_count": 0.0,
		"limited": true, "num_live": 0.0, "notification_count": 1.0, "highlight_count": 0.0,
	} {
		if got := first.At("rooms", room, place); got != want {
			t.Errorf("%s is %v instead of %v", place, got, want)
		}
	}
	matrixtest.Equal(t, "timeline", bodiesOf(first.Events("rooms", room, "timeline")), []string{"hello"})
	state := typesOf(first.Events("rooms", room, "required_state"))
	slices.Sort(state)
	matrixtest.Equal(t, "state", state, []string{"m.room.member " + alice.UserID, "m.room.member " + bob.UserID, "m.room.name", "m.room.topic"})
	if got := first.At("lists", "all_rooms", "count"); got != 1.0 {
		t.Errorf("count is %v", got)
	}
	older := alice.Do("GET", matrixtest.Path("rooms", room, "messages")+"?dir=b&limit=1&from="+first.String("rooms", room, "prev_batch"), nil).OK()
	matrixtest.Equal(t, "older", typesOf(older.Events("chunk")), []string{"m.room.topic"})

	nothing := list.next()
	equalRooms(t, "nothing is new", nothing)
	newest := alice.Do("GET", matrixtest.Path("rooms", room, "messages")+"?dir=b&limit=1&from="+list.pos, nil).OK()
	matrixtest.Equal(t, "before the pos", bodiesOf(newest.Events("chunk")), []string{"hello"})

	bob.SendText(room, "again")
	again := list.await()
	matrixtest.Equal(t, "timeline", bodiesOf(again.Events("rooms", room, "timeline")), []string{"again"})
	for place, want := range map[string]any{"initial": nil, "limited": false, "num_live": 1.0, "notification_count": 2.0, "name": nil} {
		if got := again.At("rooms", room, place); got != want {
			t.Errorf("then %s is %v instead of %v", place, got, want)
		}
	}
	if got := again.Events("rooms", room, "required_state"); len(got) != 0 {
		t.Errorf("members are known: %s", again.Body)
	}
	if before, after := first.At("rooms", room, "bump_stamp").(float64), again.At("rooms", room, "bump_stamp").(float64); after <= before {
		t.Errorf("bump_stamp goes from %v to %v", before, after)
	}
}

func TestSlidingSyncMarksExpandedTimelinesAsLimited(t *testing.T) {
	t.Parallel()
	alice, bob, room := shared(t)
	bob.SendText(room, "hello")
	list := roomList(alice, 19)
	list.next()
	list.body["room_subscriptions"] = map[string]any{room: map[string]any{"timeline_limit": 50, "required_state": [][]string{}}}
	all := list.next()
	if events := typesOf(all.Events("rooms", room, "timeline")); len(events) < 2 || events[0] != "m.room.create" {
		t.Errorf("got %q", events)
	}
	for place, want := range map[string]any{"initial": nil, "limited": true, "num_live": 0.0, "unstable_expanded_timeline": true} {
		if got := all.At("rooms", room, place); got != want {
			t.Errorf("%s is %v instead of %v", place, got, want)
		}
	}
}

func TestSlidingSyncRepeatsAPos(t *testing.T) {
	t.Parallel()
	alice, bob, room := shared(t)
	list := roomList(alice, 19)
	list.next()
	bob.SendText(room, "once")
	pos := list.pos
	for range 2 {
		list.pos = pos
		matrixtest.Equal(t, "timeline", bodiesOf(list.next().Events("rooms", room, "timeline")), []string{"once"})
	}
	equalRooms(t, "after that", list.next())
	other := roomList(alice.Login("alice", "wordpass"), 19)
	for what, one := range map[string]*slider{
		"of another connection": {Client: alice, body: map[string]any{"conn_id": "other"}, pos: pos},
		"of another device":     {Client: other.Client, body: list.body, pos: pos},
		"of another user":       {Client: bob, body: list.body, pos: pos},
		"that is none":          {Client: alice, body: list.body, pos: "s12"},
	} {
		t.Log(what)
		one.ask("0").Refused(400, "M_UNKNOWN_POS")
	}
}

func TestSlidingSyncOfADevice(t *testing.T) {
	t.Parallel()
	alice, bob, _ := shared(t)
	device := encryption(alice)
	first := device.next()
	if diff := cmp.Diff([]string{"device_one_time_keys_count", "device_unused_fallback_key_types", "org.matrix.msc2732.device_unused_fallback_key_types"}, keysAt(first, "extensions", "e2ee")); diff != "" {
		t.Errorf("e2ee at first: %s", diff)
	}
	send := func(n string) {
		bob.Do("PUT", matrixtest.Path("sendToDevice", "m.test", n), map[string]any{"messages": map[string]any{alice.UserID: map[string]any{"*": map[string]any{"n": n}}}}).OK()
	}
	messages := func(r *matrixtest.Response) (list []string) {
		for _, e := range r.Events("extensions", "to_device", "events") {
			list = append(list, e.Content["n"].(string))
		}
		return list
	}
	send("1")
	got := device.await()
	matrixtest.Equal(t, "messages", messages(got), []string{"1"})
	matrixtest.Equal(t, "until they are acknowledged", messages(device.next()), []string{"1"})
	since := func(token string, limit int) {
		device.body["extensions"].(map[string]any)["to_device"] = map[string]any{"enabled": true, "since": token, "limit": limit}
	}
	since(got.String("extensions", "to_device", "next_batch"), 2)
	matrixtest.Equal(t, "after that", messages(device.next()), nil)
	for _, n := range []string{"2", "3", "4"} {
		send(n)
	}
	got = device.next()
	matrixtest.Equal(t, "the first two", messages(got), []string{"2", "3"})
	since(got.String("extensions", "to_device", "next_batch"), 2)
	matrixtest.Equal(t, "the rest", messages(device.next()), []string{"4"})
	bob.Do("POST", "/keys/device_signing/upload", newCrossSigning(bob).all()).OK()
	if changed, _ := device.await().At("extensions", "e2ee", "device_lists", "changed").([]any); !slices.Contains(changed, any(bob.UserID)) {
		t.Errorf("changed are %v", changed)
	}
}

func TestSlidingSyncOfInvitesAndLeaving(t *testing.T) {
	t.Parallel()
	alice, bob := newPair(t)
	room := bob.CreateRoom(map[string]any{"name": "Secret"})
	list := roomList(alice, 19)
	list.next()
	change(bob, room, "invite", whom(alice)).OK()
	invited := list.await()
	if got := typesOf(invited.Events("rooms", room, "invite_state")); !slices.Contains(got, "m.room.member "+alice.UserID) || !slices.Contains(got, "m.room.name") {
		t.Errorf("invite_state: %q", got)
	}
	equalRooms(t, "the invite is known", list.next())
	alice.Join(room)
	joined := list.await()
	if joined.At("rooms", room, "initial") != true || joined.String("rooms", room, "name") != "Secret" {
		t.Errorf("joined: %s", joined.Body)
	}
	change(bob, room, "kick", whom(alice)).OK()
	left := list.await()
	state := left.Events("rooms", room, "required_state")
	i := slices.IndexFunc(state, func(e matrixtest.Event) bool { return e.Type == "m.room.member" && *e.StateKey == alice.UserID })
	if i < 0 || state[i].Content["membership"] != "leave" || left.String("rooms", room, "membership") != "leave" {
		t.Errorf("left: %s", left.Body)
	}
	equalRooms(t, "the end is known", list.next())
	bob.SendText(room, "to myself")
	equalRooms(t, "alice is away", list.next())
}

func TestSlidingSyncExtensionsOfRooms(t *testing.T) {
	t.Parallel()
	alice, bob, room := shared(t)
	list := roomList(alice, 19)
	alice.Do("PUT", dataPath(alice.UserID, "", "m.direct"), map[string]any{bob.UserID: []string{room}}).OK()
	alice.Do("PUT", dataPath(alice.UserID, room, "a.b"), `{"c":1}`).OK()
	first := list.next()
	global := typesOf(first.Events("extensions", "account_data", "global"))
	if !slices.Contains(global, "m.direct") || !slices.Contains(global, "m.push_rules") {
		t.Errorf("account data: %q", global)
	}
	matrixtest.Equal(t, "of the room", typesOf(first.Events("extensions", "account_data", "rooms", room)), []string{"a.b"})
	if first.At("rooms", room, "is_dm") != true {
		t.Errorf("a direct chat: %s", first.Body)
	}
	id := alice.SendText(room, "read this")
	list.next()
	bob.Do("POST", receiptPath(room, "m.read", id), nil).OK()
	got := list.await()
	equalRooms(t, "with a receipt", got)
	if got.At("extensions", "receipts", "rooms", room, "content", id, "m.read", bob.UserID) == nil {
		t.Errorf("receipts: %s", got.Body)
	}
	bob.Do("PUT", typingPath(room, bob.UserID), `{"typing":true,"timeout":30000}`).OK()
	got = list.await()
	if got.At("extensions", "typing", "rooms", room, "content", "user_ids", 0) != bob.UserID {
		t.Errorf("typing: %s", got.Body)
	}
	alice.Do("PUT", dataPath(alice.UserID, room, "a.b"), `{"c":2}`).OK()
	got = list.await()
	matrixtest.Equal(t, "changed", typesOf(got.Events("extensions", "account_data", "rooms", room)), []string{"a.b"})
	if got := slices.Sorted(maps.Keys(got.At("extensions").(map[string]any))); !slices.Equal(got, []string{"account_data", "receipts", "typing"}) {
		t.Errorf("extensions: %q", got)
	}
}
