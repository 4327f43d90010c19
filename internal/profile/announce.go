package profile

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"homeserver/internal/httpapi/ratelimit"
)

// OnChange adds a hook that is called after each change of a display name or an
// avatar, before the client gets its answer; also where the new value is the old
// one. Where a hook fails, or the process ends meanwhile, it is called again later, by
// whatever process is there. So it must do no harm to call it again. For one user they
// are called by one process at a time. It is meant for wiring, before the first request.
func (s *Service) OnChange(hook func(ctx context.Context, userID string, p Profile) error) {
	s.onChange = append(s.onChange, hook)
}

// CountBy sets what counts the work of the hooks for a user, before anything is
// changed. It is meant for wiring, before the first request.
func (s *Service) CountBy(count func(ctx context.Context, userID string) (ratelimit.Claims, error)) {
	s.count = count
}

// Start begins to tell the changes that were committed and could not be told: those of
// a process that has died, and those whose hooks have failed. Call it once, when the
// hooks can be called; only Stop ends it.
func (s *Service) Start(ctx context.Context) {
	ctx, s.stop = context.WithCancel(context.WithoutCancel(ctx))
	s.running.Go(func() {
		ticker := time.NewTicker(resumeEvery)
		defer ticker.Stop()
		for {
			if err := s.resume(ctx); err != nil && ctx.Err() == nil {
				s.log.ErrorContext(ctx, "changes of profiles are not told to all rooms yet", "error", err)
			}
			select {
			case <-ticker.C:
			case <-ctx.Done():
				return
			}
		}
	})
}

// Stop ends what Start has begun, and waits for its end. It does nothing where Start
// was not called.
func (s *Service) Stop() {
	if s.stop != nil {
		s.stop()
		s.running.Wait()
	}
}

// resume tells changes that nobody tells. One that fails keeps none from the others.
func (s *Service) resume(ctx context.Context) error {
	users, err := s.abandoned(ctx)
	for _, userID := range users {
		c, _, claimed := s.claim(ctx, userID, rand.Text())
		if claimed == nil && c != nil {
			claimed = s.announce(ctx, c)
		}
		err = errors.Join(err, claimed)
	}
	return err
}

// holder is the name of one who is about to tell; "" where there are no hooks.
func (s *Service) holder() string {
	if len(s.onChange) == 0 {
		return ""
	}
	return rand.Text()
}

// claimLook is how often one who waits for another process looks whether it is done.
const claimLook = 50 * time.Millisecond

// tell returns when a change is told everywhere: here, or by whoever is at it already.
func (s *Service) tell(ctx context.Context, c change, holder string) error {
	if holder == "" {
		return nil
	}
	if c.holder == holder {
		return s.announce(ctx, &c)
	}
	end, err := s.turns.Take(ctx, c.userID) // one of each process looks
	if err != nil {
		return err
	}
	defer end()
	for {
		claimed, pending, err := s.claim(ctx, c.userID, holder)
		switch {
		case err != nil || !pending:
			return err
		case claimed != nil:
			return s.announce(ctx, claimed)
		}
		select {
		case <-time.After(claimLook):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// announce calls the hooks with the profile as it is stored, again where it has
// changed meanwhile, until all is told. The claim is kept meanwhile.
func (s *Service) announce(ctx context.Context, c *change) error {
	for {
		err := s.callHooks(ctx, c)
		done, held := false, true
		if err == nil {
			done, held, err = s.told(ctx, c)
		}
		switch {
		case err != nil:
			return errors.Join(fmt.Errorf("announce the profile of %s: %w", c.userID, err), s.release(ctx, c))
		case done || !held:
			return nil // whoever has the claim now goes on
		}
	}
}

var errClaimLost = errors.New("another process has taken over")

// callHooks calls all hooks once, and keeps the claim for as long as they take.
func (s *Service) callHooks(ctx context.Context, c *change) error {
	p, _, err := s.load(ctx, c.userID)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	stop := s.keepOn(ctx, c, cancel)
	defer stop()
	for _, hook := range s.onChange {
		if err := hook(ctx, c.userID, p); err != nil {
			return errors.Join(err, context.Cause(ctx))
		}
	}
	return nil
}

// keepOn keeps a claim until stop is called, or it is lost.
func (s *Service) keepOn(ctx context.Context, c *change, lost context.CancelCauseFunc) (stop func()) {
	over, end := context.WithCancel(ctx)
	ended := make(chan struct{})
	kept := *c
	go func() {
		defer close(ended)
		ticker := time.NewTicker(lease / 3)
		defer ticker.Stop()
		for {
			select {
			case <-over.Done():
				return
			case <-ticker.C:
			}
			held, err := s.keep(over, &kept)
			switch {
			case over.Err() != nil:
				return
			case err != nil:
				lost(err)
			case !held:
				lost(errClaimLost)
			}
		}
	}()
	return func() { end(); <-ended }
}
