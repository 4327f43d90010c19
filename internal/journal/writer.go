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

// longCommit is the part of it after which a commit that fails has taken long: what
// waits behind it is not tried any more.
const longCommit = 4

// writer is the one goroutine of a process that writes the journal. It has a
// connection of its own, beside the pool, so that it never waits for readers,
// nor is given a connection that died while nobody used it.
type writer struct {
	j     *Journal
	conn  *pgx.Conn // nil: there is none at the moment
	away  bool      // it was logged that there is no connection
	first bool      // where the journal stands has not been looked up yet
}

func (w *writer) run(ctx context.Context) {
	defer close(w.j.done)
	defer w.j.cancel()
	defer w.disconnect(ctx)
	watch := time.NewTicker(w.j.o.Watch)
	defer watch.Stop()
	for {
		next := w.j.queue.take(w.j.o.GroupWrites, w.j.o.GroupBytes)
		switch {
		case next.last:
			return
		case !next.empty():
			w.do(ctx, next)
			// Those who were just answered may have more to write: let them come
			// first, or groups alternate between the few who were fast and the rest.
			runtime.Gosched()
			continue
		}
		select {
		case <-w.j.queue.filled:
		case <-watch.C:
			_ = w.catchUp(ctx) // logged; the next one who needs the database gets the error
		}
	}
}

// do what was taken from the queue. Without a connection, or where the database
// does not answer in time, everything else that waits fails at once, too: trying
// again for each group would keep the last in the queue waiting for as many timeouts
// as there are groups.
func (w *writer) do(ctx context.Context, next *work) {
	if len(next.looks) > 0 || w.conn == nil {
		if err := w.catchUp(ctx); err != nil {
			err = w.outcome(ctx, err)
			rest := w.j.queue.take(math.MaxInt, math.MaxInt)
			next.fail(err)
			rest.fail(err)
			return
		}
		for _, looked := range next.looks {
			looked <- nil
		}
	}
	if len(next.group) == 0 {
		return
	}
	started := time.Now()
	err := w.commit(ctx, next.group)
	if postgres.Unavailable(err) && time.Since(started) > w.j.timeout/longCommit {
		w.j.queue.take(math.MaxInt, math.MaxInt).fail(err)
	}
}

// outcome is what callers get for an error: when the journal was told to stop
// at once, that is why.
func (w *writer) outcome(ctx context.Context, err error) error {
	if err != nil && ctx.Err() != nil {
		return errStopping()
	}
	return err
}

// commit writes the group and answers each of its members. A group that is
// refused is tried again in halves, so that only the guilty fail, and one of
// them costs the others but a few attempts.
func (w *writer) commit(ctx context.Context, group []*Pending) error {
	group, err := w.attempt(ctx, group)
	if half := len(group) / 2; half > 0 && isRefusal(err) {
		w.j.metrics.split.Inc()
		return errors.Join(w.commit(ctx, group[:half]), w.commit(ctx, group[half:]))
	}
	err = w.outcome(ctx, err)
	for _, p := range group {
		p.answer(err)
	}
	return err
}

// isRefusal reports whether the transaction surely failed for what was in it.
// Nothing else may be tried again: after a lost connection it could be written
// twice.
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

// attempt writes the group in one transaction, and returns the writes that the
// outcome is that of: without those that have turned out to be stale, which were
// answered, and with what has come instead.
func (w *writer) attempt(ctx context.Context, group []*Pending) ([]*Pending, error) {
	ctx, cancel := context.WithTimeout(ctx, w.j.timeout)
	defer cancel()
	if w.conn == nil {
		if err := w.connect(ctx); err != nil {
			return group, err
		}
	}
	started := time.Now()
	group, entries, err := w.transact(ctx, group)
	if err != nil {
		w.abandon(ctx, err)
		return group, err
	}
	if len(entries) > 0 {
		w.j.metrics.observe(len(entries), time.Since(started))
		w.j.publish(entries)
	}
	return group, nil
}

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

// transact takes the positions in a first round trip, which locks the journal's
// row, and writes everything and commits in a second.
func (w *writer) transact(ctx context.Context, group []*Pending) ([]*Pending, []*Entry, error) {
	entries := entriesOf(group)
	last, err := w.reserve(ctx, len(entries))
	if err != nil {
		return group, nil, err
	}
	before := last - Position(len(entries))
	if err := w.fill(ctx, before); err != nil {
		return group, nil, err
	}
	b := &pgx.Batch{}
	if fresh, changed := w.refresh(group); changed {
		group, entries = fresh, entriesOf(fresh)
		last = before + Position(len(entries))
		b.Queue("UPDATE journal SET position = $1", last)
	}
	if len(group) == 0 {
		_, err := w.conn.Exec(ctx, "ROLLBACK")
		return nil, nil, err
	}
	for i, e := range entries {
		e.Position = before + 1 + Position(i)
	}
	err = w.j.guard("a journal table", func() error { return w.j.queueGroup(b, group, entries) })
	if err != nil {
		return group, nil, &queueError{err}
	}
	w.j.tellPosition(b, last)
	b.Queue("COMMIT")
	if err := w.conn.SendBatch(ctx, b).Close(); err != nil {
		return group, nil, fmt.Errorf("commit %d journal entries: %w", len(entries), err)
	}
	return group, entries, nil
}

func (w *writer) reserve(ctx context.Context, n int) (last Position, err error) {
	b := &pgx.Batch{}
	b.Queue("BEGIN")
	b.Queue("UPDATE journal SET position = position + $1 RETURNING position", n).
		QueryRow(func(row pgx.Row) error { return row.Scan(&last) })
	if err := w.conn.SendBatch(ctx, b).Close(); err != nil {
		return 0, fmt.Errorf("move the journal's position: %w", err)
	}
	return last, nil
}

// queueGroup lets each table write its rows, tables in the order in which they
// first appear, and adds what else belongs to the writes.
func (j *Journal) queueGroup(b *pgx.Batch, group []*Pending, entries []*Entry) error {
	var tables []*Table
	byTable := map[*Table][]*Entry{}
	for _, e := range entries {
		if byTable[e.Table] == nil {
			tables = append(tables, e.Table)
		}
		byTable[e.Table] = append(byTable[e.Table], e)
	}
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

// connect makes a connection and looks where the journal stands: a commit whose
// answer was lost may have succeeded, and another process may have written.
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
		p, err := w.leap(ctx)
		if err != nil {
			return err
		}
		w.j.reset(p)
		return nil
	}
	return w.fill(ctx, p)
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

// catchUp looks for what others have committed, on a new connection if need be.
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
