package api

import (
	"net/http"

	"homeserver/internal/auth"
	"homeserver/internal/matrix"
	"homeserver/internal/rooms"
	"homeserver/internal/syncstream"
)

var errOtherFilter = matrix.Errorf(matrix.Forbidden, "you may see and set your own filters only")

type filterIDAnswer struct {
	FilterID string `json:"filter_id"`
}

// postFilter stores a filter. Section "Filtering", POST /user/{userId}/filter.
func (a *API) postFilter(r *http.Request, who auth.Session) (any, error) {
	if param(r, "userId") != who.UserID {
		return nil, errOtherFilter
	}
	definition, err := rawObject(r)
	if err != nil {
		return nil, err
	}
	id, err := a.stream.StoreFilter(r.Context(), who.UserID, definition)
	return filterIDAnswer{id}, err
}

// getFilter gives a filter that was stored. Section "Filtering",
// GET /user/{userId}/filter/{filterId}.
func (a *API) getFilter(r *http.Request, who auth.Session) (any, error) {
	if param(r, "userId") != who.UserID {
		return nil, errOtherFilter
	}
	return a.stream.StoredFilter(r.Context(), who.UserID, param(r, "filterId"))
}

// queryFilter reads a filter for the events of a room; nil if it isn't there.
func queryFilter(r *http.Request) (*rooms.EventFilter, error) {
	text := query(r, "filter")
	if text == "" {
		return nil, nil
	}
	return syncstream.ParseEventFilter(text)
}
