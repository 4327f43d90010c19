package legacy

import (
	"encoding/json"
	"time"

	"homeserver/internal/httpapi"
	"homeserver/internal/matrix"
	"homeserver/internal/rooms/timeline"
	"homeserver/internal/syncstream"
)

// defaultEventsTimeout is how long /events waits where the request doesn't say, in
// milliseconds.
const defaultEventsTimeout = 5000

// events returns what has happened after a token, waiting for it if there is nothing;
// with room_id, in a room that one need not be in. Section "Syncing" of r0, "Room
// Previews", GET /events.
func (a *api) events(r *httpapi.Request, who matrix.Session) (any, error) {
	q := syncstream.EventsQuery{
		UserID: who.UserID, DeviceID: who.DeviceID, From: r.Query("from"), RoomID: r.Query("room_id"),
	}
	switch q.From {
	case syncstream.TokenStart:
		q.From = syncstream.FormatToken(0)
	case syncstream.TokenEnd:
		q.From = ""
	}
	timeout, err := r.QueryInt("timeout", defaultEventsTimeout)
	if err != nil {
		return nil, err
	}
	q.Timeout = time.Duration(min(timeout, 1<<31)) * time.Millisecond
	chunk, err := a.Stream.Stream(r.Context(), q)
	if err != nil {
		return nil, err
	}
	chunk.V1 = r.Generation() == httpapi.APIV1
	return chunk, nil
}

// oneEvent returns an event by its ID alone. M_NOT_FOUND if there is none that the user
// may see. Section "Getting events for a room" of r0, GET /events/{eventId}.
func (a *api) oneEvent(r *httpapi.Request, who matrix.Session) (any, error) {
	eventID := r.Param("eventId")
	found, err := a.Rooms.Timeline.EventsByID(r.Context(), []string{eventID})
	if err != nil {
		return nil, err
	}
	if len(found) == 0 {
		return nil, matrix.Errorf(matrix.NotFound, "there is no such event")
	}
	e, access, err := a.Rooms.Timeline.For(who.UserID).Event(r.Context(), found[0].RoomID, eventID)
	if err != nil {
		return nil, err
	}
	format := timeline.Format{
		WithRoomID: true, V1: r.Generation() == httpapi.APIV1, Now: a.Now(), UserID: who.UserID, DeviceID: who.DeviceID, Access: access,
	}
	return json.RawMessage(format.AppendJSON(nil, e)), nil
}
