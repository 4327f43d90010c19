package event

import (
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"homeserver/internal/matrix"
)

const (
	// maxPrevEvents and maxAuthEvents bound prev_events and auth_events: "Event
	// format" of each room version.
	maxPrevEvents = 20
	maxAuthEvents = 10
)

// Proto has the members from which [Build] makes an event.
type Proto struct {
	// RoomID is ignored for m.room.create of version 12, which has no room_id.
	RoomID   string
	Type     string
	Sender   string
	StateKey *string // nil: not a state event
	// Content is any JSON object; nil: an empty one.
	Content []byte
	// Redacts is the target of m.room.redaction. Build writes it into the member that
	// the room version has for it; from version 11 on, "" leaves content.redacts as it is.
	Redacts        string
	OriginServerTS int64 // milliseconds since the epoch
	Depth          int64 // above the version's limit: the limit
	PrevEvents     []string
	AuthEvents     []string
	// ReferenceHashes holds, for versions 1 and 2 only, [Event.ReferenceHash] of
	// each of PrevEvents and AuthEvents, by event ID.
	ReferenceHashes map[string]string
}

// Build makes an event: content hash, signature and event ID.
//
// M_BAD_JSON or M_NOT_JSON for a content that [Canonical] refuses or that is not
// an object; M_TOO_LARGE for an event over [MaxBytes], and for a sender, room ID,
// type or state key over 255 bytes; M_INVALID_PARAM for a sender that is no user ID,
// a wrong room ID, and NUL in a type or a state key. Server-server API, "Adding hashes
// and signatures to outgoing events"; client-server API, "Size limits".
func Build(v *Version, p Proto, s *Signer) (*Event, error) {
	d, err := newDraft(v, &p, s)
	if err != nil {
		return nil, err
	}
	scratch := d.append(make([]byte, 0, 768+2*len(d.content)))
	hash := sha256.Sum256(scratch)
	d.hash = base64.RawStdEncoding.EncodeToString(hash[:])

	redacted := *d
	redacted.content = RedactContent(v, p.Type, d.content)
	redacted.redacts = ""
	scratch = redacted.append(scratch[:0])
	signature := s.sign(scratch)
	if !v.pairs() {
		d.id = hashID(v, sha256.Sum256(scratch))
	}
	d.signatures = appendSignature(nil, s, signature)

	text := d.append(make([]byte, 0, len(d.content)+len(scratch)+len(d.signatures)+64))
	if err := checkSize(text); err != nil {
		return nil, err
	}
	return d.event(text), nil
}

// draft is an event while Build makes it.
type draft struct {
	*Proto
	version  *Version
	id       string
	withRoom bool
	content  []byte
	redacts  string // at the top level; "" for none
	depth    int64
	// append leaves out hash and signatures while they are empty.
	hash       string
	signatures []byte
}

func newDraft(v *Version, p *Proto, s *Signer) (*draft, error) {
	d := &draft{Proto: p, version: v, depth: min(p.Depth, v.maxDepth())}
	d.withRoom = !v.HashRoomID || p.Type != TypeCreate
	if err := d.check(); err != nil {
		return nil, err
	}
	if err := d.setContent(); err != nil {
		return nil, err
	}
	if v.pairs() {
		d.id = "$" + randomLetters() + ":" + s.ServerName
	}
	return d, nil
}

func (d *draft) setContent() error {
	d.content = []byte("{}")
	if d.Content != nil {
		var err error
		if d.content, err = canonicalObject(d.Content, d.version.newNumbers(), 1); err != nil {
			return err
		}
	}
	switch {
	case d.Type != TypeRedaction:
	case !d.version.RedactsInContent:
		d.redacts = d.Redacts
	case d.Redacts != "":
		d.content = setMember(d.content, "redacts", AppendString(nil, d.Redacts))
	}
	return nil
}

// check checks everything but the content.
func (d *draft) check() error {
	if err := checkIDs(d.Type, d.Sender, d.StateKey); err != nil {
		return err
	}
	if strings.ContainsRune(d.Type, 0) || d.StateKey != nil && strings.ContainsRune(*d.StateKey, 0) {
		return matrix.Errorf(matrix.InvalidParam, "the event's type or state key holds the character NUL")
	}
	if d.withRoom {
		if err := checkRoomID(d.RoomID); err != nil {
			return err
		}
	}
	if !utf8.ValidString(d.Redacts) || len(d.Redacts) > matrix.MaxIDBytes {
		return matrix.Errorf(matrix.InvalidParam, "the event redacts %s, which is not an event ID", quote(d.Redacts))
	}
	if d.OriginServerTS < 0 || d.OriginServerTS > maxSafeInteger || d.Depth < 0 {
		return matrix.Errorf(matrix.BadJSON, "origin_server_ts %d or depth %d is out of range", d.OriginServerTS, d.Depth)
	}
	return d.checkReferences()
}

// checkReferences checks prev_events and auth_events, which clients do not choose.
func (d *draft) checkReferences() error {
	if len(d.PrevEvents) > maxPrevEvents || len(d.AuthEvents) > maxAuthEvents {
		return fmt.Errorf("build event: %d prev_events and %d auth_events are too many",
			len(d.PrevEvents), len(d.AuthEvents))
	}
	if !d.version.pairs() {
		return nil
	}
	for _, id := range slices.Concat(d.PrevEvents, d.AuthEvents) {
		if d.ReferenceHashes[id] == "" {
			return fmt.Errorf("build event: the reference hash of event %s is missing", id)
		}
	}
	return nil
}

// append appends the event in canonical JSON, with the members that are set so far.
func (d *draft) append(dst []byte) []byte {
	dst = append(dst, `{"auth_events":`...)
	dst = d.appendReferences(dst, d.AuthEvents)
	dst = append(dst, `,"content":`...)
	dst = append(dst, d.content...)
	dst = append(dst, `,"depth":`...)
	dst = strconv.AppendInt(dst, d.depth, 10)
	if d.version.pairs() {
		dst = append(dst, `,"event_id":`...)
		dst = AppendString(dst, d.id)
	}
	if d.hash != "" {
		dst = append(dst, `,"hashes":{"sha256":`...)
		dst = append(AppendString(dst, d.hash), '}')
	}
	dst = append(dst, `,"origin_server_ts":`...)
	dst = strconv.AppendInt(dst, d.OriginServerTS, 10)
	dst = append(dst, `,"prev_events":`...)
	dst = d.appendReferences(dst, d.PrevEvents)
	if d.redacts != "" {
		dst = append(dst, `,"redacts":`...)
		dst = AppendString(dst, d.redacts)
	}
	if d.withRoom {
		dst = append(dst, `,"room_id":`...)
		dst = AppendString(dst, d.RoomID)
	}
	dst = append(dst, `,"sender":`...)
	dst = AppendString(dst, d.Sender)
	if d.signatures != nil {
		dst = append(dst, `,"signatures":`...)
		dst = append(dst, d.signatures...)
	}
	if d.StateKey != nil {
		dst = append(dst, `,"state_key":`...)
		dst = AppendString(dst, *d.StateKey)
	}
	dst = append(dst, `,"type":`...)
	return append(AppendString(dst, d.Type), '}')
}

// appendReferences appends prev_events or auth_events.
func (d *draft) appendReferences(dst []byte, ids []string) []byte {
	dst = append(dst, '[')
	for i, id := range ids {
		if i > 0 {
			dst = append(dst, ',')
		}
		if d.version.pairs() {
			dst = append(AppendString(append(dst, '['), id), `,{"sha256":`...)
			dst = append(AppendString(dst, d.ReferenceHashes[id]), "}]"...)
		} else {
			dst = AppendString(dst, id)
		}
	}
	return append(dst, ']')
}

func appendSignature(dst []byte, s *Signer, signature string) []byte {
	dst = AppendString(append(dst, '{'), s.ServerName)
	dst = AppendString(append(dst, ":{"...), s.KeyID)
	dst = AppendString(append(dst, ':'), signature)
	return append(dst, "}}"...)
}

// event returns the event with the finished JSON.
func (d *draft) event(text []byte) *Event {
	e := &Event{
		ID: d.id, RoomID: d.RoomID, Type: d.Type, Sender: d.Sender,
		Content: Field(text, "content"), Redacts: d.redacts,
		OriginServerTS: d.OriginServerTS, Depth: d.depth, JSON: text, Version: d.version,
	}
	if d.StateKey != nil {
		stateKey := *d.StateKey
		e.StateKey = &stateKey
	}
	if !d.withRoom {
		e.RoomID = hashRoomID(e.ID)
	}
	if d.Type == TypeRedaction && d.version.RedactsInContent {
		e.Redacts, _ = StringField(e.Content, "redacts")
	}
	return e
}
