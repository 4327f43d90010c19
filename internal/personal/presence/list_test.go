package presence

import (
	"fmt"
	"testing"

	"homeserver/internal/matrix"
)

func (h *env) list(user string) string {
	h.T.Helper()
	states, err := h.List(h.T.Context(), user)
	h.OK(err)
	return names(states)
}

func (h *env) change(user string, invite, drop []string) {
	h.T.Helper()
	h.OK(h.ChangeList(h.T.Context(), user, invite, drop))
}

func TestPresenceList(t *testing.T) {
	h := newEnv(t)
	h.Public(bob)
	h.set(bob, Online, "")
	h.set(carol, Online, "")
	if got := h.list(alice); got != "" {
		t.Errorf("at first: %s", got)
	}
	h.change(alice, []string{carol, bob, "@who:elsewhere.org"}, nil)
	h.change(alice, []string{bob}, nil)
	// carol shares no room with alice.
	if got, want := h.list(alice), "bob online, carol offline, who:elsewhere.org offline"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if got := h.list(bob); got != "" {
		t.Errorf("bob's: %s", got)
	}
	h.change(alice, []string{alice}, []string{bob, "@who:elsewhere.org", "@never:localhost"})
	if got, want := h.list(alice), "alice offline, carol offline"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestPresenceListIsChecked(t *testing.T) {
	h := newEnv(t)
	for _, lists := range [][2][]string{{{"nonsense"}, nil}, {nil, {"bob"}}} {
		if err := h.ChangeList(t.Context(), alice, lists[0], lists[1]); !matrix.IsCode(err, matrix.InvalidParam) {
			t.Errorf("%v: %v", lists, err)
		}
	}
	var many []string
	for i := range maxListed {
		many = append(many, fmt.Sprintf("@user%d:localhost", i))
	}
	h.change(alice, many, nil)
	for _, lists := range [][2][]string{{{bob}, nil}, {append(many, many...), {bob}}} {
		if err := h.ChangeList(t.Context(), alice, lists[0], lists[1]); !matrix.IsCode(err, matrix.TooLarge) {
			t.Errorf("%d more: %v", len(lists[0]), err)
		}
	}
	h.change(alice, []string{bob}, many[:1])
	h.change(bob, []string{alice}, nil)
}
