package client

import (
	"context"
	"slices"

	"homeserver/internal/event"
	"homeserver/internal/httpapi"
	"homeserver/internal/matrix"
	"homeserver/internal/reserve"
	"homeserver/internal/rooms/timeline"
	"homeserver/internal/syncstream"
)

// contextAnswer is an event with the events around it.
type contextAnswer struct {
	timeline.Format
	*timeline.EventContext
	state *timeline.Cursor
}

// WriteJSON writes the event and the events around it.
func (c contextAnswer) WriteJSON(ctx context.Context, w *reserve.Writer) error {
	w.B = append(w.B, `{"end":`...)
	w.B = event.AppendString(w.B, syncstream.FormatPlace(c.After.End))
	w.B = append(w.B, `,"event":`...)
	w.B = c.AppendJSON(w.B, c.Event)
	w.B = append(w.B, `,"events_after":`...)
	w.B = c.AppendEvents(w.B, c.After.Events)
	w.B = append(w.B, `,"events_before":`...)
	w.B = c.AppendEvents(w.B, c.Before.Events)
	w.B = append(w.B, `,"start":`...)
	w.B = event.AppendString(w.B, syncstream.FormatPlace(c.Before.End))
	w.B = append(w.B, `,"state":`...)
	err := c.WriteEvents(ctx, w, c.state)
	w.B = append(w.B, '}')
	return err //nolint:wrapcheck // it becomes the answer
}

// eventContext returns an event with the events around it. Section "Event context", GET
// /rooms/{roomId}/context/{eventId}.
func (a *api) eventContext(r *httpapi.Request, who matrix.Session) (any, error) {
	filter, err := a.queryFilter(r, who)
	if err != nil {
		return nil, err
	}
	limit, err := r.QueryInt("limit", filter.LimitOr(timeline.DefaultLimit))
	if err != nil {
		return nil, err
	}
	c, err := a.Rooms.Timeline.For(who.UserID).Context(r.Context(), r.Param("roomId"), r.Param("eventId"), min(limit, timeline.MaxLimit), filter)
	if err != nil {
		return nil, err
	}
	format, err := a.bundling(r, who, c.Access, slices.Concat(c.Before.Events, []*timeline.Event{c.Event}, c.After.Events))
	return contextAnswer{format, c, a.Rooms.Timeline.Cursor(c.State)}, err
}
