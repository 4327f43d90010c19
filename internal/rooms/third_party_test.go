package rooms_test

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"homeserver/internal/event"
	"homeserver/internal/journal"
	"homeserver/internal/matrix"
	"homeserver/internal/matrixtest"
	"homeserver/internal/reserve"
	"homeserver/internal/rooms"
	"homeserver/internal/rooms/roomstest"
	"homeserver/internal/rooms/timeline"
)

func TestWhoMayInvite(t *testing.T) {
	h := newEnv(t)
	ctx := t.Context()
	room := h.Create(alice, rooms.CreateRequest{Preset: "public_chat", PowerLevels: roomstest.Object{"invite": roomstest.Raw(50)}})
	h.Join(bob, room)
	h.Join(carol, room)
	h.SetPower(room, map[string]int{alice: 100, carol: 50})
	matrixtest.WantCode(t, h.Rooms.MayInvite(ctx, alice, room), "", "the creator")
	matrixtest.WantCode(t, h.Rooms.MayInvite(ctx, carol, room), "", "a moderator")
	matrixtest.WantCode(t, h.Rooms.MayInvite(ctx, bob, room), matrix.Forbidden, "a member")
	matrixtest.WantCode(t, h.Rooms.MayInvite(ctx, dave, room), matrix.Forbidden, "a stranger")
	h.Leave(carol, room)
	matrixtest.WantCode(t, h.Rooms.MayInvite(ctx, carol, room), matrix.Forbidden, "who has left")
	matrixtest.WantCode(t, h.Rooms.MayInvite(ctx, alice, "!none:localhost"), matrix.Forbidden, "no room")
}

func TestPendingInviteIsThatOfItsToken(t *testing.T) {
	h := newEnv(t)
	room, other := h.Public(), h.Public()
	id := h.SetState(alice, room, event.TypeThirdPartyInvite, "token", `{"display_name":"b..."}`)
	e, err := h.Rooms.PendingInvite(t.Context(), room, "token")
	if err != nil || e.ID != id {
		t.Errorf("got %v, %v", e, err)
	}
	for _, test := range [][2]string{{room, "another"}, {other, "token"}, {"!none:localhost", "token"}, {room, ""}, {room, "a\x00b"}} {
		_, err := h.Rooms.PendingInvite(t.Context(), test[0], test[1])
		matrixtest.WantCode(t, err, matrix.Forbidden, test[1])
	}
}

// TestRedeemIsAuthorised tests the authorisation rules alone, without the earlier check of
// the signature.
func TestRedeemIsAuthorised(t *testing.T) {
	h := newEnv(t)
	room := h.Create(alice, rooms.CreateRequest{})
	h.SetState(alice, room, event.TypeThirdPartyInvite, "token", `{"display_name":"b...","public_key":"O2onvM62pC1io6jQKm8Nc2UyFXcd4kOmOsBIoYtZ2ik"}`)
	for name, signed := range map[string]string{
		"not signed":     `{"mxid":"@bob:localhost","token":"token"}`,
		"wrongly signed": `{"mxid":"@bob:localhost","signatures":{"x":{"ed25519:0":"AAAA"}},"token":"token"}`,
		"for another":    `{"mxid":"@carol:localhost","token":"token"}`,
		"no token":       `{"mxid":"@bob:localhost"}`,
	} {
		matrixtest.WantCode(t, h.Rooms.Redeem(t.Context(), rooms.JoinRequest{UserID: bob, RoomID: room}, json.RawMessage(signed)), matrix.Forbidden, name)
	}
	h.WantMembership(room, bob, "")
}

// between lists the events of some types that a follower reads, by their positions.
func (h *env) between(after, upTo journal.Position, types ...string) (events []*timeline.Event) {
	h.T.Helper()
	c, err := h.Rooms.Timeline.EventsBetween(h.T.Context(), after, upTo, types)
	h.OK(err)
	for e, err := range c.All(h.T.Context()) {
		h.OK(err)
		events = append(events, e)
	}
	slices.SortFunc(events, func(a, b *timeline.Event) int { return cmp.Compare(a.Position, b.Position) })
	return events
}

func TestWhatFollowersRead(t *testing.T) {
	h := newEnv(t)
	ctx := t.Context()
	room := h.Public()
	from := h.Journal.Position()
	one := h.Send(alice, room, "one")
	two := h.Send(alice, room, "two")
	h.SetState(alice, room, "m.room.name", "", `{"name":"n"}`)
	h.Redact(alice, room, one, "")
	events := h.between(from, h.Journal.Position(), "m.room.message")
	matrixtest.Equal(t, "messages", roomstest.IDs(events), []string{one, two})
	if !events[0].Redacted() || events[1].Redacted() {
		t.Error("they are not as they are now")
	}
	events = h.between(from+1, from+2, "m.room.message")
	matrixtest.Equal(t, "a part", roomstest.IDs(events), []string{two})
	redacted, err := h.Rooms.Timeline.RedactedBetween(ctx, from, h.Journal.Position())
	h.OK(err)
	if len(redacted) != 1 || redacted[0] != timeline.EventNID(from+1) {
		t.Errorf("redacted: %v, want %d", redacted, from+1)
	}
	redacted, err = h.Rooms.Timeline.RedactedBetween(ctx, from, h.Journal.Position()-1)
	h.OK(err)
	if len(redacted) != 0 {
		t.Errorf("before the redaction: %v", redacted)
	}
}

// TestManyLargeEventsAreReadByFollowersInParts measures the memory of one step.
func TestManyLargeEventsAreReadByFollowersInParts(t *testing.T) {
	h := newEnv(t)
	const events, bytes = 60, 60_000
	room := h.Public()
	from := h.Journal.Position()
	for range events {
		h.Send(alice, room, strings.Repeat("a", bytes))
	}
	fresh := envOn(t, h.Pool) // which has nothing in memory
	ctx := reserve.With(t.Context(), reserve.New(64<<20, nil).Open(""))
	c, err := fresh.Rooms.Timeline.EventsBetween(ctx, from, h.Journal.Position(), []string{"m.room.message"})
	h.OK(err)
	n := 0
	for e, err := range c.All(ctx) {
		h.OK(err)
		if n++; e.Position != from+journal.Position(n) || reserve.Used(ctx) > events*bytes/2 {
			t.Fatalf("event %d stands at %d, %d bytes are held", n, e.Position-from, reserve.Used(ctx))
		}
	}
	if n != events {
		t.Errorf("%d of %d events are read", n, events)
	}
}

func TestFollowersReadTheSameWithoutTheWindow(t *testing.T) {
	h := newEnv(t)
	ctx := t.Context()
	_, history := h.described(21)
	h.Redact(alice, history[0].RoomID, h.Send(alice, history[0].RoomID, "x"), "")
	fresh := envOn(t, h.Pool) // which has nothing in memory
	end := h.Journal.Position()
	for after := journal.Position(0); after < end; after += 13 {
		upTo := min(end, after+40)
		types := []string{"m.room.message", "m.room.member"}
		inMemory, stored := h.between(after, upTo, types...), fresh.between(after, upTo, types...)
		matrixtest.Equal(t, fmt.Sprintf("after %d up to %d", after, upTo), roomstest.IDs(stored), roomstest.IDs(inMemory))
		one, err := h.Rooms.Timeline.RedactedBetween(ctx, after, upTo)
		h.OK(err)
		other, err := fresh.Rooms.Timeline.RedactedBetween(ctx, after, upTo)
		h.OK(err)
		if !slices.Equal(one, other) {
			t.Errorf("redacted after %d up to %d: %v and %v", after, upTo, one, other)
		}
	}
}
