package rooms_test

import (
	"testing"

	"homeserver/internal/auth"
	"homeserver/internal/matrix"
	"homeserver/internal/matrixtest"
	"homeserver/internal/rooms"
	"homeserver/internal/rooms/roomstest"
)

// guest makes a guest account and returns its user ID.
func (h *env) guest() string {
	h.T.Helper()
	got, err := h.Users.Register(h.T.Context(), auth.RegisterRequest{Kind: "guest"}, matrix.Client{})
	h.OK(err)
	return got.UserID
}

func (h *env) joinAsGuest(user, room string) error {
	return h.Rooms.JoinWith(h.T.Context(), rooms.JoinRequest{UserID: user, RoomID: room, Guest: true})
}

const (
	guestAccess = "m.room.guest_access"
	canJoin     = `{"guest_access":"can_join"}`
	forbidden   = `{"guest_access":"forbidden"}`
)

func TestGuestsJoinOnlyWhereTheyMay(t *testing.T) {
	h := newEnv(t)
	guest := h.guest()
	for content, ok := range map[string]bool{
		canJoin: true, forbidden: false, `{}`: false, `{"guest_access":true}`: false, `{"guest_access":"CAN_JOIN"}`: false,
	} {
		room := h.Create(alice, rooms.CreateRequest{Preset: "public_chat"}) // has no guest_access of can_join
		matrixtest.WantCode(h.T, h.joinAsGuest(guest, room), matrix.GuestAccessForbidden)
		h.SetState(alice, room, guestAccess, "", content)
		if err := h.joinAsGuest(guest, room); ok && err != nil || !ok && !matrix.IsCode(err, matrix.GuestAccessForbidden) {
			t.Errorf("%s: got %v", content, err)
		}
		if err := h.Rooms.Join(t.Context(), bob, room, ""); err != nil {
			t.Errorf("%s: a user: %v", content, err)
		}
	}
}

func TestGuestsNeedMoreThanAnInvite(t *testing.T) {
	h := newEnv(t)
	guest := h.guest()
	room := h.Create(alice, rooms.CreateRequest{Preset: "private_chat"}) // has guest_access of can_join
	matrixtest.WantCode(h.T, h.joinAsGuest(guest, room), matrix.Forbidden)
	h.OK(h.Rooms.Invite(t.Context(), alice, room, guest, ""))
	h.SetState(alice, room, guestAccess, "", forbidden)
	matrixtest.WantCode(h.T, h.joinAsGuest(guest, room), matrix.GuestAccessForbidden)
	h.SetState(alice, room, guestAccess, "", canJoin)
	h.OK(h.joinAsGuest(guest, room))
	h.OK(h.joinAsGuest(guest, room)) // again
}

func TestGuestsCannotSetThemselvesJoined(t *testing.T) {
	h := newEnv(t)
	guest := h.guest()
	room := h.Create(alice, rooms.CreateRequest{Preset: "public_chat"})
	q := roomstest.As(guest, room)
	q.Guest = true
	_, err := h.Rooms.SetState(t.Context(), q, "m.room.member", guest, roomstest.Raw(map[string]string{"membership": "join"}))
	matrixtest.WantCode(h.T, err, matrix.GuestAccessForbidden)
	h.SetState(alice, room, guestAccess, "", canJoin)
	_, err = h.Rooms.SetState(t.Context(), q, "m.room.member", guest, roomstest.Raw(map[string]string{"membership": "join"}))
	h.OK(err)
	_, err = h.Rooms.Send(t.Context(), q, "com.example.anything", roomstest.Raw(map[string]string{}))
	h.OK(err)
	_, err = h.Rooms.SetState(t.Context(), q, "m.room.member", guest, roomstest.Raw(map[string]string{"membership": "leave"}))
	h.OK(err)
	h.WantMembership(room, guest, "leave")
}

func TestGuestsLeaveWhenTheRoomClosesToThem(t *testing.T) {
	h := newEnv(t)
	first, second := h.guest(), h.guest()
	for name, shut := range map[string]func(room, state string){
		"forbidden": func(room, _ string) { h.SetState(alice, room, guestAccess, "", forbidden) },
		"emptied":   func(room, _ string) { h.SetState(alice, room, guestAccess, "", `{}`) },
		"redacted": func(room, state string) {
			_, err := h.Rooms.Redact(t.Context(), roomstest.As(alice, room), state, "")
			h.OK(err)
		},
		"redacted by event": func(room, state string) {
			_, err := h.Rooms.Send(t.Context(), roomstest.As(alice, room), "m.room.redaction", roomstest.Raw(map[string]string{"redacts": state}))
			h.OK(err)
		},
	} {
		room := h.Public(bob)
		state := h.SetState(alice, room, guestAccess, "", canJoin)
		h.OK(h.joinAsGuest(first, room))
		h.OK(h.joinAsGuest(second, room))
		h.SetState(alice, room, "m.room.topic", "", `{"topic":"x"}`)
		h.WantMembership(room, first, "join")
		shut(room, state)
		for user, want := range map[string]string{first: "leave", second: "leave", alice: "join", bob: "join"} {
			if got := h.Membership(room, user); got != want {
				t.Errorf("%s: %s has membership %s, want %s", name, user, got, want)
			}
		}
		matrixtest.WantCode(h.T, h.joinAsGuest(first, room), matrix.GuestAccessForbidden)
	}
}
