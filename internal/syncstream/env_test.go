package syncstream_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"homeserver/internal/e2ee/devicekeys"
	"homeserver/internal/e2ee/todevice"
	"homeserver/internal/journal"
	"homeserver/internal/matrix"
	"homeserver/internal/matrixtest"
	"homeserver/internal/personal/accountdata"
	"homeserver/internal/personal/presence"
	"homeserver/internal/personal/push"
	"homeserver/internal/personal/receipts"
	"homeserver/internal/personal/typing"
	"homeserver/internal/postgres/postgrestest"
	"homeserver/internal/reserve"
	"homeserver/internal/rooms"
	"homeserver/internal/rooms/roomstest"
	"homeserver/internal/syncstream"
)

func TestMain(m *testing.M) { postgrestest.Main(m) }

const alice, bob, carol, dave = roomstest.Alice, roomstest.Bob, roomstest.Carol, roomstest.Dave

// patience turns what would hang into a failure.
const patience = time.Minute

// Events of all tests are sent a millisecond apart, and read an hour later.
var (
	started = time.UnixMilli(1_700_000_000_000)
	ticks   atomic.Int64
)

// env is the harness with all that a user sees of it. What reads, and presence, go by the clock.
type env struct {
	*roomstest.Env
	*syncstream.Service

	data     *accountdata.Service
	receipts *receipts.Service
	push     *push.Service
	typing   *typing.Service
	presence *presence.Service
	keys     *devicekeys.Service
	messages *todevice.Service
	clock    matrixtest.Clock
}

func newEnv(t *testing.T) *env {
	t.Helper()
	t.Parallel()
	return envOn(t, nil, journal.Options{})
}

// envOn starts another server process, as it were, on a database; nil: a new one.
func envOn(t testing.TB, pool *pgxpool.Pool, o journal.Options) *env {
	t.Helper()
	return envWith(t, pool, o, rooms.Shares{})
}

// envWith is envOn with so much memory for caches.
func envWith(t testing.TB, pool *pgxpool.Pool, o journal.Options, shares rooms.Shares) *env {
	t.Helper()
	h := &env{Env: roomstest.Open(t, roomstest.Options{Pool: pool, Journal: o, Rooms: func(o *rooms.Options) { o.Now, o.Shares = sending, shares }})}
	h.clock.Pass(time.Hour)
	ticks, store := journal.NewTicks(), h.Rooms.Timeline
	h.data = accountdata.New(h.Pool, h.Journal, store, 0)
	h.receipts = receipts.New(h.Pool, h.Journal, store, h.data.SetFullyRead, 0, time.Now)
	h.typing = typing.New(store, h.Journal, ticks, nil, 0, nil)
	h.presence = presence.New(presence.Options{
		Pool: h.Pool, Journal: h.Journal, Rooms: store, Profiles: h.Profiles, Ticks: ticks, Now: h.clock.Now,
	})
	h.push = push.New(push.Options{
		Pool: h.Pool, Journal: h.Journal, Rooms: store, ReadUpTo: h.receipts.Marks, Ignored: h.data.Ignored,
	})
	h.keys = devicekeys.New(devicekeys.Options{Pool: h.Pool, Journal: h.Journal, Rooms: store, ServerName: "localhost"})
	h.messages = todevice.New(todevice.Options{Pool: h.Pool, Journal: h.Journal, ServerName: "localhost"})
	h.Service = syncstream.New(syncstream.Options{
		Pool: h.Pool, Journal: h.Journal, Rooms: store, Data: h.data, Receipts: h.receipts, Push: h.push,
		Typing: h.typing, Presence: h.presence, Keys: h.keys,
		ToDevice: h.messages, Ticks: ticks, Now: h.clock.Now,
	})
	h.Run()
	return h
}

func sending() time.Time { return started.Add(time.Duration(ticks.Add(1)) * time.Millisecond) }

// Sync asks without being shown as online, which would be news to others.
func (h *env) Sync(ctx context.Context, q syncstream.Query) (*syncstream.Answer, error) {
	if q.SetPresence == "" {
		q.SetPresence = presence.Offline
	}
	return h.Service.Sync(ctx, q)
}

func (h *env) create(q rooms.CreateRequest) string {
	h.T.Helper()
	return h.Create(alice, q)
}

func (h *env) invite(user, room string) {
	h.T.Helper()
	h.Invite(alice, room, user)
}

func (h *env) kick(user, room string) {
	h.T.Helper()
	h.OK(h.Rooms.Kick(h.T.Context(), alice, room, user, ""))
}

func (h *env) ban(user, room string) {
	h.T.Helper()
	h.OK(h.Rooms.Ban(h.T.Context(), alice, room, user, ""))
}

func (h *env) send(user, room, body string) string {
	h.T.Helper()
	return h.sendAs(rooms.Request{UserID: user, RoomID: room}, "m.room.message", fmt.Sprintf(`{"body":%q}`, body))
}

// say sends messages, one after the other.
func (h *env) say(user, room string, bodies ...string) {
	h.T.Helper()
	for _, body := range bodies {
		h.send(user, room, body)
	}
}

func (h *env) sendAs(q rooms.Request, evType, content string) string {
	h.T.Helper()
	id, err := h.Rooms.Send(h.T.Context(), q, evType, json.RawMessage(content))
	h.OK(err)
	return id
}

func (h *env) topic(user, room, topic string) {
	h.T.Helper()
	h.SetState(user, room, "m.room.topic", "", fmt.Sprintf(`{"topic":%q}`, topic))
}

func (h *env) visibility(room, visibility string) {
	h.T.Helper()
	h.SetState(alice, room, "m.room.history_visibility", "", fmt.Sprintf(`{"history_visibility":%q}`, visibility))
}

// rename changes a user's display name in a room.
func (h *env) rename(user, room, name string) {
	h.T.Helper()
	h.SetState(user, room, "m.room.member", user, fmt.Sprintf(`{"membership":"join","displayname":%q}`, name))
}

// client is one device of a user that syncs again and again.
type client struct {
	h *env
	syncstream.Query
}

func (h *env) client(user, filter string) *client {
	return &client{h: h, Query: syncstream.Query{UserID: user, DeviceID: "PHONE", Filter: filter}}
}

// synced returns a client that has synced all there is by now.
func (h *env) synced(user, filter string) *client {
	h.T.Helper()
	c := h.client(user, filter)
	c.sync()
	return c
}

// sync asks for what is new, without waiting, and remembers the token.
func (c *client) sync() *answer {
	c.h.T.Helper()
	a := c.h.sync(c.Query)
	c.Since = a.NextBatch
	return a
}

func (h *env) sync(q syncstream.Query) *answer {
	h.T.Helper()
	a, err := h.Sync(h.T.Context(), q)
	if err != nil {
		h.T.Fatalf("sync: %v", err)
	}
	return parse(h.T, a)
}

// keyChanges asks whose device lists have changed between two tokens.
func (h *env) keyChanges(user, from, to string) *deviceLists {
	h.T.Helper()
	l, err := h.KeyChanges(h.T.Context(), user, from, to)
	h.OK(err)
	parsed := &deviceLists{}
	h.OK(json.Unmarshal(written(h.T, l), parsed))
	return parsed
}

// changeKeys announces a change of a user's device list, as other packages do with one of
// keys, and returns when it is shown.
func (h *env) changeKeys(user string) {
	h.T.Helper()
	h.OK(pgx.BeginFunc(h.T.Context(), h.Pool, func(tx pgx.Tx) error {
		_, err := journal.Post(h.T.Context(), tx, "device_lists", []journal.Topic{{User: user}}, []byte(user))
		return err
	}))
	h.OK(h.Journal.ShowPosted(h.T.Context()))
}

// deviceLists is whose device lists a client has to fetch, or to forget.
type deviceLists struct{ Changed, Left []string }

// answer is an answer to /sync as a client reads it.
type answer struct {
	DeviceLists *deviceLists `json:"device_lists"`
	NextBatch   string       `json:"next_batch"`
	AccountData stateList    `json:"account_data"`
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

// writer is an answer that is sent while it is written.
type writer interface {
	WriteJSON(ctx context.Context, w *reserve.Writer) error
}

// written is what an answer looks like when it is sent.
func written(t testing.TB, a writer) []byte {
	t.Helper()
	return writtenIn(t.Context(), t, a)
}

func writtenIn(ctx context.Context, t testing.TB, a writer) []byte {
	t.Helper()
	var sent []byte
	w := reserve.NewWriter(nil, func(piece []byte) error {
		sent = append(sent, piece...)
		return nil
	})
	if err := a.WriteJSON(ctx, w); err != nil {
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

// in returns a joined room of the answer.
func (a *answer) in(t testing.TB, id string) *room {
	t.Helper()
	if a.Rooms.Join[id] == nil {
		t.Fatalf("room %s is not among the joined: %s", id, a.raw)
	}
	return a.Rooms.Join[id]
}

// of returns the content of the event of a type in a list; nil: there is none. There
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

// out returns a left room of the answer.
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
	matrixtest.Equal(t, what, got, want)
}

// same compares without order.
func same(t testing.TB, what string, got []string, want ...string) {
	t.Helper()
	slices.Sort(got)
	slices.Sort(want)
	equal(t, what, got, want...)
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
func (h *env) await(q syncstream.Query) *waiting {
	h.T.Helper()
	q.Timeout = 10 * patience
	w := h.startFor(q)
	w.waitsAgain()
	return w
}

// startFor starts a poll with the timeout of the query.
func (h *env) startFor(q syncstream.Query) *waiting {
	ctx, cancel := context.WithCancel(h.T.Context())
	w := &waiting{t: h.T, cancel: cancel, waits: make(chan struct{}, 1000), done: make(chan struct{})}
	go func() {
		defer close(w.done)
		a, err := h.Sync(&waitContext{ctx, w.waits}, q)
		if w.err = err; err == nil {
			w.answer = parse(h.T, a)
		}
	}()
	h.T.Cleanup(func() { cancel(); <-w.done })
	return w
}

// waitContext reports that a poll waits: wait calls Done just before.
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

// get returns the answer, which must come now.
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
