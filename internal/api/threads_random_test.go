package api

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"homeserver/internal/matrixtest"
	"homeserver/internal/postgres/postgrestest"
)

// TestThreadsEqualAPlainModel: after any sequence of roots, replies, redactions, changes of
// memberships and of the history visibility, the threads are those of a plain model, page by
// page, in a process with a live window and in one almost without.
func TestThreadsEqualAPlainModel(t *testing.T) {
	t.Parallel()
	for seed := range uint64(3) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			h := newThreadHistory(t, rand.New(rand.NewPCG(seed, 11)), []int{0, 1}[seed%2])
			for i := range 200 {
				if h.step(); i%20 == 19 {
					h.check()
				}
				if t.Failed() {
					t.Fatalf("after %v", h.log)
				}
			}
		})
	}
}

// threadHistory is a random history of a room, with all that has been said in it, in order.
type threadHistory struct {
	t          *testing.T
	r          *rand.Rand
	users      []*matrixtest.Client // the first has made the room
	room       string
	visibility string
	membership map[string]string
	ignored    map[string]string // whom a user ignores
	said       []*threadEvent
	log        []string
}

// threadEvent is a root or a reply, with how the room was then.
type threadEvent struct {
	id, sender string
	root       *threadEvent // nil: it is one
	redacted   bool
	visibility string
	membership map[string]string // by user
	joinsLater map[string]bool   // the users who were in the room then, or joined later
}

func newThreadHistory(t *testing.T, r *rand.Rand, window int) *threadHistory {
	t.Helper()
	h := &threadHistory{t: t, r: r, visibility: "shared", membership: map[string]string{}, ignored: map[string]string{}}
	anyone := matrixtest.New(t, newAPI(t, servicesWithWindow(t, postgrestest.New(t), window)).Handler())
	for _, name := range []string{"alice", "bob", "carol"} {
		h.users = append(h.users, anyone.Register(name, "wordpass"))
	}
	h.room = h.users[0].CreateRoom(openRoom)
	h.membership[h.users[0].UserID] = "join"
	return h
}

// step does one thing.
func (h *threadHistory) step() {
	c := h.users[h.r.IntN(len(h.users))]
	if h.membership[c.UserID] != "join" {
		if h.r.IntN(3) == 0 {
			c.Join(h.room)
			h.membership[c.UserID] = "join"
			for _, e := range h.said {
				e.joinsLater[c.UserID] = true
			}
			h.note("%s joins", c.UserID)
		}
		return
	}
	switch h.r.IntN(12) {
	case 0, 1:
		h.say(c, nil)
	case 2, 3, 4, 5, 6:
		h.say(c, h.any(func(e *threadEvent) bool { return e.root == nil }))
	case 7, 8:
		h.redact(c)
	case 9:
		h.visibility = []string{"shared", "joined", "invited"}[h.r.IntN(3)]
		h.note("the visibility is %s", h.visibility)
		h.users[0].SetState(h.room, "m.room.history_visibility", "", map[string]any{"history_visibility": h.visibility})
	case 10:
		if c != h.users[0] {
			change(c, h.room, "leave", nil).OK()
			h.membership[c.UserID] = "leave"
			h.note("%s leaves", c.UserID)
		}
	case 11:
		h.ignore(c)
	}
}

func (h *threadHistory) note(format string, args ...any) {
	h.log = append(h.log, fmt.Sprintf(format, args...))
}

// any returns one of the events that fit; nil: there is none.
func (h *threadHistory) any(fits func(*threadEvent) bool) *threadEvent {
	var list []*threadEvent
	for _, e := range h.said {
		if fits(e) {
			list = append(list, e)
		}
	}
	if len(list) == 0 {
		return nil
	}
	return list[h.r.IntN(len(list))]
}

// say sends a root, or a reply in the thread of one.
func (h *threadHistory) say(c *matrixtest.Client, root *threadEvent) {
	e := &threadEvent{sender: c.UserID, root: root, visibility: h.visibility, membership: map[string]string{}, joinsLater: map[string]bool{}}
	for user, membership := range h.membership {
		e.membership[user], e.joinsLater[user] = membership, membership == "join"
	}
	if root == nil {
		e.id = c.SendText(h.room, "root")
		h.note("%s says %s", c.UserID, e.id)
	} else {
		e.id = sendRelated(c, h.room, "m.thread", root.id, "reply")
		h.note("%s replies to %s with %s", c.UserID, root.id, e.id)
	}
	h.said = append(h.said, e)
}

// redact redacts one of the user's own events, or any if it is alice.
func (h *threadHistory) redact(c *matrixtest.Client) {
	e := h.any(func(e *threadEvent) bool {
		return !e.redacted && e.isSeenBy(c.UserID) && (c == h.users[0] || e.sender == c.UserID)
	})
	if e == nil {
		return
	}
	c.Do("PUT", matrixtest.Path("rooms", h.room, "redact", e.id, fmt.Sprint("t", len(h.log))), `{}`).OK()
	e.redacted = true
	h.note("%s redacts %s", c.UserID, e.id)
}

// ignore sets whom a user ignores: one other user, or nobody.
func (h *threadHistory) ignore(c *matrixtest.Client) {
	list := map[string]any{}
	if h.ignored[c.UserID] = h.users[h.r.IntN(len(h.users))].UserID; h.ignored[c.UserID] != c.UserID {
		list[h.ignored[c.UserID]] = map[string]any{}
	}
	c.Do("PUT", dataPath(c.UserID, "", "m.ignored_user_list"), map[string]any{"ignored_users": list}).OK()
	h.note("%s ignores %v", c.UserID, list)
}

// isSeenBy reports whether a user may see an event.
func (e *threadEvent) isSeenBy(user string) bool {
	return e.membership[user] == "join" || e.visibility == "shared" && e.joinsLater[user]
}

// threads lists the roots of threads that a user sees, the one with the latest reply first.
func (h *threadHistory) threads(user string, participated bool) []string {
	roots, heard, takesPart := []string{}, map[string]bool{}, map[string]bool{}
	for _, e := range h.said {
		if e.root == nil || e.redacted || !e.root.isSeenBy(user) || !e.isSeenBy(user) {
			continue
		}
		id := e.root.id
		roots = slices.Insert(slices.DeleteFunc(roots, func(other string) bool { return other == id }), 0, id)
		heard[id] = heard[id] || e.sender == user || e.sender != h.ignored[user]
		takesPart[id] = takesPart[id] || e.sender == user || e.root.sender == user
	}
	return slices.DeleteFunc(roots, func(id string) bool { return !heard[id] || participated && !takesPart[id] })
}

// check compares what all users see.
func (h *threadHistory) check() {
	h.t.Helper()
	for _, c := range h.users {
		if h.membership[c.UserID] == "" {
			c.Do("GET", threadsPath(h.room), nil).Refused(403, "M_FORBIDDEN")
			continue
		}
		for _, include := range []string{"all", "participated"} {
			for _, limit := range []string{"2", "7", "100"} {
				want := h.threads(c.UserID, include == "participated")
				got := append([]string{}, threadIDs(c, h.room, "include", include, "limit", limit)...)
				if diff := cmp.Diff(want, got); diff != "" {
					h.t.Errorf("%s sees, of %s by pages of %s (-want +got):\n%s", c.UserID, include, limit, diff)
				}
			}
		}
	}
}
