package client

import (
	"context"
	"time"

	"homeserver/internal/httpapi"
	"homeserver/internal/matrix"
	"homeserver/internal/reserve"
	"homeserver/internal/rooms/timeline"
)

// format returns how events are written for the reader.
func (a *api) format(r *httpapi.Request, who matrix.Session, access *timeline.Access) timeline.Format {
	return timeline.Format{
		WithRoomID: true, V1: r.Generation() == httpapi.APIV1, Now: time.Now(), UserID: who.UserID, DeviceID: who.DeviceID, Access: access,
	}
}

// eventAnswer is one event.
type eventAnswer struct {
	timeline.Format
	event *timeline.Event
}

// AppendJSON writes the event.
func (e eventAnswer) AppendJSON(dst []byte) []byte { return e.Format.AppendJSON(dst, e.event) }

// eventsAnswer is a list of events, as the member of an object that is named
// in, or bare.
type eventsAnswer struct {
	timeline.Format
	in     string
	events *timeline.Cursor
}

// WriteJSON writes the list.
func (l eventsAnswer) WriteJSON(ctx context.Context, w *reserve.Writer) error {
	if l.in == "" {
		return l.WriteEvents(ctx, w, l.events)
	}
	w.B = append(w.B, `{"`+l.in+`":`...)
	err := l.WriteEvents(ctx, w, l.events)
	w.B = append(w.B, '}')
	return err
}

// getEvent returns one event. Section "Getting events for a room", GET
// /rooms/{roomId}/event/{eventId}.
func (a *api) getEvent(r *httpapi.Request, who matrix.Session) (any, error) {
	e, access, err := a.Rooms.Timeline.For(who.UserID).Event(r.Context(), r.Param("roomId"), r.Param("eventId"))
	if err != nil {
		return nil, err
	}
	return eventAnswer{a.format(r, who, access), e}, nil
}
