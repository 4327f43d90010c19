package search

import (
	"encoding/base64"
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"

	"homeserver/internal/event"
	"homeserver/internal/journal"
	"homeserver/internal/matrix"
	"homeserver/internal/rooms/timeline"
)

// query is a search in the form for the index.
type query struct {
	terms          terms
	tsquery, whole string
	keys           []string
	recent         bool
	groupBy        []string
	limit          int
	filter         *timeline.EventFilter
	from           *cursor
	windows        []timeline.Window
	notSenders     []string
	hidden         []hiddenFrom
}

func newQuery(c *Criteria) (*query, error) {
	if c.Term == "" {
		return nil, errNoTerm()
	}
	if len(c.Term) > maxTermBytes || !utf8.ValidString(c.Term) {
		return nil, matrix.Errorf(matrix.InvalidParam, "search_term may have %d bytes at most", maxTermBytes)
	}
	if c.Filter != nil {
		if err := c.Filter.Check(); err != nil {
			return nil, err
		}
		c.Filter.LazyLoadMembers = false
	}
	q := &query{terms: parseTerms(c.Term), filter: c.Filter, groupBy: c.GroupBy, limit: min(c.Filter.LimitOr(timeline.DefaultLimit), maxResults)}
	q.tsquery, q.whole = q.terms.tsquery(false), q.terms.tsquery(true)
	switch c.Order {
	case "", OrderRank:
	case OrderRecent:
		q.recent = true
	default:
		return nil, matrix.Errorf(matrix.InvalidParam, `order_by must be "rank" or "recent"`)
	}
	for _, key := range c.GroupBy {
		if key != GroupRoom && key != GroupSender {
			return nil, matrix.Errorf(matrix.InvalidParam, `results can be grouped by "room_id" and "sender"`)
		}
	}
	var err error
	if q.keys, err = keysOf(c); err != nil {
		return nil, err
	}
	q.from, err = parseCursor(c.NextBatch, q.recent)
	return q, err
}

// keysOf lists the keys to search: those asked for, of the types of events that the
// filter allows.
func keysOf(c *Criteria) ([]string, error) {
	known := slices.Collect(maps.Values(types))
	for _, key := range c.Keys {
		if !slices.Contains(known, key) {
			return nil, matrix.Errorf(matrix.InvalidParam, "keys can be content.body, content.name and content.topic")
		}
	}
	wanted := []string{}
	for evType, key := range types {
		if c.Keys != nil && !slices.Contains(c.Keys, key) {
			continue
		}
		if c.Filter == nil || passesType(c.Filter, evType) {
			wanted = append(wanted, key)
		}
	}
	return wanted, nil
}

// passesType reports whether events of a type may pass a filter.
func passesType(f *timeline.EventFilter, evType string) bool {
	byType := timeline.EventFilter{Types: f.Types, NotTypes: f.NotTypes}
	return byType.Match(&timeline.Event{Event: &event.Event{Type: evType}})
}

// cursor is the place after a result, within all results or within a group.
type cursor struct {
	Recent   bool             `json:"recent,omitempty"`
	Rank     float64          `json:"rank,omitempty"`
	Position journal.Position `json:"position"`
	Below    int64            `json:"below,omitempty"` // so many places
	Key      string           `json:"key,omitempty"`
	Value    string           `json:"value,omitempty"`
}

// parseCursor reads a token; nil for none. M_INVALID_PARAM for a text that is none, or
// for one of another order.
func parseCursor(token string, recent bool) (*cursor, error) {
	if token == "" {
		return nil, nil
	}
	text, err := base64.RawURLEncoding.DecodeString(token)
	c := &cursor{}
	if err != nil || json.Unmarshal(text, c) != nil || c.token() != token || c.Recent != recent || strings.IndexByte(c.Value, 0) >= 0 {
		return nil, matrix.Errorf(matrix.InvalidParam, "next_batch is not a token for this search")
	}
	return c, nil
}

func (c *cursor) token() string {
	text, err := json.Marshal(c)
	if err != nil {
		return "" // a rank is a finite number
	}
	return base64.RawURLEncoding.EncodeToString(text)
}

// place returns that of the result.
func (c *cursor) place() timeline.Place {
	return timeline.PlaceOf(c.Position) - timeline.Place(c.Below)
}

// wantsRoom reports whether results of a room may follow.
func (c *cursor) wantsRoom(roomID string) bool {
	return c == nil || c.Key != GroupRoom || c.Value == roomID
}

// after returns the place after a hit, for the whole or for a group.
func (q *query) after(h hit, key, value string) *cursor {
	c := &cursor{Recent: q.recent, Key: key, Value: value}
	c.Position, c.Below = h.Place.Live()
	if !q.recent {
		c.Rank = h.Rank
	}
	return c
}
