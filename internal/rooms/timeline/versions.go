package timeline

import (
	"context"
	"fmt"
	"sync"

	"github.com/jackc/pgx/v5"

	"homeserver/internal/event"
	"homeserver/internal/journal"
)

// roomVersions has the versions of rooms, which never change, so that they need not be read
// with each event. It may be used concurrently.
type roomVersions struct {
	mu    sync.RWMutex
	known map[journal.RoomNID]*event.Version
}

// mostVersions is how many rooms are known at most, in about 4 MB.
const mostVersions = 100_000

func newRoomVersions() *roomVersions {
	return &roomVersions{known: map[journal.RoomNID]*event.Version{}}
}

// of returns the version of a room, and whether it is known. It is nil where the room is of
// none that there is.
func (vs *roomVersions) of(room journal.RoomNID) (v *event.Version, known bool) {
	vs.mu.RLock()
	defer vs.mu.RUnlock()
	v, known = vs.known[room]
	return v, known
}

func (vs *roomVersions) add(room journal.RoomNID, version string) {
	v, _ := event.LookupVersion(version)
	vs.mu.Lock()
	defer vs.mu.Unlock()
	if len(vs.known) >= mostVersions {
		clear(vs.known)
	}
	vs.known[room] = v
}

// ensure reads the versions of those of some rooms that are not known.
func (vs *roomVersions) ensure(ctx context.Context, db querier, rooms []journal.RoomNID) error {
	var unknown []journal.RoomNID
	for _, room := range rooms {
		if _, known := vs.of(room); !known {
			unknown = append(unknown, room)
		}
	}
	if len(unknown) == 0 {
		return nil
	}
	return vs.read(ctx, db, unknown)
}

// read reads the versions of some rooms.
func (vs *roomVersions) read(ctx context.Context, db querier, rooms []journal.RoomNID) error {
	rows, _ := db.Query(ctx, `
		SELECT w.room_nid, coalesce(r.version, '') FROM unnest($1::bigint[]) AS w(room_nid)
		LEFT JOIN LATERAL (SELECT version FROM rooms WHERE room_nid = w.room_nid LIMIT 1) r ON true`, rooms)
	var room journal.RoomNID
	var version string
	_, err := pgx.ForEachRow(rows, []any{&room, &version}, func() error {
		vs.add(room, version)
		return nil
	})
	if err != nil {
		return fmt.Errorf("read the versions of rooms: %w", err)
	}
	return nil
}
