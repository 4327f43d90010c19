package event

import (
	"slices"

	"homeserver/internal/matrix"
)

// State is the state of a room before an event: that of its auth_events
// ([AuthState]), or the room's current state.
type State interface {
	// Event returns the state event of the type and state key, and nil where there
	// is none.
	Event(evType, stateKey string) *Event
}

// StateKey names an entry of a room's state.
type StateKey struct{ Type, Key string }

// Authorize applies the authorisation rules of the room version to an event with
// the room's state before it. It returns nil, or M_FORBIDDEN with a sentence that
// says which rule was broken; M_BAD_JSON where m.room.power_levels names a creator,
// which nobody may do.
//
// Two rules need more than state. [AuthState] checks that the events named in
// auth_events are the right ones. And where join_authorised_via_users_server
// authorises a join, Authorize only checks that there is a signature of that server,
// so that an event made by [Build] needs no keys; [Event.VerifySignature] verifies
// it on an event from another server.
//
// "Authorisation rules" of each room version. The functions follow the order of
// the list there; the numbers in comments are those of version 11, which no longer
// has the additional rules of versions 1 to 5.
func Authorize(v *Version, e *Event, s State) error {
	if e.Type == TypeCreate {
		return authorizeCreate(v, e)
	}
	a, err := newAuthorizer(v, e, s)
	if err != nil {
		return err
	}
	if err := a.federation(); err != nil {
		return err
	}
	switch {
	case e.Type == TypeAliases && v.AliasesRule:
		return a.aliases()
	case e.Type == TypeMember:
		return a.member()
	}
	if err := a.senderJoined(); err != nil {
		return err
	}
	if e.Type == TypeThirdPartyInvite {
		return a.thirdPartyInvite()
	}
	if err := a.requiredPower(); err != nil {
		return err
	}
	if err := a.ownStateKey(); err != nil {
		return err
	}
	switch {
	case e.Type == TypePowerLevels:
		return a.powerLevels()
	case e.Type == TypeRedaction && v.RedactionRule:
		return a.redaction()
	}
	return nil
}

// authorizer is one event, with the state that most rules read.
type authorizer struct {
	version *Version
	event   *Event
	state   State
	create  *Event
	levels  *PowerLevels // nil where the room has no m.room.power_levels
	power   Power        // the sender's
}

// newAuthorizer also applies rule 2.4, and rule 2 of version 12: there has to be an
// m.room.create, of the same room.
func newAuthorizer(v *Version, e *Event, s State) (*authorizer, error) {
	create := s.Event(TypeCreate, "")
	if create == nil {
		return nil, forbidden("the room has no m.room.create event")
	}
	if create.RoomID != e.RoomID {
		return nil, forbidden("the event is for another room than its m.room.create event")
	}
	levels, err := s.Event(TypePowerLevels, "").PowerLevels()
	if err != nil {
		return nil, err
	}
	return &authorizer{
		version: v, event: e, state: s, create: create, levels: levels,
		power: userPower(v, create, levels, e.Sender),
	}, nil
}

// authorizeCreate applies rule 1: m.room.create.
func authorizeCreate(v *Version, e *Event) error {
	if len(e.PrevEvents()) > 0 {
		return forbidden("m.room.create has to be the first event of its room")
	}
	switch {
	case v.HashRoomID && Field(e.JSON, "room_id") != nil:
		return forbidden("m.room.create has a room_id, which it makes itself in this room version")
	case !v.HashRoomID && domainOf(e.RoomID) != domainOf(e.Sender):
		return forbidden("m.room.create has to be sent from the server in the room ID")
	}
	if value := Field(e.Content, "room_version"); value != nil {
		id, _ := Unquote(value)
		if _, ok := LookupVersion(id); !ok {
			return forbidden("m.room.create names the room version %s, which is not known", clip(value))
		}
	}
	if !v.SenderIsCreator && Field(e.Content, "creator") == nil {
		return forbidden("m.room.create names no creator")
	}
	if v.PrivilegedCreators {
		return checkAdditionalCreators(Field(e.Content, "additional_creators"))
	}
	return nil
}

// checkAdditionalCreators applies rule 1.4 of version 12.
func checkAdditionalCreators(value []byte) error {
	if value == nil {
		return nil
	}
	if value[0] != '[' {
		return forbidden("additional_creators in m.room.create is not an array")
	}
	for values := elementsOf(value); values.next(); {
		if user, ok := Unquote(values.value); !ok || !isUserID(user) {
			return forbidden("additional_creators in m.room.create holds %s, which is not a user ID", clip(values.value))
		}
	}
	return nil
}

// federation applies rule 3: m.federate.
func (a *authorizer) federation() error {
	if !a.create.CreateContent().Federate && domainOf(a.event.Sender) != domainOf(a.create.Sender) {
		return forbidden("the room is closed to users of other servers than %s", domainOf(a.create.Sender))
	}
	return nil
}

// aliases applies rule 4 of versions 1 to 5: m.room.aliases.
func (a *authorizer) aliases() error {
	if a.event.StateKey == nil {
		return forbidden("m.room.aliases has no state key")
	}
	if *a.event.StateKey != domainOf(a.event.Sender) {
		return forbidden("the state key of m.room.aliases has to be the sender's server, %s", domainOf(a.event.Sender))
	}
	return nil
}

// senderJoined applies rule 5.
func (a *authorizer) senderJoined() error {
	if a.membership(a.event.Sender) != Join {
		return forbidden("%s is not in the room", a.event.Sender)
	}
	return nil
}

// membership returns the membership of a user in the room, "" for one who never was in
// it.
func (a *authorizer) membership(userID string) string {
	return a.state.Event(TypeMember, userID).Membership()
}

// userPower returns the power of a user in the room.
func (a *authorizer) userPower(userID string) Power {
	return userPower(a.version, a.create, a.levels, userID)
}

// needsPower refuses a sender whose power is less than needed; purpose completes the
// sentence "you need power level … to".
func (a *authorizer) needsPower(needed Power, purpose string) error {
	if a.power < needed {
		return forbidden("you need power level %s to %s; you have %s", needed, purpose, a.power)
	}
	return nil
}

// thirdPartyInvite applies rule 6: m.room.third_party_invite.
func (a *authorizer) thirdPartyInvite() error {
	return a.needsPower(a.levels.Invite(), "invite")
}

// requiredPower applies rule 7.
func (a *authorizer) requiredPower() error {
	needed := a.levels.Event(a.event.Type, a.event.StateKey != nil)
	if a.power >= needed {
		return nil
	}
	return a.needsPower(needed, "send events of the type "+quote(a.event.Type))
}

// ownStateKey applies rule 8.
func (a *authorizer) ownStateKey() error {
	key := a.event.StateKey
	if key != nil && len(*key) > 0 && (*key)[0] == '@' && *key != a.event.Sender {
		return forbidden("a state key that begins with @ has to be your own user ID")
	}
	return nil
}

// redaction applies rule 11 of versions 1 and 2: m.room.redaction.
func (a *authorizer) redaction() error {
	if domainOf(a.event.Redacts) == domainOf(a.event.ID) {
		return nil
	}
	return a.needsPower(a.levels.Redact(), "redact the events of other servers")
}

// AuthKeys returns the keys of the room's state whose events, if there are any, are the
// auth_events of an event: server-server API, "Auth events selection". No key comes
// twice. Errors are those of [Canonical], for the content of an m.room.member.
func AuthKeys(v *Version, p *Proto) ([]StateKey, error) {
	if p.Type == TypeCreate {
		return nil, nil
	}
	keys := make([]StateKey, 0, 6)
	if !v.HashRoomID {
		keys = append(keys, StateKey{TypeCreate, ""})
	}
	keys = append(keys, StateKey{TypePowerLevels, ""}, StateKey{TypeMember, p.Sender})
	if p.Type != TypeMember || p.StateKey == nil {
		return keys, nil
	}
	content, err := canonicalObject(p.Content, v.newNumbers(), 1)
	if err != nil {
		return nil, err
	}
	return appendMemberKeys(v, keys, *p.StateKey, content), nil
}

// appendMemberKeys adds the keys that only m.room.member needs.
func appendMemberKeys(v *Version, keys []StateKey, target string, content []byte) []StateKey {
	add := func(key StateKey) {
		if !slices.Contains(keys, key) {
			keys = append(keys, key)
		}
	}
	add(StateKey{TypeMember, target})
	membership, _ := StringField(content, "membership")
	switch membership {
	case Join, Invite, Knock:
		add(StateKey{TypeJoinRules, ""})
	}
	if membership == Invite {
		if token, ok := StringField(Field(Field(content, "third_party_invite"), "signed"), "token"); ok {
			add(StateKey{TypeThirdPartyInvite, token})
		}
	}
	if membership == Join && v.Restricted {
		if user, ok := StringField(content, "join_authorised_via_users_server"); ok {
			add(StateKey{TypeMember, user})
		}
	}
	return keys
}

// authState is the state that the auth_events of an event form.
type authState map[StateKey]*Event

// Event implements [State].
func (s authState) Event(evType, stateKey string) *Event { return s[StateKey{evType, stateKey}] }

// AuthState applies the rules about auth_events and returns the state that those
// events form, for [Authorize]. The caller has looked the events up, and checked that
// none was rejected (rule 2.3). From version 12 on m.room.create may not be among
// them and is passed as create; before, create is nil. M_FORBIDDEN where an event
// among them does not belong there. Rule 2 of "Authorisation rules", 3 in version 12.
func AuthState(v *Version, e *Event, create *Event, authEvents []*Event) (State, error) {
	wanted, err := AuthKeys(v, &Proto{Type: e.Type, Sender: e.Sender, StateKey: e.StateKey, Content: e.Content})
	if err != nil {
		return nil, err
	}
	state := make(authState, len(authEvents)+1)
	for _, auth := range authEvents {
		if auth.StateKey == nil {
			return nil, forbidden("auth_events holds %s, which is not a state event", auth.ID)
		}
		key := StateKey{auth.Type, *auth.StateKey}
		switch {
		case state[key] != nil:
			return nil, forbidden("auth_events holds two events of the type %s and the same state key", quote(key.Type))
		case !slices.Contains(wanted, key):
			return nil, forbidden("auth_events holds %s, by which such an event is not judged", auth.ID)
		case auth.RoomID != e.RoomID:
			return nil, forbidden("auth_events holds %s, which is of another room", auth.ID)
		}
		state[key] = auth
	}
	if v.HashRoomID && create != nil {
		state[StateKey{TypeCreate, ""}] = create
	}
	if e.Type != TypeCreate && state[StateKey{TypeCreate, ""}] == nil {
		return nil, matrix.Errorf(matrix.Forbidden, "auth_events lacks m.room.create")
	}
	return state, nil
}
