package thirdpartyinvite

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"

	"homeserver/internal/auth/identity"
	"homeserver/internal/auth/threepid"
	"homeserver/internal/event"
	"homeserver/internal/httpapi/ratelimit"
	"homeserver/internal/journal"
	"homeserver/internal/matrix"
	"homeserver/internal/rooms"
	"homeserver/internal/rooms/timeline"
)

const (
	// maxAtCreation is how many addresses a new room can be created with.
	maxAtCreation = 50
	// lookupsAtOnce is how many addresses one request looks up at the same time.
	lookupsAtOnce = 4
)

// Service holds the rules of invitations by address. It may be used concurrently.
type Service struct {
	journal  *journal.Journal
	rooms    *rooms.Service
	identity *identity.Client
	limits   *ratelimit.Limits
}

// New makes a Service. The limits are those of invitations and mails; nil: there are
// none.
func New(j *journal.Journal, r *rooms.Service, i *identity.Client, limits *ratelimit.Limits) *Service {
	return &Service{j, r, i, limits}
}

// Address is somebody's address, and the identity server to ask about it: the schema
// Invite3pid.
type Address struct {
	IDServer      string `json:"id_server"`
	IDAccessToken string `json:"id_access_token"`
	Medium        string `json:"medium"`
	Address       string `json:"address"`
}

func (a *Address) server() identity.Server {
	return identity.Server{Name: a.IDServer, Token: a.IDAccessToken}
}

// check brings an address into the form in which addresses are compared.
// M_MISSING_PARAM or M_INVALID_PARAM if it is none. Appendices, "3PID Types".
func (a *Address) check() error {
	for name, value := range map[string]string{
		"id_server": a.IDServer, "id_access_token": a.IDAccessToken, "medium": a.Medium, "address": a.Address,
	} {
		if value == "" {
			return matrix.Errorf(matrix.MissingParam, "%s is missing", name)
		}
	}
	canonical, err := threepid.Canonical(a.Medium, strings.TrimSpace(a.Address))
	a.Address = canonical.Address
	return err
}

// Invite invites the owner of an address to a room. M_FORBIDDEN if the sender may not
// invite, or the user of the address cannot be invited; M_MISSING_PARAM and
// M_INVALID_PARAM for a text that is no address; M_LIMIT_EXCEEDED for more invitations
// than a user may send or an address may get; the errors of identity.Client.Lookup and
// StoreInvite. Client-server API, POST /rooms/{roomId}/invite.
func (s *Service) Invite(ctx context.Context, sender, roomID, reason string, a Address) error {
	if err := a.check(); err != nil {
		return err
	}
	if err := s.rooms.MayInvite(ctx, sender, roomID); err != nil {
		return err
	}
	users, err := s.lookup(ctx, []Address{a})
	if err != nil {
		return err
	}
	if users[0] != "" {
		return s.rooms.Invite(ctx, sender, roomID, users[0], reason)
	}
	return s.store(ctx, sender, roomID, a)
}

// store has the identity server keep an invitation, and puts it into the room.
func (s *Service) store(ctx context.Context, sender, roomID string, a Address) error {
	invite, err := s.describe(ctx, sender, roomID)
	if err != nil {
		return err
	}
	invite.Medium, invite.Address = a.Medium, a.Address
	stored, err := s.identity.StoreInvite(ctx, a.server(), invite)
	if err != nil {
		return err
	}
	content, err := json.Marshal(struct {
		DisplayName string               `json:"display_name"`
		ValidityURL string               `json:"key_validity_url"`
		PublicKey   string               `json:"public_key"`
		PublicKeys  []identity.PublicKey `json:"public_keys"`
	}{stored.DisplayName, stored.PublicKeys[0].ValidityURL, stored.PublicKeys[0].Key, stored.PublicKeys})
	if err != nil {
		return fmt.Errorf("encode an invitation: %w", err)
	}
	_, err = s.rooms.SetState(ctx, rooms.Request{UserID: sender, RoomID: roomID, Counted: true}, event.TypeThirdPartyInvite, stored.Token, content)
	return err
}

// describe makes the invitation for the identity server, with what its mail may say
// about the room and the sender.
func (s *Service) describe(ctx context.Context, sender, roomID string) (identity.Invite, error) {
	invite := identity.Invite{RoomID: roomID, Sender: sender}
	nid, err := s.rooms.Timeline.Number(ctx, roomID)
	if err != nil {
		return invite, err
	}
	now := timeline.PlaceOf(s.journal.Position())
	state, err := s.rooms.Timeline.Stripped(ctx, []timeline.RoomAt{{Room: nid, At: now}}, sender)
	if err != nil {
		return invite, err
	}
	for _, e := range state.Events {
		text := func(field string) string {
			value, _ := event.StringField(e.Content(), field)
			return value
		}
		switch e.Type {
		case event.TypeCreate:
			invite.RoomType = text("type")
		case event.TypeJoinRules:
			invite.RoomJoinRule = text("join_rule")
		case event.TypeMember:
			invite.SenderName, invite.SenderAvatar = text("displayname"), text("avatar_url")
		case "m.room.avatar":
			invite.RoomAvatar = text("url")
		case "m.room.canonical_alias":
			invite.RoomAlias = text("alias")
		case "m.room.name":
			invite.RoomName = text("name")
		}
	}
	return invite, nil
}

// Create makes a room with invitations by address among others, which are looked up
// before. Errors as for Invite and rooms.Service.Create. If an identity server refuses
// an invitation after the room was created, the room stays, and the error names it.
// Client-server API, POST /createRoom, invite_3pid.
func (s *Service) Create(ctx context.Context, creator string, q rooms.CreateRequest) (*rooms.Created, error) {
	addresses, err := readAddresses(q.Invite3PID)
	if err != nil {
		return nil, err
	}
	users, err := s.lookup(ctx, addresses)
	if err != nil {
		return nil, err
	}
	q.Invite3PID = nil
	for _, userID := range users {
		if userID != "" {
			q.Invite = append(q.Invite, userID)
		}
	}
	created, err := s.rooms.Create(ctx, creator, q)
	if err != nil {
		return nil, err
	}
	for i, userID := range users {
		if userID != "" {
			continue
		}
		if err := s.store(ctx, creator, created.RoomID, addresses[i]); err != nil {
			return nil, fmt.Errorf("invite to the new room %s: %w", created.RoomID, err)
		}
	}
	return created, nil
}

// readAddresses reads invite_3pid: M_BAD_JSON where that is no list of addresses.
func readAddresses(list []json.RawMessage) ([]Address, error) {
	if len(list) > maxAtCreation {
		return nil, matrix.Errorf(matrix.InvalidParam, "a room can be created with at most %d addresses", maxAtCreation)
	}
	addresses := make([]Address, len(list))
	for i, raw := range list {
		if json.Unmarshal(raw, &addresses[i]) != nil {
			return nil, matrix.Errorf(matrix.BadJSON, "an entry of invite_3pid has id_server, id_access_token, medium and address")
		}
		if err := addresses[i].check(); err != nil {
			return nil, err
		}
	}
	return addresses, nil
}

// lookup finds the users of addresses, "" for those that are not known. Each address
// counts as an invitation before the identity server is asked, and one that is not
// known as a mail to it: the identity server will send one. Invitations of users are
// counted by package rooms.
func (s *Service) lookup(ctx context.Context, addresses []Address) ([]string, error) {
	asked, err := s.limits.TakeAll(slices.Repeat([]ratelimit.Cost{{Kind: ratelimit.Invites, Key: matrix.Payer(ctx), N: 1}}, len(addresses)))
	if err != nil {
		return nil, err
	}
	users := make([]string, len(addresses))
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(lookupsAtOnce)
	for i, a := range addresses {
		g.Go(func() (err error) {
			users[i], err = s.identity.Lookup(ctx, a.server(), a.Medium, a.Address)
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	var mails []ratelimit.Cost
	for i, a := range addresses {
		if users[i] == "" {
			mails = append(mails, ratelimit.Cost{Kind: ratelimit.MailsToAddress, Key: "invitation:" + a.Medium + ":" + a.Address, N: 1})
		}
	}
	for i, claim := range asked { // one for each address; one is like another
		if i < len(addresses)-len(mails) {
			claim.GiveBack()
		}
	}
	_, err = s.limits.TakeAll(mails)
	return users, err
}
