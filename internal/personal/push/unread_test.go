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
	"homeserver/internal/rooms/roomstest"
	"homeserver/internal/rooms/timeline"
)

// main is so many unread in the main timeline, so many of them highlighted.
func mainTimeline(notifications, highlights int) Unread {
	return Unread{Main: Count{notifications, highlights}}
}

func TestCountsOfARoom(t *testing.T) {
	h := newEnv(t)
	room := h.Public(bob)
	h.wantUnread(bob, room, Unread{})
	h.Send(alice, room, "one")
	h.mention(alice, room, bob)
	h.SendEvent(alice, room, "m.room.message", `{"msgtype":"m.notice","body":"no sound"}`)
	h.SendEvent(alice, room, "m.reaction", `{}`)
	h.wantUnread(bob, room, mainTimeline(2, 1))
	h.wantUnread(alice, room, Unread{})
	h.Send(alice, room, "three")
	h.wantUnread(bob, room, mainTimeline(3, 1))
	h.Send(bob, room, "my own word clears")
	h.wantUnread(bob, room, Unread{})
	h.wantUnread(alice, room, mainTimeline(1, 0))
}

// TestPollsNotify: the question and the end of a poll do, and no vote.
func TestPollsNotify(t *testing.T) {
	h := newEnv(t)
	room := h.Public(bob, carol)
	h.SendEvent(alice, room, "org.matrix.msc3381.poll.start", `{}`)
	h.SendEvent(carol, room, "org.matrix.msc3381.poll.response", `{}`)
	h.wantUnread(bob, room, mainTimeline(1, 0))
	h.SendEvent(alice, room, "org.matrix.msc3381.poll.end", `{}`)
	h.wantUnread(bob, room, mainTimeline(2, 0))
}

func TestCountsBeginWithJoining(t *testing.T) {
	h := newEnv(t)
	room := h.Public()
	h.Send(alice, room, "before")
	h.OK(h.Rooms.Invite(t.Context(), alice, room, bob, ""))
	h.Send(alice, room, "while invited")
	h.OK(h.Rooms.Join(t.Context(), bob, room, ""))
	h.wantUnread(bob, room, Unread{})
	h.Send(alice, room, "after")
	h.wantUnread(bob, room, mainTimeline(1, 0))
	// Another name is no word of bob's.
	_, err := h.Rooms.SetState(t.Context(), roomstest.As(bob, room), "m.room.member", bob,
		json.RawMessage(`{"membership":"join","displayname":"Bob B."}`))
	h.OK(err)
	h.wantUnread(bob, room, mainTimeline(1, 0))
	h.OK(h.Rooms.Leave(t.Context(), bob, room, ""))
	h.Send(alice, room, "while away")
	h.OK(h.Rooms.Join(t.Context(), bob, room, ""))
	h.wantUnread(bob, room, Unread{})
}

func TestReceiptsClear(t *testing.T) {
	h := newEnv(t)
	room := h.Public(bob)
	var at []timeline.Place
	for i := range 4 {
		at = append(at, h.Event(alice, room, h.Send(alice, room, fmt.Sprint(i))).Place)
	}
	h.wantUnread(bob, room, mainTimeline(4, 0))
	h.mark(bob, room, func(m *timeline.ReadMarks) { m.Unthreaded = at[1] })
	h.wantUnread(bob, room, mainTimeline(2, 0))
	h.mark(bob, room, func(m *timeline.ReadMarks) { m.Main = at[2] })
	h.wantUnread(bob, room, mainTimeline(1, 0))
	h.mark(bob, room, func(m *timeline.ReadMarks) { m.Unthreaded = at[3] })
	h.wantUnread(bob, room, Unread{})
	h.Send(alice, room, "new")
	h.wantUnread(bob, room, mainTimeline(1, 0))
}

func TestCountsOfThreads(t *testing.T) {
	h := newEnv(t)
	room := h.Public(bob)
	first, second := h.Send(alice, room, "first root"), h.Send(alice, room, "second root")
	h.inThread(alice, room, first)
	reply := h.inThread(alice, room, first)
	h.inThread(alice, room, second)
	// What is related to the root is in the main timeline, what is related to
	// something in a thread is in it, over three steps and no more.
	related := func(to string) string {
		return h.SendEvent(alice, room, "m.room.message", `{"body":"x","m.relates_to":{"rel_type":"m.reference","event_id":"`+to+`"}}`)
	}
	related(first)
	fourth := related(related(related(related(reply))))
	threads := map[string]Count{first: {5, 0}, second: {1, 0}}
	h.wantUnread(bob, room, Unread{Main: Count{4, 0}, Threads: threads})
	u := h.unread(bob, room)
	if total := u.Total(); total != (Count{10, 0}) {
		t.Errorf("total %v", total)
	}

	upTo := h.Event(alice, room, fourth).Place
	h.mark(bob, room, func(m *timeline.ReadMarks) { m.Main = upTo })
	h.wantUnread(bob, room, Unread{Threads: threads})
	h.mark(bob, room, func(m *timeline.ReadMarks) { m.Threads = map[string]timeline.Place{first: upTo} })
	h.wantUnread(bob, room, Unread{Threads: map[string]Count{second: {1, 0}}})
	h.inThread(alice, room, first)
	h.Send(alice, room, "main")
	h.wantUnread(bob, room, Unread{Main: Count{1, 0}, Threads: map[string]Count{first: {1, 0}, second: {1, 0}}})
	// One's own word is for its thread.
	h.inThread(bob, room, second)
	h.wantUnread(bob, room, Unread{Main: Count{1, 0}, Threads: map[string]Count{first: {1, 0}}})
	h.Send(bob, room, "main")
	h.wantUnread(bob, room, Unread{Threads: map[string]Count{first: {1, 0}}})
	h.mark(bob, room, func(m *timeline.ReadMarks) { m.Unthreaded = timeline.PlaceOf(h.Journal.Position()) })
	h.wantUnread(bob, room, Unread{})
}

func TestRelationToAnotherRoomIsNotFollowed(t *testing.T) {
	h := newEnv(t)
	room, other := h.Public(bob), h.Public()
	elsewhere := h.inThread(alice, other, h.Send(alice, other, "root"))
	h.SendEvent(alice, room, "m.room.message", `{"body":"x","m.relates_to":{"rel_type":"m.reference","event_id":"`+elsewhere+`"}}`)
	h.SendEvent(alice, room, "m.room.message", `{"body":"x","m.relates_to":{"rel_type":"m.reference","event_id":"$nothing"}}`)
	h.wantUnread(bob, room, mainTimeline(2, 0))
}

// TestOwnWordWithAMalformedRelationIsOfTheMainTimeline: it clears the main timeline,
// whether the count is kept or worked out anew.
func TestOwnWordWithAMalformedRelationIsOfTheMainTimeline(t *testing.T) {
	h := newEnv(t)
	room := h.Public(bob)
	root := h.Send(alice, room, "root")
	for _, relation := range []string{`{"rel_type":"m.thread"}`, `{"REL_TYPE":"m.thread","event_id":"` + root + `"}`} {
		h.inThread(alice, room, root)
		h.Send(alice, room, "main")
		h.SendEvent(bob, room, "m.room.message", `{"body":"x","m.relates_to":`+relation+`}`)
		h.wantUnread(bob, room, Unread{Threads: map[string]Count{root: {1, 0}}})
		h.inThread(bob, room, root)
		h.wantUnread(bob, room, Unread{})
	}
}

func TestRedactedEventsDoNotCount(t *testing.T) {
	h := newEnv(t)
	room := h.Public(bob)
	taken := h.mention(alice, room, bob)
	h.Send(alice, room, "stays")
	h.wantUnread(bob, room, mainTimeline(2, 1))
	_, err := h.Rooms.Redact(t.Context(), roomstest.As(alice, room), taken, "")
	h.OK(err)
	h.wantUnread(bob, room, mainTimeline(1, 0))
}

// TestRedactionMovesNothingBetweenThreads: not what one has read by one's own word, nor what
// was related to a redacted event, whether the count is kept or worked out anew.
func TestRedactionMovesNothingBetweenThreads(t *testing.T) {
	h := newEnv(t)
	room := h.Public(bob)
	root := h.Send(alice, room, "root")
	reply := h.inThread(alice, room, root)
	own := h.inThread(bob, room, root)
	between := h.inThread(alice, room, root)
	h.SendEvent(alice, room, "m.room.message", `{"body":"x","m.relates_to":{"rel_type":"m.reference","event_id":"`+between+`"}}`)
	h.wantUnread(bob, room, Unread{Main: Count{1, 0}, Threads: map[string]Count{root: {2, 0}}})
	for _, id := range []string{reply, own, between} {
		_, err := h.Rooms.Redact(t.Context(), roomstest.As(alice, room), id, "")
		h.OK(err)
	}
	h.wantUnread(bob, room, Unread{Main: Count{1, 0}, Threads: map[string]Count{root: {1, 0}}})
}

func TestIgnoredUsersDoNotCount(t *testing.T) {
	h := newEnv(t)
	room := h.Public(bob, carol)
	h.Send(alice, room, "a")
	h.Send(carol, room, "c")
	h.wantUnread(bob, room, mainTimeline(2, 0))
	h.read.ignored[bob] = map[string]bool{carol: true}
	h.wantUnread(bob, room, mainTimeline(1, 0))
	h.Send(carol, room, "c")
	h.wantUnread(bob, room, mainTimeline(1, 0))
	delete(h.read.ignored, bob)
	h.wantUnread(bob, room, mainTimeline(3, 0))
}

func TestChangedRulesCountAnew(t *testing.T) {
	h := newEnv(t)
	room := h.Public(bob)
	h.Send(alice, room, "one")
	h.wantUnread(bob, room, mainTimeline(1, 0))
	h.OK(h.put(bob, Room, room, quiet, Place{}))
	h.wantUnread(bob, room, Unread{})
	h.OK(h.SetActions(t.Context(), bob, Room, room, rawList(highlighted)))
	h.wantUnread(bob, room, mainTimeline(1, 1))
}

// TestRulesSeeTheRoom checks what rules ask of rooms, as it changes.
func TestRulesSeeTheRoom(t *testing.T) {
	h := newEnv(t)
	room := h.Public(bob)
	only := func(condition string) {
		t.Helper()
		h.OK(h.put(bob, Override, "only", `{"conditions":[`+condition+`],"actions":["notify",{"set_tweak":"highlight"}]}`, Place{}))
	}
	clear := func() {
		h.mark(bob, room, func(m *timeline.ReadMarks) { m.Unthreaded = timeline.PlaceOf(h.Journal.Position()) })
	}

	only(`{"kind":"room_member_count","is":"2"}`)
	h.Send(alice, room, "among two")
	h.wantUnread(bob, room, mainTimeline(1, 1))
	clear()
	h.OK(h.Rooms.Join(t.Context(), carol, room, ""))
	h.Send(alice, room, "among three")
	h.wantUnread(bob, room, mainTimeline(1, 0))
	clear()

	only(`{"kind":"sender_notification_permission","key":"room"}`)
	h.Send(alice, room, "with power")
	h.Send(carol, room, "without")
	h.wantUnread(bob, room, mainTimeline(2, 1))
	clear()
	_, err := h.Rooms.SetState(t.Context(), roomstest.As(alice, room), "m.room.power_levels", "",
		json.RawMessage(`{"notifications":{"room":0}}`))
	h.OK(err)
	clear()
	h.Send(carol, room, "with power")
	h.wantUnread(bob, room, mainTimeline(1, 1))
	clear()

	only(`{"kind":"contains_display_name"}`)
	h.OK(h.SetEnabled(t.Context(), bob, Content, ".m.rule.contains_user_name", false))
	_, err = h.Rooms.SetState(t.Context(), roomstest.As(bob, room), "m.room.member", bob,
		json.RawMessage(`{"membership":"join","displayname":"Robert"}`))
	h.OK(err)
	h.Send(alice, room, "bob!")
	h.Send(alice, room, "robert!")
	h.wantUnread(bob, room, mainTimeline(2, 1))
}

func TestCountsAreAsOfAPosition(t *testing.T) {
	h := newEnv(t)
	room := h.Public(bob)
	nid := h.NID(room)
	first := h.Event(alice, room, h.Send(alice, room, "one")).Position
	h.Send(alice, room, "two")
	for _, upTo := range []journal.Position{first, h.Journal.Position(), first, h.Journal.Position() + 100} {
		want := mainTimeline(2, 0)
		if upTo == first {
			want = mainTimeline(1, 0)
		}
		counts, err := h.Counts(t.Context(), bob, []journal.RoomNID{nid}, upTo)
		h.OK(err)
		if diff := cmp.Diff(want, counts[nid]); diff != "" {
			t.Errorf("up to %d (-want +got):\n%s", upTo, diff)
		}
	}
	h.Send(alice, room, "three")
	h.wantUnread(bob, room, mainTimeline(3, 0))
}

// TestCountsInTheUsualCaseTakeNoSQL counts the connections that are asked for.
func TestCountsInTheUsualCaseTakeNoSQL(t *testing.T) {
	t.Parallel()
	h := envOn(t, nil, journal.Options{Watch: time.Hour})
	room := h.Public(bob)
	nid := h.NID(room)
	h.Send(alice, room, "one")
	h.unreadBy(h.Service, bob, nid)
	h.Send(alice, room, "two")
	h.inThread(alice, room, h.mention(alice, room, bob))
	before := h.Pool.Stat().AcquireCount()
	got := h.unreadBy(h.Service, bob, nid)
	if taken := h.Pool.Stat().AcquireCount() - before; taken > 0 {
		t.Errorf("%d connections were taken", taken)
	}
	if total := got.Total(); total != (Count{4, 1}) {
		t.Errorf("got %+v", got)
	}
}

func TestCountsOfNoRooms(t *testing.T) {
	h := newEnv(t)
	counts, err := h.Counts(t.Context(), bob, nil, h.Journal.Position())
	h.OK(err)
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
			h := envOn(t, nil, journal.Options{WindowBytes: []int{0, 20_000}[seed%2]})
			randomHistory(h, rand.New(rand.NewPCG(seed, 1)))
		})
	}
}

func randomHistory(h *env, r *rand.Rand) {
	room := h.Public(bob, carol)
	users := []string{alice, bob, carol}
	said := []string{h.Send(alice, room, "root")}
	for range 120 {
		user, target := users[r.IntN(3)], said[r.IntN(len(said))]
		switch r.IntN(10) {
		case 0, 1, 2:
			said = append(said, h.Send(user, room, "text"))
		case 3:
			said = append(said, h.mention(user, room, users...))
		case 4, 5:
			h.inThread(user, room, said[0])
		case 6:
			content := `{"body":"x","m.relates_to":{"rel_type":"m.reference","event_id":"` + target + `"}}`
			said = append(said, h.SendEvent(user, room, "m.room.message", content))
		case 7:
			_, err := h.Rooms.Redact(h.T.Context(), roomstest.As(alice, room), target, "")
			h.OK(err)
		case 8:
			at := timeline.PlaceOf(h.Journal.Position() - journal.Position(r.IntN(5)))
			which := r.IntN(3)
			h.mark(user, room, func(m *timeline.ReadMarks) {
				switch which {
				case 0:
					m.Unthreaded = max(m.Unthreaded, at)
				case 1:
					m.Main = max(m.Main, at)
				case 2:
					m.Threads = map[string]timeline.Place{said[0]: max(m.Threads[said[0]], at)}
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
	here, there := envOn(t, pool, journal.Options{}), envOn(t, pool, journal.Options{})
	room := here.Public(bob)
	here.wantUnread(bob, room, Unread{})
	// Another process writes: rules, members and messages.
	there.OK(there.Rooms.Join(t.Context(), carol, room, ""))
	there.Send(alice, room, "one")
	there.mention(alice, room, bob)
	there.OK(there.SetActions(t.Context(), bob, Underride, ".m.rule.message", rawList(highlighted)))
	here.OK(here.Journal.CatchUp(t.Context(), there.Journal.Position()))
	here.wantUnread(bob, room, mainTimeline(2, 2))
}
