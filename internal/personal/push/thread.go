package push

import (
	"context"

	"homeserver/internal/event"
	"homeserver/internal/rooms/timeline"
)

// findThreads works out which thread each step's event is in. Relations that are
// not those of a thread are followed, all of one length at once.
func (s *Service) findThreads(ctx context.Context, steps []step) error {
	open := map[*step]string{} // the event to look at next
	for i := range steps {
		st := &steps[i]
		if st.effect == notify || st.effect == read {
			st.follow(st.event, open)
		}
	}
	for range event.MaxThreadHops {
		if len(open) == 0 {
			return nil
		}
		parents, err := s.parents(ctx, open)
		if err != nil {
			return err
		}
		further := map[*step]string{}
		for st, target := range open {
			if parent := parents[target]; parent != nil && parent.Room == st.event.Room {
				st.follow(parent, further)
			}
		}
		open = further
	}
	return nil
}

// follow follows the step to an event that its event is related to, or to itself.
func (st *step) follow(e *timeline.Event, open map[*step]string) {
	switch relation := e.Relation(); relation.Type {
	case "":
	case event.RelThread:
		st.thread = relation.EventID
	default:
		open[st] = relation.EventID
	}
}

// parents reads the events that are to be looked at.
func (s *Service) parents(ctx context.Context, open map[*step]string) (map[string]*timeline.Event, error) {
	var ids []string
	for _, target := range open {
		ids = append(ids, target)
	}
	events, err := s.rooms.EventsByID(ctx, ids)
	if err != nil {
		return nil, err
	}
	byID := make(map[string]*timeline.Event, len(events))
	for _, e := range events {
		byID[e.ID] = e
	}
	return byID, nil
}
