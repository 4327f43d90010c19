package timeline

import "context"

// EventsByID reads the events of some IDs that there are, in any room and in no
// order. It asks nobody whether they may know.
func (s *Store) EventsByID(ctx context.Context, ids []string) ([]*Event, error) {
	return s.events(ctx, selectEvents+`WHERE e.event_id = ANY($1)`, ids)
}
