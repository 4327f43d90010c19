package push

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"homeserver/internal/event"
	"homeserver/internal/journal"
	"homeserver/internal/matrix"
	"homeserver/internal/matrixtest"
	"homeserver/internal/rooms"
	"homeserver/internal/rooms/roomstest"
	"homeserver/internal/rooms/timeline"
)

// TestCountsOfManyRooms has more rooms than are read at once, of different lengths,
// with nothing in the live window.
func TestCountsOfManyRooms(t *testing.T) {
	t.Parallel()
	h := envOn(t, nil, journal.Options{WindowBytes: 1})
	var nids []journal.RoomNID
	want := map[journal.RoomNID]Unread{}
	for i := range firstPage.rooms + 5 {
		room := h.Public(bob)
		nid := h.NID(room)
		n := i % 3
		if i%20 == 0 {
			n = firstPage.events + i // more than one page
		}
		for range n {
			h.Send(alice, room, "text")
		}
		if i%7 == 0 {
			h.mention(alice, room, bob)
			want[nid] = mainTimeline(n+1, 1)
		} else {
			want[nid] = mainTimeline(n, 0)
		}
		nids = append(nids, nid)
	}
	for range 2 { // anew, and then from memory
		counts, err := h.Counts(t.Context(), bob, nids, h.Journal.Position())
		h.OK(err)
		if diff := cmp.Diff(want, counts); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	}
	some, err := h.Counts(t.Context(), bob, nids[:3], h.Journal.Position())
	h.OK(err)
	if len(some) != 3 {
		t.Errorf("asked for 3 rooms, got %d", len(some))
	}
}

// TestLargeMessagesWereNotCounted: what one read could not bring was left out for ever.
func TestLargeMessagesWereNotCounted(t *testing.T) {
	matrixtest.Long(t)
	t.Parallel()
	h := envOn(t, nil, journal.Options{WindowBytes: 1})
	large, small := h.Public(bob), h.Public(bob)
	const many = 160
	for range many {
		h.Send(alice, large, strings.Repeat("x", 60_000))
		h.Send(alice, small, "text")
	}
	got, err := h.Counts(t.Context(), bob, []journal.RoomNID{h.NID(large), h.NID(small)}, h.Journal.Position())
	h.OK(err)
	want := map[journal.RoomNID]Unread{h.NID(large): mainTimeline(many, 0), h.NID(small): mainTimeline(many, 0)}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestCountsInRoomsOfAllVersions: where a redaction names its target, and who has
// which power, depends on the version.
func TestCountsInRoomsOfAllVersions(t *testing.T) {
	t.Parallel()
	for _, version := range event.Versions() {
		t.Run(version, func(t *testing.T) {
			h := newEnv(t)
			created, err := h.Rooms.Create(t.Context(), alice, rooms.CreateRequest{Preset: "public_chat", RoomVersion: version})
			h.OK(err)
			room := created.RoomID
			h.OK(h.Rooms.Join(t.Context(), bob, room, ""))
			taken := h.Send(alice, room, "taken back")
			h.SendEvent(alice, room, "m.room.message", `{"body":"all!","m.mentions":{"room":true}}`)
			h.wantUnread(bob, room, mainTimeline(2, 1))
			_, err = h.Rooms.Redact(t.Context(), roomstest.As(alice, room), taken, "")
			h.OK(err)
			h.wantUnread(bob, room, mainTimeline(1, 1))
			h.Send(bob, room, "here I am")
			h.SendEvent(bob, room, "m.room.message", `{"body":"all!","m.mentions":{"room":true}}`)
			h.wantUnread(alice, room, mainTimeline(2, 0))
			h.wantUnread(bob, room, Unread{})
		})
	}
}

// TestNotificationsOfRoomsThatOneIsOutOf: they are not listed, and come back with
// what has happened since one did.
func TestNotificationsOfRoomsThatOneIsOutOf(t *testing.T) {
	h := newEnv(t)
	ctx := t.Context()
	room, forgotten := h.Public(bob), h.Public(bob)
	h.Send(alice, room, "first stay")
	h.Send(alice, forgotten, "forgotten")
	h.OK(h.Rooms.Leave(ctx, bob, room, ""))
	h.OK(h.Rooms.Leave(ctx, bob, forgotten, ""))
	h.OK(h.Rooms.Forget(ctx, bob, forgotten))
	h.Send(alice, room, "away")
	h.wantListed(NotificationQuery{UserID: bob, Limit: 10})
	h.OK(h.Rooms.Join(ctx, bob, room, ""))
	h.Send(alice, room, "second stay")
	_, err := h.Rooms.SetState(ctx, roomstest.As(bob, room), "m.room.member", bob, json.RawMessage(`{"membership":"join","displayname":"B"}`))
	h.OK(err)
	h.wantListed(NotificationQuery{UserID: bob, Limit: 10}, "second stay")
	h.OK(h.Rooms.Kick(ctx, alice, room, bob, ""))
	h.wantListed(NotificationQuery{UserID: bob, Limit: 10})
}

func TestKnownSince(t *testing.T) {
	t.Parallel()
	list := func(rs ...journal.RoomNID) []*timeline.Event {
		var events []*timeline.Event
		for i, room := range rs {
			events = append(events, &timeline.Event{Room: room, Place: timeline.Place(100 - i)})
		}
		return events
	}
	for _, test := range []struct {
		events []*timeline.Event
		each   int
		want   timeline.Place
	}{
		{nil, 2, 0},
		{list(1, 2, 3), 2, 0},
		{list(1, 2, 1), 2, 98},
		{list(1, 1, 2, 2), 2, 99},
		{list(1, 2, 2, 1), 2, 98},
		{list(1, 1, 1), 3, 98},
	} {
		if got := knownSince(test.events, test.each); got != test.want {
			t.Errorf("got %d, want %d", got, test.want)
		}
	}
}

// TestRulesWithJSONThatCannotBe: what is no canonical JSON is refused wherever it
// stands.
func TestRulesWithJSONThatCannotBe(t *testing.T) {
	h := newEnv(t)
	lone, twice := json.RawMessage(`{"set_tweak":"\ud800"}`), json.RawMessage(`{"kind":"x","kind":"y"}`)
	for _, n := range []NewRule{
		{Actions: []json.RawMessage{lone}},
		{Actions: rawList(plain), Conditions: []json.RawMessage{twice}},
	} {
		matrixtest.WantCode(h.T, h.PutRule(t.Context(), alice, Override, "x", n, Place{}), matrix.BadJSON)
	}
	matrixtest.WantCode(h.T, h.SetActions(t.Context(), alice, Override, ".m.rule.master", []json.RawMessage{lone}), matrix.BadJSON)
	if got := h.own(alice, Override); len(got) > 0 {
		t.Errorf("after refusals there is %v", got)
	}
}

// TestRulesAreKeptAsTheyWere: what a client has sent comes back with the same
// meaning, whatever white space and escapes it was written with.
func TestRulesAreKeptAsTheyWere(t *testing.T) {
	h := newEnv(t)
	body := `{"actions": [ "notify", {"value" : {"b":1.5,"a":[null,"<&>"]}, "set_tweak":"org.example"} ],
		"conditions": [ {"pattern":"\u0063ake","kind":"event_match","key":"content.body"}, {"kind":"org.example.unknown","x":{"y":1}} ]}`
	h.OK(h.put(alice, Override, "x", body, Place{}))
	rules, err := h.another().Ruleset(t.Context(), alice)
	h.OK(err)
	rule, _ := rules.Rule(Override, "x")
	got := append(asTexts(rule.Actions), asTexts(rule.Conditions)...)
	want := []string{
		`"notify"`, `{"set_tweak":"org.example","value":{"a":[null,"<&>"],"b":1.5}}`,
		`{"key":"content.body","kind":"event_match","pattern":"cake"}`, `{"kind":"org.example.unknown","x":{"y":1}}`,
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %q", got)
	}
}

// TestLevelsThatAreNone: power levels that cannot be read are as none.
func TestLevelsThatAreNone(t *testing.T) {
	t.Parallel()
	e := newEvent(t, "m.room.message", `{"body":"x","m.mentions":{"room":true}}`, nil)
	create := newEvent(t, "m.room.create", `{}`, new("")).Event
	for content, want := range map[string]bool{
		`{"users":{"@bob:localhost":"fifty"}}`: true, // bob has made the room, and nothing else is known
		`{"users":{"@bob:localhost":20}}`:      false,
		`{"notifications":{"room":101}}`:       false,
		`{}`:                                   false,
	} {
		in := &RoomContext{Create: create, Levels: newEvent(t, "m.room.power_levels", content, new("")).Event}
		if got := defaults().evaluate(e, in, &look{}); got.Highlight != want {
			t.Errorf("%s: %v", content, got.Highlight)
		}
	}
	if in := group(); in.Event("m.room.create", "") != nil || in.Event("m.room.power_levels", "x") != nil || in.Event("m.room.name", "") != nil {
		t.Error("a room that nothing is known of has state")
	}
}

// TestRulesetsOfManyUsers: each user is mentioned once.
func TestRulesetsOfManyUsers(t *testing.T) {
	h := newEnv(t)
	room := h.Public(bob)
	h.Send(alice, room, "x")
	for i := range 5 {
		user := fmt.Sprintf("@user%d:localhost", i)
		h.OK(h.Rooms.Join(t.Context(), user, room, ""))
		h.mention(alice, room, user)
	}
	for i := range 5 {
		h.wantUnread(fmt.Sprintf("@user%d:localhost", i), room, mainTimeline(5-i, 1))
	}
	h.wantUnread(bob, room, mainTimeline(6, 0))
}
