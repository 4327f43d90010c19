package api

import (
	"net/http"

	"homeserver/internal/auth"
	"homeserver/internal/event"
	"homeserver/internal/rooms"
	"homeserver/internal/syncstream"
)

// contextAnswer is what happened around an event.
type contextAnswer struct {
	rooms.Format
	*rooms.EventContext
}

// AppendJSON writes the event and what is around it.
func (c contextAnswer) AppendJSON(dst []byte) []byte {
	dst = append(dst, `{"end":`...)
	dst = event.AppendString(dst, syncstream.FormatToken(c.After.End))
	dst = append(dst, `,"event":`...)
	dst = c.Format.AppendJSON(dst, c.Event)
	dst = append(dst, `,"events_after":`...)
	dst = c.AppendEvents(dst, c.After.Events)
	dst = append(dst, `,"events_before":`...)
	dst = c.AppendEvents(dst, c.Before.Events)
	dst = append(dst, `,"start":`...)
	dst = event.AppendString(dst, syncstream.FormatToken(c.Before.End))
	dst = append(dst, `,"state":`...)
	dst = c.AppendEvents(dst, c.State)
	return append(dst, '}')
}

// eventContext gives what happened around an event. Section "Event context",
// GET /rooms/{roomId}/context/{eventId}.
func (a *API) eventContext(r *http.Request, who auth.Session) (any, error) {
	filter, err := a.queryFilter(r, who)
	if err != nil {
		return nil, err
	}
	limit, err := queryInt(r, "limit", filter.LimitOr(rooms.DefaultLimit))
	if err != nil {
		return nil, err
	}
	c, err := a.rooms.Context(r.Context(), who.UserID, param(r, "roomId"), param(r, "eventId"), min(limit, rooms.MaxLimit), filter)
	if err != nil {
		return nil, err
	}
	return contextAnswer{a.format(r, who, c.Access), c}, nil
}
