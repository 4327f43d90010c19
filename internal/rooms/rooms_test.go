package rooms_test

import (
	"context"
	"crypto/ed25519"
	"encoding/json"
	"fmt"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"

	"homeserver/internal/auth"
	"homeserver/internal/event"
	"homeserver/internal/journal"
	"homeserver/internal/matrix"
	"homeserver/internal/postgres/postgrestest"
	"homeserver/internal/profile"
	"homeserver/internal/rooms"
	"homeserver/internal/rooms/timeline"
)

func TestMain(m *testing.M) { postgrestest.Main(m) }

// house is the services of one server on a database of its own.
type house struct {
	*rooms.Service
	t        *testing.T
	pool     *pgxpool.Pool
	journal  *journal.Journal
	users    *auth.Service
	profiles *profile.Service
}

func newHouse(t *testing.T) *house {
	t.Helper()
	t.Parallel()
	return houseOn(t, postgrestest.New(t))
}

// houseOn starts another server process, as it were, on a database.
func houseOn(t *testing.T, pool *pgxpool.Pool) *house {
	t.Helper()
	return houseWith(t, pool, journal.Options{})
}

func houseWith(t *testing.T, pool *pgxpool.Pool, o journal.Options) *house {
	t.Helper()
	h := &house{t: t, pool: pool, journal: journal.New(pool, o)}
	h.users = auth.New(pool, auth.Options{ServerName: "localhost", GuestsEnabled: true})
	h.profiles = profile.New(pool, h.users)
	signer := &event.Signer{ServerName: "localhost", KeyID: "ed25519:test", Key: ed25519.NewKeyFromSeed(make([]byte, 32))}
	h.Service = rooms.New(rooms.Options{Pool: pool, Journal: h.journal, Profiles: h.profiles, Signer: signer, Guests: h.users.Guests})
	if err := h.journal.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := h.journal.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return h
}

const (
	alice = "@alice:localhost"
	bob   = "@bob:localhost"
	carol = "@carol:localhost"
)

func (h *house) create(creator string, q rooms.CreateRequest) string {
	h.t.Helper()
	created, err := h.Create(h.t.Context(), creator, q)
	if err != nil {
		h.t.Fatalf("create a room: %v", err)
	}
	return created.RoomID
}

// public makes a public room of alice's with the users in it.
func (h *house) public(joined ...string) string {
	h.t.Helper()
	room := h.create(alice, rooms.CreateRequest{Preset: "public_chat"})
	for _, user := range joined {
		if err := h.Join(h.t.Context(), user, room, ""); err != nil {
			h.t.Fatalf("%s joins: %v", user, err)
		}
	}
	return room
}

func (h *house) send(user, room, body string) string {
	h.t.Helper()
	id, err := h.Send(h.t.Context(), rooms.Request{UserID: user, RoomID: room}, "m.room.message", message(body))
	if err != nil {
		h.t.Fatalf("%s sends %q: %v", user, body, err)
	}
	return id
}

func message(body string) json.RawMessage {
	return json.RawMessage(fmt.Sprintf(`{"msgtype":"m.text","body":%q}`, body))
}

func (h *house) wantCode(err error, code matrix.Code) {
	h.t.Helper()
	if !matrix.IsCode(err, code) {
		h.t.Errorf("got error %v, want %s", err, code)
	}
}

func (h *house) ok(err error) {
	h.t.Helper()
	if err != nil {
		h.t.Fatal(err)
	}
}

// bodies gives the bodies of the messages that a user sees, oldest first.
func (h *house) bodies(user, room string) []string {
	h.t.Helper()
	st, err := h.Timeline.Messages(h.t.Context(), user, room, timeline.Page{Limit: 1000})
	h.ok(err)
	list := []string{}
	for _, e := range st.Events {
		if e.Type == "m.room.message" {
			body, _ := event.StringField(e.Content(), "body")
			list = append(list, body)
		}
	}
	return list
}
