package delayedevents

import (
	"context"
	"errors"
	"time"

	"golang.org/x/sync/errgroup"

	"homeserver/internal/matrix"
)

const (
	// dueAtOnce is how many events that are due are read together, and roomsAtOnce in how
	// many rooms some are sent at the same time: in each, in the order of their times.
	dueAtOnce, roomsAtOnce = 100, 8
	// longestWait is how long the worker waits without looking at the clock, which may be
	// set.
	longestWait = time.Minute
	// firstRetry is the time after which an event is sent again that could not be sent, by a
	// fault of the server or by limits. It doubles each time, maxFailed times; then the event is finalised.
	firstRetry = time.Second
	maxFailed  = 10
	// pruneEach is how often finalised events are removed.
	pruneEach = time.Hour
)

// work sends what is due for as long as this process leads.
func (s *Service) work(ctx context.Context, well func()) error {
	pruned := time.Time{}
	for {
		next, err := s.sendDue(ctx)
		if err != nil {
			return err
		}
		if now := s.o.Now(); now.Sub(pruned).Abs() >= pruneEach {
			if err := s.prune(ctx, now.Add(-keepFinalised).UnixMilli()); err != nil {
				return err
			}
			pruned = now
		}
		well()
		if err := s.wait(ctx, next); err != nil {
			return err
		}
	}
}

// wait returns when it is time for the next event, or something was scheduled.
func (s *Service) wait(ctx context.Context, next *int64) error {
	until := s.o.Now().Add(longestWait)
	if next != nil && time.UnixMilli(*next).Before(until) {
		until = time.UnixMilli(*next)
	}
	rings, stop := s.alarm(until)
	defer stop()
	select {
	case <-rings:
	case <-s.earlier:
	case <-ctx.Done():
		return ctx.Err()
	}
	return nil
}

// sendDue sends all that is due, and returns when the next event is; nil: there is none.
func (s *Service) sendDue(ctx context.Context) (next *int64, err error) {
	for {
		now := s.o.Now().UnixMilli()
		due, err := s.claimDue(ctx, now)
		if err != nil {
			return nil, err
		}
		if len(due) == 0 {
			return s.nextDue(ctx)
		}
		if err := s.sendAll(ctx, due); err != nil {
			return nil, err
		}
	}
}

// sendAll sends events that are due, and finalises them.
func (s *Service) sendAll(ctx context.Context, due []*delayed) error {
	byRoom := map[string][]*delayed{}
	var order []string
	for _, d := range due {
		if byRoom[d.RoomID] == nil {
			order = append(order, d.RoomID)
		}
		byRoom[d.RoomID] = append(byRoom[d.RoomID], d)
	}
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(roomsAtOnce)
	for _, roomID := range order {
		g.Go(func() error {
			for _, d := range byRoom[roomID] {
				if err := s.deliver(ctx, d); err != nil {
					return err
				}
			}
			return nil
		})
	}
	return g.Wait()
}

// retryAfter returns after which time an event is sent again that could not be.
func retryAfter(d *delayed) time.Duration { return firstRetry << d.Failed }

// deliver sends an event whose time has come. One that is refused is finalised with the
// error, unless it is the user's limits that refuse it: those pass, and the end of a call
// must not be lost to what its user has sent meanwhile. The error that it returns is that of the database, or of a server that stops.
func (s *Service) deliver(ctx context.Context, d *delayed) error {
	o := outcome{}
	overtaken, err := s.isOvertaken(ctx, d)
	if err == nil && overtaken {
		err = errOvertaken()
	} else if err == nil {
		o.eventID, err = s.send(ctx, d)
	}
	o.at = s.o.Now().UnixMilli()
	if ctx.Err() != nil {
		return ctx.Err()
	}
	var refused *matrix.Error
	switch {
	case err == nil:
	case errors.As(err, &refused) && refused.Code == matrix.LimitExceeded && d.Failed+1 < maxFailed:
		return s.postpone(ctx, d.ID, o.at+max(refused.RetryAfter, retryAfter(d)).Milliseconds())
	case errors.As(err, &refused) && !isOurs(refused):
		o.err = encodeError(refused)
	case d.Failed+1 < maxFailed:
		s.o.Log.ErrorContext(ctx, "a delayed event cannot be sent and is tried again", "user_id", d.UserID, "room_id", d.RoomID, "error", err)
		return s.putOff(ctx, d.ID, o.at+retryAfter(d).Milliseconds())
	default:
		s.o.Log.ErrorContext(ctx, "a delayed event cannot be sent", "user_id", d.UserID, "room_id", d.RoomID, "error", err)
		o.err = encodeError(matrix.Errorf(matrix.Unknown, "Internal server error"))
	}
	return s.finalise(ctx, d, o)
}
