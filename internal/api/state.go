package api

import (
	"encoding/json"
	"net/http"

	"homeserver/internal/matrix"
)

// setState sets an entry of a room's state; without a state key in the path, it
// is the empty one. Section "Sending events to a room",
// PUT /rooms/{roomId}/state/{eventType}/{stateKey}.
func (a *API) setState(r *http.Request, who matrix.Session) (any, error) {
	content, err := rawObject(r)
	if err != nil {
		return nil, err
	}
	id, err := a.rooms.SetState(r.Context(), roomRequest(r, who), param(r, "eventType"), param(r, "stateKey"), content)
	return eventIDAnswer{id}, err
}

// getState gives the content of an entry of a room's state, or with
// format=event the event. Section "Getting events for a room",
// GET /rooms/{roomId}/state/{eventType}/{stateKey}.
func (a *API) getState(r *http.Request, who matrix.Session) (any, error) {
	format := query(r, "format")
	if format != "" && format != "content" && format != "event" {
		return nil, matrix.Errorf(matrix.InvalidParam, `format must be "content" or "event"`)
	}
	e, access, err := a.timeline.StateEvent(r.Context(), who.UserID, param(r, "roomId"), param(r, "eventType"), param(r, "stateKey"))
	if err != nil {
		return nil, err
	}
	if format == "event" {
		return eventAnswer{a.format(r, who, access), e}, nil
	}
	return json.RawMessage(access.ContentOf(e)), nil
}

// getRoomState lists the state of a room. Section "Getting events for a room",
// GET /rooms/{roomId}/state.
func (a *API) getRoomState(r *http.Request, who matrix.Session) (any, error) {
	events, access, err := a.timeline.State(r.Context(), who.UserID, param(r, "roomId"))
	if err != nil {
		return nil, err
	}
	return eventsAnswer{a.format(r, who, access), "", events}, nil
}
