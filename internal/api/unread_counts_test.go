package api

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"testing"

	"github.com/google/go-cmp/cmp"

	"homeserver/internal/matrixtest"
	"homeserver/internal/postgres/postgrestest"
	"homeserver/internal/server"
)

// TestUnreadCountsEqualARecount: after any sequence of messages, receipts, redactions and
// what else changes them, the counts in /sync are those of a plain model, in a process
// with a live window, in one almost without, and in one that has just started.
func TestUnreadCountsEqualARecount(t *testing.T) {
	t.Parallel()
	for seed := range uint64(3) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			newUnreadHistory(t, rand.New(rand.NewPCG(seed, 7))).run(150)
		})
	}
}

// unreadHistory is a random history of three users in two rooms.
type unreadHistory struct {
	t     *testing.T
	r     *rand.Rand
	model *unreadModel
	// Two processes on one database.
	processes []server.APIOptions
	clients   []map[string]*matrixtest.Client // by process and name
	fresh     func() map[string]*matrixtest.Client
	users     []string
	rooms     []string
	joined    map[string]map[string]bool // by room and user ID
	views     map[*matrixtest.Client]*unreadView
	log       []string
}

// unreadView is the state of a client that goes on from one answer of /sync to the next.
type unreadView struct {
	since  string
	counts map[string]map[string]modelCount // by room and thread
	// stale has the rooms whose counts may be those by rules, or ignored users, of before.
	stale map[string]bool
}

func newUnreadHistory(t *testing.T, r *rand.Rand) *unreadHistory {
	h := &unreadHistory{t: t, r: r, users: []string{"alice", "bob", "carol"}, joined: map[string]map[string]bool{}, views: map[*matrixtest.Client]*unreadView{}}
	pool := postgrestest.New(t)
	var accounts map[string]*matrixtest.Client
	on := func(window int) map[string]*matrixtest.Client {
		services := servicesWithWindow(t, pool, window)
		h.processes = append(h.processes, services)
		c := matrixtest.New(t, newAPI(t, services).Handler())
		all := map[string]*matrixtest.Client{}
		for _, name := range h.users {
			if accounts == nil {
				all[name] = c.Register(name, "wordpass")
				continue
			}
			in := *c
			in.UserID, in.DeviceID, in.Token = accounts[name].UserID, accounts[name].DeviceID, accounts[name].Token
			all[name] = &in
		}
		return all
	}
	accounts = on(0)
	h.clients = []map[string]*matrixtest.Client{accounts, on(1)}
	h.fresh = func() map[string]*matrixtest.Client { return on(0) }
	var ids []string
	for _, name := range h.users {
		ids = append(ids, accounts[name].UserID)
	}
	h.model = newUnreadModel(ids...)
	h.start(accounts)
	return h
}

// start makes the rooms.
func (h *unreadHistory) start(by map[string]*matrixtest.Client) {
	for range 2 {
		room := by["alice"].CreateRoom(map[string]any{"preset": "public_chat"})
		h.rooms = append(h.rooms, room)
		h.joined[room] = map[string]bool{}
		for _, name := range h.users {
			if name != "alice" {
				by[name].Join(room)
			}
			h.joins(room, by[name].UserID)
		}
	}
}

func (h *unreadHistory) joins(room, user string) {
	h.joined[room][user] = true
	h.model.add(room, &modelEvent{id: "join", sender: user, typ: "m.room.member", begins: user})
}

// run takes steps, and looks at the counts again and again.
func (h *unreadHistory) run(steps int) {
	for i := range steps {
		h.step()
		if i%10 == 9 {
			h.check("", h.clients...)
		}
		if h.t.Failed() {
			h.t.Fatalf("after %v\n%v", h.log, h.model)
		}
	}
	h.check("in a new process", h.fresh())
	if h.t.Failed() {
		h.t.Fatalf("after %v\n%v", h.log, h.model)
	}
}

// step does one thing, as one of the users who are in one of the rooms, at one of the
// processes.
func (h *unreadHistory) step() {
	at := h.r.IntN(len(h.clients))
	h.catchUp(at)
	c := h.clients[at][h.users[h.r.IntN(len(h.users))]]
	room := h.rooms[h.r.IntN(len(h.rooms))]
	if !h.joined[room][c.UserID] {
		c.Join(room)
		h.joins(room, c.UserID)
		h.note("%s joins", c.UserID)
		return
	}
	switch h.r.IntN(14) {
	case 0, 1, 2, 3, 4, 5:
		h.say(c, room)
	case 6:
		h.redact(c, room)
	case 7, 8, 9:
		h.read(c, room)
	case 10:
		h.leave(c, room)
	case 11:
		h.ignore(c)
	default:
		h.changeRules(c, room)
	}
}

func (h *unreadHistory) note(format string, args ...any) {
	h.log = append(h.log, fmt.Sprintf(format, args...))
}

// catchUp waits until a process has seen the writes of the others.
func (h *unreadHistory) catchUp(at int) {
	h.t.Helper()
	for _, other := range h.processes {
		if err := h.processes[at].Journal.CatchUp(h.t.Context(), other.Journal.Position()); err != nil {
			h.t.Fatal(err)
		}
	}
}

// target picks an event of a room that is no membership; nil: there is none.
func (h *unreadHistory) target(room string, fits func(*modelEvent) bool) *modelEvent {
	var list []*modelEvent
	for _, e := range h.model.rooms[room] {
		if e.typ != "m.room.member" && e.typ != "m.room.redaction" && fits(e) {
			list = append(list, e)
		}
	}
	if len(list) == 0 {
		return nil
	}
	return list[h.r.IntN(len(list))]
}

func anyEvent(*modelEvent) bool { return true }

// say sends a message of one of many kinds, in a thread or not.
func (h *unreadHistory) say(c *matrixtest.Client, room string) {
	e := &modelEvent{sender: c.UserID, typ: "m.room.message", body: "hello"}
	content := map[string]any{"msgtype": "m.text"}
	h.fill(e, content)
	h.relate(room, e, content)
	e.id = c.SendEvent(room, e.typ, content)
	h.model.add(room, e)
	h.note("%s says %s", c.UserID, e.id)
}

// fill chooses the text of a message, and the users whom it mentions.
func (h *unreadHistory) fill(e *modelEvent, content map[string]any) {
	switch h.r.IntN(8) {
	case 0:
		e.body = []string{"hello bob", "hello carol", "some cake", "bobby"}[h.r.IntN(4)]
	case 1:
		e.mentions = []string{h.clients[0][h.users[h.r.IntN(3)]].UserID}
		content["m.mentions"] = map[string]any{"user_ids": e.mentions}
	case 2:
		e.mentionsRoom = true
		content["m.mentions"] = map[string]any{"room": true}
	case 3:
		e.notice, content["msgtype"] = true, "m.notice"
	case 4:
		e.typ, e.body = "m.room.encrypted", ""
		maps.Copy(content, map[string]any{"algorithm": "m.megolm.v1.aes-sha2", "ciphertext": "x"})
		delete(content, "msgtype")
	}
	if e.body != "" {
		content["body"] = e.body
	}
}

// relate puts a message into a thread, or makes it an edit, a reaction or something else
// that is related to another, which may be related to others itself.
func (h *unreadHistory) relate(room string, e *modelEvent, content map[string]any) {
	relType := []string{"", "", "m.thread", "m.thread", "m.reference", "m.replace"}[h.r.IntN(6)]
	to := h.target(room, func(to *modelEvent) bool { return relType != "m.thread" || to.parent == nil })
	if relType == "" || to == nil {
		return
	}
	e.parent = to
	switch relType {
	case "m.thread":
		e.thread = to.id
	case "m.replace":
		e.edit, e.thread = true, threadOf(to)
	default:
		e.typ, e.thread = "m.reaction", threadOf(to)
	}
	content["m.relates_to"] = map[string]any{"rel_type": relType, "event_id": to.id}
}

// redact redacts any event, if it is alice, or one of one's own.
func (h *unreadHistory) redact(c *matrixtest.Client, room string) {
	e := h.target(room, func(e *modelEvent) bool {
		return !e.redacted && (e.sender == c.UserID || c.UserID == h.clients[0]["alice"].UserID)
	})
	if e == nil {
		return
	}
	id := c.Do("PUT", matrixtest.Path("rooms", room, "redact", e.id, fmt.Sprint("t", len(h.log))), `{}`).OK().String("event_id")
	e.redacted = true
	h.model.add(room, &modelEvent{id: id, sender: c.UserID, typ: "m.room.redaction"})
	h.note("%s redacts %s", c.UserID, e.id)
}

// read sends a receipt, public or private, for the room or a thread.
func (h *unreadHistory) read(c *matrixtest.Client, room string) {
	e := h.target(room, anyEvent)
	if e == nil {
		return
	}
	typ := []string{"m.read", "m.read.private"}[h.r.IntN(2)]
	thread, body := "", `{}`
	if h.r.IntN(3) > 0 {
		threads := e.mayBeReadAs()
		thread = threads[h.r.IntN(len(threads))]
		body = `{"thread_id":"` + thread + `"}`
	}
	c.Do("POST", receiptPath(room, typ, e.id), body).OK()
	h.model.receipt(c.UserID, room, thread, e.id)
	h.note("%s reads %s of %q", c.UserID, e.id, thread)
}

// leave leaves the room, or is kicked.
func (h *unreadHistory) leave(c *matrixtest.Client, room string) {
	alice := h.clients[0]["alice"].UserID
	if c.UserID == alice {
		return // she keeps the power
	}
	c.Do("POST", matrixtest.Path("rooms", room, "leave"), `{}`).OK()
	delete(h.joined[room], c.UserID)
	h.forget(c.UserID, room)
	h.note("%s leaves", c.UserID)
}

// forget drops the state of a user's clients of a room.
func (h *unreadHistory) forget(user, room string) {
	for c, view := range h.views {
		if c.UserID == user {
			delete(view.counts, room)
		}
	}
}

// expire notes that a user's rules, or ignored users, are others: the counts by these come
// with what is next new in a room.
func (h *unreadHistory) expire(user string) {
	for c, view := range h.views {
		if c.UserID == user {
			for _, room := range h.rooms {
				view.stale[room] = true
			}
		}
	}
}

// ignore ignores another user, or none any more.
func (h *unreadHistory) ignore(c *matrixtest.Client) {
	u := h.model.users[c.UserID]
	other := h.clients[0][h.users[h.r.IntN(3)]].UserID
	list := map[string]any{}
	clear(u.ignored)
	if other != c.UserID {
		u.ignored[other], list[other] = true, map[string]any{}
	}
	c.Do("PUT", dataPath(c.UserID, "", "m.ignored_user_list"), map[string]any{"ignored_users": list}).OK()
	h.expire(c.UserID)
	h.note("%s ignores %v", c.UserID, list)
}

// changeRules changes a push rule.
func (h *unreadHistory) changeRules(c *matrixtest.Client, room string) {
	const silent, loud = `{"actions":[]}`, `{"actions":["notify",{"set_tweak":"highlight"}]}`
	u := h.model.users[c.UserID]
	sender := h.clients[0][h.users[h.r.IntN(3)]].UserID
	put := func(kind, id, body string) { c.Do("PUT", rulePath(kind, id), body).OK() }
	switch h.r.IntN(6) {
	case 0:
		put("room", room, silent)
		u.muteRooms[room] = true
	case 1:
		if u.muteRooms[room] {
			c.Do("DELETE", rulePath("room", room), nil).OK()
			delete(u.muteRooms, room)
		}
	case 2:
		put("sender", sender, silent)
		u.muteSenders[sender] = true
		delete(u.loudSenders, sender)
	case 3:
		put("sender", sender, loud)
		u.loudSenders[sender] = true
		delete(u.muteSenders, sender)
	case 4:
		put("content", "word", `{"pattern":"cake","actions":["notify",{"set_tweak":"highlight"}]}`)
		u.word = "cake"
	case 5:
		u.off = h.r.IntN(3) == 0
		c.Do("PUT", rulePath("override", ".m.rule.master", "enabled"), map[string]any{"enabled": u.off}).OK()
	}
	h.expire(c.UserID)
	h.note("%s changes rules", c.UserID)
}

// check compares the counts of all users in all rooms: those of an initial sync, with and
// without threads, and those of a client that goes on.
func (h *unreadHistory) check(where string, processes ...map[string]*matrixtest.Client) {
	h.t.Helper()
	for at := range h.processes {
		h.catchUp(at)
	}
	for at, clients := range processes {
		for _, c := range clients {
			plain, threaded := c.Sync(""), c.Sync("", "filter", threadFilter)
			view := h.goOn(c)
			for _, room := range h.rooms {
				if !h.joined[room][c.UserID] {
					continue
				}
				want := h.model.counts(c.UserID, room)
				h.compare(fmt.Sprintf("process %d %s: %s in %s", at, where, c.UserID, room), want, countsAt(threaded, room))
				h.compare(fmt.Sprintf("process %d %s: %s in %s, without threads", at, where, c.UserID, room),
					map[string]modelCount{"": total(want)}, countsAt(plain, room))
				if !view.stale[room] {
					h.compare(fmt.Sprintf("process %d %s: %s in %s, going on", at, where, c.UserID, room), want, view.counts[room])
				}
			}
		}
	}
}

func (h *unreadHistory) compare(what string, want, got map[string]modelCount) {
	h.t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		h.t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

const threadFilter = `{"room":{"timeline":{"unread_thread_notifications":true}}}`

// goOn brings the view of a client up to date.
func (h *unreadHistory) goOn(c *matrixtest.Client) *unreadView {
	h.t.Helper()
	view := h.views[c]
	if view == nil {
		view = &unreadView{counts: map[string]map[string]modelCount{}, stale: map[string]bool{}}
		h.views[c] = view
	}
	answer := c.Sync(view.since, "filter", threadFilter)
	for _, room := range h.rooms {
		if answer.At("rooms", "join", room) != nil {
			view.counts[room] = countsAt(answer, room)
			delete(view.stale, room)
		}
	}
	view.since = answer.NextBatch()
	return view
}

// countsAt reads the counts of a room by threads from an answer of /sync.
func countsAt(r *matrixtest.Response, room string) map[string]modelCount {
	counts := map[string]modelCount{"": countAt(r, room, "unread_notifications")}
	threads, _ := r.At("rooms", "join", room, "unread_thread_notifications").(map[string]any)
	for root := range threads {
		counts[root] = countAt(r, room, "unread_thread_notifications", root)
	}
	return counts
}

// countAt reads a count from an answer of /sync.
func countAt(r *matrixtest.Response, room string, place ...any) modelCount {
	number := func(name string) int {
		n, _ := r.At(append(append([]any{"rooms", "join", room}, place...), name)...).(float64)
		return int(n)
	}
	return modelCount{number("notification_count"), number("highlight_count")}
}
