package timeline

import (
	"context"

	"homeserver/internal/event"
)

// Thread is where an event stands among the threads of its room. Unread counts and
// receipts both go by it: client-server API, "Threaded read receipts".
type Thread struct {
	// Root is the event ID of the root of the thread that the event is in; "": it is in the
	// main timeline.
	Root string
	// Top is the event of the room that the way along relations leads to, within
	// [event.MaxThreadHops]: the event itself, if it is related to none.
	Top string
	// Redacted reports that one of the relations on the way was that of an event which was
	// redacted. They still count, or what is unread would be counted otherwise after it,
	// but clients that see the redacted form find the event in the main timeline.
	Redacted bool
}

// Has reports whether a receipt of a thread fits the event: the ID of its root, or "" for
// the main timeline. The root, and what is related to it otherwise, is in the main
// timeline, and yet related to the thread: it fits both. Clients send both.
func (t *Thread) Has(root string) bool {
	if root == "" {
		return t.Root == "" || t.Redacted
	}
	return root == t.Root || t.Root == "" && root == t.Top
}

// ThreadsOf works out which threads events are in. It does not check who may read them. It
// takes as many statements as relations are followed at most.
func (s *Store) ThreadsOf(ctx context.Context, events []*Event) ([]Thread, error) {
	threads := make([]Thread, len(events))
	open := map[int]string{} // the event to look at next
	for i, e := range events {
		if next := threads[i].follow(e); next != "" {
			open[i] = next
		}
	}
	for range event.MaxThreadHops {
		if len(open) == 0 {
			break
		}
		parents, err := s.parents(ctx, open)
		if err != nil {
			return nil, err
		}
		further := map[int]string{}
		for i, target := range open {
			parent := parents[target]
			if parent == nil || parent.Room != events[i].Room {
				continue
			}
			if next := threads[i].follow(parent); next != "" {
				further[i] = next
			}
		}
		open = further
	}
	return threads, nil
}

// follow takes the way to an event, and returns the ID of the next one; "": it ends here.
func (t *Thread) follow(e *Event) (next string) {
	t.Top = e.ID
	relation := e.Relation()
	if relation.Type == "" {
		return ""
	}
	t.Redacted = t.Redacted || e.Redacted()
	if relation.Type == event.RelThread {
		t.Root = relation.EventID
		return ""
	}
	return relation.EventID
}

// parents reads the events that are to be looked at, by their IDs.
func (s *Store) parents(ctx context.Context, open map[int]string) (map[string]*Event, error) {
	ids := make([]string, 0, len(open))
	for _, target := range open {
		ids = append(ids, target)
	}
	events, err := s.EventsByID(ctx, ids)
	if err != nil {
		return nil, err
	}
	byID := make(map[string]*Event, len(events))
	for _, e := range events {
		byID[e.ID] = e
	}
	return byID, nil
}
