package rooms

import (
	"context"
	"encoding/json"

	"homeserver/internal/event"
	"homeserver/internal/matrix"
	"homeserver/internal/rooms/timeline"
)

// MayInvite returns M_FORBIDDEN for a user who may not invite anybody to a room, also
// if there is no such room.
func (s *Service) MayInvite(ctx context.Context, userID, roomID string) error {
	nid, err := s.Timeline.Number(ctx, roomID)
	if matrix.IsCode(err, matrix.NotFound) {
		return timeline.ErrNotInRoom()
	}
	if err != nil {
		return err
	}
	rights, err := s.Timeline.Rights(ctx, nid, userID)
	switch {
	case err != nil:
		return err
	case !rights.Joined:
		return timeline.ErrNotInRoom()
	case !rights.MayInvite():
		return matrix.Errorf(matrix.Forbidden, "you may not invite anybody to this room")
	}
	return s.screenOne(ctx, Act{Kind: ToInvite, UserID: userID, RoomID: roomID})
}

// PendingInvite returns the m.room.third_party_invite event of a token. M_FORBIDDEN if
// the room has none, or there is no such room.
func (s *Service) PendingInvite(ctx context.Context, roomID, token string) (*timeline.Event, error) {
	r, err := s.room(ctx, roomID)
	if matrix.IsCode(err, matrix.NotFound) || err == nil && !matrix.IsText(token) {
		return nil, errNoInvite()
	}
	if err != nil {
		return nil, err
	}
	key := event.StateKey{Type: event.TypeThirdPartyInvite, Key: token}
	state, err := s.Timeline.CurrentState(ctx, r.nid, []event.StateKey{key})
	if err != nil {
		return nil, err
	}
	if state[key] == nil {
		return nil, errNoInvite()
	}
	return state[key], nil
}

func errNoInvite() error {
	return matrix.Errorf(matrix.Forbidden, "the room has no such invitation")
}

// thirdPartyInvite is the member of a member event that records an invitation by an
// address outside Matrix.
type thirdPartyInvite struct {
	DisplayName string          `json:"display_name"`
	Signed      json.RawMessage `json:"signed"`
}

// Redeem makes a user join a room by an invitation to an address outside Matrix: it
// turns it into one for the user, in the name of the user who sent it, and accepts
// that, in one commit. signed is third_party_signed. A user who is invited already just
// joins; one who is in the room stays as is. M_FORBIDDEN where the invitation is not
// pending, not for this user or not signed by the identity server, and as for JoinWith.
// Client-server API, POST /rooms/{roomId}/join.
func (s *Service) Redeem(ctx context.Context, q JoinRequest, signed json.RawMessage) error {
	invite, c, err := s.redeeming(ctx, q.UserID, q.RoomID, signed)
	if err != nil {
		return err
	}
	c.Membership, c.Reason, c.ThirdParty = event.Join, q.Reason, nil
	invite.asked = true
	join, err := q.draft(c)
	if err != nil {
		return err
	}
	if _, err := s.submit(ctx, q.RoomID, invite, join); err != nil {
		return err
	}
	return s.settleProfile(ctx, q.RoomID, q.UserID, c)
}

// Exchange turns an invitation to an address outside Matrix into one for the user who
// has the address now, in the name of the user who sent it. A user who is invited or in
// the room already stays as is. signed is the object that the identity server has
// signed. Errors as for Redeem. Client-server API, "Third-party invites", Server
// behaviour.
func (s *Service) Exchange(ctx context.Context, userID, roomID string, signed json.RawMessage) error {
	if err := s.mayBeInvited(userID); err != nil {
		return err
	}
	invite, _, err := s.redeeming(ctx, userID, roomID, signed)
	if err != nil {
		return err
	}
	_, err = s.submit(ctx, roomID, invite)
	return err
}

// redeeming makes the content of the invite that replaces a pending invitation.
func (s *Service) redeeming(ctx context.Context, userID, roomID string, signed json.RawMessage) (draft, memberContent, error) {
	token, _ := event.StringField(signed, "token")
	pending, err := s.PendingInvite(ctx, roomID, token)
	if err != nil {
		return draft{}, memberContent{}, err
	}
	if !s.isLocal(pending.Sender) {
		return draft{}, memberContent{}, matrix.Errorf(matrix.Forbidden,
			"this server cannot speak for %s, who has sent the invitation", pending.Sender)
	}
	c, err := s.withProfile(ctx, memberContent{Membership: event.Invite}, userID)
	if err != nil {
		return draft{}, memberContent{}, err
	}
	name, _ := event.StringField(pending.Content(), "display_name")
	c.ThirdParty = &thirdPartyInvite{DisplayName: name, Signed: signed}
	d, err := member(pending.Sender, userID, c, func(_ *draft, current *timeline.Event) (bool, error) {
		membership := membershipOf(current)
		return membership == event.Invite || membership == event.Join, nil
	})
	return d, c, err
}
