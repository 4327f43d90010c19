package syncstream_test

import (
	"context"
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"golang.org/x/sync/errgroup"

	"homeserver/internal/journal"
	"homeserver/internal/matrixtest"
	"homeserver/internal/personal/presence"
	"homeserver/internal/postgres/postgrestest"
	"homeserver/internal/reserve"
	"homeserver/internal/syncstream"
)

// envWithPast is a server that reads all from the tables, and in whose database the
// positions up to 10,000 are free.
func envWithPast(t *testing.T) *env {
	t.Helper()
	t.Parallel()
	pool := postgrestest.New(t)
	err := pgx.BeginFunc(t.Context(), pool, func(tx pgx.Tx) error { return journal.Skip(t.Context(), tx, 10_000) })
	if err != nil {
		t.Fatal(err)
	}
	return envOn(t, pool, journal.Options{WindowBytes: 1})
}

// mustExec runs a statement on the database.
func (h *env) mustExec(sql string, args ...any) {
	h.T.Helper()
	_, err := h.Pool.Exec(h.T.Context(), sql, args...)
	h.OK(err)
}

// number returns the number of a room.
func (h *env) number(room string) journal.RoomNID {
	h.T.Helper()
	nid, err := h.Rooms.Timeline.Number(h.T.Context(), room)
	h.OK(err)
	return nid
}

// readIn stores receipts of many users in a room, at the positions after the given one.
func (h *env) readIn(room string, after, users int) {
	h.T.Helper()
	h.mustExec(`
		INSERT INTO receipts (room_nid, user_id, type, thread_id, event_id, event_place, ts, position)
		SELECT $1, '@user' || n || ':localhost', 'm.read', CASE WHEN n % 3 = 0 THEN 'main' ELSE '' END, '$event' || n % 7, n % 7, n, $2 + n
		FROM generate_series(1, $3) n`, h.number(room), after, users)
}

// withMemory is the context of a request for which so many bytes are shared by four.
func withMemory(ctx context.Context, total int64) context.Context {
	return reserve.With(ctx, reserve.New(total, nil).Open(bob))
}

// TestWhatIsReadInPartsIsToldAsIfItWereNot asks for account data and receipts with much
// memory and with little.
func TestWhatIsReadInPartsIsToldAsIfItWereNot(t *testing.T) {
	h := envWithPast(t)
	one, two, left := h.Public(bob), h.Public(bob), h.Public(bob)
	since := h.Journal.Position()
	for i, room := range []string{"", one, two, left} {
		for n := range 40 {
			typ := "org.example." + fmt.Sprint(n%2, ".", n)
			h.store(bob, room, typ, fmt.Sprintf(`{"n":%d,"a":%q}`, n, strings.Repeat("a", 3000)))
		}
		if room != "" {
			h.readIn(room, 1000*i, 400)
			h.say(alice, room, "hello")
		}
	}
	h.readIn(h.Public(), 5000, 5) // of a room that is nobody's business
	h.store(bob, "", "m.ignored_user_list", `{"ignored_users":{"@user5:localhost":{}}}`)
	h.Leave(bob, left)
	for name, filter := range map[string]string{
		"everything":   `{"room":{"include_leave":true}}`,
		"some types":   `{"account_data":{"types":["org.example.0.*"]},"room":{"account_data":{"types":["org.example.1.*"]}}}`,
		"no receipts":  `{"room":{"ephemeral":{"types":["m.typing"]}}}`,
		"of one room":  fmt.Sprintf(`{"room":{"rooms":[%q]}}`, two),
		"nothing much": `{"account_data":{"types":[]},"room":{"account_data":{"types":[]}}}`,
	} {
		for _, from := range []string{"", syncstream.FormatToken(since), syncstream.FormatToken(h.Journal.Position() - 1)} {
			var want string
			for _, total := range []int64{1 << 30, 1 << 20} {
				ctx := withMemory(t.Context(), total)
				answer, err := h.Sync(ctx, syncstream.Query{UserID: bob, DeviceID: "D", Since: from, Filter: filter})
				h.OK(err)
				got := string(writtenIn(ctx, t, answer))
				if want == "" {
					want = got
				}
				if got != want {
					t.Errorf("%s since %q: in parts it is %d bytes, as a whole %d", name, from, len(got), len(want))
				}
			}
		}
	}
	for _, from := range []string{syncstream.FormatToken(0), syncstream.FormatToken(since)} {
		var want map[string]any
		for _, total := range []int64{1 << 30, 1 << 20} {
			ctx := withMemory(t.Context(), total)
			c, err := h.Stream(ctx, syncstream.EventsQuery{UserID: bob, DeviceID: "D", From: from})
			h.OK(err)
			var got map[string]any
			h.OK(json.Unmarshal(writtenIn(ctx, t, c), &got))
			if want == nil {
				want = got
			}
			if len(got["chunk"].([]any)) != len(want["chunk"].([]any)) {
				t.Errorf("events since %q: in parts there are %d, as a whole %d", from, len(got["chunk"].([]any)), len(want["chunk"].([]any)))
			}
		}
	}
}

// TestReceiptsOfOneRoomThatAreTooManyForOneReadAreTold splits them into more events than
// one for each thread.
func TestReceiptsOfOneRoomThatAreTooManyForOneReadAreTold(t *testing.T) {
	h := envWithPast(t)
	room := h.Public(bob)
	h.readIn(room, 0, 5000)
	all := func(total int64) (merged map[string]any, events int) {
		ctx := withMemory(t.Context(), total)
		found, err := h.Sync(ctx, syncstream.Query{UserID: bob, DeviceID: "D"})
		h.OK(err)
		var a answer
		h.OK(json.Unmarshal(writtenIn(ctx, t, found), &a))
		merged = map[string]any{}
		for _, e := range a.in(t, room).Ephemeral.Events {
			events++
			for id, types := range e.Content {
				for user, receipt := range types.(map[string]any)["m.read"].(map[string]any) {
					merged[id+" "+user] = receipt
				}
			}
		}
		return merged, events
	}
	want, whole := all(1 << 30)
	got, parts := all(1 << 20)
	if len(want) != 5000 || !reflect.DeepEqual(got, want) || whole != 2 || parts <= 2 {
		t.Errorf("of %d receipts in %d events there are %d, in %d events", len(want), whole, len(got), parts)
	}
}

// In TestManyUsersWithTheMostAccountDataAreAllAnswered all of them ask at once, with memory
// that does not hold what one of them has stored.
func TestManyUsersWithTheMostAccountDataAreAllAnswered(t *testing.T) {
	matrixtest.Long(t)
	const users, items, total = 8, 32, 16 << 20
	h := envWithPast(t)
	h.mustExec(`
		INSERT INTO account_data (user_id, room_nid, type, content, position)
		SELECT '@user' || u || ':localhost', 0, 'org.example.' || n, convert_to('{"a":"' || repeat('a', 1000000) || '"}', 'UTF8'), $2 * u + n
		FROM generate_series(1, $1) u, generate_series(1, $2) n`, users, items)
	memory := reserve.New(total, nil)
	var at errgroup.Group
	for n := range users {
		at.Go(func() error {
			user := fmt.Sprintf("@user%d:localhost", n+1)
			account := memory.Open(user)
			defer account.Close()
			ctx := reserve.With(t.Context(), account)
			answer, err := h.Sync(ctx, syncstream.Query{UserID: user, SetPresence: presence.Offline})
			if err != nil {
				return fmt.Errorf("%s: %w", user, err)
			}
			sent, most := 0, int64(0)
			w := reserve.NewWriter(nil, func(piece []byte) error {
				sent, most = sent+len(piece), max(most, reserve.Used(ctx))
				return nil
			})
			if err := answer.WriteJSON(ctx, w); err != nil {
				return fmt.Errorf("%s: %w", user, err)
			}
			if sent < items*1_000_000 || most > total/4 {
				t.Errorf("%s got %d bytes, for which %d were held", user, sent, most)
			}
			return nil
		})
	}
	h.OK(at.Wait())
	if held := memory.Held(); held != 0 {
		t.Errorf("%d bytes are held for nobody", held)
	}
}
