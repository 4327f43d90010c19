package timeline

import (
	"slices"
	"sync"

	"homeserver/internal/event"
	"homeserver/internal/journal"
)

// relatives are the events of the live window that are aggregated with others, by the ID of
// that other. A child comes after its parent: all children of an event in the window are in
// it, too, until the event leaves it. Code that adds events of other servers must keep this
// order.
type relatives struct {
	mu sync.RWMutex
	// since is the position after which all children are here.
	since    journal.Position
	byTarget map[string][]*child
	all      []*child // in the order of positions
	gone     int      // how many before those the array may still hold
}

func newRelatives() *relatives { return &relatives{byTarget: map[string][]*child{}} }

// child is an event that is aggregated with another.
type child struct {
	*Event
	relType, target string
}

// childOf returns an event as it is aggregated with another; nil: it is not, whatever the
// other is.
func childOf(e *Event) *child {
	relation := event.RelationOf(e.Event.Content)
	switch relation.Type {
	case event.RelReference, event.RelThread:
	case event.RelReplace:
		if !e.ReplacesContent() {
			return nil
		}
	default:
		return nil
	}
	return &child{e, relation.Type, relation.EventID}
}

// memorySize estimates how many bytes a child occupies beside its event.
func (c *child) memorySize() int {
	const structs = 200 // with its elements in both lists, and the one in the map
	return structs + len(c.target) + len(c.relType)
}

// of returns the children of an event, the oldest first, and whether they are known here.
// Some may be redacted, or in another room.
func (r *relatives) of(e *Event) (children []*child, known bool) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	if e.Position <= r.since {
		return nil, false
	}
	return r.byTarget[e.ID], true
}

// HasReplies reports whether the live window has a reply in the thread of an event, which
// therefore is a root. Where it reports false, there may be older ones.
func (s *Store) HasReplies(roomID, eventID string) bool {
	s.relatives.mu.RLock()
	defer s.relatives.mu.RUnlock()
	return slices.ContainsFunc(s.relatives.byTarget[eventID], func(c *child) bool {
		return c.relType == event.RelThread && c.RoomID == roomID
	})
}

// reset forgets all. What comes after a position will be here.
func (r *relatives) reset(p journal.Position) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.since, r.byTarget, r.all, r.gone = p, map[string][]*child{}, nil, 0
}

// add adds what is aggregated among the entries of a group, and drops what is no longer in
// the window.
func (r *relatives) add(v journal.View, entries []*journal.Entry) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, entry := range entries {
		e := EventOf(entry)
		if e == nil {
			continue
		}
		if c := childOf(e); c != nil {
			r.byTarget[c.target] = append(r.byTarget[c.target], c)
			r.all = append(r.all, c)
		}
	}
	for len(r.all) > 0 && !v.Covers(r.all[0].Position-1) {
		r.dropFirst()
	}
}

func (r *relatives) dropFirst() {
	first := r.all[0]
	r.since = first.Position
	if of := r.byTarget[first.target]; len(of) > 1 {
		r.byTarget[first.target] = of[1:]
	} else {
		delete(r.byTarget, first.target)
	}
	r.all = r.all[1:]
	if r.gone++; r.gone > len(r.all) {
		r.all, r.gone = slices.Clone(r.all), 0
	}
}
