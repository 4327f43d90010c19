package timeline_test

import (
	"slices"
	"testing"

	"homeserver/internal/event"
)

func TestUsersWithAMembershipAreListedInPages(t *testing.T) {
	h := newEnv(t)
	room := h.Public(bob, carol, dave)
	h.OK(h.Rooms.Leave(t.Context(), bob, room, ""))
	nid, err := h.Rooms.Timeline.Number(t.Context(), room)
	h.OK(err)
	for after, want := range map[string][]string{"": {alice, carol}, alice: {carol, dave}, carol: {dave}, dave: {}} {
		got, err := h.Rooms.Timeline.UsersWith(t.Context(), nid, event.Join, after, 2)
		h.OK(err)
		if !slices.Equal(got, want) {
			t.Errorf("after %q there are %q, want %q", after, got, want)
		}
	}
}
