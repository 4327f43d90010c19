package push

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"homeserver/internal/journal"
	"homeserver/internal/postgres/postgrestest"
)

// main is so many unread in the main timeline, so many of them highlighted.
func mainTimeline(notifications, highlights int) Unread {
	return Unread{Main: Count{notifications, highlights}}
}

func TestCountsOfARoom(t *testing.T) {
	h := newHouse(t)
	room := h.room(bob)
	h.wantUnread(bob, room, Unread{})
	h.say(alice, room, "one")
	h.mention(alice, room, bob)
	h.send(alice, room, "m.room.message", `{"msgtype":"m.notice","body":"no sound"}`)
	h.send(alice, room, "m.reaction", `{}`)
	h.wantUnread(bob, room, mainTimeline(2, 1))
	h.wantUnread(alice, room, Unread{})
	h.say(alice, room, "three")
	h.wantUnread(bob, room, mainTimeline(3, 1))
	h.say(bob, room, "my own word clears")
	h.wantUnread(bob, room, Unread{})
	h.wantUnread(alice, room, mainTimeline(1, 0))
}

func TestCountsBeginWithJoining(t *testing.T) {
	h := newHouse(t)
	room := h.room()
	h.say(alice, room, "before")
	h.ok(h.rooms.Invite(t.Context(), alice, room, bob, ""))
	h.say(alice, room, "while invited")
	h.ok(h.rooms.Join(t.Context(), bob, room, ""))
	h.wantUnread(bob, room, Unread{})
	h.say(alice, room, "after")
	h.wantUnread(bob, room, mainTimeline(1, 0))
	// Another name is no word of bob's.
	_, err := h.rooms.SetState(t.Context(), asRequest(bob, room), "m.room.member", bob,
		json.RawMessage(`{"membership":"join","displayname":"Bob B."}`))
	h.ok(err)
	h.wantUnread(bob, room, mainTimeline(1, 0))
	h.ok(h.rooms.Leave(t.Context(), bob, room, ""))
	h.say(alice, room, "while away")
	h.ok(h.rooms.Join(t.Context(), bob, room, ""))
	h.wantUnread(bob, room, Unread{})
}

func TestReceiptsClear(t *testing.T) {
	h := newHouse(t)
	room := h.room(bob)
	var at []journal.Position
	for i := range 4 {
		at = append(at, h.event(alice, room, h.say(alice, room, fmt.Sprint(i))).Position)
	}
	h.wantUnread(bob, room, mainTimeline(4, 0))
	h.mark(bob, room, func(m *ReadMarks) { m.Unthreaded = at[1] })
	h.wantUnread(bob, room, mainTimeline(2, 0))
	h.mark(bob, room, func(m *ReadMarks) { m.Main = at[2] })
	h.wantUnread(bob, room, mainTimeline(1, 0))
	h.mark(bob, room, func(m *ReadMarks) { m.Unthreaded = at[3] })
	h.wantUnread(bob, room, Unread{})
	h.say(alice, room, "new")
	h.wantUnread(bob, room, mainTimeline(1, 0))
}

func TestCountsOfThreads(t *testing.T) {
	h := newHouse(t)
	room := h.room(bob)
	first, second := h.say(alice, room, "first root"), h.say(alice, room, "second root")
	h.inThread(alice, room, first)
	reply := h.inThread(alice, room, first)
	h.inThread(alice, room, second)
	// What is related to the root is in the main timeline, what is related to
	// something in a thread is in it, over three steps and no more.
	related := func(to string) string {
		return h.send(alice, room, "m.room.message", `{"body":"x","m.relates_to":{"rel_type":"m.reference","event_id":"`+to+`"}}`)
	}
	related(first)
	fourth := related(related(related(related(reply))))
	threads := map[string]Count{first: {5, 0}, second: {1, 0}}
	h.wantUnread(bob, room, Unread{Main: Count{4, 0}, Threads: threads})
	u := h.unread(bob, room)
	if total := u.Total(); total != (Count{10, 0}) {
		t.Errorf("total %v", total)
	}

	upTo := h.event(alice, room, fourth).Position
	h.mark(bob, room, func(m *ReadMarks) { m.Main = upTo })
	h.wantUnread(bob, room, Unread{Threads: threads})
	h.mark(bob, room, func(m *ReadMarks) { m.Threads = map[string]journal.Position{first: upTo} })
	h.wantUnread(bob, room, Unread{Threads: map[string]Count{second: {1, 0}}})
	h.inThread(alice, room, first)
	h.say(alice, room, "main")
	h.wantUnread(bob, room, Unread{Main: Count{1, 0}, Threads: map[string]Count{first: {1, 0}, second: {1, 0}}})
	// One's own word is for its thread.
	h.inThread(bob, room, second)
	h.wantUnread(bob, room, Unread{Main: Count{1, 0}, Threads: map[string]Count{first: {1, 0}}})
	h.say(bob, room, "main")
	h.wantUnread(bob, room, Unread{Threads: map[string]Count{first: {1, 0}}})
	h.mark(bob, room, func(m *ReadMarks) { m.Unthreaded = h.journal.Position() })
	h.wantUnread(bob, room, Unread{})
}

func TestRelationToAnotherRoomIsNotFollowed(t *testing.T) {
	h := newHouse(t)
	room, other := h.room(bob), h.room()
	elsewhere := h.inThread(alice, other, h.say(alice, other, "root"))
	h.send(alice, room, "m.room.message", `{"body":"x","m.relates_to":{"rel_type":"m.reference","event_id":"`+elsewhere+`"}}`)
	h.send(alice, room, "m.room.message", `{"body":"x","m.relates_to":{"rel_type":"m.reference","event_id":"$nothing"}}`)
	h.wantUnread(bob, room, mainTimeline(2, 0))
}

// TestOwnWordWithAMalformedRelationIsOfTheMainTimeline: it clears the main timeline,
// whether the count is kept or worked out anew.
func TestOwnWordWithAMalformedRelationIsOfTheMainTimeline(t *testing.T) {
	h := newHouse(t)
	room := h.room(bob)
	root := h.say(alice, room, "root")
	for _, relation := range []string{`{"rel_type":"m.thread"}`, `{"REL_TYPE":"m.thread","event_id":"` + root + `"}`} {
		h.inThread(alice, room, root)
		h.say(alice, room, "main")
		h.send(bob, room, "m.room.message", `{"body":"x","m.relates_to":`+relation+`}`)
		h.wantUnread(bob, room, Unread{Threads: map[string]Count{root: {1, 0}}})
		h.inThread(bob, room, root)
		h.wantUnread(bob, room, Unread{})
	}
}

func TestRedactedEventsDoNotCount(t *testing.T) {
	h := newHouse(t)
	room := h.room(bob)
	taken := h.mention(alice, room, bob)
	h.say(alice, room, "stays")
	h.wantUnread(bob, room, mainTimeline(2, 1))
	_, err := h.rooms.Redact(t.Context(), asRequest(alice, room), taken, "")
	h.ok(err)
	h.wantUnread(bob, room, mainTimeline(1, 0))
}

func TestIgnoredUsersDoNotCount(t *testing.T) {
	h := newHouse(t)
	room := h.room(bob, carol)
	h.say(alice, room, "a")
	h.say(carol, room, "c")
	h.wantUnread(bob, room, mainTimeline(2, 0))
	h.read.ignored[bob] = map[string]bool{carol: true}
	h.wantUnread(bob, room, mainTimeline(1, 0))
	h.say(carol, room, "c")
	h.wantUnread(bob, room, mainTimeline(1, 0))
	delete(h.read.ignored, bob)
	h.wantUnread(bob, room, mainTimeline(3, 0))
}

func TestChangedRulesCountAnew(t *testing.T) {
	h := newHouse(t)
	room := h.room(bob)
	h.say(alice, room, "one")
	h.wantUnread(bob, room, mainTimeline(1, 0))
	h.ok(h.put(bob, Room, room, quiet, Place{}))
	h.wantUnread(bob, room, Unread{})
	h.ok(h.SetActions(t.Context(), bob, Room, room, rawList(highlighted)))
	h.wantUnread(bob, room, mainTimeline(1, 1))
}

// TestRulesSeeTheRoom checks what rules ask of rooms, as it changes.
func TestRulesSeeTheRoom(t *testing.T) {
	h := newHouse(t)
	room := h.room(bob)
	only := func(condition string) {
		t.Helper()
		h.ok(h.put(bob, Override, "only", `{"conditions":[`+condition+`],"actions":["notify",{"set_tweak":"highlight"}]}`, Place{}))
	}
	clear := func() { h.mark(bob, room, func(m *ReadMarks) { m.Unthreaded = h.journal.Position() }) }

	only(`{"kind":"room_member_count","is":"2"}`)
	h.say(alice, room, "among two")
	h.wantUnread(bob, room, mainTimeline(1, 1))
	clear()
	h.ok(h.rooms.Join(t.Context(), carol, room, ""))
	h.say(alice, room, "among three")
	h.wantUnread(bob, room, mainTimeline(1, 0))
	clear()

	only(`{"kind":"sender_notification_permission","key":"room"}`)
	h.say(alice, room, "with power")
	h.say(carol, room, "without")
	h.wantUnread(bob, room, mainTimeline(2, 1))
	clear()
	_, err := h.rooms.SetState(t.Context(), asRequest(alice, room), "m.room.power_levels", "",
		json.RawMessage(`{"users":{"@alice:localhost":100},"notifications":{"room":0}}`))
	h.ok(err)
	clear()
	h.say(carol, room, "with power")
	h.wantUnread(bob, room, mainTimeline(1, 1))
	clear()

	only(`{"kind":"contains_display_name"}`)
	h.ok(h.SetEnabled(t.Context(), bob, Content, ".m.rule.contains_user_name", false))
	_, err = h.rooms.SetState(t.Context(), asRequest(bob, room), "m.room.member", bob,
		json.RawMessage(`{"membership":"join","displayname":"Robert"}`))
	h.ok(err)
	h.say(alice, room, "bob!")
	h.say(alice, room, "robert!")
	h.wantUnread(bob, room, mainTimeline(2, 1))
}

func TestCountsAreAsOfAPosition(t *testing.T) {
	h := newHouse(t)
	room := h.room(bob)
	nid := h.nid(room)
	first := h.event(alice, room, h.say(alice, room, "one")).Position
	h.say(alice, room, "two")
	for _, upTo := range []journal.Position{first, h.journal.Position(), first, h.journal.Position() + 100} {
		want := mainTimeline(2, 0)
		if upTo == first {
			want = mainTimeline(1, 0)
		}
		counts, err := h.Counts(t.Context(), bob, []journal.RoomNID{nid}, upTo)
		h.ok(err)
		if diff := cmp.Diff(want, counts[nid]); diff != "" {
			t.Errorf("up to %d (-want +got):\n%s", upTo, diff)
		}
	}
	h.say(alice, room, "three")
	h.wantUnread(bob, room, mainTimeline(3, 0))
}

// TestCountsInTheUsualCaseTakeNoSQL counts the connections that are asked for.
func TestCountsInTheUsualCaseTakeNoSQL(t *testing.T) {
	t.Parallel()
	h := houseOn(t, postgrestest.New(t), journal.Options{Watch: time.Hour})
	room := h.room(bob)
	nid := h.nid(room)
	h.say(alice, room, "one")
	h.unreadBy(h.Service, bob, nid)
	h.say(alice, room, "two")
	h.inThread(alice, room, h.mention(alice, room, bob))
	before := h.pool.Stat().AcquireCount()
	got := h.unreadBy(h.Service, bob, nid)
	if taken := h.pool.Stat().AcquireCount() - before; taken > 0 {
		t.Errorf("%d connections were taken", taken)
	}
	if total := got.Total(); total != (Count{4, 1}) {
		t.Errorf("got %+v", got)
	}
}

func TestCountsOfNoRooms(t *testing.T) {
	h := newHouse(t)
	counts, err := h.Counts(t.Context(), bob, nil, h.journal.Position())
	h.ok(err)
	if len(counts) != 0 {
		t.Errorf("got %v", counts)
	}
}

// TestRandomHistories compares what is kept in memory, by processes with long and
// short live windows, with what is counted anew.
func TestRandomHistories(t *testing.T) {
	for seed := range uint64(4) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			h := houseOn(t, postgrestest.New(t), journal.Options{WindowBytes: []int{0, 20_000}[seed%2]})
			randomHistory(h, rand.New(rand.NewPCG(seed, 1)))
		})
	}
}

func randomHistory(h *house, r *rand.Rand) {
	room := h.room(bob, carol)
	users := []string{alice, bob, carol}
	said := []string{h.say(alice, room, "root")}
	for range 120 {
		user, target := users[r.IntN(3)], said[r.IntN(len(said))]
		switch r.IntN(10) {
		case 0, 1, 2:
			said = append(said, h.say(user, room, "text"))
		case 3:
			said = append(said, h.mention(user, room, users...))
		case 4, 5:
			h.inThread(user, room, said[0])
		case 6:
			content := `{"body":"x","m.relates_to":{"rel_type":"m.reference","event_id":"` + target + `"}}`
			said = append(said, h.send(user, room, "m.room.message", content))
		case 7:
			_, err := h.rooms.Redact(h.t.Context(), asRequest(alice, room), target, "")
			h.ok(err)
		case 8:
			at := h.journal.Position() - journal.Position(r.IntN(5))
			which := r.IntN(3)
			h.mark(user, room, func(m *ReadMarks) {
				switch which {
				case 0:
					m.Unthreaded = max(m.Unthreaded, at)
				case 1:
					m.Main = max(m.Main, at)
				case 2:
					m.Threads = map[string]journal.Position{said[0]: max(m.Threads[said[0]], at)}
				}
			})
		case 9:
			h.unread(user, room)
		}
	}
	for _, user := range users {
		h.unread(user, room)
	}
}

func TestCountsAfterAReset(t *testing.T) {
	t.Parallel()
	pool := postgrestest.New(t)
	here, there := houseOn(t, pool, journal.Options{}), houseOn(t, pool, journal.Options{})
	room := here.room(bob)
	here.wantUnread(bob, room, Unread{})
	// Another process writes: rules, members and messages.
	there.ok(there.rooms.Join(t.Context(), carol, room, ""))
	there.say(alice, room, "one")
	there.mention(alice, room, bob)
	there.ok(there.SetActions(t.Context(), bob, Underride, ".m.rule.message", rawList(highlighted)))
	here.ok(here.journal.CatchUp(t.Context(), there.journal.Position()))
	here.wantUnread(bob, room, mainTimeline(2, 2))
}
