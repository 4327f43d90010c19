package timeline

import (
	"context"
	"slices"

	"homeserver/internal/matrix"
)

// storedAround reads an event and those around it. M_NOT_FOUND if the room has none of that ID.
func (s *Store) storedAround(ctx context.Context, of *aroundQuery) (*surroundings, error) {
	if !matrix.IsEventID(of.id) {
		return nil, errNoEvent()
	}
	list, err := s.page(ctx, byDistance, of.filter, func(f *EventFilter) (string, []any) {
		q := &query{}
		room, id := q.arg(of.room), q.arg(of.id)
		events := `SELECT * FROM events e WHERE e.room_nid = ` + room + ` AND ` + within(q, of.ranges) + f.where(q)
		return `(SELECT event_nid, place FROM events WHERE event_id = ` + id + ` AND room_nid = ` + room + ` LIMIT 1) held
		CROSS JOIN LATERAL (
			(SELECT * FROM events WHERE event_nid = held.event_nid LIMIT 1)
			UNION ALL
			(` + events + ` AND e.place < held.place ORDER BY e.place DESC LIMIT ` + q.arg(of.before) + `)
			UNION ALL
			(` + events + ` AND e.place > held.place ORDER BY e.place LIMIT ` + q.arg(of.after) + `)) e`, q.args
	})
	if err != nil {
		return nil, err
	}
	i := slices.IndexFunc(list.Events, func(e *Event) bool { return e.ID == of.id })
	if i < 0 { // there is none, or it is damaged
		e, err := s.EventByID(ctx, of.room, of.id)
		return &surroundings{event: e}, err
	}
	found := &surroundings{event: list.Events[i]}
	found.before.Events, found.after.Events = list.Events[:i:i], list.Events[i+1:]
	slices.Reverse(found.before.Events)
	for _, left := range list.Left {
		if left.Place < found.event.Place {
			found.before.Left = append(found.before.Left, left)
		} else {
			found.after.Left = append(found.after.Left, left)
		}
	}
	return found, nil
}
