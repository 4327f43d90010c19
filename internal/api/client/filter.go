package client

import (
	"context"
	"maps"
	"slices"

	"homeserver/internal/httpapi"
	"homeserver/internal/matrix"
	"homeserver/internal/rooms/timeline"
)

type filterIDAnswer struct {
	FilterID string `json:"filter_id"`
}

// postFilter stores a filter. Section "Filtering", POST /user/{userId}/filter.
func (a *api) postFilter(r *httpapi.Request, who matrix.Session) (any, error) {
	if err := r.CheckOwn(who); err != nil {
		return nil, err
	}
	definition, err := r.RawObject()
	if err != nil {
		return nil, err
	}
	id, err := a.Stream.StoreFilter(r.Context(), who.UserID, definition)
	return filterIDAnswer{id}, err
}

// getFilter returns a filter that was stored. Section "Filtering", GET
// /user/{userId}/filter/{filterId}.
func (a *api) getFilter(r *httpapi.Request, who matrix.Session) (any, error) {
	if err := r.CheckOwn(who); err != nil {
		return nil, err
	}
	return a.Stream.StoredFilter(r.Context(), who.UserID, r.Param("filterId"))
}

// queryFilter reads a filter for the events of a room from the query, and excludes
// events of users whom the reader ignores. Section "Ignoring Users".
func (a *api) queryFilter(r *httpapi.Request, who matrix.Session) (filter *timeline.EventFilter, err error) {
	if text := r.Query("filter"); text != "" {
		if filter, err = a.Stream.EventFilter(text); err != nil {
			return nil, err
		}
	}
	return a.ignoring(r.Context(), who, filter)
}

// ignoring returns the filter that also excludes events of users whom the reader ignores.
func (a *api) ignoring(ctx context.Context, who matrix.Session, filter *timeline.EventFilter) (*timeline.EventFilter, error) {
	ignored, err := a.Data.Ignored(ctx, who.UserID)
	if err != nil || len(ignored) == 0 {
		return filter, err
	}
	return filter.WithoutMessagesOf(slices.Collect(maps.Keys(ignored))), nil
}
