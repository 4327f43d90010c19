package directory

import (
	"context"
	"errors"
	"fmt"
	"math"

	"github.com/jackc/pgx/v5"

	"homeserver/internal/event"
	"homeserver/internal/journal"
	"homeserver/internal/matrix"
)

// publicTypes are the types of state events that the directory shows.
var publicTypes = []string{
	event.TypeCreate, event.TypeJoinRules, event.TypeAvatar, event.TypeCanonicalAlias, event.TypeGuestAccess, event.TypeHistoryVisibility, event.TypeName, event.TypeTopic,
}

// The parts of the statement that reads the directory: from $1 rooms with fewer
// members, or with as many and a higher number, than $2 and $3 say, or the other
// way round.
const (
	listedForward  = `(r.joined_members < $2 OR r.joined_members = $2 AND r.room_nid > $3) ORDER BY r.joined_members DESC, r.room_nid LIMIT $1`
	listedBackward = `(r.joined_members > $2 OR r.joined_members = $2 AND r.room_nid < $3) ORDER BY r.joined_members, r.room_nid DESC LIMIT $1`
	selectListed   = `
		WITH page AS (
			SELECT r.room_nid, r.room_id, r.joined_members FROM rooms r WHERE r.listed AND r.joined_members > 0 AND `
	listedDetails = `)
		SELECT p.room_nid, p.room_id, p.joined_members,
			ARRAY(SELECT a.alias FROM room_aliases a WHERE a.room_nid = p.room_nid ORDER BY a.created_at, a.alias LIMIT 1000),
			ARRAY(SELECT ARRAY[s.type, s.value] FROM room_state s
				WHERE s.room_nid = p.room_nid AND s.type = ANY($4) AND s.state_key = '' AND s.replaced_at IS NULL AND s.value IS NOT NULL),
			(SELECT count(*) FROM rooms r WHERE r.listed AND r.joined_members > 0)
		FROM page p ORDER BY `
)

// listedRooms reads the published rooms behind a place, in its direction; nil is the
// beginning. It calls take with each, and with the number of all.
func (s *Service) listedRooms(ctx context.Context, from *place, limit int, take func(r *PublicRoom, total int64) error) error {
	if from == nil {
		from = &place{joined: math.MaxInt64}
	}
	sql := selectListed + listedForward + listedDetails + `p.joined_members DESC, p.room_nid`
	if from.backward {
		sql = selectListed + listedBackward + listedDetails + `p.joined_members, p.room_nid DESC`
	}
	rows, err := s.pool.Query(ctx, sql, limit, from.joined, from.nid, publicTypes)
	if err != nil {
		return fmt.Errorf("list the published rooms: %w", err)
	}
	var nid journal.RoomNID
	var roomID string
	var joined, total int64
	var aliases []string
	var state [][]string
	_, err = pgx.ForEachRow(rows, []any{&nid, &roomID, &joined, &aliases, &state, &total}, func() error {
		r := &PublicRoom{nid: nid, RoomID: roomID, Joined: joined, Aliases: aliases, JoinRule: event.JoinRuleInvite}
		for _, s := range state {
			r.show(s[0], s[1])
		}
		aliases, state = nil, nil
		return take(r, total)
	})
	if err != nil {
		return fmt.Errorf("list the published rooms: %w", err)
	}
	return nil
}

// show sets the field that a state event of the room has the value for.
func (r *PublicRoom) show(evType, value string) {
	switch evType {
	case event.TypeCreate:
		r.RoomType = value
	case event.TypeJoinRules:
		r.JoinRule = value
	case event.TypeAvatar:
		r.AvatarURL = value
	case event.TypeCanonicalAlias:
		r.CanonicalAlias = value
	case event.TypeGuestAccess:
		r.GuestCanJoin = value == event.GuestsCanJoin
	case event.TypeHistoryVisibility:
		r.WorldReadable = value == event.VisibilityWorldReadable
	case event.TypeName:
		r.Name = value
	case event.TypeTopic:
		r.Topic = value
	}
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

// QueueMove queues that all aliases of a room, and its place in the published directory, go
// over to another room.
func QueueMove(b *pgx.Batch, from, to journal.RoomNID) {
	b.Queue(`UPDATE room_aliases SET room_nid = $2 WHERE room_nid = $1`, from, to)
	b.Queue(`UPDATE rooms SET listed = (SELECT listed FROM rooms WHERE room_nid = $1) WHERE room_nid = $2`, from, to)
	b.Queue(updateListed, from, false)
}

// QueueListed queues that a room is published.
func QueueListed(b *pgx.Batch, room journal.RoomNID) { b.Queue(updateListed, room, true) }
