package api

import (
	"encoding/json"
	"net/http"

	"homeserver/internal/auth"
	"homeserver/internal/matrix"
	"homeserver/internal/rooms"
	"homeserver/internal/search"
	"homeserver/internal/syncstream"
)

// searchRequest is the body of a search in one category.
type searchRequest struct {
	Term      string             `json:"search_term"`
	Keys      []string           `json:"keys"`
	Filter    *rooms.EventFilter `json:"filter"`
	Order     string             `json:"order_by"`
	WithState bool               `json:"include_state"`
	Context   *struct {
		Before       *int `json:"before_limit"`
		After        *int `json:"after_limit"`
		WithProfiles bool `json:"include_profile"`
	} `json:"event_context"`
	Groupings struct {
		GroupBy []struct {
			Key string `json:"key"`
		} `json:"group_by"`
	} `json:"groupings"`
}

func (q *searchRequest) criteria(nextBatch string) search.Criteria {
	c := search.Criteria{
		Term: q.Term, Keys: q.Keys, Filter: q.Filter, Order: q.Order, WithState: q.WithState, NextBatch: nextBatch,
	}
	if q.Context != nil {
		c.Context = &search.Context{Before: q.Context.Before, After: q.Context.After, WithProfiles: q.Context.WithProfiles}
	}
	for _, g := range q.Groupings.GroupBy {
		c.GroupBy = append(c.GroupBy, g.Key)
	}
	return c
}

// search finds events. M_MISSING_PARAM without search_categories. Section "Server
// Side Search", POST /search.
func (a *API) search(r *http.Request, who auth.Session) (any, error) {
	var body struct {
		Categories *struct {
			RoomEvents *searchRequest `json:"room_events"`
		} `json:"search_categories"`
	}
	if err := decode(r, &body); err != nil {
		return nil, err
	}
	if body.Categories == nil {
		return nil, matrix.Errorf(matrix.MissingParam, "search_categories is missing")
	}
	answer := searchAnswer{}
	if wanted := body.Categories.RoomEvents; wanted != nil {
		results, err := a.searches.Search(r.Context(), who.UserID, wanted.criteria(query(r, "next_batch")))
		if err != nil {
			return nil, err
		}
		answer.Categories.RoomEvents = a.foundEvents(r, who, results)
	}
	return answer, nil
}

type searchAnswer struct {
	Categories struct {
		RoomEvents *foundEvents `json:"room_events,omitempty"`
	} `json:"search_categories"`
}

// foundEvents is the answer in the category room_events.
type foundEvents struct {
	Count      int64                            `json:"count"`
	Groups     map[string]map[string]foundGroup `json:"groups,omitempty"`
	Highlights []string                         `json:"highlights"`
	NextBatch  string                           `json:"next_batch,omitempty"`
	Results    []foundEvent                     `json:"results"`
	State      map[string]json.RawMessage       `json:"state,omitempty"`
}

type foundGroup struct {
	NextBatch string   `json:"next_batch,omitempty"`
	Order     int      `json:"order"`
	Results   []string `json:"results"`
}

type foundEvent struct {
	Context *foundContext   `json:"context,omitempty"`
	Rank    float64         `json:"rank"`
	Result  json.RawMessage `json:"result"`
}

type foundContext struct {
	Start    string                  `json:"start"`
	End      string                  `json:"end"`
	Before   json.RawMessage         `json:"events_before"`
	After    json.RawMessage         `json:"events_after"`
	Profiles map[string]shownProfile `json:"profile_info,omitempty"`
}

// shownProfile is a name and an avatar out of a member event.
type shownProfile struct {
	DisplayName matrix.Nullable `json:"displayname"`
	AvatarURL   matrix.Nullable `json:"avatar_url"`
}

func (a *API) foundEvents(request *http.Request, who auth.Session, r *search.Results) *foundEvents {
	answer := &foundEvents{Count: r.Count, Highlights: r.Highlights, NextBatch: r.NextBatch, Results: []foundEvent{}}
	for _, result := range r.Results {
		format := a.format(request, who, r.Access[result.Event.Room])
		answer.Results = append(answer.Results, foundEvent{
			Rank: result.Rank, Result: format.AppendJSON(nil, result.Event), Context: contextOf(&format, result.Around),
		})
	}
	if r.Groups != nil {
		answer.Groups = map[string]map[string]foundGroup{}
	}
	for key, groups := range r.Groups {
		answer.Groups[key] = map[string]foundGroup{}
		for value, g := range groups {
			answer.Groups[key][value] = foundGroup{g.NextBatch, g.Order, g.EventIDs}
		}
	}
	if r.State != nil {
		answer.State = map[string]json.RawMessage{}
	}
	for roomID, events := range r.State {
		format := a.format(request, who, nil)
		if len(events) > 0 {
			format.Access = r.Access[events[0].Room]
		}
		answer.State[roomID] = format.AppendEvents(nil, events)
	}
	return answer
}

func contextOf(format *rooms.Format, s *search.Surroundings) *foundContext {
	if s == nil {
		return nil
	}
	c := &foundContext{
		Start: syncstream.FormatToken(s.Start), End: syncstream.FormatToken(s.End),
		Before: format.AppendEvents(nil, s.Before), After: format.AppendEvents(nil, s.After),
	}
	for _, e := range s.Profiles {
		if c.Profiles == nil {
			c.Profiles = map[string]shownProfile{}
		}
		content := format.Access.ContentOf(e)
		c.Profiles[*e.StateKey] = shownProfile{contentText(content, "displayname"), contentText(content, "avatar_url")}
	}
	return c
}
