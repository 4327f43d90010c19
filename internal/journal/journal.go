package journal

import (
	"context"
	"fmt"
	"log/slog"
	"math"
	"runtime/debug"
	"slices"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"homeserver/internal/gauge"
	"homeserver/internal/httpapi/ratelimit"
	"homeserver/internal/journal/replica"
	"homeserver/internal/matrix"
)

// Options are the bounds of a journal. Zero selects the default.
type Options struct {
	// WindowBytes bounds the live window; default 64 MiB.
	WindowBytes int
	// QueueWrites and QueueBytes bound the queue of the writer; beyond them callers get
	// M_LIMIT_EXCEEDED. As many as QueueWrites may wait for their turn. Default 8,192
	// and 64 MiB.
	QueueWrites, QueueBytes int
	// GroupWrites and GroupBytes bound one transaction; default 512 and 4 MiB.
	GroupWrites, GroupBytes int
	// Watch is how often an idle writer reads the commits of other processes; default
	// one second.
	Watch time.Duration
	// Channel brings the commits of this process to the others at once, and theirs to this
	// one; nil: each process reads them when it looks.
	Channel *replica.Channel
	// Limits is how many bytes callers may write by Commit; nil: as many as they like.
	Limits *ratelimit.Limits
	Log    *slog.Logger
}

func (o Options) withDefaults() Options {
	set := func(n *int, def int) {
		if *n == 0 {
			*n = def
		}
	}
	set(&o.WindowBytes, 64<<20)
	set(&o.QueueWrites, 8192)
	set(&o.QueueBytes, 64<<20)
	set(&o.GroupWrites, 512)
	set(&o.GroupBytes, 4<<20)
	if o.Watch == 0 {
		o.Watch = time.Second
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return o
}

// groupsAtOnce is how many full groups are admitted to the queue: one that is being
// written and one that gathers. A single caller may fill half of that.
const groupsAtOnce = 2

// Journal is the log as one process sees it. Start it before use.
type Journal struct {
	pool    *pgxpool.Pool
	o       Options
	metrics *metrics
	timeout time.Duration // of one transaction, and of making a connection

	// mu guards what is shown: the position, the live window, and the observers' state,
	// which all move together.
	mu        sync.RWMutex
	position  Position
	gaps      gaps
	window    *window
	observers []Observer
	notifier  notifier
	tables    []*Table
	followers []*Follower
	handlers  *handlers

	queue queue
	turns *gauge.Gauge // who may put something into the queue

	// cancel ends the writer in the middle of its work; done is closed when it
	// has ended. Both are nil until Start.
	cancel context.CancelFunc
	done   chan struct{}
}

// Observer keeps something in memory in step with the journal. Its functions are called
// in the order of commits, before anybody is woken or answered, while readers of the
// journal wait: they must be quick, touch only memory, and not call the journal but for
// Wake. If one panics, everything in memory is dropped and read anew: see Reset.
type Observer struct {
	// Committed is called with the entries of one group, which the view shows already.
	Committed func(v View, entries []*Entry)
	// Reset is called when the journal has moved to a position by entries that are not
	// known here: state in memory must be read anew.
	Reset func(p Position)
}

// New makes a journal on a migrated database.
func New(pool *pgxpool.Pool, o Options) *Journal {
	o = o.withDefaults()
	j := &Journal{
		pool: pool, o: o, metrics: newMetrics(), timeout: groupTimeout,
		window:   newWindow(0, o.WindowBytes),
		notifier: notifier{listeners: map[Topic]map[*Listener]struct{}{}},
		queue:    queue{filled: make(chan struct{}, 1), outbox: true},
	}
	j.handlers = newHandlers(j)
	j.turns = gauge.New(gauge.Options{
		Total: int64(groupsAtOnce * o.GroupBytes), Each: int64(groupsAtOnce * o.GroupBytes / 2),
		Waiting: o.QueueWrites, EachWaiting: o.QueueWrites / 2, Refused: j.metrics.refused,
	})
	if o.Channel != nil {
		o.Channel.Handle(kindPosition, j.onPosition)
		o.Channel.Handle(kindHurry, j.onHurry)
		o.Channel.Handle(kindOutbox, func(string) { j.lookSoon(true) })
		o.Channel.Handle(kindHandled, j.handlers.onHandled)
		o.Channel.OnMissed(func() { j.lookSoon(true) })
	}
	return j
}

// Add registers a table, which must have a column position: rows of other processes are
// then read by it, and the operator's doctor checks it. Call Add before Start, for each
// table that entries name.
func (j *Journal) Add(t *Table) { j.tables = append(j.tables, t) }

// Tables returns the names of the tables that hold entries, in order.
func (j *Journal) Tables() []string {
	names := make([]string, len(j.tables))
	for i, t := range j.tables {
		names[i] = t.Name
	}
	slices.Sort(names)
	return names
}

// Observe adds an observer. Call it before Start.
func (j *Journal) Observe(o Observer) { j.observers = append(j.observers, o) }

// Start reads the position and starts the writer and the handlers, which end with Stop.
// Call it once. The context bounds the start alone.
func (j *Journal) Start(ctx context.Context) error {
	w := &writer{j: j, first: true}
	if err := w.connect(ctx); err != nil {
		return fmt.Errorf("start the journal: %w", err)
	}
	running, cancel := context.WithCancel(context.WithoutCancel(ctx))
	j.cancel, j.done = cancel, make(chan struct{})
	go w.run(running)
	if len(j.handlers.do) > 0 {
		j.handlers.leader.Start(ctx)
	}
	return nil
}

// Stop cancels the handlers, refuses new writes, commits the queued ones, and returns
// when all of that has ended. If the context ends before, writes that are not committed
// by then fail with 503, and Stop returns the context's error. Call it after Start has
// returned; after a failed Start it only refuses the queued writes.
func (j *Journal) Stop(ctx context.Context) error {
	handlers := make(chan struct{})
	go func() {
		defer close(handlers)
		j.handlers.leader.Stop()
	}()
	select {
	case <-handlers: // which may have waited for their writes
	case <-ctx.Done():
	}
	err := j.stopWriter(ctx)
	<-handlers
	return err
}

func (j *Journal) stopWriter(ctx context.Context) error {
	j.queue.close()
	if j.done == nil {
		j.queue.take(math.MaxInt, math.MaxInt).fail(errStopping())
		return nil
	}
	select {
	case <-j.done:
		return nil
	case <-ctx.Done():
		j.cancel()
		<-j.done
		return fmt.Errorf("stop the journal before it has written everything: %w", ctx.Err())
	}
}

// Position is the newest committed position.
func (j *Journal) Position() Position {
	j.mu.RLock()
	defer j.mu.RUnlock()
	return j.position
}

// Read calls f with the journal as it is now; it does not move meanwhile. f must be
// quick, do no I/O and not call the journal: commits wait for it.
func (j *Journal) Read(f func(v View)) {
	j.mu.RLock()
	defer j.mu.RUnlock()
	f(View{Position: j.position, w: j.window})
}

// CatchUp returns when the journal has reached the position, reading the commits of
// other processes if need be. M_INVALID_PARAM if there is no such position yet; 503
// when the journal is stopping; the error of the database if it cannot be asked.
func (j *Journal) CatchUp(ctx context.Context, p Position) error {
	if j.Position() >= p {
		return nil
	}
	if err := j.lookNow(ctx, false); err != nil {
		return err
	}
	if j.Position() < p {
		return matrix.Errorf(matrix.InvalidParam, "this token is from a future that this server does not know")
	}
	return nil
}

// lookNow returns when everything that others have committed by now is shown here, and,
// if outbox is true, the entries of the outbox are in the log.
func (j *Journal) lookNow(ctx context.Context, outbox bool) error {
	looked, err := j.queue.look(outbox)
	if err != nil {
		return err
	}
	select {
	case err := <-looked:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Listen makes a listener that follows nothing yet. Close it after use.
func (j *Journal) Listen() *Listener { return j.notifier.listen() }

// Wake wakes the listeners to some topics, for changes without an entry.
func (j *Journal) Wake(topics ...Topic) {
	if len(topics) == 0 {
		return
	}
	set := make(map[Topic]struct{}, len(topics))
	for _, t := range topics {
		set[t] = struct{}{}
	}
	j.notifier.wake(set)
}

// publish shows a committed group: first in the window and to the observers, then by
// waking the listeners.
func (j *Journal) publish(entries []*Entry) {
	topics := map[Topic]struct{}{}
	for _, e := range entries {
		for _, t := range e.Topics {
			topics[t] = struct{}{}
		}
	}
	j.mu.Lock()
	p := entries[len(entries)-1].Position
	j.position = p
	j.window.add(entries)
	if !j.observe(View{Position: p, w: j.window}, entries) {
		j.forget(p)
	}
	j.mu.Unlock()
	j.notifier.wake(topics)
}

// observe calls all observers with a committed group. It returns false when one has
// panicked: its state is undefined then, but the entries are durable.
func (j *Journal) observe(v View, entries []*Entry) (ok bool) {
	ok = true
	for _, o := range j.observers {
		if err := j.guard("a journal observer", func() error { o.Committed(v, entries); return nil }); err != nil {
			ok = false
		}
	}
	return ok
}

// reset moves to a position over entries that are not known here.
func (j *Journal) reset(p Position) {
	j.mu.Lock()
	j.forget(p)
	j.mu.Unlock()
	j.notifier.wakeAll()
}

// forget drops all that is kept in memory. Readers of older tokens are served by SQL
// from then on.
func (j *Journal) forget(p Position) {
	j.position = p
	j.window = newWindow(p, j.o.WindowBytes)
	for _, o := range j.observers {
		_ = j.guard("a journal observer", func() error { o.Reset(p); return nil }) // logged; there is nothing older to go back to
	}
}

// guard calls a function of a service and turns its panic into an error, so that one
// entry that it cannot handle does not end the server.
func (j *Journal) guard(what string, f func() error) (err error) {
	defer func() {
		if r := recover(); r != nil {
			j.o.Log.Error(what+" panicked", "panic", r, "stack", string(debug.Stack()))
			err = fmt.Errorf("%s panicked: %v", what, r)
		}
	}()
	return f()
}
