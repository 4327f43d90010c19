package timeline

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"homeserver/internal/event"
)

// StoredState is an entry of a room's state as it is stored.
type StoredState struct {
	event.StateKey
	RoomID, EventID, Sender string
	// From is the place at which it begins to hold.
	From Place
	// Content is a JSON object, unless it is damaged; that of a redacted event is what is left.
	Content []byte
}

// EachState calls do with each entry of some types of the state of some rooms, one row after
// the other, without a check of access: it is for the server itself and its operator.
func EachState(ctx context.Context, pool *pgxpool.Pool, roomIDs, types []string, do func(StoredState)) error {
	rows, _ := pool.Query(ctx, `
		SELECT r.room_id, s.type, s.state_key, s.place, e.event_id, e.sender, e.json
		FROM rooms r JOIN room_state s ON s.room_nid = r.room_nid JOIN events e ON e.event_nid = s.event_nid
		WHERE r.room_id = ANY($1) AND s.type = ANY($2) AND s.replaced_at IS NULL`, roomIDs, types)
	var e StoredState
	var raw borrowed
	_, err := pgx.ForEachRow(rows, []any{&e.RoomID, &e.Type, &e.Key, &e.From, &e.EventID, &e.Sender, &raw}, func() error {
		e.Content = event.Field(raw, "content")
		do(e)
		return nil
	})
	if err != nil {
		return fmt.Errorf("read the state of some types in %d rooms: %w", len(roomIDs), err)
	}
	return nil
}
