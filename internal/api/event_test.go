package api

import (
	"strings"
	"testing"

	"homeserver/internal/matrixtest"
)

func TestGetEvent(t *testing.T) {
	t.Parallel()
	alice, bob, room := shared(t)
	id := alice.Do("PUT", matrixtest.Path("rooms", room, "send", "m.room.message", "txn"), hello).OK().String("event_id")
	path := matrixtest.Path("rooms", room, "event", id)
	hers, his := alice.Do("GET", path, nil).OK().Event(), bob.Do("GET", path, nil).OK().Event()
	if hers.ID != id || hers.RoomID != room || hers.Type != "m.room.message" || hers.Sender != alice.UserID || hers.Body() != "hello" || hers.OriginServerTS == 0 {
		t.Errorf("got %+v", hers)
	}
	if age, ok := hers.Unsigned["age"].(float64); !ok || age < 0 || hers.Unsigned["membership"] != "join" {
		t.Errorf("unsigned: %v", hers.Unsigned)
	}
	if hers.Unsigned["transaction_id"] != "txn" || his.Unsigned["transaction_id"] != nil {
		t.Errorf("transaction_id: %v for the sender, %v for others", hers.Unsigned["transaction_id"], his.Unsigned["transaction_id"])
	}
}

func TestGetEventRefusals(t *testing.T) {
	t.Parallel()
	alice, bob := newPair(t)
	room, other := alice.CreateRoom(openRoom), alice.CreateRoom(nil)
	alice.SetState(room, "m.room.history_visibility", "", map[string]any{"history_visibility": "joined"})
	id := alice.SendText(room, "before")
	bob.Join(room)
	for _, path := range []string{
		matrixtest.Path("rooms", room, "event", id),
		matrixtest.Path("rooms", room, "event", "$none"),
		matrixtest.Path("rooms", room, "event", "none"),
		matrixtest.Path("rooms", room, "event", "$"+strings.Repeat("a", 300)),
		matrixtest.Path("rooms", other, "event", id),
		matrixtest.Path("rooms", "!none:localhost", "event", id),
	} {
		bob.Do("GET", path, nil).Refused(404, "M_NOT_FOUND")
		bob.Do("GET", strings.Replace(path, "/event/", "/context/", 1), nil).Refused(404, "M_NOT_FOUND")
	}
	bob.Do("GET", matrixtest.Path("rooms", "none", "event", id), nil).Refused(400, "M_INVALID_PARAM")
	bob.Do("GET", matrixtest.Path("rooms", room, "event", "$\x00"), nil).Refused(400, "M_INVALID_PARAM")
	alice.Do("GET", matrixtest.Path("rooms", room, "event", id), nil).OK()
}
