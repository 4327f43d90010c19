package httppusher

import (
	"context"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"homeserver/internal/journal"
	"homeserver/internal/personal/push"
)

const (
	// gather is how long after a look at the journal the next one is, so that many entries
	// are looked at together.
	gather = 50 * time.Millisecond
	// deliveriesInMemory is how many there may be. More wait in the table.
	deliveriesInMemory = 2000
	// grace is how long requests may go on when the work is to end.
	grace = 2 * time.Second
	// savePatience is how long the database may take to store how far all have come.
	savePatience = 10 * time.Second
	// freshFor is how long a row that was read counts as up to date.
	freshFor = time.Second
)

// work is what the process that leads knows. It serves one goroutine.
type work struct {
	s     *Service
	trail *journal.Trail
	// users are those who have pushers, each by itself, so that the text is there once. Some
	// may have none any more.
	users map[string]string

	byKey   map[push.PusherKey]*delivery
	waiting []*delivery
	spilled map[push.PusherKey]push.Progress // of those that had no room in memory
	running lanes
	ended   chan result

	saved journal.Position
	// ending reports that the work ends, so that errors are nobody's fault.
	ending bool

	nextLook, nextDue, nextSave time.Time // zero of the last two: there is nothing to do
}

// lead sends notifications for as long as this process leads.
func (s *Service) lead(ctx context.Context, t *journal.Trail) error {
	w := &work{
		s: s, trail: t, users: map[string]string{}, byKey: map[push.PusherKey]*delivery{},
		spilled: map[push.PusherKey]push.Progress{}, running: newLanes(), ended: make(chan result, runningAtOnce),
		saved: t.Taken(), nextDue: s.now(),
	}
	s.members.ForgetAll()
	s.takeSetters()
	users, err := s.o.Push.UsersWithHTTPPushers(ctx, nil)
	if err != nil {
		return err
	}
	w.addUsers(users)
	sending, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	defer s.metrics.waiting.Set(0)
	for ctx.Err() == nil {
		if err := w.round(ctx, sending); err != nil && ctx.Err() == nil {
			cancel()
			w.await()
			return err
		}
	}
	w.ending = true
	return w.end(context.WithoutCancel(ctx), cancel)
}

// round does what there is to do, and waits for more.
func (w *work) round(ctx, sending context.Context) error {
	now := w.s.now()
	if !now.Before(w.nextLook) && w.trail.Taken() < w.s.o.Journal.Position() {
		after, upTo := w.trail.Take()
		if err := w.look(ctx, after, upTo); err != nil {
			w.trail.PutBack(after)
			return err
		}
		w.nextLook = now.Add(gather)
	}
	if err := w.addDue(ctx, now); err != nil {
		return err
	}
	if err := w.begin(ctx, sending, now); err != nil {
		return err
	}
	if w.nextSave.IsZero() && w.isUnsaved() {
		w.nextSave = now.Add(w.s.saveEach)
	}
	if !w.nextSave.IsZero() && !now.Before(w.nextSave) {
		if err := w.save(ctx, now); err != nil {
			return err
		}
	}
	w.s.metrics.waiting.Set(float64(len(w.byKey)))
	return w.wait(ctx)
}

// wait returns when there may be something to do.
func (w *work) wait(ctx context.Context) error {
	at := w.s.o.Clock.NewTimer(w.untilNext())
	defer at.Stop()
	more := w.trail.More()
	if w.s.now().Before(w.nextLook) {
		more = nil // the timer ends by then
	}
	select {
	case <-more:
	case r := <-w.ended:
		w.finish(ctx, r)
	case <-w.s.changed:
		return w.addSetters(ctx)
	case <-at.C:
	case <-ctx.Done():
	}
	return nil
}

// untilNext is the time until something is to be done that nothing else reports.
func (w *work) untilNext() time.Duration {
	next := w.nextSave
	earlier := func(t time.Time) {
		if !t.IsZero() && (next.IsZero() || t.Before(next)) {
			next = t
		}
	}
	if len(w.byKey) < w.s.maxInMemory {
		earlier(w.nextDue)
	}
	now := w.s.now()
	if now.Before(w.nextLook) || w.trail.Taken() < w.s.o.Journal.Position() {
		earlier(w.nextLook)
	}
	if next.IsZero() {
		return time.Hour
	}
	return max(next.Sub(now), time.Millisecond)
}

func (w *work) addUsers(users []string) {
	for _, user := range users {
		w.users[user] = user
	}
}

// addSetters adds the users who have set pushers. From then on they are among the members
// of rooms; what came before they are owed by the position in the table.
func (w *work) addSetters(ctx context.Context) error {
	setters := w.s.takeSetters()
	var among []string
	for user := range setters {
		among = append(among, user)
	}
	if setters[""] {
		among = nil
	}
	users, err := w.s.o.Push.UsersWithHTTPPushers(ctx, among)
	if err != nil {
		return err
	}
	if slices.ContainsFunc(users, func(user string) bool { return w.users[user] == "" }) {
		w.addUsers(users)
		w.s.members.ForgetAll()
	}
	w.nextDue = w.s.now()
	return nil
}

// owe adds a pusher that entries in (after, upTo] concern.
func (w *work) owe(p *push.HTTPPusher, c *concern, after, upTo journal.Position) {
	now := w.s.now()
	from := max(after, p.Since)
	switch d := w.byKey[p.PusherKey]; {
	case d != nil:
		d.concern(c, after, upTo)
		if d.isDone() {
			w.queue(d)
		}
	case from >= upTo: // it was set later
	case p.Got != nil: // the table has it, and it is looked at when it is due
	case len(w.byKey) >= w.s.maxInMemory:
		if _, known := w.spilled[p.PusherKey]; !known {
			w.spilled[p.PusherKey] = push.Progress{Got: &from, Due: &now}
		}
	default:
		d = newDelivery(p, now)
		d.got, d.rooms = from, map[journal.RoomNID]string{}
		d.concern(c, after, upTo)
		w.add(d)
	}
}

func (w *work) add(d *delivery) {
	w.byKey[d.PusherKey] = d
	d.dirty = true
	w.queue(d)
}

// queue has a pusher wait for its turn.
func (w *work) queue(d *delivery) {
	d.waiting = true
	w.waiting = append(w.waiting, d)
}

// addDue adds pushers of the table that are due.
func (w *work) addDue(ctx context.Context, now time.Time) error {
	room := w.s.maxInMemory - len(w.byKey)
	if w.nextDue.IsZero() || now.Before(w.nextDue) || room <= 0 {
		return nil
	}
	stored, added := 0, 0
	for _, d := range w.byKey {
		if d.stored {
			stored++
		}
	}
	next, err := w.s.o.Push.DueHTTPPushers(ctx, now, room+stored, func(p *push.HTTPPusher) {
		if w.byKey[p.PusherKey] != nil || added == room {
			return
		}
		added++
		d := newDelivery(p, now)
		d.got, d.upTo, d.stored, d.mayFall = *p.Got, max(*p.Got, w.trail.Taken()), true, p.Attempts > 0
		d.Due = nil
		w.add(d)
		d.dirty = false
	})
	w.nextDue = next
	if added == room {
		w.nextDue = now
	}
	return err
}

func (w *work) isUnsaved() bool {
	if w.trail.Taken() != w.saved || len(w.spilled) > 0 {
		return true
	}
	for _, d := range w.byKey {
		if d.dirty {
			return true
		}
	}
	return false
}

// save stores how far all have come.
func (w *work) save(ctx context.Context, now time.Time) error {
	var keys []push.PusherKey
	var progress []push.Progress
	for key, p := range w.spilled {
		keys, progress = append(keys, key), append(progress, p)
	}
	for key, d := range w.byKey {
		if d.dirty {
			keys, progress = append(keys, key), append(progress, d.progress(now))
		}
	}
	// It must not be broken off, as nobody would know then how far it came.
	ctx, stop := context.WithTimeout(context.WithoutCancel(ctx), savePatience)
	defer stop()
	err := w.trail.Save(ctx, func(tx pgx.Tx) error {
		if len(keys) == 0 {
			return nil
		}
		return w.s.o.Push.SaveProgress(ctx, tx, keys, progress)
	})
	if err != nil {
		return err
	}
	w.saved, w.nextSave = w.trail.Taken(), time.Time{}
	if len(w.spilled) > 0 {
		w.nextDue = now
	}
	clear(w.spilled)
	for key, d := range w.byKey {
		switch {
		case d.isFailing():
			delete(w.byKey, key)
			if w.nextDue.IsZero() || d.Due.Before(w.nextDue) {
				w.nextDue = *d.Due
			}
		case d.isDone():
			delete(w.byKey, key)
		case d.dirty:
			d.stored, d.dirty = true, false
		}
	}
	return nil
}

// end waits for the requests that are under way, and saves.
func (w *work) end(ctx context.Context, cancel func()) error {
	late := time.AfterFunc(grace, cancel)
	defer late.Stop()
	for w.running.total > 0 {
		w.finish(ctx, <-w.ended)
	}
	return w.save(ctx, w.s.now())
}

// await waits for the requests that are under way, whose results are lost.
func (w *work) await() {
	for ; w.running.total > 0; w.running.total-- {
		<-w.ended
	}
}
