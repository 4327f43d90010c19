package timeline_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"

	"homeserver/internal/event"
	"homeserver/internal/journal"
	"homeserver/internal/matrixtest"
	"homeserver/internal/postgres/postgrestest"
	"homeserver/internal/rooms"
	"homeserver/internal/rooms/roomstest"
	"homeserver/internal/rooms/timeline"
)

// lineEnv is a server process that records the changes of rooms in its journal's entries.
type lineEnv struct {
	*env
	mu      sync.Mutex
	changes map[journal.Position]string
	large   []*timeline.RoomChange // those that take more than their event
}

func newLineEnv(t *testing.T, pool *pgxpool.Pool) *lineEnv {
	t.Helper()
	h := &lineEnv{env: &env{roomstest.Open(t, roomstest.Options{Pool: pool})}, changes: map[journal.Position]string{}}
	h.Journal.Observe(journal.Observer{Committed: h.committed, Reset: func(journal.Position) {}})
	h.Run()
	return h
}

func (h *lineEnv) committed(_ journal.View, entries []*journal.Entry) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, entry := range entries {
		if c := timeline.ChangeOf(entry); c.RoomID != "" {
			h.changes[entry.Position] = describe(c)
		}
		if c, ok := entry.Value.(*timeline.RoomChange); ok {
			h.large = append(h.large, c)
		}
	}
}

// describe returns a change as text.
func describe(c timeline.RoomChange) string {
	id := func(e *timeline.Event) string {
		if e == nil {
			return "nothing"
		}
		return e.ID
	}
	text := fmt.Sprint(c.Room, c.RoomID, c.Place, id(c.Event))
	for at := range c.Line {
		text += fmt.Sprintf(" %s %q from %d: %s", at.Type, at.Key, at.From, id(at.Event))
	}
	return text
}

// heard returns the changes up to now.
func (h *lineEnv) heard(upTo journal.Position) map[journal.Position]string {
	h.T.Helper()
	h.OK(h.Journal.CatchUp(h.T.Context(), upTo))
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.changes
}

// happen does something at random.
func (h *lineEnv) happen(random *rand.Rand, list []string) {
	user, room := []string{alice, alice, bob, carol}[random.IntN(4)], list[random.IntN(len(list))]
	ctx, q, n := h.T.Context(), roomstest.As(user, room), fmt.Sprint(random.IntN(1000))
	send := func(evType, content string) (id string) {
		id, _ = h.Rooms.Send(ctx, q, evType, []byte(content)) // what is refused does not happen
		return id
	}
	switch random.IntN(8) {
	case 0:
		_, _ = h.Rooms.SetState(ctx, q, "m.room.topic", "", []byte(`{"topic":"`+n+`"}`))
	case 1:
		_, _ = h.Rooms.SetState(ctx, q, "org.example.state", n, []byte(`{}`))
	case 2:
		_ = h.Rooms.Join(ctx, user, room, "")
	case 3:
		_ = h.Rooms.Leave(ctx, []string{bob, carol}[random.IntN(2)], room, "")
	case 4:
		_ = h.Rooms.Invite(ctx, user, room, []string{bob, carol, dave}[random.IntN(3)], "")
	case 5:
		_, _ = h.Rooms.Redact(ctx, q, send("m.room.message", `{"body":"oh"}`), "")
	case 6:
		if id, err := h.Rooms.SetState(ctx, q, "m.room.topic", "", []byte(`{"topic":"oh"}`)); err == nil {
			_, _ = h.Rooms.Redact(ctx, q, id, "")
		}
	default:
		send("m.room.message", `{"body":"`+n+`"}`)
	}
}

// Another process reads the same change from the database that the commit has yielded, and
// needs no more memory for it.
func TestLineIsReadAsItWasHandedOut(t *testing.T) {
	matrixtest.Long(t)
	t.Parallel()
	pool := postgrestest.New(t)
	one, other := newLineEnv(t, pool), newLineEnv(t, pool)
	random := rand.New(rand.NewPCG(3, 4))
	list := []string{one.Public(bob, carol), other.Create(alice, rooms.CreateRequest{Name: "Cellar"})}
	for range 400 {
		[]*lineEnv{one, other}[random.IntN(2)].happen(random, list)
	}
	end := max(one.Journal.Position(), other.Journal.Position())
	handedOut, read := one.heard(end), other.heard(end)
	if len(read) < 200 || len(read) != len(handedOut) {
		t.Errorf("%d changes, and %d", len(read), len(handedOut))
	}
	for p, want := range handedOut {
		if read[p] != want {
			t.Errorf("at %d:\none process   %s\nthe other one %s", p, want, read[p])
		}
	}
	if n := len(one.large) + len(other.large); n > 0 {
		t.Errorf("%d changes take more than their event", n)
	}
}

// forks makes an event that is no state event restore the old topic and remove the name, as
// after a fork.
const forks = `
	CREATE FUNCTION fork() RETURNS trigger LANGUAGE plpgsql AS $$
	BEGIN
		NEW.base := 1;
		UPDATE room_state SET replaced_at = NEW.place
		WHERE room_nid = NEW.room_nid AND type IN ('m.room.name', 'm.room.topic') AND replaced_at IS NULL;
		INSERT INTO room_state (room_nid, type, state_key, event_nid, place)
		SELECT room_nid, type, state_key, min(event_nid), NEW.place FROM room_state
		WHERE room_nid = NEW.room_nid AND type = 'm.room.topic' GROUP BY room_nid, type, state_key
		UNION ALL SELECT NEW.room_nid, 'm.room.name', '', NULL, NEW.place;
		RETURN NEW;
	END $$;
	CREATE TRIGGER fork BEFORE INSERT ON events FOR EACH ROW WHEN (NEW.type = 'org.example.fork') EXECUTE FUNCTION fork()`

func TestLineOfSeveralEntriesIsReadBack(t *testing.T) {
	t.Parallel()
	pool := postgrestest.New(t)
	writer, reader := newLineEnv(t, pool), newLineEnv(t, pool)
	room := writer.Create(alice, rooms.CreateRequest{Name: "Cellar"})
	writer.SetState(alice, room, "m.room.topic", "", `{"topic":"first"}`)
	created := writer.Journal.Position()
	writer.SetState(alice, room, "m.room.topic", "", `{"topic":"second"}`)
	_, err := pool.Exec(t.Context(), forks)
	writer.OK(err)
	fork := writer.SendEvent(alice, room, "org.example.fork", `{}`)
	at := writer.Journal.Position()

	first, _, err := writer.Rooms.Timeline.For(alice).StateEvent(t.Context(), room, "m.room.topic", "")
	writer.OK(err)
	writer.WantContent(alice, room, "m.room.topic", "", `{"topic":"first"}`)
	want := describe(timeline.RoomChange{
		Room: first.Room, RoomID: room, Place: timeline.PlaceOf(at), Event: writer.Event(alice, room, fork),
		Intervals: []timeline.Interval{
			{StateKey: event.StateKey{Type: "m.room.name"}, From: timeline.PlaceOf(at)},
			{StateKey: event.StateKey{Type: "m.room.topic"}, From: timeline.PlaceOf(at), Event: first},
		},
	})
	if got := reader.heard(at)[at]; got != want {
		t.Errorf("another process reads\n%s instead of\n%s", got, want)
	}

	changes, err := writer.Rooms.Timeline.StateChanges(t.Context(), []timeline.Delta{{
		Room: first.Room, Since: timeline.PlaceOf(created), Start: timeline.PlaceOf(at), UpTo: timeline.PlaceOf(at),
	}})
	writer.OK(err)
	var got []string
	for _, i := range changes[first.Room].Intervals {
		got = append(got, fmt.Sprintf("%s from %d", i.Event.Content(), i.From))
	}
	matrixtest.Equal(t, "changes of the state", got, []string{
		fmt.Sprintf(`{"topic":"second"} from %d`, timeline.PlaceOf(created+1)), fmt.Sprintf(`{"topic":"first"} from %d`, timeline.PlaceOf(at)),
	})
	for name, h := range map[string]*lineEnv{"window": reader, "SQL": newLineEnv(t, pool)} {
		c, err := h.Rooms.Timeline.StateBetween(t.Context(), created, at, "m.room.topic")
		h.OK(err)
		var topics []string
		for e, err := range c.All(t.Context()) {
			h.OK(err)
			topics = append(topics, string(e.Content()))
		}
		slices.Sort(topics)
		matrixtest.Equal(t, name, topics, []string{`{"topic":"first"}`, `{"topic":"second"}`})
	}

	writer.Redact(alice, room, first.ID, "")
	reader.heard(writer.Journal.Position())
	for _, c := range reader.large {
		for at := range c.Line {
			if at.Event != nil && !at.Event.Redacted() {
				t.Errorf("what is redacted is still in memory as %s", at.Event.Content())
			}
		}
	}
	if len(reader.large) != 1 {
		t.Errorf("%d changes take more than their event", len(reader.large))
	}
}

func TestLineAllocatesNothing(t *testing.T) {
	key := "@alice:localhost"
	message, state := eventOfType("m.room.message"), eventOfType(event.TypeMember)
	state.StateKey = &key
	entries := []*journal.Entry{{Value: message}, {Value: state}, {Value: 1}}
	number := 0
	allocated := testing.AllocsPerRun(100, func() {
		for _, entry := range entries {
			for at := range timeline.ChangeOf(entry).Line {
				if at.Type == event.TypeMember && at.Key == key {
					number++
				}
			}
		}
	})
	if allocated > 0 || number != 101 {
		t.Errorf("%v allocations, %d intervals", allocated, number)
	}
}
