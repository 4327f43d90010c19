package event

import "homeserver/internal/matrix"

// RelThread is the type of the relation of an event to the root of its thread:
// client-server API, "Threading".
const RelThread = "m.thread"

// MaxThreadHops is how many relations are followed to find the thread that an event is
// in: client-server API, "Threaded read receipts".
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
