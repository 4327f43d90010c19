package event

import (
	"slices"

	"homeserver/internal/matrix"
)

// redactionTable names the members that a redaction leaves: "Redactions" of each room
// version.
type redactionTable struct {
	// event holds the members of the event that stay.
	event []string
	// content holds, by event type, the members of content that stay.
	content map[string][]string
	// wholeCreate: all the content of m.room.create stays.
	wholeCreate bool
	// signedInvite: third_party_invite of m.room.member stays, with nothing but its
	// member signed.
	signedInvite bool
}

var (
	redactedEventV1 = []string{
		"event_id", "type", "room_id", "sender", "state_key", "content", "hashes", "signatures", "depth",
		"prev_events", "prev_state", "auth_events", "origin", "origin_server_ts", "membership",
	}
	redactedEventV11 = []string{
		"event_id", "type", "room_id", "sender", "state_key", "content", "hashes", "signatures", "depth",
		"prev_events", "auth_events", "origin_server_ts",
	}
	redactedLevels = []string{
		"ban", "events", "events_default", "kick", "redact", "state_default", "users", "users_default",
	}

	redactionV1 = &redactionTable{event: redactedEventV1, content: map[string][]string{
		TypeMember:            {"membership"},
		TypeCreate:            {"creator"},
		TypeJoinRules:         {"join_rule"},
		TypePowerLevels:       redactedLevels,
		TypeAliases:           {"aliases"},
		TypeHistoryVisibility: {"history_visibility"},
	}}
	redactionV6 = &redactionTable{event: redactedEventV1, content: map[string][]string{
		TypeMember:            {"membership"},
		TypeCreate:            {"creator"},
		TypeJoinRules:         {"join_rule"},
		TypePowerLevels:       redactedLevels,
		TypeHistoryVisibility: {"history_visibility"},
	}}
	redactionV8 = &redactionTable{event: redactedEventV1, content: map[string][]string{
		TypeMember:            {"membership"},
		TypeCreate:            {"creator"},
		TypeJoinRules:         {"join_rule", "allow"},
		TypePowerLevels:       redactedLevels,
		TypeHistoryVisibility: {"history_visibility"},
	}}
	redactionV9 = &redactionTable{event: redactedEventV1, content: map[string][]string{
		TypeMember:            {"membership", "join_authorised_via_users_server"},
		TypeCreate:            {"creator"},
		TypeJoinRules:         {"join_rule", "allow"},
		TypePowerLevels:       redactedLevels,
		TypeHistoryVisibility: {"history_visibility"},
	}}
	redactionV11 = &redactionTable{event: redactedEventV11, content: map[string][]string{
		TypeMember:            {"membership", "join_authorised_via_users_server"},
		TypeJoinRules:         {"join_rule", "allow"},
		TypePowerLevels:       append(slices.Clone(redactedLevels), "invite"),
		TypeHistoryVisibility: {"history_visibility"},
		TypeRedaction:         {"redacts"},
	}, wholeCreate: true, signedInvite: true}
)

// Redact returns the redacted form of an event in canonical JSON, signatures included:
// the event with only the members that the room version protects, thus without unsigned.
// An event that is redacted already stays the same. Errors are those of [Canonical], and
// M_BAD_JSON where type or content is missing or of the wrong kind. "Redactions" of
// each room version.
func Redact(v *Version, raw []byte) ([]byte, error) {
	canonical, err := canonicalObject(raw, v.signedNumbers(), 0)
	if err != nil {
		return nil, err
	}
	return redact(v, canonical)
}

// redact is Redact for canonical JSON; it removes the members named in without, too.
func redact(v *Version, canonical []byte, without ...string) ([]byte, error) {
	evType, ok := StringField(canonical, "type")
	if !ok {
		return nil, matrix.Errorf(matrix.BadJSON, "the event has no type that is a string")
	}
	if content := Field(canonical, "content"); len(content) == 0 || content[0] != '{' {
		return nil, matrix.Errorf(matrix.BadJSON, "the event has no content that is an object")
	}
	redacted := append(make([]byte, 0, len(canonical)), '{')
	first := true
	for m := membersOf(canonical); m.next(); {
		if !contains(v.redaction.event, m.key) || contains(without, m.key) {
			continue
		}
		value := m.value
		if string(m.key) == "content" {
			value = RedactContent(v, evType, value)
		}
		redacted = appendMember(redacted, &first, m.key, value)
	}
	return append(redacted, '}'), nil
}

// RedactContent returns the redacted content of an event of the type. The content is a
// canonical JSON object, and so is the result, which may share its memory.
func RedactContent(v *Version, evType string, content []byte) []byte {
	if evType == TypeCreate && v.redaction.wholeCreate {
		return content
	}
	keys := v.redaction.content[evType]
	signedInvite := evType == TypeMember && v.redaction.signedInvite
	if len(keys) == 0 {
		return []byte("{}")
	}
	kept := append(make([]byte, 0, len(content)), '{')
	first := true
	for m := membersOf(content); m.next(); {
		switch {
		case contains(keys, m.key):
			kept = appendMember(kept, &first, m.key, m.value)
		case signedInvite && string(m.key) == "third_party_invite" && m.value[0] == '{':
			kept = appendMember(kept, &first, m.key, onlySigned(m.value))
		}
	}
	return append(kept, '}')
}

// onlySigned returns third_party_invite with nothing but its member signed.
func onlySigned(invite []byte) []byte {
	signed := Field(invite, "signed")
	if signed == nil {
		return []byte("{}")
	}
	first := true
	return append(appendMember([]byte("{"), &first, []byte("signed"), signed), '}')
}
