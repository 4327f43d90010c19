package api

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"homeserver/internal/matrixtest"
)

// roomOf finds a room in an answer of /initialSync: its place.
func roomOf(t *testing.T, r *matrixtest.Response, room string) (place []any) {
	t.Helper()
	list, _ := r.At("rooms").([]any)
	for i := range list {
		if r.String("rooms", i, "room_id") == room {
			return []any{"rooms", i}
		}
	}
	return nil
}

func TestInitialSyncHasEverything(t *testing.T) {
	t.Parallel()
	alice, bob := newV1(t)
	room := alice.CreateRoom(`{"preset":"public_chat","visibility":"public","name":"Kitchen"}`)
	private := alice.CreateRoom(`{"name":"Cellar"}`)
	left := alice.CreateRoom(openRoom)
	bob.Join(room)
	bob.Join(left)
	change(bob, left, "leave", `{}`).OK()
	change(alice, private, "invite", whom(bob)).OK()
	said := alice.SendText(room, "hello")
	alice.SendText(room, "again")
	now := *bob
	now.Prefix = "/_matrix/client/v3"
	now.Do("PUT", matrixtest.Path("user", bob.UserID, "account_data", "org.example"), `{"a":1}`).OK()
	now.Do("PUT", matrixtest.Path("user", bob.UserID, "rooms", room, "tags", "u.work"), `{"order":0.5}`).OK()
	now.Do("POST", matrixtest.Path("rooms", room, "receipt", "m.read", said), `{}`).OK()

	answer := bob.Do("GET", "/initialSync?limit=2", nil).OK()
	if diff := cmp.Diff([]string{"account_data", "end", "presence", "receipts", "rooms"}, keysAt(answer)); diff != "" {
		t.Error(diff)
	}
	joined := roomOf(t, answer, room)
	want := []string{"account_data", "membership", "messages", "room_id", "state", "visibility"}
	if diff := cmp.Diff(want, keysAt(answer, joined...)); diff != "" {
		t.Error(diff)
	}
	at := func(place ...any) []any { return slices.Concat(joined, place) }
	chunk := answer.Events(at("messages", "chunk")...)
	if diff := cmp.Diff([]string{"hello", "again"}, matrixtest.Bodies(chunk)); diff != "" || len(chunk) != 2 {
		t.Errorf("the chunk: %s", answer.Body)
	}
	if answer.String(at("visibility")...) != "public" || answer.String(at("membership")...) != "join" {
		t.Errorf("the room: %s", answer.Body)
	}
	if tag := answer.String(at("account_data", 0, "type")...); tag != "m.tag" {
		t.Errorf("the account data of the room begins with %q", tag)
	}
	if receipt := answer.At("receipts", 0, "content", said, "m.read", bob.UserID); receipt == nil || answer.String("receipts", 0, "room_id") != room {
		t.Errorf("the receipt: %s", answer.Body)
	}
	if answer.String("presence", 0, "content", "user_id") != bob.UserID {
		t.Errorf("the presence: %s", answer.Body)
	}
	older := bob.Do("GET", matrixtest.Path("rooms", room, "messages")+"?dir=b&limit=1&from="+answer.String(at("messages", "start")...), nil).OK()
	if older.String("chunk", 0, "type") != "m.room.member" {
		t.Errorf("before the chunk comes %s", older.Body)
	}

	invited := roomOf(t, answer, private)
	invite := answer.Event(slices.Concat(invited, []any{"invite"})...)
	if answer.String(slices.Concat(invited, []any{"inviter"})...) != alice.UserID || invite.Type != "m.room.member" || *invite.StateKey != bob.UserID {
		t.Errorf("the invite: %s", answer.Body)
	}
	if answer.At(slices.Concat(invited, []any{"state"})...) != nil || answer.At(slices.Concat(invited, []any{"invite", "invite_room_state"})...) == nil {
		t.Errorf("the invited is told of the state in another way: %s", answer.Body)
	}
	if roomOf(t, answer, left) != nil {
		t.Error("a room that was left is told of without being asked for")
	}
	archived := bob.Do("GET", "/initialSync?archived=true", nil).OK()
	if place := roomOf(t, archived, left); archived.String(slices.Concat(place, []any{"membership"})...) != "leave" {
		t.Errorf("archived: %s", archived.Body)
	}
}

// The state is that of now, and not that before the messages.
func TestInitialSyncGivesTheStateOfNow(t *testing.T) {
	t.Parallel()
	alice, _ := newV1(t)
	room := alice.CreateRoom(nil)
	for _, topic := range []string{"old", "new"} {
		alice.SetState(room, "m.room.topic", "", `{"topic":"`+topic+`"}`)
	}
	for _, path := range []string{"/initialSync?limit=1", matrixtest.Path("rooms", room, "initialSync") + "?limit=1"} {
		answer := alice.Do("GET", path, nil).OK()
		place := append(roomOf(t, answer, room), "state")
		var topics []any
		for _, e := range answer.Events(place...) {
			if e.Type == "m.room.topic" {
				topics = append(topics, e.Content["topic"])
			}
		}
		if diff := cmp.Diff([]any{"new"}, topics); diff != "" {
			t.Errorf("%s: %s", path, diff)
		}
	}
}

func TestRoomInitialSync(t *testing.T) {
	t.Parallel()
	alice, bob := newV1(t)
	room := alice.CreateRoom(openRoom)
	path := matrixtest.Path("rooms", room, "initialSync")
	bob.Do("GET", path, nil).Refused(403, "M_FORBIDDEN")
	bob.Do("GET", matrixtest.Path("rooms", "!none:localhost", "initialSync"), nil).Refused(403, "M_FORBIDDEN")
	change(alice, room, "invite", whom(bob)).OK()
	bob.Do("GET", path, nil).Refused(403, "M_FORBIDDEN")

	bob.Join(room)
	alice.SendText(room, "welcome")
	answer := bob.Do("GET", path, nil).OK()
	want := []string{"account_data", "membership", "messages", "presence", "receipts", "room_id", "state", "visibility"}
	if diff := cmp.Diff(want, keysAt(answer)); diff != "" {
		t.Error(diff)
	}
	if answer.String("membership") != "join" || answer.String("visibility") != "private" || answer.String("presence", 0, "type") != "m.presence" {
		t.Errorf("got %s", answer.Body)
	}

	change(bob, room, "leave", `{}`).OK()
	alice.SetState(room, "m.room.topic", "", `{"topic":"without bob"}`)
	alice.SendText(room, "is bob gone?")
	answer = bob.Do("GET", path, nil).OK()
	chunk := answer.Events("messages", "chunk")
	if answer.String("membership") != "leave" || chunk[len(chunk)-1].Content["membership"] != "leave" {
		t.Errorf("after leaving: %s", answer.Body)
	}
	if slices.ContainsFunc(answer.Events("state"), func(e matrixtest.Event) bool { return e.Type == "m.room.topic" }) {
		t.Errorf("a former member is told of later state: %s", answer.Body)
	}
	change(bob, room, "forget", `{}`).OK()
	bob.Do("GET", path, nil).Refused(403, "M_FORBIDDEN")
}

func TestRoomInitialSyncOfAWorldReadableRoom(t *testing.T) {
	t.Parallel()
	alice, bob := newV1(t)
	room := alice.CreateRoom(openRoom)
	alice.SendText(room, "before")
	alice.SetState(room, "m.room.history_visibility", "", `{"history_visibility":"world_readable"}`)
	for _, text := range []string{"1", "2", "3"} {
		alice.SendText(room, text)
	}
	answer := bob.Do("GET", matrixtest.Path("rooms", room, "initialSync")+"?limit=2", nil).OK()
	if diff := cmp.Diff([]string{"2", "3"}, matrixtest.Bodies(answer.Events("messages", "chunk"))); diff != "" {
		t.Error(diff)
	}
	wantV1(t, "state", v1Events(t, answer, "state"))
	if answer.At("membership") != nil {
		t.Errorf("bob never had a membership: %s", answer.Body)
	}
	older := bob.Do("GET", matrixtest.Path("rooms", room, "messages")+"?dir=b&from="+answer.String("messages", "start"), nil).OK()
	if diff := cmp.Diff([]string{"1"}, matrixtest.Bodies(older.Events("chunk"))); diff != "" {
		t.Errorf("older: %s", diff)
	}
	alice.SendText(room, "4")
	newer := bob.Do("GET", "/events?timeout=0&room_id="+room+"&from="+answer.String("messages", "end"), nil).OK()
	if diff := cmp.Diff([]string{"4"}, matrixtest.Bodies(newer.Events("chunk"))); diff != "" {
		t.Errorf("newer: %s", diff)
	}
}
