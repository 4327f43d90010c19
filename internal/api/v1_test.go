package api

import (
	"encoding/json"
	"maps"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"homeserver/internal/matrixtest"
)

const prefixV1 = "/_matrix/client/api/v1"

// v1Body returns the body of a registration or a login of the first generation.
func v1Body(user string) string {
	return `{"user":"` + user + `","password":"wordpass","type":"m.login.password"}`
}

// newV1 returns clients of api/v1 of two registered users of a server.
func newV1(t *testing.T) (alice, bob *matrixtest.Client) {
	t.Helper()
	anyone := newServer(t)
	anyone.Prefix = prefixV1
	in := func(user string) *matrixtest.Client {
		answer := anyone.Do("POST", "/register", v1Body(user)).OK()
		c := *anyone
		c.UserID, c.Token = answer.String("user_id"), answer.String("access_token")
		return &c
	}
	return in("alice"), in("bob")
}

func TestV1Accounts(t *testing.T) {
	t.Parallel()
	anyone := newServer(t)
	anyone.Prefix = prefixV1
	for _, path := range []string{"/register", "/login"} {
		flows, _ := anyone.Do("GET", path, nil).OK().At("flows").([]any)
		if !slices.ContainsFunc(flows, func(f any) bool { return f.(map[string]any)["type"] == "m.login.password" }) {
			t.Errorf("GET %s: %v", path, flows)
		}
	}
	for _, body := range []string{
		v1Body("example"), v1Body("@whole:localhost"), `{"user_id":"older","password":"wordpass"}`, `{"type":"m.login.password"}`,
	} {
		answer := anyone.Do("POST", "/register", body).OK()
		if answer.String("home_server") != "localhost" || answer.String("access_token") == "" {
			t.Errorf("%s: %s", body, answer.Body)
		}
	}
	for _, user := range []string{"example", "@example:localhost", "whole", "older"} {
		answer := anyone.Do("POST", "/login", v1Body(user)).OK()
		if answer.String("home_server") != "localhost" || answer.String("access_token") == "" || answer.String("user_id") == "" {
			t.Errorf("%s: %s", user, answer.Body)
		}
	}
	anyone.Do("POST", "/register", v1Body("example")).Refused(400, "M_USER_IN_USE")
	anyone.Do("POST", "/register", v1Body("@example:elsewhere.org")).Refused(400, "M_INVALID_USERNAME")
	anyone.Do("POST", "/register", v1Body("@")).Refused(400, "M_INVALID_USERNAME")
	anyone.Do("POST", "/register", `{"type":"m.login.oauth2"}`).Refused(400, "M_UNKNOWN")
	anyone.Do("POST", "/register", `{"user":1}`).Refused(400, "M_BAD_JSON")
	anyone.Do("POST", "/tokenrefresh", `{"refresh_token":"x"}`).Refused(403, "M_UNKNOWN")
}

// v1Event is an event of api/v1 with all its members.
type v1Event map[string]any

func v1Events(t *testing.T, r *matrixtest.Response, place ...any) []v1Event {
	t.Helper()
	content, err := json.Marshal(r.At(place...))
	if err != nil {
		t.Fatal(err)
	}
	var events []v1Event
	if err := json.Unmarshal(content, &events); err != nil {
		t.Fatalf("%v: %v: %s", place, err, r.Body)
	}
	return events
}

// wantV1 checks what every event of api/v1 has, and that it has nothing of later
// formats.
func wantV1(t *testing.T, what string, events []v1Event) {
	t.Helper()
	if len(events) == 0 {
		t.Errorf("%s: there are no events", what)
	}
	for _, e := range events {
		for _, name := range []string{"age", "content", "event_id", "origin_server_ts", "room_id", "sender", "type", "user_id"} {
			if e[name] == nil {
				t.Errorf("%s: an event has no %s: %v", what, name, e)
			}
		}
		if e["unsigned"] != nil || e["user_id"] != e["sender"] {
			t.Errorf("%s: not in the format of v1: %v", what, e)
		}
		if e["type"] == "m.room.member" && e["membership"] != e["content"].(map[string]any)["membership"] {
			t.Errorf("%s: a member without membership: %v", what, e)
		}
	}
}

func TestV1GivesEventsInItsFormatEverywhere(t *testing.T) {
	t.Parallel()
	alice, bob := newV1(t)
	room := alice.CreateRoom(`{"room_alias_name":"tutorial","preset":"public_chat","name":"Kitchen"}`)
	if joined := bob.Do("POST", matrixtest.Path("join", "#tutorial:localhost"), `{}`).OK().String("room_id"); joined != room {
		t.Errorf("joined %s, not %s", joined, room)
	}
	gone := alice.SendText(room, "oops")
	alice.Do("POST", matrixtest.Path("rooms", room, "redact", gone), `{}`).OK()
	at := matrixtest.Path("rooms", room)
	wantV1(t, "members", v1Events(t, alice.Do("GET", at+"/members", nil).OK(), "chunk"))
	wantV1(t, "messages", v1Events(t, alice.Do("GET", at+"/messages?from=END&to=START&dir=b&limit=100", nil).OK(), "chunk"))
	wantV1(t, "state", v1Events(t, alice.Do("GET", at+"/state", nil).OK()))
	wantV1(t, "initialSync", v1Events(t, alice.Do("GET", "/initialSync", nil).OK(), "rooms", 0, "state"))
	wantV1(t, "room initialSync", v1Events(t, alice.Do("GET", at+"/initialSync", nil).OK(), "messages", "chunk"))
	wantV1(t, "context", v1Events(t, alice.Do("GET", at+"/context/"+gone, nil).OK(), "events_before"))

	redacted := alice.Do("GET", "/events/"+gone, nil).OK()
	if redacted.String("redacted_because", "user_id") != alice.UserID || redacted.At("unsigned") != nil {
		t.Errorf("a redacted event: %s", redacted.Body)
	}
	alice.Prefix = "/_matrix/client/r0"
	if today := alice.Do("GET", "/events/"+gone, nil).OK(); today.At("unsigned") == nil || today.At("user_id") != nil {
		t.Errorf("r0 has the format of v1: %s", today.Body)
	}
}

func TestV1TellsWhatStateWasBefore(t *testing.T) {
	t.Parallel()
	alice, _ := newV1(t)
	room := alice.CreateRoom(nil)
	at := matrixtest.Path("rooms", room, "state", "m.room.topic")
	first := alice.Do("PUT", at, `{"topic":"first"}`).OK().String("event_id")
	second := alice.Do("PUT", at+"/", `{"topic":"second"}`).OK().String("event_id")
	e := alice.Do("GET", "/events/"+second, nil).OK()
	if e.String("replaces_state") != first || e.String("prev_content", "topic") != "first" {
		t.Errorf("got %s", e.Body)
	}
	if topic := alice.Do("GET", at, nil).OK().String("topic"); topic != "second" {
		t.Errorf("the topic is %q", topic)
	}
}

// In the first tutorial, membership is state that one sets.
func TestV1MembershipAsState(t *testing.T) {
	t.Parallel()
	alice, bob := newV1(t)
	room := alice.CreateRoom(nil)
	member := matrixtest.Path("rooms", room, "state", "m.room.member", bob.UserID)
	bob.Do("PUT", member, `{"membership":"join"}`).Refused(403, "M_FORBIDDEN")
	for _, step := range []struct {
		who        *matrixtest.Client
		membership string
	}{{alice, "invite"}, {bob, "join"}, {bob, "leave"}} {
		step.who.Do("PUT", member, `{"membership":"`+step.membership+`"}`).OK()
		if got := alice.Do("GET", member, nil).OK().String("membership"); got != step.membership {
			t.Errorf("bob is %s, not %s", got, step.membership)
		}
	}
}

func TestMessagesBetweenTheTwoEnds(t *testing.T) {
	t.Parallel()
	alice, _ := newV1(t)
	room := alice.CreateRoom(nil)
	alice.SendText(room, "hello")
	path := matrixtest.Path("rooms", room, "messages")
	backward := alice.Do("GET", path+"?from=END&to=START&dir=b&limit=100", nil).OK()
	events := backward.Events("chunk")
	if events[0].Body() != "hello" || events[len(events)-1].Type != "m.room.create" || backward.String("end") == "" {
		t.Errorf("from the end: %s", backward.Body)
	}
	forward := alice.Do("GET", path+"?from=START&to=END&dir=f&limit=100", nil).OK().Events("chunk")
	slices.Reverse(forward)
	if diff := cmp.Diff(idsOf(events), idsOf(forward)); diff != "" {
		t.Errorf("the two directions differ: %s", diff)
	}
	if after := alice.Do("GET", path+"?from=END&dir=f", nil).OK().Events("chunk"); len(after) != 0 {
		t.Errorf("after the end comes %v", after)
	}
}

func TestV1PublicRooms(t *testing.T) {
	t.Parallel()
	alice, _ := newV1(t)
	ids := map[string]bool{}
	for range 3 {
		ids[alice.CreateRoom(`{"visibility":"public"}`)] = true
	}
	anyone := *alice
	anyone.Token = ""
	from, found := "START", map[string]bool{}
	for pages := 0; from != "END"; pages++ {
		if pages == 3 {
			t.Fatal("the list does not end")
		}
		page := anyone.Do("GET", "/publicRooms?limit=2&from="+from, nil).OK()
		chunk, _ := page.At("chunk").([]any)
		for i := range chunk {
			found[page.String("chunk", i, "room_id")] = true
		}
		if page.String("start") == "" {
			t.Errorf("a page without start: %s", page.Body)
		}
		from = page.String("end")
	}
	if !maps.Equal(found, ids) {
		t.Errorf("found %v, want %v", found, ids)
	}
}
