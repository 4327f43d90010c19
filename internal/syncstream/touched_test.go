package syncstream

import (
	"slices"
	"testing"

	"homeserver/internal/journal"
	"homeserver/internal/rooms/timeline"
)

func TestRoomsThatEntriesAreAbout(t *testing.T) {
	t.Parallel()
	v := &viewer{}
	for nid := range journal.RoomNID(5) {
		v.rooms = append(v.rooms, &standing{Standing: &timeline.Standing{Room: 10 * (nid + 1)}})
	}
	about := func(rooms ...journal.RoomNID) *journal.Entry {
		entry := &journal.Entry{Topics: []journal.Topic{{User: "@alice:localhost"}}}
		for _, nid := range rooms {
			entry.Topics = append(entry.Topics, journal.Topic{Room: nid})
		}
		return entry
	}
	for name, test := range map[string]struct {
		entries []*journal.Entry
		want    []journal.RoomNID
	}{
		"nothing":             {nil, nil},
		"nothing of the user": {[]*journal.Entry{about(11), about()}, nil},
		"one room":            {[]*journal.Entry{about(30)}, []journal.RoomNID{30}},
		"in order, each once": {[]*journal.Entry{about(50, 20), about(50)}, []journal.RoomNID{20, 50}},
		"more than rooms":     {[]*journal.Entry{about(50), about(50), about(50)}, []journal.RoomNID{10, 20, 30, 40, 50}},
	} {
		var got []journal.RoomNID
		for _, st := range v.touchedBy(test.entries) {
			got = append(got, st.Room)
		}
		if !slices.Equal(got, test.want) {
			t.Errorf("%s: %v, want %v", name, got, test.want)
		}
	}
}
