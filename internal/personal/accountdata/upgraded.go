package accountdata

import (
	"context"
	"encoding/json"
	"slices"

	"homeserver/internal/rooms/timeline"
)

// CarryOver copies to a room what a user has set for the room that it replaced: the tags,
// unless the new room ever had some, and the place among direct chats. It does no harm to
// call it again. M_TOO_LARGE if the user has stored too much. Client-server API, "Room
// Upgrades", Server behaviour.
func (s *Service) CarryOver(ctx context.Context, userID string, r timeline.Replacement) error {
	tags, _, err := s.load(ctx, userID, r.Old, TypeTag)
	if err != nil {
		return err
	}
	if len(tagsIn(tags)) > 0 {
		err := s.change(ctx, userID, r.New, TypeTag, func(own json.RawMessage) (json.RawMessage, error) {
			if own != nil {
				return nil, nil
			}
			return tags, nil
		})
		if err != nil {
			return err
		}
	}
	return s.change(ctx, userID, 0, TypeDirect, func(content json.RawMessage) (json.RawMessage, error) {
		return withDirectRoom(content, r.OldID, r.NewID)
	})
}

// withDirectRoom returns the content of m.direct with a room after another one wherever
// that is listed; nil if it is listed already, or there is nothing to do.
func withDirectRoom(content json.RawMessage, old, next string) (json.RawMessage, error) {
	var direct map[string]json.RawMessage
	if content == nil || json.Unmarshal(content, &direct) != nil {
		return nil, nil
	}
	changed := false
	for userID, list := range direct {
		var rooms []string
		if json.Unmarshal(list, &rooms) != nil || !slices.Contains(rooms, old) || slices.Contains(rooms, next) {
			continue
		}
		var err error
		if direct[userID], err = json.Marshal(append(rooms, next)); err != nil {
			return nil, err
		}
		changed = true
	}
	if !changed {
		return nil, nil
	}
	return json.Marshal(direct)
}
