package syncstream

import (
	"context"
	"slices"

	"homeserver/internal/event"
	"homeserver/internal/journal"
	"homeserver/internal/rooms/timeline"
)

// A timeline leaves out what the reader may not read, and goes on before it. State that
// has changed there is told as the state before the timeline. But where the timeline
// shows the same entry of the state as it was before, a client would take that for what
// it is now. Such a timeline begins after what is overtaken.

// overtaken is a room whose timeline may show state that is overtaken by what the reader
// may not read.
type overtaken struct {
	room   *Room
	newest timeline.List // of the timeline, newest first
	after  journal.Position
}

func newOvertaken(r *Room, newest timeline.List, limit int) overtaken {
	oldest := newest.Events[min(limit, len(newest.Events))-1]
	return overtaken{r, newest, oldest.Position - 1}
}

// mayBeOvertaken reports whether a timeline of these events, newest first, shows state
// before a stretch that the reader may not read. Clients that ask for the state after
// the timeline do not read state from it.
func (p *plan) mayBeOvertaken(r *Room, newest []*timeline.Event) bool {
	if len(newest) == 0 || p.UseStateAfter || r.Access.SeesAll(newest[len(newest)-1].Position-1, r.stateUpTo) {
		return false
	}
	return slices.ContainsFunc(newest, func(e *timeline.Event) bool { return e.StateKey != nil })
}

// fillOvertaken sets the timelines of rooms so that they begin after what is overtaken.
func (s *Service) fillOvertaken(ctx context.Context, list []overtaken, limit int) error {
	var deltas []timeline.Delta
	for _, o := range list {
		if !o.room.inWindow {
			deltas = append(deltas, timeline.Delta{Room: o.room.nid, Since: o.after, Start: o.after + 1, UpTo: o.room.stateUpTo})
		}
	}
	stored := map[journal.RoomNID]timeline.List{}
	if len(deltas) > 0 {
		events, err := s.Rooms.StateChanges(ctx, deltas)
		if err != nil {
			return err
		}
		stored = events.ByRoom()
	}
	for _, o := range list {
		changes := stored[o.room.nid]
		if o.room.inWindow {
			changes.Events = o.room.liveState(o.after)
		}
		o.cut(changes, limit)
	}
	return nil
}

// cut sets the timeline, given how the state changed in it, oldest first. Where not all
// of that could be read, all state counts as overtaken.
func (o *overtaken) cut(changes timeline.List, limit int) {
	last := map[event.StateKey]*timeline.Event{}
	for _, e := range changes.Events {
		last[stateKey(e)] = e
	}
	for _, e := range o.newest.Events[:min(limit, len(o.newest.Events))] {
		if e.StateKey == nil || e.Position > o.room.stateUpTo {
			continue
		}
		now := last[stateKey(e)]
		if len(changes.Left) > 0 || now != nil && now.Position > e.Position && !o.room.Access.Sees(now.Position) {
			o.room.from = max(o.room.from, e.Position)
			break // all others are older
		}
	}
	o.room.setTimeline(o.newest, limit)
}
