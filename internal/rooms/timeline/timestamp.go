package timeline

import (
	"context"

	"homeserver/internal/matrix"
)

// AtTime is an event that was found by its time.
type AtTime struct {
	EventID        string `json:"event_id"`
	OriginServerTS int64  `json:"origin_server_ts"`
}

const (
	// nearestTried is how many of the events nearest to a time are looked at for one that
	// the reader may see.
	nearestTried = 5000
	// nearestByPlace is how many that the reader may see are looked at behind those.
	nearestByPlace = 20
)

// EventAtTime returns the event nearest to a time, at it or later, or for backward at it
// or earlier, of those that the reader may see: by origin_server_ts, whatever their order
// in the room, and of several with the same one the first, or the last.
// M_NOT_FOUND if there is none. M_FORBIDDEN for a user who may see nothing of the room.
// Client-server API, GET /rooms/{roomId}/timestamp_to_event.
//
// Where the reader may see none of the 5,000 nearest, it is one of the next events of the
// room that the reader may see: in that order they have the order of their times, but for
// those that say another time than the clock.
//
// Only this server is asked. Other servers would be, here, where it does not have all of
// the history.
func (r Reader) EventAtTime(ctx context.Context, roomID string, ts int64, backward bool) (*AtTime, error) {
	v, err := r.view(ctx, roomID)
	if err != nil {
		return nil, err
	}
	if !v.access.SeesAny() {
		return nil, ErrNotInRoom()
	}
	nearest, err := r.store.nearest(ctx, v, ts, backward)
	if err != nil {
		return nil, err
	}
	for i := range nearest {
		if v.access.Sees(nearest[i].place) {
			return &nearest[i].AtTime, nil
		}
	}
	if len(nearest) > 0 {
		return r.store.nextByPlace(ctx, v, ts, backward, nearest[0].place)
	}
	return nil, errNoneAtTime(ts, backward)
}

// nextByPlace returns an event as EventAtTime does, of those next to a place.
func (s *Store) nextByPlace(ctx context.Context, v *view, ts int64, backward bool, from Place) (*AtTime, error) {
	next, err := s.stretch(ctx, v, Page{Backward: backward, From: &from, Limit: nearestByPlace})
	if err != nil {
		return nil, err
	}
	var best *AtTime
	for _, e := range next.Events {
		at := e.OriginServerTS
		switch {
		case backward && at <= ts && (best == nil || at > best.OriginServerTS), !backward && at >= ts && (best == nil || at < best.OriginServerTS):
			best = &AtTime{e.ID, at}
		}
	}
	if best == nil {
		return nil, errNoneAtTime(ts, backward)
	}
	return best, nil
}

func errNoneAtTime(ts int64, backward bool) error {
	direction := "after"
	if backward {
		direction = "before"
	}
	return matrix.Errorf(matrix.NotFound, "there is no event at or %s the time %d", direction, ts)
}
