package rooms

import (
	"homeserver/internal/cache"
	"homeserver/internal/journal"
)

// transaction is the scope of a transaction ID: one device and one path.
// Client-server API, "Transaction identifiers".
type transaction struct {
	room                               journal.RoomNID
	user, device, txn, typ, redactedID string
}

// sent is the result of a request: an event that is queued, or existed already.
type sent struct {
	eventID string
	pending *journal.Pending // nil: nothing to wait for
}

func (s *sent) wait() error {
	if s.pending == nil {
		return nil
	}
	return s.pending.Wait()
}

// transactions answers a repeated request as the first one, even while that is still
// being committed. Those that are not in memory are found by the unique index, which is
// slower but as sure.
type transactions struct {
	recent *cache.LRU[transaction, *sent]
}

func newTransactions(share int) *transactions {
	return &transactions{recent: cache.NewLRU(cache.Options[transaction, *sent]{
		Share: share,
		Weigh: func(t transaction, s *sent) int {
			const structs = 250 // of what was sent, and of the write that others share
			return structs + cache.Text(t.user, t.device, t.txn, t.typ, t.redactedID, s.eventID)
		},
		Spare: func(_ transaction, s *sent) bool { return s.pending != nil && !s.pending.Answered() },
	})}
}

func transactionOf(room journal.RoomNID, d *draft) transaction {
	return transaction{room: room, user: d.sender, device: d.device, txn: d.txn, typ: d.typ, redactedID: d.redacts()}
}

func (t *transactions) get(room journal.RoomNID, d *draft) (*sent, bool) {
	if d.txn == "" {
		return nil, false
	}
	return t.recent.Get(transactionOf(room, d))
}

func (t *transactions) put(room journal.RoomNID, d *draft, s *sent) {
	if d.txn != "" {
		t.recent.Put(transactionOf(room, d), s)
	}
}

// drop forgets a transaction whose event was not committed, unless it was sent anew.
func (t *transactions) drop(room journal.RoomNID, d *draft, failed *sent) {
	t.recent.RemoveIf(transactionOf(room, d), func(now *sent) bool { return now == failed })
}
