package rooms_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"homeserver/internal/journal"
	"homeserver/internal/matrix"
	"homeserver/internal/postgres/postgrestest"
	"homeserver/internal/rooms/roomstest"
	"homeserver/internal/rooms/timeline"
)

func TestMain(m *testing.M) { postgrestest.Main(m) }

const alice, bob, carol, dave = roomstest.Alice, roomstest.Bob, roomstest.Carol, roomstest.Dave

// env is the harness, with helpers for the tests of this package alone.
type env struct{ *roomstest.Env }

func newEnv(t *testing.T) *env {
	t.Helper()
	return &env{roomstest.New(t)}
}

// envOn starts the services of another server process on a database.
func envOn(t *testing.T, pool *pgxpool.Pool) *env {
	t.Helper()
	return envWith(t, roomstest.Options{Pool: pool})
}

func envWith(t *testing.T, o roomstest.Options) *env {
	t.Helper()
	return &env{roomstest.Open(t, o).Run()}
}

// all returns the events of a cursor.
func (h *env) all(c *timeline.Cursor) []*timeline.Event {
	h.T.Helper()
	events := []*timeline.Event{}
	for e, err := range c.All(h.T.Context()) {
		h.OK(err)
		events = append(events, e)
	}
	return events
}

func unmarshal(text []byte, into any) error { return json.Unmarshal(text, into) }

// shown returns an event as a reader gets it.
func shown(t testing.TB, f *timeline.Format, e *timeline.Event) (whole, unsigned roomstest.Object) {
	t.Helper()
	f.Now = time.UnixMilli(e.OriginServerTS + 1)
	text := f.AppendJSON(nil, e)
	if err := json.Unmarshal(text, &whole); err != nil {
		t.Fatalf("the event is no JSON: %v\n%s", err, text)
	}
	if err := json.Unmarshal(whole["unsigned"], &unsigned); err != nil {
		t.Fatalf("unsigned is no object: %v\n%s", err, text)
	}
	return whole, unsigned
}

// forClient checks that an error is one that a client may see.
func forClient(t testing.TB, what string, err error) {
	t.Helper()
	var e *matrix.Error
	if err != nil && !errors.As(err, &e) {
		t.Errorf("%s: an internal error: %v", what, err)
	}
}

// window returns all events in memory, as alice gets them.
func (h *env) window() (texts []string) {
	h.T.Helper()
	var entries []*journal.Entry
	h.Journal.Read(func(v journal.View) {
		for p := v.Position; p > 0 && v.At(p) != nil; p-- {
			entries = append(entries, v.At(p))
		}
	})
	for _, entry := range entries {
		if e := timeline.EventOf(entry); e != nil {
			texts = append(texts, string((&timeline.Format{UserID: alice, Now: time.UnixMilli(e.OriginServerTS)}).AppendJSON(nil, e)))
		}
	}
	return texts
}

// checkWindow checks that no event in memory contains a word.
func (h *env) checkWindow(what, word string) {
	h.T.Helper()
	for _, text := range h.window() {
		if strings.Contains(text, word) {
			h.T.Errorf("%s: in memory there is %s", what, text)
		}
	}
}
