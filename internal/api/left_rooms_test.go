package api

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"homeserver/internal/matrixtest"
)

const withLeft = `{"room":{"include_leave":true}}`

// farewell is a room that bob has left, or out of which he was thrown, and that went on
// without him.
type farewell struct {
	alice, bob  *matrixtest.Client
	room, since string // since is bob's token of before the end
}

// endings are the ways in which a user ceases to be in a room.
var endings = map[string]func(f *farewell){
	"leave": func(f *farewell) { change(f.bob, f.room, "leave", nil).OK() },
	"kick":  func(f *farewell) { change(f.alice, f.room, "kick", whom(f.bob)).OK() },
	"ban":   func(f *farewell) { change(f.alice, f.room, "ban", whom(f.bob)).OK() },
}

// newFarewell makes a room with a visibility that bob leaves in one of the ways.
func newFarewell(t *testing.T, visibility string, end func(f *farewell)) *farewell {
	t.Helper()
	alice, bob, room := shared(t)
	f := &farewell{alice: alice, bob: bob, room: room}
	alice.SetState(room, "m.room.history_visibility", "", map[string]any{"history_visibility": visibility})
	alice.SetState(room, "m.room.name", "", map[string]any{"name": "Before"})
	f.since = bob.Sync("").NextBatch()
	alice.SendText(room, "with bob")
	end(f)
	alice.SetState(room, "m.room.name", "", map[string]any{"name": "After"})
	alice.Register("carol", "wordpass").Join(room)
	rename(alice, "Alice Later")
	alice.SendText(room, "without bob")
	return f
}

// lastOf describes the last event of a left room's timeline.
func lastOf(answer *matrixtest.Response, room string) string {
	events := answer.Events("rooms", "leave", room, "timeline", "events")
	if len(events) == 0 {
		return "nothing"
	}
	last := events[len(events)-1]
	membership, _ := last.Content["membership"].(string)
	return typesOf([]matrixtest.Event{last})[0] + " " + membership
}

// The timeline of a room that was left ends with the event that ended the membership,
// in the answer that has the event and in the archive, also where anybody may read what
// comes after. Nothing that happened later is in any part of either.
func TestLeftRoomEndsWithTheLeaving(t *testing.T) {
	t.Parallel()
	for how, end := range endings {
		for _, visibility := range []string{"shared", "joined", "invited", "world_readable"} {
			t.Run(how+" "+visibility, func(t *testing.T) {
				t.Parallel()
				f := newFarewell(t, visibility, end)
				want := map[string]string{"leave": "leave", "kick": "leave", "ban": "ban"}[how]
				for what, answer := range map[string]*matrixtest.Response{
					"since":            f.bob.Sync(f.since),
					"since, short":     f.bob.Sync(f.since, "filter", `{"room":{"timeline":{"limit":1}}}`),
					"archived":         f.bob.Sync("", "filter", withLeft),
					"archived, short":  f.bob.Sync("", "filter", `{"room":{"include_leave":true,"timeline":{"limit":1}}}`),
					"archived, lazily": f.bob.Sync("", "filter", `{"room":{"include_leave":true,"state":{"lazy_load_members":true}}}`),
					"archived, after":  f.bob.Sync("", "filter", withLeft, "use_state_after", "true"),
				} {
					if got := lastOf(answer, f.room); got != "m.room.member @bob:localhost "+want {
						t.Errorf("%s: the timeline ends with %s", what, got)
					}
					for _, later := range []string{"without bob", "After", "@carol", "Alice Later"} {
						if strings.Contains(string(answer.Body), later) {
							t.Errorf("%s: %q came after the leaving: %s", what, later, answer.Body)
						}
					}
				}
			})
		}
	}
}

// History goes on backwards from the archived timeline without a gap or a repetition.
func TestArchivedTimelineGoesOnInMessages(t *testing.T) {
	t.Parallel()
	f := newFarewell(t, "shared", endings["leave"])
	whole := idsOf(history(f.bob, f.room))
	answer := f.bob.Sync("", "filter", `{"room":{"include_leave":true,"timeline":{"limit":3}}}`)
	older, _ := pagesOf(f.bob, f.room, answer.String("rooms", "leave", f.room, "timeline", "prev_batch"), "dir=b&limit=4")
	var all []string
	for i := range older {
		all = append(all, older[len(older)-1-i].ID)
	}
	all = append(all, idsOf(answer.Events("rooms", "leave", f.room, "timeline", "events"))...)
	if diff := cmp.Diff(whole, all); diff != "" {
		t.Errorf("(-/messages +/sync and on):\n%s", diff)
	}
	newer := f.bob.Do("GET", matrixtest.Path("rooms", f.room, "messages")+"?dir=f&from="+answer.NextBatch(), nil).OK()
	if events := newer.Events("chunk"); len(events) != 0 {
		t.Errorf("after the leaving there is more: %s", newer.Body)
	}
}

// A room that is left stays told of once: the answer after it has it no more.
func TestLeftRoomIsToldOnce(t *testing.T) {
	t.Parallel()
	f := newFarewell(t, "shared", endings["kick"])
	next := f.bob.Sync(f.since).NextBatch()
	f.alice.SendText(f.room, "still without bob")
	for _, filter := range []string{`{}`, withLeft} {
		if got := keysAt(f.bob.Sync(next, "filter", filter), "rooms", "leave"); len(got) != 0 {
			t.Errorf("with filter %s the room is told of again", filter)
		}
	}
}

// State is that of the leaving for somebody who has left, whichever endpoint is asked.
func TestStateAfterLeavingIsThatOfTheLeaving(t *testing.T) {
	t.Parallel()
	for how, end := range endings {
		t.Run(how, func(t *testing.T) {
			t.Parallel()
			f := newFarewell(t, "shared", end)
			get := func(path ...string) *matrixtest.Response {
				return f.bob.Do("GET", matrixtest.Path(append([]string{"rooms", f.room}, path...)...), nil)
			}
			if got := get("state", "m.room.name").OK().String("name"); got != "Before" {
				t.Errorf("/state/m.room.name: %q", got)
			}
			if got := get("state", "m.room.member", f.alice.UserID).OK().At("displayname"); got != nil {
				t.Errorf("/state/m.room.member of alice has a name that she took later: %v", got)
			}
			get("state", "m.room.member", "@carol:localhost").Refused(404, "M_NOT_FOUND")
			checkState(t, "/state", get("state").OK().Events())
			checkState(t, "/members", get("members").OK().Events("chunk"))
			at := f.bob.Do("GET", matrixtest.Path("rooms", f.room, "members")+"?at="+f.bob.Sync("").NextBatch(), nil).OK()
			checkState(t, "/members at a later token", at.Events("chunk"))
			get("joined_members").Refused(403, "M_FORBIDDEN")
		})
	}
}

// checkState checks state as of when bob left the room of a farewell.
func checkState(t *testing.T, what string, events []matrixtest.Event) {
	t.Helper()
	members := map[string]any{}
	for _, e := range events {
		switch {
		case e.Type == "m.room.name" && e.Content["name"] != "Before":
			t.Errorf("%s: name %v", what, e.Content["name"])
		case e.Type == "m.room.member":
			members[*e.StateKey] = e.Content["displayname"]
		}
	}
	if diff := cmp.Diff(map[string]any{"@alice:localhost": nil, "@bob:localhost": nil}, members); diff != "" {
		t.Errorf("%s: members (-want +got):\n%s", what, diff)
	}
}
