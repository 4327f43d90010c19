package todevice

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5/pgxpool"

	"homeserver/internal/journal"
	"homeserver/internal/journal/replica"
	"homeserver/internal/matrix"
	"homeserver/internal/matrixtest"
	"homeserver/internal/postgres/postgrestest"
	"homeserver/internal/rooms/roomstest"
)

func TestMain(m *testing.M) { postgrestest.Main(m) }

// env is one server process.
type env struct {
	*roomstest.Env
	*Service
	channel *replica.Channel
	txn     int
}

// envOn starts a process on a database; nil: a new one.
func envOn(t *testing.T, pool *pgxpool.Pool, changes ...func(*Options, *journal.Options)) *env {
	t.Helper()
	if pool == nil {
		pool = postgrestest.New(t)
	}
	h := &env{channel: replica.New(pool, slog.New(slog.DiscardHandler))}
	o, j := Options{Pool: pool, Channel: h.channel, ServerName: "localhost"}, journal.Options{Channel: h.channel, Watch: time.Hour}
	for _, change := range changes {
		change(&o, &j)
	}
	h.Env = roomstest.Open(t, roomstest.Options{Pool: pool, Journal: j})
	o.Journal = h.Env.Journal
	h.Service = New(o)
	h.Users.Sessions.OnRemove(DeleteOfDevices)
	h.Users.Sessions.OnRemove(h.Leaving)
	h.OK(h.channel.Start(t.Context()))
	t.Cleanup(h.channel.Stop)
	h.Run()
	h.Start(t.Context())
	t.Cleanup(h.Stop)
	return h
}

// together starts two processes on a database that know of each other.
func together(t *testing.T) (one, other *env) {
	t.Helper()
	one = envOn(t, nil)
	other = envOn(t, one.Pool)
	matrixtest.Until(t, "the processes hear of each other", func() bool { return !one.channel.Alone() && !other.channel.Alone() })
	return one, other
}

// send sends a message with an n to all devices of users.
func (h *env) send(from matrix.Session, text string, to ...matrix.Session) {
	h.T.Helper()
	h.txn++
	h.OK(h.try(from, fmt.Sprint(h.txn), text, to...))
}

func (h *env) try(from matrix.Session, txn, text string, to ...matrix.Session) error {
	messages := map[string]map[string]json.RawMessage{}
	for _, user := range to {
		messages[user.UserID] = map[string]json.RawMessage{"*": json.RawMessage(`{"n":"` + text + `"}`)}
	}
	return h.Service.Send(h.T.Context(), from, "m.x", txn, messages)
}

// page reads what waits for a device after a position, and returns the contents' n.
func (h *env) page(who matrix.Session, after journal.Position) (list []string, upTo journal.Position) {
	h.T.Helper()
	q, err := h.Queue(h.T.Context(), who.UserID, who.DeviceID)
	h.OK(err)
	var w *Waiting
	h.Env.Journal.Read(func(view journal.View) { w = q.Look(view, after) })
	messages, upTo, err := h.Read(h.T.Context(), w)
	h.OK(err)
	for _, m := range messages {
		var content struct{ N string }
		h.OK(json.Unmarshal(m.Content, &content))
		list = append(list, content.N)
	}
	return list, upTo
}

func (h *env) wants(who matrix.Session, after journal.Position, want ...string) {
	h.T.Helper()
	got, _ := h.page(who, after)
	if diff := cmp.Diff(want, got); diff != "" {
		h.T.Errorf("messages to %s (-want +got):\n%s", who.DeviceID, diff)
	}
}

func (h *env) acknowledge(who matrix.Session, upTo journal.Position) {
	h.T.Helper()
	q, err := h.Queue(h.T.Context(), who.UserID, who.DeviceID)
	h.OK(err)
	h.Env.Journal.Read(func(view journal.View) { h.Acknowledge(q, view, upTo) })
}

// stored counts the rows of a table.
func (h *env) stored(table string) (n int) {
	h.T.Helper()
	h.OK(h.Pool.QueryRow(h.T.Context(), `SELECT count(*) FROM `+table).Scan(&n))
	return n
}
