package directory

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"homeserver/internal/journal"
	"homeserver/internal/reserve"
)

// aliased reads the ID of the room that an alias points to; "" if there is none.
func (s *Service) aliased(ctx context.Context, alias string) (roomID string, err error) {
	err = s.pool.QueryRow(ctx, `
		SELECT room_id FROM room_aliases JOIN rooms USING (room_nid) WHERE alias = $1`, alias).Scan(&roomID)
	if err != nil && !errors.Is(err, pgx.ErrNoRows) {
		return "", fmt.Errorf("resolve %s: %w", alias, err)
	}
	return roomID, nil
}

// Aliases lists the aliases of this server that point to a room, the oldest first.
func (s *Service) Aliases(ctx context.Context, room journal.RoomNID) ([]string, error) {
	aliases, err := reserve.Collect(ctx, func() pgx.Rows {
		rows, _ := s.pool.Query(ctx, `SELECT alias FROM room_aliases WHERE room_nid = $1 ORDER BY created_at, alias`, room)
		return rows
	}, pgx.RowTo[string], reserve.CostOfText)
	if err != nil {
		return nil, fmt.Errorf("list the aliases of a room: %w", err)
	}
	return aliases, nil
}

// AliasesOfRooms returns the aliases of this server that point to rooms.
func (s *Service) AliasesOfRooms(ctx context.Context, rooms []journal.RoomNID) (map[journal.RoomNID][]string, error) {
	rows, _ := s.pool.Query(ctx, `SELECT room_nid, alias FROM room_aliases WHERE room_nid = ANY($1)`, rooms)
	found := map[journal.RoomNID][]string{}
	var room journal.RoomNID
	var alias string
	_, err := pgx.ForEachRow(rows, []any{&room, &alias}, func() error {
		found[room] = append(found[room], alias)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("list the aliases of rooms: %w", err)
	}
	return found, nil
}

// AliasesOf lists some aliases of this server that point to the room of an ID: as many as are
// looked at for the server's own purposes.
func (s *Service) AliasesOf(ctx context.Context, roomID string) ([]string, error) {
	const most = 1000
	rows, _ := s.pool.Query(ctx, `
		SELECT alias FROM room_aliases JOIN rooms USING (room_nid) WHERE room_id = $1 ORDER BY created_at, alias LIMIT $2`, roomID, most)
	aliases, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return nil, fmt.Errorf("list the aliases of %s: %w", roomID, err)
	}
	return aliases, nil
}

// EachName calls do with the ID of each room and with each alias of this server.
func EachName(ctx context.Context, pool *pgxpool.Pool, do func(name string)) error {
	rows, _ := pool.Query(ctx, `SELECT room_id FROM rooms UNION ALL SELECT alias FROM room_aliases`)
	var name string
	if _, err := pgx.ForEachRow(rows, []any{&name}, func() error { do(name); return nil }); err != nil {
		return fmt.Errorf("list the names of rooms: %w", err)
	}
	return nil
}

// RoomsOf returns the IDs of the rooms that some aliases point to, by alias.
func (s *Service) RoomsOf(ctx context.Context, aliases []string) (map[string]string, error) {
	found := make(map[string]string, len(aliases))
	rows, _ := s.pool.Query(ctx, `SELECT alias, room_id FROM room_aliases JOIN rooms USING (room_nid) WHERE alias = ANY($1)`, aliases)
	var alias, roomID string
	_, err := pgx.ForEachRow(rows, []any{&alias, &roomID}, func() error {
		found[alias] = roomID
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("resolve %d aliases: %w", len(aliases), err)
	}
	return found, nil
}

// pointing lists those of some aliases that point to a room.
func (s *Service) pointing(ctx context.Context, room journal.RoomNID, aliases []string) ([]string, error) {
	rows, _ := s.pool.Query(ctx, `SELECT alias FROM room_aliases WHERE alias = ANY($1) AND room_nid = $2`, aliases, room)
	pointing, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return nil, fmt.Errorf("look which aliases point to a room: %w", err)
	}
	return pointing, nil
}

// QueueAlias queues an alias that is to point to a room.
func QueueAlias(b *pgx.Batch, alias string, room journal.RoomNID, creator string) {
	b.Queue(`INSERT INTO room_aliases (alias, room_nid, creator) VALUES ($1, $2, $3)`, alias, room, creator)
}

// QueueDeleteAlias queues the deletion of an alias. It does not check who made the alias.
func QueueDeleteAlias(b *pgx.Batch, alias string) {
	b.Queue(`DELETE FROM room_aliases WHERE alias = $1`, alias)
}

// deleteAlias deletes an alias if the user made it, or any is true. It reports whether
// it did.
func (s *Service) deleteAlias(ctx context.Context, userID, alias string, any bool) (deleted bool, err error) {
	tag, err := s.pool.Exec(ctx, `
		DELETE FROM room_aliases WHERE alias = $1 AND (creator = $2 OR $3)`, alias, userID, any)
	if err != nil {
		return false, fmt.Errorf("delete %s: %w", alias, err)
	}
	return tag.RowsAffected() > 0, nil
}

// isTaken reports whether a statement failed because there is such an alias already.
func isTaken(err error) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg) && pg.Code == "23505" && pg.ConstraintName == "room_aliases_pkey"
}
