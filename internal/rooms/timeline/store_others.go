package timeline

import (
	"context"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"homeserver/internal/event"
	"homeserver/internal/journal"
	"homeserver/internal/reserve"
)

// readOthers reads the events that other processes have written in (after, upTo].
func (s *Store) readOthers(
	ctx context.Context, conn *pgx.Conn, after, upTo journal.Position, most int,
) ([]*journal.Entry, error) {
	events, err := readSound(ctx, conn, s.versions, &reserve.Counter{}, int64(most), selectEvents+`WHERE `+inJournal("e"), after, upTo)
	if err != nil {
		return nil, err
	}
	lines, err := s.readLines(ctx, conn, after, upTo, events, most)
	if err != nil {
		return nil, err
	}
	redacted, err := s.readRedacted(ctx, conn, after, upTo, events, most)
	if err != nil {
		return nil, err
	}
	entries := make([]*journal.Entry, len(events))
	for i, e := range events {
		e.Staged = &Staged{Elsewhere: true}
		if t := redacted[e.NID]; t != nil {
			e.Staged.Target, e.Staged.Redacted = t, t.Event
		}
		entries[i] = s.entryOf(ChangeBy(e).asRead(lines[RoomAt{e.Room, e.Place}]))
		entries[i].Position = e.Position
	}
	return entries, nil
}

// readRedacted reads the events that others have redacted in (after, upTo], by the
// redaction: they may be in memory here as they were before.
func (s *Store) readRedacted(
	ctx context.Context, conn *pgx.Conn, after, upTo journal.Position, events []*Event, most int,
) (map[EventNID]*Event, error) {
	if !slices.ContainsFunc(events, func(e *Event) bool { return e.Type == event.TypeRedaction }) {
		return nil, nil
	}
	targets, err := readSound(ctx, conn, s.versions, &reserve.Counter{}, int64(most), selectEvents+`
		WHERE e.event_nid = ANY(ARRAY(
			SELECT t.event_nid FROM events b JOIN events t ON t.redacted_by = b.event_nid AND t.event_id = b.redacts
			WHERE `+inJournal("b")+` AND b.redacts IS NOT NULL))`, after, upTo)
	if err != nil {
		return nil, err
	}
	redacted := make(map[EventNID]*Event, len(targets))
	for _, t := range targets {
		redacted[t.redaction.Load().by] = t
	}
	return redacted, nil
}

// inJournal selects the events in the journal after position $1 and up to $2. The
// number of an event is its position, if it has one, but for those that were here
// before they were new to clients.
func inJournal(events string) string {
	return strings.ReplaceAll(`(e.event_nid > $1 AND e.event_nid <= $2 AND e.position = e.event_nid
		OR e.position > $1 AND e.position <= $2 AND e.position <> e.event_nid)`, "e.", events+".")
}
