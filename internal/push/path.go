package push

import (
	"bytes"
	"strings"

	"homeserver/internal/event"
	"homeserver/internal/rooms"
)

// path is where a property of an event stands: appendices, "Dot-separated
// property paths".
type path struct {
	// top is the name of the property of the event itself.
	top string
	// inside are the names within it, escaped as in JSON.
	inside []string
	// body tells that this is content.body, which is matched by words.
	body bool
}

func newPath(key string) path {
	names := splitPath(key)
	p := path{top: names[0], body: key == "content.body"}
	for _, name := range names[1:] {
		quoted := event.AppendString(nil, name)
		p.inside = append(p.inside, string(quoted[1:len(quoted)-1]))
	}
	return p
}

// splitPath takes a path apart. A backslash before anything but a dot or a
// backslash stands for itself.
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

// value gives the property as JSON; nil if it is not there, or is one of those
// that text gives.
func (p *path) value(e *rooms.Event) []byte {
	if p.top != "content" || len(p.inside) == 0 {
		return nil
	}
	value := e.Content()
	for _, name := range p.inside {
		value = event.Field(value, name)
	}
	return value
}

// text gives the property if it is a string.
func (p *path) text(e *rooms.Event) (string, bool) {
	if p.top == "content" && len(p.inside) > 0 {
		return unquote(p.value(e))
	}
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

// unquote gives the text of a JSON string, and false for any other value.
func unquote(value []byte) (string, bool) {
	if len(value) < 2 || value[0] != '"' {
		return "", false
	}
	if bytes.IndexByte(value, '\\') < 0 {
		return string(value[1 : len(value)-1]), true
	}
	wrapped := make([]byte, 0, len(value)+len(`{"t":}`))
	wrapped = append(append(append(wrapped, `{"t":`...), value...), '}')
	return event.StringField(wrapped, "t")
}

// isScalar reports whether a JSON value is a string, an integer, a boolean or null.
func isScalar(value []byte) bool {
	if len(value) == 0 || value[0] == '{' || value[0] == '[' {
		return false
	}
	isNumber := value[0] == '-' || value[0] >= '0' && value[0] <= '9'
	return !isNumber || !bytes.ContainsAny(value, ".eE")
}
