package rooms_test

import (
	"encoding/json"
	"fmt"
	"testing"

	"homeserver/internal/event"
	"homeserver/internal/matrix"
	"homeserver/internal/rooms"
)

// allowing is the content of join rules that let in the members of other rooms.
func allowing(rule string, others ...string) string {
	allow := make([]map[string]string, len(others))
	for i, room := range others {
		allow[i] = map[string]string{"type": "m.room_membership", "room_id": room}
	}
	return string(raw(map[string]any{"join_rule": rule, "allow": allow}))
}

func (h *house) restricted(version int, rule string, others ...string) string {
	h.t.Helper()
	return h.create(alice, rooms.CreateRequest{
		RoomVersion: fmt.Sprint(version),
		InitialState: []rooms.InitialState{
			{Type: event.TypeJoinRules, Content: json.RawMessage(allowing(rule, others...))},
		},
	})
}

func TestJoinRulesExistFromTheirVersionOn(t *testing.T) {
	h := newHouse(t)
	hall := h.public(bob)
	for version := 1; version <= 12; version++ {
		for _, c := range []struct {
			rule          string
			joins, knocks bool
		}{
			{"public", true, false},
			{"invite", false, false},
			{"private", false, false},
			{"org.example", false, false},
			{"knock", false, version >= 7},
			{"restricted", version >= 8, false},
			{"knock_restricted", version >= 10, version >= 10},
		} {
			room := h.restricted(version, c.rule, hall)
			what := fmt.Sprintf("version %d, %s: ", version, c.rule)
			want := map[bool]matrix.Code{true: "", false: matrix.Forbidden}
			expect(t, what+"a member of the hall joins", h.Join(t.Context(), bob, room, ""), want[c.joins])
			expect(t, what+"a stranger joins", h.Join(t.Context(), carol, room, ""), want[c.rule == "public"])
			expect(t, what+"a stranger knocks", h.Knock(t.Context(), dave, room, ""), want[c.knocks])
		}
	}
}

func TestRestrictedJoinNamesWhoAllowsIt(t *testing.T) {
	h := newHouse(t)
	hall := h.public(bob, carol)
	for version := 8; version <= 12; version++ {
		room := h.restricted(version, "restricted", hall)
		h.join(bob, room)
		h.wantContent(alice, room, event.TypeMember, bob, `{"membership":"join","join_authorised_via_users_server":"`+alice+`"}`)
		h.leave(bob, room)
		h.set(bob, room, event.TypeMember, bob, `{"membership":"join"}`) // as state it is the same
		h.wantContent(alice, room, event.TypeMember, bob, `{"membership":"join","join_authorised_via_users_server":"`+alice+`"}`)
		h.invite(alice, room, carol)
		h.join(carol, room) // an invite needs nobody's word
		h.wantContent(alice, room, event.TypeMember, carol, `{"membership":"join"}`)
	}
}

func TestNobodyLetsThemselvesIntoARestrictedRoom(t *testing.T) {
	h := newHouse(t)
	room := h.restricted(11, "restricted", h.public())
	for _, vouching := range []string{alice, bob, "@nobody:localhost"} {
		content := `{"membership":"join","join_authorised_via_users_server":"` + vouching + `"}`
		expect(t, "in the name of "+vouching, h.trySet(bob, room, event.TypeMember, bob, content), matrix.Forbidden)
	}
	h.wantMembership(room, bob, "")
}

func TestWhoLetsAUserInIsNotForTheUserToSay(t *testing.T) {
	h := newHouse(t)
	room := h.restricted(11, "restricted", h.public(bob))
	h.set(bob, room, event.TypeMember, bob, `{"membership":"join","join_authorised_via_users_server":"@nobody:localhost"}`)
	h.wantContent(alice, room, event.TypeMember, bob, `{"membership":"join","join_authorised_via_users_server":"`+alice+`"}`)
	open := h.public()
	h.set(bob, open, event.TypeMember, bob, `{"membership":"join","join_authorised_via_users_server":"`+alice+`"}`)
	h.wantContent(alice, open, event.TypeMember, bob, `{"membership":"join"}`)
}

func TestConditionsOfRestrictedRooms(t *testing.T) {
	h := newHouse(t)
	hall, other := h.public(bob), h.public()
	left := h.public(bob)
	h.leave(bob, left)
	invited := h.withRule("invite")
	h.invite(alice, invited, bob)
	condition := func(kind, room string) string {
		return `{"type":"` + kind + `","room_id":"` + room + `"}`
	}
	for name, c := range map[string]struct {
		allow string
		code  matrix.Code
	}{
		"joined":                 {`[` + condition("m.room_membership", hall) + `]`, ""},
		"one of several":         {`[7,` + condition("m.room_membership", other) + `,` + condition("m.room_membership", hall) + `]`, ""},
		"not joined":             {`[` + condition("m.room_membership", other) + `]`, matrix.Forbidden},
		"has left":               {`[` + condition("m.room_membership", left) + `]`, matrix.Forbidden},
		"invited only":           {`[` + condition("m.room_membership", invited) + `]`, matrix.Forbidden},
		"room unknown":           {`[` + condition("m.room_membership", "!none:localhost") + `]`, matrix.Forbidden},
		"room with NUL":          {`[` + condition("m.room_membership", `!a\u0000`) + `]`, matrix.Forbidden},
		"another condition":      {`[` + condition("org.example.fee", hall) + `]`, matrix.Forbidden},
		"keys in capitals":       {`[{"Type":"m.room_membership","Room_ID":"` + hall + `"}]`, matrix.Forbidden},
		"no condition":           {`[]`, matrix.Forbidden},
		"conditions are no list": {`"` + hall + `"`, matrix.Forbidden},
		"null":                   {`null`, matrix.Forbidden},
	} {
		room := h.create(alice, rooms.CreateRequest{InitialState: []rooms.InitialState{
			{Type: event.TypeJoinRules, Content: json.RawMessage(`{"join_rule":"restricted","allow":` + c.allow + `}`)},
		}})
		expect(t, name, h.Join(t.Context(), bob, room, ""), c.code)
	}
}

func TestConditionsCountOnlyWhenJoining(t *testing.T) {
	h := newHouse(t)
	hall := h.public(bob)
	room := h.restricted(11, "restricted", hall)
	h.join(bob, room)
	h.leave(bob, hall)
	h.send(bob, room, "still here")
	h.join(bob, room)
	h.leave(bob, room)
	expect(t, "once out", h.Join(t.Context(), bob, room, ""), matrix.Forbidden)
}

func TestWhoseWordCounts(t *testing.T) {
	h := newHouse(t)
	for version := 8; version <= 12; version++ {
		hall := h.public(bob, carol, dave)
		room := h.restricted(version, "restricted", hall)
		h.invite(alice, room, carol)
		h.join(carol, room)
		levels := map[string]any{"invite": 50, "users": map[string]int{carol: 50}}
		if version < 12 {
			levels["users"] = map[string]int{alice: 100, carol: 50}
		}
		h.set(alice, room, event.TypePowerLevels, "", string(raw(levels)))
		h.set(alice, room, "m.room.history_visibility", "", `{"history_visibility":"world_readable"}`)
		h.leave(alice, room)
		h.join(bob, room)
		h.wantContent(bob, room, event.TypeMember, bob, `{"membership":"join","join_authorised_via_users_server":"`+carol+`"}`)
		h.leave(carol, room)
		expect(t, fmt.Sprintf("version %d: with nobody to allow it", version), h.Join(t.Context(), dave, room, ""), matrix.UnableToGrantJoin)
	}
}

func TestEverybodyMayVouchWhereEverybodyMayInvite(t *testing.T) {
	h := newHouse(t)
	hall := h.public(bob, carol, dave)
	room := h.restricted(11, "restricted", hall)
	h.join(bob, room)
	h.join(dave, room)
	h.power(room, map[string]int{alice: 100, dave: -1})
	h.leave(alice, room)
	h.join(carol, room)
	h.wantContent(bob, room, event.TypeMember, carol, `{"membership":"join","join_authorised_via_users_server":"`+bob+`"}`)
	h.leave(bob, room)
	h.leave(carol, room)
	expect(t, "the last one may not invite", h.Join(t.Context(), carol, room, ""), matrix.UnableToGrantJoin)
}

func TestBannedUserMeetsNoCondition(t *testing.T) {
	h := newHouse(t)
	room := h.restricted(11, "restricted", h.public(bob))
	h.ok(h.Ban(t.Context(), alice, room, bob, ""))
	expect(t, "join", h.Join(t.Context(), bob, room, ""), matrix.Forbidden)
}

func TestKnockIsAnsweredByWhoMay(t *testing.T) {
	h := newHouse(t)
	ctx := t.Context()
	room := h.withRule("knock")
	h.invite(alice, room, carol)
	h.join(carol, room)
	h.ok(h.Knock(ctx, bob, room, ""))
	expect(t, "a member denies", h.Kick(ctx, carol, room, bob, ""), matrix.Forbidden)
	expect(t, "a member accepts", h.Invite(ctx, carol, room, bob, ""), "")
	h.join(bob, room)
	h.ok(h.Knock(ctx, dave, room, ""))
	h.ok(h.Kick(ctx, alice, room, dave, "not now"))
	h.wantMembership(room, dave, "leave")
	h.ok(h.Knock(ctx, dave, room, "again"))
	h.wantMembership(room, dave, "knock")
	expect(t, "who knocks sends", h.trySend(dave, room), matrix.Forbidden)
	expect(t, "who knocks invites", h.Invite(ctx, dave, room, "@x:localhost", ""), matrix.Forbidden)
}

func TestKnockShowsTheProfile(t *testing.T) {
	h := newHouse(t)
	h.profile(h.account("bob"), "displayname", "Bob")
	room := h.withRule("knock")
	h.ok(h.Knock(t.Context(), bob, room, ""))
	h.wantContent(alice, room, event.TypeMember, bob, `{"membership":"knock","displayname":"Bob"}`)
	h.leave(bob, room)
	h.set(bob, room, event.TypeMember, bob, `{"membership":"knock"}`)
	h.wantContent(alice, room, event.TypeMember, bob, `{"membership":"knock","displayname":"Bob"}`)
}
