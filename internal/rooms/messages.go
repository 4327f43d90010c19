package rooms

import (
	"context"
	"encoding/json"
	"fmt"

	"homeserver/internal/event"
	"homeserver/internal/matrix"
	"homeserver/internal/rooms/timeline"
)

// Request names the sender of an event and the transaction that it is sent in.
type Request struct {
	UserID, DeviceID string
	RoomID           string
	// TxnID makes a repeated request from the same device answer with the first
	// event; "": none. Client-server API, "Transaction identifiers".
	TxnID string
	// Guest says that the user is a guest.
	Guest bool
	// Suspended says that the account of the user is suspended: it may only redact its own events.
	Suspended bool
	// Counted is true if the cost of the event was counted before.
	Counted bool
	// Timestamp is the event's, in milliseconds since the epoch; nil: the present. Application
	// Service API, "Timestamp massaging".
	Timestamp *int64
}

// Send adds a message event, with any JSON object as content, and returns its ID.
// M_FORBIDDEN if the user may not, M_TOO_LARGE for an event over 64 KiB, M_BAD_JSON for
// a content that canonical JSON cannot hold; m.room.create and m.room.power_levels are
// checked as by SetState, M_UNKNOWN for a thread of an event that is no root, and
// M_DUPLICATE_ANNOTATION for an annotation that the user has made before. A redaction is
// treated as one, whatever the room version.
// Client-server API, "Sending events to a room".
func (s *Service) Send(ctx context.Context, q Request, evType string, content json.RawMessage) (eventID string, err error) {
	d, err := s.messageDraft(ctx, q, evType, content)
	if err != nil {
		return "", err
	}
	release, err := s.claimAnnotation(ctx, q.RoomID, &d)
	if err != nil {
		return "", err
	}
	defer release()
	return s.submit(ctx, q.RoomID, d)
}

// messageDraft drafts a message event, with the errors of Send for its content.
func (s *Service) messageDraft(ctx context.Context, q Request, evType string, content json.RawMessage) (draft, error) {
	d, err := q.draft(evType)
	if err != nil {
		return draft{}, err
	}
	if err := checkContent(evType, content); err != nil {
		return draft{}, err
	}
	d.content = content
	if evType == event.TypeRedaction {
		if err := s.aimRedaction(ctx, q, &d); err != nil {
			return draft{}, err
		}
	}
	return d, s.checkThread(ctx, q, content)
}

// aimRedaction finds the target of a redaction that is sent like any other event, and
// removes it from the content: Build puts it where the room version wants it.
// Client-server API, "Redactions", Client behaviour.
func (s *Service) aimRedaction(ctx context.Context, q Request, d *draft) (err error) {
	content := map[string]json.RawMessage{}
	if err := json.Unmarshal(d.content, &content); err != nil {
		return matrix.Errorf(matrix.BadJSON, "the content must be an object")
	}
	var target *string
	if err := json.Unmarshal(content["redacts"], &target); err != nil || target == nil {
		return matrix.Errorf(matrix.BadJSON, "a redaction names the event in redacts")
	}
	if d.target, err = s.redactable(ctx, q, *target); err != nil {
		return err
	}
	delete(content, "redacts")
	if d.content, err = json.Marshal(content); err != nil {
		return fmt.Errorf("encode a redaction: %w", err)
	}
	return nil
}

// Check refuses what Send, or SetState for a state key, would refuse in any room: the errors
// of these. It is for events that are sent later.
func (q *Request) Check(evType string, stateKey *string, content json.RawMessage) error {
	if _, err := q.draft(evType); err != nil {
		return err
	}
	if stateKey != nil {
		if err := checkStateKey(*stateKey); err != nil {
			return err
		}
	}
	return checkContent(evType, content)
}

func (q *Request) draft(evType string) (draft, error) {
	if evType == "" {
		return draft{}, matrix.Errorf(matrix.InvalidParam, "an event needs a type")
	}
	if len(evType) > matrix.MaxIDBytes {
		return draft{}, matrix.Errorf(matrix.TooLarge, "the type of an event has at most %d bytes", matrix.MaxIDBytes)
	}
	if len(q.TxnID) > matrix.MaxIDBytes {
		return draft{}, matrix.Errorf(matrix.InvalidParam, "a transaction ID has at most %d bytes", matrix.MaxIDBytes)
	}
	if !matrix.IsText(evType) || !matrix.IsText(q.TxnID) || !matrix.IsText(q.DeviceID) {
		return draft{}, matrix.Errorf(matrix.InvalidParam, "types and transaction IDs are UTF-8 without the character NUL")
	}
	return draft{sender: q.UserID, typ: evType, device: q.DeviceID, txn: q.TxnID, guest: q.Guest, counted: q.Counted, ts: q.Timestamp}, nil
}

// Redact strips an event of all that is not needed to keep the room together, and
// returns the ID of the redaction. M_NOT_FOUND if the room has no such event that the
// user can see, M_FORBIDDEN if it is somebody else's and the user's power does not
// suffice. Client-server API, "Redactions".
func (s *Service) Redact(ctx context.Context, q Request, eventID, reason string) (redactionID string, err error) {
	d, err := q.draft(event.TypeRedaction)
	if err != nil {
		return "", err
	}
	if d.target, err = s.redactable(ctx, q, eventID); err != nil {
		return "", err
	}
	d.content = []byte(`{}`)
	if reason != "" {
		d.content = append(event.AppendString([]byte(`{"reason":`), reason), '}')
	}
	return s.submit(ctx, q.RoomID, d)
}

// redactable reads an event that a user wants to redact. M_NOT_FOUND; M_USER_SUSPENDED for that of another, where the
// user is suspended.
func (s *Service) redactable(ctx context.Context, q Request, eventID string) (*timeline.Event, error) {
	e, _, err := s.Timeline.For(q.UserID).SeenEvent(ctx, q.RoomID, eventID)
	if err == nil && q.Suspended && e.Sender != q.UserID {
		return nil, matrix.ErrSuspended()
	}
	return e, err
}

// SetState sets an entry of a room's state and returns the ID of its event. An entry
// that has the content already stays as it is. M_FORBIDDEN if the user may not;
// M_INVALID_PARAM and M_BAD_ALIAS for aliases that do not point to the room;
// M_INVALID_PARAM for m.room.create, as a room has one only; M_BAD_JSON for power
// levels that are no integers, or, in version 12, are a creator's; M_BAD_JSON and
// M_INVALID_PARAM for access control lists as by event.CheckServerACL. Client-server API,
// PUT /rooms/{roomId}/state/{eventType}/{stateKey}.
func (s *Service) SetState(ctx context.Context, q Request, evType, stateKey string, content json.RawMessage) (eventID string, err error) {
	d, err := s.stateDraft(ctx, q, evType, stateKey, content)
	if err != nil {
		return "", err
	}
	return s.submit(ctx, q.RoomID, d)
}

// stateDraft drafts a state event, with the errors of SetState for its content.
func (s *Service) stateDraft(ctx context.Context, q Request, evType, stateKey string, content json.RawMessage) (draft, error) {
	d, err := q.draft(evType)
	if err != nil {
		return draft{}, err
	}
	if err := checkStateKey(stateKey); err != nil {
		return draft{}, err
	}
	if err := checkContent(evType, content); err != nil {
		return draft{}, err
	}
	d.stateKey, d.content = &stateKey, content
	switch evType {
	case event.TypeCanonicalAlias:
		err = s.checkPublished(ctx, q.UserID, q.RoomID, stateKey, content)
	case event.TypeMember:
		err = s.completeMember(ctx, q.RoomID, &d)
	case event.TypeServerACL:
		if stateKey == "" { // else it is no access control list
			err = event.CheckServerACL(content, s.serverName)
		}
	case event.TypeRedaction:
		err = s.aimRedaction(ctx, q, &d)
	}
	return d, err
}

// checkContent refuses content that no user may put into an existing room: a second
// m.room.create (M_INVALID_PARAM), and power levels that are none (M_BAD_JSON).
func checkContent(evType string, content json.RawMessage) error {
	switch evType {
	case event.TypeCreate:
		return matrix.Errorf(matrix.InvalidParam, "a room has one m.room.create, which was made with it")
	case event.TypePowerLevels:
		return event.CheckPowerLevels(content)
	}
	return nil
}

// checkStateKey refuses a text that is no state key: M_TOO_LARGE, M_INVALID_PARAM.
func checkStateKey(stateKey string) error {
	switch {
	case len(stateKey) > matrix.MaxIDBytes:
		return matrix.Errorf(matrix.TooLarge, "a state key has at most %d bytes", matrix.MaxIDBytes)
	case !matrix.IsText(stateKey):
		return matrix.Errorf(matrix.InvalidParam, "a state key is UTF-8 without the character NUL")
	}
	return nil
}

// completeMember adds to a membership that is set as state what the endpoints for
// membership add: the profile, and the member of a restricted room that authorises the
// join, whom no user can name.
func (s *Service) completeMember(ctx context.Context, roomID string, d *draft) error {
	if _, _, err := matrix.ParseUserID(*d.stateKey); err != nil {
		return err
	}
	content := map[string]json.RawMessage{}
	if err := json.Unmarshal(d.content, &content); err != nil {
		return matrix.Errorf(matrix.BadJSON, "the content must be an object")
	}
	var membership *string
	if err := json.Unmarshal(content["membership"], &membership); err != nil || membership == nil {
		return matrix.Errorf(matrix.BadJSON, "membership must be a string")
	}
	delete(content, authorisedBy)
	known, err := s.addedContent(ctx, roomID, d, *membership)
	if err != nil {
		return err
	}
	for key, value := range known {
		if _, given := content[key]; !given && value != "" {
			content[key] = event.AppendString(nil, value)
		}
	}
	if d.content, err = json.Marshal(content); err != nil {
		return fmt.Errorf("encode a membership: %w", err)
	}
	return nil
}

// authorisedBy is the member of a member event that names the user who authorises the
// join of a restricted room.
const authorisedBy = "join_authorised_via_users_server"

// addedContent returns the content that the server adds to a membership that is set as
// state.
func (s *Service) addedContent(ctx context.Context, roomID string, d *draft, membership string) (map[string]string, error) {
	var c memberContent
	var err error
	switch membership {
	case event.Invite:
		c, err = s.invitation(ctx, *d.stateKey)
	case event.Join, event.Knock:
		c, err = s.withProfile(ctx, c, *d.stateKey)
	}
	if err == nil && membership == event.Join && *d.stateKey == d.sender {
		c.AuthorisedBy, err = s.authoriseRestricted(ctx, roomID, d.sender)
		if matrix.IsCode(err, matrix.NotFound) {
			err = timeline.ErrNotInRoom()
		}
	}
	return map[string]string{
		"displayname": c.DisplayName, "avatar_url": c.AvatarURL, authorisedBy: c.AuthorisedBy,
	}, err
}
