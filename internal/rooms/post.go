package rooms

import (
	"context"
	"encoding/json"

	"homeserver/internal/rooms/timeline"
)

// Posting is one of the events of Post.
type Posting struct {
	// UserID is who sends it.
	UserID string
	Type   string
	// StateKey makes it a state event; nil: it is a message.
	StateKey *string
	Content  json.RawMessage
	// Timestamp is the event's, in milliseconds since the epoch; nil: the present.
	Timestamp *int64
}

// Post adds events of any number of users to a room, in their order and all in one commit, and returns their
// IDs. Each has the errors of Send or SetState, and then none is added. It is for bringing a history into a
// room; how much is posted at once the caller bounds.
//
// What an event relates to must be there before: the ID of an event is known once it is committed.
func (s *Service) Post(ctx context.Context, roomID string, list []Posting) (eventIDs []string, err error) {
	drafts := make([]draft, len(list))
	annotations := map[timeline.Annotation]bool{}
	for i, p := range list {
		if drafts[i], err = s.posted(ctx, roomID, p); err != nil {
			return nil, err
		}
		if p.StateKey != nil {
			continue
		}
		if a, ok := timeline.AnnotationOf(relatedContent(drafts[i].content), p.UserID, p.Type); ok && annotations[a] {
			return nil, errAnnotated()
		} else if ok {
			annotations[a] = true
		}
		release, err := s.claimAnnotation(ctx, roomID, &drafts[i])
		if err != nil {
			return nil, err
		}
		defer release()
	}
	if _, err := s.submit(ctx, roomID, drafts...); err != nil {
		return nil, err
	}
	for i := range drafts {
		eventIDs = append(eventIDs, drafts[i].eventID)
	}
	return eventIDs, nil
}

// posted drafts one event of Post.
func (s *Service) posted(ctx context.Context, roomID string, p Posting) (draft, error) {
	q := Request{UserID: p.UserID, RoomID: roomID, Timestamp: p.Timestamp}
	if p.StateKey != nil {
		return s.stateDraft(ctx, q, p.Type, *p.StateKey, p.Content)
	}
	return s.messageDraft(ctx, q, p.Type, p.Content)
}
