package todevice

import (
	"context"

	"homeserver/internal/journal"
)

// Peek returns messages that wait for a device after a position, at most so many and as many
// as one answer may hold, the position up to which these are all, and whether there are more.
// It acknowledges none: they wait until their device is removed.
func (s *Service) Peek(
	ctx context.Context, userID, deviceID string, after journal.Position, limit int,
) (list []*Message, upTo journal.Position, more bool, err error) {
	now := s.o.Journal.Position()
	all, err := s.readQueue(ctx, device{userID, deviceID}, after, now)
	if err != nil {
		return nil, 0, false, err
	}
	if list = firstOf(all, limit); len(list) < len(all) {
		return list, list[len(list)-1].Position, true, nil
	}
	return list, now, false, nil
}

// firstOf returns the first messages, at most so many, and as many as one answer may hold. Of
// messages that are larger than that it is one.
func firstOf(list []*Message, limit int) []*Message {
	p := &page{limit: min(limit, maxMessages)}
	for i, m := range list {
		if !p.add(m) {
			return list[:i:i]
		}
	}
	return list
}
