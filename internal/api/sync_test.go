package api

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"homeserver/internal/matrixtest"
	"homeserver/internal/server"
)

// keysAt lists the names of the members of an object in the answer.
func keysAt(r *matrixtest.Response, place ...any) []string {
	object, _ := r.At(place...).(map[string]any)
	names := []string{}
	for name := range object {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// withToken asks as the tutorial does, with the access token in the query.
func withToken(c *matrixtest.Client, path string) *matrixtest.Response {
	c.T.Helper()
	request := c.Request("GET", path+"access_token="+c.Token, nil)
	request.Header.Del("Authorization")
	return c.Send(request).OK()
}

func TestSyncAsInTheTutorial(t *testing.T) {
	t.Parallel()
	anyone := newServer(t)
	anyone.Prefix = "/_matrix/client/r0"
	alice, bob := anyone.Register("example", "wordpass"), anyone.Register("myfriend", "wordpass")
	room := alice.CreateRoom(`{"room_alias_name":"tutorial"}`)
	alice.SendText(room, "hello")
	change(alice, room, "invite", whom(bob)).OK()

	first := withToken(alice, "/sync?")
	for _, test := range []struct {
		place []any
		want  []string
	}{
		{nil, []string{
			"account_data", "device_one_time_keys_count", "device_unused_fallback_key_types", "next_batch",
			"org.matrix.msc2732.device_unused_fallback_key_types", "presence", "rooms", "to_device",
		}},
		{[]any{"account_data"}, []string{"events"}},
		{[]any{"presence"}, []string{"events"}},
		{[]any{"rooms"}, []string{"invite", "join", "knock", "leave"}},
		{[]any{"rooms", "join"}, []string{room}},
		{[]any{"rooms", "join", room}, []string{"account_data", "ephemeral", "state", "summary", "timeline", "unread_notifications"}},
		{[]any{"rooms", "join", room, "account_data"}, []string{"events"}},
		{[]any{"rooms", "join", room, "ephemeral"}, []string{"events"}},
		{[]any{"rooms", "join", room, "state"}, []string{"events"}},
		{[]any{"rooms", "join", room, "timeline"}, []string{"events", "limited", "prev_batch"}},
	} {
		if diff := cmp.Diff(test.want, keysAt(first, test.place...)); diff != "" {
			t.Errorf("%v: %s", test.place, diff)
		}
	}
	timeline := first.Timeline(room)
	e := timeline[len(timeline)-2]
	age, ok := e.Unsigned["age"].(float64)
	e.Unsigned, e.OriginServerTS = nil, min(e.OriginServerTS, 1)
	want := matrixtest.Event{ID: e.ID, Type: "m.room.message", Sender: alice.UserID, Content: map[string]any{"msgtype": "m.text", "body": "hello"}, OriginServerTS: 1}
	if diff := cmp.Diff(want, e); diff != "" || e.ID == "" || !ok || age < 0 {
		t.Errorf("the message of age %v: %s", age, diff)
	}
	nothing := withToken(alice, "/sync?since="+first.NextBatch()+"&")
	if got := keysAt(nothing, "rooms", "join"); len(got) != 0 || nothing.NextBatch() == "" {
		t.Errorf("nothing has happened: %s", nothing.Body)
	}
}

func TestSyncWithAnInlineFilterAsItStands(t *testing.T) {
	t.Parallel()
	alice, _, room := shared(t)
	alice.SendText(room, "hello")
	answer := withToken(alice, `/sync?filter={"room":{"timeline":{"limit":1}}}&`)
	if answer.At("rooms", "join", room, "timeline", "limited") != true || len(answer.Timeline(room)) != 1 ||
		answer.String("rooms", "join", room, "timeline", "prev_batch") == "" {
		t.Errorf("got %s", answer.Body)
	}
}

func TestSyncOfInvitesAndLeaving(t *testing.T) {
	t.Parallel()
	alice, bob := newPair(t)
	room := bob.CreateRoom(map[string]any{"name": "Secret"})
	since := alice.Sync("").NextBatch()
	change(bob, room, "invite", whom(alice)).OK()
	invited := alice.Sync(since, "timeout", "30000")
	if got := typesOf(invited.Events("rooms", "invite", room, "invite_state", "events")); !slices.Contains(got, "m.room.member @alice:localhost") ||
		!slices.Contains(got, "m.room.name") {
		t.Errorf("invite_state: %q", got)
	}
	alice.Join(room)
	joined := alice.Sync(invited.NextBatch(), "timeout", "30000")
	if diff := cmp.Diff([]string{room}, keysAt(joined, "rooms", "join")); diff != "" {
		t.Errorf("join: %s", diff)
	}
	change(alice, room, "leave", nil).OK()
	left := alice.Sync(joined.NextBatch(), "timeout", "30000")
	if diff := cmp.Diff([]string{"m.room.member @alice:localhost"}, typesOf(left.Events("rooms", "leave", room, "timeline", "events"))); diff != "" {
		t.Errorf("leave: %s", diff)
	}
}

func TestLongPollWakesOnCommit(t *testing.T) {
	t.Parallel()
	alice, bob, room := shared(t)
	phone := bob.Login("bob", "wordpass")
	since := bob.Sync("").NextBatch()
	var all sync.WaitGroup
	for _, c := range []*matrixtest.Client{bob, phone, alice} {
		all.Go(func() {
			c.SyncUntil(since, func(r *matrixtest.Response) bool {
				return slices.Contains(matrixtest.Bodies(r.Timeline(room)), "wake up")
			})
		})
	}
	alice.SendText(room, "not yet")
	alice.SendText(room, "wake up")
	all.Wait()
	// An invite wakes the invited user.
	since = bob.Sync("").NextBatch()
	private := alice.CreateRoom(nil)
	all.Go(func() {
		bob.SyncUntil(since, func(r *matrixtest.Response) bool { return slices.Contains(keysAt(r, "rooms", "invite"), private) })
	})
	change(alice, private, "invite", whom(bob)).OK()
	all.Wait()
}

func TestTransactionIDIsForTheSendingDevice(t *testing.T) {
	t.Parallel()
	alice, bob, room := shared(t)
	phone := alice.Login("alice", "wordpass")
	since := alice.Sync("").NextBatch()
	id := alice.Do("PUT", matrixtest.Path("rooms", room, "send", "m.room.message", "txn <1>"), hello).OK().String("event_id")
	for _, test := range []struct {
		who  *matrixtest.Client
		want any
	}{{alice, "txn <1>"}, {phone, nil}, {bob, nil}} {
		for what, events := range map[string][]matrixtest.Event{
			"/sync since": test.who.Sync(since).Timeline(room), "first /sync": test.who.Sync("").Timeline(room), "/messages": history(test.who, room),
		} {
			e := events[len(events)-1]
			if got := e.Unsigned["transaction_id"]; e.ID != id || got != test.want {
				t.Errorf("%s of device %s: transaction_id %v, want %v", what, test.who.DeviceID, got, test.want)
			}
		}
	}
}

func TestTwoDevicesSeeTheSame(t *testing.T) {
	t.Parallel()
	alice, bob, room := shared(t)
	phone := alice.Login("alice", "wordpass")
	start := alice.Sync("").NextBatch()
	follow := func(c *matrixtest.Client) (bodies []string) {
		c.SyncUntil(start, func(r *matrixtest.Response) bool {
			bodies = append(bodies, matrixtest.Bodies(r.Timeline(room))...)
			return slices.Contains(bodies, "end")
		})
		return bodies
	}
	var all sync.WaitGroup
	var seen [2][]string
	all.Go(func() { seen[0] = follow(alice) })
	all.Go(func() { seen[1] = follow(phone) })
	want := numbered(bob, room, 9) // as many as one answer has room for
	bob.SendText(room, "end")
	all.Wait()
	for i := range seen {
		if diff := cmp.Diff(append(slices.Clone(want), "end"), seen[i]); diff != "" {
			t.Errorf("device %d: %s", i, diff)
		}
	}
}

func TestSyncRefusals(t *testing.T) {
	t.Parallel()
	alice, _ := newPair(t)
	for query, code := range map[string]string{
		"since=x": "M_INVALID_PARAM", "since=s": "M_INVALID_PARAM", "since=s999999": "M_INVALID_PARAM", "since=s-1": "M_INVALID_PARAM", "since=%00": "M_INVALID_PARAM",
		"timeout=abc": "M_INVALID_PARAM", "timeout=-1": "M_INVALID_PARAM", "timeout=1.5": "M_INVALID_PARAM", "full_state=yes": "M_INVALID_PARAM",
		"use_state_after=1": "M_INVALID_PARAM", "set_presence=away": "M_INVALID_PARAM", "filter=garbage": "M_INVALID_PARAM", "filter={": "M_NOT_JSON",
		`filter={"room":1}`: "M_BAD_JSON", "filter=%ff": "M_INVALID_PARAM", "filter=[]": "M_INVALID_PARAM",
	} {
		if answer := alice.Do("GET", "/sync?"+query, nil); answer.Status != 400 || answer.Errcode() != code {
			t.Errorf("%s: got %d %s, want 400 %s", query, answer.Status, answer.Body, code)
		}
	}
	alice.Sync("", "timeout", "99999999999999999999", "set_presence", "offline", "full_state", "false") // the first one never waits
	alice.Do("POST", "/sync", nil).Refused(405, "M_UNRECOGNIZED")
}

func TestSyncOptions(t *testing.T) {
	t.Parallel()
	alice, _, room := shared(t)
	numbered(alice, room, 3)
	since := alice.Sync("").NextBatch()
	full := alice.Sync(since, "full_state", "true", "timeout", "30000")
	if got := typesOf(full.Events("rooms", "join", room, "state", "events")); !slices.Contains(got, "m.room.create") || len(full.Timeline(room)) != 0 {
		t.Errorf("full_state: %q, and %d events", got, len(full.Timeline(room)))
	}
	after := alice.Sync("", "use_state_after", "true")
	if after.At("rooms", "join", room, "state") != nil || len(after.Events("rooms", "join", room, "state_after", "events")) != 7 {
		t.Errorf("use_state_after: %s", after.Body)
	}
	lazy := alice.Sync("", "filter", `{"room":{"state":{"lazy_load_members":true},"timeline":{"limit":1}}}`)
	if got := typesOf(lazy.Events("rooms", "join", room, "state", "events")); !slices.Contains(got, "m.room.member @alice:localhost") {
		t.Errorf("lazily loaded members: %q", got)
	}
	federation := alice.Sync("", "filter", `{"event_format":"federation"}`)
	if e, _ := federation.At("rooms", "join", room, "timeline", "events", 0).(map[string]any); e["hashes"] == nil || e["unsigned"] != nil {
		t.Errorf("event_format federation: %v", e)
	}
}

// waiting starts a long poll of ten minutes and returns once the server has it,
// with a function that waits for the status of its answer.
func waiting(ctx context.Context, c *matrixtest.Client, a *server.API, since string) (status func() (int, error)) {
	c.T.Helper()
	before := inFlight(c.T, a)
	request := c.Request("GET", matrixtest.SyncPath(since, "timeout", "600000"), nil).WithContext(ctx)
	done := make(chan struct{})
	var code int
	var err error
	go func() {
		defer close(done)
		var response *http.Response
		if response, err = c.HTTP.Do(request); err == nil {
			code, err = response.StatusCode, response.Body.Close()
		}
	}()
	matrixtest.Until(c.T, "the long poll waits", func() bool { return inFlight(c.T, a) > before })
	return func() (int, error) { <-done; return code, err }
}

// inFlight returns how many requests are being answered.
func inFlight(t testing.TB, a *server.API) int {
	t.Helper()
	return measure(t, a, "homeserver_http_requests_in_flight")
}

// measure reads a metric without labels.
func measure(t testing.TB, a *server.API, name string) int {
	t.Helper()
	answer := httptest.NewRecorder()
	a.MetricsHandler().ServeHTTP(answer, httptest.NewRequestWithContext(t.Context(), "GET", "/metrics", nil))
	text := answer.Body.String()
	_, value, _ := strings.Cut(text, "\n"+name+" ")
	value, _, _ = strings.Cut(value, "\n")
	n, err := strconv.Atoi(value)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestClientThatGoesAwayFreesEverything(t *testing.T) {
	t.Parallel()
	a := newAPI(t, services(t))
	alice := matrixtest.New(t, a.Handler()).Register("alice", "wordpass")
	since := alice.Sync("").NextBatch()
	var polls []func() (int, error)
	ctx, goAway := context.WithCancel(t.Context())
	for range 20 {
		polls = append(polls, waiting(ctx, alice, a, since))
	}
	goAway()
	for _, status := range polls {
		if _, err := status(); !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
	}
	matrixtest.Until(t, "all requests have ended", func() bool { return inFlight(t, a) == 0 })
	alice.Sync(since)
}

func TestStoppingAnswersLongPolls(t *testing.T) {
	t.Parallel()
	opts := services(t)
	a := newAPI(t, opts)
	alice := matrixtest.New(t, a.Handler()).Register("alice", "wordpass")
	since := alice.Sync("").NextBatch()
	status := waiting(t.Context(), alice, a, since)
	opts.Stream.Release()
	if code, err := status(); err != nil || code != http.StatusOK {
		t.Errorf("got %d, %v", code, err)
	}
	if again := alice.Sync(since, "timeout", "600000"); again.NextBatch() != since {
		t.Errorf("got %s", again.Body)
	}
}

func TestSyncIsCompressed(t *testing.T) {
	t.Parallel()
	alice, _, room := shared(t)
	alice.SendText(room, strings.Repeat("again and ", 200))
	request := alice.Request("GET", "/sync", nil)
	request.Header.Set("Accept-Encoding", "gzip") // so that the client does not change it
	answer := alice.Send(request).OK()
	if got := answer.Header.Get("Content-Encoding"); got != "gzip" || len(answer.Body) > 3000 {
		t.Errorf("Content-Encoding %q, %d bytes", got, len(answer.Body))
	}
}

// What is sent after a logout is not for who has logged out, in whatever generation of
// the API a request waits.
func TestAPollOutlivedItsToken(t *testing.T) {
	t.Parallel()
	for name, path := range map[string]string{
		"sync":             "/_matrix/client/v3/sync?timeout=600000&since=",
		"v2_alpha sync":    "/_matrix/client/v2_alpha/sync?timeout=600000&since=",
		"events":           "/_matrix/client/r0/events?timeout=600000&from=",
		"events of api/v1": "/_matrix/client/api/v1/events?timeout=600000&from=",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			opts := services(t)
			opts.HTTP.Metrics = prometheus.NewRegistry()
			opts.HTTP.Metrics.MustRegister(opts.Stream.Collectors()...)
			a := newAPI(t, opts)
			anyone := matrixtest.New(t, a.Handler())
			alice, bob := anyone.Register("alice", "wordpass"), anyone.Register("bob", "wordpass")
			room := alice.CreateRoom(openRoom)
			bob.Join(room)
			since := bob.Sync("").NextBatch()
			answered := make(chan *matrixtest.Response)
			go func() {
				waiting := bob.As(t)
				waiting.Prefix = ""
				answered <- waiting.Do("GET", path+since, nil)
			}()
			matrixtest.Until(t, "the poll waits", func() bool { return measure(t, a, "homeserver_sync_waiting") > 0 })
			bob.Do("POST", "/logout", nil).OK()
			alice.SendText(room, "sent after the logout")
			answer := (<-answered).Refused(401, "M_UNKNOWN_TOKEN")
			if answer.At("soft_logout") != false {
				t.Errorf("got %s", answer.Body)
			}
		})
	}
}
