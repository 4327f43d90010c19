package syncstream

import (
	"context"

	"homeserver/internal/rooms/timeline"
)

// fillAggregations reads what is bundled with the events of timelines that are limited. Of
// others clients have the events that would be bundled: client-server API, "Aggregations of
// child events". What is federated has nothing beside it.
func (s *Service) fillAggregations(ctx context.Context, p *plan) error {
	if !p.bundled || p.filter.EventFormat == "federation" {
		return nil
	}
	var lists []timeline.Aggregated
	for _, r := range p.rooms {
		if r.limited && len(r.timeline) > 0 {
			lists = append(lists, timeline.Aggregated{Access: r.access, UpTo: r.upTo, Events: r.timeline})
		}
	}
	if len(lists) == 0 {
		return nil
	}
	var err error
	p.aggregations, err = s.Rooms.For(p.userID).Aggregations(ctx, p.ignored, lists...)
	return err
}
