package roomstest

import (
	"encoding/json"
	"fmt"
	"maps"

	"homeserver/internal/event"
	"homeserver/internal/rooms"
)

// As returns a request of a user about a room.
func As(user, room string) rooms.Request { return rooms.Request{UserID: user, RoomID: room} }

// Raw returns the JSON of a value.
func Raw(v any) json.RawMessage {
	text, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return text
}

// Object has the members of a JSON object.
type Object = map[string]json.RawMessage

// Message returns the content of a text message.
func Message(body string) json.RawMessage {
	return Raw(map[string]string{"msgtype": "m.text", "body": body})
}

// Create makes a room.
func (env *Env) Create(creator string, q rooms.CreateRequest) (roomID string) {
	env.T.Helper()
	created, err := env.Rooms.Create(env.T.Context(), creator, q)
	if err != nil {
		env.T.Fatalf("create a room: %v", err)
	}
	return created.RoomID
}

// Public makes a public room of Alice's that the users have joined.
func (env *Env) Public(joined ...string) (roomID string) {
	env.T.Helper()
	room := env.Create(Alice, rooms.CreateRequest{Preset: "public_chat"})
	for _, user := range joined {
		env.Join(user, room)
	}
	return room
}

// EachVersion calls a function with a room of each version.
func (env *Env) EachVersion(q rooms.CreateRequest, test func(version int, room string)) {
	env.T.Helper()
	for version := 1; version <= 12; version++ {
		q.RoomVersion = fmt.Sprint(version)
		test(version, env.Create(Alice, q))
	}
}

// Join joins a user to a room.
func (env *Env) Join(user, room string) {
	env.T.Helper()
	if err := env.Rooms.Join(env.T.Context(), user, room, ""); err != nil {
		env.T.Fatalf("%s joins: %v", user, err)
	}
}

// Leave makes a user leave a room, or reject an invite.
func (env *Env) Leave(user, room string) {
	env.T.Helper()
	if err := env.Rooms.Leave(env.T.Context(), user, room, ""); err != nil {
		env.T.Fatalf("%s leaves: %v", user, err)
	}
}

// Invite invites a user into a room.
func (env *Env) Invite(sender, room, user string) {
	env.T.Helper()
	if err := env.Rooms.Invite(env.T.Context(), sender, room, user, ""); err != nil {
		env.T.Fatalf("%s invites %s: %v", sender, user, err)
	}
}

// Send sends a text message, and returns the event's ID.
func (env *Env) Send(user, room, body string) (eventID string) {
	env.T.Helper()
	return env.SendEvent(user, room, "m.room.message", string(Message(body)))
}

// SendEvent is Send for any message event.
func (env *Env) SendEvent(user, room, evType, content string) (eventID string) {
	env.T.Helper()
	id, err := env.Rooms.Send(env.T.Context(), As(user, room), evType, json.RawMessage(content))
	if err != nil {
		env.T.Fatalf("%s sends %s %s: %v", user, evType, content, err)
	}
	return id
}

// SetState sets an entry of a room's state, and returns the event's ID.
func (env *Env) SetState(user, room, evType, key, content string) (eventID string) {
	env.T.Helper()
	id, err := env.Rooms.SetState(env.T.Context(), As(user, room), evType, key, json.RawMessage(content))
	if err != nil {
		env.T.Fatalf("%s sets %s %q to %s: %v", user, evType, key, content, err)
	}
	return id
}

// TrySetState is SetState for state that may be refused.
func (env *Env) TrySetState(user, room, evType, key, content string) error {
	_, err := env.Rooms.SetState(env.T.Context(), As(user, room), evType, key, json.RawMessage(content))
	return err
}

// SetPower sets the levels of users in m.room.power_levels of a room of Alice's, and does not
// change the rest. From version 12 on Alice's power is infinite, and a level for her is left
// out.
func (env *Env) SetPower(room string, users map[string]int) {
	env.T.Helper()
	if env.version(room).PrivilegedCreators {
		users = maps.Clone(users)
		delete(users, Alice)
	}
	content := Object{}
	env.OK(json.Unmarshal([]byte(env.Content(Alice, room, event.TypePowerLevels, "")), &content))
	content["users"] = Raw(users)
	env.SetState(Alice, room, event.TypePowerLevels, "", string(Raw(content)))
}

// version returns the version of a room.
func (env *Env) version(room string) *event.Version {
	env.T.Helper()
	row, err := env.Rooms.Timeline.Room(env.T.Context(), room)
	env.OK(err)
	version, _ := event.LookupVersion(row.Version)
	return version
}

// Redact redacts an event, and returns the ID of the redaction.
func (env *Env) Redact(user, room, id, reason string) (eventID string) {
	env.T.Helper()
	redaction, err := env.Rooms.Redact(env.T.Context(), As(user, room), id, reason)
	if err != nil {
		env.T.Fatalf("%s redacts %s: %v", user, id, err)
	}
	return redaction
}
