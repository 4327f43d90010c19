package directory

import (
	"context"
	"fmt"

	"homeserver/internal/journal"
	"homeserver/internal/matrix"
)

// maxNetworkRooms is how many rooms an application service may publish, in all of its networks.
const maxNetworkRooms = 100_000

// Network is a third-party network, by the ID of its application service and its own.
type Network struct{ Service, ID string }

// SetNetworkListed puts a room into the published directory of a network, or takes it out.
// M_FORBIDDEN where the service has published too many. Application Service API, "Published room
// directories".
func (s *Service) SetNetworkListed(ctx context.Context, in Network, room journal.RoomNID, listed bool) error {
	if !listed {
		_, err := s.pool.Exec(ctx, `DELETE FROM network_rooms WHERE service = $1 AND network = $2 AND room_nid = $3`, in.Service, in.ID, room)
		if err != nil {
			return fmt.Errorf("take a room out of the directory of a network: %w", err)
		}
		return nil
	}
	var full bool
	err := s.pool.QueryRow(ctx, `
		WITH own AS (SELECT count(*) AS n FROM network_rooms WHERE service = $1), added AS (
			INSERT INTO network_rooms (service, network, room_nid)
			SELECT $1, $2, $3 FROM own WHERE n < $4 ON CONFLICT DO NOTHING)
		SELECT n >= $4 FROM own`, in.Service, in.ID, room, maxNetworkRooms).Scan(&full)
	if err != nil {
		return fmt.Errorf("publish a room in the directory of a network: %w", err)
	}
	if full {
		return matrix.Errorf(matrix.Forbidden, "an application service publishes %d rooms at most", maxNetworkRooms)
	}
	return nil
}
