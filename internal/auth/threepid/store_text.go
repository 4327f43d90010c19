package threepid

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// textsSent reads how many text messages were sent in an hour, and in the day that ends
// with it. Until the end of the transaction no other process counts. Older counts are
// deleted.
func textsSent(ctx context.Context, tx pgx.Tx, hour int64) (inHour, inDay int, err error) {
	if _, err := tx.Exec(ctx, `LOCK TABLE text_messages_sent IN SHARE ROW EXCLUSIVE MODE`); err != nil {
		return 0, 0, fmt.Errorf("lock the count of text messages: %w", err)
	}
	if _, err := tx.Exec(ctx, `DELETE FROM text_messages_sent WHERE hour <= $1`, hour-hoursOfDay); err != nil {
		return 0, 0, fmt.Errorf("delete old counts of text messages: %w", err)
	}
	err = tx.QueryRow(ctx, `
		SELECT coalesce(sum(sent) FILTER (WHERE hour = $1), 0), coalesce(sum(sent), 0) FROM text_messages_sent`, hour).Scan(&inHour, &inDay)
	if err != nil {
		return 0, 0, fmt.Errorf("count text messages: %w", err)
	}
	return inHour, inDay, nil
}

func addText(ctx context.Context, q querier, hour int64, n int) error {
	_, err := q.Exec(ctx, `
		INSERT INTO text_messages_sent AS t (hour, sent) VALUES ($1, $2)
		ON CONFLICT (hour) DO UPDATE SET sent = greatest(t.sent + excluded.sent, 0)`, hour, n)
	if err != nil {
		return fmt.Errorf("count a text message: %w", err)
	}
	return nil
}
