package directory

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"

	"github.com/jackc/pgx/v5"

	"homeserver/internal/journal"
	"homeserver/internal/matrix"
)

// CheckLocalAlias returns M_INVALID_PARAM for a text that is no alias of this server.
func (s *Service) CheckLocalAlias(alias string) error {
	_, server, err := matrix.ParseRoomAlias(alias)
	if err != nil {
		return err
	}
	if server != s.serverName {
		return matrix.Errorf(matrix.InvalidParam, "this server keeps aliases that end in :%s only", s.serverName)
	}
	return nil
}

// ResolveAlias returns the ID of the room that an alias points to, which an application service
// may make meanwhile. M_NOT_FOUND if there
// is none, M_INVALID_PARAM if it is no alias. Anybody may ask. Client-server API, "Room
// aliases".
func (s *Service) ResolveAlias(ctx context.Context, alias string) (roomID string, err error) {
	if _, _, err := matrix.ParseRoomAlias(alias); err != nil {
		return "", err
	}
	roomID, err = s.aliased(ctx, alias)
	if err == nil && roomID == "" && s.ask != nil {
		var exists bool
		if exists, err = s.ask(ctx, alias); exists {
			roomID, err = s.aliased(ctx, alias)
		}
	}
	if err == nil && roomID == "" {
		err = matrix.Errorf(matrix.NotFound, "there is no room with the alias %s", alias)
	}
	return roomID, err
}

// Resolve returns the room ID that a room ID or an alias stands for.
func (s *Service) Resolve(ctx context.Context, roomIDOrAlias string) (string, error) {
	if matrix.IsRoomID(roomIDOrAlias) {
		return roomIDOrAlias, nil
	}
	return s.ResolveAlias(ctx, roomIDOrAlias)
}

// messageTaken is the text for an alias that there is already.
const messageTaken = "this alias is taken"

// ErrTaken returns M_ROOM_IN_USE where a commit failed because an alias is taken, else the
// error as it is.
func ErrTaken(err error) error {
	if isTaken(err) {
		return matrix.Errorf(matrix.RoomInUse, messageTaken)
	}
	return err
}

// CreateAlias makes an alias point to a room. M_INVALID_PARAM if it is none of this server,
// M_UNKNOWN with 409 if it is taken.
func (s *Service) CreateAlias(ctx context.Context, creator, alias string, room journal.RoomNID) error {
	if err := s.CheckLocalAlias(alias); err != nil {
		return err
	}
	b := &pgx.Batch{}
	QueueAlias(b, alias, room, creator)
	err := s.pool.SendBatch(ctx, b).Close()
	switch {
	case err == nil:
		s.onAlias(room)
		return nil
	case isTaken(err):
		return &matrix.Error{Code: matrix.Unknown, Status: http.StatusConflict, Message: messageTaken}
	}
	return fmt.Errorf("create an alias: %w", err)
}

// WithoutAlias returns the content of m.room.canonical_alias without an alias, and whether
// it was there.
func WithoutAlias(content []byte, alias string) (without []byte, found bool) {
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

// PublishedHere returns those aliases in a content of m.room.canonical_alias that point to
// a room of this server.
func (s *Service) PublishedHere(ctx context.Context, room journal.RoomNID, content []byte) ([]string, error) {
	published, err := publishedAliases(content)
	if err != nil || len(published.all()) == 0 {
		return nil, nil // a content of another form publishes nothing
	}
	return s.pointing(ctx, room, published.all())
}

// Divide divides a content of m.room.canonical_alias, by some of its aliases that move to
// another room: into what stays, and what is published there.
func Divide(content []byte, moved []string) (rest, there []byte, err error) {
	fields := map[string]json.RawMessage{}
	published, err := publishedAliases(content)
	if err != nil {
		return nil, nil, err
	}
	if err := json.Unmarshal(content, &fields); err != nil {
		return nil, nil, err
	}
	isMoved := func(alias string) bool { return slices.Contains(moved, alias) }
	stays := publishedAs(published, func(alias string) bool { return !isMoved(alias) })
	for _, name := range []string{"alias", "alt_aliases"} {
		delete(fields, name)
		if stays[name] != nil {
			fields[name], _ = json.Marshal(stays[name]) // texts always can be encoded
		}
	}
	if rest, err = json.Marshal(fields); err != nil {
		return nil, nil, err
	}
	there, err = json.Marshal(publishedAs(published, isMoved))
	return rest, there, err
}

// publishedAs returns the content of m.room.canonical_alias with some of the aliases.
func publishedAs(p *published, keep func(alias string) bool) map[string]any {
	content := map[string]any{}
	if p.Alias != "" && keep(p.Alias) {
		content["alias"] = p.Alias
	}
	var others []string
	for _, alias := range p.AltAliases {
		if keep(alias) {
			others = append(others, alias)
		}
	}
	if len(others) > 0 {
		content["alt_aliases"] = others
	}
	return content
}

// DeleteAlias deletes an alias for the user who made it, or for anybody if any is true.
// M_FORBIDDEN otherwise.
func (s *Service) DeleteAlias(ctx context.Context, userID, alias string, any bool) error {
	deleted, err := s.deleteAlias(ctx, userID, alias, any)
	if err == nil && !deleted {
		err = matrix.Errorf(matrix.Forbidden, "you did not make this alias, and may not change those of its room")
	}
	return err
}

// published has the aliases that m.room.canonical_alias names.
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

// CheckPublished refuses aliases that are new in a content of m.room.canonical_alias and do
// not point to the room: M_INVALID_PARAM for a text that is no alias, M_BAD_ALIAS otherwise.
// current is the content that the room has now; nil: none.
func (s *Service) CheckPublished(ctx context.Context, room journal.RoomNID, current, content []byte) error {
	wanted, err := publishedAliases(content)
	if err != nil {
		return err
	}
	added := wanted.all()
	if before, err := publishedAliases(current); err == nil {
		added = slices.DeleteFunc(added, func(a string) bool { return slices.Contains(before.all(), a) })
	}
	if len(added) == 0 {
		return nil
	}
	for _, alias := range added {
		if _, _, err := matrix.ParseRoomAlias(alias); err != nil {
			return err
		}
	}
	pointing, err := s.pointing(ctx, room, added)
	if err != nil {
		return err
	}
	for _, alias := range added {
		if !slices.Contains(pointing, alias) {
			return matrix.Errorf(matrix.BadAlias, "the alias %s does not point to this room", alias)
		}
	}
	return nil
}
