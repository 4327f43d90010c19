package rooms

import (
	"context"

	"github.com/jackc/pgx/v5"

	"homeserver/internal/event"
	"homeserver/internal/rooms/directory"
	"homeserver/internal/rooms/timeline"
)

// DeleteAlias deletes an alias. Its creator, a moderator who may set the room's
// canonical alias, and an administrator of the server may do so; M_FORBIDDEN for
// others, M_NOT_FOUND if there is none. A moderator's deletion also removes it from the
// room's published aliases. Client-server API, DELETE /directory/room/{roomAlias}.
func (s *Service) DeleteAlias(ctx context.Context, userID, alias string, admin bool) error {
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
