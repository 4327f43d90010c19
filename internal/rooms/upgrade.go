package rooms

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"

	"homeserver/internal/event"
	"homeserver/internal/httpapi/ratelimit"
	"homeserver/internal/journal"
	"homeserver/internal/matrix"
	"homeserver/internal/rooms/directory"
	"homeserver/internal/rooms/timeline"
)

// UpgradeRequest is the body of POST /rooms/{roomId}/upgrade: client-server API, "Room
// Upgrades".
type UpgradeRequest struct {
	NewVersion         string   `json:"new_version"`
	AdditionalCreators []string `json:"additional_creators"`
}

// Upgraded is the answer to an UpgradeRequest.
type Upgraded struct {
	ReplacementRoom string `json:"replacement_room"`
}

// Upgrade replaces a room by a new one of another version: the new room with the state
// that it takes over, the tombstone, the aliases and the place in the directory, all in
// one commit. A room that the user may upgrade again, and that was upgraded in the same way
// already, keeps its replacement, so that a repeated request does no harm. Of two upgrades
// at the same moment, by any users, the first counts for both. Otherwise members and aliases
// would go to different rooms.
//
// M_FORBIDDEN unless the user may send the tombstone, M_MISSING_PARAM,
// M_UNSUPPORTED_ROOM_VERSION, M_INVALID_PARAM for a creator who is none,
// M_INVALID_ROOM_STATE for state that the new version cannot have; M_UNKNOWN if the room
// has meanwhile been upgraded in another way; M_LIMIT_EXCEEDED, as of charge. Client-server API, POST /rooms/{roomId}/upgrade.
func (s *Service) Upgrade(ctx context.Context, userID, roomID string, q UpgradeRequest) (*Upgraded, error) {
	late := false
	for range attempts {
		u, err := s.newUpgrade(ctx, userID, roomID, q)
		if err != nil {
			return nil, err
		}
		done, err := u.replacement(ctx, late)
		if done != "" || err != nil {
			return &Upgraded{done}, err
		}
		if err := u.run(ctx); !errors.Is(err, errUpgradedMeanwhile) {
			return &Upgraded{u.roomID()}, err
		}
		late = true
	}
	return nil, errTooManyWriters()
}

// errUpgradedMeanwhile says that the room has got a tombstone since the upgrade began.
var errUpgradedMeanwhile = matrix.Errorf(matrix.Unknown, "the room was upgraded meanwhile")

// upgrade is a request to upgrade a room, checked.
type upgrade struct {
	s        *Service
	userID   string
	oldID    string
	nid      journal.RoomNID // of the old room
	newNID   journal.RoomNID
	version  *event.Version  // of the new room
	creators []string        // additional ones
	create   *timeline.Event // of the old room
	// tombstone is what the old room has already; nil: none.
	tombstone *timeline.Event
	join      []byte // the content of the first member event

	// many is state of which there may be much: bans, and a space's rooms.
	many []draft
	// local are the published aliases that point to the old room.
	local []string

	// next is the new room as it was built last, with its builder.
	next *builder
}

// newUpgrade checks a request by the committed state. Whether the tombstone is allowed is
// checked again when it is added.
func (s *Service) newUpgrade(ctx context.Context, userID, roomID string, q UpgradeRequest) (*upgrade, error) {
	nid, err := s.Timeline.Number(ctx, roomID)
	if matrix.IsCode(err, matrix.NotFound) {
		return nil, timeline.ErrNotInRoom()
	}
	if err != nil {
		return nil, err
	}
	rights, err := s.Timeline.Rights(ctx, nid, userID)
	switch {
	case err != nil:
		return nil, err
	case !rights.Joined:
		return nil, timeline.ErrNotInRoom()
	case !rights.MaySetState(event.TypeTombstone):
		return nil, matrix.Errorf(matrix.Forbidden, "you may not upgrade this room")
	}
	if err := s.screenOne(ctx, Act{Kind: ToCreate, UserID: userID, RoomID: roomID}); err != nil {
		return nil, err
	}
	u := &upgrade{s: s, userID: userID, oldID: roomID, nid: nid}
	if err := u.check(q); err != nil {
		return nil, err
	}
	create, tombstone := event.StateKey{Type: event.TypeCreate}, event.StateKey{Type: event.TypeTombstone}
	state, err := s.Timeline.CurrentState(ctx, nid, []event.StateKey{create, tombstone})
	if err != nil {
		return nil, err
	}
	u.create, u.tombstone = state[create], state[tombstone]
	return u, nil
}

func (u *upgrade) check(q UpgradeRequest) error {
	if q.NewVersion == "" {
		return matrix.Errorf(matrix.MissingParam, "new_version is missing")
	}
	var ok bool
	if u.version, ok = event.LookupVersion(q.NewVersion); !ok {
		return matrix.Errorf(matrix.UnsupportedRoomVersion, "this server does not know room version %q", q.NewVersion)
	}
	if !u.version.PrivilegedCreators {
		return nil // other versions ignore them
	}
	if len(q.AdditionalCreators) > maxInitialEvents {
		return matrix.Errorf(matrix.InvalidParam, "a room has at most %d creators", maxInitialEvents)
	}
	for _, creator := range q.AdditionalCreators {
		if _, _, err := matrix.ParseUserID(creator); err != nil {
			return err
		}
	}
	u.creators = slices.DeleteFunc(slices.Compact(slices.Sorted(slices.Values(q.AdditionalCreators))), func(c string) bool { return c == u.userID })
	return nil
}

// replacement returns the room that has replaced the old one already, if it is what was
// asked for: of the version, and with all of the creators. After an upgrade that came too late
// the user need not be one of them, but then a room that is not what was asked for is an
// error.
func (u *upgrade) replacement(ctx context.Context, late bool) (roomID string, err error) {
	if u.tombstone == nil {
		return "", nil
	}
	roomID, _ = event.StringField(u.tombstone.Content(), "replacement_room")
	create, err := u.s.createOf(ctx, roomID)
	if create == nil || err != nil {
		return "", err
	}
	made := create.CreateContent()
	switch {
	case made.Predecessor != u.oldID || create.Sender != u.tombstone.Sender:
		return "", nil
	case create.Version == u.version && u.hasCreators(made.Creators, late):
		return roomID, nil
	case late:
		return "", errUpgradedMeanwhile
	}
	return "", nil
}

// hasCreators reports whether creators of a room are those that were asked for: the user, too,
// unless the upgrade came too late.
func (u *upgrade) hasCreators(creators []string, late bool) bool {
	if !u.version.PrivilegedCreators {
		return true
	}
	missing := func(userID string) bool { return !slices.Contains(creators, userID) }
	return !slices.ContainsFunc(u.creators, missing) && (late || !missing(u.userID))
}

// createOf returns the m.room.create event of a room; nil if there is no such room.
func (s *Service) createOf(ctx context.Context, roomID string) (*event.Event, error) {
	if !matrix.IsRoomID(roomID) {
		return nil, nil
	}
	nid, err := s.Timeline.Number(ctx, roomID)
	if matrix.IsCode(err, matrix.NotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	state, err := s.Timeline.CurrentState(ctx, nid, []event.StateKey{{Type: event.TypeCreate}})
	if err != nil {
		return nil, err
	}
	return state.Event(event.TypeCreate, ""), nil
}

// run commits the upgrade.
func (u *upgrade) run(ctx context.Context) error {
	if err := u.gather(ctx); err != nil {
		return err
	}
	claims, err := u.s.limits.TakeAll([]ratelimit.Cost{{Kind: ratelimit.WrittenBytes, Key: matrix.Payer(ctx), N: weight(u.many) / 2}})
	if err != nil {
		return err
	}
	if _, err := u.s.submit(ctx, u.oldID, u.drafts()...); err != nil {
		claims.GiveBack()
		if errors.Is(err, errUpgradedMeanwhile) {
			err = u.awaitOther(ctx)
		}
		return err
	}
	r := u.next.o.r
	if _, isNew := u.s.live.PutNew(r.id, r); isNew {
		u.s.weigh(r)
	}
	return nil
}

// awaitOther waits for what is queued for the old room: another upgrade.
func (u *upgrade) awaitOther(ctx context.Context) error {
	r, err := u.s.room(ctx, u.oldID)
	if err != nil {
		return err
	}
	if last := r.last.Load(); last != nil {
		_ = last.Wait() // its own caller hears of the error
	}
	return errUpgradedMeanwhile
}

func (u *upgrade) roomID() string {
	if u.next == nil {
		return ""
	}
	return u.next.o.r.id
}

// gather reads what the new room takes over beside single entries of the state.
func (u *upgrade) gather(ctx context.Context) error {
	member, err := u.s.withProfile(ctx, memberContent{Membership: event.Join}, u.userID)
	if err != nil {
		return err
	}
	if u.join, err = json.Marshal(member); err != nil {
		return fmt.Errorf("encode a membership: %w", err)
	}
	if u.many, err = u.manyDrafts(ctx); err != nil {
		return err
	}
	if u.newNID, err = u.s.Timeline.NewNumber(ctx); err != nil {
		return err
	}
	r, err := u.s.room(ctx, u.oldID)
	if err != nil {
		return err
	}
	if err := u.s.prefetch(ctx, r, carriedKeys()); err != nil {
		return err
	}
	key := event.StateKey{Type: event.TypeCanonicalAlias}
	state, err := u.s.Timeline.CurrentState(ctx, u.nid, []event.StateKey{key})
	if err != nil || state[key] == nil {
		return err
	}
	u.local, err = u.s.Directory.PublishedHere(ctx, u.nid, state[key].Content())
	return err
}

// drafts are the events of the old room, in the order of the specification. Its members may
// lack the power for all but the tombstone.
func (u *upgrade) drafts() []draft {
	key := ""
	return []draft{
		{
			sender: u.userID, typ: event.TypeTombstone, stateKey: &key, upgrade: u, counted: true,
			prepare: func(_ *draft, current *timeline.Event) (bool, error) {
				if current != nil && (u.tombstone == nil || current.ID != u.tombstone.ID) {
					return false, errUpgradedMeanwhile
				}
				return false, nil
			},
			also: func(b *pgx.Batch) { directory.QueueMove(b, u.nid, u.newNID) },
		},
		{
			sender: u.userID, typ: event.TypeCanonicalAlias, stateKey: &key, optional: true, counted: true,
			prepare: func(d *draft, current *timeline.Event) (done bool, err error) {
				if current == nil || len(u.local) == 0 {
					return true, nil
				}
				d.content, _, err = directory.Divide(current.Content(), u.local)
				return false, err
			},
		},
		{
			sender: u.userID, typ: event.TypePowerLevels, stateKey: &key, optional: true, counted: true,
			prepare: func(d *draft, current *timeline.Event) (done bool, err error) {
				if current == nil {
					return true, nil
				}
				shown, _ := current.Seen()
				levels, err := shown.PowerLevels()
				if err == nil {
					d.content = event.ClosePowerLevels(shown.Content, levels)
				}
				return d.content == nil, nil
			},
		},
	}
}
