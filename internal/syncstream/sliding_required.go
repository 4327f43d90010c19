package syncstream

import (
	"slices"
	"strings"

	"homeserver/internal/event"
	"homeserver/internal/rooms/timeline"
)

// The special words of required_state.
const (
	anything = "*"
	ownKey   = "$ME"
	lazyKey  = "$LAZY"
)

// requiredState is the state that a client asks for of a room. Its pairs of types and state keys
// are unique and sorted, and what stands for any type does not stand for members, which have
// pairs of their own.
type requiredState struct {
	pairs [][2]string
	text  string // of the pairs

	// others: all types but members.
	others     bool
	ofAnyType  map[string]bool
	wholeTypes map[string]bool
	entries    map[event.StateKey]bool
	// allMembers, some members, and lazy: those that the timeline needs.
	allMembers, lazy bool
	members          []string
}

// requiredPairs returns the pairs of one configuration: client requests may have $LAZY beside *
// for any type, which then does not stand for all members.
func requiredPairs(entries [][]string, userID string) [][2]string {
	pairs := make([][2]string, 0, len(entries)+1)
	lazy := slices.ContainsFunc(entries, func(e []string) bool { return e[0] == event.TypeMember && e[1] == lazyKey })
	for _, e := range entries {
		typ, key := e[0], e[1]
		if key == ownKey {
			key = userID
		}
		if key == lazyKey && typ != event.TypeMember {
			continue
		}
		pairs = append(pairs, [2]string{typ, key})
		if typ == anything && !(key == anything && lazy) {
			pairs = append(pairs, [2]string{event.TypeMember, key})
		}
	}
	return pairs
}

func newRequiredState(pairs [][2]string) *requiredState {
	slices.SortFunc(pairs, func(a, b [2]string) int {
		if c := strings.Compare(a[0], b[0]); c != 0 {
			return c
		}
		return strings.Compare(a[1], b[1])
	})
	pairs = slices.Compact(pairs)
	if slices.Contains(pairs, [2]string{event.TypeMember, anything}) {
		pairs = slices.DeleteFunc(pairs, func(p [2]string) bool { return p[0] == event.TypeMember && p[1] != anything })
	}
	r := &requiredState{pairs: pairs, ofAnyType: map[string]bool{}, wholeTypes: map[string]bool{}, entries: map[event.StateKey]bool{}}
	var text strings.Builder
	for _, p := range pairs {
		text.WriteString(p[0] + "\x00" + p[1] + "\x00")
		r.add(p[0], p[1])
	}
	r.text = text.String()
	return r
}

func (r *requiredState) add(typ, key string) {
	switch {
	case typ == event.TypeMember && key == anything:
		r.allMembers = true
	case typ == event.TypeMember && key == lazyKey:
		r.lazy = true
	case typ == event.TypeMember:
		r.members = append(r.members, key)
	case typ == anything && key == anything:
		r.others = true
	case typ == anything:
		r.ofAnyType[key] = true
	case key == anything:
		r.wholeTypes[typ] = true
	default:
		r.entries[event.StateKey{Type: typ, Key: key}] = true
	}
}

// wants reports whether an entry of the state is asked for, apart from members that the timeline
// needs.
func (r *requiredState) wants(typ, key string) bool {
	if typ == event.TypeMember {
		return r.allMembers || slices.Contains(r.members, key)
	}
	return r.others || r.ofAnyType[key] || r.wholeTypes[typ] || r.entries[event.StateKey{Type: typ, Key: key}]
}

// isWithin reports whether another asks for all that this one asks for.
func (r *requiredState) isWithin(other *requiredState) bool {
	return r.text == other.text || !slices.ContainsFunc(r.pairs, func(p [2]string) bool { return !other.covers(p[0], p[1]) })
}

func (r *requiredState) covers(typ, key string) bool {
	switch {
	case typ == event.TypeMember && key == anything:
		return r.allMembers
	case typ == event.TypeMember && key == lazyKey:
		return r.lazy || r.allMembers
	case typ == anything && key == anything:
		return r.others
	case typ == anything:
		return r.others || r.ofAnyType[key]
	case key == anything:
		return typ != event.TypeMember && r.others || r.wholeTypes[typ]
	}
	return r.wants(typ, key)
}

// readsAll reports whether all types have to be read to find what is asked for.
func (r *requiredState) readsAll() bool { return r.others || len(r.ofAnyType) > 0 }

// appendTypes appends the types that are asked for by name, but for members.
func (r *requiredState) appendTypes(types []string) []string {
	for typ := range r.wholeTypes {
		types = append(types, typ)
	}
	for key := range r.entries {
		types = append(types, key.Type)
	}
	return types
}

// ofTypes is a filter for some types of events, which are not patterns; it may let others pass
// where a type has an asterisk.
func ofTypes(types []string) *timeline.EventFilter {
	slices.Sort(types)
	types = slices.Compact(types)
	return &timeline.EventFilter{Types: &types}
}
