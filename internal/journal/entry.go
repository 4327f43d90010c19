package journal

import "github.com/jackc/pgx/v5"

// Position is a place in the journal: 0 before the first entry, then 1, 2, …
type Position int64

// RoomNID is the number that stands for a room in tables and in memory.
type RoomNID int64

// Entry is one thing that clients can learn of. It is owned by the journal
// once its write is enqueued, and it is immutable once it is committed.
type Entry struct {
	// Position is set by the journal when the group is written.
	Position Position
	// Table writes the rows of this entry.
	Table *Table
	// Room is the room whose members are concerned; 0: no room.
	Room RoomNID
	// User is the one user who is concerned; "": everybody in the room.
	User string
	// Value is what the owner of the table keeps with the entry: the rows to
	// write, and what readers of the live window get to see.
	Value any
	// Size is about how many bytes the entry takes in memory.
	Size int
}

// Table is a kind of entry and the way its rows are written.
type Table struct {
	// Name is for metrics and messages.
	Name string
	// Queue adds the statements that write the rows of the entries, which come
	// in the order of their positions, all of this table, from one group. It
	// must neither block nor keep the batch. An error fails the group.
	Queue func(b *pgx.Batch, entries []*Entry) error
}

// Write is what is committed together or not at all.
type Write struct {
	// Entries get consecutive positions in this order. At least one.
	Entries []*Entry
	// Also, where it is not nil, queues further statements of the same commit,
	// after those of the tables.
	Also func(b *pgx.Batch)
}

func (w *Write) size() int {
	n := 0
	for _, e := range w.Entries {
		n += e.Size
	}
	return n
}
