package rooms_test

import (
	"testing"

	"homeserver/internal/matrix"
	"homeserver/internal/matrixtest"
	"homeserver/internal/rooms/timeline"
)

// lists reports whether a user's memberships include a room.
func (h *env) lists(user, room string) bool {
	h.T.Helper()
	list, err := h.Rooms.Timeline.Memberships(h.T.Context(), user)
	h.OK(err)
	for _, m := range list {
		if m.RoomID == room {
			return true
		}
	}
	return false
}

func TestForgetNeedsLeaving(t *testing.T) {
	h := newEnv(t)
	ctx := t.Context()
	room := h.withRule("knock")
	h.Invite(alice, room, bob)
	matrixtest.WantCode(t, h.Rooms.Forget(ctx, bob, room), matrix.Unknown, "while invited")
	h.Join(bob, room)
	matrixtest.WantCode(t, h.Rooms.Forget(ctx, bob, room), matrix.Unknown, "while joined")
	h.Leave(bob, room)
	h.OK(h.Rooms.Knock(ctx, bob, room, ""))
	matrixtest.WantCode(t, h.Rooms.Forget(ctx, bob, room), matrix.Unknown, "while knocking")
	h.Leave(bob, room)
	matrixtest.WantCode(t, h.Rooms.Forget(ctx, bob, room), "", "after leaving")
	matrixtest.WantCode(t, h.Rooms.Forget(ctx, bob, room), "", "again")
	matrixtest.WantCode(t, h.Rooms.Forget(ctx, carol, room), "", "who never was there")
	h.OK(h.Rooms.Ban(ctx, alice, room, dave, ""))
	matrixtest.WantCode(t, h.Rooms.Forget(ctx, dave, room), "", "while banned")
}

func TestForgottenRoomIsOutOfReach(t *testing.T) {
	h := newEnv(t)
	ctx := t.Context()
	room := h.Public(bob)
	h.Send(bob, room, "remember me")
	id := h.Send(bob, room, "and me")
	h.Leave(bob, room)
	if len(h.Bodies(bob, room)) != 2 || !h.lists(bob, room) {
		t.Fatal("the room is gone before it was forgotten")
	}
	h.OK(h.Rooms.Forget(ctx, bob, room))
	_, err := h.Rooms.Timeline.For(bob).Messages(ctx, room, timeline.Page{Limit: 10})
	matrixtest.WantCode(t, err, matrix.Forbidden, "messages")
	_, _, err = h.Rooms.Timeline.For(bob).State(ctx, room)
	matrixtest.WantCode(t, err, matrix.Forbidden, "state")
	_, _, err = h.Rooms.Timeline.For(bob).Members(ctx, room, timeline.MemberFilter{})
	matrixtest.WantCode(t, err, matrix.Forbidden, "members")
	_, _, err = h.Rooms.Timeline.For(bob).Event(ctx, room, id)
	matrixtest.WantCode(t, err, matrix.NotFound, "event")
	_, err = h.Rooms.Timeline.For(bob).Context(ctx, room, id, 10, nil)
	matrixtest.WantCode(t, err, matrix.NotFound, "context")
	if h.lists(bob, room) {
		t.Error("the room is still listed")
	}
}

func TestForgottenRoomComesBackOnlyByReturning(t *testing.T) {
	h := newEnv(t)
	ctx := t.Context()
	back := map[string]func(room string) error{
		"join":   func(room string) error { return h.Rooms.Join(ctx, bob, room, "") },
		"invite": func(room string) error { return h.Rooms.Invite(ctx, alice, room, bob, "") },
	}
	for name, returns := range back {
		room := h.Public(bob)
		h.Leave(bob, room)
		h.OK(h.Rooms.Forget(ctx, bob, room))
		h.OK(h.Rooms.Ban(ctx, alice, room, bob, ""))
		if h.lists(bob, room) {
			t.Error("a ban has brought a forgotten room back")
		}
		h.OK(h.Rooms.Unban(ctx, alice, room, bob, ""))
		if h.lists(bob, room) {
			t.Error("an unban has brought a forgotten room back")
		}
		h.OK(returns(room))
		if !h.lists(bob, room) {
			t.Errorf("to %s has not brought the room back", name)
		}
		h.Leave(bob, room)
		if !h.lists(bob, room) {
			t.Errorf("leaving after %s has made the room forgotten", name)
		}
	}
}

func TestRejoiningAForgottenRoomShowsSharedHistory(t *testing.T) {
	h := newEnv(t)
	room := h.Public(bob)
	h.Send(alice, room, "one")
	h.Leave(bob, room)
	h.OK(h.Rooms.Forget(t.Context(), bob, room))
	h.Send(alice, room, "two")
	h.Join(bob, room)
	h.Send(alice, room, "three")
	matrixtest.Equal(t, "history", h.Bodies(bob, room), []string{"one", "two", "three"})
}

func TestForgettingIsEachUsersOwn(t *testing.T) {
	h := newEnv(t)
	room, other := h.Public(bob, carol), h.Public(bob)
	h.Leave(bob, room)
	h.Leave(carol, room)
	h.Leave(bob, other)
	h.OK(h.Rooms.Forget(t.Context(), bob, room))
	if h.lists(bob, room) || !h.lists(carol, room) || !h.lists(bob, other) {
		t.Error("forgetting has reached another user or another room")
	}
}

func TestForgottenRoomThatAnybodyMayReadStaysReadable(t *testing.T) {
	h := newEnv(t)
	room := h.Public(bob)
	h.SetState(alice, room, "m.room.history_visibility", "", `{"history_visibility":"world_readable"}`)
	h.Send(alice, room, "for all")
	h.Leave(bob, room)
	h.OK(h.Rooms.Forget(t.Context(), bob, room))
	matrixtest.Equal(t, "history", h.Bodies(bob, room), []string{"for all"})
}
