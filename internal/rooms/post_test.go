package rooms_test

import (
	"encoding/json"
	"testing"

	"homeserver/internal/event"
	"homeserver/internal/matrix"
	"homeserver/internal/rooms"
	"homeserver/internal/rooms/roomstest"
)

func text(userID, body string) rooms.Posting {
	return rooms.Posting{UserID: userID, Type: "m.room.message", Content: roomstest.Raw(map[string]string{"msgtype": "m.text", "body": body})}
}

func TestPostAddsEventsOfSeveralUsersInTheirOrder(t *testing.T) {
	env := roomstest.New(t)
	room := env.Public(roomstest.Bob)
	long := int64(1_600_000_000_000)
	topic, carol := "", roomstest.Carol
	list := []rooms.Posting{
		text(roomstest.Alice, "one"),
		text(roomstest.Bob, "two"),
		{UserID: roomstest.Alice, Type: event.TypeTopic, StateKey: &topic, Content: json.RawMessage(`{"topic":"t"}`), Timestamp: &long},
		{UserID: roomstest.Carol, Type: event.TypeMember, StateKey: &carol, Content: json.RawMessage(`{"membership":"join"}`)},
		text(roomstest.Carol, "three"),
	}
	ids, err := env.Rooms.Post(t.Context(), room, list)
	env.OK(err)
	history := env.History(roomstest.Alice, room)
	got := roomstest.IDs(history[len(history)-len(list):])
	for i := range list {
		if ids[i] != got[i] {
			t.Errorf("event %d is %s, the answer says %s", i, got[i], ids[i])
		}
	}
	if e := env.Event(roomstest.Alice, room, ids[2]); e.OriginServerTS != long {
		t.Errorf("the topic was set at %d, want %d", e.OriginServerTS, long)
	}
}

func TestPostAddsAllOrNothing(t *testing.T) {
	env := roomstest.New(t)
	room := env.Public(roomstest.Bob)
	target := env.Send(roomstest.Bob, room, "hello")
	before := len(env.History(roomstest.Alice, room))
	like := rooms.Posting{UserID: roomstest.Bob, Type: "m.reaction", Content: roomstest.Raw(map[string]any{
		"m.relates_to": map[string]string{"rel_type": "m.annotation", "event_id": target, "key": "+"},
	})}
	for what, bad := range map[string]struct {
		list []rooms.Posting
		want matrix.Code
	}{
		"a stranger":            {[]rooms.Posting{text(roomstest.Bob, "one"), text(roomstest.Dave, "two")}, matrix.Forbidden},
		"no object":             {[]rooms.Posting{text(roomstest.Bob, "one"), {UserID: roomstest.Bob, Type: "t", Content: json.RawMessage(`1`)}}, matrix.BadJSON},
		"the same annotation":   {[]rooms.Posting{like, like}, matrix.DuplicateAnnotation},
		"a second room's birth": {[]rooms.Posting{{UserID: roomstest.Bob, Type: event.TypeCreate, Content: json.RawMessage(`{}`)}}, matrix.InvalidParam},
	} {
		if _, err := env.Rooms.Post(t.Context(), room, bad.list); !matrix.IsCode(err, bad.want) {
			t.Errorf("%s: got %v, want %s", what, err, bad.want)
		}
	}
	if after := len(env.History(roomstest.Alice, room)); after != before {
		t.Errorf("%d events were added", after-before)
	}
	ids, err := env.Rooms.Post(t.Context(), room, []rooms.Posting{like})
	if err != nil || len(ids) != 1 {
		t.Errorf("an annotation after one that was refused: %v, %v", ids, err)
	}
}

func TestRoomsAreMadeWithATimeOfThePast(t *testing.T) {
	env := roomstest.New(t)
	long := int64(1_600_000_000_000)
	first, err := env.Rooms.Create(t.Context(), roomstest.Alice, rooms.CreateRequest{Timestamp: &long})
	env.OK(err)
	// From version 12 on two rooms that are made alike at the same time would have the same ID.
	second, err := env.Rooms.Create(t.Context(), roomstest.Alice, rooms.CreateRequest{Timestamp: &long})
	env.OK(err)
	if first.RoomID == second.RoomID {
		t.Error("two rooms are the same")
	}
	for _, e := range env.History(roomstest.Alice, first.RoomID) {
		if e.OriginServerTS != long {
			t.Errorf("%s is of %d, want %d", e.Type, e.OriginServerTS, long)
		}
	}
}
