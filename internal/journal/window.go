package journal

import (
	"cmp"
	"slices"
)

// window has the newest entries, found by position and by topic. Its owner guards it.
// Positions have no gaps, so the entry at position p is all.entries[p-floor-1].
type window struct {
	floor   Position // everything after the floor is here
	all     list
	byTopic map[Topic]*list
	bytes   int
	limit   int
}

func newWindow(floor Position, limit int) *window {
	return &window{floor: floor, limit: limit, byTopic: map[Topic]*list{}}
}

// list is entries by position.
type list struct {
	entries []*Entry
	gone    int // how many before entries the array may still hold
}

// dropFirst drops the oldest entry. Slices that were returned stay as they are, so the
// element is not cleared; once more is gone than is left, the rest moves to an array of
// its own: a quiet room must not keep a busy past in memory.
func (l *list) dropFirst() {
	l.entries = l.entries[1:]
	l.gone++
	if l.gone > len(l.entries) {
		l.entries, l.gone = slices.Clone(l.entries), 0
	}
}

// add appends the entries, which follow the last without a gap, and drops the oldest
// beyond the limit. Slices returned before stay valid: their elements are never written
// again.
func (w *window) add(entries []*Entry) {
	for _, e := range entries {
		w.all.entries = append(w.all.entries, e)
		for _, t := range e.Topics {
			w.append(t, e)
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
	for _, t := range e.Topics {
		w.dropFirst(t)
	}
}

func (w *window) append(t Topic, e *Entry) {
	l := w.byTopic[t]
	if l == nil {
		l = &list{}
		w.byTopic[t] = l
	}
	l.entries = append(l.entries, e)
}

func (w *window) dropFirst(t Topic) {
	l := w.byTopic[t]
	if len(l.entries) == 1 {
		delete(w.byTopic, t)
		return
	}
	l.dropFirst()
}

// The cost of an entry beside its value, at most: the struct and its element in the
// list of all; and for each topic the topic itself, an element in its list, and one in
// the map.
const (
	entryOverhead = 80
	topicOverhead = 160
)

func (e *Entry) cost() int { return e.Size + entryOverhead + topicOverhead*len(e.Topics) }

// between returns the part with positions in (after, upTo].
func (l *list) between(after, upTo Position) []*Entry {
	if l == nil || len(l.entries) == 0 || l.entries[len(l.entries)-1].Position <= after {
		return nil
	}
	from, to := l.search(after+1), l.search(upTo+1)
	return l.entries[from:to:to]
}

func (l *list) search(p Position) int {
	i, _ := slices.BinarySearchFunc(l.entries, p, func(e *Entry, p Position) int { return cmp.Compare(e.Position, p) })
	return i
}

// View is the journal at one moment: nothing is committed while it is read. It is valid
// only inside the function that it was passed to; the slices of entries stay valid
// after.
type View struct {
	// Position is the newest committed position.
	Position Position
	w        *window
}

// Covers reports whether the live window holds everything after the position.
func (v View) Covers(after Position) bool { return after >= v.w.floor }

// About returns the entries about a topic in (after, v.Position], which are all if the
// view covers after. An entry about several topics is returned for each.
func (v View) About(t Topic, after Position) []*Entry {
	return v.w.byTopic[t].between(after, v.Position)
}

// Between returns the entries in (after, upTo], which are all if the view covers after and
// has come as far.
func (v View) Between(after, upTo Position) []*Entry {
	return v.w.all.between(after, min(upTo, v.Position))
}

// At returns the entry at a position, or nil where the window does not reach.
func (v View) At(p Position) *Entry {
	if p <= v.w.floor || p > v.Position {
		return nil
	}
	return v.w.all.entries[p-v.w.floor-1]
}
