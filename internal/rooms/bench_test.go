package rooms_test

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"golang.org/x/sync/errgroup"

	"homeserver/internal/auth"
	"homeserver/internal/event"
	"homeserver/internal/journal"
	"homeserver/internal/journal/journalbench"
	"homeserver/internal/profile"
	"homeserver/internal/rooms"
)

// benchRooms is how many rooms "many rooms" are.
const benchRooms = 64

// bench is a server's rooms on a durable database.
type bench struct {
	*rooms.Service
	pool *pgxpool.Pool
	txns atomic.Int64
}

func newBench(b *testing.B) *bench {
	b.Helper()
	pool := journalbench.Open(b)
	j := journal.New(pool, journal.Options{})
	users := auth.New(pool, auth.Options{ServerName: "localhost"})
	signer := &event.Signer{ServerName: "localhost", KeyID: "ed25519:bench", Key: ed25519.NewKeyFromSeed(make([]byte, 32))}
	service, err := rooms.New(rooms.Options{Pool: pool, Journal: j, Profiles: profile.New(pool, users), Signer: signer})
	if err != nil {
		b.Fatal(err)
	}
	if err := j.Start(b.Context()); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := j.Stop(context.Background()); err != nil {
			b.Error(err)
		}
	})
	return &bench{Service: service, pool: pool}
}

func benchUser(i int) string { return fmt.Sprintf("@user%d:localhost", i) }

// room makes a room with so many members, of whom user 0 is the first.
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
	_, err := h.Send(b.Context(), q, "m.room.message", message("a message of the usual length, which is not very long"))
	return err
}

// bareRows are the tables that the bare loop writes, with the same indexes.
const bareRows = `
	CREATE TABLE bare_events (LIKE events INCLUDING ALL);
	CREATE TABLE bare_rooms (LIKE rooms INCLUDING ALL);
	INSERT INTO bare_rooms SELECT * FROM rooms`

type bareRow struct {
	room              journal.RoomNID
	eventID, txn, txt string
}

// bare starts a loop that writes what sending a message writes, with the bytes
// of an event that was sent.
func (h *bench) bare(b *testing.B) *journalbench.Loop[bareRow] {
	b.Helper()
	if _, err := h.pool.Exec(b.Context(), bareRows); err != nil {
		b.Fatal(err)
	}
	return journalbench.StartLoop(b, h.pool, func(batch *pgx.Batch, rows []bareRow) {
		n := len(rows)
		room, id, txn, raw := make([]journal.RoomNID, n), make([]string, n), make([]string, n), make([][]byte, n)
		for i, r := range rows {
			room[i], id[i], txn[i], raw[i] = r.room, r.eventID, r.txn, []byte(r.txt)
		}
		batch.Queue(`UPDATE bare_rooms SET head_event_id = n.id, depth = depth + 1
			FROM unnest($1::bigint[], $2::text[]) AS n(room, id) WHERE room_nid = n.room`, room, id)
		batch.Queue(`
			INSERT INTO bare_events (position, room_nid, event_id, type, sender, json, has_url, device_id, txn_id)
			SELECT j.position - $1 + n.i, n.room, n.id, 'm.room.message', '@user0:localhost', n.json, false, 'BENCHMARK', n.txn
			FROM bare_journal j, unnest($2::bigint[], $3::text[], $4::text[], $5::bytea[]) WITH ORDINALITY AS n(room, id, txn, json, i)`,
			n, room, id, txn, raw)
	})
}

func (h *bench) sample(b *testing.B) (nids []journal.RoomNID, text string) {
	b.Helper()
	err := h.pool.QueryRow(b.Context(), `
		SELECT (SELECT array_agg(room_nid) FROM rooms), convert_from(json, 'UTF8')
		FROM events WHERE type = 'm.room.message' LIMIT 1`).Scan(&nids, &text)
	if err != nil {
		b.Fatal(err)
	}
	return nids, text
}

// BenchmarkSend races sending against a bare group commit of the same rows.
func BenchmarkSend(b *testing.B) {
	h := newBench(b)
	list := make([]string, benchRooms)
	for i := range list {
		list[i] = h.room(b, benchRooms)
	}
	if err := h.send(b, 0, list[0]); err != nil {
		b.Fatal(err)
	}
	nids, text := h.sample(b)
	bare := h.bare(b)
	for _, c := range []struct {
		name  string
		rooms int
	}{{"one-room", 1}, {"many-rooms", benchRooms}} {
		for _, senders := range []int{1, 16, 64} {
			b.Run(fmt.Sprintf("%s/senders=%d", c.name, senders), func(b *testing.B) {
				journalbench.Race(b, senders,
					func(sender, _ int) error { return h.send(b, sender, list[sender%c.rooms]) },
					func(sender, _ int) error {
						id := "$" + rand.Text()[:20] + rand.Text()[:23]
						return bare.Commit(bareRow{nids[sender%c.rooms], id, id, text})
					})
			})
		}
	}
}

// BenchmarkSendToManyMembers races sending to a room of 10,000 members against
// sending to one of ten: in the place of the bare figures stand those of the
// small room.
func BenchmarkSendToManyMembers(b *testing.B) {
	h := newBench(b)
	small, large := h.room(b, 10), h.room(b, 10_000)
	for _, senders := range []int{1, 16, 64} {
		b.Run(fmt.Sprint("senders=", senders), func(b *testing.B) {
			journalbench.Race(b, senders,
				func(sender, _ int) error { return h.send(b, sender%10, large) },
				func(sender, _ int) error { return h.send(b, sender%10, small) })
		})
	}
}
