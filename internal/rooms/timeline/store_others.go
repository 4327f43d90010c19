package timeline

import (
	"context"
	"strings"

	"github.com/jackc/pgx/v5"

	"homeserver/internal/journal"
	"homeserver/internal/reserve"
)

// readOthers reads the events that other processes have written in (after, upTo].
func (s *Store) readOthers(
	ctx context.Context, conn *pgx.Conn, after, upTo journal.Position, most int,
) ([]*journal.Entry, error) {
	rows, _ := conn.Query(ctx, selectEvents+`WHERE `+inJournal("e"), after, upTo)
	events, err := collectSound(rows, &reserve.Counter{}, int64(most))
	if err != nil {
		return nil, err
	}
	// What they have redacted, which may be in memory here as it was before.
	rows, _ = conn.Query(ctx, selectEvents+`
		WHERE e.event_nid = ANY(ARRAY(
			SELECT t.event_nid FROM events b JOIN events t ON t.redacted_by = b.event_nid AND t.event_id = b.redacts
			WHERE `+inJournal("b")+` AND b.redacts IS NOT NULL))`, after, upTo)
	targets, err := collectSound(rows, &reserve.Counter{}, int64(most))
	if err != nil {
		return nil, err
	}
	redacted := make(map[EventNID]*Event, len(targets))
	for _, t := range targets {
		redacted[t.redaction.Load().because.NID] = t
	}
	entries := make([]*journal.Entry, len(events))
	for i, e := range events {
		e.Staged = &Staged{Elsewhere: true}
		if t := redacted[e.NID]; t != nil {
			e.Staged.Target, e.Staged.Redacted = t, t.Event
		}
		entries[i] = s.Entry(e)
		entries[i].Position = e.Position
	}
	return entries, nil
}

// inJournal selects what stands in the journal after position $1 and up to $2. The number
// of an event is its position, if it has one, but for those that were here before they
// were new to clients.
func inJournal(events string) string {
	return strings.ReplaceAll(`(e.event_nid > $1 AND e.event_nid <= $2 AND e.position = e.event_nid
		OR e.position > $1 AND e.position <= $2 AND e.position <> e.event_nid)`, "e.", events+".")
}
