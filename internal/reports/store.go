package reports

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// report is a report of an event, a room or a user. What it is not about is empty.
type report struct {
	reporter                string
	roomID, eventID, userID string
	reason                  string
	score                   *int // nil: not said
}

// insertReport stores a report and returns its number. The oldest ones of its
// reporter give way where there are too many.
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
