package client

import (
	"context"
	"maps"
	"slices"

	"homeserver/internal/httpapi"
	"homeserver/internal/matrix"
	"homeserver/internal/reserve"
	"homeserver/internal/rooms/timeline"
)

// format returns how events are written for the reader.
func (a *api) format(r *httpapi.Request, who matrix.Session, access *timeline.Access) timeline.Format {
	return timeline.Format{
		WithRoomID: true, V1: r.Generation() == httpapi.APIV1, Now: a.Now(), UserID: who.UserID, DeviceID: who.DeviceID, Access: access,
	}
}

// bundling returns the same with what is bundled with some events of a room: "Aggregations of
// child events". Clients of api/v1 know nothing of that.
func (a *api) bundling(
	r *httpapi.Request, who matrix.Session, access *timeline.Access, events []*timeline.Event,
) (f timeline.Format, err error) {
	f = a.format(r, who, access)
	if f.V1 {
		return f, nil
	}
	now := timeline.PlaceOf(a.Journal.Position())
	f.Aggregations, err = a.aggregations(r.Context(), who, timeline.Aggregated{Access: access, UpTo: now, Events: events})
	return f, err
}

// aggregations returns what is bundled with events for a reader.
func (a *api) aggregations(ctx context.Context, who matrix.Session, lists ...timeline.Aggregated) (timeline.Aggregations, error) {
	ignored, err := a.Data.Ignored(ctx, who.UserID)
	if err != nil {
		return nil, err
	}
	return a.Rooms.Timeline.For(who.UserID).Aggregations(ctx, slices.Collect(maps.Keys(ignored)), lists...)
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
	format, err := a.bundling(r, who, access, []*timeline.Event{e})
	return eventAnswer{format, e}, err
}
