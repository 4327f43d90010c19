package journal

import (
	"context"
	"errors"

	"github.com/jackc/pgx/v5"
)

// Position is a place in the journal: 0 before the first entry, then 1, 2, …
type Position int64

// RoomNID is a room's number in tables and in memory.
type RoomNID int64

// Entry is one thing that clients can learn of. The journal owns it once its write is
// enqueued, and it is immutable once it is committed.
type Entry struct {
	// Position is set by the journal when the group is written.
	Position Position
	// Table writes the rows of this entry.
	Table *Table
	// Topics are the rooms whose members the entry concerns, and the users whom it
	// concerns, each once. Without topics it concerns no client.
	Topics []Topic
	// Value belongs to the owner of the table: it has the rows to write, and what
	// readers of the live window need.
	Value any
	// Size estimates how many bytes the entry occupies in memory.
	Size int

	posted int64 // its number in the outbox; 0: it does not come from there
}

// Topic is a room or a user that an entry is about.
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
	// Read returns the entries that other processes have written in (after, upTo], with
	// their positions, as they were passed to Queue there, in no order. Rows that have
	// been overwritten since are left out. If the entries are larger than most bytes it
	// returns none, and the error is [ErrTooMuch].
	Read func(ctx context.Context, conn *pgx.Conn, after, upTo Position, most int) ([]*Entry, error)
	// Decode, unless it is nil, makes the value of an entry from its payload in the
	// outbox: see [Post].
	Decode func(payload []byte) (value any, err error)
	// AddTopics, where it is not nil, adds topics to entries that come from the outbox, as
	// they are at the positions of the entries: it is called in the transaction that writes
	// these, while nobody else can write to the log; and for what Read has returned. If it
	// would add more than so many topics, the error is [ErrTooMuch]. What they cost is charged
	// to the first user of the entry.
	AddTopics func(ctx context.Context, conn *pgx.Conn, entries []*Entry, most int) error
}

// Write is a set of entries and statements that are committed together or not at all.
type Write struct {
	// Entries get consecutive positions in this order. At least one.
	Entries []*Entry
	// Also, where it is not nil, queues further statements of the same commit,
	// after those of the tables.
	Also func(b *pgx.Batch)
	// Stale, unless it is nil, is called just before the write is sent to the database,
	// perhaps more than once, at last when everything that other processes have committed
	// is known here. If it returns true then, the write fails with ErrStale, and its author
	// may build it anew. It must be quick and do no I/O.
	Stale func() bool
}

// ErrStale is the error of a write that was built on something that another process has
// changed meanwhile. Nothing of it is written.
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
