package push

import (
	"encoding/json"
	"sync"
)

// predefinedRules returns the rules that every user has: client-server API, "Predefined
// Rules", in the order of the text of version 1.16, which still had those for mentions
// as clients made them before m.mentions, and those of MSC3930 for polls. All users share
// them in memory: they must not be written to. Some have placeholders: see [owner].
var predefinedRules = sync.OnceValue(func() [kinds][]Rule {
	name := predefined(ruleContainsUserName, mentioned)
	name.Conditions, name.Pattern = nil, &theLocalpart
	master := predefined(".m.rule.master", nothing)
	master.Enabled = false
	return [kinds][]Rule{
		Override: {
			master,
			predefined(".m.rule.suppress_notices", nothing, match("content.msgtype", "m.notice")),
			predefined(ruleInviteForMe, withSound("default"), match("type", "m.room.member"), match("content.membership", "invite"),
				match("state_key", theOwner)),
			predefined(ruleMemberEvent, nothing, match("type", "m.room.member")),
			predefined(ruleUserMention, mentioned,
				`{"kind":"event_property_contains","key":"content.m\\.mentions.user_ids","value":"`+theOwner+`"}`),
			predefined(ruleContainsDisplayName, mentioned, `{"kind":"contains_display_name"}`),
			predefined(".m.rule.is_room_mention", highlighted, `{"kind":"event_property_is","key":"content.m\\.mentions.room","value":true}`,
				`{"kind":"sender_notification_permission","key":"room"}`),
			predefined(ruleRoomNotif, highlighted, match("content.body", "@room"), `{"kind":"sender_notification_permission","key":"room"}`),
			predefined(".m.rule.tombstone", highlighted, match("type", "m.room.tombstone"), match("state_key", "")),
			predefined(".m.rule.reaction", nothing, match("type", "m.reaction")),
			predefined(".m.rule.room.server_acl", nothing, match("type", "m.room.server_acl"), match("state_key", "")),
			predefined(".m.rule.suppress_edits", nothing,
				`{"kind":"event_property_is","key":"content.m\\.relates_to.rel_type","value":"m.replace"}`),
			predefined(pollRules+"poll_response", nothing, match("type", pollEvents+"response")),
		},
		Content: {name},
		Underride: {
			predefined(".m.rule.call", withSound("ring"), match("type", "m.call.invite")),
			predefined(".m.rule.encrypted_room_one_to_one", withSound("default"), twoMembers, match("type", "m.room.encrypted")),
			predefined(".m.rule.room_one_to_one", withSound("default"), twoMembers, match("type", "m.room.message")),
			predefined(".m.rule.message", plain, match("type", "m.room.message")),
			predefined(".m.rule.encrypted", plain, match("type", "m.room.encrypted")),
			predefined(pollRules+"poll_start_one_to_one", withSound("default"), twoMembers, match("type", pollEvents+"start")),
			predefined(pollRules+"poll_start", plain, match("type", pollEvents+"start")),
			predefined(pollRules+"poll_end_one_to_one", withSound("default"), twoMembers, match("type", pollEvents+"end")),
			predefined(pollRules+"poll_end", plain, match("type", pollEvents+"end")),
		},
	}
})

// The predefined rules about membership: of the user's own invites, and of all else.
const (
	ruleInviteForMe = ".m.rule.invite_for_me"
	ruleMemberEvent = ".m.rule.member_event"
)

// The predefined rule about being mentioned in m.mentions.
const ruleUserMention = ".m.rule.is_user_mention"

// The predefined rules that look for mentions in the body.
const (
	ruleContainsDisplayName = ".m.rule.contains_display_name"
	ruleRoomNotif           = ".m.rule.roomnotif"
	ruleContainsUserName    = ".m.rule.contains_user_name"
)

// The rules of MSC3930 for polls, and the events of MSC3381 that they are about, have no
// names but those of the proposals: clients send polls by these, and switch the rules
// together with those for messages.
const (
	pollRules  = ".org.matrix.msc3930.rule."
	pollEvents = "org.matrix.msc3381.poll."
)

// isLegacyMention reports whether a rule holds only for events without m.mentions:
// client-server API 1.16, "Predefined Rules".
func isLegacyMention(id string) bool {
	return id == ruleContainsDisplayName || id == ruleRoomNotif || id == ruleContainsUserName
}

const twoMembers = `{"kind":"room_member_count","is":"2"}`

// The actions of predefined rules.
var (
	nothing     = []string{}
	plain       = []string{`"notify"`}
	highlighted = []string{`"notify"`, `{"set_tweak":"highlight"}`}
	mentioned   = []string{`"notify"`, `{"set_tweak":"sound","value":"default"}`, `{"set_tweak":"highlight"}`}
)

func withSound(sound string) []string {
	return []string{`"notify"`, `{"set_tweak":"sound","value":"` + sound + `"}`}
}

func match(key, pattern string) string {
	return `{"kind":"event_match","key":"` + key + `","pattern":"` + pattern + `"}`
}

func predefined(id string, actions []string, conditions ...string) Rule {
	return Rule{ID: id, Default: true, Enabled: true, Actions: rawList(actions), Conditions: rawList(conditions)}
}

func rawList(texts []string) []json.RawMessage {
	list := make([]json.RawMessage, len(texts))
	for i, text := range texts {
		list[i] = json.RawMessage(text)
	}
	return list
}
