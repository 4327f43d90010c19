package client

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"

	"homeserver/internal/event"
	"homeserver/internal/httpapi"
	"homeserver/internal/matrix"
	"homeserver/internal/personal/search"
	"homeserver/internal/reserve"
	"homeserver/internal/rooms/timeline"
	"homeserver/internal/syncstream"
)

// searchRequest is the body of a search in one category.
type searchRequest struct {
	Term      string                `json:"search_term"`
	Keys      []string              `json:"keys"`
	Filter    *timeline.EventFilter `json:"filter"`
	Order     string                `json:"order_by"`
	WithState bool                  `json:"include_state"`
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
func (a *api) search(r *httpapi.Request, who matrix.Session) (any, error) {
	var body struct {
		Categories *struct {
			RoomEvents *searchRequest `json:"room_events"`
		} `json:"search_categories"`
	}
	if err := r.Decode(&body); err != nil {
		return nil, err
	}
	if body.Categories == nil {
		return nil, matrix.Errorf(matrix.MissingParam, "search_categories is missing")
	}
	wanted := body.Categories.RoomEvents
	if wanted == nil {
		return json.RawMessage(`{"search_categories":{}}`), nil
	}
	results, err := a.Searches.Search(r.Context(), who.UserID, wanted.criteria(r.Query("next_batch")))
	if err != nil {
		return nil, err
	}
	answer := searchAnswer{a.format(r, who, nil), results, a.Rooms.Timeline}
	if !answer.format.V1 {
		answer.format.Aggregations, err = a.aggregations(r.Context(), who, a.found(results)...)
	}
	return answer, err
}

// found returns the events that were found, each as it is now.
func (a *api) found(results *search.Results) []timeline.Aggregated {
	now := timeline.PlaceOf(a.Journal.Position())
	list := make([]timeline.Aggregated, len(results.Results))
	for i, r := range results.Results {
		list[i] = timeline.Aggregated{Access: results.Access[r.Event.Room], UpTo: now, Events: []*timeline.Event{r.Event}}
	}
	return list
}

// searchAnswer is the answer in the category room_events.
type searchAnswer struct {
	format timeline.Format
	*search.Results
	timeline *timeline.Store
}

// searchHead is the part of the answer before the results.
type searchHead struct {
	Count      int64                            `json:"count"`
	Groups     map[string]map[string]foundGroup `json:"groups,omitempty"`
	Highlights []string                         `json:"highlights"`
	NextBatch  string                           `json:"next_batch,omitempty"`
}

type foundGroup struct {
	NextBatch string   `json:"next_batch,omitempty"`
	Order     int      `json:"order"`
	Results   []string `json:"results"`
}

// shownProfile is a name and an avatar out of a member event.
type shownProfile struct {
	DisplayName matrix.Nullable `json:"displayname"`
	AvatarURL   matrix.Nullable `json:"avatar_url"`
}

// WriteJSON writes the page. The events around results may be the same ones again and
// again, and the state of their rooms may be long: the page is sent meanwhile.
func (s searchAnswer) WriteJSON(ctx context.Context, w *reserve.Writer) error {
	head, err := s.head()
	if err != nil {
		return err
	}
	w.B = append(w.B, `{"search_categories":{"room_events":`...)
	w.B = append(w.B, head[:len(head)-1]...)
	w.B = append(w.B, `,"results":[`...)
	for i, result := range s.Results.Results {
		if i > 0 {
			w.B = append(w.B, ',')
		}
		if err := s.writeResult(w, result); err != nil {
			return err
		}
	}
	w.B = append(w.B, ']')
	if s.State != nil {
		w.B = append(w.B, `,"state":{`...)
		if err := s.writeStates(ctx, w); err != nil {
			return err
		}
		w.B = append(w.B, '}')
	}
	w.B = append(w.B, `}}}`...)
	return nil
}

func (s searchAnswer) head() ([]byte, error) {
	head := searchHead{Count: s.Count, Highlights: s.Highlights, NextBatch: s.NextBatch}
	if s.Groups != nil {
		head.Groups = map[string]map[string]foundGroup{}
	}
	for key, groups := range s.Groups {
		head.Groups[key] = map[string]foundGroup{}
		for value, g := range groups {
			head.Groups[key][value] = foundGroup{g.NextBatch, g.Order, g.EventIDs}
		}
	}
	text, err := json.Marshal(head)
	if err != nil {
		return nil, fmt.Errorf("encode a page of results: %w", err)
	}
	return text, nil
}

func (s searchAnswer) writeResult(w *reserve.Writer, r *search.Result) error {
	s.format.Access = s.Access[r.Event.Room]
	w.B = append(w.B, '{')
	if around := r.Around; around != nil {
		w.B = s.format.AppendEvents(append(w.B, `"context":{"events_after":`...), around.After)
		w.B = s.format.AppendEvents(append(w.B, `,"events_before":`...), around.Before)
		w.B = event.AppendString(append(w.B, `,"end":`...), syncstream.FormatPlace(around.End))
		if len(around.Profiles) > 0 {
			profiles, err := json.Marshal(profilesOf(s.format.Access, around.Profiles))
			if err != nil {
				return fmt.Errorf("encode profiles: %w", err)
			}
			w.B = append(append(w.B, `,"profile_info":`...), profiles...)
		}
		w.B = event.AppendString(append(w.B, `,"start":`...), syncstream.FormatPlace(around.Start))
		w.B = append(w.B, `},`...)
	}
	w.B = strconv.AppendFloat(append(w.B, `"rank":`...), r.Rank, 'g', -1, 64)
	w.B = s.format.AppendJSON(append(w.B, `,"result":`...), r.Event)
	w.B = append(w.B, '}')
	return w.Pass() //nolint:wrapcheck // it is the connection's own
}

func profilesOf(access *timeline.Access, members []*timeline.Event) map[string]shownProfile {
	profiles := map[string]shownProfile{}
	for _, e := range members {
		content := access.ContentOf(e)
		profiles[*e.StateKey] = shownProfile{contentText(content, "displayname"), contentText(content, "avatar_url")}
	}
	return profiles
}

// contentText returns a text of an event's content; empty if there is none by that name.
func contentText(content []byte, name string) matrix.Nullable {
	text, _ := event.StringField(content, name)
	return matrix.Nullable(text)
}

// writeStates writes the state of the rooms, by their IDs.
func (s searchAnswer) writeStates(ctx context.Context, w *reserve.Writer) error {
	for i, roomID := range slices.Sorted(maps.Keys(s.State)) {
		if i > 0 {
			w.B = append(w.B, ',')
		}
		state := s.State[roomID]
		s.format.Access = nil
		switch {
		case len(state.Events) > 0:
			s.format.Access = s.Access[state.Events[0].Room]
		case len(state.Left) > 0:
			s.format.Access = s.Access[state.Left[0].Room]
		}
		w.B = append(event.AppendString(w.B, roomID), ':')
		if err := s.format.WriteEvents(ctx, w, s.timeline.Cursor(state)); err != nil {
			return err //nolint:wrapcheck // it becomes the answer
		}
	}
	return nil
}
