package timeline

import (
	"slices"

	"homeserver/internal/event"
	"homeserver/internal/journal"
)

// RoomChange is what a commit makes of a room: an event, if there is one, and the change of
// the line, which is the room's state over all places. Whatever follows rooms reads that
// from the entries of the journal: the type of an event does not say what holds now.
type RoomChange struct {
	Room   journal.RoomNID
	RoomID string
	// Place is where the intervals begin, and where the event stands.
	Place Place
	// Event is nil where the room has changed without one.
	Event *Event
	// Intervals are those that begin; nil: the event's own alone, if it is a state event.
	Intervals []Interval
}

// Interval is an entry of the line.
type Interval struct {
	event.StateKey
	// From is the place at which it begins.
	From Place
	// Event holds from there on; nil: nothing does. It may be older than that, or stand in
	// no timeline.
	Event *Event
}

// ChangeBy returns the change by an event on which nobody disagrees: if it is a state
// event, it holds.
func ChangeBy(e *Event) RoomChange {
	return RoomChange{Room: e.Room, RoomID: e.RoomID, Place: e.Place, Event: e}
}

// ChangeOf returns the change that a journal entry holds; the zero value, which changes
// nothing, if it is about something else.
func ChangeOf(entry *journal.Entry) RoomChange {
	switch value := entry.Value.(type) {
	case *Event:
		return ChangeBy(value)
	case *RoomChange:
		return *value
	}
	return RoomChange{}
}

// EventOf returns the room event that a journal entry holds, or nil.
func EventOf(entry *journal.Entry) *Event { return ChangeOf(entry).Event }

// Line yields the intervals that begin. It is for range, and allocates nothing.
func (c RoomChange) Line(yield func(Interval) bool) {
	if e := c.Event; c.Intervals == nil && e != nil && e.StateKey != nil {
		yield(Interval{event.StateKey{Type: e.Type, Key: *e.StateKey}, c.Place, e})
		return
	}
	for _, i := range c.Intervals {
		if !yield(i) {
			return
		}
	}
}

// asRead returns the change with its line as it is read from the database.
func (c RoomChange) asRead(line []Interval) RoomChange {
	if !slices.Equal(line, slices.Collect(c.Line)) {
		c.Intervals = append([]Interval{}, line...)
	}
	return c
}

// IsByEvent reports whether the event that holds is the one that made the change: it stands
// where the interval begins.
func (i Interval) IsByEvent() bool { return i.Event != nil && i.Event.Place == i.From }

// Membership is the membership that a user has from there on; "" for none.
func (i Interval) Membership() string {
	if i.Event == nil {
		return ""
	}
	return i.Event.Membership()
}
