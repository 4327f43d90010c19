package rooms

import (
	"homeserver/internal/event"
	"homeserver/internal/matrix"
	"homeserver/internal/rooms/timeline"
)

// maxStateBytes bounds the current state of a room, which is sent to everybody who
// joins.
const maxStateBytes = 64 << 20

// resize adds the change of size by a state event to the size of its room's state.
// M_TOO_LARGE where that would exceed maxStateBytes.
func (b *builder) resize(e *event.Event, old *timeline.Event) error {
	more := timeline.StateSize(e)
	if old != nil {
		shown, _ := old.Seen()
		more -= timeline.StateSize(shown)
	}
	if more > 0 && b.o.r.stateBytes+b.stateBytes+more > maxStateBytes {
		return matrix.Errorf(matrix.TooLarge, "the state of this room has %d MiB, as much as it may have", maxStateBytes>>20)
	}
	b.stateBytes += more
	return nil
}

// followSize counts state that another process has set, as far as it is known here: the
// next loading of the room puts the size right.
func (r *live) followSize(e *timeline.Event) {
	if e == nil {
		return
	}
	r.stateBytes += timeline.StateSize(e.Event)
	if e.Replaces != nil && !timeline.IsSmallMember(e) {
		r.stateBytes -= int64(len(e.Replaces.Content())) + timeline.EntryBytes
	}
}
