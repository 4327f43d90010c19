package seed_test

import (
	"strings"
	"testing"

	"homeserver/internal/devkit/seed"
)

// people begins seeds whose mistake is further down: line 1 has the users.
const people = "users: [{name: alice}, {name: bob}]\n"

// inRoom returns a seed whose room has so many more lines, from the third on.
func inRoom(lines string) string { return people + "rooms:\n  - creator: alice\n    " + lines + "\n" }

func TestMistakesAreReportedWithTheirLine(t *testing.T) {
	t.Parallel()
	for content, want := range map[string]string{
		"users: [":                               ":1: ",
		"user: []":                               ":1: user: is not a known key; known here are now, rooms, users",
		"- a":                                    ":1: seed: must be a mapping with the keys now, rooms, users",
		"users: alice":                           ":1: users: must be a list, one item on each line after a dash",
		"users: [alice]":                         ":1: users[0]: must be a mapping with the keys account_data, admin, avatar, devices, displayname, name, password",
		"users: [{}]":                            ":1: users[0].name: is missing",
		"users:\n  - name: Ä":                    ":2: users[0].name: may only contain a-z, 0-9 and . _ = - / +",
		"users:\n  - name: '@a:elsewhere'":       ":2: users[0].name: may only contain",
		"users:\n  - name: a\n  - name: A":       ":3: users[1].name: is the name of another user",
		"users:\n  - name: a\n    admin: 1":      ":3: users[0].admin: must be true or false",
		"users:\n  - name: a\n    password: []":  ":3: users[0].password: must be a single plain value",
		"users:\n  - name: a\n    avatar: b.png": ":3: users[0].avatar: is no file that can be read; paths are relative to the folder of the seed file",
		"users:\n  - name: a\n    devices:\n      - {id: D}\n      - {id: D}":                              ":5: users[0].devices[1].id: is that of another device of the user",
		"users:\n  - {name: a, devices: [{access_token: t}]}\n  - {name: b, devices: [{access_token: t}]}": ":3: users[1].devices[0].access_token: is that of another device",
		"users:\n  - name: a\n    account_data:\n      m.x: 1":                                             ":4: users[0].account_data.m.x: must be a mapping of keys to values",
		"now: 3d":                                               ":1: now: must be a time such as 2026-03-01T09:30:00Z",
		"now: never":                                            ":1: now: must be a time such as 2026-03-01T09:30:00Z, or how long ago it was",
		"a: &b 1":                                               ":1: a: is not a known key",
		"users: &b []":                                          ":1: users: anchors",
		"---\nusers: []\n---\nusers: []":                        ":4: ---: a seed is one YAML document",
		people + "rooms:\n  - name: x":                          ":3: rooms[0].creator: is missing: it names a user of the seed",
		people + "rooms:\n  - creator: carol":                   `:3: rooms[0].creator: names "carol", who is not among the users of the seed`,
		inRoom("preset: open"):                                  ":4: rooms[0].preset: must be one of private_chat, trusted_private_chat, public_chat",
		inRoom("version: '13'"):                                 "rooms[0].version: must be a room version from 1 to 12",
		inRoom("at: -3d"):                                       ":4: rooms[0].at: must be a time such as",
		inRoom("at: 2999-01-01T00:00:00Z"):                      ":4: rooms[0].at: lies in the future",
		inRoom("id: a\n  - {creator: bob, id: a}"):              ":5: rooms[1].id: is that of another room",
		inRoom("alias: a\n  - {creator: bob, alias: a}"):        ":5: rooms[1].alias: is that of another room",
		inRoom("children: [x]"):                                 ":4: rooms[0].children[0]: is neither the id of a room of the seed nor a room ID",
		inRoom("members:\n      - carol"):                       `:5: rooms[0].members[0].user: names "carol"`,
		inRoom("members:\n      - {user: bob, membership: in}"): ":5: rooms[0].members[0].membership: must be one of join, invite, knock, leave, ban",
		inRoom("messages:\n      - {sender: bob}"):              ":5: rooms[0].messages[0]: needs one of: body or file (or both), content, reaction, redact",
		inRoom("messages:\n      - {body: x}"):                  ":5: rooms[0].messages[0].sender: is missing",
		inRoom("messages:\n      - {sender: bob, body: x, content: {a: b}}"):  ":5: rooms[0].messages[0]: needs one of",
		inRoom("messages:\n      - {sender: bob, content: 1}"):                ":5: rooms[0].messages[0].content: must be a mapping of keys to values",
		inRoom("messages:\n      - {sender: bob, state_key: '', body: x}"):    ":5: rooms[0].messages[0].content: is missing: a state event has one",
		inRoom("messages:\n      - {sender: bob, body: x, repeat: 0}"):        ":5: rooms[0].messages[0].repeat: must be a whole number, 1 or more",
		inRoom("messages:\n      - {sender: bob, body: x, repeat: 9999999}"):  ":5: rooms[0].messages[0].repeat: must be at most 1000000",
		inRoom("messages:\n      - {sender: bob, body: x, every: often}"):     ":5: rooms[0].messages[0].every: must be a length of time such as 90s, 5m or 2d",
		inRoom("messages:\n      - {sender: bob, body: x, id: a, repeat: 2}"): ":5: rooms[0].messages[0].id: cannot stand for the events of repeat",
		inRoom("messages:\n      - {sender: bob, body: x, id: $a}"):           ":5: rooms[0].messages[0].id: must not begin with $",
		inRoom("messages:\n      - {sender: bob, body: x, reply: a}"):         `:5: rooms[0].messages[0].reply: names "a", which is no id of an event before it in this room`,
		inRoom("messages:\n      - {sender: bob, reaction: x}"):               ":5: rooms[0].messages[0].to: goes with reaction",
		inRoom("messages:\n      - {sender: bob, file: none.png}"):            ":5: rooms[0].messages[0].file: is no file that can be read",
		inRoom("receipts:\n      - {user: bob}"):                              ":5: rooms[0].receipts[0].event: is missing: it names an event of the room by its id",
		inRoom("fully_read:\n      bob: x"):                                   `:5: rooms[0].fully_read.bob: names "x"`,
		inRoom("tags:\n      carol: {}"):                                      `:5: rooms[0].tags.carol: names "carol"`,
		inRoom("tags:\n      bob:\n        m.favourite: 1"):                   ":6: rooms[0].tags.bob.m.favourite: must be a mapping of keys to values",
	} {
		_, err := seed.Read(write(t, content), "localhost")
		if err == nil || !strings.Contains(err.Error(), "seed.yaml") || !strings.Contains(err.Error(), want) {
			t.Errorf("%s\n  got  %v\n  want %s", content, err, want)
		}
	}
}

func TestMistakesOfAFileAreReportedTogether(t *testing.T) {
	t.Parallel()
	_, err := seed.Read(write(t, "users: [{name: alice, colour: red}]\nroom: []\n"), "localhost")
	if err == nil || strings.Count(err.Error(), "\n") != 1 {
		t.Errorf("got %v", err)
	}
}

// What only the server can tell is reported with its line, too.
func TestRefusalsOfTheServerAreReportedWithTheirLine(t *testing.T) {
	t.Parallel()
	for content, want := range map[string]string{
		inRoom("members: [bob]\n    messages:\n      - {sender: alice, body: fine}\n      - {sender: bob, type: m.room.name, state_key: '', content: {name: x}}"): ":7: rooms[0].messages[1]: M_FORBIDDEN",
		inRoom("power_levels: {users_default: x}"):                                    ":3: rooms[0]: M_BAD_JSON",
		"users:\n  - name: a\n  - name: b\n    account_data:\n      m.fully_read: {}": ":3: users[1]: account_data.m.fully_read: M_BAD_JSON",
	} {
		if _, err := tryStart(t, read(t, content)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s\n  got  %v\n  want %s", content, err, want)
		}
	}
}
