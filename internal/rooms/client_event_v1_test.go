package rooms_test

import (
	"encoding/json"
	"maps"
	"slices"
	"testing"
	"time"

	"homeserver/internal/event"
	"homeserver/internal/matrix"
	"homeserver/internal/rooms"
	"homeserver/internal/rooms/roomstest"
	"homeserver/internal/rooms/timeline"
)

// old returns an event in the format of api/v1.
func (h *env) old(f timeline.Format, e *timeline.Event) (whole roomstest.Object) {
	h.T.Helper()
	f.V1, f.WithRoomID, f.Now = true, true, time.UnixMilli(e.OriginServerTS+7)
	text := f.AppendJSON(nil, e)
	if err := json.Unmarshal(text, &whole); err != nil {
		h.T.Fatalf("the event is no JSON: %v\n%s", err, text)
	}
	return whole
}

func TestEventOfV1(t *testing.T) {
	h := newEnv(t)
	room := h.Public()
	e := h.Event(alice, room, h.Send(alice, room, "hello"))
	want := roomstest.Object{
		"age": roomstest.Raw(7), "content": roomstest.Raw(map[string]string{"msgtype": "m.text", "body": "hello"}), "event_id": roomstest.Raw(e.ID), "room_id": roomstest.Raw(room),
		"origin_server_ts": roomstest.Raw(e.OriginServerTS), "sender": roomstest.Raw(alice), "type": roomstest.Raw("m.room.message"), "user_id": roomstest.Raw(alice),
	}
	if got := h.old(timeline.Format{UserID: alice}, e); !roomstest.SameJSON(string(roomstest.Raw(got)), string(roomstest.Raw(want))) {
		t.Errorf("got %s, want %s", roomstest.Raw(got), roomstest.Raw(want))
	}
}

func TestStateEventOfV1TellsWhatItReplaced(t *testing.T) {
	h := newEnv(t)
	room := h.Public()
	first := h.SetState(alice, room, "m.room.topic", "", `{"topic":"1"}`)
	second := h.Event(alice, room, h.SetState(alice, room, "m.room.topic", "", `{"topic":"2"}`))
	got := h.old(timeline.Format{}, second)
	if string(got["replaces_state"]) != string(roomstest.Raw(first)) || string(got["prev_content"]) != `{"topic":"1"}` || string(got["state_key"]) != `""` {
		t.Errorf("got %s", roomstest.Raw(got))
	}
	redaction, err := h.Rooms.Redact(t.Context(), roomstest.As(alice, room), second.ID, "")
	h.OK(err)
	var because roomstest.Object
	h.OK(json.Unmarshal(h.old(timeline.Format{}, h.Event(alice, room, second.ID))["redacted_because"], &because))
	if string(because["event_id"]) != string(roomstest.Raw(redaction)) || string(because["user_id"]) != string(roomstest.Raw(alice)) || because["unsigned"] != nil {
		t.Errorf("redacted because of %s", roomstest.Raw(because))
	}
}

func TestInviteOfV1ComesWithTheState(t *testing.T) {
	h := newEnv(t)
	room := h.Public()
	h.Invite(alice, room, bob)
	state, _, err := h.Rooms.Timeline.For(alice).StateEvent(t.Context(), room, event.TypeMember, bob)
	h.OK(err)
	rules, _, err := h.Rooms.Timeline.For(alice).StateEvent(t.Context(), room, event.TypeJoinRules, "")
	h.OK(err)
	for user, has := range map[string]bool{bob: true, alice: false} {
		got := h.old(timeline.Format{UserID: user, InviteState: []*timeline.Event{rules}}, state)
		if string(got["membership"]) != `"invite"` || (got["invite_room_state"] != nil) != has {
			t.Errorf("to %s: %s", user, roomstest.Raw(got))
		}
	}
}

func TestEventWithoutItsID(t *testing.T) {
	h := newEnv(t)
	room := h.Public()
	whole, _ := shown(t, &timeline.Format{WithoutID: true}, h.Event(alice, room, h.Send(alice, room, "hello")))
	names := slices.Sorted(maps.Keys(whole))
	if want := []string{"content", "origin_server_ts", "sender", "type", "unsigned"}; !slices.Equal(names, want) {
		t.Errorf("got %v, want %v", names, want)
	}
}

func TestWhoMayWatchARoom(t *testing.T) {
	h := newEnv(t)
	room := h.Public()
	for _, step := range []struct {
		what string
		do   func()
		may  bool
	}{
		{"a stranger", func() {}, false},
		{"who is in", func() { h.Join(bob, room) }, true},
		{"who has left", func() { h.Leave(bob, room) }, false},
		{"anybody", func() {
			h.SetState(alice, room, "m.room.history_visibility", "", `{"history_visibility":"world_readable"}`)
		}, true},
		{"nobody any more", func() { h.SetState(alice, room, "m.room.history_visibility", "", `{"history_visibility":"shared"}`) }, false},
	} {
		step.do()
		_, err := h.Rooms.Timeline.For(bob).Peek(t.Context(), room)
		if may := err == nil; may != step.may || !may && !matrix.IsCode(err, matrix.Forbidden) {
			t.Errorf("%s: %v", step.what, err)
		}
	}
	for _, look := range []func() error{
		func() error { _, err := h.Rooms.Timeline.For(bob).Peek(t.Context(), "!none:localhost"); return err },
		func() error {
			_, _, err := h.Rooms.Timeline.For(bob).Access(t.Context(), "!none:localhost")
			return err
		},
	} {
		if err := look(); !matrix.IsCode(err, matrix.Forbidden) {
			t.Errorf("no room: %v", err)
		}
	}
}

func TestOldestOfManyRooms(t *testing.T) {
	h := newEnv(t)
	one, first := h.described(5)
	two, second := h.described(6)
	end := timeline.PlaceOf(h.Journal.Position())
	all := slices.Concat(first, second)
	slices.SortFunc(all, func(a, b *timeline.Event) int { return int(a.Position - b.Position) })
	f := &timeline.EventFilter{Types: &[]string{"m.room.m*"}}
	windows := []timeline.Window{{Room: one, Range: timeline.Range{From: 1, To: end}}, {Room: two, Range: timeline.Range{From: 1, To: end}}}
	for _, limit := range []int{0, 1, 5, len(all)} {
		got, err := h.Rooms.Timeline.Oldest(t.Context(), windows, limit, f)
		h.OK(err)
		var want []*timeline.Event
		for _, e := range all {
			if f.Match(e) && len(want) <= limit {
				want = append(want, e)
			}
		}
		if !slices.Equal(roomstest.IDs(got.Events), roomstest.IDs(want)) {
			t.Errorf("limit %d: got %v, want %v", limit, roomstest.IDs(got.Events), roomstest.IDs(want))
		}
	}
}

func TestListedAmong(t *testing.T) {
	h := newEnv(t)
	create := func(visibility string) string {
		made, err := h.Rooms.Create(t.Context(), alice, rooms.CreateRequest{Visibility: visibility})
		h.OK(err)
		return made.RoomID
	}
	public, other, private := create("public"), create("public"), create("private")
	listed, err := h.Rooms.Directory.ListedAmong(t.Context(), []string{public, private, "!none:localhost"})
	h.OK(err)
	if !listed[public] || listed[private] || listed[other] || len(listed) != 1 {
		t.Errorf("got %v", listed)
	}
}
