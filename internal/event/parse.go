package event

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"homeserver/internal/matrix"
)

// Parse reads an event that another server sent, and works out its ID. It checks the
// form of every member that the version's "Event format" names, and brings the JSON
// into canonical form, without unsigned, which no signature covers. The caller checks
// hash, signatures and authorisation: [Event.VerifyHash], [Event.VerifySignature],
// [Authorize]. The event may share memory with raw.
//
// Errors are those of [Canonical], M_BAD_JSON for another format, and M_TOO_LARGE
// above a limit of the client-server API, "Size limits".
func Parse(v *Version, raw []byte) (*Event, error) {
	text, err := canonicalObject(raw, v.signedNumbers(), 0)
	if err != nil {
		return nil, err
	}
	if Field(text, "unsigned") != nil {
		text = appendWithout(make([]byte, 0, len(text)), text, "unsigned")
	}
	if err := checkSize(text); err != nil {
		return nil, err
	}
	e, err := decode(v, text)
	if err != nil {
		return nil, err
	}
	if err := e.checkFormat(); err != nil {
		return nil, err
	}
	if !v.pairs() {
		hash, err := referenceHash(v, text)
		if err != nil {
			return nil, err
		}
		e.ID = hashID(v, hash)
	}
	if v.HashRoomID && e.Type == TypeCreate && e.RoomID == "" {
		e.RoomID = hashRoomID(e.ID)
	}
	return e, nil
}

// ParseTrusted reads an event that [Build] or [Parse] made before, from its ID and
// its JSON in our own database. It neither hashes nor authorises it. But it does check
// that the JSON is whole, since parts of it are sent to clients unchanged: that it is an
// object in UTF-8, without white space as canonical JSON is, and nested no deeper than
// that. It does not look at the order of names, nor for those that are there twice. The
// event shares the memory of raw. An error means that the bytes are damaged, and is no
// [matrix.Error].
func ParseTrusted(v *Version, id string, raw []byte) (*Event, error) {
	e, err := decode(v, raw)
	if err != nil {
		return nil, fmt.Errorf("read event %s: %v", id, err) //nolint:errorlint // not for clients: they have sent nothing wrong
	}
	e.ID = id
	if v.HashRoomID && e.Type == TypeCreate && e.RoomID == "" {
		e.RoomID = hashRoomID(id)
	}
	if e.Depth < 0 || e.RoomID == "" || e.Sender == "" {
		return nil, fmt.Errorf("read event %s: it has no depth, no room_id or no sender", id)
	}
	return e, nil
}

// decode reads an event in canonical JSON, of whose members all but content may be
// missing: in one pass, which also checks that it is JSON. M_BAD_JSON for a member that is
// not of the right kind, M_NOT_JSON where the text is not as [ParseTrusted] needs it.
func decode(v *Version, text []byte) (*Event, error) {
	e := &Event{JSON: text, Version: v, Depth: -1}
	var redacts string
	var sender, stateKey []byte
	m := checkedMembersOf(text)
	for m.next() {
		ok := true
		switch string(m.key) {
		case "content":
			e.Content, ok = m.value, m.value[0] == '{'
		case "depth":
			e.Depth, ok = parseInt(m.value)
		case "event_id":
			if v.pairs() {
				e.ID, ok = Unquote(m.value)
			}
		case "origin_server_ts":
			e.OriginServerTS, ok = parseInt(m.value)
		case "redacts":
			redacts, ok = Unquote(m.value)
			ok = ok || v.RedactsInContent
		case "room_id":
			e.RoomID, ok = Unquote(m.value)
		case "sender":
			sender = m.value
			e.Sender, ok = Unquote(sender)
		case "state_key":
			stateKey = m.value
			ok = stateKey[0] == '"'
		case "type":
			e.Type, ok = unquoteType(m.value)
		}
		if !ok {
			return nil, matrix.Errorf(matrix.BadJSON, "the event's %s is not of the right kind", m.key)
		}
	}
	if !m.whole {
		return nil, matrix.Errorf(matrix.NotJSON, "the event is damaged JSON: it is wrong from byte %d on", m.c.pos)
	}
	if e.Content == nil {
		return nil, missing("content")
	}
	switch {
	case stateKey == nil:
	case bytes.Equal(stateKey, sender): // as members have it mostly: they need one text only
		e.StateKey = &e.Sender
	default:
		text, _ := Unquote(stateKey)
		e.StateKey = &text
	}
	if e.Type == TypeRedaction {
		if v.RedactsInContent {
			redacts, _ = StringField(e.Content, "redacts")
		}
		e.Redacts = redacts
	}
	return e, nil
}

func missing(member string) error {
	return matrix.Errorf(matrix.BadJSON, "the event has no %s", member)
}

// unquoteType is Unquote for the type of an event, of which there are few.
func unquoteType(value []byte) (string, bool) {
	if len(value) > 2 && value[0] == '"' {
		if known, ok := knownTypes[string(value[1:len(value)-1])]; ok {
			return known, true
		}
	}
	return Unquote(value)
}

// knownTypes has the types that most events have, so that each is in memory once.
var knownTypes = func() map[string]string {
	known := map[string]string{}
	for _, t := range []string{
		TypeAliases, TypeAvatar, TypeCanonicalAlias, TypeCreate, TypeEncrypted, TypeEncryption, TypeGuestAccess, TypeHistoryVisibility,
		TypeJoinRules, TypeMember, TypeMessage, TypeName, TypePowerLevels, TypeRedaction, TypeSpaceChild, TypeThirdPartyInvite,
		TypeServerACL, TypeTombstone, TypeTopic, "m.reaction", "m.room.pinned_events", "m.sticker",
	} {
		known[t] = t
	}
	return known
}()

// decodeReferences reads prev_events or auth_events: event IDs, or in versions 1
// and 2 pairs of an event ID and hashes.
func decodeReferences(v *Version, array []byte) ([]string, bool) {
	if len(array) == 0 || array[0] != '[' {
		return nil, false
	}
	ids := make([]string, 0, bytes.Count(array, []byte(","))+1)
	for values := elementsOf(array); values.next(); {
		value := values.value
		if v.pairs() {
			pair := elementsOf(value)
			if !pair.next() {
				return nil, false
			}
			value = pair.value
		}
		id, ok := Unquote(value)
		if !ok {
			return nil, false
		}
		ids = append(ids, id)
	}
	return ids, true
}

// checkFormat checks an event that another server made against "Event format" of
// its version and against "Size limits" of the client-server API.
func (e *Event) checkFormat() error {
	switch {
	case Field(e.JSON, "type") == nil:
		return missing("type")
	case e.Depth < 0:
		return missing("depth that is an integer from 0 on")
	case Field(e.JSON, "origin_server_ts") == nil:
		return missing("origin_server_ts")
	case !e.hasReferences("prev_events", maxPrevEvents):
		return matrix.Errorf(matrix.BadJSON, "the event has no prev_events that are a list of events, or more than %d", maxPrevEvents)
	case !e.hasReferences("auth_events", maxAuthEvents):
		return matrix.Errorf(matrix.BadJSON, "the event has no auth_events that are a list of events, or more than %d", maxAuthEvents)
	case e.Version.pairs() && !matrix.IsEventID(e.ID):
		return missing("event_id that is an event ID")
	}
	if _, ok := StringField(Field(e.JSON, "hashes"), "sha256"); !ok {
		return missing("hashes.sha256 that is a string")
	}
	if signatures := Field(e.JSON, "signatures"); len(signatures) == 0 || signatures[0] != '{' {
		return missing("signatures that are an object")
	}
	if err := checkIDs(e.Type, e.Sender, e.StateKey); err != nil {
		return badFormat(err)
	}
	if e.RoomID == "" && e.Version.HashRoomID && e.Type == TypeCreate {
		return nil
	}
	return badFormat(checkRoomID(e.RoomID))
}

// hasReferences reports whether a member is a list of that many events at most.
func (e *Event) hasReferences(member string, most int) bool {
	ids, ok := decodeReferences(e.Version, Field(e.JSON, member))
	return ok && len(ids) <= most
}

// badFormat turns M_INVALID_PARAM into M_BAD_JSON: the parameters of a client are
// members of an event that another server sends.
func badFormat(err error) error {
	if e, ok := errors.AsType[*matrix.Error](err); ok && e.Code == matrix.InvalidParam {
		return matrix.Errorf(matrix.BadJSON, "%s", e.Message)
	}
	return err
}

// checkIDs checks the members that have limits of their own: client-server API,
// "Size limits". M_TOO_LARGE, or M_INVALID_PARAM for a text that is no ID.
func checkIDs(evType, sender string, stateKey *string) error {
	if err := checkText("type", evType); err != nil {
		return err
	}
	if stateKey != nil {
		if err := checkText("state_key", *stateKey); err != nil {
			return err
		}
	}
	if err := checkText("sender", sender); err != nil {
		return err
	}
	if !isUserID(sender) {
		return matrix.Errorf(matrix.InvalidParam, "the sender %s is not a user ID", quote(sender))
	}
	return nil
}

func checkRoomID(id string) error {
	if err := checkText("room_id", id); err != nil {
		return err
	}
	if !matrix.IsRoomID(id) {
		return matrix.Errorf(matrix.InvalidParam, "%s is not a room ID", quote(id))
	}
	return nil
}

func checkText(member, text string) error {
	if len(text) > matrix.MaxIDBytes {
		return matrix.Errorf(matrix.TooLarge, "the event's %s has %d bytes, more than %d", member, len(text), matrix.MaxIDBytes)
	}
	if !utf8.ValidString(text) {
		return matrix.Errorf(matrix.InvalidParam, "the event's %s is not UTF-8", member)
	}
	return nil
}

// isUserID reports whether the text can be the sender of an event. That includes all
// historical user IDs: appendices, "Historical User IDs".
func isUserID(id string) bool {
	if len(id) > matrix.MaxIDBytes || !strings.HasPrefix(id, "@") || !utf8.ValidString(id) {
		return false
	}
	localpart, server, ok := strings.Cut(id[1:], ":")
	return ok && !strings.ContainsRune(localpart, 0) && matrix.IsServerName(server)
}

// domainOf returns the server name in a user ID, room ID or event ID, and "" where
// there is none.
func domainOf(id string) string {
	_, domain, _ := strings.Cut(id, ":")
	return domain
}
