package event

import (
	"testing"

	"homeserver/internal/matrix"
)

// Rules 4.1 and 4.8: the form of m.room.member.
func TestAuthorizeMemberForm(t *testing.T) {
	t.Parallel()
	of := func(content string) Proto { return stateProto(alice, TypeMember, alice, content) }
	runAuthCases(t, []authCase{
		{"no state key", "1-12", nil, Proto{Type: TypeMember, Sender: alice, Content: []byte(`{"membership":"join"}`)}, "has no state key"},
		{"no membership", "1-12", nil, of(`{}`), "has no membership"},
		{"membership null", "1-12", nil, of(`{"membership":null}`), "has no membership"},
		{"membership a number", "1-12", nil, of(`{"membership":1}`), "has no membership"},
		{"empty membership", "1-12", nil, of(`{"membership":""}`), "is not known"},
		{"unknown membership", "1-12", nil, of(`{"membership":"Join"}`), "is not known"},
		{"knock before there was one", "1-6", []stateEvent{joinRule("knock")}, memberProto(stranger, stranger, Knock), "is not known"},
	})
}

// Rule 4.3: join.
func TestAuthorizeJoin(t *testing.T) {
	t.Parallel()
	join := func(user string) Proto { return memberProto(user, user, Join) }
	public := []stateEvent{joinRule("public")}
	knock := []stateEvent{joinRule("knock")}
	restricted := []stateEvent{joinRule("restricted")}
	knockRestricted := []stateEvent{joinRule("knock_restricted")}
	const byInvitation, otherRooms, noRule = "by invitation only", "members of certain other rooms", "under its join rule"
	runAuthCases(t, []authCase{
		{"for somebody else", "1-12", public, memberProto(alice, stranger, Join), "for somebody else"},
		{"for somebody invited", "1-12", nil, memberProto(admin, invited, Join), "for somebody else"},
		{"banned from a public room", "1-12", public, join(banned), "is banned"},
		{"banned from an invite-only room", "1-12", nil, join(banned), "is banned"},

		{"public room", "1-12", public, join(stranger), ""},
		{"public room from another server", "1-12", public, join("@stranger:b.example"), ""},
		{"public room, having left", "1-12", public, join(left), ""},
		{"public room, again", "1-12", public, join(alice), ""},
		{"public room, invited", "1-12", public, join(invited), ""},
		{"public room, knocking", "7-12", public, join(knocking), ""},

		{"invite-only room", "1-12", nil, join(stranger), byInvitation},
		{"invite-only room, having left", "1-12", nil, join(left), byInvitation},
		{"invite-only room, invited", "1-12", nil, join(invited), ""},
		{"invite-only room, again", "1-12", nil, join(alice), ""},
		{"invite-only room, knocking", "7-12", nil, join(knocking), byInvitation},
		{"invite-only room, invited by another", "1-12", []stateEvent{{mod, TypeMember, stranger, `{"membership":"invite"}`}}, join(stranger), ""},

		{"knock room before there was one", "1-6", knock, join(invited), noRule},
		{"knock room", "7-12", knock, join(stranger), byInvitation},
		{"knock room, invited", "7-12", knock, join(invited), ""},
		{"knock room, again", "7-12", knock, join(alice), ""},
		{"knock room, knocking", "7-12", knock, join(knocking), byInvitation},

		{"restricted room before there was one", "1-7", restricted, join(invited), noRule},
		{"restricted room", "8-12", restricted, join(stranger), otherRooms},
		{"restricted room, invited", "8-12", restricted, join(invited), ""},
		{"restricted room, again", "8-12", restricted, join(alice), ""},
		{"restricted room, banned", "8-12", restricted, join(banned), "is banned"},

		{"knock_restricted room before there was one", "1-9", knockRestricted, join(invited), noRule},
		{"knock_restricted room", "10-12", knockRestricted, join(stranger), otherRooms},
		{"knock_restricted room, invited", "10-12", knockRestricted, join(invited), ""},
		{"knock_restricted room, knocking", "10-12", knockRestricted, join(knocking), otherRooms},
		{"knock_restricted room, again", "10-12", knockRestricted, join(alice), ""},

		{"private room", "1-12", []stateEvent{joinRule("private")}, join(stranger), noRule},
		{"private room, invited", "1-12", []stateEvent{joinRule("private")}, join(invited), noRule},
		{"unknown rule", "1-12", []stateEvent{joinRule("Public")}, join(stranger), noRule},
		{"rule that is a number", "1-12", []stateEvent{{creator, TypeJoinRules, "", `{"join_rule":1}`}}, join(invited), noRule},
		{"no rule in the event", "1-12", []stateEvent{noState(TypeJoinRules)}, join(stranger), noRule},
	})
}

// Rules 4.3.5.2 and 4.2: joins that a member authorises.
func TestAuthorizeRestrictedJoin(t *testing.T) {
	t.Parallel()
	via := func(joining, user string) Proto {
		return stateProto(joining, TypeMember, joining, `{"join_authorised_via_users_server":"`+user+`","membership":"join"}`)
	}
	restricted := joinRule("restricted")
	inviteNeeds50 := levelsState(`"invite":50`)
	runAuthCases(t, []authCase{
		{"member who may invite", "8-12", []stateEvent{restricted}, via(stranger, alice), ""},
		{"member who may not invite", "8-12", []stateEvent{restricted, inviteNeeds50}, via(stranger, alice), "needs power level 50 to invite"},
		{"moderator who may invite", "8-12", []stateEvent{restricted, inviteNeeds50}, via(stranger, mod), ""},
		{"creator", "8-12", []stateEvent{restricted, inviteNeeds50}, via(stranger, creator), ""},
		{"creator beyond all levels", "12", []stateEvent{restricted, levelsState(`"invite":9007199254740991`)}, via(stranger, creator), ""},
		{"somebody invited", "8-12", []stateEvent{restricted}, via(stranger, invited), "is not in the room"},
		{"somebody who left", "8-12", []stateEvent{restricted}, via(stranger, left), "is not in the room"},
		{"oneself", "8-12", []stateEvent{restricted}, via(stranger, stranger), "is not in the room"},
		{"member of a server that has not signed", "8-12", []stateEvent{restricted}, via(stranger, bob), "is not signed"},
		{"no user ID", "8-12", []stateEvent{restricted}, via(stranger, "alice"), "is not signed"},
		{"not text", "8-12", []stateEvent{restricted},
			stateProto(stranger, TypeMember, stranger, `{"join_authorised_via_users_server":1,"membership":"join"}`), "is not signed"},
		{"not signed, though the room is public", "8-12", []stateEvent{joinRule("public")}, via(stranger, bob), "is not signed"},
		{"not signed, though leaving", "8-12", nil,
			stateProto(alice, TypeMember, alice, `{"join_authorised_via_users_server":"`+bob+`","membership":"leave"}`), "is not signed"},
		{"no matter before version 8", "1-7", []stateEvent{joinRule("public")}, via(stranger, bob), ""},
		{"banned", "8-12", []stateEvent{restricted}, via(banned, alice), "is banned"},
		{"knock_restricted", "10-12", []stateEvent{joinRule("knock_restricted")}, via(stranger, alice), ""},
		{"knock_restricted without power", "10-12", []stateEvent{joinRule("knock_restricted"), inviteNeeds50}, via(stranger, alice), "needs power level 50"},
		{"invite-only room", "8-12", nil, via(stranger, alice), "by invitation only"},
	})
}

// The signature of the authorising server may be one of several.
func TestAuthorizeRestrictedJoinAcrossServers(t *testing.T) {
	t.Parallel()
	eachVersion(t, "8-12", func(t *testing.T, v *Version) {
		r := newTestRoom(t, v)
		r.put(creator, TypeJoinRules, "", `{"join_rule":"restricted"}`)
		p := stateProto("@far:b.example", TypeMember, "@far:b.example", `{"join_authorised_via_users_server":"`+alice+`","membership":"join"}`)
		p.RoomID, p.PrevEvents = r.create.RoomID, []string{r.last.ID}
		e := r.build(p)
		wantError(t, Authorize(v, e, r.state), matrix.Forbidden, "is not signed")

		redacted, err := Redact(v, e.JSON)
		if err != nil {
			t.Fatal(err)
		}
		signed, err := r.signers[serverA].SignJSON(redacted)
		if err != nil {
			t.Fatal(err)
		}
		both, err := Parse(v, setMember(e.JSON, "signatures", Field(signed, "signatures")))
		if err != nil {
			t.Fatal(err)
		}
		wantError(t, Authorize(v, both, r.state), "", "")
		for _, s := range r.signers {
			// In version 8 a redaction removes join_authorised_via_users_server; the signature
			// is the same.
			wantError(t, both.VerifySignature(s.ServerName, s.KeyID, s.public()), "", "")
		}
	})
}

// A room without m.room.join_rules can be joined by invitation only.
func TestAuthorizeJoinWithoutRule(t *testing.T) {
	t.Parallel()
	eachVersion(t, "1-12", func(t *testing.T, v *Version) {
		r := newTestRoom(t, v).without(StateKey{TypeJoinRules, ""})
		wantError(t, r.try(memberProto(invited, invited, Join)), "", "")
		wantError(t, r.try(memberProto(stranger, stranger, Join)), matrix.Forbidden, "by invitation only")
	})
}

// Rule 4.3.1: the first join.
func TestAuthorizeFirstJoin(t *testing.T) {
	t.Parallel()
	eachVersion(t, "1-12", func(t *testing.T, v *Version) {
		r := newEmptyRoom(t, v, `{"additional_creators":["`+mod+`"],"creator":"`+creator+`"}`)
		wantError(t, r.try(memberProto(creator, creator, Join)), "", "")
		wantError(t, r.try(memberProto(mod, mod, Join)), matrix.Forbidden, "by invitation only")
		wantError(t, r.try(memberProto(alice, alice, Join)), matrix.Forbidden, "by invitation only")
		later := memberProto(creator, creator, Join)
		later.PrevEvents = []string{r.last.ID, r.last.ID}
		wantError(t, r.try(later), matrix.Forbidden, "by invitation only")
		r.put(creator, "m.room.name", "", `{}`)
		wantError(t, r.try(memberProto(creator, creator, Join)), matrix.Forbidden, "by invitation only")
	})
}

// Up to version 10 content.creator names the creator.
func TestAuthorizeFirstJoinOfNamedCreator(t *testing.T) {
	t.Parallel()
	eachVersion(t, "1-12", func(t *testing.T, v *Version) {
		r := newEmptyRoom(t, v, `{"creator":"`+alice+`"}`)
		named, sender := r.try(memberProto(alice, alice, Join)), r.try(memberProto(creator, creator, Join))
		if (named == nil) == v.SenderIsCreator || (sender == nil) != v.SenderIsCreator {
			t.Errorf("named creator: %v; sender: %v", named, sender)
		}
	})
}

// Rule 4.4: invite.
func TestAuthorizeInvite(t *testing.T) {
	t.Parallel()
	invite := func(sender, target string) Proto { return memberProto(sender, target, Invite) }
	needs50 := []stateEvent{levelsState(`"invite":50`)}
	runAuthCases(t, []authCase{
		{"stranger", "1-12", nil, invite(alice, stranger), ""},
		{"user of another server", "1-12", nil, invite(alice, "@x:b.example"), ""},
		{"one who left", "1-12", nil, invite(alice, left), ""},
		{"one who is invited", "1-12", nil, invite(alice, invited), ""},
		{"one who knocks", "7-12", nil, invite(alice, knocking), ""},
		{"member", "1-12", nil, invite(alice, bob), "is in the room already"},
		{"oneself", "1-12", nil, invite(alice, alice), "is in the room already"},
		{"banned user", "1-12", nil, invite(admin, banned), "is banned"},
		{"from outside", "1-12", nil, invite(stranger, left), "is not in the room"},
		{"from an invited user", "1-12", nil, invite(invited, stranger), "is not in the room"},
		{"oneself from outside", "1-12", nil, invite(stranger, stranger), "is not in the room"},
		{"without power", "1-12", needs50, invite(alice, stranger), "you need power level 50 to invite; you have 0"},
		{"with power", "1-12", needs50, invite(mod, stranger), ""},
		{"levels of member events don't matter", "1-12", []stateEvent{levelsState(`"events":{"m.room.member":100},"state_default":100`)},
			invite(alice, stranger), ""},
	})
}

// Rule 4.5: leave, kick and unban.
func TestAuthorizeLeave(t *testing.T) {
	t.Parallel()
	leave := func(sender, target string) Proto { return memberProto(sender, target, Leave) }
	equals := `"users":{"` + admin + `":50,"` + mod + `":50}`
	runAuthCases(t, []authCase{
		{"leaving", "1-12", nil, leave(alice, alice), ""},
		{"refusing an invitation", "1-12", nil, leave(invited, invited), ""},
		{"taking a knock back", "7-12", nil, leave(knocking, knocking), ""},
		{"leaving twice", "1-12", nil, leave(left, left), "is not in the room"},
		{"a stranger", "1-12", nil, leave(stranger, stranger), "is not in the room"},
		{"a banned user", "1-12", nil, leave(banned, banned), "is not in the room"},
		{"a knock from before there was one", "1-6", []stateEvent{memberState(stranger, Knock)}, leave(stranger, stranger), "is not in the room"},

		{"kick", "1-12", nil, leave(mod, alice), ""},
		{"kick from another server", "1-12", nil, leave(mod, bob), ""},
		{"kick without power", "1-12", nil, leave(alice, bob), "you need power level 50 to kick; you have 0"},
		{"kick upwards", "1-12", nil, leave(mod, admin), "you need a greater power level"},
		{"kick an equal", "1-12", []stateEvent{{creator, TypePowerLevels, "", `{` + equals + `}`}}, leave(mod, admin), "you need a greater power level"},
		{"kick from outside", "1-12", nil, leave(stranger, alice), "is not in the room"},
		{"kick a stranger", "1-12", nil, leave(mod, stranger), ""},
		{"taking an invitation back", "1-12", nil, leave(mod, invited), ""},
		{"refusing a knock", "7-12", nil, leave(mod, knocking), ""},
		{"kick level", "1-12", []stateEvent{levelsState(`"kick":51`)}, leave(mod, alice), "you need power level 51 to kick"},
		{"no kick level", "1-12", []stateEvent{levelsState(`"kick":0,"users_default":1`)}, leave(alice, stranger), "you need a greater power level"},
		{"the creator kicks another with 100", "1-11", nil, leave(creator, admin), "you need a greater power level"},
		{"a privileged creator kicks anybody", "12", nil, leave(creator, admin), ""},
		{"nobody kicks a creator", "1-12", nil, leave(admin, creator), "you need a greater power level"},

		{"unban", "1-12", nil, leave(mod, banned), ""},
		{"unban without power", "1-12", nil, leave(alice, banned), "you need power level 50 to unban"},
		{"unban needs the ban level", "1-12", []stateEvent{levelsState(`"ban":51`)}, leave(mod, banned), "you need power level 51 to unban"},
		{"unban needs the kick level, too", "1-12", []stateEvent{levelsState(`"kick":51`)}, leave(mod, banned), "you need power level 51 to kick"},
		{"kick doesn't need the ban level", "1-12", []stateEvent{levelsState(`"ban":51`)}, leave(mod, alice), ""},
	})
}

// Rule 4.6: ban.
func TestAuthorizeBan(t *testing.T) {
	t.Parallel()
	ban := func(sender, target string) Proto { return memberProto(sender, target, Ban) }
	runAuthCases(t, []authCase{
		{"member", "1-12", nil, ban(mod, alice), ""},
		{"stranger", "1-12", nil, ban(mod, stranger), ""},
		{"invited", "1-12", nil, ban(mod, invited), ""},
		{"banned", "1-12", nil, ban(mod, banned), ""},
		{"one who left", "1-12", nil, ban(mod, left), ""},
		{"without power", "1-12", nil, ban(alice, bob), "you need power level 50 to ban; you have 0"},
		{"upwards", "1-12", nil, ban(mod, admin), "you need a greater power level"},
		{"an equal", "1-12", nil, ban(admin, admin), "you need a greater power level"},
		{"oneself", "1-12", nil, ban(mod, mod), "you need a greater power level"},
		{"from outside", "1-12", nil, ban(stranger, alice), "is not in the room"},
		{"ban level", "1-12", []stateEvent{levelsState(`"ban":51`)}, ban(mod, alice), "you need power level 51 to ban"},
		{"kick level doesn't matter", "1-12", []stateEvent{levelsState(`"kick":100`)}, ban(mod, alice), ""},
		{"the creator bans another with 100", "1-11", nil, ban(creator, admin), "you need a greater power level"},
		{"a privileged creator bans anybody", "12", nil, ban(creator, admin), ""},
		{"a creator is not banned", "1-12", nil, ban(admin, creator), "you need a greater power level"},
		{"a privileged creator doesn't ban oneself", "12", nil, ban(creator, creator), "you need a greater power level"},
	})
}

// Rule 4.7: knock.
func TestAuthorizeKnock(t *testing.T) {
	t.Parallel()
	knock := func(user string) Proto { return memberProto(user, user, Knock) }
	rule := []stateEvent{joinRule("knock")}
	both := []stateEvent{joinRule("knock_restricted")}
	runAuthCases(t, []authCase{
		{"stranger", "7-12", rule, knock(stranger), ""},
		{"one who left", "7-12", rule, knock(left), ""},
		{"again", "7-12", rule, knock(knocking), ""},
		{"for somebody else", "7-12", rule, memberProto(alice, stranger, Knock), "for somebody else"},
		{"member", "7-12", rule, knock(alice), "can't knock"},
		{"invited", "7-12", rule, knock(invited), "can't knock"},
		{"banned", "7-12", rule, knock(banned), "can't knock"},
		{"invite-only room", "7-12", nil, knock(stranger), "does not allow knocking"},
		{"public room", "7-12", []stateEvent{joinRule("public")}, knock(stranger), "does not allow knocking"},
		{"restricted room", "8-12", []stateEvent{joinRule("restricted")}, knock(stranger), "does not allow knocking"},
		{"knock_restricted before there was one", "7-9", both, knock(stranger), "does not allow knocking"},
		{"knock_restricted", "10-12", both, knock(stranger), ""},
		{"knock_restricted, banned", "10-12", both, knock(banned), "can't knock"},
	})
}

// A privileged creator, also an additional one, outranks all users but other creators.
func TestAuthorizeAdditionalCreators(t *testing.T) {
	t.Parallel()
	r := newEmptyRoom(t, mustVersion(t, "12"), `{"additional_creators":["`+mod+`"]}`)
	for _, user := range []string{creator, mod, admin, alice} {
		r.put(user, TypeMember, user, `{"membership":"join"}`)
	}
	r.put(creator, TypePowerLevels, "", `{"ban":1000,"kick":1000,"users":{"`+admin+`":9007199254740991}}`)
	wantError(t, r.try(memberProto(mod, admin, Ban)), "", "")
	wantError(t, r.try(memberProto(mod, alice, Leave)), "", "")
	wantError(t, r.try(memberProto(admin, mod, Leave)), matrix.Forbidden, "who has infinite; you have 9007199254740991")
	wantError(t, r.try(memberProto(mod, creator, Leave)), matrix.Forbidden, "you need a greater power level")
	wantError(t, r.try(memberProto(creator, mod, Ban)), matrix.Forbidden, "you need a greater power level")
}
