package rooms_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"homeserver/internal/event"
	"homeserver/internal/matrix"
	"homeserver/internal/matrixtest"
	"homeserver/internal/rooms"
	"homeserver/internal/rooms/roomstest"
	"homeserver/internal/rooms/timeline"
)

// readings returns the ways to read the state of a room.
func (h *env) readings(user, room string) map[string]error {
	h.T.Helper()
	ctx := h.T.Context()
	_, _, state := h.Rooms.Timeline.For(user).State(ctx, room)
	_, _, one := h.Rooms.Timeline.For(user).StateEvent(ctx, room, event.TypeCreate, "")
	_, _, members := h.Rooms.Timeline.For(user).Members(ctx, room, timeline.MemberFilter{})
	return map[string]error{"state": state, "one entry": one, "members": members}
}

func TestWhoMayReadTheState(t *testing.T) {
	h := newEnv(t)
	for from, enter := range before {
		for _, visibility := range []string{"world_readable", "shared", "invited", "joined"} {
			room := h.withRule("knock")
			h.SetState(alice, room, "m.room.history_visibility", "", `{"history_visibility":"`+visibility+`"}`)
			enter(h, room)
			want := matrix.Forbidden
			if visibility == "world_readable" || from == "joined" || from == "left" {
				want = ""
			}
			for what, err := range h.readings(bob, room) {
				matrixtest.WantCode(t, err, want, fmt.Sprintf("%s reads %s, %s", from, what, visibility))
			}
			_, err := h.Rooms.Timeline.For(bob).JoinedMembers(t.Context(), room)
			matrixtest.WantCode(t, err, map[bool]matrix.Code{true: "", false: matrix.Forbidden}[from == "joined"], from+" reads the joined members")
		}
	}
	for what, err := range h.readings(alice, "!none:localhost") {
		matrixtest.WantCode(t, err, matrix.Forbidden, what+" of no room")
	}
	_, err := h.Rooms.Timeline.For(alice).JoinedMembers(t.Context(), "!none:localhost")
	matrixtest.WantCode(t, err, matrix.Forbidden, "joined members of no room")
}

func TestStateIsGivenInTheOrderInWhichItCameAbout(t *testing.T) {
	h := newEnv(t)
	room := h.Public(bob)
	h.SetState(alice, room, "m.room.name", "", `{"name":"a"}`)
	h.SetState(alice, room, "m.room.topic", "", `{"topic":"b"}`)
	h.SetState(alice, room, "m.room.name", "", `{"name":"c"}`)
	want := []string{
		"m.room.create|", "m.room.member|" + alice, "m.room.power_levels|", "m.room.join_rules|",
		"m.room.history_visibility|", "m.room.guest_access|", "m.room.member|" + bob, "m.room.topic|", "m.room.name|",
	}
	for range 3 {
		state, _, err := h.Rooms.Timeline.For(alice).State(t.Context(), room)
		h.OK(err)
		matrixtest.Equal(t, "state", roomstest.Keys(h.all(state)), want)
	}
}

func TestFormerMembersSeeTheStateOfWhenTheyLeft(t *testing.T) {
	h := newEnv(t)
	ways := map[string]func(room string) error{
		"leave": func(room string) error { return h.Rooms.Leave(t.Context(), bob, room, "") },
		"kick":  func(room string) error { return h.Rooms.Kick(t.Context(), alice, room, bob, "") },
		"ban":   func(room string) error { return h.Rooms.Ban(t.Context(), alice, room, bob, "") },
	}
	for name, way := range ways {
		room := h.Public(bob, carol)
		h.SetState(alice, room, "m.room.name", "", `{"name":"before"}`)
		h.OK(way(room))
		h.SetState(alice, room, "m.room.name", "", `{"name":"after"}`)
		h.SetState(alice, room, "org.example", "", `{}`)
		h.Leave(carol, room)
		h.Join(dave, room)
		h.WantContent(bob, room, "m.room.name", "", `{"name":"before"}`)
		if got := h.Content(bob, room, "org.example", ""); got != "" {
			t.Errorf("after %s, bob sees %s", name, got)
		}
		state, _, err := h.Rooms.Timeline.For(bob).State(t.Context(), room)
		h.OK(err)
		if seen := roomstest.Keys(h.all(state)); slices.Contains(seen, "org.example|") || slices.Contains(seen, "m.room.member|"+dave) {
			t.Errorf("after %s, bob sees %q", name, seen)
		}
		list, _, err := h.Rooms.Timeline.For(bob).Members(t.Context(), room, timeline.MemberFilter{Membership: event.Join})
		h.OK(err)
		matrixtest.Equal(t, "members after "+name, roomstest.Members(h.all(list)), []string{alice + " join", carol + " join"})
	}
}

func TestWhoComesBackSeesTheStateOfNow(t *testing.T) {
	h := newEnv(t)
	room := h.Public(bob)
	h.Leave(bob, room)
	h.SetState(alice, room, "m.room.name", "", `{"name":"new"}`)
	if got := h.Content(bob, room, "m.room.name", ""); got != "" {
		t.Errorf("outside, bob sees %s", got)
	}
	h.Invite(alice, room, bob)
	if got := h.Content(bob, room, "m.room.name", ""); got != "" {
		t.Errorf("invited again, bob sees %s", got)
	}
	h.Join(bob, room)
	h.WantContent(bob, room, "m.room.name", "", `{"name":"new"}`)
}

func TestPeekingEndsWithWorldReadability(t *testing.T) {
	h := newEnv(t)
	room := h.Public()
	h.SetState(alice, room, "m.room.history_visibility", "", `{"history_visibility":"world_readable"}`)
	h.Send(alice, room, "for all")
	h.WantContent(bob, room, event.TypeJoinRules, "", `{"join_rule":"public"}`)
	h.SetState(alice, room, "m.room.history_visibility", "", `{"history_visibility":"shared"}`)
	h.Send(alice, room, "for members")
	for what, err := range h.readings(bob, room) {
		matrixtest.WantCode(t, err, matrix.Forbidden, what)
	}
	matrixtest.Equal(t, "what stays readable", h.Bodies(bob, room), []string{"for all"})
}

func TestMembersByMembership(t *testing.T) {
	h := newEnv(t)
	room := h.withRule("knock")
	for user, from := range map[string]string{"@invited:localhost": "invited", "@joined:localhost": "joined", "@left:localhost": "left"} {
		h.Invite(alice, room, user)
		if from != "invited" {
			h.Join(user, room)
		}
		if from == "left" {
			h.Leave(user, room)
		}
	}
	h.OK(h.Rooms.Ban(t.Context(), alice, room, "@banned:localhost", ""))
	h.OK(h.Rooms.Knock(t.Context(), "@knocking:localhost", room, ""))
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
		list, _, err := h.Rooms.Timeline.For(alice).Members(t.Context(), room, timeline.MemberFilter{Membership: c.membership, NotMembership: c.not})
		h.OK(err)
		matrixtest.Equal(t, fmt.Sprintf("membership %q, not %q", c.membership, c.not), roomstest.Members(h.all(list)), c.want)
	}
	for _, f := range []timeline.MemberFilter{{Membership: "x"}, {NotMembership: "x"}, {Membership: "\x00"}} {
		_, _, err := h.Rooms.Timeline.For(alice).Members(t.Context(), room, f)
		matrixtest.WantCode(t, err, matrix.InvalidParam, fmt.Sprintf("%+v", f))
	}
}

func TestMembersAtATime(t *testing.T) {
	h := newEnv(t)
	room := h.Public()
	now := func() *timeline.Place { p := timeline.PlaceOf(h.Journal.Position()); return &p }
	at := map[string]*timeline.Place{"created": now()}
	h.Join(bob, room)
	at["bob joined"] = now()
	h.Join(carol, room)
	at["carol joined"] = now()
	h.Leave(bob, room)
	at["bob left"] = now()
	read := func(user string, p *timeline.Place) []string {
		t.Helper()
		list, _, err := h.Rooms.Timeline.For(user).Members(t.Context(), room, timeline.MemberFilter{Membership: event.Join, At: p})
		h.OK(err)
		return roomstest.Members(h.all(list))
	}
	matrixtest.Equal(t, "created", read(alice, at["created"]), []string{alice + " join"})
	matrixtest.Equal(t, "bob joined", read(alice, at["bob joined"]), []string{alice + " join", bob + " join"})
	matrixtest.Equal(t, "carol joined", read(alice, at["carol joined"]), []string{alice + " join", bob + " join", carol + " join"})
	matrixtest.Equal(t, "bob left", read(alice, at["bob left"]), []string{alice + " join", carol + " join"})
	matrixtest.Equal(t, "now", read(alice, nil), []string{alice + " join", carol + " join"})
	future := *now() + 1000
	matrixtest.Equal(t, "before everything", read(alice, new(timeline.Place)), []string{alice + " join"})
	matrixtest.Equal(t, "in the future", read(alice, &future), []string{alice + " join", carol + " join"})
	h.Join(dave, room)
	matrixtest.Equal(t, "who has left, of now", read(bob, now()), []string{alice + " join", carol + " join"})
	matrixtest.Equal(t, "who has left, of before", read(bob, at["bob joined"]), []string{alice + " join", bob + " join"})
}

func TestMembersComeInTheOrderOfTheirEvents(t *testing.T) {
	h := newEnv(t)
	room := h.Public(dave, bob, carol)
	h.Leave(dave, room)
	h.Join(dave, room)
	want := []string{"m.room.member|" + alice, "m.room.member|" + bob, "m.room.member|" + carol, "m.room.member|" + dave}
	list, _, err := h.Rooms.Timeline.For(alice).Members(t.Context(), room, timeline.MemberFilter{})
	h.OK(err)
	matrixtest.Equal(t, "members", roomstest.Keys(h.all(list)), want)
	list, err = h.Rooms.Timeline.For(alice).JoinedMembers(t.Context(), room)
	h.OK(err)
	matrixtest.Equal(t, "joined members", roomstest.Keys(h.all(list)), want)
	h.Leave(bob, room)
	list, err = h.Rooms.Timeline.For(alice).JoinedMembers(t.Context(), room)
	h.OK(err)
	matrixtest.Equal(t, "joined members after bob has left", roomstest.Keys(h.all(list)), slices.Delete(want, 1, 2))
}

func TestStateEntries(t *testing.T) {
	h := newEnv(t)
	room := h.Public(bob)
	id := h.SetState(alice, room, "org.example", "key", `{"n":1}`)
	e, access, err := h.Rooms.Timeline.For(bob).StateEvent(t.Context(), room, "org.example", "key")
	h.OK(err)
	if e.ID != id || access == nil || e.Sender != alice {
		t.Errorf("got %s of %s", e.ID, e.Sender)
	}
	for _, absent := range [][2]string{
		{"org.example", ""}, {"org.example", "KEY"}, {"org.EXAMPLE", "key"}, {"", ""}, {"org.example", "%"},
		{"org.example\x00", "key"}, {"org.example", "\x00"}, {"org.example", "\xff"}, {strings.Repeat("x", 300), "key"},
	} {
		_, _, err := h.Rooms.Timeline.For(bob).StateEvent(t.Context(), room, absent[0], absent[1])
		matrixtest.WantCode(t, err, matrix.NotFound, fmt.Sprintf("%q", absent))
	}
	matrixtest.WantCode(t, second(h.Rooms.Timeline.For(dave).StateEvent(t.Context(), room, "\x00", "")), matrix.Forbidden, "a type with NUL, by a stranger")
}

func second(_ *timeline.Event, _ *timeline.Access, err error) error { return err }

func TestSettingStateThatIsSoAlreadyAddsNothing(t *testing.T) {
	h := newEnv(t)
	room := h.Public()
	h.SetPower(room, map[string]int{alice: 100, bob: 50})
	h.Join(bob, room)
	first := h.SetState(alice, room, "m.room.name", "", `{"name":"a","n":1}`)
	for _, same := range []string{`{"name":"a","n":1}`, `{ "n": 1, "name": "\u0061" }`} {
		if again := h.SetState(alice, room, "m.room.name", "", same); again != first {
			t.Errorf("setting %s again made %s", same, again)
		}
	}
	if other := h.SetState(bob, room, "m.room.name", "", `{"name":"a","n":1}`); other == first {
		t.Error("the same state by another user is the first one's event")
	}
	if back := h.SetState(alice, room, "m.room.name", "", `{"name":"a","n":1}`); back == first {
		t.Error("state that was replaced came back as the old event")
	}
}

func TestStateNeedsPower(t *testing.T) {
	h := newEnv(t)
	room := h.Public(bob)
	matrixtest.WantCode(t, h.TrySetState(bob, room, "m.room.name", "", `{"name":"mine"}`), matrix.Forbidden, "a member sets the name")
	matrixtest.WantCode(t, h.TrySetState(dave, room, "m.room.name", "", `{"name":"mine"}`), matrix.Forbidden, "a stranger sets the name")
	h.SetPower(room, map[string]int{alice: 100, bob: 50})
	matrixtest.WantCode(t, h.TrySetState(bob, room, "m.room.name", "", `{"name":"mine"}`), "", "a moderator sets the name")
	matrixtest.WantCode(t, h.TrySetState(bob, room, event.TypePowerLevels, "", `{}`), matrix.Forbidden, "a moderator sets the power levels")
	matrixtest.WantCode(t, h.TrySetState(bob, room, "org.example", alice, `{}`), matrix.Forbidden, "somebody else's state key")
	matrixtest.WantCode(t, h.TrySetState(bob, room, "org.example", bob, `{}`), "", "the own state key")
	for _, key := range []string{"", "other"} {
		matrixtest.WantCode(t, h.TrySetState(alice, room, event.TypeCreate, key, `{}`), matrix.InvalidParam, "a second create event")
	}
	h.WantContent(alice, room, "m.room.name", "", `{"name":"mine"}`)
}

// The rules of old room versions accept text, fractions and numbers of any size as power
// levels; programs disagree on what they mean.
func TestOwnClientsSetPowerLevelsThatAreNone(t *testing.T) {
	h := newEnv(t)
	for _, version := range event.Versions() {
		room := h.Create(alice, rooms.CreateRequest{RoomVersion: version})
		before := h.Content(alice, room, event.TypePowerLevels, "")
		for _, level := range []string{
			`"50"`, `" 50 "`, `50.5`, `1e400`, `9007199254740992`, `-9007199254740992`, `99999999999999999999`,
			`null`, `true`, `[50]`, `{}`,
		} {
			for _, content := range []string{
				`{"ban":%s}`, `{"users_default":%s}`, `{"users":{"@bob:localhost":%s}}`, `{"events":{"m.room.name":%s}}`, `{"notifications":{"room":%s}}`,
			} {
				content = fmt.Sprintf(content, level)
				matrixtest.WantCode(t, h.TrySetState(alice, room, event.TypePowerLevels, "", content), matrix.BadJSON, "version "+version+", "+content)
				_, err := h.Rooms.Send(t.Context(), roomstest.As(alice, room), event.TypePowerLevels, json.RawMessage(content))
				matrixtest.WantCode(t, err, matrix.BadJSON, "version "+version+", as a message: "+content)
			}
		}
		for _, content := range []string{`{"users":5}`, `{"events":[]}`, `{"users":{"bob":5}}`, `[]`} {
			matrixtest.WantCode(t, h.TrySetState(alice, room, event.TypePowerLevels, "", content), matrix.BadJSON, "version "+version+", "+content)
		}
		h.WantContent(alice, room, event.TypePowerLevels, "", before)
	}
	// A room that does not exist is answered the same.
	matrixtest.WantCode(t, h.TrySetState(alice, "!none:localhost", event.TypePowerLevels, "", `{"ban":"50"}`), matrix.BadJSON, "levels of no room")
}

func TestPowerLevelsNameACreator(t *testing.T) {
	h := newEnv(t)
	room := h.Create(alice, rooms.CreateRequest{RoomVersion: "12", Preset: "public_chat", CreationContent: roomstest.Object{
		"additional_creators": roomstest.Raw([]string{bob}),
	}})
	h.Join(carol, room)
	for _, creator := range []string{alice, bob} {
		levels := string(roomstest.Raw(map[string]any{"users": map[string]int{creator: 100}}))
		matrixtest.WantCode(t, h.TrySetState(alice, room, event.TypePowerLevels, "", levels), matrix.BadJSON, "a level of "+creator)
		matrixtest.WantCode(t, h.TrySetState(carol, room, event.TypePowerLevels, "", levels), matrix.Forbidden, "by a member without power")
		matrixtest.WantCode(t, h.TrySetState(dave, room, event.TypePowerLevels, "", levels), matrix.Forbidden, "by a stranger")
	}
	h.SetState(alice, room, event.TypePowerLevels, "", string(roomstest.Raw(map[string]any{"users": map[string]int{carol: 100}})))
}

func TestManySetOneEntryAtOnce(t *testing.T) {
	h := newEnv(t)
	room := h.Public()
	const many = 60
	errs := make(chan error, many)
	for i := range many {
		go func() { errs <- h.TrySetState(alice, room, "org.example", "", fmt.Sprintf(`{"n":%d}`, i)) }()
	}
	for range many {
		h.OK(<-errs)
	}
	var set []*timeline.Event
	for _, e := range h.History(alice, room) {
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
	h.WantContent(alice, room, "org.example", "", string(set[many-1].Content()))
	var open int
	h.OK(h.Pool.QueryRow(t.Context(), `SELECT count(*) FROM room_state WHERE type = 'org.example' AND replaced_at IS NULL`).Scan(&open))
	if open != 1 {
		t.Errorf("%d entries are current", open)
	}
}
