package journal

import (
	"context"
	"errors"
	"fmt"
	"math"
	"runtime"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"homeserver/internal/postgres"
)

// groupTimeout bounds one transaction, and the making of a connection. After
// it the writes of the group fail, and the writer starts on a new connection.
const groupTimeout = 20 * time.Second

// longCommit is the part of the timeout after which a failed commit counts as slow: the
// writes that wait behind it are not tried any more.
const longCommit = 4

// writer is the one goroutine of a process that writes the journal. It has a
// connection of its own, beside the pool, so that it never waits for readers,
// nor is given a connection that died while nobody used it.
type writer struct {
	j     *Journal
	conn  *pgx.Conn // nil: there is none at the moment
	away  bool      // it was logged that there is no connection
	first bool      // the journal's position has not been read yet
}

func (w *writer) run(ctx context.Context) {
	defer close(w.j.done)
	defer w.j.cancel()
	defer w.disconnect(ctx)
	watch := time.NewTicker(w.j.o.Watch)
	defer watch.Stop()
	for {
		next := w.j.queue.take(w.j.o.GroupWrites, w.j.o.GroupBytes)
		if next.last {
			return
		}
		if next.empty() {
			select {
			case <-w.j.queue.filled:
				continue
			case <-watch.C:
				next.watch, next.outbox = true, true
			}
		} else {
			select {
			case <-watch.C: // also where it is never idle
				next.outbox = true
			default:
			}
		}
		if w.look(ctx, next) {
			w.writeGroup(ctx, next.group)
		}
		// Callers that were just answered may have more to write: they come first, or
		// groups would alternate between the few fast ones and the rest.
		runtime.Gosched()
	}
}

// look takes over the entries of the outbox and reads the commits of others, if that is
// asked for or there is no connection, and reports whether there is one now. If not,
// all writes that wait fail: with a new attempt for each group the last would wait for
// as many timeouts as there are groups.
func (w *writer) look(ctx context.Context, next *work) (connected bool) {
	var err error
	if next.outbox {
		if err = w.takeOver(ctx); isRefusal(err) {
			w.j.o.Log.ErrorContext(ctx, "the outbox cannot be read", "error", err)
			err = nil
		}
	}
	if err == nil && (next.watch || len(next.looks) > 0 || w.conn == nil) {
		err = w.catchUp(ctx)
	}
	if err = w.outcome(ctx, err); err != nil {
		next.fail(err)
		w.failQueue(err)
		return false
	}
	for _, looked := range next.looks {
		looked <- nil
	}
	return true
}

// failQueue fails everything that waits.
func (w *writer) failQueue(err error) { w.j.queue.take(math.MaxInt, math.MaxInt).fail(err) }

// outcome returns the error for the callers: that the journal stops, if it was told to
// stop at once.
func (w *writer) outcome(ctx context.Context, err error) error {
	if err != nil && ctx.Err() != nil {
		return errStopping()
	}
	return err
}

// writeGroup writes the group and answers each of its members. A group that is refused
// is tried again in halves, so that only the bad ones fail, and one of them costs the
// others a few attempts only. All other writes that wait fail, too, if the database
// does not answer in time.
func (w *writer) writeGroup(ctx context.Context, group []*Pending) {
	if len(group) == 0 {
		return
	}
	started := time.Now()
	group, entries, err := w.transact(ctx, group)
	took := time.Since(started)
	if half := len(group) / 2; half > 0 && isRefusal(err) {
		w.j.metrics.split.Inc()
		w.writeGroup(ctx, group[:half])
		w.writeGroup(ctx, group[half:])
		return
	}
	err = w.outcome(ctx, err)
	if err == nil && len(entries) > 0 {
		w.j.metrics.observe(len(entries), took)
		w.j.publish(entries)
	}
	for _, p := range group {
		p.answer(err)
	}
	if postgres.Unavailable(err) && took > w.j.timeout/longCommit {
		w.failQueue(err)
	}
}

// isRefusal reports whether the transaction surely failed because of its contents.
// After no other error may it be tried again: after a lost connection it could be
// written twice.
func isRefusal(err error) bool {
	if err == nil || postgres.Unavailable(err) {
		return false
	}
	var refused *queueError
	var unfit pgx.ErrPreprocessingBatch // a value that cannot be sent; COMMIT was not sent either
	var pg *pgconn.PgError
	return errors.As(err, &refused) || errors.As(err, &unfit) || errors.As(err, &pg)
}

// queueError says that a table would not write the entries of the group.
type queueError struct{ err error }

func (e *queueError) Error() string { return e.err.Error() }
func (e *queueError) Unwrap() error { return e.err }

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
// and with those that replaced them. A first round trip reserves the positions, which
// locks the journal's row, and a second one writes everything and commits.
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

// setPosition moves the journal, whose row is locked, to a position.
const setPosition = "UPDATE journal SET position = $1"

// commit writes the entries, whose positions follow on the one before them, and ends the
// transaction.
func (w *writer) commit(ctx context.Context, b *pgx.Batch, group []*Pending, entries []*Entry, before Position) error {
	for i, e := range entries {
		e.Position = before + 1 + Position(i)
	}
	err := w.j.guard("a journal table", func() error { return w.j.queueGroup(b, group, entries) })
	if err != nil {
		return &queueError{err}
	}
	w.j.notifyPosition(b, before+Position(len(entries)))
	b.Queue("COMMIT")
	if err := w.conn.SendBatch(ctx, b).Close(); err != nil {
		return fmt.Errorf("commit %d journal entries: %w", len(entries), err)
	}
	return nil
}

// reserve begins a transaction, moves the journal on by n positions, and returns the
// one before them, up to which everything is known here then.
func (w *writer) reserve(ctx context.Context, n int) (before Position, err error) {
	b := &pgx.Batch{}
	b.Queue("BEGIN")
	b.Queue("UPDATE journal SET position = position + $1 RETURNING position - $1", n).
		QueryRow(func(row pgx.Row) error { return row.Scan(&before) })
	if err := w.conn.SendBatch(ctx, b).Close(); err != nil {
		return 0, fmt.Errorf("move the journal's position: %w", err)
	}
	return before, w.advance(ctx, before)
}

// queueGroup queues the rows of each table, tables in the order in which they first
// appear, and the other statements of the writes.
func (j *Journal) queueGroup(b *pgx.Batch, group []*Pending, entries []*Entry) error {
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

// rebuildPatience is how long a transaction waits for writes that were stale to come
// back, built anew.
const rebuildPatience = 5 * time.Millisecond

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
		if p.w.Stale != nil && p.w.Stale() {
			j.metrics.stale.Inc()
			p.answer(ErrStale)
			continue
		}
		fresh = append(fresh, p)
	}
	return fresh
}

// abandon leaves the connection fit for the next group, or leaves it for a new one.
func (w *writer) abandon(ctx context.Context, cause error) {
	if isRefusal(cause) && !w.conn.IsClosed() {
		if _, err := w.conn.Exec(ctx, "ROLLBACK"); err == nil {
			return
		}
	}
	w.report(cause)
	w.disconnect(ctx)
}

// failed is abandon for a statement outside of a transaction; it returns the error.
func (w *writer) failed(ctx context.Context, err error, doing string) error {
	if err == nil {
		return nil
	}
	w.abandon(ctx, err)
	return fmt.Errorf("%s: %w", doing, err)
}

// report logs once that there is no connection.
func (w *writer) report(cause error) {
	if !w.away {
		w.away = true
		w.j.o.Log.Error("the journal cannot write to PostgreSQL; writes are answered with an error", "error", cause)
	}
}

func (w *writer) disconnect(ctx context.Context) {
	if w.conn == nil {
		return
	}
	conn := w.conn
	w.conn = nil
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	if err := conn.Close(ctx); err != nil {
		w.j.o.Log.Debug("close the journal's connection", "error", err)
	}
}

// ready makes a connection if there is none.
func (w *writer) ready(ctx context.Context) error {
	if w.conn != nil {
		return nil
	}
	return w.connect(ctx)
}

// connect makes a connection and reads the journal's position: a commit whose answer
// was lost may have succeeded, and another process may have written.
func (w *writer) connect(ctx context.Context) error {
	conn, err := pgx.ConnectConfig(ctx, w.j.pool.Config().ConnConfig)
	if err != nil {
		w.report(err)
		return fmt.Errorf("connect the journal: %w", err)
	}
	w.conn = conn
	err = w.sync(ctx)
	if err == nil {
		err = w.learnGaps(ctx)
	}
	if err != nil {
		w.report(err)
		w.disconnect(ctx)
		return err
	}
	if w.away {
		w.away = false
		w.j.o.Log.Info("the journal writes to PostgreSQL again")
	}
	return nil
}

func (w *writer) sync(ctx context.Context) error {
	p, err := Stored(ctx, w.conn)
	if err != nil {
		return err
	}
	if p < w.j.Position() {
		p, err := w.skipLost(ctx)
		if err != nil {
			return err
		}
		w.j.reset(p)
		return nil
	}
	return w.advance(ctx, p)
}

func (w *writer) learnGaps(ctx context.Context) error {
	list, err := loadGaps(ctx, w.conn)
	if err != nil {
		return err
	}
	w.j.mu.Lock()
	defer w.j.mu.Unlock()
	w.j.gaps = list
	return nil
}

// catchUp reads the commits of others, on a new connection if need be.
func (w *writer) catchUp(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, w.j.timeout)
	defer cancel()
	if w.conn != nil {
		err := w.sync(ctx)
		if err == nil {
			return nil
		}
		w.report(err)
		w.disconnect(ctx)
	}
	return w.connect(ctx)
}
