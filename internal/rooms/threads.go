package rooms

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"

	"homeserver/internal/event"
	"homeserver/internal/matrix"
)

// checkThread refuses a message in a thread whose root is related to another event itself:
// M_UNKNOWN with 400. A root that is not here, or not for the sender, is no matter: what is
// related to it is related to nothing. Client-server API, "Validation of m.thread
// relationships".
func (s *Service) checkThread(ctx context.Context, q Request, content json.RawMessage) error {
	if !bytes.Contains(content, []byte(event.RelThread)) {
		return nil // most are not
	}
	canonical, err := event.Canonical(content, false)
	if err != nil {
		return nil //nolint:nilerr // it shows again, and counts, when the event is built
	}
	relation := event.RelationOf(canonical)
	if relation.Type != event.RelThread || s.Timeline.HasReplies(q.RoomID, relation.EventID) {
		return nil
	}
	root, _, err := s.Timeline.For(q.UserID).SeenEvent(ctx, q.RoomID, relation.EventID)
	switch {
	case matrix.IsCode(err, matrix.NotFound), matrix.IsCode(err, matrix.Forbidden):
		return nil
	case err != nil:
		return err
	case root.Relation() == (event.Relation{}):
		return nil
	}
	return &matrix.Error{
		Code: matrix.Unknown, Status: http.StatusBadRequest, Message: "an event that is related to another cannot be the root of a thread",
	}
}
