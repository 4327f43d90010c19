package event

import (
	"slices"
	"strings"
	"testing"

	"homeserver/internal/matrix"
)

// Rule 1: m.room.create.
func TestAuthorizeCreate(t *testing.T) {
	t.Parallel()
	const ok = `{"creator":"` + creator + `"}`
	cases := []struct {
		name, versions, room, content string
		prev                          []string
		want                          string
	}{
		{"usual", "1-12", "!r:a.example", ok, nil, ""},
		{"previous events", "1-12", "!r:a.example", ok, []string{"$p"}, "first event"},
		{"room of another server", "1-11", "!r:b.example", ok, nil, "server in the room ID"},
		{"room of another port", "1-11", "!r:a.example:8448", ok, nil, "server in the room ID"},
		{"known version", "1-12", "!r:a.example", `{"creator":"@c:d","room_version":"11"}`, nil, ""},
		{"unknown version", "1-12", "!r:a.example", `{"creator":"@c:d","room_version":"13"}`, nil, "is not known"},
		{"version a number", "1-12", "!r:a.example", `{"creator":"@c:d","room_version":1}`, nil, "is not known"},
		{"version null", "1-12", "!r:a.example", `{"creator":"@c:d","room_version":null}`, nil, "is not known"},
		{"no creator", "1-10", "!r:a.example", `{}`, nil, "no creator"},
		{"no creator", "11-12", "!r:a.example", `{}`, nil, ""},
		{"additional creators", "1-12", "!r:a.example", `{"additional_creators":["@a:b.c","@d:e"],"creator":"@c:d"}`, nil, ""},
		{"no additional creators", "12", "!r:a.example", `{"additional_creators":[]}`, nil, ""},
		{"additional creators text", "12", "!r:a.example", `{"additional_creators":"@a:b.c"}`, nil, "not an array"},
		{"additional creators null", "12", "!r:a.example", `{"additional_creators":null}`, nil, "not an array"},
		{"additional creators numbers", "12", "!r:a.example", `{"additional_creators":[1]}`, nil, "not a user ID"},
		{"additional creators no IDs", "12", "!r:a.example", `{"additional_creators":["@a:b.c","alice"]}`, nil, "not a user ID"},
		{"additional creators before 12", "1-11", "!r:a.example", `{"additional_creators":5,"creator":"@c:d"}`, nil, ""},
	}
	for _, c := range cases {
		t.Run(c.name+" "+c.versions, func(t *testing.T) {
			t.Parallel()
			for _, id := range versionSpan(t, c.versions) {
				v := mustVersion(t, id)
				e, err := Build(v, Proto{
					RoomID: c.room, Type: TypeCreate, Sender: creator, StateKey: text(""), Content: []byte(c.content),
					PrevEvents: c.prev, ReferenceHashes: map[string]string{"$p": "x"},
				}, testSigner(serverA))
				if err != nil {
					t.Fatal(err)
				}
				code := matrix.Forbidden
				if c.want == "" {
					code = ""
				}
				wantError(t, Authorize(v, e, authState{}), code, c.want)
			}
		})
	}
}

// Rule 1.2 of version 12.
func TestAuthorizeCreateWithRoomID(t *testing.T) {
	t.Parallel()
	v := mustVersion(t, "12")
	changes := map[string]string{"type": `"m.room.create"`, "state_key": `""`, "prev_events": `[]`, "auth_events": `[]`, "content": `{}`}
	e, err := Parse(v, received(changes))
	if err != nil {
		t.Fatal(err)
	}
	wantError(t, Authorize(v, e, authState{}), matrix.Forbidden, "has a room_id")
	changes["room_id"] = ""
	if e, err = Parse(v, received(changes)); err != nil {
		t.Fatal(err)
	}
	wantError(t, Authorize(v, e, authState{}), "", "")
	if e.RoomID != "!"+e.ID[1:] {
		t.Errorf("the room ID is %s", e.RoomID)
	}
}

// Rule 2.4, and rule 2 of version 12.
func TestAuthorizeNeedsTheRoomsCreateEvent(t *testing.T) {
	t.Parallel()
	eachVersion(t, "1-12", func(t *testing.T, v *Version) {
		r := newTestRoom(t, v)
		p := message(alice)
		p.RoomID = "!other:a.example"
		wantError(t, r.try(p), matrix.Forbidden, "another room")
		r.without(StateKey{TypeCreate, ""})
		wantError(t, r.try(message(alice)), matrix.Forbidden, "no m.room.create")
	})
}

// Rule 3: m.federate.
func TestAuthorizeFederate(t *testing.T) {
	t.Parallel()
	eachVersion(t, "1-12", func(t *testing.T, v *Version) {
		for _, c := range []struct{ federate, sender, want string }{
			{`false`, alice, ""},
			{`false`, bob, "closed to users of other servers"},
			{`true`, bob, ""},
			{`"false"`, bob, ""},
			{`null`, bob, ""},
		} {
			r := newEmptyRoom(t, v, `{"creator":"`+creator+`","m.federate":`+c.federate+`}`)
			r.put(c.sender, TypeMember, c.sender, `{"membership":"join"}`)
			code := matrix.Forbidden
			if c.want == "" {
				code = ""
			}
			wantError(t, r.try(message(c.sender)), code, c.want)
			wantError(t, r.try(memberProto(c.sender, c.sender, Leave)), code, c.want)
		}
	})
}

func TestAuthorizeEvents(t *testing.T) {
	t.Parallel()
	aliases := func(sender, key string) Proto { return stateProto(sender, TypeAliases, key, `{"aliases":[]}`) }
	aliasesWithoutKey := Proto{Type: TypeAliases, Sender: admin}
	const invitePower = `"invite":50`
	runAuthCases(t, []authCase{
		// Rule 4 of versions 1 to 5: m.room.aliases.
		{"aliases of one's server", "1-5", nil, aliases(alice, serverA), ""},
		{"aliases from outside the room", "1-5", nil, aliases(stranger, serverA), ""},
		{"aliases from a banned user", "1-5", nil, aliases(banned, serverA), ""},
		{"aliases of another server", "1-5", nil, aliases(alice, serverB), "has to be the sender's server"},
		{"aliases of nobody", "1-5", nil, aliases(admin, ""), "has to be the sender's server"},
		{"aliases without a state key", "1-5", nil, aliasesWithoutKey, "has no state key"},
		{"aliases are like any state", "6-12", nil, aliases(alice, serverA), "you need power level 50"},
		{"aliases from outside the room", "6-12", nil, aliases(stranger, serverA), "is not in the room"},
		{"aliases with power", "6-12", nil, aliases(mod, serverB), ""},
		{"aliases without a state key", "6-12", nil, aliasesWithoutKey, ""},

		// Rule 5: membership.
		{"message", "1-12", nil, message(alice), ""},
		{"message from another server", "1-12", nil, message(bob), ""},
		{"message from a stranger", "1-12", nil, message(stranger), "is not in the room"},
		{"message from an invited user", "1-12", nil, message(invited), "is not in the room"},
		{"message from a banned user", "1-12", nil, message(banned), "is not in the room"},
		{"message from one who left", "1-12", nil, message(left), "is not in the room"},
		{"message from one who knocks", "7-12", nil, message(knocking), "is not in the room"},
		{"state from a stranger", "1-12", nil, stateProto(stranger, "m.room.name", "", `{}`), "is not in the room"},

		// Rule 6: m.room.third_party_invite.
		{"third party invite", "1-12", nil, stateProto(alice, TypeThirdPartyInvite, "t", `{}`), ""},
		{"third party invite without power", "1-12", []stateEvent{levelsState(invitePower)},
			stateProto(alice, TypeThirdPartyInvite, "t", `{}`), "you need power level 50 to invite; you have 0"},
		{"third party invite with power", "1-12", []stateEvent{levelsState(invitePower)},
			stateProto(mod, TypeThirdPartyInvite, "t", `{}`), ""},
		{"third party invite is judged by invite only", "1-12", []stateEvent{levelsState(`"events":{"m.room.third_party_invite":99}`)},
			stateProto(alice, TypeThirdPartyInvite, "t", `{}`), ""},
		{"third party invite with a user's state key", "1-12", nil, stateProto(alice, TypeThirdPartyInvite, mod, `{}`), ""},
		{"third party invite from outside", "1-12", nil, stateProto(stranger, TypeThirdPartyInvite, "t", `{}`), "is not in the room"},

		// Rule 7: the required power level.
		{"state without power", "1-12", nil, stateProto(alice, "m.room.name", "", `{}`),
			`you need power level 50 to send events of the type "m.room.name"; you have 0`},
		{"state with power", "1-12", nil, stateProto(mod, "m.room.name", "", `{}`), ""},
		{"state that needs more", "1-12", []stateEvent{levelsState(`"events":{"m.room.name":51}`)},
			stateProto(mod, "m.room.name", "", `{}`), "you need power level 51"},
		{"state that needs less", "1-12", []stateEvent{levelsState(`"events":{"m.room.name":0}`)},
			stateProto(alice, "m.room.name", "", `{}`), ""},
		{"state_default", "1-12", []stateEvent{levelsState(`"state_default":0`)}, stateProto(alice, "x", "", `{}`), ""},
		{"state_default is not for messages", "1-12", []stateEvent{levelsState(`"state_default":100`)}, message(alice), ""},
		{"events_default", "1-12", []stateEvent{levelsState(`"events_default":1`)}, message(alice), "you need power level 1"},
		{"events_default with power", "1-12", []stateEvent{levelsState(`"events_default":1`)}, message(mod), ""},
		{"events_default is not for state", "1-12", []stateEvent{levelsState(`"events_default":100`)},
			stateProto(mod, "m.room.name", "", `{}`), ""},
		{"message that needs more", "1-12", []stateEvent{levelsState(`"events":{"m.room.message":1}`)}, message(alice), "you need power level 1"},
		{"users_default", "1-12", []stateEvent{levelsState(`"users_default":50`)}, stateProto(alice, "m.room.name", "", `{}`), ""},
		{"negative power", "1-12", []stateEvent{levelsState(`"users_default":-1`)}, message(alice), "you have -1"},
		{"negative need", "1-12", []stateEvent{levelsState(`"users_default":-1,"events_default":-1`)}, message(alice), ""},
		{"the creator", "1-11", []stateEvent{levelsState(`"events":{"m.room.name":101}`)},
			stateProto(creator, "m.room.name", "", `{}`), "you need power level 101"},
		{"a privileged creator", "12", []stateEvent{levelsState(`"events":{"m.room.name":9007199254740991}`)},
			stateProto(creator, "m.room.name", "", `{}`), ""},
		{"levels as text", "1-9", []stateEvent{levelsState(`"events":{"m.room.name":" 50 "}`)}, stateProto(mod, "m.room.name", "", `{}`), ""},
		{"levels as text", "10-12", []stateEvent{levelsState(`"events":{"m.room.name":" 50 "}`)},
			stateProto(mod, "m.room.name", "", `{}`), "is not a power level"},
		{"levels as floats", "1-5", []stateEvent{levelsState(`"events":{"m.room.name":50.9}`)}, stateProto(mod, "m.room.name", "", `{}`), ""},

		// Rule 8: state keys that begin with @.
		{"own state key", "1-12", []stateEvent{levelsState(`"state_default":0`)}, stateProto(alice, "x", alice, `{}`), ""},
		{"another's state key", "1-12", []stateEvent{levelsState(`"state_default":0`)},
			stateProto(alice, "x", bob, `{}`), "has to be your own user ID"},
		{"@ alone", "1-12", nil, stateProto(admin, "x", "@", `{}`), "has to be your own user ID"},
		{"another's state key, as the creator", "1-12", nil, stateProto(creator, "x", alice, `{}`), "has to be your own user ID"},
		{"@ further on", "1-12", nil, stateProto(mod, "x", "a@b", `{}`), ""},

		// Rule 1 also applies to a second m.room.create.
		{"second create event", "1-12", nil, stateProto(creator, TypeCreate, "", `{"creator":"`+creator+`"}`), "first event"},
	})
}

// Rule 11 of versions 1 and 2; later versions have no such rule.
func TestAuthorizeRedaction(t *testing.T) {
	t.Parallel()
	redaction := func(sender, target string) Proto {
		return Proto{Type: TypeRedaction, Sender: sender, Redacts: target}
	}
	runAuthCases(t, []authCase{
		{"event of one's server", "1-2", nil, redaction(alice, "$x:a.example"), ""},
		{"event of another server", "1-2", nil, redaction(alice, "$x:b.example"), "you need power level 50 to redact"},
		{"event of another server, other way round", "1-2", nil, redaction(bob, "$x:a.example"), "you need power level 50 to redact"},
		{"with power", "1-2", nil, redaction(mod, "$x:b.example"), ""},
		{"redact level", "1-2", []stateEvent{levelsState(`"redact":51`)}, redaction(mod, "$x:b.example"), "you need power level 51"},
		{"no redact level needed", "1-2", []stateEvent{levelsState(`"redact":0`)}, redaction(alice, "$x:b.example"), ""},
		{"no target", "1-2", nil, redaction(alice, ""), "you need power level 50 to redact"},
		{"anything", "3-12", nil, redaction(alice, "$x"), ""},
		{"redact level", "3-12", []stateEvent{levelsState(`"redact":51`)}, redaction(alice, "$x"), ""},
		{"event level", "1-12", []stateEvent{levelsState(`"events":{"m.room.redaction":1}`)}, redaction(alice, "$x:a.example"), "you need power level 1"},
		{"from outside", "1-12", nil, redaction(stranger, "$x:a.example"), "is not in the room"},
	})
}

// A room without m.room.power_levels: the creator has 100 (or infinite) power.
func TestAuthorizeWithoutPowerLevels(t *testing.T) {
	t.Parallel()
	eachVersion(t, "1-12", func(t *testing.T, v *Version) {
		r := newTestRoom(t, v).without(StateKey{TypePowerLevels, ""})
		wantError(t, r.try(message(alice)), "", "")
		wantError(t, r.try(stateProto(creator, "m.room.name", "", `{}`)), "", "")
		wantError(t, r.try(stateProto(creator, TypePowerLevels, "", r.levels(""))), "", "")
		wantError(t, r.try(stateProto(alice, "m.room.name", "", `{}`)), matrix.Forbidden, "you need power level 50")
		wantError(t, r.try(memberProto(alice, stranger, Invite)), "", "")
		wantError(t, r.try(memberProto(alice, bob, Leave)), matrix.Forbidden, "you need power level 50 to kick")
		wantError(t, r.try(memberProto(creator, bob, Ban)), "", "")
	})
}

func TestAuthorizeWithDamagedPowerLevels(t *testing.T) {
	t.Parallel()
	eachVersion(t, "1-12", func(t *testing.T, v *Version) {
		r := newTestRoom(t, v)
		r.put(creator, TypePowerLevels, "", `{"ban":{}}`)
		wantError(t, r.try(message(alice)), matrix.Forbidden, "is not a power level")
		if got := UserPower(v, r.state, alice); got != 0 {
			t.Errorf("power %s", got)
		}
	})
}

// The first events of a room, as createRoom makes them.
func TestAuthorizeFirstEvents(t *testing.T) {
	t.Parallel()
	eachVersion(t, "1-12", func(t *testing.T, v *Version) {
		r := newEmptyRoom(t, v, `{"creator":"`+creator+`"}`)
		if err := Authorize(v, r.create, r.state); err != nil {
			t.Fatal(err)
		}
		for _, p := range []Proto{
			memberProto(creator, creator, Join),
			stateProto(creator, TypePowerLevels, "", r.levels("")),
			stateProto(creator, "m.room.canonical_alias", "", `{}`),
			stateProto(creator, TypeJoinRules, "", `{"join_rule":"public"}`),
			stateProto(creator, TypeHistoryVisibility, "", `{"history_visibility":"shared"}`),
			stateProto(creator, "m.room.name", "", `{"name":"x"}`),
			memberProto(creator, alice, Invite),
			memberProto(alice, alice, Join),
			memberProto(bob, bob, Join),
		} {
			if err := r.try(p); err != nil {
				t.Fatalf("%s: %v", p.Type, err)
			}
			r.put(p.Sender, p.Type, *p.StateKey, string(p.Content))
		}
	})
}

// Server-server API, "Auth events selection".
func TestAuthKeys(t *testing.T) {
	t.Parallel()
	power, create, rules := StateKey{TypePowerLevels, ""}, StateKey{TypeCreate, ""}, StateKey{TypeJoinRules, ""}
	user := func(id string) StateKey { return StateKey{TypeMember, id} }
	restricted := `{"join_authorised_via_users_server":"` + mod + `","membership":"join"}`
	thirdParty := `{"membership":"invite","third_party_invite":{"signed":{"token":"t"}}}`
	cases := []struct {
		name, versions string
		proto          Proto
		want           []StateKey // without m.room.create
	}{
		{"message", "1-12", message(alice), []StateKey{power, user(alice)}},
		{"state", "1-12", stateProto(alice, "m.room.name", "", `{}`), []StateKey{power, user(alice)}},
		{"join", "1-12", memberProto(alice, alice, Join), []StateKey{power, user(alice), rules}},
		{"invite", "1-12", memberProto(alice, bob, Invite), []StateKey{power, user(alice), user(bob), rules}},
		{"knock", "1-12", memberProto(alice, alice, Knock), []StateKey{power, user(alice), rules}},
		{"leave", "1-12", memberProto(alice, alice, Leave), []StateKey{power, user(alice)}},
		{"kick", "1-12", memberProto(mod, alice, Leave), []StateKey{power, user(mod), user(alice)}},
		{"ban", "1-12", memberProto(mod, alice, Ban), []StateKey{power, user(mod), user(alice)}},
		{"third party invite", "1-12", stateProto(alice, TypeMember, bob, thirdParty),
			[]StateKey{power, user(alice), user(bob), rules, {TypeThirdPartyInvite, "t"}}},
		{"join with a token", "1-12", stateProto(bob, TypeMember, bob, strings.Replace(thirdParty, "invite", "join", 1)),
			[]StateKey{power, user(bob), rules}},
		{"token not text", "1-12", stateProto(alice, TypeMember, bob, `{"membership":"invite","third_party_invite":{"signed":{"token":1}}}`),
			[]StateKey{power, user(alice), user(bob), rules}},
		{"restricted join", "1-7", stateProto(bob, TypeMember, bob, restricted), []StateKey{power, user(bob), rules}},
		{"restricted join", "8-12", stateProto(bob, TypeMember, bob, restricted), []StateKey{power, user(bob), rules, user(mod)}},
		{"restricted join by oneself", "8-12", stateProto(mod, TypeMember, mod, restricted), []StateKey{power, user(mod), rules}},
		{"restricted invite", "8-12", stateProto(alice, TypeMember, bob, strings.Replace(restricted, "join\"}", "invite\"}", 1)),
			[]StateKey{power, user(alice), user(bob), rules}},
		{"content with space and escapes", "1-12", stateProto(alice, TypeMember, bob, `{ "\u006dembership" : "invite" }`),
			[]StateKey{power, user(alice), user(bob), rules}},
		{"member without a state key", "1-12", Proto{Type: TypeMember, Sender: alice, Content: []byte(`{}`)}, []StateKey{power, user(alice)}},
	}
	for _, c := range cases {
		t.Run(c.name+" "+c.versions, func(t *testing.T) {
			t.Parallel()
			for _, id := range versionSpan(t, c.versions) {
				v := mustVersion(t, id)
				want := c.want
				if !v.HashRoomID {
					want = append([]StateKey{create}, want...)
				}
				got, err := AuthKeys(v, &c.proto)
				if err != nil || !slices.Equal(got, want) {
					t.Errorf("version %s: %v, %v; want %v", id, got, err, want)
				}
			}
		})
	}
	eachVersion(t, "1-12", func(t *testing.T, v *Version) {
		create := stateProto(creator, TypeCreate, "", `{}`)
		if keys, err := AuthKeys(v, &create); len(keys) != 0 || err != nil {
			t.Errorf("m.room.create needs %v, %v", keys, err)
		}
		bad := stateProto(alice, TypeMember, alice, `{`)
		_, err := AuthKeys(v, &bad)
		wantError(t, err, matrix.NotJSON, "")
	})
}

// Rule 2 (3 in version 12): which events auth_events may name.
func TestAuthState(t *testing.T) {
	t.Parallel()
	eachVersion(t, "1-12", func(t *testing.T, v *Version) {
		r := newTestRoom(t, v)
		p := message(alice)
		p.PrevEvents = []string{r.last.ID}
		e := r.build(p)
		entry := func(evType, key string) *Event { return r.state.Event(evType, key) }
		power, member := entry(TypePowerLevels, ""), entry(TypeMember, alice)
		good := []*Event{power, member}
		if !v.HashRoomID {
			good = append(good, r.create)
		}
		with := func(more ...*Event) []*Event { return append(slices.Clone(good), more...) }

		state, err := AuthState(v, e, r.create, good)
		if err != nil {
			t.Fatal(err)
		}
		if state.Event(TypeMember, alice) != member || state.Event(TypeCreate, "") != r.create || state.Event(TypeMember, bob) != nil {
			t.Error("the state is wrong")
		}
		wantError(t, Authorize(v, e, state), "", "")

		other := newTestRoom(t, v)
		if v.HashRoomID {
			other = newEmptyRoom(t, v, `{"x":1}`)
		} else {
			other.create = other.build(Proto{RoomID: "!other:a.example", Type: TypeCreate, Sender: creator, StateKey: text("")})
		}
		foreign := other.put(creator, TypePowerLevels, "", `{}`)
		for _, c := range []struct {
			name   string
			events []*Event
			want   string
		}{
			{"duplicate", with(member), "two events"},
			{"not selected", with(entry(TypeJoinRules, "")), "not judged"},
			{"another's membership", with(entry(TypeMember, bob)), "not judged"},
			{"no state event", with(e), "not a state event"},
			{"of another room", append(slices.Clone(good[1:]), foreign), "another room"},
		} {
			_, err := AuthState(v, e, r.create, c.events)
			if !matrix.IsCode(err, matrix.Forbidden) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%s: got %v, want %q", c.name, err, c.want)
			}
		}
		_, err = AuthState(v, e, nil, []*Event{power, member})
		wantError(t, err, matrix.Forbidden, "lacks m.room.create")
		if v.HashRoomID {
			_, err = AuthState(v, e, r.create, with(r.create))
			wantError(t, err, matrix.Forbidden, "not judged")
		}
		_, err = AuthState(v, r.create, nil, nil)
		wantError(t, err, "", "")
		_, err = AuthState(v, r.create, nil, []*Event{power})
		wantError(t, err, matrix.Forbidden, "not judged")
	})
}
