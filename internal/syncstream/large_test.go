package syncstream_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"homeserver/internal/journal"
)

// fill sets so many entries of the state of a room, of 60 KB each.
func (h *env) fill(room string, entries int) {
	h.T.Helper()
	for n := range entries {
		h.SetState(alice, room, "org.example.large", fmt.Sprint(n), fmt.Sprintf(`{"n":%d,"a":%q}`, n, strings.Repeat("a", 60_000)))
	}
}

// largeKeys lists the state keys of large entries.
func largeKeys(list *stateList) []string {
	keys := []string{}
	for _, e := range list.Events {
		if e.Type == "org.example.large" {
			keys = append(keys, *e.StateKey)
		}
	}
	slices.Sort(keys)
	return keys
}

// In TestStateThatIsTooMuchForOneReadIsTold a room has more state than one read brings:
// with a whole state, in a gap, with lazily loaded members, and where the filter hides
// state from the timeline.
func TestStateThatIsTooMuchForOneReadIsTold(t *testing.T) {
	const entries = 120
	h := envOn(t, nil, journal.Options{WindowBytes: 1}) // all is read from the tables
	room := h.Public(bob)
	away := h.client(bob, `{"room":{"timeline":{"limit":1}}}`)
	away.sync()
	h.fill(room, entries)
	h.say(alice, room, "1")
	var want []string
	for n := range entries {
		want = append(want, fmt.Sprint(n))
	}
	slices.Sort(want)
	equal(t, "in a gap", largeKeys(away.sync().in(t, room).State), want...)
	for name, filter := range map[string]string{
		"a whole state":    `{"room":{"timeline":{"limit":1}}}`,
		"lazily loaded":    `{"room":{"timeline":{"limit":1},"state":{"lazy_load_members":true}}}`,
		"out of the sight": `{"room":{"timeline":{"limit":50,"types":["m.room.message"]}}}`,
	} {
		r := h.client(bob, filter).sync().in(t, room)
		equal(t, name, largeKeys(r.State), want...)
		equal(t, name, r.timeline(), "1")
	}
}
