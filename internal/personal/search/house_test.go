package search_test

import (
	"context"
	"crypto/ed25519"
	"encoding/json"
	"fmt"
	"slices"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"

	"homeserver/internal/auth"
	"homeserver/internal/event"
	"homeserver/internal/journal"
	"homeserver/internal/matrix"
	"homeserver/internal/personal/search"
	"homeserver/internal/postgres/postgrestest"
	"homeserver/internal/profile"
	"homeserver/internal/rooms"
	"homeserver/internal/rooms/timeline"
)

func TestMain(m *testing.M) { postgrestest.Main(m) }

const (
	alice = "@alice:localhost"
	bob   = "@bob:localhost"
	carol = "@carol:localhost"
)

// house is the services of one server on a database of its own.
type house struct {
	*search.Service
	t       *testing.T
	pool    *pgxpool.Pool
	journal *journal.Journal
	users   *auth.Service
	profile *profile.Service
	rooms   *rooms.Service
	ignored map[string]bool // by alice
}

func newHouse(t *testing.T) *house {
	t.Helper()
	t.Parallel()
	pool := postgrestest.New(t)
	h := &house{t: t, pool: pool, journal: journal.New(pool, journal.Options{}), ignored: map[string]bool{}}
	h.users = auth.New(pool, auth.Options{ServerName: "localhost"})
	h.profile = profile.New(pool)
	signer := &event.Signer{ServerName: "localhost", KeyID: "ed25519:test", Key: ed25519.NewKeyFromSeed(make([]byte, 32))}
	h.rooms = rooms.New(rooms.Options{Pool: pool, Journal: h.journal, Profiles: h.profile, Signer: signer})
	h.profile.OnChange(h.rooms.UpdateProfile)
	h.Service = search.New(search.Options{
		Pool: pool, Journal: h.journal, Rooms: h.rooms.Timeline,
		Ignored: func(_ context.Context, userID string) (map[string]bool, error) {
			if userID == alice {
				return h.ignored, nil
			}
			return nil, nil
		},
	})
	h.ok(h.journal.Start(t.Context()))
	h.Start(t.Context())
	t.Cleanup(func() {
		h.Stop()
		if err := h.journal.Stop(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
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

// room makes a public room of alice's with the users in it.
func (h *house) room(joined ...string) string {
	h.t.Helper()
	created, err := h.rooms.Create(h.t.Context(), alice, rooms.CreateRequest{Preset: "public_chat"})
	h.ok(err)
	for _, user := range joined {
		h.join(user, created.RoomID)
	}
	return created.RoomID
}

func (h *house) join(user, room string) {
	h.t.Helper()
	h.ok(h.rooms.Join(h.t.Context(), user, room, ""))
}

func (h *house) leave(user, room string) {
	h.t.Helper()
	h.ok(h.rooms.Leave(h.t.Context(), user, room, ""))
}

func (h *house) send(user, room, body string) string {
	h.t.Helper()
	content, err := json.Marshal(map[string]string{"msgtype": "m.text", "body": body})
	h.ok(err)
	return h.sendEvent(user, room, "m.room.message", string(content))
}

func (h *house) sendEvent(user, room, evType, content string) string {
	h.t.Helper()
	id, err := h.rooms.Send(h.t.Context(), rooms.Request{UserID: user, RoomID: room}, evType, json.RawMessage(content))
	h.ok(err)
	return id
}

func (h *house) set(room, evType, key, content string) string {
	h.t.Helper()
	id, err := h.rooms.SetState(h.t.Context(), rooms.Request{UserID: alice, RoomID: room}, evType, key, json.RawMessage(content))
	h.ok(err)
	return id
}

// search searches as a user.
func (h *house) search(user string, c search.Criteria) *search.Results {
	h.t.Helper()
	r, err := h.Search(h.t.Context(), user, c)
	h.ok(err)
	return r
}

// find gives the texts that a user finds by a term, the newest first.
func (h *house) find(user, term string) []string {
	h.t.Helper()
	r := h.search(user, search.Criteria{Term: term, Order: search.OrderRecent})
	if int(r.Count) != len(r.Results) {
		h.t.Errorf("%s finds %d results by %q, and is told that there are %d", user, len(r.Results), term, r.Count)
	}
	return texts(r)
}

// texts gives what makes the results known, in their order.
func texts(r *search.Results) []string {
	list := []string{}
	for _, result := range r.Results {
		list = append(list, textOf(result.Event))
	}
	return list
}

func textOf(e *timeline.Event) string {
	for _, field := range []string{"body", "name", "topic"} {
		if text, ok := event.StringField(e.Content(), field); ok {
			return text
		}
	}
	return e.Type
}

func bodiesOf(events []*timeline.Event) []string {
	list := []string{}
	for _, e := range events {
		list = append(list, textOf(e))
	}
	return list
}

func equal(t *testing.T, what string, got, want []string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s: got %q, want %q", what, got, want)
	}
}

func wantCode(t *testing.T, what string, err error, code matrix.Code) {
	t.Helper()
	if !matrix.IsCode(err, code) {
		t.Errorf("%s: got %v, want %s", what, err, code)
	}
}

// numbered sends messages "word 0", "word 1", …
func (h *house) numbered(user, room, word string, n int) {
	h.t.Helper()
	for i := range n {
		h.send(user, room, fmt.Sprint(word, " ", i))
	}
}
