package syncstream

import (
	"context"
	"slices"

	"homeserver/internal/event"
	"homeserver/internal/journal"
	"homeserver/internal/rooms/timeline"
)

// A timeline leaves out events that the reader may not read, and goes on before them.
// State that has changed there is shown as the state before the timeline. But if the
// timeline shows the same entry of the state as it was before, a client would believe
// that this is the current one. Such a timeline begins after the outdated event.

// mayBeOutdated is a room whose timeline may show state that has changed since, in an event
// that the reader may not read.
type mayBeOutdated struct {
	room   *room
	newest timeline.List // of the timeline, newest first
	after  timeline.Place
}

func newMayBeOutdated(r *room, newest timeline.List, limit int) mayBeOutdated {
	oldest := newest.Events[min(limit, len(newest.Events))-1]
	return mayBeOutdated{r, newest, oldest.Place - 1}
}

// mayShowOutdated reports whether a timeline of these events, newest first, shows state
// before a stretch that the reader may not read. Clients that ask for the state after
// the timeline do not read state from it.
func (p *plan) mayShowOutdated(r *room, newest []*timeline.Event) bool {
	if len(newest) == 0 || p.stateAfter || r.access.SeesAll(newest[len(newest)-1].Place-1, r.stateUpTo) {
		return false
	}
	return slices.ContainsFunc(newest, func(e *timeline.Event) bool { return e.StateKey != nil })
}

// cutOutdated sets the timelines of rooms so that they begin after outdated state.
func (s *Service) cutOutdated(ctx context.Context, list []mayBeOutdated, limit int) error {
	var deltas []timeline.Delta
	for _, o := range list {
		if !o.room.inWindow {
			deltas = append(deltas, timeline.Delta{Room: o.room.nid, Since: o.after, Start: o.after + 1, UpTo: o.room.stateUpTo})
		}
	}
	var stored map[journal.RoomNID]timeline.LineChange
	if len(deltas) > 0 {
		var err error
		if stored, err = s.Rooms.StateChanges(ctx, deltas); err != nil {
			return err
		}
	}
	for _, o := range list {
		changes := stored[o.room.nid]
		if o.room.inWindow {
			changes.Intervals = o.room.liveState(o.after)
		}
		o.cut(changes, limit)
	}
	return nil
}

// cut sets the timeline, given how the state changed in it, oldest first. Where not all
// of that could be read, all state counts as outdated.
func (o *mayBeOutdated) cut(changes timeline.LineChange, limit int) {
	last := map[event.StateKey]timeline.Place{}
	for _, at := range changes.Intervals {
		last[at.StateKey] = at.From
	}
	begin := o.room.since
	for _, e := range o.newest.Events[:min(limit, len(o.newest.Events))] {
		if e.StateKey == nil || e.Place > o.room.stateUpTo {
			continue
		}
		now := last[event.StateKey{Type: e.Type, Key: *e.StateKey}]
		if changes.Cut || now > e.Place && !o.room.access.Sees(now) {
			begin = max(begin, e.Place)
			break // all others are older
		}
	}
	o.room.setTimeline(o.newest, limit, begin)
}
