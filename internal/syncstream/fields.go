package syncstream

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"

	"homeserver/internal/cache"
	"homeserver/internal/event"
)

// fields is a tree of the properties that events are cut down to: client-server
// API, "Filtering", event_fields.
type fields struct {
	whole  bool // the property with all that is in it
	inside map[string]*fields
}

// newFields reads dot-separated paths; nil if there are none.
func newFields(paths []string) *fields {
	if len(paths) == 0 {
		return nil
	}
	root := &fields{}
	for _, path := range paths {
		at := root
		for _, name := range splitPath(path) {
			at = at.child(name)
		}
		at.whole = true
	}
	return root
}

func (f *fields) child(name string) *fields {
	c := f.inside[name]
	if c == nil {
		c = &fields{}
		if f.inside == nil {
			f.inside = map[string]*fields{}
		}
		f.inside[name] = c
	}
	return c
}

// weigh estimates the bytes of the tree in memory.
func (f *fields) weigh() int {
	const structs = 350 // with a map of its own
	if f == nil {
		return 0
	}
	bytes := structs
	for name, c := range f.inside {
		bytes += cache.Text(name) + c.weigh()
	}
	return bytes
}

// splitPath splits a path: appendices, "Dot-separated property paths". A backslash
// before anything but a dot or a backslash stands for itself.
func splitPath(path string) []string {
	var names []string
	var name strings.Builder
	for i := 0; i < len(path); i++ {
		switch c := path[i]; {
		case c == '.':
			names = append(names, name.String())
			name.Reset()
		case c == '\\' && i+1 < len(path) && (path[i+1] == '.' || path[i+1] == '\\'):
			i++
			name.WriteByte(path[i])
		default:
			name.WriteByte(c)
		}
	}
	return append(names, name.String())
}

// appendObject appends a JSON object cut down to the fields, and reports whether it has
// any of them. A value that is no object has none.
func (f *fields) appendObject(dst, object []byte) (_ []byte, hasAny bool) {
	var members map[string]json.RawMessage
	if json.Unmarshal(object, &members) != nil {
		return dst, false
	}
	dst = append(dst, '{')
	for _, name := range slices.Sorted(maps.Keys(members)) {
		inside := f.inside[name]
		if inside == nil {
			continue
		}
		start := len(dst)
		if hasAny {
			dst = append(dst, ',')
		}
		dst = append(event.AppendString(dst, name), ':')
		found := inside.whole
		if found {
			dst = append(dst, members[name]...)
		} else {
			dst, found = inside.appendObject(dst, members[name])
		}
		if !found {
			dst = dst[:start]
		}
		hasAny = hasAny || found
	}
	return append(dst, '}'), hasAny
}
