package syncstream

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"maps"
	"strconv"
	"strings"
	"sync"
	"time"

	"homeserver/internal/cache"
	"homeserver/internal/journal"
	"homeserver/internal/matrix"
	"homeserver/internal/rooms/timeline"
)

// connectionKey names a connection of a device.
type connectionKey struct{ user, device, conn string }

// knownRooms is what a client knows: one version of a connection. It does not change. Its rooms
// are known up to the token of the answer that has the version in its pos, but for those that are
// behind.
type knownRooms struct {
	version    int64 // at random, so that none of another connection or device is accepted
	rooms      map[journal.RoomNID]knownRoom
	required   []*requiredState // of the rooms
	extensions extensions       // that were enabled
	touched    time.Time        // when the database was last told that it is in use
}

// knownRoom is what a client knows of a room.
type knownRoom struct {
	// behind is the position up to which it is known; 0: that of the answer.
	behind journal.Position
	// limit is how many of the newest events it has, at least, if the room has as many.
	limit uint16
	// required is the state that it has, as an index.
	required uint16
}

// maxKnown bounds the rooms and the required states that are remembered of a connection: others
// are sent anew.
const (
	maxKnownRooms    = 50_000
	maxKnownRequired = 64
	maxKnownBytes    = 64 << 10 // of the required states
)

var nothingKnown = &knownRooms{}

// state returns the required state that a client has of a room.
func (k *knownRooms) state(r knownRoom) *requiredState {
	if int(r.required) < len(k.required) {
		return k.required[r.required]
	}
	return noState
}

var noState = newRequiredState(nil)

// connection is the last versions of one connection.
type connection struct {
	key connectionKey

	mu       sync.Mutex
	versions []*knownRooms // two at most, the newest last
	asked    uint64        // a hash of the lists and subscriptions of the last request; 0: unknown
}

// weigh estimates the bytes in memory.
func (c *connection) weigh() int {
	const structs, perRoom, perEntry = 500, 40, 150
	bytes := structs + cache.Text(c.key.user, c.key.device, c.key.conn)
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, k := range c.versions {
		bytes += structs + perRoom*len(k.rooms)
		for _, r := range k.required {
			bytes += structs + 3*len(r.text) + perEntry*len(r.pairs)
		}
	}
	return bytes
}

func (c *connection) find(version int64) *knownRooms {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, k := range c.versions {
		if k.version == version {
			return k
		}
	}
	return nil
}

// add adds a version that was made from another, and drops all but these two.
func (c *connection) add(base, next *knownRooms) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if base == nothingKnown {
		c.versions = []*knownRooms{next}
		return
	}
	c.versions = []*knownRooms{base, next}
}

// askedBefore notes what a request asks for, and reports whether the last one did so, too, as far
// as that is known.
func (c *connection) askedBefore(hash uint64) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	before := c.asked
	c.asked = hash
	return before == 0 || before == hash
}

// connections has the connections of devices. What is in memory never differs from the database,
// as a version does not change.
type connections struct {
	store *connectionStore
	known *cache.LRU[connectionKey, *connection]
	now   func() time.Time
}

func newConnections(store *connectionStore, share int, now func() time.Time) *connections {
	return &connections{store: store, now: now, known: cache.NewLRU(cache.Options[connectionKey, *connection]{
		Share: share, Weigh: func(_ connectionKey, c *connection) int { return c.weigh() },
	})}
}

// find returns a connection with a version of it. M_UNKNOWN_POS where that is gone, or was none of
// it.
func (cs *connections) find(ctx context.Context, key connectionKey, version int64) (*connection, *knownRooms, error) {
	c, ok := cs.known.Get(key)
	if !ok {
		c, _ = cs.known.PutNew(key, &connection{key: key})
	}
	if version == 0 {
		return c, nothingKnown, nil
	}
	if k := c.find(version); k != nil {
		return c, k, cs.touch(ctx, c, k)
	}
	k, err := cs.store.load(ctx, key, version)
	if err != nil {
		return nil, nil, err
	}
	if k == nil {
		return nil, nil, errUnknownPos()
	}
	c.add(nothingKnown, k)
	cs.known.Reweigh(key)
	return c, k, cs.touch(ctx, c, k)
}

// touchedEach is how often the database is told that a connection is in use.
const touchedEach = 24 * time.Hour

func (cs *connections) touch(ctx context.Context, c *connection, k *knownRooms) error {
	c.mu.Lock()
	due := cs.now().Sub(k.touched) > touchedEach
	if due {
		k.touched = cs.now()
	}
	c.mu.Unlock()
	if !due {
		return nil
	}
	return cs.store.touch(ctx, c.key, k.version)
}

// advance returns the pos of an answer, after storing what the client knows by it, if that differs
// from what it has known.
func (cs *connections) advance(ctx context.Context, p *plan) (string, error) {
	sr := p.sliding.request
	next := p.sliding.next
	if next != sr.known {
		next.version, next.touched = newVersion(), cs.now()
		if err := cs.store.save(ctx, sr.connection.key, sr.known.version, next); err != nil {
			return "", err
		}
		sr.connection.add(sr.known, next)
		cs.known.Put(sr.connection.key, sr.connection)
	}
	return formatPos(next.version, p.sliding.token), nil
}

func newVersion() int64 {
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails
	return int64(binary.BigEndian.Uint64(b[:])>>2) + 1
}

// formatPos writes a pos: the version of what is known, 0 where that is nothing of any room, and the
// token up to where.
func formatPos(version int64, token string) string {
	return "c" + strconv.FormatInt(version, 36) + "_" + token
}

// parsePos reads a pos. M_UNKNOWN_POS for a text that is none.
func parsePos(pos string) (version int64, token string, err error) {
	if pos == "" {
		return 0, "", nil
	}
	first, token, _ := strings.Cut(pos, "_")
	digits, ok := strings.CutPrefix(first, "c")
	version, err = strconv.ParseInt(digits, 36, 64)
	if _, bad := ParseToken(token); bad != nil || !ok || err != nil || version < 0 {
		return 0, "", errUnknownPos()
	}
	return version, token, nil
}

// TokenOf returns the token in a pos, with which other endpoints go on from there, and any other text
// as it is.
func TokenOf(text string) string {
	if _, token, err := parsePos(text); err == nil && token != "" {
		return token
	}
	return text
}

func errUnknownPos() error {
	return matrix.Errorf(matrix.UnknownPos, "this pos is not known, or not any more: begin without one")
}

// knowledge is what a client will know, while it is worked out: a copy of what it knows is made
// once that changes.
type knowledge struct {
	*knownRooms
	base *knownRooms
}

func newKnowledge(base *knownRooms) *knowledge { return &knowledge{base, base} }

// change makes a copy to be changed, unless there is one.
func (k *knowledge) change() {
	if k.knownRooms != k.base {
		return
	}
	next := *k.base
	if next.rooms = maps.Clone(next.rooms); next.rooms == nil {
		next.rooms = map[journal.RoomNID]knownRoom{}
	}
	next.required = next.required[:len(next.required):len(next.required)]
	k.knownRooms = &next
}

// set sets what is known of a room.
func (k *knowledge) set(nid journal.RoomNID, r knownRoom) {
	was, ok := k.rooms[nid]
	if ok && was == r {
		return
	}
	if k.change(); ok || len(k.rooms) < maxKnownRooms {
		k.rooms[nid] = r
	}
}

// setExtensions sets which extensions are enabled.
func (k *knowledge) setExtensions(on extensions) {
	if k.extensions != on {
		k.change()
		k.extensions = on
	}
}

// fallBehind notes that a room is no longer followed.
func (k *knowledge) fallBehind(nid journal.RoomNID, at journal.Position) {
	r := k.rooms[nid]
	r.behind = at
	k.set(nid, r)
}

// index returns the index of a required state, which it adds. Where there are too many, all begin
// anew: their rooms are taken to have none.
func (k *knowledge) index(of *requiredState) uint16 {
	bytes := len(of.text)
	for i, r := range k.required {
		if r.text == of.text {
			return uint16(i)
		}
		bytes += len(r.text)
	}
	k.change()
	if len(k.required) >= maxKnownRequired || bytes > maxKnownBytes && len(k.required) > 0 {
		const none = 1<<16 - 1
		for nid, r := range k.rooms {
			r.required = none
			k.rooms[nid] = r
		}
		k.required = nil
	}
	k.required = append(k.required, of)
	return uint16(len(k.required) - 1)
}

// limitOf is a limit of timelines as it is remembered.
func limitOf(n int) uint16 { return uint16(min(n, timeline.MaxLimit)) }
