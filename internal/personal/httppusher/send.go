package httppusher

import (
	"context"
	"fmt"
	"runtime/debug"
	"slices"
	"time"

	"homeserver/internal/journal"
	"homeserver/internal/personal/push"
)

const (
	// runningAtOnce is how many pushers are sent to at the same time, of which strangersAtOnce
	// may have gateways that have not answered well before.
	runningAtOnce   = 64
	strangersAtOnce = 24
	// ofGateway and ofUser bound those of one gateway and of one user. One that has not
	// answered well is asked one thing at a time.
	ofGateway = 8
	ofUser    = 4
	// maxKnown bounds how many gateways are remembered that have answered well.
	maxKnown = 10_000
	// atOnce is how many notifications a pusher is sent before others have their turn.
	atOnce = 10
)

// lanes are the requests under way.
type lanes struct {
	total, strangers int
	byHost, byUser   map[string]int
	well             map[string]bool // gateways whose last answer was good
}

func newLanes() lanes {
	return lanes{byHost: map[string]int{}, byUser: map[string]int{}, well: map[string]bool{}}
}

// enter reports whether a pusher may be sent to now, and counts it then.
func (l *lanes) enter(d *delivery) bool {
	most := 1
	if l.well[d.host] {
		most = ofGateway
	}
	if l.total >= runningAtOnce || l.byUser[d.UserID] >= ofUser || l.byHost[d.host] >= most ||
		!l.well[d.host] && l.strangers >= strangersAtOnce {
		return false
	}
	l.total++
	l.byHost[d.host]++
	l.byUser[d.UserID]++
	d.stranger = !l.well[d.host]
	if d.stranger {
		l.strangers++
	}
	return true
}

func (l *lanes) leave(d *delivery) {
	l.total--
	if d.stranger {
		l.strangers--
	}
	for m, key := range map[*map[string]int]string{&l.byHost: d.host, &l.byUser: d.UserID} {
		if (*m)[key]--; (*m)[key] == 0 {
			delete(*m, key)
		}
	}
}

// judge notes how a gateway has answered, and reports whether that is news.
func (l *lanes) judge(host string, well bool) (news bool) {
	news = l.well[host] != well
	delete(l.well, host)
	if well {
		if len(l.well) >= maxKnown {
			clear(l.well)
		}
		l.well[host] = true
	}
	return news
}

// begin sends to the pushers that wait and may be sent to now.
func (w *work) begin(ctx, sending context.Context, now time.Time) error {
	var next []*delivery
	w.waiting = slices.DeleteFunc(w.waiting, func(d *delivery) bool {
		if !w.running.enter(d) {
			return false
		}
		d.waiting = false
		next = append(next, d)
		return true
	})
	if err := w.refresh(ctx, next, now); err != nil {
		for _, d := range next { // nobody would end them
			w.running.leave(d)
			d.waiting = true
		}
		w.waiting = append(w.waiting, next...)
		return err
	}
	for _, d := range next {
		if w.byKey[d.PusherKey] != d { // it is gone
			w.running.leave(d)
			continue
		}
		j := job{HTTPPusher: d.HTTPPusher, got: d.got, upTo: d.upTo, rooms: d.rooms, mayFall: d.mayFall, since: d.since}
		d.running, d.rooms = true, map[journal.RoomNID]string{}
		go func() { w.ended <- w.s.run(sending, ctx, d, j) }()
	}
	return nil
}

// refresh reads the rows again of those that have waited for long: they may have been
// changed or deleted.
func (w *work) refresh(ctx context.Context, next []*delivery, now time.Time) error {
	var users []string
	old := map[push.PusherKey]*delivery{}
	for _, d := range next {
		if now.Sub(d.loaded) > freshFor {
			old[d.PusherKey] = d
			users = append(users, d.UserID)
		}
	}
	if len(old) == 0 {
		return nil
	}
	err := w.s.o.Push.HTTPPushersOf(ctx, users, func(p *push.HTTPPusher) {
		d := old[p.PusherKey]
		if d == nil {
			return
		}
		again := newDelivery(p, now)
		d.Data, d.SetAt, d.host, d.loaded = again.Data, again.SetAt, again.host, now
		delete(old, p.PusherKey)
	})
	if err != nil {
		return err
	}
	for key := range old {
		delete(w.byKey, key)
	}
	return nil
}

// job is what is to be sent to a pusher.
type job struct {
	push.HTTPPusher
	got, upTo journal.Position
	rooms     map[journal.RoomNID]string
	mayFall   bool
	since     time.Time
}

// result is what has become of a job.
type result struct {
	d   *delivery
	job job
	// got is the position up to which the pusher has everything now.
	got journal.Position
	// asked reports that the gateway was asked, gone that it has rejected the pusher.
	asked, gone bool
	err         error
}

// run does a job.
func (s *Service) run(sending, until context.Context, d *delivery, j job) (r result) {
	defer func() {
		if p := recover(); p != nil {
			s.o.Log.Error("sending a notification panicked", "panic", p, "stack", string(debug.Stack()))
			r = result{d: d, job: j, got: j.got, err: fmt.Errorf("panic: %v", p)}
		}
	}()
	r = s.deliver(sending, until, j)
	r.d, r.job = d, j
	return r
}

// deliver sends a pusher what it is owed, as far as a turn goes. It begins nothing more
// once until has ended.
func (s *Service) deliver(sending, until context.Context, j job) result {
	r := result{got: j.got}
	page, err := s.review(sending, j)
	if err != nil {
		r.err = err
		return r
	}
	to := newTarget(&j.HTTPPusher)
	for i := range page.List {
		if r.err = until.Err(); r.err != nil {
			return r
		}
		p := &page.List[i]
		r.asked = true
		if r.gone, r.err = s.post(sending, to, to.event(p, page.Unread)); r.gone || r.err != nil {
			return r
		}
		s.metrics.delay.Observe(s.now().Sub(j.since).Seconds())
		s.told.Put(j.PusherKey, page.Unread)
		r.got = p.Event.Position
	}
	if told, known := s.told.Get(j.PusherKey); len(page.List) == 0 && j.mayFall && (!known || told > page.Unread) {
		r.asked = true
		if r.gone, r.err = s.post(sending, to, to.badge(page.Unread)); r.gone || r.err != nil {
			return r
		}
		s.told.Put(j.PusherKey, page.Unread)
	}
	r.got = page.UpTo
	return r
}

// review works out what a pusher is owed.
func (s *Service) review(ctx context.Context, j job) (*push.PushPage, error) {
	s.reviews <- struct{}{}
	defer func() { <-s.reviews }()
	return s.o.Push.Pushes(ctx, push.PushQuery{
		UserID: j.UserID, After: j.got, UpTo: j.upTo, Rooms: j.rooms, Most: atOnce, Late: j.Attempts > 0,
		Names: !isIDOnly(j.Data),
	})
}

// finish takes the result of a job.
func (w *work) finish(ctx context.Context, r result) {
	d := r.d
	w.running.leave(d)
	d.running = false
	now := w.s.now()
	if r.asked && !w.ending {
		if news := w.running.judge(d.host, r.err == nil); news && r.err != nil {
			w.s.o.Log.WarnContext(ctx, "a push gateway fails", "gateway", d.host, "error", r.err)
		}
	}
	if r.got > d.got {
		d.got, d.dirty = r.got, d.dirty || d.stored
	}
	switch {
	case r.gone:
		delete(w.byKey, d.PusherKey)
	case r.err != nil && w.ending:
		d.rooms, d.waiting, d.dirty = nil, true, true
	case r.err != nil:
		w.s.metrics.failed.Inc()
		if !r.asked {
			w.s.o.Log.ErrorContext(ctx, "what is to be pushed cannot be worked out, and is tried again later", "user", d.UserID, "error", r.err)
		}
		d.fail(now, w.s.backoff)
	default:
		w.succeed(d, r, now)
	}
}

// succeed goes on with a pusher that was sent something.
func (w *work) succeed(d *delivery, r result, now time.Time) {
	d.Attempts, d.FailingSince, d.Due = 0, nil, nil
	switch {
	case r.got < r.job.upTo:
		d.goOn(r.job.rooms)
	case d.upTo == r.job.upTo: // nothing has come since
		d.mayFall = false
	}
	switch {
	case d.got < d.upTo:
		d.since = now
		w.queue(d)
	case d.stored:
		d.dirty = true
	default:
		delete(w.byKey, d.PusherKey)
	}
}
