package devicekeys

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"homeserver/internal/event"
	"homeserver/internal/journal"
	"homeserver/internal/postgres/postgrestest"
	"homeserver/internal/rooms/roomstest"
)

func TestMain(m *testing.M) { postgrestest.Main(m) }

const alice, bob, carol = roomstest.Alice, roomstest.Bob, roomstest.Carol

// env is the harness with the keys of devices.
type env struct {
	*roomstest.Env
	*Service
}

func newEnv(t *testing.T) *env {
	t.Helper()
	t.Parallel()
	return envOn(t, nil, journal.Options{Watch: time.Hour})
}

// envOn starts another server process, as it were, on a database; nil: a new one.
func envOn(t testing.TB, pool *pgxpool.Pool, o journal.Options) *env {
	t.Helper()
	h := &env{Env: roomstest.Open(t, roomstest.Options{Pool: pool, Journal: o})}
	h.Service = New(Options{Pool: h.Pool, Journal: h.Journal})
	h.Run()
	return h
}

// post commits changes of device lists in one transaction.
func (h *env) post(users ...string) {
	h.T.Helper()
	h.OK(pgx.BeginFunc(h.T.Context(), h.Pool, func(tx pgx.Tx) error {
		for _, userID := range users {
			if err := postChange(h.T.Context(), tx, userID); err != nil {
				return err
			}
		}
		return nil
	}))
}

// show waits until what was posted is shown.
func (h *env) show() {
	h.T.Helper()
	h.OK(h.changeShown(h.T.Context()))
}

// changed lists whose lists have changed, as far as a topic is concerned, after a position.
func (h *env) changed(topic journal.Topic, after journal.Position) []string {
	list := []string{}
	h.Journal.Read(func(v journal.View) {
		for _, e := range v.About(topic, after) {
			if c, ok := e.Value.(*Changed); ok {
				list = append(list, c.UserID)
			}
		}
	})
	return list
}

func (h *env) want(topic journal.Topic, after journal.Position, want ...string) {
	h.T.Helper()
	if got := h.changed(topic, after); !slices.Equal(got, append([]string{}, want...)) {
		h.T.Errorf("about %v: %q instead of %q", topic, got, want)
	}
}

func TestAChangeConcernsTheRoomsOfItsUserWhenItIsWritten(t *testing.T) {
	h := newEnv(t)
	shared, left, later, alone := h.Public(bob), h.Public(bob), h.Public(carol), h.Public()
	h.Leave(bob, left)
	h.post(bob)
	h.Join(bob, later) // after it was posted, and before it stands in the log
	h.post(bob)
	h.show()
	h.post(alice)
	h.show()
	h.want(journal.Topic{User: bob}, 0, bob, bob)
	h.want(journal.Topic{Room: h.NID(shared)}, 0, bob, alice)
	h.want(journal.Topic{Room: h.NID(later)}, 0, bob, alice)
	h.want(journal.Topic{Room: h.NID(left)}, 0)
	h.want(journal.Topic{Room: h.NID(alone)}, 0)
	h.want(journal.Topic{User: alice}, 0, alice)
}

func TestAnotherProcessLearnsOfChangesWithTheirRooms(t *testing.T) {
	h := newEnv(t)
	room, other := h.Public(bob), h.Public(bob, carol)
	there := envOn(t, h.Pool, journal.Options{Watch: time.Hour})
	there.show() // it looks into the outbox when it starts
	before := there.Journal.Position()
	h.post(bob) // which is overwritten
	h.show()
	h.Leave(bob, other)
	h.post(bob)
	h.post(alice)
	h.show()
	h.Join(bob, other)
	there.show()
	there.want(journal.Topic{Room: there.NID(room)}, before, bob, alice)
	there.want(journal.Topic{Room: there.NID(other)}, before, alice)
	there.want(journal.Topic{User: alice}, before, alice)
}

// topicReads counts the statements that read the rooms of users.
type topicReads struct{ atomic.Int64 }

func (r *topicReads) TraceQueryStart(ctx context.Context, _ *pgx.Conn, q pgx.TraceQueryStartData) context.Context {
	if strings.Contains(q.SQL, "joined_members > 1") {
		r.Add(1)
	}
	return ctx
}

func (r *topicReads) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData) {}

func TestTheManyRoomsOfUsersAreReadInOneStatement(t *testing.T) {
	t.Parallel()
	config := postgrestest.New(t).Config().Copy()
	reads := &topicReads{}
	config.ConnConfig.Tracer = reads
	pool, err := pgxpool.NewWithConfig(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	h := envOn(t, pool, journal.Options{Watch: time.Hour})
	h.show() // it looks into the outbox when it starts
	const rooms = 3000
	_, err = h.Pool.Exec(t.Context(), `
		WITH r AS (
			INSERT INTO rooms (room_nid, room_id, version, heads, depth, joined_members, invited_members)
			SELECT 1000000 + n, '!many' || n || ':localhost', '11', '{}', 1, 2, 0 FROM generate_series(1, $2) n RETURNING room_nid)
		INSERT INTO room_state (room_nid, type, state_key, event_nid, place, value)
		SELECT room_nid, $3, u, NULL, 0, 'join' FROM r, unnest(ARRAY[$1, $4]) u`, bob, rooms, event.TypeMember, alice)
	h.OK(err)
	h.post(bob)
	h.post(alice, bob)
	h.show()
	if n := reads.Load(); n != 1 {
		t.Errorf("there are %d statements", n)
	}
	h.want(journal.Topic{Room: 1_000_000 + rooms}, 0, alice, bob)
	h.want(journal.Topic{Room: 1_000_001}, 0, alice, bob)
	h.want(journal.Topic{User: bob}, 0, bob, bob)
	var stored []string
	rows, _ := h.Pool.Query(t.Context(), `SELECT user_id || ' ' || position FROM device_lists ORDER BY 1`)
	stored, err = pgx.CollectRows(rows, pgx.RowTo[string])
	h.OK(err)
	if want := fmt.Sprint([]string{alice + " 2", bob + " 3"}); fmt.Sprint(stored) != want {
		t.Errorf("stored is %v instead of %v", stored, want)
	}
}
