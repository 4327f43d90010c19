package timeline

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unsafe"

	"github.com/jackc/pgx/v5"

	"homeserver/internal/event"
	"homeserver/internal/journal"
	"homeserver/internal/matrix"
	"homeserver/internal/reserve"
)

// Latest is a place after all others: what holds there holds now.
const Latest = unbounded

// Position returns the position of the newest entry of the journal that this process knows of.
func (s *Store) Position() journal.Position { return s.journal.Position() }

// spaceChildValue returns what the table of state stores of an m.space.child event, so
// that the tree of a space is read from there alone: the time of the event, whether the
// room is suggested, and the order, as in 1640341000000s01; nil: the room is no child.
func spaceChildValue(e *event.Event) *string {
	c, ok := e.SpaceChild()
	if !ok || e.StateKey == nil || !matrix.IsRoomID(*e.StateKey) {
		return nil
	}
	suggested := notSuggestedMark
	if c.Suggested {
		suggested = suggestedMark
	}
	value := strconv.FormatInt(e.OriginServerTS, 10) + suggested + c.Order
	return &value
}

const suggestedMark, notSuggestedMark = "s", "n"

// SpaceChild is a room that a space has as a child.
type SpaceChild struct {
	event.SpaceChild
	Space  journal.RoomNID
	RoomID string
	// NID is the number of the m.space.child event, and Time its origin_server_ts.
	NID  EventNID
	Time int64
}

// setValue reads a value that spaceChildValue has made.
func (c *SpaceChild) setValue(value string) (err error) {
	end := strings.IndexAny(value, suggestedMark+notSuggestedMark)
	if end < 0 {
		return errors.New("the value of m.space.child has another form")
	}
	c.Suggested = value[end:end+1] == suggestedMark
	c.Order = value[end+1:]
	c.Time, err = strconv.ParseInt(value[:end], 10, 64)
	return err
}

// SpaceChildren reads the children of spaces at a place of all rooms, in no order. With
// more than most, it returns some, and always the same.
func (s *Store) SpaceChildren(ctx context.Context, spaces []journal.RoomNID, at Place, most int) ([]SpaceChild, error) {
	children, err := reserve.Collect(ctx, func() pgx.Rows {
		rows, _ := s.pool.Query(ctx, `
			SELECT w.room_nid, s.state_key, s.event_nid, s.value FROM unnest($1::bigint[]) AS w(room_nid)
			CROSS JOIN LATERAL (
				(SELECT type, state_key, event_nid, value, place FROM room_state
				WHERE room_nid = w.room_nid AND type = 'm.space.child' AND replaced_at IS NULL OFFSET 0)
				UNION ALL
				(SELECT type, state_key, event_nid, value, place FROM room_state
				WHERE room_nid = w.room_nid AND replaced_at > $2 OFFSET 0)) s
			WHERE s.type = 'm.space.child' AND s.place <= $2 AND s.value IS NOT NULL
			ORDER BY w.room_nid, s.state_key LIMIT $3`, spaces, at, most)
		return rows
	}, func(row pgx.CollectableRow) (c SpaceChild, err error) {
		var value string
		if err := row.Scan(&c.Space, &c.RoomID, &c.NID, &value); err != nil {
			return c, err
		}
		return c, c.setValue(value)
	}, func(c SpaceChild) int { return 2*int(unsafe.Sizeof(c)) + len(c.RoomID) + len(c.Order) })
	if err != nil {
		return nil, fmt.Errorf("read the children of spaces: %w", err)
	}
	return children, nil
}

// Preview is what decides whether a user may know of a room without being in it.
type Preview struct {
	Room    journal.RoomNID
	RoomID  string
	Version *event.Version
	// Type is that of the room; "": an ordinary one.
	Type                             string
	JoinRule, Visibility, Membership string
	// Allowed are the rooms whose members may join this one, if it is restricted.
	Allowed []string
}

// Previews reads previews of those of some rooms that are here, for a user, or for nobody
// if userID is "", at a place.
func (s *Store) Previews(ctx context.Context, roomIDs []string, userID string, at Place) ([]Preview, error) {
	value := func(column, evType, key string) string {
		return `(SELECT ` + column + ` FROM room_state WHERE room_nid = r.room_nid AND type = ` + evType + ` AND state_key = ` + key +
			` AND place <= $2 ORDER BY place DESC LIMIT 1)`
	}
	previews, err := reserve.Collect(ctx, func() pgx.Rows {
		rows, _ := s.pool.Query(ctx, `
			SELECT r.room_nid, r.room_id, r.version,
				coalesce(`+value("value", `'`+event.TypeCreate+`'`, "''")+`, ''),
				coalesce(rule.value, 'invite'),
				coalesce(`+value("value", `'`+event.TypeHistoryVisibility+`'`, "''")+`, 'shared'),
				coalesce(`+value("value", memberType, "$3")+`, 'leave'),
				(SELECT json FROM events WHERE event_nid = rule.event_nid AND rule.value IN ('restricted', 'knock_restricted'))
			FROM rooms r LEFT JOIN LATERAL `+value("value, event_nid", `'`+event.TypeJoinRules+`'`, "''")+` rule ON true
			WHERE r.room_id = ANY($1)`, roomIDs, at, userID)
		return rows
	}, scanPreview, func(p Preview) int {
		cost := 2*int(unsafe.Sizeof(p)) + len(p.RoomID) + len(p.Type)
		for _, roomID := range p.Allowed {
			cost += reserve.CostOfText(roomID)
		}
		return cost
	})
	if err != nil {
		return nil, fmt.Errorf("read previews of rooms: %w", err)
	}
	return previews, nil
}

func scanPreview(row pgx.CollectableRow) (p Preview, err error) {
	var version string
	var rules borrowed
	if err := row.Scan(&p.Room, &p.RoomID, &version, &p.Type, &p.JoinRule, &p.Visibility, &p.Membership, &rules); err != nil {
		return p, err
	}
	var known bool
	if p.Version, known = event.LookupVersion(version); !known {
		return p, fmt.Errorf("room %s has unknown version %q", p.RoomID, version)
	}
	for _, roomID := range (&event.Event{Content: contentIn(rules)}).AllowedRooms() {
		if matrix.IsRoomID(roomID) {
			p.Allowed = append(p.Allowed, roomID)
		}
	}
	return p, nil
}

// JoinedAt returns in which of some rooms a user was at a place.
func (s *Store) JoinedAt(ctx context.Context, userID string, roomIDs []string, at Place) (map[string]bool, error) {
	rows, _ := s.pool.Query(ctx, `
		SELECT r.room_id FROM rooms r CROSS JOIN LATERAL (
			SELECT value FROM room_state
			WHERE room_nid = r.room_nid AND type = `+memberType+` AND state_key = $2 AND place <= $3
			ORDER BY place DESC LIMIT 1) m
		WHERE r.room_id = ANY($1) AND m.value = 'join'`, roomIDs, userID, at)
	joined := map[string]bool{}
	var roomID string
	_, err := pgx.ForEachRow(rows, []any{&roomID}, func() error {
		joined[roomID] = true
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("look in which rooms %s was: %w", userID, err)
	}
	return joined, nil
}

// EventSizes reads the sizes of some events, in bytes of JSON.
func (s *Store) EventSizes(ctx context.Context, events []EventNID) (map[EventNID]int, error) {
	rows, _ := s.pool.Query(ctx, `SELECT event_nid, octet_length(json) FROM events WHERE event_nid = ANY($1)`, events)
	sizes := make(map[EventNID]int, len(events))
	var nid EventNID
	var size int
	_, err := pgx.ForEachRow(rows, []any{&nid, &size}, func() error {
		sizes[nid] = size
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read the sizes of events: %w", err)
	}
	return sizes, nil
}

// Said is what an event says, and who has sent it.
type Said struct {
	Sender  string
	Content []byte
}

// Contents reads some events, in the form in which they are shown now. Their size is the
// caller's business: see EventSizes.
func (s *Store) Contents(ctx context.Context, events []EventNID) (map[EventNID]Said, error) {
	contents := make(map[EventNID]Said, len(events))
	err := reserve.Read(ctx, func(c *reserve.Counter) error {
		clear(contents)
		rows, _ := s.pool.Query(ctx, `SELECT event_nid, sender, json FROM events WHERE event_nid = ANY($1)`, events)
		var nid EventNID
		var sender string
		var raw []byte
		_, err := pgx.ForEachRow(rows, []any{&nid, &sender, &raw}, func() error {
			contents[nid] = Said{sender, contentIn(raw)}
			return c.Add(len(raw) + len(sender) + int(unsafe.Sizeof(Said{})))
		})
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read what events say: %w", err)
	}
	return contents, nil
}
