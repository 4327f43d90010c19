package timeline_test

import (
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"

	"homeserver/internal/event"
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
	return &env{roomstest.Open(t, roomstest.Options{Pool: pool}).Run()}
}

// eventOfType returns an event that has a type and nothing else.
func eventOfType(evType string) *timeline.Event {
	return &timeline.Event{Event: &event.Event{Type: evType, Content: []byte(`{}`)}}
}
