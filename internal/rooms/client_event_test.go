package rooms_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"homeserver/internal/event"
	"homeserver/internal/journal"
	"homeserver/internal/matrixtest"
	"homeserver/internal/rooms"
	"homeserver/internal/rooms/roomstest"
	"homeserver/internal/rooms/timeline"
)

// unsignedOf returns the member unsigned of an event as a user reads it.
func (h *env) unsignedOf(user, room, id string) roomstest.Object {
	h.T.Helper()
	e, access, err := h.Rooms.Timeline.For(user).Event(h.T.Context(), room, id)
	h.OK(err)
	_, unsigned := shown(h.T, &timeline.Format{UserID: user, Access: access}, e)
	return unsigned
}

func TestEventAsClientsGetIt(t *testing.T) {
	h := newEnv(t)
	room := h.Public()
	id := h.Send(alice, room, "hello")
	e := h.Event(alice, room, id)
	whole, unsigned := shown(t, &timeline.Format{WithRoomID: true}, e)
	want := roomstest.Object{
		"content": roomstest.Raw(map[string]string{"msgtype": "m.text", "body": "hello"}), "event_id": roomstest.Raw(id), "room_id": roomstest.Raw(room),
		"origin_server_ts": roomstest.Raw(e.OriginServerTS), "sender": roomstest.Raw(alice), "type": roomstest.Raw("m.room.message"), "unsigned": whole["unsigned"],
	}
	if !roomstest.SameJSON(string(roomstest.Raw(whole)), string(roomstest.Raw(want))) {
		t.Errorf("got %s, want %s", roomstest.Raw(whole), roomstest.Raw(want))
	}
	if string(roomstest.Raw(unsigned)) != `{"age":1}` {
		t.Errorf("unsigned is %s", roomstest.Raw(unsigned))
	}
	whole, _ = shown(t, &timeline.Format{}, e)
	if _, has := whole["room_id"]; has {
		t.Error("room_id is there, not asked for")
	}
	state, _, err := h.Rooms.Timeline.For(alice).StateEvent(t.Context(), room, event.TypeJoinRules, "")
	h.OK(err)
	if whole, _ = shown(t, &timeline.Format{}, state); string(whole["state_key"]) != `""` {
		t.Errorf("state_key is %s", whole["state_key"])
	}
}

func TestAgeIsNeverNegative(t *testing.T) {
	h := newEnv(t)
	room := h.Public()
	e := h.Event(alice, room, h.Send(alice, room, "hello"))
	for now, want := range map[int64]string{-1000: `"age":0`, 0: `"age":0`, 7: `"age":7`} {
		f := timeline.Format{Now: time.UnixMilli(e.OriginServerTS + now)}
		if text := string(f.AppendJSON(nil, e)); !strings.Contains(text, want) {
			t.Errorf("%d ms after: %s", now, text)
		}
	}
}

func TestTransactionIDIsForTheSendingDevice(t *testing.T) {
	h := newEnv(t)
	room := h.Public(bob)
	id, err := h.Rooms.Send(t.Context(), rooms.Request{UserID: alice, DeviceID: "PHONE", RoomID: room, TxnID: "t\"1"}, "m.room.message", roomstest.Message("x"))
	h.OK(err)
	plain := h.Send(alice, room, "without")
	for _, c := range []struct{ user, device, want string }{
		{alice, "PHONE", `"t\"1"`}, {alice, "LAPTOP", ""}, {bob, "PHONE", ""}, {bob, "LAPTOP", ""}, {"", "", ""},
	} {
		_, unsigned := shown(t, &timeline.Format{UserID: c.user, DeviceID: c.device}, h.Event(alice, room, id))
		if got := string(unsigned["transaction_id"]); got != c.want {
			t.Errorf("%s on %s gets %s, want %s", c.user, c.device, got, c.want)
		}
		_, unsigned = shown(t, &timeline.Format{UserID: c.user, DeviceID: c.device}, h.Event(alice, room, plain))
		if got, has := unsigned["transaction_id"]; has {
			t.Errorf("%s on %s gets %s for an event without", c.user, c.device, got)
		}
	}
}

func TestMembershipOfTheReaderAtEachEvent(t *testing.T) {
	h := newEnv(t)
	room := h.Public()
	want := map[string]string{h.Send(alice, room, "1"): "leave"}
	h.Invite(alice, room, bob)
	want[h.Send(alice, room, "2")] = "invite"
	h.Join(bob, room)
	joined, _, err := h.Rooms.Timeline.For(alice).StateEvent(t.Context(), room, event.TypeMember, bob)
	h.OK(err)
	want[joined.ID] = "join"
	want[h.Send(alice, room, "3")] = "join"
	h.Leave(bob, room)
	left, _, err := h.Rooms.Timeline.For(alice).StateEvent(t.Context(), room, event.TypeMember, bob)
	h.OK(err)
	want[left.ID] = "leave"
	for id, membership := range want {
		if got := string(h.unsignedOf(bob, room, id)["membership"]); got != `"`+membership+`"` {
			t.Errorf("membership is %s, want %s", got, membership)
		}
		if got := string(h.unsignedOf(alice, room, id)["membership"]); got != `"join"` {
			t.Errorf("alice's membership is %s", got)
		}
	}
}

func TestPrevContentIsForWhoMaySeeIt(t *testing.T) {
	h := newEnv(t)
	room := h.Public()
	h.SetState(alice, room, "m.room.history_visibility", "", `{"history_visibility":"joined"}`)
	first := h.SetState(alice, room, "m.room.topic", "", `{"topic":"for alice"}`)
	h.Join(bob, room)
	second := h.SetState(alice, room, "m.room.topic", "", `{"topic":"for both"}`)
	third := h.SetState(alice, room, "m.room.topic", "", `{"topic":"now"}`)
	for _, c := range []struct{ user, id, prevContent, replaces string }{
		{alice, first, "", ""},
		{alice, second, `{"topic":"for alice"}`, first},
		{bob, second, "", first},
		{bob, third, `{"topic":"for both"}`, second},
	} {
		unsigned := h.unsignedOf(c.user, room, c.id)
		if got := string(unsigned["prev_content"]); got != c.prevContent {
			t.Errorf("%s: prev_content is %s, want %s", c.user, got, c.prevContent)
		}
		if got := strings.Trim(string(unsigned["replaces_state"]), `"`); got != c.replaces {
			t.Errorf("%s: replaces_state is %s, want %s", c.user, got, c.replaces)
		}
	}
}

func TestMembershipChangesSayWhatWasBefore(t *testing.T) {
	h := newEnv(t)
	room := h.Public()
	h.Invite(alice, room, bob)
	h.Join(bob, room)
	e, _, err := h.Rooms.Timeline.For(bob).StateEvent(t.Context(), room, event.TypeMember, bob)
	h.OK(err)
	if got := string(h.unsignedOf(bob, room, e.ID)["prev_content"]); got != `{"membership":"invite"}` {
		t.Errorf("prev_content is %s", got)
	}
}

func TestStrippedState(t *testing.T) {
	h := newEnv(t)
	room := h.Create(alice, rooms.CreateRequest{Name: "n"})
	e, _, err := h.Rooms.Timeline.For(alice).StateEvent(t.Context(), room, "m.room.name", "")
	h.OK(err)
	want := `{"content":{"name":"n"},"sender":"` + alice + `","state_key":"","type":"m.room.name"}`
	if got := string(timeline.AppendStripped(nil, e)); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestFederationFormatGivesTheBytesThatAreSigned(t *testing.T) {
	h := newEnv(t)
	room := h.Public()
	e := h.Event(alice, room, h.Send(alice, room, "x"))
	if got := (&timeline.Format{Federation: true, WithRoomID: true}).AppendJSON(nil, e); string(got) != string(e.JSON) {
		t.Errorf("got %s", got)
	}
}

func TestListsOfEvents(t *testing.T) {
	h := newEnv(t)
	room := h.Public()
	for _, n := range []int{0, 1, 3} {
		events := h.History(alice, room)[:n]
		var list []roomstest.Object
		h.OK(unmarshal((&timeline.Format{}).AppendEvents(nil, events), &list))
		if len(list) != n || list == nil {
			t.Errorf("%d events became %d", n, len(list))
		}
	}
}

// busy makes a room with events of all kinds that clients can see.
func (h *env) busy(random *rand.Rand, version int) string {
	h.T.Helper()
	room := h.Create(alice, rooms.CreateRequest{Preset: "public_chat", RoomVersion: fmt.Sprint(version)})
	h.Join(bob, room)
	sent := []string{h.Send(alice, room, "first")}
	for i := range 60 {
		switch random.IntN(6) {
		case 0:
			sent = append(sent, h.SetState(alice, room, "m.room.topic", fmt.Sprint(random.IntN(2)), fmt.Sprintf(`{"topic":"%d"}`, i)))
		case 1:
			h.Redact(alice, room, sent[random.IntN(len(sent))], "")
		case 2:
			sent = append(sent, h.SetState(bob, room, event.TypeMember, bob, fmt.Sprintf(`{"membership":"join","displayname":"%d"}`, i)))
		case 3:
			redaction, err := h.Rooms.Redact(h.T.Context(), rooms.Request{UserID: alice, DeviceID: "A", RoomID: room, TxnID: fmt.Sprint(i)}, sent[0], "why")
			h.OK(err)
			sent = append(sent, redaction)
		default:
			id, err := h.Rooms.Send(h.T.Context(), rooms.Request{UserID: alice, DeviceID: "A", RoomID: room, TxnID: fmt.Sprint(i)}, "m.room.message", roomstest.Raw(map[string]string{"body": "<é\u0001\">"}))
			h.OK(err)
			sent = append(sent, id)
		}
	}
	return room
}

func TestEventsInMemoryLookLikeThoseInTheDatabase(t *testing.T) {
	matrixtest.Long(t)
	h := newEnv(t)
	random := rand.New(rand.NewPCG(11, 13))
	for version := 1; version <= 12; version++ {
		room := h.busy(random, version)
		st, err := h.Rooms.Timeline.Stored().For(alice).Messages(t.Context(), room, timeline.Page{Limit: timeline.MaxLimit})
		h.OK(err)
		inMemory := h.roomWindow(st.Events[0].Room)
		matrixtest.Equal(t, "the events", roomstest.IDs(inMemory), roomstest.IDs(st.Events))
		f := timeline.Format{WithRoomID: true, UserID: alice, DeviceID: "A", Access: st.Access, Now: time.Now()}
		for i, e := range st.Events {
			if inMemory, stored := f.AppendJSON(nil, inMemory[i]), f.AppendJSON(nil, e); string(inMemory) != string(stored) {
				t.Fatalf("version %d: in memory:\n%s\nin the database:\n%s", version, inMemory, stored)
			}
		}
	}
}

// roomWindow returns the events of a room in memory, oldest first.
func (h *env) roomWindow(room journal.RoomNID) (events []*timeline.Event) {
	h.T.Helper()
	var entries []*journal.Entry
	h.Journal.Read(func(v journal.View) { entries = slices.Clone(v.About(journal.Topic{Room: room}, 0)) })
	for _, entry := range entries {
		events = append(events, timeline.EventOf(entry))
	}
	return events
}
