package rooms_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"sync"
	"testing"

	"homeserver/internal/event"
	"homeserver/internal/matrix"
	"homeserver/internal/matrixtest"
	"homeserver/internal/rooms"
	"homeserver/internal/rooms/roomstest"
)

// upgrade upgrades a room, and returns the ID of the new one.
func (h *env) upgrade(user, room, version string, creators ...string) (roomID string) {
	h.T.Helper()
	done, err := h.Rooms.Upgrade(h.T.Context(), user, room, rooms.UpgradeRequest{NewVersion: version, AdditionalCreators: creators})
	if err != nil {
		h.T.Fatalf("%s upgrades %s to %s: %v", user, room, version, err)
	}
	return done.ReplacementRoom
}

// fields returns the content of a state entry as alice reads it.
func (h *env) fields(room, typ string) roomstest.Object {
	h.T.Helper()
	fields := roomstest.Object{}
	h.OK(json.Unmarshal([]byte(h.Content(alice, room, typ, "")), &fields))
	return fields
}

func TestUpgradeBetweenAllVersions(t *testing.T) {
	h := newEnv(t)
	from := []string{"1", "3", "6", "9", "11", "12"}
	for _, old := range from {
		for version := 1; version <= 12; version++ {
			to := fmt.Sprint(version)
			room := h.Create(alice, rooms.CreateRequest{
				RoomVersion: old, Preset: "public_chat", Name: "The Pub", Topic: "Beer",
				CreationContent: roomstest.Object{"type": roomstest.Raw("org.example.pub"), "m.federate": roomstest.Raw(false), "org.example.own": roomstest.Raw(1)},
				InitialState: []rooms.InitialState{
					{Type: "m.room.server_acl", Content: json.RawMessage(`{"allow":["*"]}`)},
					{Type: "m.room.encryption", Content: json.RawMessage(`{"algorithm":"m.megolm.v1.aes-sha2"}`)},
					{Type: "m.room.avatar", Content: json.RawMessage(`{"url":"mxc://localhost/a"}`)},
					{Type: "m.room.pinned_events", Content: json.RawMessage(`{"pinned":["$a"]}`)},
					{Type: "org.example.own", Content: json.RawMessage(`{"a":1}`)},
				},
			})
			h.Join(bob, room)
			h.OK(h.Rooms.Ban(t.Context(), alice, room, dave, "spam"))
			next := h.upgrade(alice, room, to)

			label := old + " to " + to
			matrixtest.Equal(t, label, roomstest.Keys(h.History(alice, next)), []string{
				"m.room.create|", "m.room.member|" + alice, "m.room.join_rules|", "m.room.history_visibility|", "m.room.guest_access|",
				"m.room.encryption|", "m.room.server_acl|", "m.room.name|", "m.room.topic|", "m.room.avatar|", "m.room.member|" + dave, "m.room.power_levels|",
			})
			checkChain(t, h, next)
			checkChain(t, h, room)
			h.WantContent(alice, next, event.TypeMember, dave, `{"membership":"ban","reason":"spam"}`)
			h.WantContent(alice, next, event.TypeName, "", `{"name":"The Pub"}`)
			tombstone, _, err := h.Rooms.Timeline.For(alice).StateEvent(t.Context(), room, event.TypeTombstone, "")
			h.OK(err)
			h.WantContent(alice, room, event.TypeTombstone, "", `{"body":"This room has been replaced","replacement_room":"`+next+`"}`)
			predecessor := `{"room_id":"` + room + `","event_id":"` + tombstone.ID + `"}`
			if version == 12 {
				predecessor = `{"room_id":"` + room + `"}`
			}
			create := h.fields(next, event.TypeCreate)
			if !roomstest.SameJSON(string(create["predecessor"]), predecessor) || string(create["type"]) != `"org.example.pub"` ||
				string(create["m.federate"]) != "false" || create["org.example.own"] != nil || string(create["room_version"]) != `"`+to+`"` {
				t.Errorf("%s: m.room.create is %s", label, create)
			}
			if levels := h.levels(room); levels.EventsDefault != 50 || levels.Invite != 50 {
				t.Errorf("%s: the old room has the levels %v", label, levels)
			}
			if h.trySend(bob, room) == nil {
				t.Errorf("%s: bob still can speak in the old room", label)
			}
			h.Join(bob, next)
			h.Send(bob, next, "hello")
			h.Send(alice, next, "hello")
			h.SetState(alice, next, event.TypeTombstone, "", `{"body":"","replacement_room":"!x:localhost"}`) // still may
		}
	}
}

func TestUpgradeOfAnUpgradedRoom(t *testing.T) {
	h := newEnv(t)
	for _, version := range []string{"11", "12"} {
		room := h.Create(alice, rooms.CreateRequest{Preset: "public_chat"})
		h.Join(bob, room)
		var wg sync.WaitGroup
		made := make([]string, 10)
		for i := range made {
			wg.Go(func() {
				done, err := h.Rooms.Upgrade(t.Context(), alice, room, rooms.UpgradeRequest{NewVersion: version})
				if err != nil {
					t.Error(err)
					return
				}
				made[i] = done.ReplacementRoom
			})
		}
		wg.Wait()
		if len(slices.Compact(made)) != 1 {
			t.Fatalf("version %s: the same upgrade has made the rooms %q", version, made)
		}
		// Whoever asks for something else gets another room.
		if other := h.upgrade(alice, room, "10"); other == made[0] {
			t.Error("an upgrade to another version has made no room")
		}
		h.WantMembership(made[0], alice, "join")
	}
	room := h.Create(alice, rooms.CreateRequest{})
	if h.upgrade(alice, room, "12", bob) == h.upgrade(alice, room, "12", bob, carol) {
		t.Error("an upgrade with more creators has made no room")
	}
}

func TestUpgradeIsForThoseWithThePower(t *testing.T) {
	h := newEnv(t)
	room := h.Public(bob)
	try := func(user, room string, q rooms.UpgradeRequest, code matrix.Code) {
		t.Helper()
		_, err := h.Rooms.Upgrade(t.Context(), user, room, q)
		matrixtest.WantCode(t, err, code)
	}
	try(bob, room, rooms.UpgradeRequest{NewVersion: "11"}, matrix.Forbidden)
	try(bob, room, rooms.UpgradeRequest{NewVersion: "none"}, matrix.Forbidden) // what else is wrong is nobody else's business
	try(carol, room, rooms.UpgradeRequest{NewVersion: "11"}, matrix.Forbidden)
	try(alice, "!none:localhost", rooms.UpgradeRequest{NewVersion: "11"}, matrix.Forbidden)
	try(alice, room, rooms.UpgradeRequest{}, matrix.MissingParam)
	try(alice, room, rooms.UpgradeRequest{NewVersion: "13"}, matrix.UnsupportedRoomVersion)
	try(alice, room, rooms.UpgradeRequest{NewVersion: "12", AdditionalCreators: []string{bob, "bob"}}, matrix.InvalidParam)
	if h.Content(alice, room, event.TypeTombstone, "") != "" {
		t.Error("a refused upgrade has left a tombstone")
	}
	// Versions without additional creators ignore the field.
	next := h.upgrade(alice, room, "11", "bob")
	if create := h.fields(next, event.TypeCreate); create["additional_creators"] != nil {
		t.Errorf("m.room.create is %s", create)
	}
}
