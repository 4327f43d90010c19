package timeline

import (
	"context"
	"slices"

	"homeserver/internal/journal"
)

// EventContext has the events around an event.
type EventContext struct {
	Event         *Event
	Before, After *Stretch
	// State is the state after the last event; empty if the reader may not know it.
	State  List
	Access *Access
}

// Context returns the events around an event, at most limit of them, and the state
// after the last. M_NOT_FOUND as for Event. Client-server API, GET
// /rooms/{roomId}/context/{eventId}.
func (r Reader) Context(ctx context.Context, roomID, eventID string, limit int, f *EventFilter) (*EventContext, error) {
	v, err := r.view(ctx, roomID)
	if err != nil {
		return nil, hideRoom(err)
	}
	limit = max(0, min(limit, MaxLimit))
	before, after := Page{Backward: true, Limit: limit / 2, Filter: f}, Page{Limit: limit - limit/2, Filter: f}
	found, err := r.store.around(ctx, v, &aroundQuery{room: v.room, id: eventID, before: limit/2 + 1, after: limit - limit/2 + 1, filter: f})
	if err != nil {
		return nil, err
	}
	place := found.event.Place
	c := &EventContext{Event: found.event, Before: before.begin(v, 0, min(place-1, v.now)), After: after.begin(v, min(place, v.now), v.now), Access: v.access}
	c.Before.take(found.before.Events, len(found.before.Left) > 0, &before)
	c.After.take(found.after.Events, len(found.after.Left) > 0, &after)
	c.State, err = r.store.contextState(ctx, v, c, f)
	return c, err
}

// aroundQuery asks for an event, whatever the filter, and for those before and after it in ranges
// of places, at most so many of each.
type aroundQuery struct {
	room          journal.RoomNID
	id            string
	ranges        []Range
	before, after int
	filter        *EventFilter
}

// surroundings are an event and those around it, the nearest first on both sides.
type surroundings struct {
	event         *Event
	before, after List
}

// around reads an event, and those around it that the reader may see. M_NOT_FOUND if the reader
// may not see the event itself.
func (s *Store) around(ctx context.Context, v *view, q *aroundQuery) (*surroundings, error) {
	if q.filter.WantsRoom(v.roomID) {
		q.ranges = v.access.Ranges(0, v.now)
	}
	if len(q.ranges) == 0 {
		e, err := s.visible(ctx, v, q.id)
		return &surroundings{event: e}, err
	}
	found, ok := inRecent(s.recents, q.room, func(r *recent) (*surroundings, bool) { return r.around(q) })
	if !ok {
		var err error
		if found, err = s.storedAround(ctx, q); err != nil {
			return nil, err
		}
	}
	return found, s.checkVisible(ctx, v, found.event)
}

// contextState reads the state at the last event of a context; with lazily
// loaded members, only those of the senders.
func (s *Store) contextState(ctx context.Context, v *view, c *EventContext, f *EventFilter) (List, error) {
	last := max(c.After.End, c.Event.Place)
	upTo, ok := v.access.StateUpTo(last)
	if !ok || !f.WantsRoom(v.roomID) {
		return List{}, nil
	}
	at := RoomAt{v.room, min(last, upTo)}
	if f == nil || !f.LazyLoadMembers {
		states, err := s.States(ctx, []RoomAt{at}, f, true)
		return states[v.room], err
	}
	senders := sendersOf(slices.Concat(c.Before.Events, []*Event{c.Event}, c.After.Events))
	states, err := s.LazyStates(ctx, []LazyState{{at, senders}}, f, nil)
	list := states[v.room]
	list.Events = byPlace(slices.Clone(list.Events))
	return list, err
}
