package timeline

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// timeOf is the time of an event e, as the index events_time has it.
const timeOf = `coalesce(e.origin_server_ts, origin_server_ts_in(e.json))`

// timedEvent is an event with its time and its place.
type timedEvent struct {
	AtTime
	place Place
}

// nearest returns the event that is nearest to a time in one direction, and if the reader
// may not see that, then the nearest of the next ones that the reader may see, if there
// is one among them. Those of one time are in the order of their places, but no more of them
// are sorted than are looked at: a service may say the same time always.
func (s *Store) nearest(ctx context.Context, v *view, ts int64, backward bool) ([]timedEvent, error) {
	compare, order := `>=`, ``
	if backward {
		compare, order = `<=`, ` DESC`
	}
	ranges := v.access.Ranges(0, v.now)
	from, to := make([]Place, len(ranges)), make([]Place, len(ranges))
	for i, r := range ranges {
		from[i], to[i] = r.From, r.To
	}
	rows, _ := s.pool.Query(ctx, `
		SELECT event_id, at, place FROM (
			SELECT c.*, row_number() OVER (ORDER BY at`+order+`, place`+order+`) AS nth FROM (
				SELECT e.event_id, e.place, `+timeOf+` AS at FROM events e
				WHERE e.room_nid = $1 AND `+timeOf+` `+compare+` $2 AND e.place <= $3
				ORDER BY at`+order+` LIMIT $4) c) c
		WHERE nth = 1 OR EXISTS (SELECT FROM unnest($5::bigint[], $6::bigint[]) AS w(low, high) WHERE place BETWEEN w.low AND w.high)
		ORDER BY nth LIMIT 2`, v.room, ts, v.now, nearestTried, from, to)
	list, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (e timedEvent, err error) {
		err = row.Scan(&e.EventID, &e.OriginServerTS, &e.place)
		return e, err //nolint:wrapcheck // it is wrapped below
	})
	if err != nil {
		return nil, fmt.Errorf("find an event by its time: %w", err)
	}
	return list, nil
}
