package client

import (
	"encoding/json"

	"homeserver/internal/event"
	"homeserver/internal/httpapi"
	"homeserver/internal/matrix"
)

// setState sets an entry of a room's state; without a state key in the path, it
// is the empty one. A suspended user may leave only. Section "Sending events to a room",
// PUT /rooms/{roomId}/state/{eventType}/{stateKey}.
func (a *api) setState(r *httpapi.Request, who matrix.Session) (any, error) {
	content, err := r.RawObject()
	if err != nil {
		return nil, err
	}
	if who.Suspended && !isLeaving(r, who, content) {
		return nil, matrix.ErrSuspended()
	}
	q := roomRequest(r, who)
	if q.Timestamp, err = timestamp(r, who); err != nil {
		return nil, err
	}
	stateKey := r.Param("stateKey")
	if isDelayed(r) {
		return a.schedule(r, q, r.Param("eventType"), &stateKey, content)
	}
	id, err := a.Rooms.SetState(r.Context(), q, r.Param("eventType"), stateKey, content)
	return eventIDAnswer{id}, err
}

// isLeaving reports whether a change of state is that the user leaves the room, now.
func isLeaving(r *httpapi.Request, who matrix.Session, content json.RawMessage) bool {
	membership, _ := event.StringField(content, "membership")
	return r.Param("eventType") == event.TypeMember && r.Param("stateKey") == who.UserID && !isDelayed(r) &&
		membership == "leave"
}

// getState returns the content of an entry of a room's state, or with format=event the
// event. Section "Getting events for a room", GET
// /rooms/{roomId}/state/{eventType}/{stateKey}.
func (a *api) getState(r *httpapi.Request, who matrix.Session) (any, error) {
	format := r.Query("format")
	if format != "" && format != "content" && format != "event" {
		return nil, matrix.Errorf(matrix.InvalidParam, `format must be "content" or "event"`)
	}
	e, access, err := a.Rooms.Timeline.For(who.UserID).StateEvent(r.Context(), r.Param("roomId"), r.Param("eventType"), r.Param("stateKey"))
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
func (a *api) getRoomState(r *httpapi.Request, who matrix.Session) (any, error) {
	events, access, err := a.Rooms.Timeline.For(who.UserID).State(r.Context(), r.Param("roomId"))
	if err != nil {
		return nil, err
	}
	return eventsAnswer{a.format(r, who, access), "", events}, nil
}
