package timeline

import (
	"context"

	"github.com/jackc/pgx/v5"

	"homeserver/internal/journal"
	"homeserver/internal/reserve"
)

// readOthers reads the events that other processes have written in (after, upTo].
func (s *Store) readOthers(
	ctx context.Context, conn *pgx.Conn, after, upTo journal.Position, most int,
) ([]*journal.Entry, error) {
	rows, _ := conn.Query(ctx, selectEvents+`WHERE e.position > $1 AND e.position <= $2`, after, upTo)
	events, err := collectSound(rows, &reserve.Counter{}, int64(most))
	if err != nil {
		return nil, err
	}
	// What they have redacted, which may be in memory here as it was before.
	rows, _ = conn.Query(ctx, selectEvents+`
		WHERE e.position = ANY(ARRAY(
			SELECT t.position FROM events b JOIN events t ON t.redacted_by = b.position AND t.event_id = b.redacts
			WHERE b.position > $1 AND b.position <= $2 AND b.redacts IS NOT NULL))`, after, upTo)
	targets, err := collectSound(rows, &reserve.Counter{}, int64(most))
	if err != nil {
		return nil, err
	}
	redacted := make(map[journal.Position]*Event, len(targets))
	for _, t := range targets {
		redacted[t.redaction.Load().because.Position] = t
	}
	entries := make([]*journal.Entry, len(events))
	for i, e := range events {
		e.Staged = &Staged{Elsewhere: true}
		if t := redacted[e.Position]; t != nil {
			e.Staged.Target, e.Staged.Redacted = t, t.Event
		}
		entries[i] = s.Entry(e)
		entries[i].Position = e.Position
	}
	return entries, nil
}
