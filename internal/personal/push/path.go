package push

import (
	"bytes"
	"strings"

	"homeserver/internal/event"
	"homeserver/internal/rooms/timeline"
)

// path is the path of a property of an event: appendices, "Dot-separated property
// paths".
type path struct {
	// top is the name of the property of the event itself.
	top string
	// inside are the names within it, escaped as in JSON.
	inside []string
	// slot is the index in a look of the member of the content that the path begins
	// with.
	slot int
	// body reports that this is content.body, which is matched by words.
	body bool
}

// isInContent reports whether the path leads to something within the content.
func (p *path) isInContent() bool { return p.top == "content" && len(p.inside) > 0 }

func newPath(key string) path {
	names := splitPath(key)
	p := path{top: names[0], body: key == "content.body"}
	for _, name := range names[1:] {
		quoted := event.AppendString(nil, name)
		p.inside = append(p.inside, string(quoted[1:len(quoted)-1]))
	}
	return p
}

// splitPath splits a path. A backslash before anything but a dot or a backslash stands
// for itself.
func splitPath(key string) []string {
	var names []string
	var name strings.Builder
	for i := 0; i < len(key); i++ {
		switch c := key[i]; {
		case c == '.':
			names = append(names, name.String())
			name.Reset()
		case c == '\\' && i+1 < len(key) && (key[i+1] == '.' || key[i+1] == '\\'):
			i++
			name.WriteByte(key[i])
		default:
			name.WriteByte(c)
		}
	}
	return append(names, name.String())
}

// text returns a property outside of the content if it is a string.
func (p *path) text(e *timeline.Event) (string, bool) {
	if len(p.inside) > 0 {
		return "", false
	}
	switch p.top {
	case "type":
		return e.Type, true
	case "sender":
		return e.Sender, true
	case "room_id":
		return e.RoomID, true
	case "event_id":
		return e.ID, true
	case "state_key":
		if e.StateKey != nil {
			return *e.StateKey, true
		}
	case "redacts":
		return e.Redacts, e.Redacts != ""
	}
	return "", false
}

// isScalar reports whether a JSON value is a string, an integer, a boolean or null.
func isScalar(value []byte) bool {
	if len(value) == 0 || value[0] == '{' || value[0] == '[' {
		return false
	}
	isNumber := value[0] == '-' || value[0] >= '0' && value[0] <= '9'
	return !isNumber || !bytes.ContainsAny(value, ".eE")
}
