package roomstest

import (
	"slices"

	"homeserver/internal/event"
	"homeserver/internal/journal"
	"homeserver/internal/matrix"
	"homeserver/internal/rooms/timeline"
)

// NID returns the number of a room.
func (env *Env) NID(room string) journal.RoomNID {
	env.T.Helper()
	nid, err := env.Rooms.Timeline.Number(env.T.Context(), room)
	env.OK(err)
	return nid
}

// Event returns an event as a user reads it.
func (env *Env) Event(user, room, id string) *timeline.Event {
	env.T.Helper()
	e, _, err := env.Rooms.Timeline.For(user).Event(env.T.Context(), room, id)
	env.OK(err)
	return e
}

// Content returns the content of a state entry as a user reads it, and "" if there is none.
func (env *Env) Content(user, room, evType, key string) string {
	env.T.Helper()
	e, _, err := env.Rooms.Timeline.For(user).StateEvent(env.T.Context(), room, evType, key)
	if matrix.IsCode(err, matrix.NotFound) {
		return ""
	}
	if err != nil {
		env.T.Fatalf("%s reads %s %q: %v", user, evType, key, err)
	}
	return string(e.Content())
}

// WantContent compares the fields of a state entry with those of a JSON object.
func (env *Env) WantContent(user, room, evType, key, want string) {
	env.T.Helper()
	if got := env.Content(user, room, evType, key); !SameJSON(got, want) {
		env.T.Errorf("%s %q is %s, want %s", evType, key, got, want)
	}
}

// SameJSON reports whether two JSON values are the same in their canonical form.
func SameJSON(a, b string) bool {
	ca, errA := event.Canonical([]byte(a), false)
	cb, errB := event.Canonical([]byte(b), false)
	return errA == nil && errB == nil && string(ca) == string(cb)
}

// Membership returns a user's membership of a room that Alice is in, and "" if there is none.
func (env *Env) Membership(room, user string) string {
	env.T.Helper()
	membership, _ := event.StringField([]byte(env.Content(Alice, room, event.TypeMember, user)), "membership")
	return membership
}

// WantMembership checks a user's membership of a room that Alice is in.
func (env *Env) WantMembership(room, user, want string) {
	env.T.Helper()
	if got := env.Membership(room, user); got != want {
		env.T.Errorf("%s has membership %q, want %q", user, got, want)
	}
}

// History returns all events of a room that a user can read, oldest first.
func (env *Env) History(user, room string) []*timeline.Event {
	env.T.Helper()
	st, err := env.Rooms.Timeline.For(user).Messages(env.T.Context(), room, timeline.Page{Limit: timeline.MaxLimit})
	if err != nil {
		env.T.Fatalf("%s reads the history: %v", user, err)
	}
	return st.Events
}

// Bodies lists the bodies of the messages of a room that a user can read, oldest first.
func (env *Env) Bodies(user, room string) []string {
	env.T.Helper()
	return Bodies(env.History(user, room))
}

// Bodies lists the bodies of the messages among events.
func Bodies(events []*timeline.Event) []string {
	list := []string{}
	for _, e := range events {
		if e.Type == "m.room.message" {
			body, _ := event.StringField(e.Content(), "body")
			list = append(list, body)
		}
	}
	return list
}

// IDs lists the IDs of events.
func IDs(events []*timeline.Event) []string {
	list := make([]string, len(events))
	for i, e := range events {
		list[i] = e.ID
	}
	return list
}

// Keys lists state events by type and state key.
func Keys(events []*timeline.Event) []string {
	list := make([]string, len(events))
	for i, e := range events {
		list[i] = e.Type + "|" + *e.StateKey
	}
	return list
}

// Members lists member events by user and membership, sorted.
func Members(events []*timeline.Event) []string {
	list := make([]string, len(events))
	for i, e := range events {
		list[i] = *e.StateKey + " " + e.Membership()
	}
	slices.Sort(list)
	return list
}
