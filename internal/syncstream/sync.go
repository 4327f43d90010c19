package syncstream

import (
	"context"
	"fmt"
	"time"

	"homeserver/internal/e2ee/devicekeys"
	"homeserver/internal/journal"
)

// maxTimeout bounds how long a request may wait.
const maxTimeout = 10 * time.Minute

// Query is a request for what is new: client-server API, "Syncing".
type Query struct {
	UserID, DeviceID string
	// Since is the token of the last answer; "": none.
	Since string
	// Timeout is how long to wait if there is nothing new.
	Timeout time.Duration
	// Filter is JSON, or the ID of a stored filter; "": none.
	Filter string
	// V2Alpha: the answer is to be written as a [V2Alpha], which shows nothing bundled with events.
	V2Alpha bool
	// FullState asks for the whole state of each room, at once.
	FullState bool
	// UseStateAfter asks for the state at the end of the timeline, in a member that is
	// called StateAfter; "": state_after.
	UseStateAfter bool
	StateAfter    string
	// SetPresence is how the user is shown while asking: online, unavailable, or
	// offline, which shows nothing.
	SetPresence string
}

// Sync returns what is new for a user since the token, waiting for it if there is
// nothing. M_INVALID_PARAM for a token or a filter that does not exist, M_BAD_JSON
// or M_NOT_JSON for a filter that cannot be read.
func (s *Service) Sync(ctx context.Context, q Query) (*Answer, error) {
	r, err := s.read(ctx, &q)
	if err != nil {
		return nil, err
	}
	return s.sync(ctx, r)
}

// read reads the filter and the token of a query.
func (s *Service) read(ctx context.Context, q *Query) (r *request, err error) {
	r = &request{Query: *q, bundled: !q.V2Alpha}
	if r.filter, err = s.filter(ctx, q.UserID, q.Filter); err != nil {
		return nil, err
	}
	return r, s.resume(ctx, r)
}

// sync answers a request whose token has been read.
func (s *Service) sync(ctx context.Context, r *request) (*Answer, error) {
	polled, err := s.Presence.Polling(ctx, r.UserID, r.DeviceID, r.SetPresence)
	if err != nil {
		return nil, err
	}
	defer polled()
	var deadline <-chan time.Time
	if !r.immediate() {
		timer := time.NewTimer(min(r.Timeout, maxTimeout))
		defer timer.Stop()
		deadline = timer.C
	}
	for {
		a, err := s.answerOrWait(ctx, r, deadline)
		if a != nil || err != nil {
			return a, err
		}
	}
}

// answerOrWait returns the answer as of now; if it is empty it waits, and returns nil
// where there may be more to see then.
func (s *Service) answerOrWait(ctx context.Context, r *request, deadline <-chan time.Time) (*Answer, error) {
	started := time.Now()
	v, err := s.viewers.use(ctx, r.UserID)
	if err != nil {
		return nil, err
	}
	defer s.viewers.release(v)
	// The channel is taken before the journal is looked at, so that no wake-up is
	// lost between the look and the wait.
	woken := v.listener.Woken()
	a, err := s.answer(ctx, v, r)
	if a != nil {
		s.metrics.observe(a.plan, r.waited, time.Since(started))
	}
	if a == nil || err != nil || !a.plan.empty() || r.immediate() {
		return a, err
	}
	s.viewers.rest(v)
	again, err := s.wait(ctx, woken, deadline)
	s.viewers.rise(v)
	if !again && err == nil {
		return a, nil
	}
	if len(a.plan.presence) == 0 {
		r.tick = a.plan.tickUpTo // up to here there was nothing for this user
	}
	if r.keyCounts == nil {
		r.keyCounts = a.plan.keyCounts
	}
	r.waited = true
	return nil, err
}

// wait waits until there may be more to see, and reports whether that is so.
func (s *Service) wait(ctx context.Context, woken <-chan struct{}, deadline <-chan time.Time) (again bool, err error) {
	s.metrics.waiting.Inc()
	defer s.metrics.waiting.Dec()
	select {
	case <-woken:
		return true, nil
	case <-ctx.Done():
		return false, ctx.Err()
	case <-deadline:
	case <-s.stopping:
	}
	return false, nil
}

// request is a query with the values derived from it.
type request struct {
	Query
	filter  *Filter
	initial bool
	waited  bool             // there was nothing new at first
	since   journal.Position // 0 if initial
	tick    journal.Tick     // ticks are known up to here; 0: none
	// toDevice is how far messages to the device are known: 0 if initial. noToDevice: the answer
	// shows none.
	toDevice   journal.Position
	noToDevice bool
	// bundled: the answer shows what is bundled with events.
	bundled bool
	// keyCounts is which one-time keys the device had when the request came; nil: not known yet.
	keyCounts *devicekeys.Counts
	// sliding is the request, if it is one of sliding sync.
	sliding *slidingRequest
}

func (r *request) immediate() bool { return r.initial || r.FullState || r.Timeout <= 0 }

// resume reads the token, and waits until this process has come as far.
func (s *Service) resume(ctx context.Context, r *request) error {
	if r.initial = r.Since == ""; r.initial {
		return nil
	}
	var err error
	if r.since, err = ParseToken(r.Since); err != nil {
		return err
	}
	r.tick = s.Ticks.Parse(tickOf(r.Since))
	r.toDevice = toDeviceOf(r.Since, r.since)
	r.FullState = r.FullState || s.Journal.Lost(r.since) // the state that the client has may not exist
	return s.Journal.CatchUp(ctx, r.since)
}

// answer returns what is new as of now; nil if the viewer is gone.
func (s *Service) answer(ctx context.Context, v *viewer, r *request) (*Answer, error) {
	queue, err := s.ToDevice.Queue(ctx, r.UserID, r.DeviceID)
	if err != nil {
		return nil, err
	}
	var l *look
	if r.sliding != nil {
		if l, err = s.lookAt(ctx, v, r); err != nil {
			return nil, err
		}
	}
	var p *plan
	tick := s.Ticks.Now()
	s.Journal.Read(func(view journal.View) {
		if !v.gone.Load() {
			p = newPlan(view, v, r, l)
			if !r.noToDevice {
				s.ToDevice.Acknowledge(queue, view, r.toDevice)
			}
			p.waiting = queue.Look(view, r.toDevice)
		}
	})
	if p == nil {
		return nil, nil
	}
	p.tickUpTo, p.now = tick, s.Now()
	if err := s.fill(ctx, p); err != nil {
		return nil, fmt.Errorf("sync for %s: %w", r.UserID, err)
	}
	return s.newAnswer(p, r), nil
}
