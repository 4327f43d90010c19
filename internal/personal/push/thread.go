package push

import (
	"context"

	"homeserver/internal/rooms/timeline"
)

// findThreads works out which thread each step's event is in.
func (s *Service) findThreads(ctx context.Context, steps []step) error {
	var found []*step
	var events []*timeline.Event
	for i := range steps {
		if st := &steps[i]; st.effect == notify || st.effect == read {
			found, events = append(found, st), append(events, st.event)
		}
	}
	threads, err := s.rooms.ThreadsOf(ctx, events)
	if err != nil {
		return err
	}
	for i, st := range found {
		st.thread = threads[i].Root
	}
	return nil
}
