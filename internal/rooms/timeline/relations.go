package timeline

import "context"

// RelationsPage is a request for a part of the events that are related to one.
type RelationsPage struct {
	Page
	// RelType and EventType are the type of their relation and their own; "": any.
	RelType, EventType string
	// Recurse asks also for events that are related to those, up to RecursionDepth.
	Recurse bool
}

// Relations returns a page of the events that are related to one, of MaxLimit events at most
// and fewer where they are large. With Recurse all of them match, and so do those by which
// they are related. M_NOT_FOUND as for Event. Client-server API, GET
// /rooms/{roomId}/relations/{eventId}.
func (r Reader) Relations(ctx context.Context, roomID, eventID string, p RelationsPage) (*Stretch, error) {
	v, err := r.view(ctx, roomID)
	if err != nil {
		return nil, hideRoom(err)
	}
	parent, err := r.store.visible(ctx, v, eventID)
	if err != nil {
		return nil, err
	}
	p.Limit = max(1, min(p.Limit, MaxLimit))
	low, high := p.bounds(v.now)
	st := p.begin(v, low, high)
	if len(v.access.Ranges(low, high)) == 0 {
		return st, nil
	}
	ranges := v.access.Ranges(0, high)
	list, err := r.store.storedPage(ctx, &p.Page, func(f *EventFilter) (string, []any) {
		q := newRelationsQuery(v.room, &p, f, ranges)
		return fromEvents(whereNumber(q.numbers(parent.ID, low))), q.args
	})
	st.take(list.Events, len(list.Left) > 0, &p.Page)
	return st, err
}
