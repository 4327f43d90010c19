package profile

import (
	"context"
	"fmt"

	"homeserver/internal/httpapi/ratelimit"
	"homeserver/internal/journal"
)

// kindChange is the kind of the entries of the outbox that say that a display name or an
// avatar has changed. Their topic is the user.
const kindChange = "profile"

// OnChange adds a hook that is called after each change of a display name or an avatar,
// before the client gets its answer; also if the new value is the old one. If a hook
// fails, or the process ends meanwhile, it is called again later, by any process. So it
// must do no harm to call it again. The hooks for one user are called by one process at
// a time. It is meant for wiring, before the first request.
func (s *Service) OnChange(hook func(ctx context.Context, userID string, p Profile) error) {
	s.onChange = append(s.onChange, hook)
}

// CountBy sets the function that counts the work of the hooks for a user, before
// anything is changed. It is meant for wiring, before the first request.
func (s *Service) CountBy(count func(ctx context.Context, userID string) (ratelimit.Claims, error)) {
	s.count = count
}

// announce calls the hooks with the profile as it is stored.
func (s *Service) announce(ctx context.Context, e *journal.Entry) error {
	userID := e.Topics[0].User
	p, _, err := s.load(ctx, userID)
	if err != nil {
		return err
	}
	for _, hook := range s.onChange {
		if err := hook(ctx, userID, p); err != nil {
			return fmt.Errorf("announce the profile of %s: %w", userID, err)
		}
	}
	return nil
}
