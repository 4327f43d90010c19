package rooms_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"testing"

	"homeserver/internal/event"
	"homeserver/internal/journal"
	"homeserver/internal/matrix"
	"homeserver/internal/rooms"
)

func TestWhoMayInvite(t *testing.T) {
	h := newHouse(t)
	ctx := t.Context()
	room := h.create(alice, rooms.CreateRequest{Preset: "public_chat", PowerLevels: object{"invite": raw(50)}})
	h.join(bob, room)
	h.join(carol, room)
	h.power(room, map[string]int{alice: 100, carol: 50})
	expect(t, "the creator", h.MayInvite(ctx, alice, room), "")
	expect(t, "a moderator", h.MayInvite(ctx, carol, room), "")
	expect(t, "a member", h.MayInvite(ctx, bob, room), matrix.Forbidden)
	expect(t, "a stranger", h.MayInvite(ctx, dave, room), matrix.Forbidden)
	h.leave(carol, room)
	expect(t, "who has left", h.MayInvite(ctx, carol, room), matrix.Forbidden)
	expect(t, "no room", h.MayInvite(ctx, alice, "!none:localhost"), matrix.Forbidden)
}

func TestPendingInviteIsThatOfItsToken(t *testing.T) {
	h := newHouse(t)
	room, other := h.public(), h.public()
	id := h.set(alice, room, event.TypeThirdPartyInvite, "token", `{"display_name":"b..."}`)
	e, err := h.PendingInvite(t.Context(), room, "token")
	if err != nil || e.ID != id {
		t.Errorf("got %v, %v", e, err)
	}
	for _, test := range [][2]string{{room, "another"}, {other, "token"}, {"!none:localhost", "token"}, {room, ""}, {room, "a\x00b"}} {
		_, err := h.PendingInvite(t.Context(), test[0], test[1])
		expect(t, test[1], err, matrix.Forbidden)
	}
}

// TestRedeemIsAuthorised is about what the rules of rooms themselves refuse, whoever
// has looked at the signature before.
func TestRedeemIsAuthorised(t *testing.T) {
	h := newHouse(t)
	room := h.create(alice, rooms.CreateRequest{})
	h.set(alice, room, event.TypeThirdPartyInvite, "token", `{"display_name":"b...","public_key":"O2onvM62pC1io6jQKm8Nc2UyFXcd4kOmOsBIoYtZ2ik"}`)
	for name, signed := range map[string]string{
		"not signed":     `{"mxid":"@bob:localhost","token":"token"}`,
		"wrongly signed": `{"mxid":"@bob:localhost","signatures":{"x":{"ed25519:0":"AAAA"}},"token":"token"}`,
		"for another":    `{"mxid":"@carol:localhost","token":"token"}`,
		"no token":       `{"mxid":"@bob:localhost"}`,
	} {
		expect(t, name, h.Redeem(t.Context(), rooms.JoinRequest{UserID: bob, RoomID: room}, json.RawMessage(signed)), matrix.Forbidden)
	}
	h.wantMembership(room, bob, "")
}

func TestWhatFollowersRead(t *testing.T) {
	h := newHouse(t)
	ctx := t.Context()
	room := h.public()
	from := h.journal.Position()
	one := h.send(alice, room, "one")
	two := h.send(alice, room, "two")
	h.set(alice, room, "m.room.name", "", `{"name":"n"}`)
	h.redact(alice, room, one, "")
	events, err := h.Timeline.EventsBetween(ctx, from, h.journal.Position(), []string{"m.room.message"})
	h.ok(err)
	equal(t, "messages", ids(events), []string{one, two})
	if !events[0].Redacted() || events[1].Redacted() {
		t.Error("they are not as they are now")
	}
	events, err = h.Timeline.EventsBetween(ctx, from+1, from+2, []string{"m.room.message"})
	h.ok(err)
	equal(t, "a part", ids(events), []string{two})
	redacted, err := h.Timeline.RedactedBetween(ctx, from, h.journal.Position())
	h.ok(err)
	if len(redacted) != 1 || redacted[0] != from+1 {
		t.Errorf("redacted: %v, want %d", redacted, from+1)
	}
	redacted, err = h.Timeline.RedactedBetween(ctx, from, h.journal.Position()-1)
	h.ok(err)
	if len(redacted) != 0 {
		t.Errorf("before the redaction: %v", redacted)
	}
}

func TestFollowersReadTheSameWithoutTheWindow(t *testing.T) {
	h := newHouse(t)
	ctx := t.Context()
	_, history := h.described(21)
	h.redact(alice, history[0].RoomID, h.send(alice, history[0].RoomID, "x"), "")
	fresh := houseOn(t, h.pool) // which has nothing in memory
	end := h.journal.Position()
	for after := journal.Position(0); after < end; after += 13 {
		upTo := min(end, after+40)
		types := []string{"m.room.message", "m.room.member"}
		inMemory, err := h.Timeline.EventsBetween(ctx, after, upTo, types)
		h.ok(err)
		stored, err := fresh.Timeline.EventsBetween(ctx, after, upTo, types)
		h.ok(err)
		equal(t, fmt.Sprintf("after %d up to %d", after, upTo), ids(stored), ids(inMemory))
		one, err := h.Timeline.RedactedBetween(ctx, after, upTo)
		h.ok(err)
		other, err := fresh.Timeline.RedactedBetween(ctx, after, upTo)
		h.ok(err)
		if !slices.Equal(one, other) {
			t.Errorf("redacted after %d up to %d: %v and %v", after, upTo, one, other)
		}
	}
}
