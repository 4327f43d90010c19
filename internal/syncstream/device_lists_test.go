package syncstream_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"homeserver/internal/journal"
	"homeserver/internal/matrix"
	"homeserver/internal/matrixtest"
	"homeserver/internal/rooms/timeline"
	"homeserver/internal/syncstream"
)

// wantLists checks whose device lists the next answer names.
func (c *client) wantLists(what string, changed, left []string) {
	c.h.T.Helper()
	c.h.wantLists(what, c.sync().DeviceLists, changed, left)
}

func (h *env) wantLists(what string, got *deviceLists, changed, left []string) {
	h.T.Helper()
	if got == nil {
		h.T.Fatalf("%s: there is no device_lists", what)
	}
	if !slices.Equal(got.Changed, changed) || !slices.Equal(got.Left, left) {
		h.T.Errorf("%s: changed %q and left %q, want %q and %q", what, got.Changed, got.Left, changed, left)
	}
}

func (h *env) encrypt(room string) {
	h.T.Helper()
	h.SetState(alice, room, "m.room.encryption", "", `{"algorithm":"m.megolm.v1.aes-sha2"}`)
}

func TestDeviceListsOfAnInitialSyncAreLeftOut(t *testing.T) {
	h := newEnv(t)
	h.Public(bob)
	h.changeKeys(alice)
	c := h.client(bob, "")
	if a := c.sync(); a.DeviceLists != nil {
		t.Errorf("there are some: %s", a.raw)
	}
	a := c.sync()
	if !strings.Contains(string(a.raw), `"device_lists":{"changed":[],"left":[]}`) {
		t.Errorf("the empty lists are missing: %s", a.raw)
	}
}

func TestDeviceListsFollowComingAndGoing(t *testing.T) {
	h := newEnv(t)
	c := h.synced(bob, "")
	step := func(what string, do func(), changed, left []string) {
		t.Helper()
		do()
		c.wantLists(what, changed, left)
	}
	var plain, secret string
	step("a first room with alice", func() { plain = h.Public(bob) }, []string{alice}, nil)
	step("nothing", func() {}, nil, nil)
	step("a message", func() { h.say(alice, plain, "hello") }, nil, nil)
	step("another name", func() { h.rename(alice, plain, "A.") }, nil, nil)
	step("alice's keys", func() { h.changeKeys(alice) }, []string{alice}, nil)
	step("one's own keys", func() { h.changeKeys(bob) }, []string{bob}, nil)
	step("keys of a stranger", func() { h.changeKeys(carol) }, nil, nil)
	step("the stranger comes", func() { h.Join(carol, plain) }, []string{carol}, nil)
	step("an invitation", func() { h.invite(dave, plain) }, nil, nil)
	step("an encrypted room with both", func() { secret = h.Public(bob, carol); h.encrypt(secret) }, nil, nil)
	step("carol leaves the plain room", func() { h.Leave(carol, plain) }, nil, nil)
	step("and the encrypted one", func() { h.Leave(carol, secret) }, nil, []string{carol})
	step("she comes to the plain room alone", func() { h.Join(carol, plain) }, []string{carol}, nil)
	step("and goes and comes", func() { h.Leave(carol, plain); h.Join(carol, plain) }, []string{carol}, nil)
	step("to the encrypted one, too", func() { h.Join(carol, secret) }, nil, nil)
	step("is banned there", func() { h.ban(carol, secret) }, nil, []string{carol})
	step("one leaves oneself", func() { h.Leave(bob, plain) }, nil, []string{carol})
	step("kicked from the last", func() { h.kick(bob, secret) }, nil, []string{alice})
	step("keys of who is no company any longer", func() { h.changeKeys(alice) }, nil, nil)
	step("one comes back", func() { h.Join(bob, plain) }, []string{alice, carol}, nil)
	step("one goes and comes", func() { h.Leave(bob, plain); h.Join(bob, plain) }, []string{alice, carol}, nil)
	step("one leaves and forgets", func() { h.Leave(bob, plain); h.OK(h.Rooms.Forget(t.Context(), bob, plain)) }, nil, []string{alice, carol})
	step("is invited there", func() { h.invite(bob, plain) }, nil, nil)
}

func TestALeftAndForgottenRoomThatInvitesAgain(t *testing.T) {
	h := newEnv(t)
	room := h.Public(bob)
	c := h.synced(bob, "")
	h.Leave(bob, room)
	h.OK(h.Rooms.Forget(t.Context(), bob, room))
	h.invite(bob, room)
	c.wantLists("afterwards", nil, []string{alice})
}

// No filter concerns device lists.
func TestDeviceListsAreNotFiltered(t *testing.T) {
	h := newEnv(t)
	room := h.Public(bob)
	for _, filter := range []string{
		`{"room":{"rooms":[]}}`, fmt.Sprintf(`{"room":{"not_rooms":[%q]}}`, room), `{"room":{"state":{"lazy_load_members":true}}}`,
		`{"room":{"timeline":{"types":[]},"state":{"types":[]}}}`, `{"event_fields":["type"]}`,
	} {
		c := h.synced(bob, filter)
		h.changeKeys(alice)
		h.Join(carol, room)
		c.wantLists(filter, []string{alice, carol}, nil)
		w := h.await(c.Query)
		h.Leave(carol, room)
		h.wantLists(filter, w.get().DeviceLists, nil, []string{carol})
	}
}

func TestAPollWakesForDeviceLists(t *testing.T) {
	h := newEnv(t)
	h.Public(bob)
	c := h.synced(bob, "")
	for _, user := range []string{alice, bob} {
		w := h.await(c.Query)
		h.changeKeys(carol) // is no reason
		h.changeKeys(user)
		a := w.get()
		h.wantLists(user, a.DeviceLists, []string{user}, nil)
		if len(a.Rooms.Join) > 0 {
			t.Errorf("there is something of rooms: %s", a.raw)
		}
		c.Since = a.NextBatch
	}
}

// After a restore the keys that a client knows may be keys that the database never had.
func TestAllDeviceListsAreFetchedAnewAfterARestore(t *testing.T) {
	h := newEnv(t)
	h.Public(bob, carol)
	h.Public(dave)
	lost := syncstream.FormatToken(h.newest() + 1)
	h.OK(pgx.BeginFunc(t.Context(), h.Pool, func(tx pgx.Tx) error { return journal.Skip(t.Context(), tx, h.newest()+1000) }))
	restored := envOn(t, h.Pool, journal.Options{})
	a := restored.sync(syncstream.Query{UserID: bob, Since: lost})
	h.wantLists("/sync", a.DeviceLists, []string{alice, bob, carol}, nil)
	h.wantLists("keys/changes", restored.keyChanges(bob, lost, a.NextBatch), []string{alice, bob, carol}, nil)
}

func TestTokensOfKeyChanges(t *testing.T) {
	h := newEnv(t)
	room := h.Public(bob)
	before := syncstream.FormatToken(h.newest())
	h.changeKeys(alice)
	between := syncstream.FormatToken(h.newest())
	h.Leave(alice, room)
	after := h.synced(bob, "").Since // with ticks
	h.wantLists("all", h.keyChanges(bob, before, after), nil, []string{alice})
	h.wantLists("up to the change", h.keyChanges(bob, before, between), []string{alice}, nil)
	h.wantLists("after it", h.keyChanges(bob, between, after), nil, []string{alice})
	h.wantLists("nothing", h.keyChanges(bob, after, after), nil, nil)
	h.wantLists("from the beginning", h.keyChanges(bob, "s0", between), []string{alice}, nil)
	for _, c := range []struct {
		from, to string
		code     matrix.Code
	}{
		{"", after, matrix.MissingParam}, {before, "", matrix.MissingParam},
		{"x", after, matrix.InvalidParam}, {before, "s-1", matrix.InvalidParam}, {before, "s1~2", matrix.InvalidParam},
		{before, "s1000000", matrix.InvalidParam}, {"s1000000", "s1000001", matrix.InvalidParam}, {after, before, matrix.InvalidParam},
	} {
		_, err := h.KeyChanges(t.Context(), bob, c.from, c.to)
		matrixtest.WantCode(t, err, c.code)
	}
}

// counting starts a process on the database, and counts its statements.
func (h *env) counting(o journal.Options) (*env, *counter) {
	h.T.Helper()
	config := h.Pool.Config().Copy()
	count := &counter{}
	config.ConnConfig.Tracer = count
	pool, err := pgxpool.NewWithConfig(h.T.Context(), config)
	h.OK(err)
	h.T.Cleanup(pool.Close)
	return envOn(h.T, pool, o), count
}

func TestDeviceListsCostAStatementWhereSomebodyComesOrGoes(t *testing.T) {
	first := newEnv(t)
	h, count := first.counting(journal.Options{Watch: time.Hour})
	room := h.Public(bob)
	c := h.synced(bob, `{"room":{"rooms":[]}}`) // so that nothing else is read
	c.sync()
	for _, step := range []struct {
		what string
		do   func()
		want int64
	}{
		{"nothing", func() {}, 0},
		{"a message", func() { h.say(alice, room, "hello") }, 0},
		{"keys of others", func() { h.changeKeys(alice); h.changeKeys(carol) }, 0},
		{"own keys, of which the one-time keys are counted anew", func() { h.changeKeys(bob) }, 1},
		{"another name", func() { h.rename(alice, room, "A.") }, 0},
		{"an invitation", func() { h.invite(carol, room) }, 0},
		{"its rejection", func() { h.Leave(carol, room) }, 0},
		{"two come", func() { h.Join(carol, room); h.Join(dave, room) }, 1},
		{"one goes, and another's keys", func() { h.Leave(carol, room); h.changeKeys(alice) }, 1},
	} {
		step.do()
		before := count.statements.Load()
		c.sync()
		if n := count.statements.Load() - before; n != step.want {
			t.Errorf("%s: %d statements instead of %d", step.what, n, step.want)
		}
	}
}

// settle makes so many users members of rooms since a position, without events of their joins.
func (h *env) settle(users int, at journal.Position, rooms ...string) {
	h.T.Helper()
	nids := make([]journal.RoomNID, len(rooms))
	for i, room := range rooms {
		nids[i] = h.NID(room)
	}
	h.mustExec(`
		INSERT INTO room_state (room_nid, type, state_key, event_nid, place, value)
		SELECT r, 'm.room.member', '@user' || n || ':localhost', NULL, $2::bigint, 'join'
		FROM unnest($1::bigint[]) r, generate_series(1, $3) n`, nids, timeline.PlaceOf(at), users)
}

func TestManyDeviceListsAreWrittenInParts(t *testing.T) {
	h := envOn(t, nil, journal.Options{WindowBytes: 1})
	large, shared := h.Public(), h.Public(bob)
	const members, known = 3000, 1000
	h.settle(members, 1, large)
	h.settle(known, 1, shared)
	c := h.synced(bob, "")
	h.Join(bob, large)
	var all []string
	for n := known + 1; n <= members; n++ {
		all = append(all, fmt.Sprintf("@user%d:localhost", n))
	}
	slices.Sort(all)
	for name, total := range map[string]int64{"much memory": 1 << 30, "little memory": 1 << 20} {
		ctx := withMemory(t.Context(), total)
		for what, left := range map[string]bool{"after joining": false, "after leaving": true} {
			q := c.Query
			if left {
				q.Since = syncstream.FormatToken(h.newest())
				h.Leave(bob, large)
			}
			a, err := h.Sync(ctx, q)
			h.OK(err)
			var got struct {
				Lists deviceLists `json:"device_lists"`
			}
			h.OK(json.Unmarshal(writtenIn(ctx, t, a), &got))
			want := deviceLists{Changed: all, Left: nil}
			if left {
				want = deviceLists{Left: all}
				h.Join(bob, large)
			}
			if !slices.Equal(got.Lists.Changed, want.Changed) || !slices.Equal(got.Lists.Left, want.Left) {
				t.Errorf("%s, %s: %d changed and %d left", name, what, len(got.Lists.Changed), len(got.Lists.Left))
			}
		}
	}
}
