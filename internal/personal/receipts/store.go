package receipts

import (
	"context"
	"fmt"
	"unsafe"

	"github.com/jackc/pgx/v5"

	"homeserver/internal/doctor"
	"homeserver/internal/journal"
	"homeserver/internal/reserve"
	"homeserver/internal/rooms/timeline"
)

// errBehind says that there is a receipt as far on already.
const errBehind = "HS004"

// queueReceipts writes the receipts of a group, in which there is but one of each
// kind, unless another process has written one as far on.
func queueReceipts(b *pgx.Batch, entries []*journal.Entry) error {
	n := len(entries)
	room, at, ts, position := make([]journal.RoomNID, n), make([]timeline.Place, n), make([]int64, n), make([]journal.Position, n)
	user, typ, thread, id := make([]string, n), make([]string, n), make([]string, n), make([]string, n)
	for i, entry := range entries {
		r := entry.Value.(*Receipt)
		room[i], at[i], ts[i], position[i] = r.Room, r.EventPlace, r.TS, entry.Position
		user[i], typ[i], thread[i], id[i] = r.UserID, r.Type, r.ThreadID, r.EventID
	}
	b.Queue(`
		WITH moved AS (
			INSERT INTO receipts AS r (room_nid, user_id, type, thread_id, event_id, event_place, ts, position)
			SELECT * FROM unnest($1::bigint[], $2::text[], $3::text[], $4::text[], $5::text[], $6::bigint[], $7::bigint[], $8::bigint[])
			ON CONFLICT (room_nid, user_id, type, thread_id) DO UPDATE SET event_id = excluded.event_id,
				event_place = excluded.event_place, ts = excluded.ts, position = excluded.position
			WHERE r.event_place < excluded.event_place
			RETURNING 1
		)
		SELECT expect_rows(count(*), $9, '`+errBehind+`') FROM moved`,
		room, user, typ, thread, id, at, ts, position, n)
	return nil
}

// isBehind reports whether there is a receipt of the kind as far on already.
func (s *Service) isBehind(ctx context.Context, r *Receipt) (behind bool, err error) {
	err = s.pool.QueryRow(ctx, `
		SELECT EXISTS (SELECT FROM receipts
			WHERE room_nid = $1 AND user_id = $2 AND type = $3 AND thread_id = $4 AND event_place >= $5)`,
		r.Room, r.UserID, r.Type, r.ThreadID, r.EventPlace).Scan(&behind)
	if err != nil {
		return false, fmt.Errorf("compare a receipt of %s: %w", r.UserID, err)
	}
	return behind, nil
}

// Since asks for the receipts of a room that are newer than a position.
type Since struct {
	Room  journal.RoomNID
	After journal.Position
}

// Parts is receipts, by room, that are too much to be held at once. Those that move on
// before they are read are missing: they are then newer.
type Parts = reserve.Parts[journal.RoomNID, *Receipt]

// Changes reads the receipts in rooms up to a position that a user may know: the public
// ones, and the user's own, in no order. If that is too much for one read, it returns
// parts instead.
func (s *Service) Changes(
	ctx context.Context, userID string, rooms []Since, upTo journal.Position,
) ([]*Receipt, *Parts, error) {
	room, after := make([]journal.RoomNID, len(rooms)), make([]journal.Position, len(rooms))
	for i, r := range rooms {
		room[i], after[i] = r.Room, r.After
	}
	before, most := reserve.Used(ctx), reserve.Bytes(ctx)
	list, more, err := reserve.CollectSome(ctx, most, func() pgx.Rows {
		rows, _ := s.pool.Query(ctx, selectReceipts+fromRooms+` LIMIT $5`,
			room, after, upTo, userID, most/besideIDs+2)
		return rows
	}, pgx.RowToAddrOfStructByPos[Receipt], (*Receipt).cost)
	if err != nil {
		return nil, nil, fmt.Errorf("read receipts for %s: %w", userID, err)
	}
	if !more {
		return list, nil, nil
	}
	reserve.Drop(ctx, reserve.Used(ctx)-before)
	parts, err := s.parts(ctx, userID, room, after, upTo)
	return nil, parts, err
}

const (
	selectReceipts = `SELECT r.room_nid, r.user_id, r.type, r.thread_id, r.event_id, r.event_place, r.ts `
	// fromRooms finds the receipts in rooms ($1), each after a position ($2) up to
	// another one ($3), that a user ($4) may know. Written so, they are a range of one
	// index for each room, and PostgreSQL cannot look through all receipts in the order of
	// positions.
	fromRooms = `
		FROM unnest($1::bigint[], $2::bigint[]) AS w(room_nid, after)
		CROSS JOIN LATERAL (
			SELECT * FROM receipts WHERE (room_nid, position) > (w.room_nid, w.after) AND (room_nid, position) <= (w.room_nid, $3) OFFSET 0) r
		WHERE (r.type = 'm.read' OR r.user_id = $4)`
)

const (
	besideIDs = 200
	// together is how many receipts are read together where there are many: as many as
	// take up a part, as long as most of them are.
	together = 1000
)

// cost estimates the memory of a receipt, once as a value and once as it is encoded.
func (r *Receipt) cost() int { return 2*(len(r.UserID)+len(r.EventID)+len(r.ThreadID)) + besideIDs }

// parts finds out in which parts receipts can be read.
func (s *Service) parts(
	ctx context.Context, userID string, room []journal.RoomNID, after []journal.Position, upTo journal.Position,
) (*Parts, error) {
	stretches, err := reserve.Collect(ctx, func() pgx.Rows {
		rows, _ := s.pool.Query(ctx, `
			SELECT room_nid, min(position) - 1, max(position), (sum(cost) + count(*) * $5)::bigint
			FROM (
				SELECT r.room_nid, r.position,
					2 * (octet_length(r.user_id) + octet_length(r.event_id) + octet_length(r.thread_id)) AS cost,
					(row_number() OVER (PARTITION BY r.room_nid ORDER BY r.position) - 1) / $6 AS part `+fromRooms+`) p
			GROUP BY room_nid, part ORDER BY room_nid, part`, room, after, upTo, userID, besideIDs, together)
		return rows
	}, pgx.RowToStructByPos[reserve.Stretch[journal.RoomNID]], func(st reserve.Stretch[journal.RoomNID]) int {
		return 2 * int(unsafe.Sizeof(st))
	})
	if err != nil {
		return nil, fmt.Errorf("measure receipts for %s: %w", userID, err)
	}
	return reserve.NewParts(ctx, stretches, func(ctx context.Context, part []reserve.Stretch[journal.RoomNID]) (map[journal.RoomNID][]*Receipt, error) {
		return s.part(ctx, userID, part)
	})
}

// part reads some of the parts.
func (s *Service) part(
	ctx context.Context, userID string, part []reserve.Stretch[journal.RoomNID],
) (map[journal.RoomNID][]*Receipt, error) {
	room, after, upTo := reserve.Columns(part)
	list, err := reserve.Collect(ctx, func() pgx.Rows {
		rows, _ := s.pool.Query(ctx, selectReceipts+`
			FROM unnest($1::bigint[], $2::bigint[], $3::bigint[]) AS w(room_nid, after, up_to)
			CROSS JOIN LATERAL (
				SELECT * FROM receipts WHERE (room_nid, position) > (w.room_nid, w.after) AND (room_nid, position) <= (w.room_nid, w.up_to) OFFSET 0) r
			WHERE r.type = 'm.read' OR r.user_id = $4`, room, after, upTo, userID)
		return rows
	}, pgx.RowToAddrOfStructByPos[Receipt], (*Receipt).cost)
	if err != nil {
		return nil, fmt.Errorf("read receipts for %s: %w", userID, err)
	}
	found := make(map[journal.RoomNID][]*Receipt, len(part))
	for _, r := range list {
		found[r.Room] = append(found[r.Room], r)
	}
	return found, nil
}

func (s *Service) loadMarks(ctx context.Context, userID string, rooms []journal.RoomNID) (map[journal.RoomNID]timeline.ReadMarks, error) {
	type mark struct {
		Room   journal.RoomNID
		Thread string
		UpTo   timeline.Place
	}
	list, err := reserve.Collect(ctx, func() pgx.Rows {
		rows, _ := s.pool.Query(ctx, `
			SELECT w.room_nid, r.thread_id, max(r.event_place) FROM unnest($2::bigint[]) AS w(room_nid) CROSS JOIN LATERAL (
				SELECT thread_id, event_place FROM receipts WHERE room_nid = w.room_nid AND user_id = $1 OFFSET 0) r
			GROUP BY w.room_nid, r.thread_id`, userID, rooms)
		return rows
	}, pgx.RowToStructByPos[mark], func(m mark) int { return reserve.CostOfText(m.Thread) + 2*int(unsafe.Sizeof(m)) })
	if err != nil {
		return nil, fmt.Errorf("read how far %s has read: %w", userID, err)
	}
	found := map[journal.RoomNID]timeline.ReadMarks{}
	for _, m := range list {
		marks := found[m.Room]
		switch m.Thread {
		case "":
			marks.Unthreaded = m.UpTo
		case MainThread:
			marks.Main = m.UpTo
		default:
			if marks.Threads == nil {
				marks.Threads = map[string]timeline.Place{}
			}
			marks.Threads[m.Thread] = m.UpTo
		}
		found[m.Room] = marks
	}
	return found, nil
}

// Between returns the receipts that were set in (after, upTo], in no order, but for those that
// have moved on since. It is for followers of the journal, and checks no access.
func (s *Service) Between(ctx context.Context, after, upTo journal.Position) (list []*Receipt, err error) {
	live := false
	s.journal.Read(func(v journal.View) {
		if live = v.Covers(after) && v.Position >= upTo; !live {
			return
		}
		for _, entry := range v.Between(after, upTo) {
			if r, ok := entry.Value.(*Receipt); ok {
				list = append(list, r)
			}
		}
	})
	if live {
		return list, nil
	}
	rows, _ := s.pool.Query(ctx, selectReceipts+`FROM receipts r WHERE r.position > $1 AND r.position <= $2`, after, upTo)
	list, err = pgx.CollectRows(rows, pgx.RowToAddrOfStructByPos[Receipt])
	if err != nil {
		return nil, fmt.Errorf("read receipts: %w", err)
	}
	return list, nil
}

// readOthers reads the receipts that other processes have written in (after, upTo].
func (s *Service) readOthers(ctx context.Context, conn *pgx.Conn, after, upTo journal.Position, most int) ([]*journal.Entry, error) {
	rows, _ := conn.Query(ctx, `
		SELECT room_nid, user_id, type, thread_id, event_id, event_place, ts, position
		FROM receipts WHERE position > $1 AND position <= $2`, after, upTo)
	return journal.CollectEntries(rows, most, func(row pgx.CollectableRow) (*journal.Entry, error) {
		r, at := &Receipt{}, journal.Position(0)
		err := row.Scan(&r.Room, &r.UserID, &r.Type, &r.ThreadID, &r.EventID, &r.EventPlace, &r.TS, &at)
		entry := s.entry(r)
		entry.Position = at
		return entry, err
	})
}

// Erase deletes the receipts of a user who is deactivated and is to be erased.
func (s *Service) Erase(ctx context.Context, userID string) error {
	if _, err := s.pool.Exec(ctx, `DELETE FROM receipts WHERE user_id = $1`, userID); err != nil {
		return fmt.Errorf("erase the receipts of %s: %w", userID, err)
	}
	return nil
}

// Checks returns the checks of receipts, for the operator's doctor.
func (*Service) Checks() []doctor.Check {
	const ofNoEvent = ` FROM receipts r
		WHERE NOT EXISTS (SELECT FROM events e
			WHERE e.place = r.event_place AND e.event_id = r.event_id AND e.room_nid = r.room_nid)`
	return []doctor.Check{doctor.Rows{
		Title:  "Receipts: their events",
		Find:   `SELECT format('a receipt of %s is for event %s at place %s, where it is not', r.user_id, r.event_id, r.event_place)` + ofNoEvent,
		Repair: []string{`DELETE` + ofNoEvent},
	}.Check()}
}
