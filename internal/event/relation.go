package event

import "homeserver/internal/matrix"

// The types of relations that the server knows: client-server API, "Relationship types".
const (
	// RelAnnotation is that of a reaction.
	RelAnnotation = "m.annotation"
	// RelReference is any other that no more is said about.
	RelReference = "m.reference"
	// RelReplace is that of an edit.
	RelReplace = "m.replace"
	// RelThread is that of an event to the root of its thread.
	RelThread = "m.thread"
)

// MaxThreadHops is how many relations are followed from an event to one that is in a
// thread by its own: client-server API, "Threaded read receipts".
const MaxThreadHops = 3

// Relation is how an event is related to another: client-server API, "Forming
// relationships between events". The zero value is no relation.
type Relation struct {
	// Type is the rel_type; EventID is the event that this one is related to. Both are
	// empty, or neither is.
	Type, EventID string
}

// RelationOf reads the relation from the content of an event, a JSON object in
// canonical form. An m.relates_to that lacks rel_type or event_id, has them empty, longer
// than IDs are, in another case, or not as strings, is no relation; neither is
// m.in_reply_to.
func RelationOf(content []byte) Relation {
	relates := Field(content, "m.relates_to")
	relType, _ := StringField(relates, "rel_type")
	target, _ := StringField(relates, "event_id")
	if !isRelationText(relType) || !isRelationText(target) {
		return Relation{}
	}
	return Relation{relType, target}
}

func isRelationText(s string) bool { return s != "" && len(s) <= matrix.MaxIDBytes && matrix.IsText(s) }

// AnnotationKey returns what an m.annotation annotates its event with, from its content, and
// whether it does: client-server API, "Event annotations and reactions".
func AnnotationKey(content []byte) (string, bool) {
	return StringField(Field(content, "m.relates_to"), "key")
}

// ReplacesContent reports whether an event may replace the content of the one that it is
// related to by m.replace, as far as it says itself: it is no state event, and has new
// content, or may have within what is encrypted. Client-server API, "Validity of replacement
// events".
func (e *Event) ReplacesContent() bool {
	if e.StateKey != nil {
		return false
	}
	content := Field(e.Content, "m.new_content")
	return e.Type == TypeEncrypted || len(content) > 0 && content[0] == '{'
}
