package rooms

import (
	"context"
	"slices"

	"homeserver/internal/event"
)

// Act is something that a user is about to do, of which other parts of the server may say
// that it must not be.
type Act struct {
	// Kind says what it is.
	Kind ActKind
	// UserID is who does it.
	UserID string
	// Invitee is who is invited; empty for other acts, and where only an address is known.
	Invitee string
	// Asked: the invitee has asked for the invite.
	Asked bool
	// RoomID is the room; of one that is made it is the room that it replaces, or empty.
	RoomID string
	// Alias is the new name of the room; empty for other acts.
	Alias string
}

// ActKind is a kind of [Act].
type ActKind string

// The kinds of acts.
const (
	ToJoin    ActKind = "join"
	ToKnock   ActKind = "knock"
	ToInvite  ActKind = "invite"
	ToCreate  ActKind = "create"
	ToAlias   ActKind = "alias"
	ToPublish ActKind = "publish"
)

// Screen returns, for each act, the error that it is refused with; nil: it may be done.
type Screen = func(ctx context.Context, acts []Act) (refusals []error, err error)

// ScreenBy adds a check of what users are about to do. It is called before an event is built,
// outside of all locks. Call ScreenBy before the service is used.
func (s *Service) ScreenBy(check Screen) { s.screens = append(s.screens, check) }

// screen returns the first refusal of each act; nil: nothing is refused.
func (s *Service) screen(ctx context.Context, acts []Act) (refusals []error, err error) {
	if len(acts) == 0 {
		return nil, nil
	}
	for _, check := range s.screens {
		more, err := check(ctx, acts)
		if err != nil {
			return nil, err
		}
		for i, refusal := range more {
			if refusals == nil {
				refusals = make([]error, len(acts))
			}
			if refusals[i] == nil {
				refusals[i] = refusal
			}
		}
	}
	return refusals, nil
}

// screenOne returns the refusal of one act.
func (s *Service) screenOne(ctx context.Context, act Act) error {
	refusals, err := s.screen(ctx, []Act{act})
	if err != nil || len(refusals) == 0 {
		return err
	}
	return refusals[0]
}

// act returns what the event of a draft is; false: nothing that is screened.
func (d *draft) act(roomID string) (act Act, ok bool) {
	act = Act{UserID: d.sender, RoomID: roomID, Asked: d.asked}
	switch {
	case d.stateKey == nil, d.profile:
		return Act{}, false
	case d.typ == event.TypeThirdPartyInvite:
		act.Kind = ToInvite
		return act, true
	case d.typ != event.TypeMember:
		return Act{}, false
	}
	switch membership, _ := event.StringField(d.content, "membership"); membership {
	case event.Join:
		act.Kind = ToJoin
	case event.Knock:
		act.Kind = ToKnock
	case event.Invite:
		act.Kind, act.Invitee = ToInvite, *d.stateKey
	default:
		return Act{}, false
	}
	return act, true
}

// screenDrafts notes in the drafts of memberships which are refused.
func (s *Service) screenDrafts(ctx context.Context, roomID string, drafts []draft) error {
	var acts []Act
	var of []*draft
	for i := range drafts {
		if act, ok := drafts[i].act(roomID); ok {
			acts, of = append(acts, act), append(of, &drafts[i])
		}
	}
	refusals, err := s.screen(ctx, acts)
	for i, refusal := range refusals {
		of[i].refusal = refusal
	}
	return err
}

// screen refuses a draft that the authorisation rules allow, where another part of the server
// does not. Those who are in the room may change what the room sees of them.
func (b *builder) screen(d *draft) error {
	if d.refusal == nil {
		return nil
	}
	if d.stateKey == nil {
		return d.refusal
	}
	stays := membershipOf(b.o.get(event.StateKey{Type: d.typ, Key: *d.stateKey})) == event.Join
	if membership, _ := event.StringField(d.content, "membership"); stays && membership == event.Join {
		return nil
	}
	return d.refusal
}

// screen refuses a new room, or what it is to have.
func (c *creation) screen(ctx context.Context) error {
	acts := []Act{{Kind: ToCreate, UserID: c.creator}}
	for _, userID := range c.everyInvitee() {
		acts = append(acts, Act{Kind: ToInvite, UserID: c.creator, Invitee: userID})
	}
	if c.alias != "" {
		acts = append(acts, Act{Kind: ToAlias, UserID: c.creator, Alias: c.alias})
	}
	refusals, err := c.s.screen(ctx, acts)
	if i := slices.IndexFunc(refusals, func(err error) bool { return err != nil }); err == nil && i >= 0 {
		err = refusals[i]
	}
	return err
}

// everyInvitee lists the users that the room invites, also by initial_state.
func (c *creation) everyInvitee() []string {
	all := c.invitees()
	for _, i := range c.InitialState {
		if membership, _ := event.StringField(i.Content, "membership"); i.Type == event.TypeMember && membership == event.Invite {
			all = append(all, i.StateKey)
		}
	}
	return all
}
