package syncstream

import (
	"context"
	"maps"
	"slices"

	"homeserver/internal/journal"
	"homeserver/internal/personal/receipts"
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
		case r.isNew:
			stored = append(stored, receipts.Since{Room: r.nid})
		case r.inWindow:
			for _, entry := range r.live {
				p.addLiveReceipt(r, entry)
			}
		case r.since < p.upTo:
			stored = append(stored, receipts.Since{Room: r.nid, After: r.since})
		}
	}
	for _, entry := range p.own {
		if receipt, ok := entry.Value.(*receipts.Receipt); ok {
			if r := p.room(receipt.Room); r != nil && r.section == joined && r.inWindow && !r.isNew {
				p.addLiveReceipt(r, entry)
			}
		}
	}
	if len(stored) == 0 {
		return nil
	}
	found, err := s.Receipts.Changes(ctx, p.userID, stored, p.upTo)
	if err != nil {
		return err
	}
	for _, receipt := range found {
		p.addReceipt(p.room(receipt.Room), receipt)
	}
	return nil
}

// addLiveReceipt adds the receipt of an entry of the window, if it is one.
func (p *plan) addLiveReceipt(r *room, entry *journal.Entry) {
	if receipt, ok := entry.Value.(*receipts.Receipt); ok && entry.Position > r.since && entry.Position <= p.upTo {
		p.addReceipt(r, receipt)
	}
}

// addReceipt adds a receipt, unless the filter or the list of ignored users keeps it
// out. That the reader has read on changes the counts in any case.
func (p *plan) addReceipt(r *room, receipt *receipts.Receipt) {
	r.readFurther = r.readFurther || receipt.UserID == p.userID
	if wantsOf(p.filter.Room.Ephemeral, r, typeReceipt) && !p.ignores(receipt.UserID) {
		r.receipts = append(r.receipts, receipt)
	}
}

// appendReceiptsIn writes one event for each thread, as [receipts.AppendEvents] does.
func appendReceiptsIn(dst []byte, roomID string, list []*receipts.Receipt) []byte {
	byThread := map[string][]*receipts.Receipt{}
	for _, r := range list {
		byThread[r.ThreadID] = append(byThread[r.ThreadID], r)
	}
	for i, thread := range slices.Sorted(maps.Keys(byThread)) {
		dst = appendRoomID(receipts.AppendEvents(comma(dst, i), byThread[thread]), roomID)
	}
	return dst
}
