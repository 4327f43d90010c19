package devicekeys_test

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"homeserver/internal/auth/uia"
	"homeserver/internal/e2ee/devicekeys"
	"homeserver/internal/journal"
	"homeserver/internal/journal/replica"
	"homeserver/internal/matrix"
	"homeserver/internal/matrixtest"
	"homeserver/internal/postgres/postgrestest"
	"homeserver/internal/rooms/roomstest"
)

// env is one server process.
type env struct {
	*roomstest.Env
	*devicekeys.Service
	channel *replica.Channel
}

// envOn starts a process on a database; nil: a new one.
func envOn(t testing.TB, pool *pgxpool.Pool) *env {
	t.Helper()
	return envWith(t, pool, func(*devicekeys.Options) {})
}

// envWith does the same with other options than usual.
func envWith(t testing.TB, pool *pgxpool.Pool, change func(*devicekeys.Options)) *env {
	t.Helper()
	if pool == nil {
		pool = postgrestest.New(t)
	}
	h := &env{channel: replica.New(pool, slog.New(slog.DiscardHandler))}
	h.Env = roomstest.Open(t, roomstest.Options{Pool: pool, Journal: journal.Options{Channel: h.channel, Watch: time.Hour}})
	o := devicekeys.Options{
		Pool: pool, Journal: h.Journal, Rooms: h.Rooms.Timeline, Stages: uia.New(pool, nil), Channel: h.channel, ServerName: "localhost",
	}
	change(&o)
	h.Service = devicekeys.New(o)
	h.OK(h.channel.Start(t.Context()))
	t.Cleanup(h.channel.Stop)
	h.Run()
	return h
}

// together starts two processes on a database that know of each other.
func together(t testing.TB) (one, other *env) {
	t.Helper()
	one = envOn(t, nil)
	other = envOn(t, one.Pool)
	matrixtest.Until(t, "the processes hear of each other", func() bool { return !one.channel.Alone() && !other.channel.Alone() })
	return one, other
}

// oneTimeKeys makes keys that are not signed, with IDs from a number on.
func oneTimeKeys(from, n int) map[string]json.RawMessage {
	keys := map[string]json.RawMessage{}
	for i := range n {
		keys[fmt.Sprintf("curve25519:%06d", from+i)] = json.RawMessage(`"` + keyText(from+i) + `"`)
	}
	return keys
}

// keyText is the key with a number.
func keyText(n int) string { return fmt.Sprintf("%042dA", n) }

// give uploads one-time keys.
func (h *env) give(who matrix.Session, from, n int) {
	h.T.Helper()
	_, err := h.Upload(h.T.Context(), who, devicekeys.UploadRequest{OneTimeKeys: oneTimeKeys(from, n)})
	h.OK(err)
}

// left is how many one-time keys a device has.
func (h *env) left(who matrix.Session) int64 {
	h.T.Helper()
	counts, err := h.Counts(h.T.Context(), who.UserID, who.DeviceID)
	h.OK(err)
	return counts.OneTime["curve25519"]
}

// claiming asks for a key of each device.
func claiming(devices ...matrix.Session) devicekeys.ClaimRequest {
	wanted := map[string]map[string]string{}
	for _, d := range devices {
		if wanted[d.UserID] == nil {
			wanted[d.UserID] = map[string]string{}
		}
		wanted[d.UserID][d.DeviceID] = "curve25519"
	}
	return devicekeys.ClaimRequest{OneTimeKeys: wanted}
}
