package client

import (
	"strconv"

	"homeserver/internal/httpapi"
	"homeserver/internal/matrix"
)

// timestampToEvent finds the event nearest to a time. M_MISSING_PARAM without ts or dir,
// M_INVALID_PARAM for values that are none, M_NOT_FOUND if there is no such event. Section
// "Getting events for a room", GET /rooms/{roomId}/timestamp_to_event.
func (a *api) timestampToEvent(r *httpapi.Request, who matrix.Session) (any, error) {
	text, dir := r.Query("ts"), r.Query("dir")
	if text == "" || dir == "" {
		return nil, matrix.Errorf(matrix.MissingParam, "ts and dir must be in the query")
	}
	ts, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return nil, matrix.Errorf(matrix.InvalidParam, "ts must be a whole number of milliseconds since 1970")
	}
	if dir != "f" && dir != "b" {
		return nil, matrix.Errorf(matrix.InvalidParam, `dir must be "f" or "b"`)
	}
	return a.Rooms.Timeline.For(who.UserID).EventAtTime(r.Context(), r.Param("roomId"), ts, dir == "b")
}
