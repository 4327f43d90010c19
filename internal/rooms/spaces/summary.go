package spaces

import (
	"context"

	"homeserver/internal/journal"
	"homeserver/internal/matrix"
	"homeserver/internal/rooms/directory"
	"homeserver/internal/rooms/timeline"
)

// summary is what is shown of a room in the tree of a space and by itself.
type summary struct {
	directory.RoomSummary
	// Allowed are the rooms whose members may join this one, if it is restricted.
	Allowed []string `json:"allowed_room_ids,omitempty"`
}

// Summary is what is shown of a single room.
type Summary struct {
	summary
	// Membership is that of the user who asks; "": nobody is known to.
	Membership string `json:"membership,omitempty"`
}

// Summary returns what is shown of a room to a user, or to anybody if userID is "":
// M_NOT_FOUND if the user may not know of it, also if there is none; M_INVALID_PARAM for a
// text that is no room ID. Client-server API, GET /room_summary/{roomIdOrAlias}.
func (s *Service) Summary(ctx context.Context, userID, roomID string) (*Summary, error) {
	if !matrix.IsRoomID(roomID) {
		return nil, matrix.Errorf(matrix.InvalidParam, "this is not a room ID")
	}
	now := view{rooms: s.rooms, userID: userID, at: timeline.Latest}
	found, err := now.previews(ctx, []string{roomID})
	if err != nil {
		return nil, err
	}
	if len(found) == 0 || !now.mayKnow(&found[0]) {
		return nil, matrix.Errorf(matrix.NotFound, "there is no such room")
	}
	p := &found[0]
	summaries, _, err := s.directory.Summaries(ctx, []journal.RoomNID{p.Room})
	if err != nil {
		return nil, err
	}
	one := &Summary{summary: summary{summaries[0], p.Allowed}}
	if userID != "" {
		one.Membership = p.Membership
	}
	return one, nil
}
