package journal

import (
	"context"
	"errors"
	"fmt"
	"math"
	"runtime"
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
	// cautious is how many groups are still to be written in two steps, because another
	// process has written, too.
	cautious int
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

// outsideTransaction is the state of a connection in PostgreSQL's protocol.
const outsideTransaction = 'I'

// abandon leaves the connection fit for the next group, or leaves it for a new one.
func (w *writer) abandon(ctx context.Context, cause error) {
	if isRefusal(cause) && !w.conn.IsClosed() {
		if w.conn.PgConn().TxStatus() == outsideTransaction {
			return
		}
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
