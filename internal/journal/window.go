package journal

import (
	"cmp"
	"slices"
)

// window keeps the newest entries, found by position, by room and by user. Its
// owner guards it. Positions have no gaps, so the entry at position p is
// all.entries[p-floor-1].
type window struct {
	floor  Position // everything after the floor is here
	all    list
	byRoom map[RoomNID]*list
	byUser map[string]*list
	bytes  int
	limit  int
}

func newWindow(floor Position, limit int) *window {
	return &window{
		floor: floor, limit: limit,
		byRoom: map[RoomNID]*list{}, byUser: map[string]*list{},
	}
}

// list is entries by position.
type list struct {
	entries []*Entry
	gone    int // how many before entries the array may still hold
}

// dropFirst lets go of the oldest entry. What was handed out stays as it is, so
// the place is not cleared; once more is gone than is left, what is left moves
// to an array of its own: a quiet room must not keep a busy past in memory.
func (l *list) dropFirst() {
	l.entries = l.entries[1:]
	l.gone++
	if l.gone > len(l.entries) {
		l.entries, l.gone = slices.Clone(l.entries), 0
	}
}

// add appends the entries, which follow on the last without a gap, and lets go
// of the oldest beyond the limit. Slices handed out before stay valid: what
// they show is never written again.
func (w *window) add(entries []*Entry) {
	for _, e := range entries {
		w.all.entries = append(w.all.entries, e)
		switch {
		case e.overwritten:
		case e.User != "":
			appendTo(w.byUser, e.User, e)
		default:
			appendTo(w.byRoom, e.Room, e)
		}
		w.bytes += e.cost()
	}
	for w.bytes > w.limit && len(w.all.entries) > 0 {
		w.evict()
	}
}

func (w *window) evict() {
	e := w.all.entries[0]
	w.all.dropFirst()
	w.floor = e.Position
	w.bytes -= e.cost()
	switch {
	case e.overwritten:
	case e.User != "":
		dropFrom(w.byUser, e.User)
	default:
		dropFrom(w.byRoom, e.Room)
	}
}

func appendTo[K comparable](m map[K]*list, key K, e *Entry) {
	l := m[key]
	if l == nil {
		l = &list{}
		m[key] = l
	}
	l.entries = append(l.entries, e)
}

func dropFrom[K comparable](m map[K]*list, key K) {
	l := m[key]
	if len(l.entries) == 1 {
		delete(m, key)
		return
	}
	l.dropFirst()
}

// entryOverhead is about what an entry costs beside its value, at most: the
// struct, its places in two lists, and its room's or user's place in a map.
const entryOverhead = 200

func (e *Entry) cost() int { return e.Size + entryOverhead }

// between gives the part with positions in (after, upTo].
func (l *list) between(after, upTo Position) []*Entry {
	if l == nil || l.entries[len(l.entries)-1].Position <= after {
		return nil
	}
	from, to := l.search(after+1), l.search(upTo+1)
	return l.entries[from:to:to]
}

func (l *list) search(p Position) int {
	i, _ := slices.BinarySearchFunc(l.entries, p, func(e *Entry, p Position) int { return cmp.Compare(e.Position, p) })
	return i
}

// View is the journal at one moment: nothing is committed while it is looked
// at. It is valid only inside the function that it was given to; the slices of
// entries stay valid after.
type View struct {
	// Position is the newest committed position.
	Position Position
	w        *window
}

// Covers reports whether the live window holds everything after the position.
func (v View) Covers(after Position) bool { return after >= v.w.floor }

// Room gives the entries for everybody in a room in (after, v.Position]. The
// view must cover after.
func (v View) Room(room RoomNID, after Position) []*Entry {
	return v.w.byRoom[room].between(after, v.Position)
}

// User gives the entries for one user alone in (after, v.Position]. The view
// must cover after.
func (v View) User(user string, after Position) []*Entry {
	return v.w.byUser[user].between(after, v.Position)
}

// At gives the entry at a position, or nil where the window does not reach.
func (v View) At(p Position) *Entry {
	if p <= v.w.floor || p > v.Position {
		return nil
	}
	return v.w.all.entries[p-v.w.floor-1]
}
