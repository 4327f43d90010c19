package syncstream

import (
	"context"
	"slices"

	"homeserver/internal/journal"
	"homeserver/internal/rooms/timeline"
)

// fillTimelines reads the newest events of rooms.
func (s *Service) fillTimelines(ctx context.Context, p *plan) error {
	filter := p.timelineFilter
	limit := filter.LimitOr(timeline.DefaultLimit)
	var windows []timeline.Window
	var stored []*room
	var outdated []mayBeOutdated
	take := func(r *room, newest timeline.List) {
		if p.mayShowOutdated(r, newest.Events[:min(limit, len(newest.Events))]) {
			outdated = append(outdated, newMayBeOutdated(r, newest, limit))
		} else {
			r.setTimeline(newest, limit, r.since)
		}
	}
	for _, r := range p.which((*room).hasTimeline) {
		switch {
		case !filter.WantsRoom(r.id):
			r.prevBatch = r.upTo
		case r.inWindow:
			take(r, timeline.List{Events: r.newest(filter, limit+1)})
		default:
			stored = append(stored, r)
			for _, within := range r.access.Ranges(r.since, r.upTo) {
				windows = append(windows, timeline.Window{Room: r.nid, Range: within})
			}
		}
	}
	if len(stored) > 0 {
		if err := s.recall(ctx, p, stored, func(r *room) bool { return r.fullState }); err != nil {
			return err
		}
		found, err := s.roomsFor(p).Timelines(ctx, windows, limit, filter)
		if err != nil {
			return err
		}
		for _, r := range stored {
			none := len(found[r.nid].Events)+len(found[r.nid].Left) == 0
			r.unchanged = filter == nil && none && r.access.SeesAll(r.since, r.upTo)
			take(r, found[r.nid])
		}
	}
	return s.cutOutdated(ctx, outdated, limit)
}

// recall has those of some rooms read into memory for which a condition is true.
func (s *Service) recall(ctx context.Context, p *plan, rs []*room, holds func(r *room) bool) error {
	var nids []journal.RoomNID
	for _, r := range rs {
		if holds(r) {
			nids = append(nids, r.nid)
		}
	}
	return s.roomsFor(p).Recall(ctx, nids)
}

// roomsFor returns the rooms with the form of events that the answer shows.
func (s *Service) roomsFor(p *plan) *timeline.Store {
	if p.filter.EventFormat == "federation" {
		return s.Rooms.Stored()
	}
	return s.Rooms
}

// newest returns the newest events of the window that may be shown, newest first.
func (r *room) newest(filter *timeline.EventFilter, most int) []*timeline.Event {
	events := make([]*timeline.Event, 0, min(most, len(r.live)))
	for i := len(r.live) - 1; i >= 0 && len(events) < most; i-- {
		e := timeline.EventOf(r.live[i])
		if e != nil && e.Place <= r.upTo && filter.Match(e) && r.access.Sees(e.Place) {
			events = append(events, e)
		}
	}
	return events
}

// setTimeline sets the timeline from the newest events, newest first; if there is one
// more than the limit, or some were left, there are older ones. The timeline begins
// after a place, and all before it is a gap. A room that the user has just joined
// counts as having older events: clients know from other servers that they have to ask
// for its history. The timeline of a user who sees only changes of their own membership
// is not limited: that user may read no history.
func (r *room) setTimeline(list timeline.List, limit int, after timeline.Place) {
	newest, shown := list.Events, 0
	for shown < min(limit, len(newest)) && newest[shown].Place > after {
		shown++
	}
	r.limited = r.hasCome || (shown < len(newest) || len(list.Left) > 0) && r.access.SeesAny()
	newest = newest[:shown]
	slices.Reverse(newest)
	r.timeline = newest
	r.prevBatch = r.upTo
	if len(newest) > 0 {
		r.prevBatch = newest[0].Place - 1
	}
}
