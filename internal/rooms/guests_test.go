package rooms_test

import (
	"testing"

	"homeserver/internal/auth"
	"homeserver/internal/matrix"
	"homeserver/internal/rooms"
)

// guest makes a guest account and returns its user ID.
func (h *house) guest() string {
	h.t.Helper()
	got, err := h.users.Register(h.t.Context(), auth.RegisterRequest{Kind: "guest"}, matrix.Client{})
	h.ok(err)
	return got.UserID
}

func (h *house) joinAsGuest(user, room string) error {
	return h.JoinWith(h.t.Context(), rooms.JoinRequest{UserID: user, RoomID: room, Guest: true})
}

const (
	guestAccess = "m.room.guest_access"
	canJoin     = `{"guest_access":"can_join"}`
	forbidden   = `{"guest_access":"forbidden"}`
)

func TestGuestsJoinOnlyWhereTheyMay(t *testing.T) {
	h := newHouse(t)
	guest := h.guest()
	for content, ok := range map[string]bool{
		canJoin: true, forbidden: false, `{}`: false, `{"guest_access":true}`: false, `{"guest_access":"CAN_JOIN"}`: false,
	} {
		room := h.create(alice, rooms.CreateRequest{Preset: "public_chat"}) // has no guest_access of can_join
		h.wantCode(h.joinAsGuest(guest, room), matrix.GuestAccessForbidden)
		h.set(alice, room, guestAccess, "", content)
		if err := h.joinAsGuest(guest, room); ok && err != nil || !ok && !matrix.IsCode(err, matrix.GuestAccessForbidden) {
			t.Errorf("%s: got %v", content, err)
		}
		if err := h.Join(t.Context(), bob, room, ""); err != nil {
			t.Errorf("%s: a user: %v", content, err)
		}
	}
}

func TestGuestsNeedMoreThanAnInvite(t *testing.T) {
	h := newHouse(t)
	guest := h.guest()
	room := h.create(alice, rooms.CreateRequest{Preset: "private_chat"}) // lets guests in
	h.wantCode(h.joinAsGuest(guest, room), matrix.Forbidden)
	h.ok(h.Invite(t.Context(), alice, room, guest, ""))
	h.set(alice, room, guestAccess, "", forbidden)
	h.wantCode(h.joinAsGuest(guest, room), matrix.GuestAccessForbidden)
	h.set(alice, room, guestAccess, "", canJoin)
	h.ok(h.joinAsGuest(guest, room))
	h.ok(h.joinAsGuest(guest, room)) // again
}

func TestGuestsCannotSetThemselvesJoined(t *testing.T) {
	h := newHouse(t)
	guest := h.guest()
	room := h.create(alice, rooms.CreateRequest{Preset: "public_chat"})
	q := as(guest, room)
	q.Guest = true
	_, err := h.SetState(t.Context(), q, "m.room.member", guest, raw(map[string]string{"membership": "join"}))
	h.wantCode(err, matrix.GuestAccessForbidden)
	h.set(alice, room, guestAccess, "", canJoin)
	_, err = h.SetState(t.Context(), q, "m.room.member", guest, raw(map[string]string{"membership": "join"}))
	h.ok(err)
	_, err = h.Send(t.Context(), q, "com.example.anything", raw(map[string]string{}))
	h.ok(err)
	_, err = h.SetState(t.Context(), q, "m.room.member", guest, raw(map[string]string{"membership": "leave"}))
	h.ok(err)
	h.wantMembership(room, guest, "leave")
}

func TestGuestsLeaveWhenTheRoomClosesToThem(t *testing.T) {
	h := newHouse(t)
	first, second := h.guest(), h.guest()
	for name, shut := range map[string]func(room, state string){
		"forbidden": func(room, _ string) { h.set(alice, room, guestAccess, "", forbidden) },
		"emptied":   func(room, _ string) { h.set(alice, room, guestAccess, "", `{}`) },
		"redacted": func(room, state string) {
			_, err := h.Redact(t.Context(), as(alice, room), state, "")
			h.ok(err)
		},
		"redacted by event": func(room, state string) {
			_, err := h.Send(t.Context(), as(alice, room), "m.room.redaction", raw(map[string]string{"redacts": state}))
			h.ok(err)
		},
	} {
		room := h.public(bob)
		state := h.set(alice, room, guestAccess, "", canJoin)
		h.ok(h.joinAsGuest(first, room))
		h.ok(h.joinAsGuest(second, room))
		h.set(alice, room, "m.room.topic", "", `{"topic":"x"}`)
		h.wantMembership(room, first, "join")
		shut(room, state)
		for user, want := range map[string]string{first: "leave", second: "leave", alice: "join", bob: "join"} {
			if got := h.membership(room, user); got != want {
				t.Errorf("%s: %s has membership %s, want %s", name, user, got, want)
			}
		}
		h.wantCode(h.joinAsGuest(first, room), matrix.GuestAccessForbidden)
	}
}
