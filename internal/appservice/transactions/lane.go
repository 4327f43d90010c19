package transactions

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"homeserver/internal/appservice/registration"
	"homeserver/internal/cache"
	"homeserver/internal/journal"
)

const (
	// gather is how long after a look at the journal the next one is, so that many entries
	// are looked at together.
	gather = 50 * time.Millisecond
	// databaseRetry is the pause after an error of the database.
	databaseRetry = time.Second
	// grace is how long a request may go on when the work is to end.
	grace = 2 * time.Second
	// savePatience is how long the database may take to store the end of it.
	savePatience = 10 * time.Second
)

// lane sends to one service. While this process leads it serves one goroutine, but for the
// channels, what mu guards, and atomic values.
type lane struct {
	s *Service
	r *registration.Registration
	// more says that there may be news, and alive that the service gave a sign of life;
	// surely that it was reached.
	more, alive chan struct{}
	surely      atomic.Bool
	failing     atomic.Bool
	reached     atomic.Int64 // the position

	trail  *journal.Trail
	leader string
	progress
	saved    journal.Position // the position in the table
	savedAt  time.Time
	nextLook time.Time
	lastTry  time.Time
	broken   bool // the database fails, which was logged
	tick     journal.Tick
	rooms    *cache.LRU[journal.RoomNID, *room]

	mu          sync.Mutex
	outdated    map[journal.RoomNID]bool
	allOutdated bool
}

// progress is how far a service has come, as the table has it.
type progress struct {
	// position is that up to which the service has acknowledged everything.
	position journal.Position
	// pending is the transaction on its way; nil: there is none. acknowledged: the table
	// still has the one before.
	pending      *transaction
	acknowledged bool
	// attempts in a row have failed since failingSince; the next is at due.
	attempts     int
	failingSince *time.Time
	due          *time.Time
}

func newLane(s *Service, r *registration.Registration, share int) *lane {
	return &lane{
		s: s, r: r, more: make(chan struct{}, 1), alive: make(chan struct{}, 1), rooms: newRooms(share),
		outdated: map[journal.RoomNID]bool{},
	}
}

// lead sends for as long as this process leads. It returns an error where it does not any
// more.
func (l *lane) lead(ctx context.Context, t *journal.Trail, leader string, stored progress) error {
	l.trail, l.leader, l.progress = t, leader, stored
	l.saved, l.savedAt, l.nextLook, l.tick, l.broken = stored.position, l.s.now(), time.Time{}, journal.Elsewhere, false
	l.reached.Store(int64(stored.position))
	l.failing.Store(stored.attempts > 0)
	l.rooms.RemoveAll(nil)
	for ctx.Err() == nil {
		if err := l.guarded(ctx); errors.Is(err, errDeposed) {
			return err
		} else if err != nil && ctx.Err() == nil {
			l.database(ctx, err)
		}
	}
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), savePatience)
	defer cancel()
	return l.save(last)
}

// guarded is a round whose panic is an error: one service must not end the work for others.
func (l *lane) guarded(ctx context.Context) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
			l.rooms.RemoveAll(nil)
		}
	}()
	return l.round(ctx)
}

// round does what there is to do, and waits for more.
func (l *lane) round(ctx context.Context) error {
	now := l.s.now()
	if l.pending == nil && !now.Before(l.nextLook) {
		l.nextLook = now.Add(gather)
		if err := l.prepare(ctx); err != nil {
			l.rooms.RemoveAll(nil)
			return err
		}
	}
	if l.pending != nil && l.isDue(now) {
		if err := l.deliver(ctx); err != nil {
			return err
		}
	}
	l.broken = false
	return l.wait(ctx)
}

// prepare makes the next transaction, if there is anything to send, and stores it; else it
// stores that the one before is acknowledged.
func (l *lane) prepare(ctx context.Context) error {
	select {
	case l.s.reading <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { <-l.s.reading }()
	next, err := l.next(ctx)
	if err != nil {
		return err
	}
	l.reached.Store(int64(l.position))
	if next != nil {
		if err := l.store(ctx, next); err != nil {
			return err
		}
		l.pending, l.saved, l.savedAt = next, l.position, l.s.now()
		if next.more {
			l.nextLook = l.savedAt // there is nothing to wait for
		}
		return nil
	}
	if l.acknowledged || l.position != l.saved && l.s.now().Sub(l.savedAt) >= l.s.saveEach {
		return l.save(ctx)
	}
	return nil
}

// deliver sends the pending transaction once.
func (l *lane) deliver(ctx context.Context) error {
	sending, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	defer context.AfterFunc(ctx, func() { time.AfterFunc(grace, cancel) })()
	l.lastTry = l.s.now()
	err := l.send(sending, l.pending)
	if err == nil {
		l.succeed(ctx)
		return nil
	}
	if ctx.Err() != nil { // it is not the service's fault
		return ctx.Err()
	}
	return l.fail(ctx, err)
}

// succeed goes on after a transaction that was acknowledged.
func (l *lane) succeed(ctx context.Context) {
	t, now := l.pending, l.s.now()
	l.s.metrics.sent(l.r.ID, t)
	if l.failingSince != nil {
		l.log(ctx, slog.LevelInfo, "an application service takes what it is sent again", "after", now.Sub(*l.failingSince).Round(time.Second).String(),
			"behind", int64(l.s.o.Journal.Position()-t.upTo))
	}
	if l.r.DeviceChanges {
		l.s.o.ToDevice.Delivered(l.devicesOf(ctx, t))
	}
	l.progress = progress{position: t.upTo, acknowledged: true}
	l.reached.Store(int64(t.upTo))
	l.failing.Store(false)
}

// fail notes a failure. After too long a time the service loses what it has not got.
func (l *lane) fail(ctx context.Context, cause error) error {
	now := l.s.now()
	l.s.metrics.failed(l.r.ID)
	l.attempts++
	l.due = new(now.Add(l.s.backoff.after(l.attempts)))
	if l.failingSince == nil {
		l.failingSince = &now
		l.log(ctx, slog.LevelWarn, "an application service does not take what it is sent, and is tried again later", "error", cause)
	} else if now.Sub(*l.failingSince) > l.s.backoff.patience {
		l.log(ctx, slog.LevelError, "an application service has failed for so long that it loses what it was to be sent",
			"since", *l.failingSince, "entries", int64(l.s.o.Journal.Position()-l.position))
		l.progress = progress{position: l.s.o.Journal.Position(), attempts: l.attempts, failingSince: &now, due: l.due}
		l.rooms.RemoveAll(nil)
	}
	l.failing.Store(true)
	l.reached.Store(int64(l.position))
	return l.save(ctx)
}

func (l *lane) log(ctx context.Context, level slog.Level, text string, args ...any) {
	l.s.o.Log.Log(ctx, level, text, append([]any{"app_service", l.r.ID}, args...)...)
}

// database waits a moment after an error of the database, of which the first is logged.
func (l *lane) database(ctx context.Context, err error) {
	if !l.broken {
		l.broken = true
		l.log(ctx, slog.LevelError, "what an application service is to be sent cannot be worked out, and is tried again", "error", err)
	}
	select {
	case <-time.After(databaseRetry):
	case <-ctx.Done():
	}
}

func (l *lane) isDue(now time.Time) bool { return l.due == nil || !now.Before(*l.due) }

// wait returns when there may be something to do.
func (l *lane) wait(ctx context.Context) error {
	now := l.s.now()
	var until time.Duration
	more := l.more
	switch {
	case l.pending != nil && l.isDue(now): // there was no time yet
		return nil
	case l.pending != nil:
		until, more = l.due.Sub(now), nil
	case now.Before(l.nextLook) && l.mayHaveMore():
		until, more = l.nextLook.Sub(now), nil
	case l.position != l.saved:
		until = max(l.s.saveEach-now.Sub(l.savedAt), gather)
	default:
		until = time.Hour
	}
	at := l.s.o.Clock.NewTimer(until)
	defer at.Stop()
	select {
	case <-more:
	case <-l.alive:
		l.comeForward()
	case <-at.C:
	case <-ctx.Done():
	}
	return nil
}

// mayHaveMore reports whether there is something that was not looked at.
func (l *lane) mayHaveMore() bool { return l.acknowledged || l.position < l.s.o.Journal.Position() }

// comeForward has a service that gave a sign of life be tried sooner.
func (l *lane) comeForward() {
	if l.due == nil {
		return
	}
	soon := l.lastTry.Add(l.s.backoff.sign)
	if l.surely.Swap(false) {
		soon = l.s.now()
	}
	if soon.Before(*l.due) {
		l.due = &soon
	}
}
