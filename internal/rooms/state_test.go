package rooms_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"homeserver/internal/event"
	"homeserver/internal/journal"
	"homeserver/internal/matrix"
	"homeserver/internal/rooms"
	"homeserver/internal/rooms/timeline"
)

// readings are the ways to read the state of a room.
func (h *house) readings(user, room string) map[string]error {
	h.t.Helper()
	ctx := h.t.Context()
	_, _, state := h.Timeline.State(ctx, user, room)
	_, _, one := h.Timeline.StateEvent(ctx, user, room, event.TypeCreate, "")
	_, _, members := h.Timeline.Members(ctx, user, room, timeline.MemberFilter{})
	return map[string]error{"state": state, "one entry": one, "members": members}
}

func TestWhoMayReadTheState(t *testing.T) {
	h := newHouse(t)
	for from, enter := range before {
		for _, visibility := range []string{"world_readable", "shared", "invited", "joined"} {
			room := h.withRule("knock")
			h.set(alice, room, "m.room.history_visibility", "", `{"history_visibility":"`+visibility+`"}`)
			enter(h, room)
			want := matrix.Forbidden
			if visibility == "world_readable" || from == "joined" || from == "left" {
				want = ""
			}
			for what, err := range h.readings(bob, room) {
				expect(t, fmt.Sprintf("%s reads %s, %s", from, what, visibility), err, want)
			}
			_, err := h.Timeline.JoinedMembers(t.Context(), bob, room)
			expect(t, from+" reads the joined members", err, map[bool]matrix.Code{true: "", false: matrix.Forbidden}[from == "joined"])
		}
	}
	for what, err := range h.readings(alice, "!none:localhost") {
		expect(t, what+" of no room", err, matrix.Forbidden)
	}
	_, err := h.Timeline.JoinedMembers(t.Context(), alice, "!none:localhost")
	expect(t, "joined members of no room", err, matrix.Forbidden)
}

func TestStateIsGivenInTheOrderInWhichItCameAbout(t *testing.T) {
	h := newHouse(t)
	room := h.public(bob)
	h.set(alice, room, "m.room.name", "", `{"name":"a"}`)
	h.set(alice, room, "m.room.topic", "", `{"topic":"b"}`)
	h.set(alice, room, "m.room.name", "", `{"name":"c"}`)
	want := []string{
		"m.room.create|", "m.room.member|" + alice, "m.room.power_levels|", "m.room.join_rules|",
		"m.room.history_visibility|", "m.room.guest_access|", "m.room.member|" + bob, "m.room.topic|", "m.room.name|",
	}
	for range 3 {
		state, _, err := h.Timeline.State(t.Context(), alice, room)
		h.ok(err)
		equal(t, "state", keys(h.all(state)), want)
	}
}

func TestFormerMembersSeeTheStateOfWhenTheyLeft(t *testing.T) {
	h := newHouse(t)
	ways := map[string]func(room string) error{
		"leave": func(room string) error { return h.Leave(t.Context(), bob, room, "") },
		"kick":  func(room string) error { return h.Kick(t.Context(), alice, room, bob, "") },
		"ban":   func(room string) error { return h.Ban(t.Context(), alice, room, bob, "") },
	}
	for name, way := range ways {
		room := h.public(bob, carol)
		h.set(alice, room, "m.room.name", "", `{"name":"before"}`)
		h.ok(way(room))
		h.set(alice, room, "m.room.name", "", `{"name":"after"}`)
		h.set(alice, room, "org.example", "", `{}`)
		h.leave(carol, room)
		h.join(dave, room)
		h.wantContent(bob, room, "m.room.name", "", `{"name":"before"}`)
		if got := h.content(bob, room, "org.example", ""); got != "" {
			t.Errorf("after %s, bob sees %s", name, got)
		}
		state, _, err := h.Timeline.State(t.Context(), bob, room)
		h.ok(err)
		if seen := keys(h.all(state)); slices.Contains(seen, "org.example|") || slices.Contains(seen, "m.room.member|"+dave) {
			t.Errorf("after %s, bob sees %q", name, seen)
		}
		list, _, err := h.Timeline.Members(t.Context(), bob, room, timeline.MemberFilter{Membership: event.Join})
		h.ok(err)
		equal(t, "members after "+name, members(h.all(list)), []string{alice + " join", carol + " join"})
	}
}

func TestWhoComesBackSeesTheStateOfNow(t *testing.T) {
	h := newHouse(t)
	room := h.public(bob)
	h.leave(bob, room)
	h.set(alice, room, "m.room.name", "", `{"name":"new"}`)
	if got := h.content(bob, room, "m.room.name", ""); got != "" {
		t.Errorf("outside, bob sees %s", got)
	}
	h.invite(alice, room, bob)
	if got := h.content(bob, room, "m.room.name", ""); got != "" {
		t.Errorf("invited again, bob sees %s", got)
	}
	h.join(bob, room)
	h.wantContent(bob, room, "m.room.name", "", `{"name":"new"}`)
}

func TestPeekingEndsWithWorldReadability(t *testing.T) {
	h := newHouse(t)
	room := h.public()
	h.set(alice, room, "m.room.history_visibility", "", `{"history_visibility":"world_readable"}`)
	h.send(alice, room, "for all")
	h.wantContent(bob, room, event.TypeJoinRules, "", `{"join_rule":"public"}`)
	h.set(alice, room, "m.room.history_visibility", "", `{"history_visibility":"shared"}`)
	h.send(alice, room, "for members")
	for what, err := range h.readings(bob, room) {
		expect(t, what, err, matrix.Forbidden)
	}
	equal(t, "what stays readable", h.bodies(bob, room), []string{"for all"})
}

func TestMembersByMembership(t *testing.T) {
	h := newHouse(t)
	room := h.withRule("knock")
	for user, from := range map[string]string{"@invited:localhost": "invited", "@joined:localhost": "joined", "@left:localhost": "left"} {
		h.invite(alice, room, user)
		if from != "invited" {
			h.join(user, room)
		}
		if from == "left" {
			h.leave(user, room)
		}
	}
	h.ok(h.Ban(t.Context(), alice, room, "@banned:localhost", ""))
	h.ok(h.Knock(t.Context(), "@knocking:localhost", room, ""))
	all := []string{
		alice + " join", "@banned:localhost ban", "@invited:localhost invite",
		"@joined:localhost join", "@knocking:localhost knock", "@left:localhost leave",
	}
	with := func(memberships ...string) (list []string) {
		for _, m := range all {
			if _, membership, _ := strings.Cut(m, " "); slices.Contains(memberships, membership) {
				list = append(list, m)
			}
		}
		return list
	}
	for _, c := range []struct {
		membership, not string
		want            []string
	}{
		{"", "", all},
		{"join", "", with("join")},
		{"invite", "", with("invite")},
		{"leave", "", with("leave")},
		{"ban", "", with("ban")},
		{"knock", "", with("knock")},
		{"", "join", with("invite", "leave", "ban", "knock")},
		{"", "leave", with("join", "invite", "ban", "knock")},
		{"join", "leave", with("join", "invite", "ban", "knock")}, // either condition is enough
		{"leave", "leave", all},
		{"join", "invite", with("join", "leave", "ban", "knock")},
	} {
		list, _, err := h.Timeline.Members(t.Context(), alice, room, timeline.MemberFilter{Membership: c.membership, NotMembership: c.not})
		h.ok(err)
		equal(t, fmt.Sprintf("membership %q, not %q", c.membership, c.not), members(h.all(list)), c.want)
	}
	for _, f := range []timeline.MemberFilter{{Membership: "x"}, {NotMembership: "x"}, {Membership: "\x00"}} {
		_, _, err := h.Timeline.Members(t.Context(), alice, room, f)
		expect(t, fmt.Sprintf("%+v", f), err, matrix.InvalidParam)
	}
}

func TestMembersAtATime(t *testing.T) {
	h := newHouse(t)
	room := h.public()
	now := func() *journal.Position { p := h.journal.Position(); return &p }
	at := map[string]*journal.Position{"created": now()}
	h.join(bob, room)
	at["bob joined"] = now()
	h.join(carol, room)
	at["carol joined"] = now()
	h.leave(bob, room)
	at["bob left"] = now()
	read := func(user string, p *journal.Position) []string {
		t.Helper()
		list, _, err := h.Timeline.Members(t.Context(), user, room, timeline.MemberFilter{Membership: event.Join, At: p})
		h.ok(err)
		return members(h.all(list))
	}
	equal(t, "created", read(alice, at["created"]), []string{alice + " join"})
	equal(t, "bob joined", read(alice, at["bob joined"]), []string{alice + " join", bob + " join"})
	equal(t, "carol joined", read(alice, at["carol joined"]), []string{alice + " join", bob + " join", carol + " join"})
	equal(t, "bob left", read(alice, at["bob left"]), []string{alice + " join", carol + " join"})
	equal(t, "now", read(alice, nil), []string{alice + " join", carol + " join"})
	future := *now() + 1000
	equal(t, "before everything", read(alice, new(journal.Position)), []string{alice + " join"})
	equal(t, "in the future", read(alice, &future), []string{alice + " join", carol + " join"})
	h.join(dave, room)
	equal(t, "who has left, of now", read(bob, now()), []string{alice + " join", carol + " join"})
	equal(t, "who has left, of before", read(bob, at["bob joined"]), []string{alice + " join", bob + " join"})
}

func TestMembersComeInTheOrderOfTheirEvents(t *testing.T) {
	h := newHouse(t)
	room := h.public(dave, bob, carol)
	h.leave(dave, room)
	h.join(dave, room)
	want := []string{"m.room.member|" + alice, "m.room.member|" + bob, "m.room.member|" + carol, "m.room.member|" + dave}
	list, _, err := h.Timeline.Members(t.Context(), alice, room, timeline.MemberFilter{})
	h.ok(err)
	equal(t, "members", keys(h.all(list)), want)
	list, err = h.Timeline.JoinedMembers(t.Context(), alice, room)
	h.ok(err)
	equal(t, "joined members", keys(h.all(list)), want)
	h.leave(bob, room)
	list, err = h.Timeline.JoinedMembers(t.Context(), alice, room)
	h.ok(err)
	equal(t, "joined members after bob has left", keys(h.all(list)), slices.Delete(want, 1, 2))
}

func TestStateEntries(t *testing.T) {
	h := newHouse(t)
	room := h.public(bob)
	id := h.set(alice, room, "org.example", "key", `{"n":1}`)
	e, access, err := h.Timeline.StateEvent(t.Context(), bob, room, "org.example", "key")
	h.ok(err)
	if e.ID != id || access == nil || e.Sender != alice {
		t.Errorf("got %s of %s", e.ID, e.Sender)
	}
	for _, absent := range [][2]string{
		{"org.example", ""}, {"org.example", "KEY"}, {"org.EXAMPLE", "key"}, {"", ""}, {"org.example", "%"},
		{"org.example\x00", "key"}, {"org.example", "\x00"}, {"org.example", "\xff"}, {strings.Repeat("x", 300), "key"},
	} {
		_, _, err := h.Timeline.StateEvent(t.Context(), bob, room, absent[0], absent[1])
		expect(t, fmt.Sprintf("%q", absent), err, matrix.NotFound)
	}
	expect(t, "a type with NUL, by a stranger", second(h.Timeline.StateEvent(t.Context(), dave, room, "\x00", "")), matrix.Forbidden)
}

func second(_ *timeline.Event, _ *timeline.Access, err error) error { return err }

func TestSettingStateThatIsSoAlreadyAddsNothing(t *testing.T) {
	h := newHouse(t)
	room := h.public()
	h.power(room, map[string]int{alice: 100, bob: 50})
	h.join(bob, room)
	first := h.set(alice, room, "m.room.name", "", `{"name":"a","n":1}`)
	for _, same := range []string{`{"name":"a","n":1}`, `{ "n": 1, "name": "\u0061" }`} {
		if again := h.set(alice, room, "m.room.name", "", same); again != first {
			t.Errorf("setting %s again made %s", same, again)
		}
	}
	if other := h.set(bob, room, "m.room.name", "", `{"name":"a","n":1}`); other == first {
		t.Error("the same state by another user is the first one's event")
	}
	if back := h.set(alice, room, "m.room.name", "", `{"name":"a","n":1}`); back == first {
		t.Error("state that was replaced came back as the old event")
	}
}

func TestStateNeedsPower(t *testing.T) {
	h := newHouse(t)
	room := h.public(bob)
	expect(t, "a member sets the name", h.trySet(bob, room, "m.room.name", "", `{"name":"mine"}`), matrix.Forbidden)
	expect(t, "a stranger sets the name", h.trySet(dave, room, "m.room.name", "", `{"name":"mine"}`), matrix.Forbidden)
	h.power(room, map[string]int{alice: 100, bob: 50})
	expect(t, "a moderator sets the name", h.trySet(bob, room, "m.room.name", "", `{"name":"mine"}`), "")
	expect(t, "a moderator sets the power levels", h.trySet(bob, room, event.TypePowerLevels, "", `{}`), matrix.Forbidden)
	expect(t, "somebody else's state key", h.trySet(bob, room, "org.example", alice, `{}`), matrix.Forbidden)
	expect(t, "the own state key", h.trySet(bob, room, "org.example", bob, `{}`), "")
	for _, key := range []string{"", "other"} {
		expect(t, "a second create event", h.trySet(alice, room, event.TypeCreate, key, `{}`), matrix.InvalidParam)
	}
	h.wantContent(alice, room, "m.room.name", "", `{"name":"mine"}`)
}

// The rules of old room versions take text, fractions and numbers of any size for
// power levels; programs disagree on what those are.
func TestOwnClientsSetPowerLevelsThatAreNone(t *testing.T) {
	h := newHouse(t)
	for _, version := range event.Versions() {
		room := h.create(alice, rooms.CreateRequest{RoomVersion: version})
		before := h.content(alice, room, event.TypePowerLevels, "")
		for _, level := range []string{
			`"50"`, `" 50 "`, `50.5`, `1e400`, `9007199254740992`, `-9007199254740992`, `99999999999999999999`,
			`null`, `true`, `[50]`, `{}`,
		} {
			for _, content := range []string{
				`{"ban":%s}`, `{"users_default":%s}`, `{"users":{"@bob:localhost":%s}}`, `{"events":{"m.room.name":%s}}`, `{"notifications":{"room":%s}}`,
			} {
				content = fmt.Sprintf(content, level)
				expect(t, "version "+version+", "+content, h.trySet(alice, room, event.TypePowerLevels, "", content), matrix.BadJSON)
				_, err := h.Send(t.Context(), as(alice, room), event.TypePowerLevels, json.RawMessage(content))
				expect(t, "version "+version+", as a message: "+content, err, matrix.BadJSON)
			}
		}
		for _, content := range []string{`{"users":5}`, `{"events":[]}`, `{"users":{"bob":5}}`, `[]`} {
			expect(t, "version "+version+", "+content, h.trySet(alice, room, event.TypePowerLevels, "", content), matrix.BadJSON)
		}
		h.wantContent(alice, room, event.TypePowerLevels, "", before)
	}
	// Who asks about a room that is not there learns nothing by it.
	expect(t, "levels of no room", h.trySet(alice, "!none:localhost", event.TypePowerLevels, "", `{"ban":"50"}`), matrix.BadJSON)
}

func TestPowerLevelsNameACreator(t *testing.T) {
	h := newHouse(t)
	room := h.create(alice, rooms.CreateRequest{RoomVersion: "12", Preset: "public_chat", CreationContent: object{
		"additional_creators": raw([]string{bob}),
	}})
	h.join(carol, room)
	for _, creator := range []string{alice, bob} {
		levels := string(raw(map[string]any{"users": map[string]int{creator: 100}}))
		expect(t, "a level of "+creator, h.trySet(alice, room, event.TypePowerLevels, "", levels), matrix.BadJSON)
		expect(t, "by a member without power", h.trySet(carol, room, event.TypePowerLevels, "", levels), matrix.Forbidden)
		expect(t, "by a stranger", h.trySet(dave, room, event.TypePowerLevels, "", levels), matrix.Forbidden)
	}
	h.set(alice, room, event.TypePowerLevels, "", string(raw(map[string]any{"users": map[string]int{carol: 100}})))
}

func TestManySetOneEntryAtOnce(t *testing.T) {
	h := newHouse(t)
	room := h.public()
	const many = 60
	errs := make(chan error, many)
	for i := range many {
		go func() { errs <- h.trySet(alice, room, "org.example", "", fmt.Sprintf(`{"n":%d}`, i)) }()
	}
	for range many {
		h.ok(<-errs)
	}
	var set []*timeline.Event
	for _, e := range h.history(alice, room) {
		if e.Type == "org.example" {
			set = append(set, e)
		}
	}
	if len(set) != many {
		t.Fatalf("the room has %d events", len(set))
	}
	for i, e := range set {
		if (e.Replaces == nil) != (i == 0) || i > 0 && e.Replaces.EventID != set[i-1].ID {
			t.Errorf("event %d replaces %v", i, e.Replaces)
		}
	}
	h.wantContent(alice, room, "org.example", "", string(set[many-1].Content()))
	var open int
	h.ok(h.pool.QueryRow(t.Context(), `SELECT count(*) FROM room_state WHERE type = 'org.example' AND replaced_at IS NULL`).Scan(&open))
	if open != 1 {
		t.Errorf("%d entries are current", open)
	}
}
