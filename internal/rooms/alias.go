package rooms

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"

	"github.com/jackc/pgx/v5"

	"homeserver/internal/event"
	"homeserver/internal/journal"
	"homeserver/internal/matrix"
	"homeserver/internal/rooms/timeline"
)

// checkLocalAlias refuses what is no alias of this server: M_INVALID_PARAM.
func (s *Service) checkLocalAlias(alias string) error {
	_, server, err := matrix.ParseRoomAlias(alias)
	if err != nil {
		return err
	}
	if server != s.serverName {
		return matrix.Errorf(matrix.InvalidParam, "this server keeps aliases that end in :%s only", s.serverName)
	}
	return nil
}

// ResolveAlias gives the ID of the room that an alias points to. M_NOT_FOUND
// if there is none, M_INVALID_PARAM if it is no alias. Anybody may ask.
// Client-server API, "Room aliases".
func (s *Service) ResolveAlias(ctx context.Context, alias string) (roomID string, err error) {
	if _, _, err := matrix.ParseRoomAlias(alias); err != nil {
		return "", err
	}
	err = s.pool.QueryRow(ctx, `
		SELECT room_id FROM room_aliases JOIN rooms USING (room_nid) WHERE alias = $1`, alias).Scan(&roomID)
	if errors.Is(err, pgx.ErrNoRows) {
		return "", matrix.Errorf(matrix.NotFound, "there is no room with the alias %s", alias)
	}
	if err != nil {
		return "", fmt.Errorf("resolve %s: %w", alias, err)
	}
	return roomID, nil
}

// Resolve gives the room ID for what is a room ID already, or an alias.
func (s *Service) Resolve(ctx context.Context, roomIDOrAlias string) (string, error) {
	if matrix.IsRoomID(roomIDOrAlias) {
		return roomIDOrAlias, nil
	}
	return s.ResolveAlias(ctx, roomIDOrAlias)
}

// CreateAlias makes an alias of this server point to a room. M_INVALID_PARAM if
// it is none, M_UNKNOWN with 409 if it is taken, M_NOT_FOUND if there is no such
// room, M_FORBIDDEN if the user is not in it.
func (s *Service) CreateAlias(ctx context.Context, userID, alias, roomID string) error {
	if err := s.checkLocalAlias(alias); err != nil {
		return err
	}
	nid, err := s.Timeline.Number(ctx, roomID)
	if err != nil {
		return err
	}
	access, err := s.Timeline.AccessIn(ctx, nid, userID)
	if err != nil {
		return err
	}
	if err := access.MustBeJoined(); err != nil {
		return err
	}
	b := &pgx.Batch{}
	queueAlias(b, alias, nid, userID)
	return aliasTakenOr(s.pool.SendBatch(ctx, b).Close())
}

func aliasTakenOr(err error) error {
	if err == nil {
		return nil
	}
	var taken *matrix.Error
	if errors.As(aliasTaken(err), &taken) {
		return &matrix.Error{Code: matrix.Unknown, Status: http.StatusConflict, Message: taken.Message}
	}
	return fmt.Errorf("create an alias: %w", err)
}

func queueAlias(b *pgx.Batch, alias string, room journal.RoomNID, creator string) {
	b.Queue(`INSERT INTO room_aliases (alias, room_nid, creator) VALUES ($1, $2, $3)`, alias, room, creator)
}

// DeleteAlias takes an alias away. Whoever made it may, a moderator who may set
// the room's canonical alias, and an administrator of the server; M_FORBIDDEN for
// others, M_NOT_FOUND if there is none. A moderator's deletion also takes it out
// of the room's published aliases.
// Client-server API, DELETE /directory/room/{roomAlias}.
func (s *Service) DeleteAlias(ctx context.Context, userID, alias string, admin bool) error {
	roomID, err := s.ResolveAlias(ctx, alias)
	if err != nil {
		return err
	}
	r, err := s.room(ctx, roomID)
	if err != nil {
		return err
	}
	moderator, err := s.mayPublishAliases(ctx, r, userID)
	if err != nil {
		return err
	}
	if moderator {
		done, err := s.unpublishAlias(ctx, userID, roomID, alias)
		if done || err != nil {
			return err
		}
	}
	tag, err := s.pool.Exec(ctx, `
		DELETE FROM room_aliases WHERE alias = $1 AND (creator = $2 OR $3)`, alias, userID, moderator || admin)
	if err != nil {
		return fmt.Errorf("delete %s: %w", alias, err)
	}
	if tag.RowsAffected() == 0 {
		return matrix.Errorf(matrix.Forbidden, "you did not make this alias, and may not change those of its room")
	}
	return nil
}

// mayPublishAliases reports whether a user may set the canonical alias of a room.
func (s *Service) mayPublishAliases(ctx context.Context, r *live, userID string) (bool, error) {
	state, err := s.Timeline.CurrentState(ctx, r.nid, []event.StateKey{
		{Type: event.TypeCreate}, {Type: event.TypePowerLevels}, {Type: event.TypeMember, Key: userID},
	})
	if err != nil {
		return false, err
	}
	current := timeline.Snapshot(state)
	levels, err := current.Event(event.TypePowerLevels, "").PowerLevels()
	if err != nil {
		return false, err
	}
	joined := current.Event(event.TypeMember, userID).Membership() == event.Join
	return joined && event.UserPower(r.version, current, userID) >= levels.Event(event.TypeCanonicalAlias, true), nil
}

// unpublishAlias deletes an alias and takes it out of m.room.canonical_alias, in
// one commit. It does nothing, and says so, where the alias is not published.
func (s *Service) unpublishAlias(ctx context.Context, userID, roomID, alias string) (done bool, err error) {
	key := ""
	_, err = s.add(ctx, roomID, draft{
		sender: userID, typ: event.TypeCanonicalAlias, stateKey: &key,
		prepare: func(d *draft, current *timeline.Event) (bool, error) {
			if done = false; current == nil {
				return true, nil
			}
			d.content, done = withoutAlias(current.Content(), alias)
			return !done, nil
		},
		also: func(b *pgx.Batch) { b.Queue(`DELETE FROM room_aliases WHERE alias = $1`, alias) },
	})
	return done, err
}

// withoutAlias gives the content of m.room.canonical_alias without an alias.
func withoutAlias(content []byte, alias string) (without []byte, found bool) {
	fields := map[string]json.RawMessage{}
	published, err := publishedAliases(content)
	if err != nil || json.Unmarshal(content, &fields) != nil || !slices.Contains(published.all(), alias) {
		return nil, false
	}
	if published.Alias == alias {
		delete(fields, "alias")
	}
	rest := slices.DeleteFunc(published.AltAliases, func(a string) bool { return a == alias })
	delete(fields, "alt_aliases")
	if len(rest) > 0 {
		fields["alt_aliases"], err = json.Marshal(rest)
	}
	if err == nil {
		without, err = json.Marshal(fields)
	}
	return without, err == nil
}

// Aliases lists the aliases of this server that point to a room. M_FORBIDDEN
// unless the user is in the room, or it is world_readable. Client-server API,
// GET /rooms/{roomId}/aliases.
func (s *Service) Aliases(ctx context.Context, userID, roomID string) ([]string, error) {
	nid, access, err := s.Timeline.Access(ctx, userID, roomID)
	if err != nil {
		return nil, err
	}
	if err := access.MayWatch(); err != nil {
		return nil, err
	}
	rows, _ := s.pool.Query(ctx, `SELECT alias FROM room_aliases WHERE room_nid = $1 ORDER BY created_at, alias`, nid)
	aliases, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return nil, fmt.Errorf("list the aliases of %s: %w", roomID, err)
	}
	return aliases, nil
}

// published is what m.room.canonical_alias names.
type published struct {
	Alias      string
	AltAliases []string
}

func (p *published) all() []string {
	if p.Alias == "" {
		return p.AltAliases
	}
	return append([]string{p.Alias}, p.AltAliases...)
}

// publishedAliases reads the content of m.room.canonical_alias: M_BAD_JSON where
// it is of another form. Keys count as they are written, in lower case.
func publishedAliases(content []byte) (*published, error) {
	fields := map[string]json.RawMessage{}
	if err := json.Unmarshal(content, &fields); err != nil {
		return nil, matrix.Errorf(matrix.BadJSON, "the content must be an object")
	}
	var p published
	for key, value := range map[string]any{"alias": &p.Alias, "alt_aliases": &p.AltAliases} {
		if raw, ok := fields[key]; ok && json.Unmarshal(raw, value) != nil {
			return nil, matrix.Errorf(matrix.BadJSON, "alias must be a string, and alt_aliases a list of strings")
		}
	}
	return &p, nil
}

// checkPublished refuses aliases that are new in m.room.canonical_alias and do
// not point to the room: M_INVALID_PARAM for what is no alias, M_BAD_ALIAS
// otherwise. Client-server API, PUT /rooms/{roomId}/state/{eventType}/{stateKey}.
func (s *Service) checkPublished(ctx context.Context, q Request, stateKey string, content []byte) error {
	nid, _, err := s.Timeline.Access(ctx, q.UserID, q.RoomID)
	if err != nil {
		return err
	}
	fresh, err := s.freshAliases(ctx, nid, stateKey, content)
	if err != nil || len(fresh) == 0 {
		return err
	}
	for _, alias := range fresh {
		if _, _, err := matrix.ParseRoomAlias(alias); err != nil {
			return err
		}
	}
	rows, _ := s.pool.Query(ctx, `SELECT alias FROM room_aliases WHERE alias = ANY($1) AND room_nid = $2`, fresh, nid)
	pointing, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return fmt.Errorf("check published aliases: %w", err)
	}
	for _, alias := range fresh {
		if !slices.Contains(pointing, alias) {
			return matrix.Errorf(matrix.BadAlias, "the alias %s does not point to this room", alias)
		}
	}
	return nil
}

// freshAliases lists the aliases that a content of m.room.canonical_alias would
// publish and the state there is does not.
func (s *Service) freshAliases(ctx context.Context, nid journal.RoomNID, stateKey string, content []byte) ([]string, error) {
	wanted, err := publishedAliases(content)
	if err != nil {
		return nil, err
	}
	key := event.StateKey{Type: event.TypeCanonicalAlias, Key: stateKey}
	state, err := s.Timeline.CurrentState(ctx, nid, []event.StateKey{key})
	if err != nil {
		return nil, err
	}
	fresh := wanted.all()
	if current := state[key]; current != nil {
		if before, err := publishedAliases(current.Content()); err == nil {
			fresh = slices.DeleteFunc(fresh, func(a string) bool { return slices.Contains(before.all(), a) })
		}
	}
	return fresh, nil
}
