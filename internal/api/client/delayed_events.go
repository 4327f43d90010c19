package client

import (
	"cmp"
	"encoding/json"
	"strconv"

	"homeserver/internal/httpapi"
	"homeserver/internal/httpapi/ratelimit"
	"homeserver/internal/matrix"
	"homeserver/internal/rooms"
	"homeserver/internal/rooms/delayedevents"
)

// The query parameters of requests to send an event later, as MSC4140 had them first.
const (
	delayParameter       = "org.matrix.msc4140.delay"
	delayParentParameter = "org.matrix.msc4140.parent_delay_id"
)

type delayIDAnswer struct {
	DelayID string `json:"delay_id"`
}

// isDelayed reports whether a request to send an event asks to send it later.
func isDelayed(r *httpapi.Request) bool {
	query := r.QueryValues()
	return query.Has(delayParameter) || query.Has(delayParentParameter)
}

// schedule has an event sent later that is sent like any other, with a delay in the query.
// M_INVALID_PARAM for a delay that is none, and for one after another event: sent at once, it
// might end a call that has just begun. MSC4140.
func (a *api) schedule(r *httpapi.Request, q rooms.Request, evType string, stateKey *string, content json.RawMessage) (any, error) {
	delay, err := strconv.ParseInt(r.Query(delayParameter), 10, 64)
	if err != nil {
		return nil, matrix.Errorf(matrix.InvalidParam, "%s must be a whole number of milliseconds", delayParameter)
	}
	if err := r.Charge(ratelimit.Changes, 1); err != nil {
		return nil, err
	}
	if err := r.Charge(ratelimit.WrittenBytes, len(content)); err != nil {
		return nil, err
	}
	id, err := a.Delayed.Schedule(r.Context(), delayedevents.Request{Request: q, Type: evType, StateKey: stateKey, Content: content, Delay: delay})
	return delayIDAnswer{id}, err
}

// putDelayedEvent has an event sent later. MSC4140, PUT
// /rooms/{roomId}/delayed_event/{eventType}/{txnId}.
func (a *api) putDelayedEvent(r *httpapi.Request, who matrix.Session) (any, error) {
	var body struct {
		DelayMS  *int64          `json:"delay_ms"`
		Delay    *int64          `json:"delay"` // as it was called before
		StateKey *string         `json:"state_key"`
		Content  json.RawMessage `json:"content"`
	}
	if err := r.Decode(&body); err != nil {
		return nil, err
	}
	delay := cmp.Or(body.DelayMS, body.Delay)
	switch {
	case delay == nil:
		return nil, matrix.Errorf(matrix.MissingParam, "delay_ms is missing")
	case len(body.Content) == 0:
		return nil, matrix.Errorf(matrix.MissingParam, "content is missing")
	}
	q := roomRequest(r, who)
	var err error
	if q.Timestamp, err = timestamp(r, who); err != nil {
		return nil, err
	}
	id, err := a.Delayed.Schedule(r.Context(), delayedevents.Request{
		Request: q, Type: r.Param("eventType"), StateKey: body.StateKey, Content: body.Content, Delay: *delay,
	})
	return delayIDAnswer{id}, err
}

// delayedEvents lists the user's delayed events. MSC4140, GET /delayed_events.
func (a *api) delayedEvents(r *httpapi.Request, who matrix.Session) (any, error) {
	return a.Delayed.List(r.Context(), delayedevents.Query{
		UserID: who.UserID, Status: r.Query("status"), IDs: r.QueryValues()["delay_id"], From: cmp.Or(r.Query("from"), r.Query("next_batch")),
	})
}

// delayedEvent returns one of the user's delayed events. MSC4140, GET
// /delayed_events/{delayId}.
func (a *api) delayedEvent(r *httpapi.Request, who matrix.Session) (any, error) {
	return a.Delayed.Get(r.Context(), who.UserID, r.Param("delayId"))
}

// actOnDelayedEvent sends, cancels or restarts a delayed event, for anybody who knows its
// ID: a client may leave it to the service that carries a call. MSC4140, POST
// /delayed_events/{delayId}/{action}.
func (a *api) actOnDelayedEvent(r *httpapi.Request, _ matrix.Session) (any, error) {
	return struct{}{}, a.Delayed.Act(r.Context(), r.Param("delayId"), r.Param("action"))
}

// updateDelayedEvent is actOnDelayedEvent with the action in the body, as MSC4140 had it
// first.
func (a *api) updateDelayedEvent(r *httpapi.Request, _ matrix.Session) (any, error) {
	var body struct {
		Action string `json:"action"`
	}
	if err := r.Decode(&body); err != nil {
		return nil, err
	}
	if body.Action == "" {
		return nil, matrix.Errorf(matrix.MissingParam, "action is missing")
	}
	return struct{}{}, a.Delayed.Act(r.Context(), r.Param("delayId"), body.Action)
}
