package api

import (
	"maps"
	"slices"

	"homeserver/internal/httpapi"
	"homeserver/internal/matrix"
	"homeserver/internal/rooms/timeline"
	"homeserver/internal/syncstream"
)

type filterIDAnswer struct {
	FilterID string `json:"filter_id"`
}

// postFilter stores a filter. Section "Filtering", POST /user/{userId}/filter.
func (a *API) postFilter(r *httpapi.Request, who matrix.Session) (any, error) {
	if err := own(r, who); err != nil {
		return nil, err
	}
	definition, err := r.RawObject()
	if err != nil {
		return nil, err
	}
	id, err := a.stream.StoreFilter(r.Context(), who.UserID, definition)
	return filterIDAnswer{id}, err
}

// getFilter gives a filter that was stored. Section "Filtering",
// GET /user/{userId}/filter/{filterId}.
func (a *API) getFilter(r *httpapi.Request, who matrix.Session) (any, error) {
	if err := own(r, who); err != nil {
		return nil, err
	}
	return a.stream.StoredFilter(r.Context(), who.UserID, r.Param("filterId"))
}

// queryFilter reads a filter for the events of a room from the query, and keeps
// out what those have written whom the reader ignores. Section "Ignoring Users".
func (a *API) queryFilter(r *httpapi.Request, who matrix.Session) (filter *timeline.EventFilter, err error) {
	if text := r.Query("filter"); text != "" {
		if filter, err = syncstream.ParseEventFilter(text); err != nil {
			return nil, err
		}
	}
	ignored, err := a.data.Ignored(r.Context(), who.UserID)
	if err != nil || len(ignored) == 0 {
		return filter, err
	}
	return filter.WithoutMessagesOf(slices.Collect(maps.Keys(ignored))), nil
}
