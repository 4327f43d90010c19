package timeline

import (
	"slices"

	"homeserver/internal/event"
	"homeserver/internal/journal"
)

// RoomChange is the effect of a commit on a room: its event, if there is one, and the change
// of the line, which is the room's state over all places. All code that follows rooms reads
// the line from the entries of the journal: the type of an event does not say which state
// holds now.
type RoomChange struct {
	Room   journal.RoomNID
	RoomID string
	// Place is that of the event, at which the intervals begin.
	Place Place
	// Event is nil where the room has changed without one.
	Event *Event
	// Intervals are those that begin; nil: only the event's own, if it is a state event.
	Intervals []Interval
}

// Interval is an entry of the line.
type Interval struct {
	event.StateKey
	// From is the place at which it begins.
	From Place
	// Event holds from there on; nil: none does. It may be older, or in no timeline.
	Event *Event
}

// ChangeBy returns the change by an event without a conflict: if it is a state event, it
// holds.
func ChangeBy(e *Event) RoomChange {
	return RoomChange{Room: e.Room, RoomID: e.RoomID, Place: e.Place, Event: e}
}

// ChangeOf returns the change in a journal entry, and the zero value, which changes nothing,
// for an entry of another kind.
func ChangeOf(entry *journal.Entry) RoomChange {
	switch value := entry.Value.(type) {
	case *Event:
		return ChangeBy(value)
	case *RoomChange:
		return *value
	}
	return RoomChange{}
}

// EventOf returns the room event in a journal entry, or nil.
func EventOf(entry *journal.Entry) *Event { return ChangeOf(entry).Event }

// Line yields the intervals that begin. It is for range loops, and allocates nothing.
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

// asRead returns the change with the line that was read from the database.
func (c RoomChange) asRead(line []Interval) RoomChange {
	if !slices.Equal(line, slices.Collect(c.Line)) {
		c.Intervals = append([]Interval{}, line...)
	}
	return c
}

// IsByEvent reports whether the event that holds made the change: the interval begins at its
// place.
func (i Interval) IsByEvent() bool { return i.Event != nil && i.Event.Place == i.From }

// Membership returns the membership that the user has from there on, and "" for none.
func (i Interval) Membership() string {
	if i.Event == nil {
		return ""
	}
	return i.Event.Membership()
}
