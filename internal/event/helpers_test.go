package event

import (
	"crypto/ed25519"
	"encoding/base64"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"homeserver/internal/matrix"
)

const (
	serverA = "a.example"
	serverB = "b.example"

	creator  = "@creator:a.example"
	admin    = "@admin:a.example" // 100, or 99 where creators have no level of their own
	mod      = "@mod:a.example"   // 50
	alice    = "@alice:a.example" // joined, 0
	bob      = "@bob:b.example"   // joined, 0, of another server
	stranger = "@stranger:a.example"
	invited  = "@invited:a.example"
	banned   = "@banned:a.example"
	left     = "@left:a.example"
	knocking = "@knocking:a.example"
)

// testSigner signs with the key of the specification's test vectors.
func testSigner(server string) *Signer {
	seed, err := base64.RawStdEncoding.DecodeString("YJDBA9Xnr2sVqXD9Vj7XVUnmFZcZrlw8Md7kMW+3XA1")
	if err != nil {
		panic(err)
	}
	return &Signer{ServerName: server, KeyID: "ed25519:1", Key: ed25519.NewKeyFromSeed(seed)}
}

func (s *Signer) public() ed25519.PublicKey { return s.Key.Public().(ed25519.PublicKey) }

func mustVersion(t testing.TB, id string) *Version {
	t.Helper()
	v, ok := LookupVersion(id)
	if !ok {
		t.Fatalf("room version %s is not known", id)
	}
	return v
}

// eachVersion runs a test for every room version from..to, such as "1-5" or "3".
func eachVersion(t *testing.T, span string, f func(t *testing.T, v *Version)) {
	t.Helper()
	for _, id := range versionSpan(t, span) {
		t.Run("v"+id, func(t *testing.T) {
			t.Parallel()
			f(t, mustVersion(t, id))
		})
	}
}

func versionSpan(t testing.TB, span string) []string {
	t.Helper()
	from, to, ok := strings.Cut(span, "-")
	if !ok {
		to = from
	}
	first, err1 := strconv.Atoi(from)
	last, err2 := strconv.Atoi(to)
	if err1 != nil || err2 != nil || first < 1 || last > 12 || first > last {
		t.Fatalf("%q is no span of room versions", span)
	}
	return Versions()[first-1 : last]
}

// text returns a pointer, for state keys.
func text(s string) *string { return &s }

// wantError checks an error's code and that its message contains a text; with code ""
// there must be no error.
func wantError(t testing.TB, err error, code matrix.Code, message string) {
	t.Helper()
	if code == "" {
		if err != nil {
			t.Fatalf("got error %v, want none", err)
		}
		return
	}
	if err == nil {
		t.Fatalf("got no error, want %s with %q", code, message)
	}
	if !matrix.IsCode(err, code) || !strings.Contains(err.Error(), message) {
		t.Fatalf("got error %v, want %s with %q", err, code, message)
	}
}

// testRoom is a room with the users of the tests.
type testRoom struct {
	t       testing.TB
	version *Version
	signers map[string]*Signer
	create  *Event
	state   authState
	last    *Event
	hashes  map[string]string
}

// newTestRoom returns a room with the users of the tests, which can be joined by
// invitation. Making one takes many signatures, so each version's is made once and copied.
func newTestRoom(t testing.TB, v *Version) *testRoom {
	t.Helper()
	made, ok := castRooms.Load(v.ID)
	if !ok {
		made, _ = castRooms.LoadOrStore(v.ID, makeTestRoom(t, v))
	}
	r := *made.(*testRoom)
	r.t, r.state, r.hashes = t, maps.Clone(r.state), maps.Clone(r.hashes)
	return &r
}

var castRooms sync.Map // of *testRoom by version

func makeTestRoom(t testing.TB, v *Version) *testRoom {
	t.Helper()
	r := newEmptyRoom(t, v, `{"creator":"`+creator+`"}`)
	r.put(creator, TypeMember, creator, `{"membership":"join"}`)
	r.put(creator, TypePowerLevels, "", r.levels(``))
	r.put(creator, TypeJoinRules, "", `{"join_rule":"invite"}`)
	for _, user := range []string{admin, mod, alice, bob} {
		r.put(user, TypeMember, user, `{"membership":"join"}`)
	}
	r.put(creator, TypeMember, invited, `{"membership":"invite"}`)
	r.put(creator, TypeMember, banned, `{"membership":"ban"}`)
	r.put(left, TypeMember, left, `{"membership":"leave"}`)
	if v.Knock {
		r.put(knocking, TypeMember, knocking, `{"membership":"knock"}`)
	}
	return r
}

// newEmptyRoom makes a room with nothing but m.room.create.
func newEmptyRoom(t testing.TB, v *Version, createContent string) *testRoom {
	t.Helper()
	r := &testRoom{t: t, version: v, state: authState{}, hashes: map[string]string{}, signers: map[string]*Signer{
		serverA: testSigner(serverA), serverB: testSigner(serverB),
	}}
	r.create = r.build(Proto{
		RoomID: "!room:" + serverA, Type: TypeCreate, Sender: creator, StateKey: text(""), Content: []byte(createContent),
	})
	r.keep(r.create)
	return r
}

// levels returns the content of m.room.power_levels with the levels of the tests' users,
// and with more of them as JSON members.
func (r *testRoom) levels(more string) string {
	users := fmt.Sprintf(`{"%s":100,"%s":100,"%s":50}`, creator, admin, mod)
	if r.version.PrivilegedCreators {
		users = fmt.Sprintf(`{"%s":100,"%s":50}`, admin, mod)
	}
	if more != "" {
		more = "," + more
	}
	return `{"users":` + users + more + `}`
}

func (r *testRoom) build(p Proto) *Event {
	r.t.Helper()
	if r.create != nil && p.RoomID == "" {
		p.RoomID = r.create.RoomID
	}
	p.ReferenceHashes = r.hashes
	e, err := Build(r.version, p, r.signers[domainOf(p.Sender)])
	if err != nil {
		r.t.Fatalf("build %s: %v", p.Type, err)
	}
	hash, err := e.ReferenceHash()
	if err != nil {
		r.t.Fatal(err)
	}
	r.hashes[e.ID] = hash
	return e
}

func (r *testRoom) keep(e *Event) {
	r.state[StateKey{e.Type, *e.StateKey}] = e
	r.last = e
}

// put sets a state event without authorising it.
func (r *testRoom) put(sender, evType, stateKey, content string) *Event {
	r.t.Helper()
	e := r.build(Proto{
		Type: evType, Sender: sender, StateKey: &stateKey, Content: []byte(content), PrevEvents: []string{r.last.ID},
	})
	r.keep(e)
	return e
}

// try builds an event after the last one, and returns the error of Authorize.
func (r *testRoom) try(p Proto) error {
	r.t.Helper()
	if p.PrevEvents == nil {
		p.PrevEvents = []string{r.last.ID}
	}
	return Authorize(r.version, r.build(p), r.state)
}

// authCase is one case for the authorisation rules.
type authCase struct {
	name     string
	versions string
	// state holds events that the room has before.
	state []stateEvent
	event Proto
	// want is a part of the error; "" where the event is allowed.
	want string
}

type stateEvent struct{ sender, evType, stateKey, content string }

func runAuthCases(t *testing.T, cases []authCase) {
	t.Helper()
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			for _, id := range versionSpan(t, c.versions) {
				r := newTestRoom(t, mustVersion(t, id))
				for _, s := range c.state {
					content := s.content
					if s.evType == TypePowerLevels && strings.HasPrefix(content, `"`) {
						content = r.levels(content)
					}
					r.put(s.sender, s.evType, s.stateKey, content)
				}
				err := r.try(c.event)
				switch {
				case c.want == "" && err != nil:
					t.Errorf("version %s: refused: %v", id, err)
				case c.want != "" && err == nil:
					t.Errorf("version %s: allowed, want %q", id, c.want)
				case c.want != "" && (!matrix.IsCode(err, matrix.Forbidden) || !strings.Contains(err.Error(), c.want)):
					t.Errorf("version %s: got %v, want M_FORBIDDEN with %q", id, err, c.want)
				}
			}
		})
	}
}

// Shorthands for the tables.

func message(sender string) Proto {
	return Proto{Type: "m.room.message", Sender: sender, Content: []byte(`{"body":"hello","msgtype":"m.text"}`)}
}

func stateProto(sender, evType, stateKey, content string) Proto {
	return Proto{Type: evType, Sender: sender, StateKey: &stateKey, Content: []byte(content)}
}

func memberProto(sender, target, membership string) Proto {
	return stateProto(sender, TypeMember, target, `{"membership":"`+membership+`"}`)
}

func levelsState(content string) stateEvent { return stateEvent{creator, TypePowerLevels, "", content} }

func joinRule(rule string) stateEvent {
	return stateEvent{creator, TypeJoinRules, "", `{"join_rule":"` + rule + `"}`}
}

func memberState(user, membership string) stateEvent {
	return stateEvent{user, TypeMember, user, `{"membership":"` + membership + `"}`}
}

func noState(evType string) stateEvent { return stateEvent{creator, evType, "", `{}`} }

// without removes entries from a room's state.
func (r *testRoom) without(keys ...StateKey) *testRoom {
	for _, key := range keys {
		delete(r.state, key)
	}
	return r
}

// sameStrings compares lists of IDs. An empty list and nil are the same.
func sameStrings(a, b []string) bool {
	return len(a) == 0 && len(b) == 0 || slices.Equal(a, b)
}
