package search

import (
	"homeserver/internal/journal"
	"homeserver/internal/rooms/timeline"
)

// group sets the token of the next page, and the groups with theirs, where there is more. In
// each group the results come in the order of the whole, so that all results of a group
// before the end of this page are on it.
func (q *query) group(r *Results, hits []hit, more bool) {
	r.Groups = groupsOf(r.Results, q.groupBy)
	if len(hits) == 0 {
		return
	}
	last := hits[len(hits)-1]
	if more {
		next := q.after(last, "", "")
		if q.from != nil {
			next.Key, next.Value = q.from.Key, q.from.Value
		}
		r.NextBatch = next.token()
	}
	rooms, senders := map[journal.RoomNID]bool{}, map[string]bool{}
	for _, h := range hits {
		rooms[h.Room], senders[h.Sender] = h.RoomMore, h.SenderMore
	}
	for value, g := range r.Groups[GroupRoom] {
		if rooms[g.room] {
			g.NextBatch = q.after(last, GroupRoom, value).token()
		}
	}
	for value, g := range r.Groups[GroupSender] {
		if senders[value] {
			g.NextBatch = q.after(last, GroupSender, value).token()
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
				g = &Group{Order: len(groups) + 1, room: result.Event.Room}
				groups[value] = g
			}
			g.EventIDs = append(g.EventIDs, result.Event.ID)
		}
		all[key] = groups
	}
	return all
}
