package rooms

import (
	"encoding/json"
	"sync/atomic"

	"homeserver/internal/event"
	"homeserver/internal/journal"
	"homeserver/internal/matrix"
)

// Event is an event of a room as this server keeps it: what is federated, and
// what is known here beside it. It is immutable but for a later redaction, and
// safe for concurrent use.
type Event struct {
	*event.Event
	Room     journal.RoomNID
	Position journal.Position

	// Replaces describes the state event that this one replaced; nil: none.
	Replaces *Replaced
	// DeviceID and TxnID are those of the request that sent the event, where it
	// gave a transaction ID.
	DeviceID, TxnID string

	redaction atomic.Pointer[redaction]
	draft     *staged // what is yet to be written; nil once it is committed
}

// Replaced is what an event tells of the state event before it.
type Replaced struct {
	EventID  string
	Sender   string
	Position journal.Position
	content  atomic.Pointer[[]byte]
	event    *Event // holds the position until the replaced event is committed itself
}

// newReplaced describes an event that is about to be replaced.
func newReplaced(old *Event) *Replaced {
	r := &Replaced{EventID: old.ID, Sender: old.Sender, event: old}
	r.show(old.Content())
	return r
}

// Content is the content that may be shown, a JSON object.
func (r *Replaced) Content() []byte { return *r.content.Load() }

func (r *Replaced) show(content []byte) { r.content.Store(&content) }

// settle lets go of the replaced event, once this one is committed. If that has
// been redacted meanwhile, it is shown so here, too.
func (r *Replaced) settle() {
	if r.event == nil { // it was written elsewhere
		return
	}
	if r.event.Redacted() {
		r.show(r.event.Content())
	}
	r.event = nil
}

// redaction is what became of an event that was redacted.
type redaction struct {
	redacted *event.Event
	because  *Event
}

// seen gives the event as it is to be shown: its redacted form once it was
// redacted, and then the event that did so.
func (e *Event) seen() (*event.Event, *Event) {
	if r := e.redaction.Load(); r != nil {
		return r.redacted, r.because
	}
	return e.Event, nil
}

// Redacted reports whether the event has been redacted.
func (e *Event) Redacted() bool { return e.redaction.Load() != nil }

// Content is the content that may be shown, a JSON object.
func (e *Event) Content() []byte {
	shown, _ := e.seen()
	return shown.Content
}

// MembershipBefore is the membership that a member event has replaced; "" where there
// was none.
func (e *Event) MembershipBefore() string {
	if e.Replaces == nil {
		return ""
	}
	membership, _ := event.StringField(e.Replaces.Content(), "membership")
	return membership
}

// Relation is how the event is related to another one, by the content that may be shown.
func (e *Event) Relation() event.Relation { return event.RelationOf(e.Content()) }

// staged is what the table of events writes beside the event itself.
type staged struct {
	// elsewhere tells that another process has written the event.
	elsewhere bool
	// room is written with the room's first event.
	room *live
	// head is the event that this one was built on.
	head string
	// joined and invited are how the numbers of members change.
	joined, invited int
	// replaces is the state event that this one replaces; nil: none.
	replaces *Event
	// target is the event that this one redacts, and redacted its new bytes.
	target   *Event
	redacted *event.Event
}

// size is about how many bytes the event takes in memory, at most, as it is now.
func (e *Event) size() int {
	const (
		structs = 150
		// rest is what the replaced event has beside its content, all of which stays in memory.
		rest = 1000
	)
	n := structs + e.Event.Size()
	if e.Replaces != nil {
		n += len(e.Replaces.Content()) + rest
	}
	if r := e.redaction.Load(); r != nil {
		n += r.redacted.Size()
		if r.because != nil {
			n += r.because.size()
		}
	}
	return n
}

// entry makes the journal entry of an event. It has room for a redacted form, which may
// come later.
func (e *Event) entry(t *journal.Table) *journal.Entry {
	return &journal.Entry{Table: t, Topics: []journal.Topic{{Room: e.Room}}, Value: e, Size: e.size() + len(e.JSON)}
}

// stateValue is what the table of state keeps of the content that may be shown,
// for searching and for lists of rooms; nil: nothing.
func (e *Event) stateValue() *string {
	shown, _ := e.seen()
	return valueOfState(shown)
}

// stateFields are the fields of state events that are kept as they are, where
// they are text.
var stateFields = map[string]string{
	event.TypeCreate:         "type",
	event.TypeJoinRules:      "join_rule",
	event.TypeAvatar:         "url",
	event.TypeCanonicalAlias: "alias",
	event.TypeEncryption:     "algorithm",
	event.TypeGuestAccess:    "guest_access",
	event.TypeName:           "name",
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
	}
	if field, ok := stateFields[e.Type]; ok {
		if text, _ := event.StringField(e.Content, field); matrix.IsText(text) {
			return nonEmpty(text)
		}
	}
	return nil
}

// plainTopic gives the plain text of m.room.topic: of its first representation in
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
