package timeline_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5/pgxpool"

	"homeserver/internal/event"
	"homeserver/internal/journal"
	"homeserver/internal/matrix"
	"homeserver/internal/matrixtest"
	"homeserver/internal/rooms"
	"homeserver/internal/rooms/roomstest"
	"homeserver/internal/rooms/timeline"
)

// asleep starts the services of another process, which learns of what others write only
// when it is asked to.
func asleep(t *testing.T, pool *pgxpool.Pool) *env {
	t.Helper()
	return &env{roomstest.Open(t, roomstest.Options{Pool: pool, Journal: journal.Options{Watch: time.Hour}}).Run()}
}

// wake has the process learn of all that another has written.
func (h *env) wake(writer *env) {
	h.T.Helper()
	h.OK(h.Journal.CatchUp(h.T.Context(), writer.Journal.Position()))
}

// readable describes what a user may read of a room; "" for nothing.
func (h *env) readable(user, room string) string {
	h.T.Helper()
	_, access, err := h.Rooms.Timeline.For(user).Access(h.T.Context(), room)
	if matrix.IsCode(err, matrix.Forbidden) {
		return ""
	}
	h.OK(err)
	membership, since := access.Membership()
	upTo, known := access.StateUpTo(1)
	return fmt.Sprint(membership, since, access.Ranges(0, 1<<62), access.SeesAny(), upTo, known, access.Hidden(carol))
}

func same(t *testing.T, name, got, want string) {
	t.Helper()
	if got != want {
		t.Errorf("%s may read %s, want %s", name, got, want)
	}
}

// hits returns how often an access was found in memory.
func (h *env) hits() uint64 { return h.Rooms.Timeline.Caches()["access"]().Hits }

func (h *env) setVisibility(room, visibility string) {
	h.T.Helper()
	h.SetState(alice, room, event.TypeHistoryVisibility, "", `{"history_visibility":"`+visibility+`"}`)
}

func TestKickedWhilePaging(t *testing.T) {
	h := newEnv(t)
	room := h.Public(bob)
	h.Send(alice, room, "before")
	page := func() (*timeline.Stretch, error) {
		return h.Rooms.Timeline.For(bob).Messages(t.Context(), room, timeline.Page{Backward: true, Limit: 1})
	}
	for range 2 {
		st, err := page()
		h.OK(err)
		matrixtest.Equal(t, "the newest", roomstest.Bodies(st.Events), []string{"before"})
	}
	if h.hits() == 0 {
		t.Error("the second page has asked for the access again")
	}
	h.OK(h.Rooms.Kick(t.Context(), alice, room, bob, ""))
	secret := h.Send(alice, room, "after")
	st, err := page()
	h.OK(err)
	matrixtest.Equal(t, "the newest is the kick", roomstest.Members(st.Events), []string{bob + " leave"})
	reader := h.Rooms.Timeline.For(bob)
	_, _, err = reader.Event(t.Context(), room, secret)
	matrixtest.WantCode(t, err, matrix.NotFound, "an event after the kick")
	_, err = reader.JoinedMembers(t.Context(), room)
	matrixtest.WantCode(t, err, matrix.Forbidden, "the members after the kick")
	if e, _, err := reader.StateEvent(t.Context(), room, event.TypeMember, bob); err != nil || e.Membership() != event.Leave {
		t.Errorf("the own membership is %v, %v", e, err)
	}
}

func TestVisibilityChangesWhilePaging(t *testing.T) {
	h := newEnv(t)
	room := h.Public()
	h.setVisibility(room, event.VisibilityJoined)
	h.Send(alice, room, "one")
	h.Join(bob, room)
	for range 2 {
		matrixtest.Equal(t, "only those in the room", h.Bodies(bob, room), []string{})
	}
	h.setVisibility(room, event.VisibilityWorldReadable)
	h.Send(alice, room, "two")
	for range 2 {
		matrixtest.Equal(t, "everybody, from then on", h.Bodies(bob, room), []string{"two"})
		matrixtest.Equal(t, "a stranger", h.Bodies(dave, room), []string{"two"})
	}
	h.setVisibility(room, event.VisibilityJoined)
	h.Send(alice, room, "three")
	matrixtest.Equal(t, "a member", h.Bodies(bob, room), []string{"two", "three"})
	matrixtest.Equal(t, "a stranger, after that", h.Bodies(dave, room), []string{"two"})
	matrixtest.WantCode(t, h.Rooms.Timeline.For(dave).MustBeJoined(t.Context(), room), matrix.Forbidden, "a stranger")
}

func TestForgottenAndJoinedAgain(t *testing.T) {
	h := newEnv(t)
	room := h.Public(bob)
	first := h.readable(bob, room)
	h.Leave(bob, room)
	h.readable(bob, room)
	h.OK(h.Rooms.Forget(t.Context(), bob, room))
	if got := h.readable(bob, room); !strings.HasPrefix(got, "leave0 [] false") {
		t.Errorf("of a forgotten room bob may read %s", got)
	}
	h.Join(bob, room)
	again := h.readable(bob, room)
	if again == first || again != asleep(t, h.Pool).readable(bob, room) {
		t.Errorf("joined again: %s", again)
	}
}

func TestUpgradedRoomIsReadAsBefore(t *testing.T) {
	h := newEnv(t)
	room := h.Public(bob)
	h.readable(bob, room)
	next, err := h.Rooms.Upgrade(t.Context(), alice, room, rooms.UpgradeRequest{NewVersion: "11"})
	h.OK(err)
	fresh := asleep(t, h.Pool)
	for _, user := range []string{alice, bob} {
		for _, r := range []string{room, next.ReplacementRoom} {
			same(t, user+" in "+r, h.readable(user, r), fresh.readable(user, r))
		}
	}
}

func TestErasedAfterTheAccessIsKnown(t *testing.T) {
	h := newEnv(t)
	room := h.Public(bob)
	id := h.Send(bob, room, "sesame")
	h.Join(dave, room)
	if !h.shows(dave, room, id, "sesame") {
		t.Fatal("dave does not see what bob has said")
	}
	h.OK(h.Rooms.LeaveAll(t.Context(), bob))
	h.OK(h.Rooms.Timeline.Erase(t.Context(), bob))
	h.Join(carol, room)
	for range 2 {
		if !h.shows(dave, room, id, "sesame") || h.shows(carol, room, id, "sesame") {
			t.Error("dave, who was there, sees it redacted, or carol does not")
		}
	}
}

// A process that has yet to learn of a kick shows nothing that came after it, and one that
// has yet to learn of a join refuses nobody.
func TestAccessWhereAnotherProcessIsAhead(t *testing.T) {
	h := newEnv(t)
	room := h.Public(bob)
	other := asleep(t, h.Pool)
	other.readable(bob, room)
	h.OK(h.Rooms.Kick(t.Context(), alice, room, bob, ""))
	secret := h.Send(alice, room, "after")
	h.Join(carol, room)
	reader := other.Rooms.Timeline.For(bob)
	_, _, err := reader.Event(t.Context(), room, secret)
	matrixtest.WantCode(t, err, matrix.NotFound, "an event after the kick")
	_, err = reader.Context(t.Context(), room, secret, 10, nil)
	matrixtest.WantCode(t, err, matrix.NotFound, "what is around it")
	matrixtest.Equal(t, "messages", other.Bodies(bob, room), []string{})
	if members, err := reader.JoinedMembers(t.Context(), room); err == nil {
		for e, err := range members.All(t.Context()) {
			if err != nil || *e.StateKey == carol {
				t.Error("bob learns who has joined after him")
			}
		}
	}
	if seen, _, err := other.Rooms.Timeline.For(carol).Event(t.Context(), room, secret); err != nil || seen.ID != secret {
		t.Errorf("carol, who has just joined, is refused: %v", err)
	}
	h.OK(other.Rooms.Timeline.For(carol).MustBeJoined(t.Context(), room))
	matrixtest.WantCode(t, other.Rooms.Timeline.For(dave).MustBeJoined(t.Context(), room), matrix.Forbidden, "dave, who has not")
	h.Join(dave, room)
	h.OK(other.Rooms.Timeline.For(dave).MustBeJoined(t.Context(), room))
	other.wake(h)
	for _, user := range []string{alice, bob, carol, dave} {
		same(t, user, other.readable(user, room), h.readable(user, room))
	}
}

// Where entries were missed all is read anew.
func TestAccessAfterEntriesWereMissed(t *testing.T) {
	h := newEnv(t)
	room := h.Public(bob)
	other := &env{roomstest.Open(t, roomstest.Options{Pool: h.Pool, Journal: journal.Options{WindowBytes: 1, Watch: time.Hour}}).Run()}
	other.readable(bob, room)
	h.OK(h.Rooms.Kick(t.Context(), alice, room, bob, ""))
	for range 50 {
		h.Send(alice, room, "more than is read at once")
	}
	other.wake(h)
	same(t, "bob", other.readable(bob, room), h.readable(bob, room))
}

// The memory agrees with the database, whatever has happened, and in every process.
func TestKnownAccessIsThatOfTheDatabase(t *testing.T) {
	for seed := range uint64(3) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			h := newEnv(t)
			random := rand.New(rand.NewPCG(seed, 1))
			other := asleep(t, h.Pool)
			users := []string{alice, bob, carol, dave}
			list := []string{h.Public(), h.Public(bob), h.Public(bob, carol)}
			visibilities := []string{
				event.VisibilityShared, event.VisibilityJoined, event.VisibilityInvited, event.VisibilityWorldReadable,
			}
			for range 40 {
				user, room := users[1+random.IntN(3)], list[random.IntN(len(list))]
				for _, act := range random.Perm(6)[:3] { // what is not allowed changes nothing
					switch act {
					case 0:
						_ = h.Rooms.Join(t.Context(), user, room, "")
					case 1:
						_ = h.Rooms.Leave(t.Context(), user, room, "")
					case 2:
						_ = h.Rooms.Kick(t.Context(), alice, room, user, "")
					case 3:
						_ = h.Rooms.Invite(t.Context(), alice, room, user, "")
					case 4:
						_ = h.Rooms.Forget(t.Context(), user, room)
					case 5:
						h.setVisibility(room, visibilities[random.IntN(len(visibilities))])
					}
				}
				if random.IntN(3) == 0 {
					other.wake(h)
					fresh := asleep(t, h.Pool)
					for _, r := range list {
						for _, u := range users {
							want := fresh.readable(u, r)
							for name, process := range map[string]*env{"here": h, "elsewhere": other} {
								for range 2 {
									if diff := cmp.Diff(want, process.readable(u, r)); diff != "" {
										t.Fatalf("%s in %s, %s (-want +got):\n%s", u, r, name, diff)
									}
								}
							}
						}
					}
				}
			}
			if h.hits() == 0 || other.hits() == 0 {
				t.Error("nothing was found in memory")
			}
		})
	}
}

// However reads and changes meet, a read that begins after a change sees it.
func TestAccessUnderLoad(t *testing.T) {
	matrixtest.Long(t)
	h := newEnv(t)
	room := h.Public(bob)
	var announced atomic.Int64
	var all sync.WaitGroup
	end := make(chan struct{})
	for range 4 {
		all.Go(func() {
			for {
				select {
				case <-end:
					return
				default:
				}
				least := timeline.Place(announced.Load())
				_, access, err := h.Rooms.Timeline.For(bob).Access(t.Context(), room)
				if err != nil {
					t.Error(err)
					return
				}
				if _, since := access.Membership(); since < least {
					t.Errorf("the membership is of %d, after that of %d was announced", since, least)
					return
				}
			}
		})
	}
	for i := range 60 {
		if i%2 == 0 {
			h.Leave(bob, room)
		} else {
			h.Join(bob, room)
		}
		announced.Store(int64(timeline.PlaceOf(h.Journal.Position())))
	}
	close(end)
	all.Wait()
}
