package reports

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// report is a report of an event, a room or a user. Fields of other kinds are empty.
type report struct {
	reporter                string
	roomID, eventID, userID string
	reason                  string
	score                   *int // nil: not said
}

// insertReport stores a report and returns its number. If its reporter has too many,
// the oldest are deleted.
func insertReport(ctx context.Context, pool *pgxpool.Pool, r report, now int64) (id int64, err error) {
	rows, err := pool.Query(ctx, `
		WITH oldest AS (
			DELETE FROM reports WHERE id IN (
				SELECT id FROM reports WHERE reporter = $1 ORDER BY id DESC OFFSET $8 - 1))
		INSERT INTO reports (reporter, room_id, event_id, user_id, reason, score, received_at)
		VALUES ($1, nullif($2, ''), nullif($3, ''), nullif($4, ''), $5, $6, $7)
		RETURNING id`,
		r.reporter, r.roomID, r.eventID, r.userID, r.reason, r.score, now, maxKept)
	if err != nil {
		return 0, fmt.Errorf("insert a report of %s: %w", r.reporter, err)
	}
	id, err = pgx.CollectOneRow(rows, pgx.RowTo[int64])
	if err != nil {
		return 0, fmt.Errorf("insert a report of %s: %w", r.reporter, err)
	}
	return id, nil
}

// Report is a stored report. Fields of other kinds are empty.
type Report struct {
	ID       int64
	Reporter string
	// RoomID is the room that is reported, or of the event.
	RoomID string
	// EventID is the event that is reported.
	EventID string
	// UserID is the user who is reported, or who has sent the event.
	UserID string
	// Reason is the reporter's text; often empty.
	Reason string
	// Score is how offensive an event is, from -100 (most) to 0; nil: not said.
	Score *int
	// ReceivedAt and ClosedAt are milliseconds since the epoch; ClosedAt is nil while the report is open.
	ReceivedAt int64
	ClosedAt   *int64
	// Note is what the operator has noted when closing it.
	Note string
}

const selectReports = `
	SELECT id, reporter, coalesce(room_id, ''), coalesce(event_id, ''), coalesce(user_id, ''), reason, score, received_at, closed_at, coalesce(note, '')
	FROM reports `

// listReports reads reports after one of them, in the order in which they came.
func listReports(ctx context.Context, pool *pgxpool.Pool, closed bool, after int64, limit int) ([]Report, error) {
	which := `WHERE id > $1 AND closed_at IS NULL`
	if closed {
		which = `WHERE id > $1`
	}
	rows, _ := pool.Query(ctx, selectReports+which+` ORDER BY id LIMIT $2`, after, limit)
	all, err := pgx.CollectRows(rows, pgx.RowToStructByPos[Report])
	if err != nil {
		return nil, fmt.Errorf("list reports: %w", err)
	}
	return all, nil
}

// findReport reads a report; nil if there is none of the number.
func findReport(ctx context.Context, pool *pgxpool.Pool, id int64) (*Report, error) {
	rows, _ := pool.Query(ctx, selectReports+`WHERE id = $1`, id)
	r, err := pgx.CollectExactlyOneRow(rows, pgx.RowToAddrOfStructByPos[Report])
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read report %d: %w", id, err)
	}
	return r, nil
}

// countReports counts the reports.
func countReports(ctx context.Context, pool *pgxpool.Pool) (c Counts, err error) {
	err = pool.QueryRow(ctx, `SELECT count(*) FILTER (WHERE closed_at IS NULL), count(closed_at) FROM reports`).Scan(&c.Open, &c.Closed)
	if err != nil {
		return Counts{}, fmt.Errorf("count reports: %w", err)
	}
	return c, nil
}

// closeReport marks an open report, and reports whether there was one of the number.
func closeReport(ctx context.Context, pool *pgxpool.Pool, id int64, note string, now int64) (closed bool, err error) {
	tag, err := pool.Exec(ctx, `UPDATE reports SET closed_at = $2, note = nullif($3, '') WHERE id = $1 AND closed_at IS NULL`, id, now, note)
	if err != nil {
		return false, fmt.Errorf("close report %d: %w", id, err)
	}
	return tag.RowsAffected() == 1, nil
}
