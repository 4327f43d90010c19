package event

import "slices"

// member applies rule 4: m.room.member.
func (a *authorizer) member() error {
	if a.event.StateKey == nil {
		return forbidden("m.room.member has no state key")
	}
	membership, ok := StringField(a.event.Content, "membership")
	if !ok {
		return forbidden("m.room.member has no membership")
	}
	if err := a.authorisedJoinSignature(); err != nil {
		return err
	}
	target := *a.event.StateKey
	switch {
	case membership == Join:
		return a.join(target)
	case membership == Invite:
		return a.invite(target)
	case membership == Leave:
		return a.leave(target)
	case membership == Ban:
		return a.ban(target)
	case membership == Knock && a.version.Knock:
		return a.knock(target)
	}
	return forbidden("the membership %s is not known in this room version", quote(membership))
}

// authorisedJoinSignature applies rule 4.2: the server of the user who authorises a
// join has signed it.
func (a *authorizer) authorisedJoinSignature() error {
	value := Field(a.event.Content, "join_authorised_via_users_server")
	if value == nil || !a.version.Restricted {
		return nil
	}
	user, _ := Unquote(value)
	signatures := Field(Field(a.event.JSON, "signatures"), domainOf(user))
	for m := membersOf(signatures); m.next(); {
		if isEd25519(string(m.key)) {
			return nil
		}
	}
	return forbidden("the event is not signed by the server of the user in join_authorised_via_users_server")
}

// join applies rule 4.3.
func (a *authorizer) join(target string) error {
	if a.firstJoin(target) {
		return nil
	}
	if a.event.Sender != target {
		return forbidden("nobody can join a room for somebody else")
	}
	membership := a.membership(target)
	if membership == Ban {
		return forbidden("%s is banned from the room", target)
	}
	expected := membership == Join || membership == Invite
	switch a.joinRule() {
	case JoinRulePublic:
		return nil
	case JoinRuleInvite, JoinRuleKnock:
		if expected {
			return nil
		}
		return forbidden("the room can be joined by invitation only, and %s is not invited", target)
	case JoinRuleRestricted, JoinRuleKnockRestricted:
		if expected {
			return nil
		}
		return a.restrictedJoin()
	default:
		return forbidden("the room can't be joined under its join rule %s", quote(a.state.Event(TypeJoinRules, "").JoinRule()))
	}
}

// firstJoin reports whether rule 4.3.1 allows the join: the creator joins right after
// m.room.create.
func (a *authorizer) firstJoin(target string) bool {
	return slices.Equal(a.event.PrevEvents(), []string{a.create.ID}) && a.create.CreateContent().Creators[0] == target
}

// joinRule returns the room's join rule, and "" for one that the room version does not
// have.
func (a *authorizer) joinRule() string {
	rule := a.state.Event(TypeJoinRules, "").JoinRule()
	if !a.version.KnowsJoinRule(rule) {
		return ""
	}
	return rule
}

// restrictedJoin applies rule 4.3.5.2: a member who may invite authorises the join.
func (a *authorizer) restrictedJoin() error {
	user, ok := StringField(a.event.Content, "join_authorised_via_users_server")
	if !ok {
		return forbidden("the room can be joined by invitation, or by members of certain other rooms, only")
	}
	if a.membership(user) != Join {
		return forbidden("%s, who is to vouch for the join, is not in the room", quote(user))
	}
	if power := a.userPower(user); power < a.levels.Invite() {
		return forbidden("%s, who is to vouch for the join, needs power level %s to invite, and has %s",
			quote(user), a.levels.Invite(), power)
	}
	return nil
}

// invite applies rule 4.4.
func (a *authorizer) invite(target string) error {
	if invite := Field(a.event.Content, "third_party_invite"); invite != nil {
		return a.redeemInvite(target, invite)
	}
	if err := a.senderJoined(); err != nil {
		return err
	}
	switch a.membership(target) {
	case Join:
		return forbidden("%s is in the room already", target)
	case Ban:
		return forbidden("%s is banned from the room", target)
	}
	return a.needsPower(a.levels.Invite(), "invite")
}

// leave applies rule 4.5: leaving, refusing an invitation, kicking and unbanning.
func (a *authorizer) leave(target string) error {
	membership := a.membership(target)
	if a.event.Sender == target {
		if membership == Join || membership == Invite || membership == Knock && a.version.Knock {
			return nil
		}
		return forbidden("%s is not in the room", target)
	}
	if err := a.senderJoined(); err != nil {
		return err
	}
	if membership == Ban {
		if err := a.needsPower(a.levels.Ban(), "unban"); err != nil {
			return err
		}
	}
	if err := a.needsPower(a.levels.Kick(), "kick"); err != nil {
		return err
	}
	return a.outranks(target)
}

// ban applies rule 4.6.
func (a *authorizer) ban(target string) error {
	if err := a.senderJoined(); err != nil {
		return err
	}
	if err := a.needsPower(a.levels.Ban(), "ban"); err != nil {
		return err
	}
	return a.outranks(target)
}

// outranks refuses a sender whose power is not greater than the target's.
func (a *authorizer) outranks(target string) error {
	if power := a.userPower(target); power >= a.power {
		return forbidden("you need a greater power level than %s, who has %s; you have %s", target, power, a.power)
	}
	return nil
}

// knock applies rule 4.7.
func (a *authorizer) knock(target string) error {
	if rule := a.joinRule(); rule != JoinRuleKnock && rule != JoinRuleKnockRestricted {
		return forbidden("the room's join rule does not allow knocking")
	}
	if a.event.Sender != target {
		return forbidden("nobody can knock for somebody else")
	}
	switch membership := a.membership(target); membership {
	case Ban, Invite, Join:
		return forbidden("%s can't knock, having the membership %s", target, membership)
	}
	return nil
}
