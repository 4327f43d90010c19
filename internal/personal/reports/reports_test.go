package reports_test

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"homeserver/internal/matrix"
	"homeserver/internal/matrixtest"
	"homeserver/internal/personal/reports"
	"homeserver/internal/postgres/postgrestest"
	"homeserver/internal/rooms"
	"homeserver/internal/rooms/roomstest"
)

func TestMain(m *testing.M) { postgrestest.Main(m) }

const alice, bob, carol = roomstest.Alice, roomstest.Bob, roomstest.Carol

// env is the harness with reports, and with accounts for the three users.
type env struct {
	*roomstest.Env
	*reports.Service
	log   bytes.Buffer
	clock matrixtest.Clock
}

func newEnv(t *testing.T, changes ...func(*reports.Options)) *env {
	t.Helper()
	h := &env{Env: roomstest.New(t)}
	o := reports.Options{
		Pool: h.Pool, Rooms: h.Rooms.Timeline,
		Log: slog.New(slog.NewTextHandler(&h.log, nil)), Now: h.clock.Now,
	}
	for _, change := range changes {
		change(&o)
	}
	h.Service = reports.New(o)
	for _, name := range []string{"alice", "bob", "carol"} {
		h.Account(name)
	}
	return h
}

// kept is a row of the table, as an operator reads it; "-" for NULL.
type kept struct {
	Reporter, Room, Event, User, Reason string
	Score                               *int
	ReceivedAt                          int64
}

func (h *env) kept() []kept {
	h.T.Helper()
	rows, err := h.Pool.Query(h.T.Context(), `
		SELECT reporter, coalesce(room_id, '-'), coalesce(event_id, '-'), coalesce(user_id, '-'), reason, score, received_at
		FROM reports ORDER BY id`)
	h.OK(err)
	all, err := pgx.CollectRows(rows, pgx.RowToStructByPos[kept])
	h.OK(err)
	return all
}

func (h *env) wantKept(want ...kept) {
	h.T.Helper()
	if diff := cmp.Diff(append([]kept{}, want...), h.kept()); diff != "" {
		h.T.Errorf("the reports (-want +got):\n%s", diff)
	}
}

func TestReportsAreKeptForTheOperator(t *testing.T) {
	h := newEnv(t)
	room := h.Public(bob)
	said := h.Send(alice, room, "something terrible")
	h.OK(h.Service.Event(t.Context(), bob, room, said, "it is rude", new(-100)))
	h.clock.Pass(time.Millisecond)
	h.OK(h.Service.Event(t.Context(), alice, room, said, "", nil))
	h.OK(h.Room(t.Context(), carol, room, "sorry for 'quotes' and \U0001F600"))
	h.OK(h.User(t.Context(), carol, alice, ""))
	h.wantKept(
		kept{bob, room, said, alice, "it is rude", new(-100), 1_700_000_000_000},
		kept{alice, room, said, alice, "", nil, 1_700_000_000_001},
		kept{carol, room, "-", "-", "sorry for 'quotes' and \U0001F600", nil, 1_700_000_000_001},
		kept{carol, "-", "-", alice, "", nil, 1_700_000_000_001},
	)
}

func TestReportsAreLoggedWithoutWhatWasWritten(t *testing.T) {
	h := newEnv(t)
	room := h.Public(bob)
	said := h.Send(alice, room, "something terrible")
	h.OK(h.Service.Event(t.Context(), bob, room, said, "it is rude", nil))
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
	h := newEnv(t)
	room := h.Public()
	_, err := h.Rooms.SetState(t.Context(), rooms.Request{UserID: alice, RoomID: room}, "m.room.history_visibility", "",
		json.RawMessage(`{"history_visibility":"joined"}`))
	h.OK(err)
	before := h.Send(alice, room, "among us")
	matrixtest.WantCode(h.T, h.Service.Event(t.Context(), bob, room, before, "", nil), matrix.NotFound)
	h.OK(h.Rooms.Join(t.Context(), bob, room, ""))
	during := h.Send(alice, room, "welcome")
	matrixtest.WantCode(h.T, h.Service.Event(t.Context(), bob, room, before, "", nil), matrix.NotFound)
	h.OK(h.Service.Event(t.Context(), bob, room, during, "", nil))
	h.OK(h.Rooms.Leave(t.Context(), bob, room, ""))
	matrixtest.WantCode(h.T, h.Service.Event(t.Context(), bob, room, during, "", nil), matrix.NotFound)

	elsewhere := h.Public(carol)
	for _, at := range [][2]string{
		{elsewhere, during}, {elsewhere, "$nonsense"}, {elsewhere, ""}, {"!nowhere:localhost", during},
	} {
		matrixtest.WantCode(h.T, h.Service.Event(t.Context(), carol, at[0], at[1], "", nil), matrix.NotFound)
	}
	matrixtest.WantCode(h.T, h.Service.Event(t.Context(), carol, "nonsense", during, "", nil), matrix.InvalidParam)
	h.wantKept(kept{bob, room, during, alice, "", nil, 1_700_000_000_000})
}

func TestRedactedEventsCanBeReported(t *testing.T) {
	h := newEnv(t)
	room := h.Public(bob)
	said := h.Send(alice, room, "something terrible")
	_, err := h.Rooms.Redact(t.Context(), rooms.Request{UserID: alice, RoomID: room}, said, "")
	h.OK(err)
	h.OK(h.Service.Event(t.Context(), bob, room, said, "I have seen it", nil))
}

func TestRoomsAndUsersThatAreNotThere(t *testing.T) {
	h := newEnv(t)
	matrixtest.WantCode(h.T, h.Room(t.Context(), alice, "!nowhere:localhost", ""), matrix.NotFound)
	matrixtest.WantCode(h.T, h.Room(t.Context(), alice, "nonsense", ""), matrix.InvalidParam)
	for _, user := range []string{"@nobody:localhost", "@bob:elsewhere.example", "nonsense", ""} {
		h.OK(h.User(t.Context(), alice, user, ""))
	}
	h.wantKept()
	if h.log.Len() != 0 {
		t.Errorf("logged: %s", h.log.String())
	}
}

func TestReasonsAndScoresHaveBounds(t *testing.T) {
	h := newEnv(t)
	room := h.Public()
	said := h.Send(alice, room, "hello")
	long := strings.Repeat("ü", 1000)
	h.OK(h.Service.Event(t.Context(), alice, room, said, long, new(0)))
	h.OK(h.Room(t.Context(), alice, room, long))
	h.OK(h.User(t.Context(), alice, bob, long))
	matrixtest.WantCode(h.T, h.Service.Event(t.Context(), alice, room, said, long+"!", nil), matrix.InvalidParam)
	matrixtest.WantCode(h.T, h.Room(t.Context(), alice, room, long+"!"), matrix.InvalidParam)
	matrixtest.WantCode(h.T, h.User(t.Context(), alice, bob, long+"!"), matrix.InvalidParam)
	for _, score := range []int{-101, 1, 1 << 40} {
		matrixtest.WantCode(h.T, h.Service.Event(t.Context(), alice, room, said, "", &score), matrix.InvalidParam)
	}
	if n := len(h.kept()); n != 3 {
		t.Errorf("%d reports are kept, want 3", n)
	}
}

func TestTheLatestReportsAreKept(t *testing.T) {
	h := newEnv(t)
	h.OK(h.User(t.Context(), bob, alice, "of bob"))
	_, err := h.Pool.Exec(t.Context(), `
		INSERT INTO reports (reporter, user_id, reason, received_at)
		SELECT $1, $2, n::text, 0 FROM generate_series(1, 1000) n`, alice, bob)
	h.OK(err)
	h.OK(h.User(t.Context(), alice, bob, "the last"))
	all := h.kept()
	if len(all) != 1001 || all[0].Reason != "of bob" || all[1].Reason != "2" || all[1000].Reason != "the last" {
		t.Errorf("%d reports are kept, from %+v to %+v", len(all), all[0], all[len(all)-1])
	}
}

func TestAReportThatCannotBeKeptIsNotAcknowledged(t *testing.T) {
	h := newEnv(t)
	room := h.Public()
	said := h.Send(alice, room, "hello")
	_, err := h.Pool.Exec(t.Context(), `ALTER TABLE reports RENAME TO gone`)
	h.OK(err)
	for name, err := range map[string]error{
		"event": h.Service.Event(t.Context(), alice, room, said, "", nil),
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
