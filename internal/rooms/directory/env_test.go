package directory_test

import (
	"testing"

	"homeserver/internal/postgres/postgrestest"
	"homeserver/internal/rooms/roomstest"
)

func TestMain(m *testing.M) { postgrestest.Main(m) }

const alice, bob, carol, dave = roomstest.Alice, roomstest.Bob, roomstest.Carol, roomstest.Dave

// env is the harness, with helpers for the tests of this package alone.
type env struct{ *roomstest.Env }

func newEnv(t *testing.T) *env {
	t.Helper()
	return &env{roomstest.New(t)}
}
