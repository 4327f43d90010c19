package timeline

import (
	"context"
	"slices"

	"homeserver/internal/journal"
	"homeserver/internal/matrix"
)

// Page is a request for a part of a room's history. A token stands for the gap after a
// place.
type Page struct {
	// Backward goes from newer to older events.
	Backward bool
	// From and To are gaps; nil: the end of what the user may see. The page has the
	// events between them, from From on.
	From, To *Place
	Limit    int
	Filter   *EventFilter
}

// Stretch is a part of a room's history.
type Stretch struct {
	Events []*Event
	// Start is where the stretch begins, in the direction asked for; End is where
	// the next one would, where More.
	Start, End Place
	More       bool
	// Members holds the member events of the senders, where they are lazy-loaded.
	Members List
	Access  *Access
}

// Messages returns a page of a room's history, of MaxLimit events at most and fewer
// where they are large. M_FORBIDDEN for a user who may see nothing of the room.
// Client-server API, GET /rooms/{roomId}/messages.
func (r Reader) Messages(ctx context.Context, roomID string, p Page) (*Stretch, error) {
	v, err := r.view(ctx, roomID)
	if err != nil {
		return nil, err
	}
	if !v.access.SeesAny() {
		return nil, ErrNotInRoom()
	}
	return r.store.stretch(ctx, v, p)
}

// stretch reads a page of a room: the events on it that the reader may see.
func (s *Store) stretch(ctx context.Context, v *view, p Page) (st *Stretch, err error) {
	p.Limit = max(0, min(p.Limit, MaxLimit))
	low, high := p.bounds(v.now)
	st = p.begin(v, low, high)
	if ranges := v.access.Ranges(low, high); len(ranges) > 0 && p.Filter.WantsRoom(v.roomID) {
		if err := s.read(ctx, st, v.room, ranges, &p); err != nil {
			return nil, err
		}
	}
	if p.Filter != nil && p.Filter.LazyLoadMembers && len(st.Events) > 0 {
		// As of the newest event: the reader may not be allowed to know later ones.
		newest := max(st.Events[0].Place, st.Events[len(st.Events)-1].Place)
		st.Members, err = s.membersOf(ctx, v.room, st.Events, newest)
	}
	return st, err
}

// begin returns the page without events.
func (p *Page) begin(v *view, low, high Place) *Stretch {
	start := high
	if !p.Backward {
		start = low
	}
	return &Stretch{Start: start, End: start, Access: v.access}
}

// bounds returns the places that the page lies in, as (low, high].
func (p *Page) bounds(now Place) (low, high Place) {
	low, high = 0, now
	from, to := &high, &low
	if !p.Backward {
		from, to = &low, &high
	}
	if p.From != nil {
		*from = min(*p.From, now)
	}
	if p.To != nil {
		*to = min(*p.To, now)
	}
	return low, high
}

// read fills a stretch with the events in the ranges: those that are in memory, and the rest of the
// page by SQL.
func (s *Store) read(ctx context.Context, st *Stretch, nid journal.RoomNID, ranges []Range, p *Page) error {
	events, ranges := s.recents.page(nid, ranges, p)
	if len(ranges) == 0 {
		st.take(events, false, p)
		return nil
	}
	order := ` ORDER BY e.place`
	if p.Backward {
		order += ` DESC`
	}
	stored, err := s.storedPage(ctx, p, func(f *EventFilter) (string, []any) {
		q := &query{}
		sql := `WHERE e.room_nid = ` + q.arg(nid) + ` AND ` + within(q, ranges) + f.where(q) + order +
			` LIMIT ` + q.arg(p.Limit-len(events)+1) // if there is one more than wanted, there is more
		return fromEvents(sql), q.args
	})
	if err != nil {
		return err
	}
	st.take(append(events, stored.Events...), len(stored.Left) > 0, p)
	return nil
}

// within is the condition that e stands in one of the ranges, of which there is mostly one.
func within(q *query, ranges []Range) string {
	from, to := columnsOfRanges(ranges)
	condition := `e.place BETWEEN ` + q.arg(from[0]) + ` AND ` + q.arg(to[len(to)-1])
	if len(ranges) > 1 {
		condition += ` AND EXISTS (SELECT FROM unnest(` + q.arg(from) + `::bigint[], ` + q.arg(to) + `::bigint[]) AS w(low, high)
			WHERE e.place BETWEEN w.low AND w.high)`
	}
	return condition
}

// columnsOfRanges returns where ranges begin and end.
func columnsOfRanges(ranges []Range) (from, to []Place) {
	from, to = make([]Place, len(ranges)), make([]Place, len(ranges))
	for i, r := range ranges {
		from[i], to[i] = r.From, r.To
	}
	return from, to
}

// storedPage reads the events that are selected for a filter, as page has them, in the direction of
// a page.
func (s *Store) storedPage(ctx context.Context, p *Page, events func(f *EventFilter) (sql string, args []any)) (List, error) {
	o := oldestFirst
	if p.Backward {
		o = newestFirst
	}
	list, err := s.page(ctx, o, p.Filter, events)
	if p.Backward {
		slices.Reverse(list.Events)
	}
	return list, err
}

// take fills a stretch with the events that were found, in the direction of the page: those of
// the page and one more, unless there is none. left reports that more were found.
func (st *Stretch) take(found []*Event, left bool, p *Page) {
	if st.More = len(found) > p.Limit || left; len(found) > p.Limit {
		found = found[:p.Limit]
	}
	st.Events = found
	if n := len(found); n > 0 {
		st.End = found[n-1].Place
		if p.Backward {
			st.End--
		}
	}
}

// membersOf reads the member events of the senders of events, at a place.
func (s *Store) membersOf(ctx context.Context, nid journal.RoomNID, events []*Event, at Place) (List, error) {
	senders := sendersOf(events)
	members := make([]MemberAt, len(senders))
	for i, user := range senders {
		members[i] = MemberAt{RoomAt{nid, at}, user}
	}
	found, err := s.MemberEvents(ctx, members, nil)
	return found[nid], err
}

// sendersOf returns the senders of events, each once.
func sendersOf(events []*Event) []string {
	senders := make([]string, len(events))
	for i, e := range events {
		senders[i] = e.Sender
	}
	slices.Sort(senders)
	return slices.Compact(senders)
}

// Event returns one event of a room. M_NOT_FOUND if there is none that the user may
// see. Client-server API, GET /rooms/{roomId}/event/{eventId}.
func (r Reader) Event(ctx context.Context, roomID, eventID string) (*Event, *Access, error) {
	v, err := r.view(ctx, roomID)
	if err != nil {
		return nil, nil, hideRoom(err)
	}
	e, err := r.store.visible(ctx, v, eventID)
	return e, v.access, err
}

// SeenEvent is Event for endpoints that return M_FORBIDDEN if there is no such room, and that
// need the bytes that are federated.
func (r Reader) SeenEvent(ctx context.Context, roomID, eventID string) (*Event, *Access, error) {
	r.store = r.store.Stored()
	v, err := r.view(ctx, roomID)
	if err != nil {
		return nil, nil, err
	}
	e, err := r.store.visible(ctx, v, eventID)
	return e, v.access, err
}

// hideRoom answers for the events of a room that is not there as for events that
// are not there.
func hideRoom(err error) error {
	if matrix.IsCode(err, matrix.Forbidden) {
		return errNoEvent()
	}
	return err
}

// visible reads an event that the reader may see; M_NOT_FOUND if there is none.
func (s *Store) visible(ctx context.Context, v *view, eventID string) (*Event, error) {
	e, ok := inRecent(s.recents, v.room, func(r *recent) (*Event, bool) { return r.event(eventID) })
	if !ok {
		var err error
		if e, err = s.EventByID(ctx, v.room, eventID); err != nil {
			return nil, err
		}
	}
	return e, s.checkVisible(ctx, v, e)
}

// checkVisible returns M_NOT_FOUND for an event that the reader may not see.
func (s *Store) checkVisible(ctx context.Context, v *view, e *Event) error {
	if e.Place > v.now { // it has just been written
		if err := s.renew(ctx, v); err != nil {
			return err
		}
	}
	if !v.access.Sees(e.Place) {
		return errNoEvent()
	}
	return nil
}

// renew reads the access of a view again, for what was read from the database after its moment.
func (s *Store) renew(ctx context.Context, v *view) error {
	latest, err := s.readRoomAccess(ctx, v.accessKey)
	if err == nil && latest == nil {
		err = errNoEvent()
	}
	if err == nil {
		v.access = latest.access
	}
	return err
}
