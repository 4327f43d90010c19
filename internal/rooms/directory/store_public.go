package directory

import (
	"context"
	"errors"
	"fmt"
	"math"

	"github.com/jackc/pgx/v5"

	"homeserver/internal/journal"
	"homeserver/internal/matrix"
)

// The parts of the statement that reads the directory: from $2 rooms with fewer
// members, or with as many and a higher number, than $3 and $4 say, or the other
// way round.
const (
	listedForward  = `(r.joined_members < $3 OR r.joined_members = $3 AND r.room_nid > $4) ORDER BY r.joined_members DESC, r.room_nid LIMIT $2`
	listedBackward = `(r.joined_members > $3 OR r.joined_members = $3 AND r.room_nid < $4) ORDER BY r.joined_members, r.room_nid DESC LIMIT $2`
	selectListed   = `
		WITH page AS (
			SELECT r.room_nid, r.room_id, r.version, r.joined_members FROM rooms r WHERE r.joined_members > 0 AND `
	listedDetails = `)
		SELECT p.room_nid, p.room_id, p.version, p.joined_members,
			ARRAY(SELECT a.alias FROM room_aliases a WHERE a.room_nid = p.room_nid ORDER BY a.created_at, a.alias LIMIT 1000),
			` + shownState + `,
			(SELECT count(*) FROM rooms r WHERE r.joined_members > 0 AND `
	listedOrder = `) FROM page p ORDER BY `
)

// The rooms of a directory: those that are published on this server, those of one network ($5,
// $6), or all of both.
const (
	ofServer  = `r.listed AND `
	ofNetwork = `r.room_nid IN (SELECT n.room_nid FROM network_rooms n WHERE n.service = $5 AND n.network = $6) AND `
	ofAll     = `r.room_nid IN (SELECT l.room_nid FROM rooms l WHERE l.listed AND l.joined_members > 0 UNION SELECT n.room_nid FROM network_rooms n) AND `
)

// in returns the condition of the rooms that a query is about, and its arguments.
func (q *PublicQuery) in() (condition string, args []any) {
	switch {
	case q.AllNetworks:
		return ofAll, nil
	case q.Network != Network{}:
		return ofNetwork, []any{q.Network.Service, q.Network.ID}
	default:
		return ofServer, nil
	}
}

// listedRooms reads the published rooms behind a place, in its direction; nil is the
// beginning. It calls take with each, and with the number of all.
func (s *Service) listedRooms(ctx context.Context, q PublicQuery, from *place, limit int, take func(r *RoomSummary, total int64) error) error {
	if from == nil {
		from = &place{joined: math.MaxInt64}
	}
	in, more := q.in()
	total := listedDetails + in + `true` + listedOrder
	sql := selectListed + in + listedForward + total + `p.joined_members DESC, p.room_nid`
	if from.backward {
		sql = selectListed + in + listedBackward + total + `p.joined_members, p.room_nid DESC`
	}
	rows, err := s.pool.Query(ctx, sql, append([]any{shownTypes, limit, from.joined, from.nid}, more...)...)
	if err != nil {
		return fmt.Errorf("list the published rooms: %w", err)
	}
	var row summaryRow
	var count int64
	var aliases []string
	columns := []any{&row.nid, &row.roomID, &row.version, &row.joined, &aliases, &row.state, &count}
	_, err = pgx.ForEachRow(rows, columns, func() error {
		r := row.summary()
		r.Aliases, aliases = aliases, nil
		r.Encryption, r.RoomVersion = "", "" // which PublishedRoomsChunk does not have
		return take(&r, count)
	})
	if err != nil {
		return fmt.Errorf("list the published rooms: %w", err)
	}
	return nil
}

// ListedAmong returns which of some rooms are in the published directory.
func (s *Service) ListedAmong(ctx context.Context, roomIDs []string) (map[string]bool, error) {
	rows, _ := s.pool.Query(ctx, `SELECT room_id FROM rooms WHERE room_id = ANY($1) AND listed`, roomIDs)
	listed, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return nil, fmt.Errorf("look which rooms are published: %w", err)
	}
	among := make(map[string]bool, len(listed))
	for _, roomID := range listed {
		among[roomID] = true
	}
	return among, nil
}

// Listed reports whether a room is in the published directory. M_NOT_FOUND if
// there is no such room. Anybody may ask. Client-server API,
// GET /directory/list/room/{roomId}.
func (s *Service) Listed(ctx context.Context, roomID string) (listed bool, err error) {
	err = s.pool.QueryRow(ctx, `SELECT listed FROM rooms WHERE room_id = $1`, roomID).Scan(&listed)
	if errors.Is(err, pgx.ErrNoRows) {
		return false, matrix.Errorf(matrix.NotFound, "there is no such room")
	}
	if err != nil {
		return false, fmt.Errorf("check whether a room is published: %w", err)
	}
	return listed, nil
}

const updateListed = `UPDATE rooms SET listed = $2 WHERE room_nid = $1`

// SetListed puts a room into the published directory or takes it out.
func (s *Service) SetListed(ctx context.Context, room journal.RoomNID, listed bool) error {
	if _, err := s.pool.Exec(ctx, updateListed, room, listed); err != nil {
		return fmt.Errorf("publish a room: %w", err)
	}
	return nil
}

// QueueMove queues that all aliases of a room, and its places in the published directories, go
// over to another room.
func QueueMove(b *pgx.Batch, from, to journal.RoomNID) {
	b.Queue(`UPDATE room_aliases SET room_nid = $2 WHERE room_nid = $1`, from, to)
	b.Queue(`UPDATE rooms SET listed = (SELECT listed FROM rooms WHERE room_nid = $1) WHERE room_nid = $2`, from, to)
	b.Queue(updateListed, from, false)
	b.Queue(`UPDATE network_rooms SET room_nid = $2 WHERE room_nid = $1`, from, to)
}

// QueueListed queues that a room is published.
func QueueListed(b *pgx.Batch, room journal.RoomNID) { b.Queue(updateListed, room, true) }
