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
	usual := filter.LimitOr(timeline.DefaultLimit)
	stored := map[int][]*room{} // by how many events are read
	var outdated []mayBeOutdated
	take := func(r *room, newest timeline.List) {
		limit := r.limit(usual)
		if p.mayShowOutdated(r, newest.Events[:min(limit, len(newest.Events))]) {
			outdated = append(outdated, newMayBeOutdated(r, newest, limit))
		} else {
			r.setTimeline(newest, limit, r.timelineSince())
		}
	}
	for _, r := range p.which((*room).hasTimeline) {
		switch {
		case !filter.WantsRoom(r.id):
			r.prevBatch = r.upTo
		case r.inWindow && !r.expanded:
			take(r, timeline.List{Events: r.newest(filter, r.limit(usual)+1)})
		default:
			limit := r.limitRead(usual)
			stored[limit] = append(stored[limit], r)
		}
	}
	for limit, rs := range stored {
		if err := s.readTimelines(ctx, p, rs, limit, take); err != nil {
			return err
		}
	}
	return s.cutOutdated(ctx, outdated, usual)
}

// readTimelines reads the newest events of rooms that are not in the window.
func (s *Service) readTimelines(ctx context.Context, p *plan, rs []*room, limit int, take func(*room, timeline.List)) error {
	if err := s.recall(ctx, p, rs, func(r *room) bool { return r.fullState }); err != nil {
		return err
	}
	var windows []timeline.Window
	for _, r := range rs {
		for _, within := range r.access.Ranges(r.timelineSince(), r.upTo) {
			windows = append(windows, timeline.Window{Room: r.nid, Range: within})
		}
	}
	found, err := s.roomsFor(p).Timelines(ctx, windows, limit, p.timelineFilter)
	if err != nil {
		return err
	}
	for _, r := range rs {
		none := len(found[r.nid].Events)+len(found[r.nid].Left) == 0
		r.unchanged = p.timelineFilter == nil && none && r.access.SeesAll(r.timelineSince(), r.upTo)
		take(r, found[r.nid])
	}
	return nil
}

// timelineSince is the gap after which the timeline may begin.
func (r *room) timelineSince() timeline.Place {
	if r.expanded {
		return 0
	}
	return r.since
}

// limit is how many events the timeline has at most; usual where it is the filter that says so.
func (r *room) limit(usual int) int {
	if r.window == nil {
		return usual
	}
	return r.window.config.limit
}

// limitRead is how many events are read for the timeline: one of a few numbers, each of which is a
// statement.
func (r *room) limitRead(usual int) int {
	const few, some = 1, 20
	switch limit := r.limit(usual); {
	case r.window == nil:
		return usual
	case limit > some:
		return maxTimelineLimit
	case limit > few:
		return some
	default:
		return few
	}
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
