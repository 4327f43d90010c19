package rooms_test

import (
	"testing"

	"homeserver/internal/matrix"
	"homeserver/internal/rooms/timeline"
)

// lists reports whether a user's memberships have a room.
func (h *house) lists(user, room string) bool {
	h.t.Helper()
	list, err := h.Timeline.Memberships(h.t.Context(), user)
	h.ok(err)
	for _, m := range list {
		if m.RoomID == room {
			return true
		}
	}
	return false
}

func TestForgetNeedsLeaving(t *testing.T) {
	h := newHouse(t)
	ctx := t.Context()
	room := h.withRule("knock")
	h.invite(alice, room, bob)
	expect(t, "while invited", h.Forget(ctx, bob, room), matrix.Unknown)
	h.join(bob, room)
	expect(t, "while joined", h.Forget(ctx, bob, room), matrix.Unknown)
	h.leave(bob, room)
	h.ok(h.Knock(ctx, bob, room, ""))
	expect(t, "while knocking", h.Forget(ctx, bob, room), matrix.Unknown)
	h.leave(bob, room)
	expect(t, "after leaving", h.Forget(ctx, bob, room), "")
	expect(t, "again", h.Forget(ctx, bob, room), "")
	expect(t, "who never was there", h.Forget(ctx, carol, room), "")
	h.ok(h.Ban(ctx, alice, room, dave, ""))
	expect(t, "while banned", h.Forget(ctx, dave, room), "")
}

func TestForgottenRoomIsOutOfReach(t *testing.T) {
	h := newHouse(t)
	ctx := t.Context()
	room := h.public(bob)
	h.send(bob, room, "remember me")
	id := h.send(bob, room, "and me")
	h.leave(bob, room)
	if len(h.bodies(bob, room)) != 2 || !h.lists(bob, room) {
		t.Fatal("the room is gone before it was forgotten")
	}
	h.ok(h.Forget(ctx, bob, room))
	_, err := h.Timeline.Messages(ctx, bob, room, timeline.Page{Limit: 10})
	expect(t, "messages", err, matrix.Forbidden)
	_, _, err = h.Timeline.State(ctx, bob, room)
	expect(t, "state", err, matrix.Forbidden)
	_, _, err = h.Timeline.Members(ctx, bob, room, timeline.MemberFilter{})
	expect(t, "members", err, matrix.Forbidden)
	_, _, err = h.Timeline.Event(ctx, bob, room, id)
	expect(t, "event", err, matrix.NotFound)
	_, err = h.Timeline.Context(ctx, bob, room, id, 10, nil)
	expect(t, "context", err, matrix.NotFound)
	if h.lists(bob, room) {
		t.Error("the room is still listed")
	}
}

func TestForgottenRoomComesBackOnlyByReturning(t *testing.T) {
	h := newHouse(t)
	ctx := t.Context()
	back := map[string]func(room string) error{
		"join":   func(room string) error { return h.Join(ctx, bob, room, "") },
		"invite": func(room string) error { return h.Invite(ctx, alice, room, bob, "") },
	}
	for name, returns := range back {
		room := h.public(bob)
		h.leave(bob, room)
		h.ok(h.Forget(ctx, bob, room))
		h.ok(h.Ban(ctx, alice, room, bob, ""))
		if h.lists(bob, room) {
			t.Error("a ban has brought a forgotten room back")
		}
		h.ok(h.Unban(ctx, alice, room, bob, ""))
		if h.lists(bob, room) {
			t.Error("an unban has brought a forgotten room back")
		}
		h.ok(returns(room))
		if !h.lists(bob, room) {
			t.Errorf("to %s has not brought the room back", name)
		}
		h.leave(bob, room)
		if !h.lists(bob, room) {
			t.Errorf("leaving after %s has made the room forgotten", name)
		}
	}
}

func TestRejoiningAForgottenRoomShowsSharedHistory(t *testing.T) {
	h := newHouse(t)
	room := h.public(bob)
	h.send(alice, room, "one")
	h.leave(bob, room)
	h.ok(h.Forget(t.Context(), bob, room))
	h.send(alice, room, "two")
	h.join(bob, room)
	h.send(alice, room, "three")
	equal(t, "history", h.bodies(bob, room), []string{"one", "two", "three"})
}

func TestForgettingIsEachUsersOwn(t *testing.T) {
	h := newHouse(t)
	room, other := h.public(bob, carol), h.public(bob)
	h.leave(bob, room)
	h.leave(carol, room)
	h.leave(bob, other)
	h.ok(h.Forget(t.Context(), bob, room))
	if h.lists(bob, room) || !h.lists(carol, room) || !h.lists(bob, other) {
		t.Error("forgetting has reached another user or another room")
	}
}

func TestForgottenRoomThatAnybodyMayReadStaysReadable(t *testing.T) {
	h := newHouse(t)
	room := h.public(bob)
	h.set(alice, room, "m.room.history_visibility", "", `{"history_visibility":"world_readable"}`)
	h.send(alice, room, "for all")
	h.leave(bob, room)
	h.ok(h.Forget(t.Context(), bob, room))
	equal(t, "history", h.bodies(bob, room), []string{"for all"})
}
