package rooms_test

import (
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"
	"golang.org/x/sync/errgroup"

	"homeserver/cmd/homeserver-bench/bare"
	"homeserver/internal/journal/journalbench"
	"homeserver/internal/rooms"
	"homeserver/internal/rooms/roomstest"
)

// benchRooms is the number of rooms of the benchmarks with many rooms.
const benchRooms = 64

// bench has the rooms of a server on a durable database.
type bench struct {
	*rooms.Service
	pool *pgxpool.Pool
	txns atomic.Int64
}

func newBench(b *testing.B) *bench {
	b.Helper()
	pool := journalbench.Open(b)
	return &bench{Service: roomstest.Open(b, roomstest.Options{Pool: pool}).Run().Rooms, pool: pool}
}

func benchUser(i int) string { return fmt.Sprintf("@user%d:localhost", i) }

// room makes a room with a number of members, of which user 0 is the first.
func (h *bench) room(b *testing.B, members int) string {
	b.Helper()
	created, err := h.Create(b.Context(), benchUser(0), rooms.CreateRequest{Preset: "public_chat"})
	if err != nil {
		b.Fatal(err)
	}
	g, ctx := errgroup.WithContext(b.Context())
	g.SetLimit(64)
	for i := 1; i < members; i++ {
		g.Go(func() error { return h.Join(ctx, benchUser(i), created.RoomID, "") })
	}
	if err := g.Wait(); err != nil {
		b.Fatal(err)
	}
	return created.RoomID
}

// send sends a message as a client does, with a transaction ID of its own.
func (h *bench) send(b *testing.B, sender int, room string) error {
	q := rooms.Request{
		UserID: benchUser(sender), DeviceID: "BENCHMARK", RoomID: room, TxnID: fmt.Sprint(h.txns.Add(1)),
	}
	_, err := h.Send(b.Context(), q, "m.room.message", roomstest.Message("a message of the usual length, which is not very long"))
	return err
}

// BenchmarkSend races sending, without HTTP and without clients on the same
// processors, against a bare group commit of the same rows.
func BenchmarkSend(b *testing.B) {
	h := newBench(b)
	list := make([]string, benchRooms)
	for i := range list {
		list[i] = h.room(b, benchRooms)
	}
	if err := h.send(b, 0, list[0]); err != nil {
		b.Fatal(err)
	}
	ceiling, err := bare.StartMessages(b.Context(), h.pool)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(ceiling.Stop)
	for _, c := range []struct {
		name  string
		rooms int
	}{{"one-room", 1}, {"many-rooms", benchRooms}} {
		for _, senders := range []int{1, 16, 64} {
			b.Run(fmt.Sprintf("%s/senders=%d", c.name, senders), func(b *testing.B) {
				journalbench.Race(b, senders,
					func(sender, _ int) error { return h.send(b, sender, list[sender%c.rooms]) },
					func(sender, _ int) error { return ceiling.Commit(sender, c.rooms) })
			})
		}
	}
}
