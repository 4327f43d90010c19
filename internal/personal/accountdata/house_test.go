package accountdata_test

import (
	"context"
	"crypto/ed25519"
	"encoding/json"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"

	"homeserver/internal/event"
	"homeserver/internal/journal"
	"homeserver/internal/matrix"
	"homeserver/internal/personal/accountdata"
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

// house is the services of one server process.
type house struct {
	*accountdata.Service
	t       testing.TB
	pool    *pgxpool.Pool
	journal *journal.Journal
	rooms   *rooms.Service
}

func newHouse(t *testing.T) *house {
	t.Helper()
	t.Parallel()
	return houseOn(t, postgrestest.New(t))
}

// houseOn starts another server process, as it were, on a database.
func houseOn(t testing.TB, pool *pgxpool.Pool) *house {
	t.Helper()
	h := &house{t: t, pool: pool, journal: journal.New(pool, journal.Options{})}
	signer := &event.Signer{ServerName: "localhost", KeyID: "ed25519:test", Key: ed25519.NewKeyFromSeed(make([]byte, 32))}
	names := profile.New(pool)
	h.rooms = rooms.New(rooms.Options{Pool: pool, Journal: h.journal, Profiles: names, Signer: signer})
	h.Service = accountdata.New(pool, h.journal, h.rooms.Timeline, 0)
	h.ok(h.journal.Start(t.Context()))
	t.Cleanup(func() {
		if err := h.journal.Stop(context.WithoutCancel(t.Context())); err != nil {
			t.Errorf("stop the journal: %v", err)
		}
	})
	return h
}

func (h *house) ok(err error) {
	h.t.Helper()
	if err != nil {
		h.t.Fatal(err)
	}
}

func (h *house) room() string {
	h.t.Helper()
	created, err := h.rooms.Create(h.t.Context(), alice, rooms.CreateRequest{})
	h.ok(err)
	return created.RoomID
}

func (h *house) set(user, room, typ, content string) {
	h.t.Helper()
	h.ok(h.Set(h.t.Context(), user, room, typ, json.RawMessage(content)))
}

// get gives an item, or the errcode.
func (h *house) get(user, room, typ string) string {
	h.t.Helper()
	content, err := h.Get(h.t.Context(), user, room, typ)
	if err != nil {
		return string(code(err))
	}
	return string(content)
}

func code(err error) matrix.Code {
	for _, c := range []matrix.Code{
		matrix.BadJSON, matrix.NotJSON, matrix.NotFound, matrix.InvalidParam, matrix.TooLarge, matrix.Unknown,
	} {
		if matrix.IsCode(err, c) {
			return c
		}
	}
	return ""
}

func wantCode(t testing.TB, what string, err error, want matrix.Code) {
	t.Helper()
	if got := code(err); got != want || err == nil {
		t.Errorf("%s: got %v, want %s", what, err, want)
	}
}
