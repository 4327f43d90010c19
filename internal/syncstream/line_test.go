package syncstream

import (
	"testing"

	"homeserver/internal/event"
	"homeserver/internal/journal"
	"homeserver/internal/matrixtest"
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

func TestStateChangesByTheLine(t *testing.T) {
	t.Parallel()
	topic, name := event.StateKey{Type: event.TypeTopic}, event.StateKey{Type: event.TypeName}
	one, two, named := lineEvent("one", 10, &topic), lineEvent("two", 20, &topic), lineEvent("named", 20, &name)
	at := func(from timeline.Place, key event.StateKey, e *timeline.Event) timeline.Interval {
		return timeline.Interval{StateKey: key, From: from, Event: e}
	}
	resolved := func(place timeline.Place, e *timeline.Event, line ...timeline.Interval) *timeline.RoomChange {
		return &timeline.RoomChange{Room: 1000, Place: place, Event: e, Intervals: line}
	}
	message := lineEvent("message", 30, nil)
	for what, test := range map[string]struct {
		entries  []any
		timeline []*timeline.Event
		want     []string
	}{
		"the last one":                                 {[]any{one, two}, nil, []string{"two"}},
		"in the timeline: as it begins":                {[]any{one, two}, []*timeline.Event{two}, []string{"one"}},
		"of several entries":                           {[]any{one, resolved(20, two, at(20, topic, two), at(20, name, named))}, nil, []string{"two", "named"}},
		"an event that does not hold":                  {[]any{one, resolved(20, two)}, []*timeline.Event{two}, []string{"one"}},
		"an older one again, by a message":             {[]any{one, two, resolved(30, message, at(30, topic, one))}, []*timeline.Event{message}, []string{"one"}},
		"an older one again, without an event":         {[]any{one, two, named, resolved(30, nil, at(30, topic, one))}, nil, []string{"named", "one"}},
		"nothing holds":                                {[]any{one, resolved(15, nil, at(15, topic, nil))}, nil, nil},
		"nothing holds that stood before the timeline": {[]any{one, resolved(25, nil, at(25, topic, nil))}, []*timeline.Event{two}, []string{"one"}},
		"before and after":                             {[]any{lineEvent("early", 5, &topic), lineEvent("late", 41, &topic)}, nil, nil},
	} {
		r := &room{stateUpTo: 40, prevBatch: 40, timeline: test.timeline}
		if len(test.timeline) > 0 {
			r.prevBatch = test.timeline[0].Place - 1
		}
		for _, value := range test.entries {
			r.live = append(r.live, &journal.Entry{Value: value})
		}
		p := &plan{filter: &Filter{}}
		p.setStateChanges(r, r.liveState(5))
		var got []string
		for _, e := range r.state.Events {
			got = append(got, e.ID)
		}
		matrixtest.Equal(t, what, got, test.want)
	}
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
