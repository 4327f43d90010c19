package client

import (
	"strconv"

	"homeserver/internal/e2ee/devicekeys"
	"homeserver/internal/e2ee/todevice"
	"homeserver/internal/event"
	"homeserver/internal/httpapi"
	"homeserver/internal/journal"
	"homeserver/internal/matrix"
)

type dehydratedDeviceAnswer struct {
	DeviceID string `json:"device_id"`
}

// putDehydratedDevice makes a dehydrated device with its keys, in place of the one that there
// is. MSC3814, PUT /dehydrated_device.
func (a *api) putDehydratedDevice(r *httpapi.Request, who matrix.Session) (any, error) {
	var body devicekeys.DehydrateRequest
	if err := r.Decode(&body); err != nil {
		return nil, err
	}
	if err := a.Keys.Dehydrate(r.Context(), who.UserID, body); err != nil {
		return nil, err
	}
	return dehydratedDeviceAnswer{*body.DeviceID}, nil
}

// getDehydratedDevice returns the dehydrated device. GET /dehydrated_device.
func (a *api) getDehydratedDevice(r *httpapi.Request, who matrix.Session) (any, error) {
	return a.Keys.Dehydrated(r.Context(), who.UserID)
}

// deleteDehydratedDevice deletes the dehydrated device. DELETE /dehydrated_device.
func (a *api) deleteDehydratedDevice(r *httpapi.Request, who matrix.Session) (any, error) {
	id, err := a.Keys.DeleteDehydrated(r.Context(), who.UserID)
	return dehydratedDeviceAnswer{id}, err
}

// getDehydratedEvents reads the messages to the dehydrated device. The answer has a next_batch
// as long as there are more. MSC3814, GET /dehydrated_device/{deviceId}/events.
func (a *api) getDehydratedEvents(r *httpapi.Request, who matrix.Session) (any, error) {
	return a.dehydratedEvents(r, who, r.Query("from"), false)
}

type dehydratedEventsRequest struct {
	NextBatch string `json:"next_batch"`
}

// postDehydratedEvents does the same as the proposal had it earlier, and clients in use do: the
// answer always has a next_batch, and the last one has no events. POST
// /dehydrated_device/{deviceId}/events.
func (a *api) postDehydratedEvents(r *httpapi.Request, who matrix.Session) (any, error) {
	var body dehydratedEventsRequest
	if err := r.Decode(&body); err != nil {
		return nil, err
	}
	return a.dehydratedEvents(r, who, body.NextBatch, true)
}

// defaultDehydratedEvents is how many messages an answer has where the request does not say.
const defaultDehydratedEvents = 100

func (a *api) dehydratedEvents(r *httpapi.Request, who matrix.Session, from string, always bool) (any, error) {
	limit, err := r.QueryInt("limit", defaultDehydratedEvents)
	if err != nil {
		return nil, err
	}
	var after journal.Position
	if from != "" {
		n, err := strconv.ParseInt(from, 10, 64)
		if err != nil || n < 0 {
			return nil, matrix.Errorf(matrix.InvalidParam, "the token must be the next_batch of an earlier answer")
		}
		after = journal.Position(n)
	}
	id := r.Param("deviceId")
	if err := a.Keys.CheckDehydrated(r.Context(), who.UserID, id); err != nil {
		return nil, err
	}
	list, upTo, more, err := a.ToDevice.Peek(r.Context(), who.UserID, id, after, limit)
	if err != nil {
		return nil, err
	}
	answer := dehydratedEventsAnswer{list: list}
	if more || always {
		answer.next = strconv.FormatInt(int64(upTo), 10)
	}
	return answer, nil
}

// dehydratedEventsAnswer is some messages, and where to go on; "": there are no more.
type dehydratedEventsAnswer struct {
	list []*todevice.Message
	next string
}

// AppendJSON writes the messages as /sync does.
func (d dehydratedEventsAnswer) AppendJSON(dst []byte) []byte {
	dst = append(dst, `{"events":[`...)
	for i, m := range d.list {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = m.AppendJSON(dst)
	}
	dst = append(dst, ']')
	if d.next != "" {
		dst = event.AppendString(append(dst, `,"next_batch":`...), d.next)
	}
	return append(dst, '}')
}
