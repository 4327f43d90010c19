package syncstream

import (
	"cmp"
	"context"
	"maps"
	"slices"

	"homeserver/internal/event"
	"homeserver/internal/journal"
	"homeserver/internal/rooms/timeline"
)

// fillState reads the state that belongs to the timelines: all of it, or its changes.
func (s *Service) fillState(ctx context.Context, p *plan) error {
	if err := s.readFullState(ctx, p, p.which(func(r *room) bool { return r.fullState && p.showsState(r) })); err != nil {
		return err
	}
	return s.fillStateChanges(ctx, p)
}

// stateAt is the place of the state that belongs to the timeline.
func (p *plan) stateAt(r *room) timeline.Place {
	if p.stateAfter {
		return r.stateUpTo
	}
	return min(r.prevBatch, r.stateUpTo)
}

// showsState reports whether state of the room is asked for, and may be shown.
func (p *plan) showsState(r *room) bool {
	return r.hasTimeline() && !r.stateHidden && p.filter.Room.State.WantsRoom(r.id)
}

// readFullState reads the state at the beginning of the timelines of rooms; and later
// changes that are not in the timeline, excluded by the filter or because the reader
// may not read them.
func (s *Service) readFullState(ctx context.Context, p *plan, full []*room) error {
	if len(full) == 0 {
		return nil
	}
	at := make([]timeline.RoomAt, len(full))
	around := make([]timeline.Around, len(full))
	shown := []timeline.EventNID{} // nil would be NULL
	changes := false
	for i, r := range full {
		start := p.stateAt(r)
		at[i] = timeline.RoomAt{Room: r.nid, At: start}
		around[i] = timeline.Around{Room: r.nid, Start: start, Until: start}
		keptOut := p.filter.Room.Timeline != nil || !r.access.SeesAll(start, r.stateUpTo)
		if !keptOut || start >= r.stateUpTo {
			continue
		}
		changes, around[i].Until = true, r.stateUpTo
		for _, e := range r.timeline {
			if e.StateKey != nil {
				shown = append(shown, e.NID)
			}
		}
	}
	var list timeline.List
	var err error
	if changes {
		list, err = s.Rooms.StatesAround(ctx, around, shown, p.filter.Room.State, !p.filter.lazy())
	} else {
		list, err = s.Rooms.States(ctx, at, p.filter.Room.State, !p.filter.lazy())
	}
	found := list.ByRoom()
	for _, r := range full {
		r.state = found[r.nid]
	}
	return err
}

// fillStateChanges reads the state that changed since the last answer and is not in the
// timeline: in a gap, excluded by the filter, or in a range that the reader may not
// read. Where that is too much to be held at once, it reads the whole state.
func (s *Service) fillStateChanges(ctx context.Context, p *plan) error {
	var changed, full []*room
	var deltas []timeline.Delta
	found := map[journal.RoomNID]timeline.List{}
	for _, r := range p.which(p.hasStateChanges) {
		changed = append(changed, r)
		if r.inWindow {
			found[r.nid] = timeline.List{Events: r.liveState(r.since)}
			continue
		}
		deltas = append(deltas, timeline.Delta{Room: r.nid, Since: r.since, Start: p.stateAt(r) + 1, UpTo: r.stateUpTo})
	}
	if len(deltas) > 0 {
		list, err := s.Rooms.StateChanges(ctx, deltas)
		if err != nil {
			return err
		}
		maps.Copy(found, list.ByRoom())
	}
	for _, r := range changed {
		if len(found[r.nid].Left) == 0 {
			p.setStateChanges(r, found[r.nid].Events)
			continue
		}
		if r.membersChanged = true; p.showsState(r) {
			r.fullState = true
			full = append(full, r)
		}
	}
	if err := s.readFullState(ctx, p, full); err != nil {
		return err
	}
	return s.fillMembersChanged(ctx, changed, found)
}

// hasStateChanges reports whether there may be state to show beside the timeline,
// where the whole state is not shown.
func (p *plan) hasStateChanges(r *room) bool {
	return !r.fullState && r.hasTimeline() && !r.stateHidden && !r.unchanged
}

// liveState returns the state events of the room's entries in the window.
func (r *room) liveState(since timeline.Place) []*timeline.Event {
	var events []*timeline.Event
	for _, entry := range r.live {
		e := timeline.EventOf(entry)
		if e != nil && e.StateKey != nil && e.Place > since && e.Place <= r.stateUpTo {
			events = append(events, e)
		}
	}
	return events
}

// setStateChanges sets the state from the state events since the last answer, oldest
// first. Of each entry it has the last event, unless the timeline shows that: then the
// last before the timeline.
func (p *plan) setStateChanges(r *room, changes []*timeline.Event) {
	if len(changes) == 0 {
		return
	}
	atStart, atEnd := map[event.StateKey]*timeline.Event{}, map[event.StateKey]*timeline.Event{}
	for _, e := range changes {
		atEnd[stateKey(e)] = e
		if e.Place <= p.stateAt(r) {
			atStart[stateKey(e)] = e
		}
	}
	if !p.showsState(r) {
		return
	}
	var shown []*timeline.Event
	for _, e := range changes {
		wanted := atEnd[stateKey(e)]
		if !p.stateAfter && r.shows(wanted) {
			wanted = atStart[stateKey(e)]
		}
		if e == wanted && p.filter.Room.State.Match(e) {
			shown = append(shown, e)
		}
	}
	r.state.Events = shown
}

func stateKey(e *timeline.Event) event.StateKey {
	return event.StateKey{Type: e.Type, Key: *e.StateKey}
}

// shows reports whether the timeline has an event, be it another copy.
func (r *room) shows(e *timeline.Event) bool {
	_, ok := slices.BinarySearchFunc(r.timeline, e.Place, func(t *timeline.Event, p timeline.Place) int {
		return cmp.Compare(t.Place, p)
	})
	return ok
}
