package syncstream

import (
	"testing"

	"homeserver/internal/event"
	"homeserver/internal/rooms/timeline"
)

const lineUser = "@user0:localhost"

// lineEvent is an event at a place, with its place as its ID.
func lineEvent(id string, place timeline.Place, key *event.StateKey) *timeline.Event {
	e := &timeline.Event{Event: &event.Event{ID: id, Type: "m.room.message", Content: []byte(`{"membership":"join"}`)}, Place: place, Room: 1000}
	if key != nil {
		e.Type, e.StateKey = key.Type, &key.Key
	}
	return e
}

func TestViewersFollowTheLine(t *testing.T) {
	vs, _, _ := viewersEnv(t)
	member, visibility := event.StateKey{Type: event.TypeMember, Key: lineUser}, event.StateKey{Type: event.TypeHistoryVisibility}
	joins := lineEvent("joins", 10, &member)
	interval := func(from timeline.Place, key event.StateKey, e *timeline.Event) timeline.Interval {
		return timeline.Interval{StateKey: key, From: from, Event: e}
	}
	for what, test := range map[string]struct {
		line  []timeline.Interval // none: an event that does not hold
		stays bool
	}{
		"an event that does not hold":       {nil, true},
		"a new profile":                     {[]timeline.Interval{interval(20, member, lineEvent("again", 20, &member))}, true},
		"an older membership again":         {[]timeline.Interval{interval(20, member, joins)}, true},
		"known already":                     {[]timeline.Interval{interval(5, member, joins)}, false},
		"no membership":                     {[]timeline.Interval{interval(20, member, nil)}, false},
		"something and the visibility":      {[]timeline.Interval{interval(20, event.StateKey{Type: event.TypeName}, nil), interval(20, visibility, nil)}, false},
		"the visibility of something else":  {[]timeline.Interval{interval(20, event.StateKey{Type: visibility.Type, Key: "x"}, nil)}, true},
		"a membership that is not the only": {[]timeline.Interval{interval(20, event.StateKey{Type: event.TypeName}, nil), interval(20, member, nil)}, false},
	} {
		v, _ := vs.take(lineUser)
		vs.mu.Lock()
		st := &timeline.Standing{Room: 1000, AccessChanges: timeline.AccessChanges{Memberships: timeline.Changes{{From: 10, Value: event.Join}}}}
		v.rooms = []*standing{{Standing: st}}
		vs.follow(v, v.rooms[0])
		vs.observe(timeline.RoomChange{Room: 1000, Place: 20, Event: lineEvent("new", 20, &member), Intervals: append([]timeline.Interval{}, test.line...)})
		if stays := !v.gone.Load(); stays != test.stays {
			t.Errorf("%s: the viewer stays: %v", what, stays)
		}
		vs.drop(v)
		vs.mu.Unlock()
	}
}
