package timeline

import (
	"slices"

	"homeserver/internal/event"
)

// Change is a value that holds from a place on, until the next change.
type Change struct {
	From  Place
	Value string
	// Resolved: it came of resolving the state, or without any event. The event that stands
	// at From, if there is one, did not make the change.
	Resolved bool
}

// Changes is how one value has changed, in the order of places: the membership of a
// user in a room, or the history visibility of a room.
type Changes []Change

// Last returns the latest change; the zero value if there is none.
func (c Changes) Last() Change {
	if len(c) == 0 {
		return Change{}
	}
	return c[len(c)-1]
}

// UpTo returns the changes without those after a place.
func (c Changes) UpTo(p Place) Changes {
	n := len(c)
	for n > 0 && c[n-1].From > p {
		n--
	}
	return c[:n]
}

// At returns the value at a place, with the change that is made there; initial before
// there was any.
func (c Changes) At(p Place, initial string) string {
	value := initial
	for _, change := range c {
		if change.From > p {
			break
		}
		value = change.Value
	}
	return value
}

// isByEventAt reports whether the event at a place has changed the value.
func (c Changes) isByEventAt(p Place) bool {
	return slices.ContainsFunc(c, func(change Change) bool { return change.From == p && !change.Resolved })
}

// HeldSince returns the place since which the last value has held, over changes to the
// same, as a member's changes of the profile are. There must be a change.
func (c Changes) HeldSince() Place {
	i := len(c) - 1
	for i > 0 && c[i-1].Value == c[i].Value {
		i--
	}
	return c[i].From
}

// LeftAt returns the place at which the user whose membership this is last left the
// room; 0: was never in it.
func (c Changes) LeftAt() Place {
	for i := len(c) - 1; i > 0; i-- {
		if c[i-1].Value == event.Join && c[i].Value != event.Join {
			return c[i].From
		}
	}
	return 0
}
