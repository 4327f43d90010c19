package timeline

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"

	"homeserver/internal/event"
	"homeserver/internal/journal"
	"homeserver/internal/reserve"
)

// Left is an event that was found and not read, because those before it used up all the
// bytes that one read may bring.
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

// And returns both lists as one.
func (l List) And(more List) List {
	return List{slices.Concat(l.Events, more.Events), slices.Concat(l.Left, more.Left)}
}

// Lists are lists by rooms.
type Lists map[journal.RoomNID]List

// and adds lists that are in the order of places, and returns all.
func (l Lists) and(more Lists) Lists {
	for room, list := range more {
		if known, ok := l[room]; ok {
			list.Events = byPlace(slices.Concat(known.Events, list.Events))
		}
		l[room] = list
	}
	return l
}

// All returns all lists as one, by rooms.
func (l Lists) All() (all List) {
	for _, room := range slices.Sorted(maps.Keys(l)) {
		all.Events = append(all.Events, l[room].Events...)
		all.Left = append(all.Left, l[room].Left...)
	}
	return all
}

// ByRoom splits a list by rooms.
func (l List) ByRoom() Lists {
	byRoom := Lists{}
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

// order is the order in which events take up the bytes of a read. They are returned by
// their places, or by room and then by their places.
type order string

const (
	byRoom      order = `room_nid, place`
	oldestFirst order = `place`
	newestFirst order = `place DESC`
	// evenly orders the newest events of all rooms before the second newest, and so on.
	evenly order = `nth, room_nid`
	// byBeginning is for intervals, with the place held.place at which each begins. They
	// are returned in no order.
	byBeginning order = `room_nid, held_from`
	// byLatestReply is for the roots of threads, with the places held.place of the latest
	// replies. They are returned in no order.
	byLatestReply order = `held_from DESC`
	// byDistance is for the events around one, which stands at the place held.place.
	byDistance order = `abs(place - held_from)`
)

// hasHeld reports whether a place is read beside each event.
func (o order) hasHeld() bool { return o == byBeginning || o == byLatestReply || o == byDistance }

// sort orders what was read. Here that takes less time than in PostgreSQL, which cannot
// return the first row before it has all.
func (o order) sort(l List) {
	if o == byBeginning || o == byLatestReply {
		return
	}
	compare := func(a, b Left) int {
		if o == byRoom && a.Room != b.Room {
			return cmp.Compare(a.Room, b.Room)
		}
		return cmp.Compare(a.Place, b.Place)
	}
	slices.SortFunc(l.Left, compare)
	slices.SortFunc(l.Events, func(a, b *Event) int {
		return compare(Left{a.Room, a.NID, a.Place}, Left{b.Room, b.NID, b.Place})
	})
}

// selectFrom is selectEvents for what stands after FROM, of which a part is named e and
// has all columns of events.
func (o order) selectFrom(events string) string {
	columns := eventColumns
	if o.hasHeld() {
		columns += heldFrom
	}
	if o.isOfHistory() {
		columns += childless
	}
	return `SELECT ` + columns + ` FROM ` + events
}

// isOfHistory reports whether the order is one of pages and timelines, whose events are shown with
// what is aggregated with them.
func (o order) isOfHistory() bool {
	return o == oldestFirst || o == newestFirst || o == evenly || o == byDistance
}

const heldFrom = `, held.place AS held_from`

// fromEvents returns such a part: the table of events, restricted by clauses.
func fromEvents(clauses string) string { return `(SELECT * FROM events e ` + clauses + `) e` }

// selectCut is selectFrom for as many events as have room in the bytes that an argument
// holds, with what is read beside them: later rows have no JSON. The first has it in any case.
func (o order) selectCut(events, bytes string) string {
	column, from := ``, ``
	switch {
	case o == evenly:
		column = `, row_number() OVER (PARTITION BY e.room_nid ORDER BY e.place DESC) AS nth`
	case o.hasHeld():
		column, from = heldFrom, `, c.held_from`
	}
	beside := func(number string) string {
		return ` + coalesce((SELECT octet_length(json) FROM events WHERE event_nid = ` + number + `), 0)`
	}
	columns := strings.ReplaceAll(eventColumns, `e.json`, `CASE WHEN e.before < `+bytes+` THEN e.json END`)
	return `
	SELECT ` + strings.ReplaceAll(columns, `e.`, `c.`) + from + `
	FROM (
		SELECT *, sum(weight) OVER (ORDER BY ` + string(o) + ` ROWS UNBOUNDED PRECEDING) - weight AS before
		FROM (SELECT ` + eventColumns + column + `,
			` + strconv.Itoa(weightBesideJSON) + ` + octet_length(e.json)` + beside(`e.replaces`) + beside(`e.redacted_by`) + ` AS weight
			FROM ` + events + `) w) c`
}

// cut reads events as selectFrom has them, in an order, as many as one read may bring, and
// lists the others. Mostly there are no others: so it is tried first to read all, which is
// cheaper than to add up lengths and sort by them.
func (s *Store) cut(ctx context.Context, o order, bytes int64, events string, args ...any) (found, error) {
	whole, err := s.readEvents(ctx, bytes, o.selectFrom(events), args...)
	if errors.Is(err, journal.ErrTooMuch) {
		return s.cutLarge(ctx, o, bytes, events, args...)
	}
	o.sort(whole.List)
	return whole, err
}

// cutLarge does the same where it is known that there is more.
func (s *Store) cutLarge(ctx context.Context, o order, bytes int64, events string, args ...any) (found, error) {
	args = append(args[:len(args):len(args)], bytes)
	part, err := s.readEvents(ctx, math.MaxInt64, o.selectCut(events, fmt.Sprintf("$%d", len(args))), args...)
	o.sort(part.List)
	return part, err
}

// pagesOfDamage bounds how often a page is read again because of damaged events.
// Where there are more of them, the page is shorter than it could be.
const pagesOfDamage = 10

// page reads a page of events, for callers that conclude from their number whether
// there are more, and lists those on it that were not read. The events are selected for
// a filter, as selectFrom has them, and their number is bounded: damaged events do not
// count.
func (s *Store) page(
	ctx context.Context, o order, f *EventFilter, events func(f *EventFilter) (sql string, args []any),
) (List, error) {
	for i := 0; ; i++ {
		sql, args := events(f)
		read, err := s.cut(ctx, o, reserve.Bytes(ctx), sql, args...)
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

// list reads the events with the numbers of a query that meet further conditions, by
// room and in the order of places.
func (s *Store) list(ctx context.Context, numbers, conditions string, args ...any) (List, error) {
	read, err := s.cut(ctx, byRoom, reserve.Bytes(ctx), fromEvents(whereNumber(numbers)+conditions), args...)
	if err == nil && len(read.Left) > 0 {
		err = reserve.Ahead(ctx, partCost)
	}
	return read.List, err
}

// Cursor reads a list of events in parts, so that there need not be room for all of
// them.
type Cursor struct {
	s     *Store
	next  List
	held  int64 // what the last part takes
	wide  int   // how many events are looked at for the next part
	large bool  // whether the last part was not all of them
}

// partBytes and partEvents bound a part: enough for most lists. A list of up to usualEvents is
// read with one statement. How many events a part has is known from the one before; fewEvents are
// looked at in any case.
const (
	partBytes   = 256 << 10
	partEvents  = 1000
	usualEvents = 200
	fewEvents   = 16
	// partCost is the largest cost of a part: the last of its events may go beyond
	// partBytes, with what it has replaced and its redaction.
	partCost = 2 * (partBytes + 3*event.MaxBytes + 1<<10)
)

// cursor reads the events of the numbers that a query returns in parts, of which it reads the
// first, unless there are so many that only their numbers are read.
func (s *Store) cursor(ctx context.Context, numbers string, args ...any) (*Cursor, error) {
	before := reserve.Used(ctx)
	read, err := s.cut(ctx, byRoom, partBytes, fromUsual(numbers), args...)
	if err == nil && len(read.Left) > 0 {
		err = reserve.Ahead(ctx, partCost)
	}
	if err != nil {
		return nil, err
	}
	c := &Cursor{s: s, next: read.List, held: reserve.Used(ctx) - before, large: len(read.Events) > 0 && len(read.Left) > 0}
	if !c.large {
		c.wide = usualEvents
	}
	return c, nil
}

// fromUsual is fromEvents for the events with the numbers of a query, without their JSON if there
// are more of them than usual.
func fromUsual(numbers string) string {
	few := `CASE WHEN (SELECT count(*) <= ` + strconv.Itoa(usualEvents) + ` FROM n) THEN e.json END AS json`
	return `(WITH n (event_nid) AS MATERIALIZED (` + numbers + `)
	SELECT ` + strings.Replace(eventColumns, `e.json`, few, 1) + ` FROM events e ` + whereNumber(`SELECT event_nid FROM n`) + `) e`
}

// Cursor returns a cursor over a list of one room, or by rooms, which also reads the
// events that were left.
func (s *Store) Cursor(l List) *Cursor { return &Cursor{s: s, next: l} }

// All returns the events one by one, until an error. The caller must keep none when it
// asks for the next.
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

// part returns the next events; none at the end.
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
	cut := c.s.cut
	if c.large {
		cut = c.s.cutLarge
	}
	read, err := cut(ctx, byRoom, partBytes, fromEvents(`WHERE e.event_nid = ANY($1)`), numbers)
	if err != nil {
		return err
	}
	c.held = reserve.Used(ctx) - before
	c.next = List{read.Events, c.next.Left[len(part)-len(read.Left):]}
	c.large = len(read.Left) > 0
	c.wide = partEvents
	if read.weight > 0 {
		c.wide = int(int64(len(part)-len(read.Left)) * partBytes * 3 / 4 / read.weight)
	}
	return nil
}
