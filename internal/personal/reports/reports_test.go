package reports_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/json"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"homeserver/internal/auth"
	"homeserver/internal/event"
	"homeserver/internal/journal"
	"homeserver/internal/matrix"
	"homeserver/internal/personal/reports"
	"homeserver/internal/postgres/postgrestest"
	"homeserver/internal/profile"
	"homeserver/internal/rooms"
)

func TestMain(m *testing.M) { postgrestest.Main(m) }

const (
	alice = "@alice:localhost"
	bob   = "@bob:localhost"
	carol = "@carol:localhost"
)

// house is the services of one server on a database of its own, with three users.
type house struct {
	*reports.Service
	t     *testing.T
	pool  *pgxpool.Pool
	rooms *rooms.Service
	log   bytes.Buffer
	mu    sync.Mutex // guards now
	now   time.Time
}

func newHouse(t *testing.T, changes ...func(*reports.Options)) *house {
	t.Helper()
	t.Parallel()
	h := &house{t: t, pool: postgrestest.New(t), now: time.UnixMilli(1_700_000_000_000)}
	j := journal.New(h.pool, journal.Options{})
	users := auth.New(h.pool, auth.Options{ServerName: "localhost"})
	signer := &event.Signer{ServerName: "localhost", KeyID: "ed25519:test", Key: ed25519.NewKeyFromSeed(make([]byte, 32))}
	h.rooms = rooms.New(rooms.Options{Pool: h.pool, Journal: j, Profiles: profile.New(h.pool), Signer: signer})
	o := reports.Options{
		Pool: h.pool, Rooms: h.rooms.Timeline,
		Log: slog.New(slog.NewTextHandler(&h.log, nil)), Now: h.clock,
	}
	for _, change := range changes {
		change(&o)
	}
	h.Service = reports.New(o)
	h.ok(j.Start(t.Context()))
	t.Cleanup(func() {
		if err := j.Stop(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
	})
	for _, name := range []string{"alice", "bob", "carol"} {
		_, err := users.CreateAccount(t.Context(), auth.NewAccount{Username: name})
		h.ok(err)
	}
	return h
}

func (h *house) clock() time.Time {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.now
}

func (h *house) advance(d time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.now = h.now.Add(d)
}

func (h *house) ok(err error) {
	h.t.Helper()
	if err != nil {
		h.t.Fatal(err)
	}
}

func (h *house) wantCode(err error, code matrix.Code) {
	h.t.Helper()
	if !matrix.IsCode(err, code) {
		h.t.Errorf("got the error %v, want %s", err, code)
	}
}

// room is a public room of alice's that the others have joined.
func (h *house) room(joined ...string) string {
	h.t.Helper()
	made, err := h.rooms.Create(h.t.Context(), alice, rooms.CreateRequest{Preset: "public_chat"})
	h.ok(err)
	for _, user := range joined {
		h.ok(h.rooms.Join(h.t.Context(), user, made.RoomID, ""))
	}
	return made.RoomID
}

func (h *house) send(user, room, body string) string {
	h.t.Helper()
	content, err := json.Marshal(map[string]string{"msgtype": "m.text", "body": body})
	h.ok(err)
	id, err := h.rooms.Send(h.t.Context(), rooms.Request{UserID: user, RoomID: room}, "m.room.message", content)
	h.ok(err)
	return id
}

// kept is a row of the table, as an operator reads it; "-" for NULL.
type kept struct {
	Reporter, Room, Event, User, Reason string
	Score                               *int
	ReceivedAt                          int64
}

func (h *house) kept() []kept {
	h.t.Helper()
	rows, err := h.pool.Query(h.t.Context(), `
		SELECT reporter, coalesce(room_id, '-'), coalesce(event_id, '-'), coalesce(user_id, '-'), reason, score, received_at
		FROM reports ORDER BY id`)
	h.ok(err)
	all, err := pgx.CollectRows(rows, pgx.RowToStructByPos[kept])
	h.ok(err)
	return all
}

func (h *house) wantKept(want ...kept) {
	h.t.Helper()
	if diff := cmp.Diff(append([]kept{}, want...), h.kept()); diff != "" {
		h.t.Errorf("the reports (-want +got):\n%s", diff)
	}
}

func TestReportsAreKeptForTheOperator(t *testing.T) {
	h := newHouse(t)
	room := h.room(bob)
	said := h.send(alice, room, "something terrible")
	h.ok(h.Event(t.Context(), bob, room, said, "it is rude", new(-100)))
	h.advance(time.Millisecond)
	h.ok(h.Event(t.Context(), alice, room, said, "", nil))
	h.ok(h.Room(t.Context(), carol, room, "sorry for 'quotes' and \U0001F600"))
	h.ok(h.User(t.Context(), carol, alice, ""))
	h.wantKept(
		kept{bob, room, said, alice, "it is rude", new(-100), 1_700_000_000_000},
		kept{alice, room, said, alice, "", nil, 1_700_000_000_001},
		kept{carol, room, "-", "-", "sorry for 'quotes' and \U0001F600", nil, 1_700_000_000_001},
		kept{carol, "-", "-", alice, "", nil, 1_700_000_000_001},
	)
}

func TestReportsAreLoggedWithoutWhatWasWritten(t *testing.T) {
	h := newHouse(t)
	room := h.room(bob)
	said := h.send(alice, room, "something terrible")
	h.ok(h.Event(t.Context(), bob, room, said, "it is rude", nil))
	log := h.log.String()
	if strings.Count(log, "\n") != 1 || !strings.Contains(log, "level=INFO") {
		t.Errorf("want one line of level info, got:\n%s", log)
	}
	for _, part := range []string{bob, room, said, alice} {
		if !strings.Contains(log, part) {
			t.Errorf("%s is not in the log:\n%s", part, log)
		}
	}
	if strings.Contains(log, "terrible") || strings.Contains(log, "rude") {
		t.Errorf("what people have written is in the log:\n%s", log)
	}
}

func TestEventsAreReportedByWhoSeesThem(t *testing.T) {
	h := newHouse(t)
	room := h.room()
	_, err := h.rooms.SetState(t.Context(), rooms.Request{UserID: alice, RoomID: room}, "m.room.history_visibility", "",
		json.RawMessage(`{"history_visibility":"joined"}`))
	h.ok(err)
	before := h.send(alice, room, "among us")
	h.wantCode(h.Event(t.Context(), bob, room, before, "", nil), matrix.NotFound)
	h.ok(h.rooms.Join(t.Context(), bob, room, ""))
	during := h.send(alice, room, "welcome")
	h.wantCode(h.Event(t.Context(), bob, room, before, "", nil), matrix.NotFound)
	h.ok(h.Event(t.Context(), bob, room, during, "", nil))
	h.ok(h.rooms.Leave(t.Context(), bob, room, ""))
	h.wantCode(h.Event(t.Context(), bob, room, during, "", nil), matrix.NotFound)

	elsewhere := h.room(carol)
	for _, at := range [][2]string{
		{elsewhere, during}, {elsewhere, "$nonsense"}, {elsewhere, ""}, {"!nowhere:localhost", during},
	} {
		h.wantCode(h.Event(t.Context(), carol, at[0], at[1], "", nil), matrix.NotFound)
	}
	h.wantCode(h.Event(t.Context(), carol, "nonsense", during, "", nil), matrix.InvalidParam)
	h.wantKept(kept{bob, room, during, alice, "", nil, 1_700_000_000_000})
}

func TestRedactedEventsCanBeReported(t *testing.T) {
	h := newHouse(t)
	room := h.room(bob)
	said := h.send(alice, room, "something terrible")
	_, err := h.rooms.Redact(t.Context(), rooms.Request{UserID: alice, RoomID: room}, said, "")
	h.ok(err)
	h.ok(h.Event(t.Context(), bob, room, said, "I have seen it", nil))
}

func TestRoomsAndUsersThatAreNotThere(t *testing.T) {
	h := newHouse(t)
	h.wantCode(h.Room(t.Context(), alice, "!nowhere:localhost", ""), matrix.NotFound)
	h.wantCode(h.Room(t.Context(), alice, "nonsense", ""), matrix.InvalidParam)
	for _, user := range []string{"@nobody:localhost", "@bob:elsewhere.example", "nonsense", ""} {
		h.ok(h.User(t.Context(), alice, user, ""))
	}
	h.wantKept()
	if h.log.Len() != 0 {
		t.Errorf("logged: %s", h.log.String())
	}
}

func TestReasonsAndScoresHaveBounds(t *testing.T) {
	h := newHouse(t)
	room := h.room()
	said := h.send(alice, room, "hello")
	long := strings.Repeat("ü", 1000)
	h.ok(h.Event(t.Context(), alice, room, said, long, new(0)))
	h.ok(h.Room(t.Context(), alice, room, long))
	h.ok(h.User(t.Context(), alice, bob, long))
	h.wantCode(h.Event(t.Context(), alice, room, said, long+"!", nil), matrix.InvalidParam)
	h.wantCode(h.Room(t.Context(), alice, room, long+"!"), matrix.InvalidParam)
	h.wantCode(h.User(t.Context(), alice, bob, long+"!"), matrix.InvalidParam)
	for _, score := range []int{-101, 1, 1 << 40} {
		h.wantCode(h.Event(t.Context(), alice, room, said, "", &score), matrix.InvalidParam)
	}
	if n := len(h.kept()); n != 3 {
		t.Errorf("%d reports are kept, want 3", n)
	}
}

func TestTheLatestReportsAreKept(t *testing.T) {
	h := newHouse(t)
	h.ok(h.User(t.Context(), bob, alice, "of bob"))
	_, err := h.pool.Exec(t.Context(), `
		INSERT INTO reports (reporter, user_id, reason, received_at)
		SELECT $1, $2, n::text, 0 FROM generate_series(1, 1000) n`, alice, bob)
	h.ok(err)
	h.ok(h.User(t.Context(), alice, bob, "the last"))
	all := h.kept()
	if len(all) != 1001 || all[0].Reason != "of bob" || all[1].Reason != "2" || all[1000].Reason != "the last" {
		t.Errorf("%d reports are kept, from %+v to %+v", len(all), all[0], all[len(all)-1])
	}
}

func TestAReportThatCannotBeKeptIsNotAcknowledged(t *testing.T) {
	h := newHouse(t)
	room := h.room()
	said := h.send(alice, room, "hello")
	_, err := h.pool.Exec(t.Context(), `ALTER TABLE reports RENAME TO gone`)
	h.ok(err)
	for name, err := range map[string]error{
		"event": h.Event(t.Context(), alice, room, said, "", nil),
		"room":  h.Room(t.Context(), alice, room, ""),
		"user":  h.User(t.Context(), alice, bob, ""),
	} {
		if err == nil {
			t.Errorf("%s: a report that is not kept was acknowledged", name)
		}
	}
	if h.log.Len() != 0 {
		t.Errorf("logged: %s", h.log.String())
	}
}
