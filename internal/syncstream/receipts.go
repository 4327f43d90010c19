package syncstream

import (
	"context"
	"slices"

	"homeserver/internal/journal"
	"homeserver/internal/personal/receipts"
	"homeserver/internal/reserve"
	"homeserver/internal/rooms/timeline"
)

// typeReceipt is the type of the event in which receipts are shown.
const typeReceipt = "m.receipt"

// fillReceipts reads the receipts since the last answer, and all that there are in
// rooms that are new to the client.
func (s *Service) fillReceipts(ctx context.Context, p *plan) error {
	var stored []receipts.Since
	for _, r := range p.rooms {
		switch {
		case r.section != joined:
		case p.isAnew(withReceipts, r):
			stored = append(stored, receipts.Since{Room: r.nid})
		case r.inWindow && !r.isBehind:
			for _, entry := range r.live {
				p.addLiveReceipt(r, entry)
			}
		case r.since < timeline.PlaceOf(p.upTo):
			stored = append(stored, receipts.Since{Room: r.nid, After: r.since.Position()})
		}
	}
	for _, entry := range p.own {
		if receipt, ok := entry.Value.(*receipts.Receipt); ok {
			if r := p.room(receipt.Room); r != nil && r.section == joined && r.inWindow && !r.isBehind && !p.isAnew(withReceipts, r) {
				p.addLiveReceipt(r, entry)
			}
		}
	}
	if len(stored) == 0 {
		return nil
	}
	found, parts, err := s.Receipts.Changes(ctx, p.userID, stored, p.upTo)
	if err != nil {
		return err
	}
	for _, receipt := range found {
		p.addReceipt(p.room(receipt.Room), receipt)
	}
	p.moreReceipts = parts
	for nid := range parts.Keys() {
		p.room(nid).moreReceipts = true
	}
	return nil
}

// addLiveReceipt adds the receipt of an entry of the window, if it is one.
func (p *plan) addLiveReceipt(r *room, entry *journal.Entry) {
	if receipt, ok := entry.Value.(*receipts.Receipt); ok && entry.Position > r.since.Position() && entry.Position <= p.upTo {
		p.addReceipt(r, receipt)
	}
}

// addReceipt adds a receipt, unless the filter or the list of ignored users excludes
// it. A receipt of the reader changes the counts in any case.
func (p *plan) addReceipt(r *room, receipt *receipts.Receipt) {
	r.readFurther = r.readFurther || receipt.UserID == p.userID
	if p.wantsReceipt(r, receipt) {
		r.receipts = append(r.receipts, receipt)
	}
}

func (p *plan) wantsReceipt(r *room, receipt *receipts.Receipt) bool {
	return wantsOf(p.filter.Room.Ephemeral, r, typeReceipt) && !p.ignores(receipt.UserID) && (p.sliding == nil || p.sliding.shows(withReceipts, r))
}

// writeReceipts adds the m.receipt events of a room to a list, as a function appends them.
func (p *plan) writeReceipts(ctx context.Context, l *list, r *room, appendEvents func([]byte, []*receipts.Receipt) []byte) error {
	add := func(some []*receipts.Receipt) error {
		if len(some) == 0 {
			return nil
		}
		return l.add(func(dst []byte) []byte { return appendEvents(dst, some) })
	}
	if err := add(r.receipts); err != nil {
		return err
	}
	for some, err := range p.moreReceipts.Of(ctx, r.nid) {
		if err == nil {
			err = add(slices.DeleteFunc(slices.Clone(some), func(one *receipts.Receipt) bool { return !p.wantsReceipt(r, one) }))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// writeReceiptEvent writes all receipts of a room as one event. They are held at once.
func (p *plan) writeReceiptEvent(ctx context.Context, w *reserve.Writer, r *room) error {
	all := slices.Clone(r.receipts)
	for some, err := range p.moreReceipts.Of(ctx, r.nid) {
		if err != nil {
			return err
		}
		const each = 400
		if err := reserve.Read(ctx, func(c *reserve.Counter) error { return c.Add(each * len(some)) }); err != nil {
			return err
		}
		for _, one := range some {
			if p.wantsReceipt(r, one) {
				all = append(all, one)
			}
		}
	}
	w.B = receipts.AppendEvent(w.B, all)
	return nil
}

// writeReceiptsIn adds them with their room_id, as the generations before r0 have it.
func (p *plan) writeReceiptsIn(ctx context.Context, l *list, r *room) error {
	return p.writeReceipts(ctx, l, r, func(dst []byte, some []*receipts.Receipt) []byte {
		return receipts.AppendEventsIn(dst, r.id, some)
	})
}
