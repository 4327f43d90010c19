package rooms_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"homeserver/internal/auth"
	"homeserver/internal/event"
	"homeserver/internal/journal"
	"homeserver/internal/matrix"
	"homeserver/internal/rooms"
	"homeserver/internal/rooms/timeline"
)

const dave = "@dave:localhost"

// as is a request of a user about a room.
func as(user, room string) rooms.Request { return rooms.Request{UserID: user, RoomID: room} }

// raw is the JSON of a value.
func raw(v any) json.RawMessage {
	text, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return text
}

// object is the fields of a JSON object.
type object = map[string]json.RawMessage

func (h *house) trySet(user, room, evType, key, content string) error {
	_, err := h.SetState(h.t.Context(), as(user, room), evType, key, json.RawMessage(content))
	return err
}

func (h *house) set(user, room, evType, key, content string) string {
	h.t.Helper()
	id, err := h.SetState(h.t.Context(), as(user, room), evType, key, json.RawMessage(content))
	if err != nil {
		h.t.Fatalf("%s sets %s %q to %s: %v", user, evType, key, content, err)
	}
	return id
}

// content is the content of a state entry as a user sees it; "" if there is none.
func (h *house) content(user, room, evType, key string) string {
	h.t.Helper()
	e, _, err := h.Timeline.StateEvent(h.t.Context(), user, room, evType, key)
	if matrix.IsCode(err, matrix.NotFound) {
		return ""
	}
	if err != nil {
		h.t.Fatalf("%s reads %s %q: %v", user, evType, key, err)
	}
	return string(e.Content())
}

// wantContent compares the fields of a state entry with those of a JSON object.
func (h *house) wantContent(user, room, evType, key, want string) {
	h.t.Helper()
	if got := h.content(user, room, evType, key); !sameJSON(got, want) {
		h.t.Errorf("%s %q is %s, want %s", evType, key, got, want)
	}
}

func sameJSON(a, b string) bool {
	ca, errA := event.Canonical([]byte(a), false)
	cb, errB := event.Canonical([]byte(b), false)
	return errA == nil && errB == nil && string(ca) == string(cb)
}

// membership is how a user stands to a room of alice's.
func (h *house) membership(room, user string) string {
	h.t.Helper()
	membership, _ := event.StringField([]byte(h.content(alice, room, event.TypeMember, user)), "membership")
	return membership
}

func (h *house) wantMembership(room, user, want string) {
	h.t.Helper()
	if got := h.membership(room, user); got != want {
		h.t.Errorf("%s has membership %q, want %q", user, got, want)
	}
}

// history is all that a user sees of a room, oldest first.
func (h *house) history(user, room string) []*timeline.Event {
	h.t.Helper()
	st, err := h.Timeline.Messages(h.t.Context(), user, room, timeline.Page{Limit: timeline.MaxLimit})
	if err != nil {
		h.t.Fatalf("%s reads the history: %v", user, err)
	}
	return st.Events
}

func ids(events []*timeline.Event) []string {
	list := make([]string, len(events))
	for i, e := range events {
		list[i] = e.ID
	}
	return list
}

// all gives the events of a cursor.
func (h *house) all(c *timeline.Cursor) []*timeline.Event {
	h.t.Helper()
	events := []*timeline.Event{}
	for e, err := range c.All(h.t.Context()) {
		h.ok(err)
		events = append(events, e)
	}
	return events
}

// keys names state events by type and state key.
func keys(events []*timeline.Event) []string {
	list := make([]string, len(events))
	for i, e := range events {
		list[i] = e.Type + "|" + *e.StateKey
	}
	return list
}

// members gives user and membership of member events.
func members(events []*timeline.Event) []string {
	list := make([]string, len(events))
	for i, e := range events {
		list[i] = *e.StateKey + " " + e.Membership()
	}
	slices.Sort(list)
	return list
}

func unmarshal(text []byte, into any) error { return json.Unmarshal(text, into) }

func equal(t *testing.T, what string, got, want []string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s: got %q, want %q", what, got, want)
	}
}

// shown is an event as a reader gets it.
func shown(t *testing.T, f *timeline.Format, e *timeline.Event) (whole, unsigned object) {
	t.Helper()
	f.Now = time.UnixMilli(e.OriginServerTS + 1)
	text := f.AppendJSON(nil, e)
	if err := json.Unmarshal(text, &whole); err != nil {
		t.Fatalf("the event is no JSON: %v\n%s", err, text)
	}
	if err := json.Unmarshal(whole["unsigned"], &unsigned); err != nil {
		t.Fatalf("unsigned is no object: %v\n%s", err, text)
	}
	return whole, unsigned
}

// account makes an account, so that there can be a profile.
func (h *house) account(name string) matrix.Session {
	h.t.Helper()
	if _, err := h.users.CreateAccount(h.t.Context(), auth.NewAccount{Username: name}); err != nil {
		h.t.Fatal(err)
	}
	return matrix.Session{UserID: "@" + name + ":localhost"}
}

// profile sets a field of a profile, as a client would.
func (h *house) profile(who matrix.Session, field, value string) {
	h.t.Helper()
	if err := h.profiles.Set(h.t.Context(), who, who.UserID, field, raw(value)); err != nil {
		h.t.Fatalf("set %s: %v", field, err)
	}
}

// expect compares an error with a code; "" means that there is none.
func expect(t *testing.T, what string, err error, code matrix.Code) {
	t.Helper()
	switch {
	case code == "" && err != nil:
		t.Errorf("%s: %v", what, err)
	case code != "" && !matrix.IsCode(err, code):
		t.Errorf("%s: got %v, want %s", what, err, code)
	}
}

// forClient checks that an error is one that a client may see.
func forClient(t *testing.T, what string, err error) {
	t.Helper()
	var e *matrix.Error
	if err != nil && !errors.As(err, &e) {
		t.Errorf("%s: an internal error: %v", what, err)
	}
}

// versions runs a test in a room of each version.
func (h *house) versions(q rooms.CreateRequest, test func(version int, room string)) {
	h.t.Helper()
	for version := 1; version <= 12; version++ {
		q.RoomVersion = fmt.Sprint(version)
		test(version, h.create(alice, q))
	}
}

func (h *house) join(user, room string) {
	h.t.Helper()
	if err := h.Join(h.t.Context(), user, room, ""); err != nil {
		h.t.Fatalf("%s joins: %v", user, err)
	}
}

func (h *house) leave(user, room string) {
	h.t.Helper()
	if err := h.Leave(h.t.Context(), user, room, ""); err != nil {
		h.t.Fatalf("%s leaves: %v", user, err)
	}
}

func (h *house) invite(sender, room, user string) {
	h.t.Helper()
	if err := h.Invite(h.t.Context(), sender, room, user, ""); err != nil {
		h.t.Fatalf("%s invites %s: %v", sender, user, err)
	}
}

// power gives users their power levels, and leaves the rest as it was.
func (h *house) power(room string, users map[string]int) {
	h.t.Helper()
	content := object{}
	if err := json.Unmarshal([]byte(h.content(alice, room, event.TypePowerLevels, "")), &content); err != nil {
		h.t.Fatal(err)
	}
	content["users"] = raw(users)
	h.set(alice, room, event.TypePowerLevels, "", string(raw(content)))
}

// eventOfType is an event that has a type and nothing else.
func eventOfType(evType string) *timeline.Event {
	return &timeline.Event{Event: &event.Event{Type: evType, Content: []byte(`{}`)}}
}

// window is what stands in memory of all events, as alice gets it.
func (h *house) window() (texts []string) {
	h.t.Helper()
	var entries []*journal.Entry
	h.journal.Read(func(v journal.View) {
		for p := v.Position; p > 0 && v.At(p) != nil; p-- {
			entries = append(entries, v.At(p))
		}
	})
	for _, entry := range entries {
		if e := timeline.EventOf(entry); e != nil {
			texts = append(texts, string((&timeline.Format{UserID: alice, Now: time.UnixMilli(e.OriginServerTS)}).AppendJSON(nil, e)))
		}
	}
	return texts
}

// checkWindow checks that a word is gone from all events in memory.
func (h *house) checkWindow(what, word string) {
	h.t.Helper()
	for _, text := range h.window() {
		if strings.Contains(text, word) {
			h.t.Errorf("%s: in memory there is %s", what, text)
		}
	}
}
