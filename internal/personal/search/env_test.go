package search_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"

	"homeserver/internal/event"
	"homeserver/internal/personal/search"
	"homeserver/internal/postgres/postgrestest"
	"homeserver/internal/rooms"
	"homeserver/internal/rooms/roomstest"
	"homeserver/internal/rooms/timeline"
)

func TestMain(m *testing.M) { postgrestest.Main(m) }

const alice, bob, carol = roomstest.Alice, roomstest.Bob, roomstest.Carol

// env is the harness with searching.
type env struct {
	*roomstest.Env
	*search.Service
	ignored map[string]bool // by alice
}

func newEnv(t *testing.T) *env {
	t.Helper()
	t.Parallel()
	return envOn(t, nil)
}

// envOn starts another server process, as it were, on a database; nil: a new one.
func envOn(t *testing.T, pool *pgxpool.Pool) *env {
	t.Helper()
	h := &env{Env: roomstest.Open(t, roomstest.Options{Pool: pool}), ignored: map[string]bool{}}
	h.Profiles.OnChange(h.Rooms.UpdateProfile)
	h.Service = search.New(search.Options{
		Pool: h.Pool, Journal: h.Journal, Rooms: h.Rooms.Timeline, Log: slog.New(slog.DiscardHandler),
		Ignored: func(_ context.Context, userID string) (map[string]bool, error) {
			if userID == alice {
				return h.ignored, nil
			}
			return nil, nil
		},
	})
	h.Run()
	h.Start(t.Context())
	t.Cleanup(h.Stop)
	return h
}

func (h *env) set(room, evType, key, content string) string {
	h.T.Helper()
	id, err := h.Rooms.SetState(h.T.Context(), rooms.Request{UserID: alice, RoomID: room}, evType, key, json.RawMessage(content))
	h.OK(err)
	return id
}

// search searches as a user.
func (h *env) search(user string, c search.Criteria) *search.Results {
	h.T.Helper()
	r, err := h.Search(h.T.Context(), user, c)
	h.OK(err)
	return r
}

// find returns the texts that a user finds by a term, the newest first.
func (h *env) find(user, term string) []string {
	h.T.Helper()
	r := h.search(user, search.Criteria{Term: term, Order: search.OrderRecent})
	if int(r.Count) != len(r.Results) {
		h.T.Errorf("%s finds %d results by %q, and is told that there are %d", user, len(r.Results), term, r.Count)
	}
	return texts(r)
}

// texts returns the texts of the results, in their order.
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

// numbered sends messages "word 0", "word 1", …
func (h *env) numbered(user, room, word string, n int) {
	h.T.Helper()
	for i := range n {
		h.Send(user, room, fmt.Sprint(word, " ", i))
	}
}
