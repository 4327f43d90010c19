package timeline

import (
	"context"
	"fmt"
	"slices"
	"strconv"

	"homeserver/internal/event"
	"homeserver/internal/reserve"
)

// Aggregations are what is bundled with events for one reader, by their numbers. Events with
// which nothing is bundled are not among them. A Format writes them: client-server API,
// "Aggregations of child events".
type Aggregations map[EventNID]*Aggregation

// Aggregation is what is bundled with an event.
type Aggregation struct {
	// Replace is the latest edit; nil: there is none.
	Replace *Event
	// References are the events that refer to it, the newest MaxReferences, oldest first.
	References []string
	// Thread is nil for an event that is no root of a thread.
	Thread *ThreadSummary
}

// ThreadSummary describes a thread for one reader.
type ThreadSummary struct {
	Latest *Event
	Count  int64
	// Participated: the reader has sent the root, or something in the thread.
	Participated bool
	// latest is what is bundled with the latest event.
	latest Aggregation
}

// Bounds of what is bundled. A thread that the reader may see in part only is not counted
// further.
const (
	MaxReferences = 100
	MaxCounted    = 1000
)

// Aggregated are events of one room that are to be shown as of a place.
type Aggregated struct {
	Access *Access
	UpTo   Place
	Events []*Event
}

// Aggregations returns what is bundled with events for the reader, who ignores some users. It
// costs one statement, and another for what is not among the events themselves; and none for
// events in the live window or in the recent part of a room, for which it is known in memory.
// What would be too much to be read at once is left out.
func (r Reader) Aggregations(ctx context.Context, ignored []string, lists ...Aggregated) (Aggregations, error) {
	all := Aggregations{}
	q := &aggregationsQuery{userID: r.userID, ignored: ignored, lists: lists}
	for _, list := range lists {
		q.begin(&list)
		for _, e := range list.Events {
			if e.StateKey != nil || e.childless { // "State events do not currently receive bundled aggregations."
				continue
			}
			p := &parent{Event: e, access: list.Access, upTo: list.UpTo}
			if children, known := r.store.childrenOf(e); !known {
				q.add(p)
			} else if a := p.aggregate(r, ignored, children); a != nil {
				all[e.NID] = a
			}
		}
	}
	if err := r.store.readAggregations(ctx, q, all); err != nil {
		return nil, err
	}
	return all, all.reserve(ctx)
}

// childrenOf returns the events that are aggregated with an event, the oldest first, and whether
// they are known in memory. Some may be redacted, or in another room.
func (s *Store) childrenOf(e *Event) (children []*child, known bool) {
	if children, known := s.relatives.of(e); known {
		return children, true
	}
	return s.recents.children(e)
}

// reserve counts the memory of what is bundled, once it is written.
func (all Aggregations) reserve(ctx context.Context) error {
	cost := 0
	for _, a := range all {
		cost += a.cost()
	}
	if cost == 0 {
		return nil
	}
	if err := reserve.Read(ctx, func(c *reserve.Counter) error { return c.Add(cost) }); err != nil {
		return fmt.Errorf("bundle events: %w", err)
	}
	return nil
}

// parent is an event that something may be bundled with.
type parent struct {
	*Event
	access *Access
	upTo   Place
}

// isEditable reports whether edits of the event are bundled with it: "Validity of replacement
// events" and "Redactions of edited events".
func (p *parent) isEditable() bool {
	return p.StateKey == nil && p.Relation().Type != event.RelReplace && !p.Redacted()
}

// isRoot reports whether the event may be the root of a thread: it is in no relation itself.
func (p *parent) isRoot() bool { return p.Relation().Type == "" }

// aggregate returns what is bundled with an event, by its children in the
// order of places; nil: nothing is.
func (p *parent) aggregate(r Reader, ignored []string, children []*child) *Aggregation {
	a := &Aggregation{}
	for _, c := range slices.Backward(children) {
		if c.Room == p.Room && !c.Redacted() && c.Place <= p.upTo && p.access.Sees(c.Place) && !slices.Contains(ignored, c.Sender) {
			a.add(p, c, r.userID)
		}
	}
	slices.Reverse(a.References)
	if a.Thread != nil {
		latest := &parent{Event: a.Thread.Latest, access: p.access, upTo: p.upTo}
		if children, _ := r.store.childrenOf(latest.Event); latest.StateKey == nil && len(children) > 0 {
			if of := latest.aggregate(r, ignored, children); of != nil {
				a.Thread.latest = *of
			}
		}
	}
	if a.Replace == nil && a.References == nil && a.Thread == nil {
		return nil
	}
	return a
}

// add adds a child, which is older than those before.
func (a *Aggregation) add(p *parent, c *child, reader string) {
	switch c.relType {
	case event.RelReplace:
		if p.isEditable() && c.Sender == p.Sender && c.Type == p.Type && (a.Replace == nil || isLaterEdit(c.Event, a.Replace)) {
			a.Replace = c.Event
		}
	case event.RelReference:
		if len(a.References) < MaxReferences {
			a.References = append(a.References, c.ID)
		}
	case event.RelThread:
		if !p.isRoot() {
			return
		}
		if a.Thread == nil {
			a.Thread = &ThreadSummary{Latest: c.Event, Participated: p.Sender == reader}
		}
		a.Thread.Count++
		a.Thread.Participated = a.Thread.Participated || c.Sender == reader
	}
}

// isLaterEdit reports whether an edit is more recent than another: "Server-side aggregation
// of m.replace relationships".
func isLaterEdit(e, than *Event) bool {
	return e.OriginServerTS > than.OriginServerTS || e.OriginServerTS == than.OriginServerTS && e.ID > than.ID
}

// cost estimates the memory of what is bundled, once it is encoded.
func (a *Aggregation) cost() (n int) {
	if a.Replace != nil {
		n += len(a.Replace.JSON)
	}
	for _, id := range a.References {
		n += len(id)
	}
	if a.Thread != nil {
		n += len(a.Thread.Latest.JSON) + a.Thread.latest.cost()
	}
	return n
}

// appendAggregation appends what is bundled with an event, without edits that the reader
// must not see.
func (f *Format) appendAggregation(dst []byte, shown *Shown, a *Aggregation) []byte {
	begin := len(dst)
	next := `,"m.relations":{`
	member := func(name string) {
		dst = append(append(append(append(dst, next...), '"'), name...), `":`...)
		next = `,`
	}
	if len(a.References) > 0 {
		member(event.RelReference)
		dst = append(dst, `{"chunk":[`...)
		for i, id := range a.References {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = append(event.AppendString(append(dst, `{"event_id":`...), id), '}')
		}
		dst = append(dst, `]}`...)
	}
	if a.Replace != nil && !shown.isRedacted() && !new(f.show(a.Replace)).isRedacted() {
		member(event.RelReplace)
		dst = f.appendWith(dst, a.Replace, nil)
	}
	if t := a.Thread; t != nil {
		member(event.RelThread)
		dst = t.appendJSON(dst, f)
	}
	if len(dst) == begin {
		return dst
	}
	return append(dst, '}')
}

// appendJSON appends the summary of a thread: "Server-side aggregation of m.thread
// relationships".
func (t *ThreadSummary) appendJSON(dst []byte, f *Format) []byte {
	dst = strconv.AppendInt(append(dst, `{"count":`...), t.Count, 10)
	dst = strconv.AppendBool(append(dst, `,"current_user_participated":`...), t.Participated)
	dst = f.appendWith(append(dst, `,"latest_event":`...), t.Latest, &t.latest)
	return append(dst, '}')
}
