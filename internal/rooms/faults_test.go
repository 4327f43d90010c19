package rooms_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"homeserver/internal/event"
	"homeserver/internal/journal"
	"homeserver/internal/matrix"
	"homeserver/internal/matrixtest"
	"homeserver/internal/rooms"
	"homeserver/internal/rooms/roomstest"
)

// poison makes the database refuse events of one type.
func (h *env) poison() {
	h.T.Helper()
	_, err := h.Pool.Exec(h.T.Context(), `
		CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'poisoned'; END $$;
		CREATE TRIGGER poison BEFORE INSERT ON events FOR EACH ROW WHEN (NEW.type = 'org.example.poison') EXECUTE FUNCTION refuse()`)
	h.OK(err)
}

func TestEventThatTheDatabaseRefusesHarmsNoOther(t *testing.T) {
	h := newEnv(t)
	h.poison()
	room, other := h.Public(bob), h.Public(bob)
	var wg sync.WaitGroup
	var kept atomic.Int32
	for i := range 60 {
		wg.Go(func() {
			if i%10 == 0 {
				_, err := h.Rooms.Send(t.Context(), by(room, fmt.Sprint(i)), "org.example.poison", roomstest.Raw(roomstest.Object{}))
				if err == nil {
					t.Error("the poison was taken")
				}
				return
			}
			err := h.trySend([]string{alice, bob}[i%2], []string{room, other}[i%2])
			if err == nil {
				kept.Add(1)
			} else {
				matrixtest.WantCode(t, err, matrix.Unknown, "a message that always came after poison")
			}
		})
	}
	wg.Wait()
	if n := len(h.Bodies(alice, room)) + len(h.Bodies(alice, other)); n != int(kept.Load()) || n < 40 {
		t.Errorf("%d messages are there, %d were acknowledged", n, kept.Load())
	}
	for _, where := range []string{room, other} {
		h.Send(alice, where, "still works")
		checkChain(t, h, where)
	}
}

func TestTransactionThatFailedIsNotRemembered(t *testing.T) {
	h := newEnv(t)
	h.poison()
	room := h.Public()
	for range 2 {
		if _, err := h.Rooms.Send(t.Context(), by(room, "1"), "org.example.poison", roomstest.Raw(roomstest.Object{})); err == nil {
			t.Error("the poison was taken")
		}
	}
	_, err := h.Pool.Exec(t.Context(), `DROP TRIGGER poison ON events`)
	h.OK(err)
	id, err := h.Rooms.Send(t.Context(), by(room, "1"), "org.example.poison", roomstest.Raw(roomstest.Object{}))
	h.OK(err)
	h.Event(alice, room, id)
	checkChain(t, h, room)
}

func TestRoomThatTheDatabaseRefusesLeavesNothing(t *testing.T) {
	h := newEnv(t)
	h.poison()
	q := rooms.CreateRequest{AliasName: "a", Visibility: "public", Invite: []string{bob}}
	q.InitialState = []rooms.InitialState{{Type: "org.example.poison", Content: roomstest.Raw(roomstest.Object{})}}
	if _, err := h.Rooms.Create(t.Context(), alice, q); err == nil {
		t.Error("the room was created")
	}
	for _, table := range []string{"rooms", "events", "room_state", "room_aliases"} {
		var rows int
		h.OK(h.Pool.QueryRow(t.Context(), `SELECT count(*) FROM `+table).Scan(&rows))
		if rows != 0 {
			t.Errorf("%d rows are in %s", rows, table)
		}
	}
}

func TestDeletionOfAnAliasIsOneCommit(t *testing.T) {
	h := newEnv(t)
	room := h.Public()
	h.OK(h.Rooms.CreateAlias(t.Context(), alice, "#a:localhost", room))
	h.SetState(alice, room, event.TypeCanonicalAlias, "", `{"alias":"#a:localhost"}`)
	_, err := h.Pool.Exec(t.Context(), `
		CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'no'; END $$;
		CREATE TRIGGER keep BEFORE DELETE ON room_aliases FOR EACH ROW EXECUTE FUNCTION refuse()`)
	h.OK(err)
	if err := h.Rooms.DeleteAlias(t.Context(), alice, "#a:localhost", false); err == nil {
		t.Error("the alias was deleted")
	}
	h.WantContent(alice, room, event.TypeCanonicalAlias, "", `{"alias":"#a:localhost"}`)
}

func TestFullQueueIsSaidSo(t *testing.T) {
	t.Parallel()
	h := envWith(t, roomstest.Options{Journal: journal.Options{QueueWrites: 2, GroupWrites: 2}})
	room := h.Public()
	release := h.holdWriter()
	const many = 20
	results := make(chan error, many)
	for range many {
		go func() { results <- h.trySend(alice, room) }()
	}
	matrixtest.WantCode(t, <-results, matrix.LimitExceeded, "the first answer while nothing moves")
	release()
	sent := 0
	for range many - 1 {
		if err := <-results; err == nil {
			sent++
		} else {
			matrixtest.WantCode(t, err, matrix.LimitExceeded, "a later answer")
		}
	}
	if got := len(h.Bodies(alice, room)); got != sent {
		t.Errorf("%d messages are there, %d were acknowledged", got, sent)
	}
	h.Send(alice, room, "afterwards")
	checkChain(t, h, room)
}

// cut ends all connections to the database.
func (h *env) cut() {
	var cut int
	err := h.Pool.QueryRow(h.T.Context(), `
		SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
		WHERE datname = current_database() AND pid <> pg_backend_pid()`).Scan(&cut)
	if err != nil {
		h.T.Logf("cut connections: %v", err) // perhaps it was cut itself
	}
}

func TestCutConnectionsLoseNothingAndDoubleNothing(t *testing.T) {
	h := newEnv(t)
	room := h.Public(bob)
	const senders, each, tries = 8, 12, 1000
	var wg sync.WaitGroup
	var acknowledged atomic.Int32
	for sender := range senders {
		wg.Go(func() {
			for n := range each {
				txn := fmt.Sprintf("%d.%d", sender, n)
				err := errors.New("not tried")
				for try := 0; err != nil && try < tries; try++ {
					_, err = h.Rooms.Send(t.Context(), by(room, txn), "m.room.message", roomstest.Message(txn))
				}
				if err != nil {
					t.Errorf("%s: %v", txn, err)
				}
				if acknowledged.Add(1)%16 == 0 {
					h.cut()
				}
			}
		})
	}
	wg.Wait()
	reader := envOn(t, h.Pool)
	got := reader.Bodies(alice, room)
	slices.Sort(got)
	if len(got) != senders*each || len(slices.Compact(got)) != senders*each {
		t.Errorf("%d messages are there, want %d, each once", len(got), senders*each)
	}
	checkChain(t, reader, room)
}

func TestRoomsOfEachVersionGoOnAfterARestart(t *testing.T) {
	h := newEnv(t)
	restarted := envOn(t, h.Pool)
	h.EachVersion(rooms.CreateRequest{Preset: "public_chat"}, func(version int, room string) {
		restarted.Join(bob, room)
		restarted.Send(bob, room, "after the restart")
		h.Send(alice, room, "by who does not know of that yet")
		restarted.SetState(alice, room, "m.room.name", "", `{"name":"n"}`)
		for _, e := range h.History(alice, room) {
			if err := e.VerifyHash(); err != nil {
				t.Errorf("version %d: %v", version, err)
			}
		}
		checkChain(t, restarted, room)
	})
}

func TestRequestThatIsGivenUpEndsInNoClientError(t *testing.T) {
	h := newEnv(t)
	room := h.Public()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for what, err := range map[string]error{
		"join":   h.Rooms.Join(ctx, bob, room, ""),
		"create": func() error { _, err := h.Rooms.Create(ctx, alice, rooms.CreateRequest{}); return err }(),
		"alias":  h.Rooms.CreateAlias(ctx, alice, "#a:localhost", room),
		"state":  func() error { _, _, err := h.Rooms.Timeline.For(alice).State(ctx, room); return err }(),
		"leave":  h.Rooms.LeaveAll(ctx, alice),
	} {
		var e *matrix.Error
		if err == nil || errors.As(err, &e) {
			t.Errorf("%s: got %v", what, err)
		}
	}
	h.Send(alice, room, "still there")
}
