package timeline

import (
	"crypto/sha256"
	"slices"

	"homeserver/internal/event"
)

// relationRow is a row of the table of relations: how an event is related to another.
type relationRow struct {
	event.Relation
	e *Event
	// editedAt is the time of an event that can replace the content of the other; nil: it
	// cannot.
	editedAt *int64
	// annotation stands for what nobody annotates an event with twice; nil: this is no
	// annotation.
	annotation []byte
}

// relationOf returns the row of an event, and false for an event that has none.
func relationOf(e *Event) (relationRow, bool) {
	row := relationRow{Relation: event.RelationOf(e.Event.Content), e: e}
	switch row.Type {
	case "":
		return row, false
	case event.RelReplace:
		if e.ReplacesContent() {
			row.editedAt = &e.OriginServerTS
		}
	case event.RelAnnotation:
		if a, ok := AnnotationOf(e.Event.Content, e.Sender, e.Type); ok && e.StateKey == nil {
			row.annotation = a.hash()
		}
	}
	return row, true
}

// Annotation is what nobody annotates an event with twice: client-server API, "Avoiding
// duplicate annotations".
type Annotation struct{ Target, Sender, Type, Key string }

// AnnotationOf returns the annotation that an event is by its content, a JSON object in
// canonical form, and whether it is one.
func AnnotationOf(content []byte, sender, evType string) (Annotation, bool) {
	relation := event.RelationOf(content)
	key, ok := event.AnnotationKey(content)
	return Annotation{relation.EventID, sender, evType, key}, ok && relation.Type == event.RelAnnotation
}

// annotationBytes is how much of a hash stands for an annotation.
const annotationBytes = 16

// hash returns what stands for an annotation of an event in the table, where it takes the same
// space whatever the length of its key. The migration that made the table does the same.
func (a Annotation) hash() []byte {
	var all []byte
	for _, part := range []string{a.Sender, a.Type, a.Key} {
		hash := sha256.Sum256([]byte(part))
		all = append(all, hash[:]...)
	}
	hash := sha256.Sum256(all)
	return slices.Clone(hash[:annotationBytes])
}
