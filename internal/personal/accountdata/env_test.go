package accountdata_test

import (
	"encoding/json"
	"errors"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"

	"homeserver/internal/matrix"
	"homeserver/internal/personal/accountdata"
	"homeserver/internal/postgres/postgrestest"
	"homeserver/internal/rooms/roomstest"
)

func TestMain(m *testing.M) { postgrestest.Main(m) }

const alice, bob, carol = roomstest.Alice, roomstest.Bob, roomstest.Carol

// env is the harness with account data.
type env struct {
	*roomstest.Env
	*accountdata.Service
}

func newEnv(t *testing.T) *env {
	t.Helper()
	t.Parallel()
	return envOn(t, nil)
}

// envOn starts another server process, as it were, on a database; nil: a new one.
func envOn(t testing.TB, pool *pgxpool.Pool) *env {
	t.Helper()
	h := &env{Env: roomstest.Open(t, roomstest.Options{Pool: pool})}
	h.Service = accountdata.New(h.Pool, h.Journal, h.Rooms.Timeline, 0)
	h.Run()
	return h
}

func (h *env) set(user, room, typ, content string) {
	h.T.Helper()
	h.OK(h.Set(h.T.Context(), user, room, typ, json.RawMessage(content)))
}

// get returns an item, or the errcode.
func (h *env) get(user, room, typ string) string {
	h.T.Helper()
	content, err := h.Get(h.T.Context(), user, room, typ)
	if err != nil {
		var e *matrix.Error
		if !errors.As(err, &e) {
			h.T.Fatal(err)
		}
		return string(e.Code)
	}
	return string(content)
}
