package presence

import (
	"context"
	"slices"

	"homeserver/internal/matrix"
)

// List returns the states of the users on a user's presence list. One who shares no
// room with the user looks offline. Client-server API r0.2, GET
// /presence/list/{userId}.
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
		states[i], _ = s.stateFor(userID, other)
	}
	return states, nil
}

// ChangeList adds users to a user's presence list, and removes others. M_INVALID_PARAM
// for a text that is no user ID, M_TOO_LARGE for more than 1,000 users. Client-server
// API r0.2, POST /presence/list/{userId}.
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
