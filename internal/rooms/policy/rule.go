package policy

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"maps"
	"slices"
	"strings"

	"homeserver/internal/event"
	"homeserver/internal/rooms/timeline"
)

// kind is what a rule is about.
type kind string

// The kinds of rules.
const (
	ofUsers   kind = "user"
	ofRooms   kind = "room"
	ofServers kind = "server"
)

// types are the types of the events of rules; beside those of the specification the ones
// that lists had before (MSC2313, and its drafts).
var types = map[string]kind{
	"m.policy.rule.user": ofUsers, "m.policy.rule.room": ofRooms, "m.policy.rule.server": ofServers,
	"m.room.rule.user": ofUsers, "m.room.rule.room": ofRooms, "m.room.rule.server": ofServers,
	"org.matrix.mjolnir.rule.user": ofUsers, "org.matrix.mjolnir.rule.room": ofRooms, "org.matrix.mjolnir.rule.server": ofServers,
}

// typeNames lists the types of rules.
func typeNames() []string { return slices.Collect(maps.Keys(types)) }

// isBan reports whether a recommendation is m.ban, or what it was called before.
func isBan(recommendation string) bool {
	return recommendation == "m.ban" || recommendation == "org.matrix.mjolnir.ban"
}

// place is where a rule stands.
type place struct {
	room string
	event.StateKey
}

// Rule is a rule of a list.
type Rule struct {
	// List is the ID of the room, and EventID that of the rule's event.
	List, EventID string
	// Kind is user, room or server.
	Kind string
	// Entity is the pattern of what the rule is about, or the hash of it.
	Entity string
	// Hashed: Entity is the hash of one identifier.
	Hashed bool
	// NotApplied says why the rule is not applied; empty: it is.
	NotApplied string

	at   place
	from timeline.Place
}

// newRule reads the rule of a state event; nil for content that is none. Invalid rules count
// as if they were not there: so lists delete them.
func newRule(at place, from timeline.Place, eventID string, content []byte) *Rule {
	var c struct {
		Entity         string `json:"entity"`
		Recommendation string `json:"recommendation"`
		Hashes         struct {
			SHA256 string `json:"sha256"`
		} `json:"hashes"`
	}
	if json.Unmarshal(content, &c) != nil || !isBan(c.Recommendation) {
		return nil
	}
	r := &Rule{List: at.room, EventID: eventID, Kind: string(types[at.Type]), Entity: c.Entity, at: at, from: from}
	if r.Entity == "" {
		sum, ok := decodeHash(c.Hashes.SHA256)
		if !ok {
			return nil
		}
		r.Entity, r.Hashed = base64.StdEncoding.EncodeToString(sum[:]), true
	}
	return r
}

// hash is the SHA-256 of an identifier.
type hash = [sha256.Size]byte

// decodeHash reads a hash in either alphabet of base64: MSC4205.
func decodeHash(text string) (sum hash, ok bool) {
	text = strings.NewReplacer("-", "+", "_", "/").Replace(strings.TrimRight(text, "="))
	raw, err := base64.RawStdEncoding.DecodeString(text)
	return sum, err == nil && len(raw) == len(sum) && copy(sum[:], raw) == len(sum)
}

// hash returns the hash that the rule is about, if it is about one.
func (r *Rule) hash() (sum hash, ok bool) {
	if !r.Hashed {
		return sum, false
	}
	return decodeHash(r.Entity)
}

// isAboutAlias reports whether the rule may be about an alias of a room.
func (r *Rule) isAboutAlias() bool {
	return kind(r.Kind) == ofRooms && (r.Hashed || !strings.HasPrefix(r.Entity, "!"))
}
