package timeline

import (
	"bytes"
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"homeserver/internal/event"
	"homeserver/internal/journal"
	"homeserver/internal/reserve"
)

// besideRow is what is read of an event for another one: which replaced it, or which it
// redacted.
type besideRow struct {
	place           Place
	eventID, sender string
	json            []byte
}

// readBeside reads what clients get beside the events that were found: the state events that
// they replaced, and their redactions, by one statement if there are any. Damaged data is left
// out. It returns journal.ErrTooMuch if it is too much together with the events, unless there
// is but one of them.
//
// This may see a later moment than the statement that found the events. The numbers that they
// name are there, since events that name them were committed with them or later, and events
// are never removed. Their IDs, senders and places never change. Only their content may be newer:
// then it is the redacted one, which nobody is to see the other of any more.
func (f *found) readBeside(ctx context.Context, db querier, c *reserve.Counter, most int64) error {
	var numbers []int64
	for _, e := range f.Events {
		if e.Replaces != nil {
			numbers = append(numbers, int64(e.Replaces.NID))
		}
		if r := e.redaction.Load(); r != nil {
			numbers = append(numbers, int64(r.by))
		}
	}
	if len(numbers) == 0 {
		return nil
	}
	beside := make(map[EventNID]besideRow, len(numbers))
	rows, _ := db.Query(ctx, `SELECT event_nid, place, event_id, sender, json FROM events WHERE event_nid = ANY($1)`, numbers)
	var nid EventNID
	var row besideRow
	_, err := pgx.ForEachRow(rows, []any{&nid, &row.place, &row.eventID, &row.sender, &row.json}, func() error {
		if err := f.count(c, len(row.json), 0, 0); err != nil {
			return err
		}
		if f.weight > most && len(f.Events) > 1 {
			return journal.ErrTooMuch
		}
		beside[nid] = row
		return nil
	})
	if err != nil {
		return fmt.Errorf("read what is beside events: %w", err)
	}
	for _, e := range f.Events {
		e.setBeside(beside)
	}
	return nil
}

// setBeside completes an event that was read by what is beside it.
func (e *Event) setBeside(rows map[EventNID]besideRow) {
	if e.Replaces != nil {
		row, ok := rows[e.Replaces.NID]
		if ok {
			e.Replaces.EventID, e.Replaces.Sender, e.Replaces.Place = row.eventID, row.sender, row.place
			e.Replaces.show(bytes.Clone(contentIn(row.json)))
		} else {
			e.Replaces = nil
		}
	}
	if r := e.redaction.Load(); r != nil {
		row, ok := rows[r.by]
		if because, err := event.ParseTrusted(e.Version, row.eventID, row.json); ok && err == nil {
			r.because = &Event{Event: because, Room: e.Room, NID: r.by, Place: row.place}
		}
	}
}

// contentIn returns the content in the JSON of an event; an empty one if that is
// damaged.
func contentIn(raw []byte) []byte {
	content := event.Field(raw, "content")
	if len(content) == 0 || content[0] != '{' || !event.IsJSON(content) {
		return []byte(`{}`)
	}
	return content
}
