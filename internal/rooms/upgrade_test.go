package rooms_test

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"homeserver/internal/event"
	"homeserver/internal/httpapi/ratelimit"
	"homeserver/internal/matrix"
	"homeserver/internal/matrixtest"
	"homeserver/internal/rooms"
	"homeserver/internal/rooms/roomstest"
)

// upgrade upgrades a room, and returns the ID of the new one.
func (h *env) upgrade(user, room, version string, creators ...string) (roomID string) {
	h.T.Helper()
	done, err := h.Rooms.Upgrade(h.T.Context(), user, room, rooms.UpgradeRequest{NewVersion: version, AdditionalCreators: creators})
	if err != nil {
		h.T.Fatalf("%s upgrades %s to %s: %v", user, room, version, err)
	}
	return done.ReplacementRoom
}

// fields returns the content of a state entry as alice reads it.
func (h *env) fields(room, typ string) roomstest.Object {
	h.T.Helper()
	fields := roomstest.Object{}
	h.OK(json.Unmarshal([]byte(h.Content(alice, room, typ, "")), &fields))
	return fields
}

func TestUpgradeBetweenAllVersions(t *testing.T) {
	matrixtest.Long(t)
	h := newEnv(t)
	from := []string{"1", "3", "6", "9", "11", "12"}
	for _, old := range from {
		for version := 1; version <= 12; version++ {
			to := fmt.Sprint(version)
			room := h.Create(alice, rooms.CreateRequest{
				RoomVersion: old, Preset: "public_chat", Name: "The Pub", Topic: "Beer",
				CreationContent: roomstest.Object{"type": roomstest.Raw("org.example.pub"), "m.federate": roomstest.Raw(false), "org.example.own": roomstest.Raw(1)},
				InitialState: []rooms.InitialState{
					{Type: "m.room.server_acl", Content: json.RawMessage(`{"allow":["*"]}`)},
					{Type: "m.room.encryption", Content: json.RawMessage(`{"algorithm":"m.megolm.v1.aes-sha2"}`)},
					{Type: "m.room.avatar", Content: json.RawMessage(`{"url":"mxc://localhost/a"}`)},
					{Type: "m.room.pinned_events", Content: json.RawMessage(`{"pinned":["$a"]}`)},
					{Type: "org.example.own", Content: json.RawMessage(`{"a":1}`)},
				},
			})
			h.Join(bob, room)
			h.OK(h.Rooms.Ban(t.Context(), alice, room, dave, "spam"))
			next := h.upgrade(alice, room, to)

			label := old + " to " + to
			matrixtest.Equal(t, label, roomstest.Keys(h.History(alice, next)), []string{
				"m.room.create|", "m.room.member|" + alice, "m.room.join_rules|", "m.room.history_visibility|", "m.room.guest_access|",
				"m.room.encryption|", "m.room.server_acl|", "m.room.name|", "m.room.topic|", "m.room.avatar|", "m.room.member|" + dave, "m.room.power_levels|",
			})
			checkChain(t, h, next)
			checkChain(t, h, room)
			h.WantContent(alice, next, event.TypeMember, dave, `{"membership":"ban","reason":"spam"}`)
			h.WantContent(alice, next, event.TypeName, "", `{"name":"The Pub"}`)
			tombstone, _, err := h.Rooms.Timeline.For(alice).StateEvent(t.Context(), room, event.TypeTombstone, "")
			h.OK(err)
			h.WantContent(alice, room, event.TypeTombstone, "", `{"body":"This room has been replaced","replacement_room":"`+next+`"}`)
			predecessor := `{"room_id":"` + room + `","event_id":"` + tombstone.ID + `"}`
			if version == 12 {
				predecessor = `{"room_id":"` + room + `"}`
			}
			create := h.fields(next, event.TypeCreate)
			if !roomstest.SameJSON(string(create["predecessor"]), predecessor) || string(create["type"]) != `"org.example.pub"` ||
				string(create["m.federate"]) != "false" || create["org.example.own"] != nil || string(create["room_version"]) != `"`+to+`"` {
				t.Errorf("%s: m.room.create is %s", label, create)
			}
			if levels := h.levels(room); levels.EventsDefault != 50 || levels.Invite != 50 {
				t.Errorf("%s: the old room has the levels %v", label, levels)
			}
			if h.trySend(bob, room) == nil {
				t.Errorf("%s: bob still can speak in the old room", label)
			}
			h.Join(bob, next)
			h.Send(bob, next, "hello")
			h.Send(alice, next, "hello")
			h.SetState(alice, next, event.TypeTombstone, "", `{"body":"","replacement_room":"!x:localhost"}`) // still may
		}
	}
}

func TestUpgradeOfAnUpgradedRoom(t *testing.T) {
	h := newEnv(t)
	for _, version := range []string{"11", "12"} {
		room := h.Create(alice, rooms.CreateRequest{Preset: "public_chat"})
		h.Join(bob, room)
		var wg sync.WaitGroup
		made := make([]string, 10)
		for i := range made {
			wg.Go(func() {
				done, err := h.Rooms.Upgrade(t.Context(), alice, room, rooms.UpgradeRequest{NewVersion: version})
				if err != nil {
					t.Error(err)
					return
				}
				made[i] = done.ReplacementRoom
			})
		}
		wg.Wait()
		if len(slices.Compact(made)) != 1 {
			t.Fatalf("version %s: the same upgrade has made the rooms %q", version, made)
		}
		// A request for another version makes another room.
		if other := h.upgrade(alice, room, "10"); other == made[0] {
			t.Error("an upgrade to another version has made no room")
		}
		h.WantMembership(made[0], alice, "join")
	}
	room := h.Create(alice, rooms.CreateRequest{})
	if h.upgrade(alice, room, "12", bob) == h.upgrade(alice, room, "12", bob, carol) {
		t.Error("an upgrade with more creators has made no room")
	}
}

// meeting has so many statements with a text wait for each other.
type meeting struct {
	text    string
	missing atomic.Int32
	all     chan struct{}
}

func (m *meeting) TraceQueryStart(ctx context.Context, _ *pgx.Conn, q pgx.TraceQueryStartData) context.Context {
	if strings.Contains(q.SQL, m.text) {
		if m.missing.Add(-1) == 0 {
			close(m.all)
		}
		<-m.all
	}
	return ctx
}

func (*meeting) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData) {}

// upgradeTogether has alice and bob upgrade a room at the same moment, by whose power both may.
func upgradeTogether(t *testing.T, byAlice, byBob rooms.UpgradeRequest) (made []string, errs []error) {
	t.Helper()
	before := newEnv(t)
	room := before.Create(alice, rooms.CreateRequest{
		Preset: "public_chat", RoomVersion: "11", PowerLevels: map[string]json.RawMessage{"users": json.RawMessage(`{"` + alice + `":100,"` + bob + `":100}`)},
	})
	before.Join(bob, room)
	m := &meeting{text: "nextval('room_nids')", all: make(chan struct{})}
	m.missing.Store(2)
	config := before.Pool.Config().Copy()
	config.ConnConfig.Tracer = m
	pool, err := pgxpool.NewWithConfig(t.Context(), config)
	before.OK(err)
	t.Cleanup(pool.Close)
	h := envOn(t, pool)
	made, errs = make([]string, 2), make([]error, 2)
	var wg sync.WaitGroup
	for i, q := range []rooms.UpgradeRequest{byAlice, byBob} {
		wg.Go(func() {
			done, err := h.Rooms.Upgrade(t.Context(), []string{alice, bob}[i], room, q)
			if errs[i] = err; err == nil {
				made[i] = done.ReplacementRoom
			}
		})
	}
	wg.Wait()
	return made, errs
}

func TestUpgradesAtTheSameMomentMakeOneRoom(t *testing.T) {
	for _, version := range []string{"11", "12"} {
		t.Run("both to "+version, func(t *testing.T) {
			q := rooms.UpgradeRequest{NewVersion: version}
			made, errs := upgradeTogether(t, q, q)
			if errs[0] != nil || errs[1] != nil || made[0] != made[1] {
				t.Errorf("the rooms are %q, the errors %v", made, errs)
			}
		})
	}
	t.Run("to different versions", func(t *testing.T) {
		made, errs := upgradeTogether(t, rooms.UpgradeRequest{NewVersion: "10"}, rooms.UpgradeRequest{NewVersion: "12"})
		if (errs[0] == nil) == (errs[1] == nil) || !matrix.IsCode(cmp.Or(errs[0], errs[1]), matrix.Unknown) {
			t.Errorf("the rooms are %q, the errors %v", made, errs)
		}
	})
}

func TestUpgradeIsForThoseWithThePower(t *testing.T) {
	h := newEnv(t)
	room := h.Public(bob)
	try := func(user, room string, q rooms.UpgradeRequest, code matrix.Code) {
		t.Helper()
		_, err := h.Rooms.Upgrade(t.Context(), user, room, q)
		matrixtest.WantCode(t, err, code)
	}
	try(bob, room, rooms.UpgradeRequest{NewVersion: "11"}, matrix.Forbidden)
	try(bob, room, rooms.UpgradeRequest{NewVersion: "none"}, matrix.Forbidden) // what else is wrong is nobody else's business
	try(carol, room, rooms.UpgradeRequest{NewVersion: "11"}, matrix.Forbidden)
	try(alice, "!none:localhost", rooms.UpgradeRequest{NewVersion: "11"}, matrix.Forbidden)
	try(alice, room, rooms.UpgradeRequest{}, matrix.MissingParam)
	try(alice, room, rooms.UpgradeRequest{NewVersion: "13"}, matrix.UnsupportedRoomVersion)
	try(alice, room, rooms.UpgradeRequest{NewVersion: "12", AdditionalCreators: []string{bob, "bob"}}, matrix.InvalidParam)
	if h.Content(alice, room, event.TypeTombstone, "") != "" {
		t.Error("a refused upgrade has left a tombstone")
	}
	// Versions without additional creators ignore the field.
	next := h.upgrade(alice, room, "11", "bob")
	if create := h.fields(next, event.TypeCreate); create["additional_creators"] != nil {
		t.Errorf("m.room.create is %s", create)
	}
}

func TestUpgradeKeepsThePowerOfCreators(t *testing.T) {
	h := newEnv(t)
	room := h.Create(alice, rooms.CreateRequest{RoomVersion: "12", Preset: "public_chat", CreationContent: roomstest.Object{"additional_creators": roomstest.Raw([]string{bob})}})
	h.Join(bob, room)
	older := h.upgrade(bob, room, "11")
	h.Join(alice, older)
	matrixtest.Equal(t, "users", []string{fmt.Sprint(h.levels(older).Users)}, []string{fmt.Sprint(map[string]int{alice: 150, bob: 150})})

	// Additional creators are those of the request, and not those of the old room.
	next := h.upgrade(alice, room, "12", carol, carol, alice)
	if got := string(h.fields(next, event.TypeCreate)["additional_creators"]); got != `["`+carol+`"]` {
		t.Errorf("additional_creators is %s", got)
	}
	h.Join(bob, next)
	matrixtest.WantCode(t, h.TrySetState(bob, next, event.TypeName, "", `{"name":"bob's"}`), matrix.Forbidden)
}

func TestUpgradeByOneWhoMayDoNothingElse(t *testing.T) {
	h := newEnv(t)
	room := h.Create(alice, rooms.CreateRequest{
		RoomVersion: "10", Preset: "public_chat", AliasName: "pub",
		PowerLevels: roomstest.Object{"users": roomstest.Raw(map[string]int{alice: 100, bob: 10}), "events": roomstest.Raw(map[string]int{event.TypeTombstone: 10})},
	})
	h.Join(bob, room)
	next := h.upgrade(bob, room, "11")
	h.Join(alice, next)
	// The alias points to the new room; what the old room says of it bob may not change.
	h.WantContent(alice, next, event.TypeCanonicalAlias, "", `{"alias":"#pub:localhost"}`)
	h.WantContent(alice, room, event.TypeCanonicalAlias, "", `{"alias":"#pub:localhost"}`)
	if h.levels(room).EventsDefault != 0 {
		t.Error("bob has changed the power levels of the old room")
	}
	matrixtest.WantCode(t, h.TrySetState(bob, next, event.TypeName, "", `{"name":"bob's"}`), matrix.Forbidden)
	h.SetState(alice, next, event.TypeName, "", `{"name":"alice's"}`)
}

func TestUpgradeDividesAliases(t *testing.T) {
	h := newEnv(t)
	room := h.Public()
	for _, alias := range []string{"#a:localhost", "#b:localhost", "#c:localhost"} {
		h.OK(h.Rooms.CreateAlias(t.Context(), alice, alias, room))
	}
	h.SetState(alice, room, event.TypeCanonicalAlias, "", `{"alias":"#a:localhost","alt_aliases":["#b:localhost"],"org.example":1}`)
	// An alias of another server, as federation would bring it.
	_, err := h.Pool.Exec(t.Context(), `INSERT INTO room_aliases (alias, room_nid, creator) VALUES ('#a:elsewhere.example', $1, '')`, h.NID(room))
	h.OK(err)
	h.SetState(alice, room, event.TypeCanonicalAlias, "", `{"alias":"#a:localhost","alt_aliases":["#a:elsewhere.example","#b:localhost"],"org.example":1}`)
	_, err = h.Pool.Exec(t.Context(), `DELETE FROM room_aliases WHERE alias = '#a:elsewhere.example'`)
	h.OK(err)
	next := h.upgrade(alice, room, "12")
	h.WantContent(alice, next, event.TypeCanonicalAlias, "", `{"alias":"#a:localhost","alt_aliases":["#b:localhost"]}`)
	h.WantContent(alice, room, event.TypeCanonicalAlias, "", `{"alt_aliases":["#a:elsewhere.example"],"org.example":1}`)
	aliases, err := h.Rooms.Aliases(t.Context(), alice, next)
	h.OK(err)
	matrixtest.Equal(t, "aliases", aliases, []string{"#a:localhost", "#b:localhost", "#c:localhost"})
}

func TestUpgradeToAVersionWithoutTheJoinRule(t *testing.T) {
	h := newEnv(t)
	for _, test := range []struct{ from, to, rule, want string }{
		{"12", "10", "knock_restricted", "knock_restricted"},
		{"12", "9", "knock_restricted", "restricted"},
		{"12", "7", "knock_restricted", "invite"},
		{"12", "7", "restricted", "invite"},
		{"12", "7", "knock", "knock"},
		{"12", "6", "knock", "invite"},
		{"12", "1", "public", "public"},
		{"12", "1", "private", "private"},
	} {
		room := h.Create(alice, rooms.CreateRequest{RoomVersion: test.from, InitialState: []rooms.InitialState{
			{Type: event.TypeJoinRules, Content: roomstest.Raw(map[string]any{"join_rule": test.rule, "allow": []any{}})},
		}})
		h.WantContent(alice, h.upgrade(alice, room, test.to), event.TypeJoinRules, "", `{"allow":[],"join_rule":"`+test.want+`"}`)
	}
}

func TestUpgradeWithStateThatTheNewVersionCannotHave(t *testing.T) {
	h := newEnv(t)
	room := h.Create(alice, rooms.CreateRequest{RoomVersion: "5", InitialState: []rooms.InitialState{
		{Type: "m.room.avatar", Content: json.RawMessage(`{"info":{"w":1.5}}`)},
	}})
	_, err := h.Rooms.Upgrade(t.Context(), alice, room, rooms.UpgradeRequest{NewVersion: "12"})
	matrixtest.WantCode(t, err, matrix.InvalidRoomState)
	if h.Content(alice, room, event.TypeTombstone, "") != "" {
		t.Error("the room has a tombstone")
	}
	h.SetState(alice, room, "m.room.avatar", "", `{}`)
	h.upgrade(alice, room, "12")
}

// A room without power levels is one whose creator may do everything.
func TestUpgradeOfARoomWithoutPowerLevels(t *testing.T) {
	h := newEnv(t)
	room := h.Create(alice, rooms.CreateRequest{RoomVersion: "10"})
	_, err := h.Pool.Exec(t.Context(), `UPDATE room_state SET replaced_at = place + 1 WHERE type = 'm.room.power_levels'`)
	h.OK(err)
	other := envOn(t, h.Pool)
	levels := other.levels(other.upgrade(alice, room, "11"))
	if levels.Users[alice] != 100 || levels.StateDefault != 50 {
		t.Errorf("the power levels are %v", levels)
	}
}

func TestUpgradeThatTheDatabaseRefusesLeavesNothing(t *testing.T) {
	h := newEnv(t)
	room := h.Public(bob)
	h.OK(h.Rooms.CreateAlias(t.Context(), alice, "#a:localhost", room))
	h.OK(h.Rooms.SetListed(t.Context(), alice, room, false, true))
	_, err := h.Pool.Exec(t.Context(), `
		CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'no'; END $$;
		CREATE TRIGGER keep BEFORE UPDATE ON room_aliases FOR EACH ROW EXECUTE FUNCTION refuse()`)
	h.OK(err)
	before := len(h.History(alice, room))
	if _, err := h.Rooms.Upgrade(t.Context(), alice, room, rooms.UpgradeRequest{NewVersion: "12"}); err == nil {
		t.Fatal("the room was upgraded")
	}
	if after := len(h.History(alice, room)); after != before {
		t.Errorf("%d events are new", after-before)
	}
	listed, err := h.Rooms.Directory.Listed(t.Context(), room)
	h.OK(err)
	var number int
	h.OK(h.Pool.QueryRow(t.Context(), `SELECT count(*) FROM rooms`).Scan(&number))
	if !listed || number != 1 {
		t.Errorf("listed: %v; there are %d rooms", listed, number)
	}
	_, err = h.Pool.Exec(t.Context(), `DROP TRIGGER keep ON room_aliases`)
	h.OK(err)
	h.Send(bob, room, "still works")
	h.upgrade(alice, room, "12")
	checkChain(t, h, room)
}

func TestUpgradeWhileOtherProcessesWrite(t *testing.T) {
	h := newEnv(t)
	other := envOn(t, h.Pool)
	room := h.Public(bob)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for other.trySend(bob, room) == nil {
			}
		})
	}
	for range 20 {
		h.Send(alice, room, "busy")
	}
	next := h.upgrade(alice, room, "12")
	wg.Wait() // bob may not send any more
	checkChain(t, h, room)
	checkChain(t, h, next)
	other.Send(alice, next, "hello")
}

func TestUpgradeIsCounted(t *testing.T) {
	t.Parallel()
	limits := ratelimit.NewLimits(map[ratelimit.Kind]ratelimit.Limit{ratelimit.WrittenBytes: {PerSecond: 1, Burst: 20_000}}, time.Now, 0)
	h := envWith(t, roomstest.Options{Rooms: func(o *rooms.Options) { o.Limits = limits }})
	room := h.Create(alice, rooms.CreateRequest{})
	reason := strings.Repeat("x", 3000)
	for i := range 10 {
		h.OK(h.Rooms.Ban(t.Context(), alice, room, fmt.Sprintf("@spam%d:localhost", i), reason))
	}
	ctx := matrix.WithCaller(t.Context(), alice)
	if _, err := h.Rooms.Upgrade(ctx, alice, room, rooms.UpgradeRequest{NewVersion: "12"}); err != nil {
		t.Fatal(err)
	}
	_, err := h.Rooms.Upgrade(ctx, alice, room, rooms.UpgradeRequest{NewVersion: "11"})
	matrixtest.WantCode(t, err, matrix.LimitExceeded)
}
