package syncstream_test

import (
	"context"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"homeserver/internal/auth"
	"homeserver/internal/event"
	"homeserver/internal/journal"
	"homeserver/internal/matrix"
	"homeserver/internal/personal/accountdata"
	"homeserver/internal/personal/presence"
	"homeserver/internal/personal/push"
	"homeserver/internal/personal/receipts"
	"homeserver/internal/personal/typing"
	"homeserver/internal/postgres/postgrestest"
	"homeserver/internal/profile"
	"homeserver/internal/reserve"
	"homeserver/internal/rooms"
	"homeserver/internal/syncstream"
)

func TestMain(m *testing.M) { postgrestest.Main(m) }

const (
	alice = "@alice:localhost"
	bob   = "@bob:localhost"
	carol = "@carol:localhost"
	dave  = "@dave:localhost"
)

// patience turns what would hang into a failure.
const patience = time.Minute

// Events of all tests are sent a millisecond apart, and read an hour later.
var (
	started = time.UnixMilli(1_700_000_000_000)
	ticks   atomic.Int64
)

func sending() time.Time { return started.Add(time.Duration(ticks.Add(1)) * time.Millisecond) }
func reading() time.Time { return started.Add(time.Hour) }

// clock is what reading and presence go by: it stands still until it is moved.
type clock struct{ passed atomic.Int64 }

func (c *clock) now() time.Time       { return reading().Add(time.Duration(c.passed.Load())) }
func (c *clock) pass(d time.Duration) { c.passed.Add(int64(d)) }

// house is the services of one server process.
type house struct {
	*syncstream.Service
	t       testing.TB
	pool    *pgxpool.Pool
	journal *journal.Journal
	rooms   *rooms.Service
	users   *auth.Service
	names   *profile.Service

	data     *accountdata.Service
	receipts *receipts.Service
	push     *push.Service
	typing   *typing.Service
	presence *presence.Service
	clock    *clock
}

func newHouse(t *testing.T) *house {
	t.Helper()
	t.Parallel()
	return houseOn(t, postgrestest.New(t), journal.Options{})
}

// houseOn starts another server process, as it were, on a database.
func houseOn(t testing.TB, pool *pgxpool.Pool, o journal.Options) *house {
	t.Helper()
	h := &house{t: t, pool: pool, journal: journal.New(pool, o), clock: &clock{}}
	h.users = auth.New(pool, auth.Options{ServerName: "localhost"})
	h.names = profile.New(pool)
	signer := &event.Signer{ServerName: "localhost", KeyID: "ed25519:test", Key: ed25519.NewKeyFromSeed(make([]byte, 32))}
	h.rooms = rooms.New(rooms.Options{Pool: pool, Journal: h.journal, Profiles: h.names, Signer: signer, Now: sending})
	ticks := journal.NewTicks()
	h.data = accountdata.New(pool, h.journal, h.rooms.Timeline, 0)
	h.receipts = receipts.New(pool, h.journal, h.rooms.Timeline, h.data, 0)
	h.typing = typing.New(h.rooms.Timeline, h.journal, ticks, nil, 0)
	h.presence = presence.New(presence.Options{
		Pool: pool, Journal: h.journal, Rooms: h.rooms.Timeline, Profiles: h.names, Ticks: ticks, Now: h.clock.now,
	})
	h.push = push.New(push.Options{
		Pool: pool, Journal: h.journal, Rooms: h.rooms.Timeline, ReadUpTo: h.receipts.Marks, Ignored: h.data.Ignored,
	})
	h.Service = syncstream.New(syncstream.Options{
		Pool: pool, Journal: h.journal, Rooms: h.rooms.Timeline, Data: h.data, Receipts: h.receipts, Push: h.push,
		Typing: h.typing, Presence: h.presence, Ticks: ticks, Now: h.clock.now,
	})
	h.ok(h.journal.Start(t.Context()))
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := h.journal.Stop(ctx); err != nil {
			t.Errorf("stop the journal: %v", err)
		}
	})
	return h
}

// Sync asks without being shown as online, which would be news to others.
func (h *house) Sync(ctx context.Context, q syncstream.Query) (*syncstream.Answer, error) {
	if q.SetPresence == "" {
		q.SetPresence = presence.Offline
	}
	return h.Service.Sync(ctx, q)
}

func (h *house) ok(err error) {
	h.t.Helper()
	if err != nil {
		h.t.Fatal(err)
	}
}

func (h *house) create(q rooms.CreateRequest) string {
	h.t.Helper()
	created, err := h.rooms.Create(h.t.Context(), alice, q)
	h.ok(err)
	return created.RoomID
}

// public makes a public room of alice's with the users in it.
func (h *house) public(joined ...string) string {
	h.t.Helper()
	room := h.create(rooms.CreateRequest{Preset: "public_chat"})
	for _, user := range joined {
		h.join(user, room)
	}
	return room
}

func (h *house) join(user, room string) {
	h.t.Helper()
	h.ok(h.rooms.Join(h.t.Context(), user, room, ""))
}

func (h *house) leave(user, room string) {
	h.t.Helper()
	h.ok(h.rooms.Leave(h.t.Context(), user, room, ""))
}

func (h *house) invite(user, room string) {
	h.t.Helper()
	h.ok(h.rooms.Invite(h.t.Context(), alice, room, user, ""))
}

func (h *house) kick(user, room string) {
	h.t.Helper()
	h.ok(h.rooms.Kick(h.t.Context(), alice, room, user, ""))
}

func (h *house) ban(user, room string) {
	h.t.Helper()
	h.ok(h.rooms.Ban(h.t.Context(), alice, room, user, ""))
}

func (h *house) send(user, room, body string) string {
	h.t.Helper()
	return h.sendAs(rooms.Request{UserID: user, RoomID: room}, "m.room.message", fmt.Sprintf(`{"body":%q}`, body))
}

// say sends messages, one after the other.
func (h *house) say(user, room string, bodies ...string) {
	h.t.Helper()
	for _, body := range bodies {
		h.send(user, room, body)
	}
}

func (h *house) sendAs(q rooms.Request, evType, content string) string {
	h.t.Helper()
	id, err := h.rooms.Send(h.t.Context(), q, evType, json.RawMessage(content))
	h.ok(err)
	return id
}

func (h *house) set(user, room, evType, key, content string) string {
	h.t.Helper()
	id, err := h.rooms.SetState(h.t.Context(), rooms.Request{UserID: user, RoomID: room}, evType, key, json.RawMessage(content))
	h.ok(err)
	return id
}

func (h *house) topic(user, room, topic string) {
	h.t.Helper()
	h.set(user, room, "m.room.topic", "", fmt.Sprintf(`{"topic":%q}`, topic))
}

func (h *house) visibility(room, visibility string) {
	h.t.Helper()
	h.set(alice, room, "m.room.history_visibility", "", fmt.Sprintf(`{"history_visibility":%q}`, visibility))
}

// rename gives a user another display name in a room.
func (h *house) rename(user, room, name string) {
	h.t.Helper()
	h.set(user, room, "m.room.member", user, fmt.Sprintf(`{"membership":"join","displayname":%q}`, name))
}

// client is one device of a user that syncs again and again.
type client struct {
	h *house
	syncstream.Query
}

func (h *house) client(user, filter string) *client {
	return &client{h: h, Query: syncstream.Query{UserID: user, DeviceID: "PHONE", Filter: filter}}
}

// synced gives a client that knows all there is by now.
func (h *house) synced(user, filter string) *client {
	h.t.Helper()
	c := h.client(user, filter)
	c.sync()
	return c
}

// sync asks for what is new, without waiting, and remembers the token.
func (c *client) sync() *answer {
	c.h.t.Helper()
	a := c.h.sync(c.Query)
	c.Since = a.NextBatch
	return a
}

func (h *house) sync(q syncstream.Query) *answer {
	h.t.Helper()
	a, err := h.Sync(h.t.Context(), q)
	if err != nil {
		h.t.Fatalf("sync: %v", err)
	}
	return parse(h.t, a)
}

// answer is an answer to /sync as a client reads it.
type answer struct {
	NextBatch   string    `json:"next_batch"`
	AccountData stateList `json:"account_data"`
	Presence    stateList
	Rooms       struct {
		Join, Leave map[string]*room
		Invite      map[string]*struct {
			State stateList `json:"invite_state"`
		}
		Knock map[string]*struct {
			State stateList `json:"knock_state"`
		}
	}
	raw []byte
}

type stateList struct{ Events []*ev }

type room struct {
	Summary     *summary
	State       *stateList
	StateAfter  *stateList `json:"state_after"`
	AccountData stateList  `json:"account_data"`
	Ephemeral   stateList
	Unread      *count           `json:"unread_notifications"`
	Threads     map[string]count `json:"unread_thread_notifications"`
	Timeline    struct {
		Events    []*ev
		Limited   bool
		PrevBatch string `json:"prev_batch"`
	}
}

type count struct {
	Notifications int `json:"notification_count"`
	Highlights    int `json:"highlight_count"`
}

type summary struct {
	Heroes  []string `json:"m.heroes"`
	Joined  int      `json:"m.joined_member_count"`
	Invited int      `json:"m.invited_member_count"`
}

type ev struct {
	Content  map[string]any
	EventID  string `json:"event_id"`
	RoomID   string `json:"room_id"`
	Sender   string
	StateKey *string `json:"state_key"`
	Type     string
	SentAt   int64 `json:"origin_server_ts"`
	Unsigned map[string]any
}

// written is what an answer looks like when it is sent.
func written(t testing.TB, a *syncstream.Answer) []byte {
	t.Helper()
	var sent []byte
	w := reserve.NewWriter(nil, func(piece []byte) error {
		sent = append(sent, piece...)
		return nil
	})
	if err := a.WriteJSON(t.Context(), w); err != nil {
		t.Fatal(err)
	}
	return append(sent, w.B...)
}

func parse(t testing.TB, a *syncstream.Answer) *answer {
	t.Helper()
	parsed := &answer{raw: written(t, a)}
	if err := json.Unmarshal(parsed.raw, parsed); err != nil {
		t.Fatalf("the answer is no JSON: %v\n%s", err, parsed.raw)
	}
	return parsed
}

// String names an event in a word or two.
func (e *ev) String() string {
	switch {
	case e.Type == "m.room.message":
		return fmt.Sprint(e.Content["body"])
	case e.Type == "m.room.member":
		return name(*e.StateKey) + " " + fmt.Sprint(e.Content["membership"])
	case e.Type == "m.room.topic":
		return fmt.Sprint("topic ", e.Content["topic"])
	}
	return strings.TrimPrefix(e.Type, "m.room.")
}

func name(user string) string { return strings.TrimSuffix(strings.TrimPrefix(user, "@"), ":localhost") }

func words(events []*ev) []string {
	list := []string{}
	for _, e := range events {
		list = append(list, e.String())
	}
	return list
}

func (r *room) timeline() []string { return words(r.Timeline.Events) }

func (r *room) state() []string {
	if r.State == nil {
		return nil
	}
	return words(r.State.Events)
}

// members names those whose member events are in the state.
func (r *room) members() []string {
	list := []string{}
	for _, e := range r.State.Events {
		if e.Type == "m.room.member" {
			list = append(list, name(*e.StateKey))
		}
	}
	slices.Sort(list)
	return list
}

// in gives a joined room of the answer.
func (a *answer) in(t testing.TB, id string) *room {
	t.Helper()
	if a.Rooms.Join[id] == nil {
		t.Fatalf("room %s is not among the joined: %s", id, a.raw)
	}
	return a.Rooms.Join[id]
}

// of gives the content of the event of a type in a list; nil: there is none. There
// must not be two.
func (l *stateList) of(t testing.TB, typ string) (content map[string]any) {
	t.Helper()
	for _, e := range l.Events {
		if e.Type != typ {
			continue
		}
		if content != nil {
			t.Errorf("there are several events of type %s", typ)
		}
		content = e.Content
	}
	return content
}

// types lists the types of events, in order.
func (l *stateList) types() []string {
	list := []string{}
	for _, e := range l.Events {
		list = append(list, e.Type)
	}
	return list
}

// out gives a left room of the answer.
func (a *answer) out(t testing.TB, id string) *room {
	t.Helper()
	if a.Rooms.Leave[id] == nil {
		t.Fatalf("room %s is not among the left: %s", id, a.raw)
	}
	return a.Rooms.Leave[id]
}

func (a *answer) empty() bool {
	return len(a.Rooms.Join)+len(a.Rooms.Leave)+len(a.Rooms.Invite)+len(a.Rooms.Knock)+len(a.Presence.Events) == 0
}

func wantEmpty(t testing.TB, a *answer) {
	t.Helper()
	if !a.empty() {
		t.Errorf("there is something to tell: %s", a.raw)
	}
}

func equal(t testing.TB, what string, got []string, want ...string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s: got %q, want %q", what, got, want)
	}
}

// same compares without order.
func same(t testing.TB, what string, got []string, want ...string) {
	t.Helper()
	slices.Sort(got)
	slices.Sort(want)
	equal(t, what, got, want...)
}

func wantCode(t testing.TB, what string, err error, code matrix.Code) {
	t.Helper()
	if !matrix.IsCode(err, code) {
		t.Errorf("%s: got %v, want %s", what, err, code)
	}
}

// waiting is a poll that was started and goes on beside the test.
type waiting struct {
	t      testing.TB
	cancel context.CancelFunc
	waits  chan struct{} // gets one each time that the poll begins to wait
	done   chan struct{} // closed when it has ended
	answer *answer
	err    error
}

// await starts a poll that would wait for long, and returns when it waits.
func (h *house) await(q syncstream.Query) *waiting {
	h.t.Helper()
	q.Timeout = 10 * patience
	w := h.startFor(q)
	w.waitsAgain()
	return w
}

// startFor starts a poll with the timeout of the query.
func (h *house) startFor(q syncstream.Query) *waiting {
	ctx, cancel := context.WithCancel(h.t.Context())
	w := &waiting{t: h.t, cancel: cancel, waits: make(chan struct{}, 1000), done: make(chan struct{})}
	go func() {
		defer close(w.done)
		a, err := h.Sync(&waitContext{ctx, w.waits}, q)
		if w.err = err; err == nil {
			w.answer = parse(h.t, a)
		}
	}()
	h.t.Cleanup(func() { cancel(); <-w.done })
	return w
}

// waitContext tells when a poll waits: that is when it asks for Done itself.
type waitContext struct {
	context.Context
	waits chan<- struct{}
}

func (c *waitContext) Done() <-chan struct{} {
	if pc, _, _, ok := runtime.Caller(1); ok && strings.HasSuffix(runtime.FuncForPC(pc).Name(), "syncstream.(*Service).wait") {
		c.waits <- struct{}{}
	}
	return c.Context.Done()
}

// waitsAgain returns when the poll waits once more.
func (w *waiting) waitsAgain() {
	w.t.Helper()
	select {
	case <-w.waits:
	case <-w.done:
		w.t.Fatalf("the poll does not wait: %v %v", w.answer, w.err)
	case <-time.After(patience):
		w.t.Fatal("the poll does not begin to wait")
	}
}

// get gives the answer, which must come now.
func (w *waiting) get() *answer {
	w.t.Helper()
	w.end()
	if w.err != nil {
		w.t.Fatalf("sync: %v", w.err)
	}
	return w.answer
}

func (w *waiting) end() {
	w.t.Helper()
	select {
	case <-w.done:
	case <-time.After(patience):
		w.t.Fatal("the poll goes on waiting")
	}
}

// refused reports whether an error is one that a client may see.
func refused(err error) bool {
	_, ok := errors.AsType[*matrix.Error](err)
	return ok
}
