package rooms_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	"homeserver/internal/event"
	"homeserver/internal/matrix"
	"homeserver/internal/matrixtest"
	"homeserver/internal/rooms"
	"homeserver/internal/rooms/roomstest"
)

// before has the steps that give bob a membership of a room of alice's.
var before = map[string]func(h *env, room string){
	"stranger": func(*env, string) {},
	"invited":  func(h *env, room string) { h.Invite(alice, room, bob) },
	"joined":   func(h *env, room string) { h.Invite(alice, room, bob); h.Join(bob, room) },
	"left":     func(h *env, room string) { h.Invite(alice, room, bob); h.Join(bob, room); h.Leave(bob, room) },
	"refused":  func(h *env, room string) { h.Invite(alice, room, bob); h.Leave(bob, room) },
	"banned":   func(h *env, room string) { h.OK(h.Rooms.Ban(h.T.Context(), alice, room, bob, "")) },
	"knocking": func(h *env, room string) { h.OK(h.Rooms.Knock(h.T.Context(), bob, room, "")) },
}

// acts are the ways in which a user may try to change bob's membership.
var acts = map[string]func(h *env, who, room string) error{
	"join":   func(h *env, who, room string) error { return h.Rooms.Join(h.T.Context(), who, room, "") },
	"leave":  func(h *env, who, room string) error { return h.Rooms.Leave(h.T.Context(), who, room, "") },
	"knock":  func(h *env, who, room string) error { return h.Rooms.Knock(h.T.Context(), who, room, "") },
	"invite": func(h *env, who, room string) error { return h.Rooms.Invite(h.T.Context(), who, room, bob, "") },
	"kick":   func(h *env, who, room string) error { return h.Rooms.Kick(h.T.Context(), who, room, bob, "") },
	"ban":    func(h *env, who, room string) error { return h.Rooms.Ban(h.T.Context(), who, room, bob, "") },
	"unban":  func(h *env, who, room string) error { return h.Rooms.Unban(h.T.Context(), who, room, bob, "") },
}

// transitions has bob's membership after each act, by the membership before; "" means that
// the act is forbidden. Client-server API, "Room membership".
type transitions map[string]map[string]string

// public is for the join rule public, byKnock for knock. Alice is the creator.
var (
	public = transitions{
		"stranger": {"join": "join", "leave": "", "knock": "", "invite": "invite", "kick": "", "ban": "ban", "unban": ""},
		"invited":  {"join": "join", "leave": "leave", "knock": "", "invite": "invite", "kick": "leave", "ban": "ban", "unban": ""},
		"joined":   {"join": "join", "leave": "leave", "knock": "", "invite": "", "kick": "leave", "ban": "ban", "unban": ""},
		"left":     {"join": "join", "leave": "leave", "knock": "", "invite": "invite", "kick": "", "ban": "ban", "unban": ""},
		"refused":  {"join": "join", "leave": "leave", "knock": "", "invite": "invite", "kick": "", "ban": "ban", "unban": ""},
		"banned":   {"join": "", "leave": "", "knock": "", "invite": "", "kick": "", "ban": "ban", "unban": "leave"},
	}
	byKnock = transitions{
		"stranger": {"join": "", "leave": "", "knock": "knock", "invite": "invite", "kick": "", "ban": "ban", "unban": ""},
		"invited":  {"join": "join", "leave": "leave", "knock": "", "invite": "invite", "kick": "leave", "ban": "ban", "unban": ""},
		"joined":   {"join": "join", "leave": "leave", "knock": "", "invite": "", "kick": "leave", "ban": "ban", "unban": ""},
		"left":     {"join": "", "leave": "leave", "knock": "knock", "invite": "invite", "kick": "", "ban": "ban", "unban": ""},
		"banned":   {"join": "", "leave": "", "knock": "", "invite": "", "kick": "", "ban": "ban", "unban": "leave"},
		"knocking": {"join": "", "leave": "leave", "knock": "knock", "invite": "invite", "kick": "leave", "ban": "ban", "unban": ""},
	}
)

func (h *env) withRule(rule string) string {
	return h.Create(alice, rooms.CreateRequest{InitialState: []rooms.InitialState{
		{Type: event.TypeJoinRules, Content: roomstest.Raw(map[string]string{"join_rule": rule})},
	}})
}

func TestEveryChangeOfMembership(t *testing.T) {
	for rule, table := range map[string]transitions{"public": public, "knock": byKnock} {
		t.Run(rule, func(t *testing.T) {
			h := newEnv(t)
			for from, outcomes := range table {
				for act, want := range outcomes {
					room := h.withRule(rule)
					before[from](h, room)
					was := h.Membership(room, bob)
					who := alice
					if act == "join" || act == "leave" || act == "knock" {
						who = bob
					}
					err := acts[act](h, who, room)
					if want == "" {
						want = was
						matrixtest.WantCode(t, err, matrix.Forbidden, fmt.Sprintf("%s, then %s", from, act))
					} else {
						matrixtest.WantCode(t, err, "", fmt.Sprintf("%s, then %s", from, act))
					}
					if got := h.Membership(room, bob); got != want {
						t.Errorf("%s, then %s: membership %q, want %q", from, act, got, want)
					}
				}
			}
		})
	}
}

func TestStateEventsChangeMembershipByTheSameRules(t *testing.T) {
	h := newEnv(t)
	content := map[string]string{
		"join": "join", "leave": "leave", "knock": "knock", "invite": "invite", "kick": "leave", "ban": "ban", "unban": "leave",
	}
	for from, outcomes := range byKnock {
		for act, want := range outcomes {
			if act == "kick" || act == "unban" { // as state they are the same
				if byKnock[from]["kick"] == "" && byKnock[from]["unban"] == "" {
					continue // setting to leave who has left is no change, and so is refused or not
				}
				want = "leave"
			}
			if act == "leave" && from != "joined" && from != "invited" && from != "knocking" {
				continue // likewise
			}
			room := h.withRule("knock")
			before[from](h, room)
			was := h.Membership(room, bob)
			who := alice
			if act == "join" || act == "leave" || act == "knock" {
				who = bob
			}
			err := h.TrySetState(who, room, event.TypeMember, bob, `{"membership":"`+content[act]+`"}`)
			code := matrix.Code("")
			if want == "" {
				want, code = was, matrix.Forbidden
			}
			matrixtest.WantCode(t, err, code, fmt.Sprintf("%s, then %s as state", from, act))
			if got := h.Membership(room, bob); got != want {
				t.Errorf("%s, then %s as state: membership %q, want %q", from, act, got, want)
			}
		}
	}
}

func TestOrdinaryMembersMayInviteButNotModerate(t *testing.T) {
	h := newEnv(t)
	for from, outcomes := range public {
		for _, act := range []string{"invite", "kick", "ban", "unban"} {
			room := h.Public(carol)
			before[from](h, room)
			want := matrix.Forbidden
			if act == "invite" && outcomes[act] != "" {
				want = ""
			}
			matrixtest.WantCode(t, acts[act](h, carol, room), want, fmt.Sprintf("a member: %s, then %s", from, act))
			matrixtest.WantCode(t, acts[act](h, dave, room), matrix.Forbidden, fmt.Sprintf("a stranger: %s, then %s", from, act))
		}
	}
}

func TestPowerDecidesWhoModeratesWhom(t *testing.T) {
	h := newEnv(t)
	room := h.Public(bob, carol, dave)
	h.SetPower(room, map[string]int{alice: 100, bob: 50, carol: 50, dave: 49})
	ctx := t.Context()
	matrixtest.WantCode(t, h.Rooms.Kick(ctx, bob, room, carol, ""), matrix.Forbidden, "equals kick")
	matrixtest.WantCode(t, h.Rooms.Kick(ctx, bob, room, alice, ""), matrix.Forbidden, "lower kicks higher")
	matrixtest.WantCode(t, h.Rooms.Kick(ctx, dave, room, "@nobody:localhost", ""), matrix.Forbidden, "too low to kick")
	matrixtest.WantCode(t, h.Rooms.Kick(ctx, bob, room, dave, ""), "", "higher kicks lower")
	matrixtest.WantCode(t, h.Rooms.Ban(ctx, carol, room, dave, "again"), "", "higher bans lower")
	matrixtest.WantCode(t, h.Rooms.Unban(ctx, bob, room, dave, ""), "", "another unbans")
	matrixtest.WantCode(t, h.Rooms.Kick(ctx, bob, room, bob, ""), "", "kicking oneself is leaving")
	h.WantMembership(room, bob, "leave")
}

func TestBanIsLiftedBeforeJoiningAgain(t *testing.T) {
	h := newEnv(t)
	room := h.Public(bob)
	ctx := t.Context()
	h.OK(h.Rooms.Ban(ctx, alice, room, bob, "spam"))
	h.WantContent(alice, room, event.TypeMember, bob, `{"membership":"ban","reason":"spam"}`)
	matrixtest.WantCode(t, h.Rooms.Join(ctx, bob, room, ""), matrix.Forbidden, "a banned user joins")
	matrixtest.WantCode(t, h.Rooms.Invite(ctx, alice, room, bob, ""), matrix.Forbidden, "a banned user is invited")
	matrixtest.WantCode(t, h.trySend(bob, room), matrix.Forbidden, "a banned user sends")
	matrixtest.WantCode(t, h.Rooms.Unban(ctx, bob, room, bob, ""), matrix.Forbidden, "a banned user unbans themself")
	h.OK(h.Rooms.Unban(ctx, alice, room, bob, "sorry"))
	h.WantContent(alice, room, event.TypeMember, bob, `{"membership":"leave","reason":"sorry"}`)
	h.Join(bob, room)
	h.Send(bob, room, "back")
}

func (h *env) trySend(user, room string) error {
	_, err := h.Rooms.Send(h.T.Context(), roomstest.As(user, room), "m.room.message", roomstest.Message("hi"))
	return err
}

func TestDoingItAgainAddsNothing(t *testing.T) {
	h := newEnv(t)
	room := h.Public(carol)
	ctx := t.Context()
	for name, act := range map[string]func() error{
		"join":   func() error { return h.Rooms.Join(ctx, carol, room, "again") },
		"invite": func() error { return h.Rooms.Invite(ctx, alice, room, bob, "come") },
		"ban":    func() error { return h.Rooms.Ban(ctx, alice, room, dave, "spam") },
	} {
		h.OK(act())
		count := len(h.History(alice, room))
		h.OK(act())
		if now := len(h.History(alice, room)); now != count {
			t.Errorf("to %s again has added %d events", name, now-count)
		}
	}
	h.Leave(carol, room)
	count := len(h.History(alice, room))
	h.Leave(carol, room)
	if now := len(h.History(alice, room)); now != count {
		t.Errorf("to leave again has added %d events", now-count)
	}
}

func TestJoiningManyTimesAtOnceAddsOneEvent(t *testing.T) {
	h := newEnv(t)
	room := h.Public()
	count := len(h.History(alice, room))
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() { matrixtest.WantCode(t, h.Rooms.Join(t.Context(), bob, room, ""), "", "join") })
	}
	wg.Wait()
	if now := len(h.History(alice, room)); now != count+1 {
		t.Errorf("joining has added %d events", now-count)
	}
}

func TestNobodyElseSetsAJoin(t *testing.T) {
	h := newEnv(t)
	room := h.Public()
	matrixtest.WantCode(t, h.TrySetState(alice, room, event.TypeMember, bob, `{"membership":"join"}`), matrix.Forbidden, "alice makes bob join")
	h.Invite(alice, room, bob)
	matrixtest.WantCode(t, h.TrySetState(alice, room, event.TypeMember, bob, `{"membership":"join"}`), matrix.Forbidden, "after an invite")
	matrixtest.WantCode(t, h.TrySetState(alice, room, event.TypeMember, bob, `{"membership":"knock"}`), matrix.Forbidden, "alice makes bob knock")
	h.WantMembership(room, bob, "invite")
}

func TestWhoMayBeATarget(t *testing.T) {
	h := newEnv(t)
	room := h.Public()
	ctx := t.Context()
	long := "@" + strings.Repeat("x", 255) + ":localhost"
	for _, c := range []struct {
		target      string
		invite, ban matrix.Code
	}{
		{"@nobody:localhost", "", ""}, // may register later
		{"@UPPER:localhost", "", ""},  // a historical ID
		{"@x:elsewhere.example", matrix.Forbidden, ""},
		{"bob", matrix.InvalidParam, matrix.InvalidParam},
		{"", matrix.InvalidParam, matrix.InvalidParam},
		{"@bob", matrix.InvalidParam, matrix.InvalidParam},
		{"@bob:", matrix.InvalidParam, matrix.InvalidParam},
		{"@b\x00b:localhost", matrix.InvalidParam, matrix.InvalidParam},
		{"@b\xffb:localhost", matrix.InvalidParam, matrix.InvalidParam},
		{long, matrix.InvalidParam, matrix.InvalidParam},
	} {
		matrixtest.WantCode(t, h.Rooms.Invite(ctx, alice, room, c.target, ""), c.invite, fmt.Sprintf("invite %q", c.target))
		matrixtest.WantCode(t, h.Rooms.Ban(ctx, alice, room, c.target, ""), c.ban, fmt.Sprintf("ban %q", c.target))
		err := h.TrySetState(alice, room, event.TypeMember, c.target, `{"membership":"ban","reason":"as state"}`)
		if c.ban != "" && err == nil {
			t.Errorf("state bans %q", c.target)
		}
		forClient(t, "ban as state", err)
		forClient(t, "kick", h.Rooms.Kick(ctx, alice, room, c.target, ""))
		forClient(t, "unban", h.Rooms.Unban(ctx, alice, room, c.target, ""))
	}
}

func TestMembershipThatIsNone(t *testing.T) {
	h := newEnv(t)
	room := h.Public()
	for _, c := range []struct {
		content string
		code    matrix.Code
	}{
		{`{}`, matrix.BadJSON},
		{`[]`, matrix.BadJSON},
		{`null`, matrix.BadJSON},
		{`"join"`, matrix.BadJSON},
		{`{"membership":null}`, matrix.BadJSON},
		{`{"membership":7}`, matrix.BadJSON},
		{`{"Membership":"join"}`, matrix.BadJSON},
		{`{"membership":"absent"}`, matrix.Forbidden},
		{`{"membership":"join\u0000"}`, matrix.Forbidden},
		{`{"membership":"join","n":1.5}`, matrix.BadJSON},
	} {
		matrixtest.WantCode(t, h.TrySetState(alice, room, event.TypeMember, alice, c.content), c.code, c.content)
	}
}

func TestStateMayShowAnotherNameInOneRoom(t *testing.T) {
	h := newEnv(t)
	who := h.Account("bob")
	h.SetProfile(who, "displayname", "Bob")
	room := h.Public()
	h.SetState(bob, room, event.TypeMember, bob, `{"membership":"join"}`)
	h.WantContent(alice, room, event.TypeMember, bob, `{"membership":"join","displayname":"Bob"}`)
	h.SetState(bob, room, event.TypeMember, bob, `{"membership":"join","displayname":"Roberto","org.example":1}`)
	h.WantContent(alice, room, event.TypeMember, bob, `{"membership":"join","displayname":"Roberto","org.example":1}`)
}

func TestUnknownRooms(t *testing.T) {
	h := newEnv(t)
	ctx := t.Context()
	const none = "!none:localhost"
	matrixtest.WantCode(t, h.Rooms.Join(ctx, alice, none, ""), matrix.NotFound, "join")
	matrixtest.WantCode(t, h.Rooms.Knock(ctx, alice, none, ""), matrix.NotFound, "knock")
	matrixtest.WantCode(t, h.Rooms.Forget(ctx, alice, none), matrix.NotFound, "forget")
	matrixtest.WantCode(t, h.Rooms.Leave(ctx, alice, none, ""), matrix.Forbidden, "leave")
	matrixtest.WantCode(t, h.Rooms.Invite(ctx, alice, none, bob, ""), matrix.Forbidden, "invite")
	matrixtest.WantCode(t, h.Rooms.Kick(ctx, alice, none, bob, ""), matrix.Forbidden, "kick")
	matrixtest.WantCode(t, h.Rooms.Ban(ctx, alice, none, bob, ""), matrix.Forbidden, "ban")
	matrixtest.WantCode(t, h.TrySetState(alice, none, event.TypeMember, alice, `{"membership":"join"}`), matrix.Forbidden, "join state")
	for _, bad := range []string{"", "none", "!", "#alias:localhost", "!a\x00b", "!\xff", "!" + strings.Repeat("x", 255)} {
		matrixtest.WantCode(t, h.Rooms.Join(ctx, alice, bad, ""), matrix.InvalidParam, fmt.Sprintf("join %q", bad))
		matrixtest.WantCode(t, h.Rooms.Leave(ctx, alice, bad, ""), matrix.InvalidParam, fmt.Sprintf("leave %q", bad))
	}
}

func TestReasonsStandInTheMemberEvents(t *testing.T) {
	h := newEnv(t)
	ctx := t.Context()
	room := h.withRule("knock")
	steps := []struct {
		do   func() error
		want string
	}{
		{func() error { return h.Rooms.Knock(ctx, bob, room, "please") }, `{"membership":"knock","reason":"please"}`},
		{func() error { return h.Rooms.Invite(ctx, alice, room, bob, "fine") }, `{"membership":"invite","reason":"fine"}`},
		{func() error { return h.Rooms.Join(ctx, bob, room, "thanks") }, `{"membership":"join","reason":"thanks"}`},
		{func() error { return h.Rooms.Kick(ctx, alice, room, bob, "rude") }, `{"membership":"leave","reason":"rude"}`},
		{func() error { return h.Rooms.Ban(ctx, alice, room, bob, "still") }, `{"membership":"ban","reason":"still"}`},
		{func() error { return h.Rooms.Unban(ctx, alice, room, bob, "well") }, `{"membership":"leave","reason":"well"}`},
	}
	for _, step := range steps {
		h.OK(step.do())
		h.WantContent(alice, room, event.TypeMember, bob, step.want)
	}
}

func TestDeactivationLeavesEveryRoom(t *testing.T) {
	h := newEnv(t)
	ctx := t.Context()
	joined, invited, knocked := h.Public(bob), h.withRule("invite"), h.withRule("knock")
	left, banned := h.Public(bob), h.Public(bob)
	h.Invite(alice, invited, bob)
	h.OK(h.Rooms.Knock(ctx, bob, knocked, ""))
	h.Leave(bob, left)
	h.OK(h.Rooms.Ban(ctx, alice, banned, bob, ""))
	for range 2 { // and once more, as after a restart
		h.OK(h.Rooms.LeaveAll(ctx, bob))
		for _, room := range []string{joined, invited, knocked, left} {
			h.WantMembership(room, bob, "leave")
		}
		h.WantMembership(banned, bob, "ban")
	}
	list, err := h.Rooms.Timeline.JoinedRooms(ctx, bob)
	h.OK(err)
	matrixtest.Equal(t, "joined rooms", list, []string{})
}

func TestJoinedRooms(t *testing.T) {
	h := newEnv(t)
	first, second, third := h.Public(bob), h.Public(bob), h.Public()
	h.Invite(alice, third, bob)
	h.Leave(bob, first)
	list, err := h.Rooms.Timeline.JoinedRooms(t.Context(), bob)
	h.OK(err)
	matrixtest.Equal(t, "joined rooms", list, []string{second})
	list, err = h.Rooms.Timeline.JoinedRooms(t.Context(), "@nobody:localhost")
	h.OK(err)
	if list == nil || len(list) != 0 {
		t.Errorf("the rooms of nobody are %v", list)
	}
}

func TestNumbersOfMembersAreRight(t *testing.T) {
	h := newEnv(t)
	room := h.Public(bob, carol)
	ctx := t.Context()
	h.Invite(alice, room, dave)
	h.Leave(bob, room)
	h.Join(bob, room)
	h.OK(h.Rooms.Ban(ctx, alice, room, carol, ""))
	h.Invite(alice, room, "@erin:localhost")
	h.Leave("@erin:localhost", room)
	var joined, invited int
	h.OK(h.Pool.QueryRow(ctx, `SELECT joined_members, invited_members FROM rooms WHERE room_id = $1`, room).Scan(&joined, &invited))
	if joined != 2 || invited != 1 {
		t.Errorf("the room counts %d joined and %d invited members, want 2 and 1", joined, invited)
	}
}
