package event

import (
	"sync/atomic"
)

// The types of the events that the server handles specially.
const (
	TypeAliases           = "m.room.aliases"
	TypeAvatar            = "m.room.avatar"
	TypeCanonicalAlias    = "m.room.canonical_alias"
	TypeCreate            = "m.room.create"
	TypeEncrypted         = "m.room.encrypted"
	TypeEncryption        = "m.room.encryption"
	TypeGuestAccess       = "m.room.guest_access"
	TypeHistoryVisibility = "m.room.history_visibility"
	TypeJoinRules         = "m.room.join_rules"
	TypeMember            = "m.room.member"
	TypeMessage           = "m.room.message"
	TypeName              = "m.room.name"
	TypePowerLevels       = "m.room.power_levels"
	TypeRedaction         = "m.room.redaction"
	TypeSpaceChild        = "m.space.child"
	TypeThirdPartyInvite  = "m.room.third_party_invite"
	TypeServerACL         = "m.room.server_acl"
	TypeTombstone         = "m.room.tombstone"
	TypeTopic             = "m.room.topic"
)

// The values of membership in m.room.member.
const (
	Ban    = "ban"
	Invite = "invite"
	Join   = "join"
	Knock  = "knock"
	Leave  = "leave"
)

// The values of join_rule in m.room.join_rules that allow anybody to join.
// "private" exists as well, and like any unknown value allows nobody.
const (
	JoinRuleInvite          = "invite"
	JoinRuleKnock           = "knock"
	JoinRuleKnockRestricted = "knock_restricted"
	JoinRulePublic          = "public"
	JoinRuleRestricted      = "restricted"
)

// The values of history_visibility in m.room.history_visibility.
const (
	VisibilityInvited       = "invited"
	VisibilityJoined        = "joined"
	VisibilityShared        = "shared"
	VisibilityWorldReadable = "world_readable"
)

// GuestsCanJoin is the guest_access in m.room.guest_access with which guests may join. With
// any other value they may not.
const GuestsCanJoin = "can_join"

// Event is one persistent data unit. It is made by [Build], [Parse] or
// [ParseTrusted], never changes after that, and is safe for concurrent use; the
// memory that its fields point to must not be written to either. It is used as a
// pointer only.
type Event struct {
	// ID is the event ID, also where the JSON does not have it.
	ID string
	// RoomID is the room ID, also in m.room.create of version 12, whose JSON does
	// not have it.
	RoomID string
	Type   string
	Sender string
	// StateKey is nil where this is not a state event.
	StateKey *string
	// Content is the content, a JSON object in canonical form. It is part of JSON.
	Content []byte
	// Redacts is the ID of the event that this m.room.redaction redacts, read from
	// the member that the room version has for it; "" for any other type.
	Redacts string
	// OriginServerTS is the time at which the sender's server says it made the event,
	// in milliseconds since the epoch. It may be wrong.
	OriginServerTS int64
	// Depth is one more than the greatest depth of the previous events.
	Depth int64
	// JSON is the event as it is federated, to the byte: canonical, with hashes
	// and signatures, without unsigned and, from version 3 on, without event_id.
	JSON    []byte
	Version *Version

	// These are parsed on first use. Two goroutines may both do the work; the results
	// are the same.
	levels atomic.Pointer[parsedLevels]
	create atomic.Pointer[CreateContent]
}

type parsedLevels struct {
	levels *PowerLevels
	err    error
}

// Size returns about how many bytes the event takes in memory, at most, with its content
// parsed.
func (e *Event) Size() int {
	const (
		structs = 600
		// parsed is how many times larger than their text power levels are, at most.
		parsed = 10
	)
	n := structs + cap(e.JSON) + cap(e.JSON)/8
	if e.Type == TypePowerLevels {
		n += parsed * len(e.Content)
	}
	return n
}

// IsState reports whether this is the state event of the type and state key.
func (e *Event) IsState(evType, stateKey string) bool {
	return e.StateKey != nil && *e.StateKey == stateKey && e.Type == evType
}

// PrevEvents returns the IDs of the events that come just before it. Like AuthEvents it
// decodes them each time: events are mostly read to be shown, and show neither.
func (e *Event) PrevEvents() []string {
	ids, _ := decodeReferences(e.Version, Field(e.JSON, "prev_events"))
	return ids
}

// AuthEvents returns the IDs of the events by which it was allowed when it was made.
func (e *Event) AuthEvents() []string {
	ids, _ := decodeReferences(e.Version, Field(e.JSON, "auth_events"))
	return ids
}

// Membership returns the membership of an m.room.member event, and "" for any other event,
// for nil, and where it is not a string.
func (e *Event) Membership() string {
	if e == nil || e.Type != TypeMember {
		return ""
	}
	value := Field(e.Content, "membership")
	for _, known := range [...]string{Join, Leave, Invite, Ban, Knock} {
		if isQuoted(value, known) {
			return known
		}
	}
	membership, _ := Unquote(value)
	return membership
}

// JoinRule returns the join_rule of an m.room.join_rules event, and "" where it is not a
// string. For nil it returns "invite", which a room without that event has.
func (e *Event) JoinRule() string {
	if e == nil {
		return JoinRuleInvite
	}
	rule, _ := StringField(e.Content, "join_rule")
	return rule
}

// PowerLevels returns the levels of an m.room.power_levels event, parsed once. For nil,
// a room without that event, it returns nil, for which all methods of [PowerLevels]
// return the defaults. M_FORBIDDEN where a level is none in the room version, since
// [Authorize] refuses such an event.
func (e *Event) PowerLevels() (*PowerLevels, error) {
	if e == nil {
		return nil, nil
	}
	parsed := e.levels.Load()
	if parsed == nil {
		levels, err := parsePowerLevels(e.Version, e.Content)
		parsed = &parsedLevels{levels, err}
		e.levels.Store(parsed)
	}
	return parsed.levels, parsed.err
}

// CreateContent is the content of m.room.create.
type CreateContent struct {
	// Creators holds the room's creator, and from version 12 on the additional
	// creators after it.
	Creators []string
	// Federate is false where users of other servers may not join.
	Federate bool
	// RoomVersion is the ID of the room's version, "1" where the content names none.
	RoomVersion string
	// RoomType is type, such as "m.space"; "" for an ordinary room.
	RoomType string
	// Predecessor is the ID of the room that this one replaces; "" for none.
	Predecessor string
}

// CreateContent returns the content of an m.room.create event, parsed once. Values of the
// wrong kind count as absent.
func (e *Event) CreateContent() *CreateContent {
	if parsed := e.create.Load(); parsed != nil {
		return parsed
	}
	parsed := parseCreate(e)
	e.create.Store(parsed)
	return parsed
}

func parseCreate(e *Event) *CreateContent {
	c := &CreateContent{Federate: true, RoomVersion: "1"}
	creator, additional := "", []byte(nil)
	for m := membersOf(e.Content); m.next(); {
		switch string(m.key) {
		case "creator":
			creator, _ = Unquote(m.value)
		case "additional_creators":
			additional = m.value
		case "m.federate":
			c.Federate = string(m.value) != "false"
		case "room_version":
			if version, ok := Unquote(m.value); ok {
				c.RoomVersion = version
			}
		case "predecessor":
			c.Predecessor, _ = StringField(m.value, "room_id")
		case "type":
			c.RoomType, _ = Unquote(m.value)
		}
	}
	if e.Version.SenderIsCreator {
		creator = e.Sender
	}
	c.Creators = []string{creator}
	if e.Version.PrivilegedCreators {
		for values := elementsOf(additional); values.next(); {
			if user, ok := Unquote(values.value); ok {
				c.Creators = append(c.Creators, user)
			}
		}
	}
	return c
}
