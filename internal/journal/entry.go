package journal

import (
	"context"
	"errors"

	"github.com/jackc/pgx/v5"
)

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
	// Topics are the rooms whose members are concerned, and the users who are, each
	// once. With none the entry concerns no client.
	Topics []Topic
	// Value is what the owner of the table keeps with the entry: the rows to
	// write, and what readers of the live window get to see.
	Value any
	// Size is about how many bytes the entry takes in memory.
	Size int

	posted int64 // its number in the outbox; 0: it does not come from there
}

// Topic is what an entry is about: a room, or one user.
type Topic struct {
	Room RoomNID
	User string
}

// Table is a kind of entry and the way its rows are written and read.
type Table struct {
	// Name is for metrics and messages.
	Name string
	// Queue adds the statements that write the rows of the entries, which come
	// in the order of their positions, all of this table, from one group. It
	// must neither block nor keep the batch. An error fails the group.
	Queue func(b *pgx.Batch, entries []*Entry) error
	// Read gives the entries that other processes have written in (after, upTo],
	// with their positions, as Queue was given them, in no order. What has been
	// overwritten since is left out. Where they take more than so many bytes it keeps
	// none, and the error is [ErrTooMuch].
	Read func(ctx context.Context, conn *pgx.Conn, after, upTo Position, most int) ([]*Entry, error)
	// Decode, where it is not nil, makes the value of an entry of what was put into the
	// outbox for it: see [Post].
	Decode func(payload []byte) (value any, err error)
}

// Write is what is committed together or not at all.
type Write struct {
	// Entries get consecutive positions in this order. At least one.
	Entries []*Entry
	// Also, where it is not nil, queues further statements of the same commit,
	// after those of the tables.
	Also func(b *pgx.Batch)
	// Stale, where it is not nil, is asked just before the write goes to the
	// database, when everything that other processes have committed is known here.
	// If it reports true the write fails with ErrStale, and its author may build it
	// anew. It must be quick and do no I/O.
	Stale func() bool
}

// ErrStale says that a write was made from what another process has changed
// meanwhile. Nothing of it is written.
var ErrStale = errors.New("the write is overtaken by another process")

// ErrTooMuch says that entries take more bytes than one read may bring.
var ErrTooMuch = errors.New("more than is read at once")

// CollectEntries collects the entries of the rows of a query, until they take more than so
// many bytes: then the error is [ErrTooMuch].
func CollectEntries(rows pgx.Rows, most int, scan pgx.RowToFunc[*Entry]) ([]*Entry, error) {
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (*Entry, error) {
		e, err := scan(row)
		if err != nil {
			return nil, err
		}
		if most -= e.cost(); most < 0 {
			return nil, ErrTooMuch
		}
		return e, nil
	})
}

func (w *Write) size() int {
	n := 0
	for _, e := range w.Entries {
		n += e.Size
	}
	return n
}
