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

// fill reads what the plan asks for: from the live window what it holds, and
// all the rest of one kind in one statement.
func (s *Service) fill(ctx context.Context, p *plan) error {
	if p.covered && len(p.rooms)+len(p.own) == 0 && p.tick > 0 && p.tickUpTo <= p.tick {
		return nil
	}
	for _, step := range []func(context.Context, *plan) error{
		s.fillTimelines, s.fillFullState, s.fillStateChanges, s.fillSummaries, s.fillMembers, s.fillStripped,
		s.fillAccountData, s.fillReceipts, s.fillEphemeral, s.fillUnread,
	} {
		if err := step(ctx, p); err != nil {
			return err
		}
	}
	return nil
}

// which gives the rooms of the plan that a condition holds for.
func (p *plan) which(holds func(r *Room) bool) []*Room {
	var list []*Room
	for _, r := range p.rooms {
		if holds(r) {
			list = append(list, r)
		}
	}
	return list
}

// hasTimeline reports whether the room's section shows events at all.
func (r *Room) hasTimeline() bool { return r.Section == Joined || r.Section == Left }

func (s *Service) fillTimelines(ctx context.Context, p *plan) error {
	filter := p.timeline
	limit := filter.LimitOr(timeline.DefaultLimit)
	var windows []timeline.Window
	var stored []*Room
	var overtaken []overtaken
	take := func(r *Room, newest timeline.List) {
		if p.mayBeOvertaken(r, newest.Events[:min(limit, len(newest.Events))]) {
			overtaken = append(overtaken, newOvertaken(r, newest, limit))
		} else {
			r.setTimeline(newest, limit)
		}
	}
	for _, r := range p.which((*Room).hasTimeline) {
		switch {
		case !filter.WantsRoom(r.RoomID):
			r.PrevBatch = r.upTo
		case r.inWindow:
			take(r, timeline.List{Events: r.newest(filter, limit+1)})
		default:
			stored = append(stored, r)
			for _, within := range r.Access.Ranges(r.since, r.upTo) {
				windows = append(windows, timeline.Window{Room: r.nid, Range: within})
			}
		}
	}
	if len(stored) > 0 {
		events, err := s.Rooms.Timelines(ctx, windows, limit, filter)
		if err != nil {
			return err
		}
		found := events.ByRoom()
		for _, r := range stored {
			none := len(found[r.nid].Events)+len(found[r.nid].Left) == 0
			r.still = filter == nil && none && r.Access.SeesAll(r.since, r.upTo)
			take(r, found[r.nid])
		}
	}
	return s.fillOvertaken(ctx, overtaken, limit)
}

// newest gives the newest events of the window that may be shown, newest first.
func (r *Room) newest(filter *timeline.EventFilter, most int) []*timeline.Event {
	events := make([]*timeline.Event, 0, min(most, len(r.live)))
	for i := len(r.live) - 1; i >= 0 && len(events) < most; i-- {
		e := timeline.EventOf(r.live[i])
		if e != nil && e.Position <= r.upTo && filter.Match(e) && r.Access.Sees(e.Position) {
			events = append(events, e)
		}
	}
	return events
}

// setTimeline takes the newest events, newest first; one more than the limit, or that
// some were left, tells that there are older ones. A room that one has just come into
// counts as having some: clients know from other servers that they have to ask for its
// history. Whoever sees nothing of the room but how the own
// membership changed is not told so: history is not for them.
func (r *Room) setTimeline(list timeline.List, limit int) {
	newest, shown := list.Events, 0
	for shown < min(limit, len(newest)) && newest[shown].Position > r.from {
		shown++
	}
	r.Limited = r.gained || (shown < len(newest) || len(list.Left) > 0) && r.Access.SeesAny()
	newest = newest[:shown]
	slices.Reverse(newest)
	r.Timeline = newest
	r.PrevBatch = r.upTo
	if len(newest) > 0 {
		r.PrevBatch = newest[0].Position - 1
	}
}

// stateAt is the position of the state that goes with the timeline.
func (p *plan) stateAt(r *Room) journal.Position {
	if p.UseStateAfter {
		return r.stateUpTo
	}
	return min(r.PrevBatch, r.stateUpTo)
}

// showsState reports whether state of the room is asked for, and may be told.
func (p *plan) showsState(r *Room) bool {
	return r.hasTimeline() && !r.secret && p.filter.Room.State.WantsRoom(r.RoomID)
}

func (s *Service) fillFullState(ctx context.Context, p *plan) error {
	return s.readFullState(ctx, p, p.which(func(r *Room) bool { return r.full && p.showsState(r) }))
}

// readFullState gives the state that the timelines of rooms begin with; and what has
// changed since and does not stand in the timeline, kept out by the filter or because the
// reader may not read it.
func (s *Service) readFullState(ctx context.Context, p *plan, full []*Room) error {
	if len(full) == 0 {
		return nil
	}
	at := make([]timeline.RoomAt, len(full))
	around := make([]timeline.Around, len(full))
	shown := []journal.Position{} // nil would be NULL
	changes := false
	for i, r := range full {
		start := p.stateAt(r)
		at[i] = timeline.RoomAt{Room: r.nid, At: start}
		around[i] = timeline.Around{Room: r.nid, Start: start, Until: start}
		keptOut := p.filter.Room.Timeline != nil || !r.Access.SeesAll(start, r.stateUpTo)
		if !keptOut || start >= r.stateUpTo {
			continue
		}
		changes, around[i].Until = true, r.stateUpTo
		for _, e := range r.Timeline {
			if e.StateKey != nil {
				shown = append(shown, e.Position)
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
		r.State = found[r.nid]
	}
	return err
}

// fillStateChanges gives the state that changed since the last answer and does
// not stand in the timeline: in a gap, kept out by the filter, or in a stretch that
// the reader may not read. Where that is too much to be held at once, it gives the whole
// state.
func (s *Service) fillStateChanges(ctx context.Context, p *plan) error {
	var changed, full []*Room
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
		if r.newMembers = true; p.showsState(r) {
			r.full = true
			full = append(full, r)
		}
	}
	if err := s.readFullState(ctx, p, full); err != nil {
		return err
	}
	return s.fillNewMembers(ctx, changed, found)
}

// hasStateChanges reports whether there may be state to tell of beside the timeline,
// where the whole state is not told.
func (p *plan) hasStateChanges(r *Room) bool {
	return !r.full && r.hasTimeline() && !r.secret && !r.still
}

// liveState gives the state events of the room's entries in the window.
func (r *Room) liveState(since journal.Position) []*timeline.Event {
	var events []*timeline.Event
	for _, entry := range r.live {
		e := timeline.EventOf(entry)
		if e != nil && e.StateKey != nil && e.Position > since && e.Position <= r.stateUpTo {
			events = append(events, e)
		}
	}
	return events
}

// setStateChanges takes the state events since the last answer, oldest first. Of
// each state entry it gives what it is in the end, unless the timeline shows that:
// then what it was when the timeline begins.
func (p *plan) setStateChanges(r *Room, changes []*timeline.Event) {
	if len(changes) == 0 {
		return
	}
	atStart, atEnd := map[event.StateKey]*timeline.Event{}, map[event.StateKey]*timeline.Event{}
	for _, e := range changes {
		atEnd[stateKey(e)] = e
		if e.Position <= p.stateAt(r) {
			atStart[stateKey(e)] = e
		}
	}
	if !p.showsState(r) {
		return
	}
	var told []*timeline.Event
	for _, e := range changes {
		wanted := atEnd[stateKey(e)]
		if !p.UseStateAfter && r.shows(wanted) {
			wanted = atStart[stateKey(e)]
		}
		if e == wanted && p.filter.Room.State.Match(e) {
			told = append(told, e)
		}
	}
	r.State.Events = told
}

func stateKey(e *timeline.Event) event.StateKey {
	return event.StateKey{Type: e.Type, Key: *e.StateKey}
}

// shows reports whether the timeline holds an event, be it another copy.
func (r *Room) shows(e *timeline.Event) bool {
	_, ok := slices.BinarySearchFunc(r.Timeline, e.Position, func(t *timeline.Event, p journal.Position) int {
		return cmp.Compare(t.Position, p)
	})
	return ok
}

func (s *Service) fillStripped(ctx context.Context, p *plan) error {
	invited := p.which(func(r *Room) bool { return !r.hasTimeline() })
	if len(invited) == 0 {
		return nil
	}
	at := make([]timeline.RoomAt, len(invited))
	for i, r := range invited {
		at[i] = timeline.RoomAt{Room: r.nid, At: r.upTo}
	}
	list, err := s.Rooms.Stripped(ctx, at, p.UserID)
	if err != nil {
		return err
	}
	found := list.ByRoom()
	for _, r := range invited {
		r.State = found[r.nid]
	}
	if len(list.Left) > 0 {
		inviters, err := s.Rooms.Inviters(ctx, list.Left, p.UserID)
		if err != nil {
			return err
		}
		for _, r := range invited {
			r.inviter = inviters[r.nid]
		}
	}
	p.rooms = slices.DeleteFunc(p.rooms, p.isIgnoredInvite)
	return nil
}

// isIgnoredInvite reports whether a room is one that somebody invites to whom the
// user ignores: client-server API, "Ignoring Users".
func (p *plan) isIgnoredInvite(r *Room) bool {
	if r.Section != Invited {
		return false
	}
	return p.viewer.ignores(r.inviter) || slices.ContainsFunc(r.State.Events, func(e *timeline.Event) bool {
		return e.IsState(event.TypeMember, p.UserID) && p.viewer.ignores(e.Sender)
	})
}
