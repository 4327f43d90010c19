package syncstream_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"

	"homeserver/internal/journal"
	"homeserver/internal/personal/push"
	"homeserver/internal/personal/receipts"
	"homeserver/internal/rooms"
)

var everybody = []string{alice, bob, carol, dave}

// history makes things happen at random in some rooms.
type history struct {
	*env
	*rand.Rand
	// others are further processes, where things happen as well. Each hears of the
	// rest now and then.
	others []*env
	rooms  []string
	events map[string][]string // what may be redacted, by room
	ignore bool                // users also ignore one another
	fixed  bool                // users change no push rules, on which counts depend
	// forgot holds where in the journal users have last forgotten rooms.
	forgot map[forgetting]journal.Position
	n      int
}

type forgetting struct{ user, room string }

func (h *env) history(seed uint64) *history {
	h.T.Helper()
	h.T.Cleanup(func() {
		if h.T.Failed() {
			h.T.Logf("the seed is %d", seed)
		}
	})
	y := &history{
		env: h, Rand: rand.New(rand.NewPCG(seed, 0)),
		events: map[string][]string{}, forgot: map[forgetting]journal.Position{},
	}
	for _, visibility := range []string{"shared", "invited", "joined", "world_readable"} {
		room := h.create(rooms.CreateRequest{Preset: "public_chat", RoomVersion: y.pick("6", "11", "12")})
		h.SetState(alice, room, "m.room.power_levels", "", h.powers(room))
		h.visibility(room, visibility)
		y.rooms = append(y.rooms, room)
	}
	return y
}

// powers returns power levels that allow everybody everything that the room version allows.
func (h *env) powers(room string) string {
	h.T.Helper()
	e, _, err := h.Rooms.Timeline.For(alice).StateEvent(h.T.Context(), room, "m.room.create", "")
	h.OK(err)
	users := map[string]int{bob: 60, carol: 50, dave: 50}
	if e.Version.ID != "12" {
		users[alice] = 100
	}
	text, err := json.Marshal(map[string]any{"users": users, "events": map[string]int{"m.room.history_visibility": 50}})
	h.OK(err)
	return string(text)
}

func (y *history) pick(list ...string) string { return list[y.IntN(len(list))] }

// happen tries n things at random. What is forbidden does not happen.
func (y *history) happen(n int) {
	y.T.Helper()
	for range n {
		if err := y.act(); err != nil && !refused(err) {
			y.T.Fatal(err)
		}
	}
}

// elsewhere chooses the process in which the next thing happens. That process may or may
// not have heard of the rest by then.
func (y *history) elsewhere() {
	if len(y.others) == 0 {
		return
	}
	if i := y.IntN(len(y.others) + 1); i > 0 {
		y.env, y.others[i-1] = y.others[i-1], y.env
	}
	if y.IntN(4) == 0 {
		y.catchUp()
	}
}

// newest is how far the journal has come in all processes together.
func (h *env) newest() (p journal.Position) {
	h.T.Helper()
	h.OK(h.Pool.QueryRow(h.T.Context(), `SELECT position FROM journal`).Scan(&p))
	return p
}

// catchUp waits until a process has heard of all that has happened.
func (h *env) catchUp() {
	h.T.Helper()
	h.OK(h.Journal.CatchUp(h.T.Context(), h.newest()))
}

func (y *history) act() error {
	y.n++
	y.elsewhere()
	room, user := y.pick(y.rooms...), y.pick(everybody...)
	q := rooms.Request{UserID: user, DeviceID: "PHONE", RoomID: room}
	switch kind := y.IntN(145); {
	case kind >= 141:
		y.changeKeys(user)
		return nil
	case kind == 140:
		return y.tryToEncrypt(q)
	case kind < 50:
		return y.speak(q)
	case kind < 80:
		return y.change(kind-50, q)
	case kind < 106:
		return y.move(kind-80, user, room, y.pick(bob, carol, dave))
	default:
		return y.personal(kind-106, user, room)
	}
}

// tryToEncrypt turns on encryption as a user.
func (y *history) tryToEncrypt(q rooms.Request) error {
	_, err := y.env.Rooms.SetState(y.T.Context(), q, "m.room.encryption", "", json.RawMessage(`{"algorithm":"m.megolm.v1.aes-sha2"}`))
	return err
}

// keep remembers an event that may be redacted.
func (y *history) keep(room, id string, err error) error {
	if err == nil {
		y.events[room] = append(y.events[room], id)
	}
	return err
}

// speak sends an event that is no state.
func (y *history) speak(q rooms.Request) error {
	content := fmt.Sprintf(`{"body":"%d"}`, y.n)
	switch n := y.IntN(8); {
	case n < 2:
		content = fmt.Sprintf(`{"body":"%d","url":"mxc://localhost/x"}`, y.n)
	case n < 3:
		content = fmt.Sprintf(`{"body":"%d","m.mentions":{"user_ids":[%q]}}`, y.n, y.pick(everybody...))
	case n < 4 && len(y.events[q.RoomID]) > 0:
		content = fmt.Sprintf(`{"body":"%d","m.relates_to":{"rel_type":%q,"event_id":%q}}`,
			y.n, y.pick("m.thread", "m.reference"), y.pick(y.events[q.RoomID]...))
	}
	if y.IntN(2) == 0 {
		q.TxnID = fmt.Sprint(y.n)
	}
	typ := y.pick("m.room.message", "m.room.message", "org.example.other")
	id, err := y.env.Rooms.Send(y.T.Context(), q, typ, json.RawMessage(content))
	return y.keep(q.RoomID, id, err)
}

// change sets state, or redacts something.
func (y *history) change(kind int, q rooms.Request) error {
	ctx := y.T.Context()
	set := func(evType, key, content string) error {
		id, err := y.env.Rooms.SetState(ctx, q, evType, key, json.RawMessage(content))
		return y.keep(q.RoomID, id, err)
	}
	switch {
	case kind < 12:
		return set(y.pick("m.room.topic", "org.example.state"), y.pick("", "", "key"), fmt.Sprintf(`{"topic":"%d"}`, y.n))
	case kind < 16:
		return set("m.room.member", q.UserID, fmt.Sprintf(`{"membership":"join","displayname":"%d"}`, y.n))
	case kind < 19:
		return set("m.room.history_visibility", "", `{"history_visibility":"`+y.pick("shared", "invited", "joined", "world_readable")+`"}`)
	case kind < 20:
		return set("m.room.join_rules", "", `{"join_rule":"`+y.pick("public", "public", "knock", "invite")+`"}`)
	case len(y.events[q.RoomID]) == 0:
		return nil
	}
	targets := y.events[q.RoomID]
	if y.IntN(2) == 0 {
		targets = targets[max(0, len(targets)-5):]
	}
	_, err := y.env.Rooms.Redact(ctx, q, y.pick(targets...), y.pick("", fmt.Sprint("reason ", y.n)))
	return err
}

// move changes how a user stands to a room, by the user's own or somebody else's doing.
func (y *history) move(kind int, user, room, other string) error {
	ctx, r := y.T.Context(), y.env.Rooms
	switch {
	case kind < 9:
		return r.Join(ctx, other, room, "")
	case kind < 13:
		return r.Leave(ctx, other, room, "")
	case kind < 16:
		return r.Invite(ctx, user, room, other, "")
	case kind < 18:
		return r.Kick(ctx, user, room, other, "")
	case kind < 20:
		return r.Ban(ctx, user, room, other, "")
	case kind < 23:
		return r.Unban(ctx, user, room, other, "")
	case kind < 24:
		return r.Knock(ctx, other, room, "")
	}
	return y.forget(other)
}

// forget forgets a room for a user, if there is a room that the user is not in.
func (y *history) forget(user string) error {
	for _, i := range y.Perm(len(y.rooms)) {
		room, before := y.rooms[i], y.newest()
		if err := y.env.Rooms.Forget(y.T.Context(), user, room); err != nil && !refused(err) {
			return err
		}
		if now := y.newest(); now > before {
			y.forgot[forgetting{user, room}] = now
			break
		}
	}
	return nil
}

// personal changes something of a user that is no event of a room.
func (y *history) personal(kind int, user, room string) error {
	ctx := y.T.Context()
	switch {
	case kind < 4:
		return y.data.Set(ctx, user, "", y.pick("org.example.a", "org.example.b"), json.RawMessage(fmt.Sprintf(`{"n":%d}`, y.n)))
	case kind < 8:
		return y.data.Set(ctx, user, room, y.pick("org.example.a", "org.example.b"), json.RawMessage(fmt.Sprintf(`{"n":%d}`, y.n)))
	case kind < 11:
		return y.data.SetTag(ctx, user, room, y.pick("u.a", "u.b"), json.RawMessage(`{"order":0.5}`))
	case kind < 13:
		return y.data.DeleteTag(ctx, user, room, y.pick("u.a", "u.b"))
	case kind < 14 && y.ignore:
		list := fmt.Sprintf(`{"ignored_users":{%q:{}}}`, y.pick(everybody...))
		return y.data.Set(ctx, user, "", "m.ignored_user_list", json.RawMessage(y.pick(list, `{"ignored_users":{}}`)))
	case kind < 16 && y.fixed:
		return nil
	case kind < 16:
		return y.push.PutRule(ctx, user, push.Room, room, push.NewRule{Actions: []json.RawMessage{}}, push.Place{})
	case len(y.events[room]) == 0:
		return nil
	case kind < 20:
		return y.receipts.SetMarkers(ctx, user, room, receipts.Markers{FullyRead: y.pick(y.events[room]...)})
	}
	var thread *string
	if y.IntN(2) == 0 {
		thread = new("main")
	}
	return y.receipts.Send(ctx, user, room, y.pick("m.read", "m.read.private"), y.pick(y.events[room]...), thread)
}

// filters that are tried at random; %[1]s is a room.
var filters = []string{
	``, `{}`,
	`{"room":{"timeline":{"limit":1}}}`,
	`{"room":{"timeline":{"limit":3},"include_leave":true}}`,
	`{"room":{"timeline":{"limit":0}}}`,
	`{"room":{"timeline":{"types":["m.room.message"],"limit":4}}}`,
	`{"room":{"timeline":{"not_types":["m.room.*"]}}}`,
	`{"room":{"timeline":{"senders":["@alice:localhost","@bob:localhost"],"limit":5}}}`,
	`{"room":{"timeline":{"not_senders":["@alice:localhost"]}}}`,
	`{"room":{"timeline":{"contains_url":true}}}`,
	`{"room":{"timeline":{"contains_url":false,"limit":5}}}`,
	`{"room":{"timeline":{"not_rooms":["%[1]s"]},"state":{"not_rooms":["%[1]s"]}}}`,
	`{"room":{"rooms":["%[1]s"]}}`,
	`{"room":{"not_rooms":["%[1]s"],"include_leave":true}}`,
	`{"room":{"state":{"types":["m.room.member"]},"timeline":{"limit":2}}}`,
	`{"room":{"state":{"not_types":["m.room.member"],"senders":["@bob:localhost"]},"timeline":{"limit":2}}}`,
	`{"room":{"state":{"lazy_load_members":true},"timeline":{"limit":2}}}`,
	`{"room":{"state":{"lazy_load_members":true},"timeline":{"types":["m.room.message"],"limit":2}}}`,
	`{"room":{"state":{"lazy_load_members":true,"include_redundant_members":true}}}`,
	`{"event_format":"federation"}`,
	`{"account_data":{"types":["org.*"]},"room":{"account_data":{"not_types":["m.tag"]}}}`,
	`{"account_data":{"types":[]},"room":{"account_data":{"not_rooms":["%[1]s"]},"ephemeral":{"not_rooms":["%[1]s"]}}}`,
	`{"room":{"ephemeral":{"not_types":["m.receipt"]},"timeline":{"unread_thread_notifications":true}}}`,
	`{"room":{"timeline":{"types":[]},"state":{"types":[]}}}`,
	`{"event_fields":["content.body","type","event_id"]}`,
}

func (y *history) filter() string {
	f := filters[y.IntN(len(filters))]
	if slices.Contains([]byte(f), '%') {
		f = fmt.Sprintf(f, y.pick(y.rooms...))
	}
	return f
}
