package devicekeys

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"homeserver/internal/auth/session"
	"homeserver/internal/journal"
	"homeserver/internal/rooms/timeline"
)

// Changed is the value of the journal entry of a change of a user's device list: of the
// keys of a device, of a device that has keys, or of cross-signing keys that others see.
type Changed struct{ UserID string }

// listTable is the table of the entries, and their kind in the outbox.
const listTable = "device_lists"

// postChange puts into the outbox, in the transaction that changes keys, that the device
// list of a user has changed. After its commit the caller waits for changeShown.
func postChange(ctx context.Context, tx pgx.Tx, userID string) error {
	_, err := journal.Post(ctx, tx, listTable, []journal.Topic{{User: userID}}, []byte(userID))
	if err != nil {
		return fmt.Errorf("announce the device list of %s: %w", userID, err)
	}
	return nil
}

// FollowDevices refuses a device that would have the ID of a cross-signing key of its user:
// M_FORBIDDEN, client-server API, "Key and signature security". A device that somebody logs in
// to is no dehydrated one any longer. The removal of a device that has keys, and a new name of
// it, are announced as a change of its user's device list, in the same transaction.
func FollowDevices(devices *session.Service) {
	post := func(ctx context.Context, tx pgx.Tx, userID string, deviceIDs []string) error {
		if has, err := hasKeys(ctx, tx, userID, deviceIDs); err != nil || !has {
			return err
		}
		return postChange(ctx, tx, userID)
	}
	devices.OnAdd(func(ctx context.Context, tx pgx.Tx, userID, deviceID string) error {
		own, err := loadSigningKeys(ctx, tx, userID)
		if err == nil && own.has(deviceID) {
			err = errKeyIDInUse()
		}
		if err != nil {
			return err
		}
		return endDehydration(ctx, tx, device{userID, deviceID})
	})
	devices.OnRemove(post)
	devices.OnRename(func(ctx context.Context, tx pgx.Tx, userID, deviceID string) error {
		return post(ctx, tx, userID, []string{deviceID})
	})
}

// changeShown returns when the changes that were posted, in transactions that are committed,
// are shown here, so that a client that asks after its 200 sees them.
func (s *Service) changeShown(ctx context.Context) error { return s.o.Journal.ShowPosted(ctx) }

func decodeChange(payload []byte) (any, error) { return &Changed{UserID: string(payload)}, nil }

// addRooms adds the rooms that the users share with others to the topics of entries. Of
// several entries of one user in one group, clients see the last with the others.
func addRooms(ctx context.Context, conn *pgx.Conn, entries []*journal.Entry, most int) error {
	last := map[string]*journal.Entry{}
	for _, e := range entries {
		last[e.Value.(*Changed).UserID] = e
	}
	members := make([]timeline.UserAt, 0, len(last))
	for userID, e := range last {
		members = append(members, timeline.UserAt{User: userID, At: timeline.PlaceOf(e.Position)})
	}
	return timeline.SharedRooms(ctx, conn, members, most, func(userID string, room journal.RoomNID) {
		last[userID].Topics = append(last[userID].Topics, journal.Topic{Room: room})
	})
}
