package spaces_test

import (
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"homeserver/internal/rooms/roomstest"
	"homeserver/migrations"
)

// Spaces from before the state of rooms had the values of their children have the same
// tree.
func TestSpacesFromBeforeTheValuesOfChildren(t *testing.T) {
	t.Parallel()
	m := newModel(envOn(t, roomstest.Options{}), rand.New(rand.NewPCG(1, 1)))
	m.happen(100)
	values := func() []string {
		rows, _ := m.Pool.Query(t.Context(), `
			SELECT format('%s %s %s %s', room_nid, state_key, place, coalesce(value, 'none')) FROM room_state
			WHERE type = 'm.space.child' ORDER BY room_nid, state_key, place`)
		list, err := pgx.CollectRows(rows, pgx.RowTo[string])
		m.OK(err)
		return list
	}
	want := values()
	if len(want) < 100 {
		t.Fatalf("there are only %d", len(want))
	}
	_, err := m.Pool.Exec(t.Context(), `UPDATE room_state SET value = NULL WHERE type = 'm.space.child'`)
	m.OK(err)
	text, err := migrations.FS.ReadFile("00053_space_children.sql")
	m.OK(err)
	_, up, _ := strings.Cut(string(text), "-- +goose Up")
	_, err = m.Pool.Exec(t.Context(), up)
	m.OK(err)
	if diff := cmp.Diff(want, values()); diff != "" {
		t.Error(diff)
	}
}
