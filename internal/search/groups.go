package search

import (
	"context"
	"slices"

	"homeserver/internal/journal"
	"homeserver/internal/rooms"
)

// group sets the token of the next page, and the groups with theirs. In each group
// the results come in the order of the whole, so that everything in a group before
// the end of this page stands on it.
func (s *Service) group(ctx context.Context, q *query, r *Results, hits []hit, more bool) error {
	var last hit
	if more && len(hits) > 0 {
		last = hits[len(hits)-1]
		next := q.after(last, "", "")
		if q.from != nil {
			next.Key, next.Value = q.from.Key, q.from.Value
		}
		r.NextBatch = next.token()
	}
	if len(q.groupBy) == 0 {
		return nil
	}
	r.Groups = map[string]map[string]*Group{}
	for _, key := range q.groupBy {
		r.Groups[key] = groupsOf(r.Results, key)
	}
	if r.NextBatch == "" {
		return nil
	}
	return s.markMore(ctx, q, r, q.after(last, "", ""))
}

// valueOf gives what a result is grouped by.
func valueOf(e *rooms.Event, key string) string {
	if key == GroupRoom {
		return e.RoomID
	}
	return e.Sender
}

func groupsOf(results []*Result, key string) map[string]*Group {
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
	return groups
}

// markMore gives a token to the groups that have more results after this page.
func (s *Service) markMore(ctx context.Context, q *query, r *Results, end *cursor) error {
	var nids []journal.RoomNID
	var senders []string
	roomIDs := map[journal.RoomNID]string{}
	for _, result := range r.Results {
		e := result.Event
		roomIDs[e.Room] = e.RoomID
		nids, senders = append(nids, e.Room), append(senders, e.Sender)
	}
	mark := func(key, value string) {
		next := *end
		next.Key, next.Value = key, value
		r.Groups[key][value].NextBatch = next.token()
	}
	if slices.Contains(q.groupBy, GroupRoom) {
		list, err := s.roomsBehind(ctx, q, end, nids)
		if err != nil {
			return err
		}
		for _, nid := range list {
			mark(GroupRoom, roomIDs[nid])
		}
	}
	if slices.Contains(q.groupBy, GroupSender) {
		list, err := s.sendersBehind(ctx, q, end, senders)
		if err != nil {
			return err
		}
		for _, sender := range list {
			mark(GroupSender, sender)
		}
	}
	return nil
}
