package rooms

import (
	"testing"

	"homeserver/internal/event"
	"homeserver/internal/matrixtest"
	"homeserver/internal/rooms/timeline"
)

// A room in memory follows all that a commit elsewhere has changed, with or without an event.
func TestRoomFollowsTheLine(t *testing.T) {
	t.Parallel()
	version, _ := event.LookupVersion("10")
	made := func(id, evType string, stateKey *string) *timeline.Event {
		return &timeline.Event{Event: &event.Event{
			ID: id, Type: evType, StateKey: stateKey, Depth: 8, Version: version, Content: []byte(`{}`), JSON: []byte(`{}`),
		}}
	}
	empty := ""
	topic, name := event.StateKey{Type: event.TypeTopic}, event.StateKey{Type: event.TypeName}
	before, message, newTopic := made("$old", event.TypeTopic, &empty), made("$new", "m.room.message", nil), made("$new", event.TypeTopic, &empty)
	for what, test := range map[string]struct {
		change    timeline.RoomChange
		head      string
		topic     *timeline.Event
		nameKnown bool
	}{
		"a message":                   {timeline.ChangeBy(message), "$new", before, false},
		"state":                       {timeline.ChangeBy(newTopic), "$new", newTopic, false},
		"state that does not hold":    {timeline.RoomChange{Event: newTopic, Intervals: []timeline.Interval{}}, "$new", before, false},
		"several entries":             {timeline.RoomChange{Event: message, Intervals: []timeline.Interval{{StateKey: topic, Event: newTopic}, {StateKey: name}}}, "$new", newTopic, true},
		"no event, nothing holds now": {timeline.RoomChange{Intervals: []timeline.Interval{{StateKey: topic}}}, "$head", nil, false},
	} {
		r := &live{heads: heads{IDs: []string{"$head"}, Depth: 7, Turn: 7}, state: newLiveState(false)}
		r.state.set(topic, before, nil)
		r.follow(test.change)
		matrixtest.Equal(t, what+": heads", r.heads.IDs, []string{test.head})
		if e, known := r.state.get(topic); !known || e != test.topic {
			t.Errorf("%s: the topic is %v", what, e)
		}
		if e, known := r.state.get(name); known != test.nameKnown || e != nil {
			t.Errorf("%s: the name is %v, known: %v", what, e, known)
		}
		if r.broken || !r.stale(0) {
			t.Errorf("%s: broken is %v, stale %v", what, r.broken, r.stale(0))
		}
	}
}
