package timeline

import "homeserver/internal/journal"

// EventNID is an event's number in tables and in memory. It is the position of an event
// that was live when it was first written.
type EventNID int64

// Place is the number by which the history and the state of a room are ordered. Between
// the places of two positions there are free ones, for history that arrives later. It
// also stands for the gap after it, as a position does.
type Place int64

// placesEach is the number of places for each position. The last is that of the live
// event. More would not fit into 64 bits: a restored journal continues at the time in
// microseconds.
const placesEach = 1 << 10

// PlaceOf returns the place of the live event at a position, or of the gap after it.
func PlaceOf(p journal.Position) Place { return Place(p) * placesEach }

// Position returns the position whose gap a place stands for in a room that has no
// history before its live events: of the place just before a live event, the position
// before that of the event.
func (p Place) Position() journal.Position { return journal.Position(p / placesEach) }

// Live returns the position of the live event at a place, or next above it, and the
// distance of the place below that.
func (p Place) Live() (at journal.Position, below int64) {
	at = journal.Position((p + placesEach - 1) / placesEach)
	return at, int64(PlaceOf(at) - p)
}

// placesEachSQL is placesEach in SQL.
const placesEachSQL = `1024`

// ReadMarks says how far a user has read a room, by receipts public or private:
// everything up to a place is read. Marks never move back. 0: nothing.
type ReadMarks struct {
	// Unthreaded is for the room as a whole, Main for what is in no thread.
	Unthreaded, Main Place
	// Threads holds how far threads are read, by the event ID of their root.
	Threads map[string]Place
}

// UpTo returns how far a thread is read, by the event ID of its root; "" is what is in no thread.
func (m *ReadMarks) UpTo(thread string) Place {
	if thread == "" {
		return max(m.Unthreaded, m.Main)
	}
	return max(m.Unthreaded, m.Threads[thread])
}
