package event

import "slices"

// EventIDFormat is the way in which an event gets its ID.
type EventIDFormat int

// The formats of event IDs.
const (
	// RandomEventID is "$opaque:server", a member of the event, event_id: versions
	// 1 and 2. Their prev_events and auth_events hold pairs of an event ID and that
	// event's reference hash.
	RandomEventID EventIDFormat = iota
	// HashEventID is "$" and the reference hash in unpadded Base64: version 3.
	HashEventID
	// URLSafeHashEventID is "$" and the reference hash in URL-safe unpadded
	// Base64: version 4 and later.
	URLSafeHashEventID
)

// Version is one room version, as a table of the differences between the versions. It
// must not be changed.
type Version struct {
	// ID is the version's name, as in room_version of m.room.create.
	ID string
	// Stable: the specification calls the version stable, for m.room_versions of the
	// capabilities.
	Stable bool

	// EventIDs is the way in which events get their IDs.
	EventIDs EventIDFormat
	// StrictJSON: canonical JSON is enforced, so there are no floats and no
	// integers beyond ±(2^53-1), and depth ends at 2^53-1. Version 6 and later.
	StrictJSON bool
	// AliasesRule: m.room.aliases has its own authorisation rule. Up to version 5.
	AliasesRule bool
	// RedactionRule: m.room.redaction has its own authorisation rule. Versions 1
	// and 2; in later versions the check is made where the redaction is applied.
	RedactionRule bool
	// NotificationLevels: changes of notifications in m.room.power_levels are
	// checked. Version 6 and later.
	NotificationLevels bool
	// Knock: the membership and the join rule "knock" exist. Version 7 and later.
	Knock bool
	// Restricted: the join rule "restricted" exists. Version 8 and later.
	Restricted bool
	// KnockRestricted: the join rule "knock_restricted" exists. Version 10 and later.
	KnockRestricted bool
	// IntegerPowerLevels: power levels are integers only; before version 10 they
	// may be strings, and where StrictJSON is off floats, too.
	IntegerPowerLevels bool
	// SenderIsCreator: the sender of m.room.create is the room's creator; before
	// version 11 content.creator names the creator.
	SenderIsCreator bool
	// RedactsInContent: m.room.redaction has its target in content.redacts; before
	// version 11 in redacts at the top level.
	RedactsInContent bool
	// PrivilegedCreators: the creators, additional_creators among them, have
	// infinite power. Version 12.
	PrivilegedCreators bool
	// HashRoomID: the room ID is the event ID of m.room.create with the sigil "!"
	// and no server name; m.room.create itself has no room_id, and is not among
	// auth_events. Version 12.
	HashRoomID bool

	redaction *redactionTable
}

// KnowsJoinRule reports whether the version has a join rule. Nobody joins by another one,
// nor knocks.
func (v *Version) KnowsJoinRule(rule string) bool {
	switch rule {
	case JoinRulePublic, JoinRuleInvite:
		return true
	case JoinRuleKnock:
		return v.Knock
	case JoinRuleRestricted:
		return v.Restricted
	case JoinRuleKnockRestricted:
		return v.KnockRestricted
	}
	return false
}

// versions holds every room version, oldest first. Each is made from the one before it
// by the changes that its page in "Room Versions" lists.
var versions = makeVersions()

func makeVersions() []*Version {
	steps := []struct {
		id     string
		change func(*Version)
	}{
		{"1", func(v *Version) {
			v.Stable, v.AliasesRule, v.RedactionRule = true, true, true
			v.redaction = redactionV1
		}},
		{"2", func(*Version) {}}, // state resolution only
		{"3", func(v *Version) { v.EventIDs, v.RedactionRule = HashEventID, false }},
		{"4", func(v *Version) { v.EventIDs = URLSafeHashEventID }},
		{"5", func(*Version) {}}, // validity of signing keys only
		{"6", func(v *Version) {
			v.StrictJSON, v.AliasesRule, v.NotificationLevels = true, false, true
			v.redaction = redactionV6
		}},
		{"7", func(v *Version) { v.Knock = true }},
		{"8", func(v *Version) { v.Restricted, v.redaction = true, redactionV8 }},
		{"9", func(v *Version) { v.redaction = redactionV9 }},
		{"10", func(v *Version) { v.KnockRestricted, v.IntegerPowerLevels = true, true }},
		{"11", func(v *Version) {
			v.SenderIsCreator, v.RedactsInContent = true, true
			v.redaction = redactionV11
		}},
		{"12", func(v *Version) { v.PrivilegedCreators, v.HashRoomID = true, true }},
	}
	all := make([]*Version, 0, len(steps))
	var current Version
	for _, step := range steps {
		current.ID = step.id
		step.change(&current)
		version := current
		all = append(all, &version)
	}
	return all
}

// LookupVersion returns the room version with the ID, and false if there is none.
func LookupVersion(id string) (*Version, bool) {
	at := slices.IndexFunc(versions, func(v *Version) bool { return v.ID == id })
	if at < 0 {
		return nil, false
	}
	return versions[at], true
}

// Versions returns the IDs of all room versions, oldest first.
func Versions() []string {
	ids := make([]string, len(versions))
	for i, v := range versions {
		ids[i] = v.ID
	}
	return ids
}

// maxDepth returns the greatest depth that an event may have: a room that has reached it
// stays there. "Event format" of each version.
func (v *Version) maxDepth() int64 {
	if v.StrictJSON {
		return maxSafeInteger
	}
	return 1<<63 - 1
}

// pairs reports whether prev_events and auth_events hold pairs of an event ID
// and a reference hash, rather than event IDs.
func (v *Version) pairs() bool { return v.EventIDs == RandomEventID }
