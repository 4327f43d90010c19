package keybackup

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"homeserver/internal/postgres"
	"homeserver/internal/postgres/postgrestest"
	"homeserver/internal/rooms/roomstest"
)

func TestMain(m *testing.M) { postgrestest.Main(m) }

const alice, bob = roomstest.Alice, roomstest.Bob

// env is a database with the accounts of two users, and backups.
type env struct {
	*roomstest.Env
	*Service
	log bytes.Buffer
}

func newEnv(t *testing.T) *env {
	t.Helper()
	h := &env{Env: roomstest.New(t)}
	h.Service = New(h.Pool, postgres.NewDamage(slog.New(slog.NewTextHandler(&h.log, nil))))
	h.Account("alice")
	h.Account("bob")
	return h
}

// backup makes a backup and returns its version.
func (h *env) backup(userID string) string {
	h.T.Helper()
	version, err := h.Service.Create(h.T.Context(), userID, BackupRequest{Algorithm: new("m.megolm_backup.v1.curve25519-aes-sha2"), AuthData: []byte(`{}`)})
	h.OK(err)
	return version
}

// put adds keys and returns what the client learns of it.
func (h *env) put(userID, version string, rooms map[string]RoomRequest) State {
	h.T.Helper()
	state, err := h.PutKeys(h.T.Context(), userID, version, rooms)
	h.OK(err)
	return state
}

// batch is so many keys spread over rooms, with session_data of so many bytes.
func batch(rooms, sessions, bytes int) map[string]RoomRequest {
	all := map[string]RoomRequest{}
	data := json.RawMessage(`{"ciphertext":"` + strings.Repeat("x", max(0, bytes-17)) + `"}`)
	for r := range rooms {
		room := RoomRequest{Sessions: map[string]KeyRequest{}}
		for s := range sessions {
			room.Sessions[fmt.Sprintf("session %d of %d", s, r)] = request(false, 0, 0, data)
		}
		all[fmt.Sprintf("!room%d:localhost", r)] = room
	}
	return all
}

func request(verified bool, index, forwarded int64, data json.RawMessage) KeyRequest {
	return KeyRequest{&index, &forwarded, &verified, data}
}

// all reads a backup.
func (h *env) all(ctx context.Context, userID, version, room string) []Key {
	h.T.Helper()
	list, err := h.Keys(ctx, userID, version, room)
	h.OK(err)
	var keys []Key
	for k, err := range list.All(ctx) {
		h.OK(err)
		keys = append(keys, *k)
	}
	return keys
}

// number is what a query returns.
func (h *env) number(sql string, args ...any) (n int64) {
	h.T.Helper()
	h.OK(h.Pool.QueryRow(h.T.Context(), sql, args...).Scan(&n))
	return n
}

func (h *env) exec(sql string, args ...any) {
	h.T.Helper()
	_, err := h.Pool.Exec(h.T.Context(), sql, args...)
	h.OK(err)
}
