package rooms

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"

	"homeserver/internal/event"
	"homeserver/internal/journal"
	"homeserver/internal/matrix"
	"homeserver/internal/rooms/directory"
	"homeserver/internal/rooms/timeline"
)

// DefaultVersion is the version of rooms that are created without naming one.
const DefaultVersion = "12"

// maxInitialEvents bounds how many events one request may create a room with.
const maxInitialEvents = 1000

// CreateRequest is the body of POST /createRoom: client-server API, "Creation".
type CreateRequest struct {
	Visibility      string                     `json:"visibility"`
	AliasName       string                     `json:"room_alias_name"`
	Name            string                     `json:"name"`
	Topic           string                     `json:"topic"`
	Invite          []string                   `json:"invite"`
	Invite3PID      []json.RawMessage          `json:"invite_3pid"`
	RoomVersion     string                     `json:"room_version"`
	CreationContent map[string]json.RawMessage `json:"creation_content"`
	InitialState    []InitialState             `json:"initial_state"`
	Preset          string                     `json:"preset"`
	IsDirect        bool                       `json:"is_direct"`
	PowerLevels     map[string]json.RawMessage `json:"power_level_content_override"`
	// Timestamp is that of the first events, in milliseconds since the epoch; nil: the present. No client can
	// set it.
	Timestamp *int64 `json:"-"`
}

// InitialState is one entry of initial_state.
type InitialState struct {
	Type     string          `json:"type"`
	StateKey string          `json:"state_key"`
	Content  json.RawMessage `json:"content"`
}

// Created is the answer to a CreateRequest.
type Created struct {
	RoomID    string `json:"room_id"`
	RoomAlias string `json:"room_alias,omitempty"`
}

// preset is a set of defaults for a new room.
type preset struct {
	joinRule, visibility, guestAccess string
	trusted                           bool
}

// presetOf returns the preset with a name, and false if there is none.
func presetOf(name string) (preset, bool) {
	switch name {
	case "private_chat":
		return preset{event.JoinRuleInvite, event.VisibilityShared, event.GuestsCanJoin, false}, true
	case "trusted_private_chat":
		return preset{event.JoinRuleInvite, event.VisibilityShared, event.GuestsCanJoin, true}, true
	case "public_chat":
		return preset{event.JoinRulePublic, event.VisibilityShared, "forbidden", false}, true
	}
	return preset{}, false
}

// Create makes a room: the events in the order of the specification, the alias
// and the place in the directory, all in one commit.
//
// M_INVALID_PARAM for values that do not exist, M_UNSUPPORTED_ROOM_VERSION,
// M_ROOM_IN_USE for an alias that is taken, M_INVALID_ROOM_STATE where the
// events, in their order, are not allowed; M_BAD_JSON for power levels as by SetState;
// M_LIMIT_EXCEEDED, as of charge, before anything is made.
func (s *Service) Create(ctx context.Context, creator string, q CreateRequest) (*Created, error) {
	c, err := s.newCreation(creator, q)
	if err != nil {
		return nil, err
	}
	if err := c.screen(ctx); err != nil {
		return nil, err
	}
	if c.alias != "" {
		if err := s.mayNameRoom(ctx, c.alias); err != nil {
			return nil, err
		}
	}
	drafts, err := c.drafts(ctx)
	if err != nil {
		return nil, err
	}
	claims, err := s.charge(ctx, drafts, ownEvents)
	if err != nil {
		return nil, err
	}
	r, err := s.makeRoom(ctx, c, drafts)
	for again := 0; timeline.Doubled(err) && again < attempts; again++ {
		r, err = s.makeRoom(ctx, c, drafts) // at another time, and so with another ID
	}
	if err != nil {
		claims.GiveBack()
		return nil, err
	}
	// Somebody who learnt of the room by the commit may have loaded it before.
	if _, isNew := s.live.PutNew(r.id, r); isNew {
		s.weigh(r)
	}
	return &Created{RoomID: r.id, RoomAlias: c.alias}, nil
}

// ownEvents is the number of events, beside the creator's join, of a room that is made
// with nothing but a name, a topic and an alias. The charge for making a room covers
// them.
const ownEvents = 8

// makeRoom builds and commits a room in its creator's turn.
func (s *Service) makeRoom(ctx context.Context, c *creation, drafts []draft) (*live, error) {
	end, err := s.journal.Turn(ctx, weight(drafts))
	if err != nil {
		return nil, err
	}
	defer end()
	nid, err := s.Timeline.NewNumber(ctx)
	if err != nil {
		return nil, err
	}
	r := &live{nid: nid, version: c.version, state: newLiveState(true)}
	if !c.version.HashRoomID {
		r.id = event.NewRoomID(s.serverName)
	}
	b := &builder{s: s, o: &overlay{r: r, added: map[event.StateKey]*timeline.Event{}}, ts: c.time()}
	for i := range drafts {
		if err := b.build(&drafts[i]); err != nil {
			return nil, invalidState(err)
		}
	}
	b.fresh[0].Staged.NewRoom = true
	write := &journal.Write{Entries: s.entries(b.fresh), Also: c.also(nid)}
	r.advance(b, nil)
	pending, err := s.journal.Enqueue(write)
	if err != nil {
		return nil, err
	}
	if err := pending.Wait(); err != nil {
		return nil, fmt.Errorf("commit a new room: %w", directory.ErrTaken(err))
	}
	return r, nil
}

// time returns the timestamp of the room's first events: at each attempt another one.
func (c *creation) time() int64 {
	if c.Timestamp == nil {
		return c.s.creationTime()
	}
	c.attempt++
	return *c.Timestamp + c.attempt - 1
}

// creationTime returns the time in milliseconds, and no time twice: from version 12 on
// the ID of a room is the hash of its first event, and the time may be all in which two
// such events differ.
func (s *Service) creationTime() int64 {
	for {
		last := s.lastCreation.Load()
		if ts := max(s.now().UnixMilli(), last+1); s.lastCreation.CompareAndSwap(last, ts) {
			return ts
		}
	}
}

// invalidState turns a refusal of the room's own rules into an error of the request.
func invalidState(err error) error {
	var refused *matrix.Error
	if errors.As(err, &refused) && refused.Code == matrix.Forbidden {
		return matrix.Errorf(matrix.InvalidRoomState, "the room would not be valid: %s", refused.Message)
	}
	return err
}

// creation is a request to create a room, checked.
type creation struct {
	CreateRequest
	s       *Service
	creator string
	version *event.Version
	// isDefault says that the request named no version.
	isDefault bool
	preset    preset
	alias     string
	attempt   int64 // how often the room has been built
}

func (s *Service) newCreation(creator string, q CreateRequest) (*creation, error) {
	c := &creation{CreateRequest: q, s: s, creator: creator}
	if c.RoomVersion == "" {
		c.RoomVersion, c.isDefault = DefaultVersion, true
	}
	var ok bool
	if c.version, ok = event.LookupVersion(c.RoomVersion); !ok {
		return nil, matrix.Errorf(matrix.UnsupportedRoomVersion, "this server does not know room version %q", c.RoomVersion)
	}
	switch c.Visibility {
	case "", "private", "public":
	default:
		return nil, matrix.Errorf(matrix.InvalidParam, `visibility must be "public" or "private"`)
	}
	if c.Preset == "" {
		c.Preset = "private_chat"
		if c.Visibility == "public" {
			c.Preset = "public_chat"
		}
	}
	if c.preset, ok = presetOf(c.Preset); !ok {
		return nil, matrix.Errorf(matrix.InvalidParam, "there is no preset %q", c.Preset)
	}
	if len(c.Invite3PID) > 0 {
		return nil, matrix.Errorf(matrix.InvalidParam, "addresses in invite_3pid must be looked up before the room is made")
	}
	if err := c.checkPeople(); err != nil {
		return nil, err
	}
	if c.AliasName != "" {
		c.alias = "#" + c.AliasName + ":" + s.serverName
		if err := s.Directory.CheckLocalAlias(c.alias); err != nil {
			return nil, err
		}
	}
	return c, nil
}

// drafts lists the room's first events in the order of the specification.
func (c *creation) drafts(ctx context.Context) ([]draft, error) {
	if invited := c.invitees(); len(invited) > 0 {
		c.s.beforeInvites(ctx, invited)
	}
	profiles, err := c.s.profiles.Many(ctx, append(c.invitees(), c.creator))
	if err != nil {
		return nil, fmt.Errorf("read the profiles of who is in a new room: %w", err)
	}
	l := &draftList{sender: c.creator}
	l.add(event.TypeCreate, "", c.createContent())
	l.add(event.TypeMember, c.creator, memberContent{Membership: event.Join}.showing(profiles[c.creator]))
	l.drafts[1].counted = true // no other join than the making of the room
	l.add(event.TypePowerLevels, "", c.powerLevels())
	if c.alias != "" {
		l.add(event.TypeCanonicalAlias, "", map[string]string{"alias": c.alias})
	}
	for _, p := range c.presetState() {
		l.add(p.Type, p.StateKey, p.Content)
	}
	for _, i := range c.InitialState {
		l.add(i.Type, i.StateKey, i.Content)
	}
	if c.Name != "" {
		l.add(event.TypeName, "", map[string]string{"name": c.Name})
	}
	if c.Topic != "" {
		l.add(event.TypeTopic, "", topicContent(c.Topic))
	}
	for _, userID := range c.invitees() {
		l.add(event.TypeMember, userID, memberContent{Membership: event.Invite, IsDirect: c.IsDirect}.showing(profiles[userID]))
	}
	return l.drafts, l.err
}

// draftList gathers state events, and the first error in them.
type draftList struct {
	sender string
	drafts []draft
	err    error
}

func (l *draftList) add(typ, stateKey string, content any) {
	raw, err := json.Marshal(content)
	if err != nil {
		err = fmt.Errorf("encode %s: %w", typ, err)
	} else if typ == event.TypePowerLevels {
		err = event.CheckPowerLevels(raw)
	}
	if l.err == nil {
		l.err = err
	}
	l.drafts = append(l.drafts, draft{sender: l.sender, typ: typ, stateKey: &stateKey, content: raw})
}

// check refuses an entry that initial_state cannot have: M_MISSING_PARAM,
// M_INVALID_PARAM, M_FORBIDDEN, M_BAD_JSON.
func (i *InitialState) check(s *Service) error {
	switch {
	case i.Type == "" || len(i.Content) == 0:
		return matrix.Errorf(matrix.MissingParam, "an entry of initial_state needs type and content")
	case i.Type == event.TypeRedaction:
		return matrix.Errorf(matrix.InvalidParam, "a new room has nothing to redact")
	case i.Type == event.TypeMember:
		return s.mayBeInvited(i.StateKey)
	case i.Type == event.TypeServerACL && i.StateKey == "":
		return event.CheckServerACL(i.Content, s.serverName)
	}
	return nil
}

// checkPeople refuses members that the room cannot have, and content that is no
// membership.
func (c *creation) checkPeople() error {
	if len(c.InitialState)+len(c.Invite) > maxInitialEvents {
		return matrix.Errorf(matrix.InvalidParam, "a room can be created with at most %d events and invites", maxInitialEvents)
	}
	for _, i := range c.InitialState {
		if err := i.check(c.s); err != nil {
			return err
		}
	}
	for _, userID := range c.Invite {
		if err := c.s.mayBeInvited(userID); err != nil {
			return err
		}
	}
	return nil
}

// invitees lists the invited users, each once, in the order of the request.
func (c *creation) invitees() []string {
	var invitees []string
	for _, userID := range c.Invite {
		if !slices.Contains(invitees, userID) {
			invitees = append(invitees, userID)
		}
	}
	return invitees
}

func (c *creation) createContent() map[string]any {
	content := map[string]any{}
	for key, value := range c.CreationContent {
		content[key] = value
	}
	delete(content, "creator")
	if !c.version.SenderIsCreator {
		content["creator"] = c.creator
	}
	content["room_version"] = c.version.ID
	if c.version.PrivilegedCreators && c.preset.trusted && len(c.Invite) > 0 {
		content["additional_creators"] = c.additionalCreators()
	}
	return content
}

// additionalCreators merges those of the request with the invitees. A value that is no
// list is left for the authorisation rules to refuse.
func (c *creation) additionalCreators() any {
	asked := c.CreationContent["additional_creators"]
	var creators []string
	if len(asked) > 0 && json.Unmarshal(asked, &creators) != nil {
		return asked
	}
	for _, userID := range c.invitees() {
		if !slices.Contains(creators, userID) {
			creators = append(creators, userID)
		}
	}
	return creators
}

// powerLevels returns the first m.room.power_levels: the defaults of the specification,
// spelt out, with some raised to protect a room from its own members.
func (c *creation) powerLevels() map[string]any {
	users := map[string]int64{}
	tombstone := 100
	if c.version.PrivilegedCreators {
		tombstone = 150
	} else {
		users[c.creator] = 100
		if c.preset.trusted {
			for _, userID := range c.Invite {
				users[userID] = 100
			}
		}
	}
	content := map[string]any{
		"users": users, "users_default": 0,
		"events": map[string]int{
			event.TypeName: 50, event.TypeAvatar: 50, event.TypeCanonicalAlias: 50,
			event.TypePowerLevels: 100, event.TypeHistoryVisibility: 100,
			event.TypeEncryption: 100, event.TypeServerACL: 100, event.TypeTombstone: tombstone,
		},
		"events_default": 0, "state_default": 50,
		"invite": 0, "kick": 50, "ban": 50, "redact": 50,
		"notifications": map[string]int{"room": 50},
	}
	for key, value := range c.PowerLevels {
		content[key] = value
	}
	if users, ok := c.PowerLevels["users"]; ok && c.isDefault && c.version.PrivilegedCreators {
		content["users"] = c.withoutCreator(users)
	}
	return content
}

// withoutCreator removes the creator's level from those of the request. Clients that know
// nothing of creators whose power is infinite, and name no version, set one.
func (c *creation) withoutCreator(users json.RawMessage) any {
	levels := map[string]json.RawMessage{}
	if json.Unmarshal(users, &levels) != nil {
		return users // which the check of power levels refuses
	}
	delete(levels, c.creator)
	return levels
}

// presetState returns the events of the preset, without those that initial_state sets
// itself.
func (c *creation) presetState() []InitialState {
	state := []InitialState{
		{Type: event.TypeJoinRules, Content: json.RawMessage(`{"join_rule":"` + c.preset.joinRule + `"}`)},
		{Type: event.TypeHistoryVisibility, Content: json.RawMessage(`{"history_visibility":"` + c.preset.visibility + `"}`)},
		{Type: event.TypeGuestAccess, Content: json.RawMessage(`{"guest_access":"` + c.preset.guestAccess + `"}`)},
	}
	return slices.DeleteFunc(state, func(p InitialState) bool {
		return slices.ContainsFunc(c.InitialState, func(i InitialState) bool { return i.Type == p.Type && i.StateKey == "" })
	})
}

// topicContent returns m.room.topic with its plain-text representation.
func topicContent(topic string) map[string]any {
	return map[string]any{
		"topic":   topic,
		"m.topic": map[string]any{"m.text": []map[string]string{{"body": topic, "mimetype": "text/plain"}}},
	}
}

// also returns the function that queues the statements committed with the room's
// events.
func (c *creation) also(nid journal.RoomNID) func(*pgx.Batch) {
	return func(b *pgx.Batch) {
		if c.alias != "" {
			directory.QueueAlias(b, c.alias, nid, c.creator)
		}
		if c.Visibility == "public" {
			directory.QueueListed(b, nid)
		}
	}
}
