package rooms

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"golang.org/x/sync/errgroup"

	"homeserver/internal/event"
	"homeserver/internal/httpapi/ratelimit"
	"homeserver/internal/journal"
	"homeserver/internal/matrix"
	"homeserver/internal/profile"
	"homeserver/internal/rooms/timeline"
)

// memberContent is the content of m.room.member as this server makes it.
type memberContent struct {
	Membership   string `json:"membership"`
	DisplayName  string `json:"displayname,omitempty"`
	AvatarURL    string `json:"avatar_url,omitempty"`
	Reason       string `json:"reason,omitempty"`
	IsDirect     bool   `json:"is_direct,omitempty"`
	AuthorisedBy string `json:"join_authorised_via_users_server,omitempty"`

	ThirdParty *thirdPartyInvite `json:"third_party_invite,omitempty"`
}

// withProfile adds the name and avatar of a user of this server.
func (s *Service) withProfile(ctx context.Context, c memberContent, userID string) (memberContent, error) {
	if !s.isLocal(userID) {
		return c, nil
	}
	profiles, err := s.profiles.Many(ctx, []string{userID})
	if err != nil {
		return c, fmt.Errorf("read the profile of %s: %w", userID, err)
	}
	return c.showing(profiles[userID]), nil
}

// showing returns the content with the name and avatar of a profile.
func (c memberContent) showing(p profile.Profile) memberContent {
	c.DisplayName, c.AvatarURL = p.DisplayName, p.AvatarURL
	return c
}

// preparation is the step of a draft before it is built: see draft.prepare.
type preparation = func(d *draft, current *timeline.Event) (done bool, err error)

// member drafts a change of somebody's membership.
func member(sender, target string, c memberContent, prepare preparation) (draft, error) {
	if _, _, err := matrix.ParseUserID(target); err != nil {
		return draft{}, err
	}
	content, err := json.Marshal(c)
	if err != nil {
		return draft{}, fmt.Errorf("encode a membership: %w", err)
	}
	return draft{
		sender: sender, typ: event.TypeMember, stateKey: &target, content: content, prepare: prepare,
	}, nil
}

// changeMembership commits one change of membership.
func (s *Service) changeMembership(ctx context.Context, roomID, sender, target string, c memberContent, prepare preparation) error {
	d, err := member(sender, target, c, prepare)
	if err != nil {
		return err
	}
	_, err = s.submit(ctx, roomID, d)
	return err
}

// JoinRequest is a request to join a room by its ID.
type JoinRequest struct {
	UserID, RoomID, Reason string
	// Content has the members that the client adds to its member event. Those that the
	// server sets itself are ignored.
	Content map[string]json.RawMessage
	// Guest says that the user is a guest.
	Guest bool
}

// Join is JoinWith with nothing but a reason.
func (s *Service) Join(ctx context.Context, userID, roomID, reason string) error {
	return s.JoinWith(ctx, JoinRequest{UserID: userID, RoomID: roomID, Reason: reason})
}

// JoinWith makes a user join a room by its ID. A user who is in the room already stays
// as is. M_NOT_FOUND if there is no such room; M_FORBIDDEN if its join rules, or a ban,
// forbid it; M_GUEST_ACCESS_FORBIDDEN for a guest if the room does not admit guests;
// M_BAD_JSON and M_TOO_LARGE for a content that no event can have. Client-server API,
// "Joining rooms" and "Guest Access".
func (s *Service) JoinWith(ctx context.Context, q JoinRequest) error {
	if _, err := s.Timeline.Number(ctx, q.RoomID); err != nil {
		return err
	}
	c, err := s.withProfile(ctx, memberContent{Membership: event.Join, Reason: q.Reason}, q.UserID)
	if err != nil {
		return err
	}
	if c.AuthorisedBy, err = s.authoriseRestricted(ctx, q.RoomID, q.UserID); err != nil {
		return err
	}
	d, err := q.draft(c)
	if err != nil {
		return err
	}
	if _, err := s.submit(ctx, q.RoomID, d); err != nil {
		return err
	}
	return s.settleProfile(ctx, q.RoomID, q.UserID, c)
}

// draft drafts the join, with the client's additions. A name or an avatar there
// replaces the profile's in this room, as it does when members set their own member
// event.
func (q *JoinRequest) draft(c memberContent) (draft, error) {
	d, err := member(q.UserID, q.UserID, c, alreadyIs(event.Join))
	if err != nil {
		return draft{}, err
	}
	d.guest = q.Guest
	content := map[string]json.RawMessage{}
	if err := json.Unmarshal(d.content, &content); err != nil {
		return draft{}, fmt.Errorf("decode a membership: %w", err)
	}
	for key, value := range q.Content {
		switch key {
		case "membership", authorisedBy, "third_party_invite": // the server alone sets these
		case "reason", "third_party_signed": // of the request, and not of the event
		default:
			content[key] = value
		}
	}
	if d.content, err = json.Marshal(content); err != nil {
		return draft{}, matrix.Errorf(matrix.BadJSON, "the content of a member event must be JSON")
	}
	return d, nil
}

// settleProfile updates the member event if the profile has changed while the user
// joined: the change did not reach this room yet, and the join did not see the change.
func (s *Service) settleProfile(ctx context.Context, roomID, userID string, joined memberContent) error {
	now, err := s.withProfile(ctx, joined, userID)
	if err != nil || now == joined {
		return err
	}
	return s.setMemberProfile(ctx, roomID, userID, profile.Profile{DisplayName: now.DisplayName, AvatarURL: now.AvatarURL})
}

// setMemberProfile sends a member event with a new profile for a user who is in a room.
func (s *Service) setMemberProfile(ctx context.Context, roomID, userID string, p profile.Profile) error {
	d, err := member(userID, userID, memberContent{Membership: event.Join}, showProfile(p))
	if err != nil {
		return err
	}
	d.counted, d.profile = true, true // counted with the change of the profile, or the join
	_, err = s.submit(ctx, roomID, d)
	return err
}

// alreadyIs makes a change do nothing where the membership is so already.
func alreadyIs(membership string) preparation {
	return func(_ *draft, current *timeline.Event) (bool, error) { return membershipOf(current) == membership, nil }
}

// membershipOf returns the membership that a member event, or none, stands for.
func membershipOf(e *timeline.Event) string {
	if e == nil {
		return event.Leave
	}
	return e.Membership()
}

// Invite invites a user to a room. Inviting again in the same way does nothing.
// M_FORBIDDEN if the user is banned or in the room already, or the sender may not
// invite. Client-server API, "Joining rooms".
func (s *Service) Invite(ctx context.Context, sender, roomID, userID, reason string) error {
	c, err := s.invitation(ctx, userID)
	if err != nil {
		return err
	}
	c.Reason = reason
	return s.changeMembership(ctx, roomID, sender, userID, c, nil)
}

// invitation makes the content of an invite. M_INVALID_PARAM if userID is no user ID,
// M_FORBIDDEN for users of other servers, which are out of reach.
func (s *Service) invitation(ctx context.Context, userID string) (memberContent, error) {
	if err := s.mayBeInvited(userID); err != nil {
		return memberContent{}, err
	}
	s.beforeInvites(ctx, []string{userID})
	return s.withProfile(ctx, memberContent{Membership: event.Invite}, userID)
}

func (s *Service) mayBeInvited(userID string) error {
	if _, _, err := matrix.ParseUserID(userID); err != nil {
		return err
	}
	if !s.isLocal(userID) {
		return matrix.Errorf(matrix.Forbidden, "this server does not federate: %s is out of its reach", userID)
	}
	return nil
}

// Leave makes a user leave a room, reject an invite or take back a knock. Leaving again
// does nothing. M_FORBIDDEN for a user who was never in the room, or is banned.
// Client-server API, "Leaving rooms".
func (s *Service) Leave(ctx context.Context, userID, roomID, reason string) error {
	return s.changeMembership(ctx, roomID, userID, userID, memberContent{Membership: event.Leave, Reason: reason},
		func(_ *draft, current *timeline.Event) (bool, error) {
			return current != nil && current.Membership() == event.Leave, nil
		})
}

// Kick makes another user leave a room. M_FORBIDDEN if the user is not in the
// room, nor invited or knocking, or the sender may not kick. Client-server API,
// "Leaving rooms".
func (s *Service) Kick(ctx context.Context, sender, roomID, userID, reason string) error {
	return s.changeMembership(ctx, roomID, sender, userID, memberContent{Membership: event.Leave, Reason: reason},
		func(_ *draft, current *timeline.Event) (bool, error) {
			switch membershipOf(current) {
			case event.Leave, event.Ban:
				return false, matrix.Errorf(matrix.Forbidden, "%s is not in this room", userID)
			}
			return false, nil
		})
}

// Ban bans a user from a room, whatever the user's membership is. M_FORBIDDEN if the
// sender may not. Client-server API, "Banning users in a room".
func (s *Service) Ban(ctx context.Context, sender, roomID, userID, reason string) error {
	return s.changeMembership(ctx, roomID, sender, userID, memberContent{Membership: event.Ban, Reason: reason}, nil)
}

// Unban lifts a ban. M_FORBIDDEN if the user is not banned, or the sender may
// not. Client-server API, "Banning users in a room".
func (s *Service) Unban(ctx context.Context, sender, roomID, userID, reason string) error {
	return s.changeMembership(ctx, roomID, sender, userID, memberContent{Membership: event.Leave, Reason: reason},
		func(_ *draft, current *timeline.Event) (bool, error) {
			if membershipOf(current) != event.Ban {
				return false, matrix.Errorf(matrix.Forbidden, "%s is not banned from this room", userID)
			}
			return false, nil
		})
}

// Knock asks for an invite to a room. M_NOT_FOUND if there is no such room, M_FORBIDDEN
// if it allows no knocks, or none from this user. Client-server API, "Knocking on
// rooms".
func (s *Service) Knock(ctx context.Context, userID, roomID, reason string) error {
	if _, err := s.Timeline.Number(ctx, roomID); err != nil {
		return err
	}
	c, err := s.withProfile(ctx, memberContent{Membership: event.Knock, Reason: reason}, userID)
	if err != nil {
		return err
	}
	return s.changeMembership(ctx, roomID, userID, userID, c, nil)
}

// Forget makes a user hear no more of a room, and unable to read it, until
// joining, being invited or knocking again. M_UNKNOWN if the user has not left
// it; M_NOT_FOUND if there is no such room. Client-server API, "Leaving rooms".
func (s *Service) Forget(ctx context.Context, userID, roomID string) error {
	nid, err := s.Timeline.Number(ctx, roomID)
	if err != nil {
		return err
	}
	access, err := s.Timeline.AccessIn(ctx, nid, userID)
	if err != nil {
		return err
	}
	switch membership, since := access.Membership(); {
	case since == 0:
		return nil // never there, or forgotten already
	case membership != event.Leave && membership != event.Ban:
		return matrix.Errorf(matrix.Unknown, "leave the room before forgetting it")
	}
	f := &timeline.Forgotten{UserID: userID, Room: nid}
	err = s.journal.Commit(ctx, &journal.Write{Entries: []*journal.Entry{s.Timeline.ForgottenEntry(f)}})
	if err != nil {
		return fmt.Errorf("forget room %s: %w", roomID, err)
	}
	return nil
}

// LeaveAll makes a user leave every room, reject every invite and take back
// every knock, as when the account is deactivated. It may be called again where
// it was broken off.
func (s *Service) LeaveAll(ctx context.Context, userID string) error {
	return s.inEachRoom(ctx, userID, []string{event.Join, event.Invite, event.Knock}, func(ctx context.Context, roomID string) error {
		return s.turnOut(ctx, roomID, userID)
	})
}

// turnOut makes a user leave a room, where the server itself has to see to it.
func (s *Service) turnOut(ctx context.Context, roomID, userID string) error {
	d, err := member(userID, userID, memberContent{Membership: event.Leave}, unlessGone)
	if err != nil {
		return err
	}
	d.counted = true // with the join
	_, err = s.submit(ctx, roomID, d)
	return err
}

// unlessGone skips the draft if the user has left, or was banned, meanwhile.
func unlessGone(_ *draft, current *timeline.Event) (done bool, err error) {
	membership := membershipOf(current)
	return membership == event.Leave || membership == event.Ban, nil
}

// CountProfile counts, before a profile is changed, the events that UpdateProfile will
// send: each is a message of the context's caller. M_LIMIT_EXCEEDED.
func (s *Service) CountProfile(ctx context.Context, userID string) (ratelimit.Claims, error) {
	all, err := s.Timeline.Memberships(ctx, userID)
	if err != nil {
		return nil, err
	}
	joined := 0
	for _, m := range all {
		if m.Value == event.Join {
			joined++
		}
	}
	if joined == 0 {
		return nil, nil
	}
	caller := matrix.Payer(ctx)
	return s.limits.TakeAll([]ratelimit.Cost{
		{Kind: ratelimit.Messages, Key: caller, N: joined}, {Kind: ratelimit.WrittenBytes, Key: caller, N: joined * eventBytes},
	})
}

// UpdateProfile puts a new name or avatar into the user's member event in all rooms
// that the user is in. Client-server API, "Events on Change of Profile Information".
func (s *Service) UpdateProfile(ctx context.Context, userID string, p profile.Profile) error {
	return s.inEachRoom(ctx, userID, []string{event.Join}, func(ctx context.Context, roomID string) error {
		err := s.setMemberProfile(ctx, roomID, userID, p)
		if matrix.IsCode(err, matrix.Forbidden) {
			return nil // the authorization rules check the join rule also when a member changes the profile
		}
		return err
	})
}

// showProfile replaces the name and the avatar in a member event and keeps the rest,
// except what was about the act of joining. It skips a user who has left meanwhile.
func showProfile(p profile.Profile) preparation {
	return func(d *draft, current *timeline.Event) (done bool, err error) {
		if membershipOf(current) != event.Join {
			return true, nil
		}
		content := map[string]json.RawMessage{}
		if err := json.Unmarshal(current.Content(), &content); err != nil {
			return false, fmt.Errorf("decode the member event %s: %w", current.ID, err)
		}
		shown := map[string]string{"displayname": p.DisplayName, "avatar_url": p.AvatarURL, "reason": "", authorisedBy: ""}
		for key, value := range shown {
			delete(content, key)
			if value != "" {
				content[key] = event.AppendString(nil, value)
			}
		}
		d.content, err = json.Marshal(content)
		return false, err
	}
}

// roomsAtOnce is how many rooms one request changes at the same time. They
// share the journal's groups, so this bounds the load on the database.
const roomsAtOnce = 16

// inEachRoom does something in each room in which a user has one of the memberships.
func (s *Service) inEachRoom(ctx context.Context, userID string, memberships []string, do func(ctx context.Context, roomID string) error) error {
	all, err := s.Timeline.Memberships(ctx, userID)
	if err != nil {
		return err
	}
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(roomsAtOnce)
	for _, m := range all {
		if slices.Contains(memberships, m.Value) {
			g.Go(func() error { return do(ctx, m.RoomID) })
		}
	}
	return g.Wait()
}
