package event

import (
	"bytes"
	"strings"
	"testing"

	"homeserver/internal/matrix"
)

// fullEvent has all members that any version protects, and some that none does.
const fullEvent = `{"age":1,"auth_events":["$a"],"content":CONTENT,"depth":1,"event_id":"$e","hashes":{"sha256":"h"},` +
	`"membership":"join","origin":"o","origin_server_ts":2,"other":{},"prev_events":["$p"],"prev_state":["$s"],` +
	`"redacts":"$r","room_id":"!r","sender":"@u:d","signatures":{"d":{"ed25519:1":"s"}},"state_key":"k",` +
	`"txn_id":"t","type":"TYPE","unsigned":{"age":1}}`

func fullEventOf(evType, content string) string {
	return strings.NewReplacer("TYPE", evType, "CONTENT", content).Replace(fullEvent)
}

func TestRedactKeepsMembersOfTheEvent(t *testing.T) {
	t.Parallel()
	raw := []byte(fullEventOf("m.room.message", `{"body":"x"}`))
	for _, c := range []struct{ versions, want string }{
		{"1-10", `{"auth_events":["$a"],"content":{},"depth":1,"event_id":"$e","hashes":{"sha256":"h"},"membership":"join",` +
			`"origin":"o","origin_server_ts":2,"prev_events":["$p"],"prev_state":["$s"],"room_id":"!r","sender":"@u:d",` +
			`"signatures":{"d":{"ed25519:1":"s"}},"state_key":"k","type":"m.room.message"}`},
		{"11-12", `{"auth_events":["$a"],"content":{},"depth":1,"event_id":"$e","hashes":{"sha256":"h"},` +
			`"origin_server_ts":2,"prev_events":["$p"],"room_id":"!r","sender":"@u:d",` +
			`"signatures":{"d":{"ed25519:1":"s"}},"state_key":"k","type":"m.room.message"}`},
	} {
		for _, id := range versionSpan(t, c.versions) {
			got, err := Redact(mustVersion(t, id), raw)
			if err != nil || string(got) != c.want {
				t.Errorf("version %s: %s, %v; want %s", id, got, err, c.want)
			}
		}
	}
}

// "Redactions" of each room version, key by key.
func TestRedactContent(t *testing.T) {
	t.Parallel()
	const (
		memberContent = `{"avatar_url":"a","displayname":"d","join_authorised_via_users_server":"@u:d","membership":"join",` +
			`"reason":"r","third_party_invite":{"display_name":"d","signed":{"mxid":"@m:d","signatures":{},"token":"t"}}}`
		levelsContent = `{"ban":1,"custom":9,"events":{"a":1},"events_default":2,"invite":3,"kick":4,` +
			`"notifications":{"room":5},"redact":6,"state_default":7,"users":{"@u:d":8},"users_default":9}`
		createContent = `{"creator":"@u:d","m.federate":true,"predecessor":{"room_id":"!x"},"room_version":"1","type":"m.space"}`
		rulesContent  = `{"allow":[{"room_id":"!x","type":"m.room_membership"}],"join_rule":"restricted","other":1}`
	)
	cases := []struct{ name, versions, evType, content, want string }{
		{"message", "1-12", "m.room.message", `{"body":"x","membership":"join"}`, `{}`},
		{"unknown state", "1-12", "org.example.x", `{"name":"x"}`, `{}`},
		{"name", "1-12", "m.room.name", `{"name":"x"}`, `{}`},
		{"topic", "1-12", "m.room.topic", `{"topic":"x"}`, `{}`},
		{"empty", "1-12", TypeMember, `{}`, `{}`},

		{"member", "1-8", TypeMember, memberContent, `{"membership":"join"}`},
		{"member", "9-10", TypeMember, memberContent, `{"join_authorised_via_users_server":"@u:d","membership":"join"}`},
		{"member", "11-12", TypeMember, memberContent, `{"join_authorised_via_users_server":"@u:d","membership":"join",` +
			`"third_party_invite":{"signed":{"mxid":"@m:d","signatures":{},"token":"t"}}}`},
		{"invite without signed", "1-10", TypeMember, `{"third_party_invite":{"display_name":"d"}}`, `{}`},
		{"invite without signed", "11-12", TypeMember, `{"third_party_invite":{"display_name":"d"}}`, `{"third_party_invite":{}}`},
		{"invite that is no object", "1-12", TypeMember, `{"third_party_invite":"x"}`, `{}`},
		{"invite that is null", "1-12", TypeMember, `{"third_party_invite":null}`, `{}`},
		{"invite of another type", "1-12", "m.room.message", `{"third_party_invite":{"signed":{}}}`, `{}`},

		{"create", "1-10", TypeCreate, createContent, `{"creator":"@u:d"}`},
		{"create", "11-12", TypeCreate, createContent, createContent},

		{"join rules", "1-7", TypeJoinRules, rulesContent, `{"join_rule":"restricted"}`},
		{"join rules", "8-12", TypeJoinRules, rulesContent,
			`{"allow":[{"room_id":"!x","type":"m.room_membership"}],"join_rule":"restricted"}`},

		{"power levels", "1-10", TypePowerLevels, levelsContent, `{"ban":1,"events":{"a":1},"events_default":2,"kick":4,` +
			`"redact":6,"state_default":7,"users":{"@u:d":8},"users_default":9}`},
		{"power levels", "11-12", TypePowerLevels, levelsContent, `{"ban":1,"events":{"a":1},"events_default":2,"invite":3,"kick":4,` +
			`"redact":6,"state_default":7,"users":{"@u:d":8},"users_default":9}`},

		{"aliases", "1-5", TypeAliases, `{"aliases":["#a:d"],"x":1}`, `{"aliases":["#a:d"]}`},
		{"aliases", "6-12", TypeAliases, `{"aliases":["#a:d"],"x":1}`, `{}`},
		{"canonical alias", "1-12", "m.room.canonical_alias", `{"alias":"#a:d"}`, `{}`},

		{"history visibility", "1-12", "m.room.history_visibility", `{"history_visibility":"shared","x":1}`,
			`{"history_visibility":"shared"}`},

		{"redaction", "1-10", TypeRedaction, `{"reason":"r","redacts":"$x"}`, `{}`},
		{"redaction", "11-12", TypeRedaction, `{"reason":"r","redacts":"$x"}`, `{"redacts":"$x"}`},

		{"third party invite", "1-12", TypeThirdPartyInvite, `{"display_name":"d","public_key":"k"}`, `{}`},
	}
	for _, c := range cases {
		t.Run(c.name+" "+c.versions, func(t *testing.T) {
			t.Parallel()
			for _, id := range versionSpan(t, c.versions) {
				v := mustVersion(t, id)
				if got := RedactContent(v, c.evType, []byte(c.content)); string(got) != c.want {
					t.Errorf("version %s: RedactContent returns %s, want %s", id, got, c.want)
				}
				redacted, err := Redact(v, []byte(fullEventOf(c.evType, c.content)))
				if err != nil || string(Field(redacted, "content")) != c.want {
					t.Errorf("version %s: Redact returns %s, %v; want content %s", id, redacted, err, c.want)
				}
				again, err := Redact(v, redacted)
				if err != nil || !bytes.Equal(again, redacted) {
					t.Errorf("version %s: redacted twice the event is %s, %v", id, again, err)
				}
			}
		})
	}
}

func TestRedactMakesCanonical(t *testing.T) {
	t.Parallel()
	got, err := Redact(mustVersion(t, "11"), []byte(`{ "type": "m.room.member", "x": 1, "content": {"x":1, "membership": "\u006aoin"} }`))
	if want := `{"content":{"membership":"join"},"type":"m.room.member"}`; err != nil || string(got) != want {
		t.Errorf("got %s, %v; want %s", got, err, want)
	}
}

func TestRedactRefuses(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		raw  string
		code matrix.Code
	}{
		{``, matrix.NotJSON},
		{`{"type":`, matrix.NotJSON},
		{`[]`, matrix.BadJSON},
		{`"x"`, matrix.BadJSON},
		{`{}`, matrix.BadJSON},
		{`{"type":"x"}`, matrix.BadJSON},
		{`{"content":{}}`, matrix.BadJSON},
		{`{"content":{},"type":1}`, matrix.BadJSON},
		{`{"content":[],"type":"x"}`, matrix.BadJSON},
		{`{"content":null,"type":"x"}`, matrix.BadJSON},
		{`{"content":{"x":1.5},"type":"x"}`, matrix.BadJSON},
		{`{"content":{"x":1,"x":2},"type":"x"}`, matrix.BadJSON},
	} {
		if got, err := Redact(mustVersion(t, "11"), []byte(c.raw)); !matrix.IsCode(err, c.code) {
			t.Errorf("Redact(%s) = %s, %v; want %s", c.raw, got, err, c.code)
		}
	}
	if _, err := Redact(mustVersion(t, "5"), []byte(`{"content":{"x":1.5},"type":"x"}`)); err != nil {
		t.Errorf("a float in version 5: %v", err)
	}
}
