package timeline

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"math"
	"slices"
	"strconv"
	"strings"

	"homeserver/internal/event"
	"homeserver/internal/journal"
	"homeserver/internal/reserve"
)

// Left is an event that was found and not read, because those before it took up all
// the bytes that one read may bring.
type Left struct {
	Room  journal.RoomNID
	NID   EventNID
	Place Place
}

// List is a list of events, which may have been cut: those in Left are read by a
// [Cursor].
type List struct {
	Events []*Event
	Left   []Left
}

// And gives both lists as one.
func (l List) And(more List) List {
	return List{slices.Concat(l.Events, more.Events), slices.Concat(l.Left, more.Left)}
}

// ByRoom takes a list apart.
func (l List) ByRoom() map[journal.RoomNID]List {
	byRoom := map[journal.RoomNID]List{}
	for _, e := range l.Events {
		list := byRoom[e.Room]
		list.Events = append(list.Events, e)
		byRoom[e.Room] = list
	}
	for _, left := range l.Left {
		list := byRoom[left.Room]
		list.Left = append(list.Left, left)
		byRoom[left.Room] = list
	}
	return byRoom
}

// order is the order in which events take up the bytes of a read, and in which they are
// given.
type order struct {
	cut, given string
	// Where intervals are read, with is what stands before the query, and from is a column
	// more of it: the place at which the interval begins.
	with, from string
}

var (
	byRoom      = order{cut: `room_nid, place`, given: `c.room_nid, c.place`}
	oldestFirst = order{cut: `place`, given: `c.place`}
	newestFirst = order{cut: `place DESC`, given: `c.place`}
	// evenly lets each room have its newest event, then each its second newest, and so on.
	evenly = order{cut: `nth, room_nid`, given: `c.place`}
)

// byBeginning is the order of the intervals whose numbers and places a query returns. Their
// events are read on the condition whereHeld.
func byBeginning(intervals string) order {
	return order{
		cut: `room_nid, held_from`, given: `c.room_nid, held_from`,
		with: `WITH held AS MATERIALIZED (` + intervals + `) `, from: `, held.place AS held_from`,
	}
}

// whereHeld finds the events by their numbers first, as byNumbers does.
const whereHeld = `JOIN held ON held.event_nid = e.event_nid WHERE e.event_nid = ANY(ARRAY(SELECT event_nid FROM held))`

// selectCut reads events as selectEvents does, as many as have room in the bytes that
// an argument holds: rows after that have no JSON. The first has it in any case.
func selectCut(conditions string, o order, bytes string) string {
	fits := func(column string) string { return `CASE WHEN c.before < ` + bytes + ` THEN c.` + column + ` END` }
	column, from := o.from, ``
	switch {
	case o == evenly:
		column = `, row_number() OVER (PARTITION BY e.room_nid ORDER BY e.place DESC) AS nth`
	case o.from != ``:
		from = `, c.held_from`
	}
	return o.with + `
	SELECT c.event_nid, c.position, c.place, c.room_nid, c.version, c.event_id, c.type, c.state_key, c.sender, ` + fits("json") + `,
		c.device_id, c.txn_id, c.prev_nid, c.prev_place, c.prev_id, c.prev_sender, ` + fits("prev_json") + `,
		c.redaction_nid, c.redaction_place, c.redaction_id, ` + fits("redaction_json") + from + `
	FROM (
		SELECT *, sum(weight) OVER (ORDER BY ` + o.cut + ` ROWS UNBOUNDED PRECEDING) - weight AS before
		FROM (SELECT ` + eventColumns + `,
			octet_length(e.json) + coalesce(octet_length(p.json), 0) + coalesce(octet_length(d.json), 0) + ` + strconv.Itoa(weightBesideJSON) + ` AS weight` + column +
		fromEvents + conditions + `) w) c
	ORDER BY ` + o.given
}

// cut reads events in an order, as many as one read may bring, and lists the others.
// The conditions are what follows selectEvents. Mostly there are no others: so it is
// tried first to read all, which is cheaper than to add up lengths and sort by them.
func (s *Store) cut(ctx context.Context, o order, bytes int64, conditions string, args ...any) (found, error) {
	given := strings.ReplaceAll(o.given, "c.", "e.")
	whole, err := s.readEvents(ctx, bytes, o.with+`SELECT `+eventColumns+o.from+fromEvents+conditions+` ORDER BY `+given, args...)
	if !errors.Is(err, journal.ErrTooMuch) {
		return whole, err
	}
	return s.cutLarge(ctx, o, bytes, conditions, args...)
}

// cutLarge does the same where it is known that there is more.
func (s *Store) cutLarge(ctx context.Context, o order, bytes int64, conditions string, args ...any) (found, error) {
	args = append(args[:len(args):len(args)], bytes)
	return s.readEvents(ctx, math.MaxInt64, selectCut(conditions, o, fmt.Sprintf("$%d", len(args))), args...)
}

// pagesOfDamage bounds how often a page is read again because of damaged events.
// Where there are more of them, the page is shorter than it could be.
const pagesOfDamage = 10

// page reads a page of events, for who concludes from the number of them whether there
// are more, and lists those that are on it and were not read. The numbers are those
// of a query that is made for a filter, and of a length that is bounded: damaged
// events do not count.
func (s *Store) page(
	ctx context.Context, o order, f *EventFilter, numbers func(f *EventFilter) (sql string, args []any),
) (List, error) {
	for i := 0; ; i++ {
		sql, args := numbers(f)
		read, err := s.cut(ctx, o, reserve.Bytes(ctx), whereNumber(sql), args...)
		if err != nil || len(read.bad) == 0 || i == pagesOfDamage {
			return read.List, err
		}
		bad := make([]EventNID, len(read.bad))
		for i := range read.bad {
			bad[i] = read.bad[i].nid
		}
		f = f.withoutEvents(bad)
	}
}

// list reads the events of the numbers that a query gives, as far as further
// conditions let through, by room and in the order of places.
func (s *Store) list(ctx context.Context, numbers, conditions string, args ...any) (List, error) {
	read, err := s.cut(ctx, byRoom, reserve.Bytes(ctx), whereNumber(numbers)+conditions, args...)
	if err == nil && len(read.Left) > 0 {
		err = reserve.Ahead(ctx, partCost)
	}
	return read.List, err
}

// Cursor reads a list of events in parts, so that there need not be room for all of
// them.
type Cursor struct {
	s    *Store
	next List
	held int64 // what the last part takes
	wide int   // how many events are looked at for the next part
}

// partBytes and partEvents bound a part: enough for most lists. How many events it has
// is known from the one before; fewEvents are looked at in any case.
const (
	partBytes  = 256 << 10
	partEvents = 1000
	fewEvents  = 16
	// partCost is what a part takes at most: the last of its events may go beyond
	// partBytes, with what it has replaced and its redaction.
	partCost = 2 * (partBytes + 3*event.MaxBytes + 1<<10)
)

// cursor reads the events of the numbers that a query returns in parts, of which it reads the
// first.
func (s *Store) cursor(ctx context.Context, numbers string, args ...any) (*Cursor, error) {
	before := reserve.Used(ctx)
	read, err := s.cut(ctx, byRoom, partBytes, whereNumber(numbers), args...)
	if err == nil && len(read.Left) > 0 {
		err = reserve.Ahead(ctx, partCost)
	}
	if err != nil {
		return nil, err
	}
	return &Cursor{s: s, next: read.List, held: reserve.Used(ctx) - before}, nil
}

// Cursor gives a list of one room, or by rooms, and goes on with what was left of it.
func (s *Store) Cursor(l List) *Cursor { return &Cursor{s: s, next: l} }

// All gives the events one by one, until an error. None must be kept when the next is
// asked for.
func (c *Cursor) All(ctx context.Context) iter.Seq2[*Event, error] {
	return func(yield func(*Event, error) bool) {
		for {
			events, err := c.part(ctx)
			if err != nil {
				yield(nil, err)
			}
			if len(events) == 0 {
				return
			}
			for _, e := range events {
				if !yield(e, nil) {
					return
				}
			}
		}
	}
}

// part gives the next events; none: that was all.
func (c *Cursor) part(ctx context.Context) ([]*Event, error) {
	for len(c.next.Events) == 0 && len(c.next.Left) > 0 {
		if err := c.read(ctx); err != nil {
			return nil, err
		}
	}
	events := c.next.Events
	c.next.Events = nil
	return events, nil
}

// read reads the next part.
func (c *Cursor) read(ctx context.Context) error {
	reserve.Drop(ctx, c.held)
	c.held = 0
	part := c.next.Left[:min(len(c.next.Left), max(c.wide, fewEvents), partEvents)]
	numbers := make([]int64, len(part))
	for i := range part {
		numbers[i] = int64(part[i].NID)
	}
	before := reserve.Used(ctx)
	read, err := c.s.cutLarge(ctx, byRoom, partBytes, `WHERE e.event_nid = ANY($1)`, numbers)
	if err != nil {
		return err
	}
	c.held = reserve.Used(ctx) - before
	c.next = List{read.Events, c.next.Left[len(part)-len(read.Left):]}
	c.wide = 2 * (len(part) - len(read.Left))
	return nil
}
