package presence

import (
	"context"
	"slices"

	"homeserver/internal/matrix"
)

// List gives how those on a user's presence list are shown. Who shares no room with
// the user looks offline. Client-server API r0.2, GET /presence/list/{userId}.
func (s *Service) List(ctx context.Context, userID string) ([]State, error) {
	listed, err := s.loadList(ctx, userID)
	if err != nil {
		return nil, err
	}
	if err := s.load(ctx, userID); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	states := make([]State, len(listed))
	for i, other := range listed {
		states[i], _ = s.seen(userID, other)
	}
	return states, nil
}

// ChangeList puts users on a user's presence list, and takes others off it.
// M_INVALID_PARAM for what is no user ID, M_TOO_LARGE for more than 1,000 users.
// Client-server API r0.2, POST /presence/list/{userId}.
func (s *Service) ChangeList(ctx context.Context, userID string, invite, drop []string) error {
	for _, other := range slices.Concat(invite, drop) {
		if _, _, err := matrix.ParseUserID(other); err != nil {
			return err
		}
	}
	if len(invite)+len(drop) > 2*maxListed {
		return matrix.Errorf(matrix.TooLarge, "there are at most %d users on a presence list", maxListed)
	}
	return s.storeList(ctx, userID, invite, drop)
}
