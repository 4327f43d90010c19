package search

import "homeserver/internal/rooms/timeline"

// group sets the token of the next page, and the groups with theirs. In each group the
// results come in the order of the whole, so that all results of a group before the end
// of this page are on it. A full page has tokens, even if there may be nothing after
// it: other servers do so, and clients go on until an empty page.
func (q *query) group(r *Results, hits []hit, more bool) {
	r.Groups = groupsOf(r.Results, q.groupBy)
	if len(hits) == 0 || !more {
		return
	}
	last := hits[len(hits)-1]
	next := q.after(last, "", "")
	if q.from != nil {
		next.Key, next.Value = q.from.Key, q.from.Value
	}
	r.NextBatch = next.token()
	for key, groups := range r.Groups {
		for value, g := range groups {
			g.NextBatch = q.after(last, key, value).token()
		}
	}
}

// valueOf returns the value by which a result is grouped.
func valueOf(e *timeline.Event, key string) string {
	if key == GroupRoom {
		return e.RoomID
	}
	return e.Sender
}

// groupsOf returns the groups of results by each of the keys; nil if there are none.
func groupsOf(results []*Result, keys []string) map[string]map[string]*Group {
	if len(keys) == 0 {
		return nil
	}
	all := map[string]map[string]*Group{}
	for _, key := range keys {
		groups := map[string]*Group{}
		for _, result := range results {
			value := valueOf(result.Event, key)
			g := groups[value]
			if g == nil {
				g = &Group{Order: len(groups) + 1}
				groups[value] = g
			}
			g.EventIDs = append(g.EventIDs, result.Event.ID)
		}
		all[key] = groups
	}
	return all
}
