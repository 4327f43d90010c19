package timeline

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"homeserver/internal/doctor"
	"homeserver/internal/event"
	"homeserver/internal/journal"
)

// headPage is how many rooms are looked at at a time.
const headPage = 1000

// headRow is a room with its newest event; nil where it has none.
type headRow struct {
	Room          journal.RoomNID
	RoomID        string
	Version       string
	Heads         []string
	Depth         int64
	NewestEventID *string
	JSON          []byte
}

// checkHeads finds rooms that do not go on from their newest event.
func checkHeads(ctx context.Context, e *doctor.Exam) error {
	var number int64
	if err := e.Conn.QueryRow(ctx, `SELECT count(*) FROM rooms`).Scan(&number); err != nil {
		return fmt.Errorf("count rooms: %w", err)
	}
	e.Expect(number)
	after := journal.RoomNID(-1 << 63)
	for {
		rows, _ := e.Conn.Query(ctx, `
			SELECT r.room_nid, r.room_id, r.version, r.heads, r.depth, newest.event_id, newest.json
			FROM (SELECT * FROM rooms WHERE room_nid > $1 ORDER BY room_nid LIMIT $2) r
			LEFT JOIN LATERAL (
				SELECT e.event_id, e.json FROM events e WHERE e.room_nid = r.room_nid AND e.place IS NOT NULL ORDER BY e.place DESC LIMIT 1
			) newest ON true
			ORDER BY r.room_nid`, after, headPage)
		page, err := pgx.CollectRows(rows, pgx.RowToStructByPos[headRow])
		if err != nil {
			return fmt.Errorf("read the heads of rooms: %w", err)
		}
		var wrong []headRow
		for _, r := range page {
			if r.isWrong(e) {
				wrong = append(wrong, r)
			}
			after = r.Room
		}
		if err := repairHeads(ctx, e, wrong); err != nil {
			return err
		}
		e.Step(int64(len(page)))
		if len(page) < headPage {
			return nil
		}
	}
}

// isWrong reports whether the head is to be repaired, and sets it to what it should be.
// It reports itself what cannot be repaired.
func (r *headRow) isWrong(e *doctor.Exam) bool {
	if r.NewestEventID == nil {
		e.Found("room %s has no events", r.RoomID)
		return false
	}
	version, ok := event.LookupVersion(r.Version)
	if !ok {
		e.Found("room %s is of version %q, which there is not", r.RoomID, r.Version)
		return false
	}
	newest, err := event.ParseTrusted(version, *r.NewestEventID, r.JSON)
	if err != nil {
		return false // the check of events reports it
	}
	if slices.Equal(r.Heads, []string{newest.ID}) && r.Depth == newest.Depth {
		return false
	}
	tell := e.Found
	if e.Repair {
		tell = e.Repaired
	}
	tell("room %s goes on from event %s at depth %d instead of %s at depth %d", r.RoomID, strings.Join(r.Heads, " and "), r.Depth, newest.ID, newest.Depth)
	r.Heads, r.Depth = []string{newest.ID}, newest.Depth
	return true
}

func repairHeads(ctx context.Context, e *doctor.Exam, wrong []headRow) error {
	if !e.Repair || len(wrong) == 0 {
		return nil
	}
	b := &pgx.Batch{}
	for _, r := range wrong {
		b.Queue(`UPDATE rooms SET heads = $2, depth = $3 WHERE room_nid = $1`, r.Room, r.Heads, r.Depth)
	}
	if err := e.Conn.SendBatch(ctx, b).Close(); err != nil {
		return fmt.Errorf("repair the heads of rooms: %w", err)
	}
	return nil
}
