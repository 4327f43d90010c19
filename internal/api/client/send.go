package client

import (
	"cmp"
	"strconv"

	"homeserver/internal/event"
	"homeserver/internal/httpapi"
	"homeserver/internal/matrix"
	"homeserver/internal/rooms"
)

type eventIDAnswer struct {
	EventID string `json:"event_id"`
}

// send adds a message event, with a transaction ID in the path or without.
// A suspended user may redact own events only. Section "Sending events to a room", PUT /rooms/{roomId}/send/{eventType}/{txnId}.
func (a *api) send(r *httpapi.Request, who matrix.Session) (any, error) {
	if who.Suspended && (r.Param("eventType") != event.TypeRedaction || isDelayed(r)) {
		return nil, matrix.ErrSuspended()
	}
	content, err := r.RawObject()
	if err != nil {
		return nil, err
	}
	q := roomRequest(r, who)
	if q.Timestamp, err = timestamp(r, who); err != nil {
		return nil, err
	}
	if isDelayed(r) {
		return a.schedule(r, q, r.Param("eventType"), nil, content)
	}
	id, err := a.Rooms.Send(r.Context(), q, r.Param("eventType"), content)
	return eventIDAnswer{id}, err
}

// roomRequest returns the sender, the room and the transaction of a request.
func roomRequest(r *httpapi.Request, who matrix.Session) rooms.Request {
	return rooms.Request{
		UserID: who.UserID, DeviceID: who.DeviceID, RoomID: r.Param("roomId"), TxnID: r.Param("txnId"), Guest: who.Guest, Suspended: who.Suspended,
	}
}

// maxTimestamp is the greatest integer that events may have.
const maxTimestamp = 1<<53 - 1

// timestamp returns the time that an application service has set for an event. It returns nil
// if there is none, and for users, who can't set one. M_INVALID_PARAM for what can be no
// origin_server_ts. Application Service API, "Timestamp massaging".
func timestamp(r *httpapi.Request, who matrix.Session) (*int64, error) {
	text := cmp.Or(r.Query("ts"), r.Query("org.matrix.msc3316.ts"))
	if who.AppService == "" || text == "" {
		return nil, nil
	}
	ts, err := strconv.ParseInt(text, 10, 64)
	if err != nil || ts < 0 || ts > maxTimestamp {
		return nil, matrix.Errorf(matrix.InvalidParam, "ts must be a whole number of milliseconds since 1970, from 0 to %d", int64(maxTimestamp))
	}
	return &ts, nil
}
