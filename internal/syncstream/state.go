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
	var found timeline.Lists
	var err error
	switch {
	case changes:
		found, err = s.roomsFor(p).StatesAround(ctx, around, shown, p.filter.Room.State, !p.filter.lazy())
	case p.filter.lazy():
		for _, r := range full {
			r.stateIsLazy = true
		}
		return nil
	default:
		found, err = s.roomsFor(p).States(ctx, at, p.filter.Room.State, true)
	}
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
	found := map[journal.RoomNID]timeline.LineChange{}
	for _, r := range p.which(p.hasStateChanges) {
		changed = append(changed, r)
		if r.inWindow {
			found[r.nid] = timeline.LineChange{Intervals: r.liveState(r.since)}
			continue
		}
		deltas = append(deltas, timeline.Delta{Room: r.nid, Since: r.since, Start: p.stateAt(r) + 1, UpTo: r.stateUpTo})
	}
	if len(deltas) > 0 {
		stored, err := s.roomsFor(p).StateChanges(ctx, deltas)
		if err != nil {
			return err
		}
		maps.Copy(found, stored)
	}
	for _, r := range changed {
		if !found[r.nid].Cut {
			p.setStateChanges(r, found[r.nid].Intervals)
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

// liveState returns how the state has changed by the room's entries in the window.
func (r *room) liveState(since timeline.Place) []timeline.Interval {
	var changes []timeline.Interval
	for _, entry := range r.live {
		for at := range timeline.ChangeOf(entry).Line {
			if at.From > since && at.From <= r.stateUpTo {
				changes = append(changes, at)
			}
		}
	}
	return changes
}

// setStateChanges sets the state from its changes since the last answer, oldest first. Of
// each entry it has the event that holds in the end, unless the timeline shows that or
// nothing holds: then the one that holds where the timeline begins.
func (p *plan) setStateChanges(r *room, changes []timeline.Interval) {
	if len(changes) == 0 {
		return
	}
	atStart, atEnd := map[event.StateKey]*timeline.Interval{}, map[event.StateKey]*timeline.Interval{}
	for i := range changes {
		at := &changes[i]
		atEnd[at.StateKey] = at
		if at.From <= p.stateAt(r) {
			atStart[at.StateKey] = at
		}
	}
	if !p.showsState(r) {
		return
	}
	var shown []*timeline.Event
	for i := range changes {
		at := &changes[i]
		wanted := atEnd[at.StateKey]
		if wanted.Event == nil || !p.stateAfter && r.shows(wanted.Event) {
			wanted = atStart[at.StateKey]
		}
		if at == wanted && at.Event != nil && p.filter.Room.State.Match(at.Event) {
			shown = append(shown, at.Event)
		}
	}
	r.state.Events = shown
}

// shows reports whether the timeline has an event, be it another copy.
func (r *room) shows(e *timeline.Event) bool {
	_, ok := slices.BinarySearchFunc(r.timeline, e.Place, func(t *timeline.Event, p timeline.Place) int {
		return cmp.Compare(t.Place, p)
	})
	return ok
}
