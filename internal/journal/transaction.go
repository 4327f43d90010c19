package journal

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

const (
	// errOvertaken says that the journal is not where the writer believed it to be.
	errOvertaken = "HS005"
	// cautiousGroups is how many groups are written in two steps after another process has
	// written: it may go on.
	cautiousGroups = 32
	// rebuildPatience is how long a transaction waits for writes that were stale to come
	// back, built anew.
	rebuildPatience = 5 * time.Millisecond
)

// The statements that begin a transaction lock the journal's row, until it ends.
const (
	// moveFrom moves the journal from one position to another, or fails.
	moveFrom = `
		UPDATE journal SET position = CASE WHEN position = $1 THEN $2
			ELSE expect_rows(0, 1, '` + errOvertaken + `')::text::bigint END`
	// moveBy moves the journal on, from wherever it is.
	moveBy = `UPDATE journal SET position = position + $1 RETURNING position - $1`
	// setPosition moves the journal, whose row is locked, to a position.
	setPosition = `UPDATE journal SET position = $1`
)

func entriesOf(group []*Pending) []*Entry {
	if len(group) == 1 {
		return group[0].w.Entries
	}
	var entries []*Entry
	for _, p := range group {
		entries = append(entries, p.w.Entries...)
	}
	return entries
}

// transact writes a group in one transaction, and returns the writes that the outcome
// is for and the entries that are committed: without stale writes, which were answered,
// and with those that replaced them.
//
// Where no other process has written lately that is one round trip: it succeeds only if
// the journal is still where it is known to be here. Else nothing of it is written, and a
// first round trip reserves the positions, after which others cannot write.
func (w *writer) transact(ctx context.Context, group []*Pending) (_ []*Pending, _ []*Entry, err error) {
	ctx, cancel := context.WithTimeout(ctx, w.j.timeout)
	defer cancel()
	if err := w.ready(ctx); err != nil {
		return group, nil, err
	}
	defer func() {
		if err != nil {
			w.abandon(ctx, err)
		}
	}()
	entries := entriesOf(group)
	if w.cautious == 0 && !slices.ContainsFunc(group, (*Pending).isStale) {
		if err := w.writeAtOnce(ctx, group, entries); !isOvertaken(err) {
			return group, entries, err
		}
	}
	return w.writeInTwoSteps(ctx, group, entries)
}

// writeAtOnce writes the entries after the position that is known here. The statements
// have a transaction to themselves, since they are sent together.
func (w *writer) writeAtOnce(ctx context.Context, group []*Pending, entries []*Entry) error {
	before := w.j.Position()
	b := &pgx.Batch{}
	b.Queue(moveFrom, before, before+Position(len(entries)))
	if err := w.j.queueGroup(b, group, entries, before); err != nil {
		return err
	}
	return w.send(ctx, b, len(entries))
}

// isOvertaken reports whether nothing was written because another process came first.
func isOvertaken(err error) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg) && pg.Code == errOvertaken
}

// writeInTwoSteps first reserves the positions of the entries. That locks the journal's row,
// so that this process can read all that others have committed. Then it writes and commits.
func (w *writer) writeInTwoSteps(ctx context.Context, group []*Pending, entries []*Entry) ([]*Pending, []*Entry, error) {
	before, err := w.reserve(ctx, len(entries))
	if err != nil {
		return group, nil, err
	}
	b := &pgx.Batch{}
	if fresh, changed := w.replaceStale(group); changed {
		group, entries = fresh, entriesOf(fresh)
		b.Queue(setPosition, before+Position(len(entries)))
	}
	if len(group) == 0 {
		_, err := w.conn.Exec(ctx, "ROLLBACK")
		return nil, nil, err
	}
	return group, entries, w.commit(ctx, b, group, entries, before)
}

// reserve begins a transaction, moves the journal on by n positions, and returns the
// one before them, up to which everything is known here then.
func (w *writer) reserve(ctx context.Context, n int) (before Position, err error) {
	b := &pgx.Batch{}
	b.Queue("BEGIN")
	b.Queue(moveBy, n).QueryRow(func(row pgx.Row) error { return row.Scan(&before) })
	if err := w.conn.SendBatch(ctx, b).Close(); err != nil {
		return 0, fmt.Errorf("move the journal's position: %w", err)
	}
	return before, w.advance(ctx, before)
}

// commit writes the entries, whose positions follow on the one before them, and ends the
// transaction.
func (w *writer) commit(ctx context.Context, b *pgx.Batch, group []*Pending, entries []*Entry, before Position) error {
	if err := w.j.queueGroup(b, group, entries, before); err != nil {
		return err
	}
	b.Queue("COMMIT")
	return w.send(ctx, b, len(entries))
}

func (w *writer) send(ctx context.Context, b *pgx.Batch, entries int) error {
	if err := w.conn.SendBatch(ctx, b).Close(); err != nil {
		return fmt.Errorf("commit %d journal entries: %w", entries, err)
	}
	return nil
}

// queueGroup numbers the entries, beginning after the position before, and queues their
// rows, the other statements of the writes, and the message to other processes.
func (j *Journal) queueGroup(b *pgx.Batch, group []*Pending, entries []*Entry, before Position) error {
	for i, e := range entries {
		e.Position = before + 1 + Position(i)
	}
	if err := j.guard("a journal table", func() error { return j.queueRows(b, group, entries) }); err != nil {
		return &queueError{err}
	}
	j.notifyPosition(b, before+Position(len(entries)))
	return nil
}

// queueRows queues the rows of each table, tables in the order in which they first
// appear, and the other statements of the writes.
func (j *Journal) queueRows(b *pgx.Batch, group []*Pending, entries []*Entry) error {
	tables, byTable := splitByTable(entries)
	for _, t := range tables {
		if !slices.Contains(j.tables, t) {
			return fmt.Errorf("write %s: the journal does not know this table, so others could not read it", t.Name)
		}
		if err := t.Queue(b, byTable[t]); err != nil {
			return fmt.Errorf("write %s: %w", t.Name, err)
		}
	}
	for _, p := range group {
		if p.w.Also != nil {
			p.w.Also(b)
		}
	}
	return nil
}

// splitByTable lists the tables of entries in the order in which they first appear, and the
// entries of each.
func splitByTable(entries []*Entry) (tables []*Table, byTable map[*Table][]*Entry) {
	byTable = map[*Table][]*Entry{}
	for _, e := range entries {
		if byTable[e.Table] == nil {
			tables = append(tables, e.Table)
		}
		byTable[e.Table] = append(byTable[e.Table], e)
	}
	return tables, byTable
}

// replaceStale removes the stale writes from a group and answers them. Writes that are
// enqueued within a short time replace them: while this transaction is open no other
// process writes, so a write that is built anew now is not overtaken again.
func (w *writer) replaceStale(group []*Pending) (fresh []*Pending, changed bool) {
	fresh = w.j.dropStale(group)
	stale := len(group) - len(fresh)
	if stale == 0 {
		return group, false
	}
	w.j.queue.await(stale, rebuildPatience)
	more := w.j.queue.takeGroup(w.j.o.GroupWrites-len(fresh), w.j.o.GroupBytes)
	return append(fresh, w.j.dropStale(more)...), true
}

// dropStale answers the stale writes and returns the others.
func (j *Journal) dropStale(group []*Pending) []*Pending {
	fresh := make([]*Pending, 0, len(group))
	for _, p := range group {
		if p.isStale() {
			j.metrics.stale.Inc()
			p.answer(ErrStale)
			continue
		}
		fresh = append(fresh, p)
	}
	return fresh
}

func (p *Pending) isStale() bool { return p.w.Stale != nil && p.w.Stale() }
