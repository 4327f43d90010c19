package rooms_test

import (
	"encoding/json"
	"fmt"
	"testing"

	"homeserver/internal/event"
	"homeserver/internal/matrix"
	"homeserver/internal/matrixtest"
	"homeserver/internal/rooms"
	"homeserver/internal/rooms/roomstest"
)

// allowing returns the content of join rules that allow the members of other rooms to join.
func allowing(rule string, others ...string) string {
	allow := make([]map[string]string, len(others))
	for i, room := range others {
		allow[i] = map[string]string{"type": "m.room_membership", "room_id": room}
	}
	return string(roomstest.Raw(map[string]any{"join_rule": rule, "allow": allow}))
}

func (h *env) restricted(version int, rule string, others ...string) string {
	h.T.Helper()
	return h.Create(alice, rooms.CreateRequest{
		RoomVersion: fmt.Sprint(version),
		InitialState: []rooms.InitialState{
			{Type: event.TypeJoinRules, Content: json.RawMessage(allowing(rule, others...))},
		},
	})
}

func TestJoinRulesExistFromTheirVersionOn(t *testing.T) {
	h := newEnv(t)
	hall := h.Public(bob)
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
			matrixtest.WantCode(t, h.Rooms.Join(t.Context(), bob, room, ""), want[c.joins], what+"a member of the hall joins")
			matrixtest.WantCode(t, h.Rooms.Join(t.Context(), carol, room, ""), want[c.rule == "public"], what+"a stranger joins")
			matrixtest.WantCode(t, h.Rooms.Knock(t.Context(), dave, room, ""), want[c.knocks], what+"a stranger knocks")
		}
	}
}

func TestRestrictedJoinNamesWhoAllowsIt(t *testing.T) {
	h := newEnv(t)
	hall := h.Public(bob, carol)
	for version := 8; version <= 12; version++ {
		room := h.restricted(version, "restricted", hall)
		h.Join(bob, room)
		h.WantContent(alice, room, event.TypeMember, bob, `{"membership":"join","join_authorised_via_users_server":"`+alice+`"}`)
		h.Leave(bob, room)
		h.SetState(bob, room, event.TypeMember, bob, `{"membership":"join"}`) // as state it is the same
		h.WantContent(alice, room, event.TypeMember, bob, `{"membership":"join","join_authorised_via_users_server":"`+alice+`"}`)
		h.Invite(alice, room, carol)
		h.Join(carol, room) // an invite needs no authorising member
		h.WantContent(alice, room, event.TypeMember, carol, `{"membership":"join"}`)
	}
}

func TestNobodyLetsThemselvesIntoARestrictedRoom(t *testing.T) {
	h := newEnv(t)
	room := h.restricted(11, "restricted", h.Public())
	for _, vouching := range []string{alice, bob, "@nobody:localhost"} {
		content := `{"membership":"join","join_authorised_via_users_server":"` + vouching + `"}`
		matrixtest.WantCode(t, h.TrySetState(bob, room, event.TypeMember, bob, content), matrix.Forbidden, "in the name of "+vouching)
	}
	h.WantMembership(room, bob, "")
}

func TestWhoLetsAUserInIsNotForTheUserToSay(t *testing.T) {
	h := newEnv(t)
	room := h.restricted(11, "restricted", h.Public(bob))
	h.SetState(bob, room, event.TypeMember, bob, `{"membership":"join","join_authorised_via_users_server":"@nobody:localhost"}`)
	h.WantContent(alice, room, event.TypeMember, bob, `{"membership":"join","join_authorised_via_users_server":"`+alice+`"}`)
	open := h.Public()
	h.SetState(bob, open, event.TypeMember, bob, `{"membership":"join","join_authorised_via_users_server":"`+alice+`"}`)
	h.WantContent(alice, open, event.TypeMember, bob, `{"membership":"join"}`)
}

func TestConditionsOfRestrictedRooms(t *testing.T) {
	h := newEnv(t)
	hall, other := h.Public(bob), h.Public()
	left := h.Public(bob)
	h.Leave(bob, left)
	invited := h.withRule("invite")
	h.Invite(alice, invited, bob)
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
		room := h.Create(alice, rooms.CreateRequest{InitialState: []rooms.InitialState{
			{Type: event.TypeJoinRules, Content: json.RawMessage(`{"join_rule":"restricted","allow":` + c.allow + `}`)},
		}})
		matrixtest.WantCode(t, h.Rooms.Join(t.Context(), bob, room, ""), c.code, name)
	}
}

func TestConditionsCountOnlyWhenJoining(t *testing.T) {
	h := newEnv(t)
	hall := h.Public(bob)
	room := h.restricted(11, "restricted", hall)
	h.Join(bob, room)
	h.Leave(bob, hall)
	h.Send(bob, room, "still here")
	h.Join(bob, room)
	h.Leave(bob, room)
	matrixtest.WantCode(t, h.Rooms.Join(t.Context(), bob, room, ""), matrix.Forbidden, "once out")
}

func TestWhoseWordCounts(t *testing.T) {
	h := newEnv(t)
	for version := 8; version <= 12; version++ {
		hall := h.Public(bob, carol, dave)
		room := h.restricted(version, "restricted", hall)
		h.Invite(alice, room, carol)
		h.Join(carol, room)
		levels := map[string]any{"invite": 50, "users": map[string]int{carol: 50}}
		if version < 12 {
			levels["users"] = map[string]int{alice: 100, carol: 50}
		}
		h.SetState(alice, room, event.TypePowerLevels, "", string(roomstest.Raw(levels)))
		h.SetState(alice, room, "m.room.history_visibility", "", `{"history_visibility":"world_readable"}`)
		h.Leave(alice, room)
		h.Join(bob, room)
		h.WantContent(bob, room, event.TypeMember, bob, `{"membership":"join","join_authorised_via_users_server":"`+carol+`"}`)
		h.Leave(carol, room)
		matrixtest.WantCode(t, h.Rooms.Join(t.Context(), dave, room, ""), matrix.UnableToGrantJoin, fmt.Sprintf("version %d: with nobody to allow it", version))
	}
}

// A rule that the version does not have is no reason to look for somebody who vouches.
func TestNobodyVouchesByARuleThatTheVersionDoesNotHave(t *testing.T) {
	h := newEnv(t)
	room := h.restricted(9, "knock_restricted", h.Public(bob))
	h.SetState(alice, room, "m.room.history_visibility", "", `{"history_visibility":"world_readable"}`)
	h.Leave(alice, room)
	matrixtest.WantCode(t, h.Rooms.Join(t.Context(), bob, room, ""), matrix.Forbidden, "join")
}

func TestEverybodyMayVouchWhereEverybodyMayInvite(t *testing.T) {
	h := newEnv(t)
	hall := h.Public(bob, carol, dave)
	room := h.restricted(11, "restricted", hall)
	h.Join(bob, room)
	h.Join(dave, room)
	h.SetPower(room, map[string]int{alice: 100, dave: -1})
	h.Leave(alice, room)
	h.Join(carol, room)
	h.WantContent(bob, room, event.TypeMember, carol, `{"membership":"join","join_authorised_via_users_server":"`+bob+`"}`)
	h.Leave(bob, room)
	h.Leave(carol, room)
	matrixtest.WantCode(t, h.Rooms.Join(t.Context(), carol, room, ""), matrix.UnableToGrantJoin, "the last one may not invite")
}

func TestBannedUserMeetsNoCondition(t *testing.T) {
	h := newEnv(t)
	room := h.restricted(11, "restricted", h.Public(bob))
	h.OK(h.Rooms.Ban(t.Context(), alice, room, bob, ""))
	matrixtest.WantCode(t, h.Rooms.Join(t.Context(), bob, room, ""), matrix.Forbidden, "join")
}

func TestKnockIsAnsweredByWhoMay(t *testing.T) {
	h := newEnv(t)
	ctx := t.Context()
	room := h.withRule("knock")
	h.Invite(alice, room, carol)
	h.Join(carol, room)
	h.OK(h.Rooms.Knock(ctx, bob, room, ""))
	matrixtest.WantCode(t, h.Rooms.Kick(ctx, carol, room, bob, ""), matrix.Forbidden, "a member denies")
	matrixtest.WantCode(t, h.Rooms.Invite(ctx, carol, room, bob, ""), "", "a member accepts")
	h.Join(bob, room)
	h.OK(h.Rooms.Knock(ctx, dave, room, ""))
	h.OK(h.Rooms.Kick(ctx, alice, room, dave, "not now"))
	h.WantMembership(room, dave, "leave")
	h.OK(h.Rooms.Knock(ctx, dave, room, "again"))
	h.WantMembership(room, dave, "knock")
	matrixtest.WantCode(t, h.trySend(dave, room), matrix.Forbidden, "who knocks sends")
	matrixtest.WantCode(t, h.Rooms.Invite(ctx, dave, room, "@x:localhost", ""), matrix.Forbidden, "who knocks invites")
}

func TestKnockShowsTheProfile(t *testing.T) {
	h := newEnv(t)
	h.SetProfile(h.Account("bob"), "displayname", "Bob")
	room := h.withRule("knock")
	h.OK(h.Rooms.Knock(t.Context(), bob, room, ""))
	h.WantContent(alice, room, event.TypeMember, bob, `{"membership":"knock","displayname":"Bob"}`)
	h.Leave(bob, room)
	h.SetState(bob, room, event.TypeMember, bob, `{"membership":"knock"}`)
	h.WantContent(alice, room, event.TypeMember, bob, `{"membership":"knock","displayname":"Bob"}`)
}
