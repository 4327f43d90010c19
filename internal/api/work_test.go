package api

import (
	"crypto/rand"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"homeserver/internal/auth/threepid"
	"homeserver/internal/httpapi"
	"homeserver/internal/httpapi/ratelimit"
	"homeserver/internal/matrixtest"
	"homeserver/internal/postgres/postgrestest"
)

// oneOf allows one of each kind of work and then none for a long time, and as much
// as anybody likes of all others.
func oneOf(kinds ...ratelimit.Kind) *ratelimit.Limits {
	limits := map[ratelimit.Kind]ratelimit.Limit{}
	for _, kind := range kinds {
		limits[kind] = ratelimit.Limit{PerSecond: 1e-6, Burst: 1}
	}
	return ratelimit.NewLimits(limits, time.Now, 0)
}

// newLimitedServer runs the whole API with limits.
func newLimitedServer(t *testing.T, limits *ratelimit.Limits) *matrixtest.Client {
	t.Helper()
	opts := servicesOn(t, postgrestest.New(t), func(o *threepid.Options) { o.Limits = limits })
	return matrixtest.New(t, newAPI(t, opts).Handler())
}

func wantLimited(t *testing.T, answer *matrixtest.Response) {
	t.Helper()
	answer.Refused(http.StatusTooManyRequests, "M_LIMIT_EXCEEDED")
	if ms, _ := answer.At("retry_after_ms").(float64); ms < 1 || answer.Header.Get("Retry-After") == "" {
		t.Errorf("retry_after_ms %v, Retry-After %q", ms, answer.Header.Get("Retry-After"))
	}
}

// A developer who adds an endpoint must say what kind of work it is: this test and the type of
// the table see to that.
func TestEveryRouteSaysWhatWorkItIs(t *testing.T) {
	t.Parallel()
	kinds := ratelimit.Kinds()
	for _, rt := range routes() {
		if !slices.Contains(kinds, rt.Work.Kind) {
			t.Errorf("%s %s is work of the kind %q, for which there is no limit", rt.Method, rt.Path, rt.Work.Kind)
		}
		// Requests that only read count as nothing else, but for those that cost more.
		reads := rt.Method == http.MethodGet
		changes := !slices.Contains([]string{"/tokenrefresh", "/keys/query", "/dehydrated_device/{deviceId}/events"}, rt.Path)
		if !reads && rt.Work == httpapi.Reading && changes {
			t.Errorf("%s %s changes something, and counts as reading", rt.Method, rt.Path)
		}
		if reads && rt.Work == httpapi.Changing {
			t.Errorf("%s %s counts as changing something", rt.Method, rt.Path)
		}
		if rt.Handler.Streams != (rt.Work == httpapi.Uploading && !strings.HasSuffix(rt.Path, "/create")) {
			t.Errorf("%s %s streams: %v, but is %v", rt.Method, rt.Path, rt.Handler.Streams, rt.Work)
		}
	}
}

// A request that makes events counts by them, and what is stored counts by its bytes:
// by the journal, or with its body.
func TestEveryRouteIsCountedForWhatItWrites(t *testing.T) {
	t.Parallel()
	for _, rt := range routes() {
		changesRoom := strings.HasPrefix(rt.Path, "/rooms/") && rt.Work != httpapi.Reporting ||
			slices.Contains([]string{"/createRoom", "/join/{roomIdOrAlias}", "/knock/{roomIdOrAlias}", "/directory/room/{roomAlias}"}, rt.Path)
		eventful := slices.Contains([]httpapi.Work{httpapi.Sending, httpapi.Redacting, httpapi.Joining, httpapi.Inviting, httpapi.CreatingRooms}, rt.Work)
		if changesRoom && rt.Method != http.MethodGet && !eventful && rt.Work.Kind != ratelimit.Changes {
			t.Errorf("%s %s changes rooms, and counts as %v", rt.Method, rt.Path, rt.Work)
		}
	}
	text, err := os.ReadFile("../../docs/security.md")
	if err != nil {
		t.Fatal(err)
	}
	_, table, _ := strings.Cut(string(text), "## What a request may cost")
	table, _, _ = strings.Cut(table, "\n## ")
	for _, rt := range routes() {
		if !strings.Contains(table, "`"+string(rt.Work.Kind)+"`") {
			t.Errorf("docs/security.md does not say what %s %s may cost, which is work of the kind %s", rt.Method, rt.Path, rt.Work.Kind)
		}
	}
}

func TestWorkIsLimitedForEachUser(t *testing.T) {
	t.Parallel()
	server := newLimitedServer(t, oneOf(
		ratelimit.Messages, ratelimit.RoomCreation, ratelimit.Joins, ratelimit.Invites, ratelimit.Profile,
		ratelimit.Changes, ratelimit.Searches, ratelimit.Reports, ratelimit.Uploads, ratelimit.LoginTokens))
	alice, bob := server.Register("alice", "wordpass"), server.Register("bob", "wordpass")
	server.Register("carol", "wordpass")
	server.Register("dave", "wordpass")
	room := alice.CreateRoom(map[string]any{"preset": "public_chat"})
	theirs := bob.CreateRoom(map[string]any{"preset": "public_chat"})
	created, _ := alice.Do("GET", matrixtest.Path("rooms", room, "state", "m.room.create", "")+"?format=event", nil).OK().At("event_id").(string)
	const text = `{"msgtype":"m.text","body":"x"}`
	invite := func(name string) string { return `{"user_id":"@` + name + `:localhost"}` }

	for _, test := range []struct{ name, method, path, first, then string }{
		{"rooms", "POST", "/createRoom", "", `{}`},
		{"messages", "PUT", matrixtest.Path("rooms", room, "send", "m.room.message", "1"), text, ""},
		{"redactions count as messages", "PUT", matrixtest.Path("rooms", room, "redact", created, "1"), "", `{}`},
		{"state counts as messages", "PUT", matrixtest.Path("rooms", room, "state", "m.room.topic", ""), "", `{"topic":"x"}`},
		{"joins", "POST", matrixtest.Path("join", theirs), `{}`, `{}`},
		{"knocks count as joins", "POST", matrixtest.Path("knock", theirs), "", `{}`},
		{"invites", "POST", matrixtest.Path("rooms", room, "invite"), invite("carol"), invite("dave")},
		{"profiles", "PUT", matrixtest.Path("profile", alice.UserID, "m.tz"), `{"m.tz":"UTC"}`, `{"m.tz":"UTC"}`},
		{"account data", "PUT", matrixtest.Path("user", alice.UserID, "account_data", "a.b"), `{}`, `{}`},
		{"typing counts with it", "PUT", matrixtest.Path("rooms", room, "typing", alice.UserID), "", `{"typing":true}`},
		{"searches", "POST", "/user_directory/search", `{"search_term":"bob"}`, `{"search_term":"bob"}`},
		{"rooms are searched, too", "POST", "/publicRooms", "", `{}`},
		{"reports", "POST", matrixtest.Path("users", "@nobody:localhost", "report"), `{"reason":""}`, `{"reason":""}`},
		{"uploads", "POST", "/_matrix/media/v3/upload", "x", "y"},
		{"uploads to come", "POST", "/_matrix/media/v3/create", "", ""},
	} {
		if test.first != "" {
			if answer := alice.Do(test.method, test.path, test.first); answer.Status != 200 {
				t.Errorf("%s: the first is refused: %s", test.name, answer.Body)
			}
		}
		if test.then == "" && test.method == "PUT" {
			test.then = text
			test.path = strings.TrimSuffix(test.path, "1") + "2"
		}
		if answer := alice.Do(test.method, test.path, test.then); answer.Status != 429 {
			t.Errorf("%s: the second is answered %d %s", test.name, answer.Status, answer.Body)
		} else {
			wantLimited(t, answer)
		}
	}
	// Bob is another caller at the same address, who has made a room and nothing else.
	bob.SendText(theirs, "hello")
}

func TestRegistrationIsLimitedByAddress(t *testing.T) {
	t.Parallel()
	server := newLimitedServer(t, ratelimit.NewLimits(map[ratelimit.Kind]ratelimit.Limit{
		ratelimit.Registration: {PerSecond: 1e-6, Burst: 2},
		ratelimit.NameChecks:   {PerSecond: 1e-6, Burst: 1},
		ratelimit.Login:        {PerSecond: 1e-6, Burst: 1},
	}, time.Now, 0))
	server.Do("GET", "/register/available?username=free", nil).OK()
	wantLimited(t, server.Do("GET", "/register/available?username=free", nil))

	if answer := server.Do("POST", "/register", `{"username":"one"}`); answer.Status != 401 {
		t.Errorf("got %d %s", answer.Status, answer.Body)
	}
	server.Do("POST", "/register", `{"username":"one","password":"wordpass","auth":{"type":"m.login.dummy"}}`).OK()
	wantLimited(t, server.Do("POST", "/register", `{"username":"two"}`))
	server.Prefix = "/_matrix/client/api/v1"
	wantLimited(t, server.Do("POST", "/register", `{"type":"m.login.password","user":"two","password":"x"}`))

	server.Prefix = "/_matrix/client/v3"
	one := server.Login("one", "wordpass")
	wantLimited(t, server.Do("POST", "/login", `{"type":"m.login.password","user":"one","password":"wordpass"}`))
	wantLimited(t, server.Do("POST", "/account/password", `{"new_password":"x"}`))
	one.Do("GET", "/account/whoami", nil).OK()
}

// No user can be buried under invitations, however many users send them.
func TestInvitationsToAUserAreLimited(t *testing.T) {
	t.Parallel()
	server := newLimitedServer(t, ratelimit.NewLimits(map[ratelimit.Kind]ratelimit.Limit{
		ratelimit.InvitesToUser: {PerSecond: 1e-6, Burst: 2},
	}, time.Now, 0))
	alice, eve := server.Register("alice", "wordpass"), server.Register("eve", "wordpass")
	bob := server.Register("bob", "wordpass")
	invite := map[string]string{"user_id": bob.UserID}

	// Failed invitations do not count: else any user could prevent others from being invited.
	for range 3 {
		eve.Do("POST", matrixtest.Path("rooms", "!nowhere:localhost", "invite"), invite).Refused(403, "M_FORBIDDEN")
	}
	eve.CreateRoom(map[string]any{"invite": []string{bob.UserID}})
	alice.Do("POST", matrixtest.Path("rooms", alice.CreateRoom(nil), "invite"), invite).OK()

	wantLimited(t, eve.Do("POST", "/createRoom", map[string]any{"invite": []string{bob.UserID}}))
	room := alice.CreateRoom(nil)
	wantLimited(t, alice.Do("POST", matrixtest.Path("rooms", room, "invite"), invite))
	member := matrixtest.Path("rooms", room, "state", "m.room.member", bob.UserID)
	wantLimited(t, alice.Do("PUT", member, `{"membership":"invite"}`))
	eve.CreateRoom(map[string]any{"invite": []string{alice.UserID}})
}

// Membership that is set as state counts like membership that is set by its endpoint.
func TestMembershipAsStateCountsAsWhatItIs(t *testing.T) {
	t.Parallel()
	server := newLimitedServer(t, oneOf(ratelimit.Joins, ratelimit.Invites))
	alice, bob := server.Register("alice", "wordpass"), server.Register("bob", "wordpass")
	room := alice.CreateRoom(map[string]any{"preset": "public_chat"})
	member := matrixtest.Path("rooms", room, "state", "m.room.member", "")
	alice.Do("PUT", member+bob.UserID, `{"membership":"invite"}`).OK()
	wantLimited(t, alice.Do("PUT", member+"@carol:localhost", `{"membership":"invite"}`))
	bob.Do("PUT", member+bob.UserID, `{"membership":"join"}`).OK()
	bob.Do("PUT", member+bob.UserID, `{"membership":"leave"}`).OK()
	wantLimited(t, bob.Do("PUT", member+bob.UserID, `{"membership":"join"}`))
}

// A room made with many invitations costs as many of them.
func TestInvitationsOfANewRoomCount(t *testing.T) {
	t.Parallel()
	server := newLimitedServer(t, ratelimit.NewLimits(map[ratelimit.Kind]ratelimit.Limit{
		ratelimit.Invites: {PerSecond: 1e-6, Burst: 3},
	}, time.Now, 0))
	alice := server.Register("alice", "wordpass")
	room := alice.CreateRoom(map[string]any{"invite": []string{"@b:localhost", "@c:localhost", "@d:localhost"}})
	wantLimited(t, alice.Do("POST", matrixtest.Path("rooms", room, "invite"), `{"user_id":"@e:localhost"}`))
	wantLimited(t, alice.Do("POST", "/createRoom", `{"invite":["@b:localhost"]}`))
	alice.CreateRoom(nil)
}

// One request made a thousand events and counted as one.
func TestARoomMadeOfManyEventsCountsAsMany(t *testing.T) {
	t.Parallel()
	server := newLimitedServer(t, ratelimit.NewLimits(map[ratelimit.Kind]ratelimit.Limit{
		ratelimit.Messages: {PerSecond: 1e-6, Burst: 100}, ratelimit.WrittenBytes: {PerSecond: 1e-6, Burst: 200_000},
	}, time.Now, 0))
	state := func(events, bytes int) map[string]any {
		list := make([]map[string]any, events)
		for i := range list {
			list[i] = map[string]any{"type": "com.example", "state_key": strconv.Itoa(i), "content": map[string]string{"x": strings.Repeat("x", bytes)}}
		}
		return map[string]any{"initial_state": list, "name": "A", "topic": "B", "room_alias_name": rand.Text()}
	}
	alice, bob := server.Register("alice", "wordpass"), server.Register("bob", "wordpass")
	for range 3 {
		alice.CreateRoom(nil) // the events that every room has count as its creation
	}
	room := alice.CreateRoom(state(90, 1))
	wantLimited(t, alice.Do("POST", "/createRoom", state(90, 1)))
	for i := range 200 {
		if answer := alice.Do("PUT", matrixtest.Path("rooms", room, "send", "m.room.message", strconv.Itoa(i)), `{"body":"x"}`); answer.Status != 200 {
			wantLimited(t, answer)
			break
		} else if i > 20 {
			t.Fatal("the events of the room were not counted")
		}
	}
	bob.CreateRoom(state(3, 40_000))
	wantLimited(t, bob.Do("POST", "/createRoom", state(3, 40_000)))
	bob.CreateRoom(state(10, 1))
}

// A new name is an event in each room of the user, and counts as that.
func TestANewNameCountsForEachRoom(t *testing.T) {
	t.Parallel()
	server := newLimitedServer(t, ratelimit.NewLimits(map[ratelimit.Kind]ratelimit.Limit{
		ratelimit.Messages: {PerSecond: 1e-6, Burst: 7},
	}, time.Now, 0))
	alice := server.Register("alice", "wordpass")
	rooms := []string{alice.CreateRoom(nil), alice.CreateRoom(nil), alice.CreateRoom(nil)}
	name := matrixtest.Path("profile", alice.UserID, "displayname")
	alice.Do("PUT", name, `{"displayname":"A"}`).OK()
	alice.Do("PUT", name, `{"displayname":"A"}`).OK() // which it is already
	alice.Do("PUT", matrixtest.Path("profile", alice.UserID, "m.tz"), `{"m.tz":"Europe/Berlin"}`).OK()
	alice.Do("PUT", name, `{"displayname":"B"}`).OK()
	wantLimited(t, alice.Do("PUT", name, `{"displayname":"C"}`))
	if got := alice.Do("GET", name, nil).OK().At("displayname"); got != "B" {
		t.Errorf("the profile says %v", got)
	}
	alice.SendText(rooms[0], "the last")
	wantLimited(t, alice.Do("POST", matrixtest.Path("rooms", rooms[0], "send", "m.room.message"), `{"body":"x"}`))
}

// Invitations in initial_state were not counted, neither for the sender nor for the invited.
func TestInvitationsInInitialStateCount(t *testing.T) {
	t.Parallel()
	server := newLimitedServer(t, ratelimit.NewLimits(map[ratelimit.Kind]ratelimit.Limit{
		ratelimit.InvitesToUser: {PerSecond: 1e-6, Burst: 2}, ratelimit.Invites: {PerSecond: 1e-6, Burst: 5},
	}, time.Now, 0))
	bob, carol := server.Register("bob", "wordpass"), server.Register("carol", "wordpass")
	invite := func(users ...string) map[string]any {
		list := make([]map[string]any, len(users))
		for i, user := range users {
			list[i] = map[string]any{"type": "m.room.member", "state_key": user, "content": map[string]string{"membership": "invite"}}
		}
		return map[string]any{"initial_state": list}
	}
	for _, name := range []string{"m1", "m2"} {
		server.Register(name, "wordpass").CreateRoom(invite(bob.UserID))
	}
	mallory := server.Register("mallory", "wordpass")
	wantLimited(t, mallory.Do("POST", "/createRoom", invite(carol.UserID, bob.UserID)))
	mallory.CreateRoom(invite(carol.UserID, "@a:localhost", "@b:localhost", "@c:localhost", "@d:localhost"))
	wantLimited(t, mallory.Do("POST", "/createRoom", invite("@e:localhost")))
	if n := len(bob.Do("GET", "/sync", nil).OK().At("rooms", "invite").(map[string]any)); n != 2 {
		t.Errorf("bob has %d invitations", n)
	}
}

// A request that is refused, or changes nothing, counts as no message.
func TestWhatComesToNothingIsNotCounted(t *testing.T) {
	t.Parallel()
	server := newLimitedServer(t, ratelimit.NewLimits(map[ratelimit.Kind]ratelimit.Limit{
		ratelimit.Messages: {PerSecond: 1e-6, Burst: 3}, ratelimit.Joins: {PerSecond: 1e-6, Burst: 1},
	}, time.Now, 0))
	alice, bob := server.Register("alice", "wordpass"), server.Register("bob", "wordpass")
	room := alice.CreateRoom(map[string]any{"preset": "public_chat"})
	topic, text := matrixtest.Path("rooms", room, "state", "m.room.topic", ""), matrixtest.Path("rooms", room, "send", "m.room.message", "1")
	for range 3 {
		bob.Do("PUT", text, `{"body":"x"}`).Refused(403, "M_FORBIDDEN")
		alice.Do("PUT", topic, `{"topic":"x"}`).OK()
		alice.Do("PUT", text, `{"body":"x"}`).OK() // repeated, it is the same event
		bob.Do("POST", matrixtest.Path("join", "!nowhere:localhost"), nil).Refused(404, "M_NOT_FOUND")
	}
	alice.Do("PUT", topic, `{"topic":"y"}`).OK()
	wantLimited(t, alice.Do("PUT", topic, `{"topic":"z"}`))
	bob.Do("POST", matrixtest.Path("join", room), nil).OK()
}

// All stored data that a user sends counts in bytes.
func TestWrittenBytesAreLimited(t *testing.T) {
	t.Parallel()
	const most = 20_000
	large := strings.Repeat("x", most/2)
	server := newLimitedServer(t, ratelimit.NewLimits(map[ratelimit.Kind]ratelimit.Limit{
		ratelimit.WrittenBytes: {PerSecond: 1e-6, Burst: most},
	}, time.Now, 0))
	for name, put := range map[string]func(c *matrixtest.Client, text string) *matrixtest.Response{
		"account data": func(c *matrixtest.Client, text string) *matrixtest.Response {
			return c.Do("PUT", matrixtest.Path("user", c.UserID, "account_data", "a.b"), map[string]string{"x": text})
		},
		"a filter": func(c *matrixtest.Client, text string) *matrixtest.Response {
			return c.Do("POST", matrixtest.Path("user", c.UserID, "filter"), map[string]any{"event_fields": []string{text}})
		},
		"a field of the profile": func(c *matrixtest.Client, text string) *matrixtest.Response {
			return c.Do("PUT", matrixtest.Path("profile", c.UserID, "com.example.x"), map[string]string{"com.example.x": text})
		},
		"messages": func(c *matrixtest.Client, text string) *matrixtest.Response {
			room := c.CreateRoom(nil)
			return c.Do("POST", matrixtest.Path("rooms", room, "send", "m.room.message"), map[string]string{"body": text})
		},
	} {
		user := server.Register("user-"+strings.ReplaceAll(strings.ToLower(name), " ", "-"), "wordpass")
		if answer := put(user, large); answer.Status != 200 {
			t.Errorf("%s: %d %s", name, answer.Status, answer.Body)
		}
		if answer := put(user, large+"y"); answer.Status != 429 {
			t.Errorf("more %s is answered %d %s", name, answer.Status, answer.Body)
		}
	}
}

// The requests of strangers are limited by address, before their tokens are looked at. The
// requests of a user who is logged in count for the user, from any address.
func TestStrangersShareTheLimitOfTheirAddress(t *testing.T) {
	t.Parallel()
	now := time.Unix(1000, 0)
	limits := ratelimit.NewLimits(map[ratelimit.Kind]ratelimit.Limit{
		ratelimit.Requests: {PerSecond: 1e-3, Burst: 20},
	}, func() time.Time { return now }, 0)
	server := newLimitedServer(t, limits)
	alice, bob := server.Register("alice", "wordpass"), server.Register("bob", "wordpass")
	stranger := *server
	stranger.Token = "guessed"
	bob.Do("GET", "/account/whoami", nil).OK()
	for {
		answer := stranger.Do("GET", "/account/whoami", nil)
		if answer.Status != 401 {
			wantLimited(t, answer)
			break
		}
	}
	wantLimited(t, server.Do("GET", "/login", nil))
	bob.Do("GET", "/account/whoami", nil).OK() // a known user still gets in
	wantLimited(t, alice.Do("GET", "/account/whoami", nil))
	stranger.Prefix = ""
	wantLimited(t, stranger.Do("GET", "/_matrix/client/versions", nil))

	now = now.Add(1100 * time.Second) // one request for the address, which users who are logged in do not take
	for range 20 {                    // the first of them is looked up
		alice.Do("GET", "/account/whoami", nil).OK()
	}
	wantLimited(t, alice.Do("GET", "/account/whoami", nil))
	server.Do("GET", "/login", nil).OK()
	wantLimited(t, server.Do("GET", "/login", nil))
}
