package legacy

import (
	"homeserver/internal/httpapi"
	"homeserver/internal/matrix"
	"homeserver/internal/rooms/timeline"
	"homeserver/internal/syncstream"
)

// initialSync returns all rooms with their state and newest messages, and the token
// from which /events goes on. Section "Syncing" of r0, GET /initialSync.
func (a *api) initialSync(r *httpapi.Request, who matrix.Session) (any, error) {
	archived, err := r.QueryBool("archived")
	if err != nil {
		return nil, err
	}
	q, err := initialQuery(r, who)
	if err != nil {
		return nil, err
	}
	q.Archived = archived
	answer, err := a.Stream.InitialSync(r.Context(), q)
	if err != nil {
		return nil, err
	}
	answer.Listed, err = a.Rooms.Directory.ListedAmong(r.Context(), answer.RoomIDs())
	return answer, err
}

// roomInitialSync returns one room in the same way. Section "Room Previews",
// GET /rooms/{roomId}/initialSync.
func (a *api) roomInitialSync(r *httpapi.Request, who matrix.Session) (any, error) {
	roomID := r.Param("roomId")
	q, err := initialQuery(r, who)
	if err != nil {
		return nil, err
	}
	answer, err := a.Stream.RoomInitialSync(r.Context(), q, roomID)
	if err != nil {
		return nil, err
	}
	answer.Listed, err = a.Rooms.Directory.Listed(r.Context(), roomID)
	return answer, err
}

func initialQuery(r *httpapi.Request, who matrix.Session) (syncstream.InitialQuery, error) {
	limit, err := r.QueryInt("limit", timeline.DefaultLimit)
	return syncstream.InitialQuery{UserID: who.UserID, DeviceID: who.DeviceID, Limit: limit, V1: r.Generation() == httpapi.APIV1}, err
}
