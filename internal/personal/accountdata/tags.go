package accountdata

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"homeserver/internal/journal"
	"homeserver/internal/matrix"
)

// Tags returns the tags that a user has set on a room, by name. Client-server API,
// "Room Tagging", GET /user/{userId}/rooms/{roomId}/tags.
func (s *Service) Tags(ctx context.Context, userID, roomID string) (map[string]json.RawMessage, error) {
	room, err := s.room(ctx, roomID)
	if err != nil {
		return nil, err
	}
	content, _, err := s.load(ctx, userID, room, TypeTag)
	if err != nil {
		return nil, err
	}
	return tagsIn(content), nil
}

// SetTag sets a tag of a room. M_INVALID_PARAM for a name that is too long,
// M_BAD_JSON for an order that is not a number, M_TOO_LARGE if the room has too many
// tags. PUT /user/{userId}/rooms/{roomId}/tags/{tag}.
func (s *Service) SetTag(ctx context.Context, userID, roomID, tag string, content json.RawMessage) error {
	if tag == "" || len(tag) > matrix.MaxIDBytes {
		return matrix.Errorf(matrix.InvalidParam, "the name of a tag has 1 to %d bytes", matrix.MaxIDBytes)
	}
	var order struct {
		Order *float64 `json:"order"`
	}
	if err := json.Unmarshal(content, &order); err != nil {
		return matrix.Errorf(matrix.BadJSON, "order must be a number")
	}
	return s.changeTags(ctx, userID, roomID, func(tags map[string]json.RawMessage) bool {
		tags[tag] = content
		return true
	})
}

// DeleteTag removes a tag from a room; it does nothing if there is none. DELETE
// /user/{userId}/rooms/{roomId}/tags/{tag}.
func (s *Service) DeleteTag(ctx context.Context, userID, roomID, tag string) error {
	return s.changeTags(ctx, userID, roomID, func(tags map[string]json.RawMessage) bool {
		_, found := tags[tag]
		delete(tags, tag)
		return found
	})
}

// errChanged is the error of an item made from one that has changed meanwhile.
const errChanged = "HS002"

// patience is how long an item is made again because another process has changed it.
const patience = 10 * time.Second

// changeTags makes new tags of the old.
func (s *Service) changeTags(ctx context.Context, userID, roomID string, change func(map[string]json.RawMessage) bool) error {
	room, err := s.room(ctx, roomID)
	if err != nil {
		return err
	}
	return s.change(ctx, userID, room, TypeTag, func(content json.RawMessage) (json.RawMessage, error) {
		tags := tagsIn(content)
		if !change(tags) {
			return nil, nil
		}
		content, err := json.Marshal(map[string]any{"tags": tags})
		if err != nil {
			return nil, fmt.Errorf("encode tags: %w", err)
		}
		if len(content) > maxTagsBytes {
			return nil, matrix.Errorf(matrix.TooLarge, "the tags of a room have at most %d bytes", maxTagsBytes)
		}
		return content, nil
	})
}

// change makes a new item of the old one; nil: there is none, or nothing to do. Another
// process may change it at the same time: then it is made again.
func (s *Service) change(
	ctx context.Context, userID string, room journal.RoomNID, typ string, make func(content json.RawMessage) (json.RawMessage, error),
) error {
	end, err := s.turns.Take(ctx, userID)
	if err != nil {
		return err
	}
	defer end()
	for start := time.Now(); time.Since(start) < patience; {
		content, at, err := s.load(ctx, userID, room, typ)
		if err != nil {
			return err
		}
		if content, err = make(content); content == nil || err != nil {
			return err
		}
		i := &Item{UserID: userID, Room: room, Type: typ, Content: content, replaces: &at}
		if err := s.checkSpace(ctx, i); err != nil {
			return err
		}
		err = s.commit(ctx, i)
		if pg, ok := errors.AsType[*pgconn.PgError](err); !ok || pg.Code != errChanged {
			return err
		}
	}
	return &matrix.Error{
		Code: matrix.Unknown, Message: "too many requests change this account data at once: try again",
		Status: http.StatusServiceUnavailable, RetryAfter: time.Second,
	}
}

// tagsIn returns the tags in a content of m.tag, or in none. A client may have stored that
// as it likes: what has not the form has no tags.
func tagsIn(content json.RawMessage) map[string]json.RawMessage {
	var stored struct {
		Tags map[string]json.RawMessage `json:"tags"`
	}
	if content == nil || json.Unmarshal(content, &stored) != nil || stored.Tags == nil {
		return map[string]json.RawMessage{}
	}
	return stored.Tags
}
