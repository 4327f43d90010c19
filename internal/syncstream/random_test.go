package syncstream_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"homeserver/internal/journal"
	"homeserver/internal/postgres/postgrestest"
	"homeserver/internal/push"
	"homeserver/internal/receipts"
	"homeserver/internal/rooms"
	"homeserver/internal/syncstream"
)

var everybody = []string{alice, bob, carol, dave}

// history makes things happen at random in some rooms.
type history struct {
	*house
	*rand.Rand
	rooms  []string
	events map[string][]string // what may be redacted, by room
	ignore bool                // users also ignore one another
	n      int
}

func (h *house) history(seed uint64) *history {
	h.t.Helper()
	h.t.Cleanup(func() {
		if h.t.Failed() {
			h.t.Logf("the seed is %d", seed)
		}
	})
	y := &history{house: h, Rand: rand.New(rand.NewPCG(seed, 0)), events: map[string][]string{}}
	for _, visibility := range []string{"shared", "invited", "joined", "world_readable"} {
		room := h.create(rooms.CreateRequest{Preset: "public_chat", RoomVersion: y.pick("6", "11", "12")})
		h.set(alice, room, "m.room.power_levels", "", h.powers(room))
		h.visibility(room, visibility)
		y.rooms = append(y.rooms, room)
	}
	return y
}

// powers lets everybody do everything, but for what the room version forbids.
func (h *house) powers(room string) string {
	h.t.Helper()
	e, _, err := h.rooms.StateEvent(h.t.Context(), alice, room, "m.room.create", "")
	h.ok(err)
	users := map[string]int{bob: 60, carol: 50, dave: 50}
	if e.Version.ID != "12" {
		users[alice] = 100
	}
	text, err := json.Marshal(map[string]any{"users": users, "events": map[string]int{"m.room.history_visibility": 50}})
	h.ok(err)
	return string(text)
}

func (y *history) pick(list ...string) string { return list[y.IntN(len(list))] }

// happen lets n things be tried; what is forbidden does not happen.
func (y *history) happen(n int) {
	y.t.Helper()
	for range n {
		if err := y.act(); err != nil && !refused(err) {
			y.t.Fatal(err)
		}
	}
}

func (y *history) act() error {
	ctx := y.t.Context()
	room, user, other := y.pick(y.rooms...), y.pick(everybody...), y.pick(bob, carol, dave)
	q := rooms.Request{UserID: user, DeviceID: "PHONE", RoomID: room}
	set := func(evType, key, content string) error {
		id, err := y.house.rooms.SetState(ctx, q, evType, key, json.RawMessage(content))
		if err == nil {
			y.events[room] = append(y.events[room], id)
		}
		return err
	}
	y.n++
	switch kind := y.IntN(140); {
	case kind >= 100:
		return y.personal(kind-100, user, room)
	case kind < 50:
		content := fmt.Sprintf(`{"body":"%d"}`, y.n)
		if y.IntN(4) == 0 {
			content = fmt.Sprintf(`{"body":"%d","url":"mxc://localhost/x"}`, y.n)
		}
		if y.IntN(2) == 0 {
			q.TxnID = fmt.Sprint(y.n)
		}
		id, err := y.house.rooms.Send(ctx, q, y.pick("m.room.message", "m.room.message", "org.example.other"), json.RawMessage(content))
		if err == nil {
			y.events[room] = append(y.events[room], id)
		}
		return err
	case kind < 62:
		return set(y.pick("m.room.topic", "org.example.state"), y.pick("", "", "key"), fmt.Sprintf(`{"topic":"%d"}`, y.n))
	case kind < 66:
		return set("m.room.member", user, fmt.Sprintf(`{"membership":"join","displayname":"%d"}`, y.n))
	case kind < 71 && len(y.events[room]) > 0:
		_, err := y.house.rooms.Redact(ctx, q, y.pick(y.events[room]...), "")
		return err
	case kind < 74:
		return set("m.room.history_visibility", "", `{"history_visibility":"`+y.pick("shared", "invited", "joined", "world_readable")+`"}`)
	case kind < 84:
		return y.house.rooms.Join(ctx, other, room, "")
	case kind < 88:
		return y.house.rooms.Leave(ctx, other, room, "")
	case kind < 92:
		return y.house.rooms.Invite(ctx, user, room, other, "")
	case kind < 94:
		return y.house.rooms.Kick(ctx, user, room, other, "")
	case kind < 96:
		return y.house.rooms.Ban(ctx, user, room, other, "")
	case kind < 99:
		return y.house.rooms.Unban(ctx, user, room, other, "")
	}
	return y.house.rooms.Forget(ctx, other, room)
}

// personal lets a user do what is no event of a room.
func (y *history) personal(kind int, user, room string) error {
	ctx := y.t.Context()
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

// An answer from the live window is the same, byte for byte, as one from SQL.
func TestWindowAndSQLAgree(t *testing.T) {
	t.Parallel()
	for seed := range uint64(6) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			t.Parallel()
			pool := postgrestest.New(t)
			window, sql := houseOn(t, pool, journal.Options{}), houseOn(t, pool, journal.Options{WindowBytes: 1})
			y := window.history(seed)
			y.ignore = true
			compared := 0
			for round := range 8 {
				y.happen(30)
				window.ok(sql.journal.CatchUp(t.Context(), window.journal.Position()))
				for i := range 25 {
					q := syncstream.Query{
						UserID: y.pick(everybody...), DeviceID: y.pick("PHONE", fmt.Sprint("NEW", round, i)),
						Filter: y.filter(), FullState: y.IntN(8) == 0, UseStateAfter: y.IntN(4) == 0,
						Since: syncstream.FormatToken(journal.Position(y.Int64N(int64(window.journal.Position()) + 1))),
					}
					a, err := window.Sync(t.Context(), q)
					window.ok(err)
					b, err := sql.Sync(t.Context(), q)
					window.ok(err)
					a.NextBatch, b.NextBatch = durable(a.NextBatch), durable(b.NextBatch)
					fast, slow := string(a.AppendJSON(nil)), string(b.AppendJSON(nil))
					if fast != slow {
						t.Fatalf("%+v\nfrom the window %s\nfrom SQL        %s", q, fast, slow)
					}
					if len(a.Rooms) > 0 {
						compared++
					}
				}
			}
			if compared < 50 {
				t.Errorf("only %d answers had something in them", compared)
			}
		})
	}
}

// durable gives the part of a token that is the same in all processes.
func durable(token string) string {
	position, _, _ := strings.Cut(token, "_")
	return position
}

// What /sync gives and what /messages gives from prev_batch on is everything
// that there is, once.
func TestPrevBatchLeavesNoGap(t *testing.T) {
	t.Parallel()
	for seed := range uint64(6) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			t.Parallel()
			h := houseOn(t, postgrestest.New(t), journal.Options{})
			y := h.history(100 + seed)
			for range 6 {
				y.happen(25)
				for range 10 {
					y.checkPrevBatch(syncstream.Query{
						UserID: y.pick(everybody...),
						Filter: fmt.Sprintf(`{"room":{"timeline":%s,"include_leave":true}}`, y.pick(timelineFilters...)),
					})
				}
			}
		})
	}
}

var timelineFilters = []string{
	`{"limit":1}`, `{"limit":3}`, `{"limit":7}`, `{"limit":100}`, `{"limit":2,"types":["m.room.message"]}`,
	`{"limit":3,"not_senders":["@alice:localhost"]}`, `{"limit":2,"contains_url":true}`, `{"limit":0}`,
}

func (y *history) checkPrevBatch(q syncstream.Query) {
	y.t.Helper()
	var f struct {
		Room struct{ Timeline rooms.EventFilter }
	}
	y.ok(json.Unmarshal([]byte(q.Filter), &f))
	a := y.sync(q)
	for _, section := range []map[string]*room{a.Rooms.Join, a.Rooms.Leave} {
		for id, r := range section {
			if _, err := y.house.rooms.Messages(y.t.Context(), q.UserID, id, rooms.Page{}); refused(err) {
				continue // a room that one was never in
			}
			var got []string
			for _, e := range y.backward(q.UserID, id, r.Timeline.PrevBatch, "", &f.Room.Timeline) {
				got = append(got, e.ID)
			}
			if older := len(got) > 0; older != r.Timeline.Limited {
				y.t.Errorf("%+v: limited is %v, but there are %d older events in %s", q, r.Timeline.Limited, len(got), id)
			}
			slices.Reverse(got)
			for _, e := range r.Timeline.Events {
				got = append(got, e.EventID)
			}
			var all []string
			upTo := a.NextBatch
			for _, e := range y.backward(q.UserID, id, upTo, "", &f.Room.Timeline) {
				all = append(all, e.ID)
			}
			slices.Reverse(all)
			if section := a.Rooms.Leave[id] != nil; section && len(all) > len(got) {
				all = all[:len(got)] // a world-readable room goes on without the user
			}
			if !slices.Equal(got, all) {
				y.t.Errorf("%+v in %s:\ngot  %v\nwant %v\n%s", q, id, got, all, a.raw)
			}
		}
	}
}
