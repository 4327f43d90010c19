package upgradedrooms_test

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"golang.org/x/sync/errgroup"

	"homeserver/internal/event"
	"homeserver/internal/journal"
	"homeserver/internal/matrix"
	"homeserver/internal/matrixtest"
	"homeserver/internal/personal/accountdata"
	"homeserver/internal/personal/push"
	"homeserver/internal/personal/upgradedrooms"
	"homeserver/internal/postgres/postgrestest"
	"homeserver/internal/rooms"
	"homeserver/internal/rooms/roomstest"
	"homeserver/migrations"
)

func TestMain(m *testing.M) { postgrestest.Main(m) }

const alice, bob = roomstest.Alice, roomstest.Bob

// env is the harness with settings of users.
type env struct {
	*roomstest.Env
	data     *accountdata.Service
	push     *push.Service
	upgraded *upgradedrooms.Service
}

func newEnv(t *testing.T) *env {
	t.Helper()
	t.Parallel()
	h := openEnv(t, nil)
	h.start(t)
	return h
}

func openEnv(t *testing.T, pool *pgxpool.Pool) *env {
	t.Helper()
	h := &env{Env: roomstest.Open(t, roomstest.Options{Pool: pool, Journal: journal.Options{}})}
	h.data = accountdata.New(h.Pool, h.Journal, h.Rooms.Timeline, 0)
	h.push = push.New(push.Options{Pool: h.Pool, Journal: h.Journal, Rooms: h.Rooms.Timeline, Ignored: h.data.Ignored})
	h.upgraded = upgradedrooms.New(upgradedrooms.Options{
		Journal: h.Journal, Rooms: h.Rooms.Timeline, Data: h.data, Push: h.push,
		CarryState: h.Rooms.CarryState, ServerName: "localhost", Log: slog.New(slog.DiscardHandler),
	})
	h.Run()
	return h
}

func (h *env) start(t *testing.T) {
	t.Helper()
	h.upgraded.Start(t.Context())
	t.Cleanup(h.upgraded.Stop)
}

func (h *env) upgrade(room, version string) (roomID string) {
	h.T.Helper()
	done, err := h.Rooms.Upgrade(h.T.Context(), alice, room, rooms.UpgradeRequest{NewVersion: version})
	h.OK(err)
	return done.ReplacementRoom
}

// set stores one setting of each kind for bob and a room.
func (h *env) set(room string) {
	h.T.Helper()
	ctx := h.T.Context()
	h.OK(h.data.SetTag(ctx, bob, room, "m.favourite", json.RawMessage(`{"order":0.5}`)))
	h.OK(h.data.Set(ctx, bob, "", accountdata.TypeDirect, json.RawMessage(`{"@alice:localhost":["!x:localhost","`+room+`"],"@carol:localhost":["!y:localhost"],"odd":1}`)))
	quiet := []json.RawMessage{json.RawMessage(`"notify"`), json.RawMessage(`{"set_tweak":"sound","value":"a"}`)}
	h.OK(h.push.PutRule(ctx, bob, push.Room, room, push.NewRule{Actions: quiet}, push.Place{}))
	mute := push.NewRule{Actions: []json.RawMessage{}, Conditions: []json.RawMessage{json.RawMessage(`{"kind":"event_match","key":"room_id","pattern":"` + room + `"}`)}}
	h.OK(h.push.PutRule(ctx, bob, push.Override, room, mute, push.Place{}))
	h.OK(h.push.SetEnabled(ctx, bob, push.Override, room, false))
	h.OK(h.push.PutRule(ctx, bob, push.Override, "other", mute, push.Place{}))
}

func (h *env) followed() {
	h.T.Helper()
	h.OK(h.upgraded.AwaitNewest(h.T.Context()))
}

func (h *env) tags(room string) string {
	h.T.Helper()
	tags, err := h.data.Tags(h.T.Context(), bob, room)
	h.OK(err)
	return string(roomstest.Raw(tags))
}

func (h *env) wantSettings(old, room string) {
	h.T.Helper()
	ctx := h.T.Context()
	if got := h.tags(room); got != `{"m.favourite":{"order":0.5}}` {
		h.T.Errorf("tags %s", got)
	}
	direct, err := h.data.Get(ctx, bob, "", accountdata.TypeDirect)
	h.OK(err)
	if want := `{"@alice:localhost":["!x:localhost","` + old + `","` + room + `"],"@carol:localhost":["!y:localhost"],"odd":1}`; !roomstest.SameJSON(string(direct), want) {
		h.T.Errorf("m.direct is %s, want %s", direct, want)
	}
	rules, err := h.push.Ruleset(ctx, bob)
	h.OK(err)
	if rule, ok := rules.Rule(push.Room, room); !ok || len(rule.Actions) != 2 {
		h.T.Errorf("the rule for the room is %v", rule)
	}
	rule, ok := rules.Rule(push.Override, room)
	if !ok || rule.Enabled || string(rule.Conditions[0]) != `{"key":"room_id","kind":"event_match","pattern":"`+room+`"}` {
		h.T.Errorf("the rule that mutes the room is %v", rule)
	}
}

func TestSettingsFollowWhenTheMemberJoins(t *testing.T) {
	h := newEnv(t)
	room := h.Public(bob)
	h.set(room)
	next := h.upgrade(room, "12")
	h.followed()
	if got := h.tags(next); got != `{}` {
		t.Errorf("before bob has joined the room has the tags %s", got)
	}
	h.Join(bob, next)
	h.followed()
	h.wantSettings(room, next)

	// What bob changes there stays as it is, also when bob comes back.
	h.OK(h.data.DeleteTag(t.Context(), bob, next, "m.favourite"))
	h.OK(h.push.SetActions(t.Context(), bob, push.Room, next, []json.RawMessage{}))
	h.Leave(bob, next)
	h.Join(bob, next)
	h.followed()
	if got := h.tags(next); got != `{}` {
		t.Errorf("after another join the room has the tags %s", got)
	}
	rules, err := h.push.Ruleset(t.Context(), bob)
	h.OK(err)
	if rule, _ := rules.Rule(push.Room, next); len(rule.Actions) != 0 {
		t.Errorf("after another join the rule for the room is %v", rule)
	}
	if n := len(rules.OfKind(push.Room)); n != 2 {
		t.Errorf("%d rules for rooms", n)
	}
}

func TestSettingsFollowThroughSeveralUpgrades(t *testing.T) {
	h := newEnv(t)
	room := h.Public(bob)
	h.set(room)
	next := h.upgrade(h.upgrade(room, "10"), "12")
	h.Join(bob, next)
	h.followed()
	h.wantSettings(room, next)
}

// The settings follow through a server that starts after the join.
func TestSettingsFollowAfterARestart(t *testing.T) {
	t.Parallel()
	h := openEnv(t, nil)
	room := h.Public(bob)
	h.set(room)
	next := h.upgrade(room, "12")
	h.Join(bob, next)
	other := openEnv(t, h.Pool)
	other.start(t)
	other.followed()
	other.wantSettings(room, next)
}

func TestRoomsThatDoNotNameEachOtherGetNothing(t *testing.T) {
	h := newEnv(t)
	room := h.Public(bob)
	h.set(room)
	claims := h.Create(alice, rooms.CreateRequest{
		Preset: "public_chat", CreationContent: roomstest.Object{"predecessor": json.RawMessage(`{"room_id":"` + room + `"}`)},
	})
	named := h.Public()
	h.SetState(alice, room, event.TypeTombstone, "", `{"body":"","replacement_room":"`+named+`"}`)
	for _, next := range []string{claims, named} {
		h.Join(bob, next)
	}
	h.followed()
	for _, next := range []string{claims, named} {
		if got := h.tags(next); got != `{}` {
			t.Errorf("the room has the tags %s", got)
		}
	}
	// A tombstone that is no more says nothing either.
	h.SetState(alice, room, event.TypeTombstone, "", `{"body":"","replacement_room":"`+claims+`"}`)
	if list, err := h.Rooms.Timeline.Replaced(t.Context(), []journal.RoomNID{h.NID(claims)}); err != nil || len(list) != 1 {
		t.Errorf("replaced: %v, %v", list, err)
	}
	h.SetState(alice, room, event.TypeTombstone, "", `{"body":"","replacement_room":7}`)
	if list, err := h.Rooms.Timeline.Replaced(t.Context(), []journal.RoomNID{h.NID(claims)}); err != nil || len(list) != 0 {
		t.Errorf("replaced: %v, %v", list, err)
	}
}

func TestPredecessorsEndWhereRoomsReplaceEachOther(t *testing.T) {
	h := newEnv(t)
	first := h.Public()
	second := h.upgrade(first, "10")
	third := h.upgrade(second, "10")
	all, err := h.Rooms.Timeline.Predecessors(t.Context(), []journal.RoomNID{h.NID(third), h.NID(second), h.NID(first)})
	h.OK(err)
	names := map[journal.RoomNID][]string{}
	for room, olds := range all {
		for _, r := range olds {
			names[room] = append(names[room], r.OldID)
		}
	}
	matrixtest.Equal(t, "third", names[h.NID(third)], []string{second, first})
	matrixtest.Equal(t, "second", names[h.NID(second)], []string{first})
	matrixtest.Equal(t, "first", names[h.NID(first)], nil)
}

// Bob has no space left for another rule: the rest follows all the same.
func TestSettingsForWhichThereIsNoSpaceAreLeftOut(t *testing.T) {
	h := newEnv(t)
	room := h.Public(bob)
	h.set(room)
	for i := 0; ; i++ {
		err := h.push.PutRule(t.Context(), bob, push.Sender, "@"+string(rune('a'+i%26))+string(rune('a'+i/26))+":x", push.NewRule{Actions: []json.RawMessage{}}, push.Place{})
		if matrix.IsCode(err, matrix.Unknown) {
			break
		}
		if i > push.MaxRules {
			t.Fatal("there is no bound of rules")
		}
	}
	next := h.upgrade(room, "12")
	h.Join(bob, next)
	h.followed()
	if got := h.tags(next); got != `{"m.favourite":{"order":0.5}}` {
		t.Errorf("tags %s", got)
	}
}

func TestMigrationFindsTombstones(t *testing.T) {
	h := newEnv(t)
	room := h.Public()
	next := h.upgrade(room, "12")
	odd := h.Public()
	for _, content := range []string{`{"replacement_room":"!a\u0000b"}`, `{"replacement_room":1}`, `{}`, `{"replacement_room":"!` + strings.Repeat("x", 255) + `"}`} {
		h.SetState(alice, odd, event.TypeTombstone, "", content)
	}
	text, err := migrations.FS.ReadFile("00054_upgraded_rooms.sql")
	h.OK(err)
	const before = `
		DELETE FROM followers WHERE name = 'upgraded_rooms';
		DROP INDEX room_state_tombstones;
		UPDATE room_state SET value = NULL WHERE type = 'm.room.tombstone';`
	_, err = h.Pool.Exec(t.Context(), before+string(text), pgx.QueryExecModeSimpleProtocol)
	h.OK(err)
	rows, _ := h.Pool.Query(t.Context(), `SELECT value FROM room_state WHERE type = 'm.room.tombstone' AND value IS NOT NULL`)
	values, err := pgx.CollectRows(rows, pgx.RowTo[string])
	h.OK(err)
	matrixtest.Equal(t, "values", values, []string{next})
}

func TestAllBansAreInTheNewRoom(t *testing.T) {
	h := newEnv(t)
	room := h.Public(bob)
	const many = 1300
	user := func(i int) string { return fmt.Sprintf("@spam%d:localhost", i) }
	g, ctx := errgroup.WithContext(t.Context())
	g.SetLimit(64)
	for i := range many {
		g.Go(func() error { return h.Rooms.Ban(ctx, alice, room, user(i), fmt.Sprint("spam ", i)) })
	}
	h.OK(g.Wait())
	h.OK(h.Rooms.Ban(t.Context(), alice, room, bob, "a creator to be"))
	done, err := h.Rooms.Upgrade(t.Context(), alice, room, rooms.UpgradeRequest{NewVersion: "12", AdditionalCreators: []string{bob}})
	h.OK(err)
	next := done.ReplacementRoom
	banned := func() int {
		t.Helper()
		users, err := h.Rooms.Timeline.UsersWith(t.Context(), h.NID(next), event.Ban, "", 10*many)
		h.OK(err)
		return len(users)
	}
	h.followed()
	if n := banned(); n != many {
		t.Fatalf("%d of %d are banned from the new room", n, many)
	}
	h.WantContent(alice, next, event.TypeMember, user(3), `{"membership":"ban","reason":"spam 3"}`)
	h.OK(h.Rooms.Unban(t.Context(), alice, next, user(3), ""))
	create, _, err := h.Rooms.Timeline.For(alice).StateEvent(t.Context(), next, event.TypeCreate, "")
	h.OK(err)
	h.OK(h.Rooms.CarryState(t.Context(), create)) // again: what was lifted since stays so
	if n := banned(); n != many-1 {
		t.Errorf("%d are banned", n)
	}
}

func TestSpaceTakesItsRoomsAlong(t *testing.T) {
	h := newEnv(t)
	child := h.Public()
	for isSpace, want := range map[string]string{"m.space": `{"order":"a","via":["localhost"]}`, "org.example": ""} {
		space := h.Create(alice, rooms.CreateRequest{CreationContent: roomstest.Object{"type": roomstest.Raw(isSpace)}})
		h.SetState(alice, space, "m.space.child", child, `{"via":["localhost"],"order":"a"}`)
		h.SetState(alice, space, "m.space.child", "!gone:localhost", `{}`)
		next := h.upgrade(space, "12")
		h.followed()
		if got := h.Content(alice, next, "m.space.child", child); got != want {
			t.Errorf("%s: the room is listed as %q", isSpace, got)
		}
		if got := h.Content(alice, next, "m.space.child", "!gone:localhost"); got != "" {
			t.Errorf("%s: a room that was taken out is listed as %q", isSpace, got)
		}
	}
}
