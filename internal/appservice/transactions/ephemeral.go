package transactions

import (
	"context"
	"slices"

	"homeserver/internal/journal"
	"homeserver/internal/personal/receipts"
)

// lookForReceipts finds the receipts that concern the service: public ones in its rooms, and
// those of its own users.
func (l *lane) lookForReceipts(ctx context.Context, b *batch) error {
	if !l.r.ReceiveEphemeral {
		return nil
	}
	list, err := l.s.o.Receipts.Between(ctx, b.after, b.upTo)
	if err != nil || len(list) == 0 {
		return err
	}
	nids := make([]journal.RoomNID, len(list))
	for i, r := range list {
		nids[i] = r.Room
	}
	if err := l.know(ctx, b.rooms, nids, b.upTo); err != nil {
		return err
	}
	for _, r := range list {
		if b.rooms[r.Room].concerns() && (r.Type == receipts.Read || l.r.OwnsUser(r.UserID)) {
			if b.receipts == nil {
				b.receipts = map[journal.RoomNID][]*receipts.Receipt{}
			}
			b.receipts[r.Room] = append(b.receipts[r.Room], r)
		}
	}
	return nil
}

// lookForEphemeral finds who is typing, and whose presence has changed, in the rooms that
// concern the service.
func (l *lane) lookForEphemeral(ctx context.Context, b *batch) error {
	if !l.r.ReceiveEphemeral {
		return nil
	}
	since, now := l.tick, l.s.o.Ticks.Now()
	if since == now {
		return nil
	}
	// First it is asked for all, to learn which rooms are not known.
	var unknown []journal.RoomNID
	note := func(nid journal.RoomNID) bool {
		if b.rooms[nid] == nil {
			unknown = append(unknown, nid)
		}
		return false
	}
	l.s.o.Typing.Changed(since, note)
	l.s.o.Presence.Changed("", since, note, nil)
	slices.Sort(unknown)
	if err := l.know(ctx, b.rooms, slices.Compact(unknown), b.upTo); err != nil {
		return err
	}
	in := func(nid journal.RoomNID) bool {
		r := b.rooms[nid]
		return r != nil && r.concerns()
	}
	b.typing = l.s.o.Typing.Changed(since, in)
	b.presence = l.s.o.Presence.Changed("", since, in, nil)
	l.tick = now
	return nil
}
