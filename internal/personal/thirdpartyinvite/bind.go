package thirdpartyinvite

import (
	"context"
	"encoding/json"

	"golang.org/x/sync/errgroup"

	"homeserver/internal/event"
	"homeserver/internal/matrix"
)

// MaxBound is how many invitations an identity server can report at once.
const MaxBound = 50

// Binding is an identity server's report of an address that has been bound to a user:
// the body of PUT /_matrix/federation/v1/3pid/onbind.
type Binding struct {
	Medium  string        `json:"medium"`
	Address string        `json:"address"`
	UserID  string        `json:"mxid"`
	Invites []BoundInvite `json:"invites"`
}

// BoundInvite is an invitation that the address had got before.
type BoundInvite struct {
	UserID string `json:"mxid"`
	RoomID string `json:"room_id"`
	Sender string `json:"sender"`
	// Signed is signed by the identity server, and names the user and the token of the
	// m.room.third_party_invite event.
	Signed json.RawMessage `json:"signed"`
}

// Check refuses a binding that is none: M_MISSING_PARAM, M_INVALID_PARAM.
func (b *Binding) Check() error {
	if b.Medium == "" || b.Address == "" || b.UserID == "" {
		return matrix.Errorf(matrix.MissingParam, "medium, address and mxid are needed")
	}
	if len(b.Invites) > MaxBound {
		return matrix.Errorf(matrix.InvalidParam, "invites has at most %d items", MaxBound)
	}
	_, _, err := matrix.ParseUserID(b.UserID)
	return err
}

// OnBind turns the invitations of a binding into invites for the user. The request
// itself proves nothing, since anybody may send it: each invitation is believed only
// by a signature of a key in its m.room.third_party_invite event, and a key is asked
// about at its server only after that. Those that are redeemed already stay as they
// are, so that an identity server may repeat the request. All are tried; the error is
// that of one that failed, as for Check and Join. Server-server API, "Third-party
// invites", PUT /3pid/onbind.
func (s *Service) OnBind(ctx context.Context, b Binding) error {
	if err := b.Check(); err != nil {
		return err
	}
	var g errgroup.Group
	g.SetLimit(lookupsAtOnce)
	for _, invite := range b.Invites {
		g.Go(func() error { return s.exchange(ctx, b.UserID, invite) })
	}
	return g.Wait()
}

// exchange turns one invitation into an invite.
func (s *Service) exchange(ctx context.Context, userID string, i BoundInvite) error {
	signed, err := event.Canonical(i.Signed, false)
	if err != nil {
		return err
	}
	signedFor, _ := event.StringField(signed, "mxid")
	if i.UserID != userID || signedFor != userID {
		return matrix.Errorf(matrix.Forbidden, "the invitation is not for %s", userID)
	}
	token, _ := event.StringField(signed, "token")
	pending, err := s.rooms.PendingInvite(ctx, i.RoomID, token)
	if err != nil {
		return err
	}
	if i.Sender != pending.Sender {
		return matrix.Errorf(matrix.Forbidden, "the invitation is not by %s", i.Sender)
	}
	if err := s.verify(ctx, pending, signed); err != nil {
		return err
	}
	return s.rooms.Exchange(ctx, userID, i.RoomID, signed)
}
