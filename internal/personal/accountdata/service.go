package accountdata

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"

	"github.com/jackc/pgx/v5/pgxpool"

	"homeserver/internal/cache"
	"homeserver/internal/event"
	"homeserver/internal/journal"
	"homeserver/internal/matrix"
	"homeserver/internal/postgres"
	"homeserver/internal/rooms/timeline"
)

// maxItems and maxBytes bound the data that a user can store, and maxTagsBytes the tags
// of one room.
const (
	maxItems     = 50_000
	maxBytes     = 32 << 20
	maxTagsBytes = 64 << 10
)

// The types of account data that the server knows by name.
const (
	TypeDirect       = "m.direct"
	TypeFullyRead    = "m.fully_read"
	TypeIgnoredUsers = "m.ignored_user_list"
	TypePushRules    = "m.push_rules"
	TypeTag          = "m.tag"
	// Which invites a user wants: by the specification, by the name that this had as a
	// proposal (MSC4380), and by a proposal with lists of users and servers (MSC4155).
	TypeInvitePermission         = "m.invite_permission_config"
	typeInvitePermissionUnstable = "org.matrix.msc4380.invite_permission_config"
	TypeInviteFilter             = "org.matrix.msc4155.invite_permission_config"
)

// InvitePermissionTypes lists the types that say which invites a user wants.
func InvitePermissionTypes() []string {
	return []string{TypeInvitePermission, typeInvitePermissionUnstable, TypeInviteFilter}
}

// Item is one piece of account data. It is the value of its journal entry, and
// does not change.
type Item struct {
	UserID  string
	Room    journal.RoomNID // 0: the whole account
	Type    string
	Content json.RawMessage // a JSON object

	// replaces is the position of the item that this one was made from, and must
	// replace; nil: it replaces any.
	replaces *journal.Position
}

// IsInvitePermission reports whether the item says which invites its user wants.
func (i *Item) IsInvitePermission() bool {
	return i.Room == 0 && slices.Contains(InvitePermissionTypes(), i.Type)
}

// Service holds the rules of account data. Its methods may be called concurrently. The
// user ID that they are given is authenticated by the caller.
type Service struct {
	pool    *pgxpool.Pool
	journal *journal.Journal
	rooms   *timeline.Store
	table   *journal.Table
	turns   cache.Turns
	ignored *cache.Cache[string, map[string]bool]
}

// New makes the service on a migrated database. Lists of ignored users are kept in
// memory, so many bytes of them; 0: [cache.UsualShare]. Call it before the journal is
// started.
func New(pool *pgxpool.Pool, j *journal.Journal, r *timeline.Store, ignoredBytes int) *Service {
	s := &Service{pool: pool, journal: j, rooms: r, ignored: cache.New(ignoredBytes, weighIgnored)}
	s.table = &journal.Table{Name: "account_data", Queue: queueItems, Read: s.readOthers}
	j.Add(s.table)
	j.Observe(journal.Observer{
		Committed: s.committed,
		Reset:     func(journal.Position) { s.ignored.ForgetAll() },
	})
	return s
}

// Caches reports the use of the caches.
func (s *Service) Caches() cache.Caches { return cache.Caches{"ignored_users": s.ignored.Stats} }

// committed forgets the lists of ignored users that have changed. It runs inside
// the journal.
func (s *Service) committed(_ journal.View, entries []*journal.Entry) {
	for _, entry := range entries {
		if i, ok := entry.Value.(*Item); ok && i.Room == 0 && i.Type == TypeIgnoredUsers {
			s.ignored.Forget(i.UserID)
		}
	}
}

// Get returns the content of an item; roomID "" means the whole account. M_NOT_FOUND if
// there is none, M_INVALID_PARAM for a text that is no room ID.
func (s *Service) Get(ctx context.Context, userID, roomID, typ string) (json.RawMessage, error) {
	room, err := s.room(ctx, roomID)
	if err != nil {
		return nil, err
	}
	content, _, err := s.load(ctx, userID, room, typ)
	if err == nil && content == nil {
		return nil, matrix.Errorf(matrix.NotFound, "there is no account data of this type")
	}
	return content, err
}

// Set stores an item. M_BAD_JSON with 405 for a type that the server manages
// (client-server API, "Client Config", Server Behaviour),
// M_BAD_JSON or M_NOT_JSON if the content is no object, M_NOT_FOUND if there is no such
// room, M_TOO_LARGE if the user has stored too much.
func (s *Service) Set(ctx context.Context, userID, roomID, typ string, content json.RawMessage) error {
	if typ == TypeFullyRead || typ == TypePushRules {
		return &matrix.Error{
			Code: matrix.BadJSON, Status: http.StatusMethodNotAllowed, Message: typ + " is set by the server itself",
		}
	}
	if typ == "" || len(typ) > matrix.MaxIDBytes {
		return matrix.Errorf(matrix.InvalidParam, "a type has 1 to %d bytes", matrix.MaxIDBytes)
	}
	room, err := s.room(ctx, roomID)
	if err != nil {
		return err
	}
	i := &Item{UserID: userID, Room: room, Type: typ, Content: content}
	if err := s.checkSpace(ctx, i); err != nil {
		return err
	}
	return s.commit(ctx, i)
}

// Erase deletes all that a user has stored, tags and markers included. The user is
// deactivated and is to be erased.
func (s *Service) Erase(ctx context.Context, userID string) error {
	if _, err := s.pool.Exec(ctx, `DELETE FROM account_data WHERE user_id = $1`, userID); err != nil {
		return fmt.Errorf("erase the account data of %s: %w", userID, err)
	}
	s.ignored.Forget(userID)
	return nil
}

// SetFullyRead moves the fully read marker of a room to an event.
func (s *Service) SetFullyRead(ctx context.Context, userID, roomID, eventID string) error {
	room, err := s.room(ctx, roomID)
	if err != nil {
		return err
	}
	content := append(event.AppendString([]byte(`{"event_id":`), eventID), '}')
	return s.commit(ctx, &Item{UserID: userID, Room: room, Type: TypeFullyRead, Content: content})
}

func (s *Service) room(ctx context.Context, roomID string) (journal.RoomNID, error) {
	if roomID == "" {
		return 0, nil
	}
	return s.rooms.Number(ctx, roomID)
}

// commit checks the content and writes the item.
func (s *Service) commit(ctx context.Context, i *Item) error {
	canonical, err := event.Canonical(i.Content, false)
	if err != nil {
		return err
	}
	if canonical[0] != '{' {
		return matrix.Errorf(matrix.BadJSON, "the content must be a JSON object")
	}
	i.Content = canonical
	return s.journal.Commit(ctx, &journal.Write{Entries: []*journal.Entry{s.entry(i)}})
}

func (s *Service) entry(i *Item) *journal.Entry {
	return &journal.Entry{Table: s.table, Topics: []journal.Topic{{User: i.UserID}}, Value: i, Size: len(i.Content) + len(i.Type) + len(i.UserID)}
}

// AppendJSON writes the item as the event that clients see.
func (i *Item) AppendJSON(dst []byte) []byte {
	dst = append(dst, `{"content":`...)
	dst = append(dst, i.Content...)
	dst = append(dst, `,"type":`...)
	dst = event.AppendString(dst, i.Type)
	return append(dst, '}')
}

// Ignored returns the users that a user ignores; the map must not be written to.
// Client-server API, "Ignoring Users".
func (s *Service) Ignored(ctx context.Context, userID string) (map[string]bool, error) {
	place := s.ignored.Place(userID)
	if known := place.Load(); known != nil {
		return *known, nil
	}
	content, _, err := s.load(ctx, userID, 0, TypeIgnoredUsers)
	if err != nil && !errors.Is(err, postgres.ErrDamaged) { // a list that cannot be read ignores nobody
		return nil, err
	}
	ignored := ignoredIn(content, userID)
	place.Store(&ignored)
	return ignored, nil
}

// weighIgnored estimates the bytes of a user's list of ignored users in memory.
func weighIgnored(userID string, ignored *map[string]bool) int {
	const structs, inMap = 150, 40
	bytes := structs + cache.Text(userID)
	if ignored != nil {
		for other := range *ignored {
			bytes += inMap + cache.Text(other)
		}
	}
	return bytes
}

// ignoredIn reads a user's list of ignored users. Content that has not the form of one
// ignores nobody, and no user ignores themself.
func ignoredIn(content json.RawMessage, userID string) map[string]bool {
	var list struct {
		Users map[string]json.RawMessage `json:"ignored_users"`
	}
	if content == nil || json.Unmarshal(content, &list) != nil {
		return nil
	}
	ignored := make(map[string]bool, len(list.Users))
	for other := range list.Users {
		ignored[other] = true
	}
	delete(ignored, userID)
	return ignored
}
