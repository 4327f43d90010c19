package timeline_test

import (
	"strings"
	"testing"

	"homeserver/internal/rooms/timeline"
)

// shows reports whether a reader sees the text of a message.
func (h *env) shows(reader, room, id, text string) bool {
	h.T.Helper()
	e, access, err := h.Rooms.Timeline.For(reader).Event(h.T.Context(), room, id)
	h.OK(err)
	for _, f := range []timeline.Format{{}, {Federation: true}, {V1: true}} {
		f.Access = access
		if strings.Contains(string(f.AppendJSON(nil, e)), text) {
			return true
		}
	}
	return false
}

// A running process learns of an erasure from the journal, one that starts later from the
// database.
func TestErasureReachesOtherProcesses(t *testing.T) {
	h := newEnv(t)
	room := h.Public()
	h.Join(bob, room)
	id := h.Send(bob, room, "sesame")
	other := envOn(t, h.Pool)
	h.Join(carol, room)
	if !other.shows(carol, room, id, "sesame") {
		t.Fatal("carol does not see what bob has said")
	}
	h.OK(h.Rooms.LeaveAll(t.Context(), bob))
	h.OK(h.Rooms.Timeline.Erase(t.Context(), bob))
	h.OK(h.Rooms.Timeline.Erase(t.Context(), bob)) // changes nothing
	h.Join(dave, room)
	h.OK(other.Journal.CatchUp(t.Context(), h.Journal.Position()))
	for name, process := range map[string]*env{"the same": h, "the other": other, "a later": envOn(t, h.Pool)} {
		if !process.shows(carol, room, id, "sesame") || process.shows(dave, room, id, "sesame") {
			t.Errorf("%s process: carol sees it %v, dave %v", name, process.shows(carol, room, id, "sesame"), process.shows(dave, room, id, "sesame"))
		}
	}
}

func TestErasedNamesAreNotShownInWhatReplacedThem(t *testing.T) {
	h := newEnv(t)
	room := h.Public()
	h.Join(bob, room)
	h.SetState(bob, room, "m.room.member", bob, `{"membership":"join","displayname":"Sesame"}`)
	h.OK(h.Rooms.LeaveAll(t.Context(), bob))
	h.OK(h.Rooms.Timeline.Erase(t.Context(), bob))
	h.Join(dave, room)
	for reader, want := range map[string]bool{alice: true, dave: false} {
		e, access, err := h.Rooms.Timeline.For(reader).StateEvent(t.Context(), room, "m.room.member", bob)
		h.OK(err)
		f := timeline.Format{Access: access}
		if got := strings.Contains(string(f.AppendJSON(nil, e)), "Sesame"); got != want {
			t.Errorf("%s sees the name that bob had before he left: %v", reader, got)
		}
	}
}

func TestWhereErasedMessagesAreHidden(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		story story
		at    int // the place of the erasure
		want  []timeline.Place
	}{
		{story{"v:shared", "", "m:join", ""}, 4, nil},
		{story{"v:shared", "", "m:join", ""}, 2, []timeline.Place{2}},
		{story{"v:shared", "", "m:join", "m:leave", "", "m:join", ""}, 5, []timeline.Place{5}},
		{story{"v:world_readable", ""}, 2, []timeline.Place{2}},
		{story{"v:world_readable", "", "m:join"}, 3, nil},
		{story{"v:invited", "m:invite", "", "m:join"}, 3, nil},
		{story{"v:shared", "m:invite", "", "m:join"}, 3, []timeline.Place{3}},
		{story{"v:joined", "m:join", "", "m:leave"}, 9, nil},
	} {
		visibilities, memberships := test.story.changes()
		access := timeline.NewErasedAccess(visibilities, memberships, bob, timeline.Place(test.at))
		var got []timeline.Place
		for i, what := range test.story {
			p := timeline.Place(i + 1)
			if what == "" && access.Sees(p) && access.Hides(bob, p) {
				got = append(got, p)
			}
		}
		if len(got) != len(test.want) || len(got) > 0 && got[0] != test.want[0] {
			t.Errorf("%q, erased at %d: hidden at %v, want %v", test.story, test.at, got, test.want)
		}
		for _, p := range got {
			if !within(access.Hidden(bob), p) {
				t.Errorf("%q: %d is not in %v", test.story, p, access.Hidden(bob))
			}
		}
	}
}

func within(ranges []timeline.Range, p timeline.Place) bool {
	for _, r := range ranges {
		if r.From <= p && p <= r.To {
			return true
		}
	}
	return false
}
