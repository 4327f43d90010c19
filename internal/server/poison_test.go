package server

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"homeserver/internal/matrixtest"
	"homeserver/internal/server/config"
)

// damages are ways in which the JSON of an event may be spoilt, as an expression of SQL.
var damages = map[string]string{
	"cut in the middle":       `substr(json, 1, length(json) / 2)`,
	"cut at the end":          `substr(json, 1, length(json) - 1)`,
	"nothing":                 `''::bytea`,
	"no JSON":                 `'\xff00c328'::bytea`,
	"null":                    `'null'::bytea`,
	"an empty object":         `'{}'::bytea`,
	"an array":                `'[]'::bytea`,
	"longer than it should":   `json || '}'::bytea`,
	"content without a quote": `convert_to(replace(convert_from(json, 'UTF8'), '"body":"', '"body":'), 'UTF8')`,
	"content of a wrong kind": `convert_to(regexp_replace(convert_from(json, 'UTF8'), '"content":{[^}]*}', '"content":"x"'), 'UTF8')`,
	"without content":         `convert_to(regexp_replace(convert_from(json, 'UTF8'), '"content":{[^}]*},', ''), 'UTF8')`,
	"without a sender":        `convert_to(regexp_replace(convert_from(json, 'UTF8'), '"sender":"[^"]*",', ''), 'UTF8')`,
	"without a type":          `convert_to(regexp_replace(convert_from(json, 'UTF8'), ',"type":"[^"]*"', ''), 'UTF8')`,
	"without a room":          `convert_to(regexp_replace(convert_from(json, 'UTF8'), '"room_id":"[^"]*",', ''), 'UTF8')`,
	"a byte that is no UTF-8": `set_byte(json, position('"body":"'::bytea in json) + 8, 255)`,
	"a NUL":                   `set_byte(json, position('"body":"'::bytea in json) + 8, 0)`,
	"another event":           `(SELECT json FROM events WHERE type = 'm.room.create' LIMIT 1)`,
}

// poisoned is a server whose database is spoilt while it is down.
type poisoned struct {
	t      *testing.T
	cfg    *config.Config
	server *Server
	log    syncBuffer
}

func newPoisoned(t *testing.T) *poisoned {
	t.Helper()
	p := &poisoned{t: t, cfg: testConfig(t)}
	p.cfg.URLPreviews.Enabled = false
	p.start()
	return p
}

func (p *poisoned) start() {
	p.t.Helper()
	var err error
	p.server, err = Start(p.t.Context(), p.cfg, slog.New(slog.NewTextHandler(&p.log, &slog.HandlerOptions{Level: slog.LevelWarn})))
	if err != nil {
		p.t.Fatalf("the server does not start: %v", err)
	}
	running := p.server
	p.t.Cleanup(func() { shutDown(p.t, running) })
}

// poison runs statements while the server is down, and has it index everything anew.
func (p *poisoned) poison(spoil func(exec func(sql string, args ...any))) {
	p.t.Helper()
	shutDown(p.t, p.server)
	conn, err := pgx.Connect(p.t.Context(), string(p.cfg.Database.URL))
	if err != nil {
		p.t.Fatal(err)
	}
	exec := func(sql string, args ...any) {
		p.t.Helper()
		done, err := conn.Exec(p.t.Context(), sql, args...)
		if err != nil || done.RowsAffected() == 0 {
			p.t.Fatalf("%s: %v, %v", sql, done, err)
		}
	}
	spoil(exec)
	exec(`UPDATE followers SET position = 0`)
	if _, err := conn.Exec(p.t.Context(), `TRUNCATE search_index, user_directory`); err != nil {
		p.t.Fatal(err)
	}
	if err := conn.Close(p.t.Context()); err != nil {
		p.t.Fatal(err)
	}
	p.start()
}

// at moves a client to the server as it runs now.
func (p *poisoned) at(clients ...*matrixtest.Client) {
	for _, c := range clients {
		c.BaseURL = p.server.Addresses()[0].URL()
	}
}

// wantToldOnce fails the test unless each of the rows is told of in the log, once.
func (p *poisoned) wantToldOnce(rows ...string) {
	p.t.Helper()
	log := p.log.String()
	for _, row := range rows {
		n := 0
		for line := range strings.Lines(log) {
			if strings.Contains(line, "a row of the database is damaged") && strings.Contains(line, row) {
				n++
			}
		}
		if n != 1 {
			p.t.Errorf("%s is told of %d times:\n%s", row, n, log)
		}
	}
}

// readInPages reads all messages of a room by small pages, oldest first.
func readInPages(c *matrixtest.Client, room string) []string {
	c.T.Helper()
	texts := []string{}
	for from := ""; ; {
		page := c.Do("GET", matrixtest.Path("rooms", room, "messages")+"?dir=b&limit=2&from="+from, nil).OK()
		texts = append(texts, matrixtest.Bodies(page.Events("chunk"))...)
		if from = page.String("end"); from == "" {
			slices.Reverse(texts)
			return texts
		}
	}
}

// reads asks for everything that shows events of a room, and wants each answer to be one.
func reads(c *matrixtest.Client, room, event, since string) {
	c.T.Helper()
	in := func(parts ...string) string { return matrixtest.Path(append([]string{"rooms", room}, parts...)...) }
	search := map[string]any{"search_categories": map[string]any{"room_events": map[string]any{
		"search_term": "healthy", "include_state": true, "event_context": map[string]any{"include_profile": true},
	}}}
	for _, request := range []struct {
		method, path string
		body         any
	}{
		{"GET", "/sync", nil},
		{"GET", "/sync?full_state=true&since=" + since, nil},
		{"GET", "/sync?since=" + since, nil},
		{"GET", `/sync?filter={"room":{"state":{"lazy_load_members":true},"timeline":{"limit":1}}}`, nil},
		{"GET", "/_matrix/client/r0/initialSync", nil},
		{"GET", "/_matrix/client/r0/events?from=" + since, nil},
		{"GET", in("state"), nil},
		{"GET", in("members"), nil},
		{"GET", in("joined_members"), nil},
		{"GET", in("messages") + "?dir=f&limit=1000", nil},
		{"GET", in("context", event) + "?limit=40", nil},
		{"GET", in("event", event), nil},
		{"GET", in("initialSync"), nil},
		{"GET", "/joined_rooms", nil},
		{"GET", "/publicRooms", nil},
		{"GET", "/notifications", nil},
		{"GET", "/pushrules/", nil},
		{"GET", "/pushers", nil},
		{"GET", "/devices", nil},
		{"POST", "/search", search},
		{"POST", "/user_directory/search", map[string]any{"search_term": "bob"}},
	} {
		answer := c.Do(request.method, request.path, request.body).OK()
		if !json.Valid(answer.Body) {
			c.T.Errorf("%s %s: the answer is no JSON: %q", request.method, request.path, answer.Body)
		}
	}
}

// found returns how many messages the search finds.
func found(c *matrixtest.Client, word string) float64 {
	c.T.Helper()
	answer := c.Do("POST", "/search", map[string]any{"search_categories": map[string]any{"room_events": map[string]any{"search_term": word}}})
	n, _ := answer.OK().At("search_categories", "room_events", "count").(float64)
	return n
}

func TestDamagedMessagesFailAlone(t *testing.T) {
	matrixtest.Long(t)
	t.Parallel()
	p := newPoisoned(t)
	alice, bob := clientAt(t, p.server, 0).Register("alice", "wordpass"), clientAt(t, p.server, 0).Register("bob", "wordpass")
	room := alice.CreateRoom(map[string]any{"preset": "public_chat", "name": "Poison"})
	bob.Join(room)
	since := alice.Sync("").NextBatch()
	bad, texts, last := map[string]string{}, []string{}, ""
	healthy := func() {
		text := fmt.Sprintf("healthy %d", len(texts))
		texts, last = append(texts, text), bob.SendText(room, text)
	}
	for name := range damages {
		bad[name] = bob.SendText(room, "spoilt "+name)
		if len(bad)%3 != 0 { // some stand side by side
			healthy()
		}
	}
	p.poison(func(exec func(string, ...any)) {
		for name, id := range bad {
			exec(`UPDATE events SET json = `+damages[name]+` WHERE event_id = $1`, id)
		}
	})
	p.at(alice, bob)

	for _, c := range []*matrixtest.Client{alice, bob} {
		reads(c, room, last, since)
		if diff := cmp.Diff(texts, readInPages(c, room)); diff != "" {
			t.Errorf("the pages of history (-healthy +shown):\n%s", diff)
		}
	}
	timeline := func(since string) []string {
		answer := alice.Sync(since, "filter", `{"room":{"timeline":{"limit":3}}}`)
		if limited, _ := answer.At("rooms", "join", room, "timeline", "limited").(bool); !limited {
			t.Errorf("the timeline is not limited: %s", answer.Body)
		}
		return matrixtest.Bodies(answer.Timeline(room))
	}
	for _, from := range []string{"", since} {
		if diff := cmp.Diff(texts[len(texts)-3:], timeline(from)); diff != "" {
			t.Errorf("the timeline since %q (-healthy +shown):\n%s", from, diff)
		}
	}
	if n := found(alice, "healthy"); int(n) != len(texts) {
		t.Errorf("the search finds %v messages, want %d", n, len(texts))
	}
	p.wantToldOnce(slices.Collect(maps.Values(bad))...)
	for _, id := range bad {
		alice.Do("GET", matrixtest.Path("rooms", room, "event", id), nil).Refused(500, "M_UNKNOWN")
	}
	healthy()
	alice.SyncUntil(since, matrixtest.Shows(room, last))
	if n := found(alice, "healthy"); int(n) != len(texts) {
		t.Errorf("then the search finds %v messages, want %d", n, len(texts))
	}
}

// Of damaged state, what depends on it is refused: without its power levels, a room
// would allow too much. All else goes on.
func TestDamagedStateFailsAlone(t *testing.T) {
	matrixtest.Long(t)
	t.Parallel()
	p := newPoisoned(t)
	anyone := clientAt(t, p.server, 0)
	alice, bob, carol := anyone.Register("alice", "wordpass"), anyone.Register("bob", "wordpass"), anyone.Register("carol", "wordpass")
	room := alice.CreateRoom(map[string]any{"preset": "public_chat", "name": "Poison", "visibility": "public"})
	powerless := alice.CreateRoom(map[string]any{"preset": "public_chat"})
	uncreated := alice.CreateRoom(map[string]any{"preset": "public_chat"})
	unknown := alice.CreateRoom(map[string]any{"preset": "public_chat"})
	for _, r := range []string{room, powerless, uncreated, unknown} {
		bob.Join(r)
		carol.Join(r)
	}
	since := alice.Sync("").NextBatch()
	first := alice.SetState(room, "m.room.topic", "", map[string]any{"topic": "first"})
	alice.SetState(room, "m.room.topic", "", map[string]any{"topic": "second"})
	redacted := bob.SendText(room, "redacted")
	redaction := bob.Do("PUT", matrixtest.Path("rooms", room, "redact", redacted, "1"), map[string]any{}).OK().String("event_id")
	last := bob.SendText(room, "healthy")
	p.poison(func(exec func(string, ...any)) {
		spoil := func(condition string, args ...any) {
			exec(`UPDATE events SET json = substr(json, 1, length(json) / 2) WHERE `+condition, args...)
		}
		in := `type = $1 AND room_nid = (SELECT room_nid FROM rooms WHERE room_id = $2)`
		spoil(in+` AND state_key = $3`, "m.room.member", room, carol.UserID)
		spoil(in, "m.room.name", room)
		spoil(`event_id = ANY($1)`, []string{first, redaction})
		spoil(in, "m.room.power_levels", powerless)
		spoil(in, "m.room.create", uncreated)
		exec(`UPDATE rooms SET version = 'org.example.none' WHERE room_id = $1`, unknown)
		exec(`UPDATE room_state SET value = E'\x01' WHERE type = 'm.room.join_rules'`)
		exec(`UPDATE room_state SET event_nid = 999999, place = 999999 * 1024 WHERE type = 'm.room.guest_access'`)
	})
	p.at(alice, bob, carol)

	for _, c := range []*matrixtest.Client{alice, bob, carol} {
		reads(c, room, last, since)
	}
	for _, other := range []string{powerless, uncreated} {
		alice.Do("GET", matrixtest.Path("rooms", other, "members"), nil).OK()
		bob.Do("PUT", matrixtest.Path("rooms", other, "send", "m.room.message", "1"), map[string]any{"body": "no"}).Refused(500, "M_UNKNOWN")
	}
	bob.Do("PUT", matrixtest.Path("rooms", unknown, "send", "m.room.message", "1"), map[string]any{"body": "no"}).Refused(500, "M_UNKNOWN")
	// A sender must be in the room, and the server cannot know that of carol.
	carol.Do("PUT", matrixtest.Path("rooms", room, "send", "m.room.message", "1"), map[string]any{"body": "no"}).Refused(500, "M_UNKNOWN")
	next := bob.SendText(room, "still works")
	for _, c := range []*matrixtest.Client{alice, bob, carol} {
		c.SyncUntil(since, matrixtest.Shows(room, next))
	}
	state := alice.Do("GET", matrixtest.Path("rooms", room, "event", redacted), nil).OK()
	if state.At("content", "body") != nil {
		t.Errorf("what was redacted shows again: %s", state.Body)
	}
	p.wantToldOnce(redaction, first)
}

// What users keep for themselves is nobody else's trouble, nor their own for long.
func TestDamagedPersonalRowsFailAlone(t *testing.T) {
	matrixtest.Long(t)
	t.Parallel()
	p := newPoisoned(t)
	anyone := clientAt(t, p.server, 0)
	alice, bob := anyone.Register("alice", "wordpass"), anyone.Register("bob", "wordpass")
	room := alice.CreateRoom(map[string]any{"preset": "public_chat"})
	bob.Join(room)
	bob.Do("PUT", matrixtest.Path("profile", bob.UserID, "org.example.field"), `{"org.example.field":1}`).OK()
	bob.Do("PUT", matrixtest.Path("profile", bob.UserID, "displayname"), `{"displayname":"Bobby"}`).OK()
	ours := func(typ string) string { return matrixtest.Path("user", bob.UserID, "account_data", typ) }
	for _, typ := range []string{"org.example.broken", "org.example.empty", "org.example.kept", "m.ignored_user_list"} {
		bob.Do("PUT", ours(typ), `{"key":"value"}`).OK()
	}
	bob.Do("PUT", matrixtest.Path("user", bob.UserID, "rooms", room, "tags", "m.favourite"), `{}`).OK()
	bob.Do("PUT", matrixtest.Path("pushrules", "global", "content", "rule"), `{"pattern":"x","actions":[]}`).OK()
	bob.Do("POST", "/pushers/set", `{"app_id":"a","pushkey":"k","kind":"http","app_display_name":"a","device_display_name":"d","lang":"en",
		"data":{"url":"https://push.example.org/_matrix/push/v1/notify"}}`).OK()
	last := alice.SendText(room, "healthy")
	bob.Do("POST", matrixtest.Path("rooms", room, "receipt", "m.read", last), `{}`).OK()
	since := alice.Sync("").NextBatch()
	filter := bob.Do("POST", matrixtest.Path("user", bob.UserID, "filter"), `{"room":{"timeline":{"limit":7}}}`).OK().String("filter_id")
	p.poison(func(exec func(string, ...any)) {
		exec(`UPDATE profiles SET fields = '{"org.example.field":' WHERE user_id = $1`, bob.UserID)
		exec(`UPDATE account_data SET content = '{"key":' WHERE type <> 'org.example.kept'`)
		exec(`UPDATE account_data SET content = '' WHERE type = 'org.example.empty'`)
		exec(`UPDATE push_rules SET rules = '{"Predefined":'`)
		exec(`UPDATE pushers SET data = 'x'`)
		exec(`UPDATE receipts SET type = E'm.read\x01"', event_id = E'"\\', thread_id = '"}', ts = -1, event_place = 9000000000000000`)
		exec(`UPDATE filters SET definition = '{'`)
	})
	p.at(alice, bob)

	reads(alice, room, last, since)
	reads(bob, room, last, since)
	answer := bob.Sync("")
	var types []string
	for _, e := range answer.Events("account_data", "events") {
		types = append(types, e.Type)
	}
	if slices.Sort(types); !slices.Equal(types, []string{"m.push_rules", "org.example.kept"}) {
		t.Errorf("the account data is %q", types)
	}
	if got := alice.Do("GET", matrixtest.Path("profile", bob.UserID), nil).OK().String("displayname"); got != "Bobby" {
		t.Errorf("the display name is %q", got)
	}
	bob.Do("GET", ours("org.example.broken"), nil).Refused(500, "M_UNKNOWN")
	if status := bob.Do("GET", "/sync?filter="+filter, nil).Status; status < 400 {
		t.Errorf("sync with a filter that nobody can read: %d", status)
	}
	p.wantToldOnce("profile of "+bob.UserID, "push rules of "+bob.UserID, "pusher a of "+bob.UserID,
		"account data org.example.broken of "+bob.UserID, "account data m.ignored_user_list of "+bob.UserID)

	// Whatever is set anew is whole again.
	bob.Do("PUT", ours("org.example.broken"), `{"key":"again"}`).OK()
	bob.Do("PUT", matrixtest.Path("profile", bob.UserID, "org.example.field"), `{"org.example.field":2}`).OK()
	bob.Do("PUT", matrixtest.Path("pushrules", "global", "content", "rule"), `{"pattern":"y","actions":[]}`).OK()
	if got := bob.Do("GET", ours("org.example.broken"), nil).OK().String("key"); got != "again" {
		t.Errorf("the account data is %q", got)
	}
	if got := bob.Do("GET", matrixtest.Path("pushrules", "global", "content", "rule"), nil).OK().String("pattern"); got != "y" {
		t.Errorf("the pattern of the rule is %q", got)
	}
	if got := alice.Do("GET", matrixtest.Path("profile", bob.UserID), nil).OK().At("org.example.field"); got != 2.0 {
		t.Errorf("the field of the profile is %v", got)
	}
}
