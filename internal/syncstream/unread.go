package syncstream

import (
	"context"
	"maps"
	"slices"
	"strconv"

	"homeserver/internal/event"
	"homeserver/internal/journal"
	"homeserver/internal/personal/push"
)

// fillUnread counts the notifications of the rooms that the answer shows.
func (s *Service) fillUnread(ctx context.Context, p *plan) error {
	shown := p.which(func(r *room) bool { return r.section == joined && r.shown })
	if len(shown) == 0 {
		return nil
	}
	nids := make([]journal.RoomNID, len(shown))
	for i, r := range shown {
		nids[i] = r.nid
	}
	counts, err := s.Push.Counts(ctx, p.userID, nids, p.upTo)
	if err != nil {
		return err
	}
	for _, r := range shown {
		unread := counts[r.nid]
		r.unread = &unread
	}
	return nil
}

// appendUnread writes the counts: of the main timeline and of each thread, where
// the client asks for that and there are any, else of all together.
func (p *plan) appendUnread(dst []byte, u *push.Unread) []byte {
	dst = append(dst, `,"unread_notifications":`...)
	if !p.filter.Room.Timeline.CountsThreads() {
		return appendCount(dst, u.Total())
	}
	dst = appendCount(dst, u.Main)
	if len(u.Threads) == 0 {
		return dst
	}
	dst = append(dst, `,"unread_thread_notifications":{`...)
	for i, root := range slices.Sorted(maps.Keys(u.Threads)) {
		dst = event.AppendString(comma(dst, i), root)
		dst = appendCount(append(dst, ':'), u.Threads[root])
	}
	return append(dst, '}')
}

func appendCount(dst []byte, c push.Count) []byte {
	dst = strconv.AppendInt(append(dst, `{"highlight_count":`...), int64(c.Highlight), 10)
	dst = strconv.AppendInt(append(dst, `,"notification_count":`...), int64(c.Notification), 10)
	return append(dst, '}')
}
