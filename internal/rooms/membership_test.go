package rooms_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	"homeserver/internal/event"
	"homeserver/internal/matrix"
	"homeserver/internal/rooms"
)

// before brings bob into a membership in a room of alice's.
var before = map[string]func(h *house, room string){
	"stranger": func(*house, string) {},
	"invited":  func(h *house, room string) { h.invite(alice, room, bob) },
	"joined":   func(h *house, room string) { h.invite(alice, room, bob); h.join(bob, room) },
	"left":     func(h *house, room string) { h.invite(alice, room, bob); h.join(bob, room); h.leave(bob, room) },
	"refused":  func(h *house, room string) { h.invite(alice, room, bob); h.leave(bob, room) },
	"banned":   func(h *house, room string) { h.ok(h.Ban(h.t.Context(), alice, room, bob, "")) },
	"knocking": func(h *house, room string) { h.ok(h.Knock(h.t.Context(), bob, room, "")) },
}

// acts are what somebody may try to do about bob's membership.
var acts = map[string]func(h *house, who, room string) error{
	"join":   func(h *house, who, room string) error { return h.Join(h.t.Context(), who, room, "") },
	"leave":  func(h *house, who, room string) error { return h.Leave(h.t.Context(), who, room, "") },
	"knock":  func(h *house, who, room string) error { return h.Knock(h.t.Context(), who, room, "") },
	"invite": func(h *house, who, room string) error { return h.Invite(h.t.Context(), who, room, bob, "") },
	"kick":   func(h *house, who, room string) error { return h.Kick(h.t.Context(), who, room, bob, "") },
	"ban":    func(h *house, who, room string) error { return h.Ban(h.t.Context(), who, room, bob, "") },
	"unban":  func(h *house, who, room string) error { return h.Unban(h.t.Context(), who, room, bob, "") },
}

// transitions says what each act makes of bob's membership; "" means that it is
// forbidden. Client-server API, "Room membership".
type transitions map[string]map[string]string

// public is under the join rule public, byKnock under knock. What alice does is
// as the creator.
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

func (h *house) withRule(rule string) string {
	return h.create(alice, rooms.CreateRequest{InitialState: []rooms.InitialState{
		{Type: event.TypeJoinRules, Content: raw(map[string]string{"join_rule": rule})},
	}})
}

func TestEveryChangeOfMembership(t *testing.T) {
	for rule, table := range map[string]transitions{"public": public, "knock": byKnock} {
		t.Run(rule, func(t *testing.T) {
			h := newHouse(t)
			for from, outcomes := range table {
				for act, want := range outcomes {
					room := h.withRule(rule)
					before[from](h, room)
					was := h.membership(room, bob)
					who := alice
					if act == "join" || act == "leave" || act == "knock" {
						who = bob
					}
					err := acts[act](h, who, room)
					if want == "" {
						want = was
						expect(t, fmt.Sprintf("%s, then %s", from, act), err, matrix.Forbidden)
					} else {
						expect(t, fmt.Sprintf("%s, then %s", from, act), err, "")
					}
					if got := h.membership(room, bob); got != want {
						t.Errorf("%s, then %s: membership %q, want %q", from, act, got, want)
					}
				}
			}
		})
	}
}

func TestStateEventsChangeMembershipByTheSameRules(t *testing.T) {
	h := newHouse(t)
	content := map[string]string{
		"join": "join", "leave": "leave", "knock": "knock", "invite": "invite", "kick": "leave", "ban": "ban", "unban": "leave",
	}
	for from, outcomes := range byKnock {
		for act, want := range outcomes {
			if act == "kick" || act == "unban" { // one and the same as state
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
			was := h.membership(room, bob)
			who := alice
			if act == "join" || act == "leave" || act == "knock" {
				who = bob
			}
			err := h.trySet(who, room, event.TypeMember, bob, `{"membership":"`+content[act]+`"}`)
			code := matrix.Code("")
			if want == "" {
				want, code = was, matrix.Forbidden
			}
			expect(t, fmt.Sprintf("%s, then %s as state", from, act), err, code)
			if got := h.membership(room, bob); got != want {
				t.Errorf("%s, then %s as state: membership %q, want %q", from, act, got, want)
			}
		}
	}
}

func TestOrdinaryMembersMayInviteButNotModerate(t *testing.T) {
	h := newHouse(t)
	for from, outcomes := range public {
		for _, act := range []string{"invite", "kick", "ban", "unban"} {
			room := h.public(carol)
			before[from](h, room)
			want := matrix.Forbidden
			if act == "invite" && outcomes[act] != "" {
				want = ""
			}
			expect(t, fmt.Sprintf("a member: %s, then %s", from, act), acts[act](h, carol, room), want)
			expect(t, fmt.Sprintf("a stranger: %s, then %s", from, act), acts[act](h, dave, room), matrix.Forbidden)
		}
	}
}

func TestPowerDecidesWhoModeratesWhom(t *testing.T) {
	h := newHouse(t)
	room := h.public(bob, carol, dave)
	h.power(room, map[string]int{alice: 100, bob: 50, carol: 50, dave: 49})
	ctx := t.Context()
	expect(t, "equals kick", h.Kick(ctx, bob, room, carol, ""), matrix.Forbidden)
	expect(t, "lower kicks higher", h.Kick(ctx, bob, room, alice, ""), matrix.Forbidden)
	expect(t, "too low to kick", h.Kick(ctx, dave, room, "@nobody:localhost", ""), matrix.Forbidden)
	expect(t, "higher kicks lower", h.Kick(ctx, bob, room, dave, ""), "")
	expect(t, "higher bans lower", h.Ban(ctx, carol, room, dave, "again"), "")
	expect(t, "another unbans", h.Unban(ctx, bob, room, dave, ""), "")
	expect(t, "kicking oneself is leaving", h.Kick(ctx, bob, room, bob, ""), "")
	h.wantMembership(room, bob, "leave")
}

func TestBanIsLiftedBeforeJoiningAgain(t *testing.T) {
	h := newHouse(t)
	room := h.public(bob)
	ctx := t.Context()
	h.ok(h.Ban(ctx, alice, room, bob, "spam"))
	h.wantContent(alice, room, event.TypeMember, bob, `{"membership":"ban","reason":"spam"}`)
	expect(t, "a banned user joins", h.Join(ctx, bob, room, ""), matrix.Forbidden)
	expect(t, "a banned user is invited", h.Invite(ctx, alice, room, bob, ""), matrix.Forbidden)
	expect(t, "a banned user sends", h.trySend(bob, room), matrix.Forbidden)
	expect(t, "a banned user unbans themself", h.Unban(ctx, bob, room, bob, ""), matrix.Forbidden)
	h.ok(h.Unban(ctx, alice, room, bob, "sorry"))
	h.wantContent(alice, room, event.TypeMember, bob, `{"membership":"leave","reason":"sorry"}`)
	h.join(bob, room)
	h.send(bob, room, "back")
}

func (h *house) trySend(user, room string) error {
	_, err := h.Send(h.t.Context(), as(user, room), "m.room.message", message("hi"))
	return err
}

func TestDoingItAgainAddsNothing(t *testing.T) {
	h := newHouse(t)
	room := h.public(carol)
	ctx := t.Context()
	for name, act := range map[string]func() error{
		"join":   func() error { return h.Join(ctx, carol, room, "again") },
		"invite": func() error { return h.Invite(ctx, alice, room, bob, "come") },
		"ban":    func() error { return h.Ban(ctx, alice, room, dave, "spam") },
	} {
		h.ok(act())
		count := len(h.history(alice, room))
		h.ok(act())
		if now := len(h.history(alice, room)); now != count {
			t.Errorf("to %s again has added %d events", name, now-count)
		}
	}
	h.leave(carol, room)
	count := len(h.history(alice, room))
	h.leave(carol, room)
	if now := len(h.history(alice, room)); now != count {
		t.Errorf("to leave again has added %d events", now-count)
	}
}

func TestJoiningManyTimesAtOnceAddsOneEvent(t *testing.T) {
	h := newHouse(t)
	room := h.public()
	count := len(h.history(alice, room))
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() { expect(t, "join", h.Join(t.Context(), bob, room, ""), "") })
	}
	wg.Wait()
	if now := len(h.history(alice, room)); now != count+1 {
		t.Errorf("joining has added %d events", now-count)
	}
}

func TestNobodyElseSetsAJoin(t *testing.T) {
	h := newHouse(t)
	room := h.public()
	expect(t, "alice makes bob join", h.trySet(alice, room, event.TypeMember, bob, `{"membership":"join"}`), matrix.Forbidden)
	h.invite(alice, room, bob)
	expect(t, "after an invite", h.trySet(alice, room, event.TypeMember, bob, `{"membership":"join"}`), matrix.Forbidden)
	expect(t, "alice makes bob knock", h.trySet(alice, room, event.TypeMember, bob, `{"membership":"knock"}`), matrix.Forbidden)
	h.wantMembership(room, bob, "invite")
}

func TestWhoMayBeATarget(t *testing.T) {
	h := newHouse(t)
	room := h.public()
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
		expect(t, fmt.Sprintf("invite %q", c.target), h.Invite(ctx, alice, room, c.target, ""), c.invite)
		expect(t, fmt.Sprintf("ban %q", c.target), h.Ban(ctx, alice, room, c.target, ""), c.ban)
		err := h.trySet(alice, room, event.TypeMember, c.target, `{"membership":"ban","reason":"as state"}`)
		if c.ban != "" && err == nil {
			t.Errorf("state bans %q", c.target)
		}
		forClient(t, "ban as state", err)
		forClient(t, "kick", h.Kick(ctx, alice, room, c.target, ""))
		forClient(t, "unban", h.Unban(ctx, alice, room, c.target, ""))
	}
}

func TestMembershipThatIsNone(t *testing.T) {
	h := newHouse(t)
	room := h.public()
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
		expect(t, c.content, h.trySet(alice, room, event.TypeMember, alice, c.content), c.code)
	}
}

func TestStateMayShowAnotherNameInOneRoom(t *testing.T) {
	h := newHouse(t)
	who := h.account("bob")
	h.profile(who, "displayname", "Bob")
	room := h.public()
	h.set(bob, room, event.TypeMember, bob, `{"membership":"join"}`)
	h.wantContent(alice, room, event.TypeMember, bob, `{"membership":"join","displayname":"Bob"}`)
	h.set(bob, room, event.TypeMember, bob, `{"membership":"join","displayname":"Roberto","org.example":1}`)
	h.wantContent(alice, room, event.TypeMember, bob, `{"membership":"join","displayname":"Roberto","org.example":1}`)
}

func TestUnknownRooms(t *testing.T) {
	h := newHouse(t)
	ctx := t.Context()
	const none = "!none:localhost"
	expect(t, "join", h.Join(ctx, alice, none, ""), matrix.NotFound)
	expect(t, "knock", h.Knock(ctx, alice, none, ""), matrix.NotFound)
	expect(t, "forget", h.Forget(ctx, alice, none), matrix.NotFound)
	expect(t, "leave", h.Leave(ctx, alice, none, ""), matrix.Forbidden)
	expect(t, "invite", h.Invite(ctx, alice, none, bob, ""), matrix.Forbidden)
	expect(t, "kick", h.Kick(ctx, alice, none, bob, ""), matrix.Forbidden)
	expect(t, "ban", h.Ban(ctx, alice, none, bob, ""), matrix.Forbidden)
	expect(t, "join state", h.trySet(alice, none, event.TypeMember, alice, `{"membership":"join"}`), matrix.Forbidden)
	for _, bad := range []string{"", "none", "!", "#alias:localhost", "!a\x00b", "!\xff", "!" + strings.Repeat("x", 255)} {
		expect(t, fmt.Sprintf("join %q", bad), h.Join(ctx, alice, bad, ""), matrix.InvalidParam)
		expect(t, fmt.Sprintf("leave %q", bad), h.Leave(ctx, alice, bad, ""), matrix.InvalidParam)
	}
}

func TestReasonsStandInTheMemberEvents(t *testing.T) {
	h := newHouse(t)
	ctx := t.Context()
	room := h.withRule("knock")
	steps := []struct {
		do   func() error
		want string
	}{
		{func() error { return h.Knock(ctx, bob, room, "please") }, `{"membership":"knock","reason":"please"}`},
		{func() error { return h.Invite(ctx, alice, room, bob, "fine") }, `{"membership":"invite","reason":"fine"}`},
		{func() error { return h.Join(ctx, bob, room, "thanks") }, `{"membership":"join","reason":"thanks"}`},
		{func() error { return h.Kick(ctx, alice, room, bob, "rude") }, `{"membership":"leave","reason":"rude"}`},
		{func() error { return h.Ban(ctx, alice, room, bob, "still") }, `{"membership":"ban","reason":"still"}`},
		{func() error { return h.Unban(ctx, alice, room, bob, "well") }, `{"membership":"leave","reason":"well"}`},
	}
	for _, step := range steps {
		h.ok(step.do())
		h.wantContent(alice, room, event.TypeMember, bob, step.want)
	}
}

func TestDeactivationLeavesEveryRoom(t *testing.T) {
	h := newHouse(t)
	ctx := t.Context()
	joined, invited, knocked := h.public(bob), h.withRule("invite"), h.withRule("knock")
	left, banned := h.public(bob), h.public(bob)
	h.invite(alice, invited, bob)
	h.ok(h.Knock(ctx, bob, knocked, ""))
	h.leave(bob, left)
	h.ok(h.Ban(ctx, alice, banned, bob, ""))
	for range 2 { // and once more, as after a restart
		h.ok(h.LeaveAll(ctx, bob))
		for _, room := range []string{joined, invited, knocked, left} {
			h.wantMembership(room, bob, "leave")
		}
		h.wantMembership(banned, bob, "ban")
	}
	list, err := h.Timeline.JoinedRooms(ctx, bob)
	h.ok(err)
	equal(t, "joined rooms", list, []string{})
}

func TestJoinedRooms(t *testing.T) {
	h := newHouse(t)
	first, second, third := h.public(bob), h.public(bob), h.public()
	h.invite(alice, third, bob)
	h.leave(bob, first)
	list, err := h.Timeline.JoinedRooms(t.Context(), bob)
	h.ok(err)
	equal(t, "joined rooms", list, []string{second})
	list, err = h.Timeline.JoinedRooms(t.Context(), "@nobody:localhost")
	h.ok(err)
	if list == nil || len(list) != 0 {
		t.Errorf("the rooms of nobody are %v", list)
	}
}

func TestNumbersOfMembersAreRight(t *testing.T) {
	h := newHouse(t)
	room := h.public(bob, carol)
	ctx := t.Context()
	h.invite(alice, room, dave)
	h.leave(bob, room)
	h.join(bob, room)
	h.ok(h.Ban(ctx, alice, room, carol, ""))
	h.invite(alice, room, "@erin:localhost")
	h.leave("@erin:localhost", room)
	var joined, invited int
	h.ok(h.pool.QueryRow(ctx, `SELECT joined_members, invited_members FROM rooms WHERE room_id = $1`, room).Scan(&joined, &invited))
	if joined != 2 || invited != 1 {
		t.Errorf("the room counts %d joined and %d invited members, want 2 and 1", joined, invited)
	}
}
