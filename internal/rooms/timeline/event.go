package timeline

import (
	"encoding/json"
	"sync/atomic"

	"homeserver/internal/event"
	"homeserver/internal/journal"
	"homeserver/internal/matrix"
)

// Event is an event of a room as this server stores it: the federated part, and what
// only this server knows of it. It is immutable but for a later redaction, and safe for
// concurrent use.
type Event struct {
	*event.Event
	Room journal.RoomNID
	NID  EventNID
	// Position is where it stands in the journal; 0: it was never new to clients.
	Position journal.Position
	// Place is where it stands in the room; 0: in no timeline.
	Place Place

	// Replaces describes the state event that this one replaced; nil: none.
	Replaces *Replaced
	// DeviceID and TxnID are those of the request that sent the event, if it had a
	// transaction ID.
	DeviceID, TxnID string
	// Staged has what is to be written with the event; nil once it is committed.
	Staged *Staged

	// ready is how the event begins for clients, where it is kept in that form and not as it is
	// federated; tail is where the members after room_id are.
	ready []byte
	tail  int

	redaction atomic.Pointer[redaction]
	// relation is that of an event whose redacted form alone is known.
	relation event.Relation
	// childless: when the event was read, nothing was aggregated with it. false: that is not known.
	childless bool
}

// Replaced describes the state event that an event replaced.
type Replaced struct {
	EventID string
	Sender  string
	NID     EventNID
	Place   Place
	content atomic.Pointer[[]byte]
	event   *Event // holds the numbers until the replaced event is committed itself
}

// Replace notes that the event is about to replace another one.
func (e *Event) Replace(old *Event) {
	e.Replaces = &Replaced{EventID: old.ID, Sender: old.Sender, event: old}
	e.Replaces.show(old.Content())
}

// Earlier finds the event of an ID among this one and those before it under its state
// key that are not committed yet; nil if it is none of them.
func (e *Event) Earlier(id string) *Event {
	for e != nil && e.ID != id {
		if e.Replaces == nil {
			return nil
		}
		e = e.Replaces.event
	}
	return e
}

// Settle is called once the event is committed. It drops what was needed for writing
// it, and returns that.
func (e *Event) Settle() *Staged {
	was := e.Staged
	e.Staged = nil
	if e.Replaces != nil {
		e.Replaces.settle()
	}
	return was
}

// Redact turns the event into its redacted form, and notes the event that has redacted it.
// The first redaction counts.
func (e *Event) Redact(redacted *event.Event, because *Event) {
	e.redaction.CompareAndSwap(nil, &redaction{redacted: redacted, because: because, by: because.NID})
}

// Content returns the content that may be shown, a JSON object.
func (r *Replaced) Content() []byte { return *r.content.Load() }

func (r *Replaced) show(content []byte) { r.content.Store(&content) }

// settle drops the replaced event, once this one is committed. If that has been
// redacted meanwhile, it is shown redacted here, too.
func (r *Replaced) settle() {
	if r.event == nil { // it was written elsewhere
		return
	}
	if r.event.Redacted() {
		r.show(r.event.Content())
	}
	r.event = nil
}

// redaction is the result of an event's redaction.
type redaction struct {
	redacted *event.Event
	because  *Event // nil: it is damaged
	by       EventNID
}

// Seen returns the event as it is to be shown: if it was redacted, its redacted form
// and the redaction.
func (e *Event) Seen() (*event.Event, *Event) {
	if r := e.redaction.Load(); r != nil {
		return r.redacted, r.because
	}
	return e.Event, nil
}

// Redacted reports whether the event has been redacted.
func (e *Event) Redacted() bool { return e.redaction.Load() != nil }

// Content returns the content that may be shown, a JSON object.
func (e *Event) Content() []byte {
	shown, _ := e.Seen()
	return shown.Content
}

// MembershipBefore returns the membership that a member event has replaced; "" where there
// was none.
func (e *Event) MembershipBefore() string {
	if e.Replaces == nil {
		return ""
	}
	membership, _ := event.StringField(e.Replaces.Content(), "membership")
	return membership
}

// Relation returns how the event was related to another one when it was sent. A redaction does
// not change it, or what is unread would be counted otherwise after it: by it events are
// in threads, and it is not to be shown.
func (e *Event) Relation() event.Relation {
	if e.relation != (event.Relation{}) {
		return e.relation
	}
	return event.RelationOf(e.Event.Content)
}

// Staged has what is written with an event, beside the event itself.
type Staged struct {
	// Elsewhere reports that another process has written the event.
	Elsewhere bool
	// NewRoom reports that the event is the first of its room, whose row is written
	// with it.
	NewRoom bool
	// Turn is that of the room when the event was built, with those built before it.
	Turn int64
	// Joined and Invited are how the numbers of members change.
	Joined, Invited int
	// Target is the event that this one redacts, and Redacted its new form.
	Target   *Event
	Redacted *event.Event
}

// MemorySize estimates how many bytes the event occupies in memory now, at most.
func (e *Event) MemorySize() int {
	if e.ready != nil {
		return e.compactSize()
	}
	const (
		structs = 150
		// rest is the size of the replaced event without its content, all of which
		// stays in memory.
		rest = 1000
	)
	n := structs + e.Event.Size()
	if e.Replaces != nil {
		n += len(e.Replaces.Content()) + rest
	}
	if r := e.redaction.Load(); r != nil {
		n += r.redacted.Size()
		if r.because != nil {
			n += r.because.MemorySize()
		}
	}
	return n
}

// Entry makes the journal entry of an event. It has room for a redacted form, which may
// come later, and for its place among the relatives.
func (s *Store) Entry(e *Event) *journal.Entry {
	size := e.MemorySize() + len(e.JSON)
	if c := childOf(e); c != nil {
		size += c.memorySize()
	}
	return &journal.Entry{Table: s.table, Topics: []journal.Topic{{Room: e.Room}}, Value: e, Size: size}
}

// entryOf makes the journal entry of a change that brings an event. Mostly that is all.
func (s *Store) entryOf(c RoomChange) *journal.Entry {
	entry := s.Entry(c.Event)
	if c.Intervals == nil {
		return entry
	}
	const structs = 200
	entry.Value = &c
	for _, i := range c.Intervals {
		if entry.Size += structs + len(i.Type) + len(i.Key); i.Event != nil && i.Event != c.Event {
			entry.Size += i.Event.MemorySize() + len(i.Event.JSON)
		}
	}
	return entry
}

// stateValue returns the value that the table of state stores of the content, for
// searching and for lists of rooms; nil: none.
func (e *Event) stateValue() *string {
	shown, _ := e.Seen()
	return valueOfState(shown)
}

// stateField returns the field of state events of a type that is stored unchanged, where
// it is a text; "" if there is none.
func stateField(evType string) string {
	switch evType {
	case event.TypeCreate:
		return "type"
	case event.TypeJoinRules:
		return "join_rule"
	case event.TypeAvatar:
		return "url"
	case event.TypeCanonicalAlias:
		return "alias"
	case event.TypeEncryption:
		return "algorithm"
	case event.TypeGuestAccess:
		return "guest_access"
	case event.TypeName:
		return "name"
	}
	return ""
}

func valueOfState(e *event.Event) *string {
	switch e.Type {
	case event.TypeMember:
		return nonEmpty(e.Membership())
	case event.TypeTopic:
		return nonEmpty(plainTopic(e.Content))
	case event.TypeHistoryVisibility:
		switch visibility, _ := event.StringField(e.Content, "history_visibility"); visibility {
		case event.VisibilityWorldReadable, event.VisibilityShared, event.VisibilityInvited, event.VisibilityJoined:
			return &visibility
		}
		return nil
	case event.TypeSpaceChild:
		return spaceChildValue(e)
	case event.TypeTombstone:
		if replacement, _ := event.StringField(e.Content, "replacement_room"); matrix.IsRoomID(replacement) {
			return &replacement
		}
		return nil
	}
	if field := stateField(e.Type); field != "" {
		if text, _ := event.StringField(e.Content, field); matrix.IsText(text) {
			return nonEmpty(text)
		}
	}
	return nil
}

// plainTopic returns the plain text of m.room.topic: of its first representation in
// text/plain, which is what a representation without a type is, or else of topic.
// Client-server API, "m.room.topic".
func plainTopic(content []byte) string {
	var block struct {
		Text []struct {
			Body string `json:"body"`
			Type string `json:"mimetype"`
		} `json:"m.text"`
	}
	if json.Unmarshal(event.Field(content, "m.topic"), &block) == nil { // another form is like none
		for _, t := range block.Text {
			if (t.Type == "" || t.Type == "text/plain") && t.Body != "" && matrix.IsText(t.Body) {
				return t.Body
			}
		}
	}
	topic, _ := event.StringField(content, "topic")
	if !matrix.IsText(topic) {
		return ""
	}
	return topic
}
