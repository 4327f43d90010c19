package rooms

import (
	"context"

	"github.com/jackc/pgx/v5"

	"homeserver/internal/event"
	"homeserver/internal/journal"
	"homeserver/internal/matrix"
	"homeserver/internal/rooms/directory"
	"homeserver/internal/rooms/timeline"
)

// CreateAlias makes an alias of this server point to a room. M_INVALID_PARAM if
// it is none, M_UNKNOWN with 409 if it is taken, M_NOT_FOUND if there is no such
// room, M_FORBIDDEN if the user is not in it, M_EXCLUSIVE if it is reserved by an application
// service.
func (s *Service) CreateAlias(ctx context.Context, userID, alias, roomID string) error {
	if err := s.Directory.CheckLocalAlias(alias); err != nil {
		return err
	}
	if err := s.mayNameRoom(ctx, alias); err != nil {
		return err
	}
	nid, err := s.joinedRoom(ctx, userID, roomID)
	if err != nil {
		return err
	}
	if err := s.screenOne(ctx, Act{Kind: ToAlias, UserID: userID, RoomID: roomID, Alias: alias}); err != nil {
		return err
	}
	return s.Directory.CreateAlias(ctx, userID, alias, nid)
}

// joinedRoom returns the number of a room that a user is in. M_NOT_FOUND if there is no such
// room, M_FORBIDDEN for a user who is not in it.
func (s *Service) joinedRoom(ctx context.Context, userID, roomID string) (journal.RoomNID, error) {
	nid, err := s.Timeline.Number(ctx, roomID)
	if err != nil {
		return 0, err
	}
	access, err := s.Timeline.AccessIn(ctx, nid, userID)
	if err != nil {
		return 0, err
	}
	return nid, access.MustBeJoined()
}

// mayNameRoom returns whether an alias may be made or deleted by the one who asks:
// M_EXCLUSIVE for an application service's, and for one that is not in the namespaces of the
// service that asks.
func (s *Service) mayNameRoom(ctx context.Context, alias string) error {
	if s.mayName == nil {
		return nil
	}
	return s.mayName(matrix.AppServiceOf(ctx).ID, alias)
}

// Aliases lists the aliases of this server that point to a room. M_FORBIDDEN
// unless the user is in the room, or it is world_readable. Client-server API,
// GET /rooms/{roomId}/aliases.
func (s *Service) Aliases(ctx context.Context, userID, roomID string) ([]string, error) {
	nid, access, err := s.Timeline.For(userID).Access(ctx, roomID)
	if err != nil {
		return nil, err
	}
	if err := access.MayWatch(); err != nil {
		return nil, err
	}
	return s.Directory.Aliases(ctx, nid)
}

// DeleteAlias deletes an alias. Its creator, a moderator who may set the room's
// canonical alias, and an administrator of the server may do so; M_FORBIDDEN for
// others, M_NOT_FOUND if there is none, M_EXCLUSIVE for one of an application service, which
// may delete all of its own. A moderator's deletion also removes it from the
// room's published aliases. Client-server API, DELETE /directory/room/{roomAlias}.
func (s *Service) DeleteAlias(ctx context.Context, userID, alias string, admin bool) error {
	if err := s.mayNameRoom(ctx, alias); err != nil && !admin {
		return err
	}
	admin = admin || matrix.AppServiceOf(ctx).ID != "" // whose alias it is
	roomID, err := s.Directory.ResolveAlias(ctx, alias)
	if err != nil {
		return err
	}
	nid, err := s.Timeline.Number(ctx, roomID)
	if err != nil {
		return err
	}
	rights, err := s.Timeline.Rights(ctx, nid, userID)
	if err != nil {
		return err
	}
	moderator := rights.MaySetState(event.TypeCanonicalAlias)
	if moderator {
		done, err := s.unpublishAlias(ctx, userID, roomID, alias)
		if done || err != nil {
			return err
		}
	}
	return s.Directory.DeleteAlias(ctx, userID, alias, moderator || admin)
}

// unpublishAlias deletes an alias and removes it from m.room.canonical_alias, in one
// commit. It does nothing, and reports that, where the alias is not published.
func (s *Service) unpublishAlias(ctx context.Context, userID, roomID, alias string) (done bool, err error) {
	key := ""
	_, err = s.submit(ctx, roomID, draft{
		sender: userID, typ: event.TypeCanonicalAlias, stateKey: &key,
		prepare: func(d *draft, current *timeline.Event) (bool, error) {
			if done = false; current == nil {
				return true, nil
			}
			d.content, done = directory.WithoutAlias(current.Content(), alias)
			return !done, nil
		},
		also: func(b *pgx.Batch) { directory.QueueDeleteAlias(b, alias) },
	})
	return done, err
}

// checkPublished refuses aliases that are new in m.room.canonical_alias and do not
// point to the room: errors of [directory.Service.CheckPublished]. Client-server API,
// PUT /rooms/{roomId}/state/{eventType}/{stateKey}.
func (s *Service) checkPublished(ctx context.Context, userID, roomID, stateKey string, content []byte) error {
	nid, _, err := s.Timeline.For(userID).Access(ctx, roomID)
	if err != nil {
		return err
	}
	key := event.StateKey{Type: event.TypeCanonicalAlias, Key: stateKey}
	state, err := s.Timeline.CurrentState(ctx, nid, []event.StateKey{key})
	if err != nil {
		return err
	}
	var current []byte
	if e := state[key]; e != nil {
		current = e.Content()
	}
	return s.Directory.CheckPublished(ctx, nid, current, content)
}

// SetNetworkListed adds a room to the directory of a third-party network, or removes it, for the
// network's application service, whose user must be in the room: M_FORBIDDEN. M_NOT_FOUND if
// there is no such room, M_INVALID_PARAM. Application Service API, PUT
// /directory/list/appservice/{networkId}/{roomId}.
func (s *Service) SetNetworkListed(ctx context.Context, userID, roomID string, in directory.Network, listed bool) error {
	if in.ID == "" || len(in.ID) > matrix.MaxIDBytes {
		return matrix.Errorf(matrix.InvalidParam, "the ID of a network has from 1 to %d bytes", matrix.MaxIDBytes)
	}
	if !matrix.IsRoomID(roomID) {
		return matrix.Errorf(matrix.NotFound, "there is no such room")
	}
	nid, err := s.joinedRoom(ctx, userID, roomID)
	if err != nil {
		return err
	}
	return s.Directory.SetNetworkListed(ctx, in, nid, listed)
}

// SetListed adds a room to the published directory or removes it. A user who may set
// the canonical alias of the room may do so, and an administrator of the server;
// M_FORBIDDEN for others, M_NOT_FOUND if there is no such room. Client-server API, PUT
// /directory/list/room/{roomId}.
func (s *Service) SetListed(ctx context.Context, userID, roomID string, admin, listed bool) error {
	if !matrix.IsRoomID(roomID) {
		return matrix.Errorf(matrix.NotFound, "there is no such room")
	}
	nid, err := s.Timeline.Number(ctx, roomID)
	if err != nil {
		return err
	}
	if !admin {
		rights, err := s.Timeline.Rights(ctx, nid, userID)
		if err != nil {
			return err
		}
		if !rights.MaySetState(event.TypeCanonicalAlias) {
			return matrix.Errorf(matrix.Forbidden, "you need the power to set the room's canonical alias")
		}
	}
	if listed {
		if err := s.screenOne(ctx, Act{Kind: ToPublish, UserID: userID, RoomID: roomID}); err != nil {
			return err
		}
	}
	return s.Directory.SetListed(ctx, nid, listed)
}
