package rooms_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"homeserver/internal/journal"
	"homeserver/internal/matrix"
	"homeserver/internal/postgres/postgrestest"
	"homeserver/internal/rooms"
)

// poison makes the database refuse events of one type.
func (h *house) poison() {
	h.t.Helper()
	_, err := h.pool.Exec(h.t.Context(), `
		CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'poisoned'; END $$;
		CREATE TRIGGER poison BEFORE INSERT ON events FOR EACH ROW WHEN (NEW.type = 'org.example.poison') EXECUTE FUNCTION refuse()`)
	h.ok(err)
}

func TestEventThatTheDatabaseRefusesHarmsNoOther(t *testing.T) {
	h := newHouse(t)
	h.poison()
	room, other := h.public(bob), h.public(bob)
	var wg sync.WaitGroup
	var kept atomic.Int32
	for i := range 60 {
		wg.Go(func() {
			if i%10 == 0 {
				_, err := h.Send(t.Context(), by(room, fmt.Sprint(i)), "org.example.poison", raw(object{}))
				if err == nil {
					t.Error("the poison was taken")
				}
				return
			}
			err := h.trySend([]string{alice, bob}[i%2], []string{room, other}[i%2])
			if err == nil {
				kept.Add(1)
			} else {
				expect(t, "a message that always came after poison", err, matrix.Unknown)
			}
		})
	}
	wg.Wait()
	if n := len(h.bodies(alice, room)) + len(h.bodies(alice, other)); n != int(kept.Load()) || n < 40 {
		t.Errorf("%d messages are there, %d were acknowledged", n, kept.Load())
	}
	for _, where := range []string{room, other} {
		h.send(alice, where, "still works")
		checkChain(t, h, where)
	}
}

func TestTransactionThatFailedIsNotRemembered(t *testing.T) {
	h := newHouse(t)
	h.poison()
	room := h.public()
	for range 2 {
		if _, err := h.Send(t.Context(), by(room, "1"), "org.example.poison", raw(object{})); err == nil {
			t.Error("the poison was taken")
		}
	}
	_, err := h.pool.Exec(t.Context(), `DROP TRIGGER poison ON events`)
	h.ok(err)
	id, err := h.Send(t.Context(), by(room, "1"), "org.example.poison", raw(object{}))
	h.ok(err)
	h.event(alice, room, id)
	checkChain(t, h, room)
}

func TestRoomThatTheDatabaseRefusesLeavesNothing(t *testing.T) {
	h := newHouse(t)
	h.poison()
	q := rooms.CreateRequest{AliasName: "a", Visibility: "public", Invite: []string{bob}}
	q.InitialState = []rooms.InitialState{{Type: "org.example.poison", Content: raw(object{})}}
	if _, err := h.Create(t.Context(), alice, q); err == nil {
		t.Error("the room was created")
	}
	for _, table := range []string{"rooms", "events", "room_state", "room_aliases"} {
		var rows int
		h.ok(h.pool.QueryRow(t.Context(), `SELECT count(*) FROM `+table).Scan(&rows))
		if rows != 0 {
			t.Errorf("%d rows are in %s", rows, table)
		}
	}
}

func TestDeletionOfAnAliasIsOneCommit(t *testing.T) {
	h := newHouse(t)
	room := h.public()
	h.alias(alice, "#a:localhost", room)
	h.set(alice, room, canonicalAlias, "", `{"alias":"#a:localhost"}`)
	_, err := h.pool.Exec(t.Context(), `
		CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'no'; END $$;
		CREATE TRIGGER keep BEFORE DELETE ON room_aliases FOR EACH ROW EXECUTE FUNCTION refuse()`)
	h.ok(err)
	if err := h.DeleteAlias(t.Context(), alice, "#a:localhost", false); err == nil {
		t.Error("the alias was deleted")
	}
	h.wantContent(alice, room, canonicalAlias, "", `{"alias":"#a:localhost"}`)
}

func TestFullQueueIsSaidSo(t *testing.T) {
	t.Parallel()
	h := houseWith(t, postgrestest.New(t), journal.Options{QueueWrites: 2, GroupWrites: 2})
	room := h.public()
	letGo := h.holdWriter()
	const many = 20
	results := make(chan error, many)
	for range many {
		go func() { results <- h.trySend(alice, room) }()
	}
	expect(t, "the first answer while nothing moves", <-results, matrix.LimitExceeded)
	letGo()
	sent := 0
	for range many - 1 {
		if err := <-results; err == nil {
			sent++
		} else {
			expect(t, "a later answer", err, matrix.LimitExceeded)
		}
	}
	if got := len(h.bodies(alice, room)); got != sent {
		t.Errorf("%d messages are there, %d were acknowledged", got, sent)
	}
	h.send(alice, room, "afterwards")
	checkChain(t, h, room)
}

// cut ends all connections to the database.
func (h *house) cut() {
	var cut int
	err := h.pool.QueryRow(h.t.Context(), `
		SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
		WHERE datname = current_database() AND pid <> pg_backend_pid()`).Scan(&cut)
	if err != nil {
		h.t.Logf("cut connections: %v", err) // perhaps it was cut itself
	}
}

func TestCutConnectionsLoseNothingAndDoubleNothing(t *testing.T) {
	h := newHouse(t)
	room := h.public(bob)
	const senders, each, tries = 8, 12, 1000
	var wg sync.WaitGroup
	var acknowledged atomic.Int32
	for sender := range senders {
		wg.Go(func() {
			for n := range each {
				txn := fmt.Sprintf("%d.%d", sender, n)
				err := errors.New("not tried")
				for try := 0; err != nil && try < tries; try++ {
					_, err = h.Send(t.Context(), by(room, txn), "m.room.message", message(txn))
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
	reader := houseOn(t, h.pool)
	got := reader.bodies(alice, room)
	slices.Sort(got)
	if len(got) != senders*each || len(slices.Compact(got)) != senders*each {
		t.Errorf("%d messages are there, want %d, each once", len(got), senders*each)
	}
	checkChain(t, reader, room)
}

func TestRoomsOfEachVersionGoOnAfterARestart(t *testing.T) {
	h := newHouse(t)
	restarted := houseOn(t, h.pool)
	h.versions(rooms.CreateRequest{Preset: "public_chat"}, func(version int, room string) {
		restarted.join(bob, room)
		restarted.send(bob, room, "after the restart")
		h.send(alice, room, "by who does not know of that yet")
		restarted.set(alice, room, "m.room.name", "", `{"name":"n"}`)
		for _, e := range h.history(alice, room) {
			if err := e.VerifyHash(); err != nil {
				t.Errorf("version %d: %v", version, err)
			}
		}
		checkChain(t, restarted, room)
	})
}

func TestRequestThatIsGivenUpEndsInNoClientError(t *testing.T) {
	h := newHouse(t)
	room := h.public()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for what, err := range map[string]error{
		"join":   h.Join(ctx, bob, room, ""),
		"create": func() error { _, err := h.Create(ctx, alice, rooms.CreateRequest{}); return err }(),
		"alias":  h.CreateAlias(ctx, alice, "#a:localhost", room),
		"state":  func() error { _, _, err := h.Timeline.State(ctx, alice, room); return err }(),
		"leave":  h.LeaveAll(ctx, alice),
	} {
		var e *matrix.Error
		if err == nil || errors.As(err, &e) {
			t.Errorf("%s: got %v", what, err)
		}
	}
	h.send(alice, room, "still there")
}
